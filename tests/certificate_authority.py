"""A company's CA and a timestamp authority, made by the run; each can do what it must not do."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infwasi_sign.domain.certified import CertificateTrust, TimestampRule

NOW: Final = datetime(2026, 11, 2, 12, tzinfo=UTC)
DAY: Final = timedelta(days=1)
IDENTITY: Final = "release@example.com"

Key: TypeAlias = CertificateIssuerPrivateKeyTypes
Extensions: TypeAlias = Sequence[tuple[x509.ExtensionType, bool]]
Span: TypeAlias = tuple[datetime, datetime]

YEARS: Final[Span] = (NOW - 700 * DAY, NOW + 3000 * DAY)
MONTHS: Final[Span] = (NOW - 60 * DAY, NOW + 60 * DAY)
OVER: Final[Span] = (NOW - 60 * DAY, NOW - 10 * DAY)
AHEAD: Final[Span] = (NOW + 10 * DAY, NOW + 60 * DAY)

CODE_SIGNING: Final = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False)
TIME_STAMPING: Final = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), True)


@cache
def p256(name: str) -> ec.EllipticCurvePrivateKey:
    """The key that a run knows by ``name``."""
    return ec.generate_private_key(ec.SECP256R1())


@cache
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def usage(*, signs: bool = False, certifies: bool = False) -> tuple[x509.KeyUsage, bool]:
    unused = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    found = x509.KeyUsage(
        digital_signature=signs,
        key_cert_sign=certifies,
        crl_sign=certifies,
        encipher_only=False,
        decipher_only=False,
        **dict.fromkeys(unused, False),
    )
    return found, True


def alternative(*names: x509.GeneralName) -> tuple[x509.SubjectAlternativeName, bool]:
    return x509.SubjectAlternativeName(names), False


def email(name: str) -> tuple[x509.SubjectAlternativeName, bool]:
    return alternative(x509.RFC822Name(name))


@dataclass(frozen=True)
class Issued:
    """A certificate and the key that it is for."""

    certificate: x509.Certificate
    key: Key

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def sign(self, data: bytes) -> bytes:
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            is_long = isinstance(self.key.curve, ec.SECP384R1)
            digest = hashes.SHA384() if is_long else hashes.SHA256()
            return self.key.sign(data, ec.ECDSA(digest, deterministic_signing=True))
        assert isinstance(self.key, rsa.RSAPrivateKey)
        return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def certify(
    name: str | x509.Name,
    issuer: Issued | None,
    extensions: Extensions,
    *,
    key: Key | None = None,
    span: Span = YEARS,
    serial: int | None = None,
) -> Issued:
    """A certificate with just these extensions; without an issuer it is self-signed."""
    subject = name if isinstance(name, x509.Name) else common_name(name)
    key = key or p256(subject.rfc4514_string())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(span[0])
        .not_valid_after(span[1])
    )
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, is_critical)
    signed = builder.sign(issuer.key if issuer else key, hashes.SHA256())
    return Issued(certificate=signed, key=key)


def common_name(*names: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])


def ca(
    name: str,
    issuer: Issued | None = None,
    *,
    path_length: int | None = None,
    more: Extensions = (),
    key: Key | None = None,
    span: Span = YEARS,
) -> Issued:
    extensions = (
        (x509.BasicConstraints(ca=True, path_length=path_length), True),
        usage(certifies=True),
        *more,
    )
    return certify(name, issuer, extensions, key=key, span=span)


NOT_A_CA: Final = (x509.BasicConstraints(ca=False, path_length=None), True)


SIGNS: Final = usage(signs=True)
SIGNS_CODE: Final = (SIGNS, CODE_SIGNING)
NAMED: Final = (email(IDENTITY),)
STAMPS: Final = (NOT_A_CA, SIGNS, TIME_STAMPING)


def leaf(
    issuer: Issued | None,
    name: str | x509.Name = "Release",
    *,
    names: Extensions = NAMED,
    usages: Extensions = SIGNS_CODE,
    more: Extensions = (NOT_A_CA,),
    key: Key | None = None,
    span: Span = MONTHS,
) -> Issued:
    """A certificate for signing code."""
    extensions = (*more, *usages, *names)
    return certify(name, issuer, extensions, key=key, span=span)


_RSA_SHA256 = bytes.fromhex("06092a864886f70d01010b")  # RFC 4055 section 5
_RSA_SHA1 = bytes.fromhex("06092a864886f70d010105")  # RFC 3279 section 2.2.1


def with_sha1(issued: Issued, issuer: Issued) -> Issued:
    """The same certificate signed by the same RSA key, with SHA-1; the library signs none."""
    key = issuer.key
    assert isinstance(key, rsa.RSAPrivateKey)
    signed = issued.certificate.tbs_certificate_bytes.replace(_RSA_SHA256, _RSA_SHA1)
    signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 -- an attack
    algorithm = tlv(0x30, _RSA_SHA1, b"\x05\0")
    der = tlv(0x30, signed, algorithm, tlv(0x03, b"\0", signature))
    return Issued(certificate=x509.load_der_x509_certificate(der), key=issued.key)


# --- timestamps --------------------------------------------------------------------------------

_SHA256 = bytes.fromhex("300d06096086480165030402010500")  # AlgorithmIdentifier, RFC 5754
_SHA1 = bytes.fromhex("300906052b0e03021a0500")
_ECDSA = {"sha256": bytes.fromhex("300a06082a8648ce3d040302")}  # RFC 5758 section 3.2
_ECDSA["sha1"] = bytes.fromhex("300906072a8648ce3d0401")
_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
_TST_INFO = bytes.fromhex("060b2a864886f70d0109100104")
_DATA = bytes.fromhex("06092a864886f70d010701")
_CONTENT_TYPE = bytes.fromhex("06092a864886f70d010903")
_MESSAGE_DIGEST = bytes.fromhex("06092a864886f70d010904")
_SIGNING_CERTIFICATE_V2 = bytes.fromhex("060b2a864886f70d010910022f")
_POLICY = bytes.fromhex("06032a0304")


def tlv(tag: int, *content: bytes) -> bytes:
    """One DER element (X.690 sections 8.1.3 and 10.1)."""
    body = b"".join(content)
    size = len(body)
    if size < 0x80:
        return bytes([tag, size]) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def integer(number: int) -> bytes:
    return tlv(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """What a token says; each field but the first two can be false."""

    signature: bytes
    at: datetime
    nonce: int | None = None
    serial: int = 1
    status: int = 0
    imprint: str = "sha256"
    digest: str = "sha256"  # of the CMS signature
    names: bytes | None = None  # the certificate that the signed attributes name
    is_named: bool = True  # they name one
    signers: int = 1
    content_type: bytes = _TST_INFO
    has_attributes: bool = True
    certificates: tuple[Issued, ...] | None = None
    change: Callable[[bytes], bytes] = field(default=lambda info: info)  # after it was signed


@dataclass(frozen=True)
class TimestampAuthority:
    """A timestamp authority (RFC 3161): a certificate, its key, and the CAs above it."""

    own: Issued
    above: tuple[Issued, ...] = ()

    def stamp(self, signature: bytes, at: datetime = NOW) -> bytes:
        return self.answer(Stamp(signature=signature, at=at))

    def answer(self, stamp: Stamp) -> bytes:
        """A TimeStampResp, DER (section 2.4.2)."""
        status = tlv(0x30, integer(stamp.status))
        if stamp.status:
            return tlv(0x30, status)
        algorithms = {"sha256": _SHA256, "sha1": _SHA1}
        algorithm = algorithms[stamp.digest]
        imprint = hashlib.new(stamp.imprint, stamp.signature).digest()
        info = tlv(
            0x30,
            integer(1),
            _POLICY,
            tlv(0x30, algorithms[stamp.imprint], tlv(0x04, imprint)),
            integer(stamp.serial),
            tlv(0x18, stamp.at.strftime("%Y%m%d%H%M%SZ").rjust(15, "0").encode()),
            integer(stamp.nonce) if stamp.nonce is not None else b"",
        )
        certificates = stamp.certificates
        if certificates is None:
            certificates = (self.own, *self.above)
        shown = b"".join(sorted(one.der for one in certificates))
        data = tlv(
            0x30,
            integer(3),
            tlv(0x31, algorithm),
            tlv(0x30, _TST_INFO, tlv(0xA0, tlv(0x04, stamp.change(info)))),
            tlv(0xA0, shown) if shown else b"",
            tlv(0x31, *[self._signer(stamp, info, algorithm)] * stamp.signers),
        )
        return tlv(0x30, status, tlv(0x30, _SIGNED_DATA, tlv(0xA0, data)))

    def _signer(self, stamp: Stamp, info: bytes, algorithm: bytes) -> bytes:
        """The SignerInfo (RFC 5652 section 5.3); the digest of a SET OF is over its own tag."""
        own = self.own.certificate
        named = hashlib.sha256(stamp.names or self.own.der).digest()
        values = (
            (_CONTENT_TYPE, stamp.content_type),
            (_MESSAGE_DIGEST, tlv(0x04, hashlib.new(stamp.digest, info).digest())),
            (_SIGNING_CERTIFICATE_V2, tlv(0x30, tlv(0x30, tlv(0x30, tlv(0x04, named))))),
        )
        said = values if stamp.is_named else values[:2]
        attributes = b"".join(sorted(tlv(0x30, kind, tlv(0x31, value)) for kind, value in said))
        key = self.own.key
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        digest = {"sha256": hashes.SHA256(), "sha1": hashes.SHA1()}[stamp.digest]  # noqa: S303 -- an attack
        signed = tlv(0x31, attributes) if stamp.has_attributes else info
        return tlv(
            0x30,
            integer(1),
            tlv(0x30, own.issuer.public_bytes(), integer(own.serial_number)),
            algorithm,
            tlv(0xA0, attributes) if stamp.has_attributes else b"",
            _ECDSA[stamp.digest],
            tlv(0x04, key.sign(signed, ec.ECDSA(digest, deterministic_signing=True))),
        )


def stamper(
    issuer: Issued | None,
    name: str = "Timestamps",
    *,
    extensions: Extensions = STAMPS,
    span: Span = YEARS,
    above: tuple[Issued, ...] = (),
) -> TimestampAuthority:
    own = certify(name, issuer, extensions, span=span)
    return TimestampAuthority(own, above)


# --- an honest company -------------------------------------------------------------------------

ROOT_CA: Final = ca("Example Root")
ISSUING_CA: Final = ca("Example Issuing CA", ROOT_CA, path_length=0)
RELEASE: Final = leaf(ISSUING_CA)
TIME_ROOT: Final = ca("Time Root")
TIME_CA: Final = ca("Time CA", TIME_ROOT)
TIME: Final = stamper(TIME_CA, above=(TIME_CA,))

OTHER_ROOT: Final = ca("Other Root")
OTHER_TIME_ROOT: Final = ca("Other Time Root")


def trusting(
    *,
    identity: str = IDENTITY,
    roots: Sequence[Issued] = (ROOT_CA,),
    intermediates: Sequence[Issued] = (),
    timestamp_roots: Sequence[Issued] = (TIME_ROOT,),
    rule: TimestampRule = TimestampRule.CURRENT_TIME,
) -> CertificateTrust:
    """What a policy says of the release team."""
    return CertificateTrust(
        name="release",
        identity=identity,
        roots=tuple(one.der for one in roots),
        intermediates=tuple(one.der for one in intermediates),
        timestamp_roots=tuple(one.der for one in timestamp_roots),
        timestamp=rule,
    )
