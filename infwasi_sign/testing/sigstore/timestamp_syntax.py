"""The ASN.1 of a timestamp: RFC 3161 within CMS (RFC 5652), as far as an authority needs it.

Written with the declarative ASN.1 of `cryptography`, which its authors call usable and not yet
stable; what others would bring (pyasn1-modules, asn1crypto) was last released in 2025 and 2022.
NOTE: DER leaves out what is a DEFAULT, so absent members below are the defaults of the RFCs.
"""

from typing import Annotated, Final

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.x509.oid import ObjectIdentifier

SIGNED_DATA: Final = ObjectIdentifier("1.2.840.113549.1.7.2")  # RFC 5652 section 5.1
TST_INFO: Final = ObjectIdentifier("1.2.840.113549.1.9.16.1.4")  # RFC 3161 section 2.4.2
CONTENT_TYPE: Final = ObjectIdentifier("1.2.840.113549.1.9.3")  # RFC 5652 section 11.1
MESSAGE_DIGEST: Final = ObjectIdentifier("1.2.840.113549.1.9.4")  # RFC 5652 section 11.2
SIGNING_TIME: Final = ObjectIdentifier("1.2.840.113549.1.9.5")  # RFC 5652 section 11.3
SIGNING_CERTIFICATE: Final = ObjectIdentifier("1.2.840.113549.1.9.16.2.47")  # RFC 5035, v2
SHA256: Final = ObjectIdentifier("2.16.840.1.101.3.4.2.1")  # RFC 5754 section 2.2
SHA384: Final = ObjectIdentifier("2.16.840.1.101.3.4.2.2")  # RFC 5754 section 2.3
SHA512: Final = ObjectIdentifier("2.16.840.1.101.3.4.2.3")  # RFC 5754 section 2.4
ECDSA_SHA256: Final = ObjectIdentifier("1.2.840.10045.4.3.2")  # RFC 5754 section 3.3


@asn1.sequence
class AlgorithmIdentifier:
    """RFC 5280 section 4.1.1.2, for algorithms whose only parameter is NULL."""

    algorithm: ObjectIdentifier
    parameters: asn1.Null | None


@asn1.sequence
class MessageImprint:
    """What was hashed, RFC 3161 section 2.4.1."""

    hash_algorithm: AlgorithmIdentifier
    hashed_message: bytes


@asn1.sequence
class TimeStampReq:
    """RFC 3161 section 2.4.1; extensions are not supported and make it unreadable."""

    version: int
    message_imprint: MessageImprint
    policy: ObjectIdentifier | None
    nonce: int | None
    cert_req: Annotated[bool, asn1.Default(False)]


@asn1.sequence
class Accuracy:
    """RFC 3161 section 2.4.2, in whole seconds."""

    seconds: int


@asn1.sequence
class TstInfo:
    """RFC 3161 section 2.4.2, without name and extensions."""

    version: int
    policy: ObjectIdentifier
    message_imprint: MessageImprint
    serial_number: int
    gen_time: asn1.GeneralizedTime
    accuracy: Accuracy
    nonce: int | None


@asn1.sequence
class EssCertIdV2:
    """RFC 5035 section 4; the hash is SHA-256, its default."""

    cert_hash: bytes


@asn1.sequence
class SigningCertificateV2:
    """RFC 5035 section 3, which RFC 5816 puts into timestamps."""

    certs: list[EssCertIdV2]


@asn1.sequence
class Attribute:
    """RFC 5652 section 5.3."""

    type: ObjectIdentifier
    values: asn1.SetOf[asn1.TLV]


@asn1.sequence
class IssuerAndSerialNumber:
    """RFC 5652 section 10.2.4."""

    issuer: asn1.TLV
    serial_number: int


@asn1.sequence
class SignerInfo:
    """RFC 5652 section 5.3."""

    version: int
    sid: IssuerAndSerialNumber
    digest_algorithm: AlgorithmIdentifier
    signed_attributes: Annotated[asn1.SetOf[Attribute], asn1.Implicit(0)]
    signature_algorithm: AlgorithmIdentifier
    signature: bytes


@asn1.sequence
class EncapsulatedContentInfo:
    """RFC 5652 section 5.2."""

    content_type: ObjectIdentifier
    content: Annotated[bytes, asn1.Explicit(0)]


@asn1.sequence
class SignedData:
    """RFC 5652 section 5.1, without revocation lists."""

    version: int
    digest_algorithms: asn1.SetOf[AlgorithmIdentifier]
    encapsulated: EncapsulatedContentInfo
    certificates: Annotated[asn1.SetOf[x509.Certificate] | None, asn1.Implicit(0)]
    signer_infos: asn1.SetOf[SignerInfo]


@asn1.sequence
class ContentInfo:
    """RFC 5652 section 3."""

    content_type: ObjectIdentifier
    content: Annotated[SignedData, asn1.Explicit(0)]


@asn1.sequence
class PkiStatusInfo:
    """RFC 3161 section 2.4.2; 0 is `granted`."""

    status: int


@asn1.sequence
class TimeStampResp:
    """RFC 3161 section 2.4.2."""

    status: PkiStatusInfo
    token: ContentInfo


def attribute(kind: ObjectIdentifier, value: object) -> Attribute:
    """An attribute with one value."""
    return Attribute(type=kind, values=asn1.SetOf([tlv(asn1.encode_der(value))]))


def tlv(der: bytes) -> asn1.TLV:
    """What was encoded already, to stand where the syntax says ANY."""
    return asn1.decode_der(asn1.TLV, der)
