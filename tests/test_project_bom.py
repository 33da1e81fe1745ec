"""The bill of materials of infwasi itself is that of what is installed, or it says so."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.conftest import ROOT

BOM = ROOT / "sbom" / "infwasi.cdx.json"
DOCUMENT = json.loads(BOM.read_text())


def made_here() -> bool:
    """Whether the BOM is about the Python and the system that these tests run on."""
    told = {entry["name"]: entry["value"] for entry in DOCUMENT["metadata"]["properties"]}
    shown = subprocess.run(
        [sys.executable, "-c", "import project; print(project.environment())"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT / "sbom",
    )
    return bool(told["infwasi:environment"] == shown.stdout.strip())


def check(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(root / "sbom" / "project.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the command reads, in a folder that may be changed."""
    for folder in ("sbom", "components"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "requirements").mkdir()
    shutil.copy(ROOT / "requirements" / "runtime.txt", tmp_path / "requirements")
    (tmp_path / "infwasi_sign").symlink_to(ROOT / "infwasi_sign")
    return tmp_path


needs_its_platform = pytest.mark.skipif(
    not made_here(), reason="the BOM is about another Python or system"
)


@needs_its_platform
def test_is_current() -> None:
    done = check(ROOT)
    assert done.returncode == 0, f"`make sbom` writes it again:\n{done.stdout}"


@needs_its_platform
def test_a_changed_guest_component_is_noticed(checkout: Path) -> None:
    engine = checkout / "components" / "prebuilt" / "engine.wasm"
    engine.write_bytes(engine.read_bytes() + b"\0\x02\x01x")
    done = check(checkout)
    assert done.returncode == 1
    assert done.stderr == "sbom/infwasi.cdx.json: not current; make sbom writes it\n"


@needs_its_platform
def test_a_changed_lock_is_noticed(checkout: Path) -> None:
    lock = checkout / "requirements" / "runtime.txt"
    lock.write_text(lock.read_text().replace("--hash=sha256:1", "--hash=sha256:2", 1))
    assert check(checkout).returncode == 1


def test_is_valid() -> None:
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(BOM.read_text()) is None


def test_lists_the_guests_by_their_recorded_digests() -> None:
    sums = (ROOT / "components" / "prebuilt" / "SHA256SUMS").read_text().splitlines()
    guests = {
        item["name"]: item["hashes"][0]["content"]
        for item in DOCUMENT["components"]
        if item["bom-ref"].startswith("guest:")
    }
    assert guests == {name: digest for digest, name in (line.split() for line in sums)}


def test_lists_every_package_that_the_project_names() -> None:
    refs = {item["bom-ref"] for item in DOCUMENT["components"]}
    edges = {edge["ref"]: edge.get("dependsOn", []) for edge in DOCUMENT["dependencies"]}
    assert {"pypi:wasmtime", "pypi:llama-cpp-python", "pypi:cryptography"} <= set(edges["infwasi"])
    assert {ref for needed in edges.values() for ref in needed} <= refs


def test_names_no_host_of_a_registry_and_no_path() -> None:
    text = BOM.read_text()
    assert "pypi.org" not in text
    assert str(ROOT) not in text
