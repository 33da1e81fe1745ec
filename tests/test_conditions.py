"""What the machine can do to a command: each time one clear line, the right code, no traceback.

Nothing here is timed. A command that hangs meets the child's timeout, and that fails the test.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infwasi_sign.adapters.key_files import write_key_pair
from infwasi_sign.adapters.keys import KeyKind
from infwasi_sign.cli.output import as_failure
from infwasi_sign.errors import UndecidedError
from tests.command_line import Done, arguments, environment, infwasi, make_timeless
from tests.gguf_forge import Tensor, tiny_gguf
from tests.unprivileged import unprivileged_output

TIMEOUT_SECONDS = 120  # only a command that hangs waits this long
KEY = ("--key", "trusted.pub")
VERIFY = ("verify", "capital-1.0.0", *KEY)
SIGN = ("pack", "--sign", "--key", "release.key")
PROJECT = '[package]\nname = "weather"\nversion = "1.0.0"\n[model]\npath = "tiny.gguf"\n'
GIB = 1 << 30


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed package, keys, and what is needed to pack another; tests only read it."""
    folder = tmp_path_factory.mktemp("conditions")
    make_timeless(folder)
    (folder / "infwasi.toml").write_text(PROJECT)
    (folder / "tiny.gguf").write_bytes(tiny_gguf())
    write_key_pair(folder / "release", KeyKind.P256, None)
    return folder


@pytest.fixture
def package(place: Path, tmp_path: Path) -> Path:
    """A copy of the package to spoil; its keys lie beside it."""
    for name in ("trusted.pub", "release.key"):
        shutil.copy2(place / name, tmp_path / name)
    return Path(shutil.copytree(place / "capital-1.0.0", tmp_path / "capital-1.0.0"))


def under(
    shell: str, *words: str | os.PathLike[str], cwd: Path, env: dict[str, str] | None = None
) -> Done:
    """Run a command under what ``shell`` has set up; `"$@"` in it is the command."""
    return finished(["sh", "-ec", shell, "sh", *arguments(*words)], cwd, env)


def mounted(
    shell: str, *words: str | os.PathLike[str], cwd: Path, env: dict[str, str] | None = None
) -> Done:
    """The same with mounts that only the command sees; skips the test where none can be made."""
    probe = ["unshare", "-m", "sh", "-ec", "mount -t tmpfs none /mnt"]
    if os.geteuid() != 0 or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount, and not in every container")
    return finished(["unshare", "-m", "sh", "-ec", shell, "sh", *arguments(*words)], cwd, env)


def finished(command: list[str], cwd: Path, env: dict[str, str] | None) -> Done:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=cwd,
        env=environment(env),
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    errors = done.stderr.decode()
    assert "Traceback" not in errors, errors
    assert "internal error" not in errors, errors
    return Done(done.returncode, done.stdout, errors)


def require_clear(done: Done, code: int, says: str) -> None:
    """One line that begins with ``says``, at most a hint after it, and nothing as data."""
    line, *rest = [said for said in done.said if not said.startswith("warning: ")]
    assert line.startswith(says), done.said
    assert (done.code, done.output) == (code, b"")
    assert len(rest) <= 1
    assert all(said.startswith("hint: ") for said in rest)


# --- storage ---------------------------------------------------------------------------------

FULL = "mount -t tmpfs -o size=8k none full; head -c 8k /dev/zero > full/all || true; exec "


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((*SIGN, "--output", "full"), "error: cannot write the package: no space left on device"),
        (("keygen", "full/new", "--no-passphrase"), "error: cannot write full/new.key"),
    ],
    ids=["pack", "keygen"],
)
def test_a_full_disk(words: tuple[str, ...], says: str, place: Path) -> None:
    (place / "full").mkdir(exist_ok=True)
    require_clear(mounted(FULL + '"$@"', *words, cwd=place), 2, says)


def test_a_full_disk_for_the_project_file(place: Path) -> None:
    (place / "full").mkdir(exist_ok=True)
    done = mounted(FULL + 'env -C full "$@"', "init", "--name", "x", cwd=place)
    require_clear(done, 2, "error: cannot write the file: no space left on device in infwasi.toml")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--output", "full/result.json"), "error: cannot write the file: no space left on device"),
        (("--commit",), "error: no state can be kept: no space left on device in "),
    ],
    ids=["result", "state"],
)
def test_a_full_disk_for_what_verify_writes(words: tuple[str, ...], says: str, place: Path) -> None:
    (place / "full").mkdir(exist_ok=True)
    full = FULL.replace("size=8k", "size=8k,mode=700")
    env = {"INFWASI_STATE_DIR": str(place / "full")} if words == ("--commit",) else None
    require_clear(mounted(full + '"$@"', *VERIFY, *words, cwd=place, env=env), 2, says)


def test_a_full_folder_for_temporary_files(place: Path, tmp_path: Path) -> None:
    (place / "full").mkdir(exist_ok=True)
    # Room for what `tempfile` tries first: a folder without any is passed over for another.
    shell = 'mount -t tmpfs -o size=8k none full; exec "$@"'
    words = (*SIGN, "--output", tmp_path / "dist")
    done = mounted(shell, *words, cwd=place, env={"TMPDIR": str(place / "full")})
    require_clear(done, 2, "error: ")
    assert "no space left on device in " in done.said[0]
    assert done.said[-1] == "hint: free some space or choose another place"
    assert list(tmp_path.glob("dist/*")) == []


def test_a_file_that_may_not_grow(place: Path, tmp_path: Path) -> None:
    done = under('ulimit -f 8; exec "$@"', *SIGN, "--output", tmp_path / "dist", cwd=place)
    assert done.code == 2
    assert "file too large" in done.said[0]
    assert list(tmp_path.glob("dist/*")) == []
    assert list(tmp_path.glob("dist/.*")) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((*SIGN, "--output", "fixed"), "error: cannot write the package: read-only file system"),
        (("keygen", "fixed/new", "--no-passphrase"), "error: cannot write fixed/new.key"),
    ],
    ids=["pack", "keygen"],
)
def test_a_read_only_mount(words: tuple[str, ...], says: str, place: Path) -> None:
    (place / "fixed").mkdir(exist_ok=True)
    shell = 'mount -t tmpfs -o ro none fixed; exec "$@"'
    require_clear(mounted(shell, *words, cwd=place), 2, says)


@pytest.mark.parametrize("kind", ["ramfs", "overlay"])
def test_a_file_system_without_leases_is_named_and_copied_from(kind: str, place: Path) -> None:
    (place / "other").mkdir(exist_ok=True)
    shell = {
        "ramfs": "mount -t ramfs none other; cp -r capital-1.0.0 other/",
        "overlay": "mount -t tmpfs none /mnt; mkdir /mnt/upper /mnt/work; mount -t overlay none "
        '-o "lowerdir=$PWD,upperdir=/mnt/upper,workdir=/mnt/work" other',
    }[kind]
    words = ("verify-and-run", "other/capital-1.0.0", *KEY, "--json", "Hi?")
    done = mounted(f'{shell}; exec "$@"', *words, cwd=place)
    verdict, failure = done.documents
    assert (verdict["verdict"], verdict["level"]) == ("verified", "sealed-memfd")
    assert "; a lease means nothing on this file system" in verdict["levelReason"]
    # The package's model is too small to be one for llama.cpp; that is after all of this.
    assert (done.code, failure["what"]) == (2, "llama.cpp cannot load the model")


# --- streams and locale ----------------------------------------------------------------------

NO_LOCALE = {
    "LC_ALL": "C",
    "LANG": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONIOENCODING": "ascii",
}


def test_a_closed_standard_error(place: Path) -> None:
    done = under('exec "$@" 2>&-', *VERIFY, cwd=place)
    assert (done.code, done.out.splitlines()[0].split(":")[0]) == (0, "verified")
    done = under('exec "$@" 2>&-', "verify", "capital-1.0.0", "--key", "stranger.pub", cwd=place)
    assert (done.code, done.output) == (1, b"")
    assert under('exec "$@" 2>&-', "frobnicate", cwd=place).code == 2


def test_a_full_standard_error_changes_no_verdict(place: Path) -> None:
    words = ("verify", "capital-1.0.0", "--key", "stranger.pub")
    assert under('exec "$@" 2>/dev/full', *words, cwd=place).code == 1


def test_a_refusal_that_nobody_reads_is_a_refusal(place: Path) -> None:
    words = ("verify", "capital-1.0.0", "--key", "stranger.pub", "--json")
    done = under('exec "$@" >/dev/full', *words, cwd=place)
    assert done.code == 1
    assert [line.split(" ")[0] for line in done.said] == ["error:", "hint:", "refused:", "hint:"]


def test_a_missing_locale(package: Path) -> None:
    key = package.parent / "Schlüssel 漢.pub"
    shutil.copy2(package.parent / "trusted.pub", key)
    done = under('exec "$@"', "verify", package, "--key", key, cwd=package.parent, env=NO_LOCALE)
    assert (done.code, done.said) == (0, [])
    assert done.out.splitlines()[0].startswith("verified: capital 1.0.0, signed by Schl")
    assert done.output.isascii()
    words = ("verify", package.parent / "fehlt é", "--key", key)
    done = under('exec "$@"', *words, cwd=package.parent, env=NO_LOCALE)
    require_clear(done, 2, "error: no package there in ")


def test_an_encoding_that_lacks_the_letters(package: Path) -> None:
    key = package.parent / "Schlüssel.pub"
    shutil.copy2(package.parent / "trusted.pub", key)
    env = {"PYTHONIOENCODING": "ascii"}
    done = infwasi("verify", package, "--key", key, cwd=package.parent, env=env)
    assert (done.code, done.said) == (0, [])
    assert r"signed by Schl\xfcssel (" in done.out


# --- sizes and counts ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["manifest.sigstore.json", "app.wasm", "bom.cdx.json"])
@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_a_file_of_1_gib(command: str, name: str, package: Path) -> None:
    os.truncate(package / name, GIB)
    words = (command, package.name, *(KEY if command == "verify" else ()))
    done = under('exec "$@"', *words, cwd=package.parent)
    require_clear(done, 1, f"refused: limit: file is too large in {name} (expected at most ")


def test_a_key_of_1_gib(package: Path) -> None:
    os.truncate(package.parent / "trusted.pub", GIB)
    require_clear(under('exec "$@"', *VERIFY, cwd=package.parent), 2, "error: ")


def test_a_project_file_of_1_gib(tmp_path: Path) -> None:
    (tmp_path / "infwasi.toml").touch()
    os.truncate(tmp_path / "infwasi.toml", GIB)
    done = under('exec "$@"', "pack", cwd=tmp_path)
    require_clear(done, 2, "error: too long in infwasi.toml (expected at most ")


@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_a_directory_with_100_000_extra_files(command: str, crowded: Path) -> None:
    words = (command, "capital-1.0.0", *(KEY if command == "verify" else ()))
    done = under('exec "$@"', *words, cwd=crowded)
    says = "refused: limit: too many files in capital-1.0.0 (expected at most 1024)"
    require_clear(done, 1, says)


@pytest.fixture(scope="module")
def crowded(place: Path) -> Iterator[Path]:
    """The folder of a package with 100,000 names too many."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    package = folder / "capital-1.0.0"
    shutil.copytree(place / "capital-1.0.0", package)
    shutil.copy2(place / "trusted.pub", folder)
    directory = os.open(package, os.O_RDONLY)
    for number in range(100_000):
        os.close(os.open(f"{number}", os.O_CREAT | os.O_WRONLY, dir_fd=directory))
    os.close(directory)
    yield folder
    shutil.rmtree(folder)


# --- too little of something -----------------------------------------------------------------

# Everything is imported first: what an import may do without memory is not ours to say.
LIMITED = """\
import resource, sys
import infwasi_sign.adapters.native_host
from infwasi_sign.cli import (
    delivery, main, output, renderers, verification, verify_and_run_command, verify_command
)
from infwasi_sign.domain import result
kind, limit = getattr(resource, sys.argv[1]), int(sys.argv[2])
if kind == resource.RLIMIT_AS:
    with open("/proc/self/statm") as counts:
        limit += int(counts.read().split()[0]) * resource.getpagesize()
resource.setrlimit(kind, (limit, limit))
sys.argv[:] = ["infwasi", *sys.argv[3:]]
main()
"""


def limited(kind: str, limit: int, *words: str, cwd: Path) -> Done:
    command = [sys.executable, "-W", "error", "-c", LIMITED, kind, str(limit), *words]
    return finished(command, cwd, None)


def require_verdict_or_clear(done: Done) -> bool:
    """Either it is verified and nothing is said, or nothing is verified and it is said why."""
    if done.code == 0:
        assert done.said == []
        assert done.out.startswith("verified: ")
        return True
    require_clear(done, 2, "error: ")
    return False


def test_too_few_files(place: Path) -> None:
    passed = [
        require_verdict_or_clear(limited("RLIMIT_NOFILE", count, *VERIFY, cwd=place))
        for count in (3, 4, 5, 6, 7, 8, 9, 10, 64)
    ]
    assert not passed[0]
    assert passed[-1]


def test_too_little_memory(place: Path, tmp_path: Path) -> None:
    weights = Tensor(name=b"a.weight", dimensions=(10 << 20,), type=0, data=bytes(40 << 20))
    make_timeless(tmp_path, name="large", model=tiny_gguf(tensors=(weights,)))
    words = ("verify", "large-1.0.0", *KEY)
    passed = [
        require_verdict_or_clear(limited("RLIMIT_AS", kib << 10, *words, cwd=tmp_path))
        for kib in (0, 1_000, 8_000, 16_000, 32_000, 48_000, 64_000, 1_000_000)
    ]
    assert not passed[0]
    assert passed[-1]


def test_too_many_files_for_a_package_to_be_written(place: Path, tmp_path: Path) -> None:
    words = (*SIGN, "--output", tmp_path / "dist")
    done = under('ulimit -n 12; exec "$@"', *words, cwd=place)
    if done.code != 0:
        require_clear(done, 2, "error: ")
        assert list(tmp_path.glob("dist/*")) == []


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), "out of memory"),
        (RecursionError("maximum"), "nested too deeply"),
        (OSError(40, "Too many levels", "/x"), "too many levels of symbolic links in /x"),
        (OSError(36, "File name too long", "/x"), "file name too long in /x"),
        (OSError(122, "Disk quota exceeded", "/x"), "disk quota exceeded in /x"),
        (RuntimeError("can't start new thread"), "no thread can be started"),
        (ImportError("x.so: failed to map"), "a part of infwasi cannot be loaded: x.so: failed "),
        (OSError(23, "Too many", "/x"), "too many open files in system in /x"),
        (OSError(28, "No space"), "no space left on device"),
        (OSError("odd"), "odd"),
    ],
)
def test_what_the_system_says_comes_with_what_to_do(error: BaseException, says: str) -> None:
    failure = as_failure(error)
    assert isinstance(failure, UndecidedError)
    assert str(failure).startswith(says)
    assert failure.hint is not None or says == "odd"


def test_only_the_system_is_explained_and_no_mistake_of_ours() -> None:
    for error in (BrokenPipeError(32, "x"), RuntimeError("x"), ValueError("x"), KeyError("x")):
        assert as_failure(error) is None


# --- things that are no files ----------------------------------------------------------------

NO_FILES = {
    "pipe": "a named pipe",
    "socket": "a socket",
    "device": "a character device",
    "directory": "a directory",
}


def make_no_file(kind: str, path: Path) -> Path:
    """Something at ``path`` that is no regular file; a device is made elsewhere already."""
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "socket":
            # A socket's path is short (unix(7)), and those of tests are long.
            here = Path.cwd()
            os.chdir(path.parent)
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(path.name)
            os.chdir(here)
        case "directory":
            path.mkdir()
        case _:
            return Path("/dev/zero")
    return path


@pytest.mark.parametrize("kind", NO_FILES)
def test_no_file_as_the_model_to_pack(kind: str, place: Path, tmp_path: Path) -> None:
    model = make_no_file(kind, tmp_path / "model.gguf")
    words = (*SIGN, "--model", model, "--output", tmp_path / "dist")
    done = under('exec "$@"', *words, cwd=place)
    says = f"refused: malformed: not a regular file in {model.name} (expected a file, got "
    require_clear(done, 1, says + NO_FILES[kind])
    assert list(tmp_path.glob("dist/*")) == []


@pytest.mark.parametrize("kind", NO_FILES)
def test_no_file_as_a_key(kind: str, package: Path) -> None:
    key = make_no_file(kind, package.parent / "odd.pub")
    done = under('exec "$@"', "verify", package.name, "--key", key, cwd=package.parent)
    require_clear(done, 2, "error: ")


@pytest.mark.parametrize("kind", ["pipe", "socket", "directory"])
@pytest.mark.parametrize("name", ["manifest.sigstore.json", "model.gguf"])
def test_no_file_in_a_package(name: str, kind: str, package: Path) -> None:
    (package / name).unlink()
    make_no_file(kind, package / name)
    done = under('exec "$@"', *VERIFY, cwd=package.parent)
    assert done.code == 1
    assert name in done.said[0]
    require_clear(done, 1, "refused: ")


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_no_file_as_the_package(kind: str, package: Path) -> None:
    odd = make_no_file(kind, package.parent / "odd")
    done = under('exec "$@"', "verify", odd, *KEY, cwd=package.parent)
    require_clear(done, 2, "error: not a package in ")


LONG = "x" * 300  # longer than any name (NAME_MAX)


@pytest.mark.parametrize("name", ["loop", LONG], ids=["loop", "long"])
@pytest.mark.parametrize(
    "words",
    [
        *("verify {} --key trusted.pub", "verify-and-run {} --key trusted.pub Hi", "inspect {}"),
        *("verify capital-1.0.0 --key {}", "verify capital-1.0.0 --policy {}", "policy check {}"),
        *("verify capital-1.0.0 --key trusted.pub --model {}", "verify {} --key trusted.pub --pin"),
        *("policy why {} --key trusted.pub", "policy init {} --key trusted.pub"),
        *("pack --config {}", "pack --model {}", "pack --sign --key {}", "pack --output {}/x"),
        *("keygen {}/x --no-passphrase", "keygen x --passphrase-file {}"),
    ],
)
def test_a_name_that_leads_nowhere(words: str, name: str, package: Path, place: Path) -> None:
    (package.parent / "loop").symlink_to("loop")
    for file in ("infwasi.toml", "tiny.gguf"):
        shutil.copy2(place / file, package.parent)
    done = under('exec "$@"', *words.format(name).split(), cwd=package.parent)
    require_clear(done, 2, "error: ")
    assert name in done.said[0]
    assert done.said[-1].startswith("hint: ")


# --- what is not permitted -------------------------------------------------------------------

# Becomes nobody in ``unprivileged_output``, is denied the plain operation, then calls the command.
DENIED = """
import os, sys
denied = sys.argv[1]
try:
    os.close(os.open(denied, int(sys.argv[2])))
    print("permitted")
except PermissionError:
    print("denied")
sys.stdout.flush()
os.chdir(sys.argv[3])
os.dup2(1, 2)
sys.argv[:] = ["infwasi", *sys.argv[4:]]
try:
    main()
except SystemExit as end:
    print("exit code", end.code)
"""
MODULES = (
    "cryptography.hazmat.backends.openssl.backend",
    "cryptography.hazmat.primitives.asymmetric.ec",
    "infwasi_sign.adapters.background",
    "infwasi_sign.adapters.composer",
    "infwasi_sign.adapters.native_host",
    "infwasi_sign.adapters.package_writer",
    "infwasi_sign.adapters.model_source",
    "infwasi_sign.adapters.pkcs8",
    "infwasi_sign.adapters.passphrase",
    "infwasi_sign.cli.keygen_command",
    "infwasi_sign.cli.pack_command",
    "infwasi_sign.cli.renderers",
    "infwasi_sign.cli.verification",
    "infwasi_sign.cli.verify_command",
    "infwasi_sign.domain.result",
    "infwasi_sign.pack",
    "infwasi_sign.adapters.key_files",
    "random",
    "resource",
    "urllib.parse",
)


@pytest.fixture
def common(place: Path) -> Iterator[Path]:
    """A folder that everybody may read and enter, and only root may change."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    shutil.copytree(place / "capital-1.0.0", folder / "capital-1.0.0")
    shutil.copy2(place / "trusted.pub", folder)
    yield folder
    shutil.rmtree(folder)


def as_nobody(denied: Path, flags: int, *words: str, cwd: Path) -> list[str]:
    preload = (*MODULES, "infwasi_sign.cli")
    snippet = DENIED.replace("main()", "infwasi_sign.cli.main()")
    return unprivileged_output(
        snippet, denied, str(flags), cwd, *words, preload=preload
    ).splitlines()


@pytest.mark.parametrize("name", ["model.gguf", "manifest.sigstore.json", "app.wasm"])
def test_an_unreadable_file_gives_no_verdict(name: str, common: Path) -> None:
    file = common / "capital-1.0.0" / name
    file.chmod(0)
    words = ("verify", "capital-1.0.0", *KEY)
    denied, line, hint, code = as_nobody(file, os.O_RDONLY, *words, cwd=common)
    assert (denied, code) == ("denied", "exit code 2")
    assert line == f"error: cannot open the file: permission denied in {name}"
    assert hint.startswith("hint: check the owner and the mode ")


def test_an_unreadable_package_gives_no_verdict(common: Path) -> None:
    package = common / "capital-1.0.0"
    package.chmod(0)
    words = ("verify", "capital-1.0.0", *KEY)
    denied, line, hint, code = as_nobody(package, os.O_RDONLY, *words, cwd=common)
    assert (denied, code) == ("denied", "exit code 2")
    assert line.startswith("error: ")
    assert "capital-1.0.0" in line
    assert hint.startswith("hint: ")


def test_a_folder_that_is_not_ours_takes_no_package(common: Path, place: Path) -> None:
    shutil.copy2(place / "tiny.gguf", common)
    (common / "infwasi.toml").write_text(PROJECT)
    new = common / "new"
    words = ("pack", "--output", ".")
    denied, line, hint, code = as_nobody(new, os.O_WRONLY | os.O_CREAT, *words, cwd=common)
    assert (denied, code) == ("denied", "exit code 2")
    assert line.startswith("error: cannot write the package: permission denied in weather-1.0.0")
    assert hint.startswith("hint: check the owner and the mode ")
    assert not list(common.glob("*weather*"))


def test_a_folder_that_is_not_ours_takes_no_key(common: Path) -> None:
    new = common / "new.key"
    words = ("keygen", "new", "--no-passphrase")
    denied, *said, code = as_nobody(new, os.O_WRONLY | os.O_CREAT, *words, cwd=common)
    assert (denied, code) == ("denied", "exit code 2"), said
    assert said[-2].startswith("error: cannot write new.key"), said
    assert said[-1].startswith("hint: check the owner"), said
    assert not new.exists()
