"""JSON without freedom: one meaning for every accepted text, and a typed way to walk through it.

Follows I-JSON (RFC 7493) where RFC 8259 leaves a choice, and RFC 8785 for the one byte form.
"""

import json
import re
from collections.abc import Collection
from typing import Final, NoReturn, TypeAlias

import rfc8785

from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import MalformedError
from infwasi_sign.quick_dataclass import dataclass

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
"""What a JSON text says."""

# NOTE: possessive and with an optional closing quote, so that no input makes it backtrack or
# search the rest of the text again (re.html, "possessive quantifiers").
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NOT_BRACKETS: Final = bytes(sorted(set(range(256)) - set(b"[]{}")))
_ONE_BRACKET_KIND: Final = bytes.maketrans(b"{}", b"[]")
# Also finds some texts. It begins with single characters, which are looked for many times as fast.
_FRACTION: Final = re.compile(r'[:\[,](?:(?<=":)|(?<=[\[,]))-?[0-9]+[.e]')
_ENCODER: Final = json.JSONEncoder(
    ensure_ascii=False,
    check_circular=False,
    allow_nan=False,
    sort_keys=True,
    separators=(",", ":"),
)
_SURROGATE_ESCAPE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_INTEGER_CHARACTERS: Final = len(str(-LIMITS.json_integer))


def parse(data: bytes, *, where: str, limit_bytes: int) -> JsonValue:
    """Read one JSON text that can be understood in one way only.

    Refused: more than ``limit_bytes``; anything but UTF-8; a byte order mark; nesting deeper than
    ``LIMITS.json_depth``; a member named twice (RFC 7493 section 2.3); NaN, infinities and numbers
    beyond ``LIMITS.json_integer``; surrogates that stand alone (RFC 7493 section 2.1).

    Raises:
        MalformedError: naming ``where``.
    """
    if len(data) > limit_bytes:
        raise MalformedError(
            "too long", where=where, expected=f"at most {limit_bytes} bytes", got=str(len(data))
        )
    if data.startswith(b"\xef\xbb\xbf"):
        raise MalformedError("begins with a byte order mark", where=where, expected="plain UTF-8")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as e:
        raise MalformedError(
            "not UTF-8", where=where, got=f"byte 0x{data[e.start]:02x} at offset {e.start}"
        ) from e
    _check_depth(data, where)
    value = _Reader(where).read(text)
    if _SURROGATE_ESCAPE.search(data):
        _refuse_lone_surrogates(value, where)
    return value


def canonical(value: JsonValue) -> bytes:
    """The one byte form of a value, RFC 8785.

    Raises:
        MalformedError: the value has no such form (NaN, integers beyond 2^53-1, lone surrogates).
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as e:
        # NOTE: rfc8785 0.1.4 lets a member name with a lone surrogate fail in `encode`.
        raise MalformedError("value has no canonical form", got=ascii(str(e))[:80]) from e


def canonical_quickly(value: JsonValue) -> bytes:
    """What `canonical` gives, of values that we made ourselves: many times as fast.

    Names are ASCII, which sorts in the order of RFC 8785 section 3.2.3, and integers are within
    ``LIMITS.json_integer``. A fraction, or what may be one, is left to `canonical`.

    Raises:
        MalformedError: as `canonical`.
    """
    try:
        text = _ENCODER.encode(value)
        if isinstance(value, float) or _FRACTION.search(text):
            return canonical(value)
        return text.encode()
    except ValueError as e:  # NaN and infinities; UnicodeEncodeError, a lone surrogate
        raise MalformedError("value has no canonical form", got=ascii(str(e))[:80]) from e


def require_canonical(data: bytes, value: JsonValue, where: str) -> None:
    """Hold ``data`` to the one byte form of the ``value`` that was read from it.

    Raises:
        MalformedError: naming ``where`` and the first byte that differs.
    """
    again = canonical(value)
    if again == data:
        return
    pairs = enumerate(zip(data, again, strict=False))
    shorter = min(len(data), len(again))
    offset = next((at for at, (got, expected) in pairs if got != expected), shorter)
    raise MalformedError(
        "not in its one byte form",
        where=where,
        expected="RFC 8785",
        got=f"a difference at offset {offset}",
    )


def _check_depth(data: bytes, where: str) -> None:
    """Bound the nesting before the recursive parser meets it, at the speed of ``bytes.replace``.

    Each round takes away the innermost pairs, so that what is left after n rounds nests deeper
    than n. Kinds of brackets are not told apart: whether they match is the parser's question.
    """
    brackets = _STRING.sub(b"", data).translate(_ONE_BRACKET_KIND, _NOT_BRACKETS)
    for _ in range(LIMITS.json_depth):
        if not brackets:
            return
        brackets = brackets.replace(b"[]", b"")
    # Without a pair only `]]]…[[[` is left: broken, and for the parser to refuse while it is short.
    if b"[]" in brackets or brackets.count(b"[") > LIMITS.json_depth:
        raise MalformedError(
            "nested too deep", where=where, expected=f"at most {LIMITS.json_depth} levels"
        )


class _Reader:
    """Python's parser with every choice that it leaves open closed."""

    def __init__(self, where: str) -> None:
        self._where = where

    def read(self, text: str) -> JsonValue:
        try:
            value: JsonValue = json.loads(
                text,
                object_pairs_hook=self._object,
                parse_int=self._integer,
                parse_float=self._float,
                parse_constant=self._constant,
            )
        except json.JSONDecodeError as e:
            raise MalformedError(
                "not JSON",
                where=self._where,
                got=f"{e.msg.lower().removesuffix(' at')} at character {e.pos}",
            ) from e
        return value

    def _object(self, pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
        members: dict[str, JsonValue] = {}
        for name, value in pairs:
            if name in members:
                raise MalformedError("member stands twice", where=self._where, got=_shown(name))
            members[name] = value
        return members

    def _integer(self, digits: str) -> int:
        # NOTE: the length comes first, for `int` refuses long texts with an error of its own.
        if len(digits) <= _INTEGER_CHARACTERS:
            number = int(digits)
            if abs(number) <= LIMITS.json_integer:
                return number
        raise self._out_of_range(digits)

    def _float(self, digits: str) -> float:
        # The same bound: RFC 8785 writes 9007199254740992.0 as an integer beyond it.
        number = float(digits)
        if abs(number) <= LIMITS.json_integer:
            return number
        raise self._out_of_range(digits)

    def _out_of_range(self, digits: str) -> MalformedError:
        return MalformedError(
            "number out of range",
            where=self._where,
            expected=f"within {LIMITS.json_integer} of zero",
            got=digits[:24],
        )

    def _constant(self, word: str) -> NoReturn:
        raise MalformedError("not a JSON number", where=self._where, got=word)


def _refuse_lone_surrogates(value: JsonValue, where: str) -> None:
    match value:
        case str():
            try:
                value.encode("utf-8")
            except UnicodeEncodeError as e:
                raise MalformedError(
                    "surrogate stands alone", where=where, got=_shown(value)
                ) from e
        case list():
            for item in value:
                _refuse_lone_surrogates(item, where)
        case dict():
            for name, item in value.items():
                _refuse_lone_surrogates(name, where)
                _refuse_lone_surrogates(item, where)


def _shown(text: str) -> str:
    return ascii(text[:80])[:80]


_KINDS: Final[dict[type, str]] = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


@dataclass(frozen=True, slots=True)
class Cursor:
    """A value and where it stands; each question is also a demand.

    Every method raises MalformedError naming ``path``, such as ``predicate.entries[2].size``.
    """

    value: JsonValue
    path: str

    def object(
        self, required: Collection[str], optional: Collection[str] = ()
    ) -> dict[str, "Cursor"]:
        """The members by name: all that are ``required``, of ``optional`` those that are there."""
        if not isinstance(self.value, dict):
            raise self._unlike("an object")
        if missing := set(required) - self.value.keys():
            raise MalformedError("member is missing", where=self.path, expected=min(missing))
        for name in self.value:
            if name not in required and name not in optional:
                raise MalformedError("unknown member", where=self.path, got=_shown(name))
        return {
            name: Cursor(item, f"{self.path}.{name}" if self.path else name)
            for name, item in self.value.items()
        }

    def array(self, max_items: int, min_items: int = 0) -> tuple["Cursor", ...]:
        """The items, each with its index in the path."""
        if not isinstance(self.value, list):
            raise self._unlike("an array")
        if not min_items <= len(self.value) <= max_items:
            expected = f"at most {max_items}" if not min_items else f"{min_items} to {max_items}"
            raise MalformedError(
                "wrong number of items",
                where=self.path,
                expected=expected,
                got=str(len(self.value)),
            )
        return tuple(Cursor(item, f"{self.path}[{at}]") for at, item in enumerate(self.value))

    def string(self, max_bytes: int | None = None) -> str:
        """The text, at most ``max_bytes`` long in UTF-8."""
        if not isinstance(self.value, str):
            raise self._unlike("a string")
        if max_bytes is not None and (size := len(self.value.encode("utf-8"))) > max_bytes:
            raise MalformedError(
                "too long", where=self.path, expected=f"at most {max_bytes} bytes", got=str(size)
            )
        return self.value

    def integer(self, minimum: int, maximum: int) -> int:
        """The number, both bounds included; ``1.0`` and ``true`` are no integers."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self._unlike("an integer")
        if not minimum <= self.value <= maximum:
            raise MalformedError(
                "out of range",
                where=self.path,
                expected=f"{minimum} to {maximum}",
                got=str(self.value),
            )
        return self.value

    def boolean(self) -> bool:
        """``true`` or ``false``, nothing that only looks like it."""
        if not isinstance(self.value, bool):
            raise self._unlike("a boolean")
        return self.value

    def _unlike(self, expected: str) -> MalformedError:
        return MalformedError(
            "wrong type", where=self.path, expected=expected, got=_KINDS[type(self.value)]
        )
