"""Many writers at once and writers that are killed: nothing goes back and nothing is lost."""

import json
from collections import defaultdict
from pathlib import Path

import pytest

from infwasi_sign.errors import UndecidedError
from tests.state_support import FILE, PRELUDE, names, record, state
from tests.test_rollback import POLICY
from tests.unprivileged import python_output, start_python


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


# --- many processes --------------------------------------------------------------------------

PROCESSES = 8
ROUNDS = 100

WRITER = f"""{PRELUDE}
import random
from infwasi_sign.adapters.state_folder import NotKeptError
from infwasi_sign.domain.rollback import decide_sequence
from infwasi_sign.errors import RefusedError
from tests.state_support import NOW

def advance(one):
    while True:
        try:
            return state().advance(POLICY, one)
        except NotKeptError:  # without the lock they take each other's file away
            if is_locked:
                raise

me, rounds, is_locked = sys.argv[2], int(sys.argv[3]), sys.argv[4] == "locked"
if not is_locked:
    StateFolder._lock = lambda *_: None
random.seed(me)
sys.stdin.readline()  # all start at once
for turn in range(1, rounds + 1):
    seen = state().read(POLICY, "capital")
    sequence = max(0, (seen.sequence if seen else 0) + random.randint(-2, 3))
    mine = record(sequence, f"{{sequence}} by {{me}}")
    try:
        decide_sequence(
            seen, package="capital", sequence=sequence, statement=mine.statement, now=NOW
        )
        advance(mine)
    except RefusedError:
        pass
    else:
        after = state().read(POLICY, "capital").sequence
        print(seen.sequence if seen else 0, sequence, mine.statement.hex, after)
    advance(record(turn, package=f"of-{{me}}"))
"""


def write_at_once(folder: Path, rounds: int, locking: str) -> list[str]:
    """Anomalies after eight processes have verified and moved one state forward at once."""
    state(folder).advance(POLICY, record(0, "start"))
    children = [
        start_python(WRITER, folder, str(me), str(rounds), locking) for me in range(PROCESSES)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    highest, found = 0, []
    while any(child.poll() is None for child in children):  # every moment it is whole and newer
        try:
            known = state(folder).read(POLICY, "capital")
        except UndecidedError:
            found.append("a reader saw the state damaged")
            continue
        if known is None or known.sequence < highest:
            found.append("a reader saw the state go back")
        else:
            highest = known.sequence
    accepted: dict[int, set[str]] = defaultdict(set)
    for child in children:
        output, errors = child.communicate()
        if child.returncode:
            found.append(errors.splitlines()[-1])
        for line in output.splitlines():
            seen, sequence, text, after = line.split()
            if not int(seen) <= int(sequence) <= int(after):
                found.append("a process saw the state go back")
            accepted[int(sequence)].add(text)
    if any(len(texts) > 1 for texts in accepted.values()):
        found.append("two statements were accepted with one sequence")
    final = {known.package: known.sequence for known in state(folder).records(POLICY)}
    if final.pop("capital") != max(accepted):
        found.append("the highest was lost")
    if final != {f"of-{me}": rounds for me in range(PROCESSES)}:
        found.append("another package was lost")
    return found


def test_eight_processes_never_go_back_and_never_lose_the_state(folder: Path) -> None:
    assert write_at_once(folder, ROUNDS, "locked") == []
    assert names(folder) == [FILE, "lock"]


def test_without_the_lock_the_same_eight_processes_are_caught(folder: Path) -> None:
    found = write_at_once(folder, ROUNDS, "not locked")
    assert any(word in said for said in found for word in ("go back", "damaged", "lost"))


# --- killed ----------------------------------------------------------------------------------

KILLED_AT_EACH_CALL = f"""{PRELUDE}
from tests.killing import die_at, is_killed_in_child

CALLS = ("mkdir", "open", "write", "fsync", "replace", "unlink", "close")

def advance_killed(number, sequence):
    die_at(number, CALLS)
    state().advance(POLICY, record(sequence))

number, before = 0, None
while True:
    number += 1
    is_killed = is_killed_in_child(lambda: advance_killed(number, (before or 0) + 1))
    known = state().read(POLICY, "capital")
    now = known.sequence if known else None
    print(json.dumps([before, now, is_killed]))
    if not is_killed:
        break
    before = now
"""


def test_killed_at_any_call_it_leaves_the_old_state_or_the_new_one(folder: Path) -> None:
    rounds = [json.loads(line) for line in python_output(KILLED_AT_EACH_CALL, folder).splitlines()]
    assert len(rounds) > 20  # calls of one `advance`
    assert [was_killed for _, _, was_killed in rounds] == [True] * (len(rounds) - 1) + [False]
    steps = {now - (before or 0) for before, now, _ in rounds if now is not None}
    assert steps == {0, 1}
    assert rounds[-1][1] == (rounds[-1][0] or 0) + 1
    assert names(folder) == [FILE, "lock"]


KILLED_AT_RANDOM = f"""{PRELUDE}
import random, select, time
random.seed(3)
sequence = 0
for turn in range(200):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        while True:
            sequence += 1
            state().advance(POLICY, record(sequence))
            os.write(writer, b"%d\\n" % sequence)
    os.close(writer)
    if turn % 2:  # on a slow disk nothing else would be accepted before the kill
        select.select([reader], [], [])
    time.sleep(random.uniform(0, 0.01))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with open(reader, "rb") as pipe:
        said = pipe.read().split()
    accepted = int(said[-1]) if said else sequence
    known = state().read(POLICY, "capital")
    sequence = known.sequence if known else 0
    print(json.dumps([accepted, sequence, len(said)]))
"""


def test_killed_at_200_random_moments_it_loses_nothing_that_it_accepted(folder: Path) -> None:
    rounds = [json.loads(line) for line in python_output(KILLED_AT_RANDOM, folder).splitlines()]
    assert len(rounds) == 200
    assert all(now in (accepted, accepted + 1) for accepted, now, _ in rounds)
    assert sum(count for _, _, count in rounds) >= 100
    state(folder).advance(POLICY, record(rounds[-1][1] + 1))
    assert names(folder) == [FILE, "lock"]
