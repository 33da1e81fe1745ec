"""Carries texts past cyclonedx-python-lib unchanged.

The library collapses white space in many members, leaves out empty texts, and writes times in a
form of its own. So what it would change is replaced by a plain word before, and comes back after.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final
from xml.etree.ElementTree import Element

from infwasi_sign.adapters.cyclonedx_xml import fit_for_xml, split_name
from infwasi_sign.domain.strict_json import JsonValue

# Members that are times, in all that the library has.
_TIMES: Final = frozenset(
    {"timestamp", "created", "published", "updated", "rejected", "firstIssued", "lastUpdated"}
    | {"lastRenewal", "expiration", "notValidBefore", "notValidAfter"}
    | {"creationDate", "activationDate", "updateDate", "expirationDate"}
)
_IN_ORDER: Final = re.compile(r"[!-~]+(?: [!-~]+)*")  # words with one space between them


class Texts:
    """The texts of one document that the library would change."""

    def __init__(self, texts: Iterator[tuple[str, str]]) -> None:
        self._words: dict[str, str] = {}
        self._times: dict[str, str] = {}
        kept: list[str] = []
        for name, text in texts:
            if name in _TIMES:
                self._times.setdefault(_as_library_writes(text), text)
            elif not _IN_ORDER.fullmatch(text):
                kept.append(text)
            elif text.startswith(_WORD):
                kept.append(text)  # somebody else's word like ours
        for text in kept:
            self._words.setdefault(text, f"{_WORD}{len(self._words)}")
        self._texts = {word: text for text, word in self._words.items()}

    @classmethod
    def of_json(cls, tree: JsonValue) -> "Texts":
        """Those of a JSON tree."""
        return cls(_texts_of_json("", tree))

    @classmethod
    def of_xml(cls, root: Element) -> "Texts":
        """Those of an XML tree."""
        return cls(_texts_of_xml(root))

    def hidden_in_json(self, tree: JsonValue) -> JsonValue:
        """A copy with words in their places."""
        match tree:
            case dict():
                return {name: self.hidden_in_json(item) for name, item in tree.items()}
            case list():
                return [self.hidden_in_json(item) for item in tree]
            case str():
                return self._words.get(tree, tree)
            case _:
                return tree

    def shown_in_json(self, tree: JsonValue, name: str = "") -> JsonValue:
        """A copy of what the library wrote, with the texts again."""
        match tree:
            case dict():
                return {inner: self.shown_in_json(item, inner) for inner, item in tree.items()}
            case list():
                return [self.shown_in_json(item, name) for item in tree]
            case str():
                return self._shown(name, tree)
            case _:
                return tree

    def hide_in_xml(self, root: Element) -> None:
        """Put words in their places."""
        for element in root.iter():
            text = _text_of(element)
            if text is not None:
                element.text = self._words.get(text, text)
            for name, value in element.attrib.items():
                element.set(name, self._words.get(value, value))

    def show_in_xml(self, root: Element) -> None:
        """Put the texts back, as far as XML can hold them."""
        for element in root.iter():
            if element.text:
                element.text = fit_for_xml(self._shown(split_name(element)[1], element.text))
            for name, value in element.attrib.items():
                element.set(name, fit_for_xml(self._shown(name, value)))

    def _shown(self, name: str, text: str) -> str:
        return self._times.get(text, text) if name in _TIMES else self._texts.get(text, text)


_WORD: Final = "infwasi-text-"


def _texts_of_json(name: str, tree: JsonValue) -> Iterator[tuple[str, str]]:
    match tree:
        case dict():
            for inner, item in tree.items():
                yield from _texts_of_json(inner, item)
        case list():
            for item in tree:
                yield from _texts_of_json(name, item)
        case str():
            yield name, tree
        case _:
            pass


def _texts_of_xml(root: Element) -> Iterator[tuple[str, str]]:
    for element in root.iter():
        text = _text_of(element)
        if text is not None:
            yield split_name(element)[1], text
        yield from element.attrib.items()


def _text_of(element: Element) -> str | None:
    """Its text, if it is one that holds text: an empty property says something, other tags not."""
    if len(element):
        return None
    return element.text or ("" if split_name(element)[1] == "property" else None)


def _as_library_writes(text: str) -> str:
    try:
        return datetime.fromisoformat(text).isoformat()
    except ValueError:
        return text  # which the library will refuse
