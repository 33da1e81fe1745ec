"""Private keys as PKCS#8, plain or under a passphrase; the other door of ``cryptography``."""

import os
from typing import Final

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from infwasi_sign.adapters.keys import SUPPORTED_KEYS, PrivateKey
from infwasi_sign.errors import UndecidedError

# 16 MiB and 0.1 s a guess: one of the equivalent sets of OWASP's Password Storage Cheat Sheet, and
# the largest N that OpenSSL reads with its limit of 32 MiB (EVP_PBE_scrypt(3)).
_SCRYPT_N: Final = 2**14
_SCRYPT_R: Final = 8
_SCRYPT_P: Final = 5
_SALT_BYTES: Final = 16
_KEY_BYTES: Final = 32  # AES-256
_BLOCK_BYTES: Final = 16  # AES

_SEQUENCE: Final = 0x30
_INTEGER: Final = 0x02
_OCTET_STRING: Final = 0x04
_PBES2: Final = bytes.fromhex("06092a864886f70d01050d")  # 1.2.840.113549.1.5.13, RFC 8018 A.4
_SCRYPT: Final = bytes.fromhex("06092b06010401da47040b")  # 1.3.6.1.4.1.11591.4.11, RFC 7914 7
_AES256_CBC: Final = bytes.fromhex("060960864801650304012a")  # 2.16.840.1.101.3.4.1.42, RFC 3565


def encode(key: PrivateKey) -> bytes:
    """The PrivateKeyInfo, DER, without protection (RFC 5208 section 5)."""
    return key.secret.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def encrypt(key: PrivateKey, passphrase: bytes) -> bytes:
    """The EncryptedPrivateKeyInfo, DER: PBES2 with scrypt and AES-256-CBC (RFC 8018, RFC 7914).

    Written here because ``BestAvailableEncryption`` of cryptography 50 derives its key by 2048
    rounds of PBKDF2, half a millisecond a guess.
    """
    salt, iv = os.urandom(_SALT_BYTES), os.urandom(_BLOCK_BYTES)
    derived = Scrypt(salt=salt, length=_KEY_BYTES, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P).derive(
        passphrase
    )
    plain = encode(key)
    padding = _BLOCK_BYTES - len(plain) % _BLOCK_BYTES  # RFC 8018 section 6.1.1 step 4
    encryptor = Cipher(algorithms.AES256(derived), modes.CBC(iv)).encryptor()
    secret = encryptor.update(plain + bytes([padding]) * padding) + encryptor.finalize()
    scrypt = _sequence(
        _tlv(_OCTET_STRING, salt), *map(_integer, (_SCRYPT_N, _SCRYPT_R, _SCRYPT_P, _KEY_BYTES))
    )
    scheme = _sequence(_sequence(_SCRYPT, scrypt), _sequence(_AES256_CBC, _tlv(_OCTET_STRING, iv)))
    return _sequence(_sequence(_PBES2, scheme), _tlv(_OCTET_STRING, secret))


def decode(der: bytes, passphrase: bytes | None, *, where: str) -> PrivateKey:
    """Read a private key, with the passphrase if it is an EncryptedPrivateKeyInfo.

    Raises:
        UndecidedError: the passphrase is wrong, it is no key, or its type is not supported.
    """
    try:
        secret = serialization.load_der_private_key(der, passphrase)
    except UnsupportedAlgorithm as e:
        raise UndecidedError("key or its encryption is not supported", where=where) from e
    except (ValueError, TypeError, InternalError) as e:
        # NOTE: a wrong passphrase shows as bad padding, or once in 256 times as broken DER.
        # cryptography 50 has an InternalError for an Ed448 key of the wrong length.
        if passphrase is None:
            raise UndecidedError("not a private key", where=where, expected="PKCS#8") from e
        raise UndecidedError(
            "passphrase does not open the key, or the file is damaged", where=where
        ) from e
    match secret:
        case ed25519.Ed25519PrivateKey():
            return PrivateKey(secret=secret)
        case ec.EllipticCurvePrivateKey() if isinstance(secret.curve, ec.SECP256R1):
            return PrivateKey(secret=secret)
        case _:
            raise UndecidedError(
                "key type is not supported",
                where=where,
                expected=SUPPORTED_KEYS,
                got=_type_name(secret),
            )


def public_key_type(spki_der: bytes) -> str:
    """What a SubjectPublicKeyInfo that is not supported is, in words for a message."""
    try:
        key = serialization.load_der_public_key(spki_der)
    except (ValueError, UnsupportedAlgorithm, InternalError):
        return "bytes that are no SubjectPublicKeyInfo of a known type"
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return "P-256 in another form than named curve and uncompressed point"
    return _type_name(key)


def _type_name(key: object) -> str:
    match key:
        case ec.EllipticCurvePrivateKey() | ec.EllipticCurvePublicKey():
            return f"the curve {key.curve.name}"
        case rsa.RSAPrivateKey() | rsa.RSAPublicKey():
            return f"RSA with {key.key_size} bits"
        case _:
            return type(key).__name__.removesuffix("PrivateKey").removesuffix("PublicKey")


def _tlv(tag: int, content: bytes) -> bytes:
    """One DER element; lengths as in X.690 sections 8.1.3 and 10.1."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _integer(number: int) -> bytes:
    """A number that is not negative; the extra bit keeps its sign (X.690 section 8.3)."""
    return _tlv(_INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _sequence(*elements: bytes) -> bytes:
    return _tlv(_SEQUENCE, b"".join(elements))
