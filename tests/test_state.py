"""What was accepted is kept; what cannot be kept or trusted is said: space, rights, damage."""

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infwasi_sign.adapters.state_file import NoState, open_state
from infwasi_sign.adapters.state_folder import NotKeptError, state_folder
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.rollback import encode_state, policy_id
from infwasi_sign.errors import RefusalKind, RefusedError, UndecidedError
from tests.key_support import undecided, write
from tests.state_support import FILE, PRELUDE, names, record, state
from tests.test_rollback import HOSTILE, POLICY
from tests.unprivileged import NOBODY, python_output, start_python, unprivileged_output

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that every user can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
        Path(name).chmod(0o700)


# --- one process -----------------------------------------------------------------------------


def test_nothing_was_accepted_at_first_and_reading_makes_no_folder(folder: Path) -> None:
    assert state(folder).read(POLICY, "capital") is None
    assert state(folder).policies() == ()
    assert not folder.exists()


def test_remembers_the_highest_per_policy_and_package(folder: Path) -> None:
    other = policy_id("file", "/etc/infwasi/policy.toml")
    assert state(folder).advance(POLICY, record(5)) is None
    assert state(folder).advance(POLICY, record(7)) is None
    assert state(folder).advance(POLICY, record(1, package="city")) is None
    assert state(folder).advance(other, record(2)) is None
    assert state(folder).read(POLICY, "capital") == record(7)
    assert state(folder).read(POLICY, "city") == record(1, package="city")
    assert state(folder).read(other, "capital") == record(2)
    assert state(folder).policies() == tuple(sorted((POLICY, other)))
    assert (folder / FILE).read_bytes() == encode_state(
        POLICY, [record(1, package="city"), record(7)]
    )


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_nobody_else_can_enter_the_folder(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "above" / "state"
    before = os.umask(umask)
    try:
        state(folder).advance(POLICY, record(5))
    finally:
        os.umask(before)
    assert names(folder) == [FILE, "lock"]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (folder.parent, folder)}
    assert modes == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


@pytest.mark.parametrize("required", [True, False])
def test_refuses_to_go_back_under_the_lock(folder: Path, required: bool) -> None:
    state(folder).advance(POLICY, record(5))
    before = (folder / FILE).read_bytes()
    for older in (record(4), record(5, "another")):
        with pytest.raises(RefusedError) as caught:
            state(folder, required=required).advance(POLICY, older)
        assert caught.value.kind is RefusalKind.ROLLBACK
    assert (folder / FILE).read_bytes() == before


def test_accepting_the_same_again_changes_nothing(folder: Path) -> None:
    state(folder).advance(POLICY, record(5))
    before = (folder / FILE).stat()
    assert state(folder).advance(POLICY, record(5)) is None
    after = (folder / FILE).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_forgets_one_package_of_one_policy(folder: Path) -> None:
    state(folder).advance(POLICY, record(5))
    state(folder).advance(POLICY, record(6, package="city"))
    state(folder).forget(POLICY, "capital")
    assert state(folder).records(POLICY) == (record(6, package="city"),)
    state(folder).forget(POLICY, "capital")
    state(folder).advance(POLICY, record(1))
    assert state(folder).read(POLICY, "capital") == record(1)


def test_says_when_the_state_is_full(folder: Path) -> None:
    folder.mkdir(0o700)
    many = [record(1, package=f"p{number}") for number in range(LIMITS.state_packages)]
    write(folder / FILE, encode_state(POLICY, many))
    error = undecided(lambda: state(folder).advance(POLICY, record(1)))
    assert str(error) == f"the state is full in {folder / FILE} (expected at most 4096 packages)"
    state(folder).advance(POLICY, record(2, package="p7"))
    assert state(folder).read(POLICY, "p7") == record(2, package="p7")


@pytest.mark.parametrize("policy", ["", "../x", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_an_id_of_another_form_never_becomes_a_file_name(folder: Path, policy: str) -> None:
    for act in (
        lambda: state(folder).read(policy, "capital"),
        lambda: state(folder).advance(policy, record(1)),
        lambda: state(folder).forget(policy, "capital"),
    ):
        assert str(undecided(act)).startswith("not a policy id (expected 64 lower-case hex digits")
    assert not folder.exists()


# --- where it is kept ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "user", "expected"),
    [
        ({"INFWASI_STATE_DIR": "/s", "XDG_STATE_HOME": "/x", "HOME": "/h"}, 1000, "/s"),
        ({"INFWASI_STATE_DIR": "/s"}, 0, "/s"),
        ({"INFWASI_STATE_DIR": "", "XDG_STATE_HOME": "/x", "HOME": "/h"}, 1000, "/x/infwasi"),
        ({"XDG_STATE_HOME": "x", "HOME": "/h"}, 1000, "/h/.local/state/infwasi"),
        ({"HOME": "/h"}, 1000, "/h/.local/state/infwasi"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, 0, "/var/lib/infwasi"),
    ],
)
def test_finds_the_folder(environment: dict[str, str], user: int, expected: str) -> None:
    assert state_folder(environment, user) == Path(expected)


def test_a_relative_folder_is_a_mistake() -> None:
    error = undecided(lambda: state_folder({"INFWASI_STATE_DIR": "state"}, 1000))
    assert str(error) == "not an absolute path in INFWASI_STATE_DIR (got 'state')"
    assert not isinstance(error, NotKeptError)


def test_without_a_home_there_is_no_state_and_a_note_if_nobody_demands_it() -> None:
    error = undecided(lambda: open_state({"HOME": "relative"}, 1000, required=True))
    assert str(error) == "no state can be kept: there is no home directory"
    assert error.hint == "set INFWASI_STATE_DIR"
    without = open_state({}, 1000, required=False)
    assert isinstance(without, NoState)
    assert without.read(POLICY, "capital") is None
    assert without.advance(POLICY, record(1)) == (
        "no state can be kept: there is no home directory; an older release will not be noticed"
    )


# --- damaged, hostile, not ours --------------------------------------------------------------


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize(("data", "says"), HOSTILE)
def test_a_damaged_state_is_no_verdict(
    folder: Path, data: bytes, says: str, required: bool
) -> None:
    folder.mkdir(0o700)
    write(folder / FILE, data)
    for act in (
        lambda: state(folder, required=required).read(POLICY, "capital"),
        lambda: state(folder, required=required).advance(POLICY, record(9)),
        lambda: state(folder, required=required).forget(POLICY, "capital"),
    ):
        text = str(undecided(act))
        assert str(folder / FILE) in text
        assert text.startswith(("the state is damaged: ", "too long"))
    assert (folder / FILE).read_bytes() == data


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("kind", ["file", "folder", "above"])
def test_a_state_that_others_can_write_is_no_verdict(
    folder: Path, kind: str, required: bool
) -> None:
    state(folder).advance(POLICY, record(5))
    shared = {"file": folder / FILE, "folder": folder, "above": folder.parent}[kind]
    shared.chmod(shared.stat().st_mode | 0o020)
    mode = stat.S_IMODE(shared.stat().st_mode)
    what = "state file" if kind == "file" else "folder"
    expected = f"{what} can be written by others than its owner in {shared} (got mode {mode:04o})"
    for act in (
        lambda: state(folder, required=required).read(POLICY, "capital"),
        lambda: state(folder, required=required).advance(POLICY, record(9)),
    ):
        assert str(undecided(act)) == expected


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_a_state_that_is_no_regular_file_is_no_verdict(folder: Path, kind: str) -> None:
    state(folder).advance(POLICY, record(5))
    path = folder / FILE
    path.rename(folder / "moved")
    match kind:
        case "link":
            path.symlink_to("moved")
        case "fifo":
            os.mkfifo(path, 0o600)
        case _:
            path.mkdir(0o700)
    error = undecided(lambda: state(folder).read(POLICY, "capital"))
    assert str(error) == f"not a regular file in {path}"


def test_a_folder_that_is_none_keeps_nothing(folder: Path) -> None:
    folder.write_bytes(b"")
    assert state(folder).read(POLICY, "capital") is None
    error = undecided(lambda: state(folder).advance(POLICY, record(1)))
    assert str(error) == f"no state can be kept: not a directory in {folder}"
    note = state(folder, required=False).advance(POLICY, record(1))
    assert note == f"{error}; an older release will not be noticed"


def test_says_when_somebody_holds_the_lock(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state(folder).advance(POLICY, record(5))
    monkeypatch.setattr("infwasi_sign.adapters.state_folder._LOCK_SECONDS", 0.0)
    with start_python(
        "import fcntl, sys\nfile = open(sys.argv[1])\nfcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\nsys.stdin.read()\n",
        folder / "lock",
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        error = undecided(lambda: state(folder).advance(POLICY, record(6)))
        assert str(error) == f"the state is locked by another process in {folder / 'lock'}"
        assert state(folder).read(POLICY, "capital") == record(5)
        holder.communicate()
    state(folder).advance(POLICY, record(6))


# --- without rights, without space -----------------------------------------------------------

AS_NOBODY = f"""{PRELUDE}
path = folder / f"{{POLICY}}.json"
print(outcome(lambda: len(path.read_bytes())))
print(outcome(lambda: (folder / "new").write_bytes(b"")))
print(outcome(lambda: getattr(state().read(POLICY, "capital"), "sequence", None)))
print(outcome(lambda: state().advance(POLICY, record(5))))
print(outcome(lambda: state().advance(POLICY, record(9))))
print(outcome(lambda: state(required=False).advance(POLICY, record(9))))
"""
PRELOAD = ("tests.state_support", "json", "signal")


@only_root
def test_a_state_of_root_is_read_but_not_written_by_others(reachable: Path) -> None:
    folder = reachable / "state"
    state(folder).advance(POLICY, record(5))
    folder.chmod(0o755)
    (folder / FILE).chmod(0o644)
    size = (folder / FILE).stat().st_size
    denied = f"no state can be kept: permission denied in {folder}"
    assert unprivileged_output(AS_NOBODY, folder, preload=PRELOAD).splitlines() == [
        str(size),
        "denied: Permission denied",
        "5",
        "None",  # what is known already needs no writing
        denied,
        f"{denied}; an older release will not be noticed",
    ]
    assert names(folder) == [FILE, "lock"]


@only_root
def test_a_state_that_cannot_be_read_is_no_verdict(reachable: Path) -> None:
    folder = reachable / "state"
    state(folder).advance(POLICY, record(5))
    folder.chmod(0o755)
    denied = "denied: Permission denied"
    said = f"cannot read the state: permission denied in {folder / FILE}"
    assert unprivileged_output(AS_NOBODY, folder, preload=PRELOAD).splitlines() == (
        [denied] * 2 + [said] * 4
    )
    folder.chmod(0o700)
    said = f"no state can be kept: permission denied in {folder}"
    assert unprivileged_output(AS_NOBODY, folder, preload=PRELOAD).splitlines() == (
        [denied] * 2 + [said] * 3 + [f"{said}; an older release will not be noticed"]
    )


@only_root
def test_a_folder_that_cannot_be_made_keeps_nothing(reachable: Path) -> None:
    folder = reachable / "above" / "state"
    said = f"no state can be kept: permission denied in {folder}"
    missing = "denied: No such file or directory"
    assert unprivileged_output(AS_NOBODY, folder, preload=PRELOAD).splitlines() == (
        [missing] * 2 + ["None"] + [said] * 2 + [f"{said}; an older release will not be noticed"]
    )
    assert names(reachable) == []


@only_root
def test_a_state_of_somebody_else_is_no_verdict(reachable: Path) -> None:
    folder = reachable / "state"
    state(folder).advance(POLICY, record(5))
    os.chown(folder / FILE, NOBODY, NOBODY)
    owner = f"(expected user 0 or root, got user {NOBODY})"
    error = undecided(lambda: state(folder).read(POLICY, "capital"))
    assert str(error) == f"state file belongs to somebody else in {folder / FILE} {owner}"
    os.chown(folder, NOBODY, NOBODY)
    error = undecided(lambda: state(folder, required=False).advance(POLICY, record(9)))
    assert str(error) == f"folder belongs to somebody else in {folder} {owner}"


def test_a_full_disk_leaves_the_old_state(folder: Path) -> None:
    state(folder).advance(POLICY, record(5))
    said = python_output(
        f"""{PRELUDE}
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
print(outcome(lambda: (folder.parent / "plain").write_bytes(b"x" * 101)))
print(outcome(lambda: state().advance(POLICY, record(9))))
print(outcome(lambda: state(required=False).advance(POLICY, record(9))))
print(state().read(POLICY, "capital").sequence)
""",
        folder,
    ).splitlines()
    full = f"no state can be kept: file too large in {folder}"
    assert said == [
        "denied: File too large",
        full,
        f"{full}; an older release will not be noticed",
        "5",
    ]
    assert names(folder) == [FILE, "lock"]


def test_every_error_of_the_state_is_no_verdict_or_a_rollback() -> None:
    assert issubclass(NotKeptError, UndecidedError)
    assert NotKeptError.exit_code == 2
