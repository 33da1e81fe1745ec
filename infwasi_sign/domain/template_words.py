"""The words of chat templates that are known, and what it means to use another."""

from typing import Final

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
