"""What `infwasi bom check` says: a table for people, an object for pipelines (docs/ml-bom.md)."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final, assert_never

from infwasi_sign.domain.minimum_elements import Finding, Judgement
from infwasi_sign.domain.minimum_elements_view import State

if TYPE_CHECKING:
    from infwasi_sign.adapters.cyclonedx_validation import SchemaCheck
    from infwasi_sign.domain.strict_json import JsonValue

_PROFILE: Final = "infwasi:bom:profile"
_WORDS: Final = {State.VALUE: "value", State.UNKNOWN: "unknown", State.MISSING: "MISSING"}
_SHOWN: Final = 48


def as_lines(
    document: "Mapping[str, JsonValue]",
    judgements: Sequence[Judgement],
    schemas: "Sequence[SchemaCheck]",
) -> Iterator[str]:
    """The report for people: each list by groups, and then what to add."""
    yield _headline(document)
    for judgement in judgements:
        yield ""
        yield f"{judgement.baseline.title}: {_counts(judgement)}"
        for group, findings in groupby(judgement.findings, lambda one: one.element.group):
            yield f"  {group}"
            yield from (_row(finding) for finding in findings)
    yield ""
    yield from _schema_lines(schemas)
    gaps = list(_gaps(judgements, is_ours=is_ours(document)))
    if gaps:
        yield ""
        yield "To add, for what is missing or unknown"
        yield from gaps


def as_json_object(
    document: "Mapping[str, JsonValue]",
    judgements: Sequence[Judgement],
    schemas: "Sequence[SchemaCheck]",
    unmet: Sequence[str],
) -> dict[str, object]:
    """The report for pipelines; `unmet` are the requirements that failed."""
    name, version = _described(document)
    return {
        "type": "bom-check",
        "name": name,
        "version": version,
        "specVersion": _text(document.get("specVersion")),
        "lists": [
            {
                "name": judgement.baseline.name,
                "title": judgement.baseline.title,
                "elements": len(judgement.findings),
                "values": judgement.count(State.VALUE),
                "unknown": judgement.count(State.UNKNOWN),
                "missing": judgement.count(State.MISSING),
                "findings": [_finding_json(finding) for finding in judgement.findings],
            }
            for judgement in judgements
        ],
        "schemas": [
            {
                "name": check.name,
                "isValid": None if check.obstacle else check.is_valid,
                "complaints": list(check.complaints),
                "obstacle": check.obstacle,
            }
            for check in schemas
        ],
        "unmet": list(unmet),
    }


def is_ours(document: "Mapping[str, JsonValue]") -> bool:
    """Whether infwasi made the document, so that its own keys are the answer to a gap."""
    metadata = document.get("metadata")
    properties = metadata.get("properties") if isinstance(metadata, dict) else None
    return any(
        isinstance(item, dict) and item.get("name") == _PROFILE
        for item in (properties if isinstance(properties, list) else ())
    )


def _finding_json(finding: Finding) -> dict[str, object]:
    element = finding.element
    return {
        "id": element.id,
        "title": element.title,
        "group": element.group,
        "state": str(finding.state),
        "where": finding.where,
        "what": finding.what,
        "subjects": finding.subjects,
        "present": finding.present,
        "key": element.key,
        "member": element.member,
    }


def _headline(document: "Mapping[str, JsonValue]") -> str:
    name, version = _described(document)
    spec_version = _text(document.get("specVersion")) or "of no version"
    return f"{name or 'unnamed'} {version or 'without a version'}: CycloneDX {spec_version}"


def _described(document: "Mapping[str, JsonValue]") -> tuple[str | None, str | None]:
    metadata = document.get("metadata")
    component = metadata.get("component") if isinstance(metadata, dict) else None
    if not isinstance(component, dict):
        return None, None
    return _text(component.get("name")), _text(component.get("version"))


def _text(value: "JsonValue") -> str | None:
    return value[:_SHOWN] if isinstance(value, str) and value else None


def _counts(judgement: Judgement) -> str:
    return (
        f"{judgement.present} of {len(judgement.findings)} present "
        f"({judgement.count(State.VALUE)} with a value, {judgement.count(State.UNKNOWN)} unknown)"
    )


def _row(finding: Finding) -> str:
    element = finding.element
    match finding.state:
        case State.VALUE | State.UNKNOWN:
            said = f"{(finding.what or '')[:_SHOWN]}  < {finding.where}"
        case State.MISSING:
            said = _lack(finding)
        case _:
            assert_never(finding.state)
    return f"    {_WORDS[finding.state]:<8} {element.id:<8} {element.title:<32} {said}"


def _lack(finding: Finding) -> str:
    if finding.subjects > 1:
        lacking = finding.subjects - finding.present
        return f"in {lacking} of {finding.subjects}, first in {finding.where}"
    return finding.where if finding.where.startswith("no ") else f"in {finding.where}"


def _schema_lines(schemas: "Sequence[SchemaCheck]") -> Iterator[str]:
    for check in schemas:
        if check.obstacle is not None:
            yield f"{check.name}: not checked: {check.obstacle}"
        elif check.is_valid:
            yield f"{check.name}: valid"
        else:
            yield f"{check.name}: NOT valid"
            yield from (f"  {complaint}" for complaint in check.complaints)


def _gaps(judgements: Sequence[Judgement], *, is_ours: bool) -> Iterator[str]:
    """For each gap the key that closes it; one that several lists have is told once."""
    told: dict[str, list[str]] = {}
    for judgement in judgements:
        for finding in judgement.findings:
            if finding.state is not State.VALUE:
                element = finding.element
                told.setdefault(element.key if is_ours else element.member, []).append(element.id)
    for key, ids in told.items():
        yield f"  {key}  ({', '.join(ids)})"
