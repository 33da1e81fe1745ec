"""Our GGUF header reader against `gguf.GGUFReader`, and what one pass over a model costs."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from gguf import GGUFReader

from benchmarks.scene import MODEL
from benchmarks.timing import Figure, alone, in_turns
from infwasi_sign.adapters.measuring import FileSource, file_windows, measure_model
from infwasi_sign.adapters.measuring import measure as measure_windows
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.gguf import parse


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure(runs: int, model: Path = MODEL) -> list[Figure]:
    """`gguf` over ours, so that the ratio says how many times as fast ours is; then passes."""
    with model.open("rb") as file:
        fd = file.fileno()
        size = os.fstat(fd).st_size
        source = FileSource(fd, size)
        header = parse(source)
        figures = in_turns(
            "header by gguf.GGUFReader",
            lambda: _seconds(lambda: GGUFReader(model)),
            {"our header reader": lambda: _seconds(lambda: parse(source))},
            runs=runs,
            goal=20,
            more_is_better=True,
        )
        passes: dict[str, Callable[[], object]] = {
            "one pass, BLAKE3": lambda: measure_windows(
                file_windows(fd, size, held=True), frozenset({Algorithm.BLAKE3})
            ),
            "one pass, SHA-256": lambda: measure_windows(
                file_windows(fd, size, held=True), frozenset({Algorithm.SHA256})
            ),
            "one pass, all of pack": lambda: measure_model(
                file_windows(fd, size, held=True), header
            ),
        }
        for what, run in passes.items():
            figures.append(alone(what, lambda run=run: _seconds(run), runs=runs))  # type: ignore[misc] # mypy cannot infer lambdas with defaults
        return figures
