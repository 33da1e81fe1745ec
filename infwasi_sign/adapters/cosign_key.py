"""Private keys as ``cosign generate-key-pair`` writes them; the one door of ``nacl``.

PKCS#8 in a NaCl secretbox whose key scrypt makes of a passphrase, as JSON in PEM (package
``encrypted`` of go-securesystemslib, and cosign's ``pkg/cosign/keys.go``).
"""

import binascii
import hashlib
from dataclasses import field
from pathlib import Path
from typing import Final

from infwasi_sign.adapters import pkcs8
from infwasi_sign.adapters.key_files import COSIGN_LABELS, from_pem
from infwasi_sign.adapters.keys import PrivateKey
from infwasi_sign.adapters.trusted_file import read_secret
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.strict_json import Cursor, parse
from infwasi_sign.errors import MalformedError, UndecidedError
from infwasi_sign.quick_dataclass import dataclass

# (N, r, p): the three sets that go-securesystemslib has names for, legacy, standard and OWASP, and
# reads no other. The largest takes 128 MiB and half a second; a free choice could take everything.
_SCRYPT_SETS: Final = ((2**15, 8, 1), (2**16, 8, 1), (2**17, 8, 1))
_SCRYPT_MEMORY_BYTES: Final = 2**17 * 8 * 128 + LIMITS.key_file_bytes  # RFC 7914 section 2
_SALT_BYTES: Final = 32
_NONCE_BYTES: Final = 24  # XSalsa20
_KEY_BYTES: Final = 32
_LEAST_SECRET_BYTES: Final = 16  # Poly1305's tag


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedKey:
    """What a key file of cosign says before it is opened."""

    scrypt: tuple[int, int, int]  # N, r, p
    salt: bytes
    nonce: bytes
    secret: bytes = field(repr=False)


def load_cosign_key(path: Path, passphrase: bytes) -> PrivateKey:
    """Read and open a key file of cosign; an empty passphrase is one, too.

    Raises:
        UndecidedError: others have access to the file, it is no such file, the passphrase does not
            open it, or the key is neither P-256 nor Ed25519.
    """
    label, data = from_pem(read_secret(path, LIMITS.key_file_bytes), str(path))
    if label not in COSIGN_LABELS:
        raise UndecidedError(
            "not a key file of cosign",
            where=str(path),
            expected=" or ".join(COSIGN_LABELS),
            got=label,
        )
    locked = parse_locked_key(data, where=str(path))
    return pkcs8.decode(_open(locked, passphrase, str(path)), None, where=str(path))


def parse_locked_key(data: bytes, *, where: str) -> LockedKey:
    """Read the JSON of a key file of cosign.

    Raises:
        UndecidedError: it is not what cosign reads, or could be read in two ways.
    """
    try:
        return _parse(data)
    except MalformedError as e:
        inside = f"{e.where} of {where}" if e.where else where
        raise UndecidedError(e.what, where=inside, expected=e.expected, got=e.got) from e


def _parse(data: bytes) -> LockedKey:
    value = parse(data, where="the JSON", limit_bytes=LIMITS.key_file_bytes)
    top = Cursor(value, "").object({"kdf", "cipher", "ciphertext"})
    kdf = top["kdf"].object({"name", "params", "salt"})
    _require(kdf["name"], "scrypt")
    params = kdf["params"].object({"N", "r", "p"})
    n, r, p = (params[name].integer(1, LIMITS.json_integer) for name in ("N", "r", "p"))
    if (n, r, p) not in _SCRYPT_SETS:
        raise MalformedError(
            "not one of cosign's sets of parameters",
            where="kdf.params",
            expected=" or ".join("N={}, r={}, p={}".format(*one) for one in _SCRYPT_SETS),
            got=f"N={n}, r={r}, p={p}",
        )
    cipher = top["cipher"].object({"name", "nonce"})
    _require(cipher["name"], "nacl/secretbox")
    secret = _octets(top["ciphertext"], LIMITS.key_file_bytes, _LEAST_SECRET_BYTES)
    return LockedKey(
        scrypt=(n, r, p),
        salt=_octets(kdf["salt"], _SALT_BYTES, _SALT_BYTES),
        nonce=_octets(cipher["nonce"], _NONCE_BYTES, _NONCE_BYTES),
        secret=secret,
    )


def _require(member: Cursor, word: str) -> None:
    text = member.string()
    if text != word:
        raise MalformedError(
            "not supported", where=member.path, expected=word, got=ascii(text[:40])
        )


def _octets(member: Cursor, most: int, least: int) -> bytes:
    try:
        octets = binascii.a2b_base64(member.string().encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError) as e:
        raise MalformedError("not base64", where=member.path) from e
    if not least <= len(octets) <= most:
        raise MalformedError(
            "wrong length",
            where=member.path,
            expected=f"{least} bytes" if least == most else f"{least} to {most} bytes",
            got=str(len(octets)),
        )
    return octets


def _open(locked: LockedKey, passphrase: bytes, where: str) -> bytes:
    try:
        from nacl.exceptions import CryptoError  # noqa: PLC0415 -- an extra that only this needs
        from nacl.secret import SecretBox  # noqa: PLC0415
    except ImportError as e:
        raise UndecidedError(
            "key files of cosign need a package that is not installed",
            expected="PyNaCl",
            hint="install infwasi with its extra: pip install 'infwasi[cosign]'",
        ) from e
    n, r, p = locked.scrypt
    try:
        key = hashlib.scrypt(
            passphrase,
            salt=locked.salt,
            n=n,
            r=r,
            p=p,
            maxmem=_SCRYPT_MEMORY_BYTES,
            dklen=_KEY_BYTES,
        )
    except ValueError as e:  # OpenSSL's one answer; the parameters are good
        raise UndecidedError(
            "not enough memory for scrypt", where=where, expected=f"{n * r * 128} bytes"
        ) from e
    try:
        return SecretBox(key).decrypt(locked.secret, locked.nonce)
    except CryptoError as e:
        raise UndecidedError(
            "passphrase does not open the key, or the file is damaged", where=where
        ) from e
