"""Two ways to hold the bytes of an open file still (`private_copy` joins them to a third).

- A *read lease*: the kernel tells us when anybody opens the file for writing or truncates it, and
  makes them wait for us, for `lease-break-time` seconds at most (fcntl(2), F_SETLEASE).
- A *sealed memfd*: a copy in memory that nobody can change any more, not even its maker
  (memfd_create(2); fcntl(2), F_ADD_SEALS).
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import signal
from collections.abc import Iterable
from typing import Final

from infwasi_sign.adapters.atomic import storage_error, write_all
from infwasi_sign.errors import UndecidedError

LEASE_SIGNAL: Final = signal.SIGRTMIN + 3
"""What the kernel sends when a lease is broken, if a `watcher.Watcher` waits for it.

A real-time signal, because those queue and the C library uses none of them beyond the first two.
"""

_SHORTEST_BREAK_SECONDS: Final = 3  # the grace of a run is 1 s, and its end takes some time
LEASE_FILE_SYSTEMS: Final = {
    # statfs(2): all writers of these go through the inode that holds the lease. On overlayfs a
    # lease is granted as well, but writers in the lower layer do not meet it.
    0xEF53: "ext4",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0x01021994: "tmpfs",
}

_MFD_NOEXEC_SEAL: Final = 0x0008  # linux/memfd.h, since Linux 6.3; not in the os module
_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_NO_MEMORY: Final = frozenset({errno.ENOMEM, errno.ENOSPC, errno.EFBIG})
_libc: Final = ctypes.CDLL(None, use_errno=True)


class NoMemoryError(UndecidedError):
    """There is no memory for a sealed copy; on disk there may be room for one."""


# SIGURG, whose default is to be ignored (signal(7)), where nobody waits for the lease's own signal:
# that one would end the process. `still_held` tells either way.
_break_signal: list[int] = [signal.SIGURG]


def await_lease_signal(*, is_awaited: bool) -> None:
    """Somebody waits for `LEASE_SIGNAL` from now on, blocked in every thread; or no more."""
    _break_signal[0] = LEASE_SIGNAL if is_awaited else signal.SIGURG


def take_read_lease(descriptor: int) -> str | None:
    """Take a read lease on an open file, or say why there is none."""
    kind = file_system_type(descriptor)
    if kind not in LEASE_FILE_SYSTEMS:
        return f"a lease means nothing on this file system (type 0x{kind:x})"
    if _break_seconds() < _SHORTEST_BREAK_SECONDS:
        return "a lease would be taken away before a run can end (fs.lease-break-time)"
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, _break_signal[0])
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as e:
        match e.errno:
            case errno.EACCES:
                return "a lease is denied: the file belongs to another user"
            case errno.EAGAIN:
                return "a lease is denied: the file is open for writing somewhere"
            case _:
                return f"a lease is denied: {os.strerror(e.errno or 0).lower()}"
    return None


def _break_seconds() -> int:
    """How long the kernel holds a writer back once a lease is broken (proc_sys_fs(5))."""
    try:
        with open("/proc/sys/fs/lease-break-time", "rb") as file:
            return int(file.read(16))
    except (OSError, ValueError):
        return 45  # the kernel's default


def holds_read_lease(descriptor: int) -> bool:
    """Whether the lease is whole; false as soon as somebody asked to write."""
    # F_GETLEASE names the type that a breaking lease is on its way to: F_UNLCK.
    try:
        return fcntl.fcntl(descriptor, fcntl.F_GETLEASE) == fcntl.F_RDLCK
    except OSError:
        return False


def drop_lease(descriptor: int) -> None:
    """Let waiting writers in at once; closing alone would wait for the last duplicate to close."""
    with contextlib.suppress(BlockingIOError):  # EAGAIN: broken, and taken away since
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def sealed_copy(windows: Iterable[memoryview], size_bytes: int, name: str) -> int:
    """A new descriptor of the same bytes, which nobody can write, grow, shrink or unseal.

    Raises:
        NoMemoryError: there is no memory for ``size_bytes``; ``name`` says of what.
        UndecidedError: the system refuses otherwise.
    """
    _require_memory(size_bytes, name)
    try:
        copy = _create_memfd(name)
    except OSError as e:
        raise storage_error(e, name, "make a copy in memory") from e
    try:
        for window in windows:
            write_all(copy, window)
        fcntl.fcntl(copy, fcntl.F_ADD_SEALS, _SEALS)
    except OSError as e:
        os.close(copy)
        if e.errno in _NO_MEMORY:
            raise _no_memory(name, size_bytes) from e
        raise storage_error(e, name, "make a copy in memory") from e
    except BaseException:
        os.close(copy)
        raise
    return copy


def file_system_type(descriptor: int) -> int:
    """The file system's magic number: `f_type`, the first word of struct statfs (statfs(2))."""
    result = (ctypes.c_ulong * 64)()  # struct statfs has 120 bytes on 64-bit Linux
    if _libc.fstatfs(descriptor, result) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result[0])


def _create_memfd(name: str) -> int:
    label = "infwasi:" + name.encode("ascii", "replace").decode()[:200]  # 249 bytes at most
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(label, flags | _MFD_NOEXEC_SEAL)
    except OSError as e:
        if e.errno != errno.EINVAL:
            raise
        return os.memfd_create(label, flags)


def _require_memory(size_bytes: int, name: str) -> None:
    """Refuse a copy that does not fit: the kernel would grant it and then kill some process."""
    try:
        with open("/proc/meminfo", "rb") as lines:
            found = {line.split()[0]: int(line.split()[1]) for line in lines}
    except OSError:
        return  # no /proc: the copy itself will tell
    if size_bytes > found.get(b"MemAvailable:", size_bytes) * 1024:
        raise _no_memory(name, size_bytes)


def _no_memory(name: str, size_bytes: int) -> NoMemoryError:
    return NoMemoryError(
        f"no memory for a sealed copy of {size_bytes} bytes",
        where=name,
        hint="own the file and keep it on ext4, xfs, btrfs or tmpfs: a read lease needs no copy",
    )
