"""Elements of an SPDX 3.0.1 document: their identifiers, what all have, and their relationships.

https://spdx.github.io/spdx-spec/v3.0.1/. Equal documents give equal graphs: identifiers are made of
the BOM's serial number and the reference of the component, and the order is that of the BOM.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from infwasi_sign.domain.bom_node import Node
from infwasi_sign.domain.strict_json import JsonValue

CREATION: Final = "_:creation"
NO_ASSERTION: Final = "NoAssertionElement"
NO_ASSERTION_LICENSE: Final = "expandedlicensing_NoAssertionLicense"
"""Individuals of the specification; the context turns their names into addresses."""

Element = dict[str, JsonValue]


_UNRESERVED: Final = frozenset(  # RFC 3986 section 2.3
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
)


def _escaped(name: str) -> str:
    """A name as a segment of an IRI (RFC 3986 section 2.1)."""
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in name.encode())


class Graph:
    """Collects elements; of an identifier there is one."""

    def __init__(self, serial_number: str) -> None:
        self._base = serial_number
        self._elements: dict[str, Element] = {}
        self._related: dict[tuple[str, str], int] = {}
        self.refs: dict[str, str] = {}  # identifiers of elements by bom-ref

    def identifier(self, kind: str, name: str) -> str:
        """An IRI in the BOM's own name space (RFC 8141: a URN may have a fragment)."""
        return f"{self._base}#{kind}/{_escaped(name)}"

    def add(self, spdx_type: str, identifier: str, **members: JsonValue) -> str:
        """Put an element in, without the members that nobody knows; gives its identifier back."""
        known = {name: value for name, value in members.items() if value not in (None, "", [])}
        self._elements.setdefault(
            identifier,
            {"type": spdx_type, "spdxId": identifier, "creationInfo": CREATION, **known},
        )
        return identifier

    def relate(
        self,
        source: str,
        kind: str,
        targets: Iterable[str],
        *,
        spdx_type: str = "Relationship",
        **members: JsonValue,
    ) -> None:
        """A relationship from one to all of the others; none where there are no others."""
        ends: list[JsonValue] = [*dict.fromkeys(targets)]
        if not ends:
            return
        count = self._related.get((source, kind), 0)
        self._related[source, kind] = count + 1
        local = source.partition("#")[2] or source
        self.add(
            spdx_type,
            f"{self._base}#{kind}/{local}" + (f"/{count}" if count else ""),
            relationshipType=kind,
            to=ends,
            **{"from": source, **members},
        )

    def annotate(self, subject: str, name: str, content_type: str, statement: str) -> None:
        """Say about an element what SPDX has no property for."""
        self.add(
            "Annotation",
            f"{self._base}#annotation/{subject.partition('#')[2]}/{name}",
            subject=subject,
            annotationType="other",
            contentType=content_type,
            statement=statement,
        )

    @property
    def elements(self) -> list[JsonValue]:
        """All of them, in the order in which they came."""
        return [*self._elements.values()]

    @property
    def identifiers(self) -> list[JsonValue]:
        """Those of all elements."""
        return [*self._elements]


def agent(graph: Graph, node: Node, *, is_person: bool) -> str | None:
    """The element of an organization or a person, if it has a name or an address."""
    name = node.text("name") or node.text("email")
    if name is None:
        return None
    kind = "Person" if is_person else "Organization"
    mail = node.text("email")
    address: JsonValue = mail and [
        {"type": "ExternalIdentifier", "externalIdentifierType": "email", "identifier": mail}
    ]
    return graph.add(
        kind, graph.identifier(kind.lower(), name), name=name, externalIdentifier=address
    )


def utc_time(text: str | None) -> str | None:
    """A time as SPDX wants it, in UTC and whole seconds; of a date, its first second in UTC."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ").zfill(len("0000-00-00T00:00:00Z"))


def dictionary(pairs: Mapping[str, str] | Iterable[tuple[str, str]]) -> list[JsonValue]:
    """Entries with keys and values."""
    items = pairs.items() if isinstance(pairs, Mapping) else pairs
    return [{"type": "DictionaryEntry", "key": key, "value": value} for key, value in items]


def properties(node: Node) -> list[JsonValue]:
    """All properties of a component, origins among them, in SPDX's own extension for them."""
    entries: list[JsonValue] = [
        {
            "type": "extension_CdxPropertyEntry",
            "extension_cdxPropName": name,
            "extension_cdxPropValue": value,
        }
        for name, value in sorted(node.properties.items())
    ]
    if not entries:
        return []
    return [{"type": "extension_CdxPropertiesExtension", "extension_cdxProperty": entries}]
