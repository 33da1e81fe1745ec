"""Files that decide whom and what to trust: read only if nobody else could have changed them.

Public keys, policies, trust roots and state pass through here. Only the caller and root may be able
to change such a file, or to put another one in its place, so the walk from ``/`` judges each step
before it takes it:

1. a folder belongs to the caller or to root, and neither its group nor others can write it
2. a folder that all can write passes if it is sticky, for its entries belong to who made them; but
   not where the file itself lies, for there an old file of the right owner may have been linked
3. a folder on a read-only mount passes whatever its mode says (Kubernetes mounts its files so)
4. a link belongs to the caller or to root, and is followed through folders that are judged alike
5. the file is a regular one, belongs to the caller or to root, and nobody else can write it

OpenSSH holds its files to the same rule (``safe_path`` in misc.c, option StrictModes). An access
control list shows in the group's bits (acl(5), "mask"). Of secrets only the file is judged, and
more strictly: what counts there is who can read it.
"""

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from infwasi_sign.adapters.atomic import hint_for_error
from infwasi_sign.errors import UndecidedError

_SHARED_WRITE: Final = 0o022
_SHARED_SECRET: Final = 0o077  # as ssh: a secret is nobody else's, in no way
_LINKS: Final = 40  # as many as the kernel follows (path_resolution(7))

# O_NONBLOCK: a pipe without a writer must not hold us up before we can refuse it
_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_ENTER: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def read_trusted(path: Path, most_bytes: int, what: str) -> bytes:
    """The content of a file that nobody but the caller and root could have changed.

    ``what`` is how errors call it: `public key`, `policy`.

    Raises:
        UndecidedError: it is not such a file, cannot be read, or is longer than ``most_bytes``.
    """
    with _explained(path), _walked(path) as (folder, name):
        if not name:
            raise _not_regular(str(path))
        status = os.fstat(folder)
        if status.st_mode & _SHARED_WRITE and not _is_read_only(folder):
            raise _shared("folder", str(path.parent), status, "be written", "go-w")
        return read_trusted_at(folder, name, most_bytes, what=what, where=str(path))


def read_trusted_at(folder: int, name: str, most_bytes: int, *, what: str, where: str) -> bytes:
    """The same for a name in a folder that was judged already; here no link is followed.

    Raises:
        UndecidedError: as `read_trusted`.
        OSError: it cannot be read; FileNotFoundError, there is none.
    """
    if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise _not_regular(where)  # before it is opened: to open a device may do something
    descriptor = os.open(name, _READ | os.O_NOFOLLOW, dir_fd=folder)
    return _read_own(descriptor, most_bytes, (what, where, _SHARED_WRITE, "be written", "go-w"))


def open_trusted_folder(path: Path) -> int:
    """A descriptor of a folder in which nobody but the caller and root can change anything.

    Raises:
        UndecidedError: somebody else can.
        OSError: it cannot be opened; FileNotFoundError, there is none.
    """
    with _walked(path) as (folder, name):
        if name:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        status = os.fstat(folder)
        if status.st_mode & _SHARED_WRITE and not _is_read_only(folder):
            raise _shared("folder", str(path), status, "be written", "go-w")
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)


def configuration_folder(environment: Mapping[str, str]) -> Path | None:
    """The user's folder for what infwasi trusts (XDG Base Directory Specification 0.8).

    A relative path in these variables counts as none ("Environment variables").
    """
    candidates = (
        Path(environment.get("XDG_CONFIG_HOME", "")),
        Path(environment.get("HOME", "")) / ".config",
    )
    folder = next((folder for folder in candidates if folder.is_absolute()), None)
    return None if folder is None else folder / "infwasi"


def is_there(path: Path) -> bool:
    """Whether the name exists; a link to nothing does, and is an error later, not "no file".

    Raises:
        UndecidedError: nobody can tell, and so no other place may be looked at.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        reason = (error.strerror or "an input error").lower()
        raise UndecidedError(
            f"cannot look for {path}", got=reason, hint=hint_for_error(error)
        ) from error
    return True


def require_outside(file: Path, package: Path, what: str) -> None:
    """Also a file that the caller named is not one that came with the package.

    Raises:
        UndecidedError: it lies in the directory of the package.
    """
    inside = os.path.join(os.path.realpath(package), "")
    if os.path.realpath(file).startswith(inside):
        raise UndecidedError(
            f"the {what} lies in the package that it is to judge",
            where=str(file),
            hint="what comes with a package does not say by whose rules it is judged",
        )


def read_secret(path: Path, most_bytes: int) -> bytes:
    """The content of a file that only its owner can read: a private key, a passphrase.

    Raises:
        UndecidedError: it is not such a file, or longer than ``most_bytes``.
    """
    with _explained(path):
        descriptor = os.open(path, _READ)
        rule = ("file", str(path), _SHARED_SECRET, "be accessed", "600")
        return _read_own(descriptor, most_bytes, rule)


def read_secret_at(folder: int, name: str, most_bytes: int, *, where: str) -> bytes:
    """The same for a name in a folder that was judged already; here no link is followed.

    Raises:
        UndecidedError: as `read_secret`.
        OSError: it cannot be read; FileNotFoundError, there is none.
    """
    if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise _not_regular(where)
    descriptor = os.open(name, _READ | os.O_NOFOLLOW, dir_fd=folder)
    return _read_own(descriptor, most_bytes, ("file", where, _SHARED_SECRET, "be accessed", "600"))


def read_descriptor(descriptor: int, most_bytes: int) -> bytes:
    """Everything up to the end, or ``most_bytes`` and one more that tells it was too long."""
    data = b""
    while len(data) <= most_bytes and (part := os.read(descriptor, most_bytes + 1 - len(data))):
        data += part
    return data


# --- the walk --------------------------------------------------------------------------------


@contextmanager
def _walked(path: Path) -> Iterator[tuple[int, str]]:
    """The folder at the end of ``path``, and the name in it; without a name it is the folder."""
    with ExitStack() as opened:
        # NOTE: `Path.absolute` asks for the current folder only where it is needed: that it was
        # removed must not look like a file that is not there.
        rest = _names(str(path.absolute()))
        folder, seen = _enter("/", None, "/", opened), "/"
        links = 0
        while rest:
            name = rest.pop()
            shown = os.path.join(seen, name)
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                _require_owner("link", shown, status)
                links += 1
                if links > _LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
                target = os.readlink(name, dir_fd=folder)
                if target.startswith("/"):
                    folder, seen = _enter("/", None, "/", opened), "/"
                rest += _names(target)
            elif rest or stat.S_ISDIR(status.st_mode):
                folder, seen = _enter(name, folder, shown, opened), shown
            else:
                yield folder, name
                return
        yield folder, ""


def _names(path: str) -> list[str]:
    """The names of a path, the first one last. ``..`` stays: after a link it means another."""
    return [name for name in reversed(path.split("/")) if name not in {"", "."}]


def _enter(name: str, within: int | None, shown: str, opened: ExitStack) -> int:
    folder = os.open(name, _ENTER, dir_fd=within)
    opened.callback(os.close, folder)
    status = os.fstat(folder)
    _require_owner("folder", shown, status)
    is_shared = status.st_mode & _SHARED_WRITE and not status.st_mode & stat.S_ISVTX
    if is_shared and not _is_read_only(folder):
        raise _shared("folder", shown, status, "be written", "go-w")
    return folder


def _is_read_only(descriptor: int) -> bool:
    return bool(os.fstatvfs(descriptor).f_flag & os.ST_RDONLY)


# --- the judgement ---------------------------------------------------------------------------


def _read_own(descriptor: int, most_bytes: int, rule: tuple[str, str, int, str, str]) -> bytes:
    """Judge the descriptor, read from it, close it: what was judged is what is read."""
    what, where, shared, danger, remedy = rule
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _not_regular(where)
        if status.st_mode & shared:
            raise _shared(what, where, status, danger, remedy)
        _require_owner(what, where, status)
        data = read_descriptor(descriptor, most_bytes)
    finally:
        os.close(descriptor)
    if len(data) > most_bytes:
        raise UndecidedError("too long", where=where, expected=f"at most {most_bytes} bytes")
    return data


def _require_owner(what: str, where: str, status: os.stat_result) -> None:
    if status.st_uid not in {os.geteuid(), 0}:
        raise UndecidedError(
            f"{what} belongs to somebody else",
            where=where,
            expected=f"user {os.geteuid()} or root",
            got=f"user {status.st_uid}",
        )


def _shared(
    what: str, where: str, status: os.stat_result, danger: str, remedy: str
) -> UndecidedError:
    is_sticky = what == "folder" and status.st_mode & stat.S_ISVTX
    return UndecidedError(
        f"{what} can {danger} by others than its owner",
        where=where,
        got=f"mode {stat.S_IMODE(status.st_mode):04o}",
        hint="move the file to a folder of your own" if is_sticky else f"chmod {remedy} {where}",
    )


def _not_regular(where: str) -> UndecidedError:
    return UndecidedError("not a regular file", where=where)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        reason = (e.strerror or "an input error").lower()
        raise UndecidedError(f"cannot read {path}", got=reason, hint=hint_for_error(e)) from e
