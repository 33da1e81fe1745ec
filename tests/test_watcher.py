"""Stopping a run from outside. What touches signal masks or ends processes happens in children."""

import contextlib
import ctypes
import mmap
import os
import signal
import threading
import time
from collections.abc import Container, Iterator
from pathlib import Path

import pytest

from infwasi_sign.adapters.host_memory import MemoryMeter, usable_memory_bytes
from infwasi_sign.adapters.watcher import Watcher
from infwasi_sign.domain.limits import MIB
from infwasi_sign.errors import InfwasiError, RefusalKind, RefusedError, UndecidedError
from infwasi_sign.ports import StopFlag, StopReason
from tests.unprivileged import TIMEOUT_SECONDS, python_output, run_python, start_python

LAST_WORDS = {reason: f"ended by {reason}" for reason in StopReason}

# A watcher of everything, and a native call of some hours that lets go of the GIL.
START = """
import ctypes, hashlib, os, signal, subprocess, sys, threading, time
from infwasi_sign.adapters.guarded_file import LocalFile
from infwasi_sign.adapters.holding import LEASE_SIGNAL
from infwasi_sign.adapters.watcher import Watcher
from infwasi_sign.ports import StopReason
watcher = Watcher(last_words={r: f"ended by {r}" for r in StopReason}, grace_seconds=0.1)
before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
watcher.block_signals()
strlen = ctypes.CDLL(None).strlen
strlen.argtypes = [ctypes.c_void_p]
def run_for_hours():
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
def open_model():
    folder, name = os.path.split(sys.argv[1])
    return LocalFile.open(name, directory=os.open(folder, os.O_RDONLY), most_bytes=100)
WRITE = "import os, sys; os.open(sys.argv[1], os.O_WRONLY | os.O_NONBLOCK)"
def start_writer():
    return subprocess.Popen(
        [sys.executable, "-c", WRITE, sys.argv[1]], stderr=subprocess.DEVNULL)
"""
START_PATIENT = START.replace("grace_seconds=0.1", "grace_seconds=3600")
RUN_FOR_HOURS = "with watcher:\n    print('running', flush=True)\n    run_for_hours()"


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    """One that leaves the signals of this process alone and would take its time to end it."""
    with Watcher(last_words=LAST_WORDS, grace_seconds=3600) as started:
        yield started


@pytest.fixture
def model() -> Iterator[Path]:
    """A file on tmpfs, where a lease means something."""
    path = Path(f"/dev/shm/infwasi-watcher-{os.getpid()}")
    path.write_bytes(b"model")
    yield path
    path.unlink()


def text_at(address: int) -> bytes:
    return ctypes.string_at(address)


def wait_for(flag: StopFlag) -> StopReason:
    """The reason, once there is one."""
    until = time.monotonic() + TIMEOUT_SECONDS
    while (reason := flag.reason()) is None:
        assert time.monotonic() < until
    return reason


# --- the flag --------------------------------------------------------------------------------


def test_flag_is_empty_until_stopped(watcher: Watcher) -> None:
    assert (watcher.reason(), text_at(watcher.address())) == (None, b"")
    watcher.raise_if_stopped()
    watcher.stop(StopReason.DEADLINE)
    assert (watcher.reason(), text_at(watcher.address())) == (StopReason.DEADLINE, b"!")


def test_first_reason_stays(watcher: Watcher) -> None:
    watcher.stop(StopReason.LEASE)
    watcher.stop(StopReason.INTERRUPT)
    assert watcher.reason() is StopReason.LEASE


def test_deadline_sets_the_flag(watcher: Watcher) -> None:
    watcher.arm(0.01)
    assert wait_for(watcher) is StopReason.DEADLINE
    assert text_at(watcher.address()) == b"!"


@pytest.mark.parametrize("deadlines", [(3600, 0), (0, 3600)])
def test_the_soonest_deadline_counts(deadlines: tuple[float, float], watcher: Watcher) -> None:
    for seconds in deadlines:
        watcher.arm(seconds, f"what gave {seconds}")
    assert wait_for(watcher) is StopReason.DEADLINE
    with pytest.raises(RefusedError, match=r"expected at most what gave 0\)$"):
        watcher.raise_if_stopped()


def test_memory_over_its_bound_sets_the_flag(watcher: Watcher) -> None:
    watcher.bound_memory(1, "what was granted")
    assert wait_for(watcher) is StopReason.MEMORY
    assert text_at(watcher.address()) == b"!"
    with pytest.raises(
        RefusedError, match=r"more memory .* \(expected at most what was granted\)$"
    ):
        watcher.raise_if_stopped()


def test_mapped_files_are_no_memory_of_our_own(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(bytes(64 * MIB))
    meter = MemoryMeter()
    before = meter.own_bytes()
    with (tmp_path / "model").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        assert not any(mapped[at] for at in range(0, len(mapped), 4096))
        assert abs(meter.own_bytes() - before) < 32 * MIB
        kept = bytes([1]) * (64 * MIB)
        assert meter.own_bytes() - before > 32 * MIB
        del kept
        mapped.close()
    meter.close()


def test_memory_that_cannot_be_measured_gives_no_verdict(watcher: Watcher) -> None:
    watcher.close()
    with pytest.raises(UndecidedError) as caught:
        watcher.bound_memory(2**40)
    assert str(caught.value) == (
        "the memory of this process cannot be measured: Bad file descriptor in /proc/self/statm"
    )


@pytest.mark.parametrize(
    ("reason", "kind", "sentence"),
    [
        (
            StopReason.DEADLINE,
            RefusalKind.LIMIT,
            "the run took longer than it may (expected at most the time it was given)",
        ),
        (
            StopReason.MEMORY,
            RefusalKind.LIMIT,
            "the run took more memory than it may (expected at most what it was given)",
        ),
        (StopReason.LEASE, RefusalKind.LEVEL, "the model was opened for writing while in use"),
    ],
)
def test_refuses_to_go_on_after(
    reason: StopReason, kind: RefusalKind, sentence: str, watcher: Watcher
) -> None:
    watcher.stop(reason)
    with pytest.raises(RefusedError) as refusal:
        watcher.raise_if_stopped()
    assert (refusal.value.kind, str(refusal.value)) == (kind, sentence)


def test_interrupt_is_raised_as_python_would(watcher: Watcher) -> None:
    watcher.stop(StopReason.INTERRUPT)
    with pytest.raises(KeyboardInterrupt) as raised:
        watcher.raise_if_stopped()
    assert not isinstance(raised.value, InfwasiError)


# --- when nothing happens --------------------------------------------------------------------


def test_sleeps_while_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float] = []
    original = signal.sigtimedwait

    def counted(awaited: Container[int], seconds: float, /) -> signal.struct_siginfo | None:
        calls.append(seconds)
        return original(awaited, seconds)  # type: ignore[arg-type]  # an Iterable there

    monkeypatch.setattr(signal, "sigtimedwait", counted)
    with Watcher(last_words=LAST_WORDS) as watcher:
        watcher.arm(3600)
        time.sleep(0.05)
    assert len(calls) <= 1
    assert watcher.reason() is None


def test_close_ends_the_thread_and_may_be_repeated() -> None:
    before = threading.active_count()
    watcher = Watcher(last_words=LAST_WORDS)
    watcher.close()
    with Watcher(last_words=LAST_WORDS) as watcher:
        assert threading.active_count() == before + 1
        watcher.close()
        assert threading.active_count() == before
        watcher.stop(StopReason.DEADLINE)
        watcher.arm(0)


def test_leaves_signals_alone_unless_asked() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with Watcher(last_words=LAST_WORDS):
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_puts_the_signal_mask_back() -> None:
    output = python_output(
        START + "with watcher:\n    inside = signal.pthread_sigmask(signal.SIG_BLOCK, ())\n"
        "after = signal.pthread_sigmask(signal.SIG_BLOCK, ())\n"
        "print(after == before, sorted(map(int, inside - before)))"
    )
    numbers = sorted((signal.SIGINT, signal.SIGTERM, signal.SIGIO, signal.SIGRTMIN + 3))
    assert output == f"True {list(map(int, numbers))}"


def test_blocking_signals_in_another_thread_is_a_programming_error() -> None:
    output = python_output(
        START + "def block():\n    try:\n        watcher.block_signals()\n"
        "    except RuntimeError as e:\n        print(e)\n"
        "thread = threading.Thread(target=block)\nthread.start()\nthread.join()\nwatcher.close()"
    )
    assert output == "block_signals() outside the main thread"


def test_blocking_signals_after_the_start_is_a_programming_error(watcher: Watcher) -> None:
    with pytest.raises(RuntimeError, match="after the watch began"):
        watcher.block_signals()


# --- ending the process ----------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_interrupt_ends_a_native_call_with_130(number: signal.Signals) -> None:
    with start_python(START + RUN_FOR_HOURS) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "running\n"
        child.send_signal(number)
        _, errors = child.communicate(timeout=TIMEOUT_SECONDS)
    assert (child.returncode, errors) == (130, "ended by interrupt\n")


def test_deadline_ends_a_native_call_with_1() -> None:
    result = run_python(START + "watcher.arm(0.01, 'what was granted')\n" + RUN_FOR_HOURS)
    assert (result.returncode, result.stderr) == (
        1,
        "ended by deadline (expected at most what was granted)\n",
    )


def test_broken_lease_ends_a_native_call_with_1(model: Path) -> None:
    result = run_python(
        START
        + "with watcher:\n    file = open_model()\n    print(file.guard().label, flush=True)\n"
        "    start_writer()\n    run_for_hours()",
        model,
    )
    assert (result.returncode, result.stdout, result.stderr) == (
        1,
        "read-lease\n",
        "ended by lease\n",
    )
    assert model.read_bytes() == b"model"


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        ("os.kill(os.getpid(), signal.SIGINT)", "interrupt"),
        ("file = open_model(); file.guard(); start_writer()", "lease"),
    ],
)
def test_native_code_sees_the_flag_and_the_process_lives(
    stop: str, expected: str, model: Path
) -> None:
    output = python_output(
        START_PATIENT + f"with watcher:\n    {stop}\n"
        "    while not strlen(watcher.address()):\n        pass\n"
        "print(watcher.reason())",
        model,
    )
    assert output == expected


def test_last_words_come_out_of_a_process_that_may_open_nothing() -> None:
    result = run_python(
        START + "import resource\nwith watcher:\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))\n"
        "    watcher.arm(0)\n    run_for_hours()"
    )
    assert (result.returncode, result.stderr) == (
        1,
        "ended by deadline (expected at most 0 seconds)\n",
    )


def test_full_error_pipe_does_not_hold_the_end() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writing, b"x" * 4096):
            pass
    os.set_blocking(writing, True)
    try:
        with start_python(START + "watcher.arm(0)\n" + RUN_FOR_HOURS, stderr=writing) as child:
            child.communicate(timeout=TIMEOUT_SECONDS)
    finally:
        os.close(reading)
        os.close(writing)
    assert child.returncode == 1


def test_ctrl_c_in_python_code_is_found_by_asking() -> None:
    output = python_output(
        START_PATIENT + "try:\n    with watcher:\n        os.kill(os.getpid(), signal.SIGINT)\n"
        "        while True:\n            watcher.raise_if_stopped()\n"
        "except KeyboardInterrupt:\n    print('stopped')"
    )
    assert output == "stopped"


def test_lease_that_breaks_after_close_ends_nothing(model: Path) -> None:
    result = run_python(
        START + "with watcher:\n    file = open_model()\n    file.guard()\n"
        "start_writer().wait()\n"
        "print(watcher.reason(), file.still_held())",
        model,
    )
    assert (result.returncode, result.stdout) == (0, "None False\n")


def test_thread_that_was_missed_ends_the_process_by_the_lease(model: Path) -> None:
    """Not a way to stop, but better than a broken lease that nobody hears of."""
    early = (
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()\n"
    )
    result = run_python(
        early + START + "with watcher:\n    file = open_model()\n    file.guard()\n"
        "    start_writer()\n    run_for_hours()",
        model,
    )
    assert result.returncode in {-(signal.SIGRTMIN + 3), 1}


def test_pending_lease_signals_do_not_reach_the_next_watch() -> None:
    output = python_output(
        START + "for number in (LEASE_SIGNAL, signal.SIGIO):\n"
        "    os.kill(os.getpid(), number)\n"
        "watcher.close()\n"
        "print(signal.sigpending(), signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before)"
    )
    assert output == "set() True"


def test_unwatched_interrupt_still_ends_python() -> None:
    """The backstop: after `close` Ctrl-C is Python's again."""
    with start_python(
        START + "with watcher:\n    pass\nprint('closed', flush=True)\nsys.stdin.read()"
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "closed\n"
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=TIMEOUT_SECONDS)
    assert errors.endswith("KeyboardInterrupt\n")


# --- where the main thread does not listen ----------------------------------------------------

# Blocks that assign 3,000 locals: Cranelift takes seconds for it, and would take them undisturbed.
COMPILE = """
from tests.test_component_code import module, many_locals
import wasmtime
bomb = module(many_locals(3000, 12000))
def work():
    wasmtime.Module(wasmtime.Engine(), bomb)
"""
LOOP = """
def work():
    while True:
        pass
"""
CONVERT = """
def work():
    while True:
        [bytes(1) for _ in range(10**6)]
"""
HASH = "work = run_for_hours"
BUSY = {"compiling": COMPILE, "looping": LOOP, "converting": CONVERT, "hashing": HASH}


@pytest.mark.parametrize("doing", BUSY)
def test_deadline_ends_the_process_whatever_the_main_thread_does(doing: str) -> None:
    result = run_python(
        START + BUSY[doing] + "\nwith watcher:\n    watcher.arm(0.05, 'a moment')\n    work()\n"
        "    print('was not stopped')\n"
    )
    assert (result.returncode, result.stdout, result.stderr) == (
        1,
        "",
        "ended by deadline (expected at most a moment)\n",
    )


HOARD = """
from infwasi_sign.adapters.host_memory import MemoryMeter, usable_memory_bytes
kept = []
def hoard():
    for _ in range(4096):
        kept.append(bytes([1]) * 2**20)
    print('was not stopped')
"""


def test_memory_over_its_bound_ends_the_process() -> None:
    result = run_python(
        START + HOARD + "with watcher:\n"
        "    watcher.bound_memory(MemoryMeter().own_bytes() + 2**26, 'host-memory-bytes 9')\n"
        "    hoard()"
    )
    assert (result.returncode, result.stdout, result.stderr) == (
        1,
        "",
        "ended by memory (expected at most host-memory-bytes 9)\n",
    )


def test_memory_is_measured_in_a_process_that_may_open_nothing() -> None:
    output = python_output(
        START_PATIENT + "import resource\nwith watcher:\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))\n"
        "    watcher.bound_memory(1)\n    while watcher.reason() is None:\n        pass\n"
        "print(watcher.reason())"
    )
    assert output == "memory"


def test_address_space_is_bounded_far_above_the_memory() -> None:
    """What one call asks for is refused at once; the watcher has not even looked."""
    output = python_output(
        "from infwasi_sign.adapters.host_memory import MemoryMeter, bound_address_space\n"
        "bound_address_space(2**26, MemoryMeter())\n"
        "kept = bytearray(2**28)\n"
        "try:\n    bytearray(2**32)\nexcept MemoryError:\n    print('refused')"
    )
    assert output == "refused"


def test_what_the_host_grants_is_less_than_the_machine_has() -> None:
    pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGESIZE")
    assert 0 < usable_memory_bytes() < pages * page_bytes


def test_a_deadline_in_thousands_of_years_is_one_and_the_watch_goes_on() -> None:
    with Watcher(last_words=dict.fromkeys(StopReason, "")) as watcher:
        watcher.arm(99_999_999_999)
        watcher.arm(99_999_999_999.0)
        assert watcher._thread.is_alive()
        watcher.arm(0.01)
        deadline = time.monotonic() + 60
        while watcher.reason() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert watcher.reason() is StopReason.DEADLINE
