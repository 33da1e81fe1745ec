"""Takes what cyclonedx-python-lib has not out of a BOM by place, and puts it back there.

That are model cards, data of components and services, and mime types, which it gives a name that
no schema knows (11.12: `mimeType`, in XML an element). A place is the bom-ref of a component or
service; one without gets one for the time in between.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, TypeVar, cast
from xml.etree.ElementTree import Element

from infwasi_sign.adapters import cyclonedx_xml as xml
from infwasi_sign.domain.model_card import ComponentData, ModelCard, ServiceData
from infwasi_sign.domain.model_card_json import (
    card_from_json,
    card_to_json,
    data_from_json,
    data_to_json,
    flow_from_json,
    flow_to_json,
)
from infwasi_sign.domain.model_card_version import at_version
from infwasi_sign.domain.strict_json import Cursor, JsonValue
from infwasi_sign.errors import MalformedError
from infwasi_sign.quick_dataclass import dataclass

_T = TypeVar("_T")

_PEDIGREE: Final = ("ancestors", "descendants", "variants")
_TOOLS: Final = ("metadata/tools", "vulnerabilities/vulnerability/tools")
_MIME_TYPE: Final = "mime-type"
_PLACE: Final = "infwasi-place-"

# The sequences of bom-1.7.xsd: what stands after the card and data of a component, and after the
# data of a service.
_AFTER_CARD: Final = frozenset({"cryptoProperties", "tags"})
_AFTER_FLOWS: Final = frozenset(
    {"licenses", "patentAssertions", "externalReferences", "properties", "services"}
    | {"releaseNotes", "tags"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """What was taken out of one component or service."""

    card: ModelCard | None = None
    data: tuple[ComponentData, ...] = ()
    flows: tuple[ServiceData, ...] = ()
    mime_type: str | None = None


class _Register:
    """What was taken, by bom-ref."""

    def __init__(self) -> None:
        self.taken: dict[str, Taken] = {}
        self._refs: Counter[str] = Counter()

    def add(self, ref: object, taken: Taken | None) -> str | None:
        """Returns the bom-ref that a component has to have, if something was taken from it."""
        if taken is None:
            self._refs[str(ref)] += 1
            return None
        place = ref if isinstance(ref, str) and ref else f"{_PLACE}{len(self.taken)}"
        self._refs[place] += 1
        self.taken[place] = taken
        return place

    def close(self) -> dict[str, Taken]:
        for ref in self.taken:
            if self._refs[ref] > 1:
                raise MalformedError("a bom-ref stands twice", where="bom", got=ascii(ref[:80]))
        return self.taken


# --- JSON --------------------------------------------------------------------------------------


def taken_from_json(
    document: dict[str, JsonValue],
) -> tuple[dict[str, JsonValue], dict[str, Taken]]:
    """A copy without cards and data, and these by bom-ref.

    Raises:
        MalformedError: a card or data is not as its schema says, or its place is not unique.
    """
    rest = cast("dict[str, JsonValue]", _copied(document))
    register = _Register()
    for component, where in _components_of_json(rest):
        taken = None
        card, data = component.pop("modelCard", None), component.pop("data", None)
        mime_type = component.pop(_MIME_TYPE, None)
        if any(found is not None for found in (card, data, mime_type)):
            read = card_from_json
            taken = Taken(
                card=None if card is None else read(card, f"{where}.modelCard", skip_unknown=True),
                data=_each(data_from_json, data, f"{where}.data"),
                mime_type=None if mime_type is None else Cursor(mime_type, where).string(),
            )
        if place := register.add(component.get("bom-ref"), taken):
            component["bom-ref"] = place
        # NOTE: version 11.12 stumbles over these, whose form changed with 1.7.
        protocol = _object(component.get("cryptoProperties")).get("protocolProperties")
        _object(protocol).pop("ikev2TransformTypes", None)
    for service, where in _services_of_json(rest):
        flows = _each(flow_from_json, service.pop("data", None), f"{where}.data")
        taken = Taken(flows=flows) if flows else None
        if place := register.add(service.get("bom-ref"), taken):
            service["bom-ref"] = place
    return rest, register.close()


def put_into_json(document: dict[str, JsonValue], taken: dict[str, Taken], version: str) -> None:
    """Put cards and data where they were, as far as ``version`` has a place for their members."""
    for place, _ in (*_components_of_json(document), *_services_of_json(document)):
        ref = str(place.get("bom-ref"))
        found = taken.get(ref)
        if found is None:
            continue
        if ref.startswith(_PLACE):
            del place["bom-ref"]
        if found.mime_type is not None:
            place[_MIME_TYPE] = found.mime_type
        if found.card is not None:
            place["modelCard"] = card_to_json(at_version(found.card, version))
        if found.data:
            place["data"] = [data_to_json(at_version(data, version)) for data in found.data]
        if found.flows:
            place["data"] = [flow_to_json(at_version(flow, version)) for flow in found.flows]


def _copied(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _components_of_json(
    document: dict[str, JsonValue],
) -> Iterator[tuple[dict[str, JsonValue], str]]:
    component = _object(document.get("metadata")).get("component")
    yield from _nested([component], "bom.metadata.component", _inside_component)
    for tools, where in _tools(document):
        yield from _nested(tools.get("components"), f"{where}.components", _inside_component)
    yield from _nested(document.get("components"), "bom.components", _inside_component)


def _services_of_json(
    document: dict[str, JsonValue],
) -> Iterator[tuple[dict[str, JsonValue], str]]:
    for tools, where in _tools(document):
        yield from _nested(tools.get("services"), f"{where}.services", _inside_service)
    yield from _nested(document.get("services"), "bom.services", _inside_service)


def _tools(document: dict[str, JsonValue]) -> Iterator[tuple[dict[str, JsonValue], str]]:
    yield _object(_object(document.get("metadata")).get("tools")), "bom.metadata.tools"
    found = document.get("vulnerabilities")
    for index, item in enumerate(found if isinstance(found, list) else ()):
        yield _object(_object(item).get("tools")), f"bom.vulnerabilities[{index}].tools"


def _inside_component(component: dict[str, JsonValue]) -> Iterator[tuple[JsonValue, str]]:
    yield component.get("components"), "components"
    pedigree = _object(component.get("pedigree"))
    for name in _PEDIGREE:
        yield pedigree.get(name), f"pedigree.{name}"


def _inside_service(service: dict[str, JsonValue]) -> Iterator[tuple[JsonValue, str]]:
    yield service.get("services"), "services"


def _nested(
    value: JsonValue,
    where: str,
    inside: Callable[[dict[str, JsonValue]], Iterator[tuple[JsonValue, str]]],
) -> Iterator[tuple[dict[str, JsonValue], str]]:
    for index, item in enumerate(value if isinstance(value, list) else []):
        if isinstance(item, dict):
            place = f"{where}[{index}]"
            yield item, place
            for children, name in inside(item):
                yield from _nested(children, f"{place}.{name}", inside)


def _each(read: Callable[..., _T], value: JsonValue, where: str) -> tuple[_T, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise MalformedError("wrong type", where=where, expected="an array")
    return tuple(
        read(item, f"{where}[{index}]", skip_unknown=True) for index, item in enumerate(value)
    )


def _object(value: JsonValue) -> dict[str, JsonValue]:
    return value if isinstance(value, dict) else {}


# --- XML ---------------------------------------------------------------------------------------


def taken_from_xml(root: Element) -> dict[str, Taken]:
    """Take cards and data out of the tree; also extensions in namespaces of others.

    Raises:
        MalformedError: as `taken_from_json`.
    """
    space = xml.split_name(root)[0]
    _take_foreign(root, space)
    register = _Register()
    for component in _components_of_xml(root, space):
        cards, data = _cut(component, "modelCard", space), _cut(component, "data", space)
        where = f"bom.component[{component.get('bom-ref', '')[:80]}]"
        if len(cards) > 1:
            raise MalformedError("element stands twice", where=f"{where}.modelCard")
        read = xml.card_from_xml
        taken = Taken(
            card=read(cards[0], f"{where}.modelCard", skip_unknown=True) if cards else None,
            data=_each_element(xml.data_from_xml, data, f"{where}.data"),
            mime_type=component.attrib.pop(_MIME_TYPE, None),
        )
        found = None if taken == Taken() else taken
        if place := register.add(component.get("bom-ref"), found):
            component.set("bom-ref", place)
    for service in _services_of_xml(root, space):
        flows = [flow for data in _cut(service, "data", space) for flow in data]
        where = f"bom.service[{service.get('bom-ref', '')[:80]}].data"
        found = Taken(flows=_each_element(xml.flow_from_xml, flows, where)) if flows else None
        if place := register.add(service.get("bom-ref"), found):
            service.set("bom-ref", place)
    return register.close()


def put_into_xml(root: Element, taken: dict[str, Taken], version: str) -> None:
    """As `put_into_json`; XML demands an order."""
    space = xml.split_name(root)[0]
    for place in (*_components_of_xml(root, space), *_services_of_xml(root, space)):
        ref = place.get("bom-ref", "")
        found = taken.get(ref)
        if found is None:
            continue
        if ref.startswith(_PLACE):
            del place.attrib["bom-ref"]
        if found.mime_type is not None:
            place.set(_MIME_TYPE, found.mime_type)
        new = [xml.data_to_xml(at_version(data, version), space) for data in found.data]
        if found.card is not None:
            new.insert(0, xml.card_to_xml(at_version(found.card, version), space))
        if found.flows:
            flows = Element(f"{{{space}}}data")
            flows.extend(xml.flow_to_xml(at_version(flow, version), space) for flow in found.flows)
            new.append(flows)
        later = _AFTER_FLOWS if found.flows else _AFTER_CARD
        names = [xml.split_name(child)[1] for child in place]
        at = next((i for i, name in enumerate(names) if name in later), len(names))
        place[at:at] = new


def wrap_data_flows(root: Element) -> None:
    """Write the data of services in the one of its two forms that can say everything."""
    space = xml.split_name(root)[0]
    for service in _services_of_xml(root, space):
        for data in service.findall(f"{{{space}}}data"):
            for index, child in enumerate(data):
                if xml.split_name(child)[1] == "classification":
                    data[index] = Element(f"{{{space}}}dataflow")
                    data[index].append(child)


def _cut(element: Element, name: str, space: str) -> list[Element]:
    found = element.findall(f"{{{space}}}{name}")
    for child in found:
        element.remove(child)
    return found


def _each_element(read: Callable[..., _T], elements: list[Element], where: str) -> tuple[_T, ...]:
    return tuple(
        read(element, f"{where}[{index}]", skip_unknown=True)
        for index, element in enumerate(elements)
    )


def _components_of_xml(root: Element, space: str) -> Iterator[Element]:
    """Those that have the places of `_components_of_json`, and no others that have the name."""
    inside = ("components/component", *(f"pedigree/{name}/component" for name in _PEDIGREE))
    for top in ("metadata/component", *(f"{tools}/{inside[0]}" for tools in _TOOLS), inside[0]):
        for element in root.iterfind(_path(top, space)):
            yield from _nested_elements(element, space, inside)


def _services_of_xml(root: Element, space: str) -> Iterator[Element]:
    for top in (*(f"{tools}/services/service" for tools in _TOOLS), "services/service"):
        for element in root.iterfind(_path(top, space)):
            yield from _nested_elements(element, space, ("services/service",))


def _nested_elements(element: Element, space: str, inside: tuple[str, ...]) -> Iterator[Element]:
    yield element
    for names in inside:
        for child in element.iterfind(_path(names, space)):
            yield from _nested_elements(child, space, inside)


def _path(names: str, space: str) -> str:
    return "/".join(f"{{{space}}}{name}" for name in names.split("/"))


def _take_foreign(element: Element, space: str) -> None:
    for child in list(element):
        if xml.split_name(child)[0] == space:
            _take_foreign(child, space)
        else:
            element.remove(child)
    for name in [name for name in element.attrib if name.startswith("{")]:
        del element.attrib[name]
