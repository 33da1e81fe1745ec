"""Syntax trees of CEL, read from the bytes in which libraries exchange them.

The bytes are protocol buffers: `ParsedExpr` of cel-spec `proto/cel/expr/syntax.proto` and
`CheckedExpr` of `checked.proto`, in a `google.protobuf.Any`. Only what expressions of ours may
contain becomes a node; everything else is `Other`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import field
from enum import StrEnum
from typing import Final, TypeAlias

from infwasi_sign.errors import MalformedError
from infwasi_sign.quick_dataclass import dataclass


class ConstKind(StrEnum):
    """The types of literals that expressions may have."""

    BOOL = "bool"
    INT = "int"
    TEXT = "string"


@dataclass(frozen=True, kw_only=True, slots=True)
class Const:
    """A literal; ``text`` is that of a string."""

    kind: ConstKind
    text: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """A variable: a fact, or what a macro binds."""

    name: str
    number: int = field(default=0, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A function or an operator; the target of a method is the first argument."""

    function: str
    arguments: tuple["Node", ...]
    number: int = field(default=0, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Items:
    """A literal list."""

    elements: tuple["Node", ...]
    number: int = field(default=0, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Loop:
    """What the macros `all`, `exists`, `exists_one`, `filter` and `map` become."""

    variable: str
    over: "Node"
    step: "Node"
    number: int = field(default=0, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Other:
    """Something that expressions of ours may not have; ``what`` is its name for people."""

    what: str
    number: int = field(default=0, compare=False)


Node: TypeAlias = Const | Name | Call | Items | Loop | Other


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree:
    """An expression: by the numbers of its nodes, where they stand and what calls are by type.

    ``positions`` count characters from 0; ``overloads`` is empty before types were checked.
    """

    root: Node
    positions: Mapping[int, int]
    overloads: Mapping[int, tuple[str, ...]]


_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # protobuf.dev, "Encoding"
_DEEPEST: Final = 256  # messages; the library parses 32 levels of an expression
_CHECKED: Final = "type.googleapis.com/cel.expr.CheckedExpr"
_PARSED: Final = "type.googleapis.com/cel.expr.ParsedExpr"
_CONSTANTS: Final = {2: ConstKind.BOOL, 3: ConstKind.INT}
_OTHERS: Final = {5: "a field", 8: "a map or message"}


def read_tree(data: bytes) -> Tree:
    """The tree of a serialized expression, with overloads if it was checked.

    Raises:
        MalformedError: the bytes are not what the library writes.
    """
    envelope = _Message(data)
    message = _Message(envelope.content(2))
    match envelope.text(1):
        case found if found == _PARSED:
            positions = dict(_positions(message.content(3)))
            return Tree(root=_node(message.content(2), 0), positions=positions, overloads={})
        case found if found == _CHECKED:
            return Tree(
                root=_node(message.content(4), 0),
                positions=dict(_positions(message.content(5))),
                overloads=dict(_overloads(message)),
            )
        case found:
            raise MalformedError("not an expression", got=ascii(found[:80]))


class _Message:
    """The fields of one message, in order."""

    def __init__(self, data: bytes) -> None:
        self.fields = list(_fields(data))

    def content(self, number: int) -> bytes:
        """The last value of a field, or none."""
        found = b""
        for at, value in self.fields:
            if at == number:
                found = _as_bytes(value)
        return found

    def all(self, number: int) -> list[bytes]:
        """All values of a field, in order."""
        return [_as_bytes(value) for at, value in self.fields if at == number]

    def number(self, number: int) -> int:
        """The last value of a field that is a number, or 0."""
        found = 0
        for at, value in self.fields:
            if at == number and isinstance(value, int):
                found = value
        return found

    def text(self, number: int) -> str:
        """The last value of a field as text, or an empty one."""
        return _text(self.content(number))


def _node(data: bytes, depth: int) -> Node:
    if depth > _DEEPEST:
        raise MalformedError("an expression is nested too deeply")
    message = _Message(data)
    kinds = [(at, value) for at, value in message.fields if at != 2]
    if len(kinds) != 1:
        raise MalformedError("a node of an expression has no kind")
    at, value = kinds[0]
    number = message.number(2)
    inside = _Message(_as_bytes(value))
    match at:
        case 3:
            return _const(inside)
        case 4:
            return Name(name=inside.text(1), number=number)
        case 6:
            arguments = (*inside.all(1), *inside.all(3))
            return Call(
                function=inside.text(2),
                arguments=tuple(_node(one, depth + 1) for one in arguments),
                number=number,
            )
        case 7 if not inside.content(2) and not inside.number(2):  # no optional elements
            elements = tuple(_node(one, depth + 1) for one in inside.all(1))
            return Items(elements=elements, number=number)
        case 9:
            return Loop(
                variable=inside.text(1),
                over=_node(inside.content(2), depth + 1),
                step=_node(inside.content(6), depth + 1),
                number=number,
            )
        case _:
            return Other(what=_OTHERS.get(at, "something unknown"), number=number)


def _const(message: _Message) -> Node:
    if len(message.fields) != 1:
        raise MalformedError("a literal of an expression has no type")
    ((at, value),) = message.fields
    if at == 6:
        return Const(kind=ConstKind.TEXT, text=_text(_as_bytes(value)))
    if at in _CONSTANTS:
        return Const(kind=_CONSTANTS[at])
    return Other(what="a literal that is neither a number, a text nor a boolean")


def _positions(source: bytes) -> Iterator[tuple[int, int]]:
    for entry in _Message(source).all(4):
        pair = _Message(entry)
        yield pair.number(1), pair.number(2)


def _overloads(checked: _Message) -> Iterator[tuple[int, tuple[str, ...]]]:
    for entry in checked.all(2):
        pair = _Message(entry)
        yield pair.number(1), tuple(_text(one) for one in _Message(pair.content(2)).all(3))


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        match key & 7:
            case 0:
                value, at = _varint(data, at)
                yield key >> 3, value
            case 1 | 2 | 5 as wire:
                size = {_FIXED64: 8, _FIXED32: 4}.get(wire, 0)
                if wire == _BYTES:
                    size, at = _varint(data, at)
                if size > len(data) - at:
                    raise MalformedError("an expression is cut off")
                yield key >> 3, data[at : at + size]
                at += size
            case _:
                raise MalformedError("an expression has a field of no known type")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):  # ten bytes at most, for 64 bits
        if at >= len(data):
            raise MalformedError("an expression is cut off")
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    raise MalformedError("a number of an expression is too long")


def _as_bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise MalformedError("an expression has a number where something else must be")
    return value


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise MalformedError("an expression has a text that is not UTF-8") from error
