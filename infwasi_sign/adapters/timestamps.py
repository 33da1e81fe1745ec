"""RFC 3161 timestamps over signatures, verified offline: the door of ``rfc3161_client``.

The library decodes, and verifies the CMS signature by OpenSSL. What it leaves out is done here: the
authority's certificate is for time stamping and nothing else, its chain meets the same demands as
that of a signer, and the token names this certificate (ESSCertID).
"""

import hashlib
import warnings
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from rfc3161_client import (
    PKIStatus,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from infwasi_sign.adapters.certificate_chain import (
    TIME_STAMPING,
    Certificate,
    NoChain,
    find_chain,
    parse_certificate,
    parse_timestamp_roots,
    parse_trusted,
)
from infwasi_sign.domain import der
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import format_time
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError, UndecidedError
from infwasi_sign.quick_dataclass import dataclass

_CLOCK_SKEW: Final = timedelta(minutes=5)  # as `domain.policy` has it for the manifest

_HASHES: Final = {
    "2.16.840.1.101.3.4.2.1": hashlib.sha256,
    "2.16.840.1.101.3.4.2.2": hashlib.sha384,
    "2.16.840.1.101.3.4.2.3": hashlib.sha512,
}

# Object identifiers as they stand in a token, DER.
_TST_INFO: Final = bytes.fromhex("2a864886f70d0109100104")  # id-ct-TSTInfo, RFC 3161 section 2.4.2
_CONTENT_TYPE: Final = bytes.fromhex("2a864886f70d010903")  # RFC 5652 section 11.1
_SIGNING_CERTIFICATE: Final = bytes.fromhex("2a864886f70d010910020c")  # RFC 2634 section 5.4
_SIGNING_CERTIFICATE_V2: Final = bytes.fromhex("2a864886f70d010910022f")  # RFC 5035 section 3

# What rfc3161-client 1.0 raises for bytes that it cannot read; found by fuzzing: KeyError for a
# string in a name whose type it does not know.
_UNREADABLE: Final = (ValueError, TypeError, OverflowError, LookupError, Warning)


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifiedTimestamp:
    """A time that a trusted authority vouches for; ``authority`` is hex SHA-256 of its SPKI."""

    at: datetime
    authority: str
    serial: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Token:
    """What a response says, before anything of it is believed."""

    response: TimeStampResponse
    at: datetime
    serial: int
    nonce: int | None
    imprint_hash: str  # dotted
    imprint: bytes
    digests: tuple[str, ...]  # dotted, of the signature
    certificates: tuple[bytes, ...]
    signers: tuple[tuple[object, int], ...]  # issuer and serial number


def verify_timestamp(
    response: bytes,
    *,
    signature: bytes,
    roots: tuple[bytes, ...],
    now: datetime,
    intermediates: tuple[bytes, ...] = (),
    nonce: int | None = None,
    where: str = "timestamp",
) -> VerifiedTimestamp:
    """The time at which an authority under ``roots`` saw ``signature`` (RFC 3161 section 2.4.2).

    1. the response is of bounded size, can be read, and grants a token
    2. the token is over a SHA-2 digest of the signature; if a ``nonce`` was sent, it has it
    3. it has one signer, whose certificate comes along and is for time stamping alone, critically
       (section 2.3), and not that of a CA
    4. a chain leads from it to one of ``roots``, valid at the time of the token
    5. its key made the CMS signature, with SHA-2 (RFC 5652 section 5.4)
    6. the signed attributes name the content's type and this certificate (section 2.4.1)
    7. the time is not in the future, but for a difference of clocks

    The authority's policy is not judged: who trusts a root trusts what it is used for.

    Raises:
        UndecidedError: the roots cannot be used.
        MalformedError: the response cannot be read.
        RefusedError: kind `signature`, everything else.
    """
    anchors, helpers = _require_usable(roots, intermediates)
    # 1
    token = _decode(response, where)
    # 2
    _require_imprint(token, signature, where)
    if nonce is not None and token.nonce != nonce:
        raise _refused("the timestamp answers another request", where)
    # 3
    authority, others = _authority(token, where)
    # 4
    found = find_chain(
        authority, [*others, *helpers], anchors, usage=TIME_STAMPING, moment=token.at
    )
    if isinstance(found, NoChain):
        raise _refused(
            "the timestamp's authority leads to no trusted root, or was not valid then",
            where,
            got=f"{authority.shown} at {format_time(token.at)}: {found.reason}",
        )
    # 5
    _require_cms_signature(token, signature, anchors, helpers, where)
    # 6
    _require_attributes(token.response.time_stamp_token(), authority.der, where)
    # 7
    if token.at - now > _CLOCK_SKEW:
        raise _refused(
            "the timestamp is from the future",
            where,
            expected=f"at most {format_time(now + _CLOCK_SKEW)}",
            got=format_time(token.at),
            hint="check the clock of this machine",
        )
    return VerifiedTimestamp(
        at=token.at, authority=hashlib.sha256(authority.spki_der).hexdigest(), serial=token.serial
    )


def require_answer(response: bytes, *, signature: bytes, nonce: int, where: str) -> None:
    """Whether a response answers our request, as far as that shows without any trust.

    Raises:
        RefusedError: it does not.
    """
    token = _decode(response, where)
    _require_imprint(token, signature, where)
    if token.nonce != nonce:
        raise _refused("the timestamp answers another request", where)


def _refused(
    what: str,
    where: str,
    *,
    expected: str | None = None,
    got: str | None = None,
    hint: str | None = None,
) -> RefusedError:
    return RefusedError(
        RefusalKind.SIGNATURE, what, where=where, expected=expected, got=got, hint=hint
    )


def _require_usable(
    roots: tuple[bytes, ...], intermediates: tuple[bytes, ...]
) -> tuple[tuple[Certificate, ...], tuple[Certificate, ...]]:
    if not roots:
        raise UndecidedError("no timestamp authority is trusted")
    anchors = parse_timestamp_roots(roots, what="timestamp roots")
    helpers = tuple(
        parse_trusted(one, where=f"intermediates[{at}]") for at, one in enumerate(intermediates)
    )
    return anchors, helpers


def _decode(response: bytes, where: str) -> _Token:
    if len(response) > LIMITS.timestamp_bytes:
        raise MalformedError(
            "timestamp is too long",
            where=where,
            expected=f"at most {LIMITS.timestamp_bytes} bytes",
            got=str(len(response)),
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            decoded = decode_timestamp_response(response)
            is_granted = decoded.status == PKIStatus.GRANTED
            return _contents(decoded) if is_granted else _no_token(decoded.status, where)
    except _UNREADABLE as e:
        raise MalformedError("not a timestamp response that can be read", where=where) from e


def _no_token(status: int, where: str) -> _Token:
    names = {one.value: one.name.lower().replace("_", " ") for one in PKIStatus}
    raise _refused(
        "the authority granted no timestamp", where, got=names.get(status, f"status {status}")
    )


def _contents(decoded: TimeStampResponse) -> _Token:
    info, data = decoded.tst_info, decoded.signed_data
    return _Token(
        response=decoded,
        at=info.gen_time,
        serial=info.serial_number,
        nonce=info.nonce,
        imprint_hash=info.message_imprint.hash_algorithm.dotted_string,
        imprint=info.message_imprint.message,
        digests=tuple(one.dotted_string for one in data.digest_algorithms),
        certificates=tuple(sorted(data.certificates)),
        signers=tuple((one.issuer, one.serial_number) for one in data.signer_infos),
    )


def _require_imprint(token: _Token, signature: bytes, where: str) -> None:
    unknown = sorted({token.imprint_hash, *token.digests} - set(_HASHES))
    if unknown or not token.digests:
        raise _refused(
            "the timestamp's digest is not supported",
            where,
            expected="SHA-256, SHA-384 or SHA-512",
            got=", ".join(unknown) or "none",
        )
    if _HASHES[token.imprint_hash](signature).digest() != token.imprint:
        raise _refused("the timestamp is over another signature", where)


def _authority(token: _Token, where: str) -> tuple[Certificate, list[Certificate]]:
    if len(token.certificates) > LIMITS.certificate_chain + 1:
        raise MalformedError(
            "too many certificates in the timestamp",
            where=where,
            expected=f"at most {LIMITS.certificate_chain + 1}",
            got=str(len(token.certificates)),
        )
    every = [parse_certificate(one, where=f"{where}.certificate") for one in token.certificates]
    if len(token.signers) != 1:
        raise _refused("the timestamp has not one signer", where, got=str(len(token.signers)))
    (signer,) = token.signers
    own = [one for one in every if (one.parsed.issuer, one.parsed.serial_number) == signer]
    if len(own) != 1:
        raise _refused("the timestamp does not bring its signer's one certificate", where)
    authority = own[0]
    is_for_time = authority.usages == (TIME_STAMPING,) and authority.is_usage_critical
    if authority.is_ca or authority.signs is False or not is_for_time:
        raise _refused(
            "the timestamp's signer is not a timestamp authority",
            where,
            expected="no CA, and extendedKeyUsage timeStamping alone and critical",
            got=authority.shown,
        )
    return authority, [one for one in every if one is not authority]


def _require_cms_signature(
    token: _Token,
    signature: bytes,
    anchors: Sequence[Certificate],
    helpers: Sequence[Certificate],
    where: str,
) -> None:
    # NOTE: the library puts all that it is given into OpenSSL's store of trusted certificates,
    # where everything self-signed is a root. The authority's own certificate stays out.
    verifier = VerifierBuilder(
        roots=[one.parsed for one in anchors],
        intermediates=[one.parsed for one in helpers if not one.is_self_issued],
    ).build()
    try:
        verifier.verify_message(token.response, signature)
    except (VerificationError, *_UNREADABLE) as e:
        raise _refused("the timestamp is not signed by its authority", where) from e


def _require_attributes(token: bytes, certificate: bytes, where: str) -> None:
    """That the signed attributes are there and mean this content and this certificate.

    OpenSSL compares the digest of the content with theirs. It takes a token without attributes,
    and looks at neither of these two (RFC 5652 section 5.3, RFC 5816 section 2.2.1).
    """
    data = der.parse(token, where=where).child(1, der.CONTEXT_0).child(0, der.SEQUENCE)
    signer = data.child(-1, der.SET).child(0, der.SEQUENCE)
    if signer.children()[3:4] == () or signer.children()[3].tag != der.CONTEXT_0:
        raise _refused("the timestamp has no signed attributes", where)
    values: dict[bytes, list[der.Element]] = {}
    for attribute in signer.children()[3].children():
        kind = attribute.child(0, der.OBJECT_IDENTIFIER).content
        values.setdefault(kind, []).extend(attribute.child(1, der.SET).children())
    types = [one.content for one in values.get(_CONTENT_TYPE, [])]
    if types != [_TST_INFO]:
        raise _refused("the timestamp's signature is over another type of content", where)
    named = [
        *(_named_by(one, "sha1") for one in values.get(_SIGNING_CERTIFICATE, [])),
        *(_named_by(one, "sha256") for one in values.get(_SIGNING_CERTIFICATE_V2, [])),
    ]
    if not named or any(hashlib.new(name, certificate).digest() != one for name, one in named):
        raise _refused("the timestamp's signature does not name the authority's certificate", where)


def _named_by(value: der.Element, default: str) -> tuple[str, bytes]:
    """Digest of the signer's certificate, the first in the list (RFC 5035 sections 3 and 4)."""
    first = value.child(0, der.SEQUENCE).child(0, der.SEQUENCE)
    parts = first.children()
    if parts and parts[0].tag == der.SEQUENCE:  # hashAlgorithm; without it the default
        algorithm = first.child(0, der.SEQUENCE).child(0, der.OBJECT_IDENTIFIER).content
        default = _DIGESTS.get(algorithm, "")
        parts = parts[1:]
    if not default or not parts or parts[0].tag != der.OCTET_STRING:
        raise MalformedError("not a digest of a certificate", where=value.where)
    return default, parts[0].content


_DIGESTS: Final = {
    bytes.fromhex("608648016503040201"): "sha256",
    bytes.fromhex("608648016503040202"): "sha384",
    bytes.fromhex("608648016503040203"): "sha512",
}
