"""A run that is asked for so plainly that no parser of options is needed to understand it.

`verify-and-run PACKAGE [--option VALUE | --flag]... [PROMPT]`, in any order: each option at most
once and written out, each number in decimal digits. Whatever else is there, mistakes and `--help`
too, is left to click. A test holds that click understands the same of everything that is read here.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from infwasi_sign.cli.run_options import RunOptions
from infwasi_sign.cli.trust_options import TrustOptions

_FLAGS: Final[Mapping[str, str]] = {
    "--accept-jump": "accept_jump",
    "--json": "as_json",
    "--no-cache": "no_cache",
    "--paranoid": "paranoid",
}
_MOST_DIGITS: Final = 9


class _NotPlainError(Exception):
    """Something that click has to say, or do, something about."""


_Value: TypeAlias = "Callable[[str], Any]"


def plain_run(arguments: Sequence[str]) -> RunOptions | None:
    """What the arguments after `verify-and-run` ask for; ``None`` if that is for click to say."""
    try:
        return _read(arguments)
    except _NotPlainError:
        return None


def _read(arguments: Sequence[str]) -> RunOptions:
    found: dict[str, Any] = {}
    places: list[str] = []
    left = iter(arguments)
    for argument in left:
        if not argument.startswith("-") or argument == "-":
            places.append(argument)
            continue
        name, value = _option(argument, left)
        if name in found:
            raise _NotPlainError
        found[name] = value
    if not 1 <= len(places) <= 2 or not places[0]:
        raise _NotPlainError
    trust = {name: found.pop(name) for name in ("name", "policy_path", "key_path") if name in found}
    return RunOptions(
        package=_file(places[0]),
        prompt=places[1] if len(places) == 2 else None,
        trust=TrustOptions(**trust),
        **found,
    )


def _option(argument: str, left: Iterator[str]) -> tuple[str, Any]:
    if argument in _FLAGS:
        return _FLAGS[argument], True
    if argument not in _OPTIONS:
        raise _NotPlainError
    name, read = _OPTIONS[argument]
    value = next(left, "")
    if not value or value.startswith("-"):
        raise _NotPlainError
    return name, read(value)


def _file(value: str) -> Path:
    return Path(value)


def _readable(value: str) -> Path:
    """A file that is not there is a mistake that the command itself tells, better than click."""
    if os.path.lexists(value) and not os.access(value, os.R_OK):
        raise _NotPlainError
    return Path(value)


def _between(least: int, most: int) -> _Value:
    def read(value: str) -> int:
        if not (value.isascii() and value.isdigit()) or len(value) > _MOST_DIGITS:
            raise _NotPlainError
        if not least <= int(value) <= most:
            raise _NotPlainError
        return int(value)

    return read


_POSITIVE: Final = _between(1, 10**_MOST_DIGITS)
_OPTIONS: Final[Mapping[str, tuple[str, _Value]]] = {
    "--key": ("key_path", _readable),
    "--max-memory": ("memory_mib", _POSITIVE),
    "--max-tokens": ("max_tokens", _POSITIVE),
    "--model": ("model_path", _readable),
    "--name": ("name", str),
    "--policy": ("policy_path", _readable),
    "--seed": ("seed", _between(0, 2**32 - 2)),
    "--threads": ("threads", _between(1, 512)),
    "--timeout": ("timeout_seconds", _POSITIVE),
}
