"""What a comparison costs: two models with a header of 10 MB and 10,000 tensors."""

import tempfile
from pathlib import Path

from benchmarks.scene import ENVIRONMENT, command
from benchmarks.timing import Figure, alone
from benchmarks.usage import process_usage
from infwasi_sign.domain.limits import MIB
from tests.test_difference import large_models

_MOST_MIB = 200


def measure(runs: int) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="infwasi-bench-") as name:
        old, new = large_models(Path(name))
        peaks: list[float] = []

        def comparing() -> float:
            used = process_usage([*command(), "diff", str(old), str(new)], ENVIRONMENT)
            peaks.append(used.most_resident_bytes / MIB)
            return used.seconds

        seconds = alone("diff, 10 MB header", comparing, runs=runs, goal=2.0)
        memory = Figure(
            what="diff, peak memory",
            unit="MiB",
            ours=max(peaks),
            lowest=min(peaks),
            highest=max(peaks),
            goal=_MOST_MIB,
        )
        return [seconds, memory]
