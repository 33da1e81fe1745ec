"""A strict, bounded reader of GGUF headers, versions 2 and 3, little-endian.

It reads the header and nothing else, and builds no object for the elements of an array: a
vocabulary of 262,144 tokens is four numbers until somebody asks for it. Where gguf.md and
llama.cpp's own loader (`ggml/src/gguf.cpp`, `gguf_init_from_reader`) differ, the stricter one wins,
for what passes here must mean the same there. Tolerated because published files need it:

- keys of any printable ASCII, not only `lower_snake.case`;
- a file that ends without the padding of its last tensor, or with it, but with no byte more
  (llama.cpp's and gguf-py's writers pad the last tensor, its loader does not need it);
- a file without tensors that ends without padding (gguf-py writes vocabularies so).

Version 3 differs from version 2 only in that it may be big-endian (gguf.md, "Version History").
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from types import MappingProxyType
from typing import Final

from infwasi_sign.domain.gguf_cursor import ByteSource, Cursor
from infwasi_sign.domain.gguf_landmarks import Landmarks
from infwasi_sign.domain.gguf_types import (
    GGML_BLOCKS,
    GgmlType,
    GgufArray,
    GgufValue,
    Scalar,
    TensorInfo,
    ValueType,
)
from infwasi_sign.domain.gguf_values import read_elements, read_value
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import MalformedError
from infwasi_sign.quick_dataclass import dataclass

_MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
_PAIR_MIN_BYTES: Final = 8 + 1 + 4 + 1  # key of one byte, type, value of one byte
_TENSOR_MIN_BYTES: Final = 8 + 1 + 4 + 8 + 4 + 8  # name of one byte, one dimension, type, offset
_TENSOR_NAME_BYTES: Final = 64  # gguf.md: "at most 64 bytes long"
_GGML_TYPES: Final = {kind.value: kind for kind in GgmlType}
_TENSOR_DIMENSIONS: Final = 4  # ggml.h, GGML_MAX_DIMS
_ELEMENTS_END: Final = 2**63 - 1  # gguf.cpp refuses tensors of INT64_MAX elements or more
_DEFAULT_ALIGNMENT: Final = 32  # gguf.md: "If the alignment is not specified, assume it is 32"
_ALIGNMENT_KEY: Final = "general.alignment"


@dataclass(frozen=True, kw_only=True, slots=True)
class GgufHeader:
    """Everything in a GGUF file that is not tensor data. Offsets count from the file's start.

    ``header_bytes`` are the bytes [0, data_offset), padding included; the tensor table lies at
    [metadata_end, tensor_table_end).
    """

    version: int
    metadata: Mapping[str, GgufValue]
    tensors: tuple[TensorInfo, ...]
    alignment: int
    metadata_end: int
    tensor_table_end: int
    data_offset: int
    file_bytes: int
    header_bytes: bytes = field(repr=False)

    @property
    def tensor_table_bytes(self) -> bytes:
        """The tensor table as it stands in the file."""
        return self.header_bytes[self.metadata_end : self.tensor_table_end]

    def elements(self, array: GgufArray) -> Iterator[Scalar | GgufArray]:
        """The elements of an array of this header, read one by one.

        Raises:
            MalformedError: while iterating; a string is not UTF-8.
        """
        return read_elements(self.header_bytes, array)

    def materialise(self, array: GgufArray, *, at_most: int) -> tuple[Scalar | GgufArray, ...]:
        """All elements of an array that has no more than ``at_most``.

        Raises:
            MalformedError: it has more, or a string is not UTF-8.
        """
        if array.count > at_most:
            raise MalformedError(
                "array is too long",
                where=f"array at byte {array.offset}",
                expected=f"at most {at_most} elements",
                got=str(array.count),
            )
        return tuple(self.elements(array))


def parse(
    source: ByteSource, *, likely_bytes: int = 0, landmarks: Landmarks | None = None
) -> GgufHeader:
    """Read the header of a GGUF file, which is said to be ``likely_bytes`` long.

    Nothing depends on that but how much is fetched at once: a vocabulary is megabytes.
    ``landmarks`` are believed: they must be of an earlier reading of the very same bytes.

    The checks, in order: 1. magic, version, byte order; 2. counts, against the limits and the
    file's size, before any loop; 3. metadata; 4. alignment; 5. tensor table; 6. padding; 7. the
    end of the file.

    Raises:
        MalformedError: naming the pair or tensor and the byte.
    """
    cursor = Cursor(source, likely_bytes=likely_bytes, landmarks=landmarks)
    version = _version(cursor)  # 1
    tensor_count, pair_count = _counts(cursor)  # 2
    metadata = _metadata(cursor, pair_count)  # 3
    metadata_end = cursor.position
    alignment = _alignment(metadata)  # 4
    tensors = _tensors(cursor, tensor_count, alignment)  # 5
    table_end = cursor.position
    data_offset = _data_offset(cursor, alignment) if tensors else table_end  # 6
    _check_extent(tensors, data_offset, alignment, source.size_bytes)  # 7
    return GgufHeader(
        version=version,
        metadata=MappingProxyType(metadata),
        tensors=tensors,
        alignment=alignment,
        metadata_end=metadata_end,
        tensor_table_end=table_end,
        data_offset=data_offset,
        file_bytes=source.size_bytes,
        header_bytes=cursor.buffer[:data_offset],
    )


def _version(cursor: Cursor) -> int:
    """The version, once the magic is right; the cursor then stands at the counts."""
    cursor.require(len(_MAGIC))
    magic = cursor.buffer[: len(_MAGIC)]
    if magic != _MAGIC:
        raise cursor.fail("not a GGUF file", expected=repr(_MAGIC), got=repr(magic))
    cursor.position = len(_MAGIC)
    version = cursor.u32()
    if version in _VERSIONS:
        return version
    # A small number in the other byte order has an empty low half; gguf.cpp tells it so too.
    if version and version & 0xFFFF == 0:
        raise cursor.fail("file is big-endian", expected="little-endian", at=len(_MAGIC))
    raise cursor.fail(
        "GGUF version is not supported", expected="2 or 3", got=str(version), at=len(_MAGIC)
    )


def _counts(cursor: Cursor) -> tuple[int, int]:
    """The number of tensors and of pairs, once both are known to be possible."""
    start = cursor.position
    tensors, pairs = cursor.u64(), cursor.u64()
    for what, count, limit, least, at in (
        ("tensors", tensors, LIMITS.gguf_tensors, _TENSOR_MIN_BYTES, start),
        ("metadata pairs", pairs, LIMITS.gguf_metadata_pairs, _PAIR_MIN_BYTES, start + 8),
    ):
        if count > limit:
            raise cursor.fail(
                f"too many {what}", expected=f"at most {limit}", got=str(count), at=at
            )
        if count * least > cursor.remaining():
            raise cursor.fail(
                f"more {what} than the file can hold",
                expected=f"at most {cursor.remaining() // least}",
                got=str(count),
                at=at,
            )
    return tensors, pairs


def _metadata(cursor: Cursor, count: int) -> dict[str, GgufValue]:
    metadata: dict[str, GgufValue] = {}
    for index in range(count):
        cursor.place = f"metadata[{index}]"
        start = cursor.position
        key = cursor.name(LIMITS.gguf_key_bytes)
        cursor.place = f"metadata[{index}] {key[:80]!r}"
        if key in metadata:
            raise cursor.fail("duplicate key", at=start)
        metadata[key] = read_value(cursor)
    return metadata


def _alignment(metadata: Mapping[str, GgufValue]) -> int:
    """`general.alignment`: a u32 and power of two (gguf.cpp), a multiple of 8 (gguf.md)."""
    found = metadata.get(_ALIGNMENT_KEY)
    if found is None:
        return _DEFAULT_ALIGNMENT
    where = f"metadata {_ALIGNMENT_KEY!r}"
    if found.type is not ValueType.UINT32 or not isinstance(found.value, int):
        raise MalformedError(
            "value has the wrong type", where=where, expected="uint32", got=found.type.label
        )
    if found.value < 8 or found.value & (found.value - 1):
        raise MalformedError(
            "not an alignment",
            where=where,
            expected="a power of two, 8 or more",
            got=str(found.value),
        )
    return found.value


def _tensors(cursor: Cursor, count: int, alignment: int) -> tuple[TensorInfo, ...]:
    """The tensor table.

    NOTE: gguf.md asks only for aligned offsets, but gguf.cpp refuses each that is not the sum of
    the padded sizes before it; so overlaps, gaps and other orders end here as they would there.
    """
    tensors: dict[str, TensorInfo] = {}
    data_end = 0
    for index in range(count):
        cursor.place = f"tensors[{index}]"
        start = cursor.position
        name = cursor.name(_TENSOR_NAME_BYTES)
        cursor.place = f"tensors[{index}] {name!r}"
        if name in tensors:
            raise cursor.fail("duplicate tensor name", at=start)
        tensor = _tensor(cursor, name, alignment)
        if tensor.offset != data_end:
            what = "overlaps the one before it" if tensor.offset < data_end else "leaves a gap"
            raise cursor.fail(
                f"tensor data {what}",
                expected=f"offset {data_end}",
                got=str(tensor.offset),
                at=cursor.position - 8,
            )
        data_end = _padded(data_end + tensor.size_bytes, alignment)
        tensors[name] = tensor
    return tuple(tensors.values())


def _tensor(cursor: Cursor, name: str, alignment: int) -> TensorInfo:
    """What follows a tensor's name: dimensions, type and offset."""
    dimensions = _dimensions(cursor)
    kind = _ggml_type(cursor)
    block_elements, block_bytes = GGML_BLOCKS[kind]
    if dimensions[0] % block_elements:
        raise cursor.fail(
            f"rows are not whole blocks of {kind.name}",
            expected=f"a multiple of {block_elements} elements",
            got=str(dimensions[0]),
            at=cursor.position - 4,
        )
    blocks = dimensions[0] // block_elements
    for dimension in dimensions[1:]:
        blocks *= dimension
    offset = cursor.u64()
    if offset % alignment:
        raise cursor.fail(
            "tensor offset is not aligned",
            expected=f"a multiple of {alignment}",
            got=str(offset),
            at=cursor.position - 8,
        )
    return TensorInfo(
        name=name,
        dimensions=dimensions,
        type=kind,
        offset=offset,
        size_bytes=blocks * block_bytes,
    )


def _dimensions(cursor: Cursor) -> tuple[int, ...]:
    start = cursor.position
    count = cursor.u32()
    if not 1 <= count <= _TENSOR_DIMENSIONS:
        raise cursor.fail(
            "wrong number of dimensions",
            expected=f"1 to {_TENSOR_DIMENSIONS}",
            got=str(count),
            at=start,
        )
    dimensions = cursor.u64s(count)
    product = 1
    for dimension in dimensions:
        product *= dimension
    if not 1 <= product < _ELEMENTS_END:
        raise cursor.fail(
            "impossible number of elements",
            expected=f"1 to {_ELEMENTS_END - 1}",
            got=str(product),
            at=start,
        )
    return dimensions


def _ggml_type(cursor: Cursor) -> GgmlType:
    number = cursor.u32()
    kind = _GGML_TYPES.get(number)  # a tenth of the time of `GgmlType(number)`
    if kind is None:
        raise cursor.fail("unknown tensor type", got=str(number), at=cursor.position - 4)
    return kind


def _padded(size: int, alignment: int) -> int:
    return (size + alignment - 1) // alignment * alignment


def _data_offset(cursor: Cursor, alignment: int) -> int:
    """Where tensor data begins, once the padding in front of it is known to be zero (gguf.md)."""
    cursor.place = "the padding of the header"
    end = _padded(cursor.position, alignment)
    cursor.require(end - cursor.position)
    if cursor.buffer[cursor.position : end].strip(b"\0"):
        raise cursor.fail("padding is not zero")
    return end


def _check_extent(
    tensors: Sequence[TensorInfo], data_offset: int, alignment: int, file_bytes: int
) -> None:
    """The file holds every tensor, and behind the last at most its padding."""
    end = data_offset
    for index, tensor in enumerate(tensors):
        start = data_offset + tensor.offset
        end = start + tensor.size_bytes
        if end > file_bytes:
            raise MalformedError(
                "file is truncated",
                where=f"tensors[{index}] {tensor.name!r} at byte {start}",
                expected=f"{end} bytes",
                got=str(file_bytes),
            )
    if file_bytes > _padded(end, alignment):
        raise MalformedError(
            "bytes after the end",
            where=f"the file at byte {end}",
            expected=f"at most {_padded(end, alignment)} bytes",
            got=str(file_bytes),
        )
