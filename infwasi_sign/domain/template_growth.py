"""What in a chat template may take long or grow without bound: loops, macros, doubling values."""

from collections import Counter
from typing import Final

from infwasi_sign.domain.template_flow import Assignment, Flow, behind_bracket, references
from infwasi_sign.domain.template_lexer import (
    INTEGER,
    NAME,
    OPENING_TAGS,
    OPERATOR,
    STRING,
    Tag,
    Token,
    integer_value,
)

_ROUNDS: Final = 8  # that a loop over data is taken to have; published templates nest four
_NESTED_ROUNDS: Final = 20_000  # of loops in each other
_COST: Final = 1_000_000  # tags that are executed, all loops and calls of macros counted
_NESTED: Final = 64
_CALLS: Final = 16  # of macros in one tag; each may double what it is given
_ENDLESS: Final = 10**12  # counting stops here

_ADDS: Final = ("~", "+", "*", ",")
_MAIN: Final = ""  # the name of what is in no macro


def growth_findings(tags: list[Tag], flow: Flow) -> set[str]:
    """The findings on loops, macros and values that grow; ``flow`` has learned from the tags."""
    walk = _Walk(flow)
    for tag in tags:
        walk.tag(tag)
    walk.weigh_macros()
    found = walk.found
    found |= _doubling([*flow.assignments, *walk.blocks], flow)
    return found


def opens_block(tokens: list[Token]) -> bool:
    """Whether a statement is the beginning of a block; `set` is, without a value."""
    word = tokens[0][1]
    return word in OPENING_TAGS and not (word == "set" and (OPERATOR, "=") in tokens)


class _Body:
    """What a macro costs: tags and rounds of its own, and whom it calls in how many rounds."""

    __slots__ = ("calls", "cost", "rounds")

    def __init__(self) -> None:
        self.cost = 0
        self.rounds = 1
        self.calls: list[tuple[str, int]] = []


class _Walk:
    """Goes through the statements with the loops, macros and blocks that are open."""

    def __init__(self, flow: Flow) -> None:
        self.found: set[str] = set()
        self.blocks: list[Assignment] = []
        self._macros = flow.macros
        self._bodies = {name: _Body() for name in (_MAIN, *flow.macros)}
        self._open: list[tuple[str, str, int]] = []  # tag, what it loops over, rounds before it
        self._in: list[str] = [_MAIN]
        self._rounds = 1
        self._printed: list[tuple[str, list[Token]]] = []

    def tag(self, tag: Tag) -> None:
        """Take the next tag."""
        tokens = tag.tokens
        body = self._bodies[self._in[-1]]
        body.cost = min(_ENDLESS, body.cost + self._rounds)
        self._note_calls(tokens, body)
        if not tag.is_statement:
            for _, printed in self._printed[-1:]:
                printed += [*tokens, (OPERATOR, "~")]
        elif tokens:
            word = tokens[0][1]
            if word.startswith("end"):
                self._close()
            elif opens_block(tokens):
                self._enter(word, tokens)

    def _note_calls(self, tokens: list[Token], body: _Body) -> None:
        depth = 0
        for at, (kind, value) in enumerate(tokens):
            if kind == NAME and value in self._macros and tokens[at - 1 : at] != [(NAME, "macro")]:
                body.calls.append((value, self._rounds))
                if tokens[at + 1 : at + 2] == [(OPERATOR, "(")]:
                    depth += 1
        if depth > _CALLS:
            self.found.add("macro:nested")

    def _enter(self, word: str, tokens: list[Token]) -> None:
        subject = ""
        before = self._rounds
        if word == "for":
            at = tokens.index((NAME, "in")) if (NAME, "in") in tokens else len(tokens)
            value = tokens[at + 1 :]
            subject = next((name for name, is_whole in references(value) if is_whole), "")
            near = self._open[-_NESTED:]  # deeper ones are a finding by themselves
            if subject and any(subject == other for _, other, _ in near):
                self.found.add("loop:nested")
            self._rounds = min(_ENDLESS, self._rounds * _rounds_of(value))
            body = self._bodies[self._in[-1]]
            body.rounds = max(body.rounds, self._rounds)
        elif word == "macro":
            name = tokens[1][1] if len(tokens) > 1 and tokens[1][1] in self._macros else _MAIN
            self._in.append(name)
            self._rounds = 1
        elif word == "set":
            self._printed.append((".".join(v for k, v in tokens[1:] if k == NAME), []))
        self._open.append((word, subject, before))

    def _close(self) -> None:
        if not self._open:
            return
        word, _, self._rounds = self._open.pop()
        if word == "macro":
            self._in.pop()
        elif word == "set":
            name, printed = self._printed.pop()
            self.blocks.append(Assignment([name], printed, "set"))

    def weigh_macros(self) -> None:
        """Add up what calls cost, those called first; one that calls itself has no end."""
        costs: dict[str, tuple[int, int]] = {}
        path: dict[str, None] = {}
        pending = [(name, False) for name in self._bodies]
        while pending:
            name, is_done = pending.pop()
            body = self._bodies[name]
            if is_done:
                del path[name]
                costs[name] = self._weighed(body, costs)
            elif name in path:
                self.found.add("macro:recursive")
            elif name not in costs:
                path[name] = None
                pending.append((name, True))
                callees = dict(body.calls)
                if not path.keys().isdisjoint(callees):
                    self.found.add("macro:recursive")
                pending += [
                    (callee, False)
                    for callee in callees
                    if callee not in costs and callee not in path
                ]
        if any(rounds > _NESTED_ROUNDS or cost > _COST for cost, rounds in costs.values()):
            self.found.add("loop:large")

    def _weighed(self, body: _Body, costs: dict[str, tuple[int, int]]) -> tuple[int, int]:
        cost, rounds = body.cost, body.rounds
        for callee, times in body.calls:
            its_cost, its_rounds = costs.get(callee, (1, 1))
            cost = min(_ENDLESS, cost + times * its_cost)
            rounds = min(_ENDLESS, max(rounds, times * its_rounds))
        return cost, rounds


def _rounds_of(value: list[Token]) -> int:
    if (NAME, "range") not in value:
        return _ROUNDS
    numbers = [integer_value(word) for kind, word in value if kind == INTEGER]
    return max(1, min(_ENDLESS, max(numbers, default=_ROUNDS)))


# --- values that grow by themselves -------------------------------------------------------------


def _doubling(assignments: list[Assignment], flow: Flow) -> set[str]:
    """Whether a value is put together of itself twice, by whatever names."""
    sources: dict[str, set[str]] = {}
    growing: list[tuple[str, list[str]]] = []
    found: set[str] = set()
    for one in assignments:
        for part in _alternatives(one.value):
            direct = Counter(_direct(part))
            names = [name for name in direct.elements() if not flow.is_length(name)]
            given = _given_to_macros(part, direct, flow)
            is_growing = any(kind == OPERATOR and value in _ADDS for kind, value in part)
            for target in one.targets:
                sources.setdefault(target, set()).update(names)
                if is_growing and not one.is_loop:
                    growing.append((target, names))
                if not one.is_loop and target in given:
                    found.add("grow:macro")
                if "." in target and _is_refiltered(target, part):
                    found.add("grow:filter")
    cycles = _cycles(sources)
    for target, names in growing:
        mine = cycles[target]
        if sum(cycles[name] == mine for name in names) > 1:
            found.add("grow:double")
            break
    return found


def _is_refiltered(target: str, tokens: list[Token]) -> bool:
    """Whether a member of a namespace is given to what makes texts longer, and kept.

    Only there does a value outlive the round of a loop. Quotes in JSON double each time, and so
    does a text that is replaced by one with itself in it.
    """
    base, _, member = target.partition(".")
    name = [(NAME, base), (OPERATOR, "."), (NAME, member)]
    for at in range(len(tokens) - 2):
        if tokens[at : at + 3] != name:
            continue
        if tokens[max(0, at - 2) : at] == [(NAME, "join"), (OPERATOR, "(")]:
            return True
        end = at + 3
        while end + 1 < len(tokens) and tokens[end] in ((OPERATOR, "|"), (OPERATOR, ".")):
            word = tokens[end + 1][1]
            arguments = tokens[end + 2 : end + 6]
            end += 2
            if tokens[end : end + 1] == [(OPERATOR, "(")]:
                end = behind_bracket(tokens, end)
            if word in ("join", "tojson") or (word == "replace" and _replaces_more(arguments)):
                return True
    return False


def _replaces_more(arguments: list[Token]) -> bool:
    texts = [value for kind, value in arguments if kind == STRING]
    return len(texts) < 2 or texts[0] in texts[1]


def _cycles(sources: dict[str, set[str]]) -> dict[str, int]:
    """A number for each name, the same for names that have their values from each other.

    Source: R. Tarjan, "Depth-first search and linear graph algorithms", 1972; without recursion.
    """
    found: dict[str, int] = {}
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    for start, above in sources.items():
        pending = [(start, iter(above))] if start not in order else []
        while pending:
            name, rest = pending[-1]
            if name not in order:
                order[name] = lowest[name] = len(order)
                stack.append(name)
            following = next(rest, None)
            if following is None:
                pending.pop()
                if lowest[name] == order[name]:
                    while stack and order[stack[-1]] >= order[name]:
                        found[stack.pop()] = order[name]
                for before, _ in pending[-1:]:
                    lowest[before] = min(lowest[before], lowest[name])
            elif following not in order:
                pending.append((following, iter(sources.get(following, ()))))
            elif following not in found:
                lowest[name] = min(lowest[name], order[following])
    return found


def _alternatives(tokens: list[Token]) -> list[list[Token]]:
    """The values of `a if b else c`: not the condition."""
    parts: list[list[Token]] = [[]]
    is_condition = False
    for token in tokens:
        if token in ((NAME, "if"), (NAME, "else")):
            is_condition = token[1] == "if"
            parts.append([])
        elif not is_condition:
            parts[-1].append(token)
    return [part for part in parts if part]


def _direct(tokens: list[Token]) -> list[str]:
    """The names whose values become part of the value: not keys, nor arguments."""
    open_: list[bool] = []
    kept: list[Token] = []
    inside = 0  # how many of the open brackets are calls and subscripts
    for at, token in enumerate(tokens):
        if token[0] == OPERATOR and token[1] in ("(", "[", "{"):
            before = tokens[at - 1] if at else (OPERATOR, "")
            open_.append(token[1] != "{" and (before[0] == NAME or before[1] in (")", "]")))
            inside += open_[-1]
        elif token[0] == OPERATOR and token[1] in (")", "]", "}") and open_:
            inside -= open_.pop()
        if not inside:
            kept.append(token)
    return [name for name, is_whole in references(kept) if is_whole]


def _given_to_macros(tokens: list[Token], direct: Counter[str], flow: Flow) -> set[str]:
    """The names that are arguments or keys, if a macro is called."""
    if not any(kind == NAME and value in flow.macros for kind, value in tokens):
        return set()
    everywhere = Counter(name for name, is_whole in references(tokens) if is_whole)
    return set(everywhere - direct)
