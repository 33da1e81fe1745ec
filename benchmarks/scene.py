"""What the benchmarks work on: a key, a project, a package, and the command itself."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
MODEL: Final = Path(
    os.environ.get("INFWASI_TEST_MODEL", ROOT / "models/SmolLM2-135M-Instruct.Q4_1.gguf")
)
CONTEXT_TOKENS: Final = 2048
SYSTEM: Final = "Answer in one short sentence."
QUESTION: Final = "What is the capital of Sweden?"

STATE: Final = tempfile.mkdtemp(prefix="infwasi-bench-state-")
CACHE: Final = tempfile.mkdtemp(prefix="infwasi-bench-cache-")
# Bytecode is written as pip writes it when it installs: a start does not compile our modules.
_KEPT: Final = {name: v for name, v in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
ENVIRONMENT: Final = {
    **_KEPT,
    "PYTHONPATH": str(ROOT),
    "INFWASI_STATE_DIR": STATE,
    "INFWASI_CACHE_DIR": CACHE,
}

_PROJECT: Final = """\
[package]
name = "bench"
version = "1.0.0"

[model]
path = "{model}"
context-tokens = {context}

[prompt]
system = "{system}"

[sampling]
temperature = 0.0
max-tokens = 256
"""


def command() -> list[str]:
    """The installed `infwasi`, or, in a tree that is not installed, what that script does."""
    script = Path(sys.executable).parent / "infwasi"
    if script.exists():
        return [str(script)]
    return [sys.executable, "-c", "from infwasi_sign.__main__ import main; main()"]


@contextmanager
def project(model: Path, *, system: str = SYSTEM) -> Iterator[Path]:
    """A folder with a project file and a key without a passphrase."""
    with tempfile.TemporaryDirectory(prefix="infwasi-bench-") as name:
        folder = Path(name)
        text = _PROJECT.format(model=model, context=CONTEXT_TOKENS, system=system)
        (folder / "infwasi.toml").write_text(text)
        _run("keygen", str(folder / "release"), "--no-passphrase")
        yield folder


def pack_command(folder: Path) -> list[str]:
    """Packs the project of ``folder``, over what is there."""
    key, config = str(folder / "release.key"), str(folder / "infwasi.toml")
    options = ["--sign", "--key", key, "--config", config, "--output", str(folder), "--force"]
    return [*command(), "pack", *options]


@contextmanager
def package(*, system: str = SYSTEM) -> Iterator[list[str]]:
    """A signed package of the real model, as the arguments `PACKAGE --key KEY`."""
    with package_of(MODEL, system=system) as arguments:
        yield arguments


@contextmanager
def package_of(model: Path, *, system: str = SYSTEM) -> Iterator[list[str]]:
    """The same of any model."""
    with project(model, system=system) as folder:
        subprocess.run(pack_command(folder), env=ENVIRONMENT, check=True, capture_output=True)
        yield [str(folder / "bench-1.0.0"), "--key", str(folder / "release.pub")]


def _run(*arguments: str) -> None:
    subprocess.run([*command(), *arguments], env=ENVIRONMENT, check=True, capture_output=True)
