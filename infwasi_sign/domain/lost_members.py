"""What one tree of JSON says and another does not: the losses of a conversion, computed.

The order of items says nothing in CycloneDX, and so it does not here. An empty array or object
holds no value, so that its absence is no loss.
"""

import json
from collections import Counter, deque
from collections.abc import Iterator, Sequence

from infwasi_sign.domain.strict_json import JsonValue

_NAMES = ("bom-ref", "ref", "name", "id", "alg", "url", "type", "phase")
"""Members that tell one item of an array from the others; the first that it has does."""


def lost_members(before: JsonValue, after: JsonValue, path: str = "") -> Iterator[str]:
    """The paths of the values in ``before`` that ``after`` does not have, in the order of reading.

    Items are named by what identifies them: `components[app].properties[infwasi:size].value`.
    """
    if isinstance(before, dict):
        # `evidence.identity` is an object in 1.5, and an array of such later.
        other = after[0] if isinstance(after, list) and len(after) == 1 else after
        there = other if isinstance(other, dict) else {}
        for name, value in before.items():
            inner = f"{path}.{name}" if path else name
            if name in there:
                yield from lost_members(value, there[name], inner)
            else:
                yield from _leaves(value, inner)
    elif isinstance(before, list):
        yield from _lost_items(before, after if isinstance(after, list) else [after], path)
    elif before != after or isinstance(before, bool) is not isinstance(after, bool):
        yield path


def _lost_items(
    before: Sequence[JsonValue], after: Sequence[JsonValue], path: str
) -> Iterator[str]:
    there = Counter(_form(item) for item in after)
    left: list[tuple[int, JsonValue]] = []
    for index, item in enumerate(before):
        form = _form(item)
        if there[form]:
            there[form] -= 1
        else:
            left.append((index, item))
    if not left:
        return
    rest: dict[str, deque[JsonValue]] = {}
    for item in after:
        form = _form(item)
        if there[form]:
            there[form] -= 1
            rest.setdefault(_name(item), deque()).append(item)
    for index, item in left:
        name = _name(item)
        inner = f"{path}[{name or index}]"
        others = rest.get(name)
        if others and isinstance(item, dict | list):
            yield from lost_members(item, others.popleft(), inner)
        else:
            yield from _leaves(item, inner)


def _form(item: JsonValue) -> str:
    """The same only for equal items; where it differs (`1.0`, `1`) they are compared by member."""
    if isinstance(item, int | float) and not isinstance(item, bool):
        return repr(float(item))
    return json.dumps(item, sort_keys=True)


def _name(item: JsonValue) -> str:
    if not isinstance(item, dict):
        return ""
    return next((value for n in _NAMES if isinstance(value := item.get(n), str) and value), "")


def _leaves(value: JsonValue, path: str) -> Iterator[str]:
    match value:
        case dict():
            for name, item in value.items():
                yield from _leaves(item, f"{path}.{name}" if path else name)
        case list():
            for index, item in enumerate(value):
                yield from _leaves(item, f"{path}[{_name(item) or index}]")
        case _:
            yield path
