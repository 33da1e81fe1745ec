"""Where a bill of materials goes, in which version and format; `make` and `convert` share it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from infwasi_sign.cli.output import Command, emit_json, say, writing_out
from infwasi_sign.errors import UndecidedError

if TYPE_CHECKING:
    from infwasi_sign.adapters.cyclonedx_convert import Converted
    from infwasi_sign.domain.strict_json import JsonValue

_VERSIONS: Final = ("1.7", "1.6", "1.5")  # adapters/cyclonedx_convert.py, which is slow to import
_FORMATS: Final = ("json", "xml", "spdx")
_STREAM: Final = Path("-")
_FILE_MODE: Final = 0o644
_MOST_LINES: Final = 50  # of losses on standard error; `--json` has all


def output_options(command: Command) -> Command:
    """``--spec-version``, ``--format``, ``--output``, ``--json``; `deliver` takes their values."""
    for option in (
        click.option(
            "--json",
            "as_json",
            is_flag=True,
            help="Report as JSON on standard output; the BOM goes to --output.",
        ),
        click.option(
            "-o",
            "--output",
            type=click.Path(path_type=Path, allow_dash=True),
            help="Write the BOM to this file, whole or not at all. [default: standard output]",
        ),
        click.option(
            "--format",
            "output_format",
            type=click.Choice(_FORMATS),
            default="json",
            show_default=True,
            help="The form of the BOM: of CycloneDX, or SPDX 3.0.1 (JSON-LD).",
        ),
        click.option(
            "--spec-version",
            type=click.Choice(_VERSIONS),
            default="1.7",
            show_default=True,
            help="The version of CycloneDX.",
        ),
    ):
        command = option(command)
    return command


def require_deliverable(
    output: Path | None, *, as_json: bool, kept: tuple[Path | None, ...] = ()
) -> None:
    """Say before any work that standard output cannot be both, or a file not be replaced.

    ``kept`` are files that are read for the BOM and are none themselves: a model, a card.

    Raises:
        UndecidedError: ``--json`` without a file for the BOM; or that file is one of a package, or
            one of ``kept``.
    """
    from infwasi_sign.cli.delivery import require_no_package

    if as_json and _is_stream(output):
        raise UndecidedError(
            "--json and the BOM would both be standard output", hint="--output FILE takes the BOM"
        )
    if output is None or _is_stream(output):
        return
    require_no_package(output)
    for path in kept:
        if path is not None and _is_same(path, output):
            raise UndecidedError(
                "the BOM would replace what it describes",
                where=str(output),
                hint="choose another name",
            )


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except (OSError, ValueError):
        return False  # one of them is not there


def deliver(
    document: "dict[str, JsonValue]",
    spec_version: str,
    output_format: str,
    output: Path | None,
    *,
    as_json: bool,
    lost_before: tuple[str, ...] = (),
) -> None:
    """Write a BOM, and report what it cannot say: on standard error, as JSON where it is wanted.

    ``lost_before`` was lost when ``document`` was read.

    Raises:
        MalformedError: the document is not as its schema says.
        UndecidedError: it cannot be written.
    """
    require_deliverable(output, as_json=as_json)
    if output_format == "spdx":
        if spec_version != _VERSIONS[0]:
            raise UndecidedError("SPDX has versions of its own", where="--spec-version")
        _deliver_spdx(document, output, as_json=as_json, lost_before=lost_before)
        return
    converted = _converted(document, spec_version, output_format)
    _write(output, converted.data)
    losses = (*lost_before, *converted.losses)
    _report(losses, f"CycloneDX {spec_version} {output_format.upper()}")
    if as_json:
        emit_json(
            {
                "type": "bom",
                "output": str(output),
                "specVersion": spec_version,
                "format": output_format,
                "size": len(converted.data),
                "losses": losses,
            }
        )


def _deliver_spdx(
    document: "dict[str, JsonValue]",
    output: Path | None,
    *,
    as_json: bool,
    lost_before: tuple[str, ...],
) -> None:
    """As SPDX; what it has no member for comes along as properties and annotations."""
    from infwasi_sign.domain.spdx import SPDX_VERSION, spdx_document
    from infwasi_sign.domain.strict_json import canonical

    data = canonical(spdx_document(document)) + b"\n"
    _write(output, data)
    _report(lost_before, f"SPDX {SPDX_VERSION}")
    if as_json:
        emit_json(
            {
                "type": "bom",
                "output": str(output),
                "specVersion": SPDX_VERSION,
                "format": "spdx",
                "size": len(data),
                "losses": lost_before,
            }
        )


def _write(output: Path | None, data: bytes) -> None:
    if output is None or _is_stream(output):
        _write_bytes(data)
    else:
        _write_file(output, data)


def _converted(document: "dict[str, JsonValue]", version: str, output_format: str) -> "Converted":
    from infwasi_sign.adapters.cyclonedx_convert import convert

    return convert(document, spec_version=version, output_format=_known(output_format))


def _known(output_format: str) -> Any:
    """The word, which click compared with `_FORMATS`."""
    if output_format not in _FORMATS:
        raise UndecidedError("unknown format", got=output_format, expected=" or ".join(_FORMATS))
    return output_format


def _is_stream(output: Path | None) -> bool:
    return output is None or output == _STREAM


def _report(losses: tuple[str, ...], target: str) -> None:
    if not losses:
        return
    count = f"{len(losses)} value" + ("s" if len(losses) > 1 else "")
    say(f"{count} did not come along to {target}")
    for path in losses[:_MOST_LINES]:
        say(f"lost: {path}")
    if len(losses) > _MOST_LINES:
        say(f"lost: and {len(losses) - _MOST_LINES} more, which --json lists")


def _write_bytes(data: bytes) -> None:
    """To standard output: as they are, or to a terminal with the same meaning and no controls."""
    from infwasi_sign.domain.text import spelled_out

    if sys.stdout is not None and sys.stdout.isatty():
        data = spelled_out(data.decode(), is_xml=data.startswith(b"<")).encode()
    with writing_out():
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def _write_file(path: Path, data: bytes) -> None:
    """Whole or not at all; what is no regular file (`/dev/null`) is not replaced by one."""
    from infwasi_sign.adapters.atomic import storage_error, write_atomic

    try:
        is_there, is_file = True, path.is_file() and not path.is_symlink()
        path.lstat()
    except FileNotFoundError:
        is_there, is_file = False, False
    except OSError as error:
        raise storage_error(error, path, "look at the file") from error
    if is_there and not is_file:
        raise UndecidedError("not a regular file", where=str(path), hint="choose another name")
    write_atomic(path, data, mode=_FILE_MODE, overwrite=True)
