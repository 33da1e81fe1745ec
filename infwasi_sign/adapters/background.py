"""Adapters whose libraries are imported in a thread of their own, while native code is at work.

Importing wasmtime and jinja2 takes as long as llama.cpp takes to map a small model. Only libraries
are imported ahead of time: the bytes of a package come with `prepare` and `run`, and those are
verified.
"""

from collections.abc import Callable
from threading import Thread
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from infwasi_sign.adapters.compiled_cache import CodeCache
    from infwasi_sign.adapters.libraries import Libraries
    from infwasi_sign.adapters.wasm_host import WasmtimeHost
    from infwasi_sign.domain.chat import Summary
    from infwasi_sign.ports import GuestGrants, StopFlag

T = TypeVar("T")


class Background(Generic[T]):
    """A value that a thread makes from now on.

    The interpreter waits for the thread before it ends: one that is cut off within a native
    library can take the process down.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._thread = Thread(target=self._work)
        self._made: list[T] = []
        self._failure: BaseException | None = None
        self._thread.start()

    def _work(self) -> None:
        try:
            self._made.append(self._make())
        except BaseException as error:  # `get` raises it where somebody can answer
            self._failure = error

    def wait(self) -> None:
        """Wait until it is made, or cannot be."""
        self._thread.join()

    def get(self) -> T:
        """Wait for the value; raises what making it raised."""
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self._made[0]


class BackgroundHost:
    """The GuestHost on wasmtime; makes itself ready while the caller does something else.

    With ``libraries`` it waits for its turn, and imports nothing that is not read. ``cache`` is for
    verified components only (see `compiled_cache`), and so are `prepare` and `run` then.
    """

    def __init__(
        self, *, cache: "CodeCache | None" = None, libraries: "Libraries | None" = None
    ) -> None:
        self._cache = None if cache is None else _Ahead(cache)
        self._libraries = libraries
        self._host = Background(self._import)
        self._prepared: Background[None] | None = None
        self._has_code = False

    def _import(self) -> "WasmtimeHost":
        if self._libraries is not None:
            self._libraries.turn()
        from infwasi_sign.adapters.wasm_host import WasmtimeHost  # noqa: PLC0415 - the point of it

        return WasmtimeHost(self._cache)

    def prepare(self, component: bytes) -> None:
        """Begin to compile, or take what was compiled before (see ports.GuestHost)."""
        self._has_code = self._cache is not None and self._cache.fetch(component)
        self._prepared = Background(lambda: self._host.get().prepare(component))

    def settle(self) -> None:
        """Wait for all that needs files: the libraries, and code that is to be kept.

        After that nothing is opened any more, and importing and compiling go on without.
        """
        if self._libraries is None:
            self._host.wait()
        else:
            self._libraries.require_read()
        if self._prepared is not None and self._cache is not None and not self._has_code:
            if self._libraries is not None:
                self._libraries.begin()
            self._prepared.wait()

    def run(
        self,
        component: bytes,
        grants: "GuestGrants",
        prompt: str | None,
        stop: "StopFlag",
        on_piece: Callable[[str], None],
    ) -> "Summary":
        """Stream the answer through ``on_piece`` (see ports.GuestHost)."""
        if self._prepared is not None:
            self._prepared.get()
        return self._host.get().run(component, grants, prompt, stop, on_piece)


class _Ahead:
    """A `CodeCache` that was asked before somebody needs the answer."""

    def __init__(self, cache: "CodeCache") -> None:
        self._cache = cache
        self._fetched: tuple[bytes, bytes | None] | None = None

    def fetch(self, component: bytes) -> bool:
        """Look the code up now; whether it is there."""
        code = self._cache.load(component)
        self._fetched = (component, code)
        return code is not None

    def load(self, component: bytes) -> bytes | None:
        """What was fetched for these bytes, once; else as the cache itself."""
        fetched, self._fetched = self._fetched, None
        if fetched is not None and fetched[0] == component:
            return fetched[1]
        return self._cache.load(component)

    def store(self, component: bytes, code: bytes) -> None:
        """As the cache itself."""
        self._cache.store(component, code)
