"""The successor of a package, in its place from one moment to the next."""

import contextlib
import os
import stat
from types import TracebackType
from typing import Self

from infwasi_sign.adapters.measuring import file_windows, measure
from infwasi_sign.adapters.package_editing import EditableStore
from infwasi_sign.adapters.package_writer import Existing, PackageWriter
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.errors import UndecidedError
from infwasi_sign.ports import EntryFile


class PackageRenewal:
    """Writes what replaces the package that ``store`` opened; implements `renew.RenewalTarget`.

    A context manager; as with `PackageWriter`, nothing happens to the old package before `commit`,
    and leaving without it leaves nothing behind.

    Raises:
        UndecidedError: from every method; somebody else is at it, or the system refuses.
    """

    def __init__(self, store: EditableStore) -> None:
        self._store = store
        self._writer = PackageWriter(store.path, existing=Existing.REPLACE)
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            undo.enter_context(self._store.alone())
            self._store.require_unchanged()
            undo.enter_context(self._writer)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._undo.__exit__(kind, error, trace)

    def write(self, name: str, data: bytes) -> None:
        """See `renew.RenewalTarget.write`."""
        self._writer.write(name, data)

    def adopt(self, name: str, file: EntryFile, sha256: Digest) -> None:
        """See `renew.RenewalTarget.adopt`.

        A link is to the very file that was measured, whatever its name leads to by now. A file that
        others could write to is copied, and so is one of which no link can be made (a file system
        without them).
        """
        if _is_ours_alone(file.fileno()) and self._writer.link(name, file.fileno()):
            return
        self._writer.require_space(file.size_bytes)
        windows = file_windows(file.fileno(), file.size_bytes, held=False)
        copied = measure(self._writer.tee(name, windows), frozenset({Algorithm.SHA256}))
        if copied[Algorithm.SHA256] != sha256:
            raise UndecidedError(
                "the file was changed while it was copied",
                where=name,
                expected=str(sha256),
                got=str(copied[Algorithm.SHA256]),
            )

    def commit(self) -> None:
        """Put the new package into the place of the old one, if that is still what was verified."""
        self._store.require_unchanged()
        self._writer.commit()


def _is_ours_alone(descriptor: int) -> bool:
    """Whether nobody else may write to a file, and no other name leads to it.

    Else what is signed now could be changed later from outside of the package.
    """
    found = os.fstat(descriptor)
    is_shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or found.st_nlink != 1
    return found.st_uid == os.geteuid() and not is_shared
