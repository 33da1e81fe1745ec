"""How `infwasi inspect` shows what bytes tell of a component and a model."""

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from infwasi_sign.domain.component import ComponentFacts, Nested
    from infwasi_sign.domain.core_module import Producer
    from infwasi_sign.domain.gguf_facts import ModelFacts
    from infwasi_sign.domain.gguf_general import BaseModel, DatasetFacts

_NESTED_LINES: Final = 48  # componentize-py nests 43; `--json` has all
_ORIGIN_WORDS: Final = 4  # of a base model or dataset in one line


def component_json(app: "ComponentFacts") -> dict[str, object]:
    """Names, capabilities and the whole tree."""
    from infwasi_sign.domain.capabilities import capabilities

    return {
        "imports": app.imports,
        "exports": app.exports,
        "producers": _producers(app.producers),
        "capabilities": {name: list(found) for name, found in capabilities(app.imports).items()},
        "nested": [_nested_json(child) for child in app.children],
    }


def component_lines(app: "ComponentFacts") -> Iterator[str]:
    """What the component could reach, and what it is made of, an indented line each."""
    from infwasi_sign.domain.capabilities import capabilities

    found = capabilities(app.imports)
    for name, imports in found.items():
        if imports:
            yield f"  capability {name}: {' '.join(imports)}"
    none = [name for name, imports in found.items() if not imports and name != "unknown"]
    yield f"  no capability: {', '.join(none)}"
    lines = [line for child in app.children for line in _nested_lines(child, 1)]
    yield from lines[:_NESTED_LINES]
    if len(lines) > _NESTED_LINES:
        yield f"  and {len(lines) - _NESTED_LINES} more; --json has all"


def model_json(facts: "ModelFacts") -> dict[str, object]:
    """All that the header says of the model."""
    return {
        "architecture": facts.architecture,
        "name": facts.name,
        "license": facts.license,
        "parameters": facts.parameter_count,
        "bitsPerWeight": facts.bits_per_weight,
        "contextLength": facts.context_length,
        "quantization": {q.type_name: q.tensor_count for q in facts.quantization},
        "canChat": facts.can_chat,
        "chatTemplate": facts.chat_template,
        "general": dict(facts.general),
        "baseModels": [_said(one) for one in facts.base_models],
        "datasets": [_said(one) for one in facts.datasets],
        **_template_json(facts.chat_template),
    }


def model_lines(facts: "ModelFacts") -> Iterator[str]:
    """What a person asks first, an indented line each."""
    census = ", ".join(f"{q.tensor_count} {q.type_name}" for q in facts.quantization)
    yield (
        f"  {facts.name or 'unnamed'}, {facts.architecture}, "
        f"{facts.parameter_count:,} parameters, licence {facts.license or 'unknown'}"
    )
    if facts.description:
        yield f"  description: {facts.description}"
    for word, origins in (("made from", facts.base_models), ("trained on", facts.datasets)):
        for one in origins:
            yield f"  {word}: {', '.join([*_said(one).values()][:_ORIGIN_WORDS]) or 'unknown'}"
    yield f"  tensors: {census}"
    chats = "can chat" if facts.can_chat else "CANNOT chat: no tokenizer or no chat template"
    yield f"  context {facts.context_length}, {chats}"
    if facts.chat_template is not None:
        digest, findings = _template(facts.chat_template)
        yield f"  chat template {digest}"
        yield f"  chat template findings: {' '.join(findings) or 'none'}"


def _template_json(template: str | None) -> dict[str, object]:
    if template is None:
        return {}
    digest, findings = _template(template)
    return {"chatTemplateDigest": digest, "chatTemplateFindings": findings}


def _template(template: str) -> tuple[str, tuple[str, ...]]:
    """The digest that the manifest states, and what is remarkable."""
    from infwasi_sign.domain.model_digests import chat_template_digest
    from infwasi_sign.domain.template_code import template_findings

    return str(chat_template_digest(template)), template_findings(template)


def _said(one: "BaseModel | DatasetFacts") -> dict[str, str]:
    """The members of which something is said."""
    members = {field.name: getattr(one, field.name) for field in fields(one)}
    return {name: value for name, value in members.items() if value is not None}


def _producers(producers: "tuple[Producer, ...]") -> list[str]:
    return [f"{one.field} {one.name} {one.version}" for one in producers]


def _nested_json(nested: "Nested") -> dict[str, object]:
    return {
        "kind": str(nested.kind),
        "size": nested.size_bytes,
        "sha256": nested.sha256.hex,
        "imports": nested.imports,
        "exports": nested.exports,
        "producers": _producers(nested.producers),
        "nested": [_nested_json(child) for child in nested.children],
    }


def _nested_lines(nested: "Nested", depth: int) -> Iterator[str]:
    made = sorted({f"{one.name} {one.version}" for one in nested.producers})
    by = f", by {', '.join(made)}" if made else ""
    yield (
        f"{'  ' * depth}{nested.kind}  {nested.size_bytes:,} bytes  {nested.sha256}"
        f"  {len(nested.imports)} imports, {len(nested.exports)} exports{by}"
    )
    for child in nested.children:
        yield from _nested_lines(child, depth + 1)
