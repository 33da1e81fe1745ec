"""The filters, instruction by instruction on a small machine of our own, and in the kernel."""

import errno
import json
import re
import struct
from pathlib import Path

import pytest

from infwasi_sign.adapters.seccomp import (
    ARCHITECTURES,
    Architecture,
    program_before_loading,
    program_before_measuring,
)
from infwasi_sign.adapters.system_calls import (
    ALWAYS,
    CLONE,
    CLONE3,
    FCNTL,
    FILES,
    IOCTL,
    PRCTL,
    PRLIMIT64,
    SECCOMP,
    TGKILL,
)
from tests.unprivileged import python_output, unprivileged_output

ALLOWED = "allowed"
US = 4711
X86_64, AARCH64 = ARCHITECTURES["x86_64"], ARCHITECTURES["aarch64"]
BOTH = pytest.mark.parametrize("machine", [X86_64, AARCH64], ids=lambda one: one.name)


def run(program: bytes, number: int, *arguments: int, audit: int) -> str:
    """What the filter answers to one call: a small part of the classic BPF machine."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<IIQ6Q", number, audit, 0, *padded)  # struct seccomp_data
    code = list(struct.iter_unpack("=HBBI", program))
    at, held = 0, 0
    while True:
        operation, if_true, if_false, constant = code[at]
        at += 1
        match operation:
            case 0x20:
                (held,) = struct.unpack_from("<I", data, constant)
            case 0x15:
                at += if_true if held == constant else if_false
            case 0x35:
                at += if_true if held >= constant else if_false
            case 0x45:
                at += if_true if held & constant else if_false
            case 0x06 if constant == 0x7FFF0000:
                return ALLOWED
            case 0x06:
                assert constant & 0xFFFF0000 == 0x00050000
                return errno.errorcode[constant & 0xFFFF]
            case _:
                raise AssertionError(f"unknown instruction {operation:#x}")


def before_measuring(machine: Architecture, number: int | None, *arguments: int) -> str:
    assert number is not None
    program = program_before_measuring(machine, US)
    return run(program, number, *arguments, audit=machine.audit)


def before_loading(machine: Architecture, number: int | None, *arguments: int) -> str:
    assert number is not None
    return run(program_before_loading(machine), number, *arguments, audit=machine.audit)


@BOTH
def test_every_call_of_the_tables_is_denied_in_its_stage_and_no_other(
    machine: Architecture,
) -> None:
    denied = [{numbers[machine.column] for numbers in table.values()} for table in (ALWAYS, FILES)]
    judged = {
        numbers[machine.column] for numbers in (CLONE, CLONE3, IOCTL, PRCTL, PRLIMIT64, TGKILL)
    }
    for number in range(600):
        if number not in judged:
            expected = "EPERM" if number in denied[0] else ALLOWED
            assert (number, before_measuring(machine, number)) == (number, expected)
            expected = "EPERM" if number in denied[1] else ALLOWED
            assert (number, before_loading(machine, number)) == (number, expected)


@BOTH
def test_a_thread_may_be_made_and_a_process_not(machine: Architecture) -> None:
    clone = CLONE[machine.column]
    thread, vfork = 0x003D0F00, 0x00004111  # pthread_create's flags; CLONE_VFORK | CLONE_VM
    assert before_measuring(machine, clone, thread) == ALLOWED
    assert before_measuring(machine, clone, vfork) == "EPERM"
    assert before_measuring(machine, clone, 17) == "EPERM"  # SIGCHLD: fork
    # its flags are in memory, where a filter cannot look; glibc takes the other call then
    assert before_measuring(machine, CLONE3[machine.column]) == "ENOSYS"


@BOTH
def test_threads_of_ours_may_be_signalled_and_nobody_else(machine: Architecture) -> None:
    tgkill = TGKILL[machine.column]
    assert before_measuring(machine, tgkill, US, 1, 2) == ALLOWED
    assert before_measuring(machine, tgkill, US + 1, 1, 2) == "EPERM"


@BOTH
def test_nothing_is_typed_into_the_terminal(machine: Architecture) -> None:
    ioctl = IOCTL[machine.column]
    assert before_measuring(machine, ioctl, 0, 0x5412) == "EPERM"
    assert before_measuring(machine, ioctl, 0, 0x1_0000_5412) == "EPERM"  # the kernel looks at 32
    assert before_measuring(machine, ioctl, 0, 0x541C) == "EPERM"
    assert before_measuring(machine, ioctl, 0, 0x5401) == ALLOWED  # TCGETS: is it a terminal?


@BOTH
def test_memory_stays_shut(machine: Architecture) -> None:
    prctl = PRCTL[machine.column]
    assert before_measuring(machine, prctl, 4, 1) == "EPERM"  # PR_SET_DUMPABLE
    assert before_measuring(machine, prctl, 0x59616D61, 1) == "EPERM"  # PR_SET_PTRACER
    assert before_measuring(machine, prctl, 3) == ALLOWED  # PR_GET_DUMPABLE
    assert before_measuring(machine, prctl, 15) == ALLOWED  # PR_SET_NAME


@BOTH
def test_limits_may_be_asked_for_and_not_set(machine: Architecture) -> None:
    prlimit = PRLIMIT64[machine.column]
    assert before_loading(machine, prlimit, 0, 7, 0, 0x7FFF_0000_0000) == ALLOWED
    assert before_loading(machine, prlimit, 0, 7, 0x7FFF_0000_0000, 0) == "EPERM"
    assert before_loading(machine, prlimit, 0, 7, 0x1000, 0) == "EPERM"


@BOTH
def test_calls_by_another_table_are_denied(machine: Architecture) -> None:
    i386 = 0x40000003
    for program in (program_before_measuring(machine, US), program_before_loading(machine)):
        assert run(program, 3, audit=i386) == "EPERM"
    if machine.has_x32:
        assert before_measuring(machine, 0x4000_0000 | 39) == "EPERM"


@pytest.mark.parametrize(
    ("column", "header"),
    [
        (0, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        (1, "/usr/include/asm-generic/unistd.h"),
    ],
)
def test_the_numbers_are_those_of_the_kernels_headers(column: int, header: str) -> None:
    path = Path(header)
    if not path.exists():
        pytest.skip("the kernel's headers are not installed")
    lines = re.findall(r"^#define __NR(?:3264)?_(\w+) (\d+)$", path.read_text(), re.MULTILINE)
    known = {name: int(number) for name, number in lines}
    ours = {
        **ALWAYS,
        **FILES,
        "clone": CLONE,
        "clone3": CLONE3,
        "ioctl": IOCTL,
        "prctl": PRCTL,
        "prlimit64": PRLIMIT64,
        "seccomp": SECCOMP,
        "tgkill": TGKILL,
    }
    numbers = [n[column] for n in ours.values() if n[column] is not None]
    assert len(numbers) == len(set(numbers))
    compared = {name for name in ours if name in known}
    assert len(compared) > 100
    for name in compared:
        # some calls are in the generic header for other architectures alone
        assert ours[name][column] in {known[name], None}, name


TRY = """
import ctypes, json, os, sys, tempfile
from infwasi_sign.adapters import seccomp
from tests.confined import Scene, Waiting
scene, old = Scene(tempfile.mkdtemp()), Waiting()
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
{layer}
print(json.dumps([scene.tried({names}), old.do(lambda: scene.tried({names}))]))
"""
PRELOAD = ("json", "subprocess", "tempfile", "infwasi_sign.adapters.seccomp", "tests.confined")
FIRST = "assert str(seccomp.restrict_before_measuring()).startswith('seccomp filter 1 ')"
SECOND = "assert str(seccomp.restrict_before_loading()).startswith('seccomp filter 1 ')"
OF_THE_FIRST = (
    *("tcp", "udp", "unix", "socket pair", "connect", "datagram"),
    *("fork", "spawn", "exec", "signal", "trace"),
)
OF_THE_SECOND = ("open", "make", "rename", "remove", "memfd", "raise the limit")


@pytest.mark.parametrize(
    ("layer", "names"), [(FIRST, OF_THE_FIRST), (SECOND, OF_THE_SECOND)], ids=["first", "second"]
)
def test_the_kernel_denies_it_in_every_thread(layer: str, names: tuple[str, ...]) -> None:
    for output in (python_output, unprivileged_output):
        keywords = {} if output is python_output else {"preload": PRELOAD}
        # the control: without the filter all of it works
        without = json.loads(output(TRY.format(layer="", names=names), **keywords))
        assert without == [dict.fromkeys(names, "works")] * 2
        within = json.loads(output(TRY.format(layer=layer, names=names), **keywords))
        assert within == [dict.fromkeys(names, "EPERM")] * 2


def test_no_call_of_the_tables_gets_into_the_kernel() -> None:
    snippet = """
import ctypes, errno, os, platform
from infwasi_sign.adapters import seccomp, system_calls
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
machine = seccomp.ARCHITECTURES[seccomp.machine_name()]
seccomp.restrict_before_measuring(), seccomp.restrict_before_loading()
for table in (system_calls.ALWAYS, system_calls.FILES):
    for name, numbers in table.items():
        if numbers[machine.column] is not None:
            answer = libc.syscall(numbers[machine.column], *[ctypes.c_long(-1)] * 6)
            assert (answer, ctypes.get_errno()) == (-1, errno.EPERM), name
print("all")
"""
    assert python_output(snippet) == "all"


def test_on_another_architecture_the_layer_is_missing_and_says_so() -> None:
    snippet = """
from infwasi_sign.adapters import seccomp
seccomp.machine_name = lambda: "riscv64"
print(seccomp.restrict_before_measuring().to_json())
"""
    assert python_output(snippet) == str(
        {
            "layer": "seccomp",
            "standing": "missing",
            "lacks": ["there is no filter for riscv64"],
        }
    )


@BOTH
def test_no_file_is_made_to_signal_others(machine: Architecture) -> None:
    number = FCNTL[machine.column]
    assert number is not None
    first, second = program_before_measuring(machine, US), program_before_loading(machine)

    def answers(command: int) -> tuple[str, str]:
        return (
            run(first, number, 3, command, audit=machine.audit),
            run(second, number, 3, command, audit=machine.audit),
        )

    set_owner, set_signal, set_owner_more, lease, status = 8, 10, 15, 1024, 4
    assert answers(set_owner)[0] == answers(set_owner_more)[0] == "EPERM"
    assert answers(set_signal) == (ALLOWED, "EPERM")  # `verify` takes a lease while it hashes
    assert answers(lease) == answers(status) == (ALLOWED, ALLOWED)


@BOTH
@pytest.mark.parametrize("call", ["chmod", "fchmodat", "chown", "utimensat", "fsetxattr"])
def test_what_landlock_does_not_cover_is_denied_from_the_first_stage(
    machine: Architecture, call: str
) -> None:
    number = ALWAYS[call][machine.column]
    if number is None:  # aarch64 never had the oldest ones
        return
    assert run(program_before_measuring(machine, US), number, audit=machine.audit) == "EPERM"
