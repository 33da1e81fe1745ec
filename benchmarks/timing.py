"""Measures two things in turns, so that a busy machine slows both alike."""

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

Measurement = Callable[[], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One line of the table: medians, the ratio of the medians, and the ratios of single turns.

    ``goal`` is a bound of the ratio, or of ``ours`` where there is no peer; ``more_is_better``
    says which side of it is good. Without a goal the figure is only reported.
    """

    what: str
    unit: str
    ours: float
    peer_name: str = ""
    peer: float | None = None
    ratio: float | None = None
    lowest: float
    highest: float
    goal: float | None = None
    more_is_better: bool = False

    @property
    def is_reached(self) -> bool | None:
        """Whether the goal is reached; ``None`` without a goal."""
        if self.goal is None:
            return None
        value = self.ours if self.ratio is None else self.ratio
        return value >= self.goal if self.more_is_better else value <= self.goal

    def with_goal(self, goal: float | None) -> "Figure":
        """The same figure, held to ``goal``."""
        return replace(self, goal=goal)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "is_reached": self.is_reached}


def alone(what: str, ours: Measurement, *, runs: int, goal: float | None = None) -> Figure:
    """Seconds, without a peer; the first turn is not counted."""
    ours()
    times = [ours() for _ in range(runs)]
    return Figure(
        what=what,
        unit="s",
        ours=statistics.median(times),
        lowest=min(times),
        highest=max(times),
        goal=goal,
    )


def in_turns(
    what: str,
    ours: Measurement,
    peers: Mapping[str, Measurement],
    *,
    runs: int,
    unit: str = "s",
    goal: float | None = None,
    more_is_better: bool = False,
) -> list[Figure]:
    """A figure for each peer; all take turns, every other round backwards, after a first one."""
    turns = [("", ours), *peers.items()]
    found: dict[str, list[float]] = {name: [] for name, _ in turns}
    for _, measurement in turns:
        measurement()
    for round_number in range(runs):
        for name, measurement in turns if round_number % 2 == 0 else reversed(turns):
            found[name].append(measurement())
    own = found[""]
    figures = []
    for name in peers:
        ratios = [a / b for a, b in zip(own, found[name], strict=True)]
        middle, middle_of_peer = statistics.median(own), statistics.median(found[name])
        figures.append(
            Figure(
                what=what,
                unit=unit,
                ours=middle,
                peer_name=name,
                peer=middle_of_peer,
                ratio=middle / middle_of_peer,
                lowest=min(ratios),
                highest=max(ratios),
                goal=goal,
                more_is_better=more_is_better,
            )
        )
    return figures


def process_seconds(arguments: Sequence[str], environment: Mapping[str, str]) -> float:
    """From the start of a process to its end; it must succeed."""
    start = time.perf_counter()
    subprocess.run(arguments, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def seconds_to_first_byte(arguments: Sequence[str], environment: Mapping[str, str]) -> float:
    """From the start of a process to the first byte on its standard output; it must succeed."""
    start = time.perf_counter()
    with subprocess.Popen(
        arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        first = os.read(process.stdout.fileno(), 1)
        seconds = time.perf_counter() - start
        process.stdout.read()
    if not first or process.returncode != 0:
        raise RuntimeError(f"exit code {process.returncode}, or no output: {arguments[:3]}")
    return seconds
