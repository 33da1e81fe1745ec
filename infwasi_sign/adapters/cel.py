"""Expressions of a policy, compiled and evaluated by cel-expr-python (cel-cpp).

It is imported only when a policy has expressions. Its own limits (32 levels, 100,000 characters,
10,000 iterations) bound neither memory nor time, so a tree is measured before it is checked by type
and again afterwards (`domain/cel_subset.py`), and a fact that is too large is not evaluated.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from infwasi_sign.domain.cel_subset import Measured, NotInSubsetError, measure_tree
from infwasi_sign.domain.cel_tree import read_tree
from infwasi_sign.domain.facts import FACT_TYPES, FactType, variable
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.rules import Facts, FactValue, Holds
from infwasi_sign.errors import MalformedError, UndecidedError

if TYPE_CHECKING:
    from cel_expr_python import cel

_FACTS: Final = {variable(fact): fact for fact in FACT_TYPES}
_VARIABLES: Final = frozenset(_FACTS)
_FAULT: Final = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): ([^\n]*)")
_STATUS: Final = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$")  # absl::StatusCode around a message
_FOREIGN: Final = (RuntimeError, ValueError, TypeError, OverflowError, MemoryError)


class CelCompiler:
    """Compiles the expressions of one policy; their costs count together."""

    def __init__(self) -> None:
        self._environment: cel.Env | None = None
        self._steps_left = LIMITS.expression_steps

    def compile(self, text: str, where: str) -> Holds:
        """The test that ``text`` is.

        Raises:
            UndecidedError: it is no expression, not one of type bool, about something that is no
                fact, not in the part of CEL that policies have, or too costly; or the library
                cannot be loaded.
        """
        environment = self._opened(where)
        size_bytes = len(text.encode("utf-8", "surrogatepass"))  # TOML has none; the library says
        if size_bytes > LIMITS.expression_bytes:
            raise UndecidedError(
                "an expression is too long",
                where=where,
                expected=f"at most {LIMITS.expression_bytes} bytes",
                got=f"{size_bytes}",
            )
        # Types can grow without bound while they are checked, so the tree is looked at before.
        unchecked = _compiled(environment, text, where, is_checked=False)
        _measured(unchecked, text, where, is_checked=False)
        expression = _compiled(environment, text, where, is_checked=True)
        measured = _measured(expression, text, where, is_checked=True)
        self._spend(measured, where)
        if expression.return_type().name() != "BOOL":
            raise UndecidedError(
                "an expression is not of type bool",
                where=where,
                got=expression.return_type().name().lower(),
            )
        answer = _answer(expression, {})
        return Holds(
            text=text,
            facts=tuple(sorted(_FACTS[name] for name in measured.variables)),
            evaluate=_evaluation(expression),
            constant=answer if isinstance(answer, bool) else None,
        )

    def _opened(self, where: str) -> "cel.Env":
        if self._environment is None:
            try:
                from cel_expr_python import cel  # noqa: PLC0415 - only policies with expressions
            except ImportError as error:
                raise UndecidedError(
                    "expressions cannot be evaluated on this machine: cel-expr-python is missing",
                    where=where,
                    hint="install cel-expr-python, which has wheels for Linux on x86_64 and "
                    "aarch64 with glibc 2.28 or newer",
                ) from error
            types = {
                FactType.NUMBER: cel.Type.INT,
                FactType.TEXT: cel.Type.STRING,
                FactType.TEXTS: cel.Type.List(cel.Type.STRING),
            }
            self._environment = cel.NewEnv(
                variables={name: types[FACT_TYPES[fact]] for name, fact in _FACTS.items()}
            )
        return self._environment

    def _spend(self, measured: Measured, where: str) -> None:
        self._steps_left -= measured.steps
        if self._steps_left < 0:
            raise UndecidedError(
                "the expressions of the policy cost too much",
                where=where,
                expected=f"at most {LIMITS.expression_steps} steps together",
                got=f"{LIMITS.expression_steps - self._steps_left}",
                hint="loops over facts cost most, above all one in another and with `matches`",
            )


def _compiled(
    environment: "cel.Env", text: str, where: str, *, is_checked: bool
) -> "cel.Expression":
    try:
        return environment.compile(text, disable_check=not is_checked)
    except _FOREIGN as error:
        raise _not_compiled(str(error), where) from error


def _not_compiled(message: str, where: str) -> UndecidedError:
    """The first of the library's complaints, with its line and column in the expression."""
    fault = _FAULT.search(message)
    if fault is None:
        return UndecidedError("not an expression", where=where, got=_one_line(message))
    line, column, said = int(fault[1]), int(fault[2]), fault[3]
    is_placed = 0 < line <= LIMITS.expression_bytes  # else -1, also as an unsigned number
    hint = None
    if said.startswith(("reserved identifier", "undeclared reference")):
        hint = "docs/policy.md lists the facts; write `_` for dots and dashes"
    return UndecidedError(
        "not an expression",
        where=f"{where} at {line}:{column}" if is_placed else where,
        got=_one_line(said.split(" expecting ")[0]),  # it lists every token that there is
        hint=hint,
    )


def _measured(expression: "cel.Expression", text: str, where: str, *, is_checked: bool) -> Measured:
    try:
        tree = read_tree(expression.serialize())
        return measure_tree(tree, _VARIABLES, checked=is_checked)
    except NotInSubsetError as error:
        raise UndecidedError(
            error.what,
            where=_at(where, text, error.position),
            expected=error.expected,
            got=error.got,
            hint=error.hint,
        ) from error
    except MalformedError as error:
        raise UndecidedError(error.what, where=where, got=error.got) from error
    except _FOREIGN as error:
        raise UndecidedError("not an expression", where=where, got=_one_line(str(error))) from error


def _at(where: str, text: str, position: int | None) -> str:
    """The place with line and column in the expression, as the library counts them."""
    if position is None or not 0 <= position <= len(text):
        return where
    before = text[:position]
    return f"{where} at {before.count(chr(10)) + 1}:{position - before.rfind(chr(10))}"


def _evaluation(expression: "cel.Expression") -> Callable[[Facts], bool | str]:
    def evaluate(facts: Facts) -> bool | str:
        for name, value in facts.items():
            if (what := _excess(value)) is not None:
                return f"{name} {what}"
        return _answer(expression, facts)

    return evaluate


def _excess(value: FactValue) -> str | None:
    """What is too large about a fact: the cost was counted for smaller ones."""
    if isinstance(value, int):
        return None if -(2**63) <= value < 2**63 else "is beyond 64 bits"
    texts = (value,) if isinstance(value, str) else value
    if len(texts) > LIMITS.expression_elements:
        return f"has more than {LIMITS.expression_elements} elements"
    if any(len(text) > LIMITS.expression_text_bytes for text in texts):
        return f"is longer than {LIMITS.expression_text_bytes} characters"
    return None


def _answer(expression: "cel.Expression", facts: Facts) -> bool | str:
    values = {
        variable(name): list(value) if isinstance(value, tuple) else value
        for name, value in facts.items()
    }
    try:
        answer = expression.eval(data=values).value()
    except _FOREIGN as error:
        return _one_line(str(error))
    return answer if isinstance(answer, bool) else _one_line(str(answer))


def _one_line(text: str) -> str:
    """The first line of what the library says, without its codes, as far as people will read."""
    first = (text.strip().splitlines() or ["no reason"])[0]
    return ascii(_STATUS.sub("", first)[:200])[1:-1]
