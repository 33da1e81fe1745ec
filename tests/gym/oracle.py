"""Says what the real verifier answers to a mutant, and whether that is an answer it may give."""

import contextlib
import resource
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import FrameType
from typing import Final

from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.package_directory import DirectoryStore
from infwasi_sign.adapters.policy_source import expression_rules
from infwasi_sign.adapters.signature_modes import ModeVerifier
from infwasi_sign.domain.manifest import Manifest
from infwasi_sign.domain.policy import DirectoryNamed, Policy
from infwasi_sign.domain.policy_file import parse_policy
from infwasi_sign.domain.signer import SignerIdentity
from infwasi_sign.errors import RefusalKind, RefusedError, UndecidedError
from infwasi_sign.verify import VerifyRequest, verify
from tests.gym import (
    spoil_certified,
    spoil_contents,
    spoil_files,
    spoil_keyless,
    spoil_modes,
    spoil_policy,
    spoil_signed,
)
from tests.gym.draft import MUTATORS, Draft, Honest, Mutator, scratch
from tests.policy_support import MINIMAL

__all__ = [
    "spoil_certified",
    "spoil_contents",
    "spoil_files",
    "spoil_keyless",
    "spoil_modes",
    "spoil_policy",
    "spoil_signed",
]

ACCEPTED, UNDECIDED, CRASH = "accepted", "undecided", "crash"
LONGEST_SECONDS: Final = 10.0
MOST_BYTES: Final = 512 << 20
KINDS: Final = tuple(str(kind) for kind in RefusalKind)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of one mutant: a refusal's kind, `undecided`, `accepted` or `crash`."""

    number: int
    mutator: str
    kind: str
    sentence: str
    seconds: float
    grown_bytes: int
    is_honest: bool

    @property
    def failure(self) -> str | None:
        """Why the verifier has failed here, if it has."""
        if self.kind == CRASH:
            return f"raised {self.sentence}"
        if self.kind == ACCEPTED and not self.is_honest:
            return "accepted a spoiled package"
        if self.is_honest and self.kind != ACCEPTED:
            return f"refused an honest package: {self.sentence}"
        if self.seconds > LONGEST_SECONDS:
            return f"took {self.seconds:.1f} s"
        if self.grown_bytes > MOST_BYTES:
            return f"took {self.grown_bytes >> 20} MiB"
        return None


class TooSlowError(BaseException):
    """A verification was stopped. No `Exception`, so that nothing takes it for its own."""


@contextlib.contextmanager
def bounded_time(seconds: float) -> Iterator[None]:
    """Stop what runs longer, also a system call that waits."""

    def stop(_: int, __: FrameType | None) -> None:
        raise TooSlowError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def mutant(
    honest: Honest, seed: int, number: int, among: tuple[str, ...] = ()
) -> tuple[Draft, Mutator]:
    """The mutant with this number: the same at every run, on every machine."""
    rng = Random(f"{seed}/{number}/{','.join(among)}")  # noqa: S311 -- repeatable, not secret
    names = sorted(among or MUTATORS)
    chosen = MUTATORS[rng.choices(names, [MUTATORS[name].weight for name in names])[0]]
    draft = Draft.of(honest)
    chosen.spoil(draft, rng)
    return draft, chosen


def judge(draft: Draft, folder: Path) -> tuple[str, str]:
    """The kind and the sentence of the verifier's answer; the package is written to ``folder``."""
    package = draft.write(folder)

    def race(_: Manifest, __: SignerIdentity) -> None:
        if draft.race is not None:
            draft.race(package)

    def race_measuring(_: int) -> None:
        if draft.race_measuring is not None:
            draft.race_measuring(package)

    file = parse_policy((MINIMAL + draft.rules).encode(), where="policy")
    rules = (*file.rules, *expression_rules(file))
    named = DirectoryNamed(directory=draft.asked or package.name)
    request = VerifyRequest(
        location=package,
        policy=Policy(package=named, digests=draft.digests, rules=rules if draft.rules else ()),
        now=draft.now,
        detached=tuple(folder / "outside" / name for name in draft.models),
        hold=draft.hold,
        progress=race_measuring,
        known=lambda _: draft.record,
        on_claims=race,
    )
    try:
        verify(
            request,
            store=DirectoryStore(),
            signatures=ModeVerifier(draft.signers, draft.now),
            measure_bytes=measure_bytes,
        ).close()
    except RefusedError as error:
        return str(error.kind), error.sentence()
    except UndecidedError as error:
        return UNDECIDED, error.sentence()
    return ACCEPTED, ""


def answer(
    honest: Honest, seed: int, number: int, *, below: str | None = None, baseline: int = 0
) -> Answer:
    """Make a mutant ``below`` a folder, verify it, clear it away.

    ``baseline`` is what `peak_bytes` was at the beginning.
    """
    draft, chosen = mutant(honest, seed, number)
    folder = Path(tempfile.mkdtemp(prefix="gym-", dir=below or scratch()))
    started = time.perf_counter()
    try:
        with bounded_time(LONGEST_SECONDS + 1):
            kind, sentence = judge(draft, folder)
    except TooSlowError:
        kind, sentence = CRASH, "nothing: it was stopped"
    except Exception as error:
        kind, sentence = CRASH, f"{type(error).__name__}: {error}"[:300]
    finally:
        seconds = time.perf_counter() - started
        shutil.rmtree(folder)
    return Answer(
        number=number,
        mutator=chosen.name,
        kind=kind,
        sentence=sentence,
        seconds=seconds,
        grown_bytes=peak_bytes() - baseline if baseline else 0,
        is_honest=draft.is_honest(),
    )


def peak_bytes() -> int:
    """The most memory that this process has had; on Linux ru_maxrss is in KiB (getrusage(2))."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
