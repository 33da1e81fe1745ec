"""`infwasi sign`."""

import click

from infwasi_sign.cli.options import PackageOptions, package_options_to_sign
from infwasi_sign.cli.output import emit_json, say, show
from infwasi_sign.cli.signing import SigningOptions, signing_options


@click.command(name="sign")
@package_options_to_sign
@signing_options
def command(options: PackageOptions, signing: SigningOptions) -> None:
    """Verify PACKAGE, and then sign what its packer signed: one signer more.

    \b
    Examples:
      infwasi sign dist/capital-1.0.0 --policy site.toml --key security.key
      infwasi sign dist/capital-1.0.0 --trust-key release.pub --key security.key
      infwasi sign dist/capital-1.0.0 --trust-key release.pub        as your identity
      infwasi sign dist/capital-1.0.0 --policy site.toml --key security.key --json

    The signature is a file in PACKAGE/signatures; nothing else changes. A policy is held to the
    package as `verify` does it, but for how many must have signed.
    """
    from infwasi_sign.adapters.bundle_signers import name_signer
    from infwasi_sign.adapters.measuring import measure_bytes
    from infwasi_sign.adapters.process import clear_up_when_ended, forbid_dumps
    from infwasi_sign.adapters.signature_modes import ModeVerifier
    from infwasi_sign.cli.clock import now_utc
    from infwasi_sign.cli.package_to_sign import (
        chosen_trust,
        failures_told,
        package_to_sign,
        sealer_by_consent,
    )
    from infwasi_sign.countersign import countersign, require_room
    from infwasi_sign.domain.policy import without_thresholds

    forbid_dumps()
    clear_up_when_ended()
    now = now_utc()
    with failures_told(options, now), sealer_by_consent(signing, now) as sealer_for:
        chosen = chosen_trust(options)
        policy = without_thresholds(chosen.policy)
        with package_to_sign(options, policy, chosen, now) as it:
            require_room(it.verified.signatures, None, name_signer)
            name = f"{it.verified.manifest.package_name} {it.verified.manifest.package_version}"
            signed = countersign(
                it.verified,
                policy=chosen.policy,
                sealer=sealer_for(f"sign {name}"),
                verifier=ModeVerifier(chosen.signers, now),
                name_signer=name_signer,
                measure_bytes=measure_bytes,
                target=it.store,
            )
            statement = it.verified.statement_digest
    if signed.signer is None and not options.trust.is_one_signer:
        say(f"note: the policy names nobody who signs as {signed.made_by}: it counts nothing there")
    if signed.missing is not None:
        say(f"note: not enough yet: {signed.missing}")
    if options.as_json:
        emit_json(
            {
                "package": str(options.package),
                "signature": signed.file,
                "signedBy": signed.made_by,
                "signer": None if signed.signer is None else signed.signer.name,
                "statement": str(statement),
                "missing": signed.missing,
            }
        )
    else:
        show(str(options.package / signed.file))
