"""X.509 certificates and the chains they form: the door of ``cryptography.x509``.

Imported only where a certificate is in play, for it costs 35 ms.
"""

import warnings
from collections.abc import Sequence
from dataclasses import field
from datetime import datetime
from typing import Final, NoReturn, TypeVar

from cryptography import x509
from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import MalformedError, UndecidedError
from infwasi_sign.quick_dataclass import dataclass

CODE_SIGNING: Final = ExtendedKeyUsageOID.CODE_SIGNING.dotted_string
TIME_STAMPING: Final = ExtendedKeyUsageOID.TIME_STAMPING.dotted_string
_ANY_USAGE: Final = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE.dotted_string

_Kind = TypeVar("_Kind", bound=x509.ExtensionType)

_SHOWN: Final = 120  # characters of somebody else's text in a message

# What cryptography 50 raises for bytes that are no certificate it can read.
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    InternalError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    Warning,  # it warns of what later versions refuse
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Names:
    """What a certificate calls its holder; ``has_alternative``: there is a subjectAltName."""

    has_alternative: bool
    uris: tuple[str, ...]
    emails: tuple[str, ...]
    dns_names: tuple[str, ...]
    common_names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """A certificate that was read whole. Made by `parse_certificate`."""

    der: bytes = field(repr=False)
    shown: str  # the subject, made safe for a message
    not_before: datetime
    not_after: datetime
    is_ca: bool
    may_issue: bool  # a CA whose keyUsage, if it has one, includes keyCertSign
    is_self_issued: bool
    signs: bool | None  # keyUsage has digitalSignature; None: there is no keyUsage
    usages: tuple[str, ...] | None  # of extendedKeyUsage, dotted; None: there is none
    is_usage_critical: bool
    constrains_names: bool
    names: Names
    spki_der: bytes = field(repr=False)  # in the one form that keys have elsewhere
    parsed: x509.Certificate = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class NoChain:
    """Why there is no chain."""

    reason: str


def parse_certificate(der: bytes, *, where: str) -> Certificate:
    """Read a certificate (RFC 5280 section 4.1).

    Raises:
        MalformedError: it is none, is too long, or its key or an extension cannot be read.
    """
    if len(der) > LIMITS.certificate_bytes:
        raise MalformedError(
            "certificate is too long",
            where=where,
            expected=f"at most {LIMITS.certificate_bytes} bytes",
            got=str(len(der)),
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return _read(der)
    except _UNREADABLE as e:
        raise MalformedError("not a certificate that can be read", where=where) from e


def _read(der: bytes) -> Certificate:
    parsed = x509.load_der_x509_certificate(der)
    constraints = _extension(parsed, x509.BasicConstraints)
    key_usage = _extension(parsed, x509.KeyUsage)
    extended = _extension(parsed, x509.ExtendedKeyUsage)
    usages = None if extended is None else tuple(usage.dotted_string for usage in extended.value)
    is_ca = constraints is not None and constraints.value.ca
    return Certificate(
        der=der,
        shown=shown(parsed.subject.rfc4514_string()),
        not_before=parsed.not_valid_before_utc,
        not_after=parsed.not_valid_after_utc,
        is_ca=is_ca,
        may_issue=is_ca and (key_usage is None or key_usage.value.key_cert_sign),
        is_self_issued=parsed.subject == parsed.issuer,
        signs=None if key_usage is None else key_usage.value.digital_signature,
        usages=usages,
        is_usage_critical=extended is not None and extended.critical,
        constrains_names=_extension(parsed, x509.NameConstraints) is not None,
        names=_names(parsed),
        spki_der=parsed.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
        parsed=parsed,
    )


def _extension(certificate: x509.Certificate, kind: type[_Kind]) -> x509.Extension[_Kind] | None:
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def _names(parsed: x509.Certificate) -> Names:
    found = _extension(parsed, x509.SubjectAlternativeName)
    general = x509.GeneralNames([]) if found is None else found.value
    common = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Names(
        has_alternative=found is not None,
        uris=tuple(general.get_values_for_type(x509.UniformResourceIdentifier)),
        emails=tuple(general.get_values_for_type(x509.RFC822Name)),
        dns_names=tuple(general.get_values_for_type(x509.DNSName)),
        common_names=tuple(str(attribute.value) for attribute in common),
    )


def shown(text: str) -> str:
    """Somebody else's text as a message may hold it: ASCII on one line, and not long."""
    return ascii(text[:_SHOWN])[: _SHOWN + 2]


def parse_anchors(certificates: Sequence[bytes], *, what: str) -> tuple[Certificate, ...]:
    """Certificates of CAs that the caller trusts; ``what`` is how errors call them.

    Raises:
        UndecidedError: one is no certificate of a CA.
    """
    anchors = []
    for number, der in enumerate(certificates):
        anchor = parse_trusted(der, where=f"{what}[{number}]")
        if not anchor.is_ca:
            raise UndecidedError(
                "not the certificate of a CA", where=f"{what}[{number}]", got=anchor.shown
            )
        anchors.append(anchor)
    return tuple(anchors)


def parse_timestamp_roots(certificates: Sequence[bytes], *, what: str) -> tuple[Certificate, ...]:
    """Roots of timestamp authorities that the caller trusts.

    Raises:
        UndecidedError: one is no self-signed certificate of a CA.
    """
    anchors = parse_anchors(certificates, what=what)
    for number, anchor in enumerate(anchors):
        if not anchor.is_self_issued:  # OpenSSL, which verifies tokens, ends no chain at another
            raise UndecidedError(
                "not a self-signed root", where=f"{what}[{number}]", got=anchor.shown
            )
    return anchors


def parse_trusted(der: bytes, *, where: str) -> Certificate:
    """A certificate that the caller names.

    Raises:
        UndecidedError: it cannot be read.
    """
    try:
        return parse_certificate(der, where=where)
    except MalformedError as e:
        raise UndecidedError(e.what, where=e.where, expected=e.expected, got=e.got) from e


# --- chains ----------------------------------------------------------------------------------


def find_chain(
    leaf: Certificate,
    others: Sequence[Certificate],
    anchors: Sequence[Certificate],
    *,
    usage: str,
    moment: datetime,
) -> tuple[Certificate, ...] | NoChain:
    """The chain from ``leaf`` to one of ``anchors`` whose certificates are all valid at ``moment``.

    The library follows RFC 5280 section 6 and is stricter: at most 8 CAs, RSA keys of at least 2048
    bits or NIST curves, SHA-2, no critical extension that it does not know. It gives up after a
    number of signatures, however many certificates of one name are given. Its profile for the web
    is not used: it demands names that certificates for code rarely have. Of CAs we demand what
    stands in `_authority_policy`. Of the leaf nothing is judged here.
    """
    others = [one for one in others if not _is_root(one)]  # would end nothing, and lead in circles
    every = {certificate.der: certificate for certificate in (leaf, *others, *anchors)}
    try:
        verifier = (
            PolicyBuilder()
            .store(Store([anchor.parsed for anchor in anchors]))
            .time(moment)
            .max_chain_depth(LIMITS.certificate_chain)
            .extension_policies(
                ca_policy=_authority_policy(usage), ee_policy=ExtensionPolicy.permit_all()
            )
            .build_client_verifier()
        )
        found = verifier.verify(leaf.parsed, [other.parsed for other in others]).chain
    except (VerificationError, *_UNREADABLE) as e:
        return NoChain(reason=_reason(str(e)))
    return tuple(every[one.public_bytes(serialization.Encoding.DER)] for one in found)


def _authority_policy(usage: str) -> ExtensionPolicy:
    """What a CA's certificate must and must not say.

    1. basicConstraints (RFC 5280 section 4.2.1.9); the library sees to cA and the path length
    2. keyUsage, if it is there, with keyCertSign (section 6.1.4 n)
    3. extendedKeyUsage, if it is there, with the usage of the leaf: a CA for servers certifies no
       code (as Go's crypto/x509 has it, and CA/B Forum's code signing requirements 7.1.2.3)
    4. nameConstraints only of the kinds that the library applies (section 4.2.1.10)
    """

    def key_usage(_: Policy, __: x509.Certificate, found: x509.KeyUsage | None) -> None:
        if found is not None and not found.key_cert_sign:
            _refuse("keyUsage of an issuer lacks keyCertSign")

    def extended(_: Policy, __: x509.Certificate, found: x509.ExtendedKeyUsage | None) -> None:
        if found is not None and not {one.dotted_string for one in found} & {usage, _ANY_USAGE}:
            _refuse(f"extendedKeyUsage of an issuer lacks {usage}")

    def names(_: Policy, __: x509.Certificate, found: x509.NameConstraints | None) -> None:
        # NOTE: the library passes over a directoryName constraint that is not critical
        kinds = (x509.DNSName, x509.RFC822Name, x509.IPAddress)
        if found is not None and not all(
            isinstance(one, kinds)
            for one in [*(found.permitted_subtrees or ()), *(found.excluded_subtrees or ())]
        ):
            _refuse("nameConstraints of an issuer are of an unsupported kind")

    return (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, key_usage)
        .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, extended)
        .may_be_present(x509.NameConstraints, Criticality.AGNOSTIC, names)
    )


def _refuse(reason: str) -> NoReturn:
    raise ValueError(reason)  # what the library expects of a callback that says no


def _reason(text: str) -> str:
    """The library's reason without its layers and without the names of certificates."""
    for end in (" (encountered processing", ": AlgorithmIdentifier", "\n"):
        text = text.split(end, 1)[0]
    for layer in (
        "validation failed: ",
        "candidates exhausted: ",
        "fatal error: ",
        "Python extension validator failed: ValueError: ",
    ):
        text = text.removeprefix(layer)
    if text == "all candidates exhausted with no interior errors":
        text = "none of the given certificates is its issuer's"
    return text[:_SHOWN].encode("ascii", "backslashreplace").decode("ascii")


def _is_root(certificate: Certificate) -> bool:
    return certificate.is_self_issued and is_issued_by(certificate, certificate)


def moments_of_overlap(leaf: Certificate, others: Sequence[Certificate]) -> tuple[datetime, ...]:
    """Times at one of which a chain is valid if it ever is, the latest first.

    The spans of a chain's certificates share a time only if they share their latest beginning.
    """
    beginnings = {leaf.not_before} | {other.not_before for other in others}
    return tuple(
        sorted(
            (one for one in beginnings if leaf.not_before <= one <= leaf.not_after), reverse=True
        )
    )


def is_issued_by(child: Certificate, issuer: Certificate) -> bool:
    """Whether the issuer's name and key are those that ``child`` was signed with."""
    try:
        child.parsed.verify_directly_issued_by(issuer.parsed)
    except (InvalidSignature, *_UNREADABLE):
        return False
    return True
