"""Runs races one after the other: numbers come in line by line, an answer for each goes out."""

import contextlib
import json
import os
import re
import signal
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from infwasi_sign.domain.load_level import LoadLevel
from tests.gym.race_attacks import DONE, WAITING, Attacker, Strike
from tests.gym.race_runner import (
    HANG_SECONDS,
    PHASES,
    Board,
    Ending,
    Running,
    import_what_runs_import,
)
from tests.gym.race_scene import NAME, Ground, Order, Plan, Rung, rungs

ANSWERED, REFUSED, UNDECIDED = "answered", "refused", "undecided"
LATE: Final = "late"
HELD: Final = "held back"
_VERDICTS: Final = (ANSWERED, REFUSED, UNDECIDED)
_ENDINGS: Final = {0: ANSWERED, 1: REFUSED, 2: UNDECIDED, 3: "guest failed"}
_NEVER_SAID: Final = ("Traceback", "internal error", "Exception ignored")
_FIRST_GUESS_SECONDS: Final = 0.01
_MEMORY: Final = 0.8  # of what was learned about the length of a phase


@dataclass(frozen=True, kw_only=True)
class Race:
    """One run, what was done to it and when it landed, how it ended, and what is wrong with that.

    ``landed`` is the phase in which the attacker's call ended, or `LATE`; ``changed_bytes`` are
    those that llama.cpp had mapped at the end and nobody had signed.
    """

    number: int
    is_control: bool
    rung: str
    level: str
    attack: str
    aimed: str
    landed: str
    outcome: str
    ending: str
    changed_bytes: int
    is_answer_same: bool
    seconds_to_end: float  # from the end of the attack's call; from its beginning if it was held
    failure: str

    @property
    def is_unnoticed(self) -> bool:
        """Other bytes were used, and the run says that all is well: what must never be."""
        return self.ending == ANSWERED and (self.changed_bytes > 0 or not self.is_answer_same)


def judge(plan: Plan, strike: Strike, ending: Ending, signed_answer: str) -> Race:
    """Hold a run to what must be."""
    is_held = _was_held(plan, strike, ending)
    outcome = HELD if is_held else strike.outcome
    moment = strike.began_ns if is_held else strike.ended_ns
    landed = _phase_at(moment, ending)
    level = re.search(r"^model held by ([a-z-]+)", ending.said, re.MULTILINE)
    race = Race(
        number=plan.number,
        is_control=plan.is_control,
        rung=plan.rung.name,
        level=level[1] if level else "",
        attack=plan.attack,
        aimed=PHASES[plan.phase],
        landed=landed,
        outcome=outcome,
        ending=_ending(ending),
        changed_bytes=ending.changed_bytes,
        is_answer_same=ending.answer == signed_answer,
        seconds_to_end=0.0 if landed == LATE else round((ending.ended_ns - moment) / 1e9, 4),
        failure="",
    )
    failure = _failure(plan.rung, plan.attack, race, ending, signed_answer)
    return Race(**{**asdict(race), "failure": failure})


def _was_held(plan: Plan, strike: Strike, ending: Ending) -> bool:
    """Whether a call that waits had to: it ended when the lease was given back, not before.

    Had it ended before the lease was taken, there would be none.
    """
    is_leased = plan.rung.level is LoadLevel.READ_LEASE and not plan.is_control
    guarded_ns = ending.marks[PHASES.index("lease to hash")]
    return is_leased and plan.attack in WAITING and 0 < guarded_ns < strike.ended_ns


def _phase_at(moment_ns: int, ending: Ending) -> str:
    *begins, end = ending.marks
    if not begins[0] <= moment_ns < (end or ending.ended_ns):
        return LATE
    return PHASES[max(n for n, begin in enumerate(begins) if begin and begin <= moment_ns)]


def _ending(ending: Ending) -> str:
    match ending.code:
        case None:
            return "hung"
        case code if code < 0:
            return signal.Signals(-code).name
        case code:
            kind = re.search(r"^refused: ([a-z-]+):", ending.said, re.MULTILINE)
            word = _ENDINGS.get(code, f"exit {code}")
            return f"{word}: {kind[1]}" if word == REFUSED and kind else word


def _failure(rung: Rung, attack: str, race: Race, ending: Ending, signed_answer: str) -> str:
    """Why the run is a bad one; empty if it is not."""
    may_be_cut = rung.is_owner and attack.endswith("truncate")
    wrong = {
        f"it hung for {HANG_SECONDS:g} s": ending.code is None,
        f"it ended with {race.ending}": not race.ending.startswith(_VERDICTS)
        and not (race.ending == "SIGBUS" and may_be_cut),
        "other bytes were used, and nobody noticed": race.is_unnoticed,
        "it was held in another way": race.ending == ANSWERED
        and race.level != rung.level.label
        and not rung.is_owner  # who changes its mode before it is held has it copied
        and race.landed not in PHASES[:2],  # as has who has it open just then
        "it answered without the model": ending.code == 0 and ending.mapped_bytes == 0,
        "a piece was let out, and the run was not refused": ending.code != 0
        and bool(ending.answer)
        and not race.ending.startswith((REFUSED, "SIGBUS")),
        "mapped bytes changed while they were held": not rung.is_owner and ending.changed_bytes > 0,
        "a piece was let out that the signed bytes do not say": not rung.is_owner
        and not signed_answer.startswith(ending.answer),
        "an attack succeeded that the system should deny": rung.is_denied and race.outcome == DONE,
    }
    reasons = [what for what, is_so in wrong.items() if is_so]
    reasons += [f"it said {words}" for words in _NEVER_SAID if words in ending.said]
    if reasons and ending.said:
        reasons.append(f"it said {ending.said[-300:]!r}")
    return "; ".join(reasons)


class Ring:
    """One worker's attackers, board and ground."""

    def __init__(self, honest: Path, folder: Path, seed: int) -> None:
        self._seed = seed
        self._rungs = rungs(is_root=os.geteuid() == 0)
        self._closing = contextlib.ExitStack()
        self._board = Board()
        self._attackers = {
            user: self._closing.enter_context(Attacker(user, self._board.reader))
            for user in {rung.attacker for rung in self._rungs}
        }
        self._ground = Ground(honest, folder)
        self._signed = self._ground.signed
        self._lengths = dict.fromkeys(range(len(PHASES)), _FIRST_GUESS_SECONDS)
        plan = Plan.of(seed, Order(number=0), self._rungs)
        with self._ground.place(plan) as place:
            # Of Python's files another user may see none, so who runs the gym imports for all.
            start = replace(
                self._ground.start(plan, place), user=None, home=self._ground.home(None)
            )
            self._answer = import_what_runs_import(self._board, start, self._signed)

    def race(self, order: Order) -> Race:
        """One of them."""
        plan = Plan.of(self._seed, order, self._rungs)
        attacker = self._attackers[plan.rung.attacker]
        with self._ground.place(plan) as place:
            self._board.clear()
            attacker.prepare(self._ground.job(plan, place, self._lengths[plan.phase]))
            running = Running(self._board, self._ground.start(plan, place), self._signed)
            attacker.aim(running.process)
            ending = running.end()
            strike = attacker.strike()
        self._learn(ending)
        return judge(plan, strike, ending, self._answer)

    def denials(self) -> dict[str, str]:
        """What an attacker is told who opens the model of each rung for writing, before all."""
        told = {}
        for number, rung in enumerate(self._rungs):
            if rung.is_denied:
                plan = Plan.of(self._seed, Order(number=number), self._rungs)
                with self._ground.place(plan) as place:
                    model = place / "package" / NAME / "model.gguf"
                    told[rung.name] = self._attackers[rung.attacker].denied(model)
        return told

    def _learn(self, ending: Ending) -> None:
        for phase in range(len(PHASES)):
            begin, end = ending.marks[phase : phase + 2]
            if begin and end:
                before = _MEMORY * self._lengths[phase]
                self._lengths[phase] = before + (1 - _MEMORY) * (end - begin) / 1e9

    def __enter__(self) -> "Ring":
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()


def main() -> None:
    """`python -m tests.gym.race_worker HONEST FOLDER SEED`."""
    honest, folder, seed = sys.argv[1:]
    with Ring(Path(honest), Path(folder), int(seed)) as ring:
        _send(ring.denials())
        for line in sys.stdin:
            _send(asdict(ring.race(Order(**json.loads(line)))))


def _send(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
