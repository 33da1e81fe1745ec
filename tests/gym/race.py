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
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from benchmarks.__main__ import RESULTS, machine
from infwasi_sign.adapters.holding import LEASE_FILE_SYSTEMS, file_system_type
from tests.gym.race_crew import Course, Denials, races
from tests.gym.race_runner import PHASES
from tests.gym.race_scene import rungs
from tests.gym.race_worker import LATE, Race

RACES: Final = 700
CONTROLS: Final = 40
"""So many of each rung, and more where too few attempts have landed."""
AT_LEAST: Final = 100
"""So many attempts are to land in each phase of each rung, if there are `RACES` of it."""
_WHERE: Final = "/var/tmp"  # other users may enter it, and it is seldom in memory


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


def summary(done: Sequence[Race], controls: Sequence[Race], least: int) -> dict[str, Any]:
    """Figures of all races, and the verdict: ``passed``, or why not."""
    bad = [asdict(one) for one in done if one.failure]
    landed = Counter((one.rung, one.landed) for one in done)
    names = [rung.name for rung in rungs(is_root=os.geteuid() == 0)]
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
    count = RACES * there if options.count is None else options.count
    controls = max(there, CONTROLS * count // RACES)
    if options.controls is not None:
        controls = options.controls
    course = Course(
        seed=options.seed,
        count=count,
        controls=controls,
        least=AT_LEAST * count // (RACES * there),
        workers=options.workers,
        folder=options.folder,
        record=options.output.with_suffix(".part.jsonl"),
        resume=options.resume,
    )
    done: list[Race] = []
    denied: Denials = {}
    for answer in races(course):
        if not isinstance(answer, Race):
            denied |= answer
            continue
        done.append(answer)
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{len(done)} of {count + controls} races ")
            sys.stderr.flush()
    controlled = [one for one in done if one.is_control]
    raced = [one for one in done if not one.is_control]
    result = {
        "machine": machine(),
        "file_system": where,
        "seed": options.seed,
        "count": count,
        "denied_first": denied,
        **summary(raced, controlled, course.least),
        "seconds": round(time.monotonic() - started, 1),
    }
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    course.record.unlink()
    print(f"{len(raced)} races, {len(controlled)} controls: {result['verdict']}")  # noqa: T201 -- the outcome
    return 0 if result["verdict"] == "passed" else 1


if __name__ == "__main__":
    sys.exit(main())
