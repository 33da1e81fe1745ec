"""The ladder as a whole: its lowest copy, on disk, and every rung for a user who owns nothing."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infwasi_sign.adapters import foreign_owner, guarded_file, holding, private_copy
from infwasi_sign.adapters.guarded_file import LocalFile
from infwasi_sign.adapters.holding import NoMemoryError
from infwasi_sign.adapters.private_copy import copy_folders
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.errors import UndecidedError
from tests.unprivileged import NOBODY, python_output, unprivileged_output

CONTENT = b"model bytes " * 1000
UNSTATED = "the package states no fs-verity digest"
PRELOAD = (
    "ctypes",
    "infwasi_sign.adapters.guarded_file",
    "infwasi_sign.adapters.process",
)

# A child that has no memory for a copy, and cannot be looked into; argv: the model, a cache folder.
OPEN = """
import ctypes, errno, os, sys
from infwasi_sign.adapters import foreign_owner, guarded_file, holding
from infwasi_sign.adapters.guarded_file import LocalFile
from infwasi_sign.adapters.process import forbid_dumps
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.errors import InfwasiError
def no_memory(*_):
    raise holding.NoMemoryError("no memory for a sealed copy of 12000 bytes", where="model.gguf")
foreign_owner._SETTLED_NS = 0
os.environ["XDG_CACHE_HOME"] = sys.argv[2]
folder, name = os.path.split(sys.argv[1])
file = LocalFile.open(name, directory=os.open(folder, os.O_RDONLY), most_bytes=1 << 20)
"""
NO_MEMORY = "guarded_file.sealed_copy = no_memory\n"
PRIVATE = "file.guard(lambda level: level >= LoadLevel.PRIVATE_COPY)\n"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory that others may enter, on a disk where a lease and an owner mean something."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        descriptor = os.open(name, os.O_RDONLY)
        kind = holding.file_system_type(descriptor)
        os.close(descriptor)
        if kind not in private_copy._ON_DISK or kind not in foreign_owner._FILE_SYSTEMS:
            pytest.skip(f"no lease on this file system (type 0x{kind:x})")
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture
def model(folder: Path) -> Path:
    if os.geteuid() != 0:
        pytest.skip("only root can be the owner")
    path = folder / "model.gguf"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def cache(folder: Path) -> Path:
    """A place in which a user who owns nothing may make files."""
    path = folder / "cache"
    path.mkdir()
    os.chown(path, NOBODY, NOBODY)
    return path


# --- every rung, as a user who owns nothing --------------------------------------------------


@pytest.mark.parametrize(
    ("demanded", "memory", "level"),
    [
        (LoadLevel.NONE, True, "foreign-owner"),
        (LoadLevel.NONE, False, "foreign-owner"),
        (LoadLevel.PRIVATE_COPY, True, "sealed-memfd"),
        (LoadLevel.PRIVATE_COPY, False, "private-copy"),
        (LoadLevel.SEALED_MEMFD, True, "sealed-memfd"),
        (LoadLevel.SEALED_MEMFD, False, "no memory for a sealed copy of 12000 bytes in model.gguf"),
    ],
)
def test_a_user_who_owns_nothing_runs_roots_model(
    demanded: LoadLevel, memory: bool, level: str, model: Path, cache: Path
) -> None:
    output = unprivileged_output(
        OPEN + ("" if memory else NO_MEMORY) + "forbid_dumps()\n"
        "try:\n"
        f"    held = file.guard(lambda level: level >= {int(demanded)}).label\n"
        "    print(held, len(file.read(20000)), file.still_held())\n"
        "except InfwasiError as e:\n"
        "    print(e)",
        model,
        cache,
        preload=PRELOAD,
    )
    assert output == (f"{level} 12000 True" if len(level) < 20 else level)


def test_what_that_user_cannot_reach_is_refused_before_the_copy(model: Path, cache: Path) -> None:
    output = unprivileged_output(
        OPEN + "def copied(*_):\n    raise SystemExit('copied')\n"
        "guarded_file.sealed_copy = copied\n"
        "def possible(level, reason):\n    raise SystemExit(f'{level.label}: {reason}')\n"
        "try:\n    file.guard(lambda level: level >= LoadLevel.READ_LEASE, None, possible)\n"
        "except SystemExit as e:\n    print(e)",
        model,
        cache,
        preload=PRELOAD,
    )
    assert (
        output == f"sealed-memfd: {UNSTATED}; a lease is denied: the file belongs to another user"
    )


# --- the private copy ------------------------------------------------------------------------

ATTACK = """
import errno
def attempt(act):
    try:
        act()
    except OSError as e:
        return errno.errorcode[e.errno]
    return "done"
def attack(process, number):
    path = f"/proc/{process}/fd/{number}"
    return " ".join(attempt(act) for act in (
        lambda: os.listdir(f"/proc/{process}/fd"),
        lambda: os.open(path, os.O_RDONLY),
        lambda: os.chmod(path, 0o600),
        lambda: os.open(path, os.O_WRONLY | os.O_NONBLOCK),
        lambda: os.truncate(path, 1),
        lambda: os.link(path, sys.argv[2] + "/name", follow_symlinks=True),
    ))
def from_a_child():
    reader, writer = os.pipe()
    parent = os.getpid()
    if os.fork() == 0:
        os.write(writer, attack(parent, file.fileno()).encode())
        os._exit(0)
    os.wait()
    return os.read(reader, 1000).decode()
"""


def test_a_private_copy_has_the_bytes_no_name_and_a_lease(model: Path, cache: Path) -> None:
    output = unprivileged_output(
        OPEN + NO_MEMORY + "forbid_dumps()\n" + PRIVATE + "print(file.level_reason)\n"
        "found = os.fstat(file.fileno())\n"
        "print(oct(found.st_mode & 0o777), found.st_nlink, found.st_uid, os.listdir(sys.argv[2]),\n"
        "      os.listdir(sys.argv[2] + '/infwasi'))\n"
        "print(file.still_held(), file.read(20000) == b'model bytes ' * 1000)\n"
        "file.close()",
        model,
        cache,
        preload=PRELOAD,
    )
    assert output.splitlines() == [
        f"{UNSTATED}; a lease is denied: the file belongs to another user; "
        "no memory for a sealed copy",
        f"0o400 0 {NOBODY} ['infwasi'] []",
        "True True",
    ]


def test_others_of_the_same_user_cannot_get_at_it(model: Path, cache: Path) -> None:
    output = unprivileged_output(
        OPEN + ATTACK + NO_MEMORY + "forbid_dumps()\n" + PRIVATE + "print(from_a_child())\n"
        "print(file.still_held())",
        model,
        cache,
        preload=PRELOAD,
    )
    assert output.splitlines() == ["EACCES " * 5 + "EACCES", "True"]


def test_control_a_process_that_can_be_looked_into_gives_it_away(model: Path, cache: Path) -> None:
    output = unprivileged_output(
        OPEN + ATTACK + NO_MEMORY + "forbid_dumps()\n" + PRIVATE + "libc = ctypes.CDLL(None)\n"
        "libc.prctl(4, 1, 0, 0, 0)\nprint(from_a_child())\nprint(file.still_held())",
        model,
        cache,
        preload=PRELOAD,
    )
    attacked, held = output.splitlines()
    assert attacked.split()[:3] == ["done", "done", "done"]
    assert "done" in attacked.split()[3:5] or "EAGAIN" in attacked
    assert held == "False"


def test_it_is_not_made_in_a_process_that_can_be_looked_into(model: Path, cache: Path) -> None:
    output = unprivileged_output(
        OPEN + NO_MEMORY + "ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)\n"
        "try:\n    " + PRIVATE + "except InfwasiError as e:\n    print(e)",
        model,
        cache,
        preload=PRELOAD,
    )
    assert output == (
        "no memory for a sealed copy of 12000 bytes, and no room for one on disk in model.gguf "
        "(got the process can be looked into)"
    )


def test_root_who_opens_it_for_writing_breaks_the_lease(model: Path, cache: Path) -> None:
    output = python_output(
        OPEN + NO_MEMORY + "forbid_dumps()\n"
        "from pathlib import Path\n"
        "from infwasi_sign.adapters import private_copy\n"
        "private_copy.copy_folders = lambda *_: (Path(sys.argv[2]),)\n"
        "writer = os.open(sys.argv[1], os.O_WRONLY)\n" + PRIVATE + "print(file.level.label)\n"
        "path = f'/proc/{os.getpid()}/fd/{file.fileno()}'\n"
        "try:\n    os.open(path, os.O_WRONLY | os.O_NONBLOCK)\n"
        "except BlockingIOError:\n    print('held up')\n"
        "print(file.still_held())",
        model,
        cache,
    )
    assert output.splitlines() == ["private-copy", "held up", "False"]


# --- where it cannot be ----------------------------------------------------------------------


@pytest.fixture
def small(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalFile]:
    """A file that is open for writing, in a process that could make a private copy of it."""
    monkeypatch.setattr(private_copy._libc, "prctl", lambda *_: 0)
    path = folder / "model.gguf"
    path.write_bytes(CONTENT)
    directory = os.open(folder, os.O_RDONLY)
    with path.open("r+b"):
        file = LocalFile.open(path.name, directory=directory, most_bytes=1 << 20)
        yield file
        file.close()
    os.close(directory)


def no_memory(*_: object) -> int:
    raise NoMemoryError("no memory for a sealed copy of 12000 bytes", where="model.gguf")


def test_it_is_made_in_the_first_folder_that_takes_it(
    small: LocalFile, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded_file, "sealed_copy", no_memory)
    (folder / "file").write_text("no folder")
    places = (Path("/dev/shm"), folder / "file" / "x", folder)
    monkeypatch.setattr(private_copy, "copy_folders", lambda *_: places)
    assert small.guard() is LoadLevel.PRIVATE_COPY
    assert small.read(20_000) == CONTENT


def test_says_of_every_folder_why_it_takes_none(
    small: LocalFile, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded_file, "sealed_copy", no_memory)
    (folder / "file").write_text("no folder")
    places = (Path("/dev/shm"), folder / "file" / "x", folder)
    monkeypatch.setattr(private_copy, "copy_folders", lambda *_: places)
    monkeypatch.setattr(private_copy, "take_read_lease", lambda _: "a lease is denied: by a test")
    with pytest.raises(UndecidedError) as undecided:
        small.guard()
    assert str(undecided.value) == (
        "no memory for a sealed copy of 12000 bytes, and no room for one on disk in model.gguf "
        "(got /dev/shm: not on a disk, or a lease means nothing there (type 0x1021994); "
        f"{folder}/file/x: not a directory; {folder}: a lease is denied: by a test)"
    )
    assert undecided.value.hint == (
        "own the file and keep it on ext4, xfs, btrfs or tmpfs: a read lease needs no copy"
    )


def test_is_not_begun_where_the_disk_has_no_room(folder: Path) -> None:
    writer = os.open(folder, os.O_TMPFILE | os.O_WRONLY)
    assert private_copy._obstacle_to_writing(writer, 1 << 60) == "no space left on device"
    os.close(writer)


def test_copies_lie_in_the_users_cache_and_then_where_a_boot_leaves_them() -> None:
    last = Path("/var/tmp")
    assert copy_folders({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, 7) == (Path("/c/infwasi"), last)
    assert copy_folders({"XDG_CACHE_HOME": "c", "HOME": "/h"}, 7) == (
        Path("/h/.cache/infwasi"),
        last,
    )
    assert copy_folders({"HOME": "h"}, 7) == (last,)
    assert copy_folders({"HOME": "/h"}, 0) == (Path("/var/cache/infwasi"), last)
