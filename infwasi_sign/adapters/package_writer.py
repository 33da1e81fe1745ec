"""A package written whole or not at all."""

import contextlib
import errno
import fcntl
import filecmp
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from infwasi_sign.adapters import fs_verity
from infwasi_sign.adapters.atomic import ASIDE, RenameFlag, rename_at, storage_error, write_all
from infwasi_sign.adapters.guarded_file import LocalFile
from infwasi_sign.domain.bundle import parse_bundle
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import (
    BOM_FILE,
    COMPONENT_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    OMS_FILE,
    SIGNATURES_FOLDER,
)
from infwasi_sign.domain.material import Material
from infwasi_sign.domain.statement import parse_statement
from infwasi_sign.errors import RefusedError, UndecidedError

_DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Existing(StrEnum):
    """What may happen to a package that is there already."""

    KEEP = "keep"
    REPLACE_IF_SAME = "replace-if-same"  # all bytes but the signature's, by the same key
    REPLACE = "replace"


class PackageWriter:
    """Writes a new package directory that appears whole, at `commit`, or not at all.

    Implements `ports.PackageTarget`; a context manager. Until `commit` everything lies in a sibling
    of ``target`` whose name begins with a dot; leaving without `commit` removes it, and what a
    killed run left behind is removed by the next run for the same target. Modes are 0755 and 0644,
    less the umask, and less what the package that is replaced keeps from others.

    Raises:
        UndecidedError: from every method; the target exists, or the system refuses.
    """

    def __init__(self, target: Path, *, existing: Existing = Existing.KEEP) -> None:
        if target.name in {"", ".."}:
            raise UndecidedError("not a name for a package", where=str(target))
        self._target = target
        self._existing = existing
        self._mode = 0o755
        self._temporary = ""
        self._unfinished: set[str] = set()
        self._parent = -1
        self._directory = -1  # locked while we live (flock(2)), which tells others so

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo, self._explained():
            with contextlib.suppress(FileExistsError):  # a file; opening it says so better
                self._target.parent.mkdir(parents=True, exist_ok=True)
            self._parent = os.open(self._target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            undo.callback(os.close, self._parent)
            self._remove_leftovers()
            self._require_target_is_free()
            self._make_temporary()
            undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._temporary:
                shutil.rmtree(self._temporary, ignore_errors=True, dir_fd=self._parent)
        finally:
            os.close(self._directory)
            os.close(self._parent)

    def write(self, name: str, data: bytes) -> None:
        """Write a file of the package."""
        with self._new_file(name) as descriptor:
            write_all(descriptor, data)

    @property
    def path(self) -> Path:
        """Where everything lies until `commit`."""
        return self._target.parent / self._temporary

    def make_folder(self, name: str) -> None:
        """Make a folder of the package, for files whose names begin with its."""
        with self._explained():
            os.mkdir(name, 0o755, dir_fd=self._directory)

    def protect(self, name: str) -> str | None:
        """Switch fs-verity on for a file that is written; says why if that is not to be."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._explained():
            descriptor = os.open(name, flags, dir_fd=self._directory)
            try:
                return fs_verity.enable(descriptor)
            finally:
                os.close(descriptor)

    def link(self, name: str, descriptor: int) -> bool:
        """Give an open file a name in the package too; false where the system lets us not.

        linkat(2) gives the path; who may link what, proc(5), protected_hardlinks.
        """
        try:
            source = f"/proc/self/fd/{descriptor}"
            os.link(source, name, dst_dir_fd=self._directory, follow_symlinks=True)
        except OSError:
            return False
        return True

    def tee(self, name: str, windows: Iterable[memoryview]) -> Iterator[memoryview]:
        """Write a stream of windows to a file, and pass each on once it is written.

        So what is hashed is what is written, in one pass. Whoever asks must take the whole stream.
        """
        self._unfinished.add(name)
        with self._new_file(name) as descriptor:
            for window in windows:
                write_all(descriptor, window)
                yield window
        self._unfinished.remove(name)

    def require_space(self, size_bytes: int) -> None:
        """Fail before gigabytes are written, not after."""
        with self._explained():
            found = os.statvfs(self._directory)
            if found.f_bavail * found.f_frsize < size_bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def commit(self) -> None:
        """Make the package visible under its name, durably; nothing can be written after it."""
        if self._unfinished:
            raise RuntimeError(f"commit() with unfinished files: {sorted(self._unfinished)}")
        with self._explained():
            os.fsync(self._directory)
            if self._may_replace():
                rename_at(self._parent, self._temporary, self._target.name, RenameFlag.EXCHANGE)
                os.fsync(self._parent)
                # The old package; what cannot be removed now, the next run tries again.
                shutil.rmtree(self._temporary, ignore_errors=True, dir_fd=self._parent)
            else:
                rename_at(self._parent, self._temporary, self._target.name, RenameFlag.NOREPLACE)
            self._temporary = ""
            os.fsync(self._parent)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except FileExistsError as e:
            raise self._exists_already() from e
        except OSError as e:
            raise storage_error(e, self._target, "write the package") from e

    def _exists_already(self) -> UndecidedError:
        return UndecidedError(
            "package exists already",
            where=str(self._target),
            hint="--force replaces it; or choose another version or place",
        )

    def _require_target_is_free(self) -> None:
        if self._existing is not Existing.KEEP:
            self._require_target_is_package()
        elif os.path.lexists(self._target):
            raise self._exists_already()

    def _may_replace(self) -> bool:
        if self._existing is Existing.KEEP or not self._require_target_is_package():
            return False
        if self._existing is Existing.REPLACE_IF_SAME:
            temporary = self._target.parent / self._temporary
            names = {path.name for folder in (temporary, self._target) for path in folder.iterdir()}
            names -= {MANIFEST_FILE, OMS_FILE}  # what is signed is compared, not its signatures
            _, different, missing = filecmp.cmpfiles(
                temporary, self._target, sorted(names), shallow=False
            )
            if different or missing or _signed_in(temporary) != _signed_in(self._target):
                raise self._exists_already()
        return True

    def _require_target_is_package(self) -> bool:
        """Whether there is something to overwrite; refuses to remove what is not a package."""
        try:
            directory = os.open(self._target.name, _DIRECTORY_FLAGS, dir_fd=self._parent)
        except FileNotFoundError:
            return False
        except OSError as e:
            if e.errno in {errno.ENOTDIR, errno.ELOOP}:
                raise self._not_a_package() from e
            raise
        try:
            is_package = _looks_like_package(directory)
            self._mode &= os.fstat(directory).st_mode | stat.S_IRWXU
        finally:
            os.close(directory)
        if not is_package:
            raise self._not_a_package()
        return True

    def _not_a_package(self) -> UndecidedError:
        return UndecidedError("what is there is not a package", where=str(self._target))

    def _make_temporary(self) -> None:
        while True:
            name = f".{self._target.name}.{secrets.token_hex(8)}.tmp"
            os.mkdir(name, self._mode, dir_fd=self._parent)
            directory = os.open(name, _DIRECTORY_FLAGS, dir_fd=self._parent)
            try:
                is_locked = _lock(directory)
            except OSError:  # NFS locks no directory; then nobody finds this one unlocked either
                is_locked = True
            if is_locked and os.fstat(directory).st_nlink > 0:
                self._temporary, self._directory = name, directory
                return
            os.close(directory)  # another run took it for a leftover between mkdir and lock

    def _remove_leftovers(self) -> None:
        """Clear up after killed runs; an old package that one had put aside comes back first."""
        new = rf"\.{re.escape(self._target.name)}\.[0-9a-f]{{16}}\.tmp"
        pattern = re.compile(rf"{new}(?:{re.escape(ASIDE)})?")
        with os.scandir(self._parent) as entries:
            found = [entry.name for entry in entries if pattern.fullmatch(entry.name)]
        for name in sorted(found, reverse=True):  # what was put aside before what was to replace it
            with contextlib.suppress(OSError):  # somebody else's business, or gone
                if name.endswith(ASIDE):
                    self._clear_aside(name)
                elif self._is_abandoned(name):
                    shutil.rmtree(name, ignore_errors=True, dir_fd=self._parent)

    def _clear_aside(self, name: str) -> None:
        """A run that exchanged by steps was killed: before the new package came, or after."""
        new = name.removesuffix(ASIDE)
        if self._is_there(new):
            if self._is_abandoned(new) and not self._is_there(self._target.name):
                rename_at(self._parent, name, self._target.name, RenameFlag.NOREPLACE)
        elif self._is_abandoned(self._target.name):  # where the new one is now
            shutil.rmtree(name, ignore_errors=True, dir_fd=self._parent)

    def _is_there(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self._parent, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def _is_abandoned(self, name: str) -> bool:
        """Whether it is a directory of ours that no living run has locked."""
        directory = os.open(name, _DIRECTORY_FLAGS, dir_fd=self._parent)
        try:
            return os.fstat(directory).st_uid == os.geteuid() and _lock(directory)
        finally:
            os.close(directory)

    @contextlib.contextmanager
    def _new_file(self, name: str) -> Iterator[int]:
        with self._explained():
            descriptor = os.open(name, _CREATE_FLAGS, 0o644, dir_fd=self._directory)
            try:
                yield descriptor
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _signed_in(folder: Path) -> tuple[bytes, Material] | None:
    directory = os.open(folder, _DIRECTORY_FLAGS)
    try:
        return _signed(directory)
    finally:
        os.close(directory)


def _signed(directory: int) -> tuple[bytes, Material] | None:
    """What is signed and by whom; nothing for an unsigned package or another kind of file."""
    try:
        file = LocalFile.open(MANIFEST_FILE, directory=directory, most_bytes=LIMITS.bundle_bytes)
        with contextlib.closing(file):
            bundle = parse_bundle(file.read(LIMITS.bundle_bytes))
    except RefusedError:  # it may be anything: a link, a pipe, a gigabyte
        return None
    return bundle.envelope.payload, bundle.material


def _looks_like_package(directory: int) -> bool:
    """Whether everything there is a file of a package: what else there is would be lost."""
    known = {COMPONENT_FILE, BOM_FILE, MODEL_FILE, MANIFEST_FILE, OMS_FILE, SIGNATURES_FOLDER}
    signed = _signed(directory)
    if signed is not None:
        with contextlib.suppress(RefusedError, UndecidedError):
            known |= {entry.name for entry in parse_statement(signed[0]).entries}
    has_app = False
    with os.scandir(directory) as entries:
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            if entry.name not in known or is_folder != (entry.name == SIGNATURES_FOLDER):
                return False
            has_app |= entry.name in {MANIFEST_FILE, COMPONENT_FILE}
    return has_app


def _lock(directory: int) -> bool:
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
