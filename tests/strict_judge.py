"""CycloneDX's strict validator of JSON, made once, which checks each address once.

A check of a format is a function of the text alone, and one of an address takes milliseconds: the
validator asks it of the same few in every form of every document. What is refused is asked again.
"""

from collections.abc import Callable
from functools import cache

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from jsonschema import Draft7Validator  # type: ignore[import-untyped]  # ships no types


@cache
def strict_judge(version: SchemaVersion) -> JsonStrictValidator:
    """The validator of one version."""
    _remember_formats()
    return JsonStrictValidator(version)


@cache
def _remember_formats() -> None:
    checkers = Draft7Validator.FORMAT_CHECKER.checkers
    for name, (check, raises) in checkers.items():
        checkers[name] = (_remembering(check), raises)


def _remembering(check: Callable[[object], bool]) -> Callable[[object], bool]:
    remembered = cache(check)
    return lambda value: remembered(value) if isinstance(value, str) else check(value)
