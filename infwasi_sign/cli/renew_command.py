"""`infwasi renew`."""

from datetime import timedelta

import click

from infwasi_sign.cli.issuing import now_and_issued_at, say_if_far_ahead
from infwasi_sign.cli.options import PackageOptions, package_options_to_sign
from infwasi_sign.cli.output import emit_json, failures_as_json, say, show
from infwasi_sign.cli.signing import SigningOptions, signing_options
from infwasi_sign.domain.limits import LIMITS


@click.command(name="renew")
@package_options_to_sign
@signing_options
@click.option(
    "--valid-days",
    type=click.IntRange(0, 36_500),
    help="How long it is valid; 0 is for ever. [default: as long as before]",
)
@click.option(
    "--sequence",
    type=click.IntRange(0, LIMITS.json_integer),
    help="More than the last one. [default: the time in seconds]",
)
def command(
    options: PackageOptions,
    signing: SigningOptions,
    valid_days: int | None,
    sequence: int | None,
) -> None:
    """Verify PACKAGE, and sign a new statement over the same app and model, in its place.

    \b
    Examples:
      infwasi renew dist/capital-1.0.0 --trust-key release.pub --key release.key
      infwasi renew dist/capital-1.0.0 --policy site.toml --key release.key --valid-days 90

    Nothing is packed again: app and model stay, the bill of materials gets the new time. Others
    who had signed must sign again. Of a package that has ended, only its own packer can do this.
    SOURCE_DATE_EPOCH fixes the time.
    """
    from infwasi_sign.adapters.attestation_file import attestation_path
    from infwasi_sign.adapters.bundle_signers import name_signer
    from infwasi_sign.adapters.measuring import measure_bytes
    from infwasi_sign.adapters.package_renewal import PackageRenewal
    from infwasi_sign.adapters.process import clear_up_when_ended, forbid_dumps
    from infwasi_sign.cli.package_to_sign import (
        chosen_trust,
        failures_told,
        package_to_sign,
        sealer_by_consent,
    )
    from infwasi_sign.domain.digest import Algorithm
    from infwasi_sign.domain.manifest import format_time
    from infwasi_sign.renew import RenewRequest, has_ended, renew

    forbid_dumps()
    clear_up_when_ended()
    with failures_as_json(options.as_json):
        now, issued_at = now_and_issued_at()
    with failures_told(options, now), sealer_by_consent(signing, now) as sealer_for:
        chosen = chosen_trust(options)
        with package_to_sign(options, chosen.policy, chosen, now, renewing=True) as it:
            old = it.verified.manifest
            if has_ended(old, now):
                say("note: it has ended, so only its own packer can renew it")
            valid_for = None if old.expires_at is None else old.expires_at - old.issued_at
            if valid_days is not None:
                valid_for = timedelta(days=valid_days) if valid_days else None
            sealer = sealer_for(f"sign a new statement of {old.package_name} {old.package_version}")
            with PackageRenewal(it.store) as target:
                renewed = renew(
                    it.verified,
                    RenewRequest(
                        issued_at=issued_at, valid_for=valid_for, sequence=sequence, now=now
                    ),
                    sealer=sealer,
                    name_signer=name_signer,
                    measure_bytes=measure_bytes,
                    target=target,
                )
                target.commit()
            path = it.store.path
    for name in renewed.dropped:
        say(f"note: must sign again: {name}")
    if attestation_path(path).exists():
        say(f"note: {attestation_path(path)} is about the old bill of materials")
    expires_at = renewed.manifest.expires_at
    if expires_at is None:
        say("note: this package never expires")
    say_if_far_ahead(renewed.manifest.sequence, now)
    if options.as_json:
        emit_json(
            {
                "package": str(options.package),
                "sequence": renewed.manifest.sequence,
                "issuedAt": format_time(renewed.manifest.issued_at),
                "expiresAt": None if expires_at is None else format_time(expires_at),
                "statement": str(measure_bytes(renewed.statement)[Algorithm.SHA256]),
                "signedBy": renewed.made_by,
                "mustSignAgain": list(renewed.dropped),
            }
        )
    else:
        show(str(options.package))
