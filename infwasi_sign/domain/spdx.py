"""A CycloneDX BOM as an SPDX 3.0.1 document with the AI and Dataset profiles.

A pure function: equal BOMs give equal documents. Whatever SPDX has no place for is kept as a
property in SPDX's extension for CycloneDX, origins among it, or as an annotation. docs/ml-bom.md
has the table of places.
"""

from collections.abc import Iterator
from typing import Final

from infwasi_sign.domain import strict_json
from infwasi_sign.domain.bom_node import Node, document_node
from infwasi_sign.domain.spdx_graph import (
    CREATION,
    NO_ASSERTION,
    Element,
    Graph,
    agent,
    properties,
    utc_time,
)
from infwasi_sign.domain.spdx_model import dataset, missing_demands, model
from infwasi_sign.domain.spdx_software import file, package, references, relate_licenses
from infwasi_sign.domain.spdx_vex import add_vulnerability
from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.errors import MalformedError

SPDX_VERSION: Final = "3.0.1"
CONTEXT: Final = f"https://spdx.org/rdf/{SPDX_VERSION}/spdx-context.jsonld"
_SBOM_TYPES: Final = {  # phases of CycloneDX's lifecycles
    "design": "design",
    "pre-build": "source",
    "build": "build",
    "post-build": "analyzed",
    "operations": "deployed",
    "discovery": "analyzed",
}
_MODEL: Final = "ai_AIPackage"
_DATASET: Final = "dataset_DatasetPackage"
_PROFILES: Final = {_MODEL: "ai", _DATASET: "dataset"}
_TESTING: Final = frozenset({"validation"})  # purposes of data that a model was tested on


def spdx_document(bom: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The document for a CycloneDX BOM of any tool.

    Raises:
        MalformedError: it is not CycloneDX, or lacks what SPDX cannot do without: a serial number,
            a time, or what it is about.
    """
    document, _ = document_node(bom)
    serial, created = document.text("serialNumber"), document.node("metadata").text("timestamp")
    moment = utc_time(created)
    if serial is None or not serial.startswith("urn:uuid:"):
        raise MalformedError("a BOM without a serial number", where="bom.serialNumber", got=serial)
    if moment is None:
        raise MalformedError(
            "a BOM that does not say when it was made", where="bom.metadata.timestamp", got=created
        )
    if not document.node("metadata").node("component"):
        raise MalformedError("a BOM about nothing", where="bom.metadata.component")
    return _Export(document, Graph(serial)).document(moment)


class _Export:
    def __init__(self, document: Node, graph: Graph) -> None:
        self._document = document
        self._metadata = document.node("metadata")
        self._subject = self._metadata.node("component")
        self._graph = graph
        self._profiles = {"core": True, "software": True, "simpleLicensing": True}
        self._nodes: list[tuple[str, Node]] = []

    def document(self, created: str) -> dict[str, JsonValue]:
        """All of it."""
        creation = self._creation(created)
        root = self._component(self._subject)
        tops = [self._component(node) for node in self._document.nodes("components")]
        self._graph.relate(root, "contains", tops)
        for node in self._document.nodes("services"):
            self._service(node)
        self._relationships()
        for node in self._document.nodes("vulnerabilities"):
            self._profiles["security"] = True
            add_vulnerability(self._graph, node)
        return {"@context": CONTEXT, "@graph": [creation, *self._collections(root)]}

    def _creation(self, created: str) -> Element:
        """Who made the BOM; where no person is named, the tool did, which SPDX calls an agent."""
        tools = list(self._metadata.node("tools").nodes("components"))
        named = [(one.text("name") or "unnamed", one.text("version")) for one in tools]
        authors = [
            agent(self._graph, one, is_person=True) for one in self._metadata.nodes("authors")
        ]
        makers = [one for one in authors if one is not None]
        if not makers:
            name = named[0][0] if named else "infwasi"
            makers = [
                self._graph.add("SoftwareAgent", self._graph.identifier("agent", name), name=name)
            ]
        used: list[JsonValue] = [
            self._graph.add(
                "Tool",
                self._graph.identifier("tool", f"{name} {version or ''}".strip()),
                name=f"{name} {version or ''}".strip(),
            )
            for name, version in named
        ]
        creation: Element = {
            "type": "CreationInfo",
            "@id": CREATION,
            "specVersion": SPDX_VERSION,
            "created": created,
            "createdBy": [*dict.fromkeys(makers)],
        }
        if used:
            creation["createdUsing"] = [*dict.fromkeys(map(str, used))]
        return creation

    def _component(self, node: Node) -> str:
        """An element for a component, with all that is nested in it."""
        ref = node.text("bom-ref") or node.where
        spdx_type, members = self._class_of(node)
        identifier = self._graph.identifier("component", ref)
        self._graph.add(spdx_type, identifier, **members)
        self._graph.refs.setdefault(ref, identifier)
        self._nodes.append((identifier, node))
        relate_licenses(self._graph, identifier, node)
        if spdx_type in _PROFILES:
            self._judge(spdx_type, identifier, members)
        for name in ("modelCard", "data"):
            if value := node.members.get(name):
                self._graph.annotate(
                    identifier, name, "application/json", strict_json.canonical(value).decode()
                )
        inner = [self._component(one) for one in node.nodes("components")]
        self._graph.relate(identifier, "contains", inner)
        return identifier

    def _class_of(self, node: Node) -> tuple[str, Element]:
        match node.text("type"):
            case "machine-learning-model":
                return _MODEL, model(self._graph, node, self._subject)
            case "data":
                return _DATASET, dataset(self._graph, node)
            case "file":
                return "software_File", file(self._graph, node)
            case _:
                return "software_Package", package(self._graph, node)

    def _judge(self, spdx_type: str, identifier: str, members: Element) -> None:
        """A profile is claimed only if all that it demands is there; what is not is annotated."""
        profile = _PROFILES[spdx_type]
        missing = missing_demands(spdx_type, members)
        self._profiles[profile] = self._profiles.get(profile, True) and not missing
        if missing:
            statement = f"unknown, and demanded by the profile {profile}: {', '.join(missing)}"
            self._graph.annotate(identifier, "unknown", "text/plain", statement)

    def _service(self, node: Node) -> None:
        ref = node.text("bom-ref") or node.where
        identifier = self._graph.identifier("service", ref)
        self._graph.add("software_Package", identifier, **package(self._graph, node))
        self._graph.refs.setdefault(ref, identifier)
        if value := node.members.get("data"):
            text = strict_json.canonical(value).decode()
            self._graph.annotate(identifier, "data", "application/json", text)

    def _relationships(self) -> None:
        refs = self._graph.refs
        for edge in self._document.nodes("dependencies"):
            source = refs.get(edge.text("ref") or "")
            if source is not None:
                targets = [refs[ref] for ref in edge.texts("dependsOn") if ref in refs]
                self._graph.relate(source, "dependsOn", targets)
        purposes = {
            identifier: node.properties.get("infwasi:dataset:purpose")
            for identifier, node in self._nodes
        }
        for identifier, node in list(self._nodes):
            if node.text("type") == "machine-learning-model":
                self._training(identifier, node, purposes)
                self._lineage(identifier, node)

    def _training(self, identifier: str, node: Node, purposes: dict[str, str | None]) -> None:
        parameters = node.node("modelCard").node("modelParameters")
        named = [one.text("ref") for one in parameters.nodes("datasets")]
        known = [self._graph.refs[ref] for ref in named if ref in self._graph.refs]
        tested = [one for one in known if purposes.get(one) in _TESTING]
        trained = [one for one in known if one not in tested]
        if trained:
            self._graph.relate(identifier, "trainedOn", trained)
        else:
            self._graph.relate(identifier, "trainedOn", [NO_ASSERTION], completeness="noAssertion")
        self._graph.relate(identifier, "testedOn", tested)

    def _lineage(self, identifier: str, node: Node) -> None:
        ancestors = list(node.node("pedigree").nodes("ancestors"))
        self._graph.relate(identifier, "descendantOf", [self._component(one) for one in ancestors])

    def _collections(self, root: str) -> Iterator[JsonValue]:
        """The document and the BOM in it, before all that they hold."""
        profiles = [name for name, holds in self._profiles.items() if holds]
        phases = [one.text("phase") or "" for one in self._metadata.nodes("lifecycles")]
        name = " ".join(filter(None, (self._subject.text("name"), self._subject.text("version"))))
        elements = self._graph.elements
        held = self._graph.identifiers
        # NOTE: the profile `extension` is not claimed: the context of 3.0.1 has one word for it and
        # for the property, so that a reader of JSON-LD takes the one for the other.
        conformance: list[JsonValue] = [*sorted(profiles)]
        wrapped = Graph(self._graph.identifier("", "").partition("#")[0])
        sbom = wrapped.add(
            "software_Sbom",
            wrapped.identifier("document", "sbom"),
            name=name,
            software_sbomType=[*dict.fromkeys(_SBOM_TYPES[p] for p in phases if p in _SBOM_TYPES)],
            profileConformance=conformance,
            rootElement=[root],
            element=held,
        )
        wrapped.add(
            "SpdxDocument",
            wrapped.identifier("document", "spdx"),
            name=name,
            profileConformance=conformance,
            rootElement=[sbom],
            element=[sbom, *held],
            externalRef=references(self._document),
            extension=properties(self._metadata),
        )
        yield from wrapped.elements
        yield from elements
