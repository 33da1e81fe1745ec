"""Time to the first token of `verify-and-run` against a bare script that checks nothing.

Both are new processes with the same prompt, context size and threads; the files are in the page
cache. The clock stops at the first byte on standard output.
"""

import sys
from pathlib import Path

from benchmarks.scene import CONTEXT_TOKENS, ENVIRONMENT, MODEL, QUESTION, SYSTEM, command, package
from benchmarks.timing import Figure, in_turns, seconds_to_first_byte
from infwasi_sign.adapters.cores import usable_cores

_BARE = Path(__file__).parent / "bare_llama.py"


def measure(runs: int) -> list[Figure]:
    threads = str(usable_cores())
    bare = [sys.executable, str(_BARE), str(MODEL), str(CONTEXT_TOKENS), threads, SYSTEM, QUESTION]
    with package() as arguments:
        options = ["--threads", threads, "--max-tokens", "16"]
        ours = [*command(), "verify-and-run", *arguments, *options, QUESTION]
        return in_turns(
            "first token, new process",
            lambda: seconds_to_first_byte(ours, ENVIRONMENT),
            {"bare llama-cpp-python": lambda: seconds_to_first_byte(bare, ENVIRONMENT)},
            runs=runs,
            goal=1.6,
        )
