"""What a model's header says about the model, as far as a bill of materials or a runner asks."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from infwasi_sign.domain.gguf_general import (
    BaseModel,
    DatasetFacts,
    base_models,
    count_of,
    datasets,
    general_texts,
    text_of,
    texts_of,
)
from infwasi_sign.domain.gguf_header import GgufHeader
from infwasi_sign.domain.gguf_types import FILE_TYPES, TensorInfo
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import MalformedError
from infwasi_sign.quick_dataclass import dataclass

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
    ``quantization`` counts the tensors themselves, sorted by type name. ``general`` has every
    `general.*` key as text (``gguf_general.general_texts``), also those that have a field.
    """

    architecture: str
    name: str | None
    version: str | None
    basename: str | None
    size_label: str | None
    organization: str | None
    author: str | None
    finetune: str | None
    description: str | None
    quantized_by: str | None
    license: str | None
    license_name: str | None
    license_link: str | None
    url: str | None
    doi: str | None
    uuid: str | None
    repo_url: str | None
    source_url: str | None
    source_doi: str | None
    source_uuid: str | None
    source_repo_url: str | None
    base_models: tuple[BaseModel, ...]
    datasets: tuple[DatasetFacts, ...]
    general: tuple[tuple[str, str], ...]
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
    architecture = text_of(header, "general.architecture")
    if not architecture:
        raise MalformedError("architecture is missing", where="metadata 'general.architecture'")
    parameters = sum(tensor.element_count for tensor in header.tensors)
    data_bytes = sum(tensor.size_bytes for tensor in header.tensors)
    tokenizer_model = text_of(header, "tokenizer.ggml.model")
    return ModelFacts(
        architecture=architecture,
        name=text_of(header, "general.name"),
        version=text_of(header, "general.version"),
        basename=text_of(header, "general.basename"),
        size_label=text_of(header, "general.size_label"),
        organization=text_of(header, "general.organization"),
        author=text_of(header, "general.author"),
        finetune=text_of(header, "general.finetune"),
        description=text_of(header, "general.description"),
        quantized_by=text_of(header, "general.quantized_by"),
        license=text_of(header, "general.license"),
        license_name=text_of(header, "general.license.name"),
        license_link=text_of(header, "general.license.link"),
        url=text_of(header, "general.url"),
        doi=text_of(header, "general.doi"),
        uuid=text_of(header, "general.uuid"),
        repo_url=text_of(header, "general.repo_url"),
        source_url=text_of(header, "general.source.url"),
        source_doi=text_of(header, "general.source.doi"),
        source_uuid=text_of(header, "general.source.uuid"),
        source_repo_url=text_of(header, "general.source.repo_url"),
        base_models=base_models(header),
        datasets=datasets(header),
        general=general_texts(header),
        languages=texts_of(header, "general.languages"),
        tags=texts_of(header, "general.tags"),
        context_length=count_of(header, f"{architecture}.context_length"),
        embedding_length=count_of(header, f"{architecture}.embedding_length"),
        block_count=count_of(header, f"{architecture}.block_count"),
        file_type=_file_type(header),
        quantization=_census(header.tensors),
        parameter_count=parameters,
        bits_per_weight=8 * data_bytes / parameters if parameters else None,
        tokenizer_model=tokenizer_model,
        tokenizer_pre=text_of(header, "tokenizer.ggml.pre"),
        chat_template=_chat_template(header),
        has_tokenizer=(
            tokenizer_model is not None
            and tokenizer_model not in _NO_TOKENIZER
            and "tokenizer.ggml.tokens" in header.metadata
        ),
    )


def _file_type(header: GgufHeader) -> str | None:
    """The label of the file type; a number newer than our table is told as it is."""
    number = count_of(header, "general.file_type")
    return None if number is None else FILE_TYPES.get(number, f"unknown ({number})")


def _chat_template(header: GgufHeader) -> str | None:
    template = text_of(header, "tokenizer.chat_template")
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
    counts = Counter([tensor.type for tensor in tensors])
    sizes = dict.fromkeys(counts, 0)
    for tensor in tensors:
        sizes[tensor.type] += tensor.size_bytes
    return tuple(
        QuantizationCount(type_name=kind.name, tensor_count=count, size_bytes=sizes[kind])
        for kind, count in sorted(counts.items(), key=lambda pair: pair[0].name)
    )
