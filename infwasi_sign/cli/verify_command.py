"""`infwasi verify`."""

from pathlib import Path

import click

from infwasi_sign.cli.delivery import delivery_options
from infwasi_sign.cli.options import package_options
from infwasi_sign.cli.output import failures_delivered, package_progress
from infwasi_sign.cli.trust_options import TrustOptions
from infwasi_sign.errors import UndecidedError


@click.command(name="verify")
@package_options
@delivery_options
@click.option(
    "--digests",
    type=click.Choice(["default", "all"]),
    default="default",
    show_default=True,
    help="default: BLAKE3 of the model; all: SHA-256 and that of fs-verity too.",
)
@click.option("--oms", is_flag=True, help="PACKAGE is a model directory with a model.sig.")
@click.option("--commit", is_flag=True, help="Remember this release: an older one is refused then.")
@click.option("--at", "at_time", type=click.DateTime(["%Y-%m-%dT%H:%M:%SZ"]), help="For audits.")
def command(
    package: Path,
    trust: TrustOptions,
    model_path: Path | None,
    as_json: bool,
    accept_jump: bool,
    form: str | None,
    quiet: bool,
    output_file: Path | None,
    digests: str,
    oms: bool,
    commit: bool,
    at_time: object,
) -> None:
    """Check that PACKAGE is what somebody you trust signed. Nothing in it is executed.

    \b
    Examples:
      infwasi verify dist/capital-1.0.0 --key release.pub
      infwasi verify downloads/x --name capital --key release.pub --json
      infwasi verify dist/capital-1.0.0 --key release.pub --digests all
      infwasi verify dist/capital-1.0.0 --policy site.toml
      infwasi verify dist/capital-1.0.0 --policy site.toml --format sarif --output infwasi.sarif
      infwasi verify dist/capital-1.0.0 --format github >> "$GITHUB_STEP_SUMMARY"
      infwasi verify --oms models/SmolLM2 --key publisher.pub
      infwasi verify --oms models/SmolLM2 --identity ci@example.org --issuer https://...
    """
    from datetime import UTC, datetime

    from infwasi_sign.adapters.native_host import library_digests
    from infwasi_sign.cli.clock import now_utc
    from infwasi_sign.cli.confining import confinement_of
    from infwasi_sign.cli.delivery import chosen_delivery, require_outside
    from infwasi_sign.cli.remembering import open_memory
    from infwasi_sign.cli.trusting import choose_trust, remember_pin
    from infwasi_sign.cli.verdicts import accepted, circumstances
    from infwasi_sign.cli.verification import verify_trusting
    from infwasi_sign.domain.digest import Algorithm
    from infwasi_sign.verify import VerifyRequest

    algorithms = frozenset(Algorithm) if digests == "all" else frozenset({Algorithm.BLAKE3})
    now = at_time.replace(tzinfo=UTC) if isinstance(at_time, datetime) else now_utc()
    delivery = chosen_delivery(form, as_json, quiet, output_file)
    if output_file is not None:
        require_outside(output_file, package)
    if oms:
        from infwasi_sign.cli.oms_verification import verify_model

        others = {
            "--model": model_path is not None,
            "--accept-jump": accept_jump,
            "--digests": digests != "default",
            "--commit": commit,
        }
        verify_model(package, trust, others=others, now=now, delivery=delivery)
        return
    with failures_delivered(delivery.deliver, circumstances(package, now)):
        if commit and at_time is not None:
            raise UndecidedError(
                "an audit at another time is not remembered", hint="leave out --commit"
            )
        chosen = choose_trust(package, trust, digests=algorithms)
        demanded_at = chosen.memory_demanded_at if commit else None
        memory = open_memory(chosen.policy_id, required=commit, demanded_at=demanded_at)
    brought = circumstances(package, now, chosen.policy)
    confinement = confinement_of(
        state=memory.state if commit else None,
        trust=chosen if commit else None,
        output=output_file,
    )
    with failures_delivered(delivery.deliver, brought), package_progress() as progress:
        request = VerifyRequest(
            location=package,
            policy=chosen.policy,
            now=now,
            detached=() if model_path is None else (model_path,),
            progress=progress.update,
            on_claims=progress.begin,
            on_held=confinement.before_measuring,
            libraries=library_digests,
            known=memory.known if at_time is None else None,
            accept_jump=accept_jump,
        )
        with verify_trusting(request, chosen) as verified:
            progress.end()
            if commit:
                memory.accept(verified, now)
                remember_pin(chosen, verified, now)
            delivery.deliver(accepted(verified, brought, confinement.layers()))
