"""Files and directories that appear whole or not at all."""

import contextlib
import ctypes
import errno
import os
from enum import IntEnum
from pathlib import Path
from typing import Final

from infwasi_sign.errors import UndecidedError

_HINTS: Final = {
    errno.ENOSPC: "free some space or choose another place",
    errno.EDQUOT: "the disk quota is used up: free some space or choose another place",
    errno.EFBIG: "the file system or `ulimit -f` allows no file of this size",
    errno.EROFS: "the file system is read-only: choose another place",
    errno.EACCES: "check the owner and the mode of the file and of its directory",
    errno.EPERM: "check the owner and the mode of the file and of its directory",
    errno.EMFILE: "raise `ulimit -n`",
    errno.ENFILE: "close other programs: the whole system has no file left",
    errno.ENOMEM: "close other programs or raise `ulimit -v`",
    errno.EAGAIN: "close other programs or raise `ulimit -u`",
    errno.EIO: "the disk or what it is attached by is failing: save what is on it",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "a link on the way leads back to itself: name the real path",
    errno.ENOTDIR: "check the path: what should be a directory on the way is none",
}

_UNSUPPORTED: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP})
"""What renameat2 answers where kernel or file system does not know the flag (rename(2))."""

ASIDE: Final = ".old"
"""Ends the name that a target has while it is exchanged by steps; a kill can leave it."""

_libc: Final = ctypes.CDLL(None, use_errno=True)


class RenameFlag(IntEnum):
    """What renameat2 may do about an existing target (linux/fs.h)."""

    NOREPLACE = 1
    EXCHANGE = 2


def hint_for_error(error: OSError) -> str | None:
    """What can be done about what the system refused, where there is something."""
    return _HINTS.get(error.errno or 0)


def storage_error(error: OSError, where: str | Path, doing: str) -> UndecidedError:
    """Say what the system refused, about which path, and what can be done."""
    return UndecidedError(
        f"cannot {doing}: {_reason(error)}", where=str(where), hint=hint_for_error(error)
    )


def system_error(error: OSError) -> UndecidedError:
    """The same for an error that nobody expected: where it happened is all that is known."""
    where = None if error.filename is None else os.fsdecode(error.filename)
    return UndecidedError(_reason(error), where=where, hint=hint_for_error(error))


def _reason(error: OSError) -> str:
    return (os.strerror(error.errno) if error.errno else str(error) or "an input error").lower()


def rename_at(directory: int, source: str, target: str, flag: RenameFlag) -> None:
    """Rename within ``directory``, both names at once, as ``flag`` says (renameat2(2)).

    Where the flag is not known (NFS, old kernels) plain renames stand in: NOREPLACE looks before it
    renames (a target that appears just then is lost if it is a file or an empty directory),
    EXCHANGE takes three renames, between which the target is missing.

    Raises:
        OSError: as rename(2); FileExistsError when NOREPLACE finds the target.
    """
    names = os.fsencode(source), os.fsencode(target)
    if _libc.renameat2(directory, names[0], directory, names[1], int(flag)) == 0:
        return
    code = ctypes.get_errno()
    if code not in _UNSUPPORTED:
        raise OSError(code, os.strerror(code), target)
    if flag is RenameFlag.EXCHANGE:
        _exchange_by_steps(directory, source, target)
    else:
        _rename_without_replacing(directory, source, target)


def _exchange_by_steps(directory: int, source: str, target: str) -> None:
    aside = f"{source}{ASIDE}"
    os.rename(target, aside, src_dir_fd=directory, dst_dir_fd=directory)
    try:
        os.rename(source, target, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        os.rename(aside, target, src_dir_fd=directory, dst_dir_fd=directory)
        raise
    os.rename(aside, source, src_dir_fd=directory, dst_dir_fd=directory)


def _rename_without_replacing(directory: int, source: str, target: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.stat(target, dir_fd=directory, follow_symlinks=False)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    os.rename(source, target, src_dir_fd=directory, dst_dir_fd=directory)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write every byte; write(2) may take fewer at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def write_atomic(path: Path, data: bytes, mode: int, *, overwrite: bool = False) -> None:
    """Write a file so that readers and crashes see all of it or none; ``mode`` less the umask.

    The name is taken as it is: a symlink there is refused, or replaced, but not followed.

    Raises:
        UndecidedError: the file exists and ``overwrite`` is off, or it cannot be written.
    """
    temporary = f".{path.name}.{os.urandom(8).hex()}.tmp"
    try:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as e:
        raise storage_error(e, path.parent, "open the directory") from e
    try:
        write_durably(directory, temporary, data, mode)
        if overwrite:
            os.replace(temporary, path.name, src_dir_fd=directory, dst_dir_fd=directory)
        else:
            rename_at(directory, temporary, path.name, RenameFlag.NOREPLACE)
        os.fsync(directory)
    except FileExistsError as e:
        raise UndecidedError("file exists already", where=str(path)) from e
    except OSError as e:
        raise storage_error(e, path, "write the file") from e
    finally:
        with contextlib.suppress(OSError):  # gone after the rename; nothing to save if it is not
            os.unlink(temporary, dir_fd=directory)
        os.close(directory)


def write_durably(directory: int, name: str, data: bytes, mode: int) -> None:
    """Make a file in ``directory`` and see to it that its content outlives a crash.

    Raises:
        OSError: as open(2), write(2) and fsync(2).
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, mode, dir_fd=directory)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
