"""Libraries that are read before the process opens no files any more, and executed after."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from infwasi_sign.adapters.background import Background
from infwasi_sign.adapters.libraries import _ADAPTERS, Libraries
from infwasi_sign.errors import UndecidedError
from tests.command_line import environment

# All that a run has imported by then stands in for the command: what verifies, and the backend.
PRELOADED = """
import resource, sys
import infwasi_sign.cli.verify_and_run_command, infwasi_sign.cli.verification, infwasi_sign.run
import infwasi_sign.cli.confining, infwasi_sign.cli.loading, infwasi_sign.cli.remembering
import infwasi_sign.adapters.llama
from infwasi_sign.adapters.llama_bindings import bindings
from infwasi_sign.adapters.libraries import Libraries
bindings()
"""

EXECUTE = """
import infwasi_sign.adapters.wasm_host
from infwasi_sign.adapters.chat_template import warm_up
warm_up()
print("executed")
"""

NO_FILES = "resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))\n"


def output(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PRELOADED + program],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_what_was_read_needs_no_file_to_be_executed() -> None:
    done = output("Libraries().require_read()\n" + NO_FILES + EXECUTE)
    assert (done.returncode, done.stdout) == (0, "executed\n"), done.stderr


def test_control_what_was_not_read_cannot_be_imported_then() -> None:
    done = output(NO_FILES + EXECUTE)
    assert done.returncode == 1
    assert done.stdout == ""


def test_executed_modules_are_as_imported_ones() -> None:
    show = (
        "import wasmtime, jinja2, wasmtime.component as c, jinja2.sandbox as s\n"
        "for m in (wasmtime, jinja2, c, s):\n"
        "    print(m.__name__, m.__file__, m.__package__, m.__spec__.has_location,"
        " list(getattr(m, '__path__', ())))\n"
    )
    plain, ahead = output(show), output("Libraries().require_read()\n" + show)
    assert plain.returncode == ahead.returncode == 0, ahead.stderr
    assert plain.stdout == ahead.stdout
    assert len(plain.stdout.splitlines()) == 4


def test_nobody_has_a_turn_before_it_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Libraries, "_read_all", lambda _: None)
    libraries = Libraries()
    went = threading.Event()

    def go() -> None:
        libraries.turn()
        went.set()

    waiting = Background(go)
    libraries.require_read()
    assert not went.is_set()
    libraries.begin()
    waiting.get()
    assert went.is_set()


def test_who_waits_for_a_run_that_was_given_up_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Libraries, "_read_all", lambda _: None)
    libraries = Libraries()
    waiting = Background(libraries.turn)
    libraries.abandon()
    with pytest.raises(UndecidedError, match=r"^the run was given up$"):
        waiting.get()


def test_a_library_that_is_not_there_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infwasi_sign.adapters.libraries._PACKAGES", ("no_such_package",))
    libraries = Libraries()
    with pytest.raises(
        UndecidedError, match=r"^a part of infwasi cannot be found: no_such_package"
    ):
        libraries.require_read()


def test_each_module_of_ours_that_is_read_ahead_exists() -> None:
    root = Path(__file__).parent.parent
    assert all((root / f"{name.replace('.', '/')}.py").is_file() for name in _ADAPTERS)
