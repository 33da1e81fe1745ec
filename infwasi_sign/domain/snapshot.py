"""Takes a package, a model or a component apart into the items that `difference` compares."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from infwasi_sign.domain.bom import BomDocument
from infwasi_sign.domain.component import ComponentFacts
from infwasi_sign.domain.declared_codec import declared_tree
from infwasi_sign.domain.difference import Container, Item, Section, Snapshot
from infwasi_sign.domain.digest import Digest
from infwasi_sign.domain.gguf import GgufHeader
from infwasi_sign.domain.gguf_types import GgufArray, GgufValue
from infwasi_sign.domain.manifest import COMPONENT_FILE, Manifest, format_time
from infwasi_sign.domain.model_digests import TensorDigests
from infwasi_sign.domain.settings import Settings
from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.quick_dataclass import dataclass

_SHOWN_CHARACTERS: Final = 60
_SETTINGS_PART: Final = "config component"
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
        title, "model", _model_items(model, ""), [_model_container("the model", model, "")]
    )


def component_snapshot(title: str, data: bytes, facts: ComponentFacts) -> Snapshot:
    """A lone component."""
    items = _component_items(facts, {})
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
        return _item(Section.METADATA, name, kind, data)
    if isinstance(found.value, str):
        return _text_item(Section.METADATA, name, found.value)
    shown = f"{found.value} ({found.type.label})"
    return _item(Section.METADATA, name, shown, repr(found.value).encode())


def _component_items(facts: ComponentFacts, names: Mapping[str, str]) -> Iterator[Item]:
    """Imports, exports and what is nested; ``names`` are those of known parts by digest."""
    for what, found in (("imports", facts.imports), ("exports", facts.exports)):
        for name in found:
            yield _item(Section.COMPONENT, f"{what} {name}", what, name.encode())
    for index, child in enumerate(facts.children):
        yield Item(
            section=Section.COMPONENT,
            name=names.get(child.sha256.hex, f"{child.kind} {index}"),
            value=str(child.kind),
            digest=str(child.sha256),
            size_bytes=child.size_bytes,
        )


def _component_container(title: str, data: bytes) -> Container:
    return Container(
        name=title,
        digest=_sha256(data),
        size_bytes=len(data),
        sections=frozenset({Section.COMPONENT, Section.SETTING}),
    )


def package_snapshot(
    title: str,
    *,
    manifest: Manifest,
    component: bytes,
    facts: ComponentFacts,
    settings: Settings,
    models: Mapping[str, ModelParts],
    bom: BomDocument,
) -> Snapshot:
    """A package; ``models`` are those that are there, by name; of the BOM what no other file says.

    The config part is its settings and nothing else (`component.find_settings` sees to it), so it
    is told as settings only. A model that lies elsewhere is known by its digest alone.
    """
    parts = {part.sha256.hex: f"{part.name} component" for part in manifest.component.parts}
    items = [*_release_items(manifest), *_setting_items(settings)]
    items += _declared_items(declared_tree(bom.declared()), "")
    items += [
        _text_item(Section.RELEASE, f"made with {name}", version) for name, version in bom.tools
    ]
    items += [item for item in _component_items(facts, parts) if item.name != _SETTINGS_PART]
    containers = [_component_container(COMPONENT_FILE, component)]
    notes = []
    for model in manifest.models:
        prefix = f"{model.name}: " if len(manifest.models) > 1 else ""
        found = models.get(model.name)
        if found is not None:
            items += _model_items(found, prefix)
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
    return _snapshot(title, "package", items, containers, notes)


def _release_items(manifest: Manifest) -> Iterator[Item]:
    expires = "never" if manifest.expires_at is None else format_time(manifest.expires_at)
    for name, text in (
        ("package name", manifest.package_name),
        ("version", manifest.package_version),
        ("sequence", str(manifest.sequence)),
        ("issued at", format_time(manifest.issued_at)),
        ("expires at", expires),
    ):
        yield _text_item(Section.RELEASE, name, text)


def _declared_items(tree: Mapping[str, JsonValue], prefix: str) -> Iterator[Item]:
    """What the model card and VEX declare, each value by its key; of a list by its entry's name."""
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _declared_items(value, f"{name}.")
        elif isinstance(value, list) and all(isinstance(entry, dict) for entry in value):
            labels: dict[str, int] = {}
            for entry in value:
                assert isinstance(entry, dict)  # noqa: S101 - just looked at
                label = str(entry.get("id") or entry.get("name") or entry.get("type") or "")
                count = labels[label] = labels.get(label, 0) + 1
                words = (name, label, str(count) if count > 1 or not label else "")
                title = " ".join(filter(None, words))
                if key == "vulnerability":  # one statement: of its members none stands alone
                    shown = json.dumps(entry, ensure_ascii=False, indent=1)
                    item = _text_item(Section.DECLARED, title, shown)
                    yield replace(item, value=str(entry.get("state")))
                else:
                    yield from _declared_items(entry, f"{title}: ")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield _text_item(Section.DECLARED, name, text)


def _setting_items(settings: Settings) -> Iterator[Item]:
    document = json.loads(settings.to_json())
    for key, value in document.items():
        name = _SETTING_NAMES[key]
        if isinstance(value, str):
            yield _text_item(Section.SETTING, name, value)
        elif isinstance(value, dict):
            for part, bound in value.items():
                yield _text_item(Section.SETTING, f"limit {part}", str(bound))
        else:
            yield _text_item(Section.SETTING, name, json.dumps(value, ensure_ascii=False))


def _snapshot(
    title: str,
    kind: str,
    items: Iterable[Item],
    containers: Iterable[Container],
    notes: Iterable[str] = (),
) -> Snapshot:
    return Snapshot(
        title=title,
        kind=kind,
        items={(item.section, item.name): item for item in items},
        containers=tuple(containers),
        notes=tuple(notes),
    )


def _text_item(section: Section, name: str, text: str) -> Item:
    data = text.encode("utf-8", "surrogatepass")
    shown = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
    return Item(
        section=section,
        name=name,
        value=json.dumps(shown, ensure_ascii=False),
        digest=_sha256(data),
        size_bytes=len(data),
        text=text,
    )


def _item(section: Section, name: str, value: str, data: bytes) -> Item:
    return Item(section=section, name=name, value=value, digest=_sha256(data), size_bytes=len(data))


def _sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
