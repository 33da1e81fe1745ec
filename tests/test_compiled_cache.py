"""Machine code from the cache: only what this user made here, of these bytes, in this way.

Each attack puts code into the cache folder that is well made, but not ours for these bytes: a
component that exports `evil`. The control at the end shows that it would be loaded without the MAC.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from wasmtime import Config, Engine, WasmtimeError
from wasmtime.component import Component

from infwasi_sign.adapters import wasm_code, wasm_settings
from infwasi_sign.adapters.cache_folder import CacheFolder
from infwasi_sign.adapters.compiled_cache import SUFFIX, CompiledCache
from infwasi_sign.adapters.local_key import KEY_FILE, LocalKey
from infwasi_sign.adapters.wasm_code import compile_component
from infwasi_sign.domain import limits
from infwasi_sign.errors import MalformedError
from tests.guests import component_from_wat
from tests.unprivileged import NOBODY

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")

HEADER_BYTES = 8 + 32  # magic and MAC


def exporting(name: str) -> bytes:
    return component_from_wat(
        f"""(component
          (core module $m (func (export "f")))
          (core instance $i (instantiate $m))
          (func (export "{name}") (canon lift (core func $i "f"))))"""
    )


GOOD, EVIL = exporting("good"), exporting("evil")


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[CompiledCache]:
    yield from opened(tmp_path / "cache")


def opened(path: Path) -> Iterator[CompiledCache]:
    folder = CacheFolder.open(path)
    assert folder is not None
    cache = CompiledCache.open(folder)
    assert cache is not None
    yield cache
    folder.close()


def exports(component: bytes, cache: CompiledCache | None) -> list[str]:
    """What the code exports that is run for these bytes: it tells the two components apart."""
    compiled = compile_component(component, cache)
    return list(compiled.component.type.exports(compiled.engine))


def entries(cache: CompiledCache) -> list[Path]:
    return sorted(cache.folder.path.glob(f"*{SUFFIX}"))


def entry(cache: CompiledCache) -> Path:
    (only,) = entries(cache)
    return only


def code_of(component: bytes, cache: CompiledCache) -> bytes:
    """The code that we would store for it."""
    exports(component, cache)
    (path,) = entries(cache)
    code = path.read_bytes()[HEADER_BYTES:]
    path.unlink()
    return code


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was compiled, in order; what came from the cache is not in it."""
    seen: list[bytes] = []

    class Counted(Component):
        def __init__(self, engine: Engine, wasm: bytes) -> None:
            seen.append(wasm)
            super().__init__(engine, wasm)

    monkeypatch.setattr(wasm_code, "Component", Counted)
    return seen


# --- what it is for ---------------------------------------------------------------------------


def test_a_component_is_compiled_once(cache: CompiledCache, compiled: list[bytes]) -> None:
    for _ in range(3):
        assert exports(GOOD, cache) == ["good"]
    assert compiled == [GOOD]


def test_without_a_cache_it_is_compiled_each_time(compiled: list[bytes]) -> None:
    for _ in range(2):
        assert exports(GOOD, None) == ["good"]
    assert compiled == [GOOD, GOOD]


def test_each_component_has_its_own_code(cache: CompiledCache, compiled: list[bytes]) -> None:
    for _ in range(2):
        assert exports(GOOD, cache) == ["good"]
        assert exports(EVIL, cache) == ["evil"]
    assert compiled == [GOOD, EVIL]


def test_another_configuration_or_build_of_wasmtime_is_another_entry(
    cache: CompiledCache, compiled: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    exports(GOOD, cache)
    monkeypatch.setattr(wasm_settings, "_LARGE_BYTES", 0)
    exports(GOOD, cache)
    exports(GOOD, of_another_day(cache))
    assert len(compiled) == len(entries(cache)) == 3


def test_an_entry_is_the_callers_alone(cache: CompiledCache) -> None:
    exports(GOOD, cache)
    assert entry(cache).stat().st_mode & 0o7777 == 0o600


def test_bytes_that_are_no_component_are_never_looked_up(cache: CompiledCache) -> None:
    """Not even where somebody stored code for them."""
    cache.store(b"(component)", code_of(EVIL, cache))
    with pytest.raises(MalformedError, match=r"^not a component in component$"):
        compile_component(b"(component)", cache)


def test_only_few_and_small_enough_entries_are_kept(
    cache: CompiledCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = limits.Limits(compiled_entries=2)
    monkeypatch.setattr("infwasi_sign.adapters.compiled_cache.LIMITS", bounds)
    for number in range(4):
        cache.store(b"%d" % number, b"code")
        newest = max(entries(cache), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, ns=(number, number))
    assert [cache.load(b"%d" % number) for number in range(4)] == [
        None,
        None,
        b"code",
        b"code",
    ]


def test_code_that_is_too_long_is_neither_stored_nor_loaded(
    cache: CompiledCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.store(b"component", b"12345")
    bounds = limits.Limits(compiled_bytes=4)
    monkeypatch.setattr("infwasi_sign.adapters.compiled_cache.LIMITS", bounds)
    assert cache.load(b"component") is None
    cache.store(b"other", b"12345")
    assert len(entries(cache)) == 1


def test_where_nothing_can_be_written_it_is_compiled(
    cache: CompiledCache, compiled: list[bytes]
) -> None:
    cache.folder.close()
    for _ in range(2):
        assert exports(GOOD, cache) == ["good"]
    assert compiled == [GOOD, GOOD]


# --- attacks: what is in the folder is not ours -----------------------------------------------


@pytest.mark.parametrize("place", ["magic", "mac", "first byte of code", "last byte of code"])
def test_code_with_any_part_changed_is_not_loaded(
    cache: CompiledCache, compiled: list[bytes], place: str
) -> None:
    exports(GOOD, cache)
    data = bytearray(entry(cache).read_bytes())
    at = {"magic": 0, "mac": 8, "first byte of code": HEADER_BYTES, "last byte of code": -1}
    data[at[place]] ^= 1
    entry(cache).write_bytes(data)
    assert exports(GOOD, cache) == ["good"]
    assert compiled == [GOOD, GOOD]
    assert exports(GOOD, cache) == ["good"]
    assert len(compiled) == 2  # the spoiled entry was replaced


@pytest.mark.parametrize("left", [0, 7, 8, 39, 40, -1])
def test_a_truncated_entry_is_not_loaded(
    cache: CompiledCache, compiled: list[bytes], left: int
) -> None:
    exports(GOOD, cache)
    entry(cache).write_bytes(entry(cache).read_bytes()[:left])
    assert exports(GOOD, cache) == ["good"]
    assert compiled == [GOOD, GOOD]


def test_an_entry_with_bytes_after_it_is_not_loaded(
    cache: CompiledCache, compiled: list[bytes]
) -> None:
    exports(GOOD, cache)
    entry(cache).write_bytes(entry(cache).read_bytes() + b"\0")
    assert exports(GOOD, cache) == ["good"]
    assert compiled == [GOOD, GOOD]


def under_the_name_of_good(cache: CompiledCache, data: bytes) -> None:
    """Put an entry where that of GOOD is looked for."""
    exports(GOOD, cache)
    entry(cache).write_bytes(data)


def whole_entry_of_evil(cache: CompiledCache) -> bytes:
    exports(EVIL, cache)
    data = entry(cache).read_bytes()
    entry(cache).unlink()
    return data


def evil_of_another_key(cache: CompiledCache) -> bytes:
    code = code_of(EVIL, cache)
    exports(GOOD, cache)
    other = replace(cache, key=LocalKey(b"another key of 32 bytes ........"))
    for path in entries(cache):
        path.unlink()
    other.store(GOOD, code)
    return entry(cache).read_bytes()


def of_another_day(cache: CompiledCache) -> CompiledCache:
    return replace(cache, maker="wasmtime of another day")


def evil_of_another_version(cache: CompiledCache) -> bytes:
    code = code_of(EVIL, cache)
    other = of_another_day(cache)
    other.store(GOOD, code)
    assert other.load(GOOD) == code
    data = entry(cache).read_bytes()
    entry(cache).unlink()
    return data


def evil_with_the_mac_of_good(cache: CompiledCache) -> bytes:
    code = code_of(EVIL, cache)
    exports(GOOD, cache)
    return entry(cache).read_bytes()[:HEADER_BYTES] + code


ATTACKS = (
    whole_entry_of_evil,
    evil_of_another_key,
    evil_of_another_version,
    evil_with_the_mac_of_good,
)


@pytest.mark.parametrize("attack", ATTACKS)
def test_code_that_is_not_ours_for_these_bytes_is_not_loaded(
    cache: CompiledCache, attack: Callable[[CompiledCache], bytes]
) -> None:
    under_the_name_of_good(cache, attack(cache))
    assert exports(GOOD, cache) == ["good"]


@pytest.mark.parametrize("attack", ATTACKS)
def test_control_without_the_mac_that_code_is_loaded(
    cache: CompiledCache,
    attack: Callable[[CompiledCache], bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    under_the_name_of_good(cache, attack(cache))
    monkeypatch.setattr(LocalKey, "is_mac", lambda *_: True)
    assert exports(GOOD, cache) == ["evil"]


def test_a_cache_that_came_from_elsewhere_without_its_key_is_not_loaded(
    cache: CompiledCache, compiled: list[bytes], tmp_path: Path
) -> None:
    exports(GOOD, cache)
    shutil.copytree(cache.folder.path, tmp_path / "copy")
    (tmp_path / "copy" / KEY_FILE).unlink()
    for elsewhere in opened(tmp_path / "copy"):
        exports(GOOD, elsewhere)
    assert compiled == [GOOD, GOOD]


@pytest.mark.parametrize("permissions", [0o620, 0o602, 0o640])
def test_an_entry_that_others_can_touch_is_not_loaded(
    cache: CompiledCache, compiled: list[bytes], permissions: int
) -> None:
    exports(GOOD, cache)
    entry(cache).chmod(permissions)
    exports(GOOD, cache)
    assert compiled == [GOOD, GOOD]


@only_root
def test_an_entry_of_somebody_else_is_not_loaded(
    cache: CompiledCache, compiled: list[bytes]
) -> None:
    exports(GOOD, cache)
    os.chown(entry(cache), NOBODY, NOBODY)
    exports(GOOD, cache)
    assert compiled == [GOOD, GOOD]


def test_an_entry_that_is_no_regular_file_is_not_loaded_and_holds_nobody_up(
    cache: CompiledCache, compiled: list[bytes], tmp_path: Path
) -> None:
    exports(GOOD, cache)
    path = entry(cache)
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    exports(GOOD, cache)
    path.unlink()
    os.mkfifo(path, 0o600)
    exports(GOOD, cache)
    assert compiled == [GOOD] * 3
    exports(GOOD, cache)
    assert len(compiled) == 3  # the pipe was replaced by a file


# --- what we assume of wasmtime ---------------------------------------------------------------


def test_wasmtime_itself_refuses_code_of_another_configuration() -> None:
    config = Config()
    config.epoch_interruption = True
    code = bytes(Component(Engine(config), GOOD).serialize())
    with pytest.raises(WasmtimeError, match="epoch"):
        Component.deserialize(Engine(), code)


def test_code_that_wasmtime_finds_unfit_is_compiled_again(
    cache: CompiledCache, compiled: list[bytes]
) -> None:
    """As where the processor is another one: the MAC is ours, wasmtime says no."""
    cache.store(GOOD, bytes(Component(Engine(), GOOD).serialize()))
    assert exports(GOOD, cache) == ["good"]
    assert compiled == [GOOD]
