"""What the tables of elements ask of a document that no path can say; `@hash` asks `_hashes`."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from infwasi_sign.domain.declared import is_security_metric
from infwasi_sign.domain.minimum_elements_view import (
    BomView,
    Found,
    State,
    Subject,
    look,
    objects,
    value_of,
)
from infwasi_sign.domain.strict_json import JsonValue

# Approved for digital signatures: FIPS 180-4 and FIPS 202. The enumeration of CycloneDX also has
# MD5 and SHA-1, which are broken, and BLAKE2 and BLAKE3, which NIST has not approved.
APPROVED_HASHES: Final = {
    "SHA-256": 64,
    "SHA-384": 96,
    "SHA-512": 128,
    "SHA3-256": 64,
    "SHA3-384": 96,
    "SHA3-512": 128,
}
_HEX: Final = re.compile(r"[0-9a-fA-F]+")

_SOFTWARE: Final = frozenset({"framework", "platform", "operating-system", "container"})
_HARDWARE: Final = frozenset({"device"})

Question = Callable[[BomView, Subject], Iterator[Found]]


def answers(view: BomView, subject: Subject, place: str) -> Iterator[Found]:
    """What a document says at a place of any kind."""
    question = QUESTIONS.get(place)
    return look(view, subject, place) if question is None else question(view, subject)


def _hashes(_: BomView, subject: Subject) -> Iterator[Found]:
    """Digests that are well-formed and of an approved algorithm, of it or of a file within it."""
    for algorithm, content, where in _pairs(subject):
        length = APPROVED_HASHES.get(algorithm)
        if length == len(content) and _HEX.fullmatch(content):
            yield from value_of(f"{algorithm} {content}", f"{where}.content")
        elif length is not None:
            yield from _unknown_only(content, f"{where}.content")


def _hash_algorithms(_: BomView, subject: Subject) -> Iterator[Found]:
    for algorithm, content, where in _pairs(subject):
        if algorithm in APPROVED_HASHES and content:
            yield from value_of(algorithm, f"{where}.alg")


def _pairs(subject: Subject) -> Iterator[tuple[str, str, str]]:
    """Algorithm, content and place of each hash: its own first, then of files and downloads."""
    places: list[tuple[Mapping[str, JsonValue], str]] = [(subject.tree, subject.path)]
    nested = subject.at("components")
    places += [
        one
        for one in objects(subject.tree.get("components"), nested)
        if one[0].get("type") == "file"
    ]
    references = subject.at("externalReferences")
    places += [
        one
        for one in objects(subject.tree.get("externalReferences"), references)
        if one[0].get("type") == "distribution"
    ]
    for tree, path in places:
        for item, where in objects(tree.get("hashes"), f"{path}.hashes"):
            algorithm, content = item.get("alg"), item.get("content")
            if isinstance(algorithm, str) and isinstance(content, str):
                yield algorithm, content.strip(), where


def _unknown_only(text: str, where: str) -> Iterator[Found]:
    return (one for one in value_of(text, where) if one.state is State.UNKNOWN)


def _signature(view: BomView, _: Subject) -> Iterator[Found]:
    """A JSON signature (JSF) in the document, with algorithm and value; it is not verified."""
    signature = view.document.tree.get("signature")
    if not isinstance(signature, dict):
        return
    several = [
        one
        for name in ("signers", "chain")
        for one in objects(signature.get(name), f"signature.{name}")
    ]
    for tree, path in [(signature, "signature"), *several]:
        algorithm, value = tree.get("algorithm"), tree.get("value")
        if isinstance(value, str) and value.strip() and isinstance(algorithm, str):
            yield from value_of(algorithm, f"{path}.algorithm")


def _listed(view: BomView, _: Subject) -> Iterator[Found]:
    """Components beside the one that is described."""
    count = sum(one.path != view.system.path for one in view.components)
    if count:
        word = "component" if count == 1 else "components"
        yield Found(state=State.VALUE, where="components", what=f"{count} {word}")


def _dependencies(view: BomView, _: Subject) -> Iterator[Found]:
    """Edges between components that exist; a component that is said to need nothing is one, too."""
    edges = ends = 0
    for item, _path in objects(view.document.tree.get("dependencies"), "dependencies"):
        ref = item.get("ref")
        if not isinstance(ref, str) or ref not in view.refs:
            continue
        ends += 1
        needed = item.get("dependsOn")
        for one in needed if isinstance(needed, list) else ():
            edges += isinstance(one, str) and one in view.refs
    if ends:
        what = f"{edges} edges of {ends} components"
        yield Found(state=State.VALUE, where="dependencies", what=what)


def _aggregates(view: BomView, _: Subject) -> Iterator[Found]:
    """What the document says of its own completeness."""
    for item, path in objects(view.document.tree.get("compositions"), "compositions"):
        aggregate = item.get("aggregate")
        if isinstance(aggregate, str) and aggregate in {"unknown", "not_specified"}:
            yield Found(state=State.UNKNOWN, where=f"{path}.aggregate", what=aggregate)


def _needed_dataset(view: BomView, subject: Subject) -> Iterator[Found]:
    """A card or an edge that names this dataset; one that stands within a card is named by it."""
    if ".modelCard." in subject.path:
        yield Found(state=State.VALUE, where=subject.path, what="within the model card")
        return
    if subject.ref is not None and (where := view.needed.get(subject.ref)):
        yield from value_of(subject.ref, where)


def _metrics(*, of_security: bool) -> Question:
    def ask(_: BomView, subject: Subject) -> Iterator[Found]:
        tree: JsonValue = dict(subject.tree)
        path = subject.path
        for name in ("modelCard", "quantitativeAnalysis"):
            tree = tree.get(name) if isinstance(tree, dict) else None
            path += f".{name}"
        metrics = tree.get("performanceMetrics") if isinstance(tree, dict) else None
        for item, where in objects(metrics, f"{path}.performanceMetrics"):
            kind, value = item.get("type"), item.get("value")
            if not isinstance(kind, str) or is_security_metric(kind) != of_security:
                continue
            for found in value_of(value, f"{where}.value"):
                yield Found(state=found.state, where=found.where, what=f"{kind[:40]} {found.what}")

    return ask


def _of_types(types: frozenset[str]) -> Question:
    def ask(view: BomView, _: Subject) -> Iterator[Found]:
        for one in view.components:
            if one.type in types:
                yield from value_of(one.tree.get("name"), one.at("name"))

    return ask


QUESTIONS: Final[Mapping[str, Question]] = {
    "@hash": _hashes,
    "@hash-algorithm": _hash_algorithms,
    "@signature": _signature,
    "@components": _listed,
    "@dependencies": _dependencies,
    "@aggregates": _aggregates,
    "@dataset-dependency": _needed_dataset,
    "@security-metric": _metrics(of_security=True),
    "@other-metric": _metrics(of_security=False),
    "@software": _of_types(_SOFTWARE),
    "@hardware": _of_types(_HARDWARE),
}
