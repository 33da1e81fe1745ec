"""The model card and data of components and services to JSON and back, without loss.

What reads is as strict as the schema in types, words of enumerations and required members. Only
an empty array is not told from one that is not there: neither says anything.
"""

from enum import StrEnum
from typing import Any, Final, TypeVar, cast

from infwasi_sign.domain.model_card import ComponentData, DataReference, ModelCard, ServiceData
from infwasi_sign.domain.model_card_layout import LAYOUTS, Kind, Member
from infwasi_sign.domain.strict_json import Cursor, JsonValue
from infwasi_sign.errors import MalformedError

_T = TypeVar("_T")

_MOST_ITEMS: Final = 2**31  # the bytes that they are read from are bounded


def card_to_json(card: ModelCard) -> dict[str, JsonValue]:
    """`component.modelCard` as the schemas of 1.6 and 1.7 have it."""
    return _object_of(card)


def data_to_json(data: ComponentData) -> dict[str, JsonValue]:
    """An item of `component.data`."""
    return _object_of(data)


def card_from_json(
    value: JsonValue, where: str = "modelCard", *, skip_unknown: bool = False
) -> ModelCard:
    """Read `component.modelCard`; ``skip_unknown`` passes over members that no schema has.

    Raises:
        MalformedError: naming the member below ``where`` that has a wrong type or word, is missing
            or is unknown.
    """
    return _read(ModelCard, Cursor(value, where), skip_unknown)


def data_from_json(
    value: JsonValue, where: str = "data", *, skip_unknown: bool = False
) -> ComponentData:
    """Read an item of `component.data`, as `card_from_json` does.

    Raises:
        MalformedError: likewise.
    """
    return _read(ComponentData, Cursor(value, where), skip_unknown)


def flow_to_json(flow: ServiceData) -> dict[str, JsonValue]:
    """An item of `service.data`."""
    return _object_of(flow)


def flow_from_json(
    value: JsonValue, where: str = "data", *, skip_unknown: bool = False
) -> ServiceData:
    """Read an item of `service.data`, as `card_from_json` does.

    Raises:
        MalformedError: likewise.
    """
    return _read(ServiceData, Cursor(value, where), skip_unknown)


# --- writing -----------------------------------------------------------------------------------


def _object_of(value: object) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {}
    for member in LAYOUTS[type(value)].members:
        held = getattr(value, member.field)
        if member.many:
            if held or member.required:
                found[member.name] = [_json_of(item) for item in held]
        elif held is not None:
            found[member.name] = _json_of(held)
    return found


def _json_of(value: Any) -> JsonValue:
    if isinstance(value, StrEnum):
        return value.value
    if type(value) in LAYOUTS:
        return _object_of(value)
    return cast("JsonValue", value)


# --- reading -----------------------------------------------------------------------------------


def _read(kind: type[_T], cursor: Cursor, skip_unknown: bool) -> _T:
    layout = LAYOUTS[kind]
    required = [member.name for member in layout.members if member.required]
    optional = [member.name for member in layout.members if not member.required]
    if skip_unknown and isinstance(cursor.value, dict):
        known = {*required, *optional}
        kept = {name: item for name, item in cursor.value.items() if name in known}
        cursor = Cursor(kept, cursor.path)
    there = cursor.object(required, optional)
    if layout.one_of and len(there.keys() & set(layout.one_of)) != 1:
        raise MalformedError(
            "wrong number of members",
            where=cursor.path,
            expected="exactly one of " + ", ".join(layout.one_of),
            got=str(len(there)),
        )
    values = {
        member.field: _member(member, there[member.name], skip_unknown)
        for member in layout.members
        if member.name in there
    }
    return kind(**values)


def _member(member: Member, cursor: Cursor, skip_unknown: bool) -> object:
    if member.many:
        items = cursor.array(_MOST_ITEMS)
        return tuple(_value(_kind(member, item), item, skip_unknown) for item in items)
    return _value(_kind(member, cursor), cursor, skip_unknown)


def _kind(member: Member, cursor: Cursor) -> Kind:
    """Which of the kinds it is: only what has a type can be more than a reference."""
    if len(member.kinds) == 1:
        return member.kinds[0]
    is_data = isinstance(cursor.value, dict) and "type" in cursor.value
    return ComponentData if is_data else DataReference


def _value(kind: Kind, cursor: Cursor, skip_unknown: bool) -> object:
    if kind == "text":
        return cursor.string()
    if kind == "number":
        return _number(cursor)
    assert isinstance(kind, type)  # noqa: S101 - the other kinds are the words above
    if issubclass(kind, StrEnum):
        return _word(kind, cursor)
    return _read(kind, cursor, skip_unknown)


def _number(cursor: Cursor) -> int | float:
    value = cursor.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MalformedError("wrong type", where=cursor.path, expected="a number")
    return value


def _word(kind: type[StrEnum], cursor: Cursor) -> StrEnum:
    text = cursor.string()
    try:
        return kind(text)
    except ValueError as e:
        raise MalformedError(
            "unknown word",
            where=cursor.path,
            expected=", ".join(kind),
            got=ascii(text[:40]),
        ) from e
