"""The windows over a file that nobody holds, as when a package is verified and not run."""

from collections.abc import Callable, Iterator

from infwasi_sign.adapters.holding import drop_lease, holds_read_lease, take_read_lease
from infwasi_sign.adapters.measuring import file_windows


def passing_windows(
    descriptor: int, size_bytes: int, require_unchanged: Callable[[], None]
) -> Iterator[memoryview]:
    """Mapped under a lease of this pass alone, where one is to be had, and otherwise read.

    Mapping saves the copy that reading makes. Nothing is held when the pass is over, so this is no
    level: a writer who comes meanwhile is let in, and what is left is read. Whether the bytes were
    the same all the while is the caller's to say; ``require_unchanged`` does, under the lease.

    Raises:
        RefusedError: kind `digest`, as `measuring.file_windows`; what ``require_unchanged`` raises.
    """
    done = 0
    if take_read_lease(descriptor) is None:
        try:
            require_unchanged()
            for window in file_windows(descriptor, size_bytes, held=True):
                # A writer waits `lease-break-time` (45 s) for us: a look per window is enough.
                if not holds_read_lease(descriptor):
                    break
                yield window
                done += len(window)
        finally:
            drop_lease(descriptor)
    if done < size_bytes:
        yield from file_windows(descriptor, size_bytes, held=False, start=done)
