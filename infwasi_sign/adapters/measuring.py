"""Digests of files in one pass, and the one door of ``blake3``.

A file comes as a *stream of windows*: memoryviews of some MiB, in order, each good until the next
one is asked for. Each hash has a thread of its own (both libraries let go of the interpreter while
they work), so that a pass costs about as much as its slowest hash. What was measured of this is in
docs/performance.md.
"""

import hashlib
import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Final, Protocol, Self, assert_never

from blake3 import blake3

from infwasi_sign.adapters.atomic import hint_for_error
from infwasi_sign.domain.digest import Algorithm, Digest, Update
from infwasi_sign.domain.fs_verity import FsVerityHash
from infwasi_sign.domain.gguf_header import GgufHeader
from infwasi_sign.domain.limits import KIB, MIB
from infwasi_sign.domain.model_digests import ModelDigests, TensorDigests, tensor_root
from infwasi_sign.errors import RefusalKind, RefusedError, UndecidedError
from infwasi_sign.ports import Progress

WINDOW_BYTES: Final = 16 * MIB
"""What is mapped at a time; from 16 MiB on, BLAKE3 with two threads gets no faster."""

READ_BYTES: Final = 4 * MIB
"""What is read at a time, twice: more leaves the processor's cache before it is used."""

_THREADED_BYTES: Final = 128 * KIB  # blake3-py README: below it more threads only cost time


class FileSource:
    """A `gguf.ByteSource` over an open descriptor, which stays the caller's."""

    __slots__ = ("_fd", "size_bytes")

    def __init__(self, fd: int, size_bytes: int) -> None:
        self._fd = fd
        self.size_bytes = size_bytes

    def read_at(self, offset: int, size: int) -> bytes:
        """Exactly ``size`` bytes from ``offset``.

        Raises:
            RefusedError: kind `digest`; the file is shorter than ``size_bytes``.
            UndecidedError: the file cannot be read.
        """
        data = bytearray(size)
        _read_into(self._fd, offset, memoryview(data))
        return bytes(data)


def blake3_digest(data: bytes) -> Digest:
    """BLAKE3 of bytes in memory."""
    return Digest(algorithm=Algorithm.BLAKE3, hex=blake3(data).hexdigest())


def keyed_blake3(key: bytes, parts: Iterable[bytes]) -> bytes:
    """BLAKE3 with a key of 32 bytes over all ``parts``: a MAC (see local_key)."""
    made = blake3(key=key)
    for part in parts:
        made.update(part)
    return made.digest()


def file_windows(
    fd: int, size_bytes: int, *, held: bool, start: int = 0, memory_bytes: int | None = None
) -> Iterator[memoryview]:
    """The stream of windows over a file that is ``size_bytes`` long, from byte ``start`` on.

    With ``held`` the caller says that nobody can shorten the file meanwhile (a lease, a seal,
    fs-verity), and it is mapped. Otherwise it is read into two buffers that take turns: a page
    that goes away under a mapping ends the process with SIGBUS.

    A file that is larger than the machine's memory, or ``memory_bytes``, does not stay in the page
    cache whatever we do; its pages are given back behind us and not those of others.

    Raises:
        RefusedError: kind `digest`; the file is not, or no longer, so long.
        UndecidedError: the file cannot be read.
    """
    _require_size(fd, size_bytes)
    windows = (_mapped_windows if held else _read_windows)(fd, start, size_bytes)
    if size_bytes > (_memory_bytes() if memory_bytes is None else memory_bytes):
        windows = _given_back(windows, fd, start)
    yield from windows
    _require_size(fd, size_bytes)


def measure_bytes(data: bytes) -> Mapping[Algorithm, Digest]:
    """Both digests of bytes in memory, for what is read once and used from memory."""
    return {
        Algorithm.SHA256: Digest(algorithm=Algorithm.SHA256, hex=hashlib.sha256(data).hexdigest()),
        Algorithm.BLAKE3: Digest(algorithm=Algorithm.BLAKE3, hex=blake3(data).hexdigest()),
    }


def measure(
    windows: Iterable[memoryview],
    algorithms: frozenset[Algorithm],
    progress: Progress | None = None,
    also: Update | None = None,
) -> Mapping[Algorithm, Digest]:
    """Digests of everything in a stream of windows, computed side by side.

    ``also`` gets each window too, beside them. ``progress`` is called in the caller's thread with
    the bytes of each window. What the stream raises is passed on.
    """
    hashes = {algorithm: _new_hash(algorithm) for algorithm in sorted(algorithms)}
    further = [] if also is None else [also]
    _feed(windows, [*further, *(each.update for each in hashes.values())], progress)
    return {algorithm: _digest(algorithm, each) for algorithm, each in hashes.items()}


def measure_model(
    windows: Iterable[memoryview], header: GgufHeader, progress: Progress | None = None
) -> ModelDigests:
    """All digests of a model in one pass: of the whole file by both algorithms, and per tensor.

    And the digest that fs-verity gives the file, which takes about as long as its SHA-256.

    Also holds the pass to ``header``, which was read earlier: the same bytes, as many of them.

    Raises:
        RefusedError: kind `digest`; the file changed since its header was read.
    """
    sha256, whole = _new_hash(Algorithm.SHA256), _new_hash(Algorithm.BLAKE3)
    verity = FsVerityHash()
    tensors, check = _TensorHashes(header), _HeaderCheck(header)
    updates = [check.update, sha256.update, verity.update, tensors.update, whole.update]
    _feed(windows, updates, progress)
    check.require_end()
    digests = TensorDigests(concatenated=bytes(tensors.digests))
    return ModelDigests(
        sha256=_digest(Algorithm.SHA256, sha256),
        blake3=_digest(Algorithm.BLAKE3, whole),
        fs_verity=verity.stated(),
        tensors=digests,
        tensor_root=tensor_root(digests, blake3_digest),
    )


# --- hashing ---------------------------------------------------------------------------------


class _Hash(Protocol):
    def update(self, data: memoryview, /) -> object: ...

    def hexdigest(self) -> str: ...


def _new_hash(algorithm: Algorithm) -> _Hash:
    match algorithm:
        case Algorithm.SHA256:
            return hashlib.sha256()
        case Algorithm.BLAKE3:
            return blake3(max_threads=blake3.AUTO)
        case _:
            assert_never(algorithm)


def _digest(algorithm: Algorithm, finished: _Hash) -> Digest:
    return Digest(algorithm=algorithm, hex=finished.hexdigest())


class _TensorHashes:
    """BLAKE3 of each tensor, from a stream that passes over all of them in table order."""

    def __init__(self, header: GgufHeader) -> None:
        self._spans = [
            (header.data_offset + tensor.offset, tensor.size_bytes) for tensor in header.tensors
        ]
        self._position = 0
        self._hash: blake3 | None = None
        self._done = 0
        self.digests = bytearray()

    def update(self, window: memoryview) -> None:
        begin, end = self._position, self._position + len(window)
        self._position = end
        while self._done < len(self._spans):
            start, size = self._spans[self._done]
            if start >= end:
                return
            if self._hash is None:
                self._hash = blake3(max_threads=blake3.AUTO if size > _THREADED_BYTES else 1)
            self._hash.update(window[max(start - begin, 0) : start + size - begin])
            if start + size > end:
                return
            self.digests += self._hash.digest()
            self._hash = None
            self._done += 1


class _HeaderCheck:
    """Refuses a stream that does not begin with the header, or is not as long as its file."""

    def __init__(self, header: GgufHeader) -> None:
        self._header = header
        self._position = 0

    def update(self, window: memoryview) -> None:
        part = self._header.header_bytes[self._position : self._position + len(window)]
        self._position += len(window)
        if part and bytes(window[: len(part)]) != part:
            raise RefusedError(
                RefusalKind.DIGEST, "file changed after its header was read", where="the header"
            )

    def require_end(self) -> None:
        if self._position != self._header.file_bytes:
            raise RefusedError(
                RefusalKind.DIGEST,
                "file changed after its header was read",
                expected=f"{self._header.file_bytes} bytes",
                got=str(self._position),
            )


def _feed(
    windows: Iterable[memoryview], updates: Sequence[Update], progress: Progress | None
) -> None:
    """Give each window to all of ``updates`` at once; go on when all are done with it.

    The last runs in this thread, so that one hash alone starts no thread.
    """
    with ExitStack() as stack:
        lanes = [(stack.enter_context(_Lane()), update) for update in updates[:-1]]
        for window in windows:
            for lane, update in lanes:
                lane.start(partial(update, window))
            for update in updates[-1:]:
                update(window)
            for lane, _ in lanes:
                lane.wait()
            if progress is not None:
                progress(len(window))


class _Lane:
    """A thread that does one task at a time for its owner: `start`, then `wait`.

    Not `concurrent.futures`: importing that costs more than hashing a small model (it imports
    `logging`), and the runner's first token waits for both.
    """

    def __init__(self) -> None:
        self._tasks: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._results: SimpleQueue[BaseException | None] = SimpleQueue()
        self._thread = Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._tasks.put(None)
        self._thread.join()

    def start(self, task: Callable[[], object]) -> None:
        self._tasks.put(task)

    def wait(self) -> None:
        """Until the task is done; raises what it raised."""
        error = self._results.get()
        if error is not None:
            raise error

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            error = None
            try:
                task()
            except BaseException as e:  # carried over to the owner's thread, whatever it is
                error = e
            del task  # it holds a window, whose buffer the owner is about to use again
            self._results.put(error)


# --- reading ---------------------------------------------------------------------------------


def _memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _given_back(windows: Iterator[memoryview], fd: int, offset: int) -> Iterator[memoryview]:
    """The same windows; each one's pages leave the cache when it is done (posix_fadvise(2)).

    Pages that others have mapped stay, and so do those that are not written to disk yet.
    """
    done = 0
    for window in windows:  # the one before is unmapped by now, as it must be
        if done:
            os.posix_fadvise(fd, offset, done, os.POSIX_FADV_DONTNEED)
        offset, done = offset + done, len(window)
        yield window
    if done:  # a length of 0 would mean the whole file
        os.posix_fadvise(fd, offset, done, os.POSIX_FADV_DONTNEED)


def _mapped_windows(fd: int, start: int, size_bytes: int) -> Iterator[memoryview]:
    # Neither MADV_SEQUENTIAL nor POSIX_FADV_WILLNEED: both only cost processor time.
    for offset in range(start, size_bytes, WINDOW_BYTES):
        length = min(WINDOW_BYTES, size_bytes - offset)
        try:
            mapping = mmap.mmap(fd, length, prot=mmap.PROT_READ, offset=offset)
        except OSError:
            # Before Python 3.13 a mapping duplicates its descriptor, which a confined process
            # (RLIMIT_NOFILE 0) may not do, and some file systems map nothing.
            yield from _read_windows(fd, offset, size_bytes)
            return
        with mapping, memoryview(mapping) as window:
            yield window


def _read_windows(fd: int, start: int, size_bytes: int) -> Iterator[memoryview]:
    """Windows over the bytes [start, size_bytes); the next is read while one is being used."""
    length = min(READ_BYTES, size_bytes - start)
    buffers = [memoryview(bytearray(length)), memoryview(b"")]
    if start + length < size_bytes:
        buffers[1] = memoryview(bytearray(length))
    with _Lane() as reader:
        for offset in range(start, size_bytes, READ_BYTES):
            window = buffers[0][: size_bytes - offset]
            if offset == start:
                _read_into(fd, offset, window)
            else:
                reader.wait()
            following = offset + READ_BYTES
            if following < size_bytes:
                reader.start(
                    partial(_read_into, fd, following, buffers[1][: size_bytes - following])
                )
            yield window
            buffers.reverse()


def _read_into(fd: int, offset: int, view: memoryview) -> None:
    """Fill ``view`` from ``offset``; a read may give less than was asked for (preadv(2))."""
    done = 0
    while done < len(view):
        try:
            count = os.preadv(fd, [view[done:]], offset + done)
        except OSError as e:
            raise UndecidedError(
                "cannot read the file",
                where=f"byte {offset + done}",
                got=os.strerror(e.errno or 0),
                hint=hint_for_error(e),
            ) from e
        if count == 0:
            raise RefusedError(
                RefusalKind.DIGEST,
                "file became shorter while it was read",
                expected=f"at least {offset + len(view)} bytes",
                got=str(offset + done),
            )
        done += count


def _require_size(fd: int, size_bytes: int) -> None:
    found = os.fstat(fd).st_size
    if found != size_bytes:
        raise RefusedError(
            RefusalKind.DIGEST,
            "file is not as long as it was",
            expected=f"{size_bytes} bytes",
            got=str(found),
        )
