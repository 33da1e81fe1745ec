"""One in a hundred of the gym's races, and what would make a race a bad one."""

import ctypes
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infwasi_sign.adapters.holding import LEASE_FILE_SYSTEMS, file_system_type
from infwasi_sign.domain.gguf import model_facts, parse
from infwasi_sign.domain.load_level import LoadLevel
from tests.gguf_forge import WatchedSource
from tests.gym import race, race_crew
from tests.gym.race import AT_LEAST, RACES, main, summary
from tests.gym.race_attacks import ATTACKS, DONE, Blow, Job, Strike
from tests.gym.race_crew import Course, more_orders
from tests.gym.race_model import race_model
from tests.gym.race_runner import PHASES, Ending, compare
from tests.gym.race_scene import Order, Plan, Rung, rungs
from tests.gym.race_worker import HELD, LATE, Race, judge

COUNT = 50
SEED = 1
SIGNED, OTHER = "package", "other"


# --- races -----------------------------------------------------------------------------------


@pytest.fixture
def folder() -> Path:
    path = Path("/var/tmp")
    descriptor = os.open(path, os.O_RDONLY)
    kind = file_system_type(descriptor)
    os.close(descriptor)
    if kind not in LEASE_FILE_SYSTEMS:
        pytest.skip(f"a lease means nothing in {path} (type 0x{kind:x})")
    return path


def test_a_run_under_attack_uses_the_signed_bytes_or_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "race.json"
    words = ["--count", str(COUNT), "--seed", str(SEED), "--output", str(output)]
    code = main([*words, "--folder", str(folder)])
    result = json.loads(output.read_text())
    assert (result["failures"], result["bad"], result["hung"]) == ([], 0, 0)
    assert (code, result["verdict"]) == (0, "passed")
    assert result["runs"] >= COUNT  # some more where none has landed
    there = rungs(is_root=os.geteuid() == 0)
    assert set(result["controls"]) == {rung.name for rung in there}
    # The same attacks, and nothing holds the model.
    for name, control in result["controls"].items():
        assert control["other_bytes_used_and_said_to_be_well"] > 0, name
    assert result["denied_first"] == {rung.name: "EACCES" for rung in there if rung.is_denied}
    runs = result["runs"]
    assert capsys.readouterr().out == f"{runs} races, {len(there)} controls: passed\n"
    assert list(tmp_path.iterdir()) == [output]


def test_goes_on_where_it_was_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = []

    class Crew:
        def __init__(self, *_: object) -> None:
            pass

        def run(self, orders: Sequence[Order]) -> Iterator[Race]:
            for order in orders:
                numbers.append(order.number)
                if numbers == [0, 1]:
                    raise KeyboardInterrupt
                yield one(number=order.number)

        def __enter__(self) -> "Crew":
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(race_crew, "_Crew", Crew)
    monkeypatch.setattr(race_crew, "make_honest", lambda _: None)
    monkeypatch.setattr(race, "file_system", lambda _: "ext4")
    command = ["--count", "3", "--controls", "0", "--resume", "--folder", str(tmp_path)]
    command += ["--output", str(tmp_path / "race.json")]
    with pytest.raises(KeyboardInterrupt):
        main(command)
    main(command)
    assert numbers == [0, 1, 1, 2]


# --- attacks, where nothing holds the model --------------------------------------------------

KEEPS_THE_BYTES = {"link": "st_nlink", "chmod": "st_mode", "write-and-put-back": "st_ctime_ns"}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    for seed, name in enumerate((SIGNED, OTHER)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.gguf").write_bytes(race_model(seed))
    return Job(
        attack="",
        package=tmp_path / SIGNED,
        other=tmp_path / OTHER,
        spare=tmp_path / "spare",
        phase=0,
        delay_seconds=0.0,
        share=0.5,
    )


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_changes_a_model_that_nobody_holds(attack: str, job: Job) -> None:
    before, status = job.model.read_bytes(), job.model.stat()
    blow = Blow(replace(job, attack=attack))
    blow.runner = os.getpid()
    with job.model.open("rb"):  # what is attacked through the runner
        blow.strike()
    blow.close()
    assert (job.model.read_bytes() == before) == (attack in KEEPS_THE_BYTES)
    if attack in KEEPS_THE_BYTES:
        name = KEEPS_THE_BYTES[attack]
        assert getattr(job.model.stat(), name) != getattr(status, name)


def test_the_two_models_are_of_one_size_and_can_chat() -> None:
    first, second = race_model(0), race_model(1)
    assert len(first) == len(second)
    assert first != second
    assert model_facts(parse(WatchedSource(first))).can_chat


@pytest.mark.parametrize(("device", "found"), [("00:01", (4, 1)), ("fe:00", (0, 0))])
def test_the_oracle_reads_memory_of_that_file_and_no_other(
    device: str, found: tuple[int, int], tmp_path: Path
) -> None:
    memory = ctypes.create_string_buffer(b"abXd")
    begin = ctypes.addressof(memory)
    maps = tmp_path / "maps"
    maps.write_text(f"{begin:x}-{begin + 4:x} r--s 00000002 00:01 4711    /memfd:model\n")
    with maps.open("rb") as file:
        assert compare(file.fileno(), (device, 4711), b"--abcd") == found


# --- what is bad -----------------------------------------------------------------------------

ANSWER = "letters"
OF_THE_SIGNED = f"model held by {LoadLevel.READ_LEASE.label}; max-tokens 48\n"
REFUSED = "refused: level: the model was opened for writing while in use\n"
LEASE, MEMFD, *_ = rungs(is_root=False)
OWNER = replace(LEASE, name="owner", level=LoadLevel.FOREIGN_OWNER, is_owner=True)
DENIED = replace(LEASE, name="denied", level=LoadLevel.FOREIGN_OWNER, is_denied=True)
FINE = Ending(
    code=0,
    answer=ANSWER,
    said=OF_THE_SIGNED,
    marks=(10, 20, 30, 40, 50, 60, 70),
    ended_ns=80,
    mapped_bytes=1000,
    changed_bytes=0,
)
IN_TOKENS = Strike(outcome="EAGAIN", began_ns=61, ended_ns=62)


def plan(rung: Rung = LEASE, attack: str = "write") -> Plan:
    return replace(Plan.of(SEED, Order(number=0), (rung,)), attack=attack)


def judged(rung: Rung = LEASE, attack: str = "write", **changes: Any) -> Race:
    return judge(plan(rung, attack), IN_TOKENS, replace(FINE, **changes), ANSWER)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"code": 1, "said": REFUSED, "answer": ""},
        {"code": 1, "said": REFUSED, "answer": ANSWER[:3]},
        {"code": 2, "said": "error: cannot read the model\n", "answer": "", "mapped_bytes": 0},
        {"rung": OWNER, "code": 1, "said": REFUSED, "changed_bytes": 5, "answer": "other"},
        {"rung": OWNER, "attack": "truncate", "code": -7, "answer": ANSWER[:3]},
    ],
)
def test_a_run_is_not_bad(changes: dict[str, Any]) -> None:
    assert judged(**changes).failure == ""


@pytest.mark.parametrize(
    ("changes", "failure"),
    [
        ({"code": None}, "it hung for 30 s"),
        ({"code": 3, "answer": ""}, "it ended with guest failed"),
        ({"code": 70, "answer": ""}, "it ended with exit 70"),
        ({"code": -11, "answer": ""}, "it ended with SIGSEGV"),
        ({"code": -7, "attack": "truncate", "answer": ""}, "it ended with SIGBUS"),
        ({"code": -7, "rung": OWNER, "answer": ""}, "it ended with SIGBUS"),
        ({"answer": "other"}, "other bytes were used, and nobody noticed"),
        ({"rung": OWNER, "changed_bytes": 1}, "other bytes were used, and nobody noticed"),
        ({"mapped_bytes": 0}, "it answered without the model"),
        ({"code": 2, "answer": ANSWER[:3]}, "a piece was let out, and the run was not refused"),
        ({"code": 1, "said": REFUSED, "changed_bytes": 1}, "mapped bytes changed while they were"),
        (
            {"code": 1, "said": REFUSED, "answer": "other"},
            "a piece was let out that the signed bytes do not say",
        ),
        ({"rung": MEMFD}, "it was held in another way"),
        ({"code": 2, "answer": "", "said": "Traceback"}, "it said Traceback"),
    ],
)
def test_a_run_is_bad(changes: dict[str, Any], failure: str) -> None:
    assert judged(**changes).failure.startswith(failure)


def test_a_denied_attack_that_succeeds_is_bad() -> None:
    said = "model held by foreign-owner; max-tokens 48\n"
    strike = replace(IN_TOKENS, outcome=DONE)
    race = judge(plan(DENIED), strike, replace(FINE, said=said), ANSWER)
    assert race.failure.startswith("an attack succeeded that the system should deny")


@pytest.mark.parametrize(
    ("ended_ns", "phase"),
    [
        (9, LATE),
        (10, "before open"),
        (29, "open to lease"),
        (30, "lease to hash"),
        (45, "hash to load"),
        (50, "prompt"),
        (69, "tokens"),
        (70, LATE),  # the oracle looks
        (85, LATE),
    ],
)
def test_an_attack_lands_where_its_call_ends(ended_ns: int, phase: str) -> None:
    strike = Strike(outcome="EAGAIN", began_ns=9, ended_ns=ended_ns)
    assert judge(plan(), strike, FINE, ANSWER).landed == phase


def test_a_call_that_has_to_wait_lands_where_it_begins() -> None:
    strike = Strike(outcome=DONE, began_ns=45, ended_ns=79)
    race = judge(plan(attack="truncate"), strike, FINE, ANSWER)
    assert (race.outcome, race.landed) == (HELD, "hash to load")
    race = judge(plan(MEMFD, "truncate"), strike, FINE, ANSWER)
    assert (race.outcome, race.landed) == (DONE, LATE)


def test_a_phase_that_is_not_reached_does_not_end_the_one_before() -> None:
    ending = replace(FINE, code=1, said=REFUSED, answer="", marks=(10, 20, 30, 0, 0, 0, 0))
    strike = Strike(outcome="EAGAIN", began_ns=31, ended_ns=79)
    assert judge(plan(), strike, ending, ANSWER).landed == "lease to hash"


def one(number: int = 0, **changes: Any) -> Race:
    return replace(judged(), number=number, **changes)


def all_landed(times: int) -> list[Race]:
    names = [rung.name for rung in rungs(is_root=os.geteuid() == 0)]
    return [
        one(rung=name, landed=phase) for name in names for phase in PHASES for _ in range(times)
    ]


def unnoticed() -> list[Race]:
    return [
        one(rung=rung.name, changed_bytes=1, failure="unnoticed")
        for rung in rungs(is_root=os.geteuid() == 0)
    ]


def test_the_gym_fails_if_a_race_is_bad_or_too_few_land_or_a_control_is_blind() -> None:
    good = all_landed(AT_LEAST)
    assert summary(good, unnoticed(), AT_LEAST)["verdict"] == "passed"
    assert summary([*good, one(failure="hung")], unnoticed(), AT_LEAST)["verdict"] == (
        f"1 of {len(good) + 1} runs are bad"
    )
    assert summary(good[1:], unnoticed(), AT_LEAST)["verdict"] == (
        "99 attempts in before open of read-lease, fewer than 100"
    )
    assert summary(good, unnoticed()[1:], AT_LEAST)["verdict"] == (
        "nothing noticed without read-lease"
    )


def test_more_races_aim_where_too_few_attempts_have_landed(tmp_path: Path) -> None:
    course = Course(
        seed=SEED,
        count=0,
        controls=0,
        least=10,
        workers=1,
        folder=tmp_path,
        record=tmp_path,
        resume=False,
    )
    raced = [replace(each, number=n) for n, each in enumerate(all_landed(10))]
    assert more_orders(raced, course) == []
    orders = more_orders(raced[7:], course)  # of the first phase of the first rung
    assert {(order.rung, order.phase) for order in orders} == {("read-lease", 0)}
    assert [order.number for order in orders] == [len(raced) + n for n in range(10)]
    aimed = Plan.of(SEED, replace(orders[0], rung=MEMFD.name, phase=5), (LEASE, MEMFD))
    assert (aimed.rung, aimed.phase) == (MEMFD, 5)


def test_every_attack_comes_in_every_phase() -> None:
    there = rungs(is_root=True)
    planned = {
        (made.rung.name, made.attack, made.phase)
        for made in (Plan.of(SEED, Order(number=n), there) for n in range(RACES * len(there)))
    }
    assert planned == {
        (rung.name, attack, phase)
        for rung in there
        for attack in rung.attacks
        for phase in range(len(PHASES))
    }
