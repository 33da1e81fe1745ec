"""Python snippets in child processes, of this user or of one who may do nothing."""

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.conftest import ROOT

NOBODY = 65534
"""The user and group that own nothing (nobody on Debian, the overflow id of the kernel)."""

TIMEOUT_SECONDS = 180  # a child that is to be stopped and is not; nothing waits this long

_BECOME_NOBODY = f"""
import os
os.chdir("/")
os.setgroups([])
os.setgid({NOBODY})
os.setuid({NOBODY})
"""


def start_python(
    snippet: str, *arguments: str | os.PathLike[str], stderr: int = subprocess.PIPE
) -> subprocess.Popen[str]:
    """Start a child that runs ``snippet``, with ``arguments`` in ``sys.argv[1:]`` and text pipes.

    It imports from this tree, wherever it is started.
    """
    return subprocess.Popen(
        [sys.executable, "-c", snippet, *[os.fspath(argument) for argument in arguments]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def run_python(
    snippet: str, *arguments: str | os.PathLike[str]
) -> subprocess.CompletedProcess[str]:
    """Run ``snippet`` to its end, whatever that is."""
    with start_python(snippet, *arguments) as child:
        try:
            output, errors = child.communicate(timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            raise
    return subprocess.CompletedProcess(child.args, child.returncode, output, errors)


def python_output(snippet: str, *arguments: str | os.PathLike[str]) -> str:
    """What ``snippet`` prints, without the last line end; it must succeed."""
    result = run_python(snippet, *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout.removesuffix("\n")


def start_unprivileged(
    snippet: str, *arguments: str | os.PathLike[str], preload: Sequence[str] = ()
) -> subprocess.Popen[str]:
    """As `start_python`, as a user who owns nothing; see `unprivileged_output`."""
    return start_python(_as_nobody(snippet, preload), *arguments)


def unprivileged_output(
    snippet: str, *arguments: str | os.PathLike[str], preload: Sequence[str] = ()
) -> str:
    """What ``snippet`` prints as a user who owns nothing; skips the test if we cannot become one.

    Python's own files may be out of that user's reach, so everything to import is named in
    ``preload`` and imported first. Beware of `tmp_path`: only its owner may enter it.
    """
    return python_output(_as_nobody(snippet, preload), *arguments)


def _as_nobody(snippet: str, preload: Sequence[str]) -> str:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    imports = "".join(f"import {module}\n" for module in ("errno", "sys", *preload))
    return f"{imports}{_BECOME_NOBODY}{snippet}"
