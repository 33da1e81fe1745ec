"""Remembers what files hashed to, so that an unchanged one need not be hashed at the next start.

Used only under a policy that allows it (docs/policy.md, `[model] identity-cache`). What is kept of
a file, and what must be the same later, is decided in `domain.identity_record`; here is what makes
it true:

1. read and written only while the file is held by a lease or fs-verity, so that between the look at
   it and its use nothing can change
2. the identity is looked at before the first byte is hashed and again after the last one
3. only files on disks that stay in this machine, on file systems whose inodes tell of every write
4. only files that nobody else can write: ext4 and xfs let who may write to two files exchange their
   blocks (EXT4_IOC_MOVE_EXT, XFS_IOC_SWAPEXT), and no time tells of that
5. a record is ours: the folder is the caller's alone, and the record has a MAC by the local key

Everything in doubt is a reason to hash, never an error: this only ever saves time.
"""

import os
from collections.abc import Callable, Mapping
from typing import Final, Self

from infwasi_sign.adapters.cache_folder import CacheFolder, cache_path
from infwasi_sign.adapters.file_identity import read_boot_id, read_clocks, unique_identity
from infwasi_sign.adapters.fixed_disk import obstacle_to_fixed_disk
from infwasi_sign.adapters.local_key import MAC_BYTES, LocalKey, load_or_create_key
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.identity_record import (
    RECORD_BYTES,
    IdentityRecord,
    Moment,
    Remembered,
    UniqueIdentity,
    obstacle_to_use,
    obstacle_to_writing,
)
from infwasi_sign.domain.limits import GIB, LIMITS
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.errors import MalformedError
from infwasi_sign.ports import GuardedFile

_SUFFIX: Final = ".identity"
_PURPOSE: Final = "verified identity"
_HOLDING: Final = frozenset({LoadLevel.READ_LEASE, LoadLevel.FS_VERITY})
_SHARED_WRITE: Final = 0o022  # an access control list shows in the group's bits (acl(5), "mask")
_FILE_SYSTEMS: Final = {
    # Of those on which a lease means something. Not btrfs, whose disks do not show in the device
    # number of a file, nor tmpfs, which has no generations and is as fast as its hash.
    0xEF53: "ext4",
    0x58465342: "xfs",
}


class _DoubtError(Exception):
    """Why a file is hashed; said, and never an error of a run."""


class LocalIdentityCache:
    """Implements `measure_entries.IdentityCache` in a cache folder.

    ``path`` is its folder, in which a confined process must be able to replace files. ``reason``
    says which doubt led to a hash; that nothing was remembered yet is none.
    """

    def __init__(
        self,
        folder: CacheFolder,
        key: LocalKey,
        *,
        user: int,
        boot_id: bytes,
        clock: Callable[[], Moment] = read_clocks,
    ) -> None:
        self.reason: str | None = None
        self.path = folder.path
        self._folder = folder
        self._key = key
        self._user = user
        self._boot_id = boot_id
        self._clock = clock
        self._seen: dict[int, UniqueIdentity] = {}

    @classmethod
    def open(cls, environment: Mapping[str, str], user: int) -> Self | None:
        """The cache of ``user``; ``None`` where none can be kept."""
        folder = CacheFolder.open(cache_path(environment, user))
        if folder is None:
            return None
        try:
            key, boot_id = load_or_create_key(folder), read_boot_id()
        except OSError:
            key = None
        if key is None:
            folder.close()
            return None
        return cls(folder, key, user=user, boot_id=boot_id)

    def close(self) -> None:
        """Forget the folder; a second call does nothing."""
        self._folder.close()

    def recall(self, file: GuardedFile, wanted: frozenset[Algorithm]) -> Remembered | None:
        """See `measure_entries.IdentityCache.recall`."""
        self._seen.pop(file.fileno(), None)  # maybe of another file that had this descriptor
        try:
            seen = self._look(file)
            if why := obstacle_to_fixed_disk(seen.device):
                raise _DoubtError(why)
            self._seen[file.fileno()] = seen  # from here on it may be remembered
            record = self._read(seen)
            if record is None:
                return None
            now = self._clock()
            if why := obstacle_to_use(record, seen, user=self._user, wanted=wanted, now=now):
                raise _DoubtError(why)
        except _DoubtError as doubt:
            self.reason = str(doubt)
            return None
        file.require_same()
        return record.remembered()

    def keep(self, file: GuardedFile, digests: Mapping[Algorithm, Digest]) -> None:
        """See `measure_entries.IdentityCache.keep`."""
        before = self._seen.pop(file.fileno(), None)
        if before is None:
            return
        try:
            if self._look(file) != before:
                raise _DoubtError("it changed in some way while it was hashed")
            now = self._clock()
            if why := obstacle_to_writing(before, now):
                raise _DoubtError(why)
        except _DoubtError as doubt:
            self.reason = str(doubt)
            return
        file.require_same()
        record = IdentityRecord(user=self._user, written=now, identity=before, digests=digests)
        self._write(record)

    def _look(self, file: GuardedFile) -> UniqueIdentity:
        if file.level not in _HOLDING:
            raise _DoubtError(f"it is held by {file.level.label}")
        try:
            seen = unique_identity(file.fileno(), self._boot_id)
        except OSError as error:
            raise _DoubtError(f"its identity is not told: {_said(error)}") from error
        if seen.file_system_type not in _FILE_SYSTEMS:
            raise _DoubtError(f"its file system (type 0x{seen.file_system_type:x}) is none of ours")
        self._require_nobody_else_writes(file)
        return seen

    def _require_nobody_else_writes(self, file: GuardedFile) -> None:
        # That it was so before, too, ctime tells: it moves with owner and mode.
        status = os.fstat(file.fileno())
        if status.st_uid != self._user or status.st_mode & _SHARED_WRITE:
            raise _DoubtError("others than this user can write it")

    def _read(self, seen: UniqueIdentity) -> IdentityRecord | None:
        data = self._folder.read(_name(seen), RECORD_BYTES + MAC_BYTES)
        if data is None:
            return None
        body, mac = data[:-MAC_BYTES], data[-MAC_BYTES:]
        if not self._key.is_mac(mac, _PURPOSE, [body]):
            raise _DoubtError("what is remembered was not written by us")
        try:
            return IdentityRecord.parse(body)
        except MalformedError as error:
            raise _DoubtError(error.sentence()) from error

    def _write(self, record: IdentityRecord) -> None:
        body = record.to_bytes()
        self._folder.write(_name(record.identity), body + self._key.mac(_PURPOSE, [body]))
        # By number alone: what others write aside in this folder at the same time is larger.
        self._folder.keep_newest(_SUFFIX, most=LIMITS.identity_records, most_bytes=GIB)


def _name(identity: UniqueIdentity) -> str:
    """One record for each file; that it is about this one, its content says."""
    return f"{identity.mount_id:x}-{identity.inode:x}{_SUFFIX}"


def _said(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else str(error)
