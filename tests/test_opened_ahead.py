"""A model that is held and measured before anybody has judged who signed its package (ADR 23)."""

import gc
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from infwasi_sign.adapters import guarded_file, holding, measuring
from infwasi_sign.adapters.fs_verity import KernelDigest
from infwasi_sign.adapters.guarded_file import LocalFile
from infwasi_sign.adapters.opened_ahead import OpenedAhead
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.errors import RefusalKind, RefusedError, UndecidedError
from tests.unprivileged import python_output

CONTENT = b"model bytes " * 5000
BLAKE3 = frozenset({Algorithm.BLAKE3})
TRY_TO_WRITE = """
import os, sys
try:
    os.open(sys.argv[1], os.O_WRONLY | os.O_NONBLOCK)
except BlockingIOError:
    print("EAGAIN")
else:
    print("opened")
"""


@pytest.fixture
def package() -> Iterator[Path]:
    """What a package looks like from outside, on tmpfs, where a lease means something."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name, "capital-1.0.0")
        folder.mkdir()
        for file in ("manifest.sigstore.json", "app.wasm", "bom.cdx.json"):
            (folder / file).write_text("{}")
        (folder / "model.gguf").write_bytes(CONTENT)
        yield folder


class Held:
    """What `begin` calls once the model is held."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1


def begun(package: Path, held: Held, *detached: Path) -> OpenedAhead:
    ahead = OpenedAhead(package, detached)
    ahead.begin(BLAKE3, held)
    return ahead


def model_of(ahead: OpenedAhead, package: Path) -> LocalFile:
    return ahead.open(package).files["model.gguf"]


def measured(file: LocalFile) -> Digest:
    return file.measure(BLAKE3)[Algorithm.BLAKE3]


def test_gives_the_digest_and_the_level_of_a_pass_that_begins_later(package: Path) -> None:
    seen: list[int] = []
    with closing(begun(package, Held())) as ahead:
        file = model_of(ahead, package)
        assert file.guard() is LoadLevel.READ_LEASE
        found = file.measure(BLAKE3, seen.append)
        assert found == measuring.measure([memoryview(CONTENT)], BLAKE3)
        assert sum(seen) == len(CONTENT)
        assert "fs-verity" in file.level_reason


def test_nothing_is_read_before_the_model_is_held_and_the_process_confined(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    take, windows = holding.take_read_lease, measuring.file_windows

    def taking(descriptor: int) -> str | None:
        order.append("lease")
        return take(descriptor)

    def reading(*args: Any, **named: Any) -> Iterator[memoryview]:
        order.append("read")
        return windows(*args, **named)

    monkeypatch.setattr(guarded_file, "take_read_lease", taking)
    monkeypatch.setattr(measuring, "file_windows", reading)
    ahead = OpenedAhead(package)
    with closing(ahead):
        ahead.begin(BLAKE3, lambda: order.append("confined"))
        model_of(ahead, package).guard()
        measured(model_of(ahead, package))
    assert order == ["lease", "confined", "read"]


def test_a_writer_before_the_demand_is_known_refuses(package: Path) -> None:
    with closing(begun(package, Held())) as ahead:
        assert python_output(TRY_TO_WRITE, package / "model.gguf") == "EAGAIN"
        with pytest.raises(RefusedError, match="it was opened for writing") as caught:
            model_of(ahead, package).guard()
    assert caught.value.kind is RefusalKind.LEVEL


def test_a_writer_while_it_is_measured_refuses(package: Path) -> None:
    with closing(begun(package, Held())) as ahead:
        file = model_of(ahead, package)
        file.guard()
        assert python_output(TRY_TO_WRITE, package / "model.gguf") == "EAGAIN"
        with pytest.raises(RefusedError, match="it was opened for writing"):
            measured(file)


def test_control_a_lease_that_nobody_looks_at_lets_changed_bytes_pass(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest is of the bytes before; what is there now is something else."""
    monkeypatch.setattr(guarded_file, "holds_read_lease", lambda _: True)
    monkeypatch.setattr(guarded_file, "take_read_lease", lambda _: None)
    monkeypatch.setattr(LocalFile, "_require_unchanged", lambda _: None)
    with closing(begun(package, Held())) as ahead:
        file = model_of(ahead, package)
        before = measuring.measure([memoryview(CONTENT)], BLAKE3)[Algorithm.BLAKE3]
        file.guard()
        assert measured(file) == before
        (package / "model.gguf").write_bytes(CONTENT[::-1])
        file.require_same()
        assert file.read_at(0, 5) != CONTENT[:5]


def test_a_change_between_opening_and_the_lease_refuses(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = holding.take_read_lease

    def late(descriptor: int) -> str | None:
        (package / "model.gguf").write_bytes(CONTENT + b"more")
        return take(descriptor)

    monkeypatch.setattr(guarded_file, "take_read_lease", late)
    with closing(begun(package, Held())) as ahead, pytest.raises(RefusedError) as caught:
        model_of(ahead, package).guard()
    assert caught.value.kind is RefusalKind.LEVEL


def test_a_pass_that_nobody_wants_ends_and_gives_the_lease_back(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "WINDOW_BYTES", 4096)
    before = threading.active_count()
    begun(package, Held()).close()
    assert threading.active_count() == before
    assert python_output(TRY_TO_WRITE, package / "model.gguf") == "opened"


def test_other_digests_than_those_that_were_begun_are_computed_anew(package: Path) -> None:
    both = frozenset(Algorithm)
    with closing(begun(package, Held())) as ahead:
        file = model_of(ahead, package)
        file.guard()
        assert file.measure(both) == measuring.measure([memoryview(CONTENT)], both)


def test_measures_again_if_it_is_asked_again(package: Path) -> None:
    with closing(begun(package, Held())) as ahead:
        file = model_of(ahead, package)
        file.guard()
        assert measured(file) == measured(file)


def test_progress_that_raises_leaves_no_thread(package: Path) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    before = threading.active_count()
    with closing(begun(package, Held())) as ahead:
        file = model_of(ahead, package)
        file.guard()
        with pytest.raises(KeyboardInterrupt):
            file.measure(BLAKE3, stop)
    assert threading.active_count() == before


# --- where nothing begins ---------------------------------------------------------------------


def test_of_two_files_nobody_knows_which_is_the_model(package: Path) -> None:
    (package / "other.gguf").write_bytes(CONTENT)
    held = Held()
    with closing(begun(package, held)) as ahead:
        assert all(file.level is LoadLevel.NONE for file in ahead.open(package).files.values())
    assert held.calls == 0


def test_a_detached_model_is_the_only_one(package: Path) -> None:
    outside = package.parent / "elsewhere.gguf"
    (package / "model.gguf").rename(outside)
    held = Held()
    with closing(begun(package, held, outside)) as ahead:
        (file,) = ahead.open(package, (outside,)).detached
        assert file.level is LoadLevel.READ_LEASE
    assert held.calls == 1


def test_the_files_with_names_of_their_own_are_no_models(package: Path) -> None:
    (package / "model.gguf").unlink()
    held = Held()
    with closing(begun(package, held)) as ahead:
        assert all(file.level is LoadLevel.NONE for file in ahead.open(package).files.values())
    assert held.calls == 0


def test_fs_verity_needs_no_pass(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = KernelDigest(algorithm=1, digest=b"", block_size=4096, salt=b"")
    monkeypatch.setattr(guarded_file, "kernel_digest", lambda _: found)
    held = Held()
    with closing(begun(package, held)) as ahead:
        assert model_of(ahead, package).level is LoadLevel.NONE
    assert held.calls == 0


def test_without_a_lease_the_model_waits_for_what_is_demanded(package: Path) -> None:
    held = Held()
    with (package / "model.gguf").open("r+b"), closing(begun(package, held)) as ahead:
        assert model_of(ahead, package).level is LoadLevel.NONE
    assert held.calls == 0


def test_what_cannot_be_opened_is_told_to_who_asks_for_it(package: Path) -> None:
    (package / "manifest.sigstore.json").unlink()
    held = Held()
    with closing(begun(package, held)) as ahead, pytest.raises(RefusedError) as caught:
        ahead.open(package)
    assert caught.value.kind is RefusalKind.UNSIGNED
    assert held.calls == 0


def test_is_of_one_package_and_measures_once(package: Path, tmp_path: Path) -> None:
    held = Held()
    with closing(begun(package, held)) as ahead:
        assert held.calls == 1
        with pytest.raises(ValueError, match="another package"):
            ahead.open(tmp_path)
        model = model_of(ahead, package)
        with pytest.raises(RuntimeError):
            model.measure_ahead(BLAKE3)
    with pytest.raises(UndecidedError):
        OpenedAhead(tmp_path / "none").open(tmp_path / "none")


def test_a_pass_that_is_given_up_keeps_no_mapping(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "WINDOW_BYTES", 4096)
    gc.disable()
    try:
        ahead = begun(package, Held())
        ahead.close()
        assert str(package) not in Path("/proc/self/maps").read_text()
    finally:
        gc.enable()
