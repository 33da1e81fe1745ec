"""What a process that holds secrets forbids about itself, seen from another process."""

import signal
import subprocess
import sys

import pytest

from tests.unprivileged import python_output, run_python, unprivileged_output

# Becoming another user makes a process undumpable; the test begins as a usual one does.
PRELOAD = ("os", "ctypes", "resource", "infwasi_sign.adapters.process")
TRY = """
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
{before}
child = os.fork()
if child == 0:
    try:
        os.open(f"/proc/{{os.getppid()}}/mem", os.O_RDONLY)
        os._exit(0)
    except OSError:
        os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
FORBID = "from infwasi_sign.adapters.process import forbid_dumps; forbid_dumps()"


def test_another_process_of_the_same_user_cannot_read_the_memory() -> None:
    # the control: without the call the same user may open it
    assert unprivileged_output(TRY.format(before=""), preload=PRELOAD) == "0"
    assert unprivileged_output(TRY.format(before=FORBID), preload=PRELOAD) == "7"


def test_no_core_file_is_written() -> None:
    snippet = f"{FORBID}\nimport resource; print(resource.getrlimit(resource.RLIMIT_CORE))"
    assert unprivileged_output(snippet, preload=PRELOAD) == "(0, 0)"


REPORT = """
from infwasi_sign.adapters.process import layers_in_force
print(*layers_in_force())
"""


@pytest.mark.parametrize(
    ("before", "layers"),
    [
        ("ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)", ""),
        (FORBID, "no-dumps"),
        # half of it is not it
        ("resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); ctypes.CDLL(None).prctl(4, 1)", ""),
        (f"{FORBID}; ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)", "no-dumps no-new-privs"),
    ],
)
def test_the_layers_in_force_are_those_that_the_kernel_knows(before: str, layers: str) -> None:
    assert unprivileged_output(f"{before}{REPORT}", preload=PRELOAD) == layers


LINGER = """
import sys, threading, time
threading.Thread(target=time.sleep, args=(300,)).start()  # as a compiler in native code would
sys.argv = ["infwasi", "--version"]
{way}
"""


def test_the_command_ends_although_a_thread_is_busy() -> None:
    ends = "from infwasi_sign.cli import main; main()"
    assert python_output(LINGER.format(way=ends)).startswith("infwasi ")
    # the control: the interpreter itself would wait for the thread
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(
            [sys.executable, "-c", LINGER.format(way="sys.exit(0)")], timeout=3, check=False
        )


ENDED = """
import os, signal
from infwasi_sign.adapters.process import clear_up_when_ended
signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
clear_up_when_ended()
os.kill(os.getpid(), signal.SIGHUP)
print("still here")
try:
    os.kill(os.getpid(), signal.SIGTERM)
except KeyboardInterrupt:
    os.kill(os.getpid(), signal.SIGTERM)
    print("cleared up")
"""


def test_who_is_ended_clears_up_and_who_ignores_a_signal_still_does() -> None:
    assert python_output(ENDED).splitlines() == ["still here", "cleared up"]
    # the control: without the call it is gone at once
    done = run_python(ENDED.replace("\nclear_up_when_ended()", ""))
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "still here\n")
