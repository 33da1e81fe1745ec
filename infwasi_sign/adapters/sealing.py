"""Signing acts, by key and by identity: what `infwasi pack` signs with (`ports.Sealer`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infwasi_sign.adapters.keys import KeyKind, parse_public_key, sign_payload
from infwasi_sign.domain.bundle import Bundle, encode_bundle

if TYPE_CHECKING:
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
    def obstacle(self) -> str | None:
        """OMS v1.0 has no Ed25519."""
        key = parse_public_key(self.signer.public_key(), where="the signer's public key")
        return "OMS has no Ed25519 keys" if key.kind is KeyKind.ED25519 else None


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
    def obstacle(self) -> str | None:
        """There is none."""
        return None
