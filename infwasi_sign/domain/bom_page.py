"""What one page tells of a BOM, of infwasi or of other tools; `data/html/bom.html` lays it out."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from infwasi_sign.domain.bom_node import Node, document_node, hashes_of, licences_of
from infwasi_sign.domain.bom_page_fields import (
    AUTHORS,
    DATASET_GAPS,
    MODEL_GROUPS,
    SECURITY_FIELDS,
    SUBJECT_FIELDS,
    Field,
    shown_facts,
)
from infwasi_sign.domain.bom_page_model import MODEL, datasets, model_summary, model_view
from infwasi_sign.domain.bom_page_tree import licence_rows, tree_rows, walk
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.origin import ORIGIN_PREFIX, Origin
from infwasi_sign.domain.page_parts import (
    Capability,
    DatasetView,
    Fact,
    FileRow,
    Gap,
    Gaps,
    LicenceRow,
    ModelView,
    Row,
    Share,
    Show,
    Tile,
    VulnerabilityRow,
    fact,
    shares,
    whole_number,
)
from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.quick_dataclass import dataclass

PROFILE: Final = "infwasi:bom:profile"
_CAPABILITIES: Final = (
    ("network", "Network"),
    ("filesystem", "File system"),
    ("environment", "Environment variables"),
    ("clocks", "Clocks"),
    ("random", "Random numbers"),
    ("inference", "Inference"),
)
_HARMLESS: Final = frozenset({"inference"})  # what an app of ours is there for
_FILES: Final = 8  # beside the identity of what is described; the tree has all
_MODELS: Final = 64  # shown in full; the tree has all
_SETTINGS: Final = "infwasi:settings:"
# CycloneDX 1.7, `impactAnalysisState`; what is open or exploitable is nothing good.
_MOODS: Final = {
    "exploitable": "bad",
    "in_triage": "bad",
    "": "bad",
    "resolved": "good",
    "resolved_with_pedigree": "good",
    "not_affected": "good",
    "false_positive": "good",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class BomPage:
    """Everything on the page. Empty where the BOM has nothing of the kind."""

    title: str
    version: str
    kind: str
    is_ours: bool
    tiles: tuple[Tile, ...]
    origins: tuple[Share, ...]
    subject: tuple[Fact, ...]
    files: tuple[FileRow, ...]
    security: tuple[Fact, ...]
    capabilities: tuple[Capability, ...]
    interfaces: tuple[Fact, ...]
    settings: tuple[Fact, ...]
    models: tuple[ModelView, ...]
    more_models: int
    rows: tuple[Row, ...]
    component_count: int
    datasets: tuple[DatasetView, ...]
    services: tuple[DatasetView, ...]
    licences: tuple[LicenceRow, ...]
    vulnerabilities: tuple[VulnerabilityRow, ...]
    more_vulnerabilities: int
    gaps: tuple[Gaps, ...]
    gap_count: int
    document: tuple[Fact, ...]
    oddities: tuple[str, ...]
    oddity_count: int


def bom_page(value: JsonValue) -> BomPage:
    """The page of a CycloneDX document.

    Raises:
        MalformedError: it is not CycloneDX.
    """
    document, oddities = document_node(value)
    metadata = document.node("metadata")
    subject = metadata.node("component")
    found = list(walk([*subject.nodes("components"), *document.nodes("components")]))
    everything = [subject, *(node for node, _ in found)] if subject else [n for n, _ in found]
    models = [node for node in everything if node.text("type") == MODEL]
    apps = [node for node in everything if _tells_capabilities(node)]
    gaps = tuple(_gaps(metadata, subject, models))
    vulnerabilities = list(document.nodes("vulnerabilities"))
    page = _Page(everything, models, apps, vulnerabilities)
    return BomPage(
        title=subject.text("name") or (models[0].text("name") if models else None) or "unnamed",
        version=subject.text("version") or "",
        kind=_kind(subject, apps),
        is_ours=PROFILE in metadata.properties,
        tiles=tuple(page.tiles(sum(len(one.gaps) for one in gaps))),
        origins=_origins([metadata, *everything, *document.nodes("services")]),
        subject=tuple(shown_facts((*SUBJECT_FIELDS, AUTHORS), _with_authors(subject, metadata))),
        files=tuple(map(_file, islice(document.nodes("components"), _FILES))),
        security=tuple(shown_facts(SECURITY_FIELDS, subject)),
        capabilities=page.capabilities(),
        interfaces=tuple(_interfaces(apps)),
        settings=tuple(_settings(apps)),
        models=tuple(model_view(node, at) for at, node in enumerate(models[:_MODELS])),
        more_models=max(0, len(models) - _MODELS),
        rows=tree_rows(found),
        component_count=len(found),
        datasets=tuple(islice(datasets(everything), LIMITS.html_items)),
        services=tuple(_services(document)),
        licences=licence_rows(everything),
        vulnerabilities=tuple(map(_vulnerability, vulnerabilities[: LIMITS.html_items])),
        more_vulnerabilities=max(0, len(vulnerabilities) - LIMITS.html_items),
        gaps=gaps,
        gap_count=sum(len(one.gaps) for one in gaps),
        document=tuple(_document_facts(document, metadata)),
        oddities=tuple(oddities.places),
        oddity_count=oddities.count,
    )


def _file(node: Node) -> FileRow:
    digests = hashes_of(node)
    return FileRow(
        name=node.text("bom-ref") or node.text("name") or "unnamed",
        size_bytes=whole_number(node.properties.get("infwasi:size")),
        digest=f"{digests[0][0]} {digests[0][1]}" if digests else "",
    )


def _tells_capabilities(node: Node) -> bool:
    return any(f"infwasi:capability:{name}" in node.properties for name, _ in _CAPABILITIES)


def _with_authors(subject: Node, metadata: Node) -> Node:
    """The subject as if its authors were those of the BOM, which stand beside it in `metadata`."""
    tag = {"name": f"{ORIGIN_PREFIX}authors", "value": str(metadata.origin("authors") or "")}
    own = subject.members.get("properties")
    properties: list[JsonValue] = [tag, *(own if isinstance(own, list) else [])]
    members = {**subject.members, "properties": properties}
    members["authors"] = metadata.members.get("authors")
    return Node(members, subject.where, subject.oddities)


def _kind(subject: Node, apps: Sequence[Node]) -> str:
    match subject.text("type"):
        case "machine-learning-model":
            return "Model"
        case "application":
            return "App" if apps else "Application"
        case None:
            return "Bill of materials"
        case other:
            return "WebAssembly component" if subject in apps else other.capitalize()


class _Page:
    """What several sections are made of."""

    def __init__(
        self,
        components: Sequence[Node],
        models: Sequence[Node],
        apps: Sequence[Node],
        vulnerabilities: Sequence[Node],
    ) -> None:
        self._components = components
        self._models = models
        self._apps = apps
        self._vulnerabilities = vulnerabilities

    def capabilities(self) -> tuple[Capability, ...]:
        """What all apps together can reach; nothing where no component tells."""
        if not self._apps:
            return ()
        return tuple(
            Capability(name=name, label=label, by=self._given(name))
            for name, label in _CAPABILITIES
        )

    def _given(self, name: str) -> tuple[str, ...] | None:
        told = [app.properties.get(f"infwasi:capability:{name}") for app in self._apps]
        if None in told:
            return None
        by = [word for text in told for word in (text or "").split() if word != "none"]
        return tuple(sorted(set(by))[: LIMITS.html_items])

    def tiles(self, gap_count: int) -> Iterator[Tile]:
        """The answers for somebody in a hurry."""
        if self._models:
            first = self._models[0]
            more = f" and {len(self._models) - 1} more" if len(self._models) > 1 else ""
            yield Tile(
                label="Model",
                value=(first.text("name") or "unnamed") + more,
                note=model_summary(first),
            )
        licences = sorted({one for node in self._models for one in licences_of(node)})
        if self._models:
            yield Tile(
                label="Licence of the model",
                value=", ".join(licences[:3]) or "unknown",
                mood="" if licences else "bad",
            )
        if reach := self.capabilities():
            yield _reach_tile(reach)
        yield self._vulnerability_tile()
        yield Tile(
            label="Not said",
            value=f"{gap_count} facts" if gap_count else "nothing",
            note="listed below, with what to add" if gap_count else "",
        )

    def _vulnerability_tile(self) -> Tile:
        states = Counter(_state(one) for one in self._vulnerabilities)
        if not states:
            return Tile(label="Vulnerabilities", value="none stated", note="which proves nothing")
        is_bad = any(_MOODS.get(state, "bad") == "bad" for state in states)
        return Tile(
            label="Vulnerabilities",
            value=f"{sum(states.values())} stated",
            note=", ".join(f"{n} {_words(state)}" for state, n in states.most_common(4)),
            mood="bad" if is_bad else "good",
        )


def _reach_tile(reach: Sequence[Capability]) -> Tile:
    risky = [one for one in reach if one.name not in _HARMLESS]
    given = [one.label.lower() for one in risky if one.by]
    untold = [one.label.lower() for one in risky if one.by is None]
    none = [one.label.lower() for one in risky if one.by == ()]
    note = f"can reach: {', '.join(given)}" if given else "only inference" if not untold else ""
    if untold:
        note += f"{'; ' if note else ''}not said: {', '.join(untold)}"
    value = ", ".join(f"no {label}" for label in none[:2]) or "see below"
    is_good = not given and not untold
    return Tile(label="Can reach", value=value, note=note, mood="good" if is_good else "")


def _origins(nodes: Iterable[Node]) -> tuple[Share, ...]:
    """How many facts come from where, by the tags of all components."""
    counts = Counter(
        value
        for node in nodes
        for name, value in node.properties.items()
        if name.startswith(ORIGIN_PREFIX)
    )
    return shares((str(origin), counts[str(origin)], "") for origin in Origin)


def _interfaces(apps: Iterable[Node]) -> Iterator[Fact]:
    for app in apps:
        for name, label in (
            ("component:imports", "Imports"),
            ("component:exports", "Exports"),
            ("host:requires", "Needs of its host"),
        ):
            value = app.properties.get(f"infwasi:{name}")
            if value is not None:
                yield fact(label, value.split() or "none", Show.CODE, origin=app.origin(name))


def _settings(apps: Iterable[Node]) -> Iterator[Fact]:
    for app in apps:
        for name, value in sorted(app.properties.items()):
            if name.startswith(_SETTINGS):
                short = name.removeprefix(_SETTINGS)
                label = short.replace(":", ": ").replace("-", " ").replace("sha256", "SHA-256")
                show = Show.CODE if short.endswith("sha256") else Show.NAME
                origin = app.origin(f"settings:{short}")
                yield fact(label[:1].upper() + label[1:], value, show, origin=origin)


def _services(document: Node) -> Iterator[DatasetView]:
    for service in islice(document.nodes("services"), LIMITS.html_items):
        flows = [
            f"{one.text('name') or 'data'}: {one.text('flow') or 'flow not said'}, "
            f"classified {one.text('classification') or 'unknown'}"
            for one in service.nodes("data")
        ]
        facts = (
            fact("Version", service.text("version"), Show.NAME, origin=service.origin("version")),
            fact("Description", service.text("description")),
            fact("Endpoints", service.texts("endpoints"), Show.LINK),
            fact("Data", flows, origin=service.origin("data.flow")),
        )
        name = service.text("name") or "unnamed service"
        yield DatasetView(name=name, facts=tuple(one for one in facts if one.values))


def _state(node: Node) -> str:
    return node.node("analysis").text("state") or ""


def _words(state: str) -> str:
    return state.replace("_", " ") or "not analysed"


def _vulnerability(node: Node) -> VulnerabilityRow:
    analysis = node.node("analysis")
    severities = [rating.text("severity") for rating in node.nodes("ratings")]
    facts = (
        fact("Description", node.text("description")),
        fact("Detail", analysis.text("detail")),
        fact("Justification", (analysis.text("justification") or "").replace("_", " ") or None),
        fact("Response", [_words(text) for text in analysis.texts("response")]),
        fact("What to do", node.text("recommendation")),
        fact("Source", node.node("source").text("name"), Show.NAME),
        fact("Address", node.node("source").text("url"), Show.LINK),
    )
    state = _state(node)
    return VulnerabilityRow(
        identifier=node.text("id") or "without a number",
        state=_words(state),
        mood=_MOODS.get(state, "bad"),
        severity=", ".join(sorted({one for one in severities if one})),
        affects=tuple(one.text("ref") or "" for one in islice(node.nodes("affects"), 12)),
        facts=tuple(one for one in facts if one.values),
    )


def _gaps(metadata: Node, subject: Node, models: Sequence[Node]) -> Iterator[Gaps]:
    """What is tagged unknown; of a BOM without tags, what a reader would look for and not find."""
    groups: list[tuple[str, Node, Iterable[Field]]] = []
    if metadata:
        groups.append(("This document", metadata, (AUTHORS,)))
    if subject and subject not in models:
        groups.append((subject.text("name") or "App", subject, (*SUBJECT_FIELDS, *SECURITY_FIELDS)))
    fields = [field for _, group in MODEL_GROUPS for field in group]
    groups += [(node.text("name") or "Model", node, fields) for node in models[:_MODELS]]
    for title, node, known in groups:
        if found := tuple(_gaps_of(node, known)):
            yield Gaps(subject=title, gaps=found)


def _gaps_of(node: Node, fields: Iterable[Field]) -> Iterator[Gap]:
    labels = {field.member: (field.label, field.key or "") for field in fields} | DATASET_GAPS
    has_tags = any(name.startswith(ORIGIN_PREFIX) for name in node.properties)
    if has_tags:
        for name, value in node.properties.items():
            member = name.removeprefix(ORIGIN_PREFIX)
            if member != name and value == Origin.UNKNOWN:
                label, key = labels.get(member, (member, ""))
                yield Gap(label=label, key=key, is_stated=True)
        return
    for field in fields:
        if ":" not in field.member and not any(field.read(node)):
            yield Gap(label=field.label, key=field.member, is_stated=False)


def _document_facts(document: Node, metadata: Node) -> Iterator[Fact]:
    version = document.text("specVersion") or "of an unknown version"
    yield fact("Format", f"CycloneDX {version}", Show.NAME)
    yield fact("Serial number", document.text("serialNumber"), Show.CODE)
    yield fact("Version of the document", document.text("version"), Show.NAME)
    yield fact("Made", metadata.text("timestamp"), Show.NAME, origin=metadata.origin("timestamp"))
    phases = [one.text("phase") or one.text("name") or "" for one in metadata.nodes("lifecycles")]
    yield fact("Phase", phases, Show.NAME)
    if profile := metadata.properties.get(PROFILE):
        yield fact("Profile of infwasi", profile, Show.NAME)
    yield fact("Made with", list(_tools(metadata)), Show.NAME)
    for one in islice(document.nodes("externalReferences"), LIMITS.html_items):
        if address := one.text("url"):
            yield fact(f"Reference: {one.text('type') or 'other'}", address, Show.LINK)


def _tools(metadata: Node) -> Iterator[str]:
    """Tools by name and version, as an object (1.5 and later) or as a list (before)."""
    tools = metadata.members.get("tools")
    if isinstance(tools, list):
        found = metadata.nodes("tools")
    else:
        inner = metadata.node("tools")
        found = iter([*inner.nodes("components"), *inner.nodes("services")])
    for tool in found:
        yield f"{tool.text('name') or 'unnamed'} {tool.text('version') or ''}".strip()
