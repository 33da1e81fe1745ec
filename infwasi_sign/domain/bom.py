"""The ML-BOM as a function: equal inputs give equal bytes, and verification computes them again.

sbom/README.md describes the document, ADR 22 why it is made so. No member of it comes from
anywhere but `BomInputs`: of those, all is measured but ``declared`` and ``tools``.
"""

import hashlib
from typing import Final

from infwasi_sign.domain import strict_json
from infwasi_sign.domain.bom_data import dataset_components
from infwasi_sign.domain.bom_document import SPEC_VERSION, BomComponent, BomDocument, read_bom
from infwasi_sign.domain.bom_inputs import BomInputs, ModelSubject, WasmSubject
from infwasi_sign.domain.bom_model import model_component
from infwasi_sign.domain.bom_parts import reference
from infwasi_sign.domain.bom_subject import (
    SERVICE_REF,
    TIMESTAMP_PROPERTY,
    add_lone_facts,
    add_producer,
    add_system_facts,
    app_component,
    inference_service,
    metadata,
    vulnerabilities,
)
from infwasi_sign.domain.bom_wasm import wasm_component
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import MANIFEST_FILE
from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError

__all__ = [
    "BomComponent",
    "BomDocument",
    "BomInputs",
    "ModelSubject",
    "WasmSubject",
    "bom_bytes",
    "derive_bom",
    "read_bom",
    "retimed",
    "serial_number",
]

# The serial number names a BOM by its content: same content, same number (RFC 9562 section 5.5).
_NAMESPACE: Final = bytes.fromhex("5c3b6b0e6a5e5d0a9a536f7a3f0f9b1d")
_UUID_BYTES: Final = 16


def derive_bom(inputs: BomInputs) -> dict[str, JsonValue]:
    """The whole document, serial number included.

    Raises:
        MalformedError: a statement about a vulnerability names no component.
    """
    datasets, dataset_refs = dataset_components(
        (dataset for model in inputs.models for dataset in model.facts.datasets),
        inputs.declared.datasets,
    )
    files = [] if inputs.wasm is None else [wasm_component(inputs.wasm)]
    files += [model_component(model, inputs.declared, dataset_refs) for model in inputs.models]
    subject = app_component(inputs) if inputs.is_package else files.pop()
    if inputs.is_package or inputs.wasm is not None:
        add_producer(subject, inputs.declared)
    if not inputs.is_package:
        add_lone_facts(subject)
    add_system_facts(subject, inputs.declared)
    components: list[JsonValue] = [*(one.finished() for one in files), *datasets]
    about = metadata(inputs, subject.finished())
    dependencies = _dependencies(subject.tree, components, is_package=inputs.is_package)
    document: dict[str, JsonValue] = {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC_VERSION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "version": 1,
        "metadata": about,
        "dependencies": dependencies,
    }
    if components:
        document["components"] = components
    if inputs.is_package:
        document["services"] = [inference_service(inputs.declared)]
        document["externalReferences"] = reference("digital-signature", MANIFEST_FILE)
    if inputs.declared.vulnerabilities:
        root = str(subject.tree["bom-ref"])
        document["vulnerabilities"] = vulnerabilities(inputs.declared, root)
        _require_known(inputs, dependencies)
    document["serialNumber"] = serial_number(document)
    return document


def retimed(bom: BomDocument, timestamp: str) -> dict[str, JsonValue]:
    """The document of a package that was verified, as it is derived at another time."""
    metadata, subject = bom.tree["metadata"], bom.subject.tree
    assert isinstance(metadata, dict)  # noqa: S101 - `read_bom` looked
    properties: list[JsonValue] = [
        {"name": name, "value": timestamp if name == TIMESTAMP_PROPERTY else value}
        for name, value in bom.subject.properties.items()
    ]
    document = bom.tree | {
        "metadata": metadata
        | {"timestamp": timestamp, "component": subject | {"properties": properties}}
    }
    document["serialNumber"] = serial_number(document)
    return document


def bom_bytes(document: dict[str, JsonValue]) -> bytes:
    """The one byte form of a document (RFC 8785).

    Raises:
        RefusedError: kind `limit`; it is longer than a package may hold.
    """
    data = strict_json.canonical_quickly(document)
    if len(data) > LIMITS.bom_bytes:
        raise RefusedError(
            RefusalKind.LIMIT,
            "the BOM would be too long",
            where="bom",
            expected=f"at most {LIMITS.bom_bytes} bytes",
            got=str(len(data)),
        )
    return data


def serial_number(document: dict[str, JsonValue]) -> str:
    """UUID version 5 of the document without it.

    NOTE: by hand, for `uuid` costs a run a millisecond to import; a test compares the two.
    """
    content = strict_json.canonical_quickly(
        {name: value for name, value in document.items() if name != "serialNumber"}
    )
    digest = bytearray(hashlib.sha1(_NAMESPACE + content).digest()[:_UUID_BYTES])  # noqa: S324
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"urn:uuid:{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _dependencies(
    subject: dict[str, JsonValue], components: list[JsonValue], *, is_package: bool
) -> list[JsonValue]:
    """The app needs its files, a file what is nested in it, a model its data sets."""
    edges: dict[str, list[str]] = {}
    _add_edges(edges, subject)
    for component in components:
        if isinstance(component, dict):
            _add_edges(edges, component)
            if is_package and component["type"] != "data":
                edges[str(subject["bom-ref"])].append(str(component["bom-ref"]))
    if is_package:
        needed = [ref for ref in edges if ref.startswith("file:")]
        edges[SERVICE_REF] = needed
    found: list[JsonValue] = []
    for ref in sorted(edges):
        needs: list[JsonValue] = [*sorted(edges[ref])]
        found.append({"ref": ref, "dependsOn": needs} if needs else {"ref": ref})
    return found


def _add_edges(edges: dict[str, list[str]], component: dict[str, JsonValue]) -> None:
    needed = edges.setdefault(str(component["bom-ref"]), [])
    nested = component.get("components", [])
    for child in nested if isinstance(nested, list) else []:
        if isinstance(child, dict):
            needed.append(str(child["bom-ref"]))
            _add_edges(edges, child)
    match component.get("modelCard"):
        case {"modelParameters": {"datasets": [*datasets]}}:
            needed += [str(one["ref"]) for one in datasets if isinstance(one, dict)]


def _require_known(inputs: BomInputs, dependencies: list[JsonValue]) -> None:
    """A statement about a vulnerability is about something in the BOM."""
    known = {edge["ref"] for edge in dependencies if isinstance(edge, dict)}
    for one in inputs.declared.vulnerabilities:
        for ref in one.affects:
            if ref not in known:
                raise MalformedError(
                    "a vulnerability affects what is not in the BOM",
                    where=f"declared.vulnerabilities[{one.id}]",
                    got=ref[:80],
                )
