"""Where the trust root of a Sigstore instance lies, and how it gets there."""

import errno
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from infwasi_sign.adapters.atomic import storage_error, write_atomic
from infwasi_sign.adapters.trusted_file import (
    configuration_folder,
    is_there,
    open_trusted_folder,
    read_trusted,
    require_outside,
)
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import format_time
from infwasi_sign.errors import UndecidedError

if TYPE_CHECKING:
    from infwasi_sign.domain.trust_root import TrustRoot

FILE: Final = "trust-root.json"
SYSTEM: Final = Path("/etc/infwasi") / FILE
_CLOCKS_DIFFER: Final = timedelta(days=1)  # of two machines, with a time zone that is wrong


def load_trust_root(path: Path) -> "TrustRoot":
    """Read a trust root that nobody else could have changed; it is as old as it says, or its file.

    One that says it was fetched in the future would never be old, and is refused.

    Raises:
        UndecidedError: it cannot be read or trusted, or is none.
    """
    from infwasi_sign.domain.trust_root import parse_trust_root  # noqa: PLC0415 - not for keys

    data = read_trusted(path, LIMITS.trust_root_bytes, "trust root")
    try:
        written_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, OverflowError, ValueError) as e:
        raise UndecidedError("cannot tell how old it is", where=str(path)) from e
    root = parse_trust_root(data, source=str(path), written_at=written_at)
    if root.fetched_at > datetime.now(UTC) + _CLOCKS_DIFFER:
        raise UndecidedError(
            "the trust root is from the future",
            where=str(path),
            got=format_time(root.fetched_at),
            hint="set the clock, or fetch it again: `infwasi trust fetch`",
        )
    return root


def find_trust_root(environment: Mapping[str, str]) -> Path:
    """The user's trust root, else the system's; never one that comes with a package.

    Raises:
        UndecidedError: there is none, or nobody can tell.
    """
    found = usual_trust_root(environment)
    if found is None:
        raise UndecidedError(
            "there is no trust root to judge identities by",
            expected=str(user_trust_root(environment) or SYSTEM),
            hint="`infwasi trust fetch` gets the public one; --trust-root FILE names another",
        )
    return found


def usual_trust_root(environment: Mapping[str, str]) -> Path | None:
    """The same, or ``None`` if there is none.

    Raises:
        UndecidedError: nobody can tell.
    """
    places = (user_trust_root(environment), SYSTEM)
    return next((path for path in places if path is not None and is_there(path)), None)


def user_trust_root(environment: Mapping[str, str]) -> Path | None:
    """Where `infwasi trust fetch` writes."""
    folder = configuration_folder(environment)
    return None if folder is None else folder / FILE


def default_trust_root() -> "TrustRoot":
    """`find_trust_root` and `load_trust_root` for this process."""
    return load_trust_root(find_trust_root(os.environ))


class JudgingRoot:
    """Loads the trust root for one package when it is needed, and remembers it.

    One that lies in the package is refused, whoever named it.
    """

    def __init__(self, load: Callable[[], "TrustRoot"], package: Path) -> None:
        self._load = load
        self._package = package
        self.root: TrustRoot | None = None

    def __call__(self) -> "TrustRoot":
        """The trust root.

        Raises:
            UndecidedError: as `load_trust_root`, or it came with the package.
        """
        if self.root is None:
            root = self._load()
            require_outside(Path(root.source), self._package, "trust root")
            self.root = root
        return self.root


# --- writing ---------------------------------------------------------------------------------


def prepare_place(path: Path) -> None:
    """Make the folder of the user's trust root, and see that a verifier will trust it.

    Raises:
        UndecidedError: it cannot be made or written, or others could change what lies there.
    """
    try:
        for folder in reversed(path.parents):
            if not folder.is_dir():
                folder.mkdir(0o755)
        os.close(open_trusted_folder(path.parent))
    except OSError as e:
        raise storage_error(e, path.parent, "make the folder") from e
    if not os.access(path.parent, os.W_OK):
        raise storage_error(PermissionError(errno.EACCES, ""), path.parent, "write in the folder")


def write_trust_root(path: Path, data: bytes) -> None:
    """Write a trust root whole or not at all, for everybody to read.

    Raises:
        UndecidedError: it cannot be written.
    """
    write_atomic(path, data, mode=0o644, overwrite=True)
