"""DER elements, as far as the library for timestamps does not show them (X.690, 2021)."""

from typing import Final

from infwasi_sign.errors import MalformedError
from infwasi_sign.quick_dataclass import dataclass

SEQUENCE: Final = 0x30
SET: Final = 0x31
OBJECT_IDENTIFIER: Final = 0x06
OCTET_STRING: Final = 0x04
CONTEXT_0: Final = 0xA0  # constructed

_LONG_TAG: Final = 0x1F  # section 8.1.2.4: more bytes of the tag follow
_LONG_LENGTH: Final = 0x80  # section 8.1.3.5
_LENGTH_BYTES: Final = 4  # 4 GiB, beyond every bound of ours


@dataclass(frozen=True, kw_only=True, slots=True)
class Element:
    """A tag of one byte, and what stands under it."""

    tag: int
    content: bytes
    where: str

    def children(self) -> tuple["Element", ...]:
        """The elements in it, one after the other to the end.

        Raises:
            MalformedError: there is something else.
        """
        found: list[Element] = []
        at = 0
        while at < len(self.content):
            element, at = _read(self.content, at, f"{self.where}[{len(found)}]")
            found.append(element)
        return tuple(found)

    def child(self, number: int, tag: int) -> "Element":
        """The child at ``number``; a negative one counts from the end.

        Raises:
            MalformedError: there is none, or it has another tag.
        """
        found = self.children()
        if not -len(found) <= number < len(found) or found[number].tag != tag:
            raise MalformedError(
                "not the expected structure", where=self.where, expected=f"tag {tag:#04x}"
            )
        return found[number]


def parse(data: bytes, *, where: str) -> Element:
    """The one element that ``data`` is.

    Raises:
        MalformedError: it is not DER, or something follows.
    """
    element, end = _read(data, 0, where)
    if end != len(data):
        raise MalformedError("something follows the end", where=where, got=f"{len(data) - end} B")
    return element


def _read(data: bytes, at: int, where: str) -> tuple[Element, int]:
    """The element at ``at`` and where it ends; one length has one form (section 10.1)."""
    head = data[at : at + 2]
    if len(head) < 2 or head[0] & _LONG_TAG == _LONG_TAG:
        raise MalformedError("not a DER element", where=where)
    start, size = at + 2, head[1]
    if size >= _LONG_LENGTH:
        count = size - _LONG_LENGTH
        length = data[start : start + count]
        size = int.from_bytes(length, "big")
        is_shortest = size >= _LONG_LENGTH and length[:1] != b"\0"
        if not 0 < count <= _LENGTH_BYTES or len(length) != count or not is_shortest:
            raise MalformedError("not a DER length", where=where)
        start += count
    content = data[start : start + size]
    if len(content) != size:
        raise MalformedError("ends early", where=where, expected=f"{size} bytes")
    return Element(tag=head[0], content=content, where=where), start + size
