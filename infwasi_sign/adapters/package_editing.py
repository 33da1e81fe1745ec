"""A package that was verified, and then is added to or replaced: still the same, and all of it."""

import contextlib
import errno
import fcntl
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from infwasi_sign.adapters.atomic import storage_error, write_all, write_durably
from infwasi_sign.adapters.file_kind import FileIdentity
from infwasi_sign.adapters.package_directory import DirectoryStore, OpenedDirectory
from infwasi_sign.domain.manifest import SIGNATURES_FOLDER
from infwasi_sign.errors import UndecidedError
from infwasi_sign.ports import GuardedFile

_DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_UNNAMED_FILES: Final = frozenset(
    {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT, errno.EXDEV}
)
"""What open(2) with O_TMPFILE and linkat(2) answer where one of them cannot be (NFS, no /proc)."""


class EditableStore:
    """Opens one package and keeps in mind what it was; implements `ports.PackageStore`.

    It can be used until what `open` gave is closed. Also implements `countersign.SignatureTarget`.
    """

    def __init__(self) -> None:
        self._opened: OpenedDirectory | None = None
        self._identities: Mapping[str, FileIdentity] = {}

    def open(self, location: Path, detached: Sequence[Path] = ()) -> OpenedDirectory:
        """See `ports.PackageStore.open`."""
        opened = DirectoryStore().open(location, detached)
        self._identities = {
            name: FileIdentity.of(file.fileno()) for name, file in opened.files.items()
        }
        self._opened = opened
        return opened

    @property
    def path(self) -> Path:
        """The real path of the package."""
        return self._package.real

    @property
    def files(self) -> Mapping[str, GuardedFile]:
        """The files of the package that was opened last."""
        return self._package.files

    @property
    def _package(self) -> OpenedDirectory:
        if self._opened is None:
            raise RuntimeError("nothing was opened yet")
        return self._opened

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else signs or renews the package meanwhile (flock(2)).

        Raises:
            UndecidedError: somebody does.
        """
        descriptor = self._package.descriptor
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise UndecidedError(
                "somebody else signs the package at the moment",
                where=str(self.path),
                hint="wait until they are done, and try again",
            ) from e
        except OSError:  # NFS locks no directory; then what is changed meanwhile is seen below
            yield
            return
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def require_unchanged(self) -> None:
        """The path leads to the directory that was verified, with the very files that were.

        Raises:
            UndecidedError: it does not.
        """
        descriptor = self._package.descriptor
        try:
            there, opened = self.path.lstat(), os.fstat(descriptor)
            is_same = (there.st_dev, there.st_ino) == (opened.st_dev, opened.st_ino)
            is_same = is_same and _has_files(descriptor, self._identities)
        except (FileNotFoundError, NotADirectoryError):
            is_same = False
        except OSError as e:
            raise storage_error(e, self.path, "look at the package again") from e
        if not is_same:
            raise UndecidedError(
                "the package is not what was verified any more",
                where=str(self.path),
                hint="somebody changed it meanwhile; if that was meant, try again",
            )

    def add(self, name: str, data: bytes) -> None:
        """See `countersign.SignatureTarget.add`: whole and for good, or not at all.

        A reader, or a kill, meets no other file than those with their last name: one that is being
        written has none, or one outside of the package.
        """
        own_name = name.removeprefix(f"{SIGNATURES_FOLDER}/")
        with self.alone():
            self.require_unchanged()
            try:
                with _made_folder(self._package.descriptor) as folder:
                    if not _write_unnamed(folder, own_name, data):
                        self._write_beside(folder, own_name, data)
                    os.fsync(folder)
                os.fsync(self._package.descriptor)
            except OSError as e:
                raise storage_error(e, self.path / name, "write the counter-signature") from e

    def _write_beside(self, folder: int, name: str, data: bytes) -> None:
        parent = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        prefix = f".{self.path.name}."
        temporary = f"{prefix}{secrets.token_hex(8)}.signature.tmp"
        try:
            _remove_leftovers(parent, prefix)
            write_durably(parent, temporary, data, 0o644)
            with contextlib.suppress(FileNotFoundError):
                os.stat(name, dir_fd=folder, follow_symlinks=False)
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=folder)
        finally:
            with contextlib.suppress(OSError):  # gone after the rename
                os.unlink(temporary, dir_fd=parent)
            os.close(parent)


def _has_files(directory: int, expected: Mapping[str, FileIdentity]) -> bool:
    """Whether there are these files and no others, none of them written to."""
    names = _names(directory, "", len(expected) + 1)
    if SIGNATURES_FOLDER in names:
        names.remove(SIGNATURES_FOLDER)
        folder = os.open(SIGNATURES_FOLDER, _DIRECTORY_FLAGS, dir_fd=directory)
        try:
            names += _names(folder, f"{SIGNATURES_FOLDER}/", len(expected))
        finally:
            os.close(folder)
    if sorted(names) != sorted(expected):
        return False
    return all(
        FileIdentity.seen(os.stat(name, dir_fd=directory, follow_symlinks=False)).has_bytes_of(
            identity
        )
        for name, identity in expected.items()
    )


def _names(directory: int, prefix: str, most: int) -> list[str]:
    """Names in a directory, one more than ``most`` at most."""
    names = []
    with os.scandir(directory) as entries:
        for entry in entries:
            names.append(f"{prefix}{entry.name}")
            if len(names) > most:
                break
    return names


@contextlib.contextmanager
def _made_folder(directory: int) -> Iterator[int]:
    """The folder of counter-signatures, made if it is missing."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(SIGNATURES_FOLDER, 0o755, dir_fd=directory)
    folder = os.open(SIGNATURES_FOLDER, _DIRECTORY_FLAGS, dir_fd=directory)
    try:
        yield folder
    finally:
        os.close(folder)


def _write_unnamed(folder: int, name: str, data: bytes) -> bool:
    """Write a file that gets its name last (open(2), O_TMPFILE); false if that cannot be here."""
    try:
        descriptor = os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=folder)
    except OSError as e:
        if e.errno in _NO_UNNAMED_FILES:
            return False
        raise
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
        # linkat(2) says why by this path: it needs no privilege, and never replaces anything.
        os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=folder, follow_symlinks=True)
    except OSError as e:
        if e.errno in _NO_UNNAMED_FILES:
            return False
        raise
    finally:
        os.close(descriptor)
    return True


def _remove_leftovers(parent: int, prefix: str) -> None:
    """What killed runs left behind; nobody else signs this package now."""
    pattern = re.compile(rf"{re.escape(prefix)}[0-9a-f]{{16}}\.signature\.tmp")
    with os.scandir(parent) as entries:
        found = [entry.name for entry in entries if pattern.fullmatch(entry.name)]
    for name in found:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=parent)
