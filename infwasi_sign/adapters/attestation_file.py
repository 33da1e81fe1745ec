"""The BOM's attestation, which lies beside its package: written before it, visible after it."""

import contextlib
import fcntl
import os
import re
import secrets
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from infwasi_sign.adapters.atomic import RenameFlag, rename_at, storage_error, write_all
from infwasi_sign.errors import UndecidedError

_SUFFIX: Final = ".bom.sigstore.json"
_CREATE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def attestation_path(package: Path) -> Path:
    """Where the attestation of a package lies: in a package every file is signed, so not there."""
    return package.with_name(f"{package.name}{_SUFFIX}")


class AttestationFile:
    """`NAME-VERSION.bom.sigstore.json`, whole or not at all. A context manager.

    ``overwrite`` allows that one is replaced. Leaving without `commit` leaves nothing; what a
    killed run left is removed by the next one that writes an attestation of this package.

    Raises:
        UndecidedError: from every method; the file exists, or the system refuses.
    """

    def __init__(self, package: Path, *, overwrite: bool) -> None:
        self.path = attestation_path(package)
        self._overwrite = overwrite
        self._temporary: Path | None = None
        self._descriptor = -1  # locked while we live (flock(2)), which tells others so

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._temporary is not None:
            with contextlib.suppress(OSError):
                self._temporary.unlink()
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def require_free(self) -> None:
        """Say before the work that the file is there, and not after it."""
        if not self._overwrite and os.path.lexists(self.path):
            raise self._exists_already()

    def write(self, data: bytes) -> None:
        """Write it under another name, so that nothing can go wrong any more but its rename."""
        self._remove_leftovers()
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}.tmp")
        try:
            self._descriptor = os.open(temporary, _CREATE_FLAGS, 0o644)
            self._temporary = temporary
            with contextlib.suppress(OSError):  # NFS; then nobody finds this one unlocked either
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            write_all(self._descriptor, data)
            os.fsync(self._descriptor)
        except OSError as e:
            raise storage_error(e, self.path, "write the attestation") from e

    def commit(self) -> None:
        """Make it visible, if one was written."""
        if self._temporary is None:
            return
        try:
            parent = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                if self._overwrite:
                    self._temporary.replace(self.path)
                else:
                    rename_at(parent, self._temporary.name, self.path.name, RenameFlag.NOREPLACE)
                self._temporary = None
                os.fsync(parent)
            finally:
                os.close(parent)
        except FileExistsError as e:
            raise self._exists_already() from e
        except OSError as e:
            raise storage_error(e, self.path, "write the attestation") from e

    def _exists_already(self) -> UndecidedError:
        return UndecidedError(
            "attestation exists already", where=str(self.path), hint="--force replaces it"
        )

    def _remove_leftovers(self) -> None:
        pattern = re.compile(rf"\.{re.escape(self.path.name)}\.[0-9a-f]{{16}}\.tmp")
        with contextlib.suppress(OSError), os.scandir(self.path.parent) as entries:
            for name in [entry.name for entry in entries if pattern.fullmatch(entry.name)]:
                with contextlib.suppress(OSError):
                    _remove_if_abandoned(self.path.with_name(name))


def _remove_if_abandoned(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises while its writer lives
        path.unlink()
    finally:
        os.close(descriptor)
