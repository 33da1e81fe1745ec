"""Model cards out of the air, and judges of CycloneDX that nobody here wrote."""

import json
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any, Final

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.xml import XmlValidator
from hypothesis import strategies as st
from jsonschema import Draft7Validator  # type: ignore[import-untyped]  # ships no types
from lxml import etree  # type: ignore[import-untyped]  # ships no types
from referencing import Registry, Resource

from infwasi_sign.domain.model_card_layout import LAYOUTS, Kind, Layout, Member
from tests.cyclonedx_full import schema
from tests.strict_judge import strict_judge

_RESOURCES: Final = files("cyclonedx.schema").joinpath("_res")

# --- cards -------------------------------------------------------------------------------------

ANY_TEXT: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
XML_TEXT: Final = st.text(
    st.characters(
        exclude_categories=["Cs"],
        exclude_characters=[
            *(chr(code) for code in range(0x20) if chr(code) not in "\t\n\r"),
            "\ufffe",
            "\uffff",
        ],
    ),
    max_size=12,
)
_NUMBERS: Final = st.one_of(
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.floats(-(2**53) + 1, 2**53 - 1, allow_nan=False),
)


def values(kind: type, text: st.SearchStrategy[str] = ANY_TEXT) -> st.SearchStrategy[Any]:
    """Any value of a class of the card; with ``XML_TEXT`` one that XML can say."""
    layout = LAYOUTS[kind]
    is_for_xml = text is XML_TEXT
    if layout.one_of:
        return st.one_of(
            *(st.builds(kind, **{member.field: _member(member, text)}) for member in layout.members)
        )
    return st.builds(kind, **{m.field: _field(m, layout, text, is_for_xml) for m in layout.members})


def _field(
    member: Member, layout: Layout, text: st.SearchStrategy[str], is_for_xml: bool
) -> st.SearchStrategy[Any]:
    is_needed = member.required or (is_for_xml and member.field == layout.needs)
    if member.many:
        least = 1 if is_for_xml and member.field == layout.needs else 0
        return st.lists(_member(member, text), min_size=least, max_size=2).map(tuple)
    if is_for_xml and member.name == "value" and member.place == "content":
        return _member(member, text)  # XML does not tell a property without value from ""
    return _member(member, text) if is_needed else st.none() | _member(member, text)


def _member(member: Member, text: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.one_of(*(_kind(kind, text) for kind in member.kinds))


def _kind(kind: Kind, text: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    if kind == "text":
        return text
    if kind == "number":
        return _NUMBERS
    assert isinstance(kind, type)
    return st.sampled_from(kind) if issubclass(kind, StrEnum) else values(kind, text)


# --- judges ------------------------------------------------------------------------------------


def complaints(data: bytes, version: str) -> list[str]:
    """What the library's strict validators and the official schemas have against a BOM."""
    known = SchemaVersion.from_version(version)
    text = data.decode()
    if data.startswith(b"<"):
        valid = XmlValidator(known).validate_str(text, all_errors=True)
        found = [str(error.data) for error in valid or ()]
        judge = _xsd(version)
        judge.validate(etree.fromstring(data))
        official = [str(error) for error in judge.error_log]
    else:
        strict = strict_judge(known).validate_str(text, all_errors=True)
        found = [str(error.data) for error in strict or ()]
        official = [
            f"{error.json_path}: {error.message[:200]}"
            for error in _json_schema(version).iter_errors(json.loads(data))
        ]
    return [one[:300] for one in (*found, *official)]


@cache
def _xsd(version: str) -> etree.XMLSchema:
    path = str(_RESOURCES.joinpath(f"bom-{version}.SNAPSHOT.xsd"))
    return etree.XMLSchema(etree.parse(path))


@cache
def _json_schema(version: str) -> Draft7Validator:
    registry: Registry[Any] = Registry()
    for name in ("spdx", "jsf-0.82", "cryptography-defs"):
        file = f"{name}.SNAPSHOT.schema.json"
        resource = Resource.from_contents(json.loads(_RESOURCES.joinpath(file).read_text("utf-8")))
        registry = registry.with_resource(f"http://cyclonedx.org/schema/{file}", resource)
    return Draft7Validator(schema(version), registry=registry)
