"""Ways to spoil JSON: what it says, and how it is written."""

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final, TypeAlias

Json: TypeAlias = Any
Slot: TypeAlias = tuple[Any, Any]  # a dict or list and the key or index of one item

_OTHERS: Final[tuple[Json, ...]] = (None, True, False, 1.5, -7, "x", "", [], {}, [[]], {"a": 1})
_HUGE: Final = (2**53, -(2**53), 2**64, 10**400, 1e300, -1e-300)
_LOOKALIKES: Final = {"a": "а", "e": "е", "o": "о", "i": "і", "c": "с", "m": "ｍ"}  # noqa: RUF001 -- the point of them


def slots(value: Json) -> Iterator[Slot]:
    """Every place in a value that holds another value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield value, key
        if isinstance(item, dict | list):
            yield from slots(item)


def any_slot(value: Json, rng: Random, accepts: Callable[[Slot], bool] = lambda _: True) -> Slot:
    """One place in the value."""
    return rng.choice([slot for slot in slots(value) if accepts(slot)])


def any_object(value: Json, rng: Random) -> Json:
    """One object in the value, perhaps itself."""
    inner = [box[key] for box, key in slots(value) if isinstance(box[key], dict)]
    return rng.choice([value, *inner] if isinstance(value, dict) else inner)


# --- what it says -----------------------------------------------------------------------------


def add_member(value: Json, rng: Random) -> None:
    """A member that nobody knows."""
    box = any_object(value, rng)
    name = rng.choice(("note", "", "__proto__", "$schema", "NAME", "keyid", "é", "x" * 300))
    while name in box:
        name += "_"
    box[name] = rng.choice(_OTHERS)


def rename_member(value: Json, rng: Random) -> None:
    """A member under a name that looks like its own."""
    box, key = any_slot(value, rng, lambda slot: isinstance(slot[0], dict))
    item = box.pop(key)
    box[rng.choice((key + " ", key.upper() + "_", key + "\u200b", key[:-1], "\u00a0" + key))] = item


def drop_member(value: Json, rng: Random, optional: tuple[str, ...] = ()) -> None:
    """A member or item less; not one of those that may be left out."""
    box, key = any_slot(value, rng, lambda slot: slot[1] not in optional)
    del box[key]


def retype(value: Json, rng: Random) -> None:
    """A value of another type."""
    box, key = any_slot(value, rng)
    old = box[key]
    kind = float if isinstance(old, int) and not isinstance(old, bool) else type(old)
    box[key] = rng.choice([new for new in _OTHERS if type(new) not in {kind, type(old)}])
    if rng.random() < 0.2:
        box[key] = [old]


def nest(value: Json, rng: Random) -> None:
    """A value deep inside of others."""
    box, key = any_slot(value, rng)
    item = box[key]
    for _ in range(rng.choice((1, 2, 30, 31, 32, 33, 200))):
        item = [item] if rng.random() < 0.5 else {"a": item}
    box[key] = item


def enlarge(value: Json, rng: Random) -> None:
    """A number that is beyond every range."""
    box, key = any_slot(value, rng)
    box[key] = rng.choice(_HUGE)


def twist_text(value: Json, rng: Random) -> None:
    """A text that looks like the one it was, or nearly."""
    box, key = any_slot(value, rng, lambda slot: isinstance(slot[0][slot[1]], str))
    box[key] = twisted(box[key], rng)


def twisted(text: str, rng: Random) -> str:
    """Another text that a careless reader takes for the same; never a valid digest or time."""
    at = rng.randrange(len(text) + 1)
    same = [index for index, character in enumerate(text) if character in _LOOKALIKES]
    choices = [
        text[:at] + unseen + text[at:]
        for unseen in ("\u200b", "\u202e", "\0", "\x1b[1m", "\n", "\ufeff", "\u0301", "\U000e0041")
    ]
    if same:
        index = rng.choice(same)
        choices.append(text[:index] + _LOOKALIKES[text[index]] + text[index + 1 :])
    return rng.choice([*choices, text + " ", " " + text, text + text + "!"])


SAYS_OTHER: Final = (add_member, rename_member, drop_member, retype, nest, enlarge, twist_text)


# --- how it is written ------------------------------------------------------------------------


def rewritten(data: bytes, rng: Random) -> bytes:
    """The same value, or nearly, in other bytes; never the same bytes."""
    trick = rng.choice(_WRITES_OTHERWISE)
    found = trick(data, rng)
    return found if found != data else data + b" "


def _spaced(data: bytes, rng: Random) -> bytes:
    indent = rng.choice((None, 1, 4, "\t"))
    return json.dumps(json.loads(data), indent=indent, ensure_ascii=False).encode()


def _reordered(data: bytes, rng: Random) -> bytes:
    def shuffled(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        rng.shuffle(pairs)
        return dict(pairs)

    value = json.loads(data, object_pairs_hook=shuffled)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _doubled(data: bytes, rng: Random) -> bytes:
    """One member twice: the first or the last of them is the old one."""
    value = json.loads(data)
    box, key = any_slot(value, rng, lambda slot: isinstance(slot[0], dict))
    new = rng.choice((*_OTHERS, box[key]))
    mark = "\x7fdouble\x7f"
    box[mark] = new
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    name = json.dumps(key, ensure_ascii=False)
    text = text.replace(json.dumps(mark, ensure_ascii=False), name)
    return text.encode()


def _escaped(data: bytes, rng: Random) -> bytes:
    """One letter written as an escape."""
    letters = [at for at, byte in enumerate(data) if chr(byte).isalpha() and byte < 0x80]
    at = rng.choice(letters)
    return data[:at] + b"\\u%04x" % data[at] + data[at + 1 :]


def _framed(data: bytes, rng: Random) -> bytes:
    before, after = rng.choice(
        (
            *((b"\xef\xbb\xbf", b""), (b"", b"\0"), (b" ", b""), (b"", b"\n"), (b"", b"{}")),
            *((b"[", b"]"), (b"//\n", b""), (b"\xff\xfe", b""), (b"", b"\x1a"), (b"\n", b"\n")),
        )
    )
    return before + data + after


def _other_encoding(data: bytes, rng: Random) -> bytes:
    return data.decode().encode(rng.choice(("utf-16", "utf-32-be", "utf-16-le", "utf-7")))


def _other_numbers(data: bytes, rng: Random) -> bytes:
    """A number in another spelling."""
    value = json.loads(data)
    numbers = [slot for slot in slots(value) if type(slot[0][slot[1]]) is int]
    if not numbers:
        return data + b"\n"
    box, key = rng.choice(numbers)
    number, box[key] = box[key], "\x7fnumber\x7f"
    spelled = rng.choice((f"{number}.0", f"{number}e0", f"0{number}", f"+{number}", f"{number}E-0"))
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.replace(json.dumps("\x7fnumber\x7f", ensure_ascii=False), spelled).encode()


def _deep(_: bytes, rng: Random) -> bytes:
    depth = rng.choice((33, 1_000, 100_000))
    return rng.choice((b"[" * depth, b'{"a":' * depth, b"[" * depth + b"]" * depth))


def _cut(data: bytes, rng: Random) -> bytes:
    return data[: rng.randrange(len(data))]


_WRITES_OTHERWISE: Final = (
    *(_spaced, _reordered, _doubled, _escaped, _framed, _other_encoding, _other_numbers),
    *(_deep, _cut),
)
