"""Stops a run from outside: interrupt, deadline, a lease that breaks, too much memory.

A Python signal handler runs in the main thread and only between two bytecodes, so never while that
thread is inside llama.cpp or wasmtime. Here the signals are blocked in every thread, and one thread
waits for them in sigtimedwait(2). It writes a byte where native code looks (`Watcher.address`), and
ends the process when that did not help within `LIMITS.grace_seconds`. The thread needs the GIL for
a moment, which a foreign call through `ctypes.CDLL` and a hash both give up.

With the signals blocked, Ctrl-C raises no KeyboardInterrupt in Python code either: what runs long
there (hashing, between two windows) calls `raise_if_stopped`, and gets one from it.
"""

import contextlib
import ctypes
import math
import os
import select
import signal
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self, assert_never

from infwasi_sign.adapters.holding import LEASE_SIGNAL, await_lease_signal
from infwasi_sign.adapters.host_memory import MemoryMeter
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import RefusalKind, RefusedError
from infwasi_sign.ports import StopReason

EXIT_CODES: Final[Mapping[StopReason, int]] = {
    StopReason.INTERRUPT: 130,  # 128 + SIGINT, as shells report it
    StopReason.DEADLINE: RefusedError.exit_code,
    StopReason.LEASE: RefusedError.exit_code,
    StopReason.MEMORY: RefusedError.exit_code,
}

_INTERRUPT_SIGNALS: Final = frozenset({signal.SIGINT, signal.SIGTERM})
# SIGIO stands in for the real-time signal when the queue of those is full (fs/fcntl.c, send_sigio).
_LEASE_SIGNALS: Final = frozenset({LEASE_SIGNAL, signal.SIGIO})
_WAKE_SIGNAL: Final = signal.SIGRTMIN + 4  # sent to the watcher thread alone, by us alone
_SAMPLE_SECONDS: Final = 0.05  # a core fills about 100 MiB in this time; a look takes 10 us
_LONGEST_SECONDS: Final = 3600.0  # of one wait: struct timespec holds no deadline of any size


class Watcher:
    """A stop flag and the thread that sets it; a context manager. Implements `ports.StopFlag`.

    ``last_words`` are the lines written to standard error, one per reason, when the process must
    be ended. A library user who keeps their own signal handling leaves `block_signals` out: then
    only the deadline, the bound on memory and `stop` work.

    The flag's memory lives as long as this object: native code must be done with it by then.
    """

    def __init__(
        self,
        *,
        last_words: Mapping[StopReason, str],
        grace_seconds: float = LIMITS.grace_seconds,
    ) -> None:
        self._last_words = {reason: last_words[reason] for reason in StopReason}
        self._grace_seconds = grace_seconds
        self._flag = ctypes.create_string_buffer(8)
        self._lock = threading.Lock()
        self._reason: StopReason | None = None
        self._limits: dict[StopReason, str] = {}
        self._act_at: float | None = None  # monotonic: the deadline, then the end of the grace
        self.meter = MemoryMeter()
        self._most_bytes: int | None = None
        self._mask_before: set[signal.Signals | int] | None = None
        self._is_over = False
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="infwasi-watcher", daemon=True)

    def block_signals(self) -> None:
        """Block what the watcher waits for, so that it alone takes it.

        Call it in the main thread, before any other thread starts (those of imported libraries
        count) and before a file is guarded. A thread that was missed takes a lease signal and ends
        the process by it: better than a broken lease that nobody hears of.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("block_signals() outside the main thread")
        if self._thread.ident is not None:
            raise RuntimeError("block_signals() after the watch began")
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPT_SIGNALS | _LEASE_SIGNALS)
        for number in _LEASE_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        await_lease_signal(is_awaited=True)
        if self._mask_before is None:
            self._mask_before = before

    def __enter__(self) -> Self:
        self._thread.start()
        self._is_ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def arm(self, deadline_seconds: float, limit: str | None = None) -> None:
        """Stop the run this many seconds from now; of several deadlines the soonest counts.

        ``limit`` says for people which limit that is, and whose.
        """
        act_at = time.monotonic() + deadline_seconds
        with self._lock:
            if self._reason is None and (self._act_at is None or act_at < self._act_at):
                self._act_at = act_at
                self._limits[StopReason.DEADLINE] = limit or f"{deadline_seconds:g} seconds"
            self._wake()

    def bound_memory(self, most_bytes: int, limit: str | None = None) -> None:
        """Stop the run once this process has more memory of its own than so many bytes.

        That is resident memory that no file is behind, so neither the mapped model nor a sealed
        copy of it. ``limit`` says for people which limit that is, and whose.

        Raises:
            UndecidedError: the kernel does not say how much that is.
        """
        self.meter.own_bytes()
        with self._lock:
            self._limits[StopReason.MEMORY] = limit or f"{most_bytes} bytes"
            self._most_bytes = most_bytes
            self._wake()

    def stop(self, reason: StopReason) -> None:
        """Stop the run; the first reason stays. From any thread."""
        with self._lock:
            if self._reason is None:
                self._reason = reason
                self._act_at = time.monotonic() + self._grace_seconds
                self._flag[0] = b"!"  # last: who sees the flag finds the reason
            self._wake()

    def reason(self) -> StopReason | None:
        """Who stopped the run, if anybody did."""
        return self._reason

    def address(self) -> int:
        """Address of 8 bytes that are all zero until somebody stops the run.

        With libc's `strlen` for llama.cpp's abort callback and this for its data, the callback
        says 0 (go on) until then, without Python.
        """
        return ctypes.addressof(self._flag)

    def raise_if_stopped(self) -> None:
        """Do nothing, unless the run was stopped.

        Raises:
            KeyboardInterrupt: by the user.
            RefusedError: kind `limit`, the deadline or the memory; kind `level`, the lease.
        """
        match self._reason:
            case None:
                return
            case StopReason.INTERRUPT:
                raise KeyboardInterrupt
            case StopReason.DEADLINE:
                raise RefusedError(
                    RefusalKind.LIMIT,
                    "the run took longer than it may",
                    expected=f"at most {self._limits.get(self._reason, 'the time it was given')}",
                )
            case StopReason.MEMORY:
                raise RefusedError(
                    RefusalKind.LIMIT,
                    "the run took more memory than it may",
                    expected=f"at most {self._limits.get(self._reason, 'what it was given')}",
                )
            case StopReason.LEASE:
                raise RefusedError(
                    RefusalKind.LEVEL, "the model was opened for writing while in use"
                )
            case _:
                assert_never(self._reason)

    def close(self) -> None:
        """End the watch and put the signal mask back; a second call does nothing.

        Lease signals, pending or late, end nothing from now on. A Ctrl-C that nobody took yet
        raises KeyboardInterrupt here. To be called in the main thread if the signals are blocked.
        """
        with self._lock:
            self._wake()
            self._is_over = True
        if self._thread.ident is not None:
            self._thread.join()
        self.meter.close()
        if self._mask_before is not None:
            await_lease_signal(is_awaited=False)
            for number in _LEASE_SIGNALS:  # discards those that are pending, too (signal(7))
                signal.signal(number, signal.SIG_IGN)
            before, self._mask_before = self._mask_before, None
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _wake(self) -> None:
        """Make the thread look again; the caller holds the lock.

        The thread leaves only after it saw `_is_over` under the lock, so it is there to be
        signalled: pthread_kill on a thread that ended is undefined (pthread_kill(3)).
        """
        if self._thread.ident is not None and not self._is_over:
            signal.pthread_kill(self._thread.ident, _WAKE_SIGNAL)

    def _watch(self) -> None:
        awaited = {_WAKE_SIGNAL}
        if self._mask_before is not None:
            awaited |= _INTERRUPT_SIGNALS | _LEASE_SIGNALS
        signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
        self._is_ready.set()
        while True:
            with self._lock:
                if self._is_over:
                    return
                act_at = self._act_at
                is_metered = self._most_bytes is not None and self._reason is None
            wait_seconds = math.inf if act_at is None else max(0.0, act_at - time.monotonic())
            if act_at is not None:
                wait_seconds = min(wait_seconds, _LONGEST_SECONDS)
            if is_metered:
                wait_seconds = min(wait_seconds, _SAMPLE_SECONDS)
            if wait_seconds == math.inf:
                number = signal.sigwaitinfo(awaited).si_signo
            else:
                info = signal.sigtimedwait(awaited, wait_seconds)
                number = 0 if info is None else info.si_signo
            if number in _INTERRUPT_SIGNALS:
                self.stop(StopReason.INTERRUPT)
            elif number in _LEASE_SIGNALS:
                self.stop(StopReason.LEASE)
            elif act_at is not None and act_at == self._act_at and time.monotonic() >= act_at:
                self._time_is_up()
            elif is_metered:
                self._look_at_memory()

    def _look_at_memory(self) -> None:
        most_bytes = self._most_bytes
        if most_bytes is not None and self.meter.own_bytes() > most_bytes:
            self.stop(StopReason.MEMORY)

    def _time_is_up(self) -> None:
        if self._reason is None:
            self.stop(StopReason.DEADLINE)
        elif not self._is_over:
            # A full pipe would hold the last words, and us, for ever. poll(2) fails under
            # RLIMIT_NOFILE 0, select(2) does not; a pipe it calls writable takes PIPE_BUF bytes.
            limit = self._limits.get(self._reason)
            words = self._last_words[self._reason]
            words = words if limit is None else f"{words} (expected at most {limit})"
            line = words.encode("utf-8", "replace")[:4000] + b"\n"
            with contextlib.suppress(OSError, ValueError):
                if select.select((), (2,), (), 0)[1]:
                    os.write(2, line)
            os._exit(EXIT_CODES[self._reason])
