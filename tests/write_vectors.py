"""Writes the vectors for other implementers: ``python -m tests.write_vectors FOLDER``.

One directory per case: the package, ``key.pub`` (whom to trust), ``expect.json`` (what to say, and
at what time), ``README``.
"""

import json
import shutil
import sys
from pathlib import Path

from tests.forge import NOW, TRUSTED, build_case
from tests.forge_cases import CASES


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


if __name__ == "__main__":
    write_vectors(Path(sys.argv[1]))
