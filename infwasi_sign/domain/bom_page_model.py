"""The models and datasets of a BOM as a page shows them: card, storage, template, lineage."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Final

from infwasi_sign.domain.bom_node import Node, words_of
from infwasi_sign.domain.bom_page_fields import DATASETS, model_groups
from infwasi_sign.domain.gguf_types import GgmlType
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.origin import Origin
from infwasi_sign.domain.page_parts import (
    Census,
    Fact,
    Group,
    ModelView,
    Show,
    fact,
    number_text,
    shares,
    size_text,
    whole_number,
)

MODEL: Final = "machine-learning-model"
_COUNT: Final = re.compile(r"([A-Za-z0-9_]{1,32}):([0-9]{1,12})")
_REFERENCES: Final = {
    "website": "Website",
    "vcs": "Repository",
    "documentation": "Documentation",
    "license": "Text of the licence",
    "source-distribution": "Made from",
    "distribution": "Download",
    "model-card": "Model card",
}
_GGUF: Final = "infwasi:gguf:"
_SHOWN_ELSEWHERE: Final = frozenset(
    {
        *("parameters", "context-length", "tokenizer", "languages", "quantization"),
        *("bits-per-weight", "file-type", "tensors", "header:sha256", "tensor-table:sha256"),
        *("tensors:blake3", "chat-template:sha256", "chat-template:findings"),
    }
)


def model_view(node: Node, number: int, names: Mapping[str, str]) -> ModelView:
    """One model; ``number`` makes its anchor, ``names`` are those of datasets by reference."""
    template = node.properties.get(f"{_GGUF}chat-template:findings")
    return ModelView(
        anchor=f"model-{number}",
        name=node.text("name") or "unnamed model",
        summary=model_summary(node),
        groups=tuple(_groups(node, names)),
        census=census(node),
        findings=None if template is None else _findings(template),
        template=tuple(_template_facts(node)),
        header=tuple(_header_facts(node)),
    )


def _groups(node: Node, names: Mapping[str, str]) -> Iterator[Group]:
    first, *others = model_groups(node)
    yield replace(first, facts=(*first.facts, *_references(node)))
    for group in others:
        facts = tuple(
            replace(one, values=tuple(names.get(ref, ref) for ref in one.values))
            if one.label == DATASETS
            else one
            for one in group.facts
        )
        if facts:
            yield replace(group, facts=facts)


def _references(node: Node) -> Iterator[Fact]:
    for one in islice(node.nodes("externalReferences"), LIMITS.html_items):
        kind = one.text("type") or "other"
        label = _REFERENCES.get(kind, f"Reference: {kind}")
        if address := one.text("url"):
            origin = node.origin(f"externalReferences.{kind}")
            yield fact(label, address, Show.LINK, origin=origin)


def model_summary(node: Node) -> str:
    """The model in one line: how many parameters, how they are stored, how large the file is."""
    words = []
    parameters = whole_number(node.properties.get(f"{_GGUF}parameters"))
    if parameters is not None:
        words.append(f"{number_text(parameters)} parameters")
    if bits := _bits(node):
        words.append(f"{bits} bits per weight")
    size_bytes = whole_number(node.properties.get("infwasi:size"))
    if size_bytes is not None:
        words.append(size_text(size_bytes))
    return ", ".join(words)


def census(node: Node) -> Census | None:
    """How the tensors are stored, most frequent first; nothing where the BOM does not say."""
    text = node.properties.get(f"{_GGUF}quantization", "")
    counts = [match.groups() for match in islice(_COUNT.finditer(text), LIMITS.html_items)]
    if not counts:
        return None
    numbers = [(name, int(count)) for name, count in counts]
    numbers.sort(key=lambda pair: (-pair[1], pair[0]))
    facts = [
        fact("Bits per weight, on average", _bits(node), origin=_origin(node, "bits-per-weight"))
    ]
    claim = node.properties.get(f"{_GGUF}file-type")
    facts.append(fact("The file calls it", claim, Show.NAME, origin=_origin(node, "file-type")))
    return Census(
        parts=shares((name, count, _bits_of_type(name)) for name, count in numbers),
        tensors=sum(count for _, count in numbers),
        facts=tuple(one for one in facts if one.values),
    )


def _origin(node: Node, name: str) -> Origin | None:
    return node.origin(f"gguf:{name}")


def _bits(node: Node) -> str:
    text = node.properties.get(f"{_GGUF}bits-per-weight", "")
    return f"{float(text):.2f}" if re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,8})?", text) else ""


def _bits_of_type(name: str) -> str:
    """The bits that one number of a tensor type takes, its share of the block's scales included."""
    if name not in GgmlType.__members__:
        return "?"
    kind = GgmlType[name]
    return f"{kind.block_bytes * 8 / kind.block_elements:g}"


def _findings(text: str) -> tuple[str, ...]:
    if text.strip() == "none":
        return ()
    return tuple(islice(words_of(text), LIMITS.html_items))


def _template_facts(node: Node) -> Iterator[Fact]:
    digest = node.properties.get(f"{_GGUF}chat-template:sha256")
    if digest is not None:
        origin = _origin(node, "chat-template:sha256")
        yield fact("SHA-256", digest, Show.CODE, origin=origin)


def _header_facts(node: Node) -> Iterator[Fact]:
    """What else the header says, under its own names, but no lists of digests."""
    for name, value in sorted(node.properties.items()):
        short = name.removeprefix(_GGUF)
        if short != name and short not in _SHOWN_ELSEWHERE and "tensor-digests" not in short:
            yield fact(short, value, origin=_origin(node, short))
