"""The tokens of a chat template, as jinja2's own lexer sees them, and the words that are known.

Source: Jinja 3.1, `jinja2/lexer.py`, with the delimiters that chat templates have (`{{ }}`,
`{% %}`, `{# #}`, raw blocks, no line statements). A test compares both. Stricter in what depends on
Python's version of Unicode, for what is read must be the same everywhere: outside of texts there is
nothing but ASCII, and a text names no character (`\\N{LOW LINE}`). No published template does.
"""

import re
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Final

from infwasi_sign.errors import MalformedError
from infwasi_sign.quick_dataclass import dataclass

NAME, STRING, INTEGER, FLOAT, OPERATOR = "name", "string", "integer", "float", "operator"

Token = tuple[str, str]
"""Kind and value; of a string what is between its quotes, unescaped."""

OPENING_TAGS: Final = frozenset(("for", "if", "macro", "call", "filter", "set", "block", "with"))
TAGS: Final = OPENING_TAGS | frozenset(("elif", "else", "break", "continue"))
"""Statements of Jinja that our sandbox executes (adapters/template_sandbox.py), without ends."""

REACHING_TAGS: Final = frozenset(("include", "import", "from", "extends"))

_FILTERS_WORDS: Final = (
    "abs capitalize count d default dictsort escape e first float forceescape int items join last"
    " length list lower map max min reject rejectattr replace reverse safe select selectattr sort"
    " string sum title tojson trim unique upper"
)
FILTERS: Final = frozenset(_FILTERS_WORDS.split())
"""Those of the sandbox; a test compares."""

APPLYING_FILTERS: Final = {"map": FILTERS, "select": None, "reject": None}
"""Filters whose first argument names another filter, or (``None``) a test."""

ATTRIBUTE_FILTERS: Final = frozenset(("selectattr", "rejectattr"))
"""Filters whose first argument names an attribute."""

_TESTS_WORDS: Final = (
    "boolean callable defined divisibleby eq equalto escaped even false filter float ge greaterthan"
    " gt in integer iterable le lessthan lower lt mapping ne none number odd sameas sequence string"
    " test true undefined upper == != > >= < <="
)
TESTS: Final = frozenset(_TESTS_WORDS.split())
"""Those of jinja2 3.1; a test compares."""

_METHODS_WORDS: Final = (
    "capitalize changed count cycle endswith find get index isalnum isalpha isdigit isspace isupper"
    " islower items join keys lower lstrip removeprefix removesuffix replace rfind rsplit rstrip"
    " split splitlines startswith strip title upper values"
)
METHODS: Final = frozenset(_METHODS_WORDS.split())
"""Of texts, mappings, lists and `loop`: what the sandbox lets a template call."""

FORMATTING: Final = frozenset(("format", "format_map"))

FUNCTIONS: Final = frozenset(("range", "namespace", "raise_exception"))
"""Globals of the sandbox; a test compares."""

CLOCK: Final = "strftime_now"
"""A global of other hosts, harmless where a template asks first whether it is defined."""

REACHING_NAMES: Final = frozenset(
    (
        *("self", "lipsum", "cycler", "joiner", "dict", "super", "context", "environment"),
        *("config", "request", "session", "url_for", "get_flashed_messages", "gettext"),
        *("ngettext", "open", "eval", "exec", "getattr", "globals", "locals", "vars", "type"),
    )
)
"""Names with which templates of web pages are broken out of, unless the template itself binds them.

`jinja2/defaults.py`, `jinja2/runtime.py`, Flask's context, and Python's built-in functions.
"""

INTERNAL_ATTRIBUTES: Final = frozenset(
    (
        *("mro", "gi_frame", "gi_code", "cr_frame", "cr_code", "ag_frame", "ag_code"),
        *("f_globals", "f_locals", "f_builtins", "f_back", "tb_frame", "tb_next", "func_globals"),
        *("func_code", "im_class", "im_func", "im_self"),
    )
)
"""Attributes without an underscore that lead into the interpreter (`jinja2/sandbox.py`)."""

_KEYWORD_WORDS: Final = "and or not in is if else true false none True False None recursive"
KEYWORDS: Final = frozenset(_KEYWORD_WORDS.split())

_CLOSING: Final = {"(": ")", "[": "]", "{": "}"}
_PLAIN_ESCAPES: Final = {
    "\\n": "\n",
    "\\t": "\t",
    "\\r": "\r",
    "\\'": "'",
    '\\"': '"',
    "\\\\": "\\",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Tag:
    """What stands between one pair of delimiters: a statement, or an expression to print."""

    is_statement: bool
    tokens: list[Token]


@cache
def _token_pattern() -> re.Pattern[str]:
    # Compiled at the first template and not at each start: a run without a template needs none.
    return re.compile(
        r"""\s+|(\w+)|('[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*")"""
        r"""|(//|\*\*|[=!><]=|[-+/*%~[\](){}<>=.:|,;])""",
        re.DOTALL | re.ASCII,
    )


@cache
def _number_pattern() -> re.Pattern[str]:
    digits = r"\d+(?:_\d+)*"  # jinja2: float_re and integer_re
    return re.compile(
        rf"((?<!\.){digits}(?:(?:\.{digits})?e[+\-]?{digits}|\.{digits}))"
        r"|0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*",
        re.IGNORECASE | re.ASCII,
    )


@cache
def _begin_pattern() -> re.Pattern[str]:
    return re.compile(r"\{%[-+]?\s*raw\s*(?:-%\}\s*|%\})|\{[{%#][-+]?", re.ASCII)


@cache
def _end_of_raw_pattern() -> re.Pattern[str]:
    # Blanks of any script, as in jinja2: a raw block that ended later here would hide code.
    return re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")


def read_tags(template: str) -> Iterator[Tag]:
    """The tags in order; comments, raw blocks and plain text are passed over.

    Raises:
        MalformedError: jinja2 could not read it either, or a name has a rare character.
    """
    source = template.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")
    position = 0
    while (begin := _begin_pattern().search(source, position)) is not None:
        position = begin.end()
        word = begin.group()
        if "}" in word:
            end = _end_of_raw_pattern().search(source, position)
            if position == len(source):
                return  # jinja2 asks for an end only where there is something to end
            if end is None:
                raise _error("raw block does not end", begin.start())
            position = end.end()
        elif word.startswith("{#"):
            # The sign belongs to the beginning: `{#-}` and `{#+#}` are read as jinja2 reads them.
            end_at = source.find("#}", position)
            if position == len(source):
                return
            if end_at < 0:
                raise _error("comment does not end", begin.start())
            position = end_at + 2
        else:
            is_statement = word.startswith("{%")
            tokens, position = _read_tag(source, position, is_statement=is_statement)
            yield Tag(is_statement=is_statement, tokens=tokens)


def _read_tag(source: str, position: int, *, is_statement: bool) -> tuple[list[Token], int]:
    """The tokens up to the end of the tag, and where that is."""
    ends = ("%}", "-%}", "+%}") if is_statement else ("}}", "-}}")
    first_of_end = "%-+" if is_statement else "}-"
    match = _token_pattern().match
    start = position
    tokens: list[Token] = []
    open_: list[str] = []
    while position < len(source):
        if not open_ and source[position] in first_of_end and source.startswith(ends, position):
            return tokens, source.index("}", position) + (1 if is_statement else 2)
        found = match(source, position)
        if found is None:
            raise _error("character has no meaning", position)
        group = found.lastindex
        if group == 1:
            token, position = _word(source, found)
            tokens.append(token)
            continue
        if group == 2:
            tokens.append((STRING, _unescaped(found.group()[1:-1], position)))
        elif group == 3:
            operator = found.group()
            if operator in _CLOSING:
                open_.append(_CLOSING[operator])
            elif operator in ")]}" and (not open_ or open_.pop() != operator):
                raise _error("bracket closes nothing", position)
            tokens.append((OPERATOR, operator))
        position = found.end()
    raise _error("tag does not end", start)


def _word(source: str, found: re.Match[str]) -> tuple[Token, int]:
    """A name or a number, and where it ends."""
    word, end = found.group(), found.end()
    if not word[0].isdecimal():
        return (NAME, word), end
    is_plain = word == "0" or (word.isdecimal() and word[0] != "0")
    if is_plain and not source.startswith(".", end):
        return (INTEGER, word), end
    number = _number_pattern().match(source, found.start())
    if number is None:  # never, for a digit is a number already
        raise _error("number cannot be read", found.start())
    return (FLOAT if number.lastindex else INTEGER, number.group()), number.end()


def _unescaped(text: str, position: int) -> str:
    if "\\" not in text:
        return text
    plain = _PLAIN_ESCAPES.get(text)
    if plain is not None:
        return plain
    if "\\N" in text.replace("\\\\", ""):
        raise _error("string names a character", position)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that mean nothing, which stay as they are
            return text.encode("ascii", "backslashreplace").decode("unicode-escape")
    except UnicodeDecodeError as e:
        raise _error("string has half an escape", position) from e


def integer_value(text: str) -> int:
    """The number that an integer token writes; one of more than 30 digits is as good as 10^30."""
    digits = text.replace("_", "")
    return int(digits, 0) if len(digits) <= 30 else 10**30


def _error(what: str, position: int) -> MalformedError:
    return MalformedError(what, where=f"chat template at character {position}")
