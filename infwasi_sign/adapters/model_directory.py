"""A model directory on disk, with folders in it: walked and opened from one descriptor."""

import contextlib
import errno
import os
import stat
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Final

from infwasi_sign.adapters.atomic import storage_error
from infwasi_sign.adapters.guarded_file import LocalFile
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import OMS_FILE
from infwasi_sign.domain.oms import OmsSurvey, is_ignored
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError, UndecidedError
from infwasi_sign.ports import Progress

_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class ModelDirectory:
    """A directory that may hold folders. Implements `oms_verify.OpenedModel`.

    One file is open at a time, so that a model of thousands of files needs no more descriptors
    than one of two.
    """

    def __init__(self, descriptor: int, shown: str) -> None:
        self._descriptor = descriptor
        self._shown = shown

    def fileno(self) -> int:
        """The descriptor from which everything is opened; it stays this object's property."""
        return self._descriptor

    def signature(self) -> bytes:
        """The content of `model.sig`.

        Raises:
            RefusedError: kinds `unsigned`, `malformed`, `limit`.
            UndecidedError: it cannot be read.
        """
        try:
            with self._opened(OMS_FILE, LIMITS.oms_bundle_bytes) as file:
                return file.read(LIMITS.oms_bundle_bytes)
        except RefusedError as e:
            if e.kind is not RefusalKind.MISSING:
                raise
            raise RefusedError(
                RefusalKind.UNSIGNED,
                "model directory has no OMS signature",
                where=self._shown,
                expected=OMS_FILE,
                got="no such file",
                hint="get the signed model; who publishes it signs it with `model_signing sign`",
            ) from e

    def survey(self, ignored: Sequence[str]) -> OmsSurvey:
        """Every file of the directory and its folders, and which of ``ignored`` are there.

        Raises:
            RefusedError: kind `malformed`, something is neither file nor folder; kind `limit`,
                there is too much.
            UndecidedError: a folder cannot be listed.
        """
        files: dict[str, int] = {}
        skipped: list[str] = []
        # closed at once, with the folders it holds open, also when something is refused
        with contextlib.closing(_walk(self._descriptor, "", ignored)) as walked:
            for count, (path, status) in enumerate(walked):
                if count >= LIMITS.oms_resources + LIMITS.oms_ignored_paths:
                    raise self._too_many()
                if status is None:
                    skipped.append(path)
                elif stat.S_ISREG(status.st_mode):
                    files[path] = status.st_size
                elif not stat.S_ISDIR(status.st_mode):
                    is_link = stat.S_ISLNK(status.st_mode)
                    raise _not_regular(path, "a symbolic link" if is_link else "something else")
        return OmsSurvey(files=dict(sorted(files.items())), ignored=tuple(sorted(skipped)))

    def measure(self, path: str, algorithm: Algorithm, progress: Progress | None) -> Digest:
        """The digest of one file, opened, read once and closed.

        Raises:
            RefusedError: kinds `missing`, `malformed`, `digest`, `level`, `limit`.
            UndecidedError: it cannot be read.
        """
        with self._opened(path, LIMITS.model_bytes) as file:
            return file.measure(frozenset({algorithm}), progress)[algorithm]

    def _too_many(self) -> RefusedError:
        return RefusedError(
            RefusalKind.LIMIT,
            "too many files",
            where=self._shown,
            expected=f"at most {LIMITS.oms_resources}",
        )

    @contextlib.contextmanager
    def _opened(self, path: str, most_bytes: int) -> Iterator[LocalFile]:
        *folders, name = path.split("/")
        with contextlib.ExitStack() as opened:
            directory = self._descriptor
            for folder in folders:
                directory = _enter(directory, folder, path)
                opened.callback(os.close, directory)
            file = LocalFile.open(name, directory=directory, most_bytes=most_bytes, shown=path)
            opened.callback(file.close)
            yield file


@contextlib.contextmanager
def open_model_directory(location: Path) -> Iterator[ModelDirectory]:
    """Open a model directory; links in ``location`` are followed, for the user named it.

    Raises:
        UndecidedError: it is no directory, or cannot be opened.
    """
    try:
        descriptor = os.open(os.path.realpath(location, strict=True), _FOLDER_FLAGS)
    except FileNotFoundError as e:
        raise UndecidedError("no model directory there", where=str(location)) from e
    except NotADirectoryError as e:
        raise UndecidedError("not a model directory", where=str(location)) from e
    except OSError as e:
        raise storage_error(e, location, "open the model directory") from e
    except ValueError as e:  # a NUL byte in the path
        raise UndecidedError("not a path", where=repr(str(location))) from e
    try:
        yield ModelDirectory(descriptor, str(location))
    finally:
        os.close(descriptor)


def _walk(
    directory: int, above: str, ignored: Sequence[str]
) -> Generator[tuple[str, os.stat_result | None], None, None]:
    """Everything with its path and status, depth first; no status for what is not looked at."""
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                path = above + entry.name
                if is_ignored(path, ignored):
                    yield path, None
                    continue
                status = entry.stat(follow_symlinks=False)
                yield path, status
                if not stat.S_ISDIR(status.st_mode):
                    continue
                if path.count("/") + 1 >= LIMITS.oms_path_depth:
                    raise RefusedError(
                        RefusalKind.LIMIT,
                        "folders are nested too deep",
                        where=path,
                        expected=f"at most {LIMITS.oms_path_depth} names in a path",
                    )
                inner = _enter(directory, entry.name, path)
                try:
                    yield from _walk(inner, path + "/", ignored)
                finally:
                    os.close(inner)
    except OSError as e:
        raise storage_error(e, above or ".", "list the directory") from e


def _enter(directory: int, name: str, shown: str) -> int:
    try:
        return os.open(name, _FOLDER_FLAGS, dir_fd=directory)
    except FileNotFoundError as e:
        raise RefusedError(RefusalKind.MISSING, "file is missing", where=shown) from e
    except OSError as e:
        if e.errno in {errno.ELOOP, errno.ENOTDIR}:
            raise _not_regular(shown, "a link, or something that replaced a folder") from e
        raise storage_error(e, shown, "open the directory") from e


def _not_regular(path: str, got: str) -> MalformedError:
    return MalformedError(
        "not a regular file",
        where=path,
        expected="a file or a directory",
        got=got,
        hint="put the file itself into the directory: links are not followed",
    )
