"""Where the values of a chat template come from and how often its parts are executed, roughly.

Names are followed without their scopes: what is said of a name anywhere counts everywhere, so that
a template cannot hide by using one name for two things.
"""

from collections.abc import Iterator
from typing import Final

from infwasi_sign.domain.template_lexer import (
    CLOCK,
    FUNCTIONS,
    INTEGER,
    KEYWORDS,
    NAME,
    OPERATOR,
    STRING,
    Tag,
    Token,
    integer_value,
)

LARGEST_RANGE: Final = 4096  # the sandbox counts no further
_PASSES: Final = 16  # over the assignments, until nothing more is learned

_MAKES_TEXT: Final = frozenset(("join", "replace", "reverse", "string", "tojson", "format"))
_LENGTHS: Final = ("length", "count")
_TO_LENGTH: Final = [[(NAME, word)] for word in _LENGTHS]
_TO_NUMBER: Final = [[(NAME, word)] for word in (*_LENGTHS, "int", "abs")]
_COUNTING: Final = frozenset(("+", "-", "(", ")", ",", "//", "%", ":", *("==", "!=", "<", ">")))


class Assignment:
    """A `set`, `for` or `with`: names and the tokens that they get their values from."""

    __slots__ = ("is_block", "is_loop", "plain_value", "references", "targets", "value")

    def __init__(self, targets: list[str], value: list[Token], kind: str) -> None:
        self.targets = targets
        self.value = value
        self.is_loop = kind == "for"
        self.is_block = kind == "block"
        self.plain_value = value if value[:1] != [(NAME, "namespace")] else _members(value)
        self.references = [name for name, _ in references(value)]


class Flow:
    """What is known of the names of one template."""

    def __init__(self) -> None:
        self.bound: set[str] = set()
        self.macros: set[str] = set()
        self.asked: set[str] = set()
        self._computed: set[str] = set()
        self._computed_bases: set[str] = set()
        self._texts: set[str] = set()
        self.lengths: set[str] = set()
        self.assignments: list[Assignment] = []
        self._loose: set[str] = set()
        self.found: set[str] = set()

    def learn(self, tags: list[Tag]) -> None:
        """Read the statements that bind names, then follow the values."""
        for tag in tags:
            tokens = tag.tokens
            if tag.is_statement and len(tokens) > 1:
                self._bind(tokens)
            for at in range(len(tokens) - 2):
                if tokens[at : at + 3] == [(NAME, CLOCK), (NAME, "is"), (NAME, "defined")]:
                    self.asked.add(CLOCK)
        self._follow()

    # --- questions

    def is_computed_key(self, tokens: list[Token]) -> bool:
        """Whether a subscript is put together, so that nobody sees which key it is."""
        if (OPERATOR, ":") in tokens and (OPERATOR, "[") not in tokens:
            return False  # a slice, of numbers
        has_text = any(kind == STRING for kind, _ in tokens)
        for at, (kind, value) in enumerate(tokens):
            if kind == OPERATOR and (value == "~" or (has_text and value in ("+", "*", "%"))):
                return True
            after = tokens[at + 1] if at + 1 < len(tokens) else ("", "")
            if kind == OPERATOR and value == "|" and after[1] not in {*_LENGTHS, "int"}:
                return True
            if kind in (NAME, STRING) and after == (OPERATOR, "(") and value not in KEYWORDS:
                return True
            if kind == STRING and after == (OPERATOR, "["):
                return True
        return any(
            name in self._computed or (is_whole and name in self._computed_bases)
            for name, is_whole in references(tokens)
        )

    def may_be_text(self, tokens: list[Token], at: int) -> bool:
        """Whether the name at this place was given a text that the template wrote or made."""
        if not 0 <= at < len(tokens) or tokens[at][0] != NAME:
            return False
        names = {tokens[at][1]}
        if at >= 2 and tokens[at - 1] == (OPERATOR, "."):
            names = {f"{tokens[at - 2][1]}.{tokens[at][1]}"}
        elif tokens[at + 1 : at + 2] == [(OPERATOR, ".")]:
            names = {f"{tokens[at][1]}.{tokens[at + 2][1]}"} if at + 2 < len(tokens) else set()
        return not names.isdisjoint(self._texts)

    def is_countable(self, tokens: list[Token]) -> bool:
        """Whether it is a small number: literals, lengths, positions of loops, their sums."""
        at = 0
        while at < len(tokens):
            kind, value = tokens[at]
            is_small = kind == INTEGER and integer_value(value) <= LARGEST_RANGE
            if is_small or (kind == OPERATOR and value in _COUNTING):
                at += 1
            elif kind == OPERATOR and value == "|" and tokens[at + 1 : at + 2] in _TO_NUMBER:
                at += 2
            elif kind == NAME and (value in KEYWORDS or value == "range"):
                at += 1
            elif kind == NAME and (end := self._end_of_count(tokens, at)):
                at = end
            else:
                return False
        return True

    def is_length_at(self, tokens: list[Token], at: int) -> bool:
        """Whether the name that ends or begins at this place is a small number."""
        if not 0 <= at < len(tokens) or tokens[at][0] != NAME:
            return False
        name = tokens[at][1]
        if tokens[at - 2 : at - 1] and tokens[at - 1] == (OPERATOR, "."):
            name = f"{tokens[at - 2][1]}.{name}"
        elif tokens[at + 1 : at + 2] == [(OPERATOR, ".")] and at + 2 < len(tokens):
            name = f"{name}.{tokens[at + 2][1]}"
        is_length_filter = tokens[at - 1] == (OPERATOR, "|") and tokens[at][1] in _LENGTHS
        return is_length_filter or name.startswith("loop.") or self.is_length(name)

    def is_length(self, name: str) -> bool:
        """Whether every value that the name is given is a small number."""
        return name in self.lengths and name.partition(".")[0] not in self._loose

    def _end_of_count(self, tokens: list[Token], at: int) -> int:
        """Where a name with all that belongs to it ends, if it is a small number; else 0."""
        name = tokens[at][1]
        end = at + 1
        if tokens[end : end + 1] == [(OPERATOR, ".")]:
            name = f"{name}.{tokens[end + 1][1]}" if end + 1 < len(tokens) else name
        if name.startswith("loop.") or self.is_length(name):
            return at + (3 if "." in name else 1)
        while end < len(tokens):
            kind, value = tokens[end]
            if kind != OPERATOR or value not in (".", "[", "(", "|"):
                return 0
            if value in ("[", "("):
                end = behind_bracket(tokens, end)
                continue
            if value == "|" and tokens[end + 1 : end + 2] in _TO_LENGTH:
                return end + 2
            end += 2
        return 0

    # --- learning

    def _bind(self, tokens: list[Token]) -> None:
        word = tokens[0][1]
        if word == "for":
            self._bind_loop(tokens)
        elif word == "set":
            self._bind_set(tokens)
        elif word in ("macro", "call", "with"):
            opening = [(OPERATOR, "("), (OPERATOR, ",")] if word != "with" else [(NAME, "with")]
            opening.append((OPERATOR, ","))
            names = {
                value
                for at, (kind, value) in enumerate(tokens)
                if at and kind == NAME and tokens[at - 1] in opening
            }
            self.bound |= names
            if word == "macro" and tokens[1][0] == NAME:
                self.macros.add(tokens[1][1])
            if word == "with":
                self.assignments.append(Assignment(sorted(names), tokens[1:], "with"))

    def _bind_loop(self, tokens: list[Token]) -> None:
        at = tokens.index((NAME, "in")) if (NAME, "in") in tokens else len(tokens)
        targets = [value for kind, value in tokens[1:at] if kind == NAME]
        self.bound |= set(targets)
        self.assignments.append(Assignment(targets, tokens[at + 1 :], "for"))
        if tokens[-1] == (NAME, "recursive"):
            self.found.add("loop:recursive")

    def _bind_set(self, tokens: list[Token]) -> None:
        sign = (OPERATOR, "=")
        at = tokens.index(sign) if sign in tokens else len(tokens)
        targets = sorted({name for name, _ in references(tokens[1:at])})
        self.bound |= {name for name in targets if "." not in name}
        dotted = [name for name in targets if "." in name]
        kind = "set" if sign in tokens else "block"
        self.assignments.append(Assignment(dotted or targets, tokens[at + 1 :], kind))

    def _follow(self) -> None:
        """Until nothing more is learned, or for so many passes that it is hard to follow."""
        self.lengths = {name for one in self.assignments for name in one.targets}
        for _ in range(_PASSES):
            before = len(self._computed) + len(self._texts) - len(self.lengths)
            for assignment in self.assignments:
                self._learn_value(assignment)
            if before == len(self._computed) + len(self._texts) - len(self.lengths):
                return
        self.found.add("flow:long")

    def _learn_value(self, one: Assignment) -> None:
        value = one.value
        has_text = one.is_block or any(kind == STRING for kind, _ in value)
        makes = one.is_block or any(
            (kind == OPERATOR and (word == "~" or (has_text and word in ("+", "*", "%"))))
            or (kind == NAME and word in _MAKES_TEXT)
            for kind, word in value
        )
        makes |= any(
            value[at][0] == STRING and value[at + 1] == (OPERATOR, "[")
            for at in range(len(value) - 1)
        )
        makes |= one.is_loop and bool(value) and value[0][0] == STRING
        if makes or any(name in self._computed for name in one.references):
            self._computed.update(one.targets)
            # `ns['x']` is `ns.x` by another name, and all of `ns` is as good as that.
            self._computed_bases.update(x.partition(".")[0] for x in one.targets if "." in x)
        if has_text or any(name in self._texts for name in one.references):
            self._texts.update(one.targets)
        # Each value that a name ever has must be a number, and so those that its namespace has.
        if one.is_block or not self.is_countable(one.plain_value):
            self.lengths.difference_update(one.targets)
            if value[:1] == [(NAME, "namespace")]:
                self._loose.update(one.targets)


def _members(tokens: list[Token]) -> list[Token]:
    """The arguments of `namespace(a=1, b=2)` without their names."""
    return [
        token
        for at, token in enumerate(tokens[1:], 1)
        if token != (OPERATOR, "=") and tokens[at + 1 : at + 2] != [(OPERATOR, "=")]
    ]


def behind_bracket(tokens: list[Token], at: int) -> int:
    """The place behind the bracket that is opened here."""
    depth = 0
    for end in range(at, len(tokens)):
        value = tokens[end][1] if tokens[end][0] == OPERATOR else ""
        depth += (value in ("(", "[", "{")) - (value in (")", "]", "}"))
        if not depth:
            return end + 1
    return len(tokens)


def references(tokens: list[Token]) -> Iterator[tuple[str, bool]]:
    """The names in an expression: `ns` and `ns.x` of `ns.x`; whether it is the longest such."""
    for at, (kind, value) in enumerate(tokens):
        if kind != NAME or value in KEYWORDS:
            continue
        before = tokens[at - 1] if at else ("", "")
        if before in ((OPERATOR, "."), (OPERATOR, "|"), (NAME, "is")):
            continue
        after = tokens[at + 1 : at + 3]
        if value in FUNCTIONS or after[:1] == [(OPERATOR, "=")]:
            continue
        is_dotted = len(after) == 2 and after[0] == (OPERATOR, ".") and after[1][0] == NAME
        yield value, not is_dotted
        if is_dotted:
            yield f"{value}.{after[1][1]}", True
