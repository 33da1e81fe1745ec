"""By whose rules: what a verifier demands, decided on facts alone.

``decide_claims`` runs on what the signed statement says, before gigabytes are read;
``decide_measured`` on what was measured. Both return nothing or raise.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, assert_never

from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.interfaces import APP_IMPORTS
from infwasi_sign.domain.manifest import Manifest, format_time
from infwasi_sign.errors import RefusalKind, RefusedError

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """The rules of one verification. Who may sign is held by the signature verifier."""

    package: NamedPackage | DirectoryNamed
    digests: frozenset[Algorithm] = frozenset({Algorithm.BLAKE3})


def decide_claims(policy: Policy, manifest: Manifest, now: datetime) -> None:
    """Whether what the statement says is permitted at ``now``.

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


def decide_measured(policy: Policy, computed: frozenset[Algorithm]) -> None:
    """Whether enough was measured.

    Raises:
        RefusedError: kind `policy`; a demanded digest was not computed over every entry.
    """
    if missing := policy.digests - computed:
        raise RefusedError(
            RefusalKind.POLICY,
            "a demanded digest was not computed",
            expected=", ".join(sorted(policy.digests)),
            got=f"without {', '.join(sorted(missing))}",
        )
