"""The Sigstore bundle v0.3 with one DSSE envelope, as far as infwasi writes and reads it."""

import hashlib
import json
from typing import Final

from infwasi_sign.domain import strict_json
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.material import (
    KeyHint,
    Material,
    decode_base64,
    encode_base64,
    encode_material,
    parse_material,
)
from infwasi_sign.domain.strict_json import Cursor
from infwasi_sign.errors import MalformedError
from infwasi_sign.quick_dataclass import dataclass

BUNDLE_MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """A DSSE v1 envelope with exactly one signature (github.com/secure-systems-lab/dsse)."""

    payload: bytes
    payload_type: str
    signature: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """An envelope and what helps to find out who signed it."""

    envelope: Envelope
    material: Material


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that DSSE signs: the pre-authentication encoding of protocol v1.

    Source: github.com/secure-systems-lab/dsse, protocol.md, "Signature Definition".
    """
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def verification_hint(spki_der: bytes) -> str:
    """The hint that names a key, as cosign writes it: base64 of SHA-256 of the SPKI DER."""
    return encode_base64(hashlib.sha256(spki_der).digest())


def hint_fingerprint(material: KeyHint) -> str:
    """The fingerprint (hex SHA-256 of the SPKI DER) of the key that the hint claims."""
    return decode_base64(Cursor(material.hint, "hint")).hex()


def encode_bundle(bundle: Bundle) -> bytes:
    """The one byte form of a bundle: no spaces, this member order, one line feed at the end.

    No ``keyid`` is written: go-securesystemslib skips a signature whose keyid it does not know, and
    the rule of ``bundle.proto`` (keyid equals hint) would name one that it does not.
    """
    envelope = bundle.envelope
    document = {
        "mediaType": BUNDLE_MEDIA_TYPE,
        "verificationMaterial": encode_material(bundle.material),
        "dsseEnvelope": {
            "payload": encode_base64(envelope.payload),
            "payloadType": envelope.payload_type,
            "signatures": [{"sig": encode_base64(envelope.signature)}],
        },
    }
    return json.dumps(document, separators=(",", ":")).encode("ascii") + b"\n"


def parse_bundle(data: bytes) -> Bundle:
    """Read a bundle that has the byte form of `encode_bundle`; believe nothing in it.

    As `read_bundle`, and then: the same bytes when written again, so that a bundle cannot be
    changed without a change of what it says.

    Raises:
        MalformedError: naming the member.
    """
    bundle = read_bundle(data)
    if encode_bundle(bundle) != data:
        raise MalformedError(
            "not in its one byte form",
            where="bundle",
            expected="no spaces, members in the order of the format, one line feed at the end",
        )
    return bundle


def read_bundle(data: bytes, *, limit_bytes: int = LIMITS.bundle_bytes) -> Bundle:
    """Read a bundle in whatever form its maker wrote it; a package's manifest is none of these.

    1. JSON without duplicate members, within ``limit_bytes``
    2. version 0.3, with a key hint or a certificate, and at most one log entry
    3. one envelope around an in-toto statement, with exactly one signature

    Raises:
        MalformedError: naming the member.
    """
    # 1
    value = strict_json.parse(data, where="bundle", limit_bytes=limit_bytes)
    # 2
    members = Cursor(value, "bundle").object(
        required=("mediaType", "verificationMaterial", "dsseEnvelope")
    )
    _require_text(members["mediaType"], BUNDLE_MEDIA_TYPE, "not a Sigstore bundle v0.3")
    material = parse_material(members["verificationMaterial"])
    # 3
    return Bundle(envelope=_parse_envelope(members["dsseEnvelope"]), material=material)


def _parse_envelope(cursor: Cursor) -> Envelope:
    members = cursor.object(required=("payload", "payloadType", "signatures"))
    _require_text(members["payloadType"], PAYLOAD_TYPE, "payload is of another type")
    signatures = members["signatures"]
    if isinstance(signatures.value, list) and len(signatures.value) > 1:
        raise MalformedError(
            "more than one signature",
            where=signatures.path,
            expected="exactly one",
            got=str(len(signatures.value)),
            hint="a second signer makes a bundle of its own",
        )
    (signature,) = signatures.array(1, min_items=1)
    return Envelope(
        payload=decode_base64(members["payload"]),
        payload_type=PAYLOAD_TYPE,
        signature=decode_base64(signature.object(required=("sig",))["sig"]),
    )


def _require_text(cursor: Cursor, expected: str, otherwise: str) -> None:
    if (text := cursor.string()) != expected:
        raise MalformedError(
            otherwise, where=cursor.path, expected=expected, got=ascii(text[:80])[:80]
        )
