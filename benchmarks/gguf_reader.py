"""How many times as fast as `gguf.GGUFReader` the header reader is, and what one pass costs.

Ratios of medians of one run: `python benchmarks/gguf_reader.py MODEL.gguf`.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from gguf import GGUFReader

from infwasi_sign.adapters.measuring import FileSource, file_windows, measure, measure_model
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.gguf import parse

DEFAULT_MODEL = Path(__file__).resolve().parent.parent / "models/SmolLM2-135M-Instruct.Q4_1.gguf"


def median_seconds(run: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def figures(model: Path, rounds: int = 5) -> dict[str, float]:
    """Seconds, and the ratio under `gguf_reader_speedup`."""
    with model.open("rb") as file:
        fd = file.fileno()
        size = os.fstat(fd).st_size
        reference = median_seconds(lambda: GGUFReader(model), rounds)
        ours = median_seconds(lambda: parse(FileSource(fd, size)), 4 * rounds)
        header = parse(FileSource(fd, size))
        found = {
            "gguf_reader_speedup": reference / ours,
            "gguf_reader_seconds": ours,
            "gguf_reference_seconds": reference,
        }
        for held in (True, False):
            how = "mapped" if held else "read"
            for name, algorithms in (
                ("blake3", frozenset({Algorithm.BLAKE3})),
                ("sha256", frozenset({Algorithm.SHA256})),
                ("both", frozenset(Algorithm)),
            ):
                found[f"measure_{name}_{how}_seconds"] = median_seconds(
                    lambda held=held, algorithms=algorithms: measure(  # type: ignore[misc] # mypy cannot infer lambdas with defaults
                        file_windows(fd, size, held=held), algorithms
                    ),
                    rounds,
                )
            found[f"measure_model_{how}_seconds"] = median_seconds(
                lambda held=held: measure_model(file_windows(fd, size, held=held), header),  # type: ignore[misc] # as above
                rounds,
            )
        return found


def main() -> dict[str, float]:
    found = figures(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_MODEL)
    for name, value in found.items():
        print(f"{name:32s} {value:10.4f}")
    return found


if __name__ == "__main__":
    main()
