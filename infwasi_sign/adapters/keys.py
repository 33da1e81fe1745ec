"""Keys that sign and verify: ECDSA P-256 with SHA-256, and Ed25519.

With `pkcs8` this is the one door of ``cryptography``. Only what verification needs is
imported here, for each start of `infwasi verify` pays for it; `pkcs8` brings the rest when a
private key is read.
"""

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import field
from enum import StrEnum
from typing import Final, TypeAlias, assert_never

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256, HashAlgorithm

from infwasi_sign.domain.bundle import (
    PAYLOAD_TYPE,
    Bundle,
    Envelope,
    encode_bundle,
    hint_fingerprint,
    pae,
    parse_bundle,
    verification_hint,
)
from infwasi_sign.domain.manifest import OMS_FILE
from infwasi_sign.domain.material import KeyHint, SigningMode, wrong_mode
from infwasi_sign.domain.signer import SignerIdentity
from infwasi_sign.errors import RefusalKind, RefusedError, UndecidedError
from infwasi_sign.ports import Signer
from infwasi_sign.quick_dataclass import dataclass

SUPPORTED_KEYS: Final = "P-256 or Ed25519"

_Secret: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


class KeyKind(StrEnum):
    """The kinds of keys; P-256 is the one that every Sigstore verifier accepts."""

    P256 = "p256"  # FIPS 186-5, SEC 2 secp256r1
    ED25519 = "ed25519"  # RFC 8032, pure

    @property
    def algorithm(self) -> str:
        """The signature algorithm that goes with the kind; there is no other for it."""
        match self:
            case KeyKind.P256:
                return "ecdsa-p256-sha256"
            case KeyKind.ED25519:
                return "ed25519"
        assert_never(self)


# All of a SubjectPublicKeyInfo but the key itself. Each kind has one DER form, so that comparing
# does for parsing: RFC 5480 sections 2.1.1 and 2.2 (named curve, uncompressed), RFC 8410 section 4.
_SPKI_PREFIX: Final = {
    KeyKind.P256: bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200"),
    KeyKind.ED25519: bytes.fromhex("302a300506032b6570032100"),
}
_RAW_BYTES: Final = {KeyKind.P256: 65, KeyKind.ED25519: 32}


@dataclass(frozen=True, kw_only=True, slots=True)
class PublicKey:
    """A key that verifies. Made by `parse_public_key`, which checks it."""

    kind: KeyKind
    spki_der: bytes  # SubjectPublicKeyInfo, RFC 5280 section 4.1

    @property
    def algorithm(self) -> str:
        """The signature algorithm: ``ecdsa-p256-sha256`` or ``ed25519``."""
        return self.kind.algorithm

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of the SubjectPublicKeyInfo."""
        return hashlib.sha256(self.spki_der).hexdigest()

    @property
    def hint(self) -> str:
        """The same digest as a bundle writes it."""
        return verification_hint(self.spki_der)

    @property
    def ssh_fingerprint(self) -> str:
        """``SHA256:…`` as ``ssh-keygen -l`` says it (RFC 5656 section 3.1, RFC 8709 section 4)."""
        fields: tuple[bytes, ...]
        match self.kind:
            case KeyKind.P256:
                fields = (b"ecdsa-sha2-nistp256", b"nistp256", self._raw)
            case KeyKind.ED25519:
                fields = (b"ssh-ed25519", self._raw)
            case _:
                assert_never(self.kind)
        blob = b"".join(len(item).to_bytes(4, "big") + item for item in fields)
        return "SHA256:" + b64encode(hashlib.sha256(blob).digest()).decode("ascii").rstrip("=")

    def made(self, signature: bytes, data: bytes) -> bool:
        """Whether this key made ``signature`` over ``data``.

        ECDSA signatures are strict DER (SEC 1 C.5): OpenSSL encodes what it decoded and compares.
        """
        try:
            match self.kind:
                case KeyKind.P256:
                    _p256(self._raw).verify(signature, data, Ecdsa(SHA256()))
                case KeyKind.ED25519:
                    ed25519.Ed25519PublicKey.from_public_bytes(self._raw).verify(signature, data)
                case _:
                    assert_never(self.kind)
        except InvalidSignature:
            return False
        return True

    @property
    def _raw(self) -> bytes:
        return self.spki_der[len(_SPKI_PREFIX[self.kind]) :]


def parse_public_key(spki_der: bytes, *, where: str) -> PublicKey:
    """Read a SubjectPublicKeyInfo of one of the two kinds.

    Raises:
        UndecidedError: naming ``where`` and the type that it is instead.
    """
    for kind, prefix in _SPKI_PREFIX.items():
        raw = spki_der[len(prefix) :]
        if spki_der.startswith(prefix) and len(raw) == _RAW_BYTES[kind]:
            if kind is KeyKind.P256:
                try:
                    _p256(raw)
                except ValueError as e:
                    raise UndecidedError("not a point of the curve P-256", where=where) from e
            return PublicKey(kind=kind, spki_der=spki_der)
    from infwasi_sign.adapters import pkcs8  # noqa: PLC0415 -- names what it is, once it is wrong

    raise UndecidedError(
        "key type is not supported",
        where=where,
        expected=SUPPORTED_KEYS,
        got=pkcs8.public_key_type(spki_der),
    )


def from_raw(kind: KeyKind, raw: bytes, *, where: str) -> PublicKey:
    """The key of which tokens know only the point: 04, x and y of P-256, 32 bytes of Ed25519.

    Raises:
        UndecidedError: it is no such point.
    """
    return parse_public_key(_SPKI_PREFIX[kind] + raw, where=where)


@dataclass(frozen=True, kw_only=True, slots=True)
class PrivateKey:
    """A key in memory that signs; implements `ports.Signer`."""

    secret: _Secret = field(repr=False)

    @property
    def public(self) -> PublicKey:
        """The key that verifies what this one signs."""
        match self.secret:
            case ed25519.Ed25519PrivateKey():
                kind, raw = KeyKind.ED25519, self.secret.public_key().public_bytes_raw()
            case ec.EllipticCurvePrivateKey():
                numbers = self.secret.public_key().public_numbers()
                kind = KeyKind.P256
                # SEC 1 section 2.3.3: 04, then both coordinates
                raw = b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
            case _:
                assert_never(self.secret)
        return PublicKey(kind=kind, spki_der=_SPKI_PREFIX[kind] + raw)

    def public_key(self) -> bytes:
        """The SubjectPublicKeyInfo, DER (RFC 5280 section 4.1)."""
        return self.public.spki_der

    def sign(self, data: bytes) -> bytes:
        """A DER ECDSA signature with SHA-256, or a pure Ed25519 one, over ``data``."""
        match self.secret:
            case ed25519.Ed25519PrivateKey():
                return self.secret.sign(data)
            case ec.EllipticCurvePrivateKey():
                return self.secret.sign(data, ec.ECDSA(SHA256()))
            case _:
                assert_never(self.secret)


def generate(kind: KeyKind) -> PrivateKey:
    """A new key from the operating system's random numbers."""
    match kind:
        case KeyKind.P256:
            return PrivateKey(secret=ec.generate_private_key(ec.SECP256R1()))
        case KeyKind.ED25519:
            return PrivateKey(secret=ed25519.Ed25519PrivateKey.generate())
        case _:
            assert_never(kind)


def sign_payload(signer: Signer, payload: bytes) -> Bundle:
    """Sign an in-toto statement, and read and verify the result before anybody sees it.

    Raises:
        MalformedError: no bundle can hold the payload.
        UndecidedError: the signer's key is of no supported type, or did not make the signature.
    """
    key = parse_public_key(signer.public_key(), where="the signer's public key")
    signature = signer.sign(pae(PAYLOAD_TYPE, payload))
    envelope = Envelope(payload=payload, payload_type=PAYLOAD_TYPE, signature=signature)
    bundle = Bundle(envelope=envelope, material=KeyHint(hint=key.hint))
    written = parse_bundle(encode_bundle(bundle))
    try:
        KeyVerifier([TrustedKey(name="signer", public_key=key)]).verify(written)
    except RefusedError as e:
        raise UndecidedError("signer made a signature that its own key does not verify") from e
    return written


@dataclass(frozen=True, kw_only=True, slots=True)
class TrustedKey:
    """A public key and the name that the caller knows it by."""

    name: str
    public_key: PublicKey


class KeyVerifier:
    """Says which trusted key signed a bundle; implements `ports.SignatureVerifier`.

    The hint of a bundle is covered by no signature. It never picks the key, and still has to be
    that of the key which signed: a bundle that names one key and is signed by another would be read
    differently by tools that go by the hint.
    """

    def __init__(self, trusted: Sequence[TrustedKey]) -> None:
        """Trust these keys and no others.

        Raises:
            UndecidedError: there is none, or one stands there twice.
        """
        if not trusted:
            raise UndecidedError("no key is trusted", hint="name the signer's public key")
        names: dict[str, str] = {}
        for key in trusted:
            fingerprint = key.public_key.fingerprint
            if fingerprint in names:
                raise UndecidedError(
                    f"key sha256:{fingerprint} is trusted twice",
                    got=f"{names[fingerprint]!a} and {key.name!a}",
                )
            names[fingerprint] = key.name
        self._trusted = tuple(trusted)

    def verify(self, bundle: Bundle) -> SignerIdentity:
        """The trusted signer of ``bundle``.

        1. the payload is of the type that this verifier is for
        2. a trusted key made the signature over the pre-authentication encoding
        3. the hint is that key's

        Raises:
            RefusedError: kind `signer`, the bundle was made in another mode, or the hint is that
                of a key nobody trusts and no trusted key signed; kind `signature`, all else.
        """
        if not isinstance(bundle.material, KeyHint):
            raise wrong_mode(SigningMode.KEY, bundle.material)
        # 1
        envelope = bundle.envelope
        if envelope.payload_type != PAYLOAD_TYPE:
            raise RefusedError(
                RefusalKind.SIGNATURE,
                "payload is of another type",
                expected=PAYLOAD_TYPE,
                got=ascii(envelope.payload_type[:80])[:80],
            )
        # 2
        signed = pae(envelope.payload_type, envelope.payload)
        made_by = [key for key in self._trusted if key.public_key.made(envelope.signature, signed)]
        if not made_by:
            raise self._nobody_signed(bundle.material)
        signer = made_by[0]
        # 3
        if bundle.material.hint != signer.public_key.hint:
            raise RefusedError(
                RefusalKind.SIGNATURE,
                "hint does not belong to the key that signed",
                expected=f"sha256:{signer.public_key.fingerprint}",
                got=f"sha256:{hint_fingerprint(bundle.material)}",
            )
        return SignerIdentity(
            name=signer.name,
            fingerprint=signer.public_key.fingerprint,
            algorithm=signer.public_key.algorithm,
        )

    def verify_companion(self, data: bytes, packer: SignerIdentity) -> bytes:
        """The OMS payload that ``packer``'s key signed (see `ports.SignatureVerifier`)."""
        from infwasi_sign.adapters.oms_keys import OmsKeyVerifier, parse_oms_key  # noqa: PLC0415 - rarely
        from infwasi_sign.domain.oms_bundle import parse_oms_bundle  # noqa: PLC0415

        (key,) = (
            trusted.public_key
            for trusted in self._trusted
            if trusted.public_key.fingerprint == packer.fingerprint
        )
        verifier = OmsKeyVerifier(parse_oms_key(key.spki_der, where=OMS_FILE), name=packer.name)
        bundle = parse_oms_bundle(data, SigningMode.KEY)
        verifier.verify(bundle)
        return bundle.envelope.payload

    def _nobody_signed(self, hint: KeyHint) -> RefusedError:
        claimed = hint_fingerprint(hint)
        for key in self._trusted:
            if key.public_key.fingerprint == claimed:
                return RefusedError(
                    RefusalKind.SIGNATURE,
                    f"signature is not that of key {key.name!a} over this payload",
                    got=f"hint sha256:{claimed}",
                )
        return RefusedError(
            RefusalKind.SIGNER,
            "signed by a key that is not trusted",
            expected=" or ".join(f"sha256:{key.public_key.fingerprint}" for key in self._trusted),
            got=f"sha256:{claimed}",
        )


class Ecdsa(ec.ECDSA):
    """ECDSA that verifies: `ec.ECDSA` without what its constructor imports.

    That asks the OpenSSL backend about signing, whose import costs every start 5 ms.
    """

    def __init__(self, algorithm: HashAlgorithm) -> None:
        self._hash = algorithm

    @property
    def algorithm(self) -> HashAlgorithm:
        """The hash of what was signed."""
        return self._hash

    @property
    def deterministic_signing(self) -> bool:
        """It signs nothing."""
        return False


def _p256(point: bytes) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
