"""A model file in the BOM: what is measured in it, what it says of itself, what it comes from."""

from collections.abc import Iterable, Mapping
from typing import Final

from infwasi_sign.domain.bom_card import add_model_card
from infwasi_sign.domain.bom_data import DATASET_FIELDS, dataset_name, license_choice
from infwasi_sign.domain.bom_document import BomDocument
from infwasi_sign.domain.bom_inputs import ModelSubject
from infwasi_sign.domain.bom_parts import (
    Tagged,
    as_purl,
    as_url,
    as_version,
    first_said,
    hashes,
    hugging_face_purl,
    organization,
    people,
    reference,
)
from infwasi_sign.domain.declared import Declared
from infwasi_sign.domain.gguf_facts import ModelFacts
from infwasi_sign.domain.gguf_general import BaseModel
from infwasi_sign.domain.licenses import is_said
from infwasi_sign.domain.model_digests import TensorDigests, chat_template_digest
from infwasi_sign.domain.origin import Origin
from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.domain.template_code import template_findings
from infwasi_sign.errors import RefusalKind, RefusedError

TENSOR_DIGESTS: Final = "infwasi:gguf:tensor-digests:blake3"


def model_component(
    model: ModelSubject, declared: Declared, dataset_refs: Mapping[str, str]
) -> Tagged:
    """The component `model:<name>:<shard>`; ``dataset_refs`` are references by name."""
    facts = model.facts
    component = Tagged(bom_ref=f"model:{model.name}:{model.shard}", type="machine-learning-model")
    _add_identity(component, model, declared)
    _add_measured(component, model)
    _add_header(component, facts)
    _add_lineage(component, model, declared.model_base_models)
    refs = [
        dataset_refs[name]
        for one in facts.datasets
        if (name := dataset_name(one)) is not None and name in dataset_refs
    ]
    refs += [
        dataset_refs[one.name] for one in declared.datasets if dataset_refs[one.name] not in refs
    ]
    if not refs:
        for field in DATASET_FIELDS:
            component.tag(f"dataset.{field}", Origin.UNKNOWN)
    add_model_card(component, facts, declared, refs)
    return component


def _add_identity(component: Tagged, model: ModelSubject, declared: Declared) -> None:
    facts = model.facts
    component.member("hashes", hashes(model.sha256.hex, model.blake3.hex), Origin.MEASURED)
    # Without a name of its own, it is called as the developer calls it.
    name, origin = first_said(facts.name, model.name)
    component.member("name", name, origin)
    version, origin = first_said(as_version(facts.version), declared.model_version)
    component.member("version", version, origin)
    description, origin = first_said(facts.description, declared.model_description)
    component.member("description", description, origin)
    maker, origin = first_said(facts.organization, declared.model_producer)
    component.member("manufacturer", organization(maker), origin)
    if facts.author:
        component.member("authors", people([facts.author]), Origin.FILE_DECLARED)
    else:
        component.member("authors", people(declared.model_authors), Origin.USER_DECLARED)
    word, origin = first_said(_license_word(facts), declared.model_license)
    by_file = origin is Origin.FILE_DECLARED
    link = as_url(facts.license_link if by_file else declared.model_license_url)
    component.member("licenses", license_choice(word, link), origin)
    purl, origin = first_said(hugging_face_purl(facts.repo_url), as_purl(declared.model_purl))
    component.member("purl", purl, origin)
    if facts.tags:
        component.member("tags", list(dict.fromkeys(facts.tags)), Origin.FILE_DECLARED)
    else:
        component.member("tags", list(declared.model_tags), Origin.USER_DECLARED)
    languages, origin = first_said(" ".join(facts.languages), " ".join(declared.model_languages))
    component.property("model:languages", languages, origin)
    component.property("model:library", declared.model_library, Origin.USER_DECLARED)
    component.property("model:released", declared.model_released, Origin.USER_DECLARED)
    for what, said in (
        ("weights", declared.openness_weights),
        ("architecture", declared.openness_architecture),
        ("data", declared.openness_data),
        ("training", declared.openness_training),
    ):
        component.property(f"model:openness:{what}", said, Origin.USER_DECLARED)
    for what, said in (
        ("description", declared.training_description),
        ("hardware", declared.training_hardware),
        ("co2-tonnes", declared.training_co2_tonnes),
    ):
        component.property(f"model:training:{what}", said, Origin.USER_DECLARED)
    _add_references(component, facts, declared)


def _license_word(facts: ModelFacts) -> str | None:
    """What the file calls its licence; `other` is what Hugging Face has for those with a name."""
    return next((one for one in (facts.license, facts.license_name) if is_said(one)), None)


def _add_references(component: Tagged, facts: ModelFacts, declared: Declared) -> None:
    doi = None if facts.doi is None else as_url(f"https://doi.org/{_bare_doi(facts.doi)}")
    url, url_origin = first_said(as_url(facts.url), as_url(declared.model_url))
    terms, terms_origin = first_said(as_url(facts.license_link), as_url(declared.model_license_url))
    found: list[JsonValue] = []
    for kind, address, origin in (
        ("website", url, url_origin),
        ("vcs", as_url(facts.repo_url), Origin.FILE_DECLARED),
        ("documentation", doi, Origin.FILE_DECLARED),
        ("license", terms, terms_origin),
        (
            "source-distribution",
            as_url(facts.source_repo_url) or as_url(facts.source_url),
            Origin.FILE_DECLARED,
        ),
    ):
        if address is not None:
            found += reference(kind, address)
            component.tag(f"externalReferences.{kind}", origin)
    if found:
        component.tree["externalReferences"] = found
    else:
        component.tag("externalReferences", Origin.UNKNOWN)


def _bare_doi(doi: str) -> str:
    for prefix in ("https://doi.org/", "https://dx.doi.org/", "doi:"):
        doi = doi.removeprefix(prefix)
    return doi


def _add_measured(component: Tagged, model: ModelSubject) -> None:
    """What is computed from the bytes, and computed again at every verification."""
    facts, evidence = model.facts, model.evidence
    template = facts.chat_template
    values = {
        "size": str(model.size_bytes),
        "gguf:header:sha256": evidence.header.hex,
        "gguf:tensor-table:sha256": evidence.tensor_table.hex,
        "gguf:tensors": str(evidence.tensor_count),
        "gguf:tensors:blake3": evidence.tensors.hex,
        "gguf:tensor-digests:blake3": model.tensor_digests,
        "gguf:quantization": " ".join(
            f"{count.type_name}:{count.tensor_count}" for count in facts.quantization
        ),
        "gguf:parameters": str(facts.parameter_count or ""),
        "gguf:bits-per-weight": f"{facts.bits_per_weight:.4f}" if facts.bits_per_weight else "",
    }
    if template is not None:
        values["gguf:chat-template:sha256"] = chat_template_digest(template).hex
        values["gguf:chat-template:findings"] = " ".join(template_findings(template)) or "none"
    for name, value in values.items():
        if value:
            component.property(name, value, Origin.MEASURED)
    component.property("model:name", model.name, Origin.USER_DECLARED)
    component.property("model:shard", str(model.shard), Origin.USER_DECLARED)


def _add_header(component: Tagged, facts: ModelFacts) -> None:
    """What the header says, in our words, and every `general.*` key under its own name."""
    for name, value in (
        ("architecture", facts.architecture),
        ("basename", facts.basename),
        ("block-count", facts.block_count),
        ("context-length", facts.context_length),
        ("embedding-length", facts.embedding_length),
        ("file-type", facts.file_type),
        ("languages", " ".join(facts.languages)),
        ("license", facts.license),
        ("organization", facts.organization),
        ("size-label", facts.size_label),
        ("tokenizer", facts.tokenizer_model),
        ("tokenizer-pre", facts.tokenizer_pre),
    ):
        component.property(f"gguf:{name}", str(value or ""), Origin.FILE_DECLARED)
    component.plain({f"gguf:{key}": value for key, value in facts.general})
    component.tag("gguf:general.*", Origin.FILE_DECLARED)


def _add_lineage(component: Tagged, model: ModelSubject, declared_names: Iterable[str]) -> None:
    """The models that it was made from, as ancestors: those of the file, else the declared ones."""
    declared = [BaseModel(name=name) for name in declared_names]
    stated = [one for one in model.facts.base_models if _ancestor_name(one)]
    origin = Origin.FILE_DECLARED if stated else Origin.USER_DECLARED
    ancestors: list[JsonValue] = [
        _ancestor(f"base:{model.name}:{model.shard}:{index}", one, origin)
        for index, one in enumerate(stated or declared)
    ]
    if ancestors:
        component.tree["pedigree"] = {"ancestors": ancestors}
    component.tag("pedigree.ancestors", origin if ancestors else Origin.UNKNOWN)


def _ancestor_name(base: BaseModel) -> str | None:
    return base.name or base.repo_url or base.url or base.doi or base.uuid


def _ancestor(ref: str, base: BaseModel, origin: Origin) -> dict[str, JsonValue]:
    component = Tagged(bom_ref=ref, type="machine-learning-model", name=_ancestor_name(base))
    doi = None if base.doi is None else as_url(f"https://doi.org/{_bare_doi(base.doi)}")
    references = [
        *reference("website", as_url(base.url)),
        *reference("vcs", as_url(base.repo_url)),
        *reference("documentation", doi),
    ]
    for member, value in (
        ("version", as_version(base.version)),
        ("description", base.description),
        ("manufacturer", organization(base.organization)),
        ("authors", people([base.author or ""])),
        ("purl", hugging_face_purl(base.repo_url)),
        ("externalReferences", references),
    ):
        if value:
            component.tree[member] = value
    component.tag("*", origin)
    return component.finished()


def stated_tensor_digests(bom: BomDocument, name: str, shard: int) -> TensorDigests:
    """The per-tensor digests that a BOM states for a model's file (docs/format.md section 6.4).

    Raises:
        RefusedError: kind `disagree`; the BOM has none for it.
        MalformedError: they are not in their compact form.
    """
    where = f"bom.components[model:{name}:{shard}]"
    model = bom.components.get(f"model:{name}:{shard}")
    text = None if model is None else model.properties.get(TENSOR_DIGESTS)
    if text is None:
        raise RefusedError(
            RefusalKind.DISAGREE, "the BOM states no tensor digests", where=where, got="nothing"
        )
    return TensorDigests.parse_text(text, where=f"{where}.properties[{TENSOR_DIGESTS}]")
