"""What another process does to a model that is about to be used, and the process that does it.

An attacker is forked before anything heavy is imported, becomes its user, and then takes one job
after the other: it waits until the runner has reached a phase, waits a little more, and strikes.
When the system call began and ended is told by the same clock that the runner's marks are of.
"""

import contextlib
import ctypes
import errno
import mmap
import os
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

DONE: Final = "done"
OVER: Final = 255
"""What is written to the pipe of the marks when the runner has ended."""

_EXCHANGE: Final = 2  # linux/fs.h, RENAME_EXCHANGE
_HERE: Final = -100  # fcntl.h, AT_FDCWD
_WITHOUT_WAITING: Final = os.O_NONBLOCK | os.O_CLOEXEC
_WRITTEN_BYTES: Final = 64 << 10
_PATIENCE_SECONDS: Final = 60


@dataclass(frozen=True, kw_only=True)
class Job:
    """One attack: on what, when, and with which bytes of the other model.

    ``phase`` is the byte that the runner writes when that phase begins. ``share`` says where.
    """

    attack: str
    package: Path
    other: Path  # a package of the same name with the other model in it
    phase: int
    delay_seconds: float
    share: float

    @property
    def model(self) -> Path:
        return self.package / "model.gguf"

    @property
    def evil(self) -> Path:
        return self.other / "model.gguf"

    @property
    def spare(self) -> Path:
        return self.package.parent / "spare"

    def bytes(self) -> tuple[bytes, int]:
        """What is written, and where: within the weights, where the two models differ."""
        data = self.evil.read_bytes()
        start = len(data) // 4 + int(self.share * (len(data) * 3 // 4 - _WRITTEN_BYTES))
        return data[start : start + _WRITTEN_BYTES], start


@dataclass(frozen=True, kw_only=True)
class Strike:
    """What came of it: `DONE` or the name of an error, when the call began and when it ended.

    ``began_ns`` is 0 if the runner had ended before.
    """

    outcome: str
    began_ns: int
    ended_ns: int


class _Blow:
    """An attack, made ready as far as it can be before the runner starts."""

    def __init__(self, job: Job, data: bytes, start: int, runner: Callable[[], int]) -> None:
        self.job, self.data, self.start, self.runner = job, data, start, runner
        self.descriptor = -1
        self.mapping: mmap.mmap | None = None
        if job.attack.startswith("old-"):
            self.descriptor = os.open(job.model, os.O_RDWR | os.O_CLOEXEC)
            self.mapping = mmap.mmap(self.descriptor, 0)
            self.mapping[start : start + 1] = self.mapping[start : start + 1]  # its page is dirty
        if job.attack in {"rename", "symlink"}:
            with contextlib.suppress(OSError):
                job.spare.symlink_to(job.evil) if job.attack == "symlink" else os.link(
                    job.evil, job.spare
                )

    def strike(self) -> None:
        """The system calls. Raises the OSError of the one that is refused."""
        _STRIKES[self.job.attack](self)

    def close(self) -> None:
        if self.mapping is not None:
            self.mapping.close()
        if self.descriptor >= 0:
            os.close(self.descriptor)


@contextlib.contextmanager
def _opened(path: Path, flags: int):  # type: ignore[no-untyped-def]
    descriptor = os.open(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
