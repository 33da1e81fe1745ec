"""Keys of OMS signatures: ECDSA over P-256, P-384 or P-521, each with the hash of its size.

Packages are signed by the keys of `keys`; this wider door is for models from elsewhere, whose
signers chose by the letter of OMS v1.0. Ed25519 is not among its algorithms.
"""

import hashlib
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

from infwasi_sign.adapters.key_files import public_key_der
from infwasi_sign.adapters.keys import Ecdsa
from infwasi_sign.adapters.trusted_file import read_trusted
from infwasi_sign.domain.bundle import PAYLOAD_TYPE, Envelope, pae
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.material import SigningMode
from infwasi_sign.domain.oms_bundle import (
    OmsBundle,
    OmsKeyMaterial,
    encode_oms_bundle,
    oms_key_hint,
    parse_oms_bundle,
)
from infwasi_sign.domain.signer import SignerIdentity
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError, UndecidedError
from infwasi_sign.ports import Signer
from infwasi_sign.quick_dataclass import dataclass

SUPPORTED_KEYS: Final = "P-256, P-384 or P-521"


class OmsCurve(StrEnum):
    """The curves of OMS; the name of each is that of its signature algorithm."""

    P256 = "ecdsa-p256-sha256"
    P384 = "ecdsa-p384-sha384"
    P521 = "ecdsa-p521-sha512"


# Curve and hash; then all of a SubjectPublicKeyInfo but the point, and the point's size in bytes
# (RFC 5480 sections 2.1.1 and 2.2: named curve, uncompressed; SEC 1 section 2.3.3).
_CURVES: Final[dict[OmsCurve, tuple[ec.EllipticCurve, HashAlgorithm]]] = {
    OmsCurve.P256: (ec.SECP256R1(), SHA256()),
    OmsCurve.P384: (ec.SECP384R1(), SHA384()),
    OmsCurve.P521: (ec.SECP521R1(), SHA512()),
}
_FORMS: Final = {
    OmsCurve.P256: (
        bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200"),
        65,
    ),
    OmsCurve.P384: (bytes.fromhex("3076301006072a8648ce3d020106052b81040022036200"), 97),
    OmsCurve.P521: (
        bytes.fromhex("30819b301006072a8648ce3d020106052b8104002303818600"),
        133,
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class OmsKey:
    """A public key that verifies OMS signatures. Made by `parse_oms_key`, which checks it."""

    curve: OmsCurve
    spki_der: bytes  # SubjectPublicKeyInfo, RFC 5280 section 4.1

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of the SubjectPublicKeyInfo."""
        return hashlib.sha256(self.spki_der).hexdigest()

    @property
    def hint(self) -> str:
        """What an OMS bundle names the key by."""
        return oms_key_hint(self.spki_der)

    def made(self, signature: bytes, data: bytes) -> bool:
        """Whether this key made ``signature``, strict DER, over ``data``."""
        curve, digest = _CURVES[self.curve]
        point = self.spki_der[len(_FORMS[self.curve][0]) :]
        key = ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
        try:
            key.verify(signature, data, Ecdsa(digest))
        except InvalidSignature:
            return False
        return True


def parse_oms_key(spki_der: bytes, *, where: str) -> OmsKey:
    """Read a SubjectPublicKeyInfo of one of the three curves.

    Raises:
        UndecidedError: naming ``where`` and the type that it is instead.
    """
    for curve, (prefix, size) in _FORMS.items():
        point = spki_der[len(prefix) :]
        if spki_der.startswith(prefix) and len(point) == size:
            try:
                ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[curve][0], point)
            except ValueError as e:
                raise UndecidedError(f"not a point of the curve of {curve}", where=where) from e
            return OmsKey(curve=curve, spki_der=spki_der)
    from infwasi_sign.adapters import pkcs8  # noqa: PLC0415 -- names what it is, once it is wrong

    raise UndecidedError(
        "key type is not one that OMS signatures have",
        where=where,
        expected=SUPPORTED_KEYS,
        got=pkcs8.public_key_type(spki_der),
    )


def load_oms_key(path: Path) -> OmsKey:
    """Read a public key file that nobody but its owner could have changed.

    Raises:
        UndecidedError: others can write the file or a folder above it, or it holds no such key.
    """
    data = read_trusted(path, LIMITS.key_file_bytes, "public key")
    return parse_oms_key(public_key_der(data, str(path)), where=str(path))


class OmsKeyVerifier:
    """Says whether one trusted key signed a bundle; implements `oms_verify.OmsVerifier`.

    Only the bytes that DSSE says count: `model_signing` also takes those that its release 0.2
    signed by mistake, and we do not.
    """

    def __init__(self, key: OmsKey, *, name: str) -> None:
        self._key = key
        self._name = name

    @property
    def mode(self) -> SigningMode:
        """Bundles that are signed by a key and nothing else."""
        return SigningMode.KEY

    def verify(self, bundle: OmsBundle) -> SignerIdentity:
        """The trusted signer of ``bundle``.

        1. the bundle is of this mode
        2. the key made the signature over the pre-authentication encoding
        3. the hint, if there is one, is the key's

        Raises:
            RefusedError: kind `signer`, the bundle names another key; kind `signature`, the key
                did not make the signature.
        """
        # 1
        if not isinstance(bundle.material, OmsKeyMaterial):
            raise MalformedError("not signed by a key", where="bundle", got=str(bundle.mode))
        # 2
        hint, envelope = bundle.material.hint, bundle.envelope
        names_key = hint == self._key.hint
        if not self._key.made(envelope.signature, pae(envelope.payload_type, envelope.payload)):
            raise self._refused(hint, names_key=names_key)
        # 3
        if hint is not None and not names_key:
            raise RefusedError(
                RefusalKind.SIGNATURE,
                "hint does not belong to the key that signed",
                expected=self._key.hint,
                got=hint,
            )
        return SignerIdentity(
            name=self._name, fingerprint=self._key.fingerprint, algorithm=str(self._key.curve)
        )

    def _refused(self, hint: str | None, *, names_key: bool) -> RefusedError:
        if hint is None or names_key:
            return RefusedError(
                RefusalKind.SIGNATURE,
                f"signature is not that of key {self._name!a} over this payload",
                got="no key hint" if hint is None else f"key hint {hint}",
            )
        return RefusedError(
            RefusalKind.SIGNER,
            "signed by a key that is not trusted",
            expected=f"key hint {self._key.hint}",
            got=hint,
        )


def sign_oms(signer: Signer, payload: bytes) -> bytes:
    """Sign an OMS payload by a key: the bytes of `model.sig`, read and verified before they go out.

    Raises:
        UndecidedError: the signer's key is of no type that OMS has, or did not make the signature.
    """
    key = parse_oms_key(signer.public_key(), where="the signer's public key")
    envelope = Envelope(
        payload=payload,
        payload_type=PAYLOAD_TYPE,
        signature=signer.sign(pae(PAYLOAD_TYPE, payload)),
    )
    written = encode_oms_bundle(
        OmsBundle(envelope=envelope, material=OmsKeyMaterial(hint=key.hint))
    )
    try:
        OmsKeyVerifier(key, name="signer").verify(parse_oms_bundle(written, SigningMode.KEY))
    except RefusedError as e:
        raise UndecidedError("signer made a signature that its own key does not verify") from e
    return written
