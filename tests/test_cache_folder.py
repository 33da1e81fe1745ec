"""The cache folder and the local key: what others could have touched counts as not there."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infwasi_sign.adapters.cache_folder import CacheFolder, cache_path
from infwasi_sign.adapters.local_key import KEY_BYTES, KEY_FILE, LocalKey, load_or_create_key
from tests.unprivileged import NOBODY

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[CacheFolder]:
    opened = CacheFolder.open(tmp_path / "cache" / "infwasi")
    assert opened is not None
    yield opened
    opened.close()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def names(folder: CacheFolder) -> list[str]:
    return sorted(path.name for path in folder.path.iterdir())


# --- where ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "user", "expected"),
    [
        ({"INFWASI_CACHE_DIR": "/c"}, 0, "/c"),
        ({"INFWASI_CACHE_DIR": "/c", "HOME": "/h"}, 7, "/c"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/x"}, 0, "/var/cache/infwasi"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/x"}, 7, "/x/infwasi"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "x"}, 7, "/h/.cache/infwasi"),
        ({"HOME": "/h"}, 7, "/h/.cache/infwasi"),
    ],
)
def test_the_folder_is_where_the_system_has_caches(
    environment: dict[str, str], user: int, expected: str
) -> None:
    assert cache_path(environment, user) == Path(expected)


@pytest.mark.parametrize("environment", [{}, {"HOME": "h"}, {"INFWASI_CACHE_DIR": "c"}])
def test_no_absolute_path_is_no_cache(environment: dict[str, str]) -> None:
    assert cache_path(environment, 7) is None
    assert CacheFolder.open(None) is None
    assert CacheFolder.open(Path("relative")) is None


# --- the folder -------------------------------------------------------------------------------


def test_makes_folder_and_files_for_the_caller_alone(folder: CacheFolder) -> None:
    assert folder.write("one", b"content")
    assert folder.read("one", 7) == b"content"
    assert mode(folder.path) == mode(folder.path.parent) == 0o700
    assert mode(folder.path / "one") == 0o600
    assert names(folder) == ["one"]


def test_a_file_is_replaced_unless_the_first_is_to_stay(folder: CacheFolder) -> None:
    assert folder.write("one", b"first")
    assert not folder.write("one", b"second", replace=False)
    assert folder.read("one", 9) == b"first"
    assert folder.write("one", b"third")
    assert folder.read("one", 9) == b"third"
    assert names(folder) == ["one"]


@pytest.mark.parametrize("permissions", [0o701, 0o710, 0o704, 0o720, 0o777, 0o1777])
def test_a_folder_that_others_can_use_is_not_used(tmp_path: Path, permissions: int) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(permissions)
    assert CacheFolder.open(tmp_path / "cache") is None


def test_a_folder_beneath_one_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    assert CacheFolder.open(tmp_path / "cache" / "infwasi") is None


@only_root
def test_a_folder_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(0o700)
    os.chown(tmp_path / "cache", NOBODY, NOBODY)
    assert CacheFolder.open(tmp_path / "cache") is None


@pytest.mark.parametrize("permissions", [0o620, 0o602, 0o640, 0o604])
def test_a_file_that_others_can_read_or_write_counts_as_none(
    folder: CacheFolder, permissions: int
) -> None:
    folder.write("one", b"content")
    (folder.path / "one").chmod(permissions)
    assert folder.read("one", 7) is None


@only_root
def test_a_file_of_somebody_else_counts_as_none(folder: CacheFolder) -> None:
    folder.write("one", b"content")
    os.chown(folder.path / "one", NOBODY, NOBODY)
    assert folder.read("one", 7) is None


def test_what_is_no_regular_file_counts_as_none(folder: CacheFolder, tmp_path: Path) -> None:
    os.mkfifo(folder.path / "pipe", 0o600)
    (folder.path / "folder").mkdir()
    folder.write("file", b"content")
    (folder.path / "link").symlink_to("file")
    for name in ("pipe", "folder", "link", "nothing"):
        assert folder.read(name, 7) is None


def test_what_is_longer_than_its_bound_counts_as_none(folder: CacheFolder) -> None:
    folder.write("one", b"content")
    assert folder.read("one", 6) is None


def test_only_the_newest_files_are_kept(folder: CacheFolder) -> None:
    for number in range(6):
        folder.write(f"{number}.x", b"0123456789")
        os.utime(folder.path / f"{number}.x", ns=(number, number))
    folder.write("other", b"0123456789")
    folder.keep_newest(".x", most=4, most_bytes=100)
    assert names(folder) == ["2.x", "3.x", "4.x", "5.x", "other"]
    folder.keep_newest(".x", most=4, most_bytes=29)
    assert names(folder) == ["4.x", "5.x", "other"]


def test_a_closed_folder_has_nothing_and_takes_nothing(folder: CacheFolder) -> None:
    folder.write("one", b"content")
    folder.close()
    assert folder.read("one", 7) is None
    assert not folder.write("two", b"content")
    folder.keep_newest("", most=0, most_bytes=0)
    assert names(folder) == ["one"]


# --- the key ----------------------------------------------------------------------------------


def test_the_key_is_made_once_and_for_the_caller_alone(folder: CacheFolder) -> None:
    first, second = load_or_create_key(folder), load_or_create_key(folder)
    assert first is not None
    assert second is not None
    assert first.mac("p", [b"a"]) == second.mac("p", [b"a"])
    assert mode(folder.path / KEY_FILE) == 0o600
    assert (folder.path / KEY_FILE).stat().st_size == KEY_BYTES


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33])
def test_a_key_of_another_length_is_neither_used_nor_replaced(
    folder: CacheFolder, content: bytes
) -> None:
    folder.write(KEY_FILE, content)
    assert load_or_create_key(folder) is None
    assert (folder.path / KEY_FILE).read_bytes() == content


def test_a_key_that_others_can_read_is_neither_used_nor_replaced(folder: CacheFolder) -> None:
    folder.write(KEY_FILE, b"x" * KEY_BYTES)
    (folder.path / KEY_FILE).chmod(0o640)
    assert load_or_create_key(folder) is None
    assert (folder.path / KEY_FILE).read_bytes() == b"x" * KEY_BYTES


def test_a_mac_fits_one_key_one_purpose_and_one_way_to_cut() -> None:
    key, other = LocalKey(b"x" * 32), LocalKey(b"y" * 32)
    mac = key.mac("purpose", [b"ab", b"c"])
    assert key.is_mac(mac, "purpose", [b"ab", b"c"])
    for wrong in ([b"a", b"bc"], [b"abc"], [b"ab", b"c", b""], [b"ab", b"d"], []):
        assert not key.is_mac(mac, "purpose", wrong)
    assert not key.is_mac(mac, "purposea", [b"b", b"c"])
    assert not key.is_mac(mac[:31], "purpose", [b"ab", b"c"])
    assert not key.is_mac(b"", "purpose", [b"ab", b"c"])
    assert not other.is_mac(mac, "purpose", [b"ab", b"c"])


def test_a_key_has_the_right_length() -> None:
    with pytest.raises(ValueError, match=r"^a local key has 32 bytes, not 31$"):
        LocalKey(b"x" * 31)
