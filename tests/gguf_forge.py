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
