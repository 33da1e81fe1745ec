"""Signatures of those to whom a company's own CA gave a certificate (docs/certificates.md).

Imported only where a policy names such a signer.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384

from infwasi_sign.adapters.certificate_chain import (
    CODE_SIGNING,
    Certificate,
    NoChain,
    find_chain,
    moments_of_overlap,
    parse_anchors,
    parse_certificate,
    parse_timestamp_roots,
    parse_trusted,
    shown,
)
from infwasi_sign.domain.certified import CertificateTrust, CertifiedSigner, TimestampRule
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import format_time
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError, UndecidedError

SUPPORTED_KEYS: Final = "P-256 or P-384"

# One digest for each curve, so that nothing can be chosen (Sigstore's algorithm registry).
_HASHES: Final = {"secp256r1": SHA256, "secp384r1": SHA384}
_ALGORITHMS: Final = {"secp256r1": "ecdsa-p256-sha256", "secp384r1": "ecdsa-p384-sha384"}


def verify_certificate(
    *,
    leaf: bytes,
    chain: tuple[bytes, ...],
    signature: bytes,
    signed: bytes,
    timestamps: tuple[bytes, ...],
    trust: CertificateTrust,
    now: datetime,
    allows_idle_ca: bool = False,
) -> CertifiedSigner:
    """The signer that ``trust`` names, if they made ``signature`` over ``signed``.

    1. what the policy says can be used
    2. leaf, chain and timestamps are within their bounds, and the certificates can be read
    3. the leaf is a certificate for signing code, and not that of a CA
    4. its key made the signature
    5. each timestamp is over this signature and by an authority that the policy trusts
    6. at the time of each timestamp, or now if none is needed, a chain leads from the leaf to a
       root of the policy, never to one that came with the signature
    7. the leaf is that of the identity

    Without timestamp roots in the policy, timestamps say nothing and are passed over.
    ``allows_idle_ca`` is for models that were signed elsewhere: see `require_code_signing`.

    Raises:
        UndecidedError: the policy's side is wrong.
        MalformedError: the certificates or timestamps cannot be read.
        RefusedError: kind `signature` (the signature or a timestamp), `signer` (not a certificate
            of this signer) or `expired` (not valid at the time).
    """
    # 1
    roots, helpers = require_usable(trust)
    # 2
    _require_bounds(chain, timestamps)
    holder = parse_certificate(leaf, where="certificate")
    given = [parse_certificate(der, where=f"chain[{at}]") for at, der in enumerate(chain)]
    # 3
    curve = require_code_signing(holder, allows_idle_ca=allows_idle_ca)
    # 4
    _require_made(holder, curve, signature, signed)
    # 5
    times = _trusted_times(timestamps, signature, trust, now)
    # 6
    others = (*given, *helpers)
    chains = [_require_chain(holder, others, roots, at, bool(times)) for at in times or [now]]
    # 7
    _require_identity(holder, trust.identity, chains)
    return CertifiedSigner(
        name=trust.name,
        identity=trust.identity,
        fingerprint=hashlib.sha256(holder.spki_der).hexdigest(),
        certificate=hashlib.sha256(holder.der).hexdigest(),
        algorithm=_ALGORITHMS[curve],
        signed_at=min(times, default=None),
    )


# --- 1, 2: what is given -----------------------------------------------------------------------


def require_usable(
    trust: CertificateTrust,
) -> tuple[tuple[Certificate, ...], tuple[Certificate, ...]]:
    """The roots and the intermediates of a policy's signer, read.

    Raises:
        UndecidedError: nobody could ever be verified with them, or a reader could misunderstand.
    """
    where = f"signer {trust.name!a}"
    identity = trust.identity
    if not identity or "*" in identity or not identity.isprintable():
        raise UndecidedError(
            "not an identity",
            where=where,
            expected="exactly one email address, URI or DNS name, without a wildcard",
            got=shown(identity),
        )
    if not trust.roots:
        raise UndecidedError("no root is trusted", where=where, hint="name the root of the CA")
    if trust.timestamp is TimestampRule.REQUIRED and not trust.timestamp_roots:
        raise UndecidedError(
            "a timestamp is required, and no timestamp authority is trusted",
            where=where,
            hint="name the root of the timestamp authority",
        )
    parse_timestamp_roots(trust.timestamp_roots, what=f"{where}: timestamp roots")
    roots = parse_anchors(trust.roots, what=f"{where}: roots")
    helpers = tuple(
        parse_trusted(der, where=f"{where}: intermediates[{at}]")
        for at, der in enumerate(trust.intermediates)
    )
    return roots, helpers


def _require_bounds(chain: tuple[bytes, ...], timestamps: tuple[bytes, ...]) -> None:
    for what, items, most in (
        ("certificates in the chain", chain, LIMITS.certificate_chain),
        ("timestamps", timestamps, LIMITS.timestamps),
    ):
        if len(items) > most:
            raise MalformedError(
                f"too many {what}", expected=f"at most {most}", got=str(len(items))
            )


# --- 3: the certificate ------------------------------------------------------------------------


def require_code_signing(holder: Certificate, *, allows_idle_ca: bool = False) -> str:
    """Whether a certificate is one for signing code; the curve of its key.

    RFC 5280 sections 4.2.1.3 and 4.2.1.12; CA/B Forum's code signing requirements 7.1.2.3.
    ``allows_idle_ca``: a leaf may call itself a CA if its keyUsage keeps it from issuing anything,
    as those do that `model_signing` was tested with.

    Raises:
        RefusedError: kind `signer`, it is not.
    """
    if holder.is_ca and (holder.may_issue or not allows_idle_ca):
        raise _unsuited(holder, "the certificate is that of a CA")
    if not holder.signs:
        raise _unsuited(holder, "the certificate has no keyUsage digitalSignature")
    if holder.usages is None or CODE_SIGNING not in holder.usages:
        raise _unsuited(
            holder,
            "the certificate is not for signing code",
            expected=f"extendedKeyUsage {CODE_SIGNING}",
            got=shown(", ".join(holder.usages)) if holder.usages else "none",
        )
    key = holder.parsed.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _HASHES:
        raise _unsuited(holder, "the certificate's key is not supported", expected=SUPPORTED_KEYS)
    return key.curve.name


def _unsuited(
    holder: Certificate, what: str, *, expected: str | None = None, got: str | None = None
) -> RefusedError:
    return RefusedError(
        RefusalKind.SIGNER, what, where=f"certificate {holder.shown}", expected=expected, got=got
    )


def _require_made(holder: Certificate, curve: str, signature: bytes, signed: bytes) -> None:
    key = holder.parsed.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)  # noqa: S101 -- `require_code_signing` saw it
    try:
        key.verify(signature, signed, ec.ECDSA(_HASHES[curve]()))
    except InvalidSignature as e:
        raise RefusedError(
            RefusalKind.SIGNATURE, f"signature is not that of the certificate {holder.shown}"
        ) from e


def require_signed_by(leaf: bytes, signature: bytes, signed: bytes) -> None:
    """Whether the key of a signer's own certificate made a signature; before it is written.

    Raises:
        UndecidedError: it did not, or the certificate is none for signing.
    """
    holder = parse_certificate(leaf, where="certificate")
    try:
        _require_made(holder, require_code_signing(holder), signature, signed)
    except RefusedError as e:
        raise UndecidedError("signer made a signature that its own key does not verify") from e


# --- 5, 6: the time and the chain --------------------------------------------------------------


def _trusted_times(
    timestamps: tuple[bytes, ...], signature: bytes, trust: CertificateTrust, now: datetime
) -> list[datetime]:
    if not timestamps and trust.timestamp is TimestampRule.REQUIRED:
        raise RefusedError(
            RefusalKind.SIGNATURE,
            "the signature has no timestamp, and the policy requires one",
            hint="sign again with --timestamp-url",
        )
    if not timestamps or not trust.timestamp_roots:
        return []
    from infwasi_sign.adapters.timestamps import (  # noqa: PLC0415 -- 20 ms that only they need
        verify_timestamp,
    )

    found = [
        verify_timestamp(
            response,
            signature=signature,
            roots=trust.timestamp_roots,
            intermediates=trust.intermediates,
            now=now,
            where=f"timestamps[{at}]",
        )
        for at, response in enumerate(timestamps)
    ]
    if len({(one.authority, one.serial) for one in found}) != len(found):
        raise RefusedError(RefusalKind.SIGNATURE, "a timestamp stands there twice")
    return [one.at for one in found]


def _require_chain(
    holder: Certificate,
    others: Sequence[Certificate],
    roots: Sequence[Certificate],
    at: datetime,
    is_stamped: bool,
) -> tuple[Certificate, ...]:
    found = find_chain(holder, others, roots, usage=CODE_SIGNING, moment=at)
    if not isinstance(found, NoChain):
        return found
    for moment in moments_of_overlap(holder, [*others, *roots]):
        once = find_chain(holder, others, roots, usage=CODE_SIGNING, moment=moment)
        if not isinstance(once, NoChain):
            late = [one for one in once if not one.not_before <= at <= one.not_after]
            if late:
                raise _outside_of_its_time(late[0], at, is_stamped)
    raise RefusedError(
        RefusalKind.SIGNER,
        "the certificate leads to no trusted root",
        where=f"certificate {holder.shown}",
        got=found.reason,
    )


def _outside_of_its_time(first: Certificate, at: datetime, is_stamped: bool) -> RefusedError:
    """That the chain is good, but at another time than ``at``."""
    is_early = at < first.not_before
    when = "at the time of its timestamp" if is_stamped else "now"
    return RefusedError(
        RefusalKind.EXPIRED,
        f"the certificate {'is not valid yet' if is_early else 'has expired'}",
        where=f"certificate {first.shown}",
        expected=f"{format_time(first.not_before)} to {format_time(first.not_after)}",
        got=f"{format_time(at)}, {when}",
        hint=None
        if is_early or is_stamped
        else "sign with a timestamp: it keeps a signature valid after its certificate expires",
    )


# --- 7: the identity ---------------------------------------------------------------------------


def _require_identity(
    holder: Certificate, identity: str, chains: Sequence[Sequence[Certificate]]
) -> None:
    """Whether the certificate is that of ``identity``, compared as `CertificateTrust` says.

    A certificate may have several names; one of them has to be this. The common name counts only
    without a subjectAltName (RFC 6125 section 6.4.4), alone, and if no CA of a chain constrains
    names, for constraints do not reach it (RFC 5280 section 4.2.1.10).
    """
    names = holder.names
    if names.has_alternative:
        if ":" in identity:
            candidates = names.uris
        elif "@" in identity:
            candidates = names.emails
        else:
            candidates = names.dns_names
        every = (*names.uris, *names.emails, *names.dns_names)
    else:
        is_constrained = any(one.constrains_names for chain in chains for one in chain)
        is_alone = len(names.common_names) == 1 and not is_constrained
        candidates = names.common_names if is_alone else ()
        every = candidates
    if identity not in candidates:
        raise RefusedError(
            RefusalKind.SIGNER,
            "the certificate is that of somebody else",
            where=f"certificate {holder.shown}",
            expected=shown(identity),
            got=", ".join(shown(name) for name in every[:4]) or "no name that counts",
        )
