"""What `infwasi verify` costs by the size of the model, and where each millisecond goes.

The models are sparse and in the page cache. Milliseconds by the clock stand first, and what the
processors worked in them, with all threads, as the peer.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.big_models import GIB, MIB, TENSORS, BigPackage, big_package
from benchmarks.scene import ENVIRONMENT, command
from benchmarks.span_names import EXIT, HASHED
from benchmarks.timing import Figure, in_turns, process_seconds
from benchmarks.usage import process_usage

SIZES: Final = {"0.1 GiB": GIB // 10, "1 GiB": GIB, "4 GiB": 4 * GIB, "16 GiB": 16 * GIB}
_MANY_TENSORS: Final = 20_000
_RUNS: Final = 3  # of 16 GiB, whose turn takes 4 s and more; less goes on for the small ones


def measure(runs: int) -> list[Figure]:
    figures: list[Figure] = []
    for name, size in SIZES.items():
        with big_package(size) as big:
            turns = runs if size < 4 * GIB else min(runs, _RUNS)
            if not figures:
                figures += _start(big, f"start, {name}", turns)
            figures += _size(big, name, turns)
    return [*figures, *_tensors(runs)]


def _size(big: BigPackage, name: str, runs: int) -> list[Figure]:
    verify = [*command(), *big.arguments]
    process_usage(verify, ENVIRONMENT)
    used = [process_usage(verify, ENVIRONMENT) for _ in range(runs)]
    whole = _figure(
        f"verify, {name}",
        [one.seconds * 1e3 for one in used],
        [one.processor_seconds * 1e3 for one in used],
    )
    resident = [one.most_resident_bytes / MIB for one in used]
    memory = Figure(
        what=f"resident, {name}",
        unit="MiB",
        ours=statistics.median(resident),
        lowest=min(resident),
        highest=max(resident),
    )
    run_in_spans(big.arguments)
    found = [run_in_spans(big.arguments) for _ in range(runs)]
    parts = [
        _figure(
            f"verify, {name}: {part}",
            [pick(one["wall"]) for one in found],
            [pick(one["cpu"]) for one in found],
        )
        for part, pick in (("hashing", _hashing), ("all else", _all_else))
    ]
    return [whole, memory, *parts]


def _hashing(spans: Mapping[str, float]) -> float:
    return spans[HASHED]


def _all_else(spans: Mapping[str, float]) -> float:
    return sum(spans.values()) - spans[HASHED]


def _start(big: BigPackage, what: str, runs: int) -> list[Figure]:
    """Each span but the hash."""
    return span_figures(what, big.arguments, runs, without=HASHED)


def span_figures(
    what: str, arguments: Sequence[str], runs: int, *, without: str = ""
) -> list[Figure]:
    """A figure for each span of a command, after a turn that does not count."""
    run_in_spans(arguments)
    found = [run_in_spans(arguments) for _ in range(runs)]
    return [
        _figure(
            f"{what}: {span}",
            [one["wall"].get(span, 0.0) for one in found],
            [one["cpu"].get(span, 0.0) for one in found],
        )
        for span in found[0]["wall"]
        if span != without
    ]


def run_in_spans(arguments: Sequence[str]) -> Mapping[str, Mapping[str, float]]:
    """Milliseconds by span, of the clock and of the processors; see `benchmarks.spans`."""
    with tempfile.NamedTemporaryFile(prefix="infwasi-bench-") as file:
        start = time.monotonic_ns()
        environment = {**ENVIRONMENT, "INFWASI_SPANS": f"{start} {file.name}"}
        run = [sys.executable, "-m", "benchmarks.spans", *arguments]
        subprocess.run(run, env=environment, check=True, stdout=subprocess.DEVNULL)
        ended = time.monotonic_ns()
        found: dict[str, Any] = json.loads(Path(file.name).read_bytes())
    wall = {**found["wall"], EXIT: ended - found["ended"]}
    return {
        "wall": {span: value / 1e6 for span, value in wall.items()},
        "cpu": {span: value / 1e6 for span, value in found["cpu"].items()},
    }


def _figure(what: str, wall: Sequence[float], processor: Sequence[float]) -> Figure:
    busy = statistics.median(processor)
    return Figure(
        what=what,
        unit="ms",
        ours=statistics.median(wall),
        peer_name="processor time" if busy else "",
        peer=busy or None,
        lowest=min(wall),
        highest=max(wall),
    )


def _tensors(runs: int) -> list[Figure]:
    """The same bytes in many tensors; what they cost is their line in the header and the BOM."""
    with big_package(GIB) as few, big_package(GIB, tensors=_MANY_TENSORS) as many:
        return in_turns(
            f"verify, 1 GiB, {_MANY_TENSORS} tensors",
            lambda: process_seconds([*command(), *many.arguments], ENVIRONMENT),
            {
                f"{TENSORS} tensors": lambda: process_seconds(
                    [*command(), *few.arguments], ENVIRONMENT
                )
            },
            runs=runs,
            goal=1.6,
        )
