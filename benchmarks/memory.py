"""Memory of `infwasi verify` above the interpreter's, and how often it reads a byte from disk.

Resident memory is all that the kernel counts (`ru_maxrss`): heap, libraries, and the pages of the
model that are mapped just then. The interpreter is `python -c pass`, a process of its own. A model
that somebody has open for writing is read instead of mapped, which is the other way to hash it.
"""

import os
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Final

from benchmarks.big_models import GIB, MIB, BigPackage, big_package
from benchmarks.scene import ENVIRONMENT, command
from benchmarks.timing import Figure
from benchmarks.usage import Usage, process_usage

_RUNS: Final = 3
_GOAL_MIB: Final = 64
_SIZES: Final = {"100 MB": 100_000_000, "4 GiB": 4 * GIB}


def measure(_: int) -> list[Figure]:
    figures = []
    for name, size in _SIZES.items():
        with big_package(size) as big:
            for how, hindrance in (("mapped", nullcontext), ("read", lambda: _writing(big))):
                with hindrance():
                    figures.append(_above_interpreter(f"memory, {name}, {how}", big))
    return [*figures, _read_once()]


def _verify(big: BigPackage) -> Usage:
    return process_usage([*command(), *big.arguments], ENVIRONMENT)


def _above_interpreter(what: str, big: BigPackage) -> Figure:
    bare = [_mib(process_usage([sys.executable, "-c", "pass"], ENVIRONMENT)) for _ in range(_RUNS)]
    ours = [_mib(_verify(big)) for _ in range(_RUNS)]
    above = [a - b for a, b in zip(ours, bare, strict=True)]
    return Figure(
        what=what,
        unit="MiB",
        ours=statistics.median(above),
        peer_name="above python -c pass",
        peer=statistics.median(bare),
        lowest=min(above),
        highest=max(above),
        goal=_GOAL_MIB,
    )


def _mib(usage: Usage) -> float:
    return usage.most_resident_bytes / MIB


@contextmanager
def _writing(big: BigPackage) -> Iterator[None]:
    descriptor = os.open(big.model, os.O_WRONLY)
    try:
        yield
    finally:
        os.close(descriptor)


def _read_once() -> Figure:
    """Bytes from disk over bytes of the model, which is not in the page cache."""
    with big_package(GIB, is_sparse=False) as big:
        size = big.model.stat().st_size
        with big.model.open("rb") as file:
            os.fsync(file.fileno())

            def cold() -> float:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                return _verify(big).read_from_disk_bytes / size

            times = [cold() for _ in range(_RUNS)]
    return Figure(
        what="read from disk, 1 GiB cold",
        unit="times",
        ours=statistics.median(times),
        lowest=min(times),
        highest=max(times),
        goal=1.02,
    )
