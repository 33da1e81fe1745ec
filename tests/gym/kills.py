"""Kills `infwasi pack --sign` at random moments: `python -m tests.gym.kills --count 200 --resume`.

What a reader finds afterwards is nothing, the whole old package or the whole new one, and the next
run succeeds and clears up. Moments are spread evenly over the life of an undisturbed run.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.__main__ import RESULTS, machine
from infwasi_sign.adapters.key_files import load_public_key, write_key_pair
from infwasi_sign.adapters.keys import KeyKind, KeyVerifier, TrustedKey
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.package_directory import DirectoryStore
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.policy import DirectoryNamed, Policy
from infwasi_sign.errors import InfwasiError
from infwasi_sign.verify import VerifyRequest, verify
from tests.command_line import environment
from tests.forge import NOW
from tests.gguf_forge import Tensor, tiny_gguf
from tests.gym.training import code_digest

NAME: Final = "capital-1.0.0"
ABSENT, OLD, NEW = "absent", "old", "new"
PACK: Final = (sys.executable, "-m", "infwasi_sign", "pack", "--sign", "--key", "release.key")
ISSUED: Final = int(NOW.timestamp()) - 3600  # a fixed time, so that the statement is known before
_PROJECT: Final = '[package]\nname = "capital"\nversion = "1.0.0"\n[model]\npath = "model.gguf"\n'
_MODEL_BYTES: Final = 8 << 20  # so that a good part of a run is spent on writing
_PATIENCE_SECONDS: Final = 120
_RUNS_MEASURED: Final = 3
_ATTEMPTS: Final = 8  # to kill a run that was over before


@dataclass(frozen=True, kw_only=True)
class Kill:
    """One run that was killed after ``seconds``, what was found then, and what is wrong with it.

    ``was_killed`` is false if the run was over before; ``leftovers`` counts hidden folders.
    """

    number: int
    seconds: float
    is_over_old: bool
    was_killed: bool
    found: str
    leftovers: int
    failure: str


class Ground:
    """A project, its key, and the old and the new package; everything happens below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dist = folder / "dist"
        (folder / "infwasi.toml").write_text(_PROJECT)
        write_key_pair(folder / "release", KeyKind.P256, None)
        self._key = load_public_key(folder / "release.pub")
        self._statements: dict[str, str] = {}
        self._lives: deque[float] = deque(maxlen=_RUNS_MEASURED)
        for which in (OLD, NEW):
            weights = Tensor(
                name=which.encode(),
                dimensions=(_MODEL_BYTES // 4,),
                type=0,  # F32 (gguf.md, ggml_type)
                data=bytes(_MODEL_BYTES),
            )
            (folder / "model.gguf").write_bytes(tiny_gguf(tensors=(weights,)))
            self.pack()
            self._statements[self._statement()] = which
            self.dist.rename(folder / which)

    def start(self) -> subprocess.Popen[bytes]:
        """A real run over whatever is there."""
        return subprocess.Popen(
            [*PACK, "--force"],
            cwd=self.folder,
            env=environment({"SOURCE_DATE_EPOCH": str(ISSUED)}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    @property
    def life_seconds(self) -> float:
        """How long a run lives that nobody disturbs: the latest tell, for machines have moods."""
        return median(self._lives)

    def pack(self) -> None:
        """A run to its end.

        Raises:
            AssertionError: it fails.
        """
        started = time.monotonic()
        with self.start() as process:
            output, _ = process.communicate(timeout=_PATIENCE_SECONDS)
        self._lives.append(time.monotonic() - started)
        assert process.returncode == 0, f"exit {process.returncode}: {output.decode()[-300:]}"

    def clear(self, *, is_over_old: bool) -> None:
        """Nothing there, or the old package alone."""
        shutil.rmtree(self.dist, ignore_errors=True)
        if is_over_old:
            shutil.copytree(self.folder / OLD, self.dist)

    def found(self) -> str:
        """Which package a reader finds.

        Raises:
            AssertionError: one that is neither the old nor the new one, or does not verify.
        """
        if not (self.dist / NAME).exists():
            return ABSENT
        try:
            statement = self._statement()
        except InfwasiError as error:
            raise AssertionError(f"a package is visible and not whole: {error}") from error
        assert statement in self._statements, "a package of another statement is visible"
        return self._statements[statement]

    def hidden(self) -> list[str]:
        """What runs have left behind."""
        return sorted(path.name for path in self.dist.glob(".*")) if self.dist.exists() else []

    def _statement(self) -> str:
        """The digest of the statement of a package that verifies, all digests computed."""
        request = VerifyRequest(
            location=self.dist / NAME,
            policy=Policy(package=DirectoryNamed(directory=NAME), digests=frozenset(Algorithm)),
            now=NOW,
        )
        with verify(
            request,
            store=DirectoryStore(),
            signatures=KeyVerifier([TrustedKey(name="release", public_key=self._key)]),
            measure_bytes=measure_bytes,
        ) as verified:
            return str(verified.statement_digest)


def moment(seed: int, number: int, count: int, attempt: int = 0) -> float:
    """When to kill, as a share of an undisturbed run: each run has a stretch of its own.

    Who was too late is earlier at the next attempt.
    """
    rng = Random(f"{seed}/{number}/{attempt}")  # noqa: S311 -- repeatable, not secret
    return 0.8**attempt * (number + rng.random()) / count


def kill(ground: Ground, seed: int, number: int, count: int) -> Kill:
    """One run, killed; half of them over the old package."""
    is_over_old = number % 2 == 1
    for attempt in range(_ATTEMPTS):
        seconds = moment(seed, number, count, attempt) * ground.life_seconds
        ground.clear(is_over_old=is_over_old)
        with ground.start() as process:
            time.sleep(seconds)
            process.kill()
            process.communicate(timeout=_PATIENCE_SECONDS)
        if process.returncode < 0:
            break
    found, failure = "", ""
    leftovers = ground.hidden()
    try:
        found = ground.found()
        assert found == NEW or (found == OLD) == is_over_old, f"found the {found} package"
        ground.pack()
        assert ground.found() == NEW, "the next run made another package"
        assert ground.hidden() == [], "the next run has not cleared up"
    except AssertionError as error:
        failure = str(error)
    return Kill(
        number=number,
        seconds=round(seconds, 4),
        is_over_old=is_over_old,
        was_killed=process.returncode < 0,
        found=found,
        leftovers=len(leftovers),
        failure=failure,
    )


def kills(seed: int, count: int, *, record: Path, resume: bool) -> Iterator[Kill]:
    """All of them, one after the other; what is done stands in ``record``, line by line."""
    head = {"seed": seed, "count": count, "code": code_digest()}
    done = _recorded(record, head) if resume else {}
    record.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(head), *(json.dumps(asdict(one)) for one in done.values())]
    record.write_text("\n".join(lines) + "\n")
    yield from done.values()
    with record.open("a") as file, TemporaryDirectory(prefix="kills-") as name:
        ground = Ground(Path(name))
        for number in range(count):
            if number in done:
                continue
            one = kill(ground, seed, number, count)
            file.write(json.dumps(asdict(one)) + "\n")
            file.flush()
            yield one


def _recorded(record: Path, head: Mapping[str, Any]) -> dict[int, Kill]:
    """What an earlier run of the same code has done."""
    try:
        lines = record.read_text().splitlines()
    except FileNotFoundError:
        return {}
    done: dict[int, Kill] = {}
    if not lines or json.loads(lines[0]) != head:
        return done
    for line in lines[1:]:
        try:
            one = Kill(**json.loads(line))
        except json.JSONDecodeError:  # the line that an interruption cut off
            break
        done[one.number] = one
    return done


def summary(done: list[Kill]) -> dict[str, Any]:
    """Figures of all runs, and the verdict: ``passed``, or why not."""
    failures = [{"number": one.number, "what": one.failure} for one in done if one.failure]
    killed = [one for one in done if one.was_killed]
    reasons = [f"{len(failures)} of {len(done)} runs failed"] if failures else []
    if len(killed) < len(done):
        reasons.append(f"only {len(killed)} of {len(done)} runs were killed")
    if len(done) >= 100:  # else chance decides what was met
        met = {one.found for one in killed}
        met |= {"leftovers" for one in killed if one.leftovers}
        reasons += [f"no kill met {what}" for what in (ABSENT, OLD, "leftovers") if what not in met]
    return {
        "runs": len(done),
        "killed": len(killed),
        "over_an_old_package": sum(one.is_over_old for one in killed),
        "found": dict(sorted(Counter(one.found or "half" for one in done).items())),
        "with_leftovers": sum(one.leftovers > 0 for one in killed),
        "failures": failures,
        "verdict": "; ".join(reasons) or "passed",
    }


def main(arguments: list[str] | None = None) -> int:
    """Kill, write the result; 1 if a half package was seen or a next run failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.gym.kills")
    parser.add_argument("--count", type=int, default=200, help="runs to kill [default: 200]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", action="store_true", help="go on where a run was interrupted")
    parser.add_argument("--output", type=Path, default=RESULTS / "kills.json")
    options = parser.parse_args(arguments)

    started = time.monotonic()
    record = options.output.with_suffix(".part.jsonl")
    done: list[Kill] = []
    for one in kills(options.seed, options.count, record=record, resume=options.resume):
        done.append(one)
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{len(done)} of {options.count} killed ")
            sys.stderr.flush()
    result = {
        "machine": machine(),
        "seed": options.seed,
        "count": options.count,
        **summary(done),
        "seconds": round(time.monotonic() - started, 1),
    }
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    record.unlink()
    print(f"{len(done)} runs of pack, killed: {result['verdict']}")  # noqa: T201 -- the outcome
    return 0 if result["verdict"] == "passed" else 1


if __name__ == "__main__":
    os.environ.setdefault("INFWASI_STATE_DIR", "/nonexistent")  # packing remembers nothing
    sys.exit(main())
