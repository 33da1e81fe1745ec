"""What our ML-BOM says, as facts; reading them back out of CycloneDX JSON and comparing.

Pack derives `BomFacts` from the bytes and writes them as CycloneDX 1.7 (sbom/README.md holds the
profile). Verify derives them again from the bytes it measured, reads the BOM, and any difference
is a refusal that names the field.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Final

from infwasi_sign.domain import strict_json
from infwasi_sign.domain.component import ComponentFacts
from infwasi_sign.domain.gguf_facts import ModelFacts
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import Entry, EntryRole, Manifest, ModelClaim, format_time
from infwasi_sign.domain.model_digests import TensorDigests
from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError
from infwasi_sign.quick_dataclass import dataclass

SPEC_VERSION: Final = "1.7"
_TENSOR_DIGESTS: Final = "infwasi:gguf:tensor-digests:blake3"
_HASH_NAMES: Final = {"SHA-256": "sha256", "BLAKE3": "blake3"}


@dataclass(frozen=True, kw_only=True, slots=True)
class BomComponent:
    """One component of the BOM; ``properties`` and ``children`` are sorted."""

    ref: str
    type: str
    name: str
    version: str | None = None
    mime_type: str | None = None
    sha256: str
    blake3: str | None = None
    licence: str | None = None
    properties: tuple[tuple[str, str], ...] = ()
    children: tuple["BomComponent", ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class BomFacts:
    """Everything in the BOM that bytes can prove."""

    name: str
    version: str
    timestamp: str
    components: tuple[BomComponent, ...]


def derive_facts(
    manifest: Manifest,
    app: ComponentFacts,
    models: Mapping[str, ModelFacts],
    tensor_digests: Mapping[str, str],
) -> BomFacts:
    """What the BOM must say about a package.

    ``models`` holds the header facts by model name; ``tensor_digests`` the compact per-tensor
    digests (docs/format.md section 6.4) by entry name.
    """
    component = manifest.only(EntryRole.COMPONENT)
    app_component = BomComponent(
        ref=f"file:{component.name}",
        type="file",
        name=component.name,
        mime_type="application/wasm",
        sha256=component.sha256.hex,
        blake3=component.blake3.hex,
        properties=_sorted_properties(
            {
                "infwasi:component:exports": " ".join(app.exports),
                "infwasi:component:imports": " ".join(app.imports),
                "infwasi:component:settings:sha256": manifest.component.settings.hex,
                "infwasi:size": str(component.size_bytes),
            }
        ),
        children=tuple(
            BomComponent(
                ref=f"part:{part.name}",
                type="library",
                name=part.name,
                mime_type="application/wasm",
                sha256=part.sha256.hex,
                properties=(("infwasi:size", str(part.size_bytes)),),
            )
            for part in sorted(manifest.component.parts, key=lambda part: part.name)
        ),
    )
    model_components = [
        _model_component(model, manifest.entry(shard), index, models[model.name], tensor_digests)
        for model in manifest.models
        for index, shard in enumerate(model.shards)
    ]
    return BomFacts(
        name=manifest.package_name,
        version=manifest.package_version,
        timestamp=format_time(manifest.issued_at),
        components=tuple(sorted([app_component, *model_components], key=lambda c: c.ref)),
    )


def _model_component(
    model: ModelClaim,
    entry: Entry,
    index: int,
    facts: ModelFacts,
    tensor_digests: Mapping[str, str],
) -> BomComponent:
    evidence = entry.require_gguf()
    properties = {
        "infwasi:model:name": model.name,
        "infwasi:model:shard": str(index),
        "infwasi:size": str(entry.size_bytes),
        "infwasi:gguf:header:sha256": evidence.header.hex,
        "infwasi:gguf:tensor-table:sha256": evidence.tensor_table.hex,
        "infwasi:gguf:tensors": str(evidence.tensor_count),
        "infwasi:gguf:tensors:blake3": evidence.tensors.hex,
        _TENSOR_DIGESTS: tensor_digests[entry.name],
        **_header_properties(facts),
    }
    if model.chat_template is not None:
        properties["infwasi:gguf:chat-template:sha256"] = model.chat_template.hex
    return BomComponent(
        ref=f"model:{model.name}:{index}",
        type="machine-learning-model",
        name=facts.name or model.name,
        sha256=entry.sha256.hex,
        blake3=entry.blake3.hex,
        licence=facts.license,
        properties=_sorted_properties(properties),
    )


def _header_properties(facts: ModelFacts) -> dict[str, str]:
    """What the header says, under its own key names; what it does not say is left out."""
    census = " ".join(f"{count.type_name}:{count.tensor_count}" for count in facts.quantization)
    values = {
        "architecture": facts.architecture,
        "basename": facts.basename,
        "bits-per-weight": facts.bits_per_weight and f"{facts.bits_per_weight:.4f}",
        "block-count": facts.block_count,
        "context-length": facts.context_length,
        "embedding-length": facts.embedding_length,
        "file-type": facts.file_type,
        "languages": " ".join(facts.languages),
        "license": facts.license,
        "organization": facts.organization,
        "parameters": facts.parameter_count,
        "quantization": census,
        "size-label": facts.size_label,
        "tokenizer": facts.tokenizer_model,
        "tokenizer-pre": facts.tokenizer_pre,
    }
    return {f"infwasi:gguf:{name}": str(value) for name, value in values.items() if value}


def _sorted_properties(properties: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(properties.items()))


# --- reading ---------------------------------------------------------------------------------


def read_bom(data: bytes) -> BomFacts:
    """The facts that a CycloneDX JSON document claims; members that are not facts are passed over.

    Raises:
        MalformedError: not JSON, or not CycloneDX 1.7, or a fact has the wrong shape.
    """
    value = strict_json.parse(data, where="bom", limit_bytes=LIMITS.bom_bytes)
    strict_json.require_canonical(data, value, "bom")
    document = _object(value, "bom")
    if document.get("bomFormat") != "CycloneDX" or document.get("specVersion") != SPEC_VERSION:
        raise MalformedError("not a CycloneDX BOM", where="bom", expected=f"version {SPEC_VERSION}")
    metadata = _object(document.get("metadata"), "bom.metadata")
    subject = _object(metadata.get("component"), "bom.metadata.component")
    return BomFacts(
        name=_text(subject, "name", "bom.metadata.component"),
        version=_text(subject, "version", "bom.metadata.component"),
        timestamp=_text(metadata, "timestamp", "bom.metadata"),
        components=_read_components(document.get("components", []), "bom.components"),
    )


def _read_components(value: JsonValue, where: str) -> tuple[BomComponent, ...]:
    found = [
        _read_component(_object(item, f"{where}[{index}]"), f"{where}[{index}]")
        for index, item in enumerate(_array(value, where))
    ]
    refs = [component.ref for component in found]
    if len(set(refs)) != len(refs):
        raise MalformedError("a bom-ref stands twice", where=where)
    return tuple(sorted(found, key=lambda component: component.ref))


def _read_component(item: dict[str, JsonValue], where: str) -> BomComponent:
    hashes: dict[str, str] = {}
    for index, entry in enumerate(_array(item.get("hashes", []), f"{where}.hashes")):
        pair = _object(entry, f"{where}.hashes[{index}]")
        name = _HASH_NAMES.get(_text(pair, "alg", where))
        if name is None or name in hashes:
            raise MalformedError("unexpected hash", where=f"{where}.hashes[{index}]")
        hashes[name] = _text(pair, "content", where)
    if "sha256" not in hashes:
        raise MalformedError("a component has no SHA-256", where=where)
    pairs = [
        (_text(_object(entry, where), "name", where), _text(_object(entry, where), "value", where))
        for entry in _array(item.get("properties", []), f"{where}.properties")
    ]
    if len({name for name, _ in pairs}) != len(pairs):
        raise MalformedError("a property stands twice", where=f"{where}.properties")
    return BomComponent(
        ref=_text(item, "bom-ref", where),
        type=_text(item, "type", where),
        name=_text(item, "name", where),
        version=_text(item, "version", where) if "version" in item else None,
        mime_type=_text(item, "mime-type", where) if "mime-type" in item else None,
        sha256=hashes["sha256"],
        blake3=hashes.get("blake3"),
        licence=_read_licence(item.get("licenses", []), f"{where}.licenses"),
        properties=tuple(sorted(pairs)),
        children=_read_components(item.get("components", []), f"{where}.components"),
    )


def _read_licence(value: JsonValue, where: str) -> str | None:
    entries = _array(value, where)
    if not entries:
        return None
    if len(entries) > 1:
        raise MalformedError("more than one licence", where=where)
    choice = _object(entries[0], where)
    if "expression" in choice:
        return _text(choice, "expression", where)
    licence = _object(choice.get("license"), where)
    return _text(licence, "id" if "id" in licence else "name", where)


def _object(value: JsonValue, where: str) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise MalformedError("not an object", where=where)
    return value


def _array(value: JsonValue, where: str) -> list[JsonValue]:
    if not isinstance(value, list):
        raise MalformedError("not an array", where=where)
    return value


def _text(value: dict[str, JsonValue], name: str, where: str) -> str:
    text = value.get(name)
    if not isinstance(text, str):
        raise MalformedError("not a string", where=f"{where}.{name}")
    return text


def tensor_digests(bom: BomFacts, entry: Entry) -> TensorDigests:
    """The per-tensor digests that a BOM states for an entry (docs/format.md section 6.4).

    Raises:
        RefusedError: kind `disagree`; the BOM has none for it.
        MalformedError: they are not in their compact form.
    """
    for component in bom.components:
        if component.sha256 == entry.sha256.hex and component.ref.startswith("model:"):
            text = dict(component.properties).get(_TENSOR_DIGESTS)
            if text is not None:
                return TensorDigests.parse_text(text, where=f"bom {component.ref}")
    raise RefusedError(
        RefusalKind.DISAGREE, "the BOM states no tensor digests", where="bom", expected=entry.name
    )


# --- comparing -------------------------------------------------------------------------------


def require_agreement(claimed: BomFacts, measured: BomFacts) -> None:
    """Refuse a BOM that says anything else than the bytes do.

    Raises:
        RefusedError: kind `disagree`, naming the first field that differs.
    """
    for where, left, right in _differences(claimed, measured, "bom"):
        raise RefusedError(
            RefusalKind.DISAGREE,
            "the BOM contradicts the package",
            where=where,
            expected=_short(right),
            got=_short(left),
        )


def _differences(
    claimed: BomFacts | BomComponent, measured: BomFacts | BomComponent, where: str
) -> Iterator[tuple[str, object, object]]:
    for field in fields(measured):
        left, right = getattr(claimed, field.name), getattr(measured, field.name)
        place = f"{where}.{field.name}"
        if field.name in ("components", "children"):
            yield from _component_differences(left, right, place)
        elif field.name == "properties":
            yield from _property_differences(dict(left), dict(right), place)
        elif field.name == "licence":
            # SPDX ids ignore case (SPDX 3.0.1 annex B); GGUF writes them in lower case.
            if (left or "").casefold() != (right or "").casefold():
                yield place, left, right
        elif left != right:
            yield place, left, right


def _component_differences(
    claimed: tuple[BomComponent, ...], measured: tuple[BomComponent, ...], where: str
) -> Iterator[tuple[str, object, object]]:
    by_ref = {component.ref: component for component in claimed}
    for component in measured:
        if component.ref not in by_ref:
            yield where, "no such component", component.ref
        else:
            other = by_ref.pop(component.ref)
            yield from _differences(other, component, f"{where}[{component.ref}]")
    for ref in by_ref:
        yield where, ref, "no such component"


def _property_differences(
    claimed: dict[str, str], measured: dict[str, str], where: str
) -> Iterator[tuple[str, object, object]]:
    for name in sorted(claimed.keys() | measured.keys()):
        if claimed.get(name) != measured.get(name):
            yield f"{where}[{name}]", claimed.get(name), measured.get(name)


def _short(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
