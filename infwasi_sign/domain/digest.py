"""Digests by name and by value. Hex is lower case; values are compared whole."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TypeAlias

from infwasi_sign.errors import MalformedError
from infwasi_sign.quick_dataclass import dataclass

_HEX = frozenset("0123456789abcdef")


class Algorithm(StrEnum):
    """The two hash functions of a manifest; both give 32 bytes."""

    SHA256 = "sha256"  # FIPS 180-4
    BLAKE3 = "blake3"  # github.com/BLAKE3-team/BLAKE3-specs


@dataclass(frozen=True, kw_only=True, slots=True)
class Digest:
    """One hash value: 32 bytes as 64 hex digits."""

    algorithm: Algorithm
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"

    @staticmethod
    def parse_hex(algorithm: Algorithm, text: object, *, where: str) -> "Digest":
        """Accept 64 lower-case hex digits and nothing else.

        Raises:
            MalformedError: naming ``where``.
        """
        if not isinstance(text, str) or len(text) != 64 or not _HEX.issuperset(text):
            raise MalformedError(
                "not a digest",
                where=where,
                expected="64 lower-case hex digits",
                got=repr(text)[:80],
            )
        return Digest(algorithm=algorithm, hex=text)


MeasureBytes: TypeAlias = Callable[[bytes], Mapping[Algorithm, Digest]]
"""Both digests of bytes in memory."""

Update: TypeAlias = Callable[[memoryview], object]
"""Takes the next bytes of a stream, as a hash does."""
