"""Takes model cards and component data out of a BOM by place, and puts them back there.

A place is the bom-ref of a component; one without gets one for the time in between. Also taken
out, and lost, is what cyclonedx-python-lib does not pass over but stumbles on.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final, cast
from xml.etree.ElementTree import Element

from infwasi_sign.adapters import cyclonedx_xml as xml
from infwasi_sign.domain.model_card import ComponentData, ModelCard
from infwasi_sign.domain.model_card_json import (
    card_from_json,
    card_to_json,
    data_from_json,
    data_to_json,
)
from infwasi_sign.domain.model_card_version import at_version
from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.errors import MalformedError
from infwasi_sign.quick_dataclass import dataclass

_PEDIGREE: Final = ("ancestors", "descendants", "variants")
_AFTER_DATA: Final = frozenset({"cryptoProperties", "tags"})  # the sequence of bom-1.7.xsd
_PLACE: Final = "infwasi-place-"


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """What was taken out of one component."""

    card: ModelCard | None
    data: tuple[ComponentData, ...]


# --- JSON --------------------------------------------------------------------------------------


def taken_from_json(
    document: dict[str, JsonValue],
) -> tuple[dict[str, JsonValue], dict[str, Taken]]:
    """A copy without cards and data, and these by bom-ref.

    Raises:
        MalformedError: a card or data is not as its schema says, or its place is not unique.
    """
    rest = cast("dict[str, JsonValue]", _copied(document))
    refs: Counter[str] = Counter()
    taken: dict[str, Taken] = {}
    for component, where in _components_of_json(rest):
        card, data = component.pop("modelCard", None), component.pop("data", None)
        if card is not None or data is not None:
            ref = component.setdefault("bom-ref", f"{_PLACE}{len(taken)}")
            where = f"bom.{where}"
            taken[str(ref)] = Taken(
                card=None
                if card is None
                else card_from_json(card, f"{where}.modelCard", skip_unknown=True),
                data=_data_from_json(data, f"{where}.data"),
            )
        refs[str(component.get("bom-ref"))] += 1
    _require_unique(refs, taken)
    for service in _services_of_json(rest):
        _take_data_flow(service)
    return rest, taken


def put_into_json(document: dict[str, JsonValue], taken: dict[str, Taken], version: str) -> None:
    """Put cards and data where they were, as far as ``version`` has a place for their members."""
    for component, _ in _components_of_json(document):
        ref = str(component.get("bom-ref"))
        found = taken.get(ref)
        if found is None:
            continue
        if ref.startswith(_PLACE):
            del component["bom-ref"]
        if found.card is not None:
            component["modelCard"] = card_to_json(at_version(found.card, version))
        if found.data:
            component["data"] = [data_to_json(at_version(data, version)) for data in found.data]


def _copied(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _components_of_json(
    document: dict[str, JsonValue],
) -> Iterator[tuple[dict[str, JsonValue], str]]:
    metadata = _object(document.get("metadata"))
    yield from _with_nested([metadata.get("component")], "metadata.component")
    tools = _object(metadata.get("tools"))
    yield from _with_nested(tools.get("components"), "metadata.tools.components")
    yield from _with_nested(document.get("components"), "components")


def _with_nested(value: JsonValue, where: str) -> Iterator[tuple[dict[str, JsonValue], str]]:
    for index, item in enumerate(value if isinstance(value, list) else []):
        if isinstance(item, dict):
            place = where if where == "metadata.component" else f"{where}[{index}]"
            yield item, place
            yield from _with_nested(item.get("components"), f"{place}.components")
            pedigree = _object(item.get("pedigree"))
            for name in _PEDIGREE:
                yield from _with_nested(pedigree.get(name), f"{place}.pedigree.{name}")


def _services_of_json(value: dict[str, JsonValue]) -> Iterator[dict[str, JsonValue]]:
    services = value.get("services")
    for service in services if isinstance(services, list) else []:
        if isinstance(service, dict):
            yield service
            yield from _services_of_json(service)


def _take_data_flow(service: dict[str, JsonValue]) -> None:
    """The library has flow and classification only, and refuses the members that came with 1.5."""
    data = service.get("data")
    if isinstance(data, list):
        service["data"] = [
            {name: item[name] for name in ("flow", "classification") if name in item}
            if isinstance(item, dict)
            else item
            for item in data
        ]


def _data_from_json(value: JsonValue, where: str) -> tuple[ComponentData, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise MalformedError("wrong type", where=where, expected="an array")
    return tuple(
        data_from_json(item, f"{where}[{index}]", skip_unknown=True)
        for index, item in enumerate(value)
    )


def _object(value: JsonValue) -> dict[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _require_unique(refs: Counter[str], taken: dict[str, Taken]) -> None:
    for ref in taken:
        if refs[ref] > 1:
            raise MalformedError("a bom-ref stands twice", where="bom", got=ascii(ref[:80]))


# --- XML ---------------------------------------------------------------------------------------


def taken_from_xml(root: Element) -> tuple[Element, dict[str, Taken]]:
    """The tree, from which cards and data are taken, and these by bom-ref.

    Raises:
        MalformedError: as `taken_from_json`.
    """
    space = xml.split_name(root)[0]
    _take_foreign(root, space)
    refs: Counter[str] = Counter()
    taken: dict[str, Taken] = {}
    for component in _components_of_xml(root, space):
        cards = component.findall(f"{{{space}}}modelCard")
        data = component.findall(f"{{{space}}}data")
        if cards or data:
            ref = component.get("bom-ref") or f"{_PLACE}{len(taken)}"
            component.set("bom-ref", ref)
            where = f"bom.component[{ref[:80]}]"
            if len(cards) > 1:
                raise MalformedError("element stands twice", where=f"{where}.modelCard")
            taken[ref] = Taken(
                card=xml.card_from_xml(cards[0], f"{where}.modelCard", skip_unknown=True)
                if cards
                else None,
                data=tuple(
                    xml.data_from_xml(item, f"{where}.data[{index}]", skip_unknown=True)
                    for index, item in enumerate(data)
                ),
            )
            for element in (*cards, *data):
                component.remove(element)
        refs[str(component.get("bom-ref"))] += 1
    _require_unique(refs, taken)
    for service_data in root.iterfind(f".//{{{space}}}service/{{{space}}}data"):
        _take_data_flow_elements(service_data, space)
    return root, taken


def put_into_xml(root: Element, taken: dict[str, Taken], version: str) -> None:
    """As `put_into_json`; XML demands an order."""
    space = xml.split_name(root)[0]
    for component in _components_of_xml(root, space):
        ref = component.get("bom-ref", "")
        found = taken.get(ref)
        if found is None:
            continue
        if ref.startswith(_PLACE):
            del component.attrib["bom-ref"]
        new = [xml.data_to_xml(at_version(data, version), space) for data in found.data]
        if found.card is not None:
            new.insert(0, xml.card_to_xml(at_version(found.card, version), space))
        names = [xml.split_name(child)[1] for child in component]
        at = next((i for i, name in enumerate(names) if name in _AFTER_DATA), len(names))
        component[at:at] = new


def _components_of_xml(root: Element, space: str) -> Iterator[Element]:
    """Those that have the places of `_components_of_json`, and no others that have the name."""
    tops = ("metadata/component", "metadata/tools/components/component", "components/component")
    for top in tops:
        for element in root.iterfind(_path(top, space)):
            yield from _with_nested_elements(element, space)


def _with_nested_elements(element: Element, space: str) -> Iterator[Element]:
    yield element
    inside = ("components", *(f"pedigree/{name}" for name in _PEDIGREE))
    for name in inside:
        for child in element.iterfind(_path(f"{name}/component", space)):
            yield from _with_nested_elements(child, space)


def _path(names: str, space: str) -> str:
    return "/".join(f"{{{space}}}{name}" for name in names.split("/"))


def _take_foreign(element: Element, space: str) -> None:
    """Extensions of others stand in their own namespaces, which JSON has not."""
    for child in list(element):
        if xml.split_name(child)[0] == space:
            _take_foreign(child, space)
        else:
            element.remove(child)
    for name in [name for name in element.attrib if name.startswith("{")]:
        del element.attrib[name]


def _take_data_flow_elements(data: Element, space: str) -> None:
    for flow in data.findall(f"{{{space}}}dataflow"):
        data.remove(flow)
        data.extend(flow.findall(f"{{{space}}}classification"))
