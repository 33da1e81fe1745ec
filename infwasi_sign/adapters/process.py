"""What this process forbids about itself before it holds secrets or runs a guest."""

import contextlib
import ctypes
import resource
from typing import Final

_PR_SET_DUMPABLE: Final = 4  # linux/prctl.h


def forbid_dumps() -> None:
    """No core file, and no reading of our memory by other processes of the same user.

    A private key, a passphrase and a prompt are in memory; and a process that may be traced can be
    made to run anything after it was verified (prctl(2), PR_SET_DUMPABLE).
    """
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Not on every system; then nothing is worse than before.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
