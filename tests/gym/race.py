"""Races attackers against the real run: `python -m tests.gym.race --seed 1 --resume`.

Another process changes the model, its name, its folder or its mode while `infwasi verify-and-run`
opens, holds, hashes, loads and answers. What must never be is a run that says all is well and used
other bytes than the signed ones; nor may one hang, or end in a way that is not documented.

Then nothing holds the model, though it is said to be held: now the same attacks must be found out
by the gym, on each rung, or it would not have seen them before.
"""

import argparse
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.__main__ import RESULTS, machine
from infwasi_sign.adapters.holding import LEASE_FILE_SYSTEMS, file_system_type
from tests import forge
from tests.command_line import make_timeless
from tests.conftest import ROOT
from tests.gym.race_model import CONTEXT_TOKENS, race_model
from tests.gym.race_runner import PHASES
from tests.gym.race_scene import rungs
from tests.gym.race_worker import LATE, Race
from tests.gym.training import code_digest

RACES: Final = 1_200
CONTROLS: Final = 40
"""So many of each rung."""
AT_LEAST: Final = 100
"""So many attempts land in each phase of each rung, if there are `RACES` of it."""
_WHERE: Final = "/var/tmp"  # other users may enter it, and it is seldom in memory


def make_honest(folder: Path) -> None:
    """A package, another of the same name with another model in it, and the key that is trusted."""
    settings = replace(forge.SETTINGS, context_tokens=CONTEXT_TOKENS)
    packages = [
        make_timeless(folder / name, model=race_model(seed), settings=settings)
        for seed, name in enumerate(("package", "other"))
    ]
    # The other one has everything that is signed, so that only the model tells.
    honest, other = packages
    for file in honest.iterdir():
        if file.name != "model.gguf":
            (other / file.name).write_bytes(file.read_bytes())
    (folder / "package" / "trusted.pub").rename(folder / "trusted.pub")
    for path in folder.glob("*/*.pub"):
        path.unlink()


def file_system(folder: Path) -> str:
    """The name of the file system, if a lease means something there.

    Raises:
        SystemExit: it does not.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        kind = file_system_type(descriptor)
    finally:
        os.close(descriptor)
    if kind not in LEASE_FILE_SYSTEMS:
        raise SystemExit(f"a lease means nothing in {folder}: say --folder")
    return LEASE_FILE_SYSTEMS[kind]


class _Crew:
    """Workers, each a process of its own, with a thread that gives it one race after another."""

    def __init__(self, honest: Path, folder: Path, seed: int, workers: int) -> None:
        self._orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
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

    def run(self, orders: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The answers, in the order in which they come; the first of each worker is its denials."""
        for order in orders:
            self._orders.put(order)
        left = len(orders)
        try:
            while left:
                answer = self._answers.get()
                assert "lost" not in answer, answer["lost"]
                left -= "number" in answer
                yield answer
        finally:
            self._end()

    def _end(self) -> None:
        """Nobody needs the workers any more; their attackers end with them."""
        for worker in self._workers:
            worker.kill()
            self._orders.put({})
        for leader in self._leaders:
            leader.join()
        for worker in self._workers:
            with worker:
                pass

    def _lead(self, worker: "subprocess.Popen[str]") -> None:
        assert worker.stdin is not None
        assert worker.stdout is not None
        order: dict[str, Any] = {}
        try:
            self._answers.put(json.loads(worker.stdout.readline()))
            while order := self._orders.get():
                worker.stdin.write(json.dumps(order) + "\n")
                worker.stdin.flush()
                self._answers.put({**order, **json.loads(worker.stdout.readline())})
        except (OSError, ValueError):
            self._answers.put({"lost": f"a worker is lost at {order}"})


def races(
    seed: int, count: int, controls: int, *, workers: int, folder: Path, record: Path, resume: bool
) -> Iterator[dict[str, Any]]:
    """All answers of workers; what is done stands in ``record``, line by line."""
    head = {"seed": seed, "code": code_digest()}
    done = _recorded(record, head) if resume else []
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text("\n".join(map(json.dumps, (head, *done))) + "\n")
    yield from done
    orders = [{"number": number, "is_control": False} for number in range(count)]
    orders += [{"number": number, "is_control": True} for number in range(controls)]
    known = {(one["number"], one["is_control"]) for one in done if "number" in one}
    orders = [one for one in orders if (one["number"], one["is_control"]) not in known]
    with record.open("a") as file, TemporaryDirectory(prefix="race-", dir=folder) as name:
        below = Path(name)
        below.chmod(0o755)
        make_honest(below / "honest")
        if orders:
            crew = _Crew(below / "honest", below, seed, min(workers, len(orders)))
            for answer in crew.run(orders):
                file.write(json.dumps(answer) + "\n")
                file.flush()
                yield answer


def _recorded(record: Path, head: dict[str, Any]) -> list[dict[str, Any]]:
    """What an earlier run of the same code has done."""
    try:
        lines = record.read_text().splitlines()
    except FileNotFoundError:
        return []
    done: list[dict[str, Any]] = []
    if not lines or json.loads(lines[0]) != head:
        return done
    for line in lines[1:]:
        try:
            done.append(json.loads(line))
        except json.JSONDecodeError:  # the line that an interruption cut off
            break
    return done


def summary(done: Sequence[Race], controls: Sequence[Race], count: int) -> dict[str, Any]:
    """Figures of all races, and the verdict: ``passed``, or why not."""
    bad = [asdict(one) for one in done if one.failure]
    landed = Counter((one.rung, one.landed) for one in done)
    names = [rung.name for rung in rungs(is_root=os.geteuid() == 0)]
    least = AT_LEAST * count // (RACES * len(names))
    found_out = {
        name: sum(one.is_unnoticed for one in controls if one.rung == name) for name in names
    }
    reasons = [f"{len(bad)} of {len(done)} runs are bad"] if bad else []
    reasons += [
        f"{landed[name, phase]} attempts in {phase} of {name}, fewer than {least}"
        for name in names
        for phase in PHASES
        if landed[name, phase] < least
    ]
    reasons += [f"nothing noticed without {name}" for name, found in found_out.items() if not found]
    refused = [one for one in done if one.ending.startswith("refused") and one.landed != LATE]
    return {
        "runs": len(done),
        "bad": len(bad),
        "hung": sum(one.ending == "hung" for one in done),
        "unnoticed": sum(one.is_unnoticed for one in done),
        "mapped_bytes_changed_and_noticed": sum(
            one.changed_bytes > 0 and not one.is_unnoticed for one in done
        ),
        "late": sum(one.landed == LATE for one in done),
        "slowest_end_after_a_refused_attack_seconds": max(
            (one.seconds_to_end for one in refused), default=0.0
        ),
        "levels_reached": {
            name: dict(sorted(Counter(one.level for one in done if one.rung == name).items()))
            for name in names
        },
        "landed": {name: {phase: landed[name, phase] for phase in PHASES} for name in names},
        "races": _by_attack(done),
        "controls": {
            name: {
                "runs": sum(one.rung == name for one in controls),
                "other_bytes_used_and_said_to_be_well": found_out[name],
            }
            for name in names
        },
        "failures": bad[:20],
        "verdict": "; ".join(reasons) or "passed",
    }


def _by_attack(done: Sequence[Race]) -> dict[str, Any]:
    """Rung, phase, attack: what the attacker was told, and how the run ended, counted."""
    table: dict[str, Any] = {}
    for one in sorted(done, key=lambda one: (one.rung, one.landed, one.attack)):
        if one.landed != LATE:
            line = table.setdefault(one.rung, {}).setdefault(one.landed, {})
            cell = line.setdefault(one.attack, Counter())
            cell[f"{one.outcome}, {one.ending}"] += 1
    return table


def main(arguments: list[str] | None = None) -> int:
    """Race, write the result; 1 if a run was bad, too few attacks landed, or a control is blind."""
    parser = argparse.ArgumentParser(prog="python -m tests.gym.race")
    there = len(rungs(is_root=os.geteuid() == 0))
    parser.add_argument("--count", type=int, help=f"races [default: {RACES} of each rung]")
    parser.add_argument("--controls", type=int, help=f"[default: {CONTROLS} where {RACES} races]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--resume", action="store_true", help="go on where a run was interrupted")
    parser.add_argument("--folder", type=Path, default=Path(_WHERE), help=f"[default: {_WHERE}]")
    parser.add_argument("--output", type=Path, default=RESULTS / "race.json")
    options = parser.parse_args(arguments)

    started = time.monotonic()
    where = file_system(options.folder)
    record = options.output.with_suffix(".part.jsonl")
    count = RACES * there if options.count is None else options.count
    controls = max(there, CONTROLS * count // RACES)
    if options.controls is not None:
        controls = options.controls
    done: dict[bool, list[Race]] = {False: [], True: []}
    denied: dict[str, str] = {}
    for answer in races(
        options.seed,
        count,
        controls,
        workers=options.workers,
        folder=options.folder,
        record=record,
        resume=options.resume,
    ):
        if "denied" in answer:
            denied |= answer["denied"]
            continue
        is_control = answer["is_control"]
        race = {name: value for name, value in answer.items() if name != "is_control"}
        done[is_control].append(Race(**race))
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{len(done[False])} of {count} races ")
            sys.stderr.flush()
    result = {
        "machine": machine(),
        "file_system": where,
        "seed": options.seed,
        "count": count,
        "denied_first": denied,
        **summary(done[False], done[True], count),
        "seconds": round(time.monotonic() - started, 1),
    }
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    record.unlink()
    print(f"{len(done[False])} races, {len(done[True])} controls: {result['verdict']}")  # noqa: T201 -- the outcome
    return 0 if result["verdict"] == "passed" else 1


if __name__ == "__main__":
    sys.exit(main())
