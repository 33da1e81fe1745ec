"""wasi:nn as a guest sees it: four resources and the functions on them (docs/wasi-nn.md).

Part of the one door to wasmtime (the other part is ``wasm_host``).

Rules of wasmtime-py 50 that this module keeps, each held by a test:

- a handle parameter is read with ``to_host`` exactly once; a borrow that is not read traps;
- an own parameter is out of our table then, its destructor is not called;
- destructors are not run when a store closes: whatever is left in the table is closed by us;
- only ``WasmtimeError`` may leave a host function: anything else would travel through a module
  global (or, ``KeyboardInterrupt``, be printed and forgotten), so it is kept here and raised by
  ``wasm_host`` after the trap.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

from wasmtime import StoreContext, WasmtimeError
from wasmtime.component import Linker, ResourceAny, ResourceHost, ResourceType, Variant

from infwasi_sign.adapters.guest_calls import add_function
from infwasi_sign.adapters.nn_generation import (
    Generation,
    Inputs,
    Ledger,
    NnError,
    limit_error,
)
from infwasi_sign.domain.chat import FinishReason, Summary
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.ports import LoadedModel
from infwasi_sign.quick_dataclass import dataclass

VERSION: Final = "0.2.0-rc-2024-10-28"
TENSOR: Final = f"wasi:nn/tensor@{VERSION}"
GRAPH: Final = f"wasi:nn/graph@{VERSION}"
INFERENCE: Final = f"wasi:nn/inference@{VERSION}"
ERRORS: Final = f"wasi:nn/errors@{VERSION}"

_DIMENSIONS: Final = 8  # ggml has 4

_REASONS: Final = {reason: index for index, reason in enumerate(FinishReason)}

_ERROR_CODES: Final = (
    "invalid-argument invalid-encoding timeout runtime-error unsupported-operation too-large"
    " not-found security unknown"
)
_ENCODINGS: Final = "openvino onnx tensorflow pytorch tensorflowlite ggml autodetect"

# The types of all functions, in the notation of ``wasm_types.signature``. A host function defined
# from Python accepts whatever type the component states, so the host compares them itself.
FUNCTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    ERRORS: {
        "[method]error.code": f"(borrow) -> enum{{{_ERROR_CODES}}}",
        "[method]error.data": "(borrow) -> string",
    },
    TENSOR: {
        "[constructor]tensor": "(list<u32>, enum{FP16 FP32 FP64 BF16 U8 I32 I64}, list<u8>) -> own",
        "[method]tensor.dimensions": "(borrow) -> list<u32>",
        "[method]tensor.ty": "(borrow) -> enum{FP16 FP32 FP64 BF16 U8 I32 I64}",
        "[method]tensor.data": "(borrow) -> list<u8>",
    },
    GRAPH: {
        "[method]graph.init-execution-context": "(borrow) -> result<own, own>",
        "load": f"(list<list<u8>>, enum{{{_ENCODINGS}}}, enum{{cpu gpu tpu}}) -> result<own, own>",
        "load-by-name": "(string) -> result<own, own>",
    },
    INFERENCE: {
        "[method]graph-execution-context.compute": (
            "(borrow, list<tuple<string, own>>) -> result<list<tuple<string, own>>, own>"
        ),
    },
}


@dataclass(kw_only=True, slots=True)
class _Tensor:
    dimensions: list[int]
    ty: str
    data: bytes


@dataclass(kw_only=True, slots=True)
class _Graph:
    model: LoadedModel


@dataclass(kw_only=True, slots=True)
class _Context:
    model: LoadedModel
    generation: Generation | None = None


_Resource: TypeAlias = _Tensor | _Graph | _Context | NnError
_R = TypeVar("_R", _Tensor, _Graph, _Context, NnError)

# Our type numbers for ResourceType.host; wasmtime keeps the kinds apart by them.
_KINDS: Final[Mapping[type[_Resource], int]] = {_Tensor: 1, _Graph: 2, _Context: 3, NnError: 4}


class NnSession:
    """The wasi:nn of one request: its handle table and what went wrong inside a host call."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._table: dict[int, _Resource] = {}
        self._last = 0
        self._held_bytes = 0
        self.stashed: BaseException | None = None

    # --- linking

    def link(self, linker: Linker) -> None:
        """Define the four interfaces; every function is guarded."""
        resources = {TENSOR: ("tensor", 1), GRAPH: ("graph", 2), ERRORS: ("error", 4)}
        resources[INFERENCE] = ("graph-execution-context", 3)
        # linker callbacks take what wasmtime-py converts from WIT values: no static type holds it
        functions: dict[str, Callable[..., Any]] = {
            "[method]error.code": lambda store, self_: self._peek(store, self_, NnError).code,
            "[method]error.data": lambda store, self_: self._peek(store, self_, NnError).sentence,
            "[constructor]tensor": self._new_tensor,
            "[method]tensor.dimensions": lambda store, self_: (
                self._peek(store, self_, _Tensor).dimensions
            ),
            "[method]tensor.ty": lambda store, self_: self._peek(store, self_, _Tensor).ty,
            "[method]tensor.data": lambda store, self_: self._peek(store, self_, _Tensor).data,
            "[method]graph.init-execution-context": self._init_context,
            "load": self._load,
            "load-by-name": self._load_by_name,
            "[method]graph-execution-context.compute": self._compute,
        }
        with linker.root() as root:
            for interface, (name, kind) in resources.items():
                with root.add_instance(interface) as instance:
                    instance.add_resource(name, ResourceType.host(kind), self._guard(self._drop))
                    for function in FUNCTIONS[interface]:
                        add_function(instance, function, self._guard(functions[function]))

    def _guard(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(store: StoreContext, *args: Any) -> Any:
            try:
                return function(store, *args)
            except WasmtimeError:
                raise
            except BaseException as e:  # kept, and raised again by wasm_host
                self.stashed = e
                raise WasmtimeError("host call failed") from None

        return guarded

    def close(self) -> None:
        """End every generation that the guest left behind and forget all handles."""
        left, self._table = self._table, {}
        for resource in left.values():
            if isinstance(resource, _Context) and resource.generation is not None:
                resource.generation.close()

    @property
    def live_handles(self) -> int:
        """How many resources the guest holds now."""
        return len(self._table)

    # --- the handle table

    def _own(self, resource: _Resource) -> ResourceHost:
        if len(self._table) >= LIMITS.handles:
            raise limit_error(
                "guest holds too many handles", "handles", f"at most {LIMITS.handles}"
            )
        if isinstance(resource, _Tensor):
            self._held_bytes += len(resource.data)
            if self._held_bytes > LIMITS.tensor_bytes:
                at_most = f"at most {LIMITS.tensor_bytes} bytes"
                raise limit_error("guest holds too much in tensors", "tensor-bytes", at_most)
        self._last += 1
        self._table[self._last] = resource
        return ResourceHost.own(self._last, _KINDS[type(resource)])

    def _peek(self, store: StoreContext, handle: ResourceAny, kind: type[_R]) -> _R:
        resource = self._table.get(handle.to_host(store).rep)
        if not isinstance(resource, kind):
            raise WasmtimeError(f"not a live {kind.__name__.strip('_').lower()} handle")
        return resource

    def _take(self, store: StoreContext, handle: ResourceAny) -> _Tensor:
        rep = handle.to_host(store).rep
        resource = self._table.get(rep)
        if not isinstance(resource, _Tensor):
            raise WasmtimeError("not a live tensor handle")
        self._forget(rep)
        return resource

    def _forget(self, rep: int) -> _Resource | None:
        resource = self._table.pop(rep, None)
        if isinstance(resource, _Tensor):
            self._held_bytes -= len(resource.data)
        return resource

    def _drop(self, _store: StoreContext, rep: int) -> None:
        resource = self._forget(rep)
        if isinstance(resource, _Context) and resource.generation is not None:
            resource.generation.close()

    # --- functions

    def _new_tensor(
        self, _store: StoreContext, dimensions: list[int], ty: str, data: bytes
    ) -> ResourceHost:
        self._ledger.check_deadline()
        if len(dimensions) > _DIMENSIONS:
            raise WasmtimeError(f"tensor has more than {_DIMENSIONS} dimensions")
        return self._own(_Tensor(dimensions=dimensions, ty=ty, data=data))

    def _load(
        self, _store: StoreContext, builders: list[bytes], _encoding: str, _target: str
    ) -> Variant:
        looks_like_path = any(b"/" in b[:4096] or b"\\" in b[:4096] for b in builders)
        code = "security" if looks_like_path else "unsupported-operation"
        return Variant("err", self._own(NnError(code, "models are loaded by name only")))

    def _load_by_name(self, _store: StoreContext, name: str) -> Variant:
        self._ledger.check_deadline()
        model = self._ledger.grants.models.get(name)
        if model is None:
            return Variant("err", self._own(NnError("not-found", f"no model named {name[:80]!r}")))
        return Variant("ok", self._own(_Graph(model=model)))

    def _init_context(self, store: StoreContext, handle: ResourceAny) -> Variant:
        graph = self._peek(store, handle, _Graph)
        return Variant("ok", self._own(_Context(model=graph.model)))

    def _compute(
        self, store: StoreContext, handle: ResourceAny, inputs: list[tuple[str, ResourceAny]]
    ) -> list[tuple[str, ResourceHost]] | ResourceHost:
        context = self._peek(store, handle, _Context)
        try:
            if inputs or context.generation is None:
                named = [(name, self._take(store, tensor)) for name, tensor in inputs]
                return [self._start(context, named)]
            return [self._step(context.generation)]
        except NnError as e:
            return self._own(e)

    def _start(
        self, context: _Context, inputs: list[tuple[str, _Tensor]]
    ) -> tuple[str, ResourceHost]:
        if context.generation is not None:
            raise NnError("invalid-argument", "inputs are given to a running generation")
        generation = Generation(self._ledger, context.model, _texts(inputs))
        context.generation = generation
        return self._numbers("usage", generation.input_tokens)

    def _step(self, generation: Generation) -> tuple[str, ResourceHost]:
        text = generation.next_text()
        if text is None:
            ended = generation.summary or self._ledger.total(FinishReason.CANCELLED)
            return self._numbers("summary", *_summary_numbers(ended))
        data = text.encode()
        return ("output", self._own(_Tensor(dimensions=[len(data)], ty="U8", data=data)))

    def _numbers(self, name: str, *values: int) -> tuple[str, ResourceHost]:
        data = struct.pack(f"<{len(values)}i", *values)
        return (name, self._own(_Tensor(dimensions=[len(values)], ty="I32", data=data)))


def _texts(inputs: list[tuple[str, _Tensor]]) -> Inputs:
    for name, tensor in inputs:
        if tensor.ty != "U8" or tensor.dimensions != [len(tensor.data)]:
            raise NnError(
                "invalid-argument", f"input {name[:40]!r} is not U8 with its length as dimension"
            )
    return [(name, tensor.data) for name, tensor in inputs]


def _summary_numbers(summary: Summary) -> tuple[int, int, int]:
    return (_REASONS[summary.finish_reason], summary.input_tokens, summary.output_tokens)
