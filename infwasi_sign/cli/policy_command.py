"""`infwasi policy`: check, why, init, rotate."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infwasi_sign.cli.options import package_options
from infwasi_sign.cli.output import emit_json, failures_as_json, say, show
from infwasi_sign.cli.trust_options import TrustOptions
from infwasi_sign.errors import InfwasiError, UndecidedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from infwasi_sign.cli.trusting import Trust
    from infwasi_sign.domain.rules import Facts, Outcome


@click.group(name="policy")
def command() -> None:
    """Write, check and explain policies: by whose rules a package is judged.

    \b
    Examples:
      infwasi policy init dist/capital-1.0.0 --key release.pub > policy.toml
      infwasi policy check policy.toml
      infwasi policy why dist/capital-1.0.0 --policy policy.toml
      infwasi policy rotate release.pub release-2.pub policy.toml > policy.new
    """


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="Warnings are errors.")
def check(file: Path, strict: bool) -> None:
    """Read FILE as a verifier would, and warn of what is allowed but hardly meant."""
    from infwasi_sign.adapters.policy_source import load_policy
    from infwasi_sign.adapters.signature_modes import ModeVerifier
    from infwasi_sign.domain.policy_warnings import (
        identity_cache_warnings,
        signer_warnings,
        vulnerability_warnings,
        warnings,
    )

    loaded = load_policy(file)
    ModeVerifier(loaded.signers, datetime.now(UTC))  # as verify: nobody's key is also another's
    if loaded.signers.identities and loaded.file.trust_root and loaded.file.trust_root.file:
        loaded.signers.trust_root()  # the one that it names is part of it
    found = [
        *warnings(loaded.rules, datetime.now(UTC)),
        *signer_warnings(loaded.file),
        *identity_cache_warnings(loaded.file, loaded.rules),
        *vulnerability_warnings(loaded.file),
    ]
    for warning in found:
        say(f"warning: {warning}")
    if found and strict:
        raise UndecidedError(f"{len(found)} warnings", where=str(file))
    names = ", ".join(sorted(signer.name for signer in loaded.file.signers))
    show(f"{file}: {len(loaded.rules)} rules; signers: {names}")


@command.command()
@package_options
def why(
    package: Path,
    trust: TrustOptions,
    model_path: Path | None,
    as_json: bool,
    accept_jump: bool,  # noqa: ARG001 - no rule; shared with the commands that remember
) -> None:
    """Show what each rule says about PACKAGE: the fact it saw, the verdict, file and line.

    The package is verified first; what no rule decides (its signature, its digests) must hold.
    If it does not, the rules about facts that were known by then are shown, and then the refusal.
    """
    from infwasi_sign.cli.trusting import choose_trust
    from infwasi_sign.domain.digest import Algorithm
    from infwasi_sign.domain.policy import decide

    with failures_as_json(as_json):
        chosen = choose_trust(package, trust, digests=frozenset({Algorithm.BLAKE3}))
        claimed: list[Facts] = []
        try:
            facts = _facts(package, chosen, model_path, on_facts=claimed.append)
        except InfwasiError:
            if claimed and not as_json:  # one document on standard output, and it is the refusal
                show(*(_outcome_line(one) for one in decide(chosen.policy, claimed[-1])))
            raise
        outcomes = decide(chosen.policy, facts)
        if as_json:
            emit_json({"type": "why", "rules": [_outcome_json(outcome) for outcome in outcomes]})
        else:
            show(*(_outcome_line(outcome) for outcome in outcomes))


def _facts(
    package: Path,
    trust: "Trust",
    model_path: Path | None,
    on_facts: "Callable[[Facts], None] | None" = None,
) -> "Facts":
    """All facts of a package that verifies, whatever the rules say to them."""
    from infwasi_sign.adapters.native_host import library_digests
    from infwasi_sign.cli.clock import now_utc
    from infwasi_sign.cli.confining import confinement_of
    from infwasi_sign.cli.verification import verify_trusting
    from infwasi_sign.domain.facts import HOST_LIBRARIES
    from infwasi_sign.verify import VerifyRequest

    request = VerifyRequest(
        location=package,
        policy=replace(trust.policy, rules=()),
        now=now_utc(),
        detached=() if model_path is None else (model_path,),
        on_facts=on_facts,
        on_held=confinement_of().before_measuring,
    )
    with verify_trusting(request, trust) as verified:
        return {**verified.facts, HOST_LIBRARIES: library_digests()}


def _outcome_json(outcome: "Outcome") -> dict[str, object]:
    from infwasi_sign.domain.rules import expectation

    rule = outcome.rule
    return {
        "rule": rule.name,
        "place": rule.place,
        "fact": rule.fact,
        "kind": str(rule.kind),
        "expected": expectation(rule.test),
        "got": outcome.seen,
        "met": outcome.is_met,
        "reason": rule.reason,
    }


def _outcome_line(outcome: "Outcome") -> str:
    from infwasi_sign.domain.rules import Holds, expectation, shortfall

    words = {True: "yes", False: "NO", None: "-"}
    rule = outcome.rule
    if isinstance(rule.test, Holds):
        said = "not about this package, or not known"
        if outcome.is_met is not None:
            said = shortfall(outcome)
        return (
            f"{words[outcome.is_met]:<4} {rule.place} {rule.name}: {rule.reason}: "
            f"{expectation(rule.test)}; {said}"
        )
    seen = ", ".join(outcome.seen) if isinstance(outcome.seen, tuple) else outcome.seen
    got = {
        True: f"is {seen}",
        False: f"is {shortfall(outcome)}",
        None: "is not about this package, or not known",
    }[outcome.is_met]
    return (
        f"{words[outcome.is_met]:<4} {rule.place} {rule.name}: {rule.fact} {got}; "
        f"must be {expectation(rule.test)}"
    )


@command.command()
@click.argument("package", type=click.Path(path_type=Path))
@click.option("--key", "key_path", type=click.Path(path_type=Path), help="The signer's public key.")
@click.option("--identity", help="Or the identity that signed it.")
@click.option("--issuer", help="And who vouches for the identity.")
@click.option(
    "--trust-root",
    type=click.Path(path_type=Path),
    help="Of the Sigstore instance [default: what `infwasi trust fetch` wrote].",
)
@click.option(
    "--name", default=None, help="The package you want (default: by the directory's name)."
)
def init(
    package: Path,
    key_path: Path | None,
    identity: str | None,
    issuer: str | None,
    trust_root: Path | None,
    name: str | None,
) -> None:
    """Print a policy that accepts PACKAGE and its successors, as tight as the package allows.

    \b
    Examples:
      infwasi policy init dist/capital-1.0.0 --key release.pub > policy.toml
      infwasi policy init dist/capital-1.0.0 --identity me@example.com --issuer URL > policy.toml
    """
    from infwasi_sign.adapters.key_files import public_pem
    from infwasi_sign.cli.trusting import choose_trust
    from infwasi_sign.domain.digest import Algorithm
    from infwasi_sign.domain.policy_template import by_identity, by_key, policy_template

    if key_path is None and identity is None:
        raise UndecidedError("nobody is named", expected="--key, or --identity with --issuer")
    options = TrustOptions(
        name=name, key_path=key_path, identity=identity, issuer=issuer, trust_root=trust_root
    )
    trust = choose_trust(package, options, digests=frozenset(Algorithm))
    facts = _facts(package, trust, None)
    if key_path is None:
        signer, ways = identity or "", by_identity(identity or "", issuer or "")
    else:
        (key,) = trust.signers.keys
        signer, ways = key.name, by_key(public_pem(key.public_key))
    show(*policy_template(facts, signer=signer, ways=ways).splitlines())


@command.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.argument("file", metavar="POLICY", type=click.Path(path_type=Path))
@click.option(
    "--until",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%SZ"]),
    help="When OLD ends [default: in 30 days].",
)
def rotate(old: Path, new: Path, file: Path, until: datetime | None) -> None:
    """Print POLICY with the public key NEW beside OLD, and an end for OLD.

    \b
      infwasi policy rotate release.pub release-2.pub policy.toml > policy.new

    Comments and layout stay. At its end OLD is no longer trusted for older packages either.
    """
    from infwasi_sign.adapters.key_files import load_public_key, public_pem
    from infwasi_sign.adapters.policy_source import load_policy
    from infwasi_sign.cli.output import writing_out
    from infwasi_sign.domain.manifest import format_time
    from infwasi_sign.domain.policy_rotation import rotate as rotated

    loaded, new_key = load_policy(file), load_public_key(new)
    specs = [spec for signer in loaded.file.signers for spec in signer.keys]
    wanted = load_public_key(old).fingerprint
    prints = [key.public_key.fingerprint for key in loaded.signers.keys]
    if prints.count(wanted) != 1:
        raise UndecidedError("the policy does not have this key once", where=str(old))
    if new_key.fingerprint in prints:
        raise UndecidedError("the policy has this key already", where=str(new))
    end = until.replace(tzinfo=UTC) if until else datetime.now(UTC) + timedelta(days=30)
    is_beside = new.absolute().parent.resolve() == file.absolute().parent.resolve()
    given = ("file", new.name) if is_beside else ("pem", public_pem(new_key))
    text = rotated(loaded.data, specs[prints.index(wanted)], given, end, where=file.name)
    with writing_out():
        click.echo(text.encode(), nl=False)
    say(f"sha256:{wanted} ends at {format_time(end)}; sha256:{new_key.fingerprint} is new")
