"""XML of CycloneDX: the model card and component data, and reading and writing whole documents.

Elements and their order are those of bom-1.5.xsd to bom-1.7.xsd. XML from outside is read without
DTD, entities and external addresses, and bounded. The only door of defusedxml.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml.common import DefusedXmlException, DTDForbidden
from defusedxml.ElementTree import DefusedXMLParser

from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.model_card import ComponentData, ModelCard, ServiceData
from infwasi_sign.domain.model_card_json import card_from_json, data_from_json, flow_from_json
from infwasi_sign.domain.model_card_layout import LAYOUTS, Kind, Member
from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.errors import MalformedError

NAMESPACE: Final = "http://cyclonedx.org/schema/bom/"
"""Of every version, which follows it."""

# What XML 1.0 can hold (section 2.2); all else has no form in it, escaped or not.
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DECIMAL: Final = re.compile(
    r"[+-]?(?:\d{1,17}(?:\.\d{0,400})?|\.\d{1,400})", re.ASCII
)  # xs:decimal


# --- documents ---------------------------------------------------------------------------------


class _BoundedBuilder(TreeBuilder):
    """Builds a tree of bounded size and depth."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self._where = where
        self._elements = 0
        self._depth = 0

    def start(self, tag: str, attrs: dict[Any, Any], /) -> Element:
        self._elements += 1 + len(attrs)
        self._depth += 1
        if self._elements > LIMITS.bom_xml_elements:
            raise MalformedError(
                "too many elements",
                where=self._where,
                expected=f"at most {LIMITS.bom_xml_elements}, with their attributes",
            )
        if self._depth > LIMITS.bom_xml_depth:
            raise MalformedError(
                "nested too deep",
                where=self._where,
                expected=f"at most {LIMITS.bom_xml_depth} levels",
            )
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        self._depth -= 1
        return super().end(tag)


def parse_xml(data: bytes, *, where: str, limit_bytes: int) -> Element:
    """The tree of an XML document that brings nothing but itself.

    Raises:
        MalformedError: too long, too large or too deep, no XML, or with a document type, which
            could define entities or name other files.
    """
    if len(data) > limit_bytes:
        raise MalformedError(
            "too long", where=where, expected=f"at most {limit_bytes} bytes", got=str(len(data))
        )
    parser = DefusedXMLParser(target=_BoundedBuilder(where), forbid_dtd=True)
    try:
        parser.feed(data)
        root = parser.close()
    except DTDForbidden as e:
        raise MalformedError("has a document type", where=where, expected="none") from e
    except DefusedXmlException as e:
        raise MalformedError("refers to other texts", where=where) from e
    except (ParseError, ValueError, LookupError) as e:  # the last two: of the encoding it names
        raise MalformedError("not XML", where=where, got=ascii(str(e)[:80])[1:-1]) from e
    if not isinstance(root, Element):
        raise MalformedError("not XML", where=where, got="no element")
    return root


def write_xml(root: Element) -> bytes:
    """The document in UTF-8, indented where no text stands, with its namespace as the default.

    NOTE: `xml.etree` writes carriage returns in texts as they are, which readers take for newlines
    (XML 1.0 section 2.11).
    """
    space, name = split_name(root)
    lines = ['<?xml version="1.0" encoding="UTF-8"?>\n']
    lines += _written(root, name, f' xmlns="{_escaped(space)}"', space, "")
    return "".join(lines).encode()


def _written(element: Element, name: str, more: str, space: str, indent: str) -> Iterator[str]:
    attributes = "".join(f' {key}="{_escaped(value)}"' for key, value in element.attrib.items())
    yield f"{indent}<{name}{more}{attributes}"
    if not len(element):
        text = element.text or ""
        yield f">{_escaped(text)}</{name}>\n" if text else "/>\n"
        return
    yield ">\n"
    for child in element:
        yield from _written(child, split_name(child)[1], "", space, indent + "  ")
    yield f"{indent}</{name}>\n"


_ESCAPES: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;"}
    | {"\n": "&#10;", "\t": "&#9;"}  # in attributes they would be read as spaces
)


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES)


def split_name(element: Element) -> tuple[str, str]:
    """Namespace and local name."""
    space, _, name = element.tag.rpartition("}")
    return space.removeprefix("{"), name


def fit_for_xml(text: str) -> str:
    """The text with U+FFFD where it has what XML cannot hold."""
    return _NOT_XML.sub("\ufffd", text)


# --- writing cards -----------------------------------------------------------------------------


def card_to_xml(card: ModelCard, space: str) -> Element:
    """`modelCard`, in the namespace of a version that has everything that it holds."""
    return _element("modelCard", card, space)


def data_to_xml(data: ComponentData, space: str) -> Element:
    """`data`, one of those that a component has."""
    return _element("data", data, space)


def flow_to_xml(flow: ServiceData, space: str) -> Element:
    """`dataflow`, one of those in the `data` of a service."""
    element = _element("dataflow", flow, space)
    for child in list(element):
        if split_name(child)[1] == "flow":
            element.remove(child)
        elif split_name(child)[1] == "classification":
            child.set("flow", flow.flow.value)
    return element


def _element(name: str, value: object, space: str) -> Element:
    element = Element(f"{{{space}}}{name}")
    if type(value) not in LAYOUTS:
        element.text = _text(value)
        return element
    for member in LAYOUTS[type(value)].members:
        held = getattr(value, member.field)
        if held is None or held == ():
            continue
        match member.place:
            case "attribute":
                element.set(member.element, _text(held))
            case "content":
                element.text = _text(held)
            case "element" if not member.many:
                element.append(_element(member.element, held, space))
            case "element":
                parent = element
                if member.items:
                    parent = Element(f"{{{space}}}{member.element}")
                    element.append(parent)
                for item in held:
                    if _is_written(item):
                        parent.append(_element(_item_name(member, item), item, space))
    return element


def _is_written(item: object) -> bool:
    """XML has no input without format and no consumption without provider; JSON has."""
    layout = LAYOUTS.get(type(item))
    return not (layout and layout.needs) or getattr(item, layout.needs) not in {None, ()}


def _item_name(member: Member, item: object) -> str:
    if not member.items:
        return member.element
    return member.items[-1 if len(member.items) > 1 and isinstance(item, ComponentData) else 0]


def _text(value: object) -> str:
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")  # xs:decimal has no exponent
    return fit_for_xml(value.value if isinstance(value, StrEnum) else str(value))


# --- reading cards -----------------------------------------------------------------------------


def card_from_xml(
    element: Element, where: str = "modelCard", *, skip_unknown: bool = False
) -> ModelCard:
    """Read `modelCard`; ``skip_unknown`` passes over elements and attributes that none has.

    Raises:
        MalformedError: naming the member below ``where`` that is not as it must be.
    """
    tree = _tree(element, ModelCard, where)
    return card_from_json(tree, where, skip_unknown=skip_unknown)


def data_from_xml(
    element: Element, where: str = "data", *, skip_unknown: bool = False
) -> ComponentData:
    """Read `data`, as `card_from_xml` does.

    Raises:
        MalformedError: likewise.
    """
    tree = _tree(element, ComponentData, where)
    return data_from_json(tree, where, skip_unknown=skip_unknown)


def flow_from_xml(
    element: Element, where: str = "data", *, skip_unknown: bool = False
) -> ServiceData:
    """Read `dataflow`, as `card_from_xml` does.

    Raises:
        MalformedError: likewise.
    """
    tree = _tree(element, ServiceData, where)
    space = split_name(element)[0]
    classification = element.find(f"{{{space}}}classification")
    if classification is not None:
        tree["flow"] = classification.get("flow")
    return flow_from_json(tree, where, skip_unknown=skip_unknown)


def _tree(element: Element, kind: type, where: str) -> dict[str, JsonValue]:
    """What JSON would have for the element; what no layout has stands under its own name."""
    found: dict[str, JsonValue] = {}
    by_element = {}
    for member in LAYOUTS[kind].members:
        if member.place == "content":
            found[member.name] = element.text or ""
        elif member.place == "attribute" and member.element in element.attrib:
            found[member.name] = element.attrib[member.element]
        elif member.place == "element":
            by_element[member.element] = member
    known = {member.element for member in LAYOUTS[kind].members if member.place == "attribute"}
    found |= {name: value for name, value in element.attrib.items() if name not in known}
    for child in element:
        space, name = split_name(child)
        own_member = by_element.get(name) if space == split_name(element)[0] else None
        if own_member is None:
            found[child.tag] = ""  # no member has such a name
            continue
        place = f"{where}.{own_member.name}"
        if own_member.many:
            items = found.setdefault(own_member.name, [])
            assert isinstance(items, list)  # noqa: S101 - set in the line above
            items += _items(child, own_member, place)
        elif own_member.name in found:
            raise MalformedError("element stands twice", where=place)
        else:
            found[own_member.name] = _value(child, own_member.kinds[0], place)
    return found


def _items(element: Element, member: Member, where: str) -> Iterator[JsonValue]:
    if not member.items:
        yield _value(element, member.kinds[0], where)
        return
    for child in element:
        name = split_name(child)[1]
        if name in member.items:
            yield _value(child, member.kinds[member.items.index(name)], where)


def _value(element: Element, kind: Kind, where: str) -> JsonValue:
    text = element.text or ""
    if kind == "number":
        return _number(text.strip())
    if isinstance(kind, type) and kind in LAYOUTS:
        return _tree(element, kind, where)
    return text


def _number(text: str) -> JsonValue:
    """As JSON would have it; what is no decimal stays a text, which the reader then refuses."""
    if not _DECIMAL.fullmatch(text):
        return text
    number: int | float = float(text) if "." in text else int(text)
    return number if abs(number) <= LIMITS.json_integer else text
