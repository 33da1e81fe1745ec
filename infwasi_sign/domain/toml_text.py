"""TOML with bounds, and with the place of every value: what `tomllib` does not do.

`tomllib` takes a time that grows with the square of the parts of a dotted key, and raises other
errors than its own for integers of thousands of digits.
"""

import re
import tomllib
from collections.abc import Mapping
from typing import Final

from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import UndecidedError
from infwasi_sign.quick_dataclass import dataclass

_KEY_PARTS: Final = 16  # of a dotted key; no document of ours has more than two

_TEXT: Final = (
    r'"""(?:\\.|[^\\])*?"{3,5}|'
    r"'''.*?'{3,5}|"
    r'"(?:\\.|[^"\\\n])*"|'
    r"'[^'\n]*'"
)
_TOKEN: Final = re.compile(
    rf"(?P<text>{_TEXT})|(?P<word>[A-Za-z0-9_-]+)|(?P<dot>\.)|(?P<blank>[ \t]+)|#[^\n]*|.",
    re.DOTALL,
)
_SKIPPED: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY_PART: Final = re.compile(rf"[ \t]*(?:{_TEXT}|[A-Za-z0-9_-]+)[ \t]*")
_SCALAR: Final = re.compile(rf"(?:{_TEXT})|[^,\]}}#\r\n]*", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a value stands: its line, counted from 1, and its characters from ``start`` on."""

    line: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TomlText:
    """A document, its text, and the place of every value by a path like ``signer[0].keys[1]``."""

    text: str
    document: Mapping[str, object]
    places: Mapping[str, Place]


def read_toml(data: bytes, *, where: str) -> TomlText:
    """Read a TOML document.

    Raises:
        UndecidedError: it is not TOML, or larger or deeper than any document of ours.
    """
    if len(data) > LIMITS.toml_bytes:
        raise UndecidedError("too long", where=where, expected=f"at most {LIMITS.toml_bytes} bytes")
    try:
        text = data.decode().replace("\r\n", "\n")  # as tomllib does
        _require_short_keys(text, where)
        document = tomllib.loads(text)
        places = _Scanner(text).places
    except RecursionError as error:
        raise UndecidedError("not TOML: nested too deeply", where=where) from error
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError, and what int() has to say
        raise UndecidedError(f"not TOML: {str(error).splitlines()[0]}", where=where) from error
    return TomlText(text=text, document=document, places=places)


def _require_short_keys(text: str, where: str) -> None:
    dots = 0
    for token in _TOKEN.finditer(text):
        if token.lastgroup is None:
            if token[0] in {'"', "'", "\\"}:
                # Of a text that does not end, or in no text at all: here tomllib stops too. To
                # go on would seek the end of a text again and again, each time to the last byte.
                return
            dots = 0
        elif token.lastgroup == "dot":
            dots += 1
            if dots >= _KEY_PARTS:
                line = text.count("\n", 0, token.start()) + 1
                raise UndecidedError(
                    "not TOML: a key has too many parts",
                    where=f"{where}:{line}",
                    expected=f"at most {_KEY_PARTS}",
                )


class _Scanner:
    """Walks a text of which it is known that it is TOML."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line_at = (0, 1)
        self._counts: dict[str, int] = {}
        self.places: dict[str, Place] = {}
        section = ""
        while self._next():
            if self._text[self._at] == "[":
                section = self._header()
            else:
                self._pair(section)

    def _next(self) -> str:
        """The next character that is neither blank nor comment; empty at the end."""
        skipped = _SKIPPED.match(self._text, self._at)
        self._at = skipped.end() if skipped else self._at
        return self._text[self._at : self._at + 1]

    def _line(self) -> int:
        at, line = self._line_at
        line += self._text.count("\n", at, self._at)
        self._line_at = (self._at, line)
        return line

    def _note(self, path: str, line: int, start: int) -> None:
        self.places.setdefault(path, Place(line=line, start=start, end=self._at))

    def _path(self, within: str) -> str:
        """Read a key; parts that name an array of tables mean its last table."""
        path = within
        while found := _KEY_PART.match(self._text, self._at):
            self._at = found.end()
            part = found[0].strip(" \t")
            part = part[1:-1] if part[0] in "\"'" else part
            if path in self._counts:
                path = f"{path}[{self._counts[path]}]"
            path = f"{path}.{part}" if path else part
            if self._text[self._at : self._at + 1] != ".":
                break
            self._at += 1
        return path

    def _header(self) -> str:
        line, start = self._line(), self._at
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._at += brackets
        path = self._path("")
        self._at += brackets
        if brackets == 2:
            self._note(path, line, start)
            self._counts[path] = self._counts.get(path, -1) + 1
            path = f"{path}[{self._counts[path]}]"
        self._note(path, line, start)
        return path

    def _pair(self, within: str) -> None:
        line = self._line()
        path = self._path(within)
        self._at += 1  # the equals sign
        self._next()
        self._value(path, line)

    def _value(self, path: str, line: int) -> None:
        start = self._at
        opening = self._text[start : start + 1]
        if opening == "[":
            self._at += 1
            index = 0
            while self._next() not in {"]", ""}:
                self._value(f"{path}[{index}]", self._line())
                index += 1
                self._comma()
            self._at += 1
        elif opening == "{":
            self._at += 1
            while self._next() not in {"}", ""}:
                self._pair(path)
                self._comma()
            self._at += 1
        elif found := _SCALAR.match(self._text, self._at):
            self._at = found.end()
        self._note(path, line, start)

    def _comma(self) -> None:
        if self._next() == ",":
            self._at += 1
