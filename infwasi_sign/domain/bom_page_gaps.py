"""What a BOM does not say, and what to add for it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from infwasi_sign.domain.bom_node import Node
from infwasi_sign.domain.bom_page_data import DATA, DATASET_FIELDS, DATASET_GAPS
from infwasi_sign.domain.bom_page_fields import (
    AUTHORS,
    MODEL_GROUPS,
    SECURITY_FIELDS,
    SUBJECT_FIELDS,
    Field,
)
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.origin import OF_PARTS, ORIGIN_PREFIX, Origin
from infwasi_sign.domain.page_parts import Gap, Gaps

_ELSEWHERE: Final = {
    "signature": ("Signature of this BOM", ""),
    "data.classification": ("Classification of the data", "data-usage in [app]"),
    "modelCard.metrics.performance": ("Measured performance", "[[metric]]"),
    "modelCard.metrics.security": ("Measured security", "[[metric]]"),
}
_PART_FIELDS: Final = tuple(  # no key fills them: a card is about the app and its models
    replace(field, key=None) for field in SUBJECT_FIELDS
)
_OF_PARTS: Final = {
    OF_PARTS + field.member: (f"{field.label} of its parts", "") for field in SUBJECT_FIELDS
}
_MODEL_FIELDS: Final = tuple(field for _, group in MODEL_GROUPS for field in group)


def find_gaps(
    metadata: Node, subject: Node, models: Sequence[Node], others: Iterable[Node]
) -> Iterator[Gaps]:
    """What is tagged unknown; of a subject without tags, what a reader would look for.

    ``others`` are all components and services, those named before among them.
    """
    groups: list[tuple[str, Node, Iterable[Field]]] = []
    if metadata:
        groups.append(("This document", metadata, (AUTHORS,)))
    if subject and subject not in models:
        fields = (*SUBJECT_FIELDS, *SECURITY_FIELDS)
        groups.append((subject.text("name") or "App", subject, fields))
    of_the_whole = (*SUBJECT_FIELDS, *SECURITY_FIELDS)  # what a model alone is tagged with, too
    groups += [
        (
            node.text("name") or "Model",
            node,
            (*of_the_whole, *_MODEL_FIELDS) if node is subject else _MODEL_FIELDS,
        )
        for node in models
    ]
    for title, node, known in groups:
        if found := tuple(_gaps_of(node, known)):
            yield Gaps(subject=title, gaps=found)
    told = {id(node) for _, node, _ in groups}
    for node in others:
        is_data = node.text("type") == DATA
        known = (*_PART_FIELDS, *DATASET_FIELDS) if is_data else _PART_FIELDS
        if id(node) not in told and (found := tuple(_tagged(node, known))):
            yield Gaps(subject=node.text("name") or "unnamed", gaps=found)


def _gaps_of(node: Node, fields: Iterable[Field]) -> Iterator[Gap]:
    if any(name.startswith(ORIGIN_PREFIX) for name in node.properties):
        yield from _tagged(node, fields)
        return
    for field in fields:
        if ":" not in field.member and not any(field.read(node)):
            yield Gap(label=field.label, key=field.member)


def _tagged(node: Node, fields: Iterable[Field]) -> Iterator[Gap]:
    labels = {field.member: (field.label, field.key or "") for field in fields}
    labels |= DATASET_GAPS | _ELSEWHERE | _OF_PARTS
    unknown = [name for name, value in node.properties.items() if value == Origin.UNKNOWN]
    members = (name.removeprefix(ORIGIN_PREFIX) for name in unknown if ORIGIN_PREFIX in name)
    order = {member: at for at, member in enumerate(labels)}
    in_order = sorted(members, key=lambda one: (order.get(one, len(order)), one))
    for member in in_order[: LIMITS.html_items]:
        label, key = labels.get(member, (member.replace("gguf:", "Header: "), ""))
        yield Gap(label=label, key=key)
