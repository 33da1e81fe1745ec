"""The shipped components are what their sources make, byte for byte."""

import hashlib
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

from tests.conftest import ROOT

PREBUILT = ROOT / "components" / "prebuilt"


def run_build(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(root / "components" / "build.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def copy_sources(folder: Path) -> Path:
    shutil.copytree(ROOT / "components", folder / "components")
    shutil.copytree(ROOT / "wit", folder / "wit")
    return folder


def test_rebuilds_byte_for_byte_in_another_directory(tmp_path: Path) -> None:
    root = copy_sources(tmp_path / "a place with a space")
    shutil.rmtree(root / "components" / "prebuilt")
    done = run_build(root)
    assert done.returncode == 0, done.stderr
    made = {path.name: path.read_bytes() for path in (root / "components/prebuilt").iterdir()}
    assert sorted(made) == ["SHA256SUMS", "engine.wasm", "inference.wasm"]
    assert made == {path.name: path.read_bytes() for path in PREBUILT.iterdir()}


def test_sums_are_those_of_the_files() -> None:
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(PREBUILT.glob("*.wasm"))
    ]
    assert len(lines) == 2
    assert (PREBUILT / "SHA256SUMS").read_text() == "".join(lines)


def test_check_notices_a_changed_component_and_writes_nothing(tmp_path: Path) -> None:
    root = copy_sources(tmp_path)
    engine = root / "components" / "prebuilt" / "engine.wasm"
    changed = engine.read_bytes() + b"\0\x02\x01x"
    engine.write_bytes(changed)
    done = run_build(root, "--check", "engine")
    assert done.returncode == 1
    assert done.stdout.endswith(", differs\n")
    assert engine.read_bytes() == changed


def test_refuses_an_unknown_name() -> None:
    done = run_build(ROOT, "--check", "config")
    assert done.returncode == 2
    assert "no such component: config" in done.stderr


def test_package_data_are_the_files_of_the_repository() -> None:
    data = files("infwasi_sign") / "data"
    assert (data / "components" / "engine.wasm").read_bytes() == (
        PREBUILT / "engine.wasm"
    ).read_bytes()
    assert (data / "wit" / "infwasi-llm.wit").read_bytes() == (
        ROOT / "wit" / "infwasi-llm.wit"
    ).read_bytes()
    for name, target in (("components", "../../components/prebuilt"), ("wit", "../../wit")):
        link = ROOT / "infwasi_sign" / "data" / name
        assert link.is_symlink()
        assert str(link.readlink()) == target
