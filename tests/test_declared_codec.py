"""Declared facts: what is written is read again, and nothing else is read."""

import dataclasses
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infwasi_sign.domain import declared_codec
from infwasi_sign.domain.declared import Declared, DeclaredDataset
from infwasi_sign.domain.declared_codec import declared_tree, read_declared
from infwasi_sign.domain.declared_keys import ARRAYS, TABLES, Form
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.strict_json import canonical, parse
from infwasi_sign.errors import MalformedError
from tests.declared_support import any_declared


def refusal(tree: object) -> str:
    with pytest.raises(MalformedError) as caught:
        read_declared(tree, "x")
    return str(caught.value)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(any_declared())
def test_what_is_declared_comes_back_through_canonical_json(declared: Declared) -> None:
    data = canonical(declared_tree(declared))
    again = read_declared(parse(data, where="x", limit_bytes=LIMITS.bom_bytes), "x")
    assert again == declared
    assert canonical(declared_tree(again)) == data


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from([*TABLES]), inner),
)


@given(JSON)
def test_no_tree_raises_another_error_or_is_read_in_two_ways(tree: Any) -> None:
    try:
        declared = read_declared(tree, "x")
    except MalformedError:
        return
    assert declared_tree(declared) == tree


def test_every_field_has_one_key() -> None:
    of_tables = [key.field for keys in TABLES.values() for key in keys.values()]
    fields = [*of_tables, *(array.field for array in ARRAYS.values())]
    assert sorted(fields) == sorted(field.name for field in dataclasses.fields(Declared))
    for array in ARRAYS.values():
        names = [field.name for field in dataclasses.fields(array.row)]
        assert sorted(key.field for key in array.keys.values()) == sorted(names)


def test_nothing_is_declared_by_nothing() -> None:
    assert read_declared({}, "x") == Declared()
    assert declared_tree(Declared()) == {}


def test_openness_stands_in_the_table_of_the_model() -> None:
    declared = Declared(openness_weights="open", datasets=(DeclaredDataset(name="d"),))
    tree = {"model": {"openness": {"weights": "open"}}, "dataset": [{"name": "d"}]}
    assert declared_tree(declared) == tree
    assert read_declared(tree, "x") == declared


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ([], "wrong type in x (expected a table, got list)"),
        (
            {"modle": {}},
            "unknown key in x modle (expected bom, app, model, training, use, security, infras",
        ),
        ({"model.openness": {"weights": "open"}}, "unknown key in x 'model.openness'"),
        ({1: {}}, "unknown key in x 1 (expected bom, app, model, training, use, security, infra"),
        ({"model": {"licence": "MIT"}}, "unknown key in x model.licence"),
        ({"model": {"open\u202eness": "x"}}, "unknown key in x model.'open\\u202eness'"),
        ({"model": {}}, "empty table in x model (expected at least one key)"),
        ({"model": "SmolLM2"}, "wrong type in x model (expected a table, got str 'SmolLM2')"),
        ({"model": {"version": 2}}, "wrong type in x model.version (expected a line of at most 25"),
        ({"model": {"version": ""}}, "empty text in x model.version (expected a line of at most"),
        ({"model": {"description": " \n"}}, "empty text in x model.description (expected a text"),
        ({"model": {"version": " 1"}}, "not of its form in x model.version (expected a line of a"),
        ({"model": {"version": "1\n2"}}, "a character that hides or reorders text in x model.ver"),
        ({"model": {"version": "a" * 257}}, "too long in x model.version (expected a line of at m"),
        ({"model": {"authors": "Ada"}}, "wrong type in x model.authors (expected a list of texts,"),
        ({"model": {"authors": []}}, "empty list in x model.authors (expected at least one entry)"),
        ({"model": {"authors": ["a", "a"]}}, "stands twice in x model.authors[1] (got str 'a')"),
        ({"model": {"authors": [*"abc", None]}}, "wrong type in x model.authors[3] (expected a l"),
        ({"model": {"authors": [str(n) for n in range(65)]}}, "too many in x model.authors (expe"),
        ({"model": {"url": "javascript:alert(1)"}}, "not of its form in x model.url (expected an "),
        ({"model": {"url": "https://user:word@x.test"}}, "not of its form in x model.url (expect"),
        ({"model": {"url": "https://x.test/\u202e"}}, "a character that hides or reorders text in"),
        ({"model": {"url": "https://x.test/%zz"}}, "not of its form in x model.url (expected an h"),
        ({"model": {"url": "https://x.test/a b"}}, "not of its form in x model.url (expected an h"),
        ({"model": {"purl": "huggingface/x"}}, "not of its form in x model.purl (expected a pack"),
        ({"model": {"released": "2024-02-30"}}, "not of its form in x model.released (expected a"),
        ({"model": {"released": "2024-02-01T10:00:00"}}, "not of its form in x model.released (e"),
        ({"model": {"openness": {"weights": "yes"}}}, "not of its form in x model.openness.weigh"),
        ({"training": {"approach": "guessed"}}, "not of its form in x training.approach (expected"),
        ({"security": {"contact": "call us"}}, "not of its form in x security.contact (expected "),
        (
            {"dataset": {"name": "x"}},
            "wrong type in x dataset (expected a list of tables, got dict",
        ),
        ({"dataset": [{"license": "MIT"}]}, "missing key in x dataset[0].name (expected a line of"),
        ({"dataset": [{"name": "x", "sha256": "AB"}]}, "not of its form in x dataset[0].sha256 (e"),
        ({"dataset": [{"name": "x"}] * 65}, "too many in x dataset (expected at most 64, got 65)"),
        ({"energy": [{"activity": "lunch"}]}, "not of its form in x energy[0].activity (expected"),
        ({"training": {"co2-tonnes": "-1"}}, "not of its form in x training.co2-tonnes (expected"),
        ({"training": {"co2-tonnes": "1e9"}}, "not of its form in x training.co2-tonnes (expecte"),
        ({"training": {"co2-tonnes": "1" * 16}}, "not of its form in x training.co2-tonnes (expe"),
        ({"training": {"co2-tonnes": "1.234567890123456"}}, "not of its form in x training.co2-to"),
        ({"dataset": [{"name": "x"}] * 2}, "stands twice in x dataset[1].name (got str 'x')"),
        ({"training": {"co2-tonnes": 1.5}}, "wrong type in x training.co2-tonnes (expected a num"),
    ],
)
def test_refuses_and_names_the_key(tree: object, says: str) -> None:
    assert refusal(tree)[: len(says)] == says


@pytest.mark.parametrize("hidden", ["\x00", "\x1b", "\x7f", "\u200b", "\u202e", "\ufeff", "\ud800"])
def test_refuses_characters_that_hide_or_reorder(hidden: str) -> None:
    tree = {"model": {"description": f"a {hidden} b"}}
    assert refusal(tree) == (
        "a character that hides or reorders text in x model.description"
        f" (expected characters that show as what they are, got U+{ord(hidden):04X})"
    )


def test_without_the_check_of_characters_they_get_through(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = {"model": {"description": "a \u202e b"}}
    monkeypatch.setattr(declared_codec, "find_hidden", lambda *_, **__: None)
    assert read_declared(tree, "x").model_description == "a \u202e b"


def test_without_the_form_of_an_address_a_script_gets_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tree = {"model": {"url": "javascript:alert(1)"}}
    monkeypatch.setattr(Form, "fits", lambda *_: True)
    assert read_declared(tree, "x").model_url == "javascript:alert(1)"


def test_markup_and_layout_are_text() -> None:
    tree = {"model": {"description": "<script>alert(1)</script>\n\tand {{ 7 * 7 }}"}}
    assert declared_tree(read_declared(tree, "x")) == tree


def test_all_texts_together_have_a_bound() -> None:
    text = "é" * LIMITS.declared_text_characters
    rows = [{"name": f"{n} {text}"[: len(text)], "mitigation": text} for n in range(64)]
    assert refusal({"ethics": rows, "fairness": [{"group": text, "harms": text}] * 64}) == (
        "too long together in x fairness[0].group (expected at most 1048576 bytes of text)"
    )
