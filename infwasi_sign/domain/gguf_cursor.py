"""The cursor with which a GGUF header is read: every step is checked before it is taken."""

import struct
from itertools import repeat
from operator import length_hint
from typing import Final, Protocol

from infwasi_sign.domain.gguf_landmarks import Landmarks
from infwasi_sign.domain.limits import KIB, LIMITS
from infwasi_sign.errors import MalformedError

_FIRST_READ_BYTES: Final = 256 * KIB  # a header without vocabulary fits; then each read doubles
_PRINTABLE: Final = frozenset(range(0x20, 0x7F))
_read_u32: Final = struct.Struct("<I").unpack_from
_read_u64: Final = struct.Struct("<Q").unpack_from
_READ_U64S: Final = tuple(struct.Struct(f"<{count}Q").unpack_from for count in range(5))


class ByteSource(Protocol):
    """Bytes of known size that can be read at any place."""

    @property
    def size_bytes(self) -> int:
        """How many bytes there are."""
        ...

    def read_at(self, offset: int, size: int) -> bytes:
        """Exactly ``size`` bytes from ``offset``; never asked for any beyond ``size_bytes``."""
        ...


class Cursor:
    """A place in the first bytes of a source, which fetches more only when they are needed.

    ``likely_bytes`` is how many will probably be needed; so many are fetched at once, within the
    limits. ``place`` is what is being read, for messages: `metadata[12] 'general.name'`.
    ``landmarks`` are of an earlier reading of the same bytes.

    Every method raises MalformedError when the file ends or a limit is passed; nothing is fetched
    before both are known to be kept.
    """

    __slots__ = (
        "_elements_left",
        "_first_read_bytes",
        "_landmarks",
        "_source",
        "buffer",
        "place",
        "position",
    )

    def __init__(
        self,
        source: ByteSource,
        *,
        likely_bytes: int = _FIRST_READ_BYTES,
        landmarks: Landmarks | None = None,
    ) -> None:
        self._source = source
        self._landmarks = Landmarks() if landmarks is None else landmarks
        self._first_read_bytes = max(_FIRST_READ_BYTES, likely_bytes)
        self._elements_left = LIMITS.gguf_array_elements
        self.buffer = b""
        self.position = 0
        self.place = "the fixed part"

    def fail(
        self,
        what: str,
        *,
        expected: str | None = None,
        got: str | None = None,
        at: int | None = None,
    ) -> MalformedError:
        """The error that says ``what`` is wrong here, or at byte ``at``."""
        byte = self.position if at is None else at
        return MalformedError(
            what, where=f"{self.place} at byte {byte}", expected=expected, got=got
        )

    def remaining(self) -> int:
        """Bytes between the cursor and the end of the file."""
        return self._source.size_bytes - self.position

    def require(self, size: int) -> None:
        """Have ``size`` bytes at the cursor in the buffer."""
        end = self.position + size
        if end > len(self.buffer):
            self._fetch(end)

    def u32(self) -> int:
        """The next unsigned 32-bit number."""
        self.require(4)
        number: int = _read_u32(self.buffer, self.position)[0]
        self.position += 4
        return number

    def u64(self) -> int:
        """The next unsigned 64-bit number."""
        self.require(8)
        number: int = _read_u64(self.buffer, self.position)[0]
        self.position += 8
        return number

    def u64s(self, count: int) -> tuple[int, ...]:
        """The next unsigned 64-bit numbers: at most 4, as a tensor has dimensions."""
        if self.position + 8 * count > len(self.buffer):
            return tuple(self.u64() for _ in range(count))  # says at which the file ends
        numbers: tuple[int, ...] = _READ_U64S[count](self.buffer, self.position)
        self.position += 8 * count
        return numbers

    def string(self, limit_bytes: int) -> bytes:
        """The next string: its length as u64, then so many bytes."""
        self.require(8)
        size: int = _read_u64(self.buffer, self.position)[0]
        if size > limit_bytes:
            raise self.fail(
                "string is too long", expected=f"at most {limit_bytes} bytes", got=str(size)
            )
        self.require(8 + size)
        self.position += 8 + size
        return self.buffer[self.position - size : self.position]

    def name(self, limit_bytes: int) -> str:
        """The next string, which is printable ASCII and not empty."""
        start = self.position
        raw = self.string(limit_bytes)
        if not raw or not _PRINTABLE.issuperset(raw):
            raise self.fail("not a name", expected="printable ASCII", got=repr(raw[:80]), at=start)
        return raw.decode("ascii")

    def text(self, limit_bytes: int) -> str:
        """The next string, which is UTF-8 and holds no NUL: C code would read less than we do."""
        start = self.position + 8
        raw = self.string(limit_bytes)
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as e:
            raise self.fail("string is not UTF-8", at=start + e.start) from e
        if "\0" in text:
            raise self.fail("string contains NUL", at=start + raw.index(0))
        return text

    def spend_elements(self, count: int) -> None:
        """Count the elements of all arrays of the file together, for they are what takes time."""
        if count > self._elements_left:
            raise self.fail(
                "too many array elements",
                expected=f"at most {LIMITS.gguf_array_elements} in all arrays together",
                got=f"{count} more after {LIMITS.gguf_array_elements - self._elements_left}",
            )
        self._elements_left -= count

    def skip_strings(self, count: int) -> None:
        """Step over ``count`` strings, fetching more whenever the buffer ends."""
        start, left = self.position, count
        known = self._landmarks.end_of(start, count)
        if known is not None:
            self.position, left = known, 0
        while left:
            self.require(8)
            self.position, done = _skip_strings(self.buffer, self.position, left)
            if done == 0:  # its length is there, so it is too long: this says so
                self.string(LIMITS.gguf_string_bytes)
            left -= done
        self.require(0)  # the last string may reach beyond the buffer
        if known is None:
            self._landmarks.note(start, count, self.position)

    def _fetch(self, end: int) -> None:
        """Grow the buffer to at least ``end`` bytes, doubling it."""
        total = self._source.size_bytes
        if end > total:
            raise self.fail("file is truncated", expected=f"{end} bytes", got=str(total))
        if end > LIMITS.gguf_header_bytes:
            raise self.fail(
                "header is too long",
                expected=f"at most {LIMITS.gguf_header_bytes} bytes",
                got=f"at least {end}",
            )
        have = len(self.buffer)
        wanted = max(self._first_read_bytes, 2 * have)
        while wanted < end:
            wanted *= 2
        wanted = min(wanted, total, LIMITS.gguf_header_bytes)
        chunk = self._source.read_at(have, wanted - have)
        if len(chunk) != wanted - have:
            raise self.fail(
                "file is truncated", expected=f"{wanted} bytes", got=str(have + len(chunk))
            )
        self.buffer += chunk


def _skip_strings(buffer: bytes, position: int, count: int) -> tuple[int, int]:
    """Step over strings until the buffer ends or a length passes the limit; the one hot loop.

    Returns the new position, which may lie beyond the buffer, and how many it stepped over.
    """
    read, limit_bytes = _read_u64, LIMITS.gguf_string_bytes
    steps = repeat(None, count)  # makes no number for each, as `range` does
    try:
        for _ in steps:
            (size,) = read(buffer, position)
            if size > limit_bytes:
                break
            position += 8 + size
        else:
            return position, count
    except struct.error:
        pass  # the buffer ends here
    return position, count - length_hint(steps) - 1
