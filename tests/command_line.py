"""The command line as a user meets it: a child process, its exit code, its two streams."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests import forge
from tests.conftest import ROOT

INFWASI = (sys.executable, "-W", "error", "-m", "infwasi_sign")
TIMEOUT_SECONDS = 120  # only a command that hangs waits this long

# Long ago and for ever, so that these packages verify whatever the clock of the machine says.
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

STATE = "INFWASI_STATE_DIR"
_OURS = ("INFWASI_", "SOURCE_DATE_EPOCH", "PYTHON", "COLUMNS", "NO_COLOR", "FORCE_COLOR")


@dataclass(frozen=True)
class Done:
    """How a command ended and what it said."""

    code: int
    output: bytes
    errors: str

    @property
    def out(self) -> str:
        return self.output.decode()

    @property
    def said(self) -> list[str]:
        return self.errors.splitlines()

    @property
    def documents(self) -> list[dict[str, Any]]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.output.splitlines()]

    @property
    def transcript(self) -> tuple[int, str, list[str]]:
        """Exit code, standard output, lines of standard error."""
        return self.code, self.out, self.said


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours without what would change how Python or infwasi speak."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    kept[STATE] = os.environ[STATE]  # each test's own, see conftest.py
    return {**kept, "PYTHONPATH": str(ROOT), "COLUMNS": "100", "LANG": "C.UTF-8", **(changes or {})}


def arguments(*words: str | os.PathLike[str]) -> Sequence[str]:
    return [*INFWASI, *(os.fspath(word) for word in words)]


def infwasi(
    *words: str | os.PathLike[str],
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
) -> Done:
    """Run one command to its end. Whatever it is, a traceback is never an answer."""
    done = subprocess.run(
        arguments(*words),
        input=stdin,
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


def start(
    *words: str | os.PathLike[str], cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a command with its streams in pipes; the caller waits for it."""
    return subprocess.Popen(
        arguments(*words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=environment(env),
    )


def make_timeless(folder: Path, **fresh: Any) -> Path:
    """A package of the forge that the real clock accepts, and `trusted.pub` beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trusted.pub").write_bytes(forge.TRUSTED.public_pem())
    (folder / "stranger.pub").write_bytes(forge.STRANGER.public_pem())
    return forge.make_package(folder, issued_at=LONG_AGO, valid_for=None, **fresh)
