"""The folder in which we remember what was accepted: small files, each replaced whole.

A reader needs no lock: a name is always a whole file, the old one or the new one, because a new one
is written aside, brought to the disk and then renamed. Writers take turns by a lock file that is
never removed. Who is killed leaves at most the file aside, which the next writer removes.
"""

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final, TypeAlias

from infwasi_sign.adapters.atomic import storage_error, write_durably
from infwasi_sign.adapters.trusted_file import open_trusted_folder, read_trusted_at
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import MalformedError, UndecidedError

ENVIRONMENT_VARIABLE: Final = "INFWASI_STATE_DIR"
_LOCK_FILE: Final = "lock"
_LOCK_SECONDS: Final = 30.0  # a writer needs milliseconds; who holds on so long has been stopped
_LOCK_STEP_SECONDS: Final = 0.002

Change: TypeAlias = Callable[[bytes | None], bytes | None]
"""Makes the new content of a file of the old one; ``None`` in is no file, out is no change."""


class NotKeptError(UndecidedError):
    """There is no place where state can be kept; nothing is wrong with what is kept."""


def state_folder(environment: Mapping[str, str], user: int) -> Path:
    """Where ``user`` keeps state: ``$INFWASI_STATE_DIR``, or what the system has for it.

    That is /var/lib/infwasi for root (FHS 3.0 section 5.8), for others ``$XDG_STATE_HOME/infwasi``,
    by default ``~/.local/state/infwasi`` (XDG Base Directory Specification 0.8).

    Raises:
        NotKeptError: there is no such place.
        UndecidedError: ``$INFWASI_STATE_DIR`` is a relative path.
    """
    if asked := environment.get(ENVIRONMENT_VARIABLE):
        if not asked.startswith("/"):  # what was accepted must not depend on where we stand
            raise UndecidedError(
                "not an absolute path", where=ENVIRONMENT_VARIABLE, got=ascii(asked[:80])
            )
        return Path(asked)
    if user == 0:
        return Path("/var/lib/infwasi")
    for name, below in (("XDG_STATE_HOME", "infwasi"), ("HOME", ".local/state/infwasi")):
        base = environment.get(name, "")
        if base.startswith("/"):  # the specification: relative paths are to be ignored
            return Path(base, below)
    raise NotKeptError(
        "no state can be kept: there is no home directory", hint=f"set {ENVIRONMENT_VARIABLE}"
    )


class StateFolder:
    """Files that `read` gives and `update` replaces; nobody but the caller and root writes there.

    The folder is made, for the caller alone, when the first file is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def made(self) -> Path:
        """The path, after the folder was made where that can be done; `update` says why not."""
        with suppress(OSError, UndecidedError), ExitStack() as opened:
            self._open_or_make(opened)
        return self.path

    def read(self, name: str) -> bytes | None:
        """The whole file, or ``None`` if there is none.

        Raises:
            NotKeptError: the folder cannot be entered.
            UndecidedError: the file cannot be read, or others could have changed it.
        """
        with ExitStack() as opened:
            try:
                folder = self._open(opened)
            except (FileNotFoundError, NotADirectoryError):
                return None
            except OSError as e:
                raise self._not_kept(e) from e
            return self._read(folder, name)

    def names(self) -> tuple[str, ...]:
        """The names of the files that were kept, sorted."""
        with ExitStack() as opened:
            try:
                with os.scandir(self._open(opened)) as entries:
                    names = [entry.name for entry in entries]
            except FileNotFoundError:
                return ()
            except OSError as e:
                raise storage_error(e, self.path, "read the state folder") from e
        return tuple(sorted(name for name in names if name.endswith(".json") and name[0] != "."))

    def update(self, name: str, change: Change) -> None:
        """Replace a file by what ``change`` makes of it, while nobody else does.

        What ``change`` raises leaves the file as it was.

        Raises:
            NotKeptError: nothing can be written there (read-only, no space, no permission).
            UndecidedError: the file cannot be read, others could have changed it, or somebody
                holds the lock.
        """
        with ExitStack() as opened:
            with self._kept():
                folder = self._open_or_make(opened)
                self._lock(folder, opened)
            new = change(self._read(folder, name))
            if new is not None:
                with self._kept():
                    _replace(folder, name, new)

    def damaged(self, name: str, error: MalformedError) -> UndecidedError:
        """The fault is not the package's, so it is no refusal."""
        return UndecidedError(
            f"the state is damaged: {error.sentence()}",
            where=str(self.path / name),
            hint="look at the file, then remove it: what was accepted is forgotten with it",
        )

    def _open(self, opened: ExitStack) -> int:
        folder = open_trusted_folder(self.path)
        opened.callback(os.close, folder)
        return folder

    def _open_or_make(self, opened: ExitStack) -> int:
        with suppress(FileNotFoundError):
            return self._open(opened)
        # All that are missing are for the caller alone (XDG: "created with permission 0700").
        for folder in (*reversed(self.path.parents), self.path):
            if not folder.is_dir():
                with suppress(FileExistsError):
                    folder.mkdir(0o700)
        return self._open(opened)

    def _read(self, folder: int, name: str) -> bytes | None:
        path = self.path / name
        try:
            return read_trusted_at(
                folder, name, LIMITS.state_bytes, what="state file", where=str(path)
            )
        except FileNotFoundError:
            return None
        except OSError as e:
            raise storage_error(e, path, "read the state") from e

    def _lock(self, folder: int, opened: ExitStack) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(_LOCK_FILE, flags, 0o600, dir_fd=folder)
        opened.callback(os.close, descriptor)  # which unlocks it
        give_up = time.monotonic() + _LOCK_SECONDS
        while True:  # flock without end would not hear of a deadline or Ctrl-C in another thread
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            if time.monotonic() > give_up:
                raise UndecidedError(
                    "the state is locked by another process", where=str(self.path / _LOCK_FILE)
                )
            time.sleep(_LOCK_STEP_SECONDS)

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            raise self._not_kept(e) from e

    def _not_kept(self, error: OSError) -> NotKeptError:
        reason = os.strerror(error.errno or errno.EIO).lower()
        hint = storage_error(error, self.path, "write").hint
        return NotKeptError(
            f"no state can be kept: {reason}",
            where=str(self.path),
            hint=hint or f"choose another place with {ENVIRONMENT_VARIABLE}",
        )


def _replace(folder: int, name: str, data: bytes) -> None:
    aside = f".{name}.tmp"
    with suppress(FileNotFoundError):  # of one who was killed; ours is the only lock
        os.unlink(aside, dir_fd=folder)
    try:
        write_durably(folder, aside, data, 0o600)
        os.replace(aside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):  # the first failure is the one to report
            os.unlink(aside, dir_fd=folder)
        raise
    os.fsync(folder)
