"""What every command that verifies shares: the adapters of this machine."""

from dataclasses import replace
from functools import partial

from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.package_directory import DirectoryStore
from infwasi_sign.adapters.signature_modes import ModeVerifier
from infwasi_sign.cli.named_signers import say_if_stale
from infwasi_sign.cli.trusting import Trust
from infwasi_sign.domain.facts import TRUST_AGE
from infwasi_sign.domain.manifest import Manifest
from infwasi_sign.domain.signer import SignerIdentity
from infwasi_sign.ports import PackageStore
from infwasi_sign.verify import VerifiedPackage, VerifyRequest, verify


def verify_trusting(
    request: VerifyRequest, trust: Trust, store: PackageStore | None = None
) -> VerifiedPackage:
    """Verify with the adapters of this machine, and another store if one is given.

    A stale trust root is said, whatever it comes to. Where a policy sets a maximum age, that
    decides, and nothing needs to be said.
    """
    if trust.pins is not None:
        request = replace(request, on_claims=partial(_require_pin, request, trust))
    try:
        return verify(
            request,
            store=store or DirectoryStore(),
            signatures=ModeVerifier(trust.signers, request.now),
            measure_bytes=measure_bytes,
        )
    finally:
        if not any(rule.fact == TRUST_AGE for rule in trust.policy.rules):
            say_if_stale(trust.root, request.now)


def _require_pin(
    request: VerifyRequest, trust: Trust, manifest: Manifest, signer: SignerIdentity
) -> None:
    """The key of this package's name is the one that was kept for it, if one was."""
    from infwasi_sign.domain.pins import require_pinned

    pin = None if trust.pins is None else trust.pins.read(manifest.package_name)
    (key,) = trust.signers.keys
    require_pinned(pin, package=manifest.package_name, public_key=key.public_key.spki_der)
    if request.on_claims is not None:
        request.on_claims(manifest, signer)
