"""What a decision costs: the largest ready policy read and parsed, and decided on every fact."""

import shutil
import tempfile
import time
from pathlib import Path

from benchmarks.scene import ROOT
from benchmarks.timing import Figure, alone
from infwasi_sign.adapters.policy_source import expression_rules, load_policy
from infwasi_sign.domain.policy import NamedPackage, decide
from infwasi_sign.domain.policy_file import parse_policy
from tests import forge
from tests.policy_support import BLAKE3, LICENSED, facts_of


def measure(runs: int) -> list[Figure]:
    largest = max((ROOT / "policies").glob("*.toml"), key=lambda path: path.stat().st_size)
    with tempfile.TemporaryDirectory(prefix="infwasi-bench-") as name:
        folder = Path(name)
        path = Path(shutil.copy(largest, folder))
        (folder / "release.pub").write_bytes(forge.TRUSTED.public_pem())
        facts = facts_of(load_policy(path), forge.make_package(folder, model=LICENSED))

        def reading() -> float:
            start = time.perf_counter()
            parse_policy(path.read_bytes(), where=path.name)
            return time.perf_counter() - start

        file = load_policy(path).file

        def compiling() -> float:
            start = time.perf_counter()
            assert expression_rules(file)
            return time.perf_counter() - start

        policy = load_policy(path).policy(NamedPackage(name="capital"), BLAKE3)

        def deciding() -> float:
            start = time.perf_counter()
            outcomes = decide(policy, facts)
            seconds = time.perf_counter() - start
            assert any(one.is_met is False for one in outcomes)
            return seconds

        def everything() -> float:
            start = time.perf_counter()
            policy = load_policy(path).policy(NamedPackage(name="capital"), BLAKE3)
            assert len(decide(policy, facts)) == len(policy.rules)  # on the statement's facts
            assert any(one.is_met is False for one in decide(policy, facts))  # on all of them
            return time.perf_counter() - start

        times = max(runs, 50)
        return [
            alone("read and decide a policy", everything, runs=times, goal=0.02),
            alone("of which: read it", reading, runs=times),
            alone("of which: compile its expressions", compiling, runs=times),
            alone("of which: decide once", deciding, runs=times),
        ]
