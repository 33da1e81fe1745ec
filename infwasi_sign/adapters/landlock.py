"""Landlock by its three system calls: what a thread gives up of files, TCP and other processes.

Sources: landlock(7); linux/landlock.h and Documentation/userspace-api/landlock.rst of Linux 7.0.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from enum import IntFlag
from pathlib import Path
from typing import Final

from infwasi_sign.domain.confinement import Layer, LayerReport, Standing
from infwasi_sign.quick_dataclass import dataclass

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # alike on every architecture
_ASK_VERSION, _ASK_ERRATA = 1 << 0, 1 << 1  # flags of the first
_PATH_BENEATH: Final = 1  # enum landlock_rule_type
_THREAD_SYNC: Final = 1 << 3  # LANDLOCK_RESTRICT_SELF_TSYNC
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_SCOPE_ABSTRACT_UNIX, _SCOPE_SIGNAL = 1 << 0, 1 << 1
# Erratum 2: before it was mended, threads of one process could not signal each other (Linux 6.15),
# and the watcher is woken by a signal.
_ERRATUM_SIGNALS: Final = 1 << 1

_TCP_ABI, _SCOPES_ABI, _THREADS_ABI = 4, 6, 8


class Access(IntFlag):
    """What can be done with files; the number is that of the kernel (linux/landlock.h)."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


READ: Final = Access.READ_FILE | Access.READ_DIR
REPLACE: Final = READ | Access.WRITE_FILE | Access.TRUNCATE | Access.MAKE_REG | Access.REMOVE_FILE
"""Enough to write a file aside and rename it over the old one in the same folder."""

_OF_FILES: Final = Access.READ_FILE | Access.WRITE_FILE | Access.TRUNCATE  # a file has no others
_SINCE: Final[Mapping[Access, int]] = {
    # Before, a file cannot be moved to another folder at all, which is what we want.
    Access.REFER: 2,
    Access.TRUNCATE: 3,
    Access.IOCTL_DEV: 5,
}
_REASONS: Final = {
    errno.ENOSYS: "this kernel, or the container's filter, has no Landlock (Linux 5.13)",
    errno.EOPNOTSUPP: "Landlock is switched off on this machine (boot parameter lsm=)",
    errno.EPERM: "the container does not allow it",
    errno.E2BIG: "too many processes around this one have confined it already",
}
_libc: Final = ctypes.CDLL(None, use_errno=True)


class _RulesetAttr(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneathAttr(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


@dataclass(frozen=True, kw_only=True, slots=True)
class Abilities:
    """What Landlock of one ABI can deny, as the kernel numbers it, and what it lacks."""

    abi: int
    files: Access
    net: int
    scopes: int
    flags: int
    lacks: tuple[str, ...]

    @staticmethod
    def of(abi: int, errata: int) -> "Abilities":
        """Everything that this version knows and a kernel of ``abi`` has."""
        has_signals = abi >= _SCOPES_ABI and bool(errata & _ERRATUM_SIGNALS)
        lacking = (
            ("truncating files is not denied", abi >= _SINCE[Access.TRUNCATE]),
            ("TCP is not denied", abi >= _TCP_ABI),
            ("ioctls of devices are not denied", abi >= _SINCE[Access.IOCTL_DEV]),
            ("abstract Unix sockets are not denied", abi >= _SCOPES_ABI),
            ("signals are not denied", has_signals),
        )
        return Abilities(
            abi=abi,
            files=Access(sum(right for right in Access if abi >= _SINCE.get(right, 1))),
            net=_BIND_TCP | _CONNECT_TCP if abi >= _TCP_ABI else 0,
            scopes=(_SCOPE_ABSTRACT_UNIX if abi >= _SCOPES_ABI else 0)
            | (_SCOPE_SIGNAL if has_signals else 0),
            flags=_THREAD_SYNC if abi >= _THREADS_ABI else 0,
            lacks=tuple(what for what, is_there in lacking if not is_there),
        )


def restrict(allowed: Iterable[tuple[Path | int, Access]]) -> LayerReport:
    """Deny this thread, and those it starts, everything but ``allowed`` beneath these places.

    A place is a path, or a descriptor; what is not there needs no permission. Descriptors that are
    open already stay as they are. `no_new_privs` must be set. From ABI 8 on all threads are bound.
    """
    abi = _call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    if abi < 0:
        return _missing(ctypes.get_errno())
    errata = max(0, _call(_CREATE_RULESET, None, 0, _ASK_ERRATA))  # before Linux 6.15: EINVAL
    able = Abilities.of(abi, errata)
    attr = _RulesetAttr(able.files, able.net, able.scopes)
    # The kernel takes a longer structure than it knows if the rest is zero.
    ruleset = _call(_CREATE_RULESET, ctypes.byref(attr), ctypes.sizeof(attr), 0)
    if ruleset < 0:
        return _missing(ctypes.get_errno())
    with ExitStack() as opened:
        opened.callback(os.close, ruleset)
        for place, access in allowed:
            _allow(ruleset, place, access & able.files)
        older = 0 if able.flags else _other_threads()
        if _call(_RESTRICT_SELF, ruleset, able.flags) != 0:
            return _missing(ctypes.get_errno())
    threads = f"threads that were there before are not bound: {older}"
    return LayerReport(
        layer=Layer.LANDLOCK,
        standing=Standing.IN_FORCE,
        version=f"abi {abi}",
        lacks=(*able.lacks, *((threads,) if older else ())),
    )


def _allow(ruleset: int, place: Path | int, access: Access) -> None:
    with ExitStack() as opened:
        if isinstance(place, int):
            descriptor = place
        else:
            try:
                descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC)
            except (OSError, ValueError):
                return
            opened.callback(os.close, descriptor)
            if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
                access &= _OF_FILES
        rule = _PathBeneathAttr(access, descriptor)
        # What cannot be allowed (a file system without inodes of its own) stays denied.
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)


def _other_threads() -> int:
    try:
        return len(list(Path("/proc/self/task").iterdir())) - 1
    except OSError:
        return 0


def _missing(code: int) -> LayerReport:
    reason = _REASONS.get(code, os.strerror(code).lower())
    return LayerReport(layer=Layer.LANDLOCK, standing=Standing.MISSING, lacks=(reason,))


def _call(*arguments: object) -> int:
    return int(_libc.syscall(*arguments))
