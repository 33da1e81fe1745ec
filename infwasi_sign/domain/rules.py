"""Rules as data: a fact, a test, the line that wrote it. What a policy is made of.

A fact is a name and a value: text, an integer, or several texts. A rule whose fact is not known
yet is not decided yet; a rule whose fact is empty where something must be there says no.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from fnmatch import fnmatchcase
from typing import ClassVar, TypeAlias, assert_never

from infwasi_sign.errors import RefusalKind
from infwasi_sign.quick_dataclass import dataclass

FactValue: TypeAlias = str | int | tuple[str, ...]
Facts: TypeAlias = Mapping[str, FactValue]


@dataclass(frozen=True, kw_only=True, slots=True)
class OneOf:
    """Every value of the fact is one of these, and there is at least one."""

    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class NoneOf:
    """No value of the fact is one of these.

    ``is_folded``: nor one that only its case, or the form of its characters, tells from these
    (Unicode 15 section 3.13, "Default Caseless Matching"; UAX #15, NFKC).
    """

    values: tuple[str, ...]
    is_folded: bool = False

    def found(self, seen: Sequence[str]) -> list[str]:
        """Those that are."""
        if not self.is_folded:
            return [text for text in seen if text in self.values]
        denied = {_folded(value) for value in self.values}
        return [text for text in seen if _folded(text) in denied]


@dataclass(frozen=True, kw_only=True, slots=True)
class AnyOf:
    """At least one value of the fact is one of these."""

    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Matching:
    """Every value of the fact fits one of these shell patterns, whole and with case."""

    patterns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Including:
    """The fact has all of these values."""

    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class CountAtLeast:
    """So many of the fact's values are among these, or so many of any if none are named."""

    number: int
    values: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class AtMost:
    """The fact is a number and not larger."""

    number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AtLeast:
    """The fact is a number and not smaller."""

    number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionAtLeast:
    """The fact is a version and not older (Semantic Versioning 2.0.0 section 11)."""

    version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Holds:
    """An expression over several facts is true.

    ``evaluate`` depends on the facts alone and gives the answer, or as text why there is none;
    no answer is a no. ``constant`` is the answer that no fact can change, if there is one.
    """

    text: str
    facts: tuple[str, ...]
    evaluate: Callable[[Facts], bool | str] = field(compare=False, repr=False)
    constant: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Unaffected:
    """Of no vulnerability, each a text `STATE:ID`, is one of these states said.

    ``permitted`` are ids that do not count, each until a time in seconds since 1970, or for ever.
    """

    states: tuple[str, ...]
    permitted: tuple[tuple[str, int | None], ...] = ()

    facts: ClassVar[tuple[str, ...]] = ("vulnerabilities", "now")

    def found(self, seen: Sequence[str], now: int) -> list[str]:
        """Those of which it is said."""
        free = {name for name, until in self.permitted if until is None or now < until}
        return [
            text
            for text in seen
            if text.partition(":")[0] in self.states and text.partition(":")[2] not in free
        ]


OfOneFact: TypeAlias = (
    OneOf | AnyOf | NoneOf | Matching | Including | CountAtLeast | AtMost | AtLeast | VersionAtLeast
)
Test: TypeAlias = OfOneFact | Holds | Unaffected


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One line of a policy.

    ``when`` limits it to facts of which some value fits a pattern. ``place`` is file and line;
    ``reason`` is what the author of the policy wants to be said.
    ``fact`` of an expression is the names of all that it is about.
    """

    name: str
    fact: str
    test: Test
    place: str
    kind: RefusalKind = RefusalKind.POLICY
    when: tuple[str, str] | None = None
    reason: str | None = None

    @property
    def facts(self) -> tuple[str, ...]:
        """All facts that must be known before it is decided."""
        return self.test.facts if isinstance(self.test, Holds | Unaffected) else (self.fact,)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a rule said: yes, no, or nothing (it is not about this package, or not known yet)."""

    rule: Rule
    seen: FactValue | None
    is_met: bool | None


def evaluate(rule: Rule, facts: Facts) -> Outcome:
    """Hold one rule to the facts."""
    if rule.when is not None:
        fact, pattern = rule.when
        condition = facts.get(fact, ())
        if not any(fnmatchcase(text, pattern) for text in _texts(condition)):
            return Outcome(rule=rule, seen=None, is_met=None)
    if not facts.keys() >= set(rule.facts):
        return Outcome(rule=rule, seen=None, is_met=None)
    if isinstance(rule.test, Holds):
        return _evaluate_expression(rule, rule.test, facts)
    if isinstance(rule.test, Unaffected):
        now = facts["now"]
        found = rule.test.found(_texts(facts[rule.fact]), now if isinstance(now, int) else 0)
        return Outcome(rule=rule, seen=tuple(found) or facts[rule.fact], is_met=not found)
    seen = facts[rule.fact]
    return Outcome(rule=rule, seen=seen, is_met=_is_met(rule.test, seen))


def _evaluate_expression(rule: Rule, test: Holds, facts: Facts) -> Outcome:
    known = {name: facts[name] for name in test.facts}
    answer = test.evaluate(known)
    faults = (f"no answer: {answer}",) if isinstance(answer, str) else ()
    seen = tuple(f"{name} {', '.join(_texts(value)) or 'empty'}" for name, value in known.items())
    return Outcome(rule=rule, seen=(*faults, *seen), is_met=answer is True)


def _is_met(test: OfOneFact, seen: FactValue) -> bool:  # noqa: PLR0911 - one return per kind of test
    match test:
        case AtMost(number=number):
            return isinstance(seen, int) and seen <= number
        case AtLeast(number=number):
            return isinstance(seen, int) and seen >= number
        case VersionAtLeast(version=version):
            return isinstance(seen, str) and version_key(seen) >= version_key(version)
        case OneOf(values=values):
            found = _texts(seen)
            return bool(found) and set(found) <= set(values)
        case AnyOf(values=values):
            return not set(values).isdisjoint(_texts(seen))
        case NoneOf():
            return not test.found(_texts(seen))
        case Including(values=values):
            return set(values) <= set(_texts(seen))
        case CountAtLeast(number=number, values=values):
            return len(set(_texts(seen)) & set(values or _texts(seen))) >= number
        case Matching(patterns=patterns):
            found = _texts(seen)
            return bool(found) and all(
                any(fnmatchcase(text, pattern) for pattern in patterns) for text in found
            )
        case _:
            assert_never(test)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _texts(seen: FactValue) -> tuple[str, ...]:
    if isinstance(seen, int):
        return (str(seen),)
    return (seen,) if isinstance(seen, str) else seen


def expectation(test: Test) -> str:  # noqa: PLR0911 - one return per kind of test
    """What the test demands, for people."""
    match test:
        case AtMost(number=number):
            return f"at most {number}"
        case AtLeast(number=number):
            return f"at least {number}"
        case VersionAtLeast(version=version):
            return f"at least {version}"
        case OneOf(values=values):
            return f"one of {', '.join(values)}"
        case AnyOf(values=values):
            return f"one of {', '.join(values)}"
        case NoneOf(values=values):
            return f"none of {', '.join(values)}"
        case Including(values=values):
            return f"all of {', '.join(values)}"
        case CountAtLeast(number=number, values=values):
            return f"at least {number} of {', '.join(values) or 'them'}"
        case Matching(patterns=patterns):
            return f"like {', '.join(patterns)}"
        case Unaffected(states=states):
            return f"no vulnerability that is {' or '.join(states)}"
        case Holds(text=text):
            return " ".join(text.split())
        case _:
            assert_never(test)


def shortfall(outcome: Outcome) -> str:
    """What of the fact does not meet the rule, for people."""
    seen = () if outcome.seen is None else _texts(outcome.seen)
    match outcome.rule.test:
        case OneOf(values=values):
            wrong = [text for text in seen if text not in values]
        case NoneOf() as denial:
            wrong = denial.found(seen)
        case Matching(patterns=patterns):
            wrong = [t for t in seen if not any(fnmatchcase(t, pattern) for pattern in patterns)]
        case Including(values=values):
            return f"without {', '.join(value for value in values if value not in seen)}"
        case CountAtLeast(values=values):
            wrong = [text for text in seen if not values or text in values]
        case Holds():
            return "; ".join(seen) or "no fact"
        case AnyOf() | AtMost() | AtLeast() | VersionAtLeast() | Unaffected():
            wrong = list(seen)
        case _:
            assert_never(outcome.rule.test)
    return ", ".join(wrong) or "nothing"


def version_key(version: str) -> tuple[object, ...]:
    """An order of versions: numbers by value, a pre-release before its release.

    Build metadata (after ``+``) does not count. Versions that are not semantic get an order too.
    """
    core, _, pre = version.split("+", 1)[0].partition("-")
    numbers = tuple(_identifier(part) for part in core.split("."))
    while numbers and numbers[-1] == (0, 0, ""):
        numbers = numbers[:-1]  # 1.0 is 1.0.0
    return (numbers, not pre, tuple(_identifier(part) for part in pre.split(".")) if pre else ())


def _identifier(part: str) -> tuple[int, int, str]:
    return (0, int(part), "") if re.fullmatch("[0-9]{1,18}", part) else (1, 0, part)
