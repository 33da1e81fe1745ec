"""`infwasi --version` against `sigstore --version`."""

import sys
from pathlib import Path

from benchmarks.scene import ENVIRONMENT, command
from benchmarks.timing import Figure, in_turns, process_seconds


def measure(runs: int) -> list[Figure]:
    sigstore = [str(Path(sys.executable).parent / "sigstore"), "--version"]
    return in_turns(
        "infwasi --version",
        lambda: process_seconds([*command(), "--version"], ENVIRONMENT),
        {"sigstore --version": lambda: process_seconds(sigstore, ENVIRONMENT)},
        runs=runs,
        goal=0.5,
    )
