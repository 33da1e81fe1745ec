"""Where the trust root of a Sigstore instance lies, and how it gets there."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from infwasi_sign.adapters.trusted_file import read_trusted
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.trust_root import TrustRoot, parse_trust_root
from infwasi_sign.errors import UndecidedError

FILE: Final = "trust-root.json"
SYSTEM: Final = Path("/etc/infwasi") / FILE


def load_trust_root(path: Path) -> TrustRoot:
    """Read a trust root that nobody else could have changed; it is as old as it says, or its file.

    Raises:
        UndecidedError: it cannot be read or trusted, or is none.
    """
    data = read_trusted(path, LIMITS.trust_root_bytes, "trust root")
    try:
        written_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, OverflowError, ValueError) as e:
        raise UndecidedError("cannot tell how old it is", where=str(path)) from e
    return parse_trust_root(data, source=str(path), written_at=written_at)


def find_trust_root(environment: Mapping[str, str]) -> Path:
    """The user's trust root, else the system's; never one that comes with a package.

    Raises:
        UndecidedError: there is none.
    """
    for path in (user_trust_root(environment), SYSTEM):
        if path is not None and path.exists():
            return path
    raise UndecidedError(
        "there is no trust root to judge identities by",
        expected=str(user_trust_root(environment) or SYSTEM),
        hint="`infwasi trust fetch` gets the public one; --trust-root FILE names another",
    )


def user_trust_root(environment: Mapping[str, str]) -> Path | None:
    """Where `infwasi trust fetch` writes (XDG Base Directory Specification 0.8)."""
    candidates = (
        Path(environment.get("XDG_CONFIG_HOME", "")),
        Path(environment.get("HOME", "")) / ".config",
    )
    folder = next((folder for folder in candidates if folder.is_absolute()), None)
    return None if folder is None else folder / "infwasi" / FILE


def default_trust_root() -> TrustRoot:
    """`find_trust_root` and `load_trust_root` for this process."""
    return load_trust_root(find_trust_root(os.environ))
