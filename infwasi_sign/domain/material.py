"""What a bundle brings for finding out who signed it: `verificationMaterial`, in three modes.

A key hint, a certificate of somebody's own authority, or a short-lived certificate with an entry in
a transparency log. Which of them is asked for is the policy's to say, never the bundle's.
"""

import binascii
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final, TypeAlias, assert_never

from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.strict_json import Cursor
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError
from infwasi_sign.quick_dataclass import dataclass

_SHA256_BYTES: Final = 32
_INT64: Final = re.compile("0|[1-9][0-9]{0,18}")  # protobuf JSON writes 64-bit integers as text
_INT64_MAX: Final = 2**63 - 1


class SigningMode(StrEnum):
    """How somebody signs; policy and results use these words."""

    KEY = "key"
    CERTIFICATE = "certificate"
    KEYLESS = "keyless"


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyHint:
    """Says which key signed, by base64 of SHA-256 of its SPKI DER; nothing is trusted by it."""

    hint: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Certified:
    """The leaf of an own authority, DER, and RFC 3161 timestamps over the signature, DER.

    The chain is not here: Sigstore's v0.3 has no place for it, and its readers refuse one. Who
    verifies has the authority's certificates already, for no trust comes out of a bundle.
    """

    certificate: bytes
    timestamps: tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LogEntry:
    """A TransparencyLogEntry of sigstore_rekor.proto, as it came; numbers are 64-bit.

    ``promise`` (the signed entry timestamp) and ``integrated_time`` come from Rekor v1 only.
    """

    log_index: int
    log_id: bytes
    kind: str
    version: str
    integrated_time: int | None
    promise: bytes | None
    proof_index: int
    root_hash: bytes
    tree_size: int
    hashes: tuple[bytes, ...]
    checkpoint: str
    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Logged:
    """A short-lived certificate, DER, its one log entry, and RFC 3161 timestamps, DER."""

    certificate: bytes
    entry: LogEntry
    timestamps: tuple[bytes, ...]


Material: TypeAlias = KeyHint | Certified | Logged

NameSigner: TypeAlias = Callable[[Material], str]
"""Who a bundle says made it: `sha256:` and a key's fingerprint, or an identity `of` its issuer.

Two bundles of one signer have one name, though an identity has a new certificate each time.
"""


def mode_of(material: Material) -> SigningMode:
    """The mode that a bundle was made in."""
    match material:
        case KeyHint():
            return SigningMode.KEY
        case Certified():
            return SigningMode.CERTIFICATE
        case Logged():
            return SigningMode.KEYLESS
        case _:
            assert_never(material)


def wrong_mode(expected: SigningMode, material: Material) -> RefusedError:
    """The refusal of a bundle that was made in another mode than the one who verifies asks for."""
    got = mode_of(material)
    return RefusedError(
        RefusalKind.SIGNER,
        f"signed in mode {got}, in which nobody is trusted",
        where="verificationMaterial",
        expected=str(expected),
        got=str(got),
    )


# --- writing ---------------------------------------------------------------------------------


def encode_material(material: Material) -> dict[str, object]:
    """`verificationMaterial` with its members in the order of the one byte form."""
    match material:
        case KeyHint(hint=hint):
            return {"publicKey": {"hint": hint}, "tlogEntries": []}
        case Certified(certificate=certificate, timestamps=timestamps):
            return _certified(certificate, [], timestamps)
        case Logged(certificate=certificate, entry=entry, timestamps=timestamps):
            return _certified(certificate, [_encode_entry(entry)], timestamps)
        case _:
            assert_never(material)


def _certified(
    certificate: bytes, entries: list[dict[str, object]], timestamps: tuple[bytes, ...]
) -> dict[str, object]:
    document: dict[str, object] = {
        "certificate": {"rawBytes": encode_base64(certificate)},
        "tlogEntries": entries,
    }
    if timestamps:
        signed = [{"signedTimestamp": encode_base64(stamp)} for stamp in timestamps]
        document["timestampVerificationData"] = {"rfc3161Timestamps": signed}
    return document


def _encode_entry(entry: LogEntry) -> dict[str, object]:
    document: dict[str, object] = {
        "logIndex": str(entry.log_index),
        "logId": {"keyId": encode_base64(entry.log_id)},
        "kindVersion": {"kind": entry.kind, "version": entry.version},
    }
    if entry.integrated_time is not None:
        document["integratedTime"] = str(entry.integrated_time)
    if entry.promise is not None:
        document["inclusionPromise"] = {"signedEntryTimestamp": encode_base64(entry.promise)}
    document["inclusionProof"] = {
        "logIndex": str(entry.proof_index),
        "rootHash": encode_base64(entry.root_hash),
        "treeSize": str(entry.tree_size),
        "hashes": [encode_base64(item) for item in entry.hashes],
        "checkpoint": {"envelope": entry.checkpoint},
    }
    document["canonicalizedBody"] = encode_base64(entry.body)
    return document


# --- reading ---------------------------------------------------------------------------------


def parse_material(cursor: Cursor) -> Material:
    """Read `verificationMaterial`; believe nothing in it.

    Raises:
        MalformedError: naming the member.
    """
    if isinstance(cursor.value, dict) and "certificate" in cursor.value:
        return _parse_certified(cursor)
    if isinstance(cursor.value, dict) and "x509CertificateChain" in cursor.value:
        raise MalformedError(
            "a chain is not part of a bundle v0.3",
            where=cursor.path,
            expected="publicKey or certificate",
            got="x509CertificateChain",
        )
    members = cursor.object(required=("publicKey", "tlogEntries"))
    members["tlogEntries"].array(0)
    hint = members["publicKey"].object(required=("hint",))["hint"]
    if len(decode_base64(hint)) != _SHA256_BYTES:
        raise MalformedError("not a key hint", where=hint.path, expected="base64 of 32 bytes")
    return KeyHint(hint=hint.string())


def _parse_certified(cursor: Cursor) -> Certified | Logged:
    members = cursor.object(
        required=("certificate", "tlogEntries"), optional=("timestampVerificationData",)
    )
    raw = members["certificate"].object(required=("rawBytes",))["rawBytes"]
    certificate = _bounded(raw, LIMITS.certificate_bytes)
    timestamps = _parse_timestamps(members)
    entries = members["tlogEntries"].array(1)
    if not entries:
        return Certified(certificate=certificate, timestamps=timestamps)
    return Logged(certificate=certificate, entry=_parse_entry(entries[0]), timestamps=timestamps)


def _parse_timestamps(members: Mapping[str, Cursor]) -> tuple[bytes, ...]:
    if "timestampVerificationData" not in members:
        return ()
    # Some writers say an empty object where there are none; our own form leaves it out.
    data = members["timestampVerificationData"].object((), optional=("rfc3161Timestamps",))
    if "rfc3161Timestamps" not in data:
        return ()
    return tuple(
        _bounded(
            item.object(required=("signedTimestamp",))["signedTimestamp"], LIMITS.timestamp_bytes
        )
        for item in data["rfc3161Timestamps"].array(LIMITS.timestamps, min_items=1)
    )


def _parse_entry(cursor: Cursor) -> LogEntry:
    members = cursor.object(
        required=("logIndex", "logId", "kindVersion", "inclusionProof", "canonicalizedBody"),
        optional=("integratedTime", "inclusionPromise"),
    )
    kind = members["kindVersion"].object(required=("kind", "version"))
    proof = members["inclusionProof"].object(
        required=("logIndex", "rootHash", "treeSize", "hashes", "checkpoint")
    )
    promise = None
    if "inclusionPromise" in members:
        promised = members["inclusionPromise"].object(required=("signedEntryTimestamp",))
        promise = decode_base64(promised["signedEntryTimestamp"])
    time = _int64(members["integratedTime"]) if "integratedTime" in members else None
    if promise is not None and not time:  # it is over the time, so nobody could verify it
        raise MalformedError(
            "a promise of the log without its time",
            where=cursor.path,
            expected="inclusionPromise and integratedTime",
        )
    return LogEntry(
        log_index=_int64(members["logIndex"]),
        log_id=decode_base64(members["logId"].object(required=("keyId",))["keyId"]),
        kind=kind["kind"].string(LIMITS.log_words_bytes),
        version=kind["version"].string(LIMITS.log_words_bytes),
        integrated_time=time,
        promise=promise,
        proof_index=_int64(proof["logIndex"]),
        root_hash=decode_base64(proof["rootHash"]),
        tree_size=_int64(proof["treeSize"]),
        hashes=tuple(decode_base64(item) for item in proof["hashes"].array(LIMITS.log_hashes)),
        checkpoint=proof["checkpoint"].object(required=("envelope",))["envelope"].string(),
        body=decode_base64(members["canonicalizedBody"]),
    )


def _int64(cursor: Cursor) -> int:
    text = cursor.string()
    if not _INT64.fullmatch(text) or int(text) > _INT64_MAX:
        raise MalformedError(
            "not a 64-bit number as text", where=cursor.path, got=ascii(text[:24])[:80]
        )
    return int(text)


def _bounded(cursor: Cursor, most_bytes: int) -> bytes:
    data = decode_base64(cursor)
    if len(data) > most_bytes:
        raise MalformedError(
            "too long",
            where=cursor.path,
            expected=f"at most {most_bytes} bytes",
            got=str(len(data)),
        )
    return data


def encode_base64(data: bytes) -> str:
    """Base64 of RFC 4648 section 4."""
    return b64encode(data).decode("ascii")


def decode_base64(cursor: Cursor) -> bytes:
    """Base64 of RFC 4648 section 4 with its padding; unused bits are zero (section 3.5).

    Raises:
        MalformedError: it is something else, or empty.
    """
    text = cursor.string()
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as e:  # binascii.Error is one; a text beyond ASCII is another
        raise MalformedError("not base64", where=cursor.path, got=ascii(text[:40])[:80]) from e
    if encode_base64(data) != text:
        raise MalformedError("not base64 in its one byte form", where=cursor.path)
    if not data:
        raise MalformedError("is empty", where=cursor.path, expected="base64")
    return data
