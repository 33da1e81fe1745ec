"""Bundles signed with a certificate of an own authority; implements `ports.SignatureVerifier`."""

from collections.abc import Sequence
from datetime import datetime

from infwasi_sign.adapters.certificate_chain import parse_certificate
from infwasi_sign.adapters.certificates import require_usable, verify_certificate
from infwasi_sign.domain.bundle import Bundle, Envelope, pae
from infwasi_sign.domain.certified import CertificateTrust
from infwasi_sign.domain.material import Certified, SigningMode, wrong_mode
from infwasi_sign.domain.oms_bundle import OmsBundle, OmsCertificateMaterial, parse_oms_bundle
from infwasi_sign.domain.signer import SignerIdentity, require_same_certificate
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError


class CertificateVerifier:
    """Says which trusted holder of a certificate signed; also for models signed elsewhere."""

    def __init__(self, trusted: Sequence[CertificateTrust], now: datetime) -> None:
        """Trust these holders under these authorities.

        Raises:
            UndecidedError: nobody could ever be verified by one of them.
        """
        for trust in trusted:
            require_usable(trust)
        self._trusted = tuple(trusted)
        self._now = now

    def verify(self, bundle: Bundle) -> SignerIdentity:
        """The trusted signer of ``bundle``.

        The manifest brings the leaf alone, as Sigstore's v0.3 has it, and the chain is found among
        the policy's intermediates.

        Raises:
            RefusedError: kind `signer`, the certificate is that of nobody who is trusted, or the
                bundle was made in another mode; `signature` or `expired`, it is that of somebody
                who is, and something is not in order.
        """
        material = bundle.material
        if not isinstance(material, Certified):
            raise wrong_mode(SigningMode.CERTIFICATE, material)
        return self._judge(bundle.envelope, material.certificate, (), material.timestamps)

    def verify_oms(self, bundle: OmsBundle, *, allows_idle_ca: bool = False) -> SignerIdentity:
        """The same for an OMS bundle, which brings its chain, as `model_signing` wants it."""
        material = bundle.material
        if not isinstance(material, OmsCertificateMaterial) or not material.certificates:
            raise MalformedError("not signed by a certificate", where="bundle")
        leaf, *chain = material.certificates
        return self._judge(
            bundle.envelope, leaf, tuple(chain), material.timestamps, allows_idle_ca=allows_idle_ca
        )

    def verify_companion(self, data: bytes, packer: SignerIdentity) -> bytes:
        """The OMS payload under ``packer``'s certificate (see `ports.SignatureVerifier`)."""
        bundle = parse_oms_bundle(data, SigningMode.CERTIFICATE)
        require_same_certificate(self.verify_oms(bundle), packer)
        return bundle.envelope.payload

    def _judge(
        self,
        envelope: Envelope,
        leaf: bytes,
        chain: tuple[bytes, ...],
        timestamps: tuple[bytes, ...],
        *,
        allows_idle_ca: bool = False,
    ) -> SignerIdentity:
        refusals = []
        for trust in self._trusted:
            try:
                found = verify_certificate(
                    leaf=leaf,
                    chain=chain,
                    signature=envelope.signature,
                    signed=pae(envelope.payload_type, envelope.payload),
                    timestamps=timestamps,
                    trust=trust,
                    now=self._now,
                    allows_idle_ca=allows_idle_ca,
                )
            except RefusedError as refusal:
                refusals.append((trust, refusal))
            else:
                return SignerIdentity(
                    name=found.name,
                    fingerprint=found.fingerprint,
                    algorithm=found.algorithm,
                    mode=SigningMode.CERTIFICATE,
                    identity=found.identity,
                    signed_at=found.signed_at,
                )
        raise _strictest(leaf, refusals)


def _strictest(
    leaf: bytes, refusals: Sequence[tuple[CertificateTrust, RefusedError]]
) -> RefusedError:
    """What to say when nobody signed: first what is wrong with a certificate of the right name.

    To somebody of another name it does not matter whether a timestamp is missing: they are a
    stranger, and as a counter-signer they count nothing.
    """
    holder = parse_certificate(leaf, where="certificate")
    names = holder.names
    claimed = {*names.uris, *names.emails, *names.dns_names, *names.common_names}
    own = [refusal for trust, refusal in refusals if trust.identity in claimed]
    for refusal in own:
        if refusal.kind is not RefusalKind.SIGNER:
            return refusal
    if own:
        return own[0]
    return RefusedError(
        RefusalKind.SIGNER,
        "the certificate is that of nobody who is trusted",
        where=f"certificate {holder.shown}",
        expected=" or ".join(trust.identity for trust, _ in refusals),
    )


class OmsCertificateVerifier:
    """For models that were signed elsewhere; implements `oms_verify.OmsVerifier`."""

    mode = SigningMode.CERTIFICATE

    def __init__(self, verifier: CertificateVerifier) -> None:
        self._verifier = verifier

    def verify(self, bundle: OmsBundle) -> SignerIdentity:
        """See `CertificateVerifier.verify_oms`."""
        return self._verifier.verify_oms(bundle, allows_idle_ca=True)
