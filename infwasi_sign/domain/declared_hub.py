"""What the keys of a Hugging Face model card mean as declared facts.

Source: modelcard.md and "Model Cards" in huggingface/hub-docs. Nothing is made up: what has no
place here is passed over, and what has another shape is handed on, for `read_declared` to refuse.
"""

import re
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Final

from infwasi_sign.quick_dataclass import dataclass

Table = dict[str, object]

_TEXTS: Final = {"pipeline_tag": "task", "library_name": "library"}
_LISTS: Final = {"language": "languages", "tags": "tags", "base_model": "base-models"}
_HANDLED: Final = frozenset(
    {*_TEXTS, *_LISTS, "license", "license_name", "license_link"}
    | {"datasets", "model-index", "co2_eq_emissions"}
)
_NAMES: Final[Mapping[str, str]] = {
    "model.license-url": "license_link",
    "model.license": "license",
    "training.hardware": "co2_eq_emissions.hardware_used",
    "training.co2-tonnes": "co2_eq_emissions.emissions",
    "dataset": "datasets",
    "metric": "model-index metric",
    **{f"model.{ours}": theirs for theirs, ours in (_TEXTS | _LISTS).items()},
}
_GRAMS: Final = re.compile(r"[0-9]{1,20}(?:\.[0-9]{0,20})?(?:[eE][+-]?[0-9]{1,2})?")
# As many digits as a declared quantity keeps, and 10^-6 tonnes are a gram.
_DIGITS: Final = Context(prec=15)
_TONNES: Final = Decimal("0.000001")


@dataclass(frozen=True, kw_only=True, slots=True)
class HubFacts:
    """A tree for `read_declared`, and the keys that have no place in it."""

    tree: Table
    passed_over: tuple[str, ...]


def hub_tree(block: Mapping[str, object]) -> HubFacts:
    """The declared facts in a model card's front matter."""
    model: Table = {}
    tree: Table = {"model": model}
    passed = [name for name in block if name not in _HANDLED]
    said = {name: value for name, value in block.items() if value is not None}
    for theirs, ours in _TEXTS.items():
        if theirs in said:
            model[ours] = said[theirs]
    for theirs, ours in _LISTS.items():
        if theirs in said:
            model[ours] = _as_list(said[theirs])
    passed += _put_license(said, model)
    if "datasets" in said:
        names = _as_list(said["datasets"])
        # Their names on the Hub are also what they are found by.
        tree["dataset"] = [{"name": name, "identifier": name} for name in names]
    if "model-index" in said:
        tree["metric"], without = _metrics(said["model-index"])
        passed += without
    if "co2_eq_emissions" in said:
        tree["training"], without = _training(said["co2_eq_emissions"])
        passed += without
    kept = {name: part for name, part in tree.items() if part or not isinstance(part, dict)}
    return HubFacts(tree=kept, passed_over=tuple(passed))


def name_in_front_matter(key: str) -> str:
    """What a key of ours is called in front matter."""
    for ours, theirs in _NAMES.items():
        if key == ours or key.startswith((f"{ours}.", f"{ours}[")):
            return theirs + key.removeprefix(ours)
    return key


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _put_license(said: Mapping[str, object], model: Table) -> list[str]:
    """`other` is what the Hub has for licences that it has no word for."""
    passed = []
    word, name, link = (said.get(key) for key in ("license", "license_name", "license_link"))
    if isinstance(word, list) and len(word) == 1:
        word = word[0]
    if isinstance(word, list):
        passed.append("license (several)")  # whether all hold, or one of them, it does not say
        word = None
    if (word is None or word == "other") and name is not None:
        model["license"] = name
    else:
        if word == "other":
            passed.append("license (other)")
        elif word is not None:
            model["license"] = word
        if name is not None:
            passed.append("license_name")
    if isinstance(link, str) and not link.startswith(("http://", "https://")):
        passed.append("license_link (no address)")
    elif link is not None:
        model["license-url"] = link
    return passed


def _metrics(index: object) -> tuple[object, list[str]]:
    """A row for each value in `model-index`; its slice is the dataset it was measured with."""
    if not isinstance(index, list):
        return index, []
    rows: list[object] = []
    passed: list[str] = []
    for entry in index:
        results = entry.get("results") if isinstance(entry, dict) else None
        if not isinstance(results, list):
            return entry, []
        for result in results:
            metrics = result.get("metrics") if isinstance(result, dict) else None
            if not isinstance(metrics, list):
                return result, []
            for metric in metrics:
                row = _metric(metric, _slice(result.get("dataset")))
                if row is None:
                    passed.append("model-index metric without one value")
                elif row not in rows[-1:]:
                    rows.append(row)
    return rows, list(dict.fromkeys(passed))


def _metric(metric: object, where: object) -> object:
    if not isinstance(metric, dict):
        return metric
    value = metric.get("value")
    if value is None or isinstance(value, list | dict):
        return None
    kind = metric.get("type")
    row = {"type": metric.get("name") if kind is None else kind, "value": value, "slice": where}
    return {name: said for name, said in row.items() if said is not None}


def _slice(dataset: object) -> object:
    if not isinstance(dataset, dict):
        return dataset
    name = dataset.get("name")
    said = (dataset.get("type") if name is None else name, dataset.get("split"))
    if all(part is None or isinstance(part, str) for part in said):
        return ", ".join(part for part in said if part) or None
    return dataset


def _training(emissions: object) -> tuple[Table, list[str]]:
    """Grams of CO2 equivalents as tonnes, and the hardware."""
    said = emissions if isinstance(emissions, dict) else {"emissions": emissions}
    found: Table = {}
    if (grams := said.get("emissions")) is not None:
        found["co2-tonnes"] = grams
        if isinstance(grams, str) and _GRAMS.fullmatch(grams):
            tonnes = _DIGITS.multiply(Decimal(grams), _TONNES)
            found["co2-tonnes"] = format(tonnes.normalize(_DIGITS), "f")
    if (hardware := said.get("hardware_used")) is not None:
        found["hardware"] = hardware
    known = {"emissions", "hardware_used"}
    return found, [f"co2_eq_emissions.{name}" for name in said if name not in known]
