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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, Self

DONE: Final = "done"
OVER: Final = 255
"""What is written to the pipe of the marks when the runner has ended."""

_EXCHANGE: Final = 2  # linux/fs.h, RENAME_EXCHANGE
_HERE: Final = -100  # fcntl.h, AT_FDCWD
_PR_SET_TIMERSLACK: Final = 29  # linux/prctl.h; the default is 50 us, longer than some phases
_AT_ONCE: Final = os.O_NONBLOCK | os.O_CLOEXEC
_WRITTEN_BYTES: Final = 64 << 10
_PUT_BACK_SECONDS: Final = 0.01
_PATIENCE_SECONDS: Final = 60.0
_libc: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One attack on ``package``; ``other`` is a package of the same name with the other model.

    ``phase`` is the byte that the runner writes when that phase begins, ``share`` says where in the
    weights is written.
    """

    attack: str
    package: Path
    other: Path
    spare: Path  # a name that is free, on the same file system
    phase: int
    delay_seconds: float
    share: float

    @property
    def model(self) -> Path:
        return self.package / "model.gguf"

    def written(self) -> tuple[bytes, int]:
        """Bytes of the other model and their offset: of weights, where the two models differ."""
        data = (self.other / "model.gguf").read_bytes()
        first = len(data) // 4
        start = first + int(self.share * (len(data) - _WRITTEN_BYTES - first))
        return data[start : start + _WRITTEN_BYTES], start


@dataclass(frozen=True, kw_only=True)
class Strike:
    """What came of an attack: `DONE` or the name of an error, and when its calls began and ended.

    ``began_ns`` is 0 if the runner had ended before.
    """

    outcome: str
    began_ns: int
    ended_ns: int


class Blow:
    """An attack, as far as it is made ready before the runner starts."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.runner = 0
        self.data, self.start = job.written()
        self.descriptor = -1
        self.mapping: mmap.mmap | None = None
        if job.attack.startswith("old-"):
            self.descriptor = os.open(job.model, os.O_RDWR | os.O_CLOEXEC)
            self.mapping = mmap.mmap(self.descriptor, 0)
            self.mapping[self.start] = self.mapping[self.start]  # its page is dirty from now on

    def strike(self) -> None:
        """The system calls; raises the OSError of the one that is refused."""
        ATTACKS[self.job.attack](self)

    def close(self) -> None:
        if self.mapping is not None:
            self.mapping.close()
        if self.descriptor >= 0:
            os.close(self.descriptor)


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write(blow: Blow) -> None:
    with _opened(blow.job.model, os.O_WRONLY | _AT_ONCE) as descriptor:
        os.pwrite(descriptor, blow.data, blow.start)


def _write_waiting(blow: Blow) -> None:
    with _opened(blow.job.model, os.O_WRONLY | os.O_CLOEXEC) as descriptor:
        os.pwrite(descriptor, blow.data, blow.start)


def _write_and_set_times_back(blow: Blow) -> None:
    before = blow.job.model.stat()
    with _opened(blow.job.model, os.O_WRONLY | _AT_ONCE) as descriptor:
        os.pwrite(descriptor, blow.data, blow.start)
        os.utime(descriptor, ns=(before.st_atime_ns, before.st_mtime_ns))


def _write_and_put_back(blow: Blow) -> None:
    """Of this only the answer can tell, for at the end the bytes are what they were."""
    with _opened(blow.job.model, os.O_RDWR | _AT_ONCE) as descriptor:
        before = os.pread(descriptor, len(blow.data), blow.start)
        os.pwrite(descriptor, blow.data, blow.start)
        time.sleep(_PUT_BACK_SECONDS)
        os.pwrite(descriptor, before, blow.start)


def _write_mapped(blow: Blow) -> None:
    with (
        _opened(blow.job.model, os.O_RDWR | _AT_ONCE) as descriptor,
        mmap.mmap(descriptor, 0) as mapping,
    ):
        mapping[blow.start : blow.start + len(blow.data)] = blow.data


def _truncate(blow: Blow) -> None:
    os.truncate(blow.job.model, blow.start)


def _extend(blow: Blow) -> None:
    with _opened(blow.job.model, os.O_WRONLY | os.O_APPEND | _AT_ONCE) as descriptor:
        os.write(descriptor, blow.data)


def _link(blow: Blow) -> None:
    """By another name one can write, too."""
    os.link(blow.job.model, blow.job.spare)
    with _opened(blow.job.spare, os.O_WRONLY | _AT_ONCE) as descriptor:
        os.pwrite(descriptor, blow.data, blow.start)


def _link_only(blow: Blow) -> None:
    os.link(blow.job.model, blow.job.spare)


def _rename_over(blow: Blow) -> None:
    os.link(blow.job.other / "model.gguf", blow.job.spare)
    blow.job.spare.replace(blow.job.model)


def _replace_by_symlink(blow: Blow) -> None:
    blow.job.spare.symlink_to(blow.job.other / "model.gguf")
    blow.job.spare.replace(blow.job.model)


def _change_mode(blow: Blow) -> None:
    blow.job.model.chmod(0o666)


def _exchange(blow: Blow) -> None:
    source, target = os.fsencode(blow.job.package), os.fsencode(blow.job.other)
    if _libc.renameat2(_HERE, source, _HERE, target, _EXCHANGE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _write_through_the_runner(blow: Blow) -> None:
    """Every descriptor of the runner's that can be opened again, a copy in memory included."""
    is_written, refused = False, OSError(errno.ENOENT, "the runner has no such descriptor")
    for path in Path(f"/proc/{blow.runner}/fd").iterdir():
        try:
            shown = str(path.readlink())
            if "gguf" in shown or ("(deleted)" in shown and "/memfd:" not in shown):
                with _opened(path, os.O_RDWR | _AT_ONCE) as descriptor:
                    os.pwrite(descriptor, blow.data, blow.start)
                    is_written = True
        except OSError as error:
            refused = error
    if not is_written:
        raise refused


def _write_old(blow: Blow) -> None:
    os.pwrite(blow.descriptor, blow.data, blow.start)


def _write_old_mapped(blow: Blow) -> None:
    assert blow.mapping is not None
    blow.mapping[blow.start : blow.start + len(blow.data)] = blow.data


def _truncate_old(blow: Blow) -> None:
    os.ftruncate(blow.descriptor, blow.start)


ATTACKS: Final[Mapping[str, Callable[[Blow], None]]] = {
    "write": _write,
    "write-waiting": _write_waiting,
    "write-and-set-times-back": _write_and_set_times_back,
    "write-and-put-back": _write_and_put_back,
    "write-mapped": _write_mapped,
    "truncate": _truncate,
    "extend": _extend,
    "link": _link_only,
    "link-and-write": _link,
    "rename": _rename_over,
    "symlink": _replace_by_symlink,
    "chmod": _change_mode,
    "exchange": _exchange,
    "through-the-runner": _write_through_the_runner,
    "old-write": _write_old,
    "old-mapped": _write_old_mapped,
    "old-truncate": _truncate_old,
}
NEW: Final = tuple(name for name in ATTACKS if not name.startswith("old-"))
OLD: Final = tuple(name for name in ATTACKS if name.startswith("old-"))
"""By a descriptor and a mapping that are older than the run."""
WAITING: Final = ("write-waiting", "truncate")
"""Calls that a lease makes wait; the others say at once that they would have to."""


class Attacker:
    """A process of another user, or of the runner's; it ends when nobody holds the other end.

    ``marks`` is the reading end of the pipe into which the runner writes its phases.
    """

    def __init__(self, user: int | None, marks: int) -> None:
        self._pipe, theirs = Pipe()
        self._process = os.fork()
        if self._process == 0:
            self._pipe.close()
            with contextlib.suppress(BaseException):
                with contextlib.suppress(OSError):  # a busy machine makes others wait, not us
                    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
                become(user)
                _libc.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
                _serve(theirs, marks)
            os._exit(0)
        theirs.close()

    def denied(self, path: Path) -> str:
        """What this user gets who opens ``path`` for writing."""
        self._pipe.send(path)
        answer = self._hear()
        assert isinstance(answer, str)
        return answer

    def prepare(self, job: Job) -> None:
        """Give a job; comes back when it can begin."""
        self._pipe.send(job)
        answer = self._hear()
        assert answer == "ready", answer

    def aim(self, runner: int) -> None:
        """Say whom the job is about."""
        self._pipe.send(runner)

    def strike(self) -> Strike:
        """What came of the job."""
        answer = self._hear()
        assert isinstance(answer, Strike), answer
        return answer

    def _hear(self) -> object:
        assert self._pipe.poll(_PATIENCE_SECONDS), "an attacker hangs"
        answer: object = self._pipe.recv()
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        os.waitpid(self._process, 0)


def become(user: int | None) -> None:
    """Be ``user`` and nobody else from now on; ``None`` changes nothing."""
    if user is not None:
        os.chdir("/")
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)


def _serve(pipe: Connection, marks: int) -> None:
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        if isinstance(job, Path):
            pipe.send(_outcome(lambda path=job: os.close(os.open(path, os.O_WRONLY))))  # type: ignore[misc]
            continue
        try:
            pipe.send(_served(job, pipe, marks))
        except OSError as error:
            pipe.send(f"cannot prepare {job}: {error}")


def _served(job: Job, pipe: Connection, marks: int) -> Strike:
    blow = Blow(job)
    try:
        pipe.send("ready")
        blow.runner = pipe.recv()
        if not _reached(job.phase, marks):
            return Strike(outcome="late", began_ns=0, ended_ns=0)
        time.sleep(job.delay_seconds)
        began = time.monotonic_ns()
        outcome = _outcome(blow.strike)
        return Strike(outcome=outcome, began_ns=began, ended_ns=time.monotonic_ns())
    finally:
        blow.close()


def _reached(phase: int, marks: int) -> bool:
    """Wait until the runner has come to ``phase``; false if it ended before."""
    while True:
        if not select.select((marks,), (), (), _PATIENCE_SECONDS)[0]:
            return False
        for mark in os.read(marks, 64):
            if mark == OVER:
                return False
            if mark >= phase:
                return True


def _outcome(act: Callable[[], None]) -> str:
    try:
        act()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "unknown")
    return DONE
