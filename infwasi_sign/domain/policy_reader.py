"""Typed values out of a policy's TOML; every error names file, line and key."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Final

from infwasi_sign.domain.toml_text import TomlText
from infwasi_sign.errors import UndecidedError
from infwasi_sign.quick_dataclass import dataclass

Table = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Form:
    """What a text must look like; a value that could never equal a fact is a slip of the pen."""

    pattern: re.Pattern[str]
    expected: str


_BARE: Final = re.compile("[A-Za-z0-9_-]{1,60}")
ANY_TEXT: Final = Form(re.compile(r".+", re.DOTALL), "a text that is not empty")


class Reader:
    """Walks one document; knows the line of every key for the errors and for `policy why`."""

    def __init__(self, toml: TomlText, where: str) -> None:
        self.document = toml.document
        self._places = toml.places
        self._where = where

    def place(self, key: str) -> str:
        """File and line of a key like ``signer[0].name``, or of the next one around it."""
        while key and key not in self._places:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return f"{self._where}:{self._places[key].line}" if key else self._where

    def error(
        self, what: str, key: str, *, expected: str | None = None, got: object = None
    ) -> UndecidedError:
        """An error at a key."""
        return UndecidedError(
            what,
            where=f"{self.place(key)} {key}",
            expected=expected,
            got=None if got is None else _shown(got),
        )

    def text(self, value: object, key: str) -> str:
        """A string that is not empty; NUL is in no name of a file, nor in any fact."""
        if not isinstance(value, str) or not value or "\0" in value:
            raise self.error("wrong type", key, expected="a text that is not empty", got=value)
        return value

    def number(self, value: object, key: str) -> int:
        """A non-negative integer."""
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
            raise self.error("wrong type", key, expected="an integer from 0 to 2^53 - 1", got=value)
        return value

    def texts(self, value: object, key: str, form: Form = ANY_TEXT) -> tuple[str, ...]:
        """An array of texts, at least one: an empty list permits nothing."""
        if not isinstance(value, list) or not value:
            raise self.error("wrong type", key, expected="an array of texts, not empty", got=value)
        found = []
        for index, item in enumerate(value):
            text = self.text(item, f"{key}[{index}]")
            if not form.pattern.fullmatch(text):
                raise self.error(
                    "can never hold", f"{key}[{index}]", expected=form.expected, got=text
                )
            found.append(text)
        return tuple(found)

    def table(self, value: object, key: str, known: frozenset[str]) -> Table:
        """A table with no other keys than these."""
        if not isinstance(value, dict):
            raise self.error("wrong type", key, expected="a table", got=value)
        for name in value:
            if name not in known:
                raise self.error(
                    "unknown key", f"{key}.{bare(name)}", expected=", ".join(sorted(known))
                )
        return value

    def tables(self, name: str, known: frozenset[str]) -> list[tuple[str, Table]]:
        """An array of tables, each with its key for places."""
        value = self.document.get(name, [])
        if not isinstance(value, list):
            raise self.error("wrong type", name, expected=f"[[{name}]]", got=value)
        return [
            (f"{name}[{index}]", self.table(item, f"{name}[{index}]", known))
            for index, item in enumerate(value)
        ]


def bare(name: str) -> str:
    """A key for a message: as it is if it is a plain one, else escaped and cut."""
    return name if _BARE.fullmatch(name) else ascii(name[:60])[:80]


def _shown(value: object) -> str:
    """A value for a message: its type, and of the small ones the beginning."""
    name = type(value).__name__
    match value:
        case bool() | float() | date():
            return f"{name} {value}"
        case str():
            return f"{name} {ascii(value[:60])[:60]}"
        case int() if value.bit_length() <= 128:  # str() of thousands of digits raises
            return f"{name} {value}"
        case _:
            return name
