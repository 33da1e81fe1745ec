"""Declared facts as a tree with the keys of `model-card.toml`, and strictly back.

The same reader serves the file of a developer and, at verification, the BOM that carries the tree
(docs/model-card.md): what it accepts is written again as it was read.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from infwasi_sign.domain.declared import Declared
from infwasi_sign.domain.declared_keys import ARRAYS, TABLES, Form, Key, Rows
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.domain.text import find_hidden
from infwasi_sign.errors import InfwasiError, MalformedError

Refuse: TypeAlias = Callable[[str, str, str | None, str | None, str | None], InfwasiError]
"""An error of what is wrong at a key, what was expected, what is there instead, and a hint."""

_SECTIONS: Final = (*(name for name in TABLES if "." not in name), *ARRAYS)


def read_declared(tree: object, where: str, refuse: Refuse | None = None) -> Declared:
    """Read declared facts out of a JSON or TOML tree.

    ``refuse`` makes the errors; without it they are a `MalformedError` in ``where``.

    Raises:
        MalformedError: naming the key: unknown, of a wrong type, empty, out of its vocabulary, too
            long, too many, or with a character that hides or reorders text.
    """

    def malformed(
        what: str, key: str, expected: str | None, got: str | None, hint: str | None
    ) -> InfwasiError:
        place = f"{where} {key}" if key else where
        return MalformedError(what, where=place, expected=expected, got=got, hint=hint)

    return _Reader(refuse or malformed).read(tree)


def declared_tree(declared: Declared) -> dict[str, JsonValue]:
    """The tree that `read_declared` reads: what is not said has no key."""
    tree: dict[str, JsonValue] = {}
    for name, keys in TABLES.items():
        inner: dict[str, JsonValue] = {
            below.removeprefix(f"{name}."): table
            for below, its_keys in TABLES.items()
            if below.startswith(f"{name}.") and (table := _table_of(declared, its_keys))
        }
        if "." not in name and (table := _table_of(declared, keys) | inner):
            tree[name] = table
    for name, array in ARRAYS.items():
        if rows := getattr(declared, array.field):
            tree[name] = [_table_of(row, array.keys) for row in rows]
    return tree


def _table_of(facts: object, keys: Mapping[str, Key]) -> dict[str, JsonValue]:
    table: dict[str, JsonValue] = {}
    for name, key in keys.items():
        value = getattr(facts, key.field)
        if value:
            table[name] = list(value) if key.is_list else value
    return table


class _Reader:
    def __init__(self, refuse: Refuse) -> None:
        self._refuse = refuse
        self._bytes = 0

    def read(self, tree: object) -> Declared:
        found: dict[str, Any] = {}
        for name, value in self._members(tree, "", _SECTIONS):
            if name in ARRAYS:
                found[ARRAYS[name].field] = self._rows(value, name, ARRAYS[name])
            else:
                found |= self._table(value, name, TABLES[name])
        return Declared(**found)

    def _members(
        self, value: object, place: str, known: tuple[str, ...]
    ) -> list[tuple[str, object]]:
        if not isinstance(value, dict):
            raise self._refuse("wrong type", place, "a table", _shown(value), None)
        if not value and place:
            raise self._refuse("empty table", place, "at least one key", None, None)
        for name in value:
            if name not in known:
                raise self._unknown(name, place, known)
        return list(value.items())

    def _unknown(self, name: object, place: str, known: tuple[str, ...]) -> InfwasiError:
        shown = name if isinstance(name, str) and _is_plain(name) else ascii(name)[:64]
        at = f"{place}.{shown}" if place else str(shown)
        return self._refuse("unknown key", at, ", ".join(known), None, None)

    def _table(self, value: object, place: str, keys: Mapping[str, Key]) -> dict[str, Any]:
        tables = tuple(
            name.removeprefix(f"{place}.") for name in TABLES if name.startswith(f"{place}.")
        )
        found: dict[str, Any] = {}
        for name, member in self._members(value, place, (*keys, *tables)):
            at = f"{place}.{name}"
            if name in keys:
                found[keys[name].field] = self._value(member, at, keys[name])
            else:
                found |= self._table(member, at, TABLES[at])
        return found

    def _rows(self, value: object, place: str, array: Rows) -> tuple[object, ...]:
        rows: list[object] = []
        seen: set[object] = set()
        for index, item in enumerate(self._items(value, place, array.most, "tables")):
            row = self._row(item, f"{place}[{index}]", array)
            if array.unique is not None:
                name = getattr(row, array.unique)
                if name in seen:
                    at = f"{place}[{index}].{array.unique}"
                    raise self._refuse("stands twice", at, None, _shown(name), None)
                seen.add(name)
            rows.append(row)
        return tuple(rows)

    def _row(self, value: object, place: str, array: Rows) -> object:
        found = self._table(value, place, array.keys)
        for name, key in array.keys.items():
            if key.is_required and key.field not in found:
                raise self._refuse("missing key", f"{place}.{name}", key.form.expected, None, None)
        return array.row(**found)

    def _items(self, value: object, place: str, most: int, of: str) -> list[object]:
        if not isinstance(value, list):
            raise self._refuse("wrong type", place, f"a list of {of}", _shown(value), None)
        if not value:
            hint = "leave out what is not known"
            raise self._refuse("empty list", place, "at least one entry", None, hint)
        if len(value) > most:
            raise self._refuse("too many", place, f"at most {most}", str(len(value)), None)
        return value

    def _value(self, value: object, place: str, key: Key) -> str | tuple[str, ...]:
        if not key.is_list:
            return self._text(value, place, key.form)
        items = self._items(value, place, LIMITS.declared_list, "texts")
        texts: dict[str, None] = {}
        for index, item in enumerate(items):
            text = self._text(item, f"{place}[{index}]", key.form)
            if text in texts:
                raise self._refuse("stands twice", f"{place}[{index}]", None, _shown(text), None)
            texts[text] = None
        return tuple(texts)

    def _text(self, value: object, place: str, form: Form) -> str:
        if not isinstance(value, str):
            raise self._refuse("wrong type", place, form.expected, _shown(value), None)
        if not value.strip():
            hint = "leave out what is not known"
            raise self._refuse("empty text", place, form.expected, None, hint)
        if len(value) > form.longest:
            got = f"{len(value)} characters"
            raise self._refuse("too long", place, form.expected, got, None)
        if hidden := find_hidden(value, keep_layout=not form.is_one_line):
            raise self._refuse(
                "a character that hides or reorders text",
                place,
                "characters that show as what they are",
                f"U+{ord(hidden):04X}",
                None,
            )
        if not form.fits(value):
            raise self._refuse("not of its form", place, form.expected, _shown(value), None)
        self._bytes += len(value.encode())
        if self._bytes > LIMITS.declared_bytes:
            expected = f"at most {LIMITS.declared_bytes} bytes of text"
            raise self._refuse("too long together", place, expected, None, None)
        return value


def _is_plain(name: str) -> bool:
    return (
        0 < len(name) <= 64 and name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    )


def _shown(value: object) -> str:
    """A value for a message: its type, and the beginning of a small one."""
    name = type(value).__name__
    match value:
        case bool() | float():
            return f"{name} {value}"
        case str():
            return f"{name} {ascii(value[:60])[:60]}"
        case int() if value.bit_length() <= 128:  # str() of thousands of digits raises
            return f"{name} {value}"
        case _:
            return name
