"""Statements about vulnerabilities as SPDX's Security profile has them."""

from collections.abc import Mapping
from typing import Final

from infwasi_sign.domain.bom_node import Node
from infwasi_sign.domain.spdx_graph import Graph
from infwasi_sign.domain.strict_json import JsonValue

_STATES: Final[Mapping[str, tuple[str, str]]] = {  # CycloneDX's state: class and relationship
    "not_affected": ("security_VexNotAffectedVulnAssessmentRelationship", "doesNotAffect"),
    "false_positive": ("security_VexNotAffectedVulnAssessmentRelationship", "doesNotAffect"),
    "exploitable": ("security_VexAffectedVulnAssessmentRelationship", "affects"),
    "resolved": ("security_VexFixedVulnAssessmentRelationship", "fixedIn"),
    "resolved_with_pedigree": ("security_VexFixedVulnAssessmentRelationship", "fixedIn"),
    "in_triage": (
        "security_VexUnderInvestigationVulnAssessmentRelationship",
        "underInvestigationFor",
    ),
}
_JUSTIFICATIONS: Final = {
    "code_not_present": "vulnerableCodeNotPresent",
    "code_not_reachable": "vulnerableCodeNotInExecutePath",
    "requires_configuration": "vulnerableCodeCannotBeControlledByAdversary",
    "requires_dependency": "componentNotPresent",
    "requires_environment": "vulnerableCodeCannotBeControlledByAdversary",
    "protected_by_compiler": "inlineMitigationsAlreadyExist",
    "protected_at_runtime": "inlineMitigationsAlreadyExist",
    "protected_at_perimeter": "inlineMitigationsAlreadyExist",
    "protected_by_mitigating_control": "inlineMitigationsAlreadyExist",
}
_NOT_AFFECTED: Final = "doesNotAffect"
_AFFECTED: Final = "affects"


def add_vulnerability(graph: Graph, node: Node) -> None:
    """A vulnerability, and what is said of it for each component that is in the BOM."""
    name = node.text("id")
    if name is None:
        return
    kind = "cve" if name.startswith("CVE-") else "securityOther"
    vulnerability = graph.add(
        "security_Vulnerability",
        graph.identifier("vulnerability", name),
        name=name,
        description=node.text("description"),
        externalIdentifier=[
            {"type": "ExternalIdentifier", "externalIdentifierType": kind, "identifier": name}
        ],
    )
    analysis = node.node("analysis")
    state, detail = analysis.text("state") or "", analysis.text("detail")
    refs = [one.text("ref") for one in node.nodes("affects")]
    affected = [graph.refs[ref] for ref in refs if ref is not None and ref in graph.refs]
    if state not in _STATES:
        graph.relate(vulnerability, "hasAssessmentFor", affected)
        return
    spdx_type, relation = _STATES[state]
    members: dict[str, JsonValue] = {"security_statusNotes": detail}
    if relation == _NOT_AFFECTED:
        word = analysis.text("justification") or ""
        members["security_justificationType"] = _JUSTIFICATIONS.get(word)
        members["security_impactStatement"] = f"CycloneDX: {state} {word}".strip()
    elif relation == _AFFECTED:  # what to do is demanded, and nobody may have said it
        members["security_actionStatement"] = node.text("recommendation") or "NOASSERTION"
    graph.relate(vulnerability, relation, affected, spdx_type=spdx_type, **members)
