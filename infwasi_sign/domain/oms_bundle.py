"""The bundle that carries an OMS payload, ``model.sig``: one reader for each mode (docs/oms.md).

The caller names the mode, by what they trust; what lies in the bundle never picks it. Older
bundles signed by a key or a certificate have no ``tlogEntries``, and a keyless one without them
must not pass for one of these.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Final, TypeAlias, assert_never

from infwasi_sign.domain import strict_json
from infwasi_sign.domain.bundle import BUNDLE_MEDIA_TYPE, PAYLOAD_TYPE, Envelope
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.material import SigningMode, decode_base64, encode_base64
from infwasi_sign.domain.pem import pem_text
from infwasi_sign.domain.strict_json import Cursor
from infwasi_sign.errors import MalformedError
from infwasi_sign.quick_dataclass import dataclass

_HEX: Final = frozenset("0123456789abcdef")
# `PublicKeyDetails` of sigstore_common.proto that model_signing before 1.1 wrote beside the key.
_KEY_DETAILS: Final = frozenset(
    {"PKIX_ECDSA_P256_SHA_256", "PKIX_ECDSA_P384_SHA_384", "PKIX_ECDSA_P521_SHA_512"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class OmsKeyMaterial:
    """Says which key signed, by `oms_key_hint`; nothing is trusted by it.

    ``hint`` is ``None`` where the bundle has none. Releases before 1.1 wrote the key's whole PEM
    text instead, whose digest is the hint.
    """

    hint: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class OmsCertificateMaterial:
    """DER certificates, the leaf first, and DER timestamps over the signature (RFC 3161).

    No root is believed because it lies here. `model_signing` writes no timestamps and reads none.
    """

    certificates: tuple[bytes, ...]
    timestamps: tuple[bytes, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class OmsKeylessMaterial:
    """The bundle as it is, for `sigstore_identity`, which reads all of it."""

    document: bytes


OmsMaterial: TypeAlias = OmsKeyMaterial | OmsCertificateMaterial | OmsKeylessMaterial


@dataclass(frozen=True, kw_only=True, slots=True)
class OmsBundle:
    """One signed payload and what its verification needs."""

    envelope: Envelope
    material: OmsMaterial

    @property
    def mode(self) -> SigningMode:
        """The mode it was read in."""
        match self.material:
            case OmsKeyMaterial():
                return SigningMode.KEY
            case OmsCertificateMaterial():
                return SigningMode.CERTIFICATE
            case OmsKeylessMaterial():
                return SigningMode.KEYLESS
            case _:
                assert_never(self.material)


def oms_key_hint(spki_der: bytes) -> str:
    """The hint that `model_signing` demands: hex SHA-256 of the PEM text with its last line end."""
    return hashlib.sha256(pem_text("PUBLIC KEY", spki_der).encode("ascii")).hexdigest()


# --- writing ---------------------------------------------------------------------------------


def encode_oms_bundle(bundle: OmsBundle) -> bytes:
    """The bundle as `model_signing` 1.1.1 writes it: same members and order, without spaces.

    A keyless bundle is what the signing library made, byte for byte.
    """
    material: dict[str, object]
    match bundle.material:
        case OmsKeylessMaterial(document=document):
            return document
        case OmsKeyMaterial(hint=hint):
            material = {"publicKey": {} if hint is None else {"hint": hint}}
        case OmsCertificateMaterial(certificates=certificates, timestamps=timestamps):
            chain = [{"rawBytes": encode_base64(der)} for der in certificates]
            material = {"x509CertificateChain": {"certificates": chain}}
            if timestamps:
                stamped = [{"signedTimestamp": encode_base64(der)} for der in timestamps]
                material["timestampVerificationData"] = {"rfc3161Timestamps": stamped}
        case _:
            assert_never(bundle.material)
    envelope = bundle.envelope
    document_ = {
        "mediaType": BUNDLE_MEDIA_TYPE,
        "verificationMaterial": {**material, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": encode_base64(envelope.payload),
            "payloadType": envelope.payload_type,
            "signatures": [{"sig": encode_base64(envelope.signature), "keyid": ""}],
        },
    }
    return json.dumps(document_, separators=(",", ":")).encode("ascii") + b"\n"


# --- reading ---------------------------------------------------------------------------------


def parse_oms_bundle(data: bytes, mode: SigningMode) -> OmsBundle:
    """Read a bundle as one of ``mode``; believe nothing in it.

    1. JSON without duplicate members, within ``LIMITS.oms_bundle_bytes``; a Sigstore bundle v0.3
    2. the material of the mode, and of no other
    3. one envelope around an in-toto statement, with exactly one signature

    Raises:
        MalformedError: naming the member.
    """
    # 1
    value = strict_json.parse(data, where="bundle", limit_bytes=LIMITS.oms_bundle_bytes)
    members = Cursor(value, "bundle").object(
        required=("mediaType", "verificationMaterial", "dsseEnvelope")
    )
    _require_text(members["mediaType"], BUNDLE_MEDIA_TYPE, "not a Sigstore bundle v0.3")
    # 2
    cursor = members["verificationMaterial"]
    _require_mode(cursor, mode)
    material: OmsMaterial
    match mode:
        case SigningMode.KEY:
            material = _parse_key(cursor)
        case SigningMode.CERTIFICATE:
            material = _parse_certificates(cursor)
        case SigningMode.KEYLESS:
            _require_keyless(cursor)
            material = OmsKeylessMaterial(document=data)
        case _:
            assert_never(mode)
    # 3
    return OmsBundle(envelope=_parse_envelope(members["dsseEnvelope"]), material=material)


_MATERIAL_OF: Final[Mapping[SigningMode, str]] = {
    SigningMode.KEY: "publicKey",
    SigningMode.CERTIFICATE: "x509CertificateChain",
    SigningMode.KEYLESS: "certificate",
}


def _require_mode(cursor: Cursor, mode: SigningMode) -> None:
    """A bundle of another mode is told as that, and not as one with an unknown member."""
    expected = _MATERIAL_OF[mode]
    if isinstance(cursor.value, dict) and expected not in cursor.value:
        others = sorted(set(_MATERIAL_OF.values()) & cursor.value.keys())
        if others:
            raise MalformedError(
                f"not signed in the mode {mode}",
                where=cursor.path,
                expected=expected,
                got=others[0],
                hint="say whom you trust: a key, an authority, or an identity",
            )


def _parse_key(cursor: Cursor) -> OmsKeyMaterial:
    members = cursor.object(required=("publicKey",), optional=("tlogEntries",))
    _require_no_log(members)
    key = members["publicKey"].object(required=(), optional=("hint", "rawBytes", "keyDetails"))
    if "rawBytes" in key or "keyDetails" in key:
        return _parse_old_key(members["publicKey"])
    if "hint" not in key:
        return OmsKeyMaterial(hint=None)
    hint = key["hint"].string()
    if len(hint) != 64 or not _HEX.issuperset(hint):
        raise MalformedError(
            "not a key hint",
            where=key["hint"].path,
            expected="64 lower-case hex digits",
            got=ascii(hint[:80])[:80],
        )
    return OmsKeyMaterial(hint=hint)


def _parse_old_key(cursor: Cursor) -> OmsKeyMaterial:
    """The form before 1.1: the PEM text, of which nothing but its digest is used."""
    key = cursor.object(required=("rawBytes", "keyDetails"))
    if (details := key["keyDetails"].string()) not in _KEY_DETAILS:
        raise MalformedError(
            "not a kind of key that OMS has",
            where=key["keyDetails"].path,
            expected=" or ".join(sorted(_KEY_DETAILS)),
            got=ascii(details[:80])[:80],
        )
    return OmsKeyMaterial(hint=hashlib.sha256(decode_base64(key["rawBytes"])).hexdigest())


def _parse_certificates(cursor: Cursor) -> OmsCertificateMaterial:
    members = cursor.object(
        required=("x509CertificateChain",),
        optional=("tlogEntries", "timestampVerificationData"),
    )
    _require_no_log(members)
    chain = members["x509CertificateChain"].object(required=("certificates",))["certificates"]
    timestamps: tuple[Cursor, ...] = ()
    if "timestampVerificationData" in members:
        data = members["timestampVerificationData"].object((), optional=("rfc3161Timestamps",))
        if "rfc3161Timestamps" in data:
            timestamps = data["rfc3161Timestamps"].array(LIMITS.oms_attestations)
    return OmsCertificateMaterial(
        certificates=tuple(
            decode_base64(item.object(required=("rawBytes",))["rawBytes"])
            for item in chain.array(LIMITS.oms_certificates, min_items=1)
        ),
        timestamps=tuple(
            decode_base64(item.object(required=("signedTimestamp",))["signedTimestamp"])
            for item in timestamps
        ),
    )


def _require_keyless(cursor: Cursor) -> None:
    """One certificate and one log entry; what is in it, `bundle.read_bundle` and sigstore ask."""
    members = cursor.object(
        required=("certificate", "tlogEntries"), optional=("timestampVerificationData",)
    )
    decode_base64(members["certificate"].object(required=("rawBytes",))["rawBytes"])
    members["tlogEntries"].array(1, min_items=1)


def _require_no_log(members: Mapping[str, Cursor]) -> None:
    if "tlogEntries" in members:
        members["tlogEntries"].array(0)


def _parse_envelope(cursor: Cursor) -> Envelope:
    members = cursor.object(required=("payload", "payloadType", "signatures"))
    _require_text(members["payloadType"], PAYLOAD_TYPE, "payload is of another type")
    (only,) = members["signatures"].array(1, min_items=1)
    signature = only.object(required=("sig",), optional=("keyid",))
    if "keyid" in signature and signature["keyid"].value not in (None, ""):
        raise MalformedError(
            "key is named", where=signature["keyid"].path, expected="nothing, as OMS writes it"
        )
    return Envelope(
        payload=decode_base64(members["payload"]),
        payload_type=PAYLOAD_TYPE,
        signature=decode_base64(signature["sig"]),
    )


def _require_text(cursor: Cursor, expected: str, otherwise: str) -> None:
    if (text := cursor.string()) != expected:
        raise MalformedError(
            otherwise, where=cursor.path, expected=expected, got=ascii(text[:80])[:80]
        )
