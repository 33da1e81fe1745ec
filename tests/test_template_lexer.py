"""Our lexer of templates sees the tokens that jinja2's sees."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jinja2 import Environment, TemplateSyntaxError
from jinja2.lexer import operators

from infwasi_sign.domain.template_lexer import (
    FLOAT,
    INTEGER,
    OPERATOR,
    Token,
    integer_value,
    read_tags,
)
from infwasi_sign.errors import MalformedError
from tests.template_samples import HOSTILE, STOCK
from tests.test_chat_template import ATOMS

ENVIRONMENT = Environment(trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - nothing is rendered
OPERATORS = {name: sign for sign, name in operators.items()}
Seen = list[tuple[bool, list[tuple[str, object]]]]


def theirs(template: str) -> Seen | None:
    """What jinja2 reads; nothing if it refuses."""
    found: Seen = []
    is_open = False  # at the end of the text it is jinja2's parser that refuses
    lexer = ENVIRONMENT.lexer
    try:
        for token in lexer.wrap(lexer.tokeniter(template, None)):
            if token.type in ("variable_begin", "block_begin"):
                found.append((token.type == "block_begin", []))
                is_open = True
            elif token.type in OPERATORS:
                found[-1][1].append((OPERATOR, OPERATORS[token.type]))
            elif token.type in ("variable_end", "block_end"):
                is_open = False
            elif token.type != "data":
                found[-1][1].append((token.type, token.value))
    except (TemplateSyntaxError, ValueError):  # a number of too many digits
        return None
    return None if is_open else found


def ours(template: str) -> Seen | None:
    """The same of our lexer."""
    try:
        return [(tag.is_statement, list(map(valued, tag.tokens))) for tag in read_tags(template)]
    except MalformedError:
        return None


def valued(token: Token) -> tuple[str, object]:
    kind, text = token
    if kind == INTEGER:
        return kind, integer_value(text)
    return kind, float(text.replace("_", "")) if kind == FLOAT else text


def assert_same(template: str) -> None:
    """Ours may refuse what depends on the version of Unicode."""
    seen = ours(template)
    if seen is None and (not template.isascii() or "\\N" in template):
        return
    assert seen == theirs(template)


@pytest.mark.parametrize("template", [*STOCK.values(), *HOSTILE], ids=lambda t: ascii(t)[1:40])
def test_sees_what_jinja2_sees(template: str) -> None:
    assert_same(template)


PIECES = st.sampled_from(
    [
        *(
            "{{",
            "}}",
            "{%",
            "%}",
            "{#",
            "#}",
            "{%-",
            "-%}",
            "{{-",
            "-}}",
            "+%}",
            "{%+",
            "{#-",
            "-#}",
        ),
        *("{% raw %}", "{% endraw %}", "{%- raw -%}", "{%-endraw+%}", "{% raw x %}", "{", "}", "%"),
        *("'", '"', "\\", "\\'", "\\n", "\\x41", "\\u00e9", "\\q", "'a'", '"b"', " ", "\n", "\r\n"),
        *(
            "a",
            "_b",
            "é",
            "raw",
            "endraw",
            "0",
            "07",
            "1_0",
            "0x1F",
            "0b2",
            "1.5",
            "1e5",
            "2.",
            ".3",
        ),
        *(
            "1_.5",
            "\u0663",
            "\u00b2",
            "(",
            ")",
            "[",
            "]",
            "**",
            "//",
            "==",
            "!",
            "!=",
            "=",
            "~",
            "|",
        ),
        *("-", "+", "#", "$", "@", ";", ":", ",", ".", "<=", ">"),
    ]
)


@given(st.lists(PIECES | ATOMS, max_size=14).map("".join))
@settings(max_examples=2000, deadline=None)
@example("{{ x }}\n")
@example("{% raw %}")
@example("{#-")
@example("a{%- raw -%} \n ")
@example("a{%- raw -%} \n b{%- endraw -%} {{ c }}")
@example("{% raw %}\n")
@example("{{ {'a': {}}}}")
@example("{{ 1e5.5 }}{{ x.1.5 }}{{ x.1_0 }}")
@example("{{ '\r\n' }}")
@example("{#-}#}{#+#}{{ x -}}\n\n{%- if a +%}")
@example("{{ '}}' }}{{ \"{{\" }}{% if '%}' %}")
@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
def test_sees_what_jinja2_sees_in_any_pieces(template: str) -> None:
    assert_same(template)


@pytest.mark.parametrize("template", ["{{ \u00e9 }}", "{{\u00a0a }}", "{{ '\\N{LOW LINE}' }}"])
def test_what_versions_of_python_read_differently_is_not_read(template: str) -> None:
    assert theirs(template) is not None
    assert ours(template) is None


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("a{% raw %}b", "raw block does not end in chat template at character 1"),
        ("a{# b", "comment does not end in chat template at character 1"),
        ("{{ a", "tag does not end in chat template at character 2"),
        ("{{ ) }}", "bracket closes nothing in chat template at character 3"),
        ("{{ a $ }}", "character has no meaning in chat template at character 5"),
        (
            "{{ \u00b2 }}",
            "character has no meaning in chat template at character 3",
        ),
        ("{{ '\\N{X}' }}", "string names a character in chat template at character 3"),
        ("{{ '\\x4' }}", "string has half an escape in chat template at character 3"),
    ],
)
def test_says_what_it_cannot_read(template: str, message: str) -> None:
    with pytest.raises(MalformedError) as caught:
        list(read_tags(template))
    assert str(caught.value) == message
