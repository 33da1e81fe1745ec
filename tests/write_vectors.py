"""Writes the vectors for other implementers: ``python -m tests.write_vectors FOLDER``.

One directory per case: the package, ``key.pub`` (whom to trust), ``expect.json`` (what to say, and
at what time), ``README``. ``tests/vectors/v1.json`` records the answer and a digest of each, and a
test makes all of them again and compares; ``--index FILE`` writes that record anew.
"""

import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path

from tests.forge import NOW, TRUSTED, build_case
from tests.forge_cases import CASES

INDEX = Path(__file__).parent / "vectors" / "v1.json"


def write_vectors(folder: Path) -> None:
    """Write every case below ``folder``, replacing what is there."""
    for one in CASES:
        place = folder / one.name
        shutil.rmtree(place, ignore_errors=True)
        package = build_case(one, place)
        (place / "key.pub").write_bytes(TRUSTED.public_pem())
        expect = {"package": package.name, "expect": one.expect, "now": NOW.isoformat()}
        (place / "expect.json").write_text(json.dumps(expect, sort_keys=True) + "\n")
        (place / "README").write_text(f"{one.name}: {one.why}\nThe answer: {one.expect}\n")


def index(folder: Path) -> dict[str, dict[str, str]]:
    """Answer and digest of every vector below ``folder``."""
    return {
        one.name: {"expect": one.expect, "sha256": tree_digest(folder / one.name)} for one in CASES
    }


def tree_digest(folder: Path) -> str:
    """SHA-256 over the names, kinds and contents of everything in a directory, in one order."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        kind = stat.S_IFMT(path.lstat().st_mode)
        digest.update(f"{path.relative_to(folder).as_posix()}\0{kind:o}\0".encode())
        if stat.S_ISREG(kind):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        elif stat.S_ISLNK(kind):
            digest.update(os.path.basename(path.readlink()).encode())  # noqa: PTH119 - a link's text
    return digest.hexdigest()


def main(arguments: list[str]) -> None:
    """Write the vectors, or the index of all of them."""
    if arguments[0] == "--index":
        with tempfile.TemporaryDirectory() as folder:
            write_vectors(Path(folder))
            text = json.dumps(index(Path(folder)), indent=1, sort_keys=True)
        Path(arguments[1]).write_text(text + "\n")
    else:
        write_vectors(Path(arguments[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
