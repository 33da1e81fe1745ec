"""What a comparison costs: two models with a header of 10 MB and 10,000 tensors."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.scene import ENVIRONMENT, command
from benchmarks.timing import Figure, alone
from tests.test_difference import large_models

_MOST_MIB = 200


def measure(runs: int) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="infwasi-bench-") as name:
        old, new = large_models(Path(name))
        peaks: list[int] = []

        def comparing() -> float:
            start = time.perf_counter()
            with subprocess.Popen(
                [*command(), "diff", old, new],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=ENVIRONMENT,
            ) as process:
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
            assert process.returncode == 0
            peaks.append(usage.ru_maxrss)
            return time.perf_counter() - start

        seconds = alone("diff, 10 MB header", comparing, runs=runs, goal=2.0)
        peak = max(peaks) / 1024  # getrusage(2): KiB
        memory = Figure(
            what="diff, peak memory",
            unit="MiB",
            ours=peak,
            lowest=min(peaks) / 1024,
            highest=peak,
            goal=_MOST_MIB,
        )
        return [seconds, memory]
