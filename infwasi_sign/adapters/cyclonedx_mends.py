"""Mends what cyclonedx-python-lib 11.12 writes against the schemas, as long as it does.

Members that it gives to documents that have none are taken out too: nobody said them.
"""

from typing import Final
from xml.etree.ElementTree import Element

from infwasi_sign.adapters.cyclonedx_xml import split_name
from infwasi_sign.domain.strict_json import JsonValue

# Sequences of bom-1.7.xsd that the library writes in another order, by path from a parent.
_ORDERS: Final = {
    "metadata": (
        *("timestamp", "lifecycles", "tools", "authors", "component", "manufacturer"),
        *("manufacture", "supplier", "licenses", "properties", "distributionConstraints"),
    ),
    "commit/author": ("timestamp", "name", "email"),
    "commit/committer": ("timestamp", "name", "email"),
}


def mend_xml(root: Element) -> None:
    """Attributes without namespace, booleans in lower case, elements in their order."""
    space = split_name(root)[0]
    for element in root.iter():
        for name, value in list(element.attrib.items()):
            del element.attrib[name]
            element.set(name.rpartition("}")[2], value)
        if split_name(element)[1] == "swid" and "patch" in element.attrib:
            element.set("patch", element.attrib["patch"].lower())
    for path, order in _ORDERS.items():
        for element in root.iterfind(".//" + "/".join(f"{{{space}}}{n}" for n in path.split("/"))):
            element[:] = sorted(element, key=lambda child: _place(split_name(child)[1], order))


def _place(name: str, order: tuple[str, ...]) -> int:
    return order.index(name) if name in order else len(order)


def forget_inventions_in_json(
    document: dict[str, JsonValue], *, has_number: bool, has_timestamp: bool
) -> None:
    """Take the serial number and the time that the library makes up."""
    metadata = document.get("metadata")
    if not has_number:
        document.pop("serialNumber", None)
    if not has_timestamp and isinstance(metadata, dict):
        metadata.pop("timestamp", None)
        if not metadata:
            del document["metadata"]


def forget_inventions_in_xml(root: Element, *, has_number: bool, has_timestamp: bool) -> None:
    """The same."""
    space = split_name(root)[0]
    if not has_number:
        root.attrib.pop("serialNumber", None)
    if not has_timestamp:
        for metadata in root.findall(f"{{{space}}}metadata"):
            for stamp in metadata.findall(f"{{{space}}}timestamp"):
                metadata.remove(stamp)
            if not len(metadata):
                root.remove(metadata)
