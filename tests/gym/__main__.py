"""Trains the verifier: `python -m tests.gym --count 100000 --seed 1 --resume`."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.__main__ import RESULTS, machine
from tests.gym.controls import run_controls
from tests.gym.draft import Honest
from tests.gym.oracle import answer
from tests.gym.training import Tally, train

EVERY_SECONDS: Final = 1.0


class Progress:
    """One line on a terminal, rewritten; nothing elsewhere."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._next = 0.0
        self._is_shown = sys.stderr.isatty()

    def mutants(self, tally: Tally) -> None:
        """How far the run is."""
        if self._is_shown and time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY_SECONDS
            share = 100 * tally.done // self._count
            sys.stderr.write(f"\r{tally.done} mutants, {share} %, {tally.failed} failed ")
            sys.stderr.flush()

    def control(self, line: dict[str, Any]) -> None:
        """One more check was switched off."""
        if self._is_shown:
            noticed = "noticed" if line["is_noticed"] else "NOT NOTICED"
            sys.stderr.write(f"\r\x1b[Kwithout {line['checks']}: {noticed}\n")


def main(arguments: list[str] | None = None) -> int:
    """Run the mutants and the controls; write the result; 1 if the gym has failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.gym")
    parser.add_argument("--count", type=int, default=100_000, help="mutants [default: 100000]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--resume", action="store_true", help="go on where a run was interrupted")
    parser.add_argument("--output", type=Path, default=RESULTS / "gym.json")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="one mutant, and its answer")
    options = parser.parse_args(arguments)
    if options.only is not None:
        print(answer(Honest.make(), options.seed, options.only))  # noqa: T201 -- what was asked for
        return 0

    started = time.monotonic()
    progress = Progress(options.count)
    record = options.output.with_suffix(".part.jsonl")
    tally = train(
        options.seed,
        options.count,
        workers=options.workers,
        record=record,
        resume=options.resume,
        progress=progress.mutants,
    )
    controls = run_controls(Honest.make(), options.seed, progress.control)
    reasons = tally.verdict()
    reasons += [f"nobody notices without {c['checks']}" for c in controls if not c["is_noticed"]]
    result = {
        "machine": machine(),
        "seed": options.seed,
        "count": options.count,
        **tally.to_json(),
        "controls": controls,
        "seconds": round(time.monotonic() - started, 1),
        "verdict": "; ".join(reasons) or "passed",
    }
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    record.unlink()
    print(f"{tally.done} mutants, {len(controls)} controls: {result['verdict']}")  # noqa: T201 -- the outcome
    return 1 if reasons else 0


if __name__ == "__main__":
    sys.exit(main())
