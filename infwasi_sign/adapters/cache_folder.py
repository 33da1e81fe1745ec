"""The folder of what we computed once and need not compute again: small files, of the caller alone.

Everything in it can be made again, so nothing in it is worth an error: what is not there, cannot be
read, is too long, or could have been written by somebody else counts as not there. What is read
says nothing about who wrote it; `local_key` does. A file is replaced whole, by a rename. It is not
brought to the disk first: a torn one has no valid MAC.
"""

import errno
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from infwasi_sign.adapters.atomic import RenameFlag, rename_at, write_all
from infwasi_sign.adapters.trusted_file import open_trusted_folder, read_secret_at
from infwasi_sign.errors import UndecidedError

ENVIRONMENT_VARIABLE: Final = "INFWASI_CACHE_DIR"
_OTHERS: Final = 0o077
_ASIDE: Final = ".tmp"
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_NAMES: Final = 4096  # that are looked at; far more than all bounds of entries together


def cache_path(environment: Mapping[str, str], user: int) -> Path | None:
    """Where ``user`` keeps what can be made again: ``$INFWASI_CACHE_DIR``, or the system's place.

    That is /var/cache/infwasi for root (FHS 3.0 section 5.5), for others
    ``$XDG_CACHE_HOME/infwasi``, by default ``~/.cache/infwasi`` (XDG Base Directory Specification
    0.8). A relative path in any of them counts as none.
    """
    if asked := environment.get(ENVIRONMENT_VARIABLE):
        return Path(asked) if asked.startswith("/") else None
    if user == 0:
        return Path("/var/cache/infwasi")
    for name, below in (("XDG_CACHE_HOME", "infwasi"), ("HOME", ".cache/infwasi")):
        base = environment.get(name, "")
        if base.startswith("/"):
            return Path(base, below)
    return None


class CacheFolder:
    """An open folder that is the caller's alone (mode 0700), as are all that lead to it.

    It is opened before the process is confined: all later calls go by its descriptor.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: Path | None) -> Self | None:
        """Open the folder, and make it if it is not there; ``None`` where that cannot be trusted.

        1. each folder on the way belongs to the caller or root, and nobody else writes there
        2. the folder itself belongs to the caller, and nobody else even looks into it
        """
        if path is None:
            return None
        try:
            # 1.
            descriptor = _open_or_make(path)
        except (OSError, UndecidedError):
            return None
        # 2.
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or status.st_mode & _OTHERS:
            os.close(descriptor)
            return None
        return cls(path, descriptor)

    def close(self) -> None:
        """Forget the descriptor; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def read(self, name: str, most_bytes: int) -> bytes | None:
        """A regular file that only the caller can read or write, else ``None``."""
        try:
            return read_secret_at(self._descriptor, name, most_bytes, where=name)
        except (OSError, UndecidedError):
            return None

    def write(self, name: str, data: bytes, *, replace: bool = True) -> bool:
        """Put a file there, whole or not at all; says whether it did.

        Without ``replace`` a file that somebody else put there first stays.
        """
        aside = f".{name[:16]}.{os.urandom(8).hex()}{_ASIDE}"
        folder = self._descriptor
        try:
            descriptor = os.open(aside, _NEW, 0o600, dir_fd=folder)
            try:
                write_all(descriptor, data)
            finally:
                os.close(descriptor)
            if replace:
                os.replace(aside, name, src_dir_fd=folder, dst_dir_fd=folder)
            else:
                rename_at(folder, aside, name, RenameFlag.NOREPLACE)
        except OSError:
            with suppress(OSError):
                os.unlink(aside, dir_fd=folder)
            return False
        return True

    def remove(self, name: str) -> None:
        """Take a file away, if it is there and can be."""
        with suppress(OSError):
            os.unlink(name, dir_fd=self._descriptor)

    def keep_newest(self, suffix: str, *, most: int, most_bytes: int) -> None:
        """Remove the oldest files that end in ``suffix``, until few and small enough are left.

        What a killed writer left aside goes by the same rule.
        """
        total = 0
        for count, (_, size_bytes, name) in enumerate(self._newest_first(suffix), 1):
            total += size_bytes
            if count > most or total > most_bytes:
                self.remove(name)

    def _newest_first(self, suffix: str) -> list[tuple[int, int, str]]:
        found: list[tuple[int, int, str]] = []
        with suppress(OSError), os.scandir(self._descriptor) as entries:
            for number, entry in enumerate(entries):
                if number == _MOST_NAMES:
                    break
                if not entry.name.endswith((suffix, _ASIDE)):
                    continue
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if not stat.S_ISDIR(status.st_mode):
                        found.append((status.st_mtime_ns, status.st_size, entry.name))
        return sorted(found, reverse=True)


def _open_or_make(path: Path) -> int:
    if not path.is_absolute():
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(path))
    with suppress(FileNotFoundError):
        return open_trusted_folder(path)
    # All that are missing are for the caller alone (XDG: "created with permission 0700").
    for folder in (*reversed(path.parents), path):
        with suppress(FileExistsError):
            if not folder.is_dir():
                folder.mkdir(0o700)
    return open_trusted_folder(path)
