"""Makes GGUF bytes, honest ones and lies.

Everything that a header says can be said otherwise: counts, lengths, types, offsets, padding.
"""

import struct
from dataclasses import dataclass

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
TENSOR_F32, TENSOR_F16, TENSOR_Q4_0 = 0, 1, 2

TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A tensor with its data; ``offset`` and ``dimension_count`` are right unless given."""

    name: bytes
    dimensions: tuple[int, ...]
    type: int
    data: bytes
    offset: int | None = None
    dimension_count: int | None = None


def string(raw: str | bytes, *, length: int | None = None) -> bytes:
    data = raw.encode() if isinstance(raw, str) else raw
    return struct.pack("<Q", len(data) if length is None else length) + data


def pair(key: str | bytes, kind: int, payload: bytes) -> bytes:
    return string(key) + struct.pack("<I", kind) + payload


def text_pair(key: str, value: str) -> bytes:
    return pair(key, STRING, string(value))


def u32_pair(key: str, value: int) -> bytes:
    return pair(key, U32, struct.pack("<I", value))


def array(kind: int, payload: bytes, count: int) -> bytes:
    return struct.pack("<IQ", kind, count) + payload


def strings(*values: str | bytes) -> bytes:
    return array(STRING, b"".join(map(string, values)), len(values))


def pattern(size: int, seed: int) -> bytes:
    """Bytes that differ from tensor to tensor."""
    return bytes((seed * 37 + index * 7) % 256 for index in range(size))


PAIRS = (
    text_pair("general.architecture", "llama"),
    text_pair("general.name", "tiny"),
    u32_pair("llama.context_length", 64),
    text_pair("tokenizer.ggml.model", "gpt2"),
    pair("tokenizer.ggml.tokens", ARRAY, strings("a", "b", "é")),
    text_pair("tokenizer.chat_template", TEMPLATE),
)

TENSORS = (
    Tensor(name=b"a.weight", dimensions=(8,), type=TENSOR_F32, data=pattern(32, 1)),
    Tensor(name=b"b.weight", dimensions=(32, 3), type=TENSOR_Q4_0, data=pattern(54, 2)),
    Tensor(name=b"c.weight", dimensions=(3, 1, 1, 1), type=TENSOR_F16, data=pattern(6, 3)),
)


GENERAL_TEXTS = {
    "type": "model",
    "architecture": "llama",
    "name": "Everything 1B",
    "author": "An Author",
    "version": "1.2",
    "organization": "An Organization",
    "basename": "everything",
    "finetune": "instruct",
    "description": "A model that says all there is to say.",
    "quantized_by": "A Quantizer",
    "size_label": "1B",
    "license": "apache-2.0",
    "license.name": "Apache License 2.0",
    "license.link": "https://example.com/license",
    "url": "https://example.com/model",
    "doi": "10.1000/model",
    "uuid": "6f1c0f0e-0000-4000-8000-000000000001",
    "repo_url": "https://example.com/model.git",
    "source.url": "https://example.com/source",
    "source.doi": "10.1000/source",
    "source.uuid": "6f1c0f0e-0000-4000-8000-000000000002",
    "source.repo_url": "https://example.com/source.git",
    "source.huggingface.repository": "example/source",
}
"""Keys of strings, without `general.`: those of gguf.md and of gguf-py 0.19."""

GENERAL_ORIGIN = ("name", "author", "version", "organization", "description")
"""What is said of each base model and dataset, beside `url`, `doi`, `uuid` and `repo_url`."""


def origin_pairs(prefix: str, number: int) -> tuple[bytes, ...]:
    """All that can be said of base model or dataset ``number``; ``prefix`` ends without a dot."""
    word = prefix.rpartition(".")[2]
    texts = {
        **{member: f"{word} {number} {member}" for member in GENERAL_ORIGIN},
        "url": f"https://example.com/{word}/{number}",
        "doi": f"10.1000/{word}.{number}",
        "uuid": f"6f1c0f0e-0000-4000-8000-0000000001{number:02}",
        "repo_url": f"https://example.com/{word}/{number}.git",
    }
    return tuple(text_pair(f"{prefix}.{number}.{member}", texts[member]) for member in texts)


def every_general_key() -> tuple[bytes, ...]:
    """Pairs of a model with every `general.*` key that gguf.md and gguf-py know, and a tokenizer.

    `tiny_gguf(pairs=every_general_key())` is the file.
    """
    return (
        *(text_pair(f"general.{key}", value) for key, value in GENERAL_TEXTS.items()),
        u32_pair("general.quantization_version", 2),
        u32_pair("general.alignment", 32),
        u32_pair("general.file_type", 2),
        pair("general.tags", ARRAY, strings("text-generation", "chat, with a comma")),
        pair("general.languages", ARRAY, strings("en", "de")),
        pair("general.datasets", ARRAY, strings("dataset 0 name", "example/other")),
        text_pair("general.sampling.sequence", "top_k;top_p;temp"),
        *(
            pair(f"general.sampling.{key}", I32, struct.pack("<i", value))
            for key, value in {"top_k": 40, "penalty_last_n": 64, "mirostat": 0}.items()
        ),
        *(
            pair(f"general.sampling.{key}", F32, struct.pack("<f", value))
            for key, value in {
                "top_p": 0.95,
                "min_p": 0.05,
                "xtc_probability": 0.0,
                "xtc_threshold": 0.1,
                "temp": 0.8,
                "penalty_repeat": 1.0,
                "mirostat_tau": 5.0,
                "mirostat_eta": 0.1,
            }.items()
        ),
        u32_pair("general.base_model.count", 2),
        *origin_pairs("general.base_model", 0),
        *origin_pairs("general.base_model", 1),
        u32_pair("general.dataset.count", 1),
        *origin_pairs("general.dataset", 0),
        u32_pair("llama.context_length", 2048),
        u32_pair("llama.embedding_length", 8),
        u32_pair("llama.block_count", 1),
        text_pair("tokenizer.ggml.model", "gpt2"),
        text_pair("tokenizer.ggml.pre", "smollm"),
        pair("tokenizer.ggml.tokens", ARRAY, strings("a", "b", "é")),
        text_pair("tokenizer.chat_template", TEMPLATE),
    )


def tiny_gguf(
    *,
    magic: bytes = b"GGUF",
    version: int = 3,
    pairs: tuple[bytes, ...] = PAIRS,
    tensors: tuple[Tensor, ...] = TENSORS,
    pair_count: int | None = None,
    tensor_count: int | None = None,
    alignment: int = 32,
    states_alignment: bool = False,
    padding: bytes = b"\0",
    pads_last: bool = True,
    trailing: bytes = b"",
) -> bytes:
    """A small GGUF; without arguments it is a valid one."""
    if states_alignment:
        pairs = (*pairs, u32_pair("general.alignment", alignment))
    head = magic + struct.pack(
        "<IQQ",
        version,
        len(tensors) if tensor_count is None else tensor_count,
        len(pairs) if pair_count is None else pair_count,
    )
    table, data = b"", b""
    for index, tensor in enumerate(tensors):
        table += _table_line(tensor, len(data) if tensor.offset is None else tensor.offset)
        data += tensor.data
        if pads_last or index + 1 < len(tensors):
            data += bytes(-len(data) % alignment)
    header = head + b"".join(pairs) + table
    if tensors:
        header += padding * (-len(header) % alignment)
    return header + data + trailing


def _table_line(tensor: Tensor, offset: int) -> bytes:
    count = tensor.dimension_count
    return (
        string(tensor.name)
        + struct.pack("<I", len(tensor.dimensions) if count is None else count)
        + b"".join(struct.pack("<Q", dimension) for dimension in tensor.dimensions)
        + struct.pack("<IQ", tensor.type, offset)
    )


class WatchedSource:
    """A ByteSource over bytes that fails the test when it is asked for bytes it has not."""

    def __init__(self, data: bytes, *, size_bytes: int | None = None) -> None:
        self._data = data
        self.size_bytes = len(data) if size_bytes is None else size_bytes
        self.reads: list[tuple[int, int]] = []

    def read_at(self, offset: int, size: int) -> bytes:
        assert offset >= 0
        assert size > 0
        assert offset + size <= self.size_bytes
        self.reads.append((offset, size))
        return self._data[offset : offset + size]
