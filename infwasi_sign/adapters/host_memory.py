"""How much memory this process has of its own, how much there is, and a last line below that.

"Of its own" is resident memory that no file is behind: heap, stacks, the context of llama.cpp, the
memories of a guest. The mapped model is none of it (the page cache can drop it), nor is a sealed
copy of a model, which is the model's size and bounded by the machine.
"""

import contextlib
import os
import resource
from pathlib import Path
from typing import Final

from infwasi_sign.domain.limits import GIB
from infwasi_sign.errors import UndecidedError

_STATM: Final = "/proc/self/statm"  # proc_pid_statm(5): size resident shared text lib data dt
_CGROUP_MOST: Final = Path("/sys/fs/cgroup/memory.max")  # cgroup-v2.rst, of the root we see
_HOST_PERCENT: Final = 75  # of the machine's memory; the rest is for the page cache and others
_ROOM_BYTES: Final = 1 * GIB  # address space that is reserved and never touched: stacks, arenas


class MemoryMeter:
    """Reads by a descriptor from before the process was confined; it needs no new one."""

    def __init__(self) -> None:
        self._descriptor = -1
        with contextlib.suppress(OSError):
            self._descriptor = os.open(_STATM, os.O_RDONLY | os.O_CLOEXEC)
        self._page_bytes = os.sysconf("SC_PAGESIZE")

    def own_bytes(self) -> int:
        """Resident memory that no file is behind, in bytes.

        Raises:
            UndecidedError: the kernel does not say (no /proc, or closed).
        """
        _, resident, shared = self._numbers()[:3]
        return (resident - shared) * self._page_bytes

    def data_bytes(self) -> int:
        """Private writable address space, in bytes: what RLIMIT_DATA counts, and stacks."""
        return self._numbers()[5] * self._page_bytes

    def _numbers(self) -> list[int]:
        try:
            return [int(word) for word in os.pread(self._descriptor, 256, 0).split()]
        except OSError as e:
            raise UndecidedError(
                f"the memory of this process cannot be measured: {e.strerror}", where=_STATM
            ) from e

    def close(self) -> None:
        """Give the descriptor back; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def usable_memory_bytes() -> int:
    """What the host grants a run: three quarters of the machine's memory, or of our group's."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
    with contextlib.suppress(OSError, ValueError):  # no such file, or the word "max"
        total = min(total, int(_CGROUP_MOST.read_text(encoding="ascii")))
    return total * _HOST_PERCENT // 100


def bound_address_space(most_bytes: int, meter: MemoryMeter) -> None:
    """The last line, far above ``most_bytes``: the kernel gives no more, whoever asks.

    The watcher looks every 50 ms, and one call can ask for much more than fits in between (the
    cache of a long context). llama.cpp and the interpreter take the kernel's no well; wasmtime's
    compiler does not (it aborts), so what it asks for, little by little, must meet the watcher.
    ``meter`` is from before the process was confined, which can open none any more.
    """
    most = meter.data_bytes() + 2 * most_bytes + _ROOM_BYTES
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    with contextlib.suppress(OSError, ValueError):  # refused by another confinement: no worse
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
