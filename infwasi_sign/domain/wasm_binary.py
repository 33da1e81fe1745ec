"""The alphabet of the WebAssembly binary format: bytes, integers, names, sections.

Source: WebAssembly core specification, chapter 5; component-model, design/mvp/Binary.md.
"""

from collections.abc import Iterator
from typing import Final

from infwasi_sign.domain.limits import LIMITS
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
        at = self.offset
        if at < self._end and self._data[at] < 0x80:  # of nearly all
            self.offset = at + 1
            return self._data[at]
        return self._unsigned(32, 5)

    def u64(self) -> int:
        """An unsigned LEB128 number of at most 10 bytes."""
        return self._unsigned(64, 10)

    def s33(self) -> int:
        """A signed LEB128 number of at most 5 bytes: a heap type (core specification 5.3.3)."""
        value = 0
        for shift in range(0, 35, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                value -= (byte & 0x40) << (shift + 1)
                break
        else:
            raise self.error("integer is longer than 5 bytes")
        if not -(2**32) <= value < 2**32:
            raise self.error("integer does not fit 33 bits", got=str(value))
        return value

    def _unsigned(self, bits: int, most_bytes: int) -> int:
        value = 0
        for shift in range(0, 7 * most_bytes, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        else:
            raise self.error(f"integer is longer than {most_bytes} bytes")
        if value >= 1 << bits:
            raise self.error(f"integer does not fit {bits} bits", got=str(value))
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

    def require_end(self) -> None:
        """Refuse bytes that are left over."""
        if self.has_more():
            raise self.error("section has bytes left over")

    def error(
        self, what: str, *, expected: str | None = None, got: str | None = None
    ) -> MalformedError:
        """The refusal that names this place."""
        return MalformedError(
            what, where=f"component at offset {self.offset}", expected=expected, got=got
        )


class WasmBudget:
    """How many names, bytes of them and sections may still be read of a file, on all levels."""

    def __init__(self) -> None:
        self._names = LIMITS.component_names
        self._sections = LIMITS.component_sections
        self._names_bytes = LIMITS.component_names_bytes

    def name(self, reader: WasmReader) -> str:
        """Read a name that will be told, and count its bytes.

        Raises:
            MalformedError: it is none, or all together are too long.
        """
        start = reader.offset
        name = reader.name()
        self._names_bytes -= reader.offset - start
        if self._names_bytes < 0:
            raise reader.error(
                "names are too long together",
                expected=f"at most {LIMITS.component_names_bytes} bytes",
            )
        return name

    def spend(self, reader: WasmReader) -> None:
        """Count one name.

        Raises:
            MalformedError: there are too many.
        """
        self._names -= 1
        if self._names < 0:
            raise reader.error("too many names", expected=f"at most {LIMITS.component_names}")

    def spend_section(self, reader: WasmReader) -> None:
        """Count one section.

        Raises:
            MalformedError: there are too many.
        """
        self._sections -= 1
        if self._sections < 0:
            raise reader.error("too many sections", expected=f"at most {LIMITS.component_sections}")


def encode_u32(value: int) -> bytes:
    """The shortest unsigned LEB128 form of ``value``."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
