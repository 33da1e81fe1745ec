"""Makes the items that `difference` compares: of texts and of bytes."""

import hashlib
import json
from typing import Final

from infwasi_sign.domain.difference import Item, Section

_SHOWN_CHARACTERS: Final = 60


def text_item(section: Section, name: str, text: str) -> Item:
    """A value that is text, whose lines can be compared."""
    data = text.encode("utf-8", "surrogatepass")
    shown = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
    return Item(
        section=section,
        name=name,
        value=json.dumps(shown, ensure_ascii=False),
        digest=sha256_of(data),
        size_bytes=len(data),
        text=text,
    )


def bytes_item(section: Section, name: str, value: str, data: bytes) -> Item:
    """Bytes, with a short form for people."""
    return Item(
        section=section, name=name, value=value, digest=sha256_of(data), size_bytes=len(data)
    )


def sha256_of(data: bytes) -> str:
    """The digest as it is shown."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
