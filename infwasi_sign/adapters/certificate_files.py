"""Files of certificates as operators have them: PEM, one or several blocks and nothing around."""

import binascii
import re
from pathlib import Path
from typing import Final

from infwasi_sign.adapters.trusted_file import read_trusted
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import UndecidedError

# RFC 7468 sections 3 and 5.1; lines of any length, as key files may have them.
_BLOCK: Final = re.compile(
    rb"\s*-----BEGIN CERTIFICATE-----\r?\n((?:[A-Za-z0-9+/=]+\r?\n)+)-----END CERTIFICATE-----\s*"
)


def read_certificates(path: Path, what: str = "certificate") -> tuple[bytes, ...]:
    """The certificates in a file that nobody but its owner could have changed, as DER.

    Raises:
        UndecidedError: others can write the file or a folder above it, or it holds something else.
    """
    data = read_trusted(path, LIMITS.certificate_file_bytes, what)
    return parse_certificates_pem(data, where=str(path))


def parse_certificates_pem(data: bytes, *, where: str) -> tuple[bytes, ...]:
    """The certificates in a PEM text, as DER in their order; they are not read yet.

    Raises:
        UndecidedError: there is none, or something else stands there too.
    """
    found: list[bytes] = []
    at = 0
    while at < len(data):
        block = _BLOCK.match(data, at)
        if block is None:
            raise _no_certificates(where)
        try:
            found.append(binascii.a2b_base64(b"".join(block[1].split()), strict_mode=True))
        except binascii.Error as e:
            raise UndecidedError("not base64", where=where) from e
        at = block.end()
    if not found:
        raise _no_certificates(where)
    return tuple(found)


def _no_certificates(where: str) -> UndecidedError:
    return UndecidedError(
        "not a file of certificates",
        where=where,
        expected="PEM blocks CERTIFICATE and nothing else",
        hint="take out each with: openssl x509 -in OLD -out NEW",
    )
