"""Takes the bill of materials of a package apart: what bytes cannot say, and by which tools.

All else in it follows from what `snapshot` compares, if the bill follows from the package at all.
"""

import json
from collections.abc import Iterator
from typing import Final

from infwasi_sign.domain.bom_document import BomDocument, read_bom
from infwasi_sign.domain.declared_codec import declared_tree
from infwasi_sign.domain.declared_keys import ARRAYS
from infwasi_sign.domain.difference import Container, Item, Section
from infwasi_sign.domain.manifest import BOM_FILE
from infwasi_sign.domain.snapshot_items import sha256_of, text_item
from infwasi_sign.domain.strict_json import JsonValue, canonical
from infwasi_sign.errors import InfwasiError, MalformedError, UndecidedError
from infwasi_sign.quick_dataclass import dataclass

_DOUBT: Final = 300  # characters of it in a note
_EVERYTHING: Final = frozenset(Section)
# What a model says in the bill follows from these, where the model itself lies elsewhere.
_OF_MODEL: Final = frozenset({Section.DECLARED, Section.LAYOUT})


@dataclass(frozen=True, kw_only=True, slots=True)
class BomParts:
    """A bill of materials, and what was said when it was derived again, if that failed."""

    data: bytes
    doubt: InfwasiError | None


def bom_items(bom: BomParts) -> Iterator[Item]:
    """Declared facts by their keys in `model-card.toml`, rows by what names them; and tools."""
    try:
        document = read_bom(bom.data)
        tree = declared_tree(document.declared())
    except MalformedError:
        return  # `bom_notes` says why
    yield from _table_items("", {name: tree[name] for name in tree if name not in ARRAYS})
    for name in ARRAYS:
        rows = tree.get(name, [])
        for index, row in enumerate(rows if isinstance(rows, list) else ()):
            if isinstance(row, dict):
                label = row.get("name") or row.get("id") or index + 1
                text = "\n".join(f"{key} = {_text(value)}" for key, value in row.items())
                yield text_item(Section.DECLARED, f"{name} {label}", text)
    for name, version in document.tools:
        yield text_item(Section.TOOL, name, version)


def bom_containers(bom: BomParts) -> Iterator[Container]:
    """The whole file, which is told for itself unless it follows from what is told.

    Of a package whose model lies elsewhere that is not known: what it says of the model is compared
    as well.
    """
    is_explained = bom.doubt is None or isinstance(bom.doubt, UndecidedError)
    yield Container(
        name=BOM_FILE,
        digest=sha256_of(bom.data),
        size_bytes=len(bom.data),
        sections=_EVERYTHING if is_explained else frozenset(),
        rest="that follow from nothing else here",
    )
    if isinstance(bom.doubt, UndecidedError):
        try:
            said = canonical(_models(read_bom(bom.data)))
        except MalformedError:
            return
        yield Container(
            name=f"{BOM_FILE} about models",
            digest=sha256_of(said),
            size_bytes=len(said),
            sections=_OF_MODEL,
            rest="that are not explained",
        )


def bom_notes(title: str, bom: BomParts) -> list[str]:
    """Why the file is not known to follow from the package."""
    if bom.doubt is None:
        return []
    doubt = " ".join(str(bom.doubt).split())[:_DOUBT]
    if isinstance(bom.doubt, UndecidedError):
        return [f"{BOM_FILE} of {title} was not derived again: {doubt}"]
    return [f"{BOM_FILE} of {title} does not follow from the package: {doubt}"]


def _models(document: BomDocument) -> list[JsonValue]:
    return [one.tree for one in document.of_type("machine-learning-model")]


def _table_items(prefix: str, table: dict[str, JsonValue]) -> Iterator[Item]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _table_items(f"{prefix}{name}.", value)
        else:
            yield text_item(Section.DECLARED, f"{prefix}{name}", _text(value))


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
