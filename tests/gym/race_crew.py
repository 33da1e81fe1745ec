"""Has races run by several workers at once, and keeps what is done, so that one can go on later."""

import json
import math
import os
import queue
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Self

from tests.conftest import ROOT
from tests.gym.race_honest import make_honest
from tests.gym.race_runner import PHASES
from tests.gym.race_scene import Order, rungs
from tests.gym.race_worker import Race
from tests.gym.training import code_digest

_ROUNDS: Final = 6  # of more races where too few attempts have landed
_SPARE: Final = 1.3  # some of those will land elsewhere, too

Denials = dict[str, str]
"""What attackers were told who opened the model of a rung for writing."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """All races of one gym; in each phase of each rung ``least`` attempts are to land."""

    seed: int
    count: int
    controls: int
    least: int
    workers: int
    folder: Path
    record: Path
    resume: bool


class _LostError(Exception):
    """A worker is gone."""


class _Crew:
    """Workers, each a process of its own, with a thread that gives it one race after another."""

    def __init__(self, honest: Path, folder: Path, seed: int, workers: int) -> None:
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Race | Denials | _LostError] = queue.SimpleQueue()
        self._workers: list[subprocess.Popen[str]] = []
        self._leaders: list[threading.Thread] = []
        for number in range(workers):
            command = (sys.executable, "-m", "tests.gym.race_worker", honest, folder / str(number))
            worker = subprocess.Popen(
                [*map(str, command), str(seed)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            self._workers.append(worker)
            self._leaders.append(threading.Thread(target=self._lead, args=(worker,)))
        for leader in self._leaders:
            leader.start()

    def run(self, orders: Sequence[Order]) -> Iterator[Race | Denials]:
        """The answers, in the order in which they come; the first of each worker is its denials.

        Raises:
            _LostError: a worker is gone.
        """
        for order in orders:
            self._orders.put(order)
        left = len(orders)
        while left:
            answer = self._answers.get()
            if isinstance(answer, _LostError):
                raise answer
            left -= isinstance(answer, Race)
            yield answer

    def _lead(self, worker: "subprocess.Popen[str]") -> None:
        assert worker.stdin is not None
        assert worker.stdout is not None
        order: Order | None = None
        try:
            self._answers.put(json.loads(worker.stdout.readline()))
            while order := self._orders.get():
                worker.stdin.write(json.dumps(asdict(order)) + "\n")
                worker.stdin.flush()
                self._answers.put(Race(**json.loads(worker.stdout.readline())))
        except (OSError, ValueError):
            self._answers.put(_LostError(f"a worker is lost at {order}"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nobody needs the workers any more; their attackers end with them."""
        for worker in self._workers:
            worker.kill()
            self._orders.put(None)
        for leader in self._leaders:
            leader.join()
        for worker in self._workers:
            with worker:
                pass


def races(course: Course) -> Iterator[Race | Denials]:
    """All answers of workers; what is done stands in the record, line by line."""
    head = {"seed": course.seed, "count": course.count, "code": code_digest()}
    done = _recorded(course.record, head) if course.resume else []
    course.record.parent.mkdir(parents=True, exist_ok=True)
    course.record.write_text("\n".join([json.dumps(head), *map(_line, done)]) + "\n")
    yield from done
    raced = [one for one in done if isinstance(one, Race)]
    known = {(one.number, one.is_control) for one in raced}
    orders = [Order(number=number) for number in range(course.count)]
    orders += [Order(number=number, is_control=True) for number in range(course.controls)]
    orders = [order for order in orders if (order.number, order.is_control) not in known]
    with (
        course.record.open("a") as file,
        TemporaryDirectory(prefix="race-", dir=course.folder) as name,
    ):
        below = Path(name)
        below.chmod(0o755)
        make_honest(below / "honest")
        with _Crew(below / "honest", below, course.seed, course.workers) as crew:
            for _ in range(_ROUNDS):
                for answer in crew.run(orders):
                    file.write(_line(answer) + "\n")
                    file.flush()
                    raced += [answer] if isinstance(answer, Race) else []
                    yield answer
                orders = more_orders(raced, course)


def more_orders(raced: Sequence[Race], course: Course) -> list[Order]:
    """Races that aim where too few attempts have landed."""
    landed = Counter((one.rung, one.landed) for one in raced if not one.is_control)
    number = max((one.number for one in raced if not one.is_control), default=-1)
    orders = []
    for rung in rungs(is_root=os.geteuid() == 0):
        for phase, called in enumerate(PHASES):
            for _ in range(math.ceil(_SPARE * max(0, course.least - landed[rung.name, called]))):
                number += 1
                orders.append(Order(number=number, rung=rung.name, phase=phase))
    return orders


def _line(answer: Race | Denials) -> str:
    return json.dumps(asdict(answer) if isinstance(answer, Race) else answer)


def _recorded(record: Path, head: dict[str, Any]) -> list[Race | Denials]:
    """What an earlier run of the same code has done."""
    try:
        lines = record.read_text().splitlines()
    except FileNotFoundError:
        return []
    done: list[Race | Denials] = []
    if not lines or json.loads(lines[0]) != head:
        return done
    for line in lines[1:]:
        try:
            value = json.loads(line)
        except json.JSONDecodeError:  # the line that an interruption cut off
            break
        done.append(Race(**value) if "number" in value else value)
    return done
