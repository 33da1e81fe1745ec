"""The datasets of a BOM as a page shows them, whether they are components or stand in a card."""

from collections.abc import Iterable, Iterator
from typing import Final

from infwasi_sign.domain.bom_node import Node, hashes_of, licences_of, name_of
from infwasi_sign.domain.bom_page_fields import Field, property_of, shown_facts
from infwasi_sign.domain.page_parts import DatasetView, Fact, Show, fact

DATA: Final = "data"
_MODEL: Final = "machine-learning-model"
_WORDS: Final = (
    ("identifier", "Identifier", "identifier"),
    ("provenance", "Where it comes from", "provenance"),
    ("statistics", "Statistics", "statistics"),
    ("derived-from", "Derived from", "derived-from"),
    ("purpose", "What it was for", "purpose"),
)


def _inner(node: Node) -> Node:
    """The data that a component of type data is; a dataset in a card is that itself."""
    return next(node.nodes("data"), node)


def _description(node: Node) -> Iterator[str]:
    yield node.text("description") or _inner(node).text("description") or ""


def _address(node: Node) -> Iterator[str]:
    yield _inner(node).node("contents").text("url") or ""


def _classification(node: Node) -> Iterator[str]:
    yield _inner(node).text("classification") or ""


def _sensitive(node: Node) -> Iterable[str]:
    return _inner(node).texts("sensitiveData")


def _digests(node: Node) -> Iterator[str]:
    return (f"{algorithm}: {digest}" for algorithm, digest in hashes_of(node))


def _field(member: str, label: str, key: str, show: Show, read: object = None) -> Field:
    reader = property_of(member) if read is None else read
    assert callable(reader)  # noqa: S101 - one of the functions above
    return Field(member=member, label=label, read=reader, show=show, key=f"{key} in [[dataset]]")


DATASET_FIELDS: Final = (
    _field("description", "Description", "description", Show.PROSE, _description),
    _field("contents", "Where to find it", "url", Show.LINK, _address),
    _field("licenses", "Licence", "license", Show.NAME, licences_of),
    _field("hashes", "Digests", "sha256", Show.CODE, _digests),
    _field("classification", "Classification", "classification", Show.NAME, _classification),
    _field("sensitiveData", "Sensitive data", "sensitive", Show.PROSE, _sensitive),
    *(_field(f"dataset:{name}", label, key, Show.PROSE) for name, label, key in _WORDS),
)

DATASET_GAPS: Final = {
    "dataset.name": ("Dataset: name", "name in [[dataset]]"),
    **{
        f"dataset.{field.member.removeprefix('dataset:')}": (
            f"Dataset: {field.label.lower()}",
            field.key or "",
        )
        for field in DATASET_FIELDS
    },
}
"""What is tagged on a model whose datasets nobody named, and the key for each."""


def datasets(components: Iterable[Node]) -> Iterator[DatasetView]:
    """The datasets of a BOM: components of type data, and those that stand in a model card."""
    for component in components:
        if component.text("type") == DATA:
            yield _view(component)
        elif component.text("type") == _MODEL:
            parameters = component.node("modelCard").node("modelParameters")
            for dataset in parameters.nodes("datasets"):
                if dataset.text("ref") is None:
                    yield _view(dataset)


def _view(node: Node) -> DatasetView:
    name = node.text("name") or _inner(node).text("name") or "unnamed dataset"
    return DatasetView(name=name, facts=(*_maker(node), *shown_facts(DATASET_FIELDS, node)))


def _maker(node: Node) -> Iterator[Fact]:
    """Who made it or keeps it, as far as anybody says; it is nobody's duty to."""
    if version := node.text("version"):
        yield fact("Version", version, Show.NAME, origin=node.origin("version"))
    if maker := name_of(node.node("manufacturer")):
        yield fact("Producer", maker, Show.NAME, origin=node.origin("manufacturer"))
    governance = _inner(node).node("governance")
    owners = [
        one.node("organization").text("name") or one.node("contact").text("name") or ""
        for role in ("owners", "stewards", "custodians")
        for one in governance.nodes(role)
    ]
    if any(owners):
        yield fact("Owned or kept by", [name for name in owners if name], Show.NAME)
