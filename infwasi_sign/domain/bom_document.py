"""Reads a CycloneDX 1.7 document into a view by reference; what is read is not believed yet."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from infwasi_sign.domain import strict_json
from infwasi_sign.domain.declared import DECLARED_PROPERTY, Declared
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.origin import OF_PARTS, ORIGIN_PREFIX, OWN, Origin
from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.errors import MalformedError
from infwasi_sign.quick_dataclass import dataclass

SPEC_VERSION: Final = "1.7"
_ORIGINS: Final = {origin.value: origin for origin in Origin}


@dataclass(frozen=True, kw_only=True, slots=True)
class BomComponent:
    """One component: what identifies it, its properties by name, and its whole JSON tree.

    ``parent`` is the reference of the component that it is nested in. ``around`` are the origins
    that those around it state for their parts, by member.
    """

    ref: str
    type: str
    name: str
    parent: str | None
    properties: Mapping[str, str]
    tree: dict[str, JsonValue]
    around: dict[str, str]

    def origin(self, member: str) -> Origin | None:
        """Where the value of a member or property comes from; ``None`` where no tag tells.

        ``member`` is as in the tag: `licenses`, `gguf:parameters`. A tag that ends in `*` is for
        all values that begin so and have none of their own; of what is not there it says nothing
        (sbom/README.md).
        """
        tag = self.properties.get(ORIGIN_PREFIX + member)
        if tag is None and not self._has(member):
            tag = self.around.get(member)
        elif tag is None:
            names = (f"{ORIGIN_PREFIX}{member[:end]}*" for end in range(len(member), -1, -1))
            tag = next((self.properties[name] for name in names if name in self.properties), None)
        return None if tag is None else _ORIGINS.get(tag)

    def _has(self, member: str) -> bool:
        """Whether there is such a property, or a member of such a path."""
        found: JsonValue = self.tree
        for step in member.split("."):
            if not isinstance(found, dict) or step not in found:
                return OWN + member in self.properties
            found = found[step]
        return True


@dataclass(frozen=True, kw_only=True, slots=True)
class BomDocument:
    """A checked view of a BOM.

    ``components`` are all by reference, `metadata.component` first, nested ones after theirs.
    ``properties`` are those of `metadata`; ``tools`` are names and versions.
    """

    tree: dict[str, JsonValue]
    subject: BomComponent
    components: Mapping[str, BomComponent]
    properties: Mapping[str, str]
    tools: tuple[tuple[str, str], ...]

    def of_type(self, component_type: str) -> Iterator[BomComponent]:
        """The components of one type (CycloneDX's word), in the order of the document."""
        return (one for one in self.components.values() if one.type == component_type)

    def declared(self) -> Declared:
        """The declared facts that the BOM carries.

        Raises:
            MalformedError: they are not what `declared_codec` writes.
        """
        text = self.properties.get(DECLARED_PROPERTY)
        if text is None:
            return Declared()
        # Most packages declare nothing, and a run should not read what reads it.
        from infwasi_sign.domain.declared_codec import read_declared  # noqa: PLC0415

        where = f"bom.metadata.properties[{DECLARED_PROPERTY}]"
        tree = strict_json.parse(text.encode(), where=where, limit_bytes=LIMITS.bom_bytes)
        return read_declared(tree, where)


def read_bom(data: bytes) -> BomDocument:
    """The view of a CycloneDX JSON document.

    Raises:
        MalformedError: it is too long or deep, not JSON, not CycloneDX 1.7, or a part that the
            view shows has the wrong shape.
    """
    # Counted before it is parsed: 16 MiB of tiny values would become gigabytes.
    if (separators := data.count(b",")) > LIMITS.bom_separators:
        raise MalformedError(
            "too many values",
            where="bom",
            expected=f"at most {LIMITS.bom_separators} commas",
            got=str(separators),
        )
    tree = _object(strict_json.parse(data, where="bom", limit_bytes=LIMITS.bom_bytes), "bom")
    if tree.get("bomFormat") != "CycloneDX" or tree.get("specVersion") != SPEC_VERSION:
        raise MalformedError("not a CycloneDX BOM", where="bom", expected=f"version {SPEC_VERSION}")
    metadata = _object(tree.get("metadata"), "bom.metadata")
    found: dict[str, BomComponent] = {}
    where = "bom.metadata.component"
    subject = _read_component(_object(metadata.get("component"), where), where, None, {}, found)
    _read_components(tree.get("components", []), "bom.components", None, {}, found)
    return BomDocument(
        tree=tree,
        subject=subject,
        components=MappingProxyType(found),
        properties=_read_properties(metadata, "bom.metadata"),
        tools=tuple(_read_tools(metadata)),
    )


def _read_tools(metadata: dict[str, JsonValue]) -> Iterator[tuple[str, str]]:
    """Names and versions, which nothing is derived from: whatever may stand there is said here."""
    where = "bom.metadata.tools"
    tools = _object(metadata.get("tools", {}), where)
    seen: set[str] = set()
    for item, place in _items(tools.get("components", []), f"{where}.components"):
        tool = _object(item, place)
        name, version = (_tool_text(tool, member, place) for member in ("name", "version"))
        if name in seen:
            raise MalformedError("a tool stands twice", where=place, got=name)
        seen.add(name)
        if len(seen) > LIMITS.bom_tools:
            raise MalformedError(
                "too many tools", where=where, expected=f"at most {LIMITS.bom_tools}"
            )
        yield name, version


def _tool_text(tool: dict[str, JsonValue], member: str, where: str) -> str:
    text = _text(tool, member, where)
    if not 0 < len(text) <= LIMITS.bom_tool_characters or not text.isascii():
        raise MalformedError(
            "not the name or version of a tool",
            where=f"{where}.{member}",
            expected=f"1 to {LIMITS.bom_tool_characters} characters of printable ASCII",
        )
    if not text.isprintable():
        raise MalformedError(
            "a character that hides or reorders text", where=f"{where}.{member}", got=ascii(text)
        )
    return text


def _read_components(
    value: JsonValue,
    where: str,
    parent: str | None,
    around: dict[str, str],
    found: dict[str, BomComponent],
) -> None:
    for item, place in _items(value, where):
        _read_component(_object(item, place), place, parent, around, found)


def _read_component(
    item: dict[str, JsonValue],
    where: str,
    parent: str | None,
    around: dict[str, str],
    found: dict[str, BomComponent],
) -> BomComponent:
    component = BomComponent(
        ref=_text(item, "bom-ref", where),
        type=_text(item, "type", where),
        name=_text(item, "name", where),
        parent=parent,
        properties=_read_properties(item, where),
        tree=item,
        around=around,
    )
    if component.ref in found:
        raise MalformedError("a bom-ref stands twice", where=where, got=component.ref[:80])
    found[component.ref] = component
    if nested := item.get("components", []):
        of_parts = ORIGIN_PREFIX + OF_PARTS
        around = around | {
            name.removeprefix(of_parts): origin
            for name, origin in component.properties.items()
            if name.startswith(of_parts)
        }
        _read_components(nested, f"{where}.components", component.ref, around, found)
    return component


def _read_properties(item: dict[str, JsonValue], where: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for entry, place in _items(item.get("properties", []), f"{where}.properties"):
        pair = _object(entry, place)
        name = _text(pair, "name", place)
        if name in found:
            raise MalformedError("a property stands twice", where=place, got=name[:80])
        found[name] = _text(pair, "value", place)
    return MappingProxyType(found)


def _items(value: JsonValue, where: str) -> Iterator[tuple[JsonValue, str]]:
    if not isinstance(value, list):
        raise MalformedError("not an array", where=where)
    return ((item, f"{where}[{index}]") for index, item in enumerate(value))


def _object(value: JsonValue, where: str) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise MalformedError("not an object", where=where)
    return value


def _text(value: dict[str, JsonValue], name: str, where: str) -> str:
    text = value.get(name)
    if not isinstance(text, str):
        raise MalformedError("not a string", where=f"{where}.{name}")
    return text
