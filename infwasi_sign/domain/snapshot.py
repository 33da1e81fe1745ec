"""Takes a package, a model or a component apart into the items that `difference` compares."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from infwasi_sign.domain.component import ComponentFacts
from infwasi_sign.domain.difference import Container, Item, Section, Snapshot
from infwasi_sign.domain.digest import Digest
from infwasi_sign.domain.gguf import GgufHeader
from infwasi_sign.domain.gguf_types import GgufArray, GgufValue
from infwasi_sign.domain.interfaces import SETTINGS_INTERFACE
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import BOM_FILE, COMPONENT_FILE, Manifest, format_time
from infwasi_sign.domain.model_digests import TensorDigests
from infwasi_sign.domain.settings import Settings
from infwasi_sign.domain.snapshot_bom import BomParts, bom_containers, bom_items, bom_notes
from infwasi_sign.domain.snapshot_items import bytes_item, sha256_of, text_item
from infwasi_sign.domain.template_code import template_findings
from infwasi_sign.domain.wasm_binary import encode_u32
from infwasi_sign.quick_dataclass import dataclass

_TEMPLATE: Final = "tokenizer.chat_template"
_NOTE: Final = 200  # characters of names in a note
_SETTING_NAMES: Final = {
    "contextTokens": "context tokens",
    "defaultPrompt": "default prompt",
    "limits": "limits",
    "maxTokens": "max tokens",
    "minP": "min-p",
    "model": "model name",
    "repeatPenalty": "repeat penalty",
    "seed": "seed",
    "stop": "stop texts",
    "systemPrompt": "system prompt",
    "temperature": "temperature",
    "topK": "top-k",
    "topP": "top-p",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelParts:
    """A model as it is compared; ``tensors`` in the order of the header's table."""

    header: GgufHeader
    tensors: TensorDigests
    size_bytes: int
    digest: Digest


def model_snapshot(title: str, model: ModelParts) -> Snapshot:
    """A lone model."""
    return _snapshot(
        title,
        "model",
        _model_items(model, ""),
        [_model_container("the model", model, "")],
        findings=_findings(model.header, ""),
    )


def component_snapshot(title: str, data: bytes, facts: ComponentFacts) -> Snapshot:
    """A lone component."""
    items = _component_items("the component", data, facts, {}, is_app=False)
    return _snapshot(title, "component", items, [_component_container("the component", data)])


def _model_items(model: ModelParts, prefix: str) -> list[Item]:
    """Metadata and tensors; ``prefix`` stands before each name."""
    items = [
        _metadata_item(model.header, prefix, key, value)
        for key, value in model.header.metadata.items()
    ]
    items += [
        Item(
            section=Section.TENSOR,
            name=f"{prefix}{tensor.name}",
            value=f"{tensor.type.name} {'x'.join(map(str, tensor.dimensions))}",
            digest=str(digest),
            size_bytes=tensor.size_bytes,
        )
        for tensor, digest in zip(model.header.tensors, model.tensors, strict=True)
    ]
    return items


def _model_container(title: str, model: ModelParts, prefix: str) -> Container:
    return Container(
        name=title,
        digest=str(model.digest),
        size_bytes=model.size_bytes,
        sections=frozenset({Section.METADATA, Section.TENSOR}),
        prefix=prefix,
    )


def _metadata_item(header: GgufHeader, prefix: str, key: str, found: GgufValue) -> Item:
    """Arrays by their bytes in the header: nobody reads a vocabulary to see that it is the same."""
    name = f"{prefix}{key}"
    if isinstance(found.value, GgufArray):
        array = found.value
        data = header.header_bytes[array.offset : array.offset + array.size_bytes]
        kind = f"{array.count} x {array.element_type.label}"
        return bytes_item(Section.METADATA, name, kind, data)
    if isinstance(found.value, str):
        return text_item(Section.METADATA, name, found.value)
    shown = f"{found.value} ({found.type.label})"
    return bytes_item(Section.METADATA, name, shown, repr(found.value).encode())


def _component_items(
    title: str, data: bytes, facts: ComponentFacts, names: Mapping[str, str], *, is_app: bool
) -> Iterator[Item]:
    """Imports, exports, what is nested and what connects it; ``names`` are of parts by digest.

    Of an app the one part that exports the settings is left out: they are told themselves. What
    holds that part is asked of the bytes, for a manifest may call any part `config`.
    """
    for what, found in (("imports", facts.imports), ("exports", facts.exports)):
        for name in found:
            yield bytes_item(Section.COMPONENT, f"{what} {name}", what, name.encode())
    for index, child in enumerate(facts.children):
        if is_app and SETTINGS_INTERFACE in child.exports:
            continue
        yield Item(
            section=Section.COMPONENT,
            name=names.get(child.sha256.hex, f"{child.kind} {index}"),
            value=str(child.kind),
            digest=str(child.sha256),
            size_bytes=child.size_bytes,
        )
    between = _between(data, facts)
    yield bytes_item(Section.LAYOUT, f"what connects the parts of {title}", "sections", between)


def _between(data: bytes, facts: ComponentFacts) -> bytes:
    """The file without what is nested in it, nor the sizes before that."""
    pieces, at = [], 0
    for child in facts.children:
        pieces.append(data[at : child.offset_bytes - len(encode_u32(child.size_bytes))])
        at = child.offset_bytes + child.size_bytes
    return b"".join([*pieces, data[at:]])


def _component_container(title: str, data: bytes) -> Container:
    return Container(
        name=title,
        digest=sha256_of(data),
        size_bytes=len(data),
        sections=frozenset({Section.COMPONENT, Section.SETTING, Section.LAYOUT}),
    )


def package_snapshot(
    title: str,
    *,
    manifest: Manifest,
    component: bytes,
    facts: ComponentFacts,
    settings: Settings,
    models: Mapping[str, ModelParts],
    bom: BomParts,
    statement: bytes,
    signatures: Iterable[tuple[str, bytes]] = (),
    others: tuple[str, ...] = (),
) -> Snapshot:
    """A package; ``models`` are those that are there, by name.

    The config part is its settings and nothing else (`component.find_settings` sees to it), so it
    is told as settings only. A model that lies elsewhere is known by its digest alone.
    """
    parts = {part.sha256.hex: f"{part.name} component" for part in manifest.component.parts}
    items = [*_release_items(manifest), *_setting_items(settings)]
    items += _component_items(COMPONENT_FILE, component, facts, parts, is_app=True)
    items += bom_items(bom)
    containers = [_component_container(COMPONENT_FILE, component), *bom_containers(bom)]
    notes, findings = bom_notes(title, bom), list[str]()
    if others:
        notes.append(f"{title} has files that are not compared: {', '.join(others)[:_NOTE]}")
    for model in manifest.models:
        prefix = f"{model.name}: " if len(manifest.models) > 1 else ""
        found = models.get(model.name)
        if found is not None:
            items += _model_items(found, prefix)
            findings += _findings(found.header, prefix)
            containers.append(_model_container(model.shards[0], found, prefix))
            continue
        entry = manifest.entry(model.shards[0])
        items.append(
            Item(
                section=Section.LAYOUT,
                name=f"{prefix}{entry.name}",
                value="a model that lies elsewhere",
                digest=str(entry.blake3),
                size_bytes=entry.size_bytes,
            )
        )
        notes.append(f"{title} is without its model: compared by the digest that it states")
    items += _other_claims(manifest)
    containers.append(_whole_container("the signed statement", statement))
    containers += [_whole_container(f"the signature {name}", data) for name, data in signatures]
    return _snapshot(title, "package", items, containers, notes=notes, findings=findings)


def _other_claims(manifest: Manifest) -> Iterator[Item]:
    """What a manifest says of further files, and other names of models."""
    read = {COMPONENT_FILE, BOM_FILE, *(model.shards[0] for model in manifest.models)}
    for entry in manifest.entries:
        if entry.name not in read:
            yield Item(
                section=Section.LAYOUT,
                name=f"stated file {entry.name}",
                value=str(entry.role),
                digest=str(entry.blake3),
                size_bytes=entry.size_bytes,
            )
    for model in manifest.models:
        if model.aliases:
            text = ", ".join(model.aliases)
            yield text_item(Section.LAYOUT, f"other names of {model.name}", text)
    for one in (*manifest.loras, *manifest.projectors):
        yield text_item(Section.LAYOUT, f"{one.name} of {one.model}", one.entry)


def _whole_container(name: str, data: bytes) -> Container:
    """A file that differs whenever anything does: told if it is all that does."""
    return Container(
        name=name,
        digest=sha256_of(data),
        size_bytes=len(data),
        sections=frozenset(Section),
        rest="alone",
    )


def _findings(header: GgufHeader, prefix: str) -> Iterator[str]:
    for key, found in header.metadata.items():
        if key.startswith(_TEMPLATE) and isinstance(found.value, str):
            if len(found.value) > LIMITS.chat_template_bytes:
                yield f"{prefix}{key}: too long to be looked at"
                continue
            for finding in template_findings(found.value):
                yield f"{prefix}{key}: {finding}"


def _release_items(manifest: Manifest) -> Iterator[Item]:
    expires = "never" if manifest.expires_at is None else format_time(manifest.expires_at)
    for name, text in (
        ("package name", manifest.package_name),
        ("version", manifest.package_version),
        ("sequence", str(manifest.sequence)),
        ("issued at", format_time(manifest.issued_at)),
        ("expires at", expires),
    ):
        yield text_item(Section.RELEASE, name, text)


def _setting_items(settings: Settings) -> Iterator[Item]:
    document = json.loads(settings.to_json())
    for key, value in document.items():
        name = _SETTING_NAMES[key]
        if isinstance(value, str):
            yield text_item(Section.SETTING, name, value)
        elif isinstance(value, dict):
            for part, bound in value.items():
                yield text_item(Section.SETTING, f"limit {part}", str(bound))
        else:
            yield text_item(Section.SETTING, name, json.dumps(value, ensure_ascii=False))


def _snapshot(
    title: str,
    kind: str,
    items: Iterable[Item],
    containers: Iterable[Container],
    *,
    notes: Iterable[str] = (),
    findings: Iterable[str] = (),
) -> Snapshot:
    return Snapshot(
        title=title,
        kind=kind,
        items=_by_name(items),
        containers=tuple(containers),
        notes=tuple(notes),
        findings=tuple(findings),
    )


def _by_name(items: Iterable[Item]) -> dict[tuple[Section, str], Item]:
    """Of those with one name each is kept: a part may be in a file twice."""
    found: dict[tuple[Section, str], Item] = {}
    counts: Counter[tuple[Section, str]] = Counter()
    for item in items:
        key = (item.section, item.name)
        while key in found:
            counts[item.section, item.name] += 1
            key = (item.section, f"{item.name} #{counts[item.section, item.name] + 1}")
        found[key] = item
    return found
