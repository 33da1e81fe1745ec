"""The machine: Debian's kernel, our code as its first process, a disk; started once."""

import json
import lzma
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests import forge
from tests.conftest import ROOT
from tests.verity.whole import KEY, NAME

CACHE: Final = ROOT / ".cache" / "verity"
_META_PACKAGE: Final = "linux-image-cloud-amd64"  # its kernel has ext4 and fs-verity built in
_MODULES: Final = (
    # of the disk, in the order of their needs
    *("virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci"),
    "virtio_blk",
)
_DISK_BYTES: Final = 512 << 20
_MEMORY_MIB: Final = 1024

# Prints every file that the guest imports, with what Python keeps of it.
_LIST_IMPORTS: Final = """
import sys
import encodings.ascii, encodings.idna, encodings.latin_1, encodings.utf_8
import tempfile
from pathlib import Path
from tests.verity import guest, whole
with tempfile.TemporaryDirectory() as folder:  # some of it is imported on the way
    whole.put(Path(sys.argv[1]), "honest", Path(folder))
for module in list(sys.modules.values()):
    for name in ("__file__", "__cached__"):
        path = getattr(module, name, None)
        if path:
            print(path)
"""


class NotHereError(Exception):
    """What the machine needs is not on this one; says what."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What QEMU is started with."""

    kernel: Path
    memory_disk: Path
    disk: Path

    def lines(self, timeout_seconds: int) -> Iterator[str]:
        """What the machine prints until it switches itself off.

        Raises:
            subprocess.TimeoutExpired: it does not.
        """
        command: list[str] = [
            *(
                "qemu-system-x86_64",
                "-accel",
                "tcg",
                "-cpu",
                "max",
                "-m",
                str(_MEMORY_MIB),
                "-smp",
                "1",
            ),
            *("-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio"),
            *("-kernel", str(self.kernel), "-initrd", str(self.memory_disk)),
            *(
                "-append",
                "console=ttyS0 quiet loglevel=1 panic=-1 random.trust_cpu=on rdinit=/init",
            ),
            *("-drive", f"file={self.disk},format=raw,if=virtio"),
        ]
        with subprocess.Popen(
            ["timeout", str(timeout_seconds), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            yield from process.stdout


def make_machine(seed: int, rounds: int) -> Machine:
    """Get and build everything, in the cache folder.

    Raises:
        NotHereError: a tool or a package is not to be had.
    """
    for tool, package in (
        *(("qemu-system-x86_64", "qemu-system-x86"), ("mke2fs", "e2fsprogs")),
        *(("dpkg-deb", "dpkg"), ("ldd", "libc-bin")),
    ):
        if shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
            raise NotHereError(f"no {tool} here (Debian: apt-get install {package})")
    CACHE.mkdir(parents=True, exist_ok=True)
    kernel, modules = _kernel()
    memory_disk = CACHE / "memory-disk.cpio"
    order = {"seed": seed, "rounds": rounds, "modules": [f"/modules/{m.name}" for m in modules]}
    memory_disk.write_bytes(_archive(modules, order))
    disk = CACHE / "disk.ext4"
    disk.unlink(missing_ok=True)
    disk.touch()
    os.truncate(disk, _DISK_BYTES)
    _run("/usr/sbin/mke2fs", "-q", "-t", "ext4", "-b", "4096", "-O", "verity", str(disk))
    return Machine(kernel=kernel, memory_disk=memory_disk, disk=disk)


# --- the kernel ------------------------------------------------------------------------------


def _kernel() -> tuple[Path, list[Path]]:
    """The kernel's image and the disk's drivers, from Debian's package of them."""
    unpacked = CACHE / "kernel"
    if not unpacked.exists():
        depends = _run("apt-cache", "depends", _META_PACKAGE)
        found = re.search(r"Depends: (linux-image-\S+-cloud-amd64)", depends)
        if found is None:
            raise NotHereError(f"no package {_META_PACKAGE} here (`apt-get update`?)")
        for old in CACHE.glob("linux-image-*.deb"):
            old.unlink()
        _run("apt-get", "download", found[1], cwd=CACHE)
        (package,) = CACHE.glob("linux-image-*.deb")
        _run("dpkg-deb", "-x", str(package), f"{unpacked}.part")
        Path(f"{unpacked}.part").rename(unpacked)
    (kernel,) = (unpacked / "boot").glob("vmlinuz-*")
    drivers = {
        path.name.split(".")[0]: path for path in (unpacked / "lib" / "modules").rglob("*.ko*")
    }
    return kernel, [drivers[name] for name in _MODULES if name in drivers]


def _run(*command: str, cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=cwd)
    except FileNotFoundError as e:
        raise NotHereError(f"no {command[0]} here") from e
    except subprocess.CalledProcessError as e:
        said = (e.stderr or e.stdout).strip().splitlines()
        raise NotHereError(f"{command[0]} failed: {said[-1] if said else e.returncode}") from e
    return done.stdout


# --- our code in it --------------------------------------------------------------------------


def _archive(modules: Iterable[Path], order: object) -> bytes:
    """The file system of the machine: Python, what the guest imports, and how it is started."""
    interpreter = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]  # no other name for it
    packages = _packages()
    listed = _run(sys.executable, "-c", _LIST_IMPORTS, str(packages), cwd=ROOT).splitlines()
    files = {Path(line) for line in listed if Path(line).is_file()}
    landmark = Path(os.__file__)
    files |= {interpreter, landmark}
    binaries = [path for path in files if path == interpreter or path.suffix == ".so"]
    files |= {library for binary in binaries for library in _libraries(binary)}
    archive = _Archive()
    for path in sorted(files):
        archive.add(str(path), path.resolve().read_bytes(), mode=0o755, mtime=_mtime(path))
    paths = [
        str(landmark.parent),
        str(landmark.parent / "lib-dynload"),
        *_site_folders(),
        str(ROOT),
    ]
    start = (
        f"#!{interpreter} -IS\nimport sys\nsys.path[:] = {paths!r}\n"
        "sys.dont_write_bytecode = True\nfrom tests.verity.guest import main\nmain()\n"
    )
    archive.add("/init", start.encode(), mode=0o755)
    archive.add("/order.json", json.dumps(order).encode())
    for path in sorted(packages.rglob("*")):
        if path.is_file():
            archive.add(f"/packages/{path.relative_to(packages)}", path.read_bytes())
    for module in modules:
        data = module.read_bytes()
        archive.add(
            f"/modules/{module.name}", lzma.decompress(data) if module.suffix == ".xz" else data
        )
    return archive.whole()


def _packages() -> Path:
    """An honest package, and one whose signer states another fs-verity digest; with their key."""
    folder = CACHE / "packages"
    shutil.rmtree(folder, ignore_errors=True)
    for which in ("honest", "lying"):
        forge.make_package(folder / which)
    with forge.lie(folder / "lying" / NAME) as value:
        (model,) = [entry for entry in value["predicate"]["entries"] if entry["role"] == "model"]
        model["fsVerity"]["digest"] = "ab" * 32
    (folder / KEY).write_bytes(forge.TRUSTED.public_key())
    return folder


def _site_folders() -> list[str]:
    return [path for path in sys.path if path.endswith("site-packages")]


def _libraries(binary: Path) -> set[Path]:
    """What the loader needs of it, and the loader."""
    said = _run("ldd", str(binary))
    return {Path(name) for name in re.findall(r"(?:=> |^\s*)(/\S+) \(0x", said, re.MULTILINE)}


def _mtime(path: Path) -> int:
    return int(path.stat().st_mtime)  # what was compiled names the time of its source


class _Archive:
    """A cpio archive in the kernel's form (Documentation/driver-api/early-userspace: "newc")."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._folders: set[str] = set()
        self._number = 0

    def add(self, name: str, data: bytes, *, mode: int = 0o644, mtime: int = 0) -> None:
        """A file, and the folders above it."""
        for folder in reversed(Path(name).parents):
            if str(folder) not in {"/", *self._folders}:
                self._folders.add(str(folder))
                self._member(str(folder), b"", stat.S_IFDIR | 0o755, 0)
        self._member(name, data, stat.S_IFREG | mode, mtime)

    def whole(self) -> bytes:
        """The whole of it."""
        self._member("/TRAILER!!!", b"", 0, 0)
        return bytes(self._data)

    def _member(self, name: str, data: bytes, mode: int, mtime: int) -> None:
        self._number += 1
        label = name.removeprefix("/").encode() + b"\0"
        fields = (self._number, mode, 0, 0, 1, mtime, len(data), 0, 0, 0, 0, len(label), 0)
        self._data += b"070701" + b"".join(b"%08x" % field for field in fields) + label
        self._data += b"\0" * (-len(self._data) % 4)
        self._data += data
        self._data += b"\0" * (-len(self._data) % 4)
