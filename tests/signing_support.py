"""Signing through the real command line: projects, terminals, and processes without sockets."""

import os
import pty
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from infwasi_sign.testing.sigstore import PrivateSigstore
from tests.command_line import TIMEOUT_SECONDS, Done, arguments, environment
from tests.gguf_forge import tiny_gguf

PACKAGE: Final = "dist/capital-1.0.0"
MANIFEST: Final = f"{PACKAGE}/manifest.sigstore.json"

_PROJECT = '[package]\nname = "capital"\nversion = "1.0.0"\n[model]\npath = "tiny.gguf"\n'
# The build services whose tokens are found (the package `id`, version 1).
_AMBIENT = ("GITHUB_ACTIONS", "BUILDKITE", "GITLAB_CI", "CIRCLECI", "GOOGLE_SERVICE_ACCOUNT_NAME")
_BROWSER = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=10).read()"
# The first terminal that the leader of a session opens is its controlling one (tty(4)).
_TERMINAL = "import os, sys; os.close(os.open(os.ttyname(0), os.O_RDWR)); os.execv(*eval(sys.argv[1]))"


def make_project(folder: Path, *, mode: str | None = None, more: str = "") -> Path:
    """A project with a small model; ``mode`` is what `[signing]` pins."""
    folder.mkdir(parents=True, exist_ok=True)
    signing = "" if mode is None else f'[signing]\nmode = "{mode}"\n'
    (folder / "infwasi.toml").write_text(_PROJECT + more + signing)
    (folder / "tiny.gguf").write_bytes(tiny_gguf())
    return folder


def nobody(folder: Path, **changes: str) -> dict[str, str]:
    """An environment that has no identity, no trust root and no policy."""
    empty = dict.fromkeys((*_AMBIENT, "DISPLAY", "WAYLAND_DISPLAY", "XDG_CONFIG_HOME"), "")
    return {**empty, "HOME": str(folder), "BROWSER": "false", **changes}


def browser() -> str:
    """A program for `BROWSER` that follows redirects, as a person does who is logged in."""
    return shlex.join([sys.executable, "-c", _BROWSER]) + " %s"


def run(
    *words: str | os.PathLike[str], cwd: Path, env: Mapping[str, str], is_offline: bool = False
) -> Done:
    """One command to its end, without a terminal; never with a traceback."""
    command = list(arguments(*words))
    if is_offline:
        command[command.index("infwasi_sign")] = "tests.offline"
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=cwd,
        env=environment(env),
        start_new_session=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return _checked(Done(done.returncode, done.stdout, done.stderr.decode()))


def run_at_terminal(
    *words: str | os.PathLike[str], cwd: Path, env: Mapping[str, str], typed: bytes
) -> Done:
    """The same for somebody at a terminal who has typed something; both outputs are pipes."""
    command = list(arguments(*words))
    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed)
        done = subprocess.run(
            [sys.executable, "-c", _TERMINAL, repr((command[0], command))],
            stdin=theirs,
            capture_output=True,
            cwd=cwd,
            env=environment(env),
            start_new_session=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    return _checked(Done(done.returncode, done.stdout, done.stderr.decode()))


def _checked(done: Done) -> Done:
    assert "Traceback" not in done.errors, done.errors
    assert "internal error" not in done.errors, done.errors
    return done


def published(instance: PrivateSigstore) -> list[str]:
    """What was asked that everybody can read afterwards: certificates and entries of the log."""
    return [
        asked.path
        for asked in instance.requests
        if asked.path.endswith(("/signingCert", "/log/entries"))
    ]
