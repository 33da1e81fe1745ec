"""Keys of the services, and the few things that are done with them."""

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

from infwasi_sign.testing.sigstore.exchange import RequestError

SigningKey: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
"""What signs here."""
PublicKey: TypeAlias = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
"""What the trusted root lists."""
Clock: TypeAlias = Callable[[], datetime]
"""A source of the time, aware of its zone."""


def machine_clock() -> datetime:
    """The time of this machine."""
    return datetime.now(UTC)


def new_p256() -> ec.EllipticCurvePrivateKey:
    """A fresh key as logs, timestamp authorities and signers use it."""
    return ec.generate_private_key(ec.SECP256R1())


def new_p384() -> ec.EllipticCurvePrivateKey:
    """A fresh key as certificate authorities use it."""
    return ec.generate_private_key(ec.SECP384R1())


def new_ed25519() -> ed25519.Ed25519PrivateKey:
    """A fresh key as Rekor v2 uses it."""
    return ed25519.Ed25519PrivateKey.generate()


def public_der(key: PublicKey) -> bytes:
    """The SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7)."""
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def key_id(key: PublicKey) -> bytes:
    """SHA-256 of the SubjectPublicKeyInfo: the log id of RFC 6962 section 3.2 and of Rekor v1."""
    return sha256(public_der(key)).digest()


def note_key_id(name: str, key: ed25519.Ed25519PublicKey) -> bytes:
    """The whole hash of which C2SP signed-note takes four bytes; Rekor v2 takes it as log id."""
    # 0x01 is Ed25519 (C2SP signed-note, "Signature types").
    return sha256(name.encode() + b"\n\x01" + key.public_bytes_raw()).digest()


def sign(key: SigningKey, message: bytes) -> bytes:
    """A signature; of ECDSA the DER form over SHA-256."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    return key.sign(message, ec.ECDSA(hashes.SHA256()))


def require_p256(key: object) -> ec.EllipticCurvePublicKey:
    """The key, if it is of the one kind that signers may have here.

    Raises:
        RequestError: it is of another kind.
    """
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise RequestError("key is not on P-256")


def require_signature(key: ec.EllipticCurvePublicKey, signature: bytes, digest: bytes) -> None:
    """Check a signature over a SHA-256 digest.

    Raises:
        RequestError: the signature does not match.
    """
    try:
        key.verify(signature, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    except (InvalidSignature, ValueError) as e:
        raise RequestError("signature does not match") from e
