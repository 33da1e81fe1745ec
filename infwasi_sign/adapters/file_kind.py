"""What the system says of an open file before anything of it is read: its kind, size and times."""

import os
import stat
from dataclasses import replace
from typing import Final

from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError
from infwasi_sign.quick_dataclass import dataclass

_KINDS: Final = {
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class FileIdentity:
    """What fstat says about a file; times in nanoseconds."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int

    @staticmethod
    def of(descriptor: int) -> "FileIdentity":
        """The identity of an open file."""
        return FileIdentity.seen(os.fstat(descriptor))

    @staticmethod
    def seen(found: os.stat_result) -> "FileIdentity":
        """The identity of a file as the system described it."""
        return FileIdentity(
            device=found.st_dev,
            inode=found.st_ino,
            size_bytes=found.st_size,
            mtime_ns=found.st_mtime_ns,
            ctime_ns=found.st_ctime_ns,
        )

    def has_bytes_of(self, other: "FileIdentity") -> bool:
        """Whether nothing speaks for a write between the two; no proof, since times can be set.

        ctime is left out: a new or lost name moves it too, as when a package is replaced.
        """
        return replace(self, ctime_ns=0) == replace(other, ctime_ns=0)


def require_regular(found: os.stat_result, shown: str) -> None:
    """Raise MalformedError for what is no file; ``shown`` is its name in the error."""
    kind = stat.S_IFMT(found.st_mode)
    if kind != stat.S_IFREG:
        raise not_regular(shown, _KINDS.get(kind, "something else"))


def not_regular(shown: str, got: str) -> MalformedError:
    """The error for ``got``, where a file should be."""
    return MalformedError("not a regular file", where=shown, expected="a file", got=got)


def require_size(size_bytes: int, least_bytes: int, most_bytes: int, shown: str) -> None:
    """Raise RefusedError of kind `limit` for what is too large, MalformedError for too small."""
    if size_bytes > most_bytes:
        raise RefusedError(
            RefusalKind.LIMIT,
            "file is too large",
            where=shown,
            expected=f"at most {most_bytes} bytes",
            got=str(size_bytes),
        )
    if size_bytes < least_bytes:
        raise MalformedError(
            "file is too small",
            where=shown,
            expected=f"at least {least_bytes} bytes",
            got=str(size_bytes),
        )
