"""`infwasi diff`."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from infwasi_sign.cli.output import emit_json, failures_as_json, package_progress, say, show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infwasi_sign.domain.difference import Change, Container, Difference, Item

_SHOWN: Final = 20  # changes of one section as text; `--json` and `--html` tell all
_SHOWN_ON_PAGE: Final = 500
_DIFFERENT: Final = 1
_PAGE_MODE: Final = 0o644
_TITLES: Final = {
    "declared": "Declared facts",
    "setting": "Settings",
    "component": "Component",
    "metadata": "Metadata of the model",
    "tensor": "Tensors",
    "tool": "Tools that made it",
    "layout": "Bytes between the parts",
    "release": "Release",
}


@click.command(name="diff")
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
@click.option(
    "--html", "page", type=click.Path(path_type=Path), help="Write one HTML page to this file."
)
@click.option("--force", is_flag=True, help="Replace the page if it is there.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 if anything changed.")
def command(
    old: Path, new: Path, as_json: bool, page: Path | None, force: bool, exit_code: bool
) -> None:
    """Say what changed from OLD to NEW: two packages, two models or two components.

    \b
    Examples:
      infwasi diff dist/capital-1.0.0 dist/capital-1.1.0
      infwasi diff old.gguf new.gguf --json | jq .summary
      infwasi diff dist/capital-1.0.0 dist/capital-1.1.0 --html changes.html

    Models are measured tensor by tensor. Nothing is verified: `infwasi verify` decides.
    """
    from infwasi_sign.adapters.measuring import measure_bytes
    from infwasi_sign.adapters.package_directory import DirectoryStore
    from infwasi_sign.adapters.target_access import measure_open_model, open_target_file
    from infwasi_sign.cli.confining import confinement_of
    from infwasi_sign.cli.delivery import require_no_package, require_outside
    from infwasi_sign.describe import package_document
    from infwasi_sign.difference import difference
    from infwasi_sign.targets import Access

    with failures_as_json(as_json), package_progress() as progress:
        for side in (old, new):
            if page is not None and side.is_dir():
                require_outside(page, side)  # in a package every file is signed
        if page is not None:
            require_no_package(page)
        confinement = confinement_of(output=page)

        def begin(total_bytes: int) -> None:
            progress.begin_bytes(total_bytes, f"{old.name} and {new.name}")
            confinement.before_measuring()

        found = difference(
            (old, new),
            Access(
                store=DirectoryStore(),
                open_file=open_target_file,
                measure_model=measure_open_model,
                on_opened=begin,
                progress=progress.update,
            ),
            lambda package: package_document(package, measure_bytes),
        )
        progress.end()
        for note in found.notes:
            say(f"note: {note}")
        if page is not None:
            _write_page(found, page, force)
        if as_json:
            emit_json(as_document(found))
        else:
            show(*_lines(found))
    if exit_code and found.changes:
        click.get_current_context().exit(_DIFFERENT)


def _write_page(found: "Difference", path: Path, force: bool) -> None:
    from infwasi_sign import __version__
    from infwasi_sign.adapters.atomic import write_atomic
    from infwasi_sign.adapters.html_page import render_page

    by_section: dict[str, list[Change]] = {}
    for change in found.changes:
        by_section.setdefault(str(change.section), []).append(change)
    data = render_page(
        "difference.html",
        found=found,
        files=list(_files(found)),
        notes=found.notes,
        sections=list(by_section.items()),
        titles=_TITLES,
        shown=_SHOWN_ON_PAGE,
        made_by=__version__,
    )
    write_atomic(path, data, _PAGE_MODE, overwrite=force)
    say(f"wrote {path}: not verified, only compared")


def as_document(found: "Difference") -> dict[str, object]:
    """The difference as JSON: the same facts as the text, and all of them."""
    return {
        "type": "difference",
        "verdict": "not-verified",
        "old": found.old.title,
        "new": found.new.title,
        "kind": found.old.kind,
        "summary": found.summary,
        "notes": list(found.notes),
        "files": [
            {"name": name, "old": _container(before), "new": _container(after)}
            for name, before, after in _files(found)
        ],
        "changes": [
            {
                "section": str(change.section),
                "name": change.name,
                "change": change.verb,
                "old": _item(change.old),
                "new": _item(change.new),
            }
            for change in found.changes
        ],
    }


def _files(
    found: "Difference",
) -> "Iterator[tuple[str, Container | None, Container | None]]":
    for before, after in found.containers:
        named = before or after
        if named is not None:
            yield named.name, before, after


def _container(container: "Container | None") -> dict[str, object] | None:
    if container is None:
        return None
    return {"digest": container.digest, "size": container.size_bytes}


def _item(item: "Item | None") -> dict[str, object] | None:
    if item is None:
        return None
    return {"digest": item.digest, "size": item.size_bytes, "value": item.value}


def _lines(found: "Difference") -> "Iterator[str]":
    yield f"changed: {found.summary}"
    for name, before, after in _files(found):
        yield f"file {name}: {_size_and_digest(before)} -> {_size_and_digest(after)}"
    shown: dict[str, int] = {}
    for change in found.changes:
        count = shown[change.section] = shown.get(change.section, 0) + 1
        if count <= _SHOWN:
            yield from _change_lines(change)
    for section, count in shown.items():
        if count > _SHOWN:
            yield f"{section}: {count - _SHOWN:,} more; --json tells all"


def _change_lines(change: "Change") -> "Iterator[str]":
    yield f"{change.section} {change.name}: {change.verb}"
    for sign, item in (("-", change.old), ("+", change.new)):
        if item is not None:
            size = "" if item.size_bytes is None else f"  {item.size_bytes:,} bytes"
            yield f"  {sign} {item.value}{size}  {item.digest}"
    yield from (f"    {line}" for line in change.text_lines())


def _size_and_digest(container: "Container | None") -> str:
    return "none" if container is None else f"{container.size_bytes:,} bytes {container.digest}"
