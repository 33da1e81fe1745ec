"""Where the long arrays of strings in a GGUF header end, as an earlier reading of it found.

Where a string ends only its length says, so a vocabulary is stepped over string by string, and that
is half of what it takes to hold a model's header to what was signed. Who has read the very same
bytes before knows where the array ends (docs/adr/0024).
"""

import struct
from collections.abc import Mapping
from typing import Final, Self

LEAST_STRINGS: Final = 1024
"""Shorter arrays are stepped over as fast as they are looked up."""

MOST: Final = 64
"""Landmarks of one header; models have three."""

_LANDMARK: Final = struct.Struct("<3Q")  # first byte of the elements, how many, first byte behind
MOST_BYTES: Final = MOST * _LANDMARK.size


class Landmarks:
    """What an earlier reading found, by place and count, and what this one finds."""

    __slots__ = ("_known", "found")

    def __init__(self, known: Mapping[tuple[int, int], int] | None = None) -> None:
        self._known = {} if known is None else known
        self.found: dict[tuple[int, int], int] = {}

    def end_of(self, start: int, count: int) -> int | None:
        """Where the array of ``count`` strings ends whose elements begin at byte ``start``."""
        return self._known.get((start, count))

    def note(self, start: int, count: int, end: int) -> None:
        """Where it ends was found out by stepping over it."""
        if count >= LEAST_STRINGS and len(self._known) + len(self.found) < MOST:
            self.found[start, count] = end

    def encode(self) -> bytes:
        """What is known now, 24 bytes for each array, little-endian."""
        places = sorted({**self._known, **self.found}.items())
        return b"".join(_LANDMARK.pack(*place, end) for place, end in places)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """What an earlier reading found; nothing, where it is not of that form."""
        if len(data) % _LANDMARK.size or len(data) > MOST_BYTES:
            return cls()
        return cls({(start, n): end for start, n, end in _LANDMARK.iter_unpack(data)})
