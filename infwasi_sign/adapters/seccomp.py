"""Filters of system calls, installed in every thread of the process at once.

What is denied fails with EPERM, as any program must expect; nothing is killed by it. A program is a
list of instructions of the classic BPF machine. Two filters may be put one upon the other, and then
both must agree. Sources: seccomp(2); linux/filter.h, linux/seccomp.h, linux/audit.h.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

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
    Numbers,
)
from infwasi_sign.domain.confinement import Layer, LayerReport, Standing
from infwasi_sign.quick_dataclass import dataclass

_Instruction: TypeAlias = tuple[int, int, int, int]  # struct sock_filter: code, jt, jf, k

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # with constants
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_DENY: Final = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
_PERMIT: Final = (_RETURN, 0, 0, _ALLOW)

_MODE_FILTER, _THREAD_SYNC = 1, 1  # SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC
_X32_BIT: Final = 0x40000000  # another table of calls behind the same architecture (x86_64)
_CLONE_THREAD: Final = 0x00010000
_TERMINAL_INPUT: Final = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: type for whoever has the terminal
_F_SETOWN, _F_SETSIG, _F_SETOWN_EX = 8, 10, 15  # whom a file signals, and by which signal
_PR_SET_DUMPABLE, _PR_SET_MM, _PR_SET_PTRACER = 4, 35, 0x59616D61

_libc: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """How the kernel calls it (AUDIT_ARCH), and which column of `system_calls` is its own."""

    name: str
    audit: int
    column: int
    has_x32: bool


ARCHITECTURES: Final[Mapping[str, Architecture]] = {
    "x86_64": Architecture(name="x86_64", audit=0xC000003E, column=0, has_x32=True),
    "aarch64": Architecture(name="aarch64", audit=0xC00000B7, column=1, has_x32=False),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))  # struct sock_fprog


def machine_name() -> str:
    """What the kernel calls this architecture (uname(2)); `platform` takes 1 ms to say the same."""
    return os.uname().machine


def program_before_measuring(machine: Architecture, process: int) -> bytes:
    """No other program, process, socket, mount or privilege; of threads, only new ones of ours."""
    column = machine.column
    return _program(
        machine,
        [
            *_denied(column, ALWAYS),
            # glibc falls back to clone(2), whose flags a filter can see
            *_for(column, CLONE3, [(_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]),
            *_for(column, CLONE, [_load(0), (_ANY_BIT, 0, 1, _CLONE_THREAD), _PERMIT, _DENY]),
            *_for(column, TGKILL, [_load(0), (_EQUAL, 0, 1, process), _PERMIT, _DENY]),
            *_for(column, IOCTL, _unless(1, _TERMINAL_INPUT)),
            *_for(column, FCNTL, _unless(1, (_F_SETOWN, _F_SETOWN_EX))),
            *_for(column, PRCTL, _unless(0, (_PR_SET_DUMPABLE, _PR_SET_MM, _PR_SET_PTRACER))),
        ],
    )


def program_before_loading(machine: Architecture) -> bytes:
    """No file is opened, made, moved or changed by name any more, and no limit raised."""
    is_null = [_load(2), (_EQUAL, 0, 3, 0), _load(2, high=True), (_EQUAL, 0, 1, 0), _PERMIT, _DENY]
    return _program(
        machine,
        [
            *_denied(machine.column, FILES),
            *_for(machine.column, PRLIMIT64, is_null),
            *_for(machine.column, FCNTL, _unless(1, (_F_SETSIG,))),  # leases are taken by now
        ],
    )


def restrict_before_measuring() -> LayerReport:
    """Put the first filter on all threads. `no_new_privs` must be set."""
    machine = ARCHITECTURES.get(machine_name())
    if machine is None:
        return _missing(f"there is no filter for {machine_name()}")
    return _install(machine, program_before_measuring(machine, os.getpid()))


def restrict_before_loading() -> LayerReport:
    """Put the second filter on all threads, upon the first."""
    machine = ARCHITECTURES.get(machine_name())
    if machine is None:
        return _missing(f"there is no filter for {machine_name()}")
    return _install(machine, program_before_loading(machine))


def _install(machine: Architecture, code: bytes) -> LayerReport:
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.addressof(buffer))
    number = SECCOMP[machine.column]
    answer = _libc.syscall(number, _MODE_FILTER, _THREAD_SYNC, ctypes.byref(program))
    if answer == 0:
        return LayerReport(
            layer=Layer.SECCOMP, standing=Standing.IN_FORCE, version=f"filter 1 {machine.name}"
        )
    if answer > 0:
        return _missing("a thread has a filter of its own")
    code_number = ctypes.get_errno()
    if code_number in {errno.ENOSYS, errno.EINVAL}:
        return _missing("this kernel, or the container's filter, has no seccomp filters")
    return _missing(os.strerror(code_number).lower())


def _missing(reason: str) -> LayerReport:
    return LayerReport(layer=Layer.SECCOMP, standing=Standing.MISSING, lacks=(reason,))


# --- programs --------------------------------------------------------------------------------


def _program(machine: Architecture, rules: Iterable[_Instruction]) -> bytes:
    x32 = [(_AT_LEAST, 0, 1, _X32_BIT), _DENY] if machine.has_x32 else []
    instructions = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, machine.audit),  # the calls of another one have other numbers
        _DENY,
        (_LOAD, 0, 0, _NUMBER),
        *x32,
        *rules,
        _PERMIT,
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


def _denied(column: int, calls: Mapping[str, Numbers]) -> Iterable[_Instruction]:
    for numbers in calls.values():
        yield from _for(column, numbers, [_DENY])


def _for(column: int, numbers: Numbers, then: list[_Instruction]) -> Iterable[_Instruction]:
    """``then``, which ends with an answer on every way, if it is this call."""
    number = numbers[column]
    return [] if number is None else [(_EQUAL, 0, len(then), number), *then]


def _unless(argument: int, denied: Iterable[int]) -> list[_Instruction]:
    tests = [step for value in denied for step in ((_EQUAL, 0, 1, value), _DENY)]
    return [_load(argument), *tests, _PERMIT]


def _load(argument: int, *, high: bool = False) -> _Instruction:
    """Half of an argument: they are 64 bits wide, low half first on both architectures."""
    return (_LOAD, 0, 0, 16 + 8 * argument + (4 if high else 0))
