"""The runner under attack: the real command in a child, with marks at its seams and an oracle.

The child is forked from a process that has imported what a run imports, so that it begins at once
and needs no files of Python's as another user. What is wrapped are public names only (the file, the
backend); nothing in the product knows of it.

The oracle looks at what llama.cpp has mapped, at the end of the answer: it reads memory, not the
file, and compares with the signed bytes.
"""

import contextlib
import ctypes
import functools
import gc
import hashlib
import importlib
import json
import mmap
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from infwasi_sign.adapters import guarded_file, holding, llama
from infwasi_sign.adapters.llama_bindings import bindings
from infwasi_sign.cli import main
from infwasi_sign.domain.load_level import LoadLevel
from tests.gym.race_attacks import OVER, become

PHASES: Final = (
    "before open",
    "open to lease",
    "lease to hash",
    "hash to load",
    "prompt",
    "tokens",
)
"""When the model is opened, held, hashed, loaded, and the prompt evaluated, the next one begins."""

MODEL_ENDS: Final = ".gguf"
NO_MEMORY: Final[Any] = getattr(holding, "NoMemoryError", None)
"""What makes a private copy be tried, in versions that have one."""
HANG_SECONDS: Final = 30.0
_SLOTS: Final = 16
_PR_SET_DUMPABLE: Final = 4  # linux/prctl.h


class Board:
    """Memory that runner and gym share, and a pipe in which attackers hear of each new phase."""

    def __init__(self) -> None:
        self._slots = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("q")
        self.reader, self._writer = os.pipe2(os.O_CLOEXEC)
        self.clear()

    def clear(self) -> None:
        for slot in range(_SLOTS):
            self._slots[slot] = 0
        while select.select((self.reader,), (), (), 0)[0]:
            os.read(self.reader, 64)

    def mark(self, phase: int) -> bool:
        """A phase begins now; only the first time counts, and gives true."""
        if self._slots[phase] != 0:
            return False
        self._slots[phase] = time.monotonic_ns()
        os.write(self._writer, bytes([phase]))
        return True

    def over(self) -> None:
        """No phase comes any more."""
        os.write(self._writer, bytes([OVER]))

    def marks(self) -> tuple[int, ...]:
        """When each phase began, and the last one ended; 0 if it did not."""
        return tuple(self._slots[: len(PHASES) + 1])

    @property
    def mapped_bytes(self) -> int:
        """How much of the model was mapped at the end; 0 if it did not come so far."""
        return self._slots[len(PHASES) + 1]

    @property
    def changed_bytes(self) -> int:
        """How many of them were not the signed ones."""
        return self._slots[len(PHASES) + 2]

    def found(self, mapped: int, changed: int) -> None:
        self._slots[len(PHASES) + 1], self._slots[len(PHASES) + 2] = mapped, changed


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a run ended; ``code`` is negative for a signal, and ``None`` if it hung."""

    code: int | None
    answer: str
    said: str
    marks: tuple[int, ...]
    ended_ns: int
    mapped_bytes: int
    changed_bytes: int


@dataclass(frozen=True, kw_only=True)
class Start:
    """A run: as whom, with which words on the command line, stretched where, without which check.

    In ``stretched`` the runner waits for ``stretch_seconds`` where that phase begins;
    ``without_memory`` there is none for a sealed copy.
    """

    user: int | None
    words: Sequence[str]
    home: Path
    stretched: int
    stretch_seconds: float
    pretended: LoadLevel | None = None
    without_memory: bool = False


class Running:
    """A run that goes on; ``signed`` are the bytes of the model that the signature is over."""

    def __init__(self, board: Board, start: Start, signed: bytes) -> None:
        self._board = board
        self._output, self._errors = os.memfd_create("output"), os.memfd_create("errors")
        sys.stdout.flush()
        sys.stderr.flush()
        self.process = os.fork()
        if self.process == 0:
            _become_runner(board, start, signed, self._output, self._errors)
        self._handle = os.pidfd_open(self.process)

    def end(self) -> Ending:
        """Wait for it, for `HANG_SECONDS` at most."""
        is_over = bool(select.select((self._handle,), (), (), HANG_SECONDS)[0])
        if not is_over:
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        _, status = os.waitpid(self.process, 0)
        ended = time.monotonic_ns()
        self._board.over()
        os.close(self._handle)
        return Ending(
            code=os.waitstatus_to_exitcode(status) if is_over else None,
            answer=_text(self._output),
            said=_text(self._errors),
            marks=self._board.marks(),
            ended_ns=ended,
            mapped_bytes=self._board.mapped_bytes,
            changed_bytes=self._board.changed_bytes,
        )


def _text(descriptor: int) -> str:
    data = os.pread(descriptor, 1 << 20, 0)
    os.close(descriptor)
    return data.decode("utf-8", "replace")


def import_what_runs_import(board: Board, start: Start, signed: bytes) -> str:
    """Run once in a child, and import here what it had imported; gives its answer.

    Raises:
        AssertionError: the honest run does not succeed.
    """
    bindings()
    reader, writer = os.pipe()
    running = _Listing(writer, board, start, signed)
    os.close(writer)
    with open(reader, "rb") as listing:
        names = json.loads(listing.read() or b"[]")
    ending = running.end()
    assert (ending.code, ending.changed_bytes) == (0, 0), ending
    assert ending.mapped_bytes, "the oracle does not find what llama.cpp has mapped"
    for name in names:
        if name.partition(".")[0] not in {"__main__", "tests", "llama_cpp"}:
            with contextlib.suppress(ImportError):  # a name that is no module of its own
                importlib.import_module(name)
    gc.collect()
    gc.freeze()
    return ending.answer


class _Listing(Running):
    """As `Running`; what is imported at the end goes to a descriptor."""

    listing = -1

    def __init__(self, writer: int, board: Board, start: Start, signed: bytes) -> None:
        _Listing.listing = writer
        super().__init__(board, start, signed)
        _Listing.listing = -1


# --- in the child ----------------------------------------------------------------------------


def _become_runner(board: Board, start: Start, signed: bytes, output: int, errors: int) -> None:
    """Run the command and end; never returns."""
    code = 70
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(errors, 2)
        for name in [name for name in os.environ if name.startswith(("INFWASI_", "XDG_"))]:
            del os.environ[name]
        os.environ |= {
            "INFWASI_STATE_DIR": str(start.home / "state"),
            "XDG_CACHE_HOME": str(start.home / "cache"),
            "HOME": str(start.home),
        }
        become(start.user)
        # A change of user takes it away until the next exec, which a run of its own would have had.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
        _wrap(board, start, signed)
        sys.argv = ["infwasi", "verify-and-run", *start.words]
        board.mark(0)
        _stretch(start, 0)
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 71
        sys.stdout.flush()
        if _Listing.listing >= 0:
            os.write(_Listing.listing, json.dumps(sorted(sys.modules)).encode())
    finally:
        os._exit(code)


def _stretch(start: Start, phase: int) -> None:
    if start.stretched == phase:
        time.sleep(start.stretch_seconds)


def _wrap(board: Board, start: Start, signed: bytes) -> None:
    """Set marks at the seams, and let the oracle look before the model is closed."""
    maps = os.open("/proc/self/maps", os.O_RDONLY | os.O_CLOEXEC)  # later nothing can be opened
    files: list[tuple[str, int]] = []

    def reached(phase: int) -> None:
        if board.mark(phase):
            _stretch(start, phase)

    def marking(call: Callable[..., Any], phase: int) -> Callable[..., Any]:
        @functools.wraps(call)
        def marked(*arguments: Any, **named: Any) -> Any:
            result = call(*arguments, **named)
            reached(phase)
            return result

        return marked

    file, backend, model = guarded_file.LocalFile, llama.LlamaBackend, llama.LlamaModel
    open_file, load, close = file.open, backend.load, model.close
    _pretend(start.pretended)

    @functools.wraps(open_file)
    def opened(name: str, **named: Any) -> Any:
        found = open_file(name, **named)
        if name.endswith(MODEL_ENDS):
            reached(1)
        return found

    @functools.wraps(load)
    def loaded(self: Any, held: Any, *arguments: Any, **named: Any) -> Any:
        status = os.fstat(held.fileno())
        device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
        files.append((device, status.st_ino))
        return load(self, held, *arguments, **named)

    @functools.wraps(close)
    def closed(self: Any) -> None:
        board.mark(len(PHASES))
        if files:
            board.found(*compare(maps, files.pop(), signed))
        close(self)

    patches: Any = [
        (file, "open", staticmethod(opened)),
        (file, "hold_ahead", _where_it_is_held(file.hold_ahead, functools.partial(reached, 2))),
        (file, "guard", marking(file.guard, 2)),
        (file, "measure", _only_of_models(file.measure, marking(file.measure, 3))),
        (backend, "load", marking(loaded, 4)),
        (model, "start", marking(model.start, 5)),
        (model, "close", closed),
    ]
    if start.without_memory:
        patches.append((guarded_file, "sealed_copy", _no_memory))
    for where, name, value in patches:
        setattr(where, name, value)


def _where_it_is_held(call: Callable[..., bool], reached: Callable[[], None]) -> Any:
    @functools.wraps(call)
    def held_ahead(self: Any) -> bool:
        is_held = call(self)
        if is_held:
            reached()
        return is_held

    return held_ahead


def _only_of_models(call: Callable[..., Any], marked: Callable[..., Any]) -> Callable[..., Any]:
    def chosen(self: Any, *arguments: Any, **named: Any) -> Any:
        one = marked if self.name.endswith(MODEL_ENDS) else call
        return one(self, *arguments, **named)

    return chosen


def _pretend(level: LoadLevel | None) -> None:
    """The control: the file is said to be held and to be unchanged, and is not held at all."""
    if level is None:
        return
    patches: Any = (
        ("hold_ahead", lambda _: False),
        ("guard", lambda *_, **__: level),
        ("level", property(lambda _: level)),
        ("still_held", lambda _: True),
        ("require_same", lambda _: None),
    )
    for name, value in patches:
        setattr(guarded_file.LocalFile, name, value)


def _no_memory(_: object, __: int, name: str) -> NoReturn:
    assert NO_MEMORY is not None
    raise NO_MEMORY("no memory for a sealed copy", where=name)


def compare(maps: int, file: tuple[str, int], signed: bytes) -> tuple[int, int]:
    """How much of the file is mapped, and how many of those bytes are not the signed ones.

    NOTE: a library can have the inode number of a memfd; only with its device it is one file.
    """
    mapped = changed = 0
    for line in _lines(maps):
        # address, permissions, offset, device, inode, path (proc_pid_maps(5))
        span, _, offset, device, number, *_ = line.split(None, 5)
        if (device, int(number)) != file:
            continue
        begin, end = (int(part, 16) for part in span.split("-"))
        expected = signed[int(offset, 16) :][: end - begin]
        found = ctypes.string_at(begin, len(expected))
        mapped += len(found)
        if hashlib.sha256(found).digest() != hashlib.sha256(expected).digest():
            changed += sum(ours != theirs for ours, theirs in zip(found, expected, strict=True))
    return mapped, changed


def _lines(descriptor: int) -> list[str]:
    os.lseek(descriptor, 0, os.SEEK_SET)
    data = b""
    while part := os.read(descriptor, 1 << 16):
        data += part
    return data.decode("utf-8", "replace").splitlines()
