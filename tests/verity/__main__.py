"""Proves fs-verity on a kernel that has it: `python -m tests.verity --rounds 30`."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.__main__ import RESULTS, machine
from tests.verity.machine import NotHereError, make_machine

MARK: Final = "@verity "
_TIMEOUT_SECONDS: Final = 900  # of all rounds; an emulated processor is slow


def summary(lines: list[dict[str, Any]], rounds: int) -> dict[str, Any]:
    """Figures of all rounds, and the verdict: ``passed``, or why not."""
    said = [line for line in lines if "claims" in line]
    played = [line for line in said if line["round"] >= 0]
    failures = [
        {"round": line["round"], "size": line["size"], "claim": claim, "got": held}
        for line in said
        for claim, held in line["claims"].items()
        if held is not True
    ]
    reasons = [line["fault"] for line in lines if "fault" in line]
    if len(played) < rounds:
        reasons.append(f"only {len(played)} of {rounds} rounds were played")
    if failures:
        reasons.append(f"{len(failures)} claims did not hold")
    claims = sorted({claim for line in said for claim in line["claims"]})
    return {
        "kernel": next((line["kernel"] for line in lines if "done" in line), None),
        "rounds": len(played),
        "sizes": [line["size"] for line in played],
        "guard_micros": [micros for line in played for micros in line["guard_micros"]],
        "claims": {
            claim: sum(line["claims"].get(claim) is True for line in said) for claim in claims
        },
        "failures": failures,
        "verdict": "; ".join(reasons) or "passed",
    }


def main(arguments: list[str] | None = None) -> int:
    """Boot, play, write the result; 1 if a claim did not hold, 2 if nothing can boot here."""
    parser = argparse.ArgumentParser(prog="python -m tests.verity")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULTS / "verity.json")
    parser.add_argument("--may-be-missing", action="store_true", help="0 where nothing can boot")
    parser.add_argument("--verbose", action="store_true", help="show what the machine prints")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        emulated = make_machine(options.seed, options.rounds)
    except NotHereError as error:
        print(f"fs-verity is NOT PROVED here: {error}")  # noqa: T201 -- the outcome
        return 0 if options.may_be_missing else 2
    lines: list[dict[str, Any]] = []
    for line in emulated.lines(_TIMEOUT_SECONDS):
        if options.verbose:
            sys.stderr.write(line)
        if line.startswith(MARK):
            lines.append(json.loads(line.removeprefix(MARK)))
    result = {
        "machine": machine(),
        "seed": options.seed,
        "count": options.rounds,
        **summary(lines, options.rounds),
        "seconds": round(time.monotonic() - started, 1),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{result['rounds']} rounds of fs-verity: {result['verdict']}")  # noqa: T201 -- the outcome
    return 0 if result["verdict"] == "passed" else 1


if __name__ == "__main__":
    sys.exit(main())
