"""`infwasi bom convert`."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from infwasi_sign.cli.bom_output import deliver, output_options, require_deliverable
from infwasi_sign.cli.output import failures_as_json

if TYPE_CHECKING:
    from infwasi_sign.adapters.cyclonedx_convert import ReadBom

_STREAM: Final = Path("-")


@click.command(name="convert")
@click.argument("file", metavar="FILE|PACKAGE", type=click.Path(path_type=Path, allow_dash=True))
@output_options
def command(
    file: Path, spec_version: str, output_format: str, output: Path | None, as_json: bool
) -> None:
    """Write a BOM of any tool in another version or format of CycloneDX.

    FILE is CycloneDX 1.5, 1.6 or 1.7, JSON or XML; `-` is standard input; of a PACKAGE its
    `bom.cdx.json` is read. Model cards and datasets come along. What the target has no place for,
    or the converting library cannot keep, is listed on standard error, with --json, and in
    properties `infwasi:lost:<n>` of the new BOM.

    \b
    Examples:
      infwasi bom convert dist/capital-1.0.0 --format xml > bom.cdx.xml
      infwasi bom convert bom.cdx.xml --spec-version 1.6 --output bom.cdx.json
      infwasi bom convert bom.cdx.json --spec-version 1.5 --output old.json --json | jq .losses
    """
    with failures_as_json(as_json):
        require_deliverable(output, as_json=as_json)
        bom = _read(file, output)
        deliver(
            bom.document,
            spec_version,
            output_format,
            output,
            as_json=as_json,
            lost_before=bom.losses,
        )


def _read(path: Path, output: Path | None) -> "ReadBom":
    """Open, import what is slow, confine, and only then read and parse.

    Raises:
        RefusedError: kinds `malformed` and `limit`.
        UndecidedError: the file cannot be read.
    """
    import sys

    from infwasi_sign.adapters.cyclonedx_convert import read_with_losses
    from infwasi_sign.adapters.package_directory import open_outside
    from infwasi_sign.cli.confining import confinement_of
    from infwasi_sign.cli.delivery import require_outside
    from infwasi_sign.domain.limits import LIMITS
    from infwasi_sign.domain.manifest import BOM_FILE
    from infwasi_sign.errors import UndecidedError

    target = None if output in {None, _STREAM} else output
    if path != _STREAM and path.is_dir():
        if target is not None:
            require_outside(target, path)  # in a package every file is signed
        path /= BOM_FILE
    confinement = confinement_of(output=target)
    if path == _STREAM:
        if sys.stdin is None:
            raise UndecidedError("standard input is closed")
        confinement.before_measuring()
        return read_with_losses(sys.stdin.buffer.read(LIMITS.bom_bytes + 1))
    file = open_outside(path, most_bytes=LIMITS.bom_bytes)
    try:
        confinement.before_measuring()
        return read_with_losses(file.read(LIMITS.bom_bytes))
    finally:
        file.close()
