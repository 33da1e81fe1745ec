"""Time to the first token of `verify-and-run` against two bare scripts that check nothing.

One is written with the high-level API of llama-cpp-python, as its README shows; the other makes the
same low-level calls as infwasi, without verification, guest and confinement. All are new processes
with the same prompt, context size, threads and parameters; the files are in the page cache. The
clock stops at the first byte on standard output. Of the context we and the low-level script make
what prompt and answer can fill, the high-level API makes all at once.

A second set of figures is of a model of 2 GiB: the same one with a tensor that nobody computes with
(`large_model`). There verifying costs what hashing costs, unless a policy allows the identity cache
and an earlier run has filled it.
"""

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.cost import span_figures
from benchmarks.large_model import large_model
from benchmarks.scene import (
    CONTEXT_TOKENS,
    ENVIRONMENT,
    MODEL,
    QUESTION,
    SYSTEM,
    command,
    package_of,
)
from benchmarks.timing import Figure, Measurement, in_turns, seconds_to_first_byte
from infwasi_sign.adapters.cores import usable_cores
from infwasi_sign.domain.limits import GIB

_HERE = Path(__file__).parent
_HIGH, _LOW = "bare, high-level API", "bare, the same calls"
_POLICY = """\
version = 1
[[signer]]
name = "release"
keys = [{ file = "release.pub" }]
[[package]]
name = "*"
[model]
identity-cache = true
"""
_SETTLED_SECONDS = 2.5  # a file that changed less than 2 s ago is not remembered (ADR 20)


def measure(runs: int) -> list[Figure]:
    figures = _figures("first token", MODEL, runs, goals={_HIGH: 1.0, _LOW: 1.2})
    figures += _figures("first token, --no-cache", MODEL, runs, options=["--no-cache"])
    figures += _spans(runs)
    with _scratch() as folder:
        large = large_model(MODEL, folder / "large.gguf", 2 * GIB)
        few = max(3, runs // 2)
        figures += _figures("first token, 2 GiB", large, few, goals={_HIGH: 1.3, _LOW: 1.3})
        goals = {_HIGH: 1.05, _LOW: 1.05}
        what = "first token, 2 GiB, remembered"
        figures += _figures(what, large, few, goals=goals, is_remembered=True)
    return figures


def _figures(
    what: str,
    model: Path,
    runs: int,
    *,
    goals: Mapping[str, float] | None = None,
    options: list[str] | None = None,
    is_remembered: bool = False,
) -> list[Figure]:
    """Ours in turns with both scripts; ``is_remembered``: an earlier run has hashed the model."""
    threads = str(usable_cores())
    given = [str(model), str(CONTEXT_TOKENS), threads, SYSTEM, QUESTION]
    with package_of(model) as arguments:
        asked = ["--threads", threads, "--max-tokens", "16", *(options or []), QUESTION]
        trusting = _by_policy(arguments) if is_remembered else arguments
        ours = [*command(), "verify-and-run", *trusting, *asked]
        if is_remembered:
            time.sleep(_SETTLED_SECONDS)
            _seconds(ours)()
        figures = in_turns(
            what,
            _seconds(ours),
            {
                _HIGH: _seconds([sys.executable, str(_HERE / "bare_llama.py"), *given]),
                _LOW: _seconds([sys.executable, str(_HERE / "bare_calls.py"), *given]),
            },
            runs=runs,
        )
    return [figure.with_goal((goals or {}).get(figure.peer_name)) for figure in figures]


def _spans(runs: int) -> list[Figure]:
    """Where the time of a run with one token goes, in the main thread."""
    asked = ["--threads", str(usable_cores()), "--max-tokens", "1", QUESTION]
    with package_of(MODEL) as arguments:
        return span_figures("run", ["verify-and-run", *arguments, *asked], runs)


def _by_policy(arguments: list[str]) -> list[str]:
    """The same package by a policy that allows the identity cache."""
    package, _, key = arguments
    policy = Path(key).with_name("policy.toml")
    policy.write_text(_POLICY)
    policy.chmod(0o600)
    return [package, "--policy", str(policy)]


def _seconds(arguments: list[str]) -> Measurement:
    return lambda: seconds_to_first_byte(arguments, ENVIRONMENT)


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="infwasi-bench-", dir=_HERE / "results") as name:
        yield Path(name)
