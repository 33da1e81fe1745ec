"""A run on the real model, confined: seen from all its threads, from outside, and when it dies."""

import json
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from tests.command_line import Done, arguments, environment, infwasi, make_timeless, start
from tests.confined import WORKS
from tests.gguf_forge import ARRAY, F32, I32, TEMPLATE, array, pair, strings, text_pair, tiny_gguf
from tests.gguf_forge import u32_pair as number_pair
from tests.observing import wait_until
from tests.test_end_to_end import KEY, LONG, QUESTION, place  # noqa: F401 - a fixture
from tests.unprivileged import run_python

pytestmark = pytest.mark.model

PACKAGE = "dist/capital-1.0.0"
# One thread: several wait for each other in a busy loop, which takes long on busy machines.
RUN = ("verify-and-run", PACKAGE, *KEY, "--threads", "1")
ANSWER = "The capital of Sweden is Stockholm.\n"

# Imports that the attempts need come first; then the command runs as it would from a shell.
FROM_WITHIN = """
import json, os, sys, tempfile
from tests.confined import Scene, Waiting, Worker
from infwasi_sign.adapters import llama
switch, place, *words = sys.argv[1:]
os.chdir(place)
scene, old, worker = Scene(tempfile.mkdtemp()), Waiting(), Worker()
if switch == "off":
    from infwasi_sign.adapters.confinement import Confinement
    Confinement.before_measuring = Confinement.before_loading = lambda self: None
real, found = llama.LlamaStream.next_piece, {}
def next_piece(self):
    piece = real(self)
    if self._made == 3 and not found:
        found["old"] = old.do(scene.tried)
        found["new"] = Waiting().do(scene.tried)
        found["worker"] = worker.do(scene.tried)
        found["main"] = scene.tried()
        print(json.dumps(found), file=sys.stderr)
    return piece
llama.LlamaStream.next_piece = next_piece
sys.argv = ["infwasi", *words]
from infwasi_sign.cli import main
main()
"""


def test_while_it_answers_nothing_works_in_any_thread_and_the_answer_goes_on(
    place: Path,  # noqa: F811 - the fixture
) -> None:
    def tried(switch: str) -> dict[str, dict[str, str]]:
        done = run_python(FROM_WITHIN, switch, place, *RUN, QUESTION)
        assert (done.returncode, done.stdout) == (0, ANSWER), done.stderr
        line = next(line for line in done.stderr.splitlines() if line.startswith('{"old"'))
        found: dict[str, dict[str, str]] = json.loads(line)
        return found

    control = tried("off")
    assert list(control) == ["old", "new", "worker", "main"]
    for thread in control.values():
        assert set(thread.values()) == {WORKS}
    for thread in tried("on").values():
        assert thread == dict.fromkeys(control["main"], "EPERM")


def test_the_kernel_says_the_same_of_every_thread(place: Path) -> None:  # noqa: F811
    with start(*RUN, "--threads", "2", LONG, cwd=place) as process:
        try:
            assert process.stdout is not None
            process.stdout.read(1)  # it decodes
            folder = Path(f"/proc/{process.pid}")
            seen = [
                dict(re.findall(r"^(\w+):\t(.*)$", (task / "status").read_text(), re.MULTILINE))
                for task in (folder / "task").iterdir()
            ]
            limits = (folder / "limits").read_text()
        finally:
            process.kill()
    assert len(seen) >= 3  # the main one, the watcher, a worker
    for status in seen:
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert int(status["Seccomp_filters"]) >= 2
    assert re.search(r"^Max open files +0 +0 ", limits, re.MULTILINE)
    assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)


# --- nothing is opened too late -----------------------------------------------------------------

LATE = """
import os, sys
from infwasi_sign.adapters.confinement import Confinement
from infwasi_sign.adapters.libraries import _MODULES, _PACKAGES
real, is_over = Confinement.before_loading, []
def before_loading(self):
    real(self)
    print("no more", file=sys.stderr)
    is_over.append(True)
Confinement.before_loading = before_loading
def hear(event, arguments):
    if not is_over or event not in ("import", "open"):
        return
    name = str(arguments[0])
    # read before, see there; pickle asks for Java's as it is executed, and does without
    is_in_hand = name in _MODULES or name.partition(".")[0] in (*_PACKAGES, "org")
    if event == "open" or not is_in_hand:
        os.write(2, f"late: {event} {arguments[0]}\\n".encode())
sys.addaudithook(hear)
os.chdir(sys.argv[1])
sys.argv = ["infwasi", *sys.argv[2:]]
from infwasi_sign.cli import main
main()
"""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((QUESTION,), 0),
        (("--json", QUESTION), 0),
        (("--verbose", "--max-tokens", "2", QUESTION), 0),
        (("--timeout", "1", LONG * 20), 1),  # in the prompt or in the answer
        (("x " * 50_000,), 1),  # longer than the context
    ],
    ids=["text", "json", "verbose", "deadline", "too long"],
)
def test_nothing_is_opened_after_the_second_stage(
    words: tuple[str, ...],
    code: int,
    place: Path,  # noqa: F811
) -> None:
    done = run_python(LATE, place, *RUN, *words)
    assert done.returncode == code, done.stderr
    assert "no more\n" in done.stderr
    assert "late: " not in done.stderr


def test_a_module_that_is_imported_too_late_would_be_noticed(place: Path) -> None:  # noqa: F811
    late = LATE.replace(
        "    is_over.append(True)\n", "    is_over.append(True)\n    import sqlite3\n"
    )
    done = run_python(late, place, *RUN, QUESTION)
    assert done.returncode == 2
    assert "late: import sqlite3" in done.stderr


# --- what the result says -----------------------------------------------------------------------

EVERYTHING = '["landlock", "no-dumps", "no-new-privs", "rlimits", "seccomp"]'


def run_by_policy(place: Path, folder: Path, *prefix: str) -> Done:  # noqa: F811
    """A run by a policy that demands every layer; ``prefix`` is Python before the command."""
    done = infwasi("policy", "init", PACKAGE, *KEY, cwd=place)
    policy = folder / "policy.toml"
    policy.write_text(f"{done.out}\n[confinement]\nrequire = {EVERYTHING}\n")
    snippet = f"""
import os, sys
{"".join(prefix)}
os.chdir(sys.argv[1])
sys.argv = ["infwasi", *sys.argv[2:]]
from infwasi_sign.cli import main
main()
"""
    ran = run_python(
        snippet, place, "verify-and-run", PACKAGE, "--policy", policy, "--json", QUESTION
    )
    return Done(ran.returncode, ran.stdout.encode(), ran.stderr)


def test_a_policy_can_demand_every_layer(place: Path, tmp_path: Path) -> None:  # noqa: F811
    done = run_by_policy(place, tmp_path)
    assert done.code == 0, done.errors
    verdict = done.documents[0]
    assert [one["layer"] for one in verdict["confinement"]] == json.loads(EVERYTHING)
    standing = {one["layer"]: one["standing"] for one in verdict["confinement"]}
    assert standing.pop("rlimits") == "before-loading"
    assert set(standing.values()) == {"in-force"}
    (said,) = [line for line in done.said if line.startswith("confined by ")]
    assert re.match(r"confined by landlock abi \d+", said)
    assert said.endswith("; before the model is loaded also rlimits")


def test_and_where_one_is_missing_nothing_is_run(place: Path, tmp_path: Path) -> None:  # noqa: F811
    done = run_by_policy(
        place,
        tmp_path,
        "from infwasi_sign.adapters import seccomp; seccomp.machine_name = lambda: 'riscv64'",
    )
    assert done.code == 1
    assert "got without seccomp" in done.said[0]


def test_a_promise_that_is_not_kept_runs_nothing_either(
    place: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    done = run_by_policy(
        place,
        tmp_path,
        "from infwasi_sign.adapters.confinement import Confinement\n"
        "Confinement.before_loading = lambda self: None",
    )
    assert done.code == 1
    assert [one["type"] for one in done.documents] == ["verdict", "failure"]
    assert "got without rlimits" in done.said[-2]


# --- a model that crashes the loader -------------------------------------------------------------

CRASHES: tuple[bytes, ...] = (
    text_pair("general.architecture", "llama"),
    text_pair("general.name", "crash"),
    number_pair("llama.context_length", 64),
    number_pair("llama.embedding_length", 8),
    number_pair("llama.block_count", 1),
    number_pair("llama.feed_forward_length", 8),
    number_pair("llama.attention.head_count", 1),
    pair("llama.attention.layer_norm_rms_epsilon", F32, struct.pack("<f", 1e-5)),
    text_pair("tokenizer.ggml.model", "gpt2"),
    text_pair("tokenizer.ggml.pre", "gpt-2"),
    pair("tokenizer.ggml.tokens", ARRAY, strings("a", "b", "c")),
    pair("tokenizer.ggml.token_type", ARRAY, array(I32, struct.pack("<3i", 1, 1, 1), 3)),
    pair("tokenizer.ggml.merges", ARRAY, strings("a b")),
    text_pair("tokenizer.chat_template", TEMPLATE),
    number_pair("llama.expert_count", 9),  # llama.cpp: GGML_ASSERT(n_expert_used_max > 0)
)
SIGABRT, SIGSEGV = -6, -11


@pytest.fixture
def crashing(tmp_path: Path) -> Path:
    """A signed package whose model aborts llama.cpp's loader, and a `gdb` first in the PATH.

    ggml starts a debugger from the PATH where it aborts, to print a backtrace.
    """
    make_timeless(tmp_path, model=tiny_gguf(pairs=CRASHES))
    (tmp_path / "bin").mkdir()
    debugger = tmp_path / "bin" / "gdb"
    debugger.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    debugger.chmod(0o755)
    return tmp_path


def run_crashing(folder: Path, key: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        arguments("verify-and-run", "capital-1.0.0", "--key", key),
        cwd=folder,
        env=environment({"PATH": f"{folder}/bin:{os.environ['PATH']}"}),
        capture_output=True,
        timeout=120,
        check=False,
    )


def test_a_model_that_crashes_the_loader_is_reached_by_signing_it_alone(crashing: Path) -> None:
    stranger = run_crashing(crashing, "stranger.pub")
    assert (stranger.returncode, stranger.stdout) == (1, b"")
    assert stranger.stderr.startswith(b"refused: signer: ")
    # an honest package, into which somebody put that model
    shutil.move(crashing / "capital-1.0.0", crashing / "signed")
    make_timeless(crashing)
    honest, bad = crashing / "capital-1.0.0" / "model.gguf", crashing / "signed" / "model.gguf"
    honest.write_bytes(bad.read_bytes())
    tampered = run_crashing(crashing, "trusted.pub")
    assert (tampered.returncode, tampered.stdout) == (1, b"")
    assert tampered.stderr.startswith(b"refused: digest: ")
    assert not (crashing / "started").exists()


def test_signed_it_ends_the_process_and_nothing_else(crashing: Path) -> None:
    before = {path.name for path in (crashing / "capital-1.0.0").iterdir()}
    done = run_crashing(crashing, "trusted.pub")
    assert (done.returncode, done.stdout) == (SIGABRT, b"")
    assert b"GGML_ASSERT" in done.stderr
    assert {path.name for path in (crashing / "capital-1.0.0").iterdir()} == before
    state = Path(os.environ["INFWASI_STATE_DIR"])
    assert {path.suffix for path in state.iterdir()} == {".json", ""}  # no file aside
    for path in state.glob("*.json"):
        json.loads(path.read_bytes())
    # and the next run finds everything in order
    assert run_crashing(crashing, "trusted.pub").returncode == SIGABRT


BACKTRACE = """
import os, sys
from infwasi_sign.adapters import llama
from infwasi_sign.adapters.confinement import Confinement
if sys.argv[2] == "off":
    Confinement.before_measuring = Confinement.before_loading = lambda self: None
real = llama.LlamaBackend.load
def load(self, *arguments):
    del os.environ["GGML_NO_BACKTRACE"]
    return real(self, *arguments)
llama.LlamaBackend.load = load
os.environ["PATH"] = f"{sys.argv[1]}/bin:{os.environ['PATH']}"
os.chdir(sys.argv[1])
sys.argv = ["infwasi", "verify-and-run", "capital-1.0.0", "--key", "trusted.pub"]
from infwasi_sign.cli import main
main()
"""


def test_the_crash_of_a_confined_process_starts_no_program(crashing: Path) -> None:
    """Also where ggml is not told to leave it: then its handler finds that it can open nothing."""
    assert run_python(BACKTRACE, crashing, "on").returncode in {SIGABRT, SIGSEGV}
    assert not (crashing / "started").exists()
    # the control: not confined, it starts what the PATH says
    assert run_python(BACKTRACE, crashing, "off").returncode == SIGABRT
    wait_until((crashing / "started").exists)
