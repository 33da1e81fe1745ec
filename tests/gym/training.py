"""Runs mutants in worker processes and adds up what came of them; may be interrupted."""

import hashlib
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from tests.conftest import ROOT
from tests.gym.draft import Honest, scratch
from tests.gym.oracle import ACCEPTED, CRASH, KINDS, LONGEST_SECONDS, Answer, answer, peak_bytes

BATCH: Final = 250  # less than a second of work: an interruption loses no more
AT_LEAST: Final = 200  # of each kind of refusal, for a verdict over 100,000 mutants
_SHOWN_FAILURES: Final = 50
_PATIENCE_SECONDS: Final = 3 * LONGEST_SECONDS  # for a worker that its own alarm does not reach


@dataclass
class Tally:
    """What came of many mutants; two tallies add up."""

    done: int = 0
    honest: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    by_mutator: dict[str, Counter[str]] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)
    failed: int = 0
    slowest_seconds: float = 0.0
    slowest: str = ""
    grown_bytes: int = 0

    def add(self, one: Answer) -> None:
        """Count one answer."""
        self.done += 1
        self.honest += one.is_honest
        self.kinds[one.kind] += 1
        self.by_mutator.setdefault(one.mutator, Counter())[one.kind] += 1
        self.grown_bytes = max(self.grown_bytes, one.grown_bytes)
        if one.seconds > self.slowest_seconds:
            self.slowest_seconds = one.seconds
            self.slowest = f"{one.mutator} {one.number}"
        if one.failure is not None:
            self.failed += 1
            found = {"number": one.number, "mutator": one.mutator, "what": one.failure}
            self.failures = [*self.failures, found][:_SHOWN_FAILURES]

    def merge(self, other: "Tally") -> None:
        """Take over what another counted."""
        self.done += other.done
        self.honest += other.honest
        self.kinds += other.kinds
        for name, kinds in other.by_mutator.items():
            self.by_mutator[name] = self.by_mutator.get(name, Counter()) + kinds
        self.failures = (self.failures + other.failures)[:_SHOWN_FAILURES]
        self.failed += other.failed
        self.grown_bytes = max(self.grown_bytes, other.grown_bytes)
        if other.slowest_seconds > self.slowest_seconds:
            self.slowest_seconds, self.slowest = other.slowest_seconds, other.slowest

    @staticmethod
    def from_json(value: dict[str, Any]) -> "Tally":
        """The inverse of `vars`, through JSON."""
        by_mutator = {name: Counter(kinds) for name, kinds in value["by_mutator"].items()}
        return Tally(**(value | {"kinds": Counter(value["kinds"]), "by_mutator": by_mutator}))

    def verdict(self) -> list[str]:
        """Why the run has failed; empty if it has not."""
        reasons = [f"{self.failed} mutants failed"] if self.failed else []
        least = AT_LEAST * self.done // 100_000
        return reasons + [
            f"{self.kinds[kind]} of the kind {kind}, fewer than {least}"
            for kind in KINDS
            if self.kinds[kind] < least
        ]

    def to_json(self) -> dict[str, Any]:
        """For the result file."""
        return {
            "mutants": self.done,
            "unchanged": self.honest,
            "accepted": self.kinds[ACCEPTED] - self.honest,
            "crashes": self.kinds[CRASH],
            "kinds": dict(sorted(self.kinds.items())),
            "mutators": {
                name: dict(sorted(self.by_mutator[name].items()))
                for name in sorted(self.by_mutator)
            },
            "slowest_seconds": round(self.slowest_seconds, 4),
            "slowest": self.slowest,
            "peak_growth_mib": round(self.grown_bytes / 2**20, 1),
            "failures": self.failures,
        }


def train_here(honest: Honest, seed: int, numbers: range) -> Tally:
    """Run mutants in this process."""
    tally, baseline = Tally(), peak_bytes()
    for number in numbers:
        tally.add(answer(honest, seed, number, baseline=baseline))
    return tally


def train(
    seed: int,
    count: int,
    *,
    workers: int,
    record: Path,
    resume: bool,
    progress: Callable[[Tally], None],
) -> Tally:
    """Run the mutants 0 to ``count`` - 1; what is done stands in ``record``, batch by batch."""
    total = Tally()
    head = {"seed": seed, "count": count, "code": code_digest()}
    done = _recorded(record, head, total) if resume else set()
    record.parent.mkdir(parents=True, exist_ok=True)
    if not done:
        record.write_text(json.dumps(head) + "\n")
    todo = [start for start in range(0, count, BATCH) if start not in done]
    with record.open("a") as file, TemporaryDirectory(prefix="gym-", dir=scratch()) as below:
        for start, tally in _in_workers(seed, count, todo, workers, below):
            total.merge(tally)
            file.write(json.dumps({"start": start, **vars(tally)}) + "\n")
            file.flush()
            progress(total)
    return total


def code_digest() -> str:
    """Of verifier, forge and gym: figures of other code are no figures of this one."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted([*(ROOT / "infwasi_sign").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _recorded(record: Path, head: dict[str, Any], total: Tally) -> set[int]:
    """The batches of an earlier run of the same code; their figures go into ``total``."""
    try:
        lines = record.read_text().splitlines()
    except FileNotFoundError:
        return set()
    done: set[int] = set()
    if not lines or json.loads(lines[0]) != head:
        return done
    for line in lines[1:]:
        try:
            value = json.loads(line)
        except json.JSONDecodeError:  # the line that an interruption cut off
            break
        start = value.pop("start")
        if start not in done:
            done.add(start)
            total.merge(Tally.from_json(value))
    return done


# --- workers ----------------------------------------------------------------------------------


class _Worker:
    """A process that gets numbers of mutants and sends an answer for each."""

    def __init__(self, seed: int, below: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, seed, below), daemon=True)
        self.process.start()
        theirs.close()
        self.start = -1
        self.numbers: list[int] = []
        self.tally = Tally()
        self.heard = time.monotonic()

    def give(self, start: int, numbers: list[int], tally: Tally) -> None:
        self.start, self.numbers, self.tally = start, numbers, tally
        self.heard = time.monotonic()
        self.pipe.send(numbers)

    def is_silent(self) -> bool:
        """Whether it hangs where no alarm of its own reaches it."""
        return time.monotonic() - self.heard > _PATIENCE_SECONDS

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _work(pipe: Connection, seed: int, below: str) -> None:
    honest = Honest.make()
    answer(honest, seed, 0)  # imports and buffers of the first one are nobody's growth
    baseline = peak_bytes()
    while True:
        try:
            numbers = pipe.recv()
        except EOFError:
            return
        for number in numbers:
            pipe.send(answer(honest, seed, number, below=below, baseline=baseline))


def _in_workers(
    seed: int, count: int, todo: list[int], workers: int, below: str
) -> Iterator[tuple[int, Tally]]:
    """Batches as they are done. A worker that dies or hangs costs one mutant and is replaced."""
    waiting = list(reversed(todo))
    crew: list[_Worker] = []
    try:
        while waiting or crew:
            while waiting and len(crew) < workers:
                start = waiting.pop()
                crew.append(_Worker(seed, below))
                crew[-1].give(start, list(range(start, min(start + BATCH, count))), Tally())
            ready = wait([worker.pipe for worker in crew], timeout=1)
            for worker in list(crew):
                has_sent = worker.pipe in ready
                is_lost = not _listen(worker) if has_sent else worker.is_silent()
                if is_lost:
                    crew.remove(worker)
                    crew += _replace(worker, seed, below)
                elif not worker.numbers:
                    yield worker.start, worker.tally
                    if waiting:
                        start = waiting.pop()
                        worker.give(start, list(range(start, min(start + BATCH, count))), Tally())
                    else:
                        crew.remove(worker)
                        worker.end()
    finally:
        for worker in crew:
            worker.end()


def _listen(worker: _Worker) -> bool:
    """Take what a worker has sent; false if it is gone."""
    try:
        while worker.numbers and worker.pipe.poll():
            worker.tally.add(worker.pipe.recv())
            worker.numbers = worker.numbers[1:]
            worker.heard = time.monotonic()
    except (EOFError, ConnectionError):
        return False
    return True


def _replace(lost: _Worker, seed: int, below: str) -> list[_Worker]:
    """Count the mutant that a worker died of, and let another go on after it."""
    lost.end()
    number, *rest = lost.numbers
    lost.tally.add(
        Answer(
            number=number,
            mutator="unknown",
            kind=CRASH,
            sentence=f"nothing: its process ended with {lost.process.exitcode}",
            seconds=0.0,
            grown_bytes=0,
            is_honest=False,
        )
    )
    again = _Worker(seed, below)
    again.give(lost.start, rest, lost.tally)
    return [again]
