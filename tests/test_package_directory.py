"""A package on disk: opened once and bounded, written whole or not at all."""

import errno
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from infwasi_sign.adapters import atomic, package_directory
from infwasi_sign.adapters.atomic import RenameFlag, rename_at, write_atomic
from infwasi_sign.adapters.package_directory import DirectoryStore
from infwasi_sign.adapters.package_writer import Existing, PackageWriter
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError, UndecidedError
from tests import forge
from tests.unprivileged import (
    TIMEOUT_SECONDS,
    python_output,
    run_python,
    start_python,
    unprivileged_output,
)

FILES = {
    "app.wasm": b"component",
    "bom.cdx.json": b"bom",
    "manifest.sigstore.json": b"manifest",
    "model.gguf": b"model",
}
SIGNATURE = f"{'0' * 64}.sigstore.json"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "capital-1.0.0"
    path.mkdir()
    for name, content in FILES.items():
        (path / name).write_bytes(content)
    return path


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that others may enter."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def descriptors() -> int:
    """How many are open, the one that counts them included."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def refusal_of(location: Path, *detached: Path) -> RefusedError:
    """How the store refuses; it must leave no descriptor open."""
    before = descriptors()
    with pytest.raises(RefusedError) as refusal:
        DirectoryStore().open(location, detached)
    assert descriptors() == before
    return refusal.value


def undecided_of(location: Path, *detached: Path) -> str:
    before = descriptors()
    with pytest.raises(UndecidedError) as undecided:
        DirectoryStore().open(location, detached)
    assert descriptors() == before
    return str(undecided.value)


# --- opening ---------------------------------------------------------------------------------


def test_opens_every_file_once(package: Path) -> None:
    opened = DirectoryStore().open(package)
    assert opened.directory_name == "capital-1.0.0"
    assert {name: file.read(100) for name, file in opened.files.items()} == FILES
    assert opened.detached == ()
    opened.close()


def test_opens_through_the_users_own_link(package: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(package)
    opened = DirectoryStore().open(tmp_path / "latest")
    assert opened.directory_name == "capital-1.0.0"
    opened.close()


def test_keeps_what_it_opened_when_files_are_replaced(package: Path) -> None:
    opened = DirectoryStore().open(package)
    for name in FILES:
        (package / "evil").write_bytes(b"evil")
        (package / "evil").rename(package / name)
    assert {name: file.read(100) for name, file in opened.files.items()} == FILES
    opened.close()


def test_close_closes_everything_and_may_be_repeated(package: Path, tmp_path: Path) -> None:
    (package / "signatures").mkdir()
    (package / "signatures" / SIGNATURE).touch()
    model = tmp_path / "other.gguf"
    model.touch()
    before = descriptors()
    opened = DirectoryStore().open(package, [model])
    assert descriptors() > before
    opened.close()
    opened.close()
    assert descriptors() == before


def test_is_undecided_where_there_is_nothing(tmp_path: Path) -> None:
    assert undecided_of(tmp_path / "none") == f"no package there in {tmp_path / 'none'}"


def test_is_undecided_about_a_file(package: Path) -> None:
    path = package / "app.wasm"
    assert undecided_of(path) == f"not a package in {path} (expected a directory)"


def test_is_undecided_about_a_package_that_is_just_being_signed(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its manifest was not there when the directory was listed, and is now."""
    listed = package_directory._list

    def earlier(*words: Any) -> tuple[list[str], list[str]]:
        names, folders = listed(*words)
        return [name for name in names if name != "manifest.sigstore.json"], folders

    monkeypatch.setattr(package_directory, "_list", earlier)
    assert undecided_of(package) == f"the package was changed while it was opened in {package}"


def test_is_undecided_about_a_path_with_a_nul_byte() -> None:
    assert undecided_of(Path("a\0b")) == "not a path in 'a\\x00b'"


def test_is_undecided_about_a_directory_that_is_no_package(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    expected = f"not a package in {tmp_path} (expected a manifest.sigstore.json)"
    assert undecided_of(tmp_path) == expected


def test_refuses_an_unsigned_package(package: Path) -> None:
    (package / "manifest.sigstore.json").unlink()
    refusal = refusal_of(package)
    assert refusal.kind is RefusalKind.UNSIGNED
    assert str(refusal) == (
        f"package is not signed in {package} (expected manifest.sigstore.json, got no such file)"
    )


def test_is_undecided_about_a_file_it_may_not_read(open_place: Path) -> None:
    for name, content in FILES.items():
        (open_place / name).write_bytes(content)
    (open_place / "bom.cdx.json").chmod(0)
    output = unprivileged_output(
        "try:\n"
        "    infwasi_sign.adapters.package_directory.DirectoryStore().open(\n"
        "        pathlib.Path(sys.argv[1]))\n"
        "except infwasi_sign.errors.UndecidedError as e:\n"
        "    print(e, '/', e.hint)",
        open_place,
        preload=("pathlib", "infwasi_sign.adapters.package_directory"),
    )
    assert output == (
        "cannot open the file: permission denied in bom.cdx.json"
        " / check the owner and the mode of the file and of its directory"
    )


# --- what does not belong there --------------------------------------------------------------


def test_refuses_a_named_pipe_without_waiting(package: Path) -> None:
    os.mkfifo(package / "pipe")
    refusal = refusal_of(package)
    assert str(refusal) == "not a regular file in pipe (expected a file, got a named pipe)"


def test_refuses_a_socket(package: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(package / "socket"))
        assert str(refusal_of(package)).endswith("got a socket)")


@pytest.mark.parametrize("name", ["model.gguf", "manifest.sigstore.json", "signatures"])
def test_refuses_a_link_within_the_package(name: str, package: Path, tmp_path: Path) -> None:
    (package / name).unlink(missing_ok=True)
    (tmp_path / "elsewhere").mkdir()
    (package / name).symlink_to(tmp_path / "elsewhere")
    refusal = refusal_of(package)
    assert isinstance(refusal, MalformedError)


def test_refuses_another_directory(package: Path) -> None:
    (package / "weights").mkdir()
    refusal = refusal_of(package)
    assert refusal.kind is RefusalKind.EXTRA
    assert str(refusal) == (
        "directory does not belong to a package in weights (expected none but signatures)"
    )


def test_refuses_a_hidden_file(package: Path) -> None:
    (package / ".notes").touch()
    refusal = refusal_of(package)
    assert (refusal.kind, str(refusal)) == (RefusalKind.EXTRA, "file is hidden in .notes")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (b"a\x1b[2Jb", "file name has characters that do not show (got 'a\\x1b[2Jb')"),
        (b"a\nb", "file name has characters that do not show (got 'a\\nb')"),
        (
            "a\u202eb".encode(),
            "file name has characters that do not show (got 'a\\u202eb')",
        ),
        (b"a\xffb", "file name is not UTF-8 (got 'a\\udcffb')"),
    ],
    ids=["escape", "newline", "bidi", "bytes"],
)
@pytest.mark.parametrize("is_folder", [False, True])
def test_refuses_a_name_that_does_not_show(
    is_folder: bool, name: bytes, sentence: str, package: Path
) -> None:
    path = os.fsencode(package) + b"/" + name
    (os.mkdir if is_folder else os.mknod)(path)
    refusal = refusal_of(package)
    assert isinstance(refusal, MalformedError)
    assert str(refusal) == sentence


def test_refuses_100_000_files_without_walking_them(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        flooded = Path(name)
        for path in package.iterdir():
            shutil.copy(path, flooded)
        directory = os.open(flooded, os.O_RDONLY)
        for number in range(100_000):
            os.mknod(f"x{number}", dir_fd=directory)
        os.close(directory)
        walked: list[str] = []
        with monkeypatch.context() as counted:
            counted.setattr("os.scandir", CountedScan(walked).scan)
            with pytest.raises(RefusedError) as refused:
                DirectoryStore().open(flooded)
    assert refused.value.kind is RefusalKind.LIMIT
    assert str(refused.value) == f"too many files in {flooded} (expected at most 1024)"
    assert len(walked) == LIMITS.package_files + 1


class CountedScan:
    """os.scandir that notes the names it gave."""

    def __init__(self, walked: list[str]) -> None:
        self._walked = walked
        self._scandir = os.scandir

    def scan(self, directory: int) -> "CountedScan":
        self._entries = self._scandir(directory)
        return self

    def __enter__(self) -> Iterator["os.DirEntry[str]"]:
        for entry in self._entries:
            self._walked.append(entry.name)
            yield entry

    def __exit__(self, *_: object) -> None:
        self._entries.close()


@pytest.mark.parametrize(
    ("name", "most_bytes"),
    [
        ("manifest.sigstore.json", LIMITS.bundle_bytes),
        ("model.sig", LIMITS.bundle_bytes),
        ("bom.cdx.json", LIMITS.bom_bytes),
        ("app.wasm", LIMITS.component_bytes),
        ("model.gguf", LIMITS.model_bytes),
    ],
)
def test_refuses_a_file_above_its_bound(name: str, most_bytes: int, package: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:  # tmpfs has no bound so low
        path = Path(place)
        for file in package.iterdir():
            shutil.copy(file, path)
        (path / name).touch()
        os.truncate(path / name, most_bytes)
        DirectoryStore().open(path).close()
        os.truncate(path / name, most_bytes + 1)
        refusal = refusal_of(path)
    assert refusal.kind is RefusalKind.LIMIT
    assert str(refusal) == (
        f"file is too large in {name} (expected at most {most_bytes} bytes, got {most_bytes + 1})"
    )


# --- counter-signatures ----------------------------------------------------------------------


def test_opens_counter_signatures_under_their_folder(package: Path) -> None:
    (package / "signatures").mkdir()
    (package / "signatures" / SIGNATURE).write_bytes(b"bundle")
    opened = DirectoryStore().open(package)
    assert opened.files[f"signatures/{SIGNATURE}"].read(100) == b"bundle"
    assert opened.files[f"signatures/{SIGNATURE}"].name == f"signatures/{SIGNATURE}"
    opened.close()


def test_refuses_a_file_instead_of_the_signatures_folder(package: Path) -> None:
    (package / "signatures").touch()
    assert str(refusal_of(package)) == "not a directory in signatures"


@pytest.mark.parametrize("name", ["notes.txt", SIGNATURE.upper(), f"x{SIGNATURE}"])
def test_refuses_other_files_among_signatures(name: str, package: Path) -> None:
    (package / "signatures").mkdir()
    (package / "signatures" / name).touch()
    refusal = refusal_of(package)
    assert refusal.kind is RefusalKind.EXTRA
    assert str(refusal) == (
        f"file does not belong among signatures in signatures/{name}"
        " (expected 64 lower-case hex digits and .sigstore.json)"
    )


def test_refuses_a_folder_called_like_a_signature(package: Path) -> None:
    (package / "signatures" / SIGNATURE).mkdir(parents=True)
    assert str(refusal_of(package)).endswith("(expected a file, got a directory)")


def test_refuses_more_than_16_counter_signatures(package: Path) -> None:
    (package / "signatures").mkdir()
    for number in range(16):
        (package / "signatures" / f"{number:064x}.sigstore.json").touch()
    DirectoryStore().open(package).close()
    (package / "signatures" / f"{16:064x}.sigstore.json").touch()
    refusal = refusal_of(package)
    assert refusal.kind is RefusalKind.LIMIT
    assert str(refusal) == "too many files in signatures (expected at most 16)"


# --- detached models -------------------------------------------------------------------------


def test_opens_detached_models_in_order_through_links(package: Path, tmp_path: Path) -> None:
    (tmp_path / "b.gguf").write_bytes(b"b")
    (tmp_path / "a.gguf").symlink_to("b.gguf")
    (tmp_path / "c.gguf").write_bytes(b"c")
    opened = DirectoryStore().open(package, [tmp_path / "c.gguf", tmp_path / "a.gguf"])
    assert [(model.name, model.read(9)) for model in opened.detached] == [
        ("c.gguf", b"c"),
        ("b.gguf", b"b"),
    ]
    assert opened.detached[0].level is LoadLevel.NONE
    opened.close()


def test_is_undecided_about_a_missing_detached_model(package: Path, tmp_path: Path) -> None:
    expected = f"cannot open the file: no such file or directory in {tmp_path / 'none'}"
    assert undecided_of(package, tmp_path / "none") == expected


def test_refuses_a_detached_pipe(package: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert isinstance(refusal_of(package, tmp_path / "pipe"), MalformedError)


# --- writing ---------------------------------------------------------------------------------


def content_of(package: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in package.iterdir()}


def test_is_undecided_when_the_parent_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "dist").touch()
    target = tmp_path / "dist" / "new"
    with pytest.raises(UndecidedError) as undecided, PackageWriter(target):
        pass
    assert str(undecided.value) == f"cannot write the package: not a directory in {target}"


def test_package_appears_whole_at_commit(tmp_path: Path) -> None:
    target = tmp_path / "dist" / "capital-1.0.0"
    with PackageWriter(target) as writer:
        for name, content in FILES.items():
            writer.write(name, content)
        assert not target.exists()
        writer.commit()
    assert content_of(target) == FILES
    assert list(target.parent.iterdir()) == [target]
    umask = os.umask(0)
    os.umask(umask)
    assert target.stat().st_mode & 0o777 == 0o755 & ~umask
    assert (target / "app.wasm").stat().st_mode & 0o777 == 0o644 & ~umask


def test_tee_writes_what_it_passes_on(tmp_path: Path) -> None:
    windows = [memoryview(b"first "), memoryview(b"second")]
    with PackageWriter(tmp_path / "new") as writer:
        seen = b"".join(writer.tee("model.gguf", windows))
        writer.commit()
    assert seen == b"first second"
    assert content_of(tmp_path / "new") == {"model.gguf": b"first second"}


def test_commit_with_half_a_stream_is_a_programming_error(tmp_path: Path) -> None:
    with PackageWriter(tmp_path / "new") as writer:
        stream = writer.tee("model.gguf", [memoryview(b"first "), memoryview(b"second")])
        next(stream)
        with pytest.raises(RuntimeError, match="with unfinished files"):
            writer.commit()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_leaves_nothing_behind_when_interrupted(error: type[BaseException], tmp_path: Path) -> None:
    def write_and_fail() -> None:
        with PackageWriter(tmp_path / "new") as writer:
            writer.write("app.wasm", b"component")
            raise error

    with pytest.raises(error):
        write_and_fail()
    assert list(tmp_path.iterdir()) == []


def test_leaves_nothing_behind_without_commit(tmp_path: Path) -> None:
    with PackageWriter(tmp_path / "new") as writer:
        writer.write("app.wasm", b"component")
    assert list(tmp_path.iterdir()) == []


WRITE_LARGE = """
import os, pathlib, sys
from infwasi_sign.adapters.package_writer import Existing, PackageWriter
from infwasi_sign.errors import InfwasiError
target = pathlib.Path(sys.argv[1]) / "new"
try:
    with PackageWriter(target) as writer:
        writer.write("app.wasm", bytes(1 << 20))
        writer.commit()
except InfwasiError as e:
    print(type(e).__name__, e, "/", e.hint)
print(os.listdir(sys.argv[1]))
"""


def test_is_undecided_when_a_file_may_not_be_so_large(tmp_path: Path) -> None:
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (9999, 9999))\n"
    assert python_output(limit + WRITE_LARGE, tmp_path).splitlines() == [
        f"UndecidedError cannot write the package: file too large in {tmp_path}/new"
        " / the file system or `ulimit -f` allows no file of this size",
        "[]",
    ]


MOUNT_SMALL = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 1 << 14, 1 << 18
if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None):
    sys.exit(77)
if libc.mount(b"none", os.fsencode(sys.argv[1]), b"tmpfs", 0, b"size=64k"):
    sys.exit(77)
"""


@pytest.mark.parametrize(
    "write",
    [
        "writer.write('app.wasm', bytes(1 << 20))",
        "list(writer.tee('model.gguf', [memoryview(bytes(1 << 20))]))",
        "writer.require_space(1 << 20)",
    ],
)
def test_is_undecided_when_there_is_no_space(write: str, tmp_path: Path) -> None:
    snippet = WRITE_LARGE.replace('writer.write("app.wasm", bytes(1 << 20))', write)
    result = run_python(MOUNT_SMALL + snippet, tmp_path)
    if result.returncode == 77:
        pytest.skip("only root can mount a small file system")
    assert result.stdout.splitlines() == [
        f"UndecidedError cannot write the package: no space left on device in {tmp_path}/new"
        " / free some space or choose another place",
        "[]",
    ]


def test_is_undecided_where_it_may_not_write(open_place: Path) -> None:
    output = unprivileged_output(
        "try:\n"
        "    os.mkdir(sys.argv[1] + '/plain')\n"
        "except PermissionError:\n"
        "    print('denied')\n" + WRITE_LARGE,
        open_place,
        preload=("pathlib", "infwasi_sign.adapters.package_writer"),
    )
    assert output.splitlines() == [
        "denied",
        f"UndecidedError cannot write the package: permission denied in {open_place}/new"
        " / check the owner and the mode of the file and of its directory",
        "[]",
    ]


WRITE_FOR_EVER = """
import pathlib, sys, time
from infwasi_sign.adapters.package_writer import Existing, PackageWriter
with PackageWriter(pathlib.Path(sys.argv[1])) as writer:
    writer.write("app.wasm", b"component")
    print("writing", flush=True)
    time.sleep(3600)
"""


def test_killed_run_leaves_no_package_and_the_next_run_cleans_up(tmp_path: Path) -> None:
    target = tmp_path / "new"
    with start_python(WRITE_FOR_EVER, target) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "writing\n"
        with PackageWriter(target):
            assert len(list(tmp_path.iterdir())) == 2  # a live run's work is left alone
        child.send_signal(signal.SIGKILL)
        child.communicate(timeout=TIMEOUT_SECONDS)
    assert len(list(tmp_path.iterdir())) == 1
    assert not target.exists()
    (tmp_path / ".new.notes.tmp").mkdir()
    with PackageWriter(target) as writer:
        writer.commit()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".new.notes.tmp", "new"]


@pytest.mark.parametrize("kind", ["package", "file", "dangling link"])
def test_is_undecided_when_the_target_exists(kind: str, package: Path) -> None:
    if kind != "package":
        shutil.rmtree(package)
    if kind == "file":
        package.touch()
    elif kind == "dangling link":
        package.symlink_to("nowhere")
    with pytest.raises(UndecidedError) as undecided, PackageWriter(package):
        pass
    assert str(undecided.value) == f"package exists already in {package}"


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_is_undecided_about_a_target_without_a_name(name: str) -> None:
    with pytest.raises(UndecidedError, match="not a name for a package in"):
        PackageWriter(Path(name))


def test_does_not_replace_a_target_that_appears_meanwhile(tmp_path: Path) -> None:
    target = tmp_path / "new"
    with PackageWriter(target) as writer:
        target.mkdir()
        with pytest.raises(UndecidedError, match="package exists already"):
            writer.commit()
    assert list(tmp_path.iterdir()) == [target]
    assert list(target.iterdir()) == []


def test_overwrite_replaces_a_package_whole(package: Path) -> None:
    opened = DirectoryStore().open(package)
    with PackageWriter(package, existing=Existing.REPLACE) as writer:
        writer.write("app.wasm", b"new")
        assert content_of(package) == FILES
        writer.commit()
    assert content_of(package) == {"app.wasm": b"new"}
    assert list(package.parent.iterdir()) == [package]
    assert opened.files["app.wasm"].read(100) == b"component"
    opened.close()


@pytest.mark.parametrize("changed", ["nothing", "manifest.sigstore.json", "app.wasm", "a file"])
def test_replaces_the_same_package_and_no_other(changed: str, package: Path) -> None:
    before = content_of(package)
    new = dict(before)
    if changed == "a file":
        new["more"] = b"more"
    elif changed != "nothing":
        new[changed] = b"new"

    def write() -> None:
        with PackageWriter(package, existing=Existing.REPLACE_IF_SAME) as writer:
            for name, data in new.items():
                writer.write(name, data)
            writer.commit()

    if changed in {"nothing", "manifest.sigstore.json"}:
        write()
        assert content_of(package) == new
    else:
        with pytest.raises(UndecidedError, match="package exists already"):
            write()
        assert content_of(package) == before


@pytest.mark.parametrize("change", ["nothing", "key", "expiry", "unsigned"])
def test_the_same_package_is_of_the_same_key_and_statement(change: str, tmp_path: Path) -> None:
    there = forge.make_package(tmp_path / "a")
    other = forge.make_package(
        tmp_path / "b",
        signer={"key": forge.STRANGER, "unsigned": None}.get(change, forge.TRUSTED),
        valid_for=None if change == "expiry" else timedelta(days=365),
    )
    before = content_of(there)

    def write() -> None:
        with PackageWriter(there, existing=Existing.REPLACE_IF_SAME) as writer:
            for name, data in content_of(other).items():
                writer.write(name, data)
            writer.commit()

    if change == "nothing":
        write()
    else:
        with pytest.raises(UndecidedError, match="package exists already"):
            write()
    assert content_of(there) == before


@pytest.mark.parametrize("name", ["thesis.docx", "release.key"])
def test_overwrite_keeps_a_package_that_holds_somebodys_file(name: str, tmp_path: Path) -> None:
    there = forge.make_package(tmp_path)
    (there / name).write_text("years of work")
    with (
        pytest.raises(UndecidedError, match="what is there is not a package"),
        PackageWriter(there, existing=Existing.REPLACE),
    ):
        pass
    assert (there / name).read_text() == "years of work"


def test_overwrite_writes_where_nothing_is(tmp_path: Path) -> None:
    with PackageWriter(tmp_path / "new", existing=Existing.REPLACE) as writer:
        writer.commit()
    assert (tmp_path / "new").is_dir()


@pytest.mark.parametrize("kind", ["neither manifest nor app", "other directory", "file", "link"])
def test_overwrite_removes_nothing_but_packages(kind: str, package: Path) -> None:
    target = package
    match kind:
        case "neither manifest nor app":
            (package / "manifest.sigstore.json").unlink()
            (package / "app.wasm").unlink()
        case "other directory":
            (package / "src").mkdir()
        case "file":
            target = package / "app.wasm"
        case "link":
            target = package.with_name("link")
            target.symlink_to(package)
    before = content_of_all(package.parent)
    with (
        pytest.raises(UndecidedError) as undecided,
        PackageWriter(target, existing=Existing.REPLACE),
    ):
        pass
    assert str(undecided.value) == f"what is there is not a package in {target}"
    assert content_of_all(package.parent) == before


@pytest.mark.parametrize("kind", ["pipe", "link to a device", "1 GiB"])
def test_a_manifest_that_is_no_manifest_holds_nobody_up(kind: str, package: Path) -> None:
    manifest = package / "manifest.sigstore.json"
    manifest.unlink()
    match kind:
        case "pipe":
            os.mkfifo(manifest)
        case "link to a device":
            manifest.symlink_to("/dev/zero")
        case _:
            manifest.touch()
            os.truncate(manifest, 1 << 30)
    with PackageWriter(package, existing=Existing.REPLACE) as writer:
        writer.write("app.wasm", b"new")
        writer.commit()
    assert content_of(package) == {"app.wasm": b"new"}


def content_of_all(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


# --- renaming and single files ---------------------------------------------------------------


class OldKernel:
    """A C library on a kernel that knows no flags of renameat2."""

    def renameat2(self, *_: object) -> int:
        return -1


@pytest.fixture(params=["renameat2", "fallback"])
def directory(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[int]:
    """A directory with `new` and `old`, each holding a file of that name."""
    if request.param == "fallback":
        monkeypatch.setattr(atomic, "_libc", OldKernel())
        monkeypatch.setattr("ctypes.get_errno", lambda: errno.EINVAL)
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def test_rename_refuses_an_existing_target(directory: int) -> None:
    with pytest.raises(FileExistsError):
        rename_at(directory, "new", "old", RenameFlag.NOREPLACE)
    assert sorted(os.listdir(directory)) == ["new", "old"]


def test_rename_moves_to_a_free_name(directory: int) -> None:
    rename_at(directory, "new", "free", RenameFlag.NOREPLACE)
    assert sorted(os.listdir(directory)) == ["free", "old"]


def test_rename_exchanges_both(directory: int, tmp_path: Path) -> None:
    rename_at(directory, "new", "old", RenameFlag.EXCHANGE)
    assert (tmp_path / "old" / "new").exists()
    assert (tmp_path / "new" / "old").exists()
    assert sorted(os.listdir(directory)) == ["new", "old"]


def test_rename_of_nothing_fails(directory: int) -> None:
    with pytest.raises(FileNotFoundError):
        rename_at(directory, "nothing", "free", RenameFlag.NOREPLACE)


def test_writes_a_file_with_its_mode(tmp_path: Path) -> None:
    write_atomic(tmp_path / "key", b"secret", 0o600)
    assert (tmp_path / "key").read_bytes() == b"secret"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / "key"]


def test_is_undecided_when_the_file_exists(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"old")
    with pytest.raises(UndecidedError) as undecided:
        write_atomic(tmp_path / "key", b"new", 0o600)
    assert str(undecided.value) == f"file exists already in {tmp_path / 'key'}"
    assert content_of(tmp_path) == {"key": b"old"}


def test_replaces_a_link_and_not_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "key").symlink_to("real")
    write_atomic(tmp_path / "key", b"new", 0o600, overwrite=True)
    assert content_of(tmp_path) == {"key": b"new", "real": b"old"}


def test_is_undecided_about_a_missing_directory(tmp_path: Path) -> None:
    path = tmp_path / "none" / "key"
    with pytest.raises(UndecidedError) as undecided:
        write_atomic(path, b"new", 0o600)
    assert str(undecided.value) == (
        f"cannot open the directory: no such file or directory in {path.parent}"
    )
