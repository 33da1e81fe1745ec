"""Certificate authorities of an instance: a root and what it issues (RFC 5280)."""

from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from infwasi_sign.quick_dataclass import dataclass
from infwasi_sign.testing.sigstore.exchange import RequestError
from infwasi_sign.testing.sigstore.signing_keys import new_p256, new_p384, require_p256

ORGANIZATION: Final = "private-sigstore.test"

# The hierarchies hold at every time that an injected clock is likely to say.
NOT_BEFORE: Final = datetime(2000, 1, 1, tzinfo=UTC)
NOT_AFTER: Final = datetime(2100, 1, 1, tzinfo=UTC)

# What `cryptography` raises for bytes that are not, or not quite, what they should be.
UNREADABLE: Final = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion)

CODE_SIGNING: Final = ExtendedKeyUsageOID.CODE_SIGNING
TIME_STAMPING: Final = ExtendedKeyUsageOID.TIME_STAMPING


@dataclass(frozen=True, kw_only=True, slots=True)
class Authority:
    """A key that signs for others, its certificate, and the root above it."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    root: x509.Certificate

    @property
    def chain(self) -> tuple[x509.Certificate, x509.Certificate]:
        """From the authority to its root."""
        return self.certificate, self.root


def new_certificate_authority(name: str) -> Authority:
    """A Fulcio: an intermediate that may issue for code signing only, under a root."""
    root_key, key = new_p384(), new_p384()
    root = _issue(f"{name} root", root_key, issuer=None, issuer_key=root_key, path_length=1)
    certificate = _issue(
        name, key, issuer=root, issuer_key=root_key, path_length=0, usage=CODE_SIGNING
    )
    return Authority(key=key, certificate=certificate, root=root)


def new_timestamp_authority(name: str, usage: ObjectIdentifier = TIME_STAMPING) -> Authority:
    """A TSA: a leaf that may do nothing but ``usage`` (RFC 3161 section 2.3), under a root."""
    root_key, key = new_p384(), new_p256()
    root = _issue(f"{name} root", root_key, issuer=None, issuer_key=root_key, path_length=0)
    certificate = _issue(name, key, issuer=root, issuer_key=root_key, usage=usage)
    return Authority(key=key, certificate=certificate, root=root)


def key_usage(*, ca: bool) -> x509.KeyUsage:
    """Signing certificates for an authority, signing other things for everybody else."""
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def pem(certificate: x509.Certificate) -> str:
    """The certificate as text (RFC 7468)."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def der(certificate: x509.Certificate) -> bytes:
    """The certificate as DER."""
    return certificate.public_bytes(serialization.Encoding.DER)


def signer_key(certificate: bytes) -> ec.EllipticCurvePublicKey:
    """The key of a signer's certificate, which is PEM or DER.

    Raises:
        RequestError: it is no certificate, or the key is not on P-256.
    """
    try:
        if certificate.startswith(b"-----BEGIN"):
            parsed = x509.load_pem_x509_certificate(certificate)
        else:
            parsed = x509.load_der_x509_certificate(certificate)
        return require_p256(parsed.public_key())
    except UNREADABLE as e:
        raise RequestError("verifier is not a certificate") from e


def somebody_elses_certificate() -> x509.Certificate:
    """A certificate that nobody asked for."""
    key = new_p256()
    return _issue("somebody else", key, issuer=None, issuer_key=key, usage=CODE_SIGNING)


def _issue(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    *,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
    path_length: int | None = None,
    usage: ObjectIdentifier | None = None,
) -> x509.Certificate:
    is_ca = path_length is not None
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=path_length), critical=True)
        .add_extension(key_usage(ca=is_ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    if usage is not None:
        # NOTE: critical for a TSA (RFC 3161 section 2.3); for an intermediate it must not be, or
        # the verifier of `cryptography` refuses the chain.
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=not is_ca)
    return builder.sign(issuer_key, hashes.SHA384() if is_ca or issuer else hashes.SHA256())
