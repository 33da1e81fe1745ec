"""`infwasi bom check`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from infwasi_sign.cli.output import emit_json, failures_as_json, show
from infwasi_sign.errors import RefusalKind, RefusedError, UndecidedError

if TYPE_CHECKING:
    from infwasi_sign.adapters.cyclonedx_validation import SchemaCheck
    from infwasi_sign.domain.minimum_elements import Judgement
    from infwasi_sign.domain.strict_json import JsonValue

_LISTS: Final = ("G7", "NTIA", "CISA")
_SCHEMAS: Final = ("schema", "profile")
_BOM: Final = "bom.cdx.json"


@click.command(name="check")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
@click.option(
    "--require",
    "required",
    multiple=True,
    type=click.Choice([*_LISTS, *_SCHEMAS], case_sensitive=False),
    help="Exit 1 if an element of this list is missing, or the BOM is not as the schema says. "
    "Can be given several times.",
)
@click.option(
    "--require-values",
    "least_values",
    metavar="N",
    type=click.IntRange(min=1),
    help="Exit 1 if less than N of G7's elements have a value; unknown is none.",
)
@click.option("--profile", "with_profile", is_flag=True, help="Also hold it to infwasi's profile.")
def command(
    file: Path,
    as_json: bool,
    required: tuple[str, ...],
    least_values: int | None,
    with_profile: bool,
) -> None:
    """Report what minimum elements a BOM has, and for each gap what to add.

    FILE is CycloneDX, JSON or XML, by any tool, or the directory of a package. The lists are the
    G7's for AI, NTIA's and CISA's. An element has a value, is said to be unknown, or is missing.
    Nothing is verified: `infwasi verify` tells whether a package's BOM is true.

    \b
    Examples:
      infwasi bom check dist/capital-1.0.0
      infwasi bom check model.cdx.json --require G7 --require-values 35
      infwasi bom check sbom.xml --json | jq '.lists[0].missing'
    """
    from infwasi_sign.adapters.cyclonedx_validation import PROFILE, check_profile, check_schema
    from infwasi_sign.cli.bom_check_report import as_json_object, as_lines
    from infwasi_sign.cli.confining import confinement_of
    from infwasi_sign.domain.minimum_elements import judge
    from infwasi_sign.domain.minimum_elements_software import BASELINES

    with failures_as_json(as_json):
        data = _read(file)
        confinement_of(readable=(PROFILE,)).before_measuring()
        try:
            document = _parse(data)
            judgements = judge(document, BASELINES)
        except RefusedError as e:
            raise _unreadable(e, file) from e
        schemas = [check_schema(data, document, is_xml=_is_xml(data))]
        if with_profile or "profile" in required:
            schemas.append(check_profile(document))
        unmet = [
            *_lists_unmet(judgements, required, least_values),
            *_schemas_unmet(schemas, required),
        ]
        if as_json:
            emit_json(as_json_object(document, judgements, schemas, unmet))
        else:
            show(*as_lines(document, judgements, schemas))
    if unmet:
        hint = None if as_json else "the report says what to add"
        raise RefusedError(RefusalKind.POLICY, "; ".join(unmet), where=str(file), hint=hint)


def _read(file: Path) -> bytes:
    from infwasi_sign.adapters.package_directory import open_outside
    from infwasi_sign.domain.limits import LIMITS

    path = file / _BOM if file.is_dir() else file
    try:
        opened = open_outside(path, most_bytes=LIMITS.bom_bytes)
    except RefusedError as e:
        raise _unreadable(e, path) from e
    try:
        return opened.read(LIMITS.bom_bytes)
    except RefusedError as e:
        raise _unreadable(e, path) from e
    finally:
        opened.close()


def _unreadable(error: RefusedError, file: Path) -> UndecidedError:
    """What cannot be read has no verdict: it may be fine, and this no BOM of CycloneDX at all."""
    where = str(file) if error.where is None else f"{file}: {error.where}"
    return UndecidedError(
        error.what, where=where, expected=error.expected, got=error.got, hint=error.hint
    )


def _parse(data: bytes) -> "dict[str, JsonValue]":
    """The document, of JSON in any version; the library that reads XML takes 0.3 s to import."""
    from infwasi_sign.domain import strict_json
    from infwasi_sign.domain.limits import LIMITS
    from infwasi_sign.errors import MalformedError

    if _is_xml(data):
        from infwasi_sign.adapters.cyclonedx_convert import read_any

        return read_any(data)
    value = strict_json.parse(data, where="bom", limit_bytes=LIMITS.bom_bytes)
    if not isinstance(value, dict) or value.get("bomFormat") != "CycloneDX":
        raise MalformedError(
            "not a CycloneDX BOM", where="bom", expected="JSON with bomFormat CycloneDX, or XML"
        )
    return value


def _is_xml(data: bytes) -> bool:
    return data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<"


def _lists_unmet(
    judgements: "tuple[Judgement, ...]", required: tuple[str, ...], least_values: int | None
) -> Iterator[str]:
    from infwasi_sign.domain.minimum_elements_view import State

    for judgement in judgements:
        name, missing = judgement.baseline.name, judgement.count(State.MISSING)
        values = judgement.count(State.VALUE)
        if name in required and missing:
            yield f"{missing} of {len(judgement.findings)} elements of {name} missing"
        if name == _LISTS[0] and least_values is not None and values < least_values:
            yield f"{values} elements of {name} have a value, not {least_values}"


def _schemas_unmet(schemas: "list[SchemaCheck]", required: tuple[str, ...]) -> Iterator[str]:
    from infwasi_sign.adapters.cyclonedx_validation import require_checked

    for word, check in zip(_SCHEMAS, schemas, strict=False):
        if word in required:
            require_checked(check)
            if not check.is_valid:
                yield f"not valid by {check.name}: {check.complaints[0]}"
