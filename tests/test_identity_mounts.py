"""Two file systems on one device, one after the other, that tell of two models in the same words.

Device, inode, generation, size, mtime, ctime and the file system's own id are equal, and the bytes
are not. Everything about disks (loop devices are none of the cache's) is switched off for that.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path

import pytest

from infwasi_sign.adapters import identity_cache
from infwasi_sign.adapters.file_identity import unique_identity
from infwasi_sign.adapters.fixed_disk import obstacle_to_fixed_disk
from infwasi_sign.adapters.identity_cache import LocalIdentityCache
from infwasi_sign.domain import identity_record
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.identity_record import UniqueIdentity
from tests.identity_support import (
    Clock,
    digest_of,
    folder_with_identities,
    open_cache,
    open_file,
    start,
)

GOOD, BAD = b"good" * 5000, b"evil" * 5000
WHEN = 1_700_000_000
SAME_UUID = "6a6f1c3e-5f0d-4f0a-9d5a-1d3c0f0b9a77"
IMAGE_BYTES = 8 << 20
TOOLS = ("mkfs.ext4", "debugfs", "losetup", "mount", "umount")

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or any(shutil.which(tool) is None for tool in TOOLS),
    reason=f"needs root and {', '.join(TOOLS)}",
)


def run(*words: str | Path) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def make_image(path: Path, content: bytes) -> None:
    """An ext4 with `model.gguf`, whose inode says nothing that the other's does not say as well."""
    source = path.with_suffix(".d")
    source.mkdir()
    (source / "model.gguf").write_bytes(content)
    with path.open("wb") as image:
        image.truncate(IMAGE_BYTES)
    run("mkfs.ext4", "-q", "-I", "256", "-U", SAME_UUID, "-d", source, path)
    # A leading @ is a number of seconds (debugfs(8), "set_inode_field"); *_extra is below it.
    edits = "".join(
        f"set_inode_field model.gguf {name} {value}\n"
        for name, value in (
            *((one, f"@{WHEN}") for one in ("atime", "ctime", "mtime", "crtime")),
            *((f"{one}_extra", "0") for one in ("atime", "ctime", "mtime", "crtime")),
            ("generation", "4711"),
        )
    )
    subprocess.run(
        ["debugfs", "-w", "-f", "-", path], input=edits, text=True, check=True, capture_output=True
    )


@pytest.fixture
def device() -> str:
    """A loop device that nobody uses."""
    try:
        return run("losetup", "--find")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no loop device: {error.stderr.strip()}")


@contextmanager
def mounted(image: Path, device: str, place: Path) -> Iterator[Path]:
    try:
        run("losetup", device, image)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no loop device: {error.stderr.strip()}")
    try:
        try:
            run("mount", "-t", "ext4", "-o", "noatime", device, place)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no mounts: {error.stderr.strip()}")
        try:
            yield place / "model.gguf"
        finally:
            run("umount", place)
    finally:
        _detach(device)


def _detach(device: str) -> None:
    """Free the device, and wait until it is: the kernel may do so a moment later."""
    run("losetup", "--detach", device)
    for _ in range(100):
        if not run("losetup", "--list", "--noheadings", "--output", "NAME").count(device):
            return
        time.sleep(0.05)


@pytest.fixture
def folder() -> Iterator[Path]:
    with folder_with_identities() as path:
        (path / "mount").mkdir()
        make_image(path / "good.img", GOOD)
        make_image(path / "bad.img", BAD)
        yield path


@pytest.fixture
def cache(folder: Path) -> Iterator[LocalIdentityCache]:
    opened = open_cache(folder / "cache", Clock())
    yield opened
    opened.close()


def identity(path: Path) -> UniqueIdentity:
    file = open_file(path)
    try:
        return unique_identity(file.fileno(), bytes(16))
    finally:
        file.close()


def test_the_two_differ_by_their_mount_and_by_nothing_else(folder: Path, device: str) -> None:
    with mounted(folder / "good.img", device, folder / "mount") as path:
        good, content = identity(path), path.read_bytes()
    with mounted(folder / "bad.img", device, folder / "mount") as path:
        bad, other = identity(path), path.read_bytes()
    assert (content, other) == (GOOD, BAD)
    differing = [f.name for f in fields(good) if getattr(good, f.name) != getattr(bad, f.name)]
    assert differing == ["mount_id"]
    assert good.ctime_ns == good.mtime_ns == WHEN * identity_record.SECOND_NS
    assert (good.generation, replace(bad, mount_id=good.mount_id)) == (4711, good)


def test_a_second_file_system_on_the_same_device_does_not_fool_the_cache(
    cache: LocalIdentityCache, folder: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity_cache, "obstacle_to_fixed_disk", lambda _: None)
    # Under one name, or the record of the other mount would not even be looked at.
    monkeypatch.setattr(identity_cache, "_name", lambda _: "one.identity")
    with mounted(folder / "good.img", device, folder / "mount") as path:
        good = digest_of(path)
        assert start(cache, path) is None
        assert start(cache, path) is not None
    with mounted(folder / "bad.img", device, folder / "mount") as path:
        assert start(cache, path) is None
        assert cache.reason == "the mount is not what it was"
    # The same one, mounted again: nobody can tell that it is, so it is hashed.
    with mounted(folder / "bad.img", device, folder / "mount") as path:
        assert start(cache, path) is None
        assert cache.reason == "the mount is not what it was"
    # Control: without the mount in the comparison the first model's digest is believed.
    with mounted(folder / "good.img", device, folder / "mount") as path:
        start(cache, path)
    others = tuple(one for one in identity_record._COMPARED if one != "mount_id")
    monkeypatch.setattr(identity_record, "_COMPARED", others)
    with mounted(folder / "bad.img", device, folder / "mount") as path:
        remembered = start(cache, path)
        assert remembered is not None
        assert remembered.digests[Algorithm.BLAKE3] == good != digest_of(path)


def test_a_record_of_another_mount_has_another_name(
    cache: LocalIdentityCache, folder: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity_cache, "obstacle_to_fixed_disk", lambda _: None)
    for image in ("good.img", "bad.img"):
        with mounted(folder / image, device, folder / "mount") as path:
            assert (start(cache, path), cache.reason) == (None, None)
    assert len(list((folder / "cache").glob("*.identity"))) == 2


def test_an_image_on_a_loop_device_is_not_remembered_at_all(
    cache: LocalIdentityCache, folder: Path, device: str
) -> None:
    with mounted(folder / "good.img", device, folder / "mount") as path:
        why = f"its disk is not known to be fixed ({device.rpartition('/')[2]})"
        assert obstacle_to_fixed_disk(path.stat().st_dev) == why
        assert (start(cache, path), cache.reason) == (None, why)
    assert not list((folder / "cache").glob("*.identity"))
