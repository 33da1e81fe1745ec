"""Signing acts, by key and by identity: what `infwasi pack` signs with (`ports.Sealer`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infwasi_sign.adapters.bundle_signers import name_signer
from infwasi_sign.adapters.keys import KeyKind, parse_public_key, sign_payload
from infwasi_sign.domain.bundle import (
    PAYLOAD_TYPE,
    Bundle,
    Envelope,
    encode_bundle,
    pae,
    parse_bundle,
)
from infwasi_sign.domain.material import Certified, SigningMode
from infwasi_sign.domain.oms_bundle import (
    OmsBundle,
    OmsCertificateMaterial,
    encode_oms_bundle,
    parse_oms_bundle,
)
from infwasi_sign.quick_dataclass import dataclass

if TYPE_CHECKING:
    from datetime import datetime

    from infwasi_sign.adapters.certificate_signer import SigningCertificate
    from infwasi_sign.adapters.sigstore_signer import KeylessSigner
    from infwasi_sign.ports import Signer


@dataclass(frozen=True, kw_only=True, slots=True)
class KeySealer:
    """By a key, wherever it lies."""

    signer: Signer

    def seal(self, payload: bytes) -> Bundle:
        """See `ports.Sealer.seal`."""
        return sign_payload(self.signer, payload)

    def companion(self, payload: bytes) -> bytes:
        """See `ports.Sealer.companion`."""
        from infwasi_sign.adapters.oms_keys import sign_oms  # noqa: PLC0415 - for packing only

        return sign_oms(self.signer, payload)

    @property
    def known_as(self) -> str | None:
        """See `ports.Sealer.known_as`."""
        key = parse_public_key(self.signer.public_key(), where="the signer's public key")
        return f"sha256:{key.fingerprint}"

    @property
    def obstacle(self) -> str | None:
        """OMS v1.0 has no Ed25519."""
        key = parse_public_key(self.signer.public_key(), where="the signer's public key")
        return "OMS has no Ed25519 keys" if key.kind is KeyKind.ED25519 else None


@dataclass(frozen=True, kw_only=True, slots=True)
class CertificateSealer:
    """By a key with a certificate of an own authority, and a timestamp if there is a URL for one.

    The manifest carries the leaf only: Sigstore's v0.3 has no place for more, and its readers
    refuse a chain. The OMS companion carries the chain, for `model_signing` finds it nowhere else.
    """

    signer: Signer
    certificate: SigningCertificate
    timestamp_url: str | None
    now: datetime

    def seal(self, payload: bytes) -> Bundle:
        """See `ports.Sealer.seal`."""
        signature = self._sign(payload)
        material = Certified(
            certificate=self.certificate.leaf, timestamps=self._timestamps(signature)
        )
        envelope = Envelope(payload=payload, payload_type=PAYLOAD_TYPE, signature=signature)
        return parse_bundle(encode_bundle(Bundle(envelope=envelope, material=material)))

    def companion(self, payload: bytes) -> bytes:
        """See `ports.Sealer.companion`."""
        signature = self._sign(payload)
        material = OmsCertificateMaterial(
            certificates=(self.certificate.leaf, *self.certificate.chain),
            timestamps=self._timestamps(signature),
        )
        envelope = Envelope(payload=payload, payload_type=PAYLOAD_TYPE, signature=signature)
        written = encode_oms_bundle(OmsBundle(envelope=envelope, material=material))
        parse_oms_bundle(written, SigningMode.CERTIFICATE)  # what nobody could read is not written
        return written

    @property
    def known_as(self) -> str | None:
        """See `ports.Sealer.known_as`."""
        return name_signer(Certified(certificate=self.certificate.leaf, timestamps=()))

    @property
    def obstacle(self) -> str | None:
        """There is none: the keys of certificates are of the curves that OMS has."""
        return None

    def _sign(self, payload: bytes) -> bytes:
        """A signature that the certificate's key verifies; the chain is the verifier's to judge."""
        from infwasi_sign.adapters.certificates import require_signed_by  # noqa: PLC0415 - rarely

        data = pae(PAYLOAD_TYPE, payload)
        signature = self.signer.sign(data)
        require_signed_by(self.certificate.leaf, signature, data)
        return signature

    def _timestamps(self, signature: bytes) -> tuple[bytes, ...]:
        if self.timestamp_url is None:
            return ()
        from infwasi_sign.adapters.timestamp_request import (  # noqa: PLC0415 - rarely
            request_timestamp,
        )

        return (request_timestamp(self.timestamp_url, signature=signature, now=self.now),)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeylessSealer:
    """By an identity: both bundles under one certificate, each with its own log entry."""

    signer: KeylessSigner

    def seal(self, payload: bytes) -> Bundle:
        """See `ports.Sealer.seal`."""
        return self.signer.sign(payload)

    def companion(self, payload: bytes) -> bytes:
        """See `ports.Sealer.companion`."""
        return encode_bundle(self.signer.sign(payload))

    @property
    def known_as(self) -> str | None:
        """See `ports.Sealer.known_as`; of some issuers' identities only their certificate tells."""
        return self.signer.expected_as

    @property
    def obstacle(self) -> str | None:
        """There is none."""
        return None
