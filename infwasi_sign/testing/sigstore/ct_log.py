"""The Certificate Transparency log: it signs what Fulcio issues (RFC 6962)."""

import struct
from typing import Final

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.x509.oid import ObjectIdentifier

from infwasi_sign.testing.sigstore.faults import Fault
from infwasi_sign.testing.sigstore.signing_keys import Clock, PublicKey, key_id, new_p256, sign

# RFC 6962 section 3.3
_SCT_LIST: Final = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_V1: Final = 0  # Version, section 3.2
_CERTIFICATE_TIMESTAMP: Final = 0  # SignatureType, section 3.2
_PRECERT_ENTRY: Final = 1  # LogEntryType, section 3.1
_SHA256: Final = 4  # HashAlgorithm, RFC 5246 section 7.4.1.4.1
_ECDSA: Final = 3  # SignatureAlgorithm, the same section


class CtLog:
    """Issues signed certificate timestamps (SCTs) to embed into certificates."""

    def __init__(self, *, faults: frozenset[Fault], now: Clock) -> None:
        self._key = new_p256()
        self._now = now
        self._faults = faults
        is_unknown = Fault.SCT_BY_UNKNOWN_LOG in faults
        self.listed_key: PublicKey = (new_p256() if is_unknown else self._key).public_key()
        """What the trusted root says the key is."""

    def sct_extension(self, tbs: bytes, issuer_key_id: bytes) -> x509.UnrecognizedExtension:
        """The extension that makes a certificate of a precertificate.

        ``tbs`` is the TBSCertificate without this extension, ``issuer_key_id`` the SHA-256 of the
        issuer's SubjectPublicKeyInfo (RFC 6962 section 3.2, PreCert).
        """
        milliseconds = int(self._now().timestamp() * 1000)
        signed = (
            struct.pack("!BBQH", _V1, _CERTIFICATE_TIMESTAMP, milliseconds, _PRECERT_ENTRY)
            + issuer_key_id
            + len(tbs).to_bytes(3, "big")
            + tbs
            + struct.pack("!H", 0)  # no extensions
        )
        if Fault.SCT_BAD_SIGNATURE in self._faults:
            signed += b"\x00"
        signature = sign(self._key, signed)
        sct = (
            struct.pack("!B32sQH", _V1, key_id(self._key.public_key()), milliseconds, 0)
            + struct.pack("!BBH", _SHA256, _ECDSA, len(signature))
            + signature
        )
        # A list of one in TLS form, wrapped into an OCTET STRING (section 3.3).
        tls_list = struct.pack("!HH", 2 + len(sct), len(sct)) + sct
        return x509.UnrecognizedExtension(_SCT_LIST, asn1.encode_der(tls_list))
