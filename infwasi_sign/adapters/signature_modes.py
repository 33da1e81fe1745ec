"""Everybody who is trusted, whatever they sign with; the bundle's mode decides who is asked.

The mode is the policy's to choose: a bundle made in a mode in which nobody is trusted is refused
like one by a stranger, and there is no falling back from one to the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from datetime import datetime
from typing import TYPE_CHECKING

from infwasi_sign.adapters.keys import KeyVerifier, TrustedKey
from infwasi_sign.adapters.trust_root import default_trust_root
from infwasi_sign.domain.material import SigningMode, mode_of, wrong_mode
from infwasi_sign.errors import UndecidedError
from infwasi_sign.quick_dataclass import dataclass

if TYPE_CHECKING:
    from infwasi_sign.adapters.sigstore_identity import TrustedIdentity
    from infwasi_sign.domain.bundle import Bundle
    from infwasi_sign.domain.certified import CertificateTrust
    from infwasi_sign.domain.signer import SignerIdentity
    from infwasi_sign.domain.trust_root import TrustRoot
    from infwasi_sign.ports import SignatureVerifier


@dataclass(frozen=True, kw_only=True, slots=True)
class TrustedSigners:
    """Whom a policy names, by the ways in which they sign."""

    keys: tuple[TrustedKey, ...] = ()
    certificates: tuple[CertificateTrust, ...] = ()
    identities: tuple[TrustedIdentity, ...] = ()
    trust_root: Callable[[], TrustRoot] = field(default=default_trust_root, repr=False)


class ModeVerifier:
    """Asks the verifier of a bundle's mode; implements `ports.SignatureVerifier`."""

    def __init__(self, trusted: TrustedSigners, now: datetime) -> None:
        """Trust these and nobody else.

        Raises:
            UndecidedError: that is nobody, or a key stands there twice.
        """
        self._verifiers: dict[SigningMode, SignatureVerifier] = {}
        if trusted.keys:
            self._verifiers[SigningMode.KEY] = KeyVerifier(trusted.keys)
        if trusted.certificates:
            from infwasi_sign.adapters.certificate_verifier import (  # noqa: PLC0415 - 60 ms
                CertificateVerifier,
            )

            self._verifiers[SigningMode.CERTIFICATE] = CertificateVerifier(
                trusted.certificates, now
            )
        if trusted.identities:
            from infwasi_sign.adapters.sigstore_identity import KeylessVerifier  # noqa: PLC0415

            self._verifiers[SigningMode.KEYLESS] = KeylessVerifier(
                trusted.identities, trusted.trust_root, now
            )
        if not self._verifiers:
            raise UndecidedError("nobody is trusted", hint="name the signer's public key")

    def verify(self, bundle: Bundle) -> SignerIdentity:
        """The trusted signer of ``bundle``.

        Raises:
            RefusedError: as `ports.SignatureVerifier.verify`.
        """
        mode = mode_of(bundle.material)
        if mode not in self._verifiers:
            raise wrong_mode(min(self._verifiers), bundle.material)
        return self._verifiers[mode].verify(bundle)

    def verify_companion(self, data: bytes, packer: SignerIdentity) -> bytes:
        """See `ports.SignatureVerifier.verify_companion`; the mode is the packer's."""
        return self._verifiers[packer.mode].verify_companion(data, packer)
