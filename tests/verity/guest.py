"""What runs inside of the machine, as its first and only process: rounds of attacks on a file.

Each line that begins with `MARK` is a JSON object for `tests.verity.__main__`.
"""

import contextlib
import ctypes
import fcntl
import hashlib
import json
import mmap
import os
import shutil
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any, Final

from infwasi_sign.adapters import fs_verity
from infwasi_sign.adapters.guarded_file import LocalFile
from infwasi_sign.adapters.package_writer import PackageWriter
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.fs_verity import BLOCK_BYTES, FsVerityHash
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.domain.manifest import FsVerity
from infwasi_sign.errors import RefusalKind, RefusedError, UndecidedError
from tests.verity.whole import claims

PACKAGES: Final = Path("/packages")
MARK: Final = "@verity "
ORDER: Final = Path("/order.json")
DEVICE: Final = Path("/dev/vda")
FOLDER: Final = Path("/disk")
NOBODY: Final = 65534

_SIZES: Final = (
    # around a block, a page of digests (128 blocks) and a tree of three levels; 0 has no tree
    *(1, 0, 4095, 4096, 4097, 128 * 4096 - 1, 128 * 4096, 128 * 4096 + 1, 1024 * 1024 + 1),
    *(129 * 4096, 128 * 128 * 4096, 128 * 128 * 4096 + 1),
)
_FIBMAP: Final = 1  # linux/fs.h: the block of the device at which a block of the file lies
_POWER_OFF: Final = 0x4321FEDC  # linux/reboot.h, LINUX_REBOOT_CMD_POWER_OFF
_FINIT_MODULE: Final = 313  # x86_64
_libc: Final = ctypes.CDLL(None, use_errno=True)


def say(line: Mapping[str, Any]) -> None:
    """One line for the host."""
    sys.stdout.write(f"\n{MARK}{json.dumps(line)}\n")
    sys.stdout.flush()


def main() -> None:
    """Set the machine up, play all rounds, switch it off."""
    try:
        order = json.loads(ORDER.read_text())
        set_up(order["modules"])
        say({"round": -1, "size": None, "claims": claims(PACKAGES, FOLDER)})
        for number in range(order["rounds"]):
            say(play(order["seed"], number))
        say({"done": True, "kernel": os.uname().release})
    except BaseException:
        say({"fault": traceback.format_exc()})
    finally:
        _libc.sync()
        _libc.reboot(_POWER_OFF)


def set_up(modules: list[str]) -> None:
    """File systems of the kernel, the disk's drivers, the disk."""
    for kind, place in (("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")):
        Path(place).mkdir(exist_ok=True)
        mount(kind, place, kind)
    for module in modules:
        with open(module, "rb") as file:
            check(_libc.syscall(_FINIT_MODULE, file.fileno(), b"", 0))
    while not DEVICE.exists():
        time.sleep(0.05)
    FOLDER.mkdir()
    mount(str(DEVICE), str(FOLDER), "ext4")


def mount(source: str, place: str, kind: str) -> None:
    """See mount(2)."""
    check(_libc.mount(source.encode(), place.encode(), kind.encode(), 0, None))


def check(answer: int) -> None:
    """Raise what the kernel said, if it said no."""
    if answer != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


# --- one round -------------------------------------------------------------------------------


def play(seed: int, number: int) -> dict[str, Any]:
    """One file of one size, and every claim about it with whether it held."""
    rng = Random(f"{seed}/{number}")  # noqa: S311 -- repeatable, not secret
    size = _SIZES[number] if number < len(_SIZES) else rng.randrange(1, 3_000_000)
    content = rng.randbytes(size)
    path, plain = FOLDER / "model.gguf", FOLDER / "plain.gguf"
    held: dict[str, bool | str] = {}
    micros: list[int] = []
    for file in (path, plain):
        write(file, content)
    said: list[tuple[str, Callable[[], bool]]] = [
        ("before it no digest is measured", lambda: measured(path) is None),
        ("nothing is switched on while somebody writes", lambda: switched_on_by_none(path)),
        ("it is switched on", lambda: switch_on(path) is None),
        ("switching on twice changes nothing", lambda: switch_on(path) is None),
        ("the kernel measures our digest", lambda: measured(path) == ours(content)),
        ("nobody writes, grows, shrinks", lambda: refuses_every_writer(path)),
        ("guard gives fs-verity", lambda: timed(path, stated(content), micros)),
        ("it does so to a user who owns nothing", lambda: as_nobody(path, stated(content))),
        ("what is read is what was written", lambda: read(path, content)),
        ("a hash that is demanded is computed", lambda: hashed(path, content)),
        ("another digest is refused", lambda: refuses(path, stated(content + b"x"))),
        ("without a statement it is a lease", lambda: guarded(path, None) == "read-lease"),
        ("another salt is no refusal", lambda: guarded(path, salted(content)) == "read-lease"),
    ]
    if size:
        block = rng.randrange((size + BLOCK_BYTES - 1) // BLOCK_BYTES)
        at = rng.randrange(min(BLOCK_BYTES, size - block * BLOCK_BYTES))
        said += [
            ("the disk can be corrupted", lambda: corrupt(path, block, at)),
            ("control: so can one without it", lambda: corrupt(plain, block, at)),
            ("guard still gives fs-verity", lambda: guarded(path, stated(content)) == "fs-verity"),
            ("what is corrupt is not read", lambda: fails_to_read(path, content)),
            ("what is corrupt has no hash", lambda: fails_to_hash(path, content)),
            ("what is corrupt ends who maps it", lambda: dies_of_mapping(path, block)),
            ("control: without it the lie is read", lambda: lies(plain, content)),
        ]
    said.append(("what is installed is held by it", lambda: installed(content)))
    for claim, holds in said:
        try:
            held[claim] = holds()
        except Exception:
            held[claim] = traceback.format_exc(limit=3)
    for file in (path, plain):
        file.unlink()
    return {"round": number, "size": size, "guard_micros": micros, "claims": held}


def write(path: Path, content: bytes) -> None:
    """Write a file through to the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o644)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[LocalFile]:
    """The file as a runner opens it."""
    folder = os.open(path.parent, os.O_RDONLY)
    file = LocalFile.open(path.name, directory=folder, most_bytes=1 << 30)
    os.close(folder)
    try:
        yield file
    finally:
        file.close()


def ours(content: bytes) -> str:
    """Our digest, of pieces as they come."""
    verity = FsVerityHash()
    for at in range(0, len(content), 1_000_000):
        verity.update(content[at : at + 1_000_000])
    return verity.hexdigest()


def stated(content: bytes) -> FsVerity:
    """What a manifest states of it."""
    return FsVerity(digest=ours(content), block_size=BLOCK_BYTES, salt="")


def salted(content: bytes) -> FsVerity:
    """What a manifest with a salt states of it."""
    verity = FsVerityHash(salt=b"salt")
    verity.update(content)
    return verity.stated()


def measured(path: Path) -> str | None:
    """The kernel's digest, if there is one."""
    with opened(path) as file:
        found = fs_verity.kernel_digest(file.fileno())
    if isinstance(found, str):
        assert found == "fs-verity is not on for the file", found
        return None
    assert (found.block_size, found.salt) == (BLOCK_BYTES, b""), found
    return found.digest.hex()


def switch_on(path: Path) -> str | None:
    """Why it cannot be switched on."""
    with opened(path) as file:
        return fs_verity.enable(file.fileno())


def switched_on_by_none(path: Path) -> bool:
    """Whether a writer keeps it from being switched on."""
    with path.open("r+b"):
        return switch_on(path) == "somebody has the file open for writing"


def refuses_every_writer(path: Path) -> bool:
    """Whether root cannot write, grow or shrink it, nor switch it off."""
    attacks: tuple[Callable[[], object], ...] = (
        lambda: os.open(path, os.O_WRONLY),
        lambda: os.open(path, os.O_RDWR),
        lambda: os.open(path, os.O_WRONLY | os.O_TRUNC),
        lambda: os.truncate(path, 1),
        lambda: os.truncate(path, 1 << 20),
    )
    for attack in attacks:
        try:
            attack()
        except PermissionError:
            continue
        return False
    return True


def guarded(path: Path, said: FsVerity | None) -> str:
    """The level that a runner reaches."""
    with opened(path) as file:
        level = file.guard(stated=said)
        assert file.level is level
        assert (file.level_reason == "") is (level is LoadLevel.FS_VERITY)
        return level.label


def timed(path: Path, said: FsVerity, micros: list[int]) -> bool:
    """Whether guard gives fs-verity; how long it takes, whatever the size, is noted."""
    with opened(path) as file:
        before = time.perf_counter_ns()
        level = file.guard(stated=said)
        micros.append((time.perf_counter_ns() - before) // 1000)
        return level is LoadLevel.FS_VERITY


def as_nobody(path: Path, said: FsVerity) -> bool:
    """Whether somebody without any right reaches it too."""

    def attempt() -> bool:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        return guarded(path, said) == "fs-verity"

    return os.waitstatus_to_exitcode(in_child(attempt)) == 0


def in_child(attempt: Callable[[], bool]) -> int:
    """The status of a child that ends with 0 if ``attempt`` says yes."""
    child = os.fork()
    if child == 0:
        code = 2
        with contextlib.suppress(BaseException):
            code = 0 if attempt() else 1
        os._exit(code)
    return os.waitpid(child, 0)[1]


def read(path: Path, content: bytes) -> bool:
    """Whether the whole of it is read, by the descriptor that is guarded."""
    with opened(path) as file:
        file.guard(stated=stated(content))
        return file.read(len(content)) == content


def hashed(path: Path, content: bytes) -> bool:
    """Whether measuring a guarded file gives its SHA-256."""
    with opened(path) as file:
        file.guard(stated=stated(content))
        found = file.measure(frozenset({Algorithm.SHA256}))[Algorithm.SHA256]
        return found.hex == hashlib.sha256(content).hexdigest()


def refuses(path: Path, said: FsVerity) -> bool:
    """Whether it is refused as another model than the signed one."""
    with opened(path) as file:
        try:
            file.guard(stated=said)
        except RefusedError as error:
            return error.kind is RefusalKind.DIGEST and "fs-verity digest differs" in str(error)
        return False


def installed(content: bytes) -> bool:
    """Whether a model that we write into a package is switched on, there when it appears."""
    with PackageWriter(FOLDER / "app-1") as writer:
        for _ in writer.tee("model.gguf", [memoryview(content)]):
            pass
        assert writer.protect("model.gguf") is None
        writer.commit()
    path = FOLDER / "app-1" / "model.gguf"
    held = guarded(path, stated(content)) == "fs-verity" and refuses_every_writer(path)
    shutil.rmtree(path.parent)
    return held


# --- the disk lies ---------------------------------------------------------------------------


def corrupt(path: Path, block: int, at: int) -> bool:
    """Change a byte of a file on the device, behind its file system."""
    with path.open("rb") as file:
        place = fcntl.ioctl(file.fileno(), _FIBMAP, struct.pack("=i", block))
    (physical,) = struct.unpack("=i", place)
    assert physical > 0
    os.sync()
    disk = os.open(DEVICE, os.O_RDWR | os.O_SYNC)
    try:
        offset = physical * BLOCK_BYTES + at
        (before,) = os.pread(disk, 1, offset)
        os.pwrite(disk, bytes((before ^ 0x20,)), offset)
        os.fsync(disk)
    finally:
        os.close(disk)
    Path("/proc/sys/vm/drop_caches").write_text("3\n")
    return True


def fails_to_read(path: Path, content: bytes) -> bool:
    """Whether who reads it is told, and gets nothing."""
    with opened(path) as file:
        file.guard(stated=stated(content))
        try:
            file.read(len(content))
        except UndecidedError as error:
            return "cannot read the file: input/output error" in str(error)
        return False


def fails_to_hash(path: Path, content: bytes) -> bool:
    """Whether hashing it is an error, and not the end of the process."""
    with opened(path) as file:
        file.guard(stated=stated(content))
        try:
            file.measure(frozenset({Algorithm.BLAKE3}))
        except UndecidedError as error:
            return "input/output error" in str(error).lower()
        return False


def dies_of_mapping(path: Path, block: int) -> bool:
    """Whether who touches the page through a mapping is ended by SIGBUS."""

    def touch() -> bool:
        with path.open("rb") as file:
            mapping = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
            return mapping[block * BLOCK_BYTES] >= 0

    return os.waitstatus_to_exitcode(in_child(touch)) == -signal.SIGBUS


def lies(path: Path, content: bytes) -> bool:
    """Whether a file without fs-verity is read with another byte, and nobody is told."""
    with opened(path) as file:
        found = file.read(len(content))
    return found != content and len(found) == len(content)


if __name__ == "__main__":
    main()
