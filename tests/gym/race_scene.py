"""Where races are run: who owns the model, who runs it, who attacks, and what there is to try."""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from infwasi_sign.domain.load_level import LoadLevel
from tests.gym.race_attacks import NEW, OLD, Job
from tests.gym.race_runner import NO_MEMORY, PHASES, Start

RUNNER: Final = 65534  # owns nothing but what it is given
OTHER: Final = 65533  # another ordinary user
ROOT: Final = 0
NAME: Final = "capital-1.0.0"
PROMPT: Final = "What is the capital of Sweden? " * 8
MAX_TOKENS: Final = 48
WRITING: Final = ("write", "write-mapped", "old-write", "old-mapped")
_AIMS: Final = (0, 1, 2, 3, 4, 5, 2, 0)  # the phases, and those once more that are often missed
_LATEST: Final = 0.9  # of a phase: who aims at its very end is mostly late
_SETTLED_SECONDS: Final = 2.2  # a file of root's is believed in when it is 2 s old
_POOL: Final = 16
_STRETCH_SECONDS: Final = 0.004


@dataclass(frozen=True, kw_only=True)
class Rung:
    """A way in which the model is held, and an attacker who is there for it.

    ``owner`` is None where all are the user who runs the gym. Where the attacker ``is_owner`` of a
    file that is held by its owner alone, what is documented may happen: a piece may be let out
    before the change is noticed, and a file that is cut short ends the process by SIGBUS.
    """

    name: str
    level: LoadLevel
    owner: int | None
    runner: int | None
    attacker: int | None
    attacks: tuple[str, ...]
    is_denied: bool = False
    is_owner: bool = False

    @property
    def has_writer(self) -> bool:
        """Somebody has the model open for writing all the time, so that there is no lease."""
        return self.level in {LoadLevel.SEALED_MEMFD, LoadLevel.PRIVATE_COPY}


def rungs(*, is_root: bool) -> tuple[Rung, ...]:
    """All that can be reached by who runs the gym."""
    user = RUNNER if is_root else None
    levels = [LoadLevel.READ_LEASE, LoadLevel.SEALED_MEMFD]
    levels += [LoadLevel.PRIVATE_COPY] if NO_MEMORY is not None else []
    same = [
        Rung(
            name=level.label,
            level=level,
            owner=user,
            runner=user,
            attacker=user,
            attacks=NEW if level is LoadLevel.READ_LEASE else NEW + OLD,
        )
        for level in levels
    ]
    foreign = [
        Rung(
            name=f"foreign-owner, {who}",
            level=LoadLevel.FOREIGN_OWNER,
            owner=ROOT,
            runner=RUNNER,
            attacker=attacker,
            attacks=NEW + OLD if attacker == ROOT else NEW,
            is_denied=attacker != ROOT,
            is_owner=attacker == ROOT,
        )
        for who, attacker in (
            ("attacked by its runner's user", RUNNER),
            ("attacked by another user", OTHER),
            ("attacked by its owner", ROOT),
        )
    ]
    return tuple(same + foreign if is_root else same)


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a worker is told: a number from which all follows, and where to aim if that is given."""

    number: int
    is_control: bool = False
    rung: str | None = None
    phase: int | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One race: it follows from the seed and the order alone."""

    number: int
    rung: Rung
    attack: str
    phase: int
    moment: float  # a share of the phase
    share: float  # where in the weights
    stretch_seconds: float
    is_control: bool = False

    @staticmethod
    def of(seed: int, order: Order, all_rungs: tuple[Rung, ...]) -> "Plan":
        """Rungs, phases and attacks in turn, the moment by chance.

        Controls have the attacks that change mapped bytes if nothing holds them, after the hash.
        """
        number = order.number
        rng = Random(f"{seed}/{order.is_control}/{number}")  # noqa: S311 -- repeatable, not secret
        rung = all_rungs[number % len(all_rungs)]
        turn = number // len(all_rungs)
        if order.is_control:
            attack = WRITING[turn % len(WRITING)]
            phase = PHASES.index("hash to load") + turn % 3
        elif order.rung is None or order.phase is None:
            phase = _AIMS[turn % len(_AIMS)]
            attack = rung.attacks[turn // len(_AIMS) % len(rung.attacks)]
        else:
            rung = next(one for one in all_rungs if one.name == order.rung)
            phase, attack = order.phase, rng.choice(rung.attacks)
        return Plan(
            number=number,
            rung=rung,
            attack=attack,
            phase=phase,
            moment=rng.random(),
            share=rng.random(),
            stretch_seconds=rng.choice((0.0, _STRETCH_SECONDS * rng.random())),
            is_control=order.is_control,
        )


class Ground:
    """The folders of one worker below ``folder``; ``honest`` has both packages and the key."""

    def __init__(self, honest: Path, folder: Path) -> None:
        self._honest = honest
        self._folder = folder
        self._pool: dict[str, list[tuple[float, Path]]] = {}
        self._made = 0
        folder.mkdir()
        folder.chmod(0o755)
        self._homes: set[int | None] = set()

    @property
    def signed(self) -> bytes:
        return (self._honest / "package" / NAME / "model.gguf").read_bytes()

    def start(self, plan: Plan, place: Path) -> Start:
        """The command of a run as a user types it."""
        words = (str(place / "package" / NAME), "--key", str(self._honest / "trusted.pub"))
        options = ("--threads", "1", "--max-tokens", str(MAX_TOKENS))
        return Start(
            user=plan.rung.runner,
            words=(*words, *options, PROMPT),
            home=self.home(plan.rung.runner),
            stretched=plan.phase,
            stretch_seconds=plan.stretch_seconds,
            pretended=plan.rung.level if plan.is_control else None,
            without_memory=plan.rung.level is LoadLevel.PRIVATE_COPY,
        )

    def job(self, plan: Plan, place: Path, phase_seconds: float) -> Job:
        """What the attacker is told."""
        return Job(
            attack=plan.attack,
            package=place / "package" / NAME,
            other=place / "other" / NAME,
            spare=place / "spare",
            phase=plan.phase,
            delay_seconds=_LATEST * plan.moment * (phase_seconds + plan.stretch_seconds),
            share=plan.share,
        )

    @contextlib.contextmanager
    def place(self, plan: Plan) -> Iterator[Path]:
        """A folder with the package, and the other one; in a control they are the attacker's."""
        rung = plan.rung
        owner = rung.attacker if plan.is_control else rung.owner
        place = self._settled(rung.name, owner) if owner == ROOT else self._fresh(owner)
        model = place / "package" / NAME / "model.gguf"
        before = model.stat()
        with contextlib.ExitStack() as held:
            if rung.has_writer:
                held.enter_context(model.open("r+b"))
            yield place
        if rung.is_denied and not plan.is_control:
            after = model.stat()
            same = ("st_ino", "st_size", "st_mtime_ns", "st_ctime_ns", "st_mode", "st_nlink")
            changed = [name for name in same if getattr(before, name) != getattr(after, name)]
            assert not changed, f"who should be denied has changed {changed}"
            self._pool[rung.name].append((0.0, place))
        else:
            shutil.rmtree(place)

    def _fresh(self, owner: int | None) -> Path:
        place = self._folder / str(self._made)
        self._made += 1
        shutil.copytree(self._honest, place)
        if owner is not None:
            for path in (place, *place.rglob("*")):
                os.chown(path, owner, owner)
        return place

    def _settled(self, name: str, owner: int | None) -> Path:
        """One whose files are so old that a change gets another ctime."""
        waiting = self._pool.setdefault(name, [])
        while len(waiting) < _POOL:
            waiting.append((time.monotonic(), self._fresh(owner)))
        made, place = waiting.pop(0)
        time.sleep(max(0.0, made + _SETTLED_SECONDS - time.monotonic()))
        return place

    def home(self, user: int | None) -> Path:
        """Where a user's state and caches are."""
        home = self._folder / f"home-{user}"
        if user not in self._homes:
            self._homes.add(user)
            home.mkdir(mode=0o700)
            if user is not None:
                os.chown(home, user, user)
        return home
