"""Reads a CycloneDX 1.7 document into a view by reference; what is read is not believed yet."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from infwasi_sign.domain import strict_json
from infwasi_sign.domain.declared import DECLARED_PROPERTY, Declared
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.origin import ORIGIN_PREFIX, Origin
from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.errors import MalformedError
from infwasi_sign.quick_dataclass import dataclass

SPEC_VERSION: Final = "1.7"


@dataclass(frozen=True, kw_only=True, slots=True)
class BomComponent:
    """One component: what identifies it, its properties by name, and its whole JSON tree.

    ``parent`` is the reference of the component that it is nested in.
    """

    ref: str
    type: str
    name: str
    parent: str | None
    properties: Mapping[str, str]
    tree: dict[str, JsonValue]

    def origin(self, member: str) -> Origin | None:
        """Where the value of a member or property comes from; ``None`` where no tag tells.

        ``member`` is as in the tag: `licenses`, `gguf:parameters`. A tag that ends in `*` is for
        all that begin so and have none of their own (sbom/README.md).
        """
        tag = self.properties.get(ORIGIN_PREFIX + member)
        at = len(member)
        while tag is None and at >= 0:
            tag = self.properties.get(f"{ORIGIN_PREFIX}{member[:at]}*")
            at -= 1
        return Origin(tag) if tag in Origin else None


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
    declared: Declared

    def of_type(self, component_type: str) -> Iterator[BomComponent]:
        """The components of one type (CycloneDX's word), in the order of the document."""
        return (one for one in self.components.values() if one.type == component_type)


def read_bom(data: bytes) -> BomDocument:
    """The view of a CycloneDX JSON document.

    Raises:
        MalformedError: it is too long or deep, not JSON, not CycloneDX 1.7, or a part that the
            view shows has the wrong shape.
    """
    raise NotImplementedError
