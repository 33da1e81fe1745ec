"""What one page tells of a BOM, of infwasi or of other tools; `data/html/bom.html` lays it out."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Final

from infwasi_sign.domain.bom_node import Node, document_node, licences_of
from infwasi_sign.domain.bom_page_app import (
    capabilities,
    interfaces,
    reach_tile,
    services,
    settings,
    tells_capabilities,
    vulnerability_row,
    vulnerability_tile,
)
from infwasi_sign.domain.bom_page_data import DATA, datasets
from infwasi_sign.domain.bom_page_elements import element_lists
from infwasi_sign.domain.bom_page_fields import (
    AUTHORS,
    SECURITY_FIELDS,
    SUBJECT_FIELDS,
    shown_facts,
)
from infwasi_sign.domain.bom_page_gaps import find_gaps
from infwasi_sign.domain.bom_page_model import MODEL, model_summary, model_view
from infwasi_sign.domain.bom_page_tree import (
    count_components,
    file_row,
    licence_rows,
    tree_rows,
    walk,
)
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.origin import ORIGIN_PREFIX, Origin
from infwasi_sign.domain.page_parts import (
    Capability,
    DatasetView,
    ElementList,
    Fact,
    FileRow,
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
)
from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.quick_dataclass import dataclass

PROFILE: Final = "infwasi:bom:profile"
_FILES: Final = 8  # beside the identity of what is described; the tree has all
_MODELS: Final = 64  # shown in full; the tree has all


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
    elements: tuple[ElementList, ...]
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
    found = list(walk(chain(subject.nodes("components"), document.nodes("components"))))
    count = count_components(subject.members.get("components"), document.members.get("components"))
    everything = [subject, *(node for node, _ in found)] if subject else [n for n, _ in found]
    models = [node for node in everything if node.text("type") == MODEL]
    apps = [node for node in everything if tells_capabilities(node)]
    told = [*everything, *islice(document.nodes("services"), LIMITS.html_items)]
    gaps = tuple(find_gaps(metadata, subject, models[:_MODELS], told))
    stated = document.members.get("vulnerabilities")
    stated_count = len(stated) if isinstance(stated, list) else 0
    vulnerabilities = list(islice(document.nodes("vulnerabilities"), LIMITS.html_components))
    rows = sorted(map(vulnerability_row, vulnerabilities), key=lambda row: row.mood == "good")
    names = {
        node.text("bom-ref") or "": node.text("name") or ""
        for node in everything
        if node.text("type") == DATA
    }
    is_ours = PROFILE in metadata.properties
    reach = capabilities(apps)
    gap_count = sum(len(one.gaps) for one in gaps)
    return BomPage(
        title=subject.text("name") or (models[0].text("name") if models else None) or "unnamed",
        version=subject.text("version") or "",
        kind=_kind(subject, apps),
        is_ours=is_ours,
        tiles=tuple(
            _tiles(
                count, models, reach, vulnerability_tile(vulnerabilities, stated_count), gap_count
            )
        ),
        origins=_origins([metadata, *told]),
        subject=(*shown_facts(SUBJECT_FIELDS, subject), *shown_facts((AUTHORS,), metadata)),
        files=tuple(islice(_files(document), _FILES)),
        security=tuple(shown_facts(SECURITY_FIELDS, subject)),
        capabilities=reach,
        interfaces=tuple(interfaces(apps)),
        settings=tuple(settings(apps)),
        models=tuple(model_view(node, at, names) for at, node in enumerate(models[:_MODELS])),
        more_models=max(0, len(models) - _MODELS),
        rows=tree_rows(found),
        component_count=count,
        datasets=tuple(islice(datasets(everything), LIMITS.html_items)),
        services=tuple(islice(services(document), LIMITS.html_items)),
        licences=licence_rows(everything),
        vulnerabilities=tuple(rows[: LIMITS.html_items]),
        more_vulnerabilities=max(0, stated_count - LIMITS.html_items),
        gaps=gaps,
        gap_count=gap_count,
        elements=tuple(element_lists(document.members, is_ours=is_ours)),
        document=tuple(_document_facts(document, metadata)),
        oddities=tuple(oddities.places),
        oddity_count=oddities.count,
    )


def _files(document: Node) -> Iterator[FileRow]:
    for node in islice(document.nodes("components"), LIMITS.html_components):
        if node.text("type") in {"file", MODEL}:
            yield file_row(node)


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


def _tiles(
    components: int,
    models: Sequence[Node],
    reach: Sequence[Capability],
    vulnerabilities: Tile,
    gap_count: int,
) -> Iterator[Tile]:
    """The answers for somebody in a hurry."""
    if models:
        more = f" and {len(models) - 1} more" if len(models) > 1 else ""
        name = (models[0].text("name") or "unnamed") + more
        yield Tile(label="Model", value=name, note=model_summary(models[0]))
        licences = sorted({one for node in models for one in licences_of(node)})
        yield Tile(
            label="Licence of the model",
            value=", ".join(licences[:3]) or "unknown",
            mood="" if licences else "bad",
        )
    else:
        yield Tile(label="Components", value=f"{components:,}")
    if reach:
        yield reach_tile(reach)
    yield vulnerabilities
    yield Tile(
        label="Not said",
        value=f"{gap_count} fact{'s' if gap_count > 1 else ''}" if gap_count else "nothing",
        note="listed below, with what to add" if gap_count else "",
    )


def _origins(nodes: Iterable[Node]) -> tuple[Share, ...]:
    """How many facts come from where, by the tags of all components."""
    counts = Counter(
        value
        for node in nodes
        for name, value in node.properties.items()
        if name.startswith(ORIGIN_PREFIX)
    )
    return shares((str(origin), counts[str(origin)], "") for origin in Origin)


def _document_facts(document: Node, metadata: Node) -> Iterator[Fact]:
    version = document.text("specVersion") or "of an unknown version"
    yield fact("Format", f"CycloneDX {version}", Show.NAME)
    yield fact("Serial number", document.text("serialNumber"), Show.CODE)
    yield fact("Version of the document", document.text("version"), Show.NAME)
    yield fact("Made", metadata.text("timestamp"), Show.NAME, origin=metadata.origin("timestamp"))
    phases = (one.text("phase") or one.text("name") or "" for one in metadata.nodes("lifecycles"))
    yield fact("Phase", phases, Show.NAME)
    if profile := metadata.properties.get(PROFILE):
        yield fact("Profile of infwasi", profile, Show.NAME)
    yield fact("Made with", _tools(metadata), Show.NAME)
    for one in islice(document.nodes("externalReferences"), LIMITS.html_items):
        if address := one.text("url"):
            yield fact(f"Reference: {one.text('type') or 'other'}", address, Show.LINK)


def _tools(metadata: Node) -> Iterator[str]:
    """Tools by name and version, as an object (1.5 and later) or as a list (before)."""
    tools = metadata.members.get("tools")
    if isinstance(tools, list):
        found: Iterator[Node] = metadata.nodes("tools")
    else:
        inner = metadata.node("tools")
        found = chain(inner.nodes("components"), inner.nodes("services"))
    for tool in found:
        yield f"{tool.text('name') or 'unnamed'} {tool.text('version') or ''}".strip()
