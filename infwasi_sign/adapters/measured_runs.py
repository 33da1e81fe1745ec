"""Measures runs of a package as its users have them: whole processes of `verify-and-run`."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Final, NoReturn

from infwasi_sign.domain.limits import KIB, MIB
from infwasi_sign.domain.run_bom import RunFacts
from infwasi_sign.errors import RefusalKind, RefusedError, UndecidedError
from infwasi_sign.quick_dataclass import dataclass

_LINE_BYTES: Final = 16 * MIB  # of a verdict; a piece of an answer has a few
_SHOWN: Final = 400  # characters of a failure


@dataclass(frozen=True, kw_only=True, slots=True)
class _OneRun:
    first_token_seconds: float
    load_seconds: float
    tokens_per_second: float | None
    peak_memory_bytes: int
    input_tokens: int
    output_tokens: int


def measure_runs(
    arguments: Sequence[str], prompt: str, *, runs: int, progress: Callable[[int], None]
) -> RunFacts:
    """Run ``infwasi verify-and-run`` with ``arguments`` so often, after one that does not count.

    Raises:
        UndecidedError: a run gives no answer; its last line says why.
        RefusedError: a run refuses the package, for the reason that it gives.
    """
    command = [sys.executable, "-m", "infwasi_sign", "verify-and-run", "--json", *arguments]
    done = []
    for _ in range(runs + 1):
        done.append(_run([*command, "--", prompt]))
        progress(1)
    counted = done[1:]
    rates = [one.tokens_per_second for one in counted if one.tokens_per_second is not None]
    return RunFacts(
        runs=runs,
        prompt_sha256=hashlib.sha256(prompt.encode()).hexdigest(),
        input_tokens=counted[-1].input_tokens,
        output_tokens=counted[-1].output_tokens,
        first_token_seconds=median(one.first_token_seconds for one in counted),
        load_seconds=median(one.load_seconds for one in counted),
        tokens_per_second=median(rates) if rates else None,
        peak_memory_bytes=int(median(one.peak_memory_bytes for one in counted)),
    )


def _run(command: Sequence[str]) -> _OneRun:
    begun = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        pieces: list[float] = []
        last: dict[str, object] = {}
        while line := process.stdout.readline(_LINE_BYTES):
            now = time.monotonic()
            last = _document(line)
            if last.get("type") == "piece":
                pieces.append(now)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 or last.get("type") != "result" or not pieces:
        _fail(last, process.returncode)
    output_tokens = _number(last, "outputTokens")
    spent = pieces[-1] - pieces[0]
    return _OneRun(
        first_token_seconds=pieces[0] - begun,
        load_seconds=_number(last, "loadSeconds"),
        tokens_per_second=(output_tokens - 1) / spent if output_tokens > 1 and spent else None,
        peak_memory_bytes=usage.ru_maxrss * KIB,  # getrusage(2): kilobytes on Linux
        input_tokens=int(_number(last, "inputTokens")),
        output_tokens=int(output_tokens),
    )


def _document(line: bytes) -> dict[str, object]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UndecidedError("the measured run said something else than JSON", where="--measure")
    return value


def _number(document: dict[str, object], name: str) -> float:
    value = document.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def _fail(last: dict[str, object], code: int) -> NoReturn:
    """What the run said, under the exit code that it had."""
    what = str(last.get("what") or f"it ended with exit code {code}")
    message = f"the measured run failed: {what[:_SHOWN]}"
    kind = last.get("kind")
    if code == 1 and kind in {str(kind) for kind in RefusalKind}:
        raise RefusedError(RefusalKind(str(kind)), message, where="--measure")
    expected, hint = (
        value[:_SHOWN] if isinstance(value := last.get(name), str) else None
        for name in ("expected", "hint")
    )
    raise UndecidedError(message, where="--measure", expected=expected, hint=hint)
