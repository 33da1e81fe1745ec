"""BOMs that are like ours, and BOMs that have everything."""

from typing import Any

from tests.cyclonedx_full import Sampler


def bom(**members: Any) -> dict[str, Any]:
    return {"bomFormat": "CycloneDX", "specVersion": "1.7", "version": 1, **members}


def with_component(**members: Any) -> dict[str, Any]:
    component = {"type": "machine-learning-model", "name": "m", "bom-ref": "m", **members}
    return bom(components=[component])


def full(version: str = "1.7") -> dict[str, Any]:
    """With every member of the schema but two, which the library has not and which are long."""
    document = Sampler(version).document()
    return {k: v for k, v in document.items() if k not in {"formulation", "declarations"}}


def of_ours() -> dict[str, Any]:
    """What our own BOMs are made of, and every member of a card."""
    sampler = Sampler("1.6")  # one, for its bom-refs are unique
    card = sampler.definition("modelCard")
    model: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": "model:main:0",
        "name": "Small",
        "version": "1",
        "description": "two\nlines and  two spaces ",
        "manufacturer": {"name": "Example", "url": ["https://example.com"]},
        "authors": [{"name": "B"}, {"name": "A"}],
        "hashes": [
            {"alg": "SHA-256", "content": "ab" * 32},
            {"alg": "BLAKE3", "content": "c" * 64},
        ],
        "licenses": [{"license": {"id": "Apache-2.0"}}],
        "purl": "pkg:huggingface/org/small@0123456789abcdef#small.gguf",
        "pedigree": {"ancestors": [{"type": "machine-learning-model", "name": "Base"}]},
        "externalReferences": [{"type": "model-card", "url": "https://example.com/card"}],
        "properties": [
            {"name": "infwasi:x", "value": ""},
            {"name": "infwasi:y", "value": "1\r\n2"},
        ],
        "modelCard": card,
    }
    part = {
        "type": "library",
        "bom-ref": "part:a/0",
        "name": "a/0",
        "mime-type": "application/wasm",
    }
    wasm: dict[str, Any] = {
        "type": "file",
        "bom-ref": "file:app.wasm",
        "name": "app.wasm",
        "mime-type": "application/wasm",
        "components": [{"type": "library", "bom-ref": "part:a", "name": "a", "components": [part]}],
    }
    dataset: dict[str, Any] = {
        "type": "data",
        "bom-ref": "dataset:0",
        "name": "d",
        "data": [sampler.definition("componentData")],
    }
    service: dict[str, Any] = {
        "bom-ref": "service:inference",
        "name": "infwasi:llm/inference",
        "data": [
            {"flow": "inbound", "classification": "unknown", "name": "prompt"},
            {"flow": "outbound", "classification": "PII"},
        ],
    }
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json",
        **bom(
            serialNumber="urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
            metadata={
                "timestamp": "2025-01-02T03:04:05Z",
                "lifecycles": [{"phase": "build"}],
                "tools": {
                    "components": [
                        {"type": "application", "bom-ref": "tool:i", "name": "i", "version": "1"}
                    ]
                },
                "authors": [{"name": "Somebody"}],
                "component": {"type": "application", "bom-ref": "app", "name": "app"},
                "properties": [{"name": "infwasi:declared", "value": '{"a":"  b"}'}],
            },
            components=[wasm, model, dataset],
            services=[service],
            dependencies=[
                {"ref": "app", "dependsOn": ["file:app.wasm", "model:main:0"]},
                {"ref": "model:main:0", "dependsOn": ["dataset:0"]},
                {"ref": "service:inference", "dependsOn": ["app"]},
            ],
            externalReferences=[
                {"type": "digital-signature", "url": "manifest.sigstore.json"},
            ],
            vulnerabilities=[
                {
                    "bom-ref": "vulnerability:0",
                    "id": "CVE-2025-1",
                    "source": {"name": "NVD", "url": "https://nvd.nist.gov/vuln"},
                    "analysis": {
                        "state": "not_affected",
                        "justification": "code_not_reachable",
                        "detail": "never  called",
                    },
                    "affects": [{"ref": "app"}],
                }
            ],
        ),
    }
