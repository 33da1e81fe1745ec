"""What this process forbids about itself before it holds secrets, and how it is ended."""

import contextlib
import ctypes
import resource
import signal
from types import FrameType
from typing import Final, NoReturn

_ENDINGS: Final = (signal.SIGTERM, signal.SIGHUP)
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


def clear_up_when_ended() -> None:
    """Who ends us from outside gets what Ctrl-C gets: what is half written is taken away first.

    A signal that the caller has us ignore (`nohup`) stays ignored. For commands that write; where
    a guest runs, the watcher waits for signals instead.
    """
    for number in _ENDINGS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


def _interrupt(_: int, __: FrameType | None) -> NoReturn:
    for number in _ENDINGS:  # a second one would only stop the clearing up
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
