"""Whether a BOM is the one that follows from the bytes, and which member is not."""

from collections.abc import Iterator
from typing import Final

from infwasi_sign.domain import strict_json
from infwasi_sign.domain.bom_document import BomDocument
from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.errors import RefusalKind, RefusedError

_KEYS: Final = ("bom-ref", "name", "ref")  # what names an item of a list, the first that it has
_LAST: Final = "serialNumber"  # it follows from all other members, which tell more
_SHOWN: Final = 80


def require_agreement(
    claimed: BomDocument, data: bytes, derived: dict[str, JsonValue], expected: bytes
) -> None:
    """Refuse a BOM that is not ``derived`` from the bytes; ``data`` and ``expected`` are the two.

    Raises:
        RefusedError: kind `disagree`, naming the first member that differs.
        MalformedError: it says the same, but not in its one byte form.
    """
    if data == expected:
        return
    for where, left, right in _differences(claimed.tree, derived, "bom"):
        raise RefusedError(
            RefusalKind.DISAGREE,
            "the BOM contradicts the package",
            where=where,
            expected=_short(right),
            got=_short(left),
        )
    strict_json.require_canonical(data, claimed.tree, "bom")
    if strict_json.canonical(claimed.tree) != expected:  # a `null` too many, or `true` for 1
        raise RefusedError(RefusalKind.DISAGREE, "the BOM contradicts the package", where="bom")


_Found = Iterator[tuple[str, JsonValue, JsonValue]]


def _differences(claimed: JsonValue, derived: JsonValue, where: str) -> _Found:
    """Where two values differ, the claimed and the derived one; ``None`` is one that is not there.

    An object that only one of them has is gone through: the member that was added has a name.
    """
    if isinstance(claimed, dict | None) and isinstance(derived, dict | None):
        left, right = claimed or {}, derived or {}
        for name in sorted(left.keys() | right.keys(), key=lambda name: (name == _LAST, name)):
            yield from _differences(left.get(name), right.get(name), f"{where}.{name}")
        if not left and not right:
            yield from _whole(claimed, derived, where)
    elif isinstance(claimed, list) and isinstance(derived, list):
        yield from _list_differences(claimed, derived, where)
    else:
        yield from _whole(claimed, derived, where)


def _whole(claimed: JsonValue, derived: JsonValue, where: str) -> _Found:
    # NOTE: to Python 1 == 1.0 == True; their bytes differ, and so do they.
    if claimed != derived or type(claimed) is not type(derived):
        yield where, claimed, derived


def _list_differences(claimed: list[JsonValue], derived: list[JsonValue], where: str) -> _Found:
    left, right = _by_name(claimed), _by_name(derived)
    if left is None or right is None:
        yield from _whole(claimed, derived, where)
        return
    for name, item in right.items():
        if name not in left or _is_property(item):
            yield from _whole(left.get(name), item, f"{where}[{name}]")
        else:
            yield from _differences(left[name], item, f"{where}[{name}]")
    for name, item in left.items():
        if name not in right:
            yield f"{where}[{name}]", item, None
    if list(left) != list(right):
        yield where, [*left], [*right]


def _is_property(item: JsonValue) -> bool:
    return isinstance(item, dict) and item.keys() == {"name", "value"}


def _by_name(items: list[JsonValue]) -> dict[str, JsonValue] | None:
    """The items by what names them; ``None`` if one has no name, or two have the same."""
    found: dict[str, JsonValue] = {}
    for item in items:
        if not isinstance(item, dict):
            return None
        name = next((item[key] for key in _KEYS if key in item), None)
        if not isinstance(name, str) or name in found:
            return None
        found[name] = item
    return found


def _short(value: JsonValue) -> str:
    match value:
        case None:
            return "nothing"
        case {"name": str(), "value": str(text)}:
            shown = text
        case {"bom-ref": str(ref)}:
            shown = ref
        case str():
            shown = value
        case _:
            shown = strict_json.canonical(value).decode()
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + "..."
