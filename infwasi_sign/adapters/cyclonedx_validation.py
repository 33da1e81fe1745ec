"""Whether a BOM is as the schemas say: CycloneDX's of its version, and our own profile.

The validators are an extra (`infwasi[check]`), for they take a second to import and are not needed
to pack, sign, verify or run; a test holds that these never import them. They compare the items of
a list each with each, and parse addresses by a slow grammar, so documents have bounds of their own.
"""

import json
from collections.abc import Iterable, Iterator
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any, Final

from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.errors import UndecidedError
from infwasi_sign.quick_dataclass import dataclass

PROFILE: Final = Path(str(files("infwasi_sign"))) / "data" / "profile.schema.json"
"""A file that a process must still be able to read when it holds a document to our profile."""

_MOST_COMPLAINTS: Final = 20
_COMPLAINT_CHARACTERS: Final = 200
_EXTRA: Final = "install infwasi with its extra: pip install 'infwasi[check]'"
_ADDRESSES: Final = frozenset({"url", "$id", "$schema"})  # of format iri-reference, iri or uri


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaCheck:
    """What a schema has against a document; not even asked where ``obstacle`` says why."""

    name: str
    complaints: tuple[str, ...] = ()
    obstacle: str | None = None

    @property
    def is_valid(self) -> bool:
        """Whether it was asked, and has nothing against it."""
        return self.obstacle is None and not self.complaints


def check_schema(data: bytes, document: dict[str, JsonValue], *, is_xml: bool) -> SchemaCheck:
    """Hold the bytes to CycloneDX's strict schema of the version that they name.

    ``document`` is what was read of them, within the bounds of our own readers.
    """
    version = document.get("specVersion")
    name = f"CycloneDX {version}" if isinstance(version, str) else "CycloneDX"
    obstacle = _too_large(document)
    if obstacle is not None:
        return SchemaCheck(name=name, obstacle=obstacle)
    try:
        complaints = tuple(_complaints_of_schema(data, version, is_xml=is_xml))
    except ImportError as e:
        return SchemaCheck(name=name, obstacle=f"no validator: {e.msg}; {_EXTRA}")
    except NotImplementedError:
        return SchemaCheck(name=name, obstacle="no strict schema of that version")
    return SchemaCheck(name=name, complaints=complaints)


def _complaints_of_schema(data: bytes, version: JsonValue, *, is_xml: bool) -> Iterator[str]:
    """What CycloneDX's schema has against the bytes.

    Raises:
        ImportError: there is no validator.
        NotImplementedError: there is no schema.
    """
    from cyclonedx.exception import (  # noqa: PLC0415 - an extra that only this needs
        MissingOptionalDependencyException,
    )
    from cyclonedx.schema import SchemaVersion  # noqa: PLC0415 - likewise
    from cyclonedx.validation.json import JsonStrictValidator  # noqa: PLC0415 - likewise
    from cyclonedx.validation.xml import XmlValidator  # noqa: PLC0415 - likewise

    known = SchemaVersion.__members__.get(f"V{str(version).replace('.', '_')}")
    if known is None:
        yield "$.specVersion: no version of CycloneDX"
        return
    try:
        validator = XmlValidator(known) if is_xml else JsonStrictValidator(known)
        found = validator.validate_str(data.decode("utf-8"), all_errors=True)
        yield from _complaints(error.data for error in found or ())
    except MissingOptionalDependencyException as e:
        raise ImportError("a library of it is not installed") from e
    except UnicodeDecodeError:
        yield "$: not UTF-8"


def check_profile(document: dict[str, JsonValue]) -> SchemaCheck:
    """Hold a document to sbom/profile.schema.json, which only BOMs by infwasi pass."""
    name = "infwasi profile"
    obstacle = _too_large(document)
    if obstacle is not None:
        return SchemaCheck(name=name, obstacle=obstacle)
    try:
        from jsonschema import (  # type: ignore[import-untyped]  # noqa: PLC0415 - as above; it ships no types
            Draft202012Validator,
        )
    except ImportError as e:
        return SchemaCheck(name=name, obstacle=f"no validator: {e.msg}; {_EXTRA}")
    validator = Draft202012Validator(json.loads(PROFILE.read_bytes()))
    return SchemaCheck(name=name, complaints=tuple(_complaints(validator.iter_errors(document))))


def require_checked(check: SchemaCheck) -> None:
    """Say why a schema could not be asked, where somebody relies on its answer.

    Raises:
        UndecidedError: it was not.
    """
    if check.obstacle is not None:
        what, _, hint = check.obstacle.partition("; ")
        raise UndecidedError(f"not checked against {check.name}", got=what, hint=hint or None)


def _complaints(errors: Iterable[Any]) -> Iterator[str]:
    """One line for each: where, and what; the libraries' own texts repeat the whole document."""
    for error in islice(errors, _MOST_COMPLAINTS):
        place = getattr(error, "json_path", None) or f"line {getattr(error, 'line', '?')}"
        rule = getattr(error, "validator", None)
        said = str(error.message)
        if len(said) > _COMPLAINT_CHARACTERS:
            said = (
                said[: _COMPLAINT_CHARACTERS // 2] + " ... " + said[-_COMPLAINT_CHARACTERS // 2 :]
            )
        yield f"{place}: {said}" + (f" ({rule})" if rule else "")


def _too_large(document: dict[str, JsonValue]) -> str | None:
    """Why the validators would take too long, if they would."""
    pairs = characters = 0
    waiting: list[JsonValue] = [document]
    while waiting:
        match waiting.pop():
            case list() as items:
                pairs += len(items) ** 2 // 2
                waiting += items
            case dict() as members:
                waiting += members.values()
                characters += sum(
                    len(value)
                    for name, value in members.items()
                    if name in _ADDRESSES and isinstance(value, str)
                )
            case _:
                pass
    if pairs > LIMITS.bom_schema_pairs:
        return "too many items in its lists for the validator"
    if characters > LIMITS.bom_schema_address_characters:
        return "too many addresses in it for the validator"
    return None
