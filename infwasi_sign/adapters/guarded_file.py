"""One file, opened once: the descriptor that is checked, measured and then used.

How still a file is held is a ladder (`domain.load_level`); `guard` tries its rungs by their cost:
`fs_verity`, a read lease (`holding`), `foreign_owner`, a sealed copy in memory, `private_copy`.
"""

import errno
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from typing import Final, assert_never

from infwasi_sign.adapters import measuring
from infwasi_sign.adapters.atomic import storage_error
from infwasi_sign.adapters.file_kind import (
    FileIdentity,
    not_regular,
    require_regular,
    require_size,
)
from infwasi_sign.adapters.foreign_owner import obstacle_to_foreign_owner
from infwasi_sign.adapters.fs_verity import kernel_digest, obstacle_to_fs_verity
from infwasi_sign.adapters.holding import (
    NoMemoryError,
    drop_lease,
    holds_read_lease,
    sealed_copy,
    take_read_lease,
)
from infwasi_sign.adapters.measuring_ahead import MeasuringAhead
from infwasi_sign.adapters.passing_lease import passing_windows
from infwasi_sign.adapters.private_copy import private_copy
from infwasi_sign.domain.digest import Algorithm, Digest, Update
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.domain.manifest import FsVerity
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError, UndecidedError
from infwasi_sign.ports import Progress

_OPEN_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def _is_any_enough(_: LoadLevel) -> bool:
    return True


def _is_any_possible(_: LoadLevel, __: str) -> None:
    pass


class LocalFile:
    """A regular file, opened once; made by `LocalFile.open`. Implements `ports.GuardedFile`.

    ``identity`` is what fstat said when the file was opened.
    """

    def __init__(self, name: str, descriptor: int, identity: FileIdentity) -> None:
        self.identity = identity
        self._name = name
        self._descriptor = descriptor
        self._level = LoadLevel.NONE
        self._reason = "the file is not guarded"
        self._is_measured = False
        self._is_closed = False
        self._pass: Generator[memoryview] | None = None
        self._is_held_ahead = False
        self._ahead: MeasuringAhead | None = None

    @staticmethod
    def open(
        name: str,
        *,
        directory: int,
        most_bytes: int,
        least_bytes: int = 0,
        shown: str | None = None,
    ) -> "LocalFile":
        """Open ``name`` relative to the descriptor ``directory``; never waits, follows no link.

        ``shown`` is the name that errors and `name` use, where it differs.

        Raises:
            RefusedError: kinds `missing`, `malformed` (not a regular file, too short), `limit`.
            UndecidedError: the system does not let us read it.
        """
        shown = name if shown is None else shown
        try:
            # Opening a device can act on it (rewind a tape), so look before; fstat below decides.
            require_regular(os.stat(name, dir_fd=directory, follow_symlinks=False), shown)
            descriptor = os.open(name, _OPEN_FLAGS, dir_fd=directory)
        except FileNotFoundError as e:
            raise RefusedError(RefusalKind.MISSING, "file is missing", where=shown) from e
        except OSError as e:
            if e.errno in {errno.ELOOP, errno.ENXIO}:
                raise not_regular(shown, "something that replaced it just now") from e
            if e.errno == errno.EWOULDBLOCK:
                raise UndecidedError(
                    "cannot open the file: another process holds it for writing", where=shown
                ) from e
            raise storage_error(e, shown, "open the file") from e
        try:
            require_regular(os.fstat(descriptor), shown)
            identity = FileIdentity.of(descriptor)
            require_size(identity.size_bytes, least_bytes, most_bytes, shown)
        except BaseException:
            os.close(descriptor)
            raise
        return LocalFile(shown, descriptor, identity)

    @property
    def name(self) -> str:
        """The name in the package."""
        return self._name

    @property
    def size_bytes(self) -> int:
        """The size when the file was opened; everything else must agree with it."""
        return self.identity.size_bytes

    @property
    def level(self) -> LoadLevel:
        """How still the bytes are held now; `NONE` before `guard`."""
        return self._level

    @property
    def level_reason(self) -> str:
        """Why not a better level, the best one first; empty when it is the best."""
        return self._reason

    def fileno(self) -> int:
        """The descriptor that is measured and used; only `guard` may replace it."""
        return self._descriptor

    def hold_ahead(self) -> bool:
        """Take a read lease before it is known what is demanded; whether there is one.

        None is taken where fs-verity is on: whether that is the better level `guard` can tell.
        No demand asks for another than these two where there is a lease.
        """
        if self._level is LoadLevel.NONE and isinstance(kernel_digest(self._descriptor), str):
            self._is_held_ahead = take_read_lease(self._descriptor) is None
            if self._is_held_ahead:
                self._level, self._reason = LoadLevel.READ_LEASE, "nothing better was tried"
        return self._is_held_ahead

    def measure_ahead(self, algorithms: frozenset[Algorithm]) -> None:
        """Begin the pass of `measure`, in a thread, over a file that is held ahead."""
        if not self._is_held_ahead or self._ahead is not None:
            raise RuntimeError("measure_ahead() of a file that is not held ahead, or again")
        self._ahead = MeasuringAhead(self._windows(), algorithms)

    def guard(
        self,
        is_enough: Callable[[LoadLevel], bool] = _is_any_enough,
        stated: FsVerity | None = None,
        require_possible: Callable[[LoadLevel, str], None] = _is_any_possible,
    ) -> LoadLevel:
        """Hold the bytes until `close`, by the first rung of the ladder that is enough.

        ``is_enough`` says whether a level meets what is demanded; a copy is made where it is not.
        ``stated`` is the signed fs-verity digest. ``require_possible`` hears the best level that
        can be reached, and why none better, before anything is copied; it may refuse.

        Raises:
            RefusedError: kind `digest`; fs-verity holds the file to other bytes than the signed.
                Kind `level`; the file changed since it was opened.
            UndecidedError: there is no room for a copy.
        """
        if self._is_measured:
            raise RuntimeError("guard() after measure(): the measured bytes were not held")
        if self._level is not LoadLevel.NONE and not self._is_held_ahead:
            return self._level
        no_verity = obstacle_to_fs_verity(self._descriptor, stated, self._name)
        if no_verity is None:
            self._hold(LoadLevel.FS_VERITY, "", require_possible)
            self._require_unchanged()
            return self._level
        # One that was taken ahead is not taken again: were it broken since, that would hide it.
        no_lease = None if self._is_held_ahead else take_read_lease(self._descriptor)
        if no_lease is None:
            self._hold(LoadLevel.READ_LEASE, no_verity, require_possible)
            self._require_held()
            self._require_unchanged()
            return self._level
        obstacles = f"{no_verity}; {no_lease}"
        if is_enough(LoadLevel.FOREIGN_OWNER) and not obstacle_to_foreign_owner(self._descriptor):
            reason = f"{obstacles}; no copy is made of what only root can change"
            self._hold(LoadLevel.FOREIGN_OWNER, reason, require_possible)
            self._require_held()
            return self._level
        require_possible(LoadLevel.SEALED_MEMFD, obstacles)
        self._copy(obstacles, is_enough(LoadLevel.PRIVATE_COPY))
        return self._level

    def _hold(
        self, level: LoadLevel, reason: str, require_possible: Callable[[LoadLevel, str], None]
    ) -> None:
        self._level, self._reason = level, reason
        require_possible(level, reason)

    def _copy(self, obstacles: str, is_private_enough: bool) -> None:
        level, reason = LoadLevel.SEALED_MEMFD, obstacles
        try:
            copy = sealed_copy(self._windows(), self.size_bytes, self._name)
        except NoMemoryError as no_memory:
            if not is_private_enough:
                raise
            copy = private_copy(self._windows, self.size_bytes, self._name, no_memory)
            level, reason = LoadLevel.PRIVATE_COPY, f"{obstacles}; no memory for a sealed copy"
        os.close(self._descriptor)
        self._descriptor = copy
        self._level, self._reason = level, reason

    def still_held(self) -> bool:
        """Whether nobody has asked to write since `guard`; false at once when a lease breaks.

        Of a foreign owner's file: whether nobody has changed it, its owner or its mode since it was
        opened, which ctime tells, and nobody but root can set that.
        """
        match self._level:
            case LoadLevel.READ_LEASE | LoadLevel.PRIVATE_COPY:
                return holds_read_lease(self._descriptor)
            case LoadLevel.SEALED_MEMFD | LoadLevel.FS_VERITY:
                return True
            case LoadLevel.FOREIGN_OWNER:
                return FileIdentity.of(self._descriptor) == self.identity
            case LoadLevel.NONE:
                return False
            case _:
                assert_never(self._level)

    def read(self, limit_bytes: int) -> bytes:
        """The whole content, exactly `size_bytes` of it.

        Raises:
            RefusedError: kind `limit` when it is longer than ``limit_bytes``; kind `level` when
                the file changed since it was opened.
        """
        require_size(self.size_bytes, 0, limit_bytes, self._name)
        content = self.read_at(0, self.size_bytes)
        try:
            more = os.pread(self._descriptor, 1, self.size_bytes)
        except OSError as e:
            raise storage_error(e, self._name, "read the file") from e
        if more:
            raise self._changed("it became longer while it was read")
        return content

    def read_at(self, offset: int, size: int) -> bytes:
        """Exactly ``size`` bytes from ``offset``; they are what `measure` sees only if guarded.

        Raises:
            MalformedError: the file has no such bytes.
            RefusedError: kind `level`; the file changed since it was opened.
        """
        if not 0 <= offset <= offset + size <= self.size_bytes:
            raise MalformedError(
                "file ends too soon",
                where=self._name,
                expected=f"at least {offset + size} bytes",
                got=str(self.size_bytes),
            )
        self.require_same()
        parts: list[bytes] = []
        while (done := sum(map(len, parts))) < size:
            try:
                parts.append(os.pread(self._descriptor, size - done, offset + done))
            except OSError as e:
                raise storage_error(e, self._name, "read the file") from e
            if not parts[-1]:
                raise self._changed("it became shorter while it was read")
        return b"".join(parts)  # which are one, so that nothing is copied

    def measure(
        self,
        algorithms: frozenset[Algorithm],
        progress: Progress | None = None,
        also: Update | None = None,
    ) -> Mapping[Algorithm, Digest]:
        """Digests of the whole content, in one pass over the descriptor, which ``also`` sees.

        Raises:
            RefusedError: kinds `level` and `digest`; the file changed, or was opened for writing.
        """
        if self._ahead is not None and self._ahead.algorithms == algorithms and also is None:
            self._is_measured = True
            try:
                found = self._ahead.result(progress)
            finally:
                self._stop_ahead()
            self.require_same()
            return found
        self._stop_ahead()
        return measuring.measure(self.windows(), algorithms, progress, also)

    def windows(self) -> Iterator[memoryview]:
        """The stream of windows over the whole content (see `measuring`), mapped where it is held.

        Raises:
            RefusedError: as `measure`.
        """
        self._is_measured = True
        self._pass = self._windows()
        return self._pass

    def close(self) -> None:
        """Drop the lease, then close; a second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._stop_ahead()
        if self._pass is not None:
            with suppress(ValueError, BufferError):  # another thread is in it, or has its window
                self._pass.close()  # who left it in the middle may keep it, and its lease, alive
        if self._is_held_ahead or self._level in {LoadLevel.READ_LEASE, LoadLevel.PRIVATE_COPY}:
            drop_lease(self._descriptor)
        os.close(self._descriptor)

    def _stop_ahead(self) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.abandon()

    def _windows(self) -> Generator[memoryview]:
        self.require_same()
        if self._level is LoadLevel.NONE:
            unchanged = self._require_unchanged
            yield from passing_windows(self._descriptor, self.size_bytes, unchanged)
            self.require_same()
            return
        # Nobody asks us before they cut a foreign owner's file short: it is read, not mapped. With
        # fs-verity a bad page is an error to who reads it, and SIGBUS to who has it mapped.
        is_held = self._level is not LoadLevel.FOREIGN_OWNER
        is_mapped = is_held and self._level is not LoadLevel.FS_VERITY
        for window in measuring.file_windows(self._descriptor, self.size_bytes, held=is_mapped):
            # A writer waits `lease-break-time` (45 s) for us, so a look per window is soon enough
            # to be gone before the file can be cut short under the mapping (SIGBUS).
            if is_held:
                self._require_held()
            yield window
        self.require_same()

    def require_same(self) -> None:
        """Do nothing, unless the bytes may not be those of before.

        Raises:
            RefusedError: kind `level`; they are not held any more, or visibly changed.
        """
        if self._level is LoadLevel.NONE:
            self._require_unchanged()
        else:
            self._require_held()

    def _require_unchanged(self) -> None:
        if not FileIdentity.of(self._descriptor).has_bytes_of(self.identity):
            raise self._changed("its size or time is not what it was opened with")

    def _require_held(self) -> None:
        if self.still_held():
            return
        if self._level is LoadLevel.FOREIGN_OWNER:
            raise self._changed("its size, times, owner or mode are not what it was opened with")
        raise self._changed("it was opened for writing")

    def _changed(self, how: str) -> RefusedError:
        return RefusedError(
            RefusalKind.LEVEL, f"the file changed while in use: {how}", where=self._name
        )
