"""The identity cache on real files: each attack leads to a hash, and what lets it through if not.

Where one member of an identity alone stands against an attack, a control leaves that member out of
the comparison and is fooled: it gets the digests of bytes that are not there any more.
"""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from infwasi_sign.adapters import fixed_disk, identity_cache
from infwasi_sign.adapters.file_identity import read_boot_id, unique_identity
from infwasi_sign.adapters.identity_cache import LocalIdentityCache
from infwasi_sign.adapters.local_key import MAC_BYTES, LocalKey
from infwasi_sign.domain import identity_record
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.identity_record import RECORD_BYTES, IdentityRecord, Moment, UniqueIdentity
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.errors import RefusalKind, RefusedError
from tests.identity_support import (
    KEY,
    WANTED,
    Clock,
    digest_of,
    folder_with_identities,
    open_cache,
    open_file,
    start,
)
from tests.unprivileged import NOBODY, start_python, start_unprivileged, unprivileged_output

GOOD, BAD = b"good" * 5000, b"evil" * 5000

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def folder() -> Iterator[Path]:
    with folder_with_identities() as path:
        yield path


@pytest.fixture(autouse=True)
def on_a_fixed_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever disk the tests run on; `tests/test_fixed_disk.py` is about that."""
    monkeypatch.setattr(identity_cache, "obstacle_to_fixed_disk", lambda _: None)


@pytest.fixture
def model(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(GOOD)
    return path


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(folder: Path, clock: Clock) -> Iterator[LocalIdentityCache]:
    opened = open_cache(folder / "cache", clock)
    yield opened
    opened.close()


def entry(folder: Path) -> Path:
    (found,) = (folder / "cache").glob("*.identity")
    return found


def hashes(cache: LocalIdentityCache, path: Path) -> str | None:
    """Start once more, which must hash, and say why; ``None``, nothing was known."""
    cache.reason = None
    assert start(cache, path) is None
    return cache.reason


def only_without(monkeypatch: pytest.MonkeyPatch, *members: str) -> None:
    """The control: these members are not compared."""
    kept = tuple(one for one in identity_record._COMPARED if one not in members)
    monkeypatch.setattr(identity_record, "_COMPARED", kept)


# --- what it is for ---------------------------------------------------------------------------


def test_an_unchanged_file_is_not_hashed_again(
    cache: LocalIdentityCache, model: Path, clock: Clock
) -> None:
    assert hashes(cache, model) is None
    expected = {Algorithm.BLAKE3: digest_of(model)}
    clock.advance(3600)
    for _ in range(2):
        remembered = start(cache, model)
        assert remembered is not None
        assert remembered.digests == expected
        assert cache.reason is None


def test_another_process_of_the_user_knows_it_too(
    cache: LocalIdentityCache, model: Path, folder: Path, clock: Clock
) -> None:
    start(cache, model)
    other = open_cache(folder / "cache", clock)
    assert start(other, model) is not None
    other.close()


def test_the_command_line_opens_it_where_the_system_has_caches(folder: Path) -> None:
    where = {"INFWASI_CACHE_DIR": str(folder / "cache")}
    for _ in range(2):  # the second time the key is there
        opened = LocalIdentityCache.open(where, os.geteuid())
        assert opened is not None
        opened.close()
    assert stat.S_IMODE((folder / "cache").stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "cache/key").stat().st_mode) == 0o600


def test_an_identity_says_what_fstat_says(model: Path) -> None:
    descriptor = os.open(model, os.O_RDONLY)
    seen, status = unique_identity(descriptor, bytes(16)), os.fstat(descriptor)
    os.close(descriptor)
    assert (seen.device, seen.inode, seen.size_bytes) == (
        status.st_dev,
        status.st_ino,
        status.st_size,
    )
    assert (seen.mtime_ns, seen.ctime_ns) == (status.st_mtime_ns, status.st_ctime_ns)


# --- each member of the identity --------------------------------------------------------------


@pytest.mark.parametrize("member", identity_record._COMPARED)
def test_bytes_that_change_with_one_member_alone_are_hashed(
    member: str, cache: LocalIdentityCache, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A world in which the file is another and the system tells of it by one member only."""
    descriptor = os.open(model, os.O_RDONLY)
    first = unique_identity(descriptor, read_boot_id())
    os.close(descriptor)
    old = getattr(first, member)
    other = {member: bytes(16) if isinstance(old, bytes) else old - 1}
    if member == "file_system_type":
        other = {member: 0x58465342}
    now = replace(first, **other)  # type: ignore[arg-type]  # each of its own type

    def attacked() -> None:
        monkeypatch.setattr(identity_cache, "unique_identity", lambda *_: first)
        # Under one name, whatever its number: else a record of another file is not even found.
        monkeypatch.setattr(identity_cache, "_name", lambda _: "one.identity")
        assert hashes(cache, model) is None
        model.write_bytes(BAD)
        monkeypatch.setattr(identity_cache, "unique_identity", lambda *_: now)

    attacked()
    assert hashes(cache, model) == f"{identity_record._WORDS[member]} is not what it was"
    # Control: without this member the old digests are believed.
    (entry(model.parent)).unlink()
    model.write_bytes(GOOD)
    good = digest_of(model)
    attacked()
    only_without(monkeypatch, member)
    remembered = start(cache, model)
    assert remembered is not None
    assert remembered.digests[Algorithm.BLAKE3] == good != digest_of(model)


# --- what users can do to files ---------------------------------------------------------------


def rewritten_with_its_time_set_back(model: Path) -> None:
    before = model.stat()
    with model.open("r+b") as file:
        file.write(BAD)
    os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_file_rewritten_in_place_with_its_time_set_back_is_hashed(
    cache: LocalIdentityCache, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(cache, model)
    rewritten_with_its_time_set_back(model)
    assert hashes(cache, model) == "ctime is not what it was"
    # Control
    rewritten_with_its_time_set_back(model)
    only_without(monkeypatch, "ctime_ns")
    assert start(cache, model) is not None


def recreated_with_the_same_inode(model: Path) -> None:
    """Another file in the place of the first, with its number, size and mtime."""
    before = model.stat()
    kept: list[Path] = []
    model.unlink()
    for number in range(1000):
        kept.append(model.with_name(f"other-{number}"))
        kept[-1].write_bytes(BAD)
        if kept[-1].stat().st_ino == before.st_ino:
            kept.pop().rename(model)
            break
    for other in kept:
        other.unlink()
    if not model.exists():
        pytest.skip("this file system does not give the number of a deleted inode again")
    os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_new_file_with_the_number_of_a_deleted_one_is_hashed(
    cache: LocalIdentityCache, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_without(monkeypatch, "ctime_ns")  # as if its clock had come to the same nanosecond
    start(cache, model)
    recreated_with_the_same_inode(model)
    assert hashes(cache, model) == "the generation of the inode is not what it was"
    # Control
    recreated_with_the_same_inode(model)
    only_without(monkeypatch, "ctime_ns", "generation")
    assert start(cache, model) is not None


def replaced_by_a_rename(model: Path) -> None:
    other = model.with_name("other")
    other.write_bytes(BAD)
    os.utime(other, ns=(model.stat().st_atime_ns, model.stat().st_mtime_ns))
    other.rename(model)


def appended_to(model: Path) -> None:
    with model.open("ab") as file:
        file.write(b"!")


@pytest.mark.parametrize("attack", [replaced_by_a_rename, appended_to, Path.touch])
def test_a_file_that_is_another_or_was_touched_is_hashed(
    attack: Callable[[Path], None], cache: LocalIdentityCache, model: Path
) -> None:
    start(cache, model)
    attack(model)
    assert hashes(cache, model) in {None, "the size is not what it was", "mtime is not what it was"}


def test_another_boot_is_another_file(
    cache: LocalIdentityCache, model: Path, folder: Path, clock: Clock
) -> None:
    start(cache, model)
    rebooted = open_cache(folder / "cache", clock, boot=bytes(16))
    assert hashes(rebooted, model) == "the boot is not what it was"
    rebooted.close()


def test_after_a_day_it_is_hashed(cache: LocalIdentityCache, model: Path, clock: Clock) -> None:
    start(cache, model)
    clock.advance(24 * 3600 - 1)
    assert start(cache, model) is not None
    clock.advance(1)
    assert hashes(cache, model) == "it was hashed more than 24 hours ago"


def test_a_clock_that_is_set_back_makes_no_day_longer(
    cache: LocalIdentityCache, model: Path, clock: Clock
) -> None:
    start(cache, model)
    clock.advance(25 * 3600)
    clock.wall_ns -= 24 * 3600 * identity_record.SECOND_NS
    assert hashes(cache, model) == "the clock was set"


# --- when nothing is written ------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "is_kept"), [(1.9, False), (2.1, True), (-3600, False)])
def test_what_was_changed_just_now_is_not_remembered(
    seconds: float, is_kept: bool, folder: Path, model: Path
) -> None:
    now = Moment(wall_ns=model.stat().st_ctime_ns + int(seconds * 1e9), boot_ns=0)
    cache = open_cache(folder / "cache", lambda: now)
    file = open_file(model)
    file.guard()
    assert cache.recall(file, WANTED) is None
    cache.keep(file, file.measure(WANTED))
    file.close()
    cache.close()
    assert bool(list((folder / "cache").glob("*.identity"))) is is_kept
    why = "it was changed less than 2 seconds ago, or the clock is wrong"
    assert cache.reason == (None if is_kept else why)


def test_a_file_that_is_not_held_is_neither_read_nor_remembered(
    cache: LocalIdentityCache, model: Path, folder: Path
) -> None:
    start(cache, model)
    file = open_file(model)  # not guarded
    assert cache.recall(file, WANTED) is None
    assert cache.reason == "it is held by none"
    entry(folder).unlink()
    cache.keep(file, file.measure(WANTED))
    assert not list((folder / "cache").glob("*.identity"))
    file.close()


def test_a_sealed_copy_is_neither(cache: LocalIdentityCache, model: Path, folder: Path) -> None:
    with model.open("r+b"):  # who writes keeps us from a lease
        assert hashes(cache, model) == "it is held by sealed-memfd"
    assert not list((folder / "cache").glob("*.identity"))


WRITER = """
import os, sys
try:
    os.open(sys.argv[1], os.O_WRONLY | os.O_NONBLOCK)
except BlockingIOError:
    print("asked")
"""


def asks_to_write(path: Path) -> None:
    with start_python(WRITER, path) as writer:
        assert writer.communicate(timeout=60)[0] == "asked\n"


def test_a_lease_that_was_lost_before_the_end_of_the_hash_leaves_no_record(
    cache: LocalIdentityCache, model: Path, folder: Path
) -> None:
    file = open_file(model)
    assert file.guard() is LoadLevel.READ_LEASE
    assert cache.recall(file, WANTED) is None
    found = file.measure(WANTED)
    asks_to_write(model)
    with pytest.raises(RefusedError) as refusal:
        cache.keep(file, found)
    file.close()
    assert refusal.value.kind is RefusalKind.LEVEL
    assert not list((folder / "cache").glob("*.identity"))


def test_a_lease_that_was_lost_before_it_is_believed_refuses(
    cache: LocalIdentityCache, model: Path
) -> None:
    start(cache, model)
    file = open_file(model)
    file.guard()
    asks_to_write(model)
    with pytest.raises(RefusedError) as refusal:
        cache.recall(file, WANTED)
    file.close()
    assert str(refusal.value) == (
        "the file changed while in use: it was opened for writing in model.gguf"
    )


def test_what_changed_in_any_way_while_it_was_hashed_is_not_remembered(
    cache: LocalIdentityCache, model: Path, folder: Path
) -> None:
    file = open_file(model)
    file.guard()
    assert cache.recall(file, WANTED) is None
    found = file.measure(WANTED)
    model.chmod(0o640)  # moves ctime, and breaks no lease
    cache.keep(file, found)
    file.close()
    assert cache.reason == "it changed in some way while it was hashed"
    assert not list((folder / "cache").glob("*.identity"))


def test_a_file_system_that_is_not_in_the_list_is_left_alone(
    cache: LocalIdentityCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path
) -> None:
    monkeypatch.setattr(identity_cache, "_FILE_SYSTEMS", {})
    assert (hashes(cache, model) or "").startswith("its file system (type 0x")


def test_a_system_that_does_not_tell_all_is_left_alone(
    cache: LocalIdentityCache, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def untold(*_: object) -> UniqueIdentity:
        raise OSError("the kernel does not tell a unique mount")

    monkeypatch.setattr(identity_cache, "unique_identity", untold)
    assert hashes(cache, model) == (
        "its identity is not told: the kernel does not tell a unique mount"
    )


def test_a_disk_that_is_not_fixed_is_left_alone(
    cache: LocalIdentityCache, model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def removable(_: int) -> str | None:
        return "its disk is removable"

    start(cache, model)
    monkeypatch.setattr(identity_cache, "obstacle_to_fixed_disk", removable)
    assert hashes(cache, model) == "its disk is removable"
    entry(folder).unlink()
    start(cache, model)
    assert not list((folder / "cache").glob("*.identity"))


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no tmpfs here")
def test_tmpfs_is_left_alone(cache: LocalIdentityCache) -> None:
    path = Path("/dev/shm") / f"infwasi-{os.urandom(8).hex()}"
    path.write_bytes(GOOD)
    try:
        assert (hashes(cache, path) or "").startswith("its identity is not told: ")
    finally:
        path.unlink()


# --- who else can write it --------------------------------------------------------------------

OTHERS_WRITE = "others than this user can write it"


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o622])
def test_a_file_that_others_can_write_is_left_alone(
    mode: int, cache: LocalIdentityCache, model: Path, folder: Path
) -> None:
    model.chmod(mode)
    assert hashes(cache, model) == OTHERS_WRITE
    assert not list((folder / "cache").glob("*.identity"))


@only_root
def test_a_file_of_another_user_is_left_alone(
    cache: LocalIdentityCache, model: Path, folder: Path
) -> None:
    start(cache, model)
    os.chown(model, NOBODY, NOBODY)  # root may lease it, and its owner write it
    assert hashes(cache, model) == OTHERS_WRITE


EXCHANGE = """
import fcntl, os, struct, sys
request = 3 << 30 | 40 << 16 | ord("f") << 8 | 15  # EXT4_IOC_MOVE_EXT: fs/ext4/ext4.h
other, model = (os.open(path, os.O_RDWR) for path in sys.argv[1:3])
blocks = os.fstat(model).st_size // 4096
for file in (other, model):
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
moved = 0
while moved < blocks:
    asked = bytearray(struct.pack("=IIQQQQ", 0, model, moved, moved, blocks - moved, 0))
    fcntl.ioctl(other, request, asked)
    moved += struct.unpack("=IIQQQQ", asked)[-1]
for file in (other, model):
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
print("exchanged")
"""


@only_root
def test_who_writes_by_the_group_can_exchange_blocks_and_no_time_tells(
    cache: LocalIdentityCache, model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why files that others can write are left alone: that rule off, the cache is fooled.

    The owner can do the same, and is not kept from it (docs/threat-model.md).
    """
    model.write_bytes(b"good" * 65536)
    os.chown(model, 0, NOBODY)
    model.chmod(0o664)
    other = folder / "other"
    other.write_bytes(b"evil" * 65536)
    os.chown(other, NOBODY, NOBODY)
    monkeypatch.setattr(LocalIdentityCache, "_require_nobody_else_writes", lambda *_: None)
    good = digest_of(model)
    start(cache, model)
    done = start_unprivileged(EXCHANGE, other, model, preload=("fcntl", "struct"))
    output, errors = done.communicate(timeout=60)
    if output != "exchanged\n":
        pytest.skip(f"this file system exchanges no blocks: {errors.splitlines()[-1:]}")
    if digest_of(model) == good:
        pytest.skip("this kernel exchanges blocks and keeps what is in them")
    remembered = start(cache, model)
    if remembered is None:
        pytest.skip(f"this kernel tells: {cache.reason}")
    assert remembered.digests[Algorithm.BLAKE3] == good
    monkeypatch.undo()
    monkeypatch.setattr(identity_cache, "obstacle_to_fixed_disk", lambda _: None)
    assert hashes(cache, model) == OTHERS_WRITE


# --- what lies in the cache -------------------------------------------------------------------

NOT_OURS = "what is remembered was not written by us"


def signed(record: IdentityRecord, key: bytes = KEY) -> bytes:
    body = record.to_bytes()
    return body + LocalKey(key).mac("verified identity", [body])


def flipped(at: int) -> Callable[[Path], None]:
    def flip(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.write_bytes(data)

    return flip


def by_another_user(path: Path) -> None:
    record = IdentityRecord.parse(path.read_bytes()[:-MAC_BYTES])
    path.write_bytes(signed(replace(record, user=record.user + 1)))


def with_another_key(path: Path) -> None:
    record = IdentityRecord.parse(path.read_bytes()[:-MAC_BYTES])
    path.write_bytes(signed(record, bytes(32)))


def as_a_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def as_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize(
    ("attack", "why"),
    [
        (flipped(0), NOT_OURS),
        (flipped(RECORD_BYTES // 2), NOT_OURS),
        (flipped(RECORD_BYTES - 1), NOT_OURS),
        (flipped(-1), NOT_OURS),
        (with_another_key, NOT_OURS),
        (by_another_user, "it was remembered by another user"),
        (lambda path: os.truncate(path, RECORD_BYTES), NOT_OURS),
        (lambda path: os.truncate(path, 7), NOT_OURS),
        (lambda path: os.truncate(path, 0), NOT_OURS),
        # What the cache folder does not read at all counts as not there.
        (lambda path: os.truncate(path, 1 << 40), None),
        (as_a_link, None),
        (as_a_pipe, None),
        (lambda path: path.chmod(0o640), None),
        (lambda path: path.chmod(0o602), None),
        (Path.unlink, None),
    ],
)
def test_a_record_that_is_not_whole_and_ours_is_not_believed(
    attack: Callable[[Path], None],
    why: str | None,
    cache: LocalIdentityCache,
    model: Path,
    folder: Path,
) -> None:
    start(cache, model)
    assert start(cache, model) is not None
    attack(entry(folder))
    assert hashes(cache, model) == why


@pytest.mark.parametrize("attack", [flipped(RECORD_BYTES - 1), with_another_key])
def test_without_the_mac_it_would_be_believed(
    attack: Callable[[Path], None],
    cache: LocalIdentityCache,
    model: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start(cache, model)
    attack(entry(folder))
    monkeypatch.setattr(LocalKey, "is_mac", lambda *_: True)
    assert start(cache, model) is not None


@only_root
def test_a_record_that_belongs_to_somebody_else_is_not_believed(
    cache: LocalIdentityCache, model: Path, folder: Path
) -> None:
    start(cache, model)
    os.chown(entry(folder), NOBODY, NOBODY)
    assert hashes(cache, model) is None


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o755])
def test_a_folder_that_others_can_enter_is_no_cache(mode: int, folder: Path) -> None:
    place = folder / "cache"
    place.mkdir(mode=0o700)
    where = {"INFWASI_CACHE_DIR": str(place)}
    opened = LocalIdentityCache.open(where, os.geteuid())
    assert opened is not None
    opened.close()
    place.chmod(mode)
    assert LocalIdentityCache.open(where, os.geteuid()) is None


@pytest.mark.parametrize("mode", [0o644, 0o660])
def test_a_key_that_others_can_read_is_none(mode: int, folder: Path) -> None:
    where = {"INFWASI_CACHE_DIR": str(folder / "cache")}
    opened = LocalIdentityCache.open(where, os.geteuid())
    assert opened is not None
    opened.close()
    (folder / "cache/key").chmod(mode)
    assert LocalIdentityCache.open(where, os.geteuid()) is None


def test_a_record_of_another_file_is_not_believed_under_this_ones_name(
    cache: LocalIdentityCache, model: Path, folder: Path
) -> None:
    other = folder / "other.gguf"
    other.write_bytes(BAD)
    start(cache, other)
    moved = entry(folder).read_bytes()
    entry(folder).unlink()
    start(cache, model)
    entry(folder).write_bytes(moved)
    assert hashes(cache, model) == "the inode is not what it was"


def test_the_cache_is_bounded(cache: LocalIdentityCache, folder: Path, clock: Clock) -> None:
    for number in range(LIMITS.identity_records + 3):
        path = folder / f"model-{number}"
        path.write_bytes(GOOD)
        start(cache, path)
    found = list((folder / "cache").glob("*.identity"))
    assert len(found) == LIMITS.identity_records
    assert {path.stat().st_size for path in found} == {RECORD_BYTES + MAC_BYTES}


# --- other users ------------------------------------------------------------------------------

RUN = """
import shutil
from tests.identity_support import *
from infwasi_sign.adapters import identity_cache
identity_cache.obstacle_to_fixed_disk = lambda _: None
folder = Path(sys.argv[1])
cache = open_cache(folder / "cache", Clock())
for name in sys.argv[2:]:
    if name == "own rewritten":
        name, before = "own", (folder / "own").stat()
        with (folder / "own").open("r+b") as file:
            file.write(b"evil")
        os.utime(folder / "own", ns=(before.st_atime_ns, before.st_mtime_ns))
    cache.reason = None
    print(start(cache, folder / name) is not None, cache.reason)
"""
PRELOAD = ("tests.identity_support", "infwasi_sign.adapters.measuring", "blake3")


@only_root
def test_a_user_without_privileges_has_a_cache_for_files_that_can_be_leased(
    folder: Path, model: Path
) -> None:
    own = folder / "own"
    shutil.copy(model, own)
    for path in (own, folder):
        os.chown(path, NOBODY, NOBODY)
    own.chmod(0o600)
    output = unprivileged_output(
        RUN, folder, "own", "own", "own rewritten", "model.gguf", preload=PRELOAD
    )
    first, second, rewritten, roots = output.splitlines()
    assert (first, second) == ("False None", "True None")
    assert rewritten == "False ctime is not what it was"
    # A file of root's is not leased by others, and new: it is copied, and hashed each time.
    assert roots == "False it is held by sealed-memfd"


def test_the_real_disk_is_judged(folder: Path) -> None:
    """One that is not in the list is hashed; either way there is an answer."""
    answer = fixed_disk.obstacle_to_fixed_disk(folder.stat().st_dev)
    assert answer is None or answer.startswith("its ")
