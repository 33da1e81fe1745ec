"""Transcripts of `infwasi state`."""

import os
import pty
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infwasi_sign.adapters.pins import PinStore
from infwasi_sign.adapters.state_file import StateFile
from infwasi_sign.adapters.state_folder import StateFolder
from infwasi_sign.domain.pins import Pin
from infwasi_sign.domain.rollback import SequenceRecord, policy_id
from tests.command_line import TIMEOUT_SECONDS, Done, arguments, environment, infwasi
from tests.key_support import P256
from tests.test_rollback import statement

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
FIRST, SECOND = sorted((policy_id("key", "a"), policy_id("key", "b")))
DIGEST = statement("x")
CAPITAL = f"capital  sequence 5  {DIGEST}  accepted 2026-11-23T12:00:00Z"
CITY = f"city  sequence 5  {DIGEST}  accepted 2026-11-23T12:00:00Z"
PINNED = f"capital  sha256:{P256.public.fingerprint}  pinned 2026-11-23T12:00:00Z"
FORGOTTEN = "forgotten: the next release of capital is taken as the first"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A state with two policies, two packages and a pin."""
    folder = StateFolder(tmp_path / "state")
    for policy, package in ((FIRST, "capital"), (FIRST, "city"), (SECOND, "capital")):
        record = SequenceRecord(package=package, sequence=5, statement=DIGEST, accepted_at=NOW)
        StateFile(folder).advance(policy, record)
    PinStore(folder).write(Pin(package="capital", public_key=P256.public_key(), pinned_at=NOW))
    return folder.path


def state(folder: Path, *words: str) -> Done:
    return infwasi("state", *words, env={"INFWASI_STATE_DIR": str(folder)})


def test_shows_what_was_accepted(folder: Path) -> None:
    done = state(folder, "show")
    assert (done.code, done.said) == (0, [])
    assert done.out.splitlines() == [
        f"state folder {folder}",
        f"policy {FIRST}",
        f"  {CAPITAL}",
        f"  {CITY}",
        f"policy {SECOND}",
        f"  {CAPITAL}",
        "pinned keys",
        f"  {PINNED}",
    ]


def test_shows_the_same_as_json(folder: Path) -> None:
    done = state(folder, "show", "--json")
    assert (done.code, done.said) == (0, [])
    (document,) = done.documents
    package = {
        "name": "city",
        "sequence": 5,
        "statement": str(DIGEST),
        "acceptedAt": "2026-11-23T12:00:00Z",
    }
    assert document["type"] == "state"
    assert document["folder"] == str(folder)
    assert [policy["id"] for policy in document["policies"]] == [FIRST, SECOND]
    assert document["policies"][0]["packages"][1] == package
    assert document["pins"] == [
        {
            "name": "capital",
            "fingerprint": P256.public.fingerprint,
            "pinnedAt": "2026-11-23T12:00:00Z",
        }
    ]


def test_shows_that_there_is_nothing(tmp_path: Path) -> None:
    done = state(tmp_path / "none", "show")
    expected = f"state folder {tmp_path / 'none'}\nnothing was accepted yet\n"
    assert done.transcript == (0, expected, [])


def test_resets_one_package_under_all_policies_and_keeps_its_pin(folder: Path) -> None:
    done = state(folder, "reset", "capital", "--yes")
    said = [f"policy {FIRST}: {CAPITAL}", f"policy {SECOND}: {CAPITAL}", FORGOTTEN]
    assert done.transcript == (0, "", said)
    assert state(folder, "show").out.splitlines()[1:] == [
        f"policy {FIRST}",
        f"  {CITY}",
        f"policy {SECOND}",
        "pinned keys",
        f"  {PINNED}",
    ]


def test_resets_under_one_policy(folder: Path) -> None:
    done = state(folder, "reset", "capital", "--policy-id", SECOND, "--yes")
    assert done.transcript == (0, "", [f"policy {SECOND}: {CAPITAL}", FORGOTTEN])
    assert f"  {CAPITAL}" in state(folder, "show").out.splitlines()


def test_forgets_the_pin_when_asked_to(folder: Path) -> None:
    done = state(folder, "reset", "capital", "--pin", "--yes")
    assert done.code == 0
    assert done.said[2:] == [f"pin: {PINNED}", FORGOTTEN]
    assert "pinned keys" not in state(folder, "show").out


def test_forgets_nothing_without_being_sure(folder: Path) -> None:
    done = state(folder, "reset", "capital")
    assert done.code == 2
    assert done.said[-2:] == [
        "error: there is nobody to ask",
        "hint: --yes forgets without asking",
    ]
    assert f"  {CAPITAL}" in state(folder, "show").out.splitlines()


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 130), ("\n", 130)])
def test_asks_on_a_terminal(folder: Path, answer: str, code: int) -> None:
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer.encode())
        done = subprocess.run(
            arguments("state", "reset", "capital"),
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            stderr=theirs,
            env=environment({"INFWASI_STATE_DIR": str(folder)}),
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        said = os.read(ours, 1 << 16).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == code, said
    assert "Forget what was accepted of capital? [y/N]: " in said
    assert (CAPITAL in state(folder, "show").out) == (code != 0)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("reset", "village", "--yes"), "there is nothing to forget in "),
        (("reset", "capital", "--policy-id", "x", "--yes"), "not a policy id (expected 64 lower-"),
        (("reset",), "Missing argument 'PACKAGE'."),
        (("frobnicate",), "No such command 'frobnicate'."),
    ],
)
def test_says_what_is_wrong(folder: Path, words: tuple[str, ...], says: str) -> None:
    done = state(folder, *words)
    assert (done.code, done.out) == (2, "")
    assert done.said[0].startswith(f"error: {says}")


def test_a_damaged_state_is_shown_as_such(folder: Path) -> None:
    path = folder / f"{FIRST}.json"
    path.write_bytes(b"{}")
    done = state(folder, "show", "--json")
    assert done.code == 2
    assert done.said[0].startswith("error: the state is damaged: member is missing")
    assert done.said[0].split(" in ")[-1].startswith(str(path))
    assert done.documents[0]["verdict"] == "undecided"


def test_a_state_that_others_can_write_is_not_shown(folder: Path) -> None:
    folder.chmod(0o770)
    done = state(folder, "show")
    assert done.transcript == (
        2,
        "",
        [
            f"error: folder can be written by others than its owner in {folder} (got mode 0770)",
            f"hint: chmod go-w {folder}",
        ],
    )
