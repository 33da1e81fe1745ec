"""A copy on disk that has no name: for a model that no lease is given on, and memory cannot hold.

It is made without a name (open(2), O_TMPFILE) and can never get one (O_EXCL), its writer is closed,
and a read lease is on it. What is left is /proc/PID/fd, which is closed to all but root where the
process is not dumpable (proc(5)): that is made sure of, not hoped for.
"""

import ctypes
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from infwasi_sign.adapters.atomic import storage_error, write_all
from infwasi_sign.adapters.holding import (
    LEASE_FILE_SYSTEMS,
    file_system_type,
    take_read_lease,
)
from infwasi_sign.errors import UndecidedError

_PR_GET_DUMPABLE: Final = 3  # linux/prctl.h
_READ_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC
_WRITE_FLAGS: Final = os.O_TMPFILE | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
_ON_DISK: Final = frozenset(kind for kind, name in LEASE_FILE_SYSTEMS.items() if name != "tmpfs")
_libc: Final = ctypes.CDLL(None, use_errno=True)


def private_copy(
    windows: Callable[[], Iterable[memoryview]], size_bytes: int, name: str, no_memory: Exception
) -> int:
    """A new descriptor of the same bytes, with a read lease, in the first folder that takes it.

    ``no_memory`` is why there is no better copy.

    Raises:
        UndecidedError: no folder can hold ``size_bytes`` of ``name`` in private.
    """
    if _libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise _no_room(size_bytes, name, ["the process can be looked into"]) from no_memory
    obstacles = []
    for folder in copy_folders(os.environ, os.geteuid()):
        made = _copy_into(folder, windows, size_bytes, name)
        if isinstance(made, int):
            return made
        obstacles.append(f"{folder}: {made}")
    raise _no_room(size_bytes, name, obstacles) from no_memory


def copy_folders(environment: Mapping[str, str], user: int) -> tuple[Path, ...]:
    """Where such a copy may lie: the user's cache, then what outlives a boot (FHS 3.0, 5.15).

    The cache is /var/cache/infwasi for root (FHS 3.0 section 5.5), for others
    ``$XDG_CACHE_HOME/infwasi``, by default ``~/.cache/infwasi``.
    """
    last = Path("/var/tmp")  # noqa: S108 - the copy has no name there
    if user == 0:
        return (Path("/var/cache/infwasi"), last)
    for variable, below in (("XDG_CACHE_HOME", "infwasi"), ("HOME", ".cache/infwasi")):
        base = environment.get(variable, "")
        if base.startswith("/"):  # XDG Base Directory Specification: relative paths are ignored
            return (Path(base, below), last)
    return (last,)


def _copy_into(
    folder: Path, windows: Callable[[], Iterable[memoryview]], size_bytes: int, name: str
) -> int | str:
    """The copy's descriptor, or why there can be none in this folder."""
    try:
        if str(folder) != "/var/tmp":  # noqa: S108 - as above
            folder.mkdir(0o700, parents=True, exist_ok=True)
        # Whoever gets at it by some way may not even open it for writing: not the mode of a file
        # that is to be written, but this descriptor is what writes.
        writer = os.open(folder, _WRITE_FLAGS, 0o400)
    except OSError as e:
        return _reason(e)
    try:
        obstacle = _obstacle_to_writing(writer, size_bytes)
        if obstacle is not None:
            return obstacle
        for window in windows():
            write_all(writer, window)
        reader = os.open(f"/proc/self/fd/{writer}", _READ_FLAGS)
    except OSError as e:
        return _reason(e)
    finally:
        os.close(writer)
    try:
        obstacle = take_read_lease(reader)
    except OSError as e:
        os.close(reader)
        raise storage_error(e, name, "hold a copy on disk") from e
    if obstacle is not None:
        os.close(reader)
        return obstacle
    return reader


def _obstacle_to_writing(writer: int, size_bytes: int) -> str | None:
    kind = file_system_type(writer)
    if kind not in _ON_DISK:
        return f"not on a disk, or a lease means nothing there (type 0x{kind:x})"
    found = os.fstatvfs(writer)
    if found.f_bavail * found.f_frsize < size_bytes:
        return "no space left on device"
    return None


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or 0).lower()


def _no_room(size_bytes: int, name: str, obstacles: list[str]) -> UndecidedError:
    return UndecidedError(
        f"no memory for a sealed copy of {size_bytes} bytes, and no room for one on disk",
        where=name,
        got="; ".join(obstacles),
        hint="own the file and keep it on ext4, xfs, btrfs or tmpfs: a read lease needs no copy",
    )
