"""What this process forbids about itself before it holds secrets, and how it is ended."""

import contextlib
import ctypes
import resource
import signal
from types import FrameType
from typing import Final, NoReturn

from infwasi_sign.domain.confinement import Layer

_ENDINGS: Final = (signal.SIGTERM, signal.SIGHUP)
_PR_GET_DUMPABLE: Final = 3  # linux/prctl.h
_PR_SET_DUMPABLE: Final = 4
_PR_GET_NO_NEW_PRIVS: Final = 39


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


def layers_in_force() -> tuple[Layer, ...]:
    """By which layers this process is confined now, as a policy may demand (fact of a run).

    Each is what the kernel says, not what was asked for; what cannot be asked is not in force.
    A new layer is put in force before `infwasi_sign.run.plan` and reported here.
    """
    in_force = {
        Layer.NO_DUMPS: resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
        and _prctl(_PR_GET_DUMPABLE) == 0,
        Layer.NO_NEW_PRIVS: _prctl(_PR_GET_NO_NEW_PRIVS) == 1,
    }
    return tuple(sorted(layer for layer, is_there in in_force.items() if is_there))


def _prctl(option: int) -> int:
    """The answer of the kernel, or -1 if there is none."""
    try:
        return int(ctypes.CDLL(None).prctl(option, 0, 0, 0, 0))
    except (OSError, AttributeError):
        return -1


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
