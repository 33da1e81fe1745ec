"""Findings in chat templates: none in those of usual models, all in those that are hostile."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2.defaults import DEFAULT_NAMESPACE
from jinja2.tests import TESTS as JINJA_TESTS

from infwasi_sign.adapters.chat_placeholders import PRIVATE
from infwasi_sign.adapters.chat_template import render
from infwasi_sign.adapters.template_sandbox import SandboxEnvironment
from infwasi_sign.domain import template_code, template_lexer
from infwasi_sign.domain.chat import Message, Role
from infwasi_sign.domain.gguf import model_facts, parse
from infwasi_sign.domain.model_digests import chat_template_digest
from infwasi_sign.domain.template_code import template_findings
from infwasi_sign.errors import UndecidedError
from tests.conftest import ROOT
from tests.gguf_forge import TEMPLATE, WatchedSource, every_general_key, text_pair, tiny_gguf
from tests.template_samples import HOSTILE, STOCK
from tests.test_chat_template import ATOMS, test_bounds_a_template_that_would_never_end

USER = Message(role=Role.USER, content="Hello")
STOPPED = [
    template
    for mark in test_bounds_a_template_that_would_never_end.pytestmark  # type: ignore[attr-defined]  # pytest puts it there
    for template in mark.args[1]
]


@pytest.mark.parametrize("name", STOCK)
def test_finds_nothing_in_templates_of_usual_models(name: str) -> None:
    assert template_findings(STOCK[name]) == ()


@pytest.mark.parametrize("template", HOSTILE, ids=lambda text: ascii(text)[1:40])
def test_finds_what_is_hostile(template: str) -> None:
    assert template_findings(template) == HOSTILE[template]


@pytest.mark.parametrize("template", STOPPED, ids=lambda text: ascii(text)[1:40])
def test_what_the_sandbox_stops_is_a_finding(template: str) -> None:
    assert template_findings(template)


@pytest.mark.parametrize(
    "template",
    [template for template, found in HOSTILE.items() if "syntax" not in found],
    ids=lambda text: ascii(text)[1:40],
)
def test_a_finding_is_the_same_within_a_usual_template(template: str) -> None:
    """Whitespace control, line ends and what stands around it hide nothing."""
    shown = re.sub(r"\{\{(?!-)", "{{-\r\n\t", template).replace("}}", "\r\n-}}")
    around = STOCK["qwen3"] + shown + STOCK["smollm2"]
    assert set(HOSTILE[template]) <= set(template_findings(around))


def test_the_words_are_those_of_the_sandbox() -> None:
    sandbox = SandboxEnvironment()
    assert frozenset(sandbox.filters) == template_lexer.FILTERS
    assert frozenset(sandbox.globals) == template_lexer.FUNCTIONS
    assert frozenset(JINJA_TESTS) == template_lexer.TESTS
    assert DEFAULT_NAMESPACE.keys() - template_lexer.FUNCTIONS <= template_lexer.REACHING_NAMES
    methods = {name for name in template_lexer.METHODS if sandbox.is_safe_attribute("", name, None)}
    others = {"changed", "cycle", "get", "items", "join", "keys", "replace", "values"}
    assert template_lexer.METHODS - methods == others
    assert all(template_code._has_any(one, template_code._RESERVED) for one in PRIVATE)
    assert not template_code._has_any("\U0010efff\U0010f200", template_code._RESERVED)


def test_every_finding_is_explained() -> None:
    page = (ROOT / "docs" / "ml-bom-facts.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    words = {word for row in rows for word in re.findall(r"`([^`]+)`", row.split(" | ")[0])}
    found = {finding for findings in HOSTILE.values() for finding in findings}
    whole = {word for word in words if "NAME" not in word}
    begun = tuple(word.removesuffix("NAME") for word in words if "NAME" in word)
    assert {word for word in found if word not in whole and not word.startswith(begun)} == set()


def test_finds_the_same_whatever_a_template_calls_its_values() -> None:
    """Names that web frameworks have are ordinary names where the template binds them."""
    assert template_findings("{% set config = x %}{{ config }}") == ()
    assert template_findings("{{ config }}") == ("name:config",)


def test_tells_no_more_than_64_findings_and_no_more_than_40_characters_of_each() -> None:
    many = template_findings("".join(f"{{{{ x | f{n} }}}}" for n in range(100)))
    assert len(many) == 64
    assert many[-1] == "more"
    assert template_findings("{{ x | " + "f" * 1000 + " }}") == ("filter:" + "f" * 40,)


@given(st.lists(ATOMS | st.sampled_from(sorted(HOSTILE)), max_size=8).map("".join))
@settings(max_examples=200, deadline=None)
def test_no_template_raises_anything(template: str) -> None:
    found = template_findings(template)
    assert list(found) == sorted(set(found))
    assert all(word.isascii() and word.isprintable() for word in found)


ALPHABET = st.sampled_from(
    [*"{}%#-+'\"\\[]().|~*=<>:, \n\rax_0189eré\u0663\u202e", "{{", "}}", "%}"]
)


@given(st.lists(ALPHABET, max_size=40).map("".join))
@settings(max_examples=500, deadline=None)
def test_no_text_raises_anything(template: str) -> None:
    template_findings(template)


@given(st.lists(ATOMS, max_size=6).map("".join))
@settings(max_examples=200, deadline=None)
def test_what_is_rendered_can_be_read(template: str) -> None:
    try:
        render(template, [USER], "", "")
    except UndecidedError:
        return
    assert "syntax" not in template_findings(template)


def test_models_that_differ_in_their_template_alone_differ_in_digest_and_findings() -> None:
    *others, honest = every_general_key()
    hostile = text_pair("tokenizer.chat_template", TEMPLATE + "{{ ''.__class__ }}")
    left, right = (
        model_facts(parse(WatchedSource(tiny_gguf(pairs=(*others, template)))))
        for template in (honest, hostile)
    )
    assert left.general == right.general
    assert left.chat_template is not None
    assert right.chat_template is not None
    assert chat_template_digest(left.chat_template) != chat_template_digest(right.chat_template)
    assert template_findings(left.chat_template) == ()
    assert template_findings(right.chat_template) == ("attribute:__class__",)
