"""A pass over a file that begins before anybody knows whether its digests are wanted (ADR 23)."""

from collections.abc import Generator, Mapping
from contextlib import suppress
from queue import SimpleQueue
from typing import Final

from infwasi_sign.adapters.background import Background
from infwasi_sign.adapters.measuring import measure
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.ports import Progress


class _AbandonedError(Exception):
    """Nobody waits for the pass any more."""


class MeasuringAhead:
    """`measuring.measure` in a thread of its own, from now on; `result` or `abandon` ends it.

    ``windows`` is asked in that thread alone, and what it raises `result` raises.
    """

    def __init__(self, windows: Generator[memoryview], algorithms: frozenset[Algorithm]) -> None:
        self.algorithms: Final = algorithms
        self._windows = windows
        self._done: SimpleQueue[int | None] = SimpleQueue()  # bytes of a window; None: no more
        self._is_abandoned = False
        self._pass = Background(self._measure)

    def result(self, progress: Progress | None = None) -> Mapping[Algorithm, Digest]:
        """Wait for the digests; ``progress`` is called in this thread, as `measure` does."""
        for size_bytes in iter(self._done.get, None):
            if progress is not None:
                progress(size_bytes)
        return self._pass.get()

    def abandon(self) -> None:
        """Stop after the window that is being hashed, and wait for that; again does nothing."""
        self._is_abandoned = True
        self._pass.wait()

    def _measure(self) -> Mapping[Algorithm, Digest]:
        try:
            return measure(self._windows, self.algorithms, self._advance)
        except _AbandonedError:
            return {}  # which nobody asks for
        finally:
            with suppress(BufferError):  # an error still has its window
                self._windows.close()  # its mapping goes now, and not when it is collected
            self._done.put(None)

    def _advance(self, size_bytes: int) -> None:
        if self._is_abandoned:
            raise _AbandonedError
        self._done.put(size_bytes)
