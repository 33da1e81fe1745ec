"""`model-card.toml`: what a developer says of an app and its model; errors name the line."""

import re
from datetime import date
from typing import Final

from infwasi_sign.domain.declared import Declared
from infwasi_sign.domain.declared_codec import read_declared
from infwasi_sign.domain.declared_keys import ARRAYS, TABLES
from infwasi_sign.domain.toml_text import TomlText, read_toml
from infwasi_sign.errors import UndecidedError

_INDEX: Final = re.compile(r"\[[0-9]+\]")
_DEEPEST: Final = 4  # of a value in this file: model.openness.weights, dataset[0].sensitive[0]

_WITHOUT_QUOTES: Final = frozenset(
    f"{table}.{name}"
    for table, keys in (
        *TABLES.items(),
        *((name, array.keys) for name, array in ARRAYS.items()),
    )
    for name, key in keys.items()
    if key.form.is_number
)
"""The keys whose value TOML may write as a number or a date: it is read as it is written."""


def parse_model_card(data: bytes, *, where: str) -> Declared:
    """Read a `model-card.toml` (docs/model-card.md); a table without keys says nothing.

    Raises:
        UndecidedError: naming line, column and key.
    """
    toml = read_toml(data, where=where)

    def refuse(
        what: str, key: str, expected: str | None, got: str | None, hint: str | None
    ) -> UndecidedError:
        if what == "unknown key" and expected is not None:
            from difflib import get_close_matches  # noqa: PLC0415 - for people who slip only

            name = key.rpartition(".")[2]
            near = get_close_matches(name, expected.split(", "), n=1)
            hint = f"did you mean {near[0]}?" if near else hint
        place = f"{where}{_place(toml, key)} {key}".rstrip()
        return UndecidedError(what, where=place, expected=expected, got=got, hint=hint)

    if "vulnerability" in toml.document:
        what = "a model card knows nothing of vulnerabilities"
        raise refuse(what, "vulnerability", None, None, "`pack --vex FILE` attaches a VEX document")
    return read_declared(_as_written(toml, toml.document, ""), where, refuse)


def _place(toml: TomlText, key: str) -> str:
    """Line and column of a key, else of the first one in it, or of the next one around it."""
    while key and key not in toml.places:
        if inner := [at for at in toml.places if at.startswith((f"{key}.", f"{key}["))]:
            key = inner[0]
            break
        key = key[: max(key.rfind("."), key.rfind("["), 0)]
    if not key:
        return ""
    place = toml.places[key]
    column = place.start - toml.text.rfind("\n", 0, place.start)
    line = toml.text.count("\n", 0, place.start) + 1
    return f":{line}:{column}"


def _as_written(toml: TomlText, value: object, path: str) -> object:
    """The tree with numbers and dates as the texts that stand there, and without empty tables."""
    if path.count(".") + path.count("[") > _DEEPEST:
        return value  # whatever it is, it is refused
    match value:
        case dict():
            found: dict[str, object] = {}
            for name, member in value.items():
                at = f"{path}.{name}" if path else name
                inner = _as_written(toml, member, at)
                if inner != {} or at not in TABLES:
                    found[name] = inner
            return found
        case list():
            return [_as_written(toml, item, f"{path}[{at}]") for at, item in enumerate(value)]
        case bool():
            return value
        case int() | float() | date():
            return _written(toml, value, path)
        case _:
            return value


def _written(toml: TomlText, value: float | date, path: str) -> object:
    place = toml.places.get(path)
    if place is None or _INDEX.sub("", path) not in _WITHOUT_QUOTES:
        return value
    text = toml.text[place.start : place.end].strip()
    if isinstance(value, date):  # TOML also has a blank and small letters (TOML 1.0.0, "Dates")
        return text.replace(" ", "T").upper()
    return text.replace("_", "")


_TEMPLATE: Final = """\
# model-card.toml: what no byte can say of this app and its model; `infwasi pack` reads it.
# Commented lines say nothing, and what is not said is `unknown` in the bill of materials.
# Every key: docs/model-card.md

[bom]
# author = "Acme AI Team <ai@acme.example>"          # who answers for the bill of materials

[app]
# producer = "Acme Ltd"
# description = "Answers questions about capitals."
# area = "Education, for pupils from 10 to 14"
# data-usage = "Prompts stay on the device; nothing is kept or sent"
# license = "MIT"

[model]
# version = "1.0"
# description = "SmolLM2 of 135 million parameters, tuned for instructions"
# producer = "Hugging Face"
# authors = ["Loubna Ben Allal"]
# license = "Apache-2.0"
# url = "https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct"
# purl = "pkg:huggingface/HuggingFaceTB/SmolLM2-135M-Instruct"
# released = 2024-11-02
# task = "text-generation"
# inputs = ["text"]
# outputs = ["text"]
# base-models = ["HuggingFaceTB/SmolLM2-135M"]

[model.openness]              # each is "open", "closed" or "partly"
# weights = "open"
# architecture = "open"
# data = "partly"
# training = "open"

[training]
# approach = "self-supervised"
# description = "2 trillion tokens, then supervised fine-tuning and DPO"

[use]
# users = ["Teachers and pupils"]
# cases = ["Quizzes about capitals"]
# limitations = ["Knows nothing after 2024", "Answers may be wrong"]
# tradeoffs = ["4-bit weights: a third of the memory, slightly worse answers"]

[security]
# controls = ["The component has neither network nor files"]
# compliance = "ISO/IEC 42001:2023"
# contact = "mailto:security@acme.example"
# advisories = "https://acme.example/security/advisories"

[infrastructure]
# hardware = "Any x86_64 or aarch64 machine with 1 GiB of memory"

# [[dataset]]                 # once for each
# name = "HuggingFaceTB/smoltalk"
# description = "1 million synthetic conversations"
# url = "https://huggingface.co/datasets/HuggingFaceTB/smoltalk"
# identifier = "doi:10.57967/hf/3520"
# license = "Apache-2.0"
# provenance = "Made by models, filtered by models and people"
# statistics = "1.1 million rows, 2 GB"
# classification = "public"
# purpose = "fine-tuning"     # or "training", "validation"

# [[ethics]]
# name = "May repeat prejudices of its training data"
# mitigation = "Answers are shown as those of a machine"

# [[fairness]]
# group = "Speakers of other languages than English"
# harms = "Worse answers"

# [[energy]]
# activity = "training"
# kwh = 1200
# provider = "Acme Power"
# source = "wind"

# [[metric]]
# type = "accuracy"
# value = 0.41
# slice = "MMLU, 5-shot"
"""


def model_card_template() -> str:
    """A `model-card.toml` that says nothing yet, with an example for every key that people need."""
    return _TEMPLATE
