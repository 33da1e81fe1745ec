"""By whose rules: what a verifier demands, decided on facts alone.

``decide`` holds a policy's rules to the facts and is called twice: on what the signed statement
says, before gigabytes are read, and on what was measured. ``decide_claims`` and ``decide_measured``
hold what every policy demands.
"""

from collections.abc import Mapping
from dataclasses import field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, assert_never

from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.facts import HOST_LIBRARIES, SIGNER_NAMES
from infwasi_sign.domain.interfaces import APP_IMPORTS
from infwasi_sign.domain.manifest import Manifest, format_time
from infwasi_sign.errors import RefusalKind, RefusedError
from infwasi_sign.quick_dataclass import dataclass

if TYPE_CHECKING:
    from infwasi_sign.domain.rules import Facts, Outcome, Rule
    from infwasi_sign.domain.vex_statement import VexStatement

CLOCK_SKEW: Final = timedelta(minutes=5)  # docs/format.md section 8: clocks of CI and site differ


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedPackage:
    """The caller asked for this package by name."""

    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DirectoryNamed:
    """The caller gave a directory; its name must be the package's, alone or with ``-version``.

    Without this, a trusted signer's other package, put under this name, would pass.
    """

    directory: str


class RunLimit(StrEnum):
    """What a policy may bound in a run; the names of `infwasi.toml` and of the flags."""

    MAX_TOKENS = "max-tokens"
    TIMEOUT_SECONDS = "timeout-seconds"
    CONTEXT_TOKENS = "context-tokens"
    MEMORY_BYTES = "memory-bytes"
    PROMPT_BYTES = "prompt-bytes"
    OUTPUT_BYTES = "output-bytes"
    HOST_MEMORY_BYTES = "host-memory-bytes"


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """The rules of one verification. Who may sign is held by the signature verifier.

    ``source`` and ``digest`` say which policy it was: a file, or the one that a flag is short for;
    ``is_pinned``, that its one key is trusted because it was the first to be met.
    ``may_use_identity_cache``: a model that is surely unchanged need not be hashed at each start.
    ``digests`` are computed over every entry; ``named_digests``, those among them that somebody
    asked for by name, even where the kernel has measured the model (fs-verity).
    ``vex`` is what its author states about vulnerabilities; it counts more than what a packer does.
    ``is_host_pinned``: the native libraries must be measured, because a rule asks for them.
    """

    package: NamedPackage | DirectoryNamed
    digests: frozenset[Algorithm] = frozenset({Algorithm.BLAKE3})
    named_digests: frozenset[Algorithm] = frozenset()
    rules: "tuple[Rule, ...]" = ()
    limits: Mapping[RunLimit, int] = field(default_factory=dict)
    source: str = "--key"
    digest: Digest | None = None
    vex: "tuple[VexStatement, ...]" = ()
    is_file: bool = False
    is_pinned: bool = False
    may_use_identity_cache: bool = False

    @property
    def is_host_pinned(self) -> bool:
        """Whether some rule is about the native libraries."""
        return any(HOST_LIBRARIES in rule.facts for rule in self.rules)


def without_thresholds(policy: Policy) -> Policy:
    """The rules for one who is about to sign: how many have signed is what he changes.

    Who may sign, denials, and all that is about the package stay.
    """
    return replace(policy, rules=tuple(r for r in policy.rules if not _is_threshold(r)))


def _is_threshold(rule: "Rule") -> bool:
    from infwasi_sign.domain.rules import CountAtLeast  # noqa: PLC0415 - who has no rule needs none of it

    return rule.fact == SIGNER_NAMES and isinstance(rule.test, CountAtLeast)


def decide(policy: Policy, facts: "Facts") -> "tuple[Outcome, ...]":
    """What every rule says to the facts known so far, in the order of the policy."""
    if not policy.rules:
        return ()
    from infwasi_sign.domain.rules import evaluate  # noqa: PLC0415 - who has no rule needs none of it

    return tuple(evaluate(rule, facts) for rule in policy.rules)


def require(outcomes: "tuple[Outcome, ...]") -> None:
    """Refuse the first rule that says no; a denial comes before everything else.

    Raises:
        RefusedError: of the rule's kind, naming file and line.
    """
    refused = [outcome for outcome in outcomes if outcome.is_met is False]
    for outcome in sorted(refused, key=lambda o: o.rule.kind is not RefusalKind.REVOKED):
        from infwasi_sign.domain.rules import expectation, shortfall  # noqa: PLC0415 - who has no rule needs none of it

        rule = outcome.rule
        reason = "" if rule.reason is None else f": {rule.reason}"
        raise RefusedError(
            rule.kind,
            f"the policy refuses {rule.fact}{reason}",
            where=f"{rule.place} {rule.name}",
            expected=expectation(rule.test)[:300],
            got=shortfall(outcome)[:200],
            hint="`infwasi policy why` shows every rule and the fact it saw",
        )


def decide_claims(policy: Policy, manifest: Manifest, now: datetime) -> None:
    """What holds under every policy: the package that was asked for, in its time, with its imports.

    Raises:
        RefusedError: kinds `policy`, `expired`.
    """
    _require_name(policy, manifest)
    _require_imports(manifest)
    _require_time(manifest, now)


def _require_name(policy: Policy, manifest: Manifest) -> None:
    name, version = manifest.package_name, manifest.package_version
    match policy.package:
        case NamedPackage(name=asked):
            acceptable = {name}
        case DirectoryNamed(directory=asked):
            acceptable = {name, f"{name}-{version}"}
        case _:
            assert_never(policy.package)
    if asked not in acceptable:
        raise RefusedError(
            RefusalKind.POLICY,
            "the manifest is of another package",
            where="package.name",
            expected=asked,
            got=f"{name} {version}",
            hint=f"if {name} is what you want, say --name {name}",
        )


def _require_imports(manifest: Manifest) -> None:
    if surplus := sorted(set(manifest.component.imports) - APP_IMPORTS):
        raise RefusedError(
            RefusalKind.POLICY,
            "the component imports what no guest is granted",
            where="component.imports",
            got=", ".join(surplus),
        )


def _require_time(manifest: Manifest, now: datetime) -> None:
    # Differences, because ``now`` plus or minus the skew may lie outside of what dates can say.
    if manifest.issued_at - now > CLOCK_SKEW:
        raise RefusedError(
            RefusalKind.POLICY,
            "the manifest is from the future",
            where="issuedAt",
            expected=f"at most {format_time(now + CLOCK_SKEW)}",
            got=format_time(manifest.issued_at),
            hint="check the clock of this machine",
        )
    if manifest.expires_at is not None and now - manifest.expires_at > CLOCK_SKEW:
        raise RefusedError(
            RefusalKind.EXPIRED,
            "the manifest has expired",
            where="expiresAt",
            expected=f"after {format_time(now - CLOCK_SKEW)}",
            got=format_time(manifest.expires_at),
            hint="ask its publisher for a newer package",
        )


def decide_measured(demanded: frozenset[Algorithm], computed: frozenset[Algorithm]) -> None:
    """Whether enough was measured.

    Raises:
        RefusedError: kind `policy`; a demanded digest was not computed over every entry.
    """
    if missing := demanded - computed:
        raise RefusedError(
            RefusalKind.POLICY,
            "a demanded digest was not computed",
            expected=", ".join(sorted(demanded)),
            got=f"without {', '.join(sorted(missing))}",
        )
