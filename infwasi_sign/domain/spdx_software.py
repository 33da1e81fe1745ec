"""Components of CycloneDX as software of SPDX: what identifies them, their licences and makers."""

import re
from collections.abc import Iterator
from typing import Final

from infwasi_sign.domain.bom_node import Node, hashes_of
from infwasi_sign.domain.licenses import spdx_expression, spdx_id
from infwasi_sign.domain.spdx_graph import (
    NO_ASSERTION_LICENSE,
    Element,
    Graph,
    agent,
    dictionary,
    properties,
    utc_time,
)
from infwasi_sign.domain.strict_json import JsonValue

_PURPOSES: Final = {  # CycloneDX's component types as SPDX's SoftwarePurpose
    **{
        word: word
        for word in (
            *("application", "container", "data", "device", "file", "firmware", "framework"),
            *("library", "platform"),
        )
    },
    "operating-system": "operatingSystem",
    "device-driver": "deviceDriver",
    "machine-learning-model": "model",
}
_ALGORITHMS: Final = {
    "MD5": "md5",
    "SHA-1": "sha1",
    "SHA-256": "sha256",
    "SHA-384": "sha384",
    "SHA-512": "sha512",
    "SHA3-256": "sha3_256",
    "SHA3-384": "sha3_384",
    "SHA3-512": "sha3_512",
    "BLAKE2b-256": "blake2b256",
    "BLAKE2b-384": "blake2b384",
    "BLAKE2b-512": "blake2b512",
    "BLAKE3": "blake3",
}
_REFERENCES: Final = {  # CycloneDX's types of external references as SPDX's
    "vcs": "vcs",
    "issue-tracker": "issueTracker",
    "website": "altWebPage",
    "advisories": "securityAdvisory",
    "mailing-list": "mailingList",
    "social": "socialMedia",
    "chat": "chat",
    "documentation": "documentation",
    "support": "support",
    "source-distribution": "sourceArtifact",
    "distribution": "binaryArtifact",
    "license": "license",
    "build-meta": "buildMeta",
    "build-system": "buildSystem",
    "release-notes": "releaseNotes",
    "security-contact": "securityOther",
    "attestation": "secureSoftwareAttestation",
    "threat-model": "securityThreatModel",
    "vulnerability-assertion": "vulnerabilityDisclosureReport",
    "exploitability-statement": "vulnerabilityExploitabilityAssessment",
    "pentest-report": "securityPenTestReport",
    "certification-report": "certificationReport",
    "static-analysis-report": "staticAnalysisReport",
    "risk-assessment": "riskAssessment",
    "quality-metrics": "qualityAssessmentReport",
    "evidence": "other",
}
_MIME: Final = re.compile(r"[^/]+/[^/]+")
_NOT_IN_AN_ID: Final = re.compile(r"[^A-Za-z0-9.-]+")  # SPDX 3.0.1 annex B, idstring
_RELEASED: Final = "infwasi:model:released"


def purpose(node: Node) -> str:
    """What a component is for, in SPDX's word."""
    if node.properties.get("infwasi:wasm:kind") == "core-module":
        return "module"
    return _PURPOSES.get(node.text("type") or "", "other")


def artifact(graph: Graph, node: Node) -> Element:
    """The members that files and packages share."""
    makers = [agent(graph, one, is_person=True) for one in node.nodes("authors")]
    publisher = node.text("publisher")
    if publisher is not None:
        makers.append(graph.add("Agent", graph.identifier("publisher", publisher), name=publisher))
    supplier = agent(graph, node.node("supplier"), is_person=False) or agent(
        graph, node.node("manufacturer"), is_person=False
    )
    return {
        "name": node.text("name"),
        "description": node.text("description"),
        "software_primaryPurpose": purpose(node),
        "software_copyrightText": node.text("copyright"),
        "verifiedUsing": hashes(node),
        "suppliedBy": supplier,
        "originatedBy": [maker for maker in makers if maker is not None],
        "releaseTime": utc_time(node.properties.get(_RELEASED)),
        "externalIdentifier": list(_identifiers(node)),
        "externalRef": references(node),
        "extension": properties(node),
    }


def package(graph: Graph, node: Node) -> Element:
    """Those of a package."""
    addresses = {one.text("type"): one.text("url") for one in node.nodes("externalReferences")}
    download = addresses.get("distribution") or addresses.get("vcs")
    return artifact(graph, node) | {
        "software_packageVersion": node.text("version"),
        "software_packageUrl": node.text("purl"),
        "software_homePage": _address(addresses.get("website")),
        "software_downloadLocation": _address(download),
    }


def file(graph: Graph, node: Node) -> Element:
    """Those of a file."""
    mime = node.text("mime-type") or ""
    return artifact(graph, node) | {
        "software_fileKind": "file",
        "contentType": mime if _MIME.fullmatch(mime) else None,
    }


def hashes(node: Node) -> list[JsonValue]:
    """Digests; one of an algorithm that SPDX does not know keeps its name."""
    return [
        {
            "type": "Hash",
            "algorithm": _ALGORITHMS.get(name, "other"),
            "hashValue": value,
            **({} if name in _ALGORITHMS else {"comment": name}),
        }
        for name, value in hashes_of(node)
        if value
    ]


def references(node: Node) -> list[JsonValue]:
    """Addresses that lead to more about a component."""
    found: list[JsonValue] = []
    for one in node.nodes("externalReferences"):
        kind, address = one.text("type"), one.text("url")
        if address is None:
            continue
        word = _REFERENCES.get(kind or "", "other")
        entry: dict[str, JsonValue] = {
            "type": "ExternalRef",
            "externalRefType": word,
            "locator": [address],
        }
        if word == "other" and kind:
            entry["comment"] = kind
        found.append(entry)
    return found


def license_element(graph: Graph, choice: Node) -> str | None:
    """The licence of one entry; a name that is no id of SPDX's list becomes a LicenseRef."""
    licence = choice.node("license")
    word = choice.text("expression") or licence.text("id") or licence.text("name")
    if word is None:
        return None
    known = choice.text("expression") and (spdx_expression(word) or word)
    known = known or licence.text("id") or spdx_id(word)
    identifier = graph.identifier("license", word)
    if known is not None:
        return graph.add(
            "simplelicensing_LicenseExpression",
            identifier,
            simplelicensing_licenseExpression=known,
        )
    reference = f"LicenseRef-{_NOT_IN_AN_ID.sub('-', word).strip('-') or 'unnamed'}"
    address = licence.text("url")
    return graph.add(
        "simplelicensing_LicenseExpression",
        identifier,
        name=word,
        simplelicensing_licenseExpression=reference,
        simplelicensing_customIdToUri=dictionary({reference: address}) if address else None,
    )


def relate_licenses(graph: Graph, identifier: str, node: Node) -> None:
    """Declared licences, or in so many words that nobody asserts one."""
    found = [license_element(graph, choice) for choice in node.nodes("licenses")]
    known = [one for one in found if one is not None]
    graph.relate(identifier, "hasDeclaredLicense", known or [NO_ASSERTION_LICENSE])


def _identifiers(node: Node) -> Iterator[JsonValue]:
    cpe = node.text("cpe")
    for kind, value in (
        ("packageUrl", node.text("purl")),
        ("cpe22" if cpe and cpe.startswith("cpe:/") else "cpe23", cpe),
        ("other", node.properties.get("infwasi:dataset:identifier")),
    ):
        if value:
            yield {
                "type": "ExternalIdentifier",
                "externalIdentifierType": kind,
                "identifier": value,
            }


def _address(text: str | None) -> str | None:
    return text if text and ":" in text and not re.search(r"[\s<>\"{}|\\^`]", text) else None
