"""How long native code goes on after a run was stopped: seconds until llama.cpp returned.

Each round stops a run of the real model at a random moment, within the evaluation of a prompt of
more than 1,500 tokens or between two pieces of an answer, by one of four reasons. The control is a
backend without an abort callback, which goes on to the end of its batch of 128 tokens.
"""

import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.scene import ENVIRONMENT, MODEL
from benchmarks.timing import Figure
from infwasi_sign.adapters.guarded_file import LocalFile
from infwasi_sign.adapters.holding import LEASE_SIGNAL
from infwasi_sign.adapters.llama import LlamaBackend
from infwasi_sign.adapters.watcher import Watcher
from infwasi_sign.domain.chat import FinishReason, GenerationOptions, Message, Role
from infwasi_sign.domain.limits import GIB
from infwasi_sign.ports import StopReason

_GOAL_SECONDS: Final = 0.1
_PROMPT: Final = [Message(role=Role.USER, content="The lighthouse keeper saw a ship. " * 220)]
_LONG_ANSWER: Final = GenerationOptions(
    max_tokens=2000, temperature=2.0, top_k=0, top_p=1.0, min_p=0.0, repeat_penalty=1.0, seed=1,
    stop=(),
)  # fmt: skip
_SHORT: Final = [Message(role=Role.USER, content="Tell a long story.")]
_REASONS: Final = ("cancel", "deadline", "interrupt", "lease")
_MOST_SECONDS: Final = 2.0
_SEED: Final = 20261124


def measure(runs: int) -> list[Figure]:
    """``runs`` times ten stops in each phase, by the reasons in turn."""
    command = [sys.executable, "-m", "benchmarks.stopping", str(10 * runs)]
    done = subprocess.run(command, env=ENVIRONMENT, check=True, stdout=subprocess.PIPE)
    figures = []
    for phase, seconds in json.loads(done.stdout).items():
        ordered = sorted(seconds)
        figures += [
            Figure(
                what=f"{what} of {len(ordered)} {phase}",
                unit="s",
                ours=value,
                lowest=ordered[0],
                highest=ordered[-1],
                goal=None if "blind" in phase else _GOAL_SECONDS,
            )
            for what, value in (
                ("median", statistics.median(ordered)),
                ("99th percentile", ordered[-1 - len(ordered) // 100]),
                ("longest", ordered[-1]),
            )
        ]
    return figures


def _stopped_after(
    model: Path,
    reason: str,
    delay_seconds: float,
    *,
    is_prompt: bool,
    can_abort: bool | None,
    n_threads: int | None,
) -> float:
    """Seconds from the stop until llama.cpp returned."""
    watcher = Watcher(last_words=dict.fromkeys(StopReason, "did not stop"), grace_seconds=60)
    watcher.block_signals()
    stopped_at = 0.0

    def stop() -> None:
        nonlocal stopped_at
        stopped_at = time.monotonic()
        match reason:
            case "cancel":
                watcher.stop(StopReason.INTERRUPT)
            case "deadline":
                watcher.arm(0)
            case "interrupt":
                os.kill(os.getpid(), signal.SIGINT)
            case _:
                _write(model)

    directory = os.open(model.parent, os.O_RDONLY)
    file = LocalFile.open(model.name, directory=directory, most_bytes=4 * GIB)
    os.close(directory)
    with watcher:
        file.guard()
        loaded = LlamaBackend(watcher, can_abort=can_abort, n_threads=n_threads).load(file, 4096)
        timer = threading.Timer(delay_seconds, stop)
        if is_prompt:
            timer.start()
            stream = loaded.start(_PROMPT, _LONG_ANSWER)
        else:
            stream = loaded.start(_SHORT, _LONG_ANSWER)
            timer.start()
            while stream.next_piece() is not None:
                pass
        returned_at = time.monotonic()
        timer.join()
        ended = stream.summary()
        loaded.close()
        file.close()
    if ended.finish_reason is not FinishReason.CANCELLED:
        raise RuntimeError(f"{reason} after {delay_seconds:.3f} s stopped nothing: {ended}")
    if is_prompt and ended.input_tokens < 1500:
        raise RuntimeError(f"the prompt has only {ended.input_tokens} tokens")
    return returned_at - stopped_at


def _write(model: Path) -> None:
    try:
        os.close(os.open(model, os.O_WRONLY | os.O_NONBLOCK))
    except BlockingIOError:
        return
    raise RuntimeError("the model was not held by a lease")


def _prompt_seconds(model: Path, n_threads: int | None) -> float:
    """How long a prompt takes when nobody stops it, so that stops fall within it."""
    directory = os.open(model.parent, os.O_RDONLY)
    file = LocalFile.open(model.name, directory=directory, most_bytes=4 * GIB)
    os.close(directory)
    with Watcher(last_words=dict.fromkeys(StopReason, "did not stop")) as watcher:
        loaded = LlamaBackend(watcher, n_threads=n_threads).load(file, 4096)
        start = time.monotonic()
        loaded.start(_PROMPT, _LONG_ANSWER)
        seconds = time.monotonic() - start
        loaded.close()
    file.close()
    return seconds


def _rounds(
    model: Path,
    rounds: int,
    n_threads: int | None,
    say: Callable[[str], object],
) -> dict[str, list[float]]:
    chance = random.Random(_SEED)  # noqa: S311 - not a secret
    most_seconds = min(_MOST_SECONDS, 0.6 * _prompt_seconds(model, n_threads))
    phases = {
        "in a prompt": (True, None, rounds),
        "in an answer": (False, None, rounds),
        "in a prompt, blind": (True, False, max(4, rounds // 10)),
    }
    found: dict[str, list[float]] = {name: [] for name in phases}
    for name, (is_prompt, can_abort, count) in phases.items():
        for number in range(count):
            delay = chance.uniform(0.01, most_seconds)
            reason = _REASONS[number % len(_REASONS)]
            seconds = _stopped_after(
                model, reason, delay, is_prompt=is_prompt, can_abort=can_abort, n_threads=n_threads
            )
            found[name].append(seconds)
            say(f"{name}, {reason} after {delay:.3f} s: {seconds * 1000:.1f} ms\n")
    return found


def main() -> None:
    """The child of `measure`: it blocks signals, so it is a process of its own."""
    # llama.cpp's threads stay from one model to the next: none may be without the mask.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGIO, LEASE_SIGNAL})
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        model = Path(folder) / "model.gguf"
        shutil.copyfile(MODEL, model)
        threads = int(sys.argv[2]) if len(sys.argv) > 2 else None  # fewer on a busy machine
        found = _rounds(model, int(sys.argv[1]), threads, sys.stderr.write)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
