"""The package on disk, opened once: bounded before anything in it is read."""

import contextlib
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from infwasi_sign.adapters.atomic import storage_error
from infwasi_sign.adapters.guarded_file import LocalFile
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import (
    BOM_FILE,
    COMPONENT_FILE,
    MANIFEST_FILE,
    OMS_FILE,
    SIGNATURES_FOLDER,
)
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError, UndecidedError
from infwasi_sign.quick_dataclass import dataclass

_DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SIGNATURE_NAME: Final = re.compile(r"[0-9a-f]{64}\.sigstore\.json")
_MOST_BYTES: Final = {  # anything else may be a model
    MANIFEST_FILE: LIMITS.bundle_bytes,
    OMS_FILE: LIMITS.bundle_bytes,
    BOM_FILE: LIMITS.bom_bytes,
    COMPONENT_FILE: LIMITS.component_bytes,
}
# Unicode general categories (UAX #44, table 12): control, format, private, surrogate, unassigned,
# line and paragraph separators. They show a name as another, or as nothing.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedDirectory:
    """A package directory whose files are open. Implements `ports.OpenedPackage`."""

    real: Path
    descriptor: int  # of the directory, closed with the rest
    files: Mapping[str, LocalFile]
    detached: tuple[LocalFile, ...]
    closing: contextlib.ExitStack

    @property
    def directory_name(self) -> str:
        """The name of the real directory."""
        return self.real.name

    def unnamed(self) -> Iterator[LocalFile]:
        """The files whose names say nothing: whether they are models only the statement tells."""
        for name, file in self.files.items():
            if name not in _MOST_BYTES and not name.startswith(f"{SIGNATURES_FOLDER}/"):
                yield file

    def close(self) -> None:
        """Close every file, dropping its lease first; a second call does nothing."""
        self.closing.close()


class DirectoryStore:
    """Packages that are directories of the local file system. Implements `ports.PackageStore`."""

    def open(self, location: Path, detached: Sequence[Path] = ()) -> OpenedDirectory:
        """Open a package: 1. the directory, 2. its bounded list, 3. each file, 4. detached models.

        ``location`` and ``detached`` are the user's own words, so links in them are followed;
        links in the package are not.

        Raises:
            RefusedError: kinds `unsigned`, `extra`, `malformed`, `missing`, `limit`.
            UndecidedError: ``location`` is no package, or something cannot be read.
        """
        with contextlib.ExitStack() as closing:
            # 1. the directory
            real, directory = _open_real_directory(location)
            closing.callback(os.close, directory)
            # 2. its list; a manifest must be there before its other files are held against it
            names, folders = _list(directory, LIMITS.package_files, str(location))
            _require_manifest(directory, location)
            _require_count(len(names) + len(folders), LIMITS.package_files, str(location))
            _require_folders(folders)
            if MANIFEST_FILE not in names:  # it came between the two looks
                raise UndecidedError(
                    "the package was changed while it was opened", where=str(location)
                )
            # 3. each file
            files: dict[str, LocalFile] = {}
            for name in names:
                _require_name(name)
                if name == SIGNATURES_FOLDER:
                    raise MalformedError("not a directory", where=name)
                most_bytes = _MOST_BYTES.get(name, LIMITS.model_bytes)
                file = LocalFile.open(name, directory=directory, most_bytes=most_bytes)
                closing.callback(file.close)
                files[name] = file
            for file in _open_signatures(directory) if folders else ():
                closing.callback(file.close)
                files[file.name] = file
            # 4. detached models
            models = []
            for path in detached:
                models.append(open_outside(path, most_bytes=LIMITS.model_bytes))
                closing.callback(models[-1].close)
            return OpenedDirectory(
                real=real,
                descriptor=directory,
                files=MappingProxyType(files),
                detached=tuple(models),
                closing=closing.pop_all(),
            )


def _open_real_directory(location: Path) -> tuple[Path, int]:
    try:
        real = Path(os.path.realpath(location, strict=True))
        return real, os.open(real, _DIRECTORY_FLAGS)
    except FileNotFoundError as e:
        raise UndecidedError("no package there", where=str(location)) from e
    except NotADirectoryError as e:
        raise UndecidedError("not a package", where=str(location), expected="a directory") from e
    except OSError as e:
        raise storage_error(e, location, "open the package") from e
    except ValueError as e:  # a NUL byte in the path
        raise UndecidedError("not a path", where=repr(str(location))) from e


def _list(directory: int, most: int, shown: str) -> tuple[list[str], list[str]]:
    """Names of files and of folders, sorted; stops after ``most`` + 1, however many there are."""
    names: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                is_folder = entry.is_dir(follow_symlinks=False)
                (folders if is_folder else names).append(entry.name)
                if len(names) + len(folders) > most:
                    break
    except OSError as e:
        raise storage_error(e, shown, "list the directory") from e
    return sorted(names), sorted(folders)


def _exists(name: str, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    except OSError as e:
        raise storage_error(e, name, "look at the file") from e
    return True


def _require_manifest(directory: int, location: Path) -> None:
    if _exists(MANIFEST_FILE, directory):
        return
    if _exists(COMPONENT_FILE, directory) or _exists(BOM_FILE, directory):
        raise RefusedError(
            RefusalKind.UNSIGNED,
            "package is not signed",
            where=str(location),
            expected=MANIFEST_FILE,
            got="no such file",
        )
    raise UndecidedError("not a package", where=str(location), expected=f"a {MANIFEST_FILE}")


def _require_count(count: int, most: int, shown: str) -> None:
    if count > most:
        raise RefusedError(
            RefusalKind.LIMIT, "too many files", where=shown, expected=f"at most {most}"
        )


def _require_folders(folders: Sequence[str]) -> None:
    for name in folders:
        if name != SIGNATURES_FOLDER:
            _require_name(name)
            raise RefusedError(
                RefusalKind.EXTRA,
                "directory does not belong to a package",
                where=name,
                expected=f"none but {SIGNATURES_FOLDER}",
            )


def _require_name(name: str) -> None:
    """Refuse names that show as something else, and hidden ones; the manifest names the rest."""
    try:
        size_bytes = len(name.encode("utf-8"))
    except UnicodeEncodeError as e:
        raise MalformedError("file name is not UTF-8", got=ascii(name)) from e
    if size_bytes > LIMITS.file_name_bytes:
        raise MalformedError(
            "file name is too long",
            expected=f"at most {LIMITS.file_name_bytes} bytes",
            got=str(size_bytes),
        )
    if any(unicodedata.category(character) in _UNSEEN for character in name):
        raise MalformedError("file name has characters that do not show", got=ascii(name))
    if name.startswith("."):
        raise RefusedError(RefusalKind.EXTRA, "file is hidden", where=name)


def _open_signatures(directory: int) -> Iterator[LocalFile]:
    try:
        folder = os.open(SIGNATURES_FOLDER, _DIRECTORY_FLAGS, dir_fd=directory)
    except OSError as e:
        raise storage_error(e, SIGNATURES_FOLDER, "open the directory") from e
    try:
        most = LIMITS.signatures - 1  # the manifest has the first
        names, folders = _list(folder, most, SIGNATURES_FOLDER)
        _require_count(len(names) + len(folders), most, SIGNATURES_FOLDER)
        for name in names + folders:
            if not _SIGNATURE_NAME.fullmatch(name):
                _require_name(name)
                raise RefusedError(
                    RefusalKind.EXTRA,
                    "file does not belong among signatures",
                    where=f"{SIGNATURES_FOLDER}/{name}",
                    expected="64 lower-case hex digits and .sigstore.json",
                )
            yield LocalFile.open(
                name,
                directory=folder,
                most_bytes=LIMITS.bundle_bytes,
                shown=f"{SIGNATURES_FOLDER}/{name}",
            )
    finally:
        os.close(folder)


def open_outside(path: Path, *, most_bytes: int) -> LocalFile:
    """Open a file that the user names themselves, so that links on the way are followed.

    Its name is that of the real file.

    Raises:
        RefusedError: kind `malformed`, it is no regular file; kind `limit`.
        UndecidedError: it is not there, or cannot be read.
    """
    try:
        real = Path(os.path.realpath(path, strict=True))
        directory = os.open(real.parent, _DIRECTORY_FLAGS)
    except OSError as e:
        raise storage_error(e, path, "open the file") from e
    except ValueError as e:  # a NUL byte in the path
        raise UndecidedError("not a path", where=repr(str(path))) from e
    try:
        return LocalFile.open(real.name, directory=directory, most_bytes=most_bytes)
    finally:
        os.close(directory)
