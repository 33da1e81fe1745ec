"""One in a hundred of the gym's mutants, and each check of verification switched off."""

import json
from pathlib import Path
from random import Random

import pytest

from tests.gym.__main__ import main
from tests.gym.controls import CONTROLS, Control, run_control
from tests.gym.draft import MUTATORS, Draft, Honest
from tests.gym.oracle import ACCEPTED, judge, mutant
from tests.gym.training import Tally, train, train_here

SEED = 1
COUNT = 1_000


@pytest.fixture(scope="module")
def honest() -> Honest:
    return Honest.make()


def test_accepts_the_package_that_nobody_spoiled(honest: Honest, tmp_path: Path) -> None:
    assert judge(Draft.of(honest), tmp_path) == (ACCEPTED, "")


def test_refuses_every_mutant(honest: Honest) -> None:
    tally = train_here(honest, SEED, range(COUNT))
    assert tally.failures == []
    assert tally.verdict() == []
    assert tally.done == COUNT


@pytest.mark.parametrize("name", sorted(MUTATORS))
def test_mutator_never_leaves_the_package_as_it_was(name: str, honest: Honest) -> None:
    for number in range(10):
        draft = Draft.of(honest)
        MUTATORS[name].spoil(draft, Random(number))  # noqa: S311 -- repeatable, not secret
        assert not draft.is_honest()


def test_mutants_follow_from_seed_and_number(honest: Honest) -> None:
    for number in range(100):
        one, other = (mutant(honest, SEED, number)[0] for _ in range(2))
        assert (one.files, one.directory, one.now) == (other.files, other.directory, other.now)
    assert mutant(honest, SEED, 0)[0].files != mutant(honest, SEED + 1, 0)[0].files


@pytest.mark.parametrize("one", CONTROLS, ids=lambda one: f"{one.step}-{one.claim}")
def test_without_the_check_a_mutant_gets_through(one: Control, honest: Honest) -> None:
    line = run_control(one, honest, SEED)
    assert line["is_noticed"], line


def test_each_step_of_verification_has_a_control() -> None:
    assert {one.step for one in CONTROLS} == set(range(1, 8))


def test_a_check_that_nothing_needs_fails_the_gym(honest: Honest) -> None:
    idle = Control(step=1, claim="idle", switches=(), mutators=("bit-flips",), attempts=20)
    assert run_control(idle, honest, SEED)["why"] == "none of 20 mutants got through"


def test_run_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    record = tmp_path / "gym.part.jsonl"

    def interrupt(tally: Tally) -> None:
        if tally.done >= 250:
            raise KeyboardInterrupt

    def run(progress: object) -> Tally:
        assert callable(progress)
        return train(SEED, 500, workers=1, record=record, resume=True, progress=progress)

    with pytest.raises(KeyboardInterrupt):
        run(interrupt)
    first = record.read_text().splitlines()
    record.write_text("\n".join([*first, '{"start": 250, "do']) + "\n")
    done: list[int] = []
    tally = run(lambda tally: done.append(tally.done))
    assert len(first) == 2
    assert done == [500]
    assert tally.done == tally.kinds.total() == 500


def test_command_writes_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "gym.json"
    arguments = ["--count", "20", "--workers", "1", "--output", str(output)]
    assert main(arguments) == 0
    result = json.loads(output.read_text())
    assert result["mutants"] == 20
    assert result["accepted"] == result["crashes"] == 0
    assert result["verdict"] == "passed"
    assert len(result["controls"]) == len(CONTROLS)
    assert capsys.readouterr().out == f"20 mutants, {len(CONTROLS)} controls: passed\n"
    assert list(tmp_path.iterdir()) == [output]
