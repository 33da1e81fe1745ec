"""CycloneDX from one version and format to another, and a list of what did not come along.

cyclonedx-python-lib converts all but model cards and component data, which it does not have:
these are taken out by place before, and put back after (`cyclonedx_places`). What is lost is found
by reading the result again and comparing.
"""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias, cast
from xml.etree.ElementTree import Element

from cyclonedx.exception import CycloneDxException
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.schema.schema import SCHEMA_VERSIONS

from infwasi_sign.adapters import cyclonedx_xml as xml
from infwasi_sign.adapters.cyclonedx_mends import (
    forget_inventions_in_json,
    forget_inventions_in_xml,
    mend_xml,
)
from infwasi_sign.adapters.cyclonedx_places import (
    put_into_json,
    put_into_xml,
    taken_from_json,
    taken_from_xml,
    wrap_data_flows,
)
from infwasi_sign.adapters.cyclonedx_texts import Texts
from infwasi_sign.domain import strict_json
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.lost_members import lost_members
from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.errors import MalformedError
from infwasi_sign.quick_dataclass import dataclass

OutputFormat: TypeAlias = Literal["json", "xml"]

VERSIONS: Final = ("1.7", "1.6", "1.5")
"""Those that have a model card."""

LOST_PROPERTY: Final = "infwasi:lost:"
"""`infwasi:lost:0` and so on in `metadata.properties` name what a conversion did not keep."""

_SCHEMA_LOCATION: Final = "{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"
_LIBRARY: Final = "cyclonedx-python-lib"
_HEAD: Final = ("$schema", "bomFormat", "specVersion")
_MOST_LOST: Final = 1000  # properties; the command prints all


@dataclass(frozen=True, kw_only=True, slots=True)
class Converted:
    """A document as bytes, and the paths of what the input has and these bytes do not."""

    data: bytes
    losses: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadBom:
    """A document as JSON, and the paths of what its XML had and this does not."""

    document: dict[str, JsonValue]
    losses: tuple[str, ...] = ()


def read_any(data: bytes) -> dict[str, JsonValue]:
    """A BOM as a tree of JSON in which 1.7 has every member; `specVersion` is that of the bytes.

    Raises:
        MalformedError: as `read_with_losses`.
    """
    return read_with_losses(data).document


def read_with_losses(data: bytes) -> ReadBom:
    """Read CycloneDX 1.5 to 1.7, JSON or XML; only of XML something can be lost.

    Raises:
        MalformedError: neither of these, out of bounds, or not as their schema says.
    """
    if _is_xml(data):
        root = xml.parse_xml(data, where="bom", limit_bytes=LIMITS.bom_bytes)
        wrap_data_flows(root)
        before = _tree(root)
        document = _read_xml(root)
        lost = lost_members(before, _tree(_to_xml(document, _version(document))))
        return ReadBom(document=document, losses=tuple(lost))
    value = strict_json.parse(data, where="bom", limit_bytes=LIMITS.bom_bytes)
    if not isinstance(value, dict) or value.get("bomFormat") != "CycloneDX":
        raise MalformedError("not a CycloneDX BOM", where="bom", expected="JSON or XML of one")
    _version(value)
    _require_size(value)
    return ReadBom(document=value)


def convert(
    document: dict[str, JsonValue], *, spec_version: str, output_format: OutputFormat
) -> Converted:
    """Write ``document`` as another version or format; the same one is written as it is.

    What is lost is named in properties `infwasi:lost:<n>` of the metadata.

    Raises:
        MalformedError: the document is not as its schema says, so that it cannot be read.
    """
    if spec_version not in VERSIONS:
        raise ValueError(spec_version)
    _require_size(document)
    if (_version(document), output_format) == (spec_version, "json"):
        return Converted(data=strict_json.canonical(document), losses=())
    data = _write(document, spec_version, output_format)
    losses = tuple(_lost(document, data))
    if losses:
        data = _write(_with_losses(document, losses), spec_version, output_format)
    return Converted(data=data, losses=losses)


def _write(document: dict[str, JsonValue], version: str, output_format: OutputFormat) -> bytes:
    if output_format == "xml":
        return xml.write_xml(_to_xml(document, version))
    return strict_json.canonical(_to_json(document, version))


def _lost(document: dict[str, JsonValue], data: bytes) -> Iterator[str]:
    if _is_xml(data):
        # Its size is ours to answer for: bounded by the document, and longer than it.
        again = _read_xml(xml.parse_xml(data, where="bom", limit_bytes=8 * LIMITS.bom_bytes))
    else:
        value = strict_json.parse(data, where="bom", limit_bytes=8 * LIMITS.bom_bytes)
        again = cast("dict[str, JsonValue]", value)
    kept = {name: value for name, value in document.items() if name not in _HEAD}
    yield from lost_members(kept, again)


def _with_losses(document: dict[str, JsonValue], losses: tuple[str, ...]) -> dict[str, JsonValue]:
    metadata = document.get("metadata", {})
    assert isinstance(metadata, dict)  # noqa: S101 - it was converted once
    old = metadata.get("properties", [])
    assert isinstance(old, list)  # noqa: S101 - likewise
    said = list(losses[:_MOST_LOST])
    if len(losses) > _MOST_LOST:
        said.append(f"and {len(losses) - _MOST_LOST} more")
    start = sum(  # what an earlier conversion lost stays said
        isinstance(item, dict) and str(item.get("name")).startswith(LOST_PROPERTY) for item in old
    )
    new: list[JsonValue] = [
        {"name": f"{LOST_PROPERTY}{index}", "value": path} for index, path in enumerate(said, start)
    ]
    return document | {"metadata": metadata | {"properties": old + new}}


# --- the four ways through the library ---------------------------------------------------------


def _to_json(document: dict[str, JsonValue], version: str) -> dict[str, JsonValue]:
    rest, taken = taken_from_json(document)
    texts = Texts.of_json(rest)
    with _explained():
        bom = Bom.from_json(texts.hidden_in_json(rest))  # type: ignore[attr-defined]  # decorated
        tree = strict_json.parse(
            bom.as_json(view_=_view(version)).encode(),
            where="bom",
            limit_bytes=16 * LIMITS.bom_bytes,
        )
    shown = cast("dict[str, JsonValue]", texts.shown_in_json(tree))
    put_into_json(shown, taken, version)
    forget_inventions_in_json(
        shown, has_number="serialNumber" in document, has_timestamp=_has_timestamp(document)
    )
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{version}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": version,
        **shown,
    }


def _to_xml(document: dict[str, JsonValue], version: str) -> Element:
    rest, taken = taken_from_json(document)
    texts = Texts.of_json(rest)
    space = f"{xml.NAMESPACE}{version}"
    with _explained():
        bom = Bom.from_json(texts.hidden_in_json(rest))  # type: ignore[attr-defined]  # decorated
        root: Element = bom.as_xml(_view(version), as_string=False, xmlns=space)
    mend_xml(root)
    texts.show_in_xml(root)
    put_into_xml(root, taken, version)
    forget_inventions_in_xml(
        root, has_number="serialNumber" in document, has_timestamp=_has_timestamp(document)
    )
    return root


def _read_xml(root: Element) -> dict[str, JsonValue]:
    space, name = xml.split_name(root)
    version = space.removeprefix(xml.NAMESPACE)
    if name != "bom" or version not in VERSIONS:
        raise MalformedError(
            "not a CycloneDX BOM",
            where="bom",
            expected=f"an element bom of {xml.NAMESPACE}1.5, 1.6 or 1.7",
            got=ascii(root.tag[:80])[1:-1],
        )
    has_number = "serialNumber" in root.attrib
    has_stamp = root.find(f"{{{space}}}metadata/{{{space}}}timestamp") is not None
    taken = taken_from_xml(root)
    texts = Texts.of_xml(root)
    texts.hide_in_xml(root)
    with _explained():
        bom = Bom.from_xml(root)  # type: ignore[attr-defined]  # decorated
        tree = strict_json.parse(
            bom.as_json(view_=_view("1.7")).encode(),
            where="bom",
            limit_bytes=16 * LIMITS.bom_bytes,
        )
    shown = cast("dict[str, JsonValue]", texts.shown_in_json(tree))
    put_into_json(shown, taken, "1.7")
    forget_inventions_in_json(shown, has_number=has_number, has_timestamp=has_stamp)
    return {"bomFormat": "CycloneDX", "specVersion": version, **shown}


def _has_timestamp(document: dict[str, JsonValue]) -> bool:
    metadata = document.get("metadata")
    return isinstance(metadata, dict) and "timestamp" in metadata


def _view(version: str) -> type:
    return SCHEMA_VERSIONS[SchemaVersion.from_version(version)]


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """The library raises whatever its constructors raise; what it warns of is not our user's."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (
        *(CycloneDxException, ValueError, TypeError, AttributeError, LookupError),
        *(ArithmeticError, AssertionError),
    ) as e:
        reason = ascii(str(e).partition("\n")[0][:120])[1:-1]
        raise MalformedError(
            f"not as its schema says, {_LIBRARY} cannot read it", where="bom", got=reason
        ) from e


# --- looking -----------------------------------------------------------------------------------


def _is_xml(data: bytes) -> bool:
    start = data[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    return start.startswith((b"<", b"\xff\xfe", b"\xfe\xff"))


def _version(document: dict[str, JsonValue]) -> str:
    version = document.get("specVersion")
    if not isinstance(version, str) or version not in VERSIONS:
        raise MalformedError(
            "unsupported version",
            where="bom.specVersion",
            expected=", ".join(VERSIONS),
            got=ascii(version)[:40],
        )
    return version


def _require_size(document: JsonValue) -> None:
    """Bound what the library builds objects of."""
    objects = components = 0
    rest = [document]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            objects += 1
            for name, item in value.items():
                if name in {"components", "ancestors", "descendants", "variants"}:
                    components += len(item) if isinstance(item, list) else 0
                rest.append(item)
        elif isinstance(value, list):
            rest += value
    for what, count, most in (
        ("objects", objects, LIMITS.bom_objects),
        ("components", components, LIMITS.bom_components),
    ):
        if count > most:
            raise MalformedError(
                f"too many {what}", where="bom", expected=f"at most {most}", got=str(count)
            )


def _tree(element: Element) -> JsonValue:
    """An XML tree in the form that `lost_members` compares."""
    found: dict[str, JsonValue] = {
        name: value for name, value in element.attrib.items() if name != _SCHEMA_LOCATION
    }
    if not len(element):
        text = element.text or ""  # an empty element holds no value
        return text if text and not found else found | ({"text": text} if text else {})
    children: dict[str, list[JsonValue]] = {}
    for child in element:
        space, name = xml.split_name(child)
        is_ours = space.startswith(xml.NAMESPACE) and name not in found
        children.setdefault(name if is_ours else child.tag, []).append(_tree(child))
    return found | {name: xs[0] if len(xs) == 1 else xs for name, xs in children.items()}
