"""All components of a BOM as rows of a tree, in the order of the document, and their licences."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from infwasi_sign.domain.bom_node import Node, hashes_of, licences_of, name_of, words_of
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.origin import ORIGIN_PREFIX, Origin
from infwasi_sign.domain.page_parts import Fact, FileRow, LicenceRow, Row, Show, fact, whole_number
from infwasi_sign.domain.strict_json import JsonValue

_KINDS: Final = {
    "machine-learning-model": "model",
    "core-module": "core module",
    "operating-system": "operating system",
    "device-driver": "device driver",
    "cryptographic-asset": "cryptographic asset",
}
_TEXTS: Final = (
    ("description", "Description", Show.PROSE),
    ("mime-type", "Media type", Show.CODE),
    ("purl", "Package URL", Show.CODE),
    ("cpe", "CPE", Show.CODE),
    ("copyright", "Copyright", Show.PROSE),
    ("publisher", "Publisher", Show.NAME),
    ("scope", "Scope", Show.NAME),
)
_LISTS: Final = {
    "infwasi:wasm:imports": "Imports",
    "infwasi:wasm:exports": "Exports",
    "infwasi:component:imports": "Imports",
    "infwasi:component:exports": "Exports",
}
_NAMED: Final = {
    "infwasi:wasm:producers": "Made with",
    "infwasi:component:producers": "Made with",
}
_DIGESTS: Final = (":sha256", ":blake3")
_NOT_HERE: Final = (ORIGIN_PREFIX, "infwasi:size", "infwasi:wasm:kind")


def walk(roots: Iterable[Node]) -> Iterator[tuple[Node, int]]:
    """The components with their depth, each before those nested in it, as many as are shown."""
    waiting = [(iter(roots), 0)]
    for _ in range(LIMITS.html_components):
        while waiting and (node := next(waiting[-1][0], None)) is None:
            waiting.pop()
        if not waiting or node is None:
            return
        depth = waiting[-1][1]
        yield node, depth
        waiting.append((node.nodes("components"), depth + 1))


def count_components(*roots: JsonValue) -> int:
    """How many components there are in these lists, however many."""
    count = 0
    waiting = list(roots)
    while waiting:
        found = waiting.pop()
        if isinstance(found, list):
            objects = [one for one in found if isinstance(one, dict)]
            count += len(objects)
            waiting.extend(one["components"] for one in objects if "components" in one)
    return count


def tree_rows(components: Sequence[tuple[Node, int]]) -> tuple[Row, ...]:
    """The rows of components in the order of `walk`."""
    depths = [depth for _, depth in components] + [0]
    return tuple(
        _row(node, has_children=depths[at + 1] > depth, closes=max(0, depth - depths[at + 1]))
        for at, (node, depth) in enumerate(components)
    )


def _row(node: Node, *, has_children: bool, closes: int) -> Row:
    kind = node.properties.get("infwasi:wasm:kind") or node.text("type") or "component"
    digests = hashes_of(node)
    group, name = node.text("group"), node.text("name") or "unnamed"
    return Row(
        name=f"{group}/{name}" if group else name,
        version=node.text("version") or "",
        kind=_KINDS.get(kind, kind),
        ref=node.text("bom-ref") or "",
        size_bytes=whole_number(node.properties.get("infwasi:size")),
        digest=digests[0][1][:12] if digests else "",
        facts=tuple(_facts(node)),
        has_children=has_children,
        closes=closes,
    )


def _facts(node: Node) -> Iterator[Fact]:
    if reference := node.text("bom-ref"):
        yield fact("Reference", reference, Show.CODE)
    for algorithm, digest in hashes_of(node):
        yield fact(algorithm, digest, Show.CODE, origin=node.origin("hashes"))
    for name, label, show in _TEXTS:
        if value := node.text(name):
            yield fact(label, value, show, origin=node.origin(name))
    for name, label in (("supplier", "Supplier"), ("manufacturer", "Manufacturer")):
        if value := name_of(node.node(name)):
            yield fact(label, value, Show.NAME, origin=node.origin(name))
    if licences := licences_of(node):
        yield fact("Licence", licences, Show.NAME, origin=node.origin("licenses"))
    for link in islice(node.nodes("externalReferences"), LIMITS.html_items):
        if address := link.text("url"):
            yield fact(f"Reference: {link.text('type') or 'other'}", address, Show.LINK)
    yield from _property_facts(node)


def _property_facts(node: Node) -> Iterator[Fact]:
    """Every property that has no place of its own, so that nothing is hidden."""
    shown = [pair for pair in sorted(node.properties.items()) if not pair[0].startswith(_NOT_HERE)]
    for name, value in shown[: LIMITS.html_items]:
        origin = node.origin(name.removeprefix("infwasi:")) if "infwasi:" in name else None
        if name in _LISTS:
            yield fact(_LISTS[name], words_of(value) if value else "none", Show.CODE, origin=origin)
        else:
            show = Show.CODE if name.endswith(_DIGESTS) else Show.PROSE
            yield fact(_NAMED.get(name, name), value or "(empty)", show, origin=origin)
    if len(shown) > LIMITS.html_items:
        yield fact("More properties", f"{len(shown) - LIMITS.html_items:,} are not shown")


def licence_rows(components: Iterable[Node]) -> tuple[LicenceRow, ...]:
    """Each licence with its components; those of which none is said come last."""
    by_licence: dict[str, list[Node]] = {}
    for node in components:
        for licence in licences_of(node) or ("",):
            by_licence.setdefault(licence, []).append(node)
    rows = [
        LicenceRow(
            licence=licence,
            components=tuple(node.text("name") or "unnamed" for node in nodes[:_NAMES]),
            count=len(nodes),
            origins=tuple(sorted({o for node in nodes if (o := _licence_origin(node))})),
        )
        for licence, nodes in sorted(by_licence.items(), key=lambda pair: (not pair[0], pair[0]))
    ]
    return tuple(rows[: LIMITS.html_items])


_NAMES: Final = 12  # of the components under one licence; the tree has all


def _licence_origin(node: Node) -> Origin | None:
    return node.origin("licenses") if licences_of(node) else None


def file_row(node: Node) -> FileRow:
    """A component as a file that the subject is made of."""
    digests = hashes_of(node)
    return FileRow(
        name=node.text("name") or "unnamed",
        ref=node.text("bom-ref") or "",
        size_bytes=whole_number(node.properties.get("infwasi:size")),
        digest=f"{digests[0][0]} {digests[0][1]}" if digests else "",
        origin=node.origin("hashes") if digests else None,
    )
