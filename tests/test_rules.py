"""Rules at their edges: what each kind of test says yes and no to, and the order of versions."""

from itertools import pairwise

import pytest

from infwasi_sign.domain.rules import (
    AnyOf,
    AtLeast,
    AtMost,
    CountAtLeast,
    FactValue,
    Including,
    Matching,
    NoneOf,
    OneOf,
    Rule,
    Test,
    VersionAtLeast,
    evaluate,
    expectation,
    shortfall,
    version_key,
)

A, AB, NOTHING = ("a",), ("a", "b"), ()


def rule(test: Test, when: tuple[str, str] | None = None) -> Rule:
    return Rule(name="n", fact="f", test=test, place="p:1", when=when)


EDGES: list[tuple[Test, FactValue, bool]] = [
    (AtMost(number=3), 3, True),
    (AtMost(number=3), 4, False),
    (AtMost(number=3), -1, True),
    (AtMost(number=3), "3", False),
    (AtMost(number=3), NOTHING, False),
    (AtLeast(number=3), 3, True),
    (AtLeast(number=3), 2, False),
    (AtLeast(number=3), "4", False),
    (OneOf(values=AB), "a", True),
    (OneOf(values=AB), "c", False),
    (OneOf(values=AB), "A", False),
    (OneOf(values=AB), AB, True),
    (OneOf(values=A), AB, False),
    (OneOf(values=AB), NOTHING, False),  # empty never means yes
    (OneOf(values=("3",)), 3, True),
    (AnyOf(values=A), AB, True),
    (AnyOf(values=("c",)), AB, False),
    (AnyOf(values=A), NOTHING, False),
    (NoneOf(values=A), ("b", "c"), True),
    (NoneOf(values=A), AB, False),
    (NoneOf(values=A), "a", False),
    (NoneOf(values=A), ("A",), True),
    (NoneOf(values=("Mallory@x.test",), is_folded=True), ("b", "mALLORY@X.TEST"), False),
    (NoneOf(values=("mallory",), is_folded=True), ("\uff4dallory",), False),  # a wide m
    (NoneOf(values=("mallory",), is_folded=True), ("mallory2",), True),
    (NoneOf(values=A), NOTHING, True),  # nothing is denied where nothing is
    (Matching(patterns=("a*", "?")), ("abc", "x"), True),
    (Matching(patterns=("a*",)), ("abc", "b"), False),
    (Matching(patterns=("a",)), "abc", False),  # the whole text
    (CountAtLeast(number=2), ("a", "b"), True),
    (CountAtLeast(number=2), ("a", "a"), False),  # who stands there twice is one
    (CountAtLeast(number=1, values=("b",)), ("a", "b"), True),
    (CountAtLeast(number=2, values=("b", "c")), ("a", "b"), False),
    (Matching(patterns=("A*",)), "abc", False),  # with case
    (Matching(patterns=("a[bc]",)), "ac", True),
    (Matching(patterns=("a*",)), "a\nb", True),
    (Matching(patterns=("*",)), NOTHING, False),
    (Including(values=A), AB, True),
    (Including(values=AB), A, False),
    (Including(values=A), NOTHING, False),
    (VersionAtLeast(version="1.2"), "1.2.0", True),
    (VersionAtLeast(version="1.2"), "1.10.0", True),
    (VersionAtLeast(version="1.2"), "1.1.9", False),
    (VersionAtLeast(version="1.2.0"), "1.2.0-rc.1", False),
    (VersionAtLeast(version="1.2.0-rc.1"), "1.2.0", True),
    (VersionAtLeast(version="1"), 2, False),
]


@pytest.mark.parametrize(("test", "seen", "is_met"), EDGES)
def test_says_yes_and_no_at_its_edges(test: Test, seen: FactValue, is_met: bool) -> None:
    outcome = evaluate(rule(test), {"f": seen})
    assert (outcome.is_met, outcome.seen) == (is_met, seen)


def test_a_fact_that_is_not_known_is_not_decided() -> None:
    assert evaluate(rule(AtMost(number=3)), {"g": 4}).is_met is None


@pytest.mark.parametrize(
    ("condition", "is_met"),
    [
        ("capital", False),
        ("capital-of-sweden", False),
        ("weather", None),
        ("", None),
        (("capital",), False),
        (("weather", "capital"), False),
        (("weather",), None),
        ((), None),
    ],
)
def test_a_condition_limits_a_rule(condition: FactValue, is_met: bool | None) -> None:
    limited = rule(AtMost(number=3), when=("name", "capital*"))
    assert evaluate(limited, {"f": 4, "name": condition}).is_met is is_met


def test_a_condition_that_is_not_known_decides_nothing() -> None:
    assert evaluate(rule(AtMost(number=3), when=("name", "*")), {"f": 4}).is_met is None


# --- versions --------------------------------------------------------------------------------

# The example of Semantic Versioning 2.0.0 section 11, and around it.
ASCENDING = [
    "0.9.9",
    "1.0.0-1",
    "1.0.0-2",
    "1.0.0-10",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1",
    "1.2.0",
    "1.10.0",
    "2.0.0-0",
    "2",
    "10",
    "10.0.1",
    "2026.11.23",
    "nightly",
]


@pytest.mark.parametrize(("older", "newer"), list(pairwise(ASCENDING)))
def test_versions_have_the_order_of_semantic_versioning(older: str, newer: str) -> None:
    assert version_key(older) < version_key(newer)
    assert not version_key(newer) < version_key(older)


def test_the_order_of_versions_is_whole() -> None:
    keys = [version_key(version) for version in ASCENDING]
    assert sorted(keys) == keys


@pytest.mark.parametrize(
    ("one", "other"),
    [("1", "1.0.0"), ("1.0", "1"), ("1.0.0+a", "1.0.0+b"), ("1.0.0-rc.1+a", "1.0.0-rc.1")],
)
def test_versions_that_are_the_same(one: str, other: str) -> None:
    assert version_key(one) == version_key(other)


# --- words -----------------------------------------------------------------------------------

WORDS: list[tuple[Test, FactValue, str, str]] = [
    (AtMost(number=3), 4, "at most 3", "4"),
    (AtLeast(number=3), 2, "at least 3", "2"),
    (VersionAtLeast(version="1.2"), "1.1", "at least 1.2", "1.1"),
    (OneOf(values=("a", "c")), AB, "one of a, c", "b"),
    (OneOf(values=A), NOTHING, "one of a", "nothing"),
    (AnyOf(values=("c",)), AB, "one of c", "a, b"),
    (NoneOf(values=("b", "c")), AB, "none of b, c", "b"),
    (NoneOf(values=("B",), is_folded=True), AB, "none of B", "b"),
    (Matching(patterns=("a*",)), AB, "like a*", "b"),
    (Including(values=("a", "c")), AB, "all of a, c", "without c"),
]


@pytest.mark.parametrize(("test", "seen", "expected", "got"), WORDS)
def test_says_what_it_demands_and_what_is_wrong(
    test: Test, seen: FactValue, expected: str, got: str
) -> None:
    outcome = evaluate(rule(test), {"f": seen})
    assert outcome.is_met is False
    assert (expectation(test), shortfall(outcome)) == (expected, got)
