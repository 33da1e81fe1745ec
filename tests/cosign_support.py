"""Key files as cosign writes them, made here from the description of the format."""

import base64
import hashlib
import json
import os
import textwrap
from typing import Any

from nacl.secret import SecretBox

LABEL = "ENCRYPTED SIGSTORE PRIVATE KEY"
STANDARD = (2**16, 8, 1)
_MEMORY_BYTES = 2**28


def locked(
    der: bytes, passphrase: bytes, scrypt: tuple[int, int, int] = STANDARD
) -> dict[str, Any]:
    """The JSON of a key file, as Go's encoding/json would hold it."""
    n, r, p = scrypt
    salt, nonce = os.urandom(32), os.urandom(24)
    key = hashlib.scrypt(passphrase, salt=salt, n=n, r=r, p=p, maxmem=_MEMORY_BYTES, dklen=32)
    secret = SecretBox(key).encrypt(der, nonce).ciphertext
    return {
        "kdf": {"name": "scrypt", "params": {"N": n, "r": r, "p": p}, "salt": b64(salt)},
        "cipher": {"name": "nacl/secretbox", "nonce": b64(nonce)},
        "ciphertext": b64(secret),
    }


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def text_of(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def pem(content: bytes, label: str = LABEL) -> bytes:
    lines = "\n".join(textwrap.wrap(b64(content), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode()
