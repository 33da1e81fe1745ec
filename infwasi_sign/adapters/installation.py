"""Writes the copy of a package that is installed: `PackageWriter` for files that are open."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from infwasi_sign.adapters.measuring import file_windows
from infwasi_sign.adapters.package_writer import Existing, PackageWriter
from infwasi_sign.domain.manifest import SIGNATURES_FOLDER
from infwasi_sign.ports import EntryFile


class Installation:
    """Implements `install.InstallTarget`; made by `open_installation`.

    Raises:
        UndecidedError: from every method; the system refuses.
    """

    def __init__(self, writer: PackageWriter) -> None:
        self._writer = writer
        self._has_folder = False

    @property
    def path(self) -> Path:
        """See `install.InstallTarget.path`."""
        return self._writer.path

    def copy(self, name: str, file: EntryFile) -> None:
        """See `install.InstallTarget.copy`."""
        if name.startswith(f"{SIGNATURES_FOLDER}/") and not self._has_folder:
            self._writer.make_folder(SIGNATURES_FOLDER)
            self._has_folder = True
        self._writer.require_space(file.size_bytes)
        windows = file_windows(file.fileno(), file.size_bytes, held=False)
        for _ in self._writer.tee(name, windows):
            pass

    def protect(self, name: str) -> str | None:
        """See `install.InstallTarget.protect`."""
        return self._writer.protect(name)

    def commit(self) -> None:
        """Make the package visible under its name."""
        self._writer.commit()


@contextlib.contextmanager
def open_installation(target: Path, *, replace_other: bool) -> Iterator[Installation]:
    """Begin a package at ``target``; it is gone again if nobody commits it.

    Raises:
        UndecidedError: something is there, and it is no package or must not be replaced.
    """
    existing = Existing.REPLACE if replace_other else Existing.KEEP
    with PackageWriter(target, existing=existing) as writer:
        yield Installation(writer)
