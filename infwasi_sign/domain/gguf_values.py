"""Metadata values of a GGUF header: read where they are small, located where they are arrays."""

import struct
from collections.abc import Iterator
from typing import Final

from infwasi_sign.domain.gguf_cursor import Cursor
from infwasi_sign.domain.gguf_types import (
    SCALAR_FORMATS,
    GgufArray,
    GgufValue,
    Scalar,
    ValueType,
)
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import MalformedError

_MIN_BYTES: Final = {
    **{kind: struct.calcsize(code) for kind, code in SCALAR_FORMATS.items()},
    ValueType.STRING: 8,  # the length
    ValueType.ARRAY: 12,  # type and count
}
_INNER_ARRAY_COST: Final = 256
"""What an array in an array counts for among all elements, because it is that slow to step over.

So a file has at most 65,536 of them. llama.cpp loads none: gguf.cpp refuses arrays of arrays.
"""
_U64: Final = struct.Struct("<Q")


def read_value(cursor: Cursor) -> GgufValue:
    """The type and value at the cursor.

    Raises:
        MalformedError: no such type, or bytes that are no value of it.
    """
    kind = _value_type(cursor)
    if kind is ValueType.ARRAY:
        return GgufValue(type=kind, value=_array(cursor, depth=1))
    if kind is ValueType.STRING:
        return GgufValue(type=kind, value=cursor.text(LIMITS.gguf_string_bytes))
    cursor.require(_MIN_BYTES[kind])
    if kind is ValueType.BOOL:
        _check_bools(cursor, 1)
    value: Scalar = struct.unpack_from(SCALAR_FORMATS[kind], cursor.buffer, cursor.position)[0]
    cursor.position += _MIN_BYTES[kind]
    return GgufValue(type=kind, value=value)


def read_elements(header: bytes, array: GgufArray) -> Iterator[Scalar | GgufArray]:
    """The elements of an array that :func:`read_value` located in ``header``.

    Raises:
        MalformedError: while iterating; a string is not UTF-8, or the array is of another header.
    """
    if array.element_type is ValueType.STRING:
        return _strings(header, array)
    if array.element_type is ValueType.ARRAY:
        return _inner_arrays(header, array)
    return _scalars(header, array)


def _value_type(cursor: Cursor) -> ValueType:
    number = cursor.u32()
    try:
        return ValueType(number)
    except ValueError as e:
        raise cursor.fail(
            "unknown value type",
            expected=f"0 to {max(ValueType)}",
            got=str(number),
            at=cursor.position - 4,
        ) from e


def _array(cursor: Cursor, *, depth: int) -> GgufArray:
    """Step over an array whose element type and count are at the cursor."""
    if depth > LIMITS.gguf_array_depth:
        raise cursor.fail(
            "arrays are nested too deep", expected=f"at most {LIMITS.gguf_array_depth} levels"
        )
    element_type = _value_type(cursor)
    count = cursor.u64()
    least = _MIN_BYTES[element_type]
    if count * least > cursor.remaining():
        raise cursor.fail(
            "array is longer than the file",
            expected=f"at most {cursor.remaining() // least} elements",
            got=str(count),
            at=cursor.position - 8,
        )
    is_nested = element_type is ValueType.ARRAY
    cursor.spend_elements(count * _INNER_ARRAY_COST if is_nested else count)
    start = cursor.position
    if element_type is ValueType.STRING:
        cursor.skip_strings(count)
    elif is_nested:
        for _ in range(count):
            _array(cursor, depth=depth + 1)
    else:
        cursor.require(count * least)
        if element_type is ValueType.BOOL:
            _check_bools(cursor, count)
        cursor.position += count * least
    return GgufArray(
        element_type=element_type, count=count, offset=start, size_bytes=cursor.position - start
    )


def _check_bools(cursor: Cursor, count: int) -> None:
    """Refuse bytes but 0 and 1, as gguf.md asks; llama.cpp takes any other for true."""
    raw = cursor.buffer[cursor.position : cursor.position + count]
    strange = raw.translate(None, b"\0\1")
    if strange:
        raise cursor.fail(
            "bool is neither 0 nor 1",
            got=str(strange[0]),
            at=cursor.position + raw.index(strange[0]),
        )


def _bytes_of(header: bytes, array: GgufArray) -> memoryview:
    """The bytes of the elements; an array of another header may not lie in this one."""
    end = array.offset + array.size_bytes
    if array.offset < 0 or array.size_bytes < 0 or end > len(header):
        raise _foreign(array)
    return memoryview(header)[array.offset : end]


def _foreign(array: GgufArray) -> MalformedError:
    return MalformedError("array is not of this header", where=f"array at byte {array.offset}")


def _scalars(header: bytes, array: GgufArray) -> Iterator[Scalar]:
    raw = _bytes_of(header, array)
    if len(raw) != array.count * _MIN_BYTES[array.element_type]:
        raise _foreign(array)
    for (value,) in struct.iter_unpack(SCALAR_FORMATS[array.element_type], raw):
        yield value


def _strings(header: bytes, array: GgufArray) -> Iterator[str]:
    raw = _bytes_of(header, array)
    position = 0
    for index in range(array.count):
        start = position + _U64.size
        if start > len(raw):
            raise _foreign(array)
        position = start + _U64.unpack_from(raw, position)[0]
        if position > len(raw):
            raise _foreign(array)
        try:
            yield str(raw[start:position], "utf-8")
        except UnicodeDecodeError as e:
            raise MalformedError(
                "string is not UTF-8",
                where=f"element [{index}] at byte {array.offset + start + e.start}",
            ) from e


def _inner_arrays(header: bytes, array: GgufArray) -> Iterator[GgufArray]:
    """Arrays in an array, walked again with the checks of the first time."""
    cursor = Cursor(_Bytes(_bytes_of(header, array)))
    cursor.place = f"array at byte {array.offset}"
    for _ in range(array.count):
        inner = _array(cursor, depth=2)
        yield GgufArray(
            element_type=inner.element_type,
            count=inner.count,
            offset=array.offset + inner.offset,
            size_bytes=inner.size_bytes,
        )


class _Bytes:
    """A ByteSource over bytes in memory."""

    __slots__ = ("_data", "size_bytes")

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self.size_bytes = len(data)

    def read_at(self, offset: int, size: int) -> bytes:
        return bytes(self._data[offset : offset + size])
