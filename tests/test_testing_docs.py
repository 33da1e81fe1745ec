"""docs/testing-keyless.md: its test file passes, its commands run, its table is the code's."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from infwasi_sign.testing.sigstore import Fault
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "testing-keyless.md").read_text()
TIMEOUT_SECONDS = 120


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def environment(folder: Path) -> dict[str, str]:
    """The commands of the page as programs of this Python, and no state of the developer's own."""
    programs = folder / "bin"
    programs.mkdir()
    for name, words in (("python", []), ("sigstore", ["-m", "sigstore"])):
        command = shlex.join([sys.executable, *words])
        (programs / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (programs / name).chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }


def run(words: list[str], folder: Path) -> str:
    done = subprocess.run(
        words,
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_example_is_a_test_that_passes(tmp_path: Path) -> None:
    (example,) = blocks("python")
    (tmp_path / "test_release.py").write_text(example)
    said = run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], tmp_path)
    assert "5 passed" in said


def test_the_commands_sign_and_verify(tmp_path: Path) -> None:
    (console,) = blocks("console")
    lines = console.splitlines()
    assert all(line.startswith("$ ") for line in lines)
    script = "\n".join(["set -eum", *(line.removeprefix("$ ") for line in lines)])
    said = run(["bash", "-c", script], tmp_path)
    assert "OK: release.txt" in said


@pytest.mark.parametrize("fault", Fault)
def test_the_table_has_the_fault(fault: Fault) -> None:
    assert row(fault) in PAGE.splitlines()


def test_the_table_has_nothing_else() -> None:
    rows = re.findall(r"^\| `[a-z-]+` \| (?:signing|verifying|fetching) \|", PAGE, re.MULTILINE)
    assert len(rows) == len(Fault)


def row(fault: Fault) -> str:
    versions = ", ".join(str(version) for version in sorted(fault.rekor_versions))
    return f"| `{fault.value}` | {fault.notice.value} | {versions} | {fault.description} |"
