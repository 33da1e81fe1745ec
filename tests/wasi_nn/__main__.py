"""Runs the suite: `python -m tests.wasi_nn [--host our|COMMAND]` (README.md)."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Final

from tests.wasi_nn.builds import build
from tests.wasi_nn.cases import HONEST, RESTS_ON, Case, as_table, read_cases
from tests.wasi_nn.hosts import CommandHost, Host, judge
from tests.wasi_nn.our_host import OurHost

REQUESTS: Final = 10_000


def main() -> int:
    """1 if the host does not conform."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.wasi_nn", description="A conformance suite for wasi:nn hosts."
    )
    parser.add_argument("--host", default="our", help="`our`, or a command (README.md)")
    parser.add_argument("--requests", type=int, default=REQUESTS, help="of each repeated case")
    parser.add_argument("--rests-on", choices=RESTS_ON, action="append", help="only these cases")
    parser.add_argument("--case", action="append", metavar="NAME", help="only this case")
    parser.add_argument("--list", action="store_true", help="print the table of README.md")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write components, run none")
    asked = parser.parse_args()

    cases = tuple(
        case
        for case in read_cases()
        if case.rests_on in (asked.rests_on or RESTS_ON)
        and case.name in (asked.case or (case.name,))
    )
    if not cases:
        parser.error("no case is of this name and kind")
    if asked.list:
        sys.stdout.write(as_table(cases) + "\n")
        return 0
    if asked.write is not None:
        _write(cases, asked.write)
        return 0
    host: Host = OurHost() if asked.host == "our" else CommandHost(asked.host)
    failed = sum(not _holds(host, case, asked.requests) for case in cases)
    sys.stdout.write(f"{len(cases) - failed} of {len(cases)} cases hold\n")
    return int(failed > 0)


def _holds(host: Host, case: Case, requests: int) -> bool:
    faults = judge(host, case, build(case), requests)
    if case.has_twin:
        twin = host.run(build(case, is_honest=True), requests=1, seconds=20)
        faults += [f"its honest twin {fault}" for fault in twin.faults((HONEST,))]
    sys.stdout.write(f"{'fails' if faults else 'holds'}  {case.name}\n")
    sys.stdout.writelines(f"       {fault}\n" for fault in faults)
    sys.stdout.flush()
    return not faults


def _write(cases: tuple[Case, ...], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        (folder / f"{case.name}.wasm").write_bytes(build(case))
        if case.has_twin:
            (folder / f"{case.name}.honest.wasm").write_bytes(build(case, is_honest=True))
    records = [
        {k: v for k, v in asdict(case).items() if k not in ("guest", "defines", "edit")}
        | {"has_twin": case.has_twin}
        for case in cases
    ]
    (folder / "cases.json").write_text(json.dumps(records, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
