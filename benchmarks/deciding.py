"""What a decision costs: the largest ready policy read and parsed, and decided on every fact."""

import shutil
import tempfile
import time
from pathlib import Path

from benchmarks.scene import ROOT
from benchmarks.timing import Figure, alone
from infwasi_sign.adapters.policy_source import load_policy
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.policy import NamedPackage, decide
from tests import forge
from tests.policy_support import LICENSED, facts_of


def measure(runs: int) -> list[Figure]:
    largest = max((ROOT / "policies").glob("*.toml"), key=lambda path: path.stat().st_size)
    with tempfile.TemporaryDirectory(prefix="infwasi-bench-") as name:
        folder = Path(name)
        path = Path(shutil.copy(largest, folder))
        (folder / "release.pub").write_bytes(forge.TRUSTED.public_pem())
        facts = facts_of(load_policy(path), forge.make_package(folder, model=LICENSED))

        def seconds() -> float:
            start = time.perf_counter()
            loaded = load_policy(path)
            policy = loaded.policy(NamedPackage(name="capital"), frozenset({Algorithm.BLAKE3}))
            assert len(decide(policy, facts)) == len(policy.rules)  # on the statement's facts
            assert any(one.is_met is False for one in decide(policy, facts))  # on all of them
            return time.perf_counter() - start

        return [alone("read and decide a policy", seconds, runs=max(runs, 50), goal=0.02)]
