"""The places of values in a TOML text: what stands there is what tomllib read."""

import tomllib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.toml_text import read_toml
from infwasi_sign.errors import UndecidedError
from tests.conftest import ROOT

POLICIES = [path.read_text() for path in sorted((ROOT / "policies").glob("*.toml"))]
ODD = '''\
a = 1 # "
"b c" = [ [1, 2], [ "]", \'\'\' ]' \'\'\' ] , # ],
  { x = { y = "}" } , z = """
"quoted" ""\\"""" } ]
d . 'e' . f = -inf
[g]
h = 1979-05-27 07:32:00Z
[[i]]
j = """a"""""
[[i]]
[[i.k]]
l = \'\'
[[i.k]]
[i.k.m]
n = true'''


def values(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every value below, by the path that places have."""
    match value:
        case dict():
            for name, inner in value.items():
                yield from values(inner, f"{path}.{name}" if path else name)
        case list():
            for index, inner in enumerate(value):
                yield from values(inner, f"{path}[{index}]")
        case _:
            yield path, value


def assert_places_are_right(text: str) -> None:
    toml = read_toml(text.encode(), where="x")
    found = dict(values(toml.document))
    for path, value in found.items():
        place = toml.places[path]
        shown = toml.text[place.start : place.end]
        assert tomllib.loads(f"x = {shown}")["x"] == value, path
        line = toml.text.count("\n", 0, place.start) + 1
        assert place.line <= line <= place.line + 1, path


@pytest.mark.parametrize("text", [*POLICIES, ODD, ODD.replace("\n", "\r\n")], ids=range(6))
def test_what_stands_at_a_place_is_the_value(text: str) -> None:
    assert_places_are_right(text)


def test_lines_are_those_of_the_keys() -> None:
    places = read_toml(ODD.encode(), where="x").places
    assert {path: places[path].line for path in ("a", "b c", "d.e.f", "g.h", "i[0].j")} == {
        "a": 1,
        "b c": 2,
        "d.e.f": 5,
        "g.h": 7,
        "i[0].j": 9,
    }
    assert [places[path].line for path in ("b c[2].x.y", "b c[2].z")] == [3, 3]
    assert [places[path].line for path in ("i", "i[1]", "i[1].k[0].l", "i[1].k[1].m.n")] == [
        8,
        10,
        12,
        15,
    ]


PIECES = ['"', "'", '"""', "'''", "\n", "#", "[", "]", "{", "}", ",", "=", ".", " ", "a", "1", "\\"]


@given(
    st.sampled_from([*POLICIES, ODD]),
    st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from(PIECES)), max_size=3),
)
def test_no_edit_leads_to_another_error_or_a_wrong_place(
    text: str, edits: list[tuple[int, str]]
) -> None:
    for at, piece in edits:
        start = at % (len(text) + 1)
        text = text[:start] + piece + text[start:]
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        with pytest.raises(UndecidedError):
            read_toml(text.encode(), where="x")
        return
    read_toml(text.encode(), where="x")


def test_keys_of_many_parts_are_refused_before_they_cost_time() -> None:
    read_toml(b"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p = 1", where="x")
    with pytest.raises(UndecidedError) as caught:
        read_toml(b'y = "a.b"\na.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q = 1', where="x")
    assert str(caught.value) == "not TOML: a key has too many parts in x:2 (expected at most 16)"


def test_backslashes_between_texts_cost_no_time() -> None:
    text = "a = 1\n" + '"""x"\\' * (LIMITS.toml_bytes // 6 - 1)
    with pytest.raises(UndecidedError) as caught:
        read_toml(text.encode(), where="x")  # half an hour, if each text were looked for its end
    assert str(caught.value).startswith("not TOML: ")


@pytest.mark.parametrize(
    "text",
    [
        'x = "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18"',
        "# 1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18",
        "x = '''\n1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18'''",
        "x = [" + "1.5, " * 40 + "]",
    ],
)
def test_dots_in_texts_and_numbers_are_no_parts_of_keys(text: str) -> None:
    assert_places_are_right(text)
