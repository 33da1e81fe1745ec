"""Files of root's that this process, and others of its user, cannot change.

Such a file needs no copy: what could change it is root, who can do everything anyway. Only root
counts as a foreign owner. A file of another user's could be one of our own under another number
(subuid(5): a user namespace lends its user a range of them), and that user is not to be trusted.

Of folders nothing is demanded: who exchanges a name does not exchange the file that is open.
"""

import os
import stat
import time
from typing import Final

from infwasi_sign.adapters.holding import LEASE_FILE_SYSTEMS, file_system_type

# Owner and mode of a file mean something only where this kernel alone keeps them: whoever serves a
# FUSE or network file system says what they want. On overlayfs they are those of the layers. On
# tmpfs only the first write through a mapping moves ctime, for nothing is ever written back.
_FILE_SYSTEMS: Final = {kind for kind, name in LEASE_FILE_SYSTEMS.items() if name != "tmpfs"} | {
    0x794C7630  # overlayfs
}
_OWNER: Final = 0  # root
_SHARED_WRITE: Final = 0o022  # an access control list shows in the group's bits (acl(5), "mask")
_SETTLED_NS: Final = 2_000_000_000
"""So old a change must be that the next one gets another ctime; that clock ticks every 10 ms, or
oftener. Git's index has the same rule for such files ("racily clean")."""


def obstacle_to_foreign_owner(  # noqa: PLR0911 - one return per obstacle
    descriptor: int,
) -> str | None:
    """Why the runner's user, or others than root, could change an open file; ``None``: they cannot.

    Who opened the file for writing before it became root's is not seen.
    """
    status = os.fstat(descriptor)
    kind = file_system_type(descriptor)
    if status.st_uid != _OWNER:
        return "the file does not belong to root"
    if status.st_mode & _SHARED_WRITE:
        return f"others than its owner can write the file (mode {stat.S_IMODE(status.st_mode):04o})"
    if kind not in _FILE_SYSTEMS:
        return f"an owner means nothing on this file system (type 0x{kind:x})"
    if _is_privileged():
        return "the runner is root or has capabilities"
    if time.time_ns() - status.st_ctime_ns < _SETTLED_NS:
        return "the file was changed less than 2 seconds ago"
    try:
        # Through a mapping with a page that is dirty already one can write without moving ctime;
        # once it is clean, the next write moves it.
        os.fsync(descriptor)
    except OSError:
        return "the file cannot be written back"
    return None


def _is_privileged() -> bool:
    """Whether this process is root, could become it again, or has any capability; when in doubt."""
    if 0 in os.getresuid():
        return True
    try:
        with open("/proc/self/status", "rb") as lines:
            found = dict(line.split(b":", 1) for line in lines)
        # what is effective is permitted too (capabilities(7), "Thread capability sets")
        return int(found[b"CapPrm"], 16) != 0
    except (OSError, ValueError, KeyError):
        return True
