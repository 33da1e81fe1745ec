"""What ``--key`` of a signer names: a file, a key in a token, or a key of a service."""

import re
from pathlib import Path
from typing import Final

from infwasi_sign.adapters.key_files import PassphraseSource, load_private_key
from infwasi_sign.domain import pkcs11_uri
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import UndecidedError
from infwasi_sign.ports import Signer

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,63}):")  # RFC 3986 section 3.1
_FILE: Final = "file"


def open_signer(reference: str, passphrase: PassphraseSource) -> Signer:
    """Open the signer that ``reference`` names; what can fail before the signing fails here.

    ``pkcs11:…`` (RFC 7512) is a key in a token, ``NAME:…`` one of the plug-in NAME, and everything
    else the path of a key file. Plug-ins are asked only for what is none of ours.

    Raises:
        UndecidedError: there is no such key, or it cannot be used.
    """
    if not 0 < len(reference.encode("utf-8", "surrogateescape")) <= LIMITS.key_reference_bytes:
        raise UndecidedError(
            "key has a name of a wrong length",
            where="--key",
            expected=f"1 to {LIMITS.key_reference_bytes} bytes",
        )
    named = _SCHEME.match(reference)
    if named is None:
        return load_private_key(Path(reference), passphrase)
    # RFC 3986 section 3.1: schemes mean the same in capitals; the names of plug-ins are small.
    scheme = named[1].lower()
    if scheme == _FILE:
        raise UndecidedError(
            "a key file is named by its path", where="--key", hint="leave out the scheme file:"
        )
    if scheme == pkcs11_uri.SCHEME:
        from infwasi_sign.adapters.pkcs11_signer import open_token_signer  # noqa: PLC0415 -- rare

        return open_token_signer(scheme + reference[len(scheme) :], passphrase)
    from infwasi_sign.adapters.signer_plugins import open_plugin_signer  # noqa: PLC0415 -- rare

    return open_plugin_signer(scheme, reference)
