"""Who a bundle says made it, in one word for each signer (`material.NameSigner`).

Nothing is believed by it: it finds out that somebody signs twice, and who did is verified before.
"""

import hashlib
from typing import assert_never

from infwasi_sign.domain.bundle import hint_fingerprint
from infwasi_sign.domain.material import Certified, KeyHint, Logged, Material
from infwasi_sign.errors import RefusedError


def name_signer(material: Material) -> str:
    """See `material.NameSigner`; a certificate that cannot be read is named by its own digest.

    A key has one name, with a certificate and without.
    """
    match material:
        case KeyHint():
            return f"sha256:{hint_fingerprint(material)}"
        case Certified(certificate=certificate):
            return _holder_of_key(certificate)
        case Logged(certificate=certificate):
            return _identity(certificate)
        case _:
            assert_never(material)


def _holder_of_key(certificate: bytes) -> str:
    from infwasi_sign.adapters.certificate_chain import parse_certificate  # noqa: PLC0415 - rarely

    try:
        spki = parse_certificate(certificate, where="certificate").spki_der
    except RefusedError:
        return _unreadable(certificate)
    return f"sha256:{hashlib.sha256(spki).hexdigest()}"


def _identity(certificate: bytes) -> str:
    from infwasi_sign.adapters.certificate_chain import parse_certificate  # noqa: PLC0415 - rarely
    from infwasi_sign.adapters.sigstore_identity import subject_of  # noqa: PLC0415 - 60 ms

    try:
        identity, issuer = subject_of(parse_certificate(certificate, where="certificate").parsed)
    except RefusedError:
        return _unreadable(certificate)
    return f"{identity} of {issuer}"


def _unreadable(certificate: bytes) -> str:
    return f"certificate sha256:{hashlib.sha256(certificate).hexdigest()}"
