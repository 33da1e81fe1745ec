"""Which expressions a policy may have, and what one costs at most: decided on the tree alone.

A library's own limits do not suffice (docs/adr: "Expressions are a bounded part of CEL"), so what
could grow is not there: no maps, no list or text is put together, nothing is converted, a regular
expression is a literal without counted repetition. Then a bound on cost follows from the tree: a
step is what costs about 50 ns, a loop is what it does times the elements a list may have.
"""

import re
from collections.abc import Mapping
from typing import Final, assert_never

from infwasi_sign.domain.cel_tree import (
    Call,
    Const,
    ConstKind,
    Items,
    Loop,
    Name,
    Node,
    Other,
    Tree,
)
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import MalformedError
from infwasi_sign.quick_dataclass import dataclass

_RESULT: Final = "@result"  # what macros call what they have so far; nobody can write it
_NESTED: Final = 2  # loops; what a third is good for, nobody could read
_LIST_STEPS: Final = LIMITS.expression_elements
_TEXT_STEPS: Final = LIMITS.expression_text_bytes // 16
_PATTERN_STEPS: Final = 4000  # RE2 compiles and runs the worst of such patterns in 0.2 ms
_UNBOUNDED: Final = re.compile(r"\{|\\[pPC]")  # counted repetition, classes of Unicode, bytes

_STEPS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("_&&_", "_||_", "!_", "_?_:_", "@not_strictly_false"), 1),
    **dict.fromkeys(("_+_", "_-_", "_*_", "_/_", "_%_", "-_"), 1),
    **dict.fromkeys(("_<_", "_<=_", "_>_", "_>=_", "_[_]"), 2),
    **dict.fromkeys(("size", "startsWith", "endsWith", "contains"), _TEXT_STEPS),
    **dict.fromkeys(("@in", "_==_", "_!=_"), _LIST_STEPS),
    "matches": _PATTERN_STEPS,
}
_SIMPLE_STEPS: Final = 2  # to compare with a literal or an element
_SHOWN: Final[Mapping[str, str]] = {"@in": "in", "_[_]": "[]", "_?_:_": "?:"}


class NotInSubsetError(MalformedError):
    """A complaint and its ``position`` in the expression, in characters from 0."""

    def __init__(self, error: MalformedError, position: int | None) -> None:
        self.position = position
        super().__init__(error.what, expected=error.expected, got=error.got, hint=error.hint)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What an expression is about, and how many steps it takes at most."""

    variables: tuple[str, ...]
    steps: int


def measure_tree(tree: Tree, variables: frozenset[str], *, checked: bool) -> Measured:
    """Hold a tree to what expressions may be; ``checked`` once its overloads are known.

    Raises:
        NotInSubsetError: it has something that no expression of a policy may have.
    """
    walk = _Walk(tree, variables, checked)
    try:
        steps = walk.steps(tree.root, frozenset())
    except MalformedError as error:
        raise NotInSubsetError(error, tree.positions.get(walk.at)) from error
    return Measured(variables=tuple(sorted(walk.seen)), steps=steps)


class _Walk:
    def __init__(self, tree: Tree, variables: frozenset[str], checked: bool) -> None:
        self._tree = tree
        self._variables = variables
        self._is_checked = checked
        self.seen: set[str] = set()
        self.at = 0  # the number of the node that is looked at

    def steps(self, node: Node, bound: frozenset[str]) -> int:
        """What a node costs; ``bound`` are the variables of the loops around it."""
        if not isinstance(node, Const):
            self.at = node.number
        match node:
            case Const():
                return 1
            case Name(name=name):
                if name not in bound:
                    self._require_fact(name)
                return 1
            case Items(elements=elements):
                _require_plain(elements)
                return 1 + len(elements)
            case Call():
                return self._call(node, bound)
            case Loop():
                return self._loop(node, bound)
            case Other(what=what):
                raise MalformedError(f"an expression cannot have {what}")
            case _:
                assert_never(node)

    def _require_fact(self, name: str) -> None:
        if name not in self._variables:
            raise MalformedError(
                "unknown fact",
                got=ascii(name[:60]),
                hint="docs/policy.md lists the facts; write `_` for dots and dashes",
            )
        self.seen.add(name)

    def _call(self, node: Call, bound: frozenset[str]) -> int:
        function, arguments = node.function, node.arguments
        if function not in _STEPS:
            raise MalformedError("an expression cannot use this function", got=_shown(function))
        if function == "matches":
            _require_literal_pattern(arguments)
        is_sum = function == "_+_" and self._is_checked
        if is_sum and self._tree.overloads.get(node.number) != ("add_int64",):
            raise MalformedError("an expression can add only numbers")
        own = _STEPS[function]
        if function in {"_==_", "_!=_"} and any(_is_small(one, bound) for one in arguments):
            own = _SIMPLE_STEPS
        return own + sum(self.steps(one, bound) for one in arguments)

    def _loop(self, node: Loop, bound: frozenset[str]) -> int:
        if len(bound) >= _NESTED:
            raise MalformedError(
                "loops of an expression are nested too deeply", expected="2 at most"
            )
        inner = bound | {node.variable}
        if node.variable in bound or node.variable in self._variables:
            raise MalformedError(
                "a variable of an expression hides another", got=ascii(node.variable[:60])
            )
        condition = _condition(node)
        return (
            self.steps(node.over, bound)
            + (4 + self.steps(condition, inner)) * LIMITS.expression_elements
        )


def _condition(node: Loop) -> Node:
    """What a macro asks of each element (cel-spec, langdef.md, "Macros").

    `all` and `exists` join it to the result, `exists_one` and `filter` add to the result if it is
    true. What is left is `map`, which makes lists of lists.
    """
    result = Name(name=_RESULT)
    match node.step:
        case Call(function="_&&_" | "_||_", arguments=(first, condition)) if first == result:
            return condition
        case Call(
            function="_?_:_",
            arguments=(condition, Call(function="_+_", arguments=(first, more)), last),
        ) if first == last == result and more in (
            Const(kind=ConstKind.INT),
            Items(elements=(Name(name=node.variable),)),
        ):
            return condition
        case _:
            raise MalformedError("an expression cannot use this function", got="map")


def _require_plain(elements: tuple[Node, ...]) -> None:
    kinds = {one.kind if isinstance(one, Const) else None for one in elements}
    if len(kinds) > 1 or None in kinds:
        raise MalformedError("a list in an expression has literals of one type and nothing else")
    if len(elements) > LIMITS.expression_elements:
        raise MalformedError(
            "a list in an expression is too long",
            expected=f"at most {LIMITS.expression_elements} elements",
        )


def _require_literal_pattern(arguments: tuple[Node, ...]) -> None:
    match arguments:
        case (_, Const(kind=ConstKind.TEXT, text=pattern)):
            pass
        case _:
            raise MalformedError("a pattern in an expression must be a literal text")
    if len(pattern.encode()) > LIMITS.expression_pattern_bytes:
        raise MalformedError(
            "a pattern in an expression is too long",
            expected=f"at most {LIMITS.expression_pattern_bytes} bytes",
        )
    if found := _UNBOUNDED.search(pattern):
        raise MalformedError("a pattern in an expression cannot have this", got=ascii(found[0]))


def _is_small(node: Node, bound: frozenset[str]) -> bool:
    return isinstance(node, Const) or (isinstance(node, Name) and node.name in bound)


def _shown(function: str) -> str:
    return _SHOWN.get(function, ascii(function[:60]).strip("'").strip("_"))
