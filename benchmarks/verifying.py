"""`infwasi verify` of a package, whole process, against its peers.

At 98 MB, where the start counts, and at 2 GiB, where the bytes do. Everything is in the page cache.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from blake3 import blake3

from benchmarks.big_models import GIB, BigPackage, big_package
from benchmarks.scene import ENVIRONMENT, MODEL, command, package
from benchmarks.timing import Figure, in_turns, process_seconds
from benchmarks.usage import process_usage
from infwasi_sign.adapters.measuring import file_windows
from infwasi_sign.adapters.measuring import measure as measure_windows
from infwasi_sign.domain.digest import Algorithm

_BLAKE3_PEER: Final = Path(__file__).parent / "model_signing_blake3.py"
_MOST_RUNS: Final = 5  # a turn of all peers at 2 GiB takes 10 s
# Ours over the peer's: 4 times, 1.5 times, 3.5 times and 10 times as fast.
_GOALS: Final = {
    "model_signing verify key": 1 / 4,
    "model_signing, BLAKE3 by API": 1 / 1.5,
    "openssl dgst -sha256": 1 / 3.5,
    "sha256sum": 1 / 10,
}


def measure(runs: int) -> list[Figure]:
    return [*_small(runs), *_large(min(runs, _MOST_RUNS))]


def _small(runs: int) -> list[Figure]:
    with package() as arguments:
        peers = {
            "model_signing verify key": _model_signing(Path(arguments[0]), Path(arguments[2])),
            **_hash_tools(MODEL),
        }
        figures = _against(
            f"verify, model of {MODEL.stat().st_size / 1e6:.0f} MB",
            ["verify", *arguments],
            peers,
            runs,
        )
    goals = {"model_signing verify key": 0.5}
    return [replace(figure, goal=goals.get(figure.peer_name)) for figure in figures]


def _large(runs: int) -> list[Figure]:
    with big_package(2 * GIB, is_sparse=False) as big, _signed_by_api(big) as by_api:
        peers = {
            "model_signing verify key": _model_signing(big.folder, big.key),
            "model_signing, BLAKE3 by API": by_api,
            **_hash_tools(big.model),
        }
        figures = _against("verify, model of 2 GiB", big.arguments, peers, runs)
        figures = [replace(figure, goal=_GOALS[figure.peer_name]) for figure in figures]
        return [*figures, *_processor_time(big.arguments, peers), *_hashing_alone(big.model, runs)]


def _against(
    what: str, arguments: list[str], peers: Mapping[str, list[str]], runs: int
) -> list[Figure]:
    return in_turns(
        what,
        lambda: process_seconds([*command(), *arguments], ENVIRONMENT),
        {
            name: lambda peer=peer: process_seconds(peer, ENVIRONMENT)  # type: ignore[misc] # mypy cannot infer lambdas with defaults
            for name, peer in peers.items()
        },
        runs=runs,
    )


def _processor_time(arguments: list[str], peers: Mapping[str, list[str]]) -> list[Figure]:
    """The seconds that all cores together worked, once each: what a busy machine changes least."""

    def seconds(tool: list[str]) -> float:
        path = shutil.which(tool[0])
        if path is None:
            raise RuntimeError(f"no {tool[0]}")
        return process_usage([path, *tool[1:]], ENVIRONMENT).processor_seconds

    ours = seconds([*command(), *arguments])
    figures = []
    for name, tool in peers.items():
        ratio = ours / (peer := seconds(tool))
        figures.append(
            Figure(
                what="processors, 2 GiB",
                unit="s",
                ours=ours,
                peer_name=name,
                peer=peer,
                ratio=ratio,
                lowest=ratio,
                highest=ratio,
            )
        )
    return figures


def _model_signing(package: Path, key: Path) -> list[str]:
    """The same package, by its companion and the same key."""
    return [
        *(str(Path(sys.executable).parent / "model_signing"), "verify", "key", str(package)),
        *("--signature", str(package / "model.sig"), "--public_key", str(key)),
    ]


@contextmanager
def _signed_by_api(big: BigPackage) -> Iterator[list[str]]:
    """The same model alone, which is less than the package; its file has a second name."""
    with tempfile.TemporaryDirectory(prefix="infwasi-bench-", dir=big.folder.parent) as name:
        folder, signature = Path(name) / "model", Path(name) / "blake3.sig"
        folder.mkdir()
        os.link(big.model, folder / "model.gguf")
        api = [sys.executable, str(_BLAKE3_PEER)]
        sign = [*api, "sign", str(folder), str(signature), str(big.private_key)]
        subprocess.run(sign, env=ENVIRONMENT, check=True, capture_output=True)
        yield [*api, "verify", str(folder), str(signature), str(big.key)]


def _hash_tools(model: Path) -> dict[str, list[str]]:
    tools = {
        "openssl dgst -sha256": ["openssl", "dgst", "-sha256", str(model)],
        "sha256sum": ["sha256sum", str(model)],
    }
    return {name: tool for name, tool in tools.items() if shutil.which(tool[0]) is not None}


def _hashing_alone(model: Path, runs: int) -> list[Figure]:
    """At least 0.85 times as fast as the library's own best, in one process."""

    def library() -> str:
        return blake3(max_threads=blake3.AUTO).update_mmap(model).hexdigest()

    with model.open("rb") as file:

        def ours() -> str:
            windows = file_windows(file.fileno(), model.stat().st_size, held=True)
            return measure_windows(windows, frozenset({Algorithm.BLAKE3}))[Algorithm.BLAKE3].hex

        if ours() != library():
            raise RuntimeError("the digests differ")
        return in_turns(
            "hashing alone, 2 GiB",
            lambda: _seconds(ours),
            {"blake3.update_mmap": lambda: _seconds(library)},
            runs=max(runs, 9),
            goal=1 / 0.85,
        )


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
