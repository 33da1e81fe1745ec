"""Runs one component for one request on wasmtime: the permitted imports, the limits, no more.

Together with ``nn_interface``, ``wasm_code`` and ``wasm_types`` the only door to wasmtime.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from wasmtime import Engine, Store, WasmtimeError
from wasmtime.component import Func, Instance, Linker, ResourceAny, Variant

from infwasi_sign.adapters.guest_calls import with_known_type
from infwasi_sign.adapters.guest_values import our_values
from infwasi_sign.adapters.nn_generation import Ledger, limit_error, prompt_limit_error
from infwasi_sign.adapters.nn_interface import FUNCTIONS, NnSession
from infwasi_sign.adapters.wasm_code import Compiled, compile_component, last_line
from infwasi_sign.adapters.wasm_limits import cannot_start
from infwasi_sign.adapters.wasm_types import Interfaces, Members
from infwasi_sign.domain.chat import FinishReason, Summary
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.text import escape_controls
from infwasi_sign.errors import GuestError, RefusalKind, RefusedError
from infwasi_sign.ports import GuestGrants, StopFlag

if TYPE_CHECKING:
    from infwasi_sign.adapters.compiled_cache import CodeCache

TYPES: Final = "infwasi:llm/types@0.1.0"  # types only: nothing to define
EXPORT: Final = "infwasi:llm/inference@0.1.0"
OFFERED: Final = frozenset((*FUNCTIONS, TYPES))

_TICK_SECONDS: Final = 0.01


_FAILURE: Final = (
    "variant{invalid-argument(string) not-found(string) too-large(string) timeout(string)"
    " security(string) unsupported(string) runtime(string)}"
)
_SUMMARY: Final = (
    "record{finish-reason: enum{stop length context-full cancelled},"
    " usage: record{input-tokens: u32, output-tokens: u32}}"
)
_EXPORTED: Final[Mapping[str, str]] = {
    "[method]generation.next": f"(borrow) -> result<option<string>, {_FAILURE}>",
    "[method]generation.summary": f"(borrow) -> {_SUMMARY}",
    "compute": (
        f"(option<string>) -> result<record{{text: string, summary: {_SUMMARY}}}, {_FAILURE}>"
    ),
    "start": f"(option<string>) -> result<own, {_FAILURE}>",
}


class WasmtimeHost:
    """The GuestHost on wasmtime. Keeps the last compiled component for the next request.

    ``cache`` keeps code for the next process. Give one only where all components are verified.
    """

    def __init__(self, cache: "CodeCache | None" = None) -> None:
        self._cache = cache
        self._lock = threading.Lock()
        self._kept: Compiled | None = None

    def prepare(self, component: bytes) -> None:
        """Compile ahead of `run`; wasmtime releases the interpreter lock meanwhile.

        Raises:
            RefusedError: the bytes are not a component, or too many.
        """
        compiled = self._compiled(component)
        with self._lock:
            self._kept = compiled

    def run(
        self,
        component: bytes,
        grants: GuestGrants,
        prompt: str | None,
        stop: StopFlag,
        on_piece: Callable[[str], None],
    ) -> Summary:
        """Stream the answer through ``on_piece`` (see ports.GuestHost).

        1. the prompt is within the granted bytes
        2. the bytes compile as a component
        3. it imports nothing but what is granted and offered, with the right types
        4. it exports the inference interface with the right types
        5. it runs in a fresh store within its limits
        """
        # 1.
        got_bytes = 0 if prompt is None else len(prompt.encode("utf-8", "surrogatepass"))
        if got_bytes > grants.limits.prompt_bytes:
            raise prompt_limit_error(got_bytes, grants.limits.prompt_bytes)
        # 2.
        compiled = self._compiled(component)
        # 3. and 4.
        _check_imports(compiled.interfaces, grants.imports)
        _check_exports(compiled.interfaces)
        # 5.
        deadline = time.monotonic() + grants.limits.wall_clock_seconds
        ledger = Ledger(grants=grants, stop=stop, deadline=deadline)
        try:
            with _ticking(compiled.engine, ledger), our_values(ledger):
                return _Request(compiled, ledger, on_piece).answer(prompt)
        finally:
            with self._lock:
                self._kept = compiled

    def _compiled(self, wasm: bytes) -> Compiled:
        """The kept one if it is of the same bytes (an engine serves one request at a time)."""
        with self._lock:
            kept, self._kept = self._kept, None
        if kept is not None and kept.wasm == wasm:
            return kept
        return compile_component(wasm, self._cache)


@contextmanager
def _ticking(engine: Engine, ledger: Ledger) -> Iterator[None]:
    """Interrupt the guest, wherever it is, soon after the stop flag or the deadline."""
    done = threading.Event()

    def tick() -> None:
        while not done.wait(_TICK_SECONDS):
            if ledger.stop.reason() is not None or time.monotonic() >= ledger.deadline:
                engine.increment_epoch()

    thread = threading.Thread(target=tick, name="epoch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class _Request:
    """One store, one instance, one answer."""

    def __init__(self, compiled: Compiled, ledger: Ledger, on_piece: Callable[[str], None]) -> None:
        self._compiled = compiled
        self._ledger = ledger
        self._on_piece = on_piece
        self._session = NnSession(ledger)
        self._output_bytes = 0

    def answer(self, prompt: str | None) -> Summary:
        """Pull the answer piece by piece; everything is freed on every path."""
        limits = self._ledger.grants.limits
        with Store(self._compiled.engine) as store:
            store.set_limits(
                memory_size=limits.memory_bytes,
                memories=LIMITS.wasm_memories,
                instances=LIMITS.wasm_instances,
                tables=LIMITS.wasm_tables,
                table_elements=LIMITS.wasm_table_elements,
            )
            store.set_epoch_deadline(1)  # `_ticking` moves the epoch when it is time, not before
            try:
                instance = self._instantiate(store)
                return self._pull(store, instance, prompt)
            except WasmtimeError as e:
                return self._trapped(e)
            finally:
                self._session.close()

    def _instantiate(self, store: Store) -> Instance:
        with Linker(self._compiled.engine) as linker:
            self._session.link(linker)
            try:
                instance: Instance = linker.instantiate(store, self._compiled.component)
            except WasmtimeError as e:
                text = str(e)
                if "wasm trap" in text or "backtrace" in text:
                    raise
                allowed = self._ledger.grants.limits.memory_bytes
                raise cannot_start(last_line(e), allowed) from e
            return instance

    def _pull(self, store: Store, instance: Instance, prompt: str | None) -> Summary:
        interface = instance.get_export_index(store, EXPORT)

        def function(name: str) -> Func:
            index = instance.get_export_index(store, name, interface)
            found = None if index is None else instance.get_func(store, index)
            if found is None:
                raise RefusedError(RefusalKind.DISAGREE, f"component does not export {name}")
            return with_known_type(found, store)

        generation = function("start")(store, prompt)
        if not isinstance(generation, ResourceAny):
            raise self._failed(generation)
        next_piece = function("[method]generation.next")
        while True:
            piece = next_piece(store, generation)
            if piece is None:
                break
            if not isinstance(piece, str):
                raise self._failed(piece)
            self._emit(piece)
        summary = function("[method]generation.summary")(store, generation)
        reason = FinishReason(getattr(summary, "finish-reason"))
        generation.drop(store)
        return self._ledger.total(reason)

    def _emit(self, piece: str) -> None:
        self._output_bytes += len(piece) if piece.isascii() else len(piece.encode())
        allowed = self._ledger.grants.limits.output_bytes
        if self._output_bytes > allowed:
            at_most = f"at most {allowed} bytes"
            raise limit_error("answer is too long", "limits.output-bytes", at_most)
        self._ledger.check_deadline()
        if piece:
            self._on_piece(piece)

    def _failed(self, failure: Variant) -> Exception:
        """What a guest's failure means: the host's own limit, or the guest's word."""
        if self._ledger.cause is not None:
            return self._ledger.cause
        sentence = escape_controls(str(failure.payload)[:500], keep_layout=False)
        return GuestError(f"the guest failed with {failure.tag}: {sentence}")

    def _trapped(self, trap: WasmtimeError) -> Summary:
        """What a trap means: an exception of ours, a stop, the deadline, a limit, or the guest."""
        ledger = self._ledger
        self._session.close()  # settles what running generations used
        if self._session.stashed is not None:
            raise self._session.stashed from None
        if ledger.stop.reason() is not None:
            return ledger.total(FinishReason.CANCELLED)
        ledger.check_deadline()
        if ledger.cause is not None:
            raise ledger.cause from None
        allowed = ledger.grants.limits.memory_bytes
        raise GuestError(
            f"the guest trapped: {last_line(trap)}",
            # a component that is refused more memory by `memory.grow` tells nobody but itself
            hint=f"if its memory ran out: it may have {allowed} bytes (limits.memory-bytes)",
        ) from trap


# --- types -----------------------------------------------------------------------------------


def _check_imports(found: Interfaces, granted: frozenset[str]) -> None:
    for allowed, kind, who in (
        (granted, RefusalKind.DISAGREE, "the package does not declare"),
        (OFFERED, RefusalKind.POLICY, "this host never offers"),
    ):
        surplus = sorted(found.imports.keys() - allowed)
        if surplus:
            names = ", ".join(escape_controls(name[:80], keep_layout=False) for name in surplus[:8])
            raise RefusedError(kind, f"component imports what {who}: {names}")
    for name, members in found.imports.items():
        _check_functions(name, members, FUNCTIONS.get(name, {}), "imports")


def _check_exports(found: Interfaces) -> None:
    if EXPORT not in found.exports:
        raise RefusedError(RefusalKind.DISAGREE, f"component does not export {EXPORT}")
    members = found.exports[EXPORT]
    _check_functions(EXPORT, members, _EXPORTED, "exports")
    missing = sorted(_EXPORTED.keys() - (members or {}).keys())
    if missing:
        raise RefusedError(
            RefusalKind.DISAGREE, f"component exports {EXPORT} without {', '.join(missing)}"
        )


def _check_functions(
    name: str, members: Members | None, expected: Mapping[str, str], verb: str
) -> None:
    """Each function of the interface has the type it must have; no function is unknown."""
    if members is None:
        raise RefusedError(RefusalKind.DISAGREE, f"component {verb} {name}, not as an interface")
    for member, got in members.items():
        if got is not None and expected.get(member) != got:
            raise RefusedError(
                RefusalKind.DISAGREE,
                f"component {verb} a function of another type",
                where=f"{name} {escape_controls(member[:80], keep_layout=False)}",
                expected=expected.get(member, "no such function"),
                got=got[:400],
            )
