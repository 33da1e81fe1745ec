"""`infwasi bom view`."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from infwasi_sign.quick_dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from infwasi_sign.domain.strict_json import JsonValue

_STREAM: Final = Path("-")
_PAGE_MODE: Final = 0o644


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """A BOM as bytes: what it is called, and whether it lay in a package."""

    name: str
    data: bytes
    is_package: bool


@click.command(name="view")
@click.argument("source", metavar="FILE|PACKAGE", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Write the page to this file, `-` for standard output. [default: NAME.html, here]",
)
@click.option("--force", is_flag=True, help="Replace a file that is there already.")
def command(source: Path, output: Path | None, force: bool) -> None:
    """Render a bill of materials as one HTML page, which runs no script and loads nothing.

    FILE is CycloneDX of any tool, JSON or XML, `-` for standard input; of a PACKAGE its
    `bom.cdx.json` is shown. Nothing is verified, and the page says so.

    \b
    Examples:
      infwasi bom view dist/capital-1.0.0
      infwasi bom view model.cdx.json --output model.html
      infwasi bom model.gguf | infwasi bom view - --output - > model.html
    """
    from infwasi_sign.adapters.atomic import write_atomic
    from infwasi_sign.cli.confining import confinement_of
    from infwasi_sign.cli.delivery import require_no_package, require_outside
    from infwasi_sign.cli.output import say

    page = _page_path(source) if output is None else output
    is_stream = page == _STREAM
    if not is_stream and source != _STREAM and source.is_dir():
        require_outside(page, source)
    if not is_stream:
        require_no_package(page)
    confinement = confinement_of(output=None if is_stream else page)
    bom = _read(source, confinement.before_measuring)
    data = _rendered(bom)
    if is_stream:
        _write_bytes(data)
        return
    write_atomic(page, data, _PAGE_MODE, overwrite=force)
    say(f"wrote {page}: not verified, only shown")


def _page_path(source: Path) -> Path:
    """`model.html` of `model.cdx.json`, in the folder where the caller stands."""
    name = source.absolute().name if source != _STREAM else "bom"
    for ending in (".json", ".xml", ".cdx"):
        name = name.removesuffix(ending)
    return Path(f"{name}.html")


def _read(source: Path, on_opened: "Callable[[], None]") -> _Source:
    """The bytes of the BOM; ``on_opened`` is called before the first of them is read.

    Raises:
        RefusedError: kinds `unsigned`, `missing`, `malformed`, `limit`.
        UndecidedError: there is nothing, or it cannot be read.
    """
    import sys

    from infwasi_sign.adapters.package_directory import DirectoryStore, open_outside
    from infwasi_sign.domain.limits import LIMITS
    from infwasi_sign.domain.manifest import BOM_FILE
    from infwasi_sign.errors import RefusalKind, RefusedError, UndecidedError

    if source == _STREAM:
        if sys.stdin is None:
            raise UndecidedError("standard input is closed")
        on_opened()
        data = sys.stdin.buffer.read(LIMITS.bom_bytes + 1)  # one more is refused where it is parsed
        return _Source(name="standard input", data=data, is_package=False)
    if source.is_dir():
        package = DirectoryStore().open(source)
        try:
            on_opened()
            if BOM_FILE not in package.files:
                raise RefusedError(
                    RefusalKind.MISSING, "a file of the package is missing", where=BOM_FILE
                )
            data = package.files[BOM_FILE].read(LIMITS.bom_bytes)
        finally:
            package.close()
        return _Source(name=BOM_FILE, data=data, is_package=True)
    file = open_outside(source, most_bytes=LIMITS.bom_bytes)
    try:
        on_opened()
        return _Source(name=file.name, data=file.read(LIMITS.bom_bytes), is_package=False)
    finally:
        file.close()


def _rendered(bom: _Source) -> bytes:
    """The page.

    Raises:
        MalformedError: the BOM is none that can be read.
        RefusedError: kind `limit`, the page would be too long.
    """
    import hashlib

    from infwasi_sign import __version__
    from infwasi_sign.adapters.html_page import render_page
    from infwasi_sign.domain.bom_page import bom_page

    return render_page(
        "bom.html",
        page=bom_page(_parsed(bom)),
        is_package=bom.is_package,
        source=bom.name,
        size_bytes=len(bom.data),
        sha256=hashlib.sha256(bom.data).hexdigest(),
        made_by=__version__,
    )


def _parsed(bom: _Source) -> "JsonValue":
    """The document; the library that reads XML takes 0.3 s to import."""
    from infwasi_sign.domain import strict_json
    from infwasi_sign.domain.limits import LIMITS

    if bom.data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<":
        from infwasi_sign.adapters.cyclonedx_convert import read_any

        return read_any(bom.data)
    return strict_json.parse(bom.data, where=bom.name, limit_bytes=LIMITS.bom_bytes)


def _write_bytes(data: bytes) -> None:
    import sys

    from infwasi_sign.cli.output import writing_out

    with writing_out():
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
