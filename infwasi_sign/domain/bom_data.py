"""Data sets in the BOM: those that a model's file names, and those that the developer declares."""

from collections.abc import Iterable, Mapping
from typing import Final

from infwasi_sign.domain.bom_parts import (
    Tagged,
    as_url,
    as_version,
    first_said,
    organization,
    people,
    reference,
)
from infwasi_sign.domain.declared import DeclaredDataset
from infwasi_sign.domain.gguf_general import DatasetFacts
from infwasi_sign.domain.licenses import is_said, spdx_expression, spdx_id
from infwasi_sign.domain.origin import Origin
from infwasi_sign.domain.strict_json import JsonValue

DATASET_FIELDS: Final = (
    "classification",
    "contents",
    "derived-from",
    "description",
    "hashes",
    "identifier",
    "licenses",
    "name",
    "provenance",
    "purpose",
    "sensitiveData",
    "statistics",
)
"""What the profile knows about a data set; a model without any has a tag `dataset.<field>`."""

_NOBODY: Final = DatasetFacts()


def license_choice(word: str | None, url: str | None = None) -> JsonValue:
    """The member `licenses` for a word, an expression or a name, or nothing."""
    if word is None or not is_said(word):
        return None
    expression = spdx_expression(word)
    if expression is not None:
        return [{"expression": expression}]
    known = spdx_id(word)
    found: dict[str, JsonValue] = {"name": word.strip()} if known is None else {"id": known}
    if url is not None:
        found["url"] = url
    return [{"license": found}]


def dataset_components(
    by_files: Iterable[DatasetFacts], declared: Iterable[DeclaredDataset]
) -> tuple[list[dict[str, JsonValue]], Mapping[str, str]]:
    """Components `dataset:<n>`, and the references of those that files name, by name.

    What a file names comes first; the developer can say more about it under the same name.
    """
    said: dict[str, tuple[DatasetFacts, DeclaredDataset | None]] = {}
    for facts in by_files:
        name = dataset_name(facts)
        if name is not None:
            said.setdefault(name, (facts, None))
    for dataset in declared:
        facts, _ = said.get(dataset.name, (_NOBODY, None))
        said[dataset.name] = (facts, dataset)
    components = [
        _dataset(f"dataset:{index}", name, facts, more)
        for index, (name, (facts, more)) in enumerate(said.items())
    ]
    return components, {name: f"dataset:{index}" for index, name in enumerate(said)}


def dataset_name(facts: DatasetFacts) -> str | None:
    """What a data set of a file is called, by its name or its address."""
    return facts.name or facts.repo_url or facts.url or facts.doi or facts.uuid


def _dataset(
    ref: str, name: str, facts: DatasetFacts, declared: DeclaredDataset | None
) -> dict[str, JsonValue]:
    more = declared or DeclaredDataset(name=name)
    by_file = facts is not _NOBODY
    component = Tagged(bom_ref=ref, type="data", name=name)
    component.tag("name", Origin.FILE_DECLARED if by_file else Origin.USER_DECLARED)
    description, origin = first_said(facts.description, more.description)
    component.member("description", description, origin)
    url, url_origin = first_said(as_url(facts.url) or as_url(facts.repo_url), as_url(more.url))
    component.tag("contents", url_origin if url else Origin.UNKNOWN)
    identifier, origin = first_said(facts.doi or facts.uuid, more.identifier)
    component.property("dataset:identifier", identifier, origin)
    component.member("licenses", license_choice(more.license), Origin.USER_DECLARED)
    sha256: JsonValue = more.sha256 and [{"alg": "SHA-256", "content": more.sha256}]
    component.member("hashes", sha256, Origin.USER_DECLARED)
    for field, value in (
        ("derived-from", ", ".join(more.derived_from)),
        ("provenance", more.provenance),
        ("purpose", more.purpose),
        ("statistics", more.statistics),
    ):
        component.property(f"dataset:{field}", value, Origin.USER_DECLARED)
    component.tag("classification", _by_user(more.classification))
    component.tag("sensitiveData", _by_user(more.sensitive))
    _add_maker(component, facts)
    data: dict[str, JsonValue] = {"type": "dataset", "name": name}
    if description:
        data["description"] = description
    if url is not None:
        data["contents"] = {"url": url}
    if more.classification:
        data["classification"] = more.classification
    if more.sensitive:
        data["sensitiveData"] = list(more.sensitive)
    component.tree["data"] = [data]
    return component.finished()


def _add_maker(component: Tagged, facts: DatasetFacts) -> None:
    """What only a file says about a data set."""
    component.member("version", as_version(facts.version), Origin.FILE_DECLARED)
    component.member("manufacturer", organization(facts.organization), Origin.FILE_DECLARED)
    for member, value in (
        ("authors", people([facts.author or ""])),
        ("externalReferences", reference("vcs", as_url(facts.repo_url))),
    ):
        if value:
            component.member(member, value, Origin.FILE_DECLARED)


def _by_user(value: object) -> Origin:
    return Origin.USER_DECLARED if value else Origin.UNKNOWN
