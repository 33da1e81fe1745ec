"""The two stages in a process of its own: what fails in which thread, and what goes on."""

import json
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infwasi_sign.adapters import keys
from infwasi_sign.adapters.guarded_file import LocalFile
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.package_directory import DirectoryStore
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.domain.policy import NamedPackage, Policy
from infwasi_sign.errors import RefusedError
from infwasi_sign.verify import VerifyRequest, verify
from tests import forge
from tests.command_line import arguments, environment, make_timeless
from tests.confined import WORKS
from tests.oms_support import make_model
from tests.unprivileged import python_output, run_python, start_python, unprivileged_output

PRELOAD = (
    *("ctypes", "json", "resource", "subprocess", "tempfile", "threading"),
    *("infwasi_sign.adapters.confinement", "tests.confined"),
)
THREADS = """
import ctypes, json, os, resource, tempfile
from infwasi_sign.adapters.confinement import Confinement
from infwasi_sign.adapters.process import layers_in_force
from tests.confined import Scene, Waiting
scene, old = Scene(tempfile.mkdtemp()), Waiting()
confinement = Confinement(loads=True)
{before}
print(json.dumps({{
    "old": old.do(scene.tried), "new": Waiting().do(scene.tried), "main": scene.tried(),
    "layers": [*layers_in_force()], "said": [str(one) for one in confinement.layers()],
}}))
"""
BOTH_STAGES = "confinement.before_measuring(); confinement.before_loading()"
ALL_LAYERS = ["landlock", "no-dumps", "no-new-privs", "rlimits", "seccomp"]


def outcome(before: str, *, privileged: bool) -> dict[str, dict[str, str]]:
    snippet = THREADS.format(before=before)
    text = python_output(snippet) if privileged else unprivileged_output(snippet, preload=PRELOAD)
    found: dict[str, dict[str, str]] = json.loads(text)
    return found


@pytest.fixture(scope="module", autouse=True)
def everything_is_here() -> None:
    snippet = (
        "from infwasi_sign.adapters.confinement import Confinement\n"
        "confinement = Confinement()\nconfinement.before_measuring()\n"
        "print(*(layer.standing for layer in confinement.layers()))"
    )
    if python_output(snippet) != " ".join(["in-force"] * 4):
        pytest.skip("this kernel or container lacks a layer")


@pytest.mark.parametrize("privileged", [True, False], ids=["root", "nobody"])
def test_nothing_is_left_to_any_thread_after_both_stages(privileged: bool) -> None:
    # the control: without the stages everything works
    control = outcome("", privileged=privileged)
    assert set(control["main"].values()) == {WORKS}
    found = outcome(BOTH_STAGES, privileged=privileged)
    for thread in ("old", "new", "main"):
        assert found[thread] == dict.fromkeys(control["main"], "EPERM")
    assert list(found["layers"]) == ALL_LAYERS


def test_the_second_stage_comes_with_the_first() -> None:
    once = outcome("confinement.before_loading()", privileged=True)
    assert once == outcome(BOTH_STAGES + "; " + BOTH_STAGES, privileged=True)


def test_between_the_stages_files_of_the_installation_are_read_and_others_are_not() -> None:
    snippet = """
import json, os, pathlib, sys, tempfile
from infwasi_sign.adapters.confinement import Confinement
from tests.confined import Scene, ended
folder = tempfile.mkdtemp()
scene = Scene(folder)
Confinement(writable=[pathlib.Path(folder)], loads=True).before_measuring()
import sqlite3, jinja2, wasmtime
beside = ended(lambda: os.open(tempfile.gettempdir(), os.O_RDONLY))
print(json.dumps([beside, scene.tried(("open", "make", "rename", "memfd"))]))
"""
    assert json.loads(python_output(snippet)) == [
        "EACCES",
        {"open": "EACCES", "make": WORKS, "rename": WORKS, "memfd": WORKS},
    ]


def test_the_folder_in_which_one_stands_is_no_part_of_the_installation(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    snippet = """
import os, sys
sys.path.insert(0, sys.argv[1])  # as `python -m` does
os.chdir(sys.argv[1])
from infwasi_sign.adapters.confinement import Confinement
from tests.confined import ended
Confinement().before_measuring()
print(ended(lambda: os.open("secret", os.O_RDONLY)))
"""
    assert python_output(snippet, tmp_path) == "EACCES"


@pytest.mark.parametrize(
    ("stage", "said"), [("before_measuring", "works"), ("before_loading", "EACCES")]
)
def test_where_there_is_no_filter_the_second_stage_still_leaves_no_folder(
    tmp_path: Path, stage: str, said: str
) -> None:
    (tmp_path / "state").write_text("x")
    snippet = f"""
import os, sys
from pathlib import Path
from infwasi_sign.adapters import seccomp
seccomp.machine_name = lambda: "riscv64"
from infwasi_sign.adapters.confinement import Confinement
from tests.confined import ended
Confinement(writable=[Path(sys.argv[1])], loads=True).{stage}()
print(ended(lambda: os.rename(sys.argv[1] + "/state", sys.argv[1] + "/gone")))
"""
    assert python_output(snippet, tmp_path) == said


# --- one layer alone --------------------------------------------------------------------------


def test_the_limit_alone_stops_every_thread_from_making_descriptors() -> None:
    limit = "resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))"
    names = ("open", "make", "memfd", "tcp", "udp", "unix", "socket pair")
    control = outcome("", privileged=False)
    found = outcome(limit, privileged=False)
    for thread in ("old", "new", "main"):
        assert {found[thread][name] for name in names} == {"EMFILE"}
        assert {control[thread][name] for name in names} == {WORKS}
    assert list(found["layers"]) == ["rlimits"]


def test_the_limit_alone_is_raised_again_by_root_and_not_with_the_filter() -> None:
    limit = "resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))"
    assert outcome(BOTH_STAGES, privileged=True)["main"]["raise the limit"] == "EPERM"
    assert outcome(limit, privileged=False)["main"]["raise the limit"] == "EPERM"
    # the control; that the filter denies what else would work, test_seccomp shows everywhere
    if outcome(limit, privileged=True)["main"]["raise the limit"] != WORKS:
        pytest.skip("root has no CAP_SYS_RESOURCE on this machine")


@pytest.fixture
def setuid_program() -> Iterator[Path]:
    """A copy of `id` that runs as root, whoever starts it."""
    if os.geteuid() != 0:
        pytest.skip("only root can make one")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    program = folder / "id"
    shutil.copy(shutil.which("id") or "/usr/bin/id", program)
    program.chmod(0o755 | stat.S_ISUID)
    yield program
    shutil.rmtree(folder)


def test_no_new_privs_alone_makes_a_setuid_program_a_usual_one(setuid_program: Path) -> None:
    snippet = """
import subprocess
{before}
print(subprocess.run([sys.argv[1], "-u"], capture_output=True, text=True).stdout.strip())
"""
    preload = ("ctypes", "subprocess")

    def who(before: str) -> str:
        return unprivileged_output(snippet.format(before=before), setuid_program, preload=preload)

    if who("") != "0":  # the control
        pytest.skip("the folder for temporary files is mounted without setuid")
    assert who("ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)") == "65534"


# --- what is missing is said ------------------------------------------------------------------


def test_a_missing_layer_is_said_and_the_others_are_in_force() -> None:
    before = (
        "from infwasi_sign.adapters import seccomp; seccomp.machine_name = lambda: 'riscv64'\n"
        "confinement.before_measuring(); confinement.before_loading()"
    )
    found = outcome(before, privileged=True)
    assert list(found["layers"]) == ["landlock", "no-dumps", "no-new-privs", "rlimits"]
    assert "seccomp (lacks: there is no filter for riscv64)" in found["said"]
    # who may raise the limit again could open files again, and so that is said, too
    assert "rlimits (lacks: root can raise the limit again)" in found["said"]
    assert found["new"]["open"] == "EMFILE"


def test_a_layer_that_was_announced_and_cannot_be_had_ends_the_run() -> None:
    snippet = """
from infwasi_sign.adapters import seccomp
from infwasi_sign.adapters.confinement import Confinement
from infwasi_sign.errors import UndecidedError
confinement = Confinement(loads=True)
confinement.before_measuring()
seccomp.program_before_loading = lambda machine: b"not a program!!!"
try:
    confinement.before_loading()
except UndecidedError as error:
    print(error)
"""
    assert python_output(snippet) == (
        "the process cannot be confined (got seccomp (lacks: this kernel, or the container's "
        "filter, has no seccomp filters))"
    )


# --- the commands -----------------------------------------------------------------------------

COMMAND = """
import importlib, json, os, sys, tempfile
from tests.confined import Scene
module, name, switch, place, *words = sys.argv[1:]
os.chdir(place)
scene = Scene(tempfile.mkdtemp())
if switch == "off":
    from infwasi_sign.adapters.confinement import Confinement
    Confinement.before_measuring = lambda self: None
owner, _, attribute = name.rpartition(".")
owner = importlib.import_module(module) if not owner else getattr(
    importlib.import_module(module), owner)
parse = getattr(owner, attribute)
def tries(*arguments, **named):
    names = ("open", "make", "tcp", "spawn", "signal")
    print(json.dumps(scene.tried(names)), file=sys.stderr)
    return parse(*arguments, **named)
setattr(owner, attribute, tries)
sys.argv = ["infwasi", *words]
from infwasi_sign.cli import main
main()
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("packages")
    make_timeless(place)
    make_model(place / "oms")
    return place


@pytest.mark.parametrize(
    ("parser", "words"),
    [
        ("infwasi_sign.verify agree", "verify capital-1.0.0 --key trusted.pub"),
        ("infwasi_sign.inspection parse_bundle", "inspect capital-1.0.0"),
        ("infwasi_sign.verify agree", "policy init capital-1.0.0 --key trusted.pub"),
        ("infwasi_sign.verify agree", "verify-and-run capital-1.0.0 --key trusted.pub"),
        (
            "infwasi_sign.adapters.model_directory ModelDirectory.measure",
            "verify --oms oms/model --key oms/trusted.pub",
        ),
    ],
    ids=["verify", "inspect", "policy", "run", "oms"],
)
def test_a_command_is_confined_before_it_reads_much(
    parser: str, words: str, packages: Path
) -> None:
    def tried(switch: str) -> dict[str, str]:
        done = run_python(COMMAND, *parser.split(), switch, packages, *words.split())
        line = next(line for line in done.stderr.splitlines() if line.startswith('{"open"'))
        return dict(json.loads(line))

    # the control: without the stage all of it works
    assert set(tried("off").values()) == {WORKS}
    denied = {"open": "EACCES", "make": "EACCES", "tcp": "EPERM", "spawn": "EPERM"}
    assert tried("on") == denied | {"signal": "EPERM"}


def test_what_is_kept_and_written_is_written_by_a_confined_process(
    packages: Path, tmp_path: Path
) -> None:
    state = {"INFWASI_STATE_DIR": str(tmp_path / "state" / "deep")}
    words = "verify capital-1.0.0 --key trusted.pub --pin --commit --format json --output"
    done = subprocess.run(
        [*arguments(*words.split()), tmp_path / "result.json"],
        env=environment(state),
        cwd=packages,
        check=False,
        capture_output=True,
    )
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert [one["layer"] for one in result["confinement"] if one["standing"] == "in-force"] == [
        *("landlock", "no-dumps", "no-new-privs", "seccomp")
    ]
    assert {path.name for path in (tmp_path / "state" / "deep").iterdir()} > {"pins.json", "lock"}


# --- when it happens ---------------------------------------------------------------------------


def verified(package: Path, on_held: Callable[[], None], progress: Callable[[int], None]) -> None:
    key = keys.parse_public_key(forge.TRUSTED.public_key(), where="key")
    request = VerifyRequest(
        location=package,
        policy=Policy(package=NamedPackage(name="capital")),
        now=forge.NOW,
        hold=True,
        progress=progress,
        on_held=on_held,
    )
    verify(
        request,
        store=DirectoryStore(),
        signatures=keys.KeyVerifier([keys.TrustedKey(name="trusted", public_key=key)]),
        measure_bytes=measure_bytes,
    ).close()


def test_it_is_time_when_the_model_is_held_and_not_a_byte_of_it_is_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    guard, read = LocalFile.guard, LocalFile.read

    def guards(file: LocalFile, *rest: Any) -> LoadLevel:
        happened.append(f"guard {file.name}")
        return guard(file, *rest)

    def reads(file: LocalFile, limit_bytes: int) -> bytes:
        happened.append(f"read {file.name}")
        return read(file, limit_bytes)

    monkeypatch.setattr(LocalFile, "guard", guards)
    monkeypatch.setattr(LocalFile, "read", reads)
    verified(
        forge.make_package(tmp_path),
        lambda: happened.append("held"),
        lambda _: happened.append("hashed"),
    )
    before, after = happened[: happened.index("held")], happened[happened.index("held") :]
    assert "guard model.gguf" in before
    assert not {"hashed", "read app.wasm", "read bom.cdx.json"} & set(before)
    assert {"hashed", "read app.wasm", "read bom.cdx.json"} <= set(after)


def test_who_is_refused_before_that_is_not_called(tmp_path: Path) -> None:
    package = forge.make_package(tmp_path)
    (package / "model.gguf").write_bytes(b"short")
    called: list[str] = []
    with pytest.raises(RefusedError, match="size differs"):
        verified(package, lambda: called.append("held"), lambda _: None)
    assert called == []


def test_the_watcher_still_ends_a_process_that_does_not_stop() -> None:
    snippet = """
import ctypes
from infwasi_sign.adapters.confinement import Confinement
from infwasi_sign.adapters.watcher import Watcher
from infwasi_sign.ports import StopReason
watcher = Watcher(last_words={reason: f"last words: {reason}" for reason in StopReason},
                  grace_seconds=0.05)
watcher.block_signals()
with watcher:
    Confinement(loads=True).before_loading()
    watcher.arm(0.05)
    ctypes.CDLL(None).sleep(50)  # native code that hears nothing
"""
    done = run_python(snippet)
    assert (done.returncode, done.stderr) == (
        1,
        "last words: deadline (expected at most 0.05 seconds)\n",
    )


def test_a_writer_is_still_noticed(tmp_path: Path) -> None:
    """The lease was taken before the first stage: its signal reaches us through all layers."""
    (tmp_path / "file").write_bytes(b"x" * 100)
    snippet = """
import os, sys, time
from infwasi_sign.adapters.confinement import Confinement
from infwasi_sign.adapters.guarded_file import LocalFile
from infwasi_sign.adapters.watcher import Watcher
from infwasi_sign.ports import StopReason
watcher = Watcher(last_words=dict.fromkeys(StopReason, ""), grace_seconds=50)
watcher.block_signals()
with watcher:
    folder = os.open(sys.argv[1], os.O_RDONLY)
    file = LocalFile.open("file", directory=folder, most_bytes=1000)
    print(file.guard().label, flush=True)
    Confinement(loads=True).before_loading()
    print("confined", flush=True)
    while watcher.reason() is None and file.level.label == "read-lease":
        time.sleep(0.001)
    print(watcher.reason())
    file.close()
"""
    with start_python(snippet, tmp_path) as child:
        assert child.stdout is not None
        level = child.stdout.readline().strip()
        assert child.stdout.readline() == "confined\n"
        if level != "read-lease":
            child.kill()
            pytest.skip("no lease on this file system")
        with pytest.raises(BlockingIOError):
            os.open(tmp_path / "file", os.O_WRONLY | os.O_NONBLOCK)
        assert child.stdout.read() == "lease\n"
