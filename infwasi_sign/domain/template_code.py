"""A chat template as code: what in it reaches out of the sandbox or may grow without bound.

The template is read and never executed. A finding is not a proof: the sandbox refuses at run time
what does harm (adapters/template_sandbox.py), and this says before, to people and policies, what a
template contains that those of published models do without. What cannot be understood is a finding.
docs/ml-bom-facts.md lists the words.
"""

from itertools import groupby, pairwise
from typing import Final

from infwasi_sign.domain.template_flow import Flow
from infwasi_sign.domain.template_growth import growth_findings, opens_block
from infwasi_sign.domain.template_lexer import (
    APPLYING_FILTERS,
    ATTRIBUTE_FILTERS,
    CLOCK,
    FILTERS,
    FORMATTING,
    FUNCTIONS,
    INTEGER,
    INTERNAL_ATTRIBUTES,
    KEYWORDS,
    METHODS,
    NAME,
    OPERATOR,
    REACHING_NAMES,
    REACHING_TAGS,
    STRING,
    TAGS,
    TESTS,
    Tag,
    Token,
    integer_value,
    read_tags,
)
from infwasi_sign.errors import MalformedError

_WORD: Final = 40  # characters of the template in one finding
_FINDINGS: Final = 64  # more are told as `more`
_REPEATED: Final = 1024  # characters, or a factor
_DEPTH: Final = 64  # of brackets, blocks and signs; jinja2 and the interpreter recurse
_TOKENS: Final = 4096  # of one tag

_ORDERING: Final = frozenset(("sort", "sum", "unique", "min", "max"))  # by an attribute
_SIGNS: Final = frozenset(("-", "+", "not"))
_LOOKED_AT: Final = frozenset(("(", "[", "{", ")", "]", "}", ",", "%", "*", "**"))

# Reorder or hide text (Unicode Standard Annex 9; tag characters), or are kept for the places of
# messages (adapters/chat_placeholders.py). First and last of each range.
_MISLEADING: Final = (
    *(("\u061c", "\u061c"), ("\u200e", "\u200f"), ("\u202a", "\u202e"), ("\u2066", "\u2069")),
    ("\U000e0000", "\U000e007f"),
)
_RESERVED: Final = (("\U0010f000", "\U0010f1ff"),)


def template_findings(template: str) -> tuple[str, ...]:
    """What is remarkable about a template, as sorted words; none for those of usual models.

    Takes time in proportion to the template's length.
    """
    reading = _Reading()
    for word, ranges in (("text:misleading", _MISLEADING), ("text:reserved", _RESERVED)):
        if not template.isascii() and _has_any(template, ranges):
            reading.found.add(word)
    tags: list[Tag] = []
    try:
        tags.extend(read_tags(template))
    except MalformedError:
        reading.found.add("syntax")
    reading.read(tags)
    found = sorted(reading.found)
    return tuple(found if len(found) <= _FINDINGS else [*found[: _FINDINGS - 1], "more"])


def _has_any(text: str, ranges: tuple[tuple[str, str], ...]) -> bool:
    characters = sorted(set(text))
    return any(first <= one <= last for first, last in ranges for one in characters)


class _Bracket:
    """An open bracket: what it is, where it began, and what was seen directly in it."""

    __slots__ = ("has_comma", "has_text", "kind", "name", "start")

    def __init__(self, kind: str, name: str, start: int) -> None:
        self.kind = kind
        self.name = name
        self.start = start
        self.has_text = False
        self.has_comma = False


class _Reading:
    """One reading of one template."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self._flow = Flow()
        # Of the tag that is being read: its open brackets, how many of them are subscripts, the
        # product of literal factors, and the bracket that was closed last.
        self._open: list[_Bracket] = []
        self._subscripts = 0
        self._factor = 1
        self._last: _Bracket | None = None

    def read(self, tags: list[Tag]) -> None:
        blocks = 0
        for tag in tags:
            if len(tag.tokens) > _TOKENS:
                self.found.add("expression:long")
                del tag.tokens[_TOKENS:]
            _join_texts(tag.tokens)
        self._flow.learn(tags)
        for tag in tags:
            tokens = tag.tokens
            if not tag.is_statement:
                self._expression(tokens, 0)
            elif tokens:
                word = tokens[0][1]
                blocks += opens_block(tokens)
                blocks -= word.startswith("end")
                if blocks > _DEPTH:
                    self.found.add("nesting:deep")
                self._statement(word, tokens)
        self.found |= self._flow.found | growth_findings(tags, self._flow)

    def _statement(self, word: str, tokens: list[Token]) -> None:
        if word in REACHING_TAGS:
            self._add("tag", word)
        elif word.removeprefix("end") not in TAGS:
            self._add("tag:unknown", word)
        if word == "macro":
            self._expression(tokens, 2)
        elif word == "filter":
            self._expression([(OPERATOR, "|"), *tokens[1:]], 0)
        else:
            self._expression(tokens, 1)

    def _add(self, kind: str, word: str) -> None:
        self.found.add(f"{kind}:{ascii(word)[1:-1][:_WORD]}")

    # --- expressions

    def _expression(self, tokens: list[Token], start: int) -> None:
        """Look at every token with its neighbours; brackets are known by what stands before."""
        self._open = [_Bracket("tag", "", start)]
        self._subscripts, self._factor, signs = 0, 1, 0
        self._last = None
        for at in range(start, len(tokens)):
            kind, value = tokens[at]
            signs = signs + 1 if value in _SIGNS and kind != STRING else 0
            if signs > _DEPTH:
                self.found.add("nesting:deep")
            if kind == NAME:
                self._name(tokens, at, start)
            elif kind == STRING:
                self._open[-1].has_text = True
                self._text(tokens, at, start)
            elif kind == OPERATOR and value in _LOOKED_AT:
                self._operator(tokens, at, start)

    def _operator(self, tokens: list[Token], at: int, start: int) -> None:
        value = tokens[at][1]
        if value in "([{":
            bracket = self._opened(value, tokens, at, start)
            self._open.append(bracket)
            self._subscripts += bracket.kind == "subscript"
            if len(self._open) > _DEPTH:
                self.found.add("nesting:deep")
        elif value in ")]}":
            self._last = self._open.pop() if len(self._open) > 1 else None
            if self._last is not None:
                self._subscripts -= self._last.kind == "subscript"
                self._closed(self._last, tokens, at)
        elif value == ",":
            self._open[-1].has_comma = True
        elif at > start and tokens[at - 1] in ((OPERATOR, "("), (OPERATOR, ",")):
            return  # `f(*a, **b)`, or no expression
        elif value == "%":
            self._percent(tokens, at)
        elif value == "*":
            self._times(tokens, at)
        else:
            self.found.add("power")

    def _name(self, tokens: list[Token], at: int, start: int) -> None:
        value = tokens[at][1]
        before = tokens[at - 1] if at > start else ("", "")
        after = tokens[at + 1] if at + 1 < len(tokens) else ("", "")
        is_called = after == (OPERATOR, "(")
        if before == (OPERATOR, "."):
            self._attribute(value, is_called=is_called)
        elif before == (OPERATOR, "|"):
            if value not in FILTERS:
                self._add("filter", value)
        elif _is_test(tokens, at, start):
            if value not in TESTS and value not in KEYWORDS:
                self._add("test:unknown", value)
        elif value in KEYWORDS:
            return
        elif self._open[-1].kind == "call" and after == (OPERATOR, "="):
            if value == "attribute" and not _is_whole(tokens, at + 2):
                self.found.add("attribute:computed")
        else:
            self._variable(value, after, is_called=is_called)

    def _attribute(self, name: str, *, is_called: bool) -> None:
        if name.startswith("_") or name in INTERNAL_ATTRIBUTES:
            self._add("attribute", name)
        elif name in FORMATTING:
            self.found.add("format")
        elif is_called and name not in METHODS:
            self._add("call:unknown", name)

    def _variable(self, name: str, after: Token, *, is_called: bool) -> None:
        flow = self._flow
        if name == "loop" and is_called:
            self.found.add("loop:recursive")
        elif is_called:
            is_known = name in FUNCTIONS or name in flow.macros
            is_known |= name == "caller" and bool(flow.macros)
            is_asked_for = name == CLOCK and name in flow.asked
            if not (is_known or is_asked_for):
                self._add("call:unknown", name)
        elif name in FUNCTIONS and after != (NAME, "is"):
            self._add("name", name)  # as a value, or bound to something else
        if name.startswith("__") or (name in REACHING_NAMES and name not in flow.bound):
            self._add("name", name)

    def _text(self, tokens: list[Token], at: int, start: int) -> None:
        """Names of attributes can be written as texts, and texts can be put together."""
        text = tokens[at][1]
        is_in_subscript = self._subscripts > 0
        if "__" in text or (is_in_subscript and text.startswith("_") and text != "_"):
            self._add("attribute", text)
        elif text[:1] == "_" or text[-1:] == "_":
            self.found.add("text:underscore")
        elif is_in_subscript and text in INTERNAL_ATTRIBUTES:
            self._add("attribute", text)
        if "%" in text and _is_wide_format(text):
            self.found.add("format")
        bracket = self._open[-1]
        before = tokens[at - 1] if at > start else ("", "")
        if before == (OPERATOR, "(") and bracket.name in APPLYING_FILTERS:
            known = APPLYING_FILTERS[bracket.name] or TESTS
            if text not in known:
                self._add("filter" if known is FILTERS else "test:unknown", text)

    # --- brackets

    def _opened(self, value: str, tokens: list[Token], at: int, start: int) -> _Bracket:
        before = tokens[at - 1] if at > start else ("", "")
        if value == "{":
            return _Bracket("dict", "", at)
        if value == "[":
            return _Bracket("subscript" if _is_operand(before) else "list", "", at)
        if not _is_operand(before):
            return _Bracket("group", "", at)
        if before[0] != NAME:
            self.found.add("call:computed")
            return _Bracket("call", "", at)
        bracket = _Bracket("call", before[1], at)
        if at - start >= 2 and tokens[at - 2] == (OPERATOR, "|"):
            bracket.name = before[1]
            if before[1] in APPLYING_FILTERS or before[1] in ATTRIBUTE_FILTERS:
                self._first_argument(tokens, at, before[1])
        return bracket

    def _first_argument(self, tokens: list[Token], at: int, filter_: str) -> None:
        """It names a filter, test or attribute, and must be there to read."""
        first = tokens[at + 1] if at + 1 < len(tokens) else ("", "")
        is_by_keyword = tokens[at + 1 : at + 3] == [(NAME, "attribute"), (OPERATOR, "=")]
        if is_by_keyword or first == (OPERATOR, ")"):
            return
        if not _is_whole(tokens, at + 1):
            kind = "attribute" if filter_ in ATTRIBUTE_FILTERS else "filter"
            self.found.add(f"{kind}:computed")

    def _closed(self, bracket: _Bracket, tokens: list[Token], at: int) -> None:
        if len(self._open) > _DEPTH:
            return  # a finding already
        inside = tokens[bracket.start + 1 : at]
        if bracket.kind == "subscript":
            # What is in the outermost one is in it whole.
            if not self._subscripts and self._flow.is_computed_key(inside):
                self.found.add("subscript:computed")
        elif bracket.name in _ORDERING and self._flow.is_computed_key(inside):
            self.found.add("attribute:computed")
        elif bracket.kind == "call" and bracket.name == "range":
            before = tokens[bracket.start - 2] if bracket.start >= 2 else ("", "")
            if before != (OPERATOR, ".") and not self._flow.is_countable(inside):
                self.found.add("range:unbounded")

    # --- arithmetic that makes much of little

    def _percent(self, tokens: list[Token], at: int) -> None:
        before = tokens[at - 1] if at else ("", "")
        is_text = before[0] == STRING
        if before == (OPERATOR, ")") and self._last is not None:
            is_text = self._last.has_text
        if is_text or self._flow.may_be_text(tokens, at - 1):
            self.found.add("format")

    def _times(self, tokens: list[Token], at: int) -> None:
        """Tell a repetition; the literal factors of a tag are multiplied with each other."""
        before = tokens[at - 1] if at else ("", "")
        after = tokens[at + 1] if at + 1 < len(tokens) else ("", "")
        is_list = after == (OPERATOR, "[")
        is_text = STRING in (before[0], after[0])
        last = self._last
        if before in ((OPERATOR, "]"), (OPERATOR, ")")) and last is not None:
            is_list |= last.kind == "list" or (last.kind == "group" and last.has_comma)
            is_text |= last.kind == "group" and last.has_text
        if is_list:
            self.found.add("repeat:list")
        for kind, value in (before, after):
            size = integer_value(value) if kind == INTEGER else len(value) * (kind == STRING)
            self._factor = min(self._factor * max(1, size), 10 * _REPEATED)
        if self._factor > _REPEATED:
            self.found.add("repeat:large")
        is_text |= self._flow.may_be_text(tokens, at - 1) or self._flow.may_be_text(tokens, at + 1)
        is_counting = self._flow.is_length_at(tokens, at - 1) and self._flow.is_length_at(
            tokens, at + 1
        )
        if INTEGER not in (before[0], after[0]) and (is_text or not is_counting):
            self.found.add("repeat:unbounded")  # who knows what is repeated, and how often


def _join_texts(tokens: list[Token]) -> None:
    """Texts that follow each other are one, as for jinja2's parser."""
    if not any(pair[0][0] == pair[1][0] == STRING for pair in pairwise(tokens)):
        return
    joined: list[Token] = []
    for kind, group in groupby(tokens, key=lambda token: token[0]):
        if kind == STRING:
            joined.append((STRING, "".join(text for _, text in group)))
        else:
            joined += group
    tokens[:] = joined


def _is_wide_format(text: str) -> bool:
    """Whether it is a format that makes much of one number: `%2000000000d`, `%*d`."""
    for piece in text.split("%")[1:]:
        width = piece[: len(piece) - len(piece.lstrip("0123456789.*+-# "))]
        if "*" in width or sum(one.isdigit() for one in width) > 2:
            return True
    return False


def _is_operand(token: Token) -> bool:
    """Whether a bracket behind this token belongs to it."""
    kind, value = token
    if kind == OPERATOR:
        return value in (")", "]", "}")
    return kind != "" and not (kind == NAME and value in KEYWORDS)


def _is_test(tokens: list[Token], at: int, start: int) -> bool:
    if at > start and tokens[at - 1] == (NAME, "is"):
        return True
    return at - 1 > start and tokens[at - 2 : at] == [(NAME, "is"), (NAME, "not")]


def _is_whole(tokens: list[Token], at: int) -> bool:
    """Whether a literal is the whole of an argument."""
    after = tokens[at + 1] if at + 1 < len(tokens) else ("", "")
    is_literal = at < len(tokens) and tokens[at][0] in (STRING, INTEGER)
    return is_literal and after in ((OPERATOR, ")"), (OPERATOR, ","))
