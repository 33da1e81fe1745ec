"""The 50 elements of the G7's "SBOM for AI": those of the document and the system, 27 of them.

Source: G7 Cybersecurity Working Group, "Software Bill of Materials for Artificial Intelligence -
Minimum Elements", published by BSI on 2026-05-12. Names are as in its clusters, numbers as in the
vocabulary of openregtech/sbom (docs/req/g7ai/g7ai.ttl); the places are ours. The paper says of
itself that it is not mandatory.
"""

from typing import Final

from infwasi_sign.domain.minimum_elements import Baseline, Each, Element
from infwasi_sign.domain.minimum_elements_g7_model import DATASETS, MODELS

_MAKES: Final = "`infwasi pack` and `infwasi bom` write it"


def _card(table: str, key: str, value: str = '"..."') -> str:
    return f"model-card.toml: {table} {key} = {value}"


_METADATA: Final = (
    Element(
        id="MD-01",
        group="Metadata",
        title="SBOM author",
        each=Each.DOCUMENT,
        places=(
            "metadata.authors[].name",
            "metadata.authors[].email",
            "metadata.manufacturer.name",
            "?authors",
        ),
        key=_card("[bom]", "author"),
        member="metadata.authors[].name",
    ),
    Element(
        id="MD-02",
        group="Metadata",
        title="SBOM version",
        each=Each.DOCUMENT,
        places=("serialNumber",),
        key=_MAKES,
        member="serialNumber (a UUID; version counts its revisions)",
    ),
    Element(
        id="MD-03",
        group="Metadata",
        title="SBOM data format name",
        each=Each.DOCUMENT,
        places=("bomFormat",),
        key=_MAKES,
        member="bomFormat",
    ),
    Element(
        id="MD-04",
        group="Metadata",
        title="SBOM data format version",
        each=Each.DOCUMENT,
        places=("specVersion",),
        key=_MAKES,
        member="specVersion",
    ),
    Element(
        id="MD-05",
        group="Metadata",
        title="SBOM author signature",
        each=Each.DOCUMENT,
        places=(
            "@signature",
            "externalReferences[type=digital-signature].url",
            "app externalReferences[type=digital-signature].url",
            "?signature",
            "?externalReferences",
        ),
        key="`infwasi pack --sign` signs it and refers to the signature",
        member="signature, or externalReferences[] of type digital-signature",
    ),
    Element(
        id="MD-06",
        group="Metadata",
        title="SBOM tool name",
        each=Each.TOOL,
        places=("name",),
        key=_MAKES,
        member="metadata.tools.components[].name",
    ),
    Element(
        id="MD-07",
        group="Metadata",
        title="SBOM tool version",
        each=Each.TOOL,
        places=("version", "?version"),
        key=_MAKES,
        member="metadata.tools.components[].version",
    ),
    Element(
        id="MD-08",
        group="Metadata",
        title="SBOM generation context",
        each=Each.DOCUMENT,
        places=("metadata.lifecycles[].phase", "metadata.lifecycles[].name", "?lifecycles"),
        key=_MAKES,
        member="metadata.lifecycles[].phase",
    ),
    Element(
        id="MD-09",
        group="Metadata",
        title="SBOM timestamp",
        each=Each.DOCUMENT,
        places=("metadata.timestamp",),
        key=_MAKES,
        member="metadata.timestamp",
    ),
    Element(
        id="MD-10",
        group="Metadata",
        title="SBOM dependency relationship",
        each=Each.DOCUMENT,
        places=("@dependencies", "@aggregates"),
        key=_MAKES,
        member="dependencies[] with refs that exist",
    ),
)

_SYSTEM: Final = (
    Element(
        id="SLP-01",
        group="System",
        title="System name",
        each=Each.SYSTEM,
        places=("name",),
        key=_MAKES,
        member="metadata.component.name",
    ),
    Element(
        id="SLP-02",
        group="System",
        title="System components",
        each=Each.DOCUMENT,
        places=("@components",),
        key=_MAKES,
        member="components[]",
    ),
    Element(
        id="SLP-03",
        group="System",
        title="System producer",
        each=Each.SYSTEM,
        places=(
            "manufacturer.name",
            "supplier.name",
            "authors[].name",
            "author",
            "publisher",
            "doc metadata.supplier.name",
            "doc metadata.manufacture.name",
            "?manufacturer",
        ),
        key=_card("[app]", "producer"),
        member="metadata.component.manufacturer.name",
    ),
    Element(
        id="SLP-04",
        group="System",
        title="System version",
        each=Each.SYSTEM,
        places=("version", "?version"),
        key="infwasi.toml: [package] version",
        member="metadata.component.version",
    ),
    Element(
        id="SLP-05",
        group="System",
        title="System timestamp",
        each=Each.SYSTEM,
        places=(
            "releaseNotes.timestamp",
            "#infwasi:app:timestamp",
            "#~timestamp|build-date|release-date",
            "?app:timestamp",
        ),
        key=_MAKES,
        member="metadata.component.releaseNotes.timestamp",
    ),
    Element(
        id="SLP-06",
        group="System",
        title="System data flow",
        each=Each.DOCUMENT,
        places=("services[].data[].flow", "services[].endpoints[]", "app ?app:data-flow"),
        key=_MAKES,
        member="services[].data[].flow",
    ),
    Element(
        id="SLP-07",
        group="System",
        title="System data usage",
        each=Each.DOCUMENT,
        places=(
            "services[].data[].classification",
            "app #~data-usage",
            "app ?app:data-usage",
        ),
        key=_card("[app]", "data-usage"),
        member="services[].data[].classification",
    ),
    Element(
        id="SLP-08",
        group="System",
        title="System input/output properties",
        each=Each.SYSTEM,
        places=(
            "modelCard.modelParameters.inputs[].format",
            "modelCard.modelParameters.outputs[].format",
            "model modelCard.modelParameters.inputs[].format",
            "model modelCard.modelParameters.outputs[].format",
            "model #cdx:ai-ml:model:modality",
            "part #infwasi:component:exports",
            "model #~modality|modalities",
            "?modelCard.modelParameters.inputs",
            "model ?modelCard.modelParameters.inputs",
        ),
        key=_card("[model]", "inputs", '["text"]'),
        member="components[].modelCard.modelParameters.inputs[].format",
    ),
    Element(
        id="SLP-09",
        group="System",
        title="Intended application area",
        each=Each.SYSTEM,
        places=(
            "modelCard.considerations.useCases[]",
            "#~area|application-area|domain|use-case|use-cases",
            "model modelCard.considerations.useCases[]",
            "?app:area",
            "model ?modelCard.considerations.useCases",
        ),
        key=_card("[app]", "area"),
        member="components[].modelCard.considerations.useCases[]",
    ),
)

_INFRASTRUCTURE: Final = (
    Element(
        id="INF-01",
        group="Infrastructure",
        title="Infrastructure software",
        each=Each.DOCUMENT,
        places=(
            "@software",
            "part #infwasi:host:requires",
            "app #~software|runtime|framework",
            "app ?infrastructure:software",
        ),
        key=_MAKES,
        member="components[] of type framework, platform, operating-system or container",
    ),
    Element(
        id="INF-02",
        group="Infrastructure",
        title="Infrastructure hardware",
        each=Each.DOCUMENT,
        places=(
            "@hardware",
            "app #~hardware",
            "part #~hardware",
            "app ?infrastructure:hardware",
        ),
        key=_card("[infrastructure]", "hardware"),
        member="components[] of type device",
    ),
)

_SECURITY: Final = (
    Element(
        id="SP-01",
        group="Security",
        title="Security controls",
        each=Each.DOCUMENT,
        places=(
            "declarations.claims[].predicate",
            "app #infwasi:security:controls*",
            "part #infwasi:capability:network",
            "part #infwasi:capability:filesystem",
            "part #~security-controls",
            "app ?security:controls",
        ),
        key=_card("[security]", "controls", '["..."]'),
        member="declarations.claims[].predicate",
    ),
    Element(
        id="SP-02",
        group="Security",
        title="Security compliance",
        each=Each.DOCUMENT,
        places=(
            "definitions.standards[].name",
            "declarations.attestations[].summary",
            "app externalReferences[type=certification-report|attestation].url",
            "externalReferences[type=certification-report|attestation].url",
            "app #~compliance",
            "app ?security:compliance",
        ),
        key=_card("[security]", "compliance"),
        member="definitions.standards[].name, or externalReferences[] of type certification-report",
    ),
    Element(
        id="SP-03",
        group="Security",
        title="Cybersecurity policy information",
        each=Each.DOCUMENT,
        places=(
            "app externalReferences[type=security-contact|rfc-9116].url",
            "externalReferences[type=security-contact|rfc-9116].url",
            "app #infwasi:security:contact",
            "app ?security:contact",
        ),
        key=_card("[security]", "contact"),
        member="metadata.component.externalReferences[] of type security-contact or rfc-9116",
    ),
    Element(
        id="SP-04",
        group="Security",
        title="Vulnerability referencing",
        each=Each.DOCUMENT,
        places=(
            "vulnerabilities[].id",
            "app externalReferences"
            "[type=advisories|exploitability-statement|vulnerability-assertion].url",
            "externalReferences"
            "[type=advisories|exploitability-statement|vulnerability-assertion].url",
            "app ?security:advisories",
            "?vulnerabilities",
        ),
        key=_card("[security]", "advisories") + ", or `--vex FILE`",
        member="vulnerabilities[], or externalReferences[] of type advisories",
    ),
)

_INDICATORS: Final = (
    Element(
        id="KPI-01",
        group="Indicators",
        title="Security metrics",
        each=Each.MODEL,
        places=(
            "@security-metric",
            "?modelCard.metrics.security",
            "?modelCard.quantitativeAnalysis.performanceMetrics",
        ),
        key=_card("[[metric]]", "type", '"jailbreak-resistance", value = "..."'),
        member="components[].modelCard.quantitativeAnalysis.performanceMetrics[] of security",
    ),
    Element(
        id="KPI-02",
        group="Indicators",
        title="Operational performance",
        each=Each.MODEL,
        places=(
            "@other-metric",
            "#infwasi:measure:*",
            "?modelCard.metrics.performance",
            "?modelCard.quantitativeAnalysis.performanceMetrics",
        ),
        key=_card("[[metric]]", "type", '"accuracy", value = "..."'),
        member="components[].modelCard.quantitativeAnalysis.performanceMetrics[]",
    ),
)

G7: Final = Baseline(
    name="G7",
    title="G7 SBOM for AI, minimum elements (2026-05-12)",
    source="G7 Cybersecurity Working Group, published by BSI; not mandatory by its own words",
    elements=(
        *(*_METADATA, *_SYSTEM, *MODELS, *DATASETS),
        *(*_INFRASTRUCTURE, *_SECURITY, *_INDICATORS),
    ),
)
