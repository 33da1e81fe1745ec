"""Files that decide about trust are read only if nobody else could have changed them."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from infwasi_sign.adapters.trusted_file import open_trusted_folder, read_trusted
from tests.key_support import undecided, write
from tests.unprivileged import NOBODY, unprivileged_output

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
STRANGER = NOBODY - 1

AS_NOBODY = """
from pathlib import Path
path = Path(sys.argv[1])
try:
    print(f"plain {len(path.read_bytes())}")
except OSError as e:
    print(f"plain {errno.errorcode[e.errno]}")
try:
    print(f"trusted {len(trusted_file.read_trusted(path, 100, 'policy'))}")
except UndecidedError as e:
    print(e)
"""
PRELOAD = ("pathlib", "infwasi_sign.adapters.trusted_file")


def as_nobody(path: Path) -> list[str]:
    """What reading ``path`` gives a user who owns nothing: plainly, and by our rules."""
    names = (
        "from infwasi_sign.adapters import trusted_file\n"
        "from infwasi_sign.errors import UndecidedError\n"
    )
    return unprivileged_output(names + AS_NOBODY, path, preload=PRELOAD).splitlines()


def open_descriptors() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def read(path: Path) -> bytes:
    return read_trusted(path, 100, "policy")


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that every user can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
        Path(name).chmod(0o700)


# --- the file --------------------------------------------------------------------------------


def test_reads_a_file_of_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "policy.toml", b"x" * 100, 0o644)
    assert read(tmp_path / "policy.toml") == b"x" * 100
    monkeypatch.chdir(tmp_path)
    assert read(Path("policy.toml")) == b"x" * 100
    assert read(Path("./../" + tmp_path.name + "//policy.toml")) == b"x" * 100


@pytest.mark.parametrize("permissions", [0o620, 0o602, 0o666, 0o646])
def test_refuses_a_file_that_others_can_write(tmp_path: Path, permissions: int) -> None:
    path = write(tmp_path / "policy.toml", b"x", permissions)
    error = undecided(lambda: read(path))
    assert str(error) == (
        f"policy can be written by others than its owner in {path} (got mode {permissions:04o})"
    )
    assert error.hint == f"chmod go-w {path}"


@only_root
def test_refuses_a_file_of_somebody_else(reachable: Path) -> None:
    path = write(reachable / "policy.toml", b"x", 0o644)
    assert as_nobody(path) == ["plain 1", "trusted 1"]  # root's
    os.chown(path, NOBODY, NOBODY)
    assert as_nobody(path) == ["plain 1", "trusted 1"]
    os.chown(path, STRANGER, NOBODY)
    assert as_nobody(path) == [
        "plain 1",
        f"policy belongs to somebody else in {path} "
        f"(expected user {NOBODY} or root, got user {STRANGER})",
    ]
    assert str(undecided(lambda: read(path))).startswith("policy belongs to somebody else")


@only_root
def test_says_when_the_file_or_its_folder_cannot_be_read(reachable: Path) -> None:
    path = write(reachable / "policy.toml", b"x", 0o600)
    denied = ["plain EACCES", f"cannot read {path} (got permission denied)"]
    assert as_nobody(path) == denied
    path.chmod(0o644)
    assert as_nobody(path) == ["plain 1", "trusted 1"]
    reachable.chmod(0o700)
    assert as_nobody(path) == denied


def test_refuses_what_is_longer_than_its_bound(tmp_path: Path) -> None:
    path = write(tmp_path / "policy.toml", b"x" * 101)
    assert str(undecided(lambda: read(path))) == (
        f"too long in {path} (expected at most 100 bytes)"
    )


def test_refuses_what_is_no_regular_file_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/null"), Path("/")):
        error = undecided(lambda path=path: read(path))  # type: ignore[misc] # mypy does not infer lambdas with defaults
        assert str(error) == f"not a regular file in {path}"


@pytest.mark.parametrize("name", ["no", "no/file", "file/below"])
def test_says_when_there_is_no_file(tmp_path: Path, name: str) -> None:
    write(tmp_path / "file", b"x")
    reason = "not a directory" if name == "file/below" else "no such file or directory"
    path = tmp_path / name
    assert str(undecided(lambda: read(path))) == f"cannot read {path} (got {reason})"


# --- the folders above it --------------------------------------------------------------------


@pytest.mark.parametrize("permissions", [0o777, 0o775, 0o757])
@pytest.mark.parametrize("above", ["a", "a/b"])
def test_refuses_a_folder_that_others_can_write(
    tmp_path: Path, above: str, permissions: int
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    path = write(tmp_path / "a" / "b" / "policy.toml", b"x")
    assert read(path) == b"x"
    folder = tmp_path / above
    folder.chmod(permissions)
    error = undecided(lambda: read(path))
    assert str(error) == (
        f"folder can be written by others than its owner in {folder} (got mode {permissions:04o})"
    )
    assert error.hint == f"chmod go-w {folder}"


def test_a_sticky_folder_may_hold_folders_but_not_the_file(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    (shared / "own").mkdir(parents=True)
    shared.chmod(0o1777)
    assert read(write(shared / "own" / "policy.toml", b"x")) == b"x"
    path = write(shared / "policy.toml", b"x")
    error = undecided(lambda: read(path))
    assert str(error) == (
        f"folder can be written by others than its owner in {shared} (got mode 1777)"
    )
    assert error.hint == "move the file to a folder of your own"
    assert str(undecided(lambda: open_trusted_folder(shared))) == str(error)


def test_a_folder_on_a_read_only_mount_may_have_any_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    path = write(folder / "policy.toml", b"x")
    folder.chmod(0o777)
    undecided(lambda: read(path))
    monkeypatch.setattr(os, "fstatvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
    assert read(path) == b"x"
    path.chmod(0o666)
    assert str(undecided(lambda: read(path))).startswith("policy can be written by others")


@only_root
@pytest.mark.parametrize("above", ["a", "a/b"])
def test_refuses_a_folder_of_somebody_else(reachable: Path, above: str) -> None:
    (reachable / "a" / "b").mkdir(parents=True)
    path = write(reachable / "a" / "b" / "policy.toml", b"x", 0o644)
    assert as_nobody(path) == ["plain 1", "trusted 1"]
    os.chown(reachable / above, STRANGER, NOBODY)
    assert as_nobody(path) == [
        "plain 1",
        f"folder belongs to somebody else in {reachable / above} "
        f"(expected user {NOBODY} or root, got user {STRANGER})",
    ]


# --- links -----------------------------------------------------------------------------------


def test_follows_links_of_the_caller(tmp_path: Path) -> None:
    # As Kubernetes mounts a file: policy.toml -> ..data/policy.toml, ..data -> ..2026
    (tmp_path / "..2026").mkdir()
    write(tmp_path / "..2026" / "policy.toml", b"x")
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "policy.toml").symlink_to("..data/policy.toml")
    (tmp_path / "absolute").symlink_to(tmp_path / "policy.toml")
    (tmp_path / "up").symlink_to("..2026/../policy.toml")
    for name in ("policy.toml", "absolute", "up", "..data/../absolute"):
        assert read(tmp_path / name) == b"x"


def test_judges_the_folders_that_a_link_leads_through(tmp_path: Path) -> None:
    (tmp_path / "open" / "inner").mkdir(parents=True)
    write(tmp_path / "policy.toml", b"x")
    (tmp_path / "open" / "inner" / "link").symlink_to(tmp_path / "policy.toml")
    (tmp_path / "start").symlink_to("open/inner/link")
    assert read(tmp_path / "start") == b"x"
    (tmp_path / "open").chmod(0o777)
    error = undecided(lambda: read(tmp_path / "start"))
    assert str(error).startswith(
        f"folder can be written by others than its owner in {tmp_path / 'open'}"
    )


@only_root
def test_refuses_a_link_of_somebody_else_in_a_sticky_folder(reachable: Path) -> None:
    write(reachable / "policy.toml", b"x", 0o644)
    shared = reachable / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    link = shared / "policy.toml"
    link.symlink_to(reachable / "policy.toml")
    assert read(link) == b"x"
    os.chown(link, STRANGER, NOBODY, follow_symlinks=False)
    assert str(undecided(lambda: read(link))) == (
        f"link belongs to somebody else in {link} (expected user 0 or root, got user {STRANGER})"
    )


def test_gives_up_on_links_that_never_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert str(undecided(lambda: read(tmp_path / "a"))) == (
        f"cannot read {tmp_path / 'a'} (got too many levels of symbolic links)"
    )


def test_an_absolute_path_needs_no_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "policy.toml", b"x")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert read(path) == b"x"
    assert str(undecided(lambda: read(Path("policy.toml")))) == (
        "cannot read policy.toml (got no such file or directory)"
    )


# --- folders ---------------------------------------------------------------------------------


def test_opens_the_folder_that_a_link_names(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    write(tmp_path / "real" / "file", b"x")
    (tmp_path / "link").symlink_to("real")
    descriptor = open_trusted_folder(tmp_path / "link")
    try:
        assert os.stat("file", dir_fd=descriptor).st_size == 1
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def test_says_when_there_is_no_such_folder(tmp_path: Path) -> None:
    write(tmp_path / "file", b"x")
    with pytest.raises(FileNotFoundError):
        open_trusted_folder(tmp_path / "no")
    with pytest.raises(NotADirectoryError):
        open_trusted_folder(tmp_path / "file")


def test_leaves_no_descriptor_open(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    path = write(tmp_path / "a" / "b" / "policy.toml", b"x")
    (tmp_path / "link").symlink_to(path)
    before = open_descriptors()
    read(tmp_path / "link")
    path.chmod(0o666)
    undecided(lambda: read(tmp_path / "link"))
    os.close(open_trusted_folder(path.parent))
    assert open_descriptors() == before
