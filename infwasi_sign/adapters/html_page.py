"""Writes a page that says everything by itself: no script, no network, nothing believed.

A page is a template in `data/html/` that extends `shell.html` (its blocks: `title`, `contents` for
the links beside the text, `main`) and takes its parts from `macros.html`: `name` and `value` for
texts, `facts` for a list of facts with their origins, `bar` for a chart. Then
``render_page("difference.html", name=value, ...)`` gives its bytes. What holds for every page:

1. all that is not written in a template is escaped (autoescape), whatever it holds, and a value
   that a template names and nobody gave is an error (StrictUndefined)
2. characters that would hide, move or reorder text are shown (`domain.text`), and each text of
   others stands in a `<bdi>`, so that it cannot reorder what is around it
3. texts are cut: first to what one sees at once, then to `LIMITS.html_text_characters`
4. an address is followed only if it is a plain one of the web (`is_web_address`)
5. the policy in the page allows one style, by its digest, and nothing else (CSP level 3, 2.3.1)
6. the page ends at `LIMITS.html_bytes`
"""

import base64
import functools
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.page_parts import size_text
from infwasi_sign.domain.text import escape_controls, visible_pieces
from infwasi_sign.errors import RefusalKind, RefusedError

_TEMPLATES: Final = Path(__file__).parents[1] / "data" / "html"
_STYLE: Final = "page.css"
_TITLE_CHARACTERS: Final = 120  # no window or list of bookmarks shows more
_ADDRESS_CHARACTERS: Final = 2048  # what all browsers take
# Host and port, path and query in ASCII (RFC 3986), and no user: `https://bank.example@evil/`.
_WEB_ADDRESS: Final = re.compile(
    r"https?://[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?(?:[/?#][A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*)?"
)


def render_page(template: str, **values: object) -> bytes:
    """The page as UTF-8.

    Raises:
        RefusedError: kind `limit`, the page would be longer than `LIMITS.html_bytes`.
    """
    environment = _environment()
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    pieces: list[bytes] = []
    size_bytes = 0
    page = environment.get_template(template)
    for piece in page.generate(style=style, style_digest=digest, **values):
        pieces.append(piece.encode())
        size_bytes += len(pieces[-1])
        if size_bytes > LIMITS.html_bytes:
            raise RefusedError(
                RefusalKind.LIMIT, "the page is too long", expected=f"{LIMITS.html_bytes} bytes"
            )
    return b"".join(pieces)


def is_web_address(text: str) -> bool:
    """Whether ``text`` is a plain `http` or `https` address; anything else is shown, not linked."""
    if len(text) > _ADDRESS_CHARACTERS or not _WEB_ADDRESS.fullmatch(text):
        return False
    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "one_line": _one_line,
        "pieces": _pieces,
        "size": size_text,
        "grouped": _grouped,
    }
    environment.tests |= {
        "web_address": is_web_address,
        "plain": _is_plain,
        "simple": _is_simple,
    }
    environment.globals |= {
        "short_characters": LIMITS.html_short_characters,
        "most_characters": LIMITS.html_text_characters,
    }
    return environment


@functools.cache
def _style() -> str:
    return (_TEMPLATES / _STYLE).read_text(encoding="utf-8")


def _is_plain(text: str) -> bool:
    """Whether nothing in it needs to be made visible."""
    return text.isascii() and text.isprintable()


def _is_simple(text: str) -> bool:
    """Whether it can also stand as it is: short, plain, and written from left to right."""
    return len(text) <= LIMITS.html_short_characters and _is_plain(text)


def _pieces(text: str, keep_layout: bool) -> Iterator[tuple[str, bool]]:
    return visible_pieces(text, keep_layout=keep_layout)


def _one_line(text: str) -> str:
    return escape_controls(text, keep_layout=False)[:_TITLE_CHARACTERS]


def _grouped(number: int) -> str:
    return f"{number:,}"
