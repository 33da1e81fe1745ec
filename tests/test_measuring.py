"""Digests in one pass: right, and refused when the file is not the same all the while."""

import base64
import ctypes
import hashlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from infwasi_sign.adapters import measuring
from infwasi_sign.adapters.measuring import (
    FileSource,
    blake3_digest,
    file_windows,
    measure,
    measure_bytes,
    measure_model,
)
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.gguf import GgufHeader, parse
from infwasi_sign.domain.model_digests import (
    TensorDigests,
    chat_template_digest,
    header_digest,
    tensor_root,
    tensor_table_digest,
)
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError, UndecidedError
from tests import gguf_forge as forge
from tests.gguf_forge import Tensor, WatchedSource, tiny_gguf

BOTH = frozenset(Algorithm)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> int:
    """A window of a page: small files then take several, and mappings stay aligned."""
    monkeypatch.setattr(measuring, "WINDOW_BYTES", 4096)
    monkeypatch.setattr(measuring, "READ_BYTES", 4096)
    return 4096


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    """A file of 10,000 bytes: two windows and a part of one."""
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.write(fd, forge.pattern(10_000, 1))
    yield fd
    os.close(fd)


def expected(data: bytes) -> dict[Algorithm, Digest]:
    return {
        Algorithm.SHA256: Digest(algorithm=Algorithm.SHA256, hex=hashlib.sha256(data).hexdigest()),
        Algorithm.BLAKE3: Digest(algorithm=Algorithm.BLAKE3, hex=blake3(data).hexdigest()),
    }


def pieces(data: bytes, size: int) -> Iterator[memoryview]:
    """A stream whose one buffer is used again for each window, as its contract allows."""
    buffer = bytearray(size)
    for start in range(0, len(data), size):
        part = data[start : start + size]
        buffer[: len(part)] = part
        with memoryview(buffer) as whole, whole[: len(part)] as window:
            yield window


# --- files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 8192, 50_000])
def test_measures_files_of_any_size(held: bool, size: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(forge.pattern(size, 3))
    with path.open("rb") as file:
        found = measure(file_windows(file.fileno(), size, held=held), BOTH)
    assert found == expected(path.read_bytes())


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("start", [4096, 8192])
def test_measures_the_rest_of_a_file(held: bool, start: int, descriptor: int) -> None:
    windows = file_windows(descriptor, 10_000, held=held, start=start)
    assert measure(windows, BOTH) == expected(forge.pattern(10_000, 1)[start:])


def cached_pages(fd: int, size_bytes: int) -> int:
    """How many pages of an open file are in the page cache (mincore(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    found = (ctypes.c_ubyte * (-(-size_bytes // mmap.PAGESIZE)))()
    # ctypes gives the address of what can be written; nobody does, and it would be a copy.
    with mmap.mmap(fd, size_bytes, flags=mmap.MAP_PRIVATE) as mapping:
        start = ctypes.c_ubyte.from_buffer(mapping)
        address = ctypes.c_void_p(ctypes.addressof(start))
        assert libc.mincore(address, ctypes.c_size_t(size_bytes), found) == 0
        del start, address
    return sum(flag & 1 for flag in found)


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("is_larger", [True, False])
def test_gives_back_the_pages_of_a_file_that_is_larger_than_memory(
    is_larger: bool, held: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of no other. A window is 2 MiB, the largest piece in which the kernel caches a file."""
    window = 2 << 20
    monkeypatch.setattr(measuring, "WINDOW_BYTES", window)
    monkeypatch.setattr(measuring, "READ_BYTES", window)
    content = os.urandom(1000) * 7000
    with (tmp_path / "model").open("w+b") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # what is not on disk yet stays
        fd, size, pages = file.fileno(), len(content), len(content) // mmap.PAGESIZE
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        if cached_pages(fd, size) > pages / 10:
            pytest.skip("this file system keeps what was just written")
        memory = size - is_larger
        found = measure(file_windows(fd, size, held=held, memory_bytes=memory), BOTH)
        assert found == expected(content)
        # The kernel may pass over pages that it is busy with just then.
        cached = cached_pages(fd, size)
        assert cached < pages / 4 if is_larger else cached > pages * 3 / 4


@pytest.mark.parametrize("algorithm", Algorithm)
def test_measures_only_what_is_asked_for(algorithm: Algorithm, descriptor: int) -> None:
    found = measure(file_windows(descriptor, 10_000, held=True), frozenset({algorithm}))
    assert found == {algorithm: expected(forge.pattern(10_000, 1))[algorithm]}


def test_measures_nothing_when_nothing_is_asked_for(descriptor: int) -> None:
    assert measure(file_windows(descriptor, 10_000, held=True), frozenset()) == {}


def test_tells_progress_window_by_window(descriptor: int) -> None:
    seen: list[int] = []
    measure(file_windows(descriptor, 10_000, held=False), BOTH, seen.append)
    assert seen == [4096, 4096, 10_000 - 8192]


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("size", [9_999, 10_001])
def test_refuses_a_file_of_another_size(held: bool, size: int, descriptor: int) -> None:
    with pytest.raises(RefusedError) as caught:
        measure(file_windows(descriptor, size, held=held), BOTH)
    assert caught.value.kind is RefusalKind.DIGEST
    assert str(caught.value) == (
        f"file is not as long as it was (expected {size} bytes, got 10000)"
    )


@pytest.mark.parametrize("held", [True, False])
def test_refuses_a_file_that_grows_meanwhile(held: bool, descriptor: int) -> None:
    def grow(_: int) -> None:
        os.pwrite(descriptor, b"!", 10_000)

    with pytest.raises(RefusedError) as caught:
        measure(file_windows(descriptor, 10_000, held=held), BOTH, grow)
    assert caught.value.kind is RefusalKind.DIGEST
    assert str(caught.value) == "file is not as long as it was (expected 10000 bytes, got 10001)"


def test_refuses_a_file_that_shrinks_meanwhile(descriptor: int) -> None:
    windows = file_windows(descriptor, 10_000, held=False)

    def shrink(_: int) -> None:
        os.ftruncate(descriptor, 5000)

    # The second window was being read when the first was done, so the third is the one that fails
    # whatever the threads do: it is asked for after the cut.
    with pytest.raises(RefusedError) as caught:
        measure(windows, BOTH, shrink)
    assert caught.value.kind is RefusalKind.DIGEST
    assert caught.value.what == "file became shorter while it was read"
    assert caught.value.expected in {"at least 8192 bytes", "at least 10000 bytes"}


def test_says_so_when_a_file_cannot_be_read(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "write-only", os.O_WRONLY | os.O_CREAT)
    try:
        os.write(fd, b"x" * 10)
        with pytest.raises(UndecidedError) as caught:
            measure(file_windows(fd, 10, held=False), BOTH)
    finally:
        os.close(fd)
    assert str(caught.value) == "cannot read the file in byte 0 (got Bad file descriptor)"


def test_reads_where_nothing_can_be_mapped(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError

    monkeypatch.setattr(mmap, "mmap", refuse)
    found = measure(file_windows(descriptor, 10_000, held=True), BOTH)
    assert found == expected(forge.pattern(10_000, 1))


def test_stops_its_threads_when_the_caller_gives_up(descriptor: int) -> None:
    def give_up(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(file_windows(descriptor, 10_000, held=False), BOTH, give_up)


def test_reads_headers_through_a_descriptor(tmp_path: Path) -> None:
    data = tiny_gguf()
    path = tmp_path / "tiny.gguf"
    path.write_bytes(data)
    with path.open("rb") as file:
        assert parse(FileSource(file.fileno(), len(data))) == parse(WatchedSource(data))


def test_refuses_a_header_of_a_file_that_became_shorter(descriptor: int) -> None:
    with pytest.raises(RefusedError) as caught:
        FileSource(descriptor, 20_000).read_at(9_000, 2_000)
    assert caught.value.kind is RefusalKind.DIGEST
    assert str(caught.value) == (
        "file became shorter while it was read (expected at least 11000 bytes, got 10000)"
    )


def test_measures_bytes_in_memory_as_it_measures_files() -> None:
    data = forge.pattern(10_000, 1)
    assert measure_bytes(data) == expected(data)


# --- models ----------------------------------------------------------------------------------


def assert_digests_are_right(data: bytes, header: GgufHeader, window_bytes: int) -> None:
    found = measure_model(pieces(data, window_bytes), header)
    assert {Algorithm.SHA256: found.sha256, Algorithm.BLAKE3: found.blake3} == expected(data)
    each = [
        blake3(data[start : start + tensor.size_bytes]).digest()
        for tensor in header.tensors
        for start in [header.data_offset + tensor.offset]
    ]
    assert found.tensors.concatenated == b"".join(each)
    assert found.tensor_root.hex == blake3(b"".join(each)).hexdigest()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 3000), max_size=12),
    st.sampled_from([8, 32, 256]),
    st.integers(1, 5000),
    st.booleans(),
)
def test_digests_every_tensor_whatever_the_layout(
    sizes: list[int], alignment: int, window_bytes: int, pads_last: bool
) -> None:
    tensors = tuple(
        Tensor(
            name=f"t{index}".encode(), dimensions=(size,), type=24, data=forge.pattern(size, index)
        )
        for index, size in enumerate(sizes)
    )
    data = tiny_gguf(
        tensors=tensors, alignment=alignment, states_alignment=True, pads_last=pads_last
    )
    assert_digests_are_right(data, parse(WatchedSource(data)), window_bytes)


def test_digests_tensors_large_enough_for_threads() -> None:
    big = Tensor(name=b"big", dimensions=(300_000,), type=24, data=forge.pattern(300_000, 5))
    data = tiny_gguf(tensors=(big, *forge.TENSORS))
    assert_digests_are_right(data, parse(WatchedSource(data)), 100_000)


@pytest.mark.parametrize("place", [0, 40, -1])
def test_refuses_a_model_whose_header_changed_since(place: int) -> None:
    data = tiny_gguf()
    header = parse(WatchedSource(data))
    place %= header.data_offset
    other = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    with pytest.raises(RefusedError) as caught:
        measure_model(pieces(other, 64), header)
    assert caught.value.kind is RefusalKind.DIGEST
    assert str(caught.value) == "file changed after its header was read in the header"


@pytest.mark.parametrize("held", [True, False])
def test_refuses_a_changed_header_in_a_file_and_lets_go_of_it(held: bool, tmp_path: Path) -> None:
    data = tiny_gguf()
    path = tmp_path / "model.gguf"
    path.write_bytes(data.replace(b"tiny", b"TINY"))
    with path.open("rb") as file, pytest.raises(RefusedError) as caught:
        measure_model(file_windows(file.fileno(), len(data), held=held), parse(WatchedSource(data)))
    assert str(caught.value) == "file changed after its header was read in the header"


def test_refuses_a_model_of_another_length_than_its_header_was_read_from() -> None:
    data = tiny_gguf()
    header = parse(WatchedSource(data))
    with pytest.raises(RefusedError) as caught:
        measure_model(pieces(data[:-1], 4096), header)
    assert caught.value.kind is RefusalKind.DIGEST
    assert str(caught.value) == (
        f"file changed after its header was read (expected {len(data)} bytes, got {len(data) - 1})"
    )


@pytest.mark.model
@pytest.mark.parametrize("held", [True, False])
def test_measures_the_real_model_in_one_pass(
    held: bool, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "WINDOW_BYTES", 16 * 2**20)
    data = model_path.read_bytes()
    with model_path.open("rb") as file:
        header = parse(FileSource(file.fileno(), len(data)))
        seen: list[int] = []
        found = measure_model(
            file_windows(file.fileno(), len(data), held=held), header, seen.append
        )
    assert sum(seen) == len(data)
    assert {Algorithm.SHA256: found.sha256, Algorithm.BLAKE3: found.blake3} == expected(data)
    assert len(found.tensors) == len(header.tensors) == 272
    for index, tensor in enumerate(header.tensors):
        start = header.data_offset + tensor.offset
        assert found.tensors[index] == blake3_digest(data[start : start + tensor.size_bytes])


# --- evidence --------------------------------------------------------------------------------


def test_digests_header_table_and_template_as_they_stand_in_the_file() -> None:
    data = tiny_gguf()
    header = parse(WatchedSource(data))
    table = data[header.metadata_end : header.tensor_table_end]
    assert header_digest(header).hex == hashlib.sha256(data[: header.data_offset]).hexdigest()
    assert tensor_table_digest(header).hex == hashlib.sha256(table).hexdigest()
    template = chat_template_digest("é")
    assert template.hex == hashlib.sha256(b"\xc3\xa9").hexdigest()


@given(st.integers(0, 20), st.binary(min_size=32, max_size=32))
def test_tensor_digests_survive_their_compact_form(count: int, value: bytes) -> None:
    digests = TensorDigests(concatenated=value * count)
    assert len(digests) == count
    assert [each.hex for each in digests] == [value.hex()] * count
    assert TensorDigests.parse_text(digests.to_text(), where="x") == digests
    assert tensor_root(digests, blake3_digest).hex == blake3(value * count).hexdigest()


GOOD = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("é", "not base64 in bom (expected RFC 4648 section 4, got 'é')"),
        ("A", "not base64 in bom (expected RFC 4648 section 4, got 'A')"),
        (GOOD + "\n", f"not base64 in bom (expected RFC 4648 section 4, got {GOOD + chr(10)!r})"),
        (
            "AAAA",
            "not tensor digests in bom (expected base64 of a multiple of 32 bytes, got 'AAAA')",
        ),
        (
            GOOD[:-2] + "B=",
            f"not tensor digests in bom (expected base64 of a multiple of 32 bytes, "
            f"got {GOOD[:-2] + 'B='!r})",
        ),
    ],
)
def test_refuses_other_spellings_of_tensor_digests(text: str, message: str) -> None:
    with pytest.raises(MalformedError) as caught:
        TensorDigests.parse_text(text, where="bom")
    assert str(caught.value) == message


def test_refuses_more_tensor_digests_than_a_file_may_have_tensors() -> None:
    text = "A" * (65_536 * 32 * 4 // 3 + 8)
    with pytest.raises(MalformedError) as caught:
        TensorDigests.parse_text(text, where="bom")
    assert str(caught.value) == (
        f"too many tensor digests in bom (expected at most 2796206 characters, got {len(text)})"
    )


def test_refuses_tensor_digests_that_are_not_whole() -> None:
    with pytest.raises(MalformedError) as caught:
        TensorDigests(concatenated=bytes(33))
    assert str(caught.value) == (
        "tensor digests are not whole (expected a multiple of 32 bytes, got 33)"
    )
