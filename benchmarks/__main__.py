"""Runs the benchmarks, prints a table of ratios: `python -m benchmarks [--only NAME] [--runs N]`.

Figures go to `benchmarks/results/<name>.json` too, with the machine's facts and without its name.
"""

import argparse
import importlib
import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from benchmarks.timing import Figure

RESULTS: Final = Path(__file__).parent / "results"
NAMES: Final = (
    *("start", "packing", "deciding", "gguf_reader", "verifying", "memory", "cost"),
    *("diffing", "first_token", "tokens", "stopping"),
)
_LIBRARIES: Final = ("blake3", "click", "cryptography", "llama-cpp-python", "sigstore", "wasmtime")


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
        "libraries": {name: _version(name) for name in _LIBRARIES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _line(figure: Figure) -> str:
    unit = figure.unit
    peer = "" if figure.peer is None else f"{figure.peer:8.3f} {unit:5}"
    ratio = "" if figure.ratio is None else f"{figure.ratio:6.2f}"
    spread = f"{figure.lowest:.2f}..{figure.highest:.2f}"
    sign = ">=" if figure.more_is_better else "<="
    goal = "" if figure.goal is None else f"{sign} {figure.goal:g}"
    verdict = {None: "", True: "reached", False: "MISSED"}[figure.is_reached]
    return (
        f"{figure.what:28} {figure.ours:8.3f} {unit:5} {figure.peer_name:24} {peer:14} "
        f"{ratio:6} {spread:14} {goal:8} {verdict}".rstrip()
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what was asked for, print it, write it down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--only", choices=NAMES, action="append", help="may be given repeatedly")
    parser.add_argument("--runs", type=int, default=7, help="turns of each [default: 7]")
    options = parser.parse_args(arguments)
    facts = machine()
    print(", ".join(f"{name} {value}" for name, value in facts.items() if name != "libraries"))
    print(
        f"{'what':28} {'ours':14} {'peer':39} {'':3}ratio {'of one turn':14} goal\n" + "-" * 116,
        flush=True,
    )
    RESULTS.mkdir(exist_ok=True)
    for name in options.only or NAMES:
        figures = importlib.import_module(f"benchmarks.{name}").measure(options.runs)
        for figure in figures:
            print(_line(figure), flush=True)
        written = {
            "machine": facts,
            "runs": options.runs,
            "figures": [f.to_json() for f in figures],
        }
        (RESULTS / f"{name}.json").write_text(json.dumps(written, indent=2) + "\n")


if __name__ == "__main__":
    main()
