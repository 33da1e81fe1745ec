"""Make the lock files: exact versions, and the sha256 of every file of each version.

``make lock`` keeps the locked versions as long as the sources allow them; ``make lock UPGRADE=1``
takes the newest ones. One lock serves every supported Python and platform, because the resolution
is universal and all wheels and the source package of a version are listed. No index address is
written: where packages come from is the business of the machine's own pip configuration.
"""

import argparse
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
OLDEST_PYTHON = "3.11"  # requires-python in pyproject.toml

# (source, lock, locks it must agree with). The order matters: what is locked first binds the rest.
LOCKS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("requirements/pip.in", "pip.txt", ()),
    ("requirements/build.in", "build.txt", ()),
    ("pyproject.toml", "runtime.txt", ("build.txt",)),
    ("requirements/dev.in", "dev.txt", ("build.txt", "runtime.txt")),
    ("requirements/guests.in", "guests.txt", ("build.txt", "runtime.txt", "dev.txt")),
    ("requirements/lock.in", "lock.txt", ()),
    ("requirements/generators.in", "generators.txt", ()),
)
MODELS = ("requirements/models.in", "models.txt", ())


def lock(
    source: str, name: str, agree_with: tuple[str, ...], *, upgrade: bool, with_dependencies: bool
) -> None:
    """Resolve one source and write its lock.

    Raises:
        subprocess.CalledProcessError: when no versions fit; uv has said why.
        ValueError: when the result names an index, an address or a path.
    """
    command = [str(Path(sys.executable).with_name("uv")), "pip", "compile", source]
    command += ["--universal", "--python-version", OLDEST_PYTHON, "--generate-hashes"]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    command += ["--quiet", "--output-file", f"requirements/{name}"]
    for other in agree_with:
        command += ["--constraint", f"requirements/{other}"]
    if upgrade:
        command.append("--upgrade")
    if not with_dependencies:
        command.append("--no-deps")
    subprocess.run(command, cwd=FOLDER.parent, check=True, stdout=subprocess.DEVNULL)
    path = FOLDER / name
    pins = path.read_text(encoding="utf-8")
    if "//" in pins or "/home/" in pins or "\n--" in pins:
        raise ValueError(f"{name} names an address, a path or an index option")
    path.write_text(f"# Made from {source} by `make lock`.\n{pins}", encoding="utf-8")


def main() -> None:
    """Make all lock files, in order."""
    parser = argparse.ArgumentParser(description="make the lock files")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions")
    upgrade = parser.parse_args().upgrade
    for source, name, agree_with in LOCKS:
        lock(source, name, agree_with, upgrade=upgrade, with_dependencies=True)
    # A model package's dependencies are for a program that we do not use.
    lock(*MODELS, upgrade=upgrade, with_dependencies=False)


if __name__ == "__main__":
    main()
