"""What is remembered of a file that was hashed, and when that may stand in for another hash.

Pure: what the system says of the file, who the user is and what time it is are arguments. Every
doubt is an obstacle, and the answer to an obstacle is to hash (docs/threat-model.md, ADR 20).
"""

import struct
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Final

from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import MalformedError
from infwasi_sign.quick_dataclass import dataclass

SECOND_NS: Final = 1_000_000_000
SETTLED_NS: Final = 2 * SECOND_NS
"""So old the last change must be that the next one gets another ctime: file systems keep whole
seconds at worst. Git's index has the same rule ("racily clean")."""

LONGEST_NS: Final = LIMITS.identity_hours * 3600 * SECOND_NS
DRIFT_NS: Final = 60 * SECOND_NS
"""So far the two clocks may part in a day; adjtimex(2) slews by at most 500 ppm, 43 s in a day."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """One time by two clocks, in nanoseconds: the wall's, and since the boot (asleep or not)."""

    wall_ns: int
    boot_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class UniqueIdentity:
    """Which file this is and in what state, so that any change of its bytes changes some member.

    ``mount_id`` is never given twice before the next boot, ``generation`` tells inodes of one
    number apart, and ``ctime_ns`` moves with every change and cannot be set by the file's owner.
    """

    boot_id: bytes
    mount_id: int
    file_system_type: int
    file_system_id: int
    device: int
    inode: int
    generation: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Remembered:
    """Digests that were computed in an earlier run over what are surely the same bytes."""

    digests: Mapping[Algorithm, Digest]
    computed_at: datetime


# Big-endian: a magic, who and when, the identity, which digests and their bytes (zeros for none).
_MAGIC: Final = b"infwasi identity 1\n"
_FORM: Final = struct.Struct(">19s I qQ 16s QQQQQ I Q qq B 32s 32s")
_SLOTS: Final = (Algorithm.SHA256, Algorithm.BLAKE3)
RECORD_BYTES: Final = _FORM.size


@dataclass(frozen=True, kw_only=True, slots=True)
class IdentityRecord:
    """That ``user`` hashed a file at ``written``, what it was, and what came out."""

    user: int
    written: Moment
    identity: UniqueIdentity
    digests: Mapping[Algorithm, Digest]

    def to_bytes(self) -> bytes:
        """The one form in bytes, always `RECORD_BYTES` long."""
        one = self.identity
        return _FORM.pack(
            _MAGIC,
            self.user,
            self.written.wall_ns,
            self.written.boot_ns,
            *(getattr(one, field.name) for field in fields(one)),
            sum(1 << bit for bit, algorithm in enumerate(_SLOTS) if algorithm in self.digests),
            *(
                bytes.fromhex(self.digests[algorithm].hex) if algorithm in self.digests else b""
                for algorithm in _SLOTS
            ),
        )

    @staticmethod
    def parse(data: bytes) -> "IdentityRecord":
        """Read what `to_bytes` made.

        Raises:
            MalformedError: these are not the bytes of any record.
        """
        if len(data) != RECORD_BYTES:
            raise _malformed(f"{len(data)} bytes")
        magic, user, wall_ns, boot_ns, *rest = _FORM.unpack(data)
        if magic != _MAGIC:
            raise _malformed(repr(magic))
        *members, bits, first, second = rest
        names = (field.name for field in fields(UniqueIdentity))
        record = IdentityRecord(
            user=user,
            written=Moment(wall_ns=wall_ns, boot_ns=boot_ns),
            identity=UniqueIdentity(**dict(zip(names, members, strict=True))),
            digests={
                algorithm: Digest(algorithm=algorithm, hex=value.hex())
                for bit, (algorithm, value) in enumerate(zip(_SLOTS, (first, second), strict=True))
                if bits >> bit & 1
            },
        )
        if not record.digests or record.to_bytes() != data:
            raise _malformed("another form of the same")
        return record

    def remembered(self) -> Remembered:
        """What a run that believes this record says of the file."""
        seconds = self.written.wall_ns // SECOND_NS
        return Remembered(digests=self.digests, computed_at=datetime.fromtimestamp(seconds, tz=UTC))


def obstacle_to_writing(identity: UniqueIdentity, now: Moment) -> str | None:
    """Why a file that was just hashed may not be remembered, by its times.

    Asked while the file is still held: a later change is then made later than ``now``, and has
    another ctime. A time that is ahead of the clock says that one of the two is wrong.
    """
    if now.wall_ns - max(identity.mtime_ns, identity.ctime_ns) < SETTLED_NS:
        return "it was changed less than 2 seconds ago, or the clock is wrong"
    return None


def obstacle_to_use(
    record: IdentityRecord,
    seen: UniqueIdentity,
    *,
    user: int,
    wanted: frozenset[Algorithm],
    now: Moment,
) -> str | None:
    """Why a record may not stand in for a hash of the file that is ``seen`` now, held still.

    1. it is about this user, and has exactly the digests that are wanted
    2. every member of the identity is the same
    3. it is less than a day old, by both clocks, and the clocks agree on how old
    """
    # 1.
    if record.user != user:
        return "it was remembered by another user"
    if record.digests.keys() != wanted:
        return "other digests are demanded than are remembered"
    # 2.
    for member in _COMPARED:
        if getattr(record.identity, member) != getattr(seen, member):
            return f"{_WORDS[member]} is not what it was"
    # 3.
    by_wall = now.wall_ns - record.written.wall_ns
    by_boot = now.boot_ns - record.written.boot_ns
    if abs(by_wall - by_boot) > DRIFT_NS or min(by_wall, by_boot) < 0:
        return "the clock was set"
    if max(by_wall, by_boot) >= LONGEST_NS:
        return f"it was hashed more than {LIMITS.identity_hours} hours ago"
    return None


_COMPARED: Final = tuple(field.name for field in fields(UniqueIdentity))
_WORDS: Final[Mapping[str, str]] = {
    "boot_id": "the boot",
    "mount_id": "the mount",
    "file_system_type": "the type of the file system",
    "file_system_id": "the file system",
    "device": "the device",
    "inode": "the inode",
    "generation": "the generation of the inode",
    "size_bytes": "the size",
    "mtime_ns": "mtime",
    "ctime_ns": "ctime",
}


def _malformed(got: str) -> MalformedError:
    return MalformedError("not an identity record", expected=f"{RECORD_BYTES} bytes", got=got)
