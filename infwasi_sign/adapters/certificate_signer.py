"""The certificate that goes with a signature: looked at before anything is signed."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from infwasi_sign.adapters.certificate_chain import (
    Certificate,
    is_issued_by,
    parse_trusted,
)
from infwasi_sign.adapters.certificate_files import read_certificates
from infwasi_sign.adapters.certificates import require_code_signing
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import format_time
from infwasi_sign.errors import RefusedError, UndecidedError
from infwasi_sign.ports import Signer
from infwasi_sign.quick_dataclass import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class SigningCertificate:
    """What is written beside a signature: the leaf, and the CAs above it without the root; DER."""

    leaf: bytes
    chain: tuple[bytes, ...]


def load_signing_certificate(
    certificate: Path, chain: Path | None, *, signer: Signer, now: datetime
) -> SigningCertificate:
    """The certificate of ``signer``, and the CAs above it.

    The first certificate of the file ``certificate`` is the leaf; others in it, and those of the
    file ``chain``, are CAs, each the issuer of the one before. A root at the end is left out, for
    no verifier takes it from there.

    1. the files hold certificates that can be read, not too many
    2. the leaf is for the key of the signer, and for signing code
    3. it is valid now
    4. each next certificate is that of a CA that issued the one before

    Raises:
        UndecidedError: one of these is not so, or others can write a file.
    """
    # 1
    found = read_certificates(certificate)
    if chain is not None:
        found += read_certificates(chain, "certificate chain")
    if len(found) > LIMITS.certificate_chain + 2:  # leaf and root
        raise UndecidedError(
            "too many certificates",
            where=str(certificate),
            expected=f"at most {LIMITS.certificate_chain + 2}",
            got=str(len(found)),
        )
    leaf, *issuers = (
        parse_trusted(der, where=f"{certificate}: certificate {at}")
        for at, der in enumerate(found, 1)
    )
    # 2
    if leaf.spki_der != signer.public_key():
        raise UndecidedError(
            "the certificate is for another key than the one that signs",
            where=str(certificate),
            got=leaf.shown,
        )
    try:
        require_code_signing(leaf)
    except RefusedError as e:
        raise UndecidedError(e.what, where=e.where, expected=e.expected, got=e.got) from e
    # 3
    if not leaf.not_before <= now <= leaf.not_after:
        raise UndecidedError(
            f"the certificate {'is not valid yet' if now < leaf.not_before else 'has expired'}",
            where=str(certificate),
            expected=f"{format_time(leaf.not_before)} to {format_time(leaf.not_after)}",
            got=format_time(now),
        )
    # 4
    _require_order([leaf, *issuers])
    if issuers and issuers[-1].is_self_issued:
        issuers.pop()
    return SigningCertificate(leaf=leaf.der, chain=tuple(one.der for one in issuers))


def _require_order(certificates: Sequence[Certificate]) -> None:
    for child, issuer in pairwise(certificates):
        if not issuer.is_ca or not is_issued_by(child, issuer):
            raise UndecidedError(
                "the chain is not in order",
                where=f"certificate {issuer.shown}",
                expected=f"the CA that issued {child.shown}",
            )
