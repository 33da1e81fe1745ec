"""Keyless signatures: identities that a Sigstore instance vouches for. The door of ``sigstore``.

sigstore-python checks certificate, log entry and timestamps, offline, from the trust root alone. It
does not say who must have signed, nor what: both are checked here and by the caller. Importing it
costs 0.4 s, so only the functions that need it do.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from infwasi_sign.adapters.unprobed import unprobed
from infwasi_sign.domain.bundle import PAYLOAD_TYPE, Bundle, encode_bundle, read_bundle
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.material import Logged, SigningMode, wrong_mode
from infwasi_sign.domain.oms_bundle import OmsBundle, OmsKeylessMaterial
from infwasi_sign.domain.signer import SignerIdentity, require_same_certificate
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError, UndecidedError
from infwasi_sign.quick_dataclass import dataclass

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from infwasi_sign.domain.trust_root import TrustRoot

# Fulcio's extensions (github.com/sigstore/fulcio, docs/oid-info.md): .1 is the issuer as raw text
# and deprecated, .8 the same as a DER UTF8String; .7 is an identity that is neither mail nor URI.
_ISSUER_V1: Final = "1.3.6.1.4.1.57264.1.1"
_ISSUER_V2: Final = "1.3.6.1.4.1.57264.1.8"
_OTHER_NAME: Final = "1.3.6.1.4.1.57264.1.7"
_CURVES: Final = {"secp256r1": "p256", "secp384r1": "p384", "secp521r1": "p521"}
_UTF8_STRING: Final = 0x0C  # DER tag, X.690 section 8.23
_SHORT: Final = 0x80  # below it, a length is one byte (X.690 section 8.1.3.4)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrustedIdentity:
    """An identity that counts under the name ``name``: exactly, or by a shell pattern; never both.

    The issuer is always exact: a pattern on it would let anybody vouch.
    """

    name: str
    issuer: str
    identity: str | None = None
    pattern: str | None = None

    def fits(self, identity: str, issuer: str) -> bool:
        """Whether these are the ones, whole and with case; what is empty is nobody's name."""
        if not identity or not issuer or issuer != self.issuer:
            return False
        if self.pattern is not None:
            return fnmatchcase(identity, self.pattern)
        return identity == self.identity

    def __str__(self) -> str:
        wanted = self.identity if self.pattern is None else f"like {self.pattern}"
        return f"{wanted} of {self.issuer}"


class KeylessVerifier:
    """Says which trusted identity signed a bundle; implements `ports.SignatureVerifier`."""

    def __init__(
        self,
        trusted: Sequence[TrustedIdentity],
        trust_root: Callable[[], TrustRoot],
        now: datetime,
    ) -> None:
        """Trust these identities; ``trust_root`` is read once, when the first bundle needs it."""
        self._trusted = tuple(trusted)
        self._trust_root = trust_root
        self._now = now
        self._root: TrustRoot | None = None

    def verify(self, bundle: Bundle) -> SignerIdentity:
        """The trusted signer of ``bundle``.

        1. a certificate with a log entry
        2. sigstore-python: chain to the trust root at every trusted time, SCT, one log entry with
           its proof, checkpoint and promise, timestamps, key usage, DSSE signature
        3. what was verified is the payload of this bundle, and of the right type
        4. the certificate names one identity and one issuer, and somebody trusted is both

        Raises:
            RefusedError: kind `signer`, all is in order and it is nobody who is trusted, or it was
                made in another mode; kind `signature`, something is not in order.
            UndecidedError: there is no trust root.
        """
        # 1
        if not isinstance(bundle.material, Logged):
            raise wrong_mode(SigningMode.KEYLESS, bundle.material)
        # 2
        root = self._loaded()
        certificate, payload_type, payload = _verified(root, bundle)
        # 3
        _require_read_alike(payload_type, payload, bundle)
        # 4
        identity, issuer = subject_of(certificate)
        for trusted in self._trusted:
            if trusted.fits(identity, issuer):
                return SignerIdentity(
                    name=trusted.name,
                    fingerprint=_fingerprint(certificate),
                    algorithm=_algorithm(certificate),
                    mode=SigningMode.KEYLESS,
                    identity=identity,
                    issuer=issuer,
                    trust_root=root.used(self._now),
                )
        raise RefusedError(
            RefusalKind.SIGNER,
            "signed by an identity that is not trusted",
            expected=" or ".join(map(str, self._trusted)),
            got=f"{identity} of {issuer}",
        )

    def verify_companion(self, data: bytes, packer: SignerIdentity) -> bytes:
        """The OMS payload under ``packer``'s certificate (see `ports.SignatureVerifier`)."""
        bundle = read_bundle(data)
        require_same_certificate(self.verify(bundle), packer)
        return bundle.envelope.payload

    def _loaded(self) -> TrustRoot:
        if self._root is None:
            self._root = self._trust_root()
        return self._root


class _Keeping:
    """A policy of sigstore-python that keeps the certificate; who it must be is judged after."""

    certificate: Certificate | None = None

    def verify(self, cert: Certificate) -> None:
        self.certificate = cert


def _verified(root: TrustRoot, bundle: Bundle) -> tuple[Certificate, str, bytes]:
    with unprobed():
        import sigstore.verify  # noqa: F401, PLC0415 - 0.4 s, and all of it
        from sigstore.models import Bundle as SigstoreBundle  # noqa: PLC0415

    kept = _Keeping()
    try:
        with warnings.catch_warnings():
            # cryptography warns of certificates that its later versions refuse
            warnings.simplefilter("error", UserWarning)
            parsed = SigstoreBundle.from_json(encode_bundle(bundle))
            verifier = _make_verifier(root, _moments(parsed))
            payload_type, payload = verifier.verify_dsse(parsed, kept)
            _require_every_timestamp(verifier, parsed)
            _require_listed_log(root, bundle)
    except (RefusedError, UndecidedError):
        raise
    except Exception as e:  # besides its own errors it lets those of its libraries through
        raise RefusedError(
            RefusalKind.SIGNATURE,
            "the identity's signature does not verify",
            where="verificationMaterial",
            got=said(e),
        ) from e
    if kept.certificate is None:
        raise RefusedError(RefusalKind.SIGNATURE, "no certificate was verified")
    return kept.certificate, payload_type, payload


def _require_read_alike(payload_type: str, payload: bytes, bundle: Bundle) -> None:
    """What sigstore-python verified is what will be used, should it ever read JSON otherwise."""
    if payload_type != PAYLOAD_TYPE or payload != bundle.envelope.payload:
        raise RefusedError(RefusalKind.SIGNATURE, "what was verified is another payload")


def _moments(bundle: Any) -> list[datetime]:
    """The times that the bundle claims; only those that verify will count."""
    data = bundle.verification_material.timestamp_verification_data
    moments = [one.tst_info.gen_time for one in (() if data is None else data.rfc3161_timestamps)]
    integrated = bundle.log_entry._inner.integrated_time  # it has no public way out
    return [*moments, *([datetime.fromtimestamp(integrated, UTC)] if integrated else [])]


def _make_verifier(root: TrustRoot, moments: Sequence[datetime]) -> Any:
    """sigstore-python's verifier, trusting who was to be trusted when the signature was made."""
    from sigstore.models import ClientTrustConfig  # noqa: PLC0415 - 0.4 s
    from sigstore.verify import Verifier  # noqa: PLC0415

    require_readable(root)
    return Verifier(trusted_root=ClientTrustConfig.from_json(root.at(moments)).trusted_root)


def require_readable(root: TrustRoot) -> None:
    """sigstore-python can read it, too.

    Raises:
        UndecidedError: it cannot; a trust root that is not understood is none.
    """
    from sigstore.models import ClientTrustConfig  # noqa: PLC0415 - 0.4 s

    try:
        ClientTrustConfig.from_json(root.config)
    except Exception as e:  # of many kinds
        raise UndecidedError(
            "not a trust root that can be used", where=root.source, got=said(e)
        ) from e


def _require_every_timestamp(verifier: Any, bundle: Any) -> None:
    """Every timestamp verifies, though with a promise of Rekor v1 sigstore-python is content.

    NOTE: there is no public way to ask for one. Should the private one go, an AttributeError
    refuses every bundle, and a test says why.
    """
    data = bundle.verification_material.timestamp_verification_data
    for timestamp in () if data is None else data.rfc3161_timestamps:
        if verifier._verify_signed_timestamp(timestamp, bundle.signature) is None:
            raise RefusedError(RefusalKind.SIGNATURE, "a timestamp does not verify")


def _require_listed_log(root: TrustRoot, bundle: Bundle) -> None:
    """The log is the one that the entry says, though sigstore-python goes by 4 bytes of its name.

    A checkpoint is by a log of the trust root in any case (C2SP signed-note, "key ID").
    """
    if isinstance(bundle.material, Logged) and bundle.material.entry.log_id not in root.log_ids():
        raise RefusedError(
            RefusalKind.SIGNATURE,
            "the log entry names a log that is not in the trust root",
            where="verificationMaterial.tlogEntries[0].logId",
        )


def said(error: Exception) -> str:
    """The first line of somebody else's message, short."""
    text = (str(error) or type(error).__name__).splitlines()[0]
    return ascii(text)[1:-1][:200]


# --- who the certificate names ---------------------------------------------------------------


def subject_of(certificate: Certificate) -> tuple[str, str]:
    """The one identity and the one issuer of a Fulcio certificate."""
    identities, issuers = _identities(certificate), _issuers(certificate)
    if len(identities) != 1 or len(issuers) != 1:
        raise RefusedError(
            RefusalKind.SIGNATURE,
            "the certificate does not name one identity and one issuer",
            where="verificationMaterial.certificate",
            got=f"{len(identities)} and {len(issuers)}",
        )
    return identities[0], issuers.pop()


def _identities(certificate: Certificate) -> list[str]:
    from cryptography import x509  # noqa: PLC0415 - sigstore has imported it by now

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:  # also certificates that nobody verified are named by this
        return []
    found = []
    for name in names:
        match name:
            case x509.RFC822Name(value=value) | x509.UniformResourceIdentifier(value=value):
                found.append(value)
            case x509.OtherName(type_id=kind, value=value) if kind.dotted_string == _OTHER_NAME:
                found.append(_utf8(value))
            case _:
                found.append("")  # nobody's, and one too many beside another
    return found


def _issuers(certificate: Certificate) -> set[str]:
    """What the two extensions say; both may be there, and then they must agree."""
    from cryptography import x509  # noqa: PLC0415

    found = set()
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.UnrecognizedExtension):
            match extension.oid.dotted_string:
                case oid if oid == _ISSUER_V1:
                    found.add(_text(extension.value.value))
                case oid if oid == _ISSUER_V2:
                    found.add(_utf8(extension.value.value))
                case _:
                    pass
    return found


def _utf8(der: bytes) -> str:
    """A UTF8String in DER; what it decodes to encodes to the same bytes."""
    for head in (2, 3, 4):
        if _encoded(der[head:]) == der:
            return _text(der[head:])
    raise RefusedError(RefusalKind.SIGNATURE, "the certificate's text is not a UTF8String")


def _encoded(text: bytes) -> bytes:
    """X.690 sections 8.1.3 and 8.23: the tag, the length in one, two or three bytes."""
    size = len(text)
    if size < _SHORT:
        return bytes([_UTF8_STRING, size]) + text
    length = size.to_bytes(1 if size < 256 else 2, "big") if size < 65_536 else b""
    return bytes([_UTF8_STRING, _SHORT | len(length)]) + length + text


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as e:
        raise RefusedError(RefusalKind.SIGNATURE, "the certificate's text is not UTF-8") from e


def _algorithm(certificate: Certificate) -> str:
    """What sigstore-python verified with: SHA-256, whatever the curve of the key."""
    curve = getattr(certificate.public_key(), "curve", None)
    name = _CURVES.get(getattr(curve, "name", ""))
    if name is None:
        raise RefusedError(
            RefusalKind.SIGNATURE,
            "the certificate's key is not supported",
            where="verificationMaterial.certificate",
            expected=" or ".join(_CURVES.values()),
        )
    return f"ecdsa-{name}-sha256"


def _fingerprint(certificate: Certificate) -> str:
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        PublicFormat,
    )

    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


class OmsKeylessVerifier:
    """For models that were signed elsewhere; implements `oms_verify.OmsVerifier`."""

    mode = SigningMode.KEYLESS

    def __init__(self, verifier: KeylessVerifier) -> None:
        self._verifier = verifier

    def verify(self, bundle: OmsBundle) -> SignerIdentity:
        """The trusted identity; the bundle may have any form that its maker gave it."""
        if not isinstance(bundle.material, OmsKeylessMaterial):
            raise MalformedError("not signed by an identity", where="bundle", got=str(bundle.mode))
        read = read_bundle(bundle.material.document, limit_bytes=LIMITS.oms_bundle_bytes)
        return self._verifier.verify(read)
