"""The alphabet of the WebAssembly binary format: bytes, integers, names, sections.

Source: WebAssembly core specification, chapter 5; component-model, design/mvp/Binary.md.
"""

from collections.abc import Iterator
from typing import Final

from infwasi_sign.errors import MalformedError
from infwasi_sign.quick_dataclass import dataclass

MAGIC: Final = b"\0asm"
CORE_VERSION: Final = b"\x01\x00\x00\x00"  # core specification section 5.5.16
COMPONENT_VERSION: Final = b"\x0d\x00\x01\x00"  # Binary.md: version 0x0d, layer 1
PREAMBLE_BYTES: Final = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """One section: its id and where its content lies in the file."""

    id: int
    start: int
    end: int


class WasmReader:
    """Walks over a part of a file; nothing is read past ``end``.

    Raises:
        MalformedError: from every method, naming the offset in the file.
    """

    def __init__(self, data: bytes, start: int, end: int) -> None:
        self._data = data
        self._end = end
        self.offset = start

    def has_more(self) -> bool:
        """Whether any byte is left."""
        return self.offset < self._end

    def byte(self) -> int:
        """One byte."""
        return self.take(1)[0]

    def take(self, size_bytes: int) -> bytes:
        """The next ``size_bytes`` bytes."""
        return self._data[self.skip(size_bytes) : self.offset]

    def skip(self, size_bytes: int) -> int:
        """Step over ``size_bytes`` bytes and tell where they began."""
        start = self.offset
        if size_bytes > self._end - start:
            raise self.error("cut off", expected=f"{size_bytes} bytes", got=str(self._end - start))
        self.offset = start + size_bytes
        return start

    def u32(self) -> int:
        """An unsigned LEB128 number of at most 5 bytes (core specification section 5.2.2)."""
        value = 0
        for shift in range(0, 35, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        else:
            raise self.error("integer is longer than 5 bytes")
        if value >= 2**32:
            raise self.error("integer does not fit 32 bits", got=str(value))
        return value

    def name(self) -> str:
        """A length and that many bytes of UTF-8 (core specification section 5.2.4)."""
        data = self.take(self.u32())
        try:
            return data.decode()
        except UnicodeDecodeError as e:
            raise self.error("name is not UTF-8") from e

    def sections(self) -> Iterator[Section]:
        """The sections from here to the end."""
        while self.has_more():
            section_id = self.byte()
            size_bytes = self.u32()
            start = self.skip(size_bytes)
            yield Section(id=section_id, start=start, end=self.offset)

    def error(
        self, what: str, *, expected: str | None = None, got: str | None = None
    ) -> MalformedError:
        """The refusal that names this place."""
        return MalformedError(
            what, where=f"component at offset {self.offset}", expected=expected, got=got
        )


def encode_u32(value: int) -> bytes:
    """The shortest unsigned LEB128 form of ``value``."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
