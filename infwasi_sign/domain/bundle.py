"""The Sigstore bundle v0.3 with one DSSE envelope, as far as infwasi writes and reads it."""

import binascii
import hashlib
import json
from base64 import b64encode
from dataclasses import dataclass
from typing import Final

from infwasi_sign.domain import strict_json
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.strict_json import Cursor
from infwasi_sign.errors import MalformedError

BUNDLE_MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"

# Members of `verificationMaterial` that mean a certificate (sigstore_bundle.proto, v0.3).
_CERTIFICATE_MEMBERS: Final = frozenset({"certificate", "x509CertificateChain"})
_SHA256_BYTES: Final = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """A DSSE v1 envelope with exactly one signature (github.com/secure-systems-lab/dsse)."""

    payload: bytes
    payload_type: str
    signature: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyHint:
    """Says which key signed, by base64 of SHA-256 of its SPKI DER; nothing is trusted by it."""

    hint: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """An envelope and what helps to find its verification key."""

    envelope: Envelope
    material: KeyHint


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that DSSE signs: the pre-authentication encoding of protocol v1.

    Source: github.com/secure-systems-lab/dsse, protocol.md, "Signature Definition".
    """
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def verification_hint(spki_der: bytes) -> str:
    """The hint that names a key, as cosign writes it: base64 of SHA-256 of the SPKI DER."""
    return _encode(hashlib.sha256(spki_der).digest())


def hint_fingerprint(material: KeyHint) -> str:
    """The fingerprint (hex SHA-256 of the SPKI DER) of the key that the hint claims."""
    return _decode(Cursor(material.hint, "hint")).hex()


def encode_bundle(bundle: Bundle) -> bytes:
    """The one byte form of a bundle: no spaces, this member order, one line feed at the end.

    No ``keyid`` is written: go-securesystemslib skips a signature whose keyid it does not know, and
    the rule of ``bundle.proto`` (keyid equals hint) would name one that it does not.
    """
    envelope = bundle.envelope
    document = {
        "mediaType": BUNDLE_MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": bundle.material.hint}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": _encode(envelope.payload),
            "payloadType": envelope.payload_type,
            "signatures": [{"sig": _encode(envelope.signature)}],
        },
    }
    return json.dumps(document, separators=(",", ":")).encode("ascii") + b"\n"


def parse_bundle(data: bytes) -> Bundle:
    """Read a key-signed bundle that has the byte form of `encode_bundle`; believe nothing in it.

    1. JSON without duplicate members, within ``LIMITS.bundle_bytes``
    2. version 0.3, signed by a key and not by a certificate, no log entries
    3. one envelope around an in-toto statement, with exactly one signature
    4. the same bytes when written again, so that a bundle cannot be changed without a change of
       its payload, its signature or its hint

    Raises:
        MalformedError: naming the member.
    """
    # 1
    value = strict_json.parse(data, where="bundle", limit_bytes=LIMITS.bundle_bytes)
    # 2
    members = Cursor(value, "bundle").object(
        required=("mediaType", "verificationMaterial", "dsseEnvelope")
    )
    _require_text(members["mediaType"], BUNDLE_MEDIA_TYPE, "not a Sigstore bundle v0.3")
    material = _parse_material(members["verificationMaterial"])
    # 3
    envelope = _parse_envelope(members["dsseEnvelope"])
    bundle = Bundle(envelope=envelope, material=material)
    # 4
    if encode_bundle(bundle) != data:
        raise MalformedError(
            "not in its one byte form",
            where="bundle",
            expected="no spaces, members in the order of the format, one line feed at the end",
        )
    return bundle


def _parse_material(cursor: Cursor) -> KeyHint:
    if isinstance(cursor.value, dict) and (found := _CERTIFICATE_MEMBERS & cursor.value.keys()):
        raise MalformedError(
            "not a key-signed bundle",
            where=cursor.path,
            expected="publicKey",
            got=min(found),
            hint="bundles signed with a certificate are not read by this version",
        )
    members = cursor.object(required=("publicKey", "tlogEntries"))
    members["tlogEntries"].array(0)
    hint = members["publicKey"].object(required=("hint",))["hint"]
    if len(_decode(hint)) != _SHA256_BYTES:
        raise MalformedError("not a key hint", where=hint.path, expected="base64 of 32 bytes")
    return KeyHint(hint=hint.string())


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
        payload=_decode(members["payload"]),
        payload_type=PAYLOAD_TYPE,
        signature=_decode(signature.object(required=("sig",))["sig"]),
    )


def _require_text(cursor: Cursor, expected: str, otherwise: str) -> None:
    if (text := cursor.string()) != expected:
        raise MalformedError(
            otherwise, where=cursor.path, expected=expected, got=ascii(text[:80])[:80]
        )


def _encode(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def _decode(cursor: Cursor) -> bytes:
    """Base64 of RFC 4648 section 4 with its padding; unused bits are zero (section 3.5)."""
    text = cursor.string()
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as e:  # binascii.Error is one; a text beyond ASCII is another
        raise MalformedError("not base64", where=cursor.path, got=ascii(text[:40])[:80]) from e
    if _encode(data) != text:
        raise MalformedError("not base64 in its one byte form", where=cursor.path)
    if not data:
        raise MalformedError("is empty", where=cursor.path, expected="base64")
    return data
