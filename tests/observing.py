"""Looks at a running child from outside: who opens a file, what it maps, what it leaves behind."""

import ctypes
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_IN_OPEN = 0x20  # inotify(7)
_GIVE_UP_SECONDS = 60  # for what never comes; nothing waits this long
_libc = ctypes.CDLL(None, use_errno=True)


class Opens:
    """Counts every open(2) of one file, by anybody.

    The kernel merges an event into the one before it if the two are equal (inotify(7)). The folder
    is watched too, so that no two events in a row are equal and each open counts.
    """

    def __init__(self, path: Path) -> None:
        self._queue: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._name = os.fsencode(path.name)
        self._file = self._watch(path)
        self._folder = self._watch(path.parent)

    def _watch(self, path: Path) -> int:
        number: int = _libc.inotify_add_watch(self._queue, os.fsencode(path), _IN_OPEN)
        assert number >= 0, os.strerror(ctypes.get_errno())
        return number

    def count(self) -> int:
        """How often it was opened since the last call."""
        seen = [watch for watch, name in self._events() if name in (b"", self._name)]
        of_file, of_folder = seen.count(self._file), seen.count(self._folder)
        assert of_file == of_folder
        return of_file

    def _events(self) -> Iterator[tuple[int, bytes]]:
        try:
            data = os.read(self._queue, 1 << 20)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            watch, _, _, name_bytes = struct.unpack_from("iIII", data, at)
            at += 16 + name_bytes
            name = data[at - name_bytes : at].rstrip(b"\0")
            # An empty name on the folder's watch is the folder itself.
            if watch == self._file or name:
                yield watch, name

    def close(self) -> None:
        os.close(self._queue)


@contextmanager
def opens_of(path: Path) -> Iterator[Opens]:
    counter = Opens(path)
    try:
        yield counter
    finally:
        counter.close()


def mapped_files(process: int, at_least_bytes: int) -> set[tuple[int, str]]:
    """Inode and name of every file of which so much is mapped in one piece (proc(5))."""
    found = set()
    for line in Path(f"/proc/{process}/maps").read_text().splitlines():
        span, _, _, _, inode, *name = line.split(maxsplit=5)
        first, last = (int(end, 16) for end in span.split("-"))
        if last - first >= at_least_bytes and int(inode):
            found.add((int(inode), "".join(name)))
    return found


def wait_until(is_true: Callable[[], bool]) -> None:
    """Look again and again; fails where it never comes true."""
    give_up = time.monotonic() + _GIVE_UP_SECONDS
    while not is_true():
        assert time.monotonic() < give_up, "did not happen"
        time.sleep(0.001)
