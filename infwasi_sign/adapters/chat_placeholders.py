"""Stand-ins for the texts of messages while a chat template is rendered."""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Final, SupportsIndex

from infwasi_sign.domain.chat import Message
from infwasi_sign.errors import UndecidedError
from infwasi_sign.quick_dataclass import dataclass

_SEPARATOR: Final = 256  # the longest role markers of published templates are below 40
_PARTS: Final = 4_096  # of one message, when a template splits it

# Characters of a placeholder: from a plane for private use (Unicode 16.0, section 23.5), so nothing
# that changes letters or trims spaces can touch them. A template that has its own is refused.
_OPEN: Final = "\U0010f0fe"
_CLOSE: Final = "\U0010f0ff"
_BASE: Final = 0x10F100
PRIVATE: Final = frozenset(map(chr, range(0x10F000, 0x10F200)))
_PLACEHOLDER: Final = 18


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """A stretch of the rendered prompt: the template's own text, or a message's."""

    text: str
    is_template: bool


class MessageLostError(UndecidedError):
    """A message did not come out of the template as one piece."""


class Placeholders:
    """Which placeholder stands for which text of which message."""

    def __init__(self, most_characters: int) -> None:
        self._known: dict[str, tuple[int, str]] = {}
        self._left = most_characters

    def new(self, number: int, content: str) -> "MessageText":
        """Stand in for ``content``, a part of message ``number``."""
        self._left -= len(content)
        if self._left < 0:
            raise UndecidedError("chat template makes too many copies of a message")
        inner = "".join(chr(_BASE + byte) for byte in os.urandom(_PLACEHOLDER - 2))
        name = f"{_OPEN}{inner}{_CLOSE}"
        self._known[name] = (number, content)
        return MessageText(name, content, functools.partial(self.new, number))

    def split(self, text: str, messages: Sequence[Message]) -> tuple[Segment, ...]:
        """Cut the rendered text at the placeholders."""
        segments: list[Segment] = []
        printed: set[int] = set()
        seen: set[str] = set()
        at = 0
        while (start := text.find(_OPEN, at)) >= 0:
            name = text[start : start + _PLACEHOLDER]
            if name not in self._known or name in seen:
                raise MessageLostError("chat template changes or repeats the text of a message")
            seen.add(name)
            number, content = self._known[name]
            printed.add(number)
            segments.append(_template_text(text[at:start]))
            segments.append(Segment(text=content, is_template=False))
            at = start + _PLACEHOLDER
        segments.append(_template_text(text[at:]))
        for number, message in enumerate(messages):
            if message.content.strip() and number not in printed:
                raise MessageLostError(
                    f"chat template leaves out message {number} ({message.role})"
                )
        return tuple(segment for segment in segments if segment.text)


def _template_text(text: str) -> Segment:
    if not PRIVATE.isdisjoint(text):
        raise MessageLostError("chat template changes the text of a message")
    return Segment(text=text, is_template=True)


def _separator(separator: str | None) -> str | None:
    """Searching backwards for a long text takes the product of both lengths (fastsearch.h)."""
    if separator is not None and len(separator) > _SEPARATOR:
        raise UndecidedError("chat template splits a message at too long a text")
    return separator


class MessageText(str):
    """A placeholder that answers questions about its text and gives placeholders for its parts.

    As a ``str`` it is the placeholder: that is what gets printed, joined and concatenated.
    """

    __slots__ = ("_content", "_new")
    _content: str
    _new: Callable[[str], "MessageText"]

    def __new__(cls, name: str, content: str, new: Callable[[str], "MessageText"]) -> "MessageText":
        """``name`` is what is printed, ``content`` what is behind it."""
        data = super().__new__(cls, name)
        data._content = content
        data._new = new
        return data

    def __len__(self) -> int:
        return len(self._content)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key in self._content

    def __eq__(self, other: object) -> bool:
        return self._content == (other._content if isinstance(other, MessageText) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self._content)

    def __getitem__(self, key: SupportsIndex | slice) -> "MessageText":
        return self._new(self._content[key])

    def __iter__(self) -> Iterator[str]:
        raise UndecidedError("chat template takes a message apart")

    def strip(self, chars: str | None = None, /) -> "MessageText":
        """As ``str.strip``, of the text behind."""
        return self._new(self._content.strip(chars))

    def lstrip(self, chars: str | None = None, /) -> "MessageText":
        """As ``str.lstrip``, of the text behind."""
        return self._new(self._content.lstrip(chars))

    def rstrip(self, chars: str | None = None, /) -> "MessageText":
        """As ``str.rstrip``, of the text behind."""
        return self._new(self._content.rstrip(chars))

    def upper(self) -> "MessageText":
        """As ``str.upper``, of the text behind."""
        return self._new(self._content.upper())

    def lower(self) -> "MessageText":
        """As ``str.lower``, of the text behind."""
        return self._new(self._content.lower())

    def title(self) -> "MessageText":
        """As ``str.title``, of the text behind."""
        return self._new(self._content.title())

    def capitalize(self) -> "MessageText":
        """As ``str.capitalize``, of the text behind."""
        return self._new(self._content.capitalize())

    def startswith(self, prefix: str | tuple[str, ...], *edges: SupportsIndex | None) -> bool:
        """As ``str.startswith``, of the text behind."""
        return self._content.startswith(prefix, *edges)

    def endswith(self, suffix: str | tuple[str, ...], *edges: SupportsIndex | None) -> bool:
        """As ``str.endswith``, of the text behind."""
        return self._content.endswith(suffix, *edges)

    def split(  # type: ignore[override]  # parts are placeholders too, and a list is invariant
        self, sep: str | None = None, maxsplit: SupportsIndex = -1
    ) -> "list[MessageText]":
        """As ``str.split``, of the text behind."""
        return self._parts(self._content.split(_separator(sep), maxsplit))

    def rsplit(  # type: ignore[override]  # as split
        self, sep: str | None = None, maxsplit: SupportsIndex = -1
    ) -> "list[MessageText]":
        """As ``str.rsplit``, of the text behind."""
        return self._parts(self._content.rsplit(_separator(sep), maxsplit))

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> "MessageText":
        """As ``str.replace``, of the text behind."""
        return self._new(self._content.replace(old, new, count))

    def count_of(self, old: str) -> int:
        """How often ``old`` is in the text."""
        return self._content.count(old)

    def _parts(self, parts: list[str]) -> "list[MessageText]":
        if len(parts) > _PARTS:
            raise UndecidedError(f"chat template splits a message into more than {_PARTS} parts")
        return [self._new(part) for part in parts]
