"""A verdict as a result (docs/results.md), whatever form it is shown in."""

from pathlib import Path
from typing import TYPE_CHECKING

from infwasi_sign.domain.result import Accepted, Circumstances, ComputedEntry, PolicyUsed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from infwasi_sign.domain.confinement import LayerReport
    from infwasi_sign.domain.policy import Policy
    from infwasi_sign.verify import VerifiedPackage


def circumstances(package: Path, at: "datetime", policy: "Policy | None" = None) -> Circumstances:
    """What the caller brought; ``policy`` is absent until one was found."""
    used = None
    if policy is not None:
        used = PolicyUsed(source=policy.source, digest=policy.digest, is_file=policy.is_file)
    is_pinned = policy is not None and policy.is_pinned
    return Circumstances(location=str(package), at=at, policy=used, is_pinned=is_pinned)


def accepted(
    package: "VerifiedPackage", brought: Circumstances, confined: "Iterable[LayerReport]" = ()
) -> Accepted:
    """A verified package as a result: exactly the digests that were computed, and when."""
    manifest = package.manifest
    return Accepted(
        circumstances=brought,
        package_name=manifest.package_name,
        package_version=manifest.package_version,
        sequence=manifest.sequence,
        issued_at=manifest.issued_at,
        expires_at=manifest.expires_at,
        signers=package.signatures.signers,
        strangers=package.signatures.strangers,
        statement=package.statement_digest,
        entries=tuple(
            ComputedEntry(
                name=entry.name,
                role=str(entry.role),
                size_bytes=entry.size_bytes,
                digests=entry.digests,
                remembered_at=entry.remembered_at,
                fs_verity=entry.fs_verity,
            )
            for entry in package.entries
        ),
        level=package.level.label,
        level_reason=package.level_reason,
        confinement=tuple(confined),
    )
