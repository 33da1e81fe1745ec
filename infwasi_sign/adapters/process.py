"""What this process forbids about itself before it holds secrets, and how it is ended."""

import contextlib
import ctypes
import os
import resource
import signal
from collections.abc import Iterable
from types import FrameType, TracebackType
from typing import Final, NoReturn, Self

from infwasi_sign.domain.confinement import Layer, LayerReport, Standing
from infwasi_sign.ports import StopReason

_ENDINGS: Final = (signal.SIGTERM, signal.SIGHUP)
_PR_GET_DUMPABLE: Final = 3  # linux/prctl.h
_PR_SET_DUMPABLE: Final = 4
_PR_GET_SECCOMP: Final = 21
_PR_GET_NO_NEW_PRIVS: Final = 39
_FILTERED: Final = 2  # SECCOMP_MODE_FILTER

_INSTALLED: Final[set[Layer]] = set()


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


def remember_layers(reports: Iterable[LayerReport]) -> None:
    """Take note of layers that this process put on itself and the kernel tells nobody about."""
    _INSTALLED.update(report.layer for report in reports if report.standing is Standing.IN_FORCE)


def layers_in_force() -> tuple[Layer, ...]:
    """By which layers this process is confined now, as a policy may demand (fact of a run).

    Each is what the kernel says, not what was asked for; what cannot be asked is not in force. Of
    Landlock the kernel says nothing, and a filter may be somebody else's: they count if they were
    installed in this process (`remember_layers`). Opens no file: late in a run none can be.
    """
    in_force = {
        Layer.NO_DUMPS: resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
        and _prctl(_PR_GET_DUMPABLE) == 0,
        Layer.NO_NEW_PRIVS: _prctl(_PR_GET_NO_NEW_PRIVS) == 1,
        Layer.RLIMITS: resource.getrlimit(resource.RLIMIT_NOFILE) == (0, 0),
        Layer.LANDLOCK: Layer.LANDLOCK in _INSTALLED,
        Layer.SECCOMP: Layer.SECCOMP in _INSTALLED and _prctl(_PR_GET_SECCOMP) == _FILTERED,
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


class SignalFlag:
    """The stop flag of a guest that runs where Python's own handlers end the process.

    They run in the main thread between two bytecodes, so not before the guest returns. But a byte
    is written at once (`signal.set_wakeup_fd`), and whoever asks for the `reason` finds it; once
    the guest is stopped, the handler raises KeyboardInterrupt. A context manager, for the main
    thread. Implements `ports.StopFlag`.
    """

    def __init__(self) -> None:
        self._flag = ctypes.create_string_buffer(2)
        self._undo = contextlib.ExitStack()
        self._reader = -1

    def __enter__(self) -> Self:
        self._reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._undo.callback(os.close, self._reader)
        self._undo.callback(os.close, writer)
        before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._undo.callback(signal.set_wakeup_fd, before)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._undo.close()

    def reason(self) -> StopReason | None:
        """An interrupt, once a signal came; any that Python handles here ends the process."""
        with contextlib.suppress(BlockingIOError):
            if os.read(self._reader, 1):
                self._flag.raw = b"\1\0"
        return StopReason.INTERRUPT if self._flag.value else None

    def raise_if_stopped(self) -> None:
        """As the handler will, or has."""
        if self.reason() is not None:
            raise KeyboardInterrupt

    def address(self) -> int:
        """Of the flag's bytes."""
        return ctypes.addressof(self._flag)
