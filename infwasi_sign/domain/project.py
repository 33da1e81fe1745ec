"""`infwasi.toml`: what a developer writes, read strictly. Every error names the key."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import PurePath
from typing import Final

from infwasi_sign.domain.limits import KIB, LIMITS, MIB
from infwasi_sign.domain.material import SigningMode
from infwasi_sign.domain.settings import SAMPLING_MAX, SAMPLING_MIN, SEED_MAX, GuestLimits, Settings
from infwasi_sign.domain.toml_text import read_toml
from infwasi_sign.errors import UndecidedError
from infwasi_sign.quick_dataclass import dataclass

PROJECT_FILE: Final = "infwasi.toml"
MODEL_CARD_FILE: Final = "model-card.toml"  # beside it, read by domain/declared_file.py

_TEMPLATE: Final = """\
# infwasi.toml: what `infwasi pack` builds. Commented lines show the defaults.

[package]
name = {name}
version = "1.0.0"
# valid-days = 365          # 0: never expires
# sequence = 1              # orders the releases; default: the time of packing in seconds

[model]
path = {model}
# name = "model"            # what the component asks for by load-by-name
# mode = "copy"             # or "detach": the model stays outside, its digest is signed
# context-tokens = 2048

[prompt]
# system = "Answer in one short sentence."
# default = "What is the capital of Sweden?"
# stop = []                 # texts that end an answer

[sampling]
temperature = 0.0
max-tokens = 256
# seed = 7                  # without it each run chooses one, and says which
# top-k = 40                # 0 is off
# top-p = 0.95              # 1.0 is off
# min-p = 0.05              # 0.0 is off
# repeat-penalty = 1.0      # 1.0 is off

# [model-card]              # what bytes cannot say; `infwasi init --model-card` writes one
# path = "model-card.toml"  # default: the one beside this file, if there is one

# [component]
# inference = "my_inference.wasm"   # your own inference component in place of the stock one

# [limits]                  # what the host grants at most; of your own component, pack measures
# memory-mib = 16
# prompt-kib = 256
# output-kib = 1024
# timeout-seconds = 600

# [signing]
# mode = "key"              # or "certificate", "keyless": a forgotten key is then an error
"""

_LARGEST: Final = 2**53  # a larger integer is out of every range, and maybe too large for a float
_TYPE_NAMES: Final = {str: "a string", int: "an integer", float: "a number", list: "an array"}


def template(name: str, model: PurePath) -> str:
    """A commented `infwasi.toml`; the name is made to fit where it does not."""
    fitting = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:64] or "app"
    fitting = re.sub(r"-(?=[0-9])", "_", fitting)  # a hyphen and a digit begin the version
    return _TEMPLATE.format(name=_basic_string(fitting), model=_basic_string(str(model)))


def _basic_string(text: str) -> str:
    """A TOML basic string: JSON's, without surrogate pairs and with DEL escaped (TOML 1.0.0)."""
    scalars = text.encode("utf-8", "replace").decode()  # file names may hold any byte
    return json.dumps(scalars, ensure_ascii=False).replace("\x7f", "\\u007f")


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """The content of an `infwasi.toml`; units as in the keys' names."""

    name: str
    version: str
    model_path: PurePath
    valid_days: int = 365
    sequence: int | None = None
    model_name: str = "model"
    model_mode: str = "copy"
    context_tokens: int = 2048
    system_prompt: str | None = None
    default_prompt: str | None = None
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    max_tokens: int = 256
    seed: int | None = None
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    model_card_path: PurePath | None = None
    inference_path: PurePath | None = None
    # what the file says of [limits]; the rest of them `pack` may measure
    stated_limits: frozenset[str] = field(default=frozenset(), compare=False)
    memory_mib: int = LIMITS.wasm_memory_bytes // MIB
    prompt_kib: int = LIMITS.prompt_bytes // KIB
    output_kib: int = LIMITS.output_bytes // KIB
    timeout_seconds: int = LIMITS.wall_clock_seconds
    signing_mode: str | None = None

    def settings(self) -> Settings:
        """What is baked into the config component.

        Raises:
            RefusedError: kind `limit`; texts that are too long.
        """
        return Settings(
            model=self.model_name,
            system_prompt=self.system_prompt,
            default_prompt=self.default_prompt,
            context_tokens=self.context_tokens,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            min_p=self.min_p,
            repeat_penalty=self.repeat_penalty,
            seed=self.seed,
            stop=self.stop,
            limits=GuestLimits(
                memory_bytes=self.memory_mib * MIB,
                prompt_bytes=self.prompt_kib * KIB,
                output_bytes=self.output_kib * KIB,
                wall_clock_seconds=self.timeout_seconds,
            ),
        )


@dataclass(frozen=True, slots=True)
class _Key:
    target: str
    kind: type
    minimum: float | None = None
    maximum: float | None = None
    words: frozenset[str] = field(default_factory=frozenset)


# Bounds without another source are those of the format (docs/format.md section 5).
_KEYS: Final[Mapping[str, Mapping[str, _Key]]] = {
    "package": {
        "name": _Key("name", str),
        "version": _Key("version", str),
        "valid-days": _Key("valid_days", int, 0, 36_500),
        "sequence": _Key("sequence", int, 0, LIMITS.json_integer),
    },
    "model": {
        "path": _Key("model_path", PurePath),
        "name": _Key("model_name", str),
        "mode": _Key("model_mode", str, words=frozenset({"copy", "detach"})),
        "context-tokens": _Key("context_tokens", int, 16, LIMITS.context_tokens),
    },
    "prompt": {
        "system": _Key("system_prompt", str),
        "default": _Key("default_prompt", str),
        "stop": _Key("stop", list),
    },
    "sampling": {
        "temperature": _Key("temperature", float, 0, SAMPLING_MAX),
        "max-tokens": _Key("max_tokens", int, 1, LIMITS.max_tokens),
        "seed": _Key("seed", int, 0, SEED_MAX),
        "top-k": _Key("top_k", int, 0, 1_000_000),
        "top-p": _Key("top_p", float, 0, 1),
        "min-p": _Key("min_p", float, 0, 1),
        "repeat-penalty": _Key("repeat_penalty", float, SAMPLING_MIN, SAMPLING_MAX),
    },
    "model-card": {"path": _Key("model_card_path", PurePath)},
    "component": {"inference": _Key("inference_path", PurePath)},
    "limits": {
        "memory-mib": _Key("memory_mib", int, 1, 4095),
        "prompt-kib": _Key("prompt_kib", int, 1, LIMITS.prompt_bytes // KIB),
        "output-kib": _Key("output_kib", int, 1, LIMITS.output_bytes // KIB),
        "timeout-seconds": _Key("timeout_seconds", int, 1, LIMITS.wall_clock_seconds),
    },
    "signing": {"mode": _Key("signing_mode", str, words=frozenset(SigningMode))},
}


def parse_project(data: bytes, overrides: Mapping[str, object], *, where: str) -> Project:
    """Read `infwasi.toml` (empty bytes where there is none) under the caller's flags.

    ``overrides`` has the field names of `Project`; they win over the file.

    Raises:
        UndecidedError: naming the key, what it must be and what it is.
    """
    document = read_toml(data, where=where).document
    values: dict[str, object] = {}
    for section, content in document.items():
        keys = _KEYS.get(section)
        if keys is None:
            raise UndecidedError(
                "unknown section", where=f"{where} [{section}]", expected=", ".join(_KEYS)
            )
        if not isinstance(content, dict):
            raise UndecidedError("not a section", where=f"{where} {section}")
        for name, value in content.items():
            place = f"{where} {section}.{name}"
            if name not in keys:
                raise UndecidedError("unknown key", where=place, expected=", ".join(keys))
            values[keys[name].target] = _check(keys[name], value, place)
    limits = document.get("limits")
    values["stated_limits"] = frozenset(limits if isinstance(limits, dict) else ())
    values.update(overrides)
    for target, place in (
        ("name", "package.name"),
        ("version", "package.version"),
        ("model_path", "model.path"),
    ):
        if target not in values:
            raise UndecidedError(
                f"{place} is missing",
                where=where,
                hint="`infwasi init` writes an infwasi.toml to start from",
            )
    return Project(**values)  # type: ignore[arg-type]  # each was checked against its key's type


def _check(key: _Key, value: object, where: str) -> object:
    if key.kind is PurePath:
        if not isinstance(value, str) or not value or "\0" in value:
            raise UndecidedError("wrong type", where=where, expected="a path", got=_show(value))
        return PurePath(value)
    if key.kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) <= _LARGEST else math.inf
    if not isinstance(value, key.kind) or isinstance(value, bool):
        raise UndecidedError(
            "wrong type", where=where, expected=_TYPE_NAMES[key.kind], got=_show(value)
        )
    if isinstance(value, list):
        if not all(isinstance(item, str) for item in value):
            raise UndecidedError(
                "wrong type", where=where, expected="an array of strings", got=_show(value)
            )
        return tuple(value)
    if isinstance(value, int | float) and not (
        (key.minimum is None or value >= key.minimum)
        and (key.maximum is None or value <= key.maximum)
    ):
        raise UndecidedError(
            "out of range",
            where=where,
            expected=f"{key.minimum:.10g} to {key.maximum:.10g}",
            got=_number(value),
        )
    if key.words and value not in key.words:
        raise UndecidedError(
            "unknown word", where=where, expected=" or ".join(sorted(key.words)), got=_show(value)
        )
    return value


def _show(value: object) -> str:
    return f"{type(value).__name__} {ascii(value)[:60]}"


def _number(value: float) -> str:
    """A number for people; Python refuses to write integers of more than 4,300 digits."""
    return "a larger one" if isinstance(value, int) and abs(value) > 2**64 else str(value)
