"""What tests of the identity cache share: a folder where it works, a clock, a start of a run."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infwasi_sign.adapters.cache_folder import CacheFolder
from infwasi_sign.adapters.file_identity import read_boot_id, read_clocks, unique_identity
from infwasi_sign.adapters.guarded_file import LocalFile
from infwasi_sign.adapters.identity_cache import _FILE_SYSTEMS, LocalIdentityCache
from infwasi_sign.adapters.local_key import LocalKey
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.identity_record import SECOND_NS, Moment, Remembered

WANTED = frozenset({Algorithm.BLAKE3})
KEY = bytes(range(32))


class Clock:
    """The real clocks, moved on: files are new, and only old ones are remembered."""

    def __init__(self, seconds: float = 10) -> None:
        self.wall_ns = self.boot_ns = int(seconds * SECOND_NS)

    def __call__(self) -> Moment:
        now = read_clocks()
        return Moment(wall_ns=now.wall_ns + self.wall_ns, boot_ns=now.boot_ns + self.boot_ns)

    def advance(self, seconds: float) -> None:
        self.wall_ns += int(seconds * SECOND_NS)
        self.boot_ns += int(seconds * SECOND_NS)


@contextmanager
def folder_with_identities() -> Iterator[Path]:
    """A folder, which others may enter, where the kernel tells all of an identity."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        descriptor = os.open(name, os.O_RDONLY)
        try:
            kind = unique_identity(descriptor, bytes(16)).file_system_type
        except OSError as error:
            pytest.skip(f"no unique identities of files here: {error}")
        finally:
            os.close(descriptor)
        if kind not in _FILE_SYSTEMS:
            pytest.skip(f"/var/tmp is on no file system of the cache (type 0x{kind:x})")
        Path(name).chmod(0o755)
        yield Path(name)


def open_cache(
    path: Path,
    clock: Callable[[], Moment],
    *,
    user: int | None = None,
    key: bytes = KEY,
    boot: bytes = b"",
) -> LocalIdentityCache:
    folder = CacheFolder.open(path)
    assert folder is not None
    return LocalIdentityCache(
        folder,
        LocalKey(key),
        user=os.geteuid() if user is None else user,
        boot_id=boot or read_boot_id(),
        clock=clock,
    )


def open_file(path: Path) -> LocalFile:
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        return LocalFile.open(path.name, directory=directory, most_bytes=1 << 30)
    finally:
        os.close(directory)


def start(cache: LocalIdentityCache, path: Path) -> Remembered | None:
    """As a run does it: guard, recall, and else hash and keep."""
    file = open_file(path)
    try:
        file.guard()
        remembered = cache.recall(file, WANTED)
        if remembered is None:
            cache.keep(file, file.measure(WANTED))
        else:
            file.require_same()
        return remembered
    finally:
        file.close()


def digest_of(path: Path) -> Digest:
    file = open_file(path)
    try:
        return file.measure(WANTED)[Algorithm.BLAKE3]
    finally:
        file.close()
