"""Step 5 of verification: every entry's size and digests, through the descriptor that will be used.

A model is held before its first byte is hashed. Two things can stand in for the hash: the digest
to which the kernel holds every read (fs-verity, ADR 18); and, where the policy allows it and the
file is surely the one of an earlier run, unchanged, what that run computed (ADR 20).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from infwasi_sign.domain.digest import Algorithm, Digest, MeasureBytes
from infwasi_sign.domain.identity_record import Remembered
from infwasi_sign.domain.level_demand import LevelDemand
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.domain.manifest import Entry, EntryRole, Manifest
from infwasi_sign.domain.policy import Policy
from infwasi_sign.errors import RefusalKind, RefusedError
from infwasi_sign.ports import GuardedFile, Progress


class IdentityCache(Protocol):
    """What earlier runs computed over files that have not changed since."""

    def recall(self, file: GuardedFile, wanted: frozenset[Algorithm]) -> Remembered | None:
        """The ``wanted`` digests of a file, if it is surely the one of an earlier run, unchanged.

        Called once it is guarded and before the process is confined: it looks into /sys.

        Raises:
            RefusedError: kind `level`; it is not held any more.
        """
        ...

    def keep(self, file: GuardedFile, digests: Mapping[Algorithm, Digest]) -> None:
        """Remember what was computed since `recall`, if nothing stands against it.

        Raises:
            RefusedError: as `recall`.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredEntry:
    """What was computed over one entry: exactly these digests and no others.

    ``remembered_at`` is there if that was in an earlier run, which ended its hash then;
    ``fs_verity`` is the digest, in hex, to which the kernel holds every read. Where it does, no
    digest is computed unless somebody asked for it by name.
    """

    name: str
    role: EntryRole
    size_bytes: int
    digests: tuple[Digest, ...]
    remembered_at: datetime | None = None
    fs_verity: str | None = None


def measure_entries(
    manifest: Manifest,
    files: Mapping[str, GuardedFile],
    measure_bytes: MeasureBytes,
    *,
    policy: Policy,
    progress: Progress | None,
    demand: LevelDemand | None,
    on_held: Callable[[], None] | None,
    identities: IdentityCache | None,
) -> tuple[dict[EntryRole, bytes], tuple[MeasuredEntry, ...]]:
    """Digests of every entry; the small ones are read once and used from memory.

    Models are held if there is a ``demand``; ``on_held`` is called when all are.

    Raises:
        RefusedError: kind `digest`, an entry differs; kind `level`, a model did not hold still.
    """
    entries = sorted(manifest.entries, key=lambda entry: entry.size_bytes)
    for entry in entries:
        _require_size(entry, files[entry.name])
    cache = None if demand is None else identities
    remembered: dict[str, Remembered] = {}
    if demand is not None:
        for entry in entries:
            if entry.role is EntryRole.MODEL:
                model = files[entry.name]
                model.guard(demand.is_enough, entry.fs_verity, demand.require_possible)
                wanted = demanded_digests(policy, model)
                known = cache.recall(model, wanted) if cache is not None and wanted else None
                if known is not None:
                    remembered[entry.name] = known
    if on_held is not None:
        on_held()
    small: dict[EntryRole, bytes] = {}
    measured: list[MeasuredEntry] = []
    for entry in entries:
        file = files[entry.name]
        known = remembered.get(entry.name)
        verity = None
        if entry.role is EntryRole.MODEL:
            wanted = demanded_digests(policy, file)
            found = _model_digests(file, wanted, progress, cache, known)
            verity = entry.fs_verity if file.level is LoadLevel.FS_VERITY else None
        else:
            content = file.read(entry.size_bytes)
            found = measure_bytes(content)
            small[entry.role] = content
        for digest in found.values():
            _require_digest(entry, file.name, digest)
        measured.append(
            MeasuredEntry(
                name=entry.name,
                role=entry.role,
                size_bytes=entry.size_bytes,
                digests=tuple(found[algorithm] for algorithm in sorted(found)),
                remembered_at=None if known is None else known.computed_at,
                fs_verity=None if verity is None else verity.digest,
            )
        )
    return small, tuple(sorted(measured, key=lambda entry: entry.name))


def demanded_digests(policy: Policy, model: GuardedFile) -> frozenset[Algorithm]:
    """The policy's; those that nobody asked for by name, the kernel's own digest stands in for."""
    return policy.named_digests if model.level is LoadLevel.FS_VERITY else policy.digests


def _model_digests(
    file: GuardedFile,
    digests: frozenset[Algorithm],
    progress: Progress | None,
    identities: IdentityCache | None,
    remembered: Remembered | None,
) -> Mapping[Algorithm, Digest]:
    """What is remembered of the file that is still held, else what it hashes to."""
    if remembered is not None:
        file.require_same()
        return remembered.digests
    if not digests and file.level is LoadLevel.FS_VERITY:
        if progress is not None:
            progress(file.size_bytes)  # what the bar counts is done
        return {}
    found = file.measure(digests, progress)
    if identities is not None:
        identities.keep(file, found)
    return found


def _require_size(entry: Entry, file: GuardedFile) -> None:
    if file.size_bytes != entry.size_bytes:
        raise RefusedError(
            RefusalKind.DIGEST,
            "size differs",
            where=file.name,
            expected=f"{entry.size_bytes} bytes",
            got=f"{file.size_bytes} bytes",
        )


def _require_digest(entry: Entry, where: str, digest: Digest) -> None:
    match digest.algorithm:
        case Algorithm.SHA256:
            expected = entry.sha256
        case Algorithm.BLAKE3:
            expected = entry.blake3
    if digest != expected:
        raise RefusedError(
            RefusalKind.DIGEST,
            f"the {entry.role} differs from what was signed",
            where=where,
            expected=str(expected),
            got=str(digest),
        )
