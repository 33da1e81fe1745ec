"""Expressions of a policy: what they may be, what they cost, and what hostile ones come to."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infwasi_sign.adapters import cel
from infwasi_sign.adapters.cel import CelCompiler
from infwasi_sign.domain import cel_subset
from infwasi_sign.domain.cel_subset import NotInSubsetError, measure_tree
from infwasi_sign.domain.cel_tree import (
    Call,
    Const,
    ConstKind,
    Items,
    Loop,
    Name,
    Tree,
    read_tree,
)
from infwasi_sign.domain.facts import FACT_TYPES, FactType, variable
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.rules import Facts, FactValue, Holds, Rule, evaluate, shortfall
from infwasi_sign.errors import MalformedError, UndecidedError
from tests.conftest import ROOT

WHERE = "p.toml:9 rule[0].cel"
FACTS: dict[str, FactValue] = {
    "now": 1_800_000_000,
    "package.name": "capital",
    "package.age-days": 7,
    "model.licenses": ("mit", "apache-2.0"),
    "bom.properties": ("a", "b", "c"),
}


def compiled(text: str) -> Holds:
    return CelCompiler().compile(text, WHERE)


def answer(text: str, facts: Facts = FACTS) -> bool | str:
    test = compiled(text)
    return test.evaluate({name: facts[name] for name in test.facts})


def refusal(text: str) -> str:
    with pytest.raises(UndecidedError) as caught:
        compiled(text)
    return caught.value.sentence()


# --- what they say ---------------------------------------------------------------------------

SAID: list[tuple[str, bool]] = [
    ('package_name == "capital"', True),
    ('package_name != "capital"', False),
    ("package_age_days <= 7 && package_age_days >= 7", True),
    ("package_age_days < 7 || package_age_days > 7", False),
    ("!(package_age_days + 1 == 8)", False),
    ("package_age_days * 2 - 4 == 10 && package_age_days % 2 == 1 && -package_age_days < 0", True),
    ("now / 86400 > 20000", True),
    ('package_name.startsWith("cap") && package_name.endsWith("tal")', True),
    ('package_name.contains("x")', False),
    ('package_name.matches("^[a-z]+$") && matches(package_name, "^c")', True),
    ("size(package_name) == 7 && package_name.size() == 7", True),
    ('"mit" in model_licenses', True),
    ('package_name in ["weather", "capital"]', True),
    ('model_licenses[0] == "mit"', True),
    ("size(model_licenses) == 2", True),
    ('model_licenses == ["mit", "apache-2.0"]', True),
    ('model_licenses.all(one, one in ["mit", "apache-2.0"])', True),
    ('model_licenses.exists(one, one == "gpl-3.0")', False),
    ('model_licenses.exists_one(one, one.startsWith("apache"))', True),
    ('size(model_licenses.filter(one, one != "mit")) == 1', True),
    ("bom_properties.all(a, model_licenses.all(b, a != b))", True),
    ('package_age_days > 3 ? "mit" in model_licenses : false', True),
    ('// why\n package_name == "capital"', True),
]


@pytest.mark.parametrize(("text", "is_met"), SAID)
def test_answers(text: str, is_met: bool) -> None:
    assert answer(text) is is_met


def test_is_about_the_facts_that_it_names() -> None:
    test = compiled('package_age_days > 3 || "mit" in model_licenses && package_age_days < 9')
    assert test.facts == ("model.licenses", "package.age-days")


@pytest.mark.parametrize("fact", FACT_TYPES)
def test_every_fact_has_a_name_and_its_type(fact: str) -> None:
    literal = {FactType.NUMBER: "7", FactType.TEXT: '"x"', FactType.TEXTS: '["x"]'}
    value: dict[FactType, FactValue] = {
        FactType.NUMBER: 7,
        FactType.TEXT: "x",
        FactType.TEXTS: ("x",),
    }
    kind = FACT_TYPES[fact]
    assert answer(f"{variable(fact)} == {literal[kind]}", {fact: value[kind]}) is True


def test_no_two_facts_have_the_same_name_in_expressions() -> None:
    assert len({variable(fact) for fact in FACT_TYPES}) == len(FACT_TYPES)


@pytest.mark.parametrize(
    ("text", "constant"),
    [
        ("true", True),
        ("1 > 2", False),
        ('true || package_name == "x"', True),
        ('package_name == "x" && false', False),
        ("1 / 0 == 1", None),
        ('package_name == "x"', None),
    ],
)
def test_knows_what_no_fact_can_change(text: str, constant: bool | None) -> None:
    assert compiled(text).constant is constant


# --- as a rule -------------------------------------------------------------------------------


def rule(text: str) -> Rule:
    return Rule(name="rule[0].cel", fact="f", test=compiled(text), place="p:1", reason="r")


def test_a_rule_waits_for_all_of_its_facts() -> None:
    one = rule('package_name == "x" || load_level == "x"')
    assert evaluate(one, FACTS).is_met is None
    assert evaluate(one, {**FACTS, "load.level": "none"}).is_met is False
    # CEL alone would say yes here: what decides must not depend on when it is asked
    assert evaluate(rule('package_name == "capital" || load_level == "x"'), FACTS).is_met is None


@pytest.mark.parametrize(
    ("text", "changed", "says"),
    [
        ('model_licenses[2] == "x"', {}, "Index error: index=2 size=2"),
        ("package_age_days / 0 == 1", {}, "divide by zero"),
        ("package_age_days % 0 == 1", {}, "modulus by zero"),
        ("now * now * now == 1", {}, "integer overflow"),
        ("now + 1 > 0", {"now": 2**63 - 1}, "integer overflow"),
        ("now > 0", {"now": 2**63}, "now is beyond 64 bits"),
        ('package_name != ""', {"package.name": "x" * 5000}, "package.name is longer than 4096"),
        (
            'model_licenses.all(one, one != "")',
            {"model.licenses": ("x",) * 257},
            "model.licenses has more than 256 elements",
        ),
        (
            "bom_properties.all(a, model_licenses.all(b, a != b))",
            {"bom.properties": ("x",) * 256, "model.licenses": ("y",) * 256},
            "Iteration budget exceeded",
        ),
        ('package_name != "x"', {"package.name": "\ud800"}, "basic_string: construction"),
    ],
)
def test_no_answer_is_a_no_with_its_reason(
    text: str, changed: dict[str, FactValue], says: str
) -> None:
    outcome = evaluate(rule(text), {**FACTS, **changed})
    assert outcome.is_met is False
    assert shortfall(outcome).startswith(f"no answer: {says}")


def test_a_no_shows_the_facts() -> None:
    outcome = evaluate(rule('package_name == "x" && "x" in model_licenses'), FACTS)
    assert outcome.is_met is False
    assert shortfall(outcome) == "model.licenses mit, apache-2.0; package.name capital"


# --- what is no expression -------------------------------------------------------------------

NAMES = "docs/policy.md lists the facts; write `_` for dots and dashes"
WRONG: list[tuple[str, str]] = [
    ("package_age_days", f"an expression is not of type bool in {WHERE} (got int)"),
    ('"x"', f"an expression is not of type bool in {WHERE} (got string)"),
    ("model_licenses", f"an expression is not of type bool in {WHERE} (got list<string>)"),
    (
        "package_age_days ==",
        f"not an expression in {WHERE} at 1:20 (got Syntax error: mismatched input '<EOF>')",
    ),
    (
        'true &&\n  now == "x"',
        f"not an expression in {WHERE} at 2:7 "
        "(got found no matching overload for '_==_' applied to '(int, string)')",
    ),
    ("true &&\n  nov == 1", f"unknown fact in {WHERE} at 2:3 (got 'nov')"),
    (
        "package.name == 'x'",
        f"not an expression in {WHERE} at 1:1 (got reserved identifier: package)",
    ),
    ("load.level == 'x'", f"an expression cannot have a field in {WHERE} at 1:5"),
    (
        "now == 1 ? true : 1",
        f"not an expression in {WHERE} at 1:10 (got found no matching "
        "overload for '_?_:_' applied to '(bool, bool, int)')",
    ),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=range(len(WRONG)))
def test_says_what_is_wrong_and_where(text: str, message: str) -> None:
    assert refusal(text) == message


@pytest.mark.parametrize("text", ["package.name == 'x'", "nov == 1"])
def test_says_how_facts_are_written(text: str) -> None:
    with pytest.raises(UndecidedError) as caught:
        compiled(text)
    assert caught.value.hint == NAMES


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cel_expr_python", None)
    with pytest.raises(UndecidedError) as caught:
        compiled("true")
    assert caught.value.sentence() == (
        f"expressions cannot be evaluated on this machine: cel-expr-python is missing in {WHERE}"
    )
    assert caught.value.hint is not None
    assert "install cel-expr-python" in caught.value.hint


# --- hostile ones ----------------------------------------------------------------------------

DOUBLED_TYPES = "[1]" + ".map(y, {y: y})" * 14 + " == []"
DOUBLED_LISTS = "[1]" + ".map(y, [y, y])" * 14 + " == []"
GROWING_TEXTS = '["a"]' + ".map(y, y + y + y + y)" * 13 + " == []"
REPEATED = '"a".matches("' + "(a|b|c|d){1,900}" * 99 + '")'
HOSTILE: list[tuple[str, str, str]] = [
    ("parentheses", "(" * 200 + "true" + ")" * 200, "Expression recursion limit exceeded"),
    ("negations", "!(" * 200 + "true" + ")" * 200, "Expression recursion limit exceeded"),
    ("lists", "[" * 200 + "]" * 200 + " == []", "Expression recursion limit exceeded"),
    ("choices", "true ? true : " * 100 + "true", "Expression recursion limit exceeded"),
    ("sums", "now" + " + now" * 200 + " > 0", "Exceeded max recursion depth of 32"),
    ("fields", "now" + ".a" * 200 + " == 1", "Exceeded max recursion depth of 32"),
    ("length", "true" + " && true" * 300, "an expression is too long"),
    ("a long text", '"' + "x" * 3000 + '" == ""', "an expression is too long"),
    ("a long name", "x" * 2000, "unknown fact"),
    ("doubled types", DOUBLED_TYPES, "an expression cannot use this function"),
    ("doubled lists", DOUBLED_LISTS, "an expression cannot use this function"),
    ("growing texts", GROWING_TEXTS, "an expression cannot use this function"),
    ("growing lists", "model_licenses + model_licenses == []", "can add only numbers"),
    ("joined texts", "package_name + package_name == ''", "can add only numbers"),
    ("repetition", REPEATED, "a pattern in an expression is too long"),
    ("short repetition", '"a".matches("(a|b){1,900}")', "a pattern in an expression cannot"),
    ("classes", r'"a".matches("' + r"\\pL*" * 20 + '")', "a pattern in an expression cannot"),
    ("computed pattern", "package_name.matches(package_name)", "must be a literal text"),
    (
        "three loops",
        "model_licenses.all(a, model_licenses.all(b, model_licenses.all(c, a == b)))",
        "nested too deeply",
    ),
    (
        "a loop in a range",
        "model_licenses.filter(a, model_licenses.all(b, b in bom_properties)).all(d, d == '')",
        "the expressions of the policy cost too much",
    ),
    (
        "patterns in loops",
        "&&".join(f"bom_properties.all(a, a.matches('(x+x+)+{n}'))" for n in range(9)),
        "the expressions of the policy cost too much",
    ),
    ("a long list", "now in [" + "1," * 900 + "1]", "a list in an expression is too long"),
    ("lists of lists", "[[1]] == [[1]]", "literals of one type"),
    ("any type", "dyn(now) == 1", "an expression cannot use this function"),
    ("maps", '{"a": 1} == {}', "an expression cannot have a map or message"),
    ("messages", "google.protobuf.Struct{} == {}", "an expression cannot have a map or message"),
    ("bytes", "b'a' == b'a'", "an expression cannot have a literal"),
    ("types", "type(now) == int", "an expression cannot use this function"),
    ("shadows", "model_licenses.all(now, now == '')", "hides another"),
    ("NUL", "package_name == '\0'", ""),
    ("surrogates", "package_name == '\ud800'", "not an expression"),
]


@pytest.mark.parametrize(
    ("text", "says"), [one[1:] for one in HOSTILE], ids=[one[0] for one in HOSTILE]
)
def test_hostile_expressions_end_in_one_clear_line(text: str, says: str) -> None:
    if not says:  # what the library may take as a text like any other
        assert answer(text) is False
        return
    message = refusal(text)
    assert says in message
    assert WHERE in message
    assert len(message) < 300
    assert message.isprintable()


def test_the_expressions_of_a_policy_cost_together() -> None:
    compiler = CelCompiler()
    text = "bom_properties.all(a, a.matches('(x+x+)+y'))"
    compiler.compile(text, WHERE)
    with pytest.raises(UndecidedError, match="the expressions of the policy cost too much"):
        compiler.compile(text, "p.toml:12 rule[1].cel")


def test_the_dearest_expressions_that_are_permitted_answer() -> None:
    """Within the bound on cost everything ends soon, with facts as large as facts may be."""
    longest = tuple("a" * (LIMITS.expression_text_bytes - 3) + f"{at:03}" for at in range(256))
    facts: Facts = {"bom.properties": longest, "model.licenses": longest}
    for text in (
        "bom_properties.exists(a, a.matches('" + "(x+x+)+" * 17 + "y'))",
        "bom_properties.all(a, a.matches('" + "(.*.*)*" * 17 + "$'))",
        " && ".join(["bom_properties.all(a, a in model_licenses || a == '')"] * 25),
        " && ".join(["bom_properties == model_licenses"] * 55),
    ):
        assert isinstance(answer(text, facts), bool)


# A process with 2 s of processor time and 1 GiB: what does not end by then is ended.
CHILD = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (2, 2))
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
text = sys.stdin.read()
{body}
"""
OURS = """
from infwasi_sign.adapters.cel import CelCompiler
from infwasi_sign.errors import UndecidedError
try:
    test = CelCompiler().compile(text, "p")
    print(test.evaluate({"package.name": "x", "bom.properties": ("x",)}))
except UndecidedError as error:
    print("undecided")
"""
THEIRS = """
from cel_expr_python import cel
try:
    print(cel.NewEnv(variables={}).compile(text).eval(data={}).value())
except MemoryError:
    print("out of memory")
"""
NO_MEMORY = "out of memory"


def child(body: str, text: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(body=body)],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize(
    "text",
    [
        # types that double; texts that grow; patterns that are compiled at length
        "[1]" + ".map(y,{y:y})" * 21 + "==[]",
        '["aaaaaaaa"]' + ".map(y,y+y+y+y)" * 16 + "==[]",
        " || ".join(f'"a".matches("{"(a|b|c|d){1,900}" * 100}{n}")' for n in range(50)),
    ],
    ids=["types", "texts", "patterns"],
)
def test_the_limits_of_the_library_would_not_have_sufficed(text: str) -> None:
    """The control: without our bounds the same text takes all the time or memory there is."""
    assert child(OURS, text) == (0, "undecided")
    assert child(THEIRS, text) in {(-signal.SIGXCPU, ""), (-signal.SIGKILL, ""), (0, NO_MEMORY)}


# --- trees -----------------------------------------------------------------------------------


def calls(*numbers: int) -> Tree:
    one = Const(kind=ConstKind.INT)
    root: Call = Call(function="_+_", arguments=(one, one), number=1)
    return Tree(root=root, positions={}, overloads=dict.fromkeys(numbers, ("add_int64",)))


def test_a_sum_whose_overload_is_not_known_is_no_sum_of_numbers() -> None:
    assert measure_tree(calls(1), frozenset(), checked=True).steps == 3
    assert measure_tree(calls(), frozenset(), checked=False).steps == 3
    with pytest.raises(NotInSubsetError, match="can add only numbers"):
        measure_tree(calls(2), frozenset(), checked=True)


def test_a_loop_that_no_macro_makes_is_refused() -> None:
    step = Call(function="_+_", arguments=(Name(name="@result"), Name(name="a")))
    loop = Loop(variable="a", over=Items(elements=()), step=step)
    with pytest.raises(NotInSubsetError, match="cannot use this function"):
        measure_tree(Tree(root=loop, positions={}, overloads={}), frozenset(), checked=True)


def test_a_tree_is_read_with_its_places() -> None:
    environment = CelCompiler()._opened(WHERE)
    tree = read_tree(environment.compile("now > 1", disable_check=True).serialize())
    expected = Call(function="_>_", arguments=(Name(name="now"), Const(kind=ConstKind.INT)))
    assert tree.root == expected
    assert isinstance(tree.root, Call)
    assert tree.positions[tree.root.number] == 4
    checked = read_tree(environment.compile("now > 1").serialize())
    assert checked.root == expected
    assert isinstance(checked.root, Call)
    assert checked.overloads[checked.root.number] == ("greater_int64",)


SERIALIZED = [
    CelCompiler()._opened(WHERE).compile(text, disable_check=not is_checked).serialize()
    for text in ("now > 1 && package_name == 'x'", "model_licenses.all(a, a in ['x'])")
    for is_checked in (False, True)
]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_tree_or_malformed(data: bytes) -> None:
    reads_or_is_malformed(data)


@given(
    st.sampled_from(SERIALIZED),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 4), st.binary(max_size=4))),
)
def test_any_edit_of_a_tree_is_a_tree_or_malformed(
    data: bytes, edits: Sequence[tuple[int, int, bytes]]
) -> None:
    for at, size, instead in edits:
        start = at % (len(data) + 1)
        data = data[:start] + instead + data[start + size :]
    reads_or_is_malformed(data)


def reads_or_is_malformed(data: bytes) -> None:
    with suppress(MalformedError):
        measure_tree(read_tree(data), frozenset({"now"}), checked=True)


# --- controls --------------------------------------------------------------------------------


def test_without_the_subset_a_text_grows_in_a_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of `measure_tree`: what it refuses is otherwise compiled and evaluated."""
    text = "size('" + "x" * 100 + "'" + " + 'x'" * 5 + ") == 105"
    assert "can add only numbers" in refusal(text)
    everything = cel_subset.Measured(variables=(), steps=0)
    monkeypatch.setattr(cel, "measure_tree", lambda *_, **__: everything)
    assert compiled(text).constant is True
