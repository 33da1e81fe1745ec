"""What a model's header says about the model, as far as a bill of materials or a runner asks."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from infwasi_sign.domain.gguf_header import GgufHeader
from infwasi_sign.domain.gguf_types import FILE_TYPES, GgufArray, TensorInfo, ValueType
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import MalformedError
from infwasi_sign.quick_dataclass import dataclass

_LIST_ELEMENTS: Final = 1024  # of languages or tags; ISO 639-1 knows 183 languages
_UNSIGNED: Final = frozenset(
    # gguf.md: counts are uint64 by convention, "some models may use uint32"; smaller ones fit too
    {ValueType.UINT8, ValueType.UINT16, ValueType.UINT32, ValueType.UINT64}
)
_NO_TOKENIZER: Final = frozenset({"none", "no_vocab"})  # llama-vocab.cpp, LLAMA_VOCAB_TYPE_NONE


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizationCount:
    """How many tensors are stored in one type, and in how many bytes."""

    type_name: str
    tensor_count: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """Facts of a GGUF header; ``None`` and empty tuples where the file says nothing.

    ``context_length`` is in tokens; ``file_type`` is the label of `general.file_type`, whereas
    ``quantization`` counts the tensors themselves, sorted by type name.
    """

    architecture: str
    name: str | None
    version: str | None
    basename: str | None
    size_label: str | None
    organization: str | None
    author: str | None
    license: str | None
    languages: tuple[str, ...]
    tags: tuple[str, ...]
    context_length: int | None
    embedding_length: int | None
    block_count: int | None
    file_type: str | None
    quantization: tuple[QuantizationCount, ...]
    parameter_count: int
    bits_per_weight: float | None
    tokenizer_model: str | None
    tokenizer_pre: str | None
    chat_template: str | None
    has_tokenizer: bool

    @property
    def can_chat(self) -> bool:
        """Whether messages can be turned into tokens: there are a tokenizer and a template."""
        return self.has_tokenizer and bool(self.chat_template)


def model_facts(header: GgufHeader) -> ModelFacts:
    """Collect the facts of a header.

    Raises:
        MalformedError: no architecture, or a well-known key of another type than gguf.md gives it.
    """
    architecture = _text(header, "general.architecture")
    if not architecture:
        raise MalformedError("architecture is missing", where="metadata 'general.architecture'")
    parameters = sum(tensor.element_count for tensor in header.tensors)
    data_bytes = sum(tensor.size_bytes for tensor in header.tensors)
    tokenizer_model = _text(header, "tokenizer.ggml.model")
    return ModelFacts(
        architecture=architecture,
        name=_text(header, "general.name"),
        version=_text(header, "general.version"),
        basename=_text(header, "general.basename"),
        size_label=_text(header, "general.size_label"),
        organization=_text(header, "general.organization"),
        author=_text(header, "general.author"),
        license=_text(header, "general.license"),
        languages=_texts(header, "general.languages"),
        tags=_texts(header, "general.tags"),
        context_length=_count(header, f"{architecture}.context_length"),
        embedding_length=_count(header, f"{architecture}.embedding_length"),
        block_count=_count(header, f"{architecture}.block_count"),
        file_type=_file_type(header),
        quantization=_census(header.tensors),
        parameter_count=parameters,
        bits_per_weight=8 * data_bytes / parameters if parameters else None,
        tokenizer_model=tokenizer_model,
        tokenizer_pre=_text(header, "tokenizer.ggml.pre"),
        chat_template=_chat_template(header),
        has_tokenizer=(
            tokenizer_model is not None
            and tokenizer_model not in _NO_TOKENIZER
            and "tokenizer.ggml.tokens" in header.metadata
        ),
    )


def _wrong_type(key: str, expected: str, got: str) -> MalformedError:
    return MalformedError(
        "value has the wrong type", where=f"metadata {key[:80]!r}", expected=expected, got=got
    )


def _text(header: GgufHeader, key: str) -> str | None:
    found = header.metadata.get(key)
    if found is None:
        return None
    if not isinstance(found.value, str):
        raise _wrong_type(key, "string", found.type.label)
    return found.value


def _texts(header: GgufHeader, key: str) -> tuple[str, ...]:
    found = header.metadata.get(key)
    if found is None:
        return ()
    array = found.value
    if not isinstance(array, GgufArray):
        raise _wrong_type(key, "array of string", found.type.label)
    # An empty list has no elements whose type could matter; writers differ in what they put there.
    if array.element_type is not ValueType.STRING and array.count:
        raise _wrong_type(key, "array of string", f"array of {array.element_type.label}")
    return tuple(str(text) for text in header.materialise(array, at_most=_LIST_ELEMENTS))


def _count(header: GgufHeader, key: str) -> int | None:
    found = header.metadata.get(key)
    if found is None:
        return None
    if found.type not in _UNSIGNED or not isinstance(found.value, int):
        raise _wrong_type(key, "unsigned integer", found.type.label)
    return found.value


def _file_type(header: GgufHeader) -> str | None:
    """The label of the file type; a number newer than our table is told as it is."""
    number = _count(header, "general.file_type")
    return None if number is None else FILE_TYPES.get(number, f"unknown ({number})")


def _chat_template(header: GgufHeader) -> str | None:
    template = _text(header, "tokenizer.chat_template")
    if template is None:
        return None
    size = len(template.encode())
    if size > LIMITS.chat_template_bytes:
        raise MalformedError(
            "chat template is too long",
            where="metadata 'tokenizer.chat_template'",
            expected=f"at most {LIMITS.chat_template_bytes} bytes",
            got=str(size),
        )
    return template


def _census(tensors: Sequence[TensorInfo]) -> tuple[QuantizationCount, ...]:
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        counts[tensor.type.name] += 1
        sizes[tensor.type.name] += tensor.size_bytes
    return tuple(
        QuantizationCount(type_name=name, tensor_count=counts[name], size_bytes=sizes[name])
        for name in sorted(counts)
    )
