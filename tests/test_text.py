"""Whole characters, stop strings, visible control characters."""

import itertools
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infwasi_sign.domain.text import PieceJoiner, escape_controls, harmless_line


def join(pieces: list[bytes], stop: tuple[str, ...] = ()) -> str:
    joiner = PieceJoiner(stop)
    text = ""
    for piece in pieces:
        text += joiner.push(piece)
        if joiner.finished:
            break
    return text + joiner.flush()


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(at % (len(data) + 1) for at in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


BROKEN = st.lists(
    st.sampled_from([0x41, 0x80, 0xBF, 0xC3, 0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0x98, 0xED, 0xA0, 0xFF]),
    max_size=24,
).map(bytes)


@given(st.one_of(st.binary(max_size=64), BROKEN), st.lists(st.integers(0, 64), max_size=8))
@settings(max_examples=500)
def test_joins_to_what_one_decode_of_all_bytes_gives(data: bytes, cuts: list[int]) -> None:
    assert join(cut(data, cuts)) == data.decode(errors="replace")


@given(st.text(alphabet="ab€", max_size=24), st.lists(st.integers(0, 96), max_size=8))
@settings(max_examples=500)
def test_stops_at_the_same_place_wherever_the_bytes_are_cut(text: str, cuts: list[int]) -> None:
    stop = ("bab", "a€", "abab")
    data = text.encode()
    whole = join([data], stop)
    assert join(cut(data, cuts), stop) == whole
    assert not any(word in whole for word in stop)
    assert text.startswith(whole)


def test_gives_text_before_the_stop_string_only() -> None:
    joiner = PieceJoiner(("\nUser:",))
    assert joiner.push(b"Paris.\nUs") == "Paris."
    finished = [joiner.finished]
    assert joiner.push(b"er: and") == ""
    finished.append(joiner.finished)
    assert finished == [False, True]
    assert joiner.push(b"more") == ""
    assert joiner.flush() == ""


def test_gives_held_text_when_it_was_no_stop_string() -> None:
    joiner = PieceJoiner(("END",))
    assert joiner.push(b"the E") == "the "
    assert joiner.push(b"N") == ""
    assert joiner.flush() == "EN"


def test_the_stop_string_that_is_complete_first_counts() -> None:
    assert join([b"abcd"], ("abcd", "c")) == "ab"
    assert join([b"ab", b"c", b"d"], ("abcd", "c")) == "ab"


def test_holds_back_a_character_that_is_not_whole() -> None:
    joiner = PieceJoiner()
    assert joiner.push(b"\xf0\x9f") == ""
    assert joiner.push(b"\x98\x80!") == "\U0001f600!"
    assert joiner.push(b"\xe2\x82") == ""
    assert joiner.flush() == "\ufffd"


def test_shows_what_could_move_the_cursor() -> None:
    assert escape_controls("a\x1b[2Jb\r") == "a\\u{1b}[2Jb\\u{d}"
    assert escape_controls("\x9b31m") == "\\u{9b}31m"
    assert escape_controls("a\tb\nc") == "a\tb\nc"
    assert escape_controls("a\tb\nc", keep_layout=False) == "a\\u{9}b\\u{a}c"


def test_shows_what_reorders_or_hides_text() -> None:
    assert escape_controls("\u202eevil\u2066\u200b") == "\\u{202e}evil\\u{2066}\\u{200b}"
    assert escape_controls("\u2028\ufeff\U000e0041") == "\\u{2028}\\u{feff}\\u{e0041}"


def test_a_name_shows_what_is_not_seen_and_an_answer_keeps_its_emoji() -> None:
    assert escape_controls("a\u3164\ufe0f", keep_layout=False) == "a\\u{3164}\\u{fe0f}"
    assert escape_controls("\u2764\ufe0f") == "\u2764\ufe0f"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("::error::x", "\\u{3a}:error::x"),
        ("  ::add-mask::x  3 bytes", "  \\u{3a}:add-mask::x  3 bytes"),
        ("\u2003::x", "\u2003\\u{3a}:x"),
        ("extra file in ##[add-mask]x", "extra file in #\\u{23}[add-mask]x"),
        ("###[x]", "##\\u{23}[x]"),
        ("x ##vso[task.complete]", "x #\\u{23}vso[task.complete]"),
        ("a\n::x", "a\\u{a}::x"),
        ("a::b ## c", "a::b ## c"),
    ],
)
def test_no_line_is_a_command_to_a_build_server(line: str, shown: str) -> None:
    assert harmless_line(line) == shown
    assert harmless_line(shown) == shown


def test_leaves_ordinary_text_alone() -> None:
    text = "Grüße 日本語 العربية 😀 é"
    assert escape_controls(text) == text


@given(st.text(alphabet=st.characters(codec=None), max_size=40))
@settings(max_examples=300)
def test_no_control_or_format_character_is_left(text: str) -> None:
    shown = escape_controls(text, keep_layout=False)
    assert not any(unicodedata.category(c) in {"Cc", "Zl", "Zp", "Cs"} for c in shown)
    assert escape_controls(shown, keep_layout=False) == shown
