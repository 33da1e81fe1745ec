import json
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infwasi_sign.domain import strict_json
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.strict_json import Cursor, JsonValue
from infwasi_sign.errors import MalformedError

LARGEST = 2**53 - 1

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-LARGEST, LARGEST)
    | st.floats(-LARGEST, LARGEST)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=12,
)


def parse(data: bytes) -> JsonValue:
    return strict_json.parse(data, where="the text", limit_bytes=1024)


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(MalformedError) as caught:
        act()
    return str(caught.value)


@given(values)
def test_reads_what_the_standard_parser_reads(value: JsonValue) -> None:
    data = json.dumps(value).encode()
    assert strict_json.parse(data, where="x", limit_bytes=len(data)) == value


@given(values)
def test_canonical_form_reads_back_and_writes_the_same_again(value: JsonValue) -> None:
    data = strict_json.canonical(value)
    again = strict_json.parse(data, where="x", limit_bytes=len(data))
    strict_json.require_canonical(data, again, "x")


@given(st.binary(max_size=64) | st.text('[]{}",:\\ud8 0', max_size=64).map(str.encode))
def test_raises_nothing_but_its_own_error(data: bytes) -> None:
    with suppress(MalformedError):
        parse(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xef\xbb\xbf1", "begins with a byte order mark in the text (expected plain UTF-8)"),
        (b'"\xff"', "not UTF-8 in the text (got byte 0xff at offset 1)"),
        (b'"\xed\xa0\x80"', "not UTF-8 in the text (got byte 0xed at offset 1)"),
        ("1".encode("utf-16"), "not UTF-8 in the text (got byte 0xff at offset 0)"),
        (b" " * 1025, "too long in the text (expected at most 1024 bytes, got 1025)"),
        (b'{"a":1,"a":1}', "member stands twice in the text (got 'a')"),
        (b'{"a":1,"\\u0061":1}', "member stands twice in the text (got 'a')"),
        (b'[{"b":{"c":1,"c":2}}]', "member stands twice in the text (got 'c')"),
        (b"NaN", "not a JSON number in the text (got NaN)"),
        (b"[-Infinity]", "not a JSON number in the text (got -Infinity)"),
        (b'"\\ud800"', "surrogate stands alone in the text (got '\\ud800')"),
        (b'{"\\uDC00":1}', "surrogate stands alone in the text (got '\\udc00')"),
        (b'[[["\\uDe00\\ud83d"]]]', "surrogate stands alone in the text (got '\\ude00\\ud83d')"),
    ],
)
def test_refuses_what_can_be_read_in_two_ways(data: bytes, message: str) -> None:
    assert refusal(lambda: parse(data)) == message


@pytest.mark.parametrize(
    "data", [b"", b"{", b"]", b"[1,]", b"{'a':1}", b"01", b"1 1", b'"\n"', b"\x0c1", b"[}", b'"\\']
)
def test_refuses_what_is_no_json(data: bytes) -> None:
    assert refusal(lambda: parse(data)).startswith("not JSON in the text (got ")


@pytest.mark.parametrize("number", [LARGEST, -LARGEST, 0])
def test_reads_integers_up_to_the_bound(number: int) -> None:
    assert parse(str(number).encode()) == number


@pytest.mark.parametrize(
    "digits",
    [str(LARGEST + 1), str(-LARGEST - 1), "9" * 1000, "-" + "9" * 1000, "1e16", "-1e16", "1e999"],
)
def test_refuses_numbers_beyond_the_bound(digits: str) -> None:
    assert refusal(lambda: parse(digits.encode())) == (
        f"number out of range in the text (expected within {LARGEST} of zero, got {digits[:24]})"
    )


def test_refuses_digits_that_python_would_not_convert() -> None:
    data = b"9" * 5000  # beyond sys.int_info.default_max_str_digits
    message = refusal(lambda: strict_json.parse(data, where="x", limit_bytes=5000))
    assert message.startswith("number out of range in x")


def test_joins_surrogate_pairs() -> None:
    assert parse(b'"\\ud83d\\ude00"') == "\U0001f600"


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_reads_down_to_the_depth_and_no_deeper(opening: bytes, closing: bytes) -> None:
    depth = LIMITS.json_depth
    middle = b'"[[[{{{\\"]"'
    parse(opening * depth + middle + closing * depth)
    deeper = opening * (depth + 1) + middle + closing * (depth + 1)
    assert refusal(lambda: parse(deeper)) == (
        "nested too deep in the text (expected at most 32 levels)"
    )


@pytest.mark.parametrize("data", [b"[" * 1024, b"[[]" * 300, b'{"a":[' * 150, b"[[],{}," * 100])
def test_refuses_openings_that_never_close(data: bytes) -> None:
    assert refusal(lambda: parse(data)).startswith("nested too deep in the text")


def test_siblings_are_not_depth() -> None:
    assert parse(b"[" + b"[{}]," * 200 + b"[]]") is not None


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 2**53, "\ud800", {"\ud800": 1}, [{"a": -(2**53)}]]
)
def test_has_no_canonical_form_for_what_json_cannot_say(value: JsonValue) -> None:
    assert refusal(lambda: strict_json.canonical(value)).startswith("value has no canonical form")


def test_canonical_sorts_by_utf16_and_writes_numbers_as_javascript() -> None:
    # RFC 8785 sections 3.2.2.3 and 3.2.3
    value: JsonValue = {"\U0001f600": 1e21, "\ufb33": 1e-7, "a": 333333333.33333329, "": -0.0}
    assert strict_json.canonical(value).decode() == (
        '{"":0,"a":333333333.3333333,"\U0001f600":1e+21,"\ufb33":1e-7}'
    )


@pytest.mark.parametrize(
    ("data", "offset"),
    [(b'{"a": 1}', 5), (b'{"b":1,"a":1}', 2), (b"1.0", 1), (b"-0", 0), (b'"\\u0061"', 1)],
)
def test_refuses_another_byte_form(data: bytes, offset: int) -> None:
    assert refusal(lambda: strict_json.require_canonical(data, parse(data), "payload")) == (
        "not in its one byte form in payload "
        f"(expected RFC 8785, got a difference at offset {offset})"
    )


def test_cursor_names_the_place_of_every_refusal() -> None:
    value = parse(b'{"predicate":{"entries":[{"size":1},{"size":2},{"size":"3"}]}}')
    predicate = Cursor(value, "").object({"predicate"})["predicate"]
    entries = predicate.object({"entries"}, {"more"})["entries"].array(3)
    assert [entry.object({"size"})["size"].integer(1, 2) for entry in entries[:2]] == [1, 2]
    assert refusal(lambda: entries[2].object({"size"})["size"].integer(1, 2)) == (
        "wrong type in predicate.entries[2].size (expected an integer, got a string)"
    )


@pytest.mark.parametrize(
    ("value", "ask", "message"),
    [
        ([], lambda c: c.object({"a"}), "wrong type in x (expected an object, got an array)"),
        ({}, lambda c: c.object({"b", "a"}), "member is missing in x (expected a)"),
        ({"a": 1}, lambda c: c.object(()), "unknown member in x (got 'a')"),
        ({"a": 1, "\u202e": 2}, lambda c: c.object({"a"}), "unknown member in x (got '\\u202e')"),
        ({}, lambda c: c.array(1), "wrong type in x (expected an array, got an object)"),
        ([1, 2], lambda c: c.array(1), "wrong number of items in x (expected at most 1, got 2)"),
        ([], lambda c: c.array(2, 1), "wrong number of items in x (expected 1 to 2, got 0)"),
        (None, lambda c: c.string(), "wrong type in x (expected a string, got null)"),
        ("ää", lambda c: c.string(3), "too long in x (expected at most 3 bytes, got 4)"),
        (True, lambda c: c.integer(0, 1), "wrong type in x (expected an integer, got a boolean)"),
        (1.0, lambda c: c.integer(0, 1), "wrong type in x (expected an integer, got a number)"),
        (2, lambda c: c.integer(0, 1), "out of range in x (expected 0 to 1, got 2)"),
        (1, lambda c: c.boolean(), "wrong type in x (expected a boolean, got an integer)"),
    ],
)
def test_cursor_refuses(value: JsonValue, ask: Callable[[Cursor], object], message: str) -> None:
    assert refusal(lambda: ask(Cursor(value, "x"))) == message


def test_cursor_gives_optional_members_only_when_they_are_there() -> None:
    assert set(Cursor({"a": 1}, "x").object({"a"}, {"b"})) == {"a"}
    assert set(Cursor({"a": 1, "b": 2}, "x").object({"a"}, {"b"})) == {"a", "b"}
