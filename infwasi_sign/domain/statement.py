"""The in-toto Statement v1 that carries the manifest (docs/format.md section 3)."""

from typing import Final

from infwasi_sign.domain import strict_json
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import Manifest
from infwasi_sign.domain.manifest_json import parse_predicate, predicate_json
from infwasi_sign.errors import MalformedError, UndecidedError

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_FAMILY: Final = "urn:infwasi:manifest:"
# One constant that can never change: signed packages name it (docs/adr/0001).
PREDICATE_TYPE: Final = PREDICATE_FAMILY + "v1"


def encode_statement(manifest: Manifest) -> bytes:
    """The payload that is signed: RFC 8785 bytes of the statement."""
    return strict_json.canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": [
                {"name": entry.name, "digest": {"sha256": entry.sha256.hex}}
                for entry in manifest.entries
            ],
            "predicateType": PREDICATE_TYPE,
            "predicate": predicate_json(manifest),
        }
    )


def parse_statement(payload: bytes) -> Manifest:
    """Read a payload whose signature was verified.

    Raises:
        MalformedError: it is no statement of format v1 in its one byte form.
        UndecidedError: it is an infwasi manifest of another version.
    """
    value = strict_json.parse(payload, where="statement", limit_bytes=LIMITS.bundle_bytes)
    statement = strict_json.Cursor(value, "statement")
    members = statement.object(required={"_type", "subject", "predicateType", "predicate"})
    if (kind := members["_type"].string()) != STATEMENT_TYPE:
        raise MalformedError(
            "not an in-toto statement", where=members["_type"].path, got=ascii(kind)[:80]
        )
    predicate_type = members["predicateType"].string()
    if predicate_type != PREDICATE_TYPE:
        _refuse_predicate_type(predicate_type, members["predicateType"].path)
    sha256_by_name: dict[str, Digest] = {}
    for subject in members["subject"].array(LIMITS.package_files):
        inner = subject.object(required={"name", "digest"})
        digest = inner["digest"].object(required={"sha256"})["sha256"]
        name = inner["name"].string()
        if name in sha256_by_name:
            raise MalformedError("subject stands twice", where=inner["name"].path)
        sha256_by_name[name] = Digest.parse_hex(
            Algorithm.SHA256, digest.string(), where=digest.path
        )
    manifest = parse_predicate(members["predicate"], sha256_by_name)
    _require_byte_form(manifest, payload)
    return manifest


def _require_byte_form(manifest: Manifest, payload: bytes) -> None:
    if encode_statement(manifest) != payload:
        raise MalformedError(
            "statement is not in its one byte form",
            where="statement",
            expected="RFC 8785, subjects in the order of the entries",
        )


def _refuse_predicate_type(predicate_type: str, where: str) -> None:
    version = predicate_type.removeprefix(PREDICATE_FAMILY)
    if version != predicate_type and version[:1] == "v" and version[1:].isdigit():
        raise UndecidedError(
            f"manifest has version {version[1:][:12]}, this infwasi reads version 1",
            where=where,
            hint="use a newer infwasi",
        )
    raise MalformedError(
        "not an infwasi manifest",
        where=where,
        expected=PREDICATE_TYPE,
        got=ascii(predicate_type)[:80],
    )
