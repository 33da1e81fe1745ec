"""The lines of the control table about certificates, identities and companions."""

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, Final

from cryptography import x509

from infwasi_sign.adapters import certificate_verifier, certificates, sigstore_identity
from infwasi_sign.adapters.signature_modes import ModeVerifier
from infwasi_sign.adapters.sigstore_identity import KeylessVerifier, TrustedIdentity
from infwasi_sign.domain.bundle import PAYLOAD_TYPE, Bundle, read_bundle
from infwasi_sign.domain.material import Certified, Logged, SigningMode, mode_of
from infwasi_sign.domain.oms_bundle import parse_oms_bundle
from infwasi_sign.domain.signer import SignerIdentity
from infwasi_sign.domain.trust_root import TrustRoot
from tests.forge import NOW
from tests.gym.control import Control, Switch
from tests.test_controls import (
    COMPANION,
    COMPANION_FILES,
    COMPANION_SIGNED,
    COMPANION_STATED,
    anybody,
    believed,
    nothing,
)

# --- modes ------------------------------------------------------------------------------------


def _whatever_mode(self: ModeVerifier, found: Bundle) -> SignerIdentity:
    """As `ModeVerifier.verify`, but the bundle says in which mode it is to be verified."""
    if mode_of(found.material) in self._verifiers:
        return _MODES(self, found)
    return anybody()


_MODES: Final = ModeVerifier.verify

# --- identities -------------------------------------------------------------------------------


def _certificate(found: Bundle) -> x509.Certificate:
    assert isinstance(found.material, Logged)
    return x509.load_der_x509_certificate(found.material.certificate)


def _believed(_: TrustRoot, found: Bundle) -> tuple[x509.Certificate, str, bytes]:
    """As `_verified`, but signature, log and times are not looked at."""
    return _certificate(found), PAYLOAD_TYPE, found.envelope.payload


def _fooled(_: TrustRoot, found: Bundle) -> tuple[x509.Certificate, str, bytes]:
    """As `_verified`, but what it verified is something else in the same JSON."""
    return _certificate(found), PAYLOAD_TYPE, b"{}"


def _whoever(self: KeylessVerifier, found: Bundle) -> SignerIdentity:
    """As `KeylessVerifier.verify`, but everybody for whom somebody vouches will do."""
    certificate, _, _ = sigstore_identity._verified(self._loaded(), found)
    return SignerIdentity(
        name="anybody",
        fingerprint=sigstore_identity._fingerprint(certificate),
        algorithm="any",
        mode=SigningMode.KEYLESS,
    )


def _fits_whoever_vouches(self: TrustedIdentity, identity: str, _: str) -> bool:
    return _FITS(self, identity, self.issuer)


def _fits_beginning(self: TrustedIdentity, identity: str, issuer: str) -> bool:
    if self.identity:
        return issuer == self.issuer and identity.startswith(self.identity)
    return _FITS(self, identity, issuer)


def _fits_somewhere(self: TrustedIdentity, identity: str, issuer: str) -> bool:
    if self.pattern is not None:
        return issuer == self.issuer and fnmatchcase(identity, f"*{self.pattern}*")
    return _FITS(self, identity, issuer)


_FITS: Final = TrustedIdentity.fits


def _always(self: TrustRoot, _: object) -> str:
    """As `TrustRoot.at`, but who was trusted once is trusted for ever."""
    return self.config


def _keyless_companion(self: KeylessVerifier, data: bytes, _: SignerIdentity) -> bytes:
    """As `KeylessVerifier.verify_companion`, under whatever certificate."""
    found = read_bundle(data)
    self.verify(found)
    return found.envelope.payload


# --- certificates -----------------------------------------------------------------------------


def _certified_companion(
    self: certificate_verifier.CertificateVerifier, data: bytes, _: SignerIdentity
) -> bytes:
    """As `CertificateVerifier.verify_companion`, under whatever certificate."""
    found = parse_oms_bundle(data, SigningMode.CERTIFICATE)
    self.verify_oms(found)
    return found.envelope.payload


def _any_holder(_: certificate_verifier.CertificateVerifier, found: Bundle) -> SignerIdentity:
    """As `CertificateVerifier.verify`, but whoever has a certificate will do."""
    assert isinstance(found.material, Certified)
    leaf = x509.load_der_x509_certificate(found.material.certificate)
    return SignerIdentity(
        name="anybody",
        fingerprint=sigstore_identity._fingerprint(leaf),
        algorithm="any",
        mode=SigningMode.CERTIFICATE,
    )


def _judged_well(*_: object) -> SignerIdentity:
    return replace(anybody(), mode=SigningMode.CERTIFICATE)


def _any_usage(*_: object, **__: object) -> str:
    """As `require_code_signing`, but all certificates are for signing code."""
    return "secp256r1"


def _any_time(*_: object) -> list[Any]:
    """As `_trusted_times`, but what is said there is not looked at."""
    return [NOW]


def _no_chain(*_: object) -> tuple[Any, ...]:
    return ()


# --- the switches -----------------------------------------------------------------------------

MODE: Final[Switch] = (ModeVerifier, "verify", _whatever_mode)
VOUCHED: Final[Switch] = (sigstore_identity, "_verified", _believed)
FOOLED: Final[Switch] = (sigstore_identity, "_verified", _fooled)
READ_ALIKE: Final[Switch] = (sigstore_identity, "_require_read_alike", nothing)
STAMPS: Final[Switch] = (sigstore_identity, "_require_every_timestamp", nothing)
LISTED: Final[Switch] = (sigstore_identity, "_require_listed_log", nothing)
THEN: Final[Switch] = (TrustRoot, "at", _always)
WHO: Final[Switch] = (KeylessVerifier, "verify", _whoever)
ISSUER: Final[Switch] = (TrustedIdentity, "fits", _fits_whoever_vouches)
WHOLE: Final[Switch] = (TrustedIdentity, "fits", _fits_beginning)
PATTERN: Final[Switch] = (TrustedIdentity, "fits", _fits_somewhere)
COMPANION_IN_MODE: Final[Switch] = (ModeVerifier, "verify_companion", believed)
SAME_IDENTITY: Final[Switch] = (KeylessVerifier, "verify_companion", _keyless_companion)

_VERIFIER: Final = certificate_verifier.CertificateVerifier
HOLDER: Final[Switch] = (_VERIFIER, "verify", _any_holder)
JUDGED: Final[Switch] = (_VERIFIER, "_judge", _judged_well)
SAME_CERTIFICATE: Final[Switch] = (_VERIFIER, "verify_companion", _certified_companion)
USAGE: Final[Switch] = (certificates, "require_code_signing", _any_usage)
MADE: Final[Switch] = (certificates, "_require_made", nothing)
STAMPED: Final[Switch] = (certificates, "_trusted_times", _any_time)
CHAIN: Final[Switch] = (certificates, "_require_chain", _no_chain)
NAMED: Final[Switch] = (certificates, "_require_identity", nothing)

MODE_CONTROLS: Final = (
    Control(2, "the mode that is trusted", (MODE, COMPANION_IN_MODE), ("signed-in-another-mode",)),
    Control(2, "an identity's signature", (VOUCHED,), ("keyless-bits", "keyless-parts-of-another")),
    Control(2, "an identity's log entry", (VOUCHED,), ("keyless-entry-lies",)),
    Control(2, "used as verified", (FOOLED, READ_ALIKE), ("keyless-parts-of-another",)),
    Control(2, "every timestamp of an identity", (STAMPS,), ("keyless-timestamps-lie",)),
    Control(2, "the log that is named", (LISTED,), ("keyless-entry-lies",)),
    Control(2, "trusted at that time", (THEN,), ("keyless-by-the-retired",)),
    Control(2, "an identity that is trusted", (WHO, SAME_IDENTITY), ("keyless-of-somebody-else",)),
    Control(2, "the issuer", (ISSUER,), ("keyless-identity-rules",)),
    Control(2, "the whole identity", (WHOLE,), ("keyless-identity-rules",)),
    Control(2, "the whole pattern", (PATTERN,), ("keyless-identity-rules",)),
    Control(2, "a holder who is trusted", (HOLDER,), ("certificate-swapped",)),
    Control(2, "certificate, times and chain", (JUDGED,), ("certificate-of-no-trusted-root",)),
    Control(2, "for signing code", (USAGE,), ("certificate-for-something-else",)),
    Control(2, "a certificate's signature", (MADE,), ("certificate-swapped",)),
    Control(2, "a certificate's timestamps", (STAMPED,), ("timestamps-lie",)),
    Control(2, "a chain to a root", (CHAIN,), ("certificate-of-no-trusted-root",)),
    Control(2, "a chain in its time", (CHAIN,), ("certificate-out-of-its-time",)),
    Control(2, "the holder's name", (NAMED,), ("certificate-of-somebody-else",)),
    Control(3, "the companion that is declared", (COMPANION,), ("companion-taken-away",)),
    Control(3, "a companion's signature", (COMPANION_SIGNED,), ("companion-by-a-stranger",)),
    Control(3, "one identity for both", (SAME_IDENTITY,), ("companion-under-another-certificate",)),
    Control(
        3, "one certificate for both", (SAME_CERTIFICATE,), ("companion-under-another-certificate",)
    ),
    Control(3, "a companion's payload", (COMPANION_STATED,), ("companion-of-another-payload",)),
    Control(3, "a companion's files", (COMPANION_FILES,), ("companion-says-other",)),
)
