"""Everything that can be in a BOM, and what is wrong with one."""

import json
from collections.abc import Iterator
from typing import Any, Final

from cyclonedx.schema import SchemaVersion
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # ships no types

from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.domain.bom import BomInputs, ModelSubject, WasmSubject
from infwasi_sign.domain.component import describe
from infwasi_sign.domain.declared import (
    Declared,
    DeclaredDataset,
    DeclaredMetric,
    EnergyConsumption,
    EthicalConsideration,
    FairnessAssessment,
    Vulnerability,
)
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.gguf import parse
from infwasi_sign.domain.gguf_facts import model_facts
from infwasi_sign.domain.manifest import GgufEvidence
from infwasi_sign.domain.model_digests import TensorDigests, header_digest, tensor_table_digest
from tests.conftest import ROOT
from tests.gguf_forge import WatchedSource
from tests.strict_judge import strict_judge

PROFILE: Final = json.loads((ROOT / "sbom" / "profile.schema.json").read_bytes())
TOOLS: Final = (("infwasi", "1.0"), ("wasm-tools", "1.0"))
TIME: Final = "2026-11-23T12:00:00Z"

EVERYTHING: Final = Declared(
    bom_author="Release Team",
    app_producer="Acme Ltd",
    app_description="Answers questions about capitals",
    app_area="education",
    app_data_usage="public",
    app_license="Apache-2.0",
    model_version="2",
    model_description="A small model",
    model_producer="Acme Research",
    model_authors=("Ada", "Grace"),
    model_license="MIT OR Apache-2.0",
    model_license_url="https://acme.test/licence",
    model_url="https://acme.test/model",
    model_purl="pkg:huggingface/acme/tiny@0a1b#tiny.gguf",
    model_released="2026-01-02",
    model_task="text-generation",
    model_inputs=("text",),
    model_outputs=("text",),
    model_base_models=("acme/base",),
    model_languages=("en", "de"),
    model_tags=("chat",),
    model_library="transformers",
    openness_weights="open",
    openness_architecture="open",
    openness_data="closed",
    openness_training="partly",
    training_approach="self-supervised",
    training_description="Two epochs",
    training_hardware="8 accelerators",
    training_co2_tonnes="1.5",
    use_users=("pupils",),
    use_cases=("learning",),
    use_limitations=("knows nothing after 2024",),
    use_tradeoffs=("small and fast",),
    security_controls=("sandbox", "signed"),
    security_compliance="none",
    security_contact="mailto:security@acme.test",
    security_advisories="https://acme.test/advisories",
    infrastructure_hardware="any CPU",
    datasets=(
        DeclaredDataset(
            name="corpus",
            description="Web pages",
            url="https://acme.test/corpus",
            identifier="doi:10.1/2",
            sha256="ab" * 32,
            license="CC-BY-4.0",
            provenance="crawled in 2024",
            statistics="2 million pages",
            classification="public",
            sensitive=("names",),
            derived_from=("the web",),
            purpose="training",
        ),
    ),
    ethics=(EthicalConsideration(name="errors", mitigation="check"),),
    fairness=(FairnessAssessment(group="all", benefits="b", harms="h", mitigation="m"),),
    energy=(
        EnergyConsumption(
            activity="training",
            kwh="12.5",
            provider="Acme Power",
            source="wind",
            provided_kwh="13",
            co2_tonnes="0.1",
            co2_offset_tonnes="0.1",
        ),
    ),
    metrics=(DeclaredMetric(type="accuracy", value="0.5", slice="all", lower="0.4", upper="0.6"),),
    vulnerabilities=(
        Vulnerability(
            id="CVE-2026-0001",
            state="not_affected",
            source="NVD",
            justification="code_not_present",
            detail="not in it",
        ),
    ),
)


def model_subject(data: bytes, name: str = "model") -> ModelSubject:
    """A model file, measured as pack does it."""
    header = parse(WatchedSource(data))
    digests = measure_bytes(data)
    tensors = b"".join(
        bytes.fromhex(measure_bytes(data[at : at + tensor.size_bytes])[Algorithm.BLAKE3].hex)
        for tensor in header.tensors
        for at in [header.data_offset + tensor.offset]
    )
    return ModelSubject(
        name=name,
        size_bytes=len(data),
        sha256=digests[Algorithm.SHA256],
        blake3=digests[Algorithm.BLAKE3],
        evidence=GgufEvidence(
            header_bytes=len(header.header_bytes),
            header=header_digest(header),
            tensor_count=len(header.tensors),
            tensor_table=tensor_table_digest(header),
            tensors=measure_bytes(tensors)[Algorithm.BLAKE3],
        ),
        tensor_digests=TensorDigests(concatenated=tensors).to_text(),
        facts=model_facts(header),
    )


def lone_model(data: bytes, declared: Declared = Declared()) -> BomInputs:  # noqa: B008 - frozen
    """What the BOM of a model file alone is made of."""
    return BomInputs(
        name="model",
        version=None,
        timestamp=TIME,
        tools=TOOLS,
        declared=declared,
        wasm=None,
        models=(model_subject(data),),
        is_package=False,
    )


def lone_component(data: bytes, declared: Declared = Declared()) -> BomInputs:  # noqa: B008 - as above
    """What the BOM of a component file alone is made of."""
    digests = measure_bytes(data)
    return BomInputs(
        name="component",
        version=None,
        timestamp=TIME,
        tools=TOOLS,
        declared=declared,
        wasm=WasmSubject(
            name="component.wasm",
            size_bytes=len(data),
            sha256=digests[Algorithm.SHA256],
            blake3=digests[Algorithm.BLAKE3],
            facts=describe(data),
        ),
        models=(),
        is_package=False,
    )


def complaints(bom: bytes) -> list[str]:
    """What the profile, CycloneDX 1.7 and what no schema can say have against a document."""
    document = json.loads(bom)
    found = complaints_of_profile(document)
    error = strict_judge(SchemaVersion.V1_7).validate_str(bom.decode())
    return [*found, *([] if error is None else [str(error)]), *sorted(loose_ends(document))]


def complaints_of_profile(document: dict[str, Any]) -> list[str]:
    """What our own profile has against a document."""
    found = []
    for error in Draft202012Validator(PROFILE).iter_errors(document):
        deep = min(error.context or [error], key=lambda one: -len(one.path))
        found.append(f"{error.json_path} {list(deep.path)}: {deep.message[-200:]}")
    return found


def components_of(bom: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All components, nested ones and ancestors too."""
    waiting = [bom["metadata"]["component"], *bom.get("components", [])]
    while waiting:
        component = waiting.pop(0)
        yield component
        waiting += component.get("components", [])
        waiting += component.get("pedigree", {}).get("ancestors", [])


def loose_ends(bom: dict[str, Any]) -> Iterator[str]:
    """References to nothing or to two things, lists out of order, and values without an origin."""
    things = [*components_of(bom), *bom.get("services", [])]
    refs = [thing["bom-ref"] for thing in things]
    yield from (f"twice: {ref}" for ref in set(refs) if refs.count(ref) > 1)
    known = {ref for ref in refs if not ref.startswith("base:")}
    edges = {edge["ref"] for edge in bom["dependencies"]}
    yield from (f"no dependencies: {ref}" for ref in known ^ edges)
    needed = {ref for edge in bom["dependencies"] for ref in edge.get("dependsOn", [])}
    yield from (f"dangling: {ref}" for ref in needed - known)
    for thing in [*things, bom["metadata"]]:
        names = [item["name"] for item in thing["properties"]]
        if names != sorted(set(names)):
            yield f"not sorted, or twice: {names}"
    for thing in things:
        yield from _without_origin(thing)


_NO_VALUES: Final = frozenset(  # names of things, and what holds others
    {"bom-ref", "type", "mime-type", "properties", "components", "pedigree", "modelCard", "data"}
    | {"externalReferences"}
)


def _without_origin(thing: dict[str, Any]) -> Iterator[str]:
    tags = {item["name"].removeprefix("infwasi:origin:"): item["value"] for item in _tags(thing)}
    values = {name for name in thing if name not in _NO_VALUES}
    values |= {
        item["name"].removeprefix("infwasi:")
        for item in thing["properties"]
        if not item["name"].startswith("infwasi:origin:")
    }
    for part, members in thing.get("modelCard", {}).items():
        values |= {f"modelCard.{part}.{name}" for name in members}
    said = {name: origin for name, origin in tags.items() if origin != "unknown"}
    for name in values:
        if not any(name == tag or (tag[-1] == "*" and name.startswith(tag[:-1])) for tag in said):
            yield f"no origin: {thing['bom-ref']} {name}"
    for name, origin in tags.items():
        if origin == "unknown" and name in values:
            yield f"unknown, and said: {thing['bom-ref']} {name}"


def _tags(thing: dict[str, Any]) -> list[dict[str, str]]:
    return [one for one in thing["properties"] if one["name"].startswith("infwasi:origin:")]
