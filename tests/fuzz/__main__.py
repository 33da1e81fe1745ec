"""Fuzzes the parsers: `python -m tests.fuzz all --runs 1000000`, or one of them by its name.

Each target runs in a process of its own under libFuzzer, which stops at the first finding and
leaves its input in `.cache/fuzz/`; `python -m tests.fuzz TARGET --input FILE` shows it again.
"""

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tests.conftest import ROOT

FINDINGS: Final = ROOT / ".cache" / "fuzz"
RESULTS: Final = ROOT / "benchmarks" / "results"
_EACH_SECONDS: Final = 10  # for one input, as for one mutant of the gym
_MOST_MIB: Final = 2048  # of the process; libFuzzer keeps a corpus in it
_DONE: Final = re.compile(r"stat::number_of_executed_units: (\d+)")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one target."""

    target: str
    executions: int
    seconds: float
    finding: str


def fuzz(target: str, runs: int, seed: int, findings: Path = FINDINGS) -> Outcome:
    """Fuzz one target in a process of its own."""
    command = [sys.executable, "-m", "tests.fuzz", target, "--runs", str(runs), "--seed", str(seed)]
    started = time.monotonic()
    # the same at every run, and no threads that nobody needs
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    # libFuzzer ends its process where no `with` is left, so its folder is ours
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*command, "--findings", str(findings), "--here"],
            cwd=ROOT,
            env=environment | {"TMPDIR": folder},
            capture_output=True,
            check=False,
            text=True,
        )
    counted = _DONE.search(done.stderr)
    is_complete = done.returncode == 0 and counted is not None and int(counted[1]) >= runs
    return Outcome(
        target=target,
        executions=int(counted[1]) if counted else 0,
        seconds=round(time.monotonic() - started, 1),
        # atheris tells the exception on stdout, libFuzzer what was slow or too large on stderr
        finding=""
        if is_complete
        else f"exit {done.returncode}: {done.stdout[-3000:]}{done.stderr[-1000:]}",
    )


def fuzz_here(name: str, runs: int, seed: int, findings: Path) -> None:
    """Fuzz one target in this process, which libFuzzer ends."""
    atheris = importlib.import_module("atheris")  # not there on every platform
    with atheris.instrument_imports(include=["infwasi_sign"]):
        targets = importlib.import_module("tests.fuzz.targets")
    target = targets.named(name)
    findings.mkdir(parents=True, exist_ok=True)
    corpus = Path(tempfile.mkdtemp())
    for data in target.seeds():
        (corpus / sha256(data).hexdigest()).write_bytes(data)
    flags = (
        f"-runs={runs}",
        f"-seed={seed}",
        f"-timeout={_EACH_SECONDS}",
        f"-rss_limit_mb={_MOST_MIB}",
        f"-max_len={target.longest}",
        f"-artifact_prefix={findings}/{name}-",
        "-print_final_stats=1",
        "-verbosity=0",
        str(corpus),
    )
    atheris.Setup([sys.argv[0], *flags], target)
    atheris.Fuzz()


def main(arguments: list[str] | None = None) -> int:
    """Fuzz what was asked for; write the result; 1 if there are findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("target", help="a target, or all")
    parser.add_argument("--runs", type=int, default=1_000_000, help="executions, of all together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--input", type=Path, help="run this input only")
    parser.add_argument("--output", type=Path, default=RESULTS / "fuzz.json")
    parser.add_argument("--findings", type=Path, default=FINDINGS, help="where inputs are left")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.here:
        fuzz_here(options.target, options.runs, options.seed, options.findings)
        return 0

    targets = importlib.import_module("tests.fuzz.targets")
    if options.input is not None:
        targets.named(options.target)(options.input.read_bytes())
        return 0
    if find_spec("atheris") is None:
        print("atheris is not installed: it has wheels for Linux on x86_64 only", file=sys.stderr)  # noqa: T201 -- the outcome
        return 2
    is_all = options.target == "all"
    names = sorted(targets.TARGETS) if is_all else [options.target]
    each = -(-options.runs // len(names))
    with ThreadPoolExecutor(options.workers) as pool:
        outcomes = list(
            pool.map(lambda name: fuzz(name, each, options.seed, options.findings), names)
        )
    compared = _compare(options.runs) if is_all else {}
    return _report(outcomes, compared, options.output)


def _compare(runs: int) -> dict[str, Counter[str]]:
    """Our readers against the reference tools, in proportion; raises where they differ."""
    differential = importlib.import_module("tests.fuzz.differential")
    return {
        "gguf": differential.compare_models(runs // 100),
        "wasm-tools validate": differential.compare_components(runs // 500),
        "sigstore": differential.compare_bundles(runs // 100),
    }


def _report(outcomes: list[Outcome], compared: dict[str, Counter[str]], output: Path) -> int:
    findings = [one for one in outcomes if one.finding]
    executions = sum(one.executions for one in outcomes)
    output.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "executions": executions,
        "findings": len(findings),
        "compared": compared,
        "targets": [asdict(one) for one in outcomes],
        "verdict": "failed" if findings else "passed",
    }
    output.write_text(json.dumps(result, indent=1) + "\n")
    for one in findings:
        print(f"{one.target}: {one.finding}", file=sys.stderr)  # noqa: T201 -- the outcome
    print(f"{executions} executions of {len(outcomes)} targets, {len(findings)} findings")  # noqa: T201 -- the outcome
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
