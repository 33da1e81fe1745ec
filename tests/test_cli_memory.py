"""What is remembered between two runs: the highest sequence, and keys trusted on first use."""

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from tests import forge
from tests.command_line import TIMEOUT_SECONDS, infwasi, start
from tests.forge import STRANGER, TRUSTED


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three releases of one package; two signers take turns."""
    (tmp_path / "trusted.pub").write_bytes(TRUSTED.public_pem())
    (tmp_path / "stranger.pub").write_bytes(STRANGER.public_pem())
    for place, days, signer in (("old", 30, STRANGER), ("new", 2, TRUSTED), ("newer", 1, STRANGER)):
        forge.make_package(
            tmp_path / place,
            issued_at=forge.NOW - timedelta(days=days),
            signer=signer,
            valid_for=None,  # the command goes by the clock of the day
        )
    for name in ("trusted.pub", "stranger.pub"):
        (tmp_path / name).chmod(0o644)
    policy = (
        'version = 1\n[[package]]\nname = "capital"\n'
        '[[signer]]\nname = "a"\nkeys = [{ file = "trusted.pub" }]\n'
        '[[signer]]\nname = "b"\nkeys = [{ file = "stranger.pub" }]\n'
    )
    (tmp_path / "policy.toml").write_text(policy)
    (tmp_path / "policy.toml").chmod(0o644)
    return tmp_path


def verify(folder: Path, release: str, *words: str) -> tuple[int, list[str]]:
    done = infwasi("verify", f"{release}/capital-1.0.0", *words, cwd=folder)
    return done.code, done.said


def test_an_older_release_is_refused_whoever_signed_it(folder: Path) -> None:
    policy = ("--policy", "policy.toml")
    assert verify(folder, "old", *policy) == (0, [])  # the control: nothing was accepted yet
    assert verify(folder, "new", *policy, "--commit") == (0, [])
    code, said = verify(folder, "old", *policy)
    assert code == 1
    assert said[0].startswith("refused: rollback: ")
    assert verify(folder, "new", *policy) == (0, [])


def test_sequence_6_of_one_key_is_refused_after_sequence_9_of_another(folder: Path) -> None:
    for place, sequence, signer in (("old", 6, STRANGER), ("new", 9, TRUSTED)):
        with forge.lie(folder / place / "capital-1.0.0", signer) as value:
            value["predicate"]["sequence"] = sequence
    policy = ("--policy", "policy.toml", "--commit")
    assert verify(folder, "new", *policy) == (0, [])
    code, said = verify(folder, "old", *policy)
    assert code == 1
    assert said[0] == (
        "refused: rollback: a newer release was accepted before in sequence "
        "(expected at least 9, got 6)"
    )
    assert infwasi("state", "reset", "capital", "--yes", cwd=folder).code == 0
    assert verify(folder, "old", *policy) == (0, [])  # the control: its signature is good


def test_a_policy_that_is_replaced_behind_its_link_keeps_what_was_accepted(folder: Path) -> None:
    """As Kubernetes puts the files of a ConfigMap, and each new version of them, in their place."""
    policy = (folder / "policy.toml").read_text()
    mounted = folder / "mounted"
    for version in ("..1", "..2"):
        (mounted / version).mkdir(parents=True)
        (mounted / version / "policy.toml").write_text(f"{policy}# {version}\n")
    (mounted / "..data").symlink_to("..1")
    for name in ("trusted.pub", "stranger.pub"):
        shutil.copy(folder / name, mounted)
    (mounted / "policy.toml").symlink_to("..data/policy.toml")
    (folder / "linked").symlink_to("mounted")
    assert verify(folder, "new", "--policy", "mounted/policy.toml", "--commit") == (0, [])
    (mounted / "..data").unlink()
    (mounted / "..data").symlink_to("..2")
    for named in ("mounted/policy.toml", "linked/policy.toml"):
        code, said = verify(folder, "old", "--policy", named)
        assert code == 1
        assert said[0].startswith("refused: rollback: ")


def test_eight_commands_at_once_end_with_the_newest_release(folder: Path) -> None:
    packages = {}
    for sequence in range(1, 9):
        place = folder / f"r{sequence}"
        package = Path(shutil.copytree(folder / "new" / "capital-1.0.0", place / "capital-1.0.0"))
        with forge.lie(package, (TRUSTED, STRANGER)[sequence % 2]) as value:
            value["predicate"]["sequence"] = sequence
        packages[sequence] = package
    words = ("--policy", "policy.toml", "--commit")
    started = {
        sequence: start("verify", packages[sequence], *words, cwd=folder)
        for sequence in (5, 8, 1, 7, 2, 6, 3, 4)
    }
    said = {}
    for sequence, process in started.items():
        with process:
            _, line = process.communicate(timeout=TIMEOUT_SECONDS)
        said[sequence] = (process.returncode, line.decode())
    assert said[8] == (0, "")
    for code, errors in said.values():
        # whoever is refused came after somebody newer
        assert (code == 0) == (errors == "")
        assert code in {0, 1}
        assert code == 0 or errors.startswith("refused: rollback: a newer release was accepted")
    (state,) = infwasi("state", "show", "--json", cwd=folder).documents
    assert [one["sequence"] for one in state["policies"][0]["packages"]] == [8]
    for sequence, package in packages.items():
        done = infwasi("verify", package, *words, cwd=folder)
        assert done.code == (0 if sequence == 8 else 1)


def test_a_look_does_not_move_the_state(folder: Path) -> None:
    policy = ("--policy", "policy.toml")
    assert verify(folder, "new", *policy) == (0, [])
    assert verify(folder, "old", *policy) == (0, [])


def test_an_audit_at_another_time_asks_no_state(folder: Path) -> None:
    policy = ("--policy", "policy.toml")
    assert verify(folder, "new", *policy, "--commit") == (0, [])
    assert verify(folder, "old", *policy, "--at", "2026-11-20T00:00:00Z") == (0, [])
    audit = ("--at", "2026-11-20T00:00:00Z", "--commit", "--json")
    done = infwasi("verify", "old/capital-1.0.0", *policy, *audit, cwd=folder)
    assert (done.code, done.said[0]) == (2, "error: an audit at another time is not remembered")
    assert done.documents[0]["what"] == "an audit at another time is not remembered"


def test_a_pinned_key_is_trusted_later_without_being_named(folder: Path) -> None:
    code, said = verify(folder, "new", "--pin")
    assert code == 2, said
    assert verify(folder, "new", "--key", "trusted.pub", "--pin", "--commit") == (0, [])
    done = infwasi("verify", "new/capital-1.0.0", "--pin", "--json", cwd=folder)
    assert done.code == 0
    assert json.loads(done.out)["pinned"] is True
    assert (
        "nobody vouches for this signer"
        in infwasi("verify", "new/capital-1.0.0", "--pin", cwd=folder).out
    )


def test_another_key_is_refused_once_one_is_pinned(folder: Path) -> None:
    words = ("--key", "stranger.pub", "--pin")
    assert verify(folder, "newer", *words) == (0, [])  # the control: nothing is pinned yet
    assert verify(folder, "new", "--key", "trusted.pub", "--pin", "--commit") == (0, [])
    code, said = verify(folder, "newer", *words)
    assert code == 1
    assert said[0].startswith("refused: signer: another key is pinned for capital")


def test_a_pin_and_a_policy_exclude_each_other(folder: Path) -> None:
    code, said = verify(folder, "new", "--pin", "--policy", "policy.toml")
    assert (code, said[0]) == (2, "error: only a key can be pinned (got --policy)")
