"""Reads a BOM of any tool for people: what is not as CycloneDX says is told, not refused.

Nothing is decided by what is read here; `domain.bom_document` reads what verification needs.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Final

from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.origin import ORIGIN_PREFIX, Origin
from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.errors import MalformedError

_WORD: Final = re.compile(r"\S+")
_HASHES: Final = 16  # of one component; CycloneDX knows 15 algorithms
_NOTHING: Final[Mapping[str, JsonValue]] = MappingProxyType({})


class Oddities:
    """Members that are not what CycloneDX says: the first of them by place, and how many."""

    def __init__(self) -> None:
        self.places: list[str] = []
        self.count = 0

    def add(self, where: str) -> None:
        """One more; beyond `LIMITS.html_items` only their number is kept."""
        self.count += 1
        if len(self.places) < LIMITS.html_items:
            self.places.append(where)


class Node:
    """An object of the document; what is absent or of another type reads as nothing."""

    __slots__ = ("_properties", "members", "oddities", "where")

    def __init__(self, members: Mapping[str, JsonValue], where: str, oddities: Oddities) -> None:
        self.members = members
        self.where = where
        self.oddities = oddities
        self._properties: Mapping[str, str] | None = None

    def __bool__(self) -> bool:
        return bool(self.members)

    def text(self, name: str) -> str | None:
        """A text; numbers and truth values as JSON writes them; an empty text is none."""
        value = self.members.get(name)
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, int | float):
            return str(value)
        if isinstance(value, str):
            return value or None
        self._wonder(name, value)
        return None

    def texts(self, name: str) -> tuple[str, ...]:
        """The texts of an array."""
        found: list[str] = []
        for at, item in enumerate(self._array(name)):
            if isinstance(item, str):
                found.append(item)
            else:
                self.oddities.add(f"{self._path(name)}[{at}]")
        return tuple(found)

    def node(self, name: str) -> "Node":
        """An object; an empty one where there is none."""
        value = self.members.get(name)
        if isinstance(value, dict):
            return Node(value, self._path(name), self.oddities)
        self._wonder(name, value)
        return Node(_NOTHING, self._path(name), self.oddities)

    def nodes(self, name: str) -> Iterator["Node"]:
        """The objects of an array, in its order."""
        for at, item in enumerate(self._array(name)):
            where = f"{self._path(name)}[{at}]"
            if isinstance(item, dict):
                yield Node(item, where, self.oddities)
            else:
                self.oddities.add(where)

    @property
    def properties(self) -> Mapping[str, str]:
        """The properties by name; of a name that stands twice the values are joined by lines."""
        if self._properties is None:
            found: dict[str, list[str]] = {}  # joined once: a name may stand there a million times
            for one in self.nodes("properties"):
                name, value = one.text("name"), one.text("value") or ""
                if name is None:
                    self.oddities.add(one.where)
                else:
                    found.setdefault(name, []).append(value)
            self._properties = {name: "\n".join(values) for name, values in found.items()}
        return self._properties

    def origin(self, member: str) -> Origin | None:
        """Where a member or property comes from: by its own tag, or the nearest that ends in `*`.

        ``member`` is as in the tag: `licenses`, `gguf:parameters` (sbom/README.md).
        """
        tags = self.properties
        tag = tags.get(ORIGIN_PREFIX + member)
        for at in range(len(member), -1, -1):
            if tag is not None:
                break
            tag = tags.get(f"{ORIGIN_PREFIX}{member[:at]}*")
        return Origin(tag) if tag in set(Origin) else None

    def _array(self, name: str) -> list[JsonValue]:
        value = self.members.get(name)
        if isinstance(value, list):
            return value
        self._wonder(name, value)
        return []

    def _wonder(self, name: str, value: JsonValue) -> None:
        if value is not None:
            self.oddities.add(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self.where}.{name}" if self.where else name


def document_node(value: JsonValue) -> tuple[Node, Oddities]:
    """The whole document, and what will be odd about it once it was read.

    Raises:
        MalformedError: it is not CycloneDX.
    """
    if not isinstance(value, dict) or value.get("bomFormat") != "CycloneDX":
        raise MalformedError("not a CycloneDX BOM", where="bom", expected="bomFormat CycloneDX")
    oddities = Oddities()
    return Node(value, "", oddities), oddities


def licences_of(node: Node) -> tuple[str, ...]:
    """The licences of a component: SPDX ids, names and expressions, as they stand."""
    found = []
    for choice in islice(node.nodes("licenses"), LIMITS.html_items):
        licence = choice.node("license")
        name = choice.text("expression") or licence.text("id") or licence.text("name")
        found.append(name or licence.text("url"))
    return tuple(name for name in found if name)


def hashes_of(node: Node) -> tuple[tuple[str, str], ...]:
    """Algorithm and digest, SHA-256 first."""
    pairs = [
        (one.text("alg") or "?", one.text("content") or "")
        for one in islice(node.nodes("hashes"), _HASHES)
    ]
    return tuple(sorted(pairs, key=lambda pair: (pair[0] != "SHA-256", pair[0])))


def words_of(text: str) -> Iterator[str]:
    """The words of a text, one after the other, for it may have millions."""
    return (match.group() for match in _WORD.finditer(text))


def name_of(node: Node) -> str:
    """What to call an organization or person: name, or address of one."""
    return node.text("name") or node.text("email") or ""
