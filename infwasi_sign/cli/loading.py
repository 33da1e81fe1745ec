"""What a run needs beside the package, made ready while the model is measured and loaded."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from infwasi_sign.adapters.background import Background, BackgroundHost
from infwasi_sign.adapters.libraries import Libraries
from infwasi_sign.adapters.llama_bindings import settle_environment
from infwasi_sign.domain.limits import MIB

if TYPE_CHECKING:
    from infwasi_sign.adapters.compiled_cache import CompiledCache
    from infwasi_sign.adapters.llama import LlamaBackend
    from infwasi_sign.adapters.watcher import Watcher

# When so much is measured there is more to come, and the interpreter is free meanwhile.
_LONG_BYTES: Final = 256 * MIB


class Loading:
    """Host and backend of one run; nothing of it starts before `begin`.

    ``cache`` holds machine code; it is asked for the component of a verified package only.
    """

    def __init__(
        self,
        watcher: "Watcher",
        *,
        cache: "CompiledCache | None",
        threads: int | None,
        log: Callable[[str], None] | None,
    ) -> None:
        settle_environment()  # now: no thread is there but the watcher, which reads none of it
        self._watcher = watcher
        self._cache = cache
        self._threads = threads
        self._log = log
        self._measured_bytes = 0
        self._libraries: Libraries | None = None
        self._host: BackgroundHost | None = None
        self._backend: Background[LlamaBackend] | None = None

    def begin(self) -> None:
        """Start; a second call does nothing. Threads from now on are confined as this one is."""
        if self._libraries is None:
            self._libraries = Libraries()
            self._host = BackgroundHost(cache=self._cache, libraries=self._libraries)
            self._backend = Background(self._make_backend)

    def measured(self, size_bytes: int) -> None:
        """So many bytes of the model more were measured."""
        self._measured_bytes += size_bytes
        if self._measured_bytes >= _LONG_BYTES and self._libraries is not None:
            self._libraries.begin()

    def host(self) -> BackgroundHost:
        """The host, which may not be ready yet."""
        self.begin()
        assert self._host is not None  # noqa: S101 - `begin` has made it
        return self._host

    def backend(self) -> "LlamaBackend":
        """The backend, ready."""
        self.begin()
        assert self._backend is not None  # noqa: S101 - `begin` has made it
        return self._backend.get()

    def go_on(self) -> None:
        """No file is opened any more, and llama.cpp is at work: what was read is executed now."""
        if self._libraries is not None:
            self._libraries.begin()

    def close(self) -> None:
        """Let the threads end, needed or not."""
        if self._libraries is not None:
            self._libraries.abandon()
        if self._cache is not None:
            self._cache.folder.close()

    def _make_backend(self) -> "LlamaBackend":
        from infwasi_sign.adapters.llama import LlamaBackend

        return LlamaBackend(
            self._watcher, n_threads=self._threads, log=self._log, libraries=self._libraries
        )
