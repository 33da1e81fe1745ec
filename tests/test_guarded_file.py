"""The descriptor that is measured and used: real leases, real seals, real attacks."""

import fcntl
import hashlib
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infwasi_sign.adapters import holding, measuring
from infwasi_sign.adapters.guarded_file import LocalFile
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError, UndecidedError
from tests.unprivileged import python_output, run_python, start_python, unprivileged_output

CONTENT = b"model bytes " * 1000
UNSTATED = "the package states no fs-verity digest"
BOTH = frozenset({Algorithm.SHA256, Algorithm.BLAKE3})
MIB = 1 << 20

# What a child needs to open argv[1] as a LocalFile called `file`.
OPEN = """
import os, signal, subprocess, sys
from infwasi_sign.adapters.guarded_file import LocalFile
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.errors import InfwasiError
folder, name = os.path.split(sys.argv[1])
file = LocalFile.open(name, directory=os.open(folder, os.O_RDONLY), most_bytes=1 << 42)
"""
TRY_TO_WRITE = """
import errno, os, sys
try:
    os.open(sys.argv[1], os.O_WRONLY | os.O_NONBLOCK)
except OSError as e:
    print(errno.errorcode[e.errno])
else:
    print("opened")
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory that others may enter, on tmpfs, where a lease means something."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture
def model(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(CONTENT)
    return path


def open_file(path: Path, most_bytes: int = 64 * MIB, least_bytes: int = 0) -> LocalFile:
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        return LocalFile.open(
            path.name, directory=directory, most_bytes=most_bytes, least_bytes=least_bytes
        )
    finally:
        os.close(directory)


@pytest.fixture
def file(model: Path) -> Iterator[LocalFile]:
    opened = open_file(model)
    yield opened
    opened.close()


# --- opening ---------------------------------------------------------------------------------


def make(kind: str, path: Path) -> None:
    match kind:
        case "a directory":
            path.mkdir()
        case "a symbolic link":
            path.symlink_to("/etc/passwd")
        case "a named pipe":
            os.mkfifo(path)
        case "a socket":
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))


@pytest.mark.parametrize(
    "kind", ["a directory", "a symbolic link", "a named pipe", "a socket"], ids=str.split
)
def test_refuses_what_is_no_regular_file(kind: str, folder: Path) -> None:
    make(kind, folder / "model.gguf")
    with pytest.raises(MalformedError) as refusal:
        open_file(folder / "model.gguf")
    assert str(refusal.value) == f"not a regular file in model.gguf (expected a file, got {kind})"


@pytest.mark.parametrize(
    ("kind", "got"),
    [
        ("a directory", "a directory"),
        ("a symbolic link", "something that replaced it just now"),
        ("a named pipe", "a named pipe"),
        ("a socket", "something that replaced it just now"),
    ],
)
def test_refuses_what_replaces_a_file_between_look_and_open(
    kind: str, got: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = model.stat()
    make(kind, model.with_name("evil"))
    evil = model.with_name("evil")
    with monkeypatch.context() as race:
        race.setattr(os, "stat", lambda *_, **__: looked)
        with pytest.raises(MalformedError) as refusal:
            open_file(evil)
    assert str(refusal.value) == f"not a regular file in evil (expected a file, got {got})"


def test_refuses_a_device() -> None:
    with pytest.raises(MalformedError, match="got a character device"):
        open_file(Path("/dev/null"))


def test_refuses_a_missing_file(folder: Path) -> None:
    with pytest.raises(RefusedError, match=r"^file is missing in nothing$") as refusal:
        open_file(folder / "nothing")
    assert refusal.value.kind is RefusalKind.MISSING


def test_refuses_a_file_above_its_bound(model: Path) -> None:
    with pytest.raises(RefusedError) as refusal:
        open_file(model, most_bytes=11_999)
    assert refusal.value.kind is RefusalKind.LIMIT
    assert str(refusal.value) == (
        "file is too large in model.gguf (expected at most 11999 bytes, got 12000)"
    )


def test_refuses_a_file_below_its_bound(model: Path) -> None:
    with pytest.raises(MalformedError) as refusal:
        open_file(model, least_bytes=12_001)
    assert str(refusal.value) == (
        "file is too small in model.gguf (expected at least 12001 bytes, got 12000)"
    )


def test_is_undecided_about_a_file_it_may_not_read(model: Path) -> None:
    model.chmod(0o600)
    output = unprivileged_output(
        "folder = os.open(os.path.dirname(sys.argv[1]), os.O_RDONLY)\n"
        "try:\n"
        "    infwasi_sign.adapters.guarded_file.LocalFile.open(\n"
        "        'model.gguf', directory=folder, most_bytes=20000)\n"
        "except infwasi_sign.errors.UndecidedError as e:\n"
        "    print(e)\n",
        model,
        preload=("infwasi_sign.adapters.guarded_file",),
    )
    assert output == "cannot open the file: permission denied in model.gguf"


# --- reading and measuring -------------------------------------------------------------------


def test_reads_exactly_the_content(file: LocalFile) -> None:
    assert file.read(12_000) == CONTENT


def test_reads_a_part(file: LocalFile) -> None:
    assert file.read_at(6, 5) == b"bytes"
    assert file.read_at(12_000, 0) == b""


@pytest.mark.parametrize(("offset", "size"), [(11_999, 2), (12_001, 0), (0, 1 << 40)])
def test_refuses_to_read_past_the_end(offset: int, size: int, file: LocalFile) -> None:
    with pytest.raises(MalformedError) as refusal:
        file.read_at(offset, size)
    assert str(refusal.value) == (
        f"file ends too soon in model.gguf (expected at least {offset + size} bytes, got 12000)"
    )


def test_refuses_to_read_more_than_asked(file: LocalFile) -> None:
    with pytest.raises(RefusedError, match="file is too large") as refusal:
        file.read(11_999)
    assert refusal.value.kind is RefusalKind.LIMIT


@pytest.mark.parametrize("size_bytes", [11_999, 12_001])
def test_refuses_a_file_of_another_length_than_before(
    size_bytes: int, file: LocalFile, model: Path
) -> None:
    os.truncate(model, size_bytes)
    for use in (lambda: file.read(20_000), lambda: file.measure(BOTH)):
        with pytest.raises(RefusedError, match="its size or time is not") as refusal:
            use()
        assert refusal.value.kind is RefusalKind.LEVEL


def test_refuses_an_unguarded_file_that_was_written_since_it_was_opened(
    file: LocalFile, model: Path
) -> None:
    with model.open("r+b") as writer:
        writer.write(b"M")
    os.utime(model, ns=(0, 0))
    with pytest.raises(RefusedError, match="its size or time is not") as refusal:
        file.measure(BOTH)
    assert refusal.value.kind is RefusalKind.LEVEL


@pytest.mark.parametrize("size_bytes", [0, 1, 4095, 4096, 4097, 8192, 12_345])
@pytest.mark.parametrize("level", [LoadLevel.NONE, LoadLevel.READ_LEASE, LoadLevel.SEALED_MEMFD])
def test_measures_every_byte_once_at_every_level(
    level: LoadLevel, size_bytes: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "WINDOW_BYTES", 4096)
    monkeypatch.setattr(measuring, "READ_BYTES", 4096)
    if level is LoadLevel.SEALED_MEMFD:
        monkeypatch.setattr(holding, "LEASE_FILE_SYSTEMS", {})
    path = folder / "any"
    content = os.urandom(size_bytes)
    path.write_bytes(content)
    file = open_file(path)
    if level is not LoadLevel.NONE:
        file.guard()
    seen: list[int] = []
    digests = file.measure(BOTH, seen.append)
    assert file.level is level
    assert digests[Algorithm.SHA256].hex == hashlib.sha256(content).hexdigest()
    assert set(digests) == BOTH
    assert sum(seen) == size_bytes
    file.close()


# --- a pass over what nobody holds ------------------------------------------------------------


def test_takes_a_lease_for_the_pass_over_an_unguarded_file_and_gives_it_back(
    file: LocalFile, model: Path
) -> None:
    held: list[bool] = []
    digests = file.measure(BOTH, lambda _: held.append(holding.holds_read_lease(file.fileno())))
    assert digests[Algorithm.SHA256].hex == hashlib.sha256(CONTENT).hexdigest()
    assert held == [True]
    assert (file.level, holding.holds_read_lease(file.fileno())) == (LoadLevel.NONE, False)
    assert python_output(TRY_TO_WRITE, model) == "opened"


def test_lets_a_writer_in_during_a_pass_over_an_unguarded_file_and_reads_the_rest(
    file: LocalFile, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "WINDOW_BYTES", 4096)
    monkeypatch.setattr(measuring, "READ_BYTES", 4096)
    windows = file.windows()
    seen = bytes(next(windows))
    assert python_output(TRY_TO_WRITE, model) == "EAGAIN"
    seen += bytes(next(windows))
    assert not holding.holds_read_lease(file.fileno())
    assert python_output(TRY_TO_WRITE, model) == "opened"  # and wrote nothing
    assert seen + b"".join(bytes(window) for window in windows) == CONTENT


def test_refuses_an_unguarded_file_that_is_written_during_the_pass(
    file: LocalFile, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "WINDOW_BYTES", 4096)
    monkeypatch.setattr(measuring, "READ_BYTES", 4096)
    windows = file.windows()
    next(windows)
    with start_python("import sys\nopen(sys.argv[1], 'r+b').write(b'EVIL')", model) as writer:
        while holding.holds_read_lease(file.fileno()):
            assert writer.poll() is None
        next(windows)
        assert writer.wait(timeout=30) == 0
    with pytest.raises(RefusedError, match="its size or time is not") as refusal:
        list(windows)
    assert refusal.value.kind is RefusalKind.LEVEL


def test_refuses_an_unguarded_file_that_is_cut_short_during_the_pass(
    file: LocalFile, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a mapping without a lease would end the process with SIGBUS."""
    monkeypatch.setattr(measuring, "WINDOW_BYTES", 4096)
    monkeypatch.setattr(measuring, "READ_BYTES", 4096)
    windows = file.windows()
    next(windows)
    with start_python("import os, sys\nos.truncate(sys.argv[1], 1)", model) as writer:
        while holding.holds_read_lease(file.fileno()):
            assert writer.poll() is None

        def rest() -> None:
            next(windows)
            assert writer.wait(timeout=30) == 0
            list(windows)

        with pytest.raises(RefusedError, match=r"became shorter|not as long") as refusal:
            rest()
    assert refusal.value.kind is RefusalKind.DIGEST


def test_measures_in_a_process_that_may_open_nothing(model: Path) -> None:
    output = python_output(
        OPEN + "import resource\n"
        "level = file.guard()\n"
        "file.measure(frozenset({Algorithm.SHA256}))\n"  # loads what is loaded late
        "resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))\n"
        "print(level.label, file.measure(frozenset({Algorithm.SHA256}))[Algorithm.SHA256].hex)",
        model,
    )
    assert output == f"read-lease {hashlib.sha256(CONTENT).hexdigest()}"


# --- the lease -------------------------------------------------------------------------------


def test_holds_an_own_file_by_a_lease(file: LocalFile) -> None:
    before = file.fileno()
    assert (file.level, file.still_held()) == (LoadLevel.NONE, False)
    assert file.guard() is LoadLevel.READ_LEASE
    assert file.guard() is LoadLevel.READ_LEASE
    file.measure(BOTH)
    assert (file.level_reason, file.still_held(), file.fileno()) == (UNSTATED, True, before)


def test_notices_a_writer_who_does_not_wait(file: LocalFile, model: Path) -> None:
    file.guard()
    assert python_output(TRY_TO_WRITE, model) == "EAGAIN"
    assert not file.still_held()
    with pytest.raises(RefusedError) as refusal:
        file.measure(BOTH)
    assert refusal.value.kind is RefusalKind.LEVEL
    assert str(refusal.value) == (
        "the file changed while in use: it was opened for writing in model.gguf"
    )


def test_notices_a_writer_in_the_middle_of_a_pass(
    file: LocalFile, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "WINDOW_BYTES", 4096)
    monkeypatch.setattr(measuring, "READ_BYTES", 4096)
    file.guard()
    windows = file.windows()
    assert bytes(next(windows)) == CONTENT[:4096]
    assert python_output(TRY_TO_WRITE, model) == "EAGAIN"
    with pytest.raises(RefusedError, match="it was opened for writing"):
        next(windows)


def test_notices_a_writer_at_the_end_of_a_pass(file: LocalFile, model: Path) -> None:
    def attack(size_bytes: int) -> None:
        assert size_bytes == file.size_bytes
        assert python_output(TRY_TO_WRITE, model) == "EAGAIN"

    file.guard()
    with pytest.raises(RefusedError, match="it was opened for writing"):
        file.measure(BOTH, attack)


@pytest.mark.parametrize(
    "attack", ["open(sys.argv[1], 'r+b').write(b'EVIL')", "os.truncate(sys.argv[1], 1)"]
)
def test_keeps_a_writer_who_waits_out_until_closed(
    attack: str, file: LocalFile, model: Path
) -> None:
    file.guard()
    with start_python(f"import os, sys\n{attack}\nprint('done')", model) as writer:
        while file.still_held():
            assert writer.poll() is None
        assert model.read_bytes() == CONTENT
        file.close()
        assert writer.communicate(timeout=30)[0] == "done\n"
    assert model.read_bytes() != CONTENT


@pytest.mark.parametrize(
    "attack",
    [
        "os.rename(sys.argv[1] + '.evil', sys.argv[1])",
        "os.unlink(sys.argv[1])",
        "os.link(sys.argv[1], sys.argv[1] + '.link')",
    ],
)
def test_keeps_its_bytes_when_only_the_name_changes(
    attack: str, file: LocalFile, model: Path
) -> None:
    model.with_name("model.gguf.evil").write_bytes(b"evil")
    file.guard()
    python_output(f"import os, sys\n{attack}", model)
    assert file.still_held()
    expected = hashlib.sha256(CONTENT).hexdigest()
    assert file.measure(BOTH)[Algorithm.SHA256].hex == expected


def test_refuses_a_file_that_changed_before_the_lease(file: LocalFile, model: Path) -> None:
    with model.open("ab") as writer:
        writer.write(b"more")
    with pytest.raises(RefusedError, match="its size or time is not") as refusal:
        file.guard()
    assert refusal.value.kind is RefusalKind.LEVEL


def test_lets_writers_in_after_close_while_a_duplicate_lives(file: LocalFile, model: Path) -> None:
    file.guard()
    duplicate = os.dup(file.fileno())
    file.close()
    file.close()
    assert python_output(TRY_TO_WRITE, model) == "opened"
    os.close(duplicate)


def test_lives_on_when_a_lease_breaks_that_nobody_watches(model: Path) -> None:
    result = run_python(
        OPEN + "file.guard()\n"
        f"subprocess.run([sys.executable, '-c', {TRY_TO_WRITE!r}, sys.argv[1]])\n"
        "print(file.still_held(), flush=True)\n"
        "file.close()",
        model,
    )
    assert (result.returncode, result.stdout) == (0, "EAGAIN\nFalse\n")


def test_guarding_after_measuring_is_a_programming_error(file: LocalFile) -> None:
    file.measure(BOTH)
    with pytest.raises(RuntimeError, match=r"guard\(\) after measure\(\)"):
        file.guard()


# --- the sealed copy -------------------------------------------------------------------------


def test_copies_a_file_that_is_open_for_writing(file: LocalFile, model: Path) -> None:
    with model.open("r+b") as writer:
        assert file.guard() is LoadLevel.SEALED_MEMFD
        writer.write(b"EVIL")
    assert (
        file.level_reason
        == f"{UNSTATED}; a lease is denied: the file is open for writing somewhere"
    )
    assert file.still_held()
    assert file.read(20_000) == CONTENT


def test_copies_a_file_on_a_file_system_where_a_lease_means_nothing(
    file: LocalFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "LEASE_FILE_SYSTEMS", {0xEF53: "ext4"})
    assert file.guard() is LoadLevel.SEALED_MEMFD
    assert (
        file.level_reason
        == f"{UNSTATED}; a lease means nothing on this file system (type 0x1021994)"
    )


def test_copies_a_file_of_another_user(model: Path) -> None:
    assert unprivileged_output(TRY_TO_WRITE, model) == "EACCES"
    output = unprivileged_output(
        "folder = os.open(os.path.dirname(sys.argv[1]), os.O_RDONLY)\n"
        "file = infwasi_sign.adapters.guarded_file.LocalFile.open(\n"
        "    'model.gguf', directory=folder, most_bytes=20000)\n"
        "print(file.guard().label, '/', file.level_reason, '/', len(file.read(20000)))",
        model,
        preload=("infwasi_sign.adapters.guarded_file",),
    )
    reason = f"{UNSTATED}; a lease is denied: the file belongs to another user"
    assert output == f"sealed-memfd / {reason} / 12000"


def test_sealed_copy_refuses_every_writer(file: LocalFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "LEASE_FILE_SYSTEMS", {})
    file.guard()
    output = python_output(
        "import errno, fcntl, mmap, os, sys\n"
        "path = sys.argv[1]\n"
        "os.chmod(path, 0o666)\n"
        "copy = os.open(path, os.O_RDWR)\n"
        "for attack in (\n"
        "    lambda: os.pwrite(copy, b'EVIL', 0),\n"
        "    lambda: os.ftruncate(copy, 1),\n"
        "    lambda: os.ftruncate(copy, 20000),\n"
        "    lambda: mmap.mmap(copy, 4096),\n"
        "    lambda: fcntl.fcntl(copy, fcntl.F_ADD_SEALS, 0),\n"
        "):\n"
        "    try:\n"
        "        attack()\n"
        "    except OSError as e:\n"
        "        print(errno.errorcode[e.errno])",
        f"/proc/{os.getpid()}/fd/{file.fileno()}",
    )
    assert output.split() == ["EPERM"] * 5
    assert file.read(20_000) == CONTENT


def test_is_undecided_when_a_copy_is_larger_than_memory(folder: Path) -> None:
    path = folder / "model.gguf"
    path.touch()
    os.truncate(path, 1 << 42)
    file = open_file(path, most_bytes=1 << 42)
    with path.open("r+b"), pytest.raises(UndecidedError) as undecided:
        file.guard()
    assert str(undecided.value) == (
        "no memory for a sealed copy of 4398046511104 bytes, and no room for one on disk in "
        "model.gguf (got the process can be looked into)"
    )
    assert undecided.value.hint is not None
    assert "read lease" in undecided.value.hint
    file.close()


def test_is_undecided_when_a_copy_may_not_be_written(model: Path) -> None:
    output = python_output(
        OPEN + "import resource\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "writer = os.open(sys.argv[1], os.O_WRONLY)\n"
        "try:\n"
        "    file.guard()\n"
        "except InfwasiError as e:\n"
        "    print(type(e).__name__, e)",
        model,
    )
    assert output == (
        "UndecidedError no memory for a sealed copy of 12000 bytes, and no room for one on disk in "
        "model.gguf (got the process can be looked into)"
    )


# --- what we assume of the kernel ------------------------------------------------------------


def test_kernel_grants_no_lease_while_a_writer_is_there(model: Path) -> None:
    reader = os.open(model, os.O_RDONLY)
    with model.open("r+b"), pytest.raises(BlockingIOError):
        fcntl.fcntl(reader, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    os.close(reader)


# --- leases that nobody waits for ------------------------------------------------------------

UNAWARE = """
import os, signal, sys, threading
from infwasi_sign.adapters.guarded_file import LocalFile
from infwasi_sign.domain.digest import Algorithm
folder = os.open(sys.argv[1], os.O_RDONLY)
def work():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    file = LocalFile.open("model.gguf", directory=folder, most_bytes=1 << 30)
    def progress(_):
        child = os.posix_spawn("/bin/sh", ["sh", "-c", "exec 3<>$0/model.gguf", sys.argv[1]], {})
        print("writer", os.WEXITSTATUS(os.waitpid(child, os.WNOHANG)[1]), flush=True)
        signal.sigtimedwait([signal.SIGCHLD], 0.3)
    file.measure(frozenset({Algorithm.BLAKE3}), progress)
    file.close()
thread = threading.Thread(target=work)
thread.start()
thread.join()
print("alive")
"""


def test_a_thread_that_blocks_signals_by_chance_waits_for_none(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(bytes(1 << 20))
    assert python_output(UNAWARE, tmp_path).splitlines()[-1] == "alive"


def test_control_who_takes_a_blocked_signal_for_an_awaited_one_ends(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(bytes(1 << 20))
    believed = (
        "from infwasi_sign.adapters import holding\nholding.await_lease_signal(is_awaited=True)"
    )
    done = run_python(believed + UNAWARE, tmp_path)
    assert done.returncode == -holding.LEASE_SIGNAL


def test_a_pass_that_somebody_keeps_ends_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(bytes(1 << 20))
    folder = os.open(tmp_path, os.O_RDONLY)
    file = LocalFile.open("model.gguf", directory=folder, most_bytes=1 << 30)
    kept = file.windows()
    next(kept)
    file.close()
    other = LocalFile.open("model.gguf", directory=folder, most_bytes=1 << 30)
    assert other.guard() in {LoadLevel.READ_LEASE, LoadLevel.SEALED_MEMFD}
    del kept  # what it cleans up is not the other file's
    assert other.still_held()
    other.close()
    os.close(folder)
