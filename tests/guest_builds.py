"""Builds guests of this repository the way their READMEs say."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from tests.conftest import ROOT


def build_script() -> ModuleType:
    """`components/build.py`, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("build_guests", ROOT / "components" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_classify(folder: Path) -> bytes:
    """The example, copied into ``folder`` and built by its own script."""
    copy = shutil.copytree(ROOT / "examples" / "classify", folder / "classify")
    tools = Path(sys.executable).parent
    environment = os.environ | {
        "INFWASI": str(ROOT),
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["sh", "build.sh"], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return (copy / "classify.wasm").read_bytes()
