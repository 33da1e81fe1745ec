"""Step 5 of verification: every entry's size and digests, through the descriptor that will be used.

A model is held before its first byte is hashed. Two things can stand in for the hash: the digest
to which the kernel holds every read (fs-verity, ADR 18); and, where the policy allows it and the
file is surely the one of an earlier run, unchanged, what that run computed (ADR 20).
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from infwasi_sign.domain.digest import Algorithm, Digest, MeasureBytes
from infwasi_sign.domain.fs_verity import FsVerityHash, require_same_verity
from infwasi_sign.domain.level_demand import LevelDemand
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.domain.manifest import Entry, EntryRole, Manifest
from infwasi_sign.domain.policy import Policy
from infwasi_sign.errors import RefusalKind, RefusedError
from infwasi_sign.ports import GuardedFile, IdentityCache, Progress
from infwasi_sign.quick_dataclass import dataclass

if TYPE_CHECKING:
    from infwasi_sign.domain.identity_record import Remembered


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredEntry:
    """What was computed over one entry: exactly these digests and no others.

    ``remembered_at`` is there if that was in an earlier run, which ended its hash then;
    ``fs_verity`` is that of fs-verity, in hex: by the kernel, and then no other is computed unless
    somebody asked for it by name; or from the bytes, where every digest is computed.
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
    remembered = {} if demand is None else _hold_models(entries, files, policy, demand, cache)
    if on_held is not None:
        on_held()
    small: dict[EntryRole, bytes] = {}
    measured: list[MeasuredEntry] = []
    for entry in entries:
        file = files[entry.name]
        known = remembered.get(entry.name)
        verity: str | None = None
        if entry.role is not EntryRole.MODEL:
            content = file.read(entry.size_bytes)
            found = measure_bytes(content)
            small[entry.role] = content
        elif known is not None:
            file.require_same()  # still held, as it was when it was recalled
            found = known.digests
        else:
            found, verity = _measure_model(entry, file, demanded_digests(policy, file), progress)
            if cache is not None and found:
                cache.keep(file, found)
        for digest in found.values():
            _require_digest(entry, file.name, digest)
        if entry.fs_verity is not None and verity is not None:
            require_same_verity(entry.fs_verity, verity, file.name)
        measured.append(
            MeasuredEntry(
                name=entry.name,
                role=entry.role,
                size_bytes=entry.size_bytes,
                digests=tuple(found[algorithm] for algorithm in sorted(found)),
                remembered_at=None if known is None else known.computed_at,
                fs_verity=verity,
            )
        )
    return small, tuple(sorted(measured, key=lambda entry: entry.name))


def _hold_models(
    entries: Iterable[Entry],
    files: Mapping[str, GuardedFile],
    policy: Policy,
    demand: LevelDemand,
    cache: IdentityCache | None,
) -> "dict[str, Remembered]":
    """Guard every model; gives what is remembered of it, by the entry's name."""
    remembered: dict[str, Remembered] = {}
    for entry in entries:
        if entry.role is EntryRole.MODEL:
            model = files[entry.name]
            model.guard(demand.is_enough, entry.fs_verity, demand.require_possible)
            wanted = _recallable(entry, demanded_digests(policy, model), model)
            known = cache.recall(model, wanted) if cache is not None and wanted else None
            if known is not None:
                remembered[entry.name] = known
    return remembered


def demanded_digests(policy: Policy, model: GuardedFile) -> frozenset[Algorithm]:
    """The policy's; those that nobody asked for by name, the kernel's own digest stands in for."""
    return policy.named_digests if model.level is LoadLevel.FS_VERITY else policy.digests


def _recallable(
    entry: Entry, wanted: frozenset[Algorithm], model: GuardedFile
) -> frozenset[Algorithm]:
    """What another run's hash can stand in for: nothing, where fs-verity's digest is wanted too."""
    return frozenset() if _wants_verity(entry, wanted, model) else wanted


def _wants_verity(entry: Entry, wanted: frozenset[Algorithm], model: GuardedFile) -> bool:
    """Who wants every digest wants this one too: of a model that is not held, no other pass tells.

    The kernel has computed it of one that it holds.
    """
    is_held = model.level is LoadLevel.FS_VERITY
    return entry.fs_verity is not None and not is_held and wanted == frozenset(Algorithm)


def _measure_model(
    entry: Entry,
    file: GuardedFile,
    wanted: frozenset[Algorithm],
    progress: Progress | None,
) -> tuple[Mapping[Algorithm, Digest], str | None]:
    """The digests that are wanted, and that of fs-verity if the kernel or the bytes tell it."""
    stated = entry.fs_verity
    if stated is not None and _wants_verity(entry, wanted, file):
        verity = FsVerityHash(block_size=stated.block_size, salt=bytes.fromhex(stated.salt))
        return file.measure(wanted, progress, verity.update), verity.hexdigest()
    is_held = file.level is LoadLevel.FS_VERITY
    by_kernel = stated.digest if stated is not None and is_held else None
    if is_held and not wanted:
        if progress is not None:
            progress(file.size_bytes)  # what the bar counts is done
        return {}, by_kernel
    return file.measure(wanted, progress), by_kernel


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
