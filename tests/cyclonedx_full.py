"""A BOM that has every member of the official JSON schema, made from the schema itself."""

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, Final

from infwasi_sign.domain.strict_json import JsonValue

# Signatures are of bytes that a conversion changes; the rest is nothing that a BOM describes.
_LEFT_OUT: Final = frozenset({"signature", "signatories", "versionRange"})
_DEEPEST: Final = 1  # of one definition within itself: more would be long

# Members whose texts have a form that their schema says in words or as a pattern.
_TEXTS: Final = {
    "serialNumber": "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
    "$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json",
    "mime-type": "application/wasm",
    "purl": "pkg:generic/acme@1.0",
    "cpe": "cpe:2.3:a:acme:rocket:1.0:*:*:*:*:*:*:*",
    "swhid": "swh:1:cnt:94a9ed024d3859793618152ea559a168bbcbb5e2",
    "omniborId": "gitoid:blob:sha1:261eeb9e9f8b2b4b0d119366dda99c6fd7d35c64",
    "versionRange": "vers:generic/>=1.0|<2.0",
    "locale": "en-US",
    "openCre": "CRE:764-507",
    "lifecycles": "build",
    "patentJurisdiction": "EP",
    "jurisdiction": "EP",
}
_FORMATS: Final = {
    "date-time": "2025-01-02T03:04:05Z",
    "date": "2025-01-02",
    "idn-email": "somebody@example.com",
    "email": "somebody@example.com",
    "iri-reference": "https://example.com/a",
    "iri": "https://example.com/a",
    "uri": "https://example.com/a",
    "uuid": "3e671687-395b-41f5-a30f-a58921a69b79",
}


@cache
def schema(version: str) -> dict[str, Any]:
    """The official schema of a version, which cyclonedx-python-lib brings along."""
    name = f"bom-{version}.SNAPSHOT.schema.json"
    text = files("cyclonedx.schema").joinpath("_res", name).read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


class Sampler:
    """Makes one value for each schema, with all its optional members."""

    def __init__(self, version: str = "1.7") -> None:
        self._version = version
        self._schema = schema(version)
        self._depths: dict[str, int] = {}
        self._count = 0

    def document(self) -> dict[str, JsonValue]:
        """The whole."""
        value = self.value(self._schema, "bom")
        assert isinstance(value, dict)
        return value | {"specVersion": self._version}

    def definition(self, name: str) -> JsonValue:
        """One of the definitions."""
        return self.value({"$ref": f"#/definitions/{name}"}, name)

    def value(self, schema: dict[str, Any], name: str) -> JsonValue:  # noqa: PLR0911 - one a kind
        """A value that the schema accepts."""
        if "$ref" in schema:
            return self._referred(schema["$ref"], name)
        for word in ("oneOf", "anyOf"):
            first = schema.get(word, [{}])[0]
            if "properties" not in schema and first.keys() & {"properties", "type", "$ref", "enum"}:
                return self.value(first, name)
        if "const" in schema:
            return str(schema["const"])
        if "enum" in schema:
            return str(schema["enum"][0])
        match schema.get("type"):
            case None if "properties" in schema:
                return self._object(schema)
            case "object":
                return self._object(schema)
            case "array":
                return [self.value(schema.get("items", {}), name)]
            case "boolean":
                return True
            case "integer":
                return int(schema.get("minimum", 1))
            case "number":
                return float(schema.get("maximum", 1.5))
            case _:
                return self._text(schema, name)

    def _referred(self, ref: str, name: str) -> JsonValue:  # noqa: PLR0911 - one a definition
        definition = ref.rpartition("/")[2]
        if ref.startswith("spdx"):
            return "MIT"
        if ref.startswith("cryptography"):
            return "AES" if name == "algorithmFamily" else "nist/P-256"
        if definition in {"refType", "bomLinkElementType"}:
            self._count += 1
            return f"ref-{self._count}"
        if definition == "refLinkType":
            return "ref-1"
        if definition == "hash-content":
            return "ab" * 32
        if self._depths.get(definition, 0) >= _DEEPEST:
            return None
        self._depths[definition] = self._depths.get(definition, 0) + 1
        found = self.value(self._schema["definitions"][definition], name)
        self._depths[definition] -= 1
        return found

    def _object(self, schema: dict[str, Any]) -> dict[str, JsonValue]:
        found: dict[str, JsonValue] = {}
        for name, inner in self._members(schema):
            value = self.value(inner, name)
            if value not in (None, [None]):
                found[name] = value
        return found

    def _members(self, schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        # Of alternatives that exclude each other the first is taken.
        left_out = set(_LEFT_OUT)
        for rule in schema.get("oneOf", ())[1:]:
            left_out |= set(rule.get("required", ()))
        for rule in schema.get("oneOf", ())[:1]:
            left_out -= set(rule.get("required", ()))
        for name, inner in schema.get("properties", {}).items():
            if name not in left_out:
                yield name, inner

    def _text(self, schema: dict[str, Any], name: str) -> str:
        if name in _TEXTS:
            return _TEXTS[name]
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        self._count += 1
        return f"{name} {self._count}"
