"""A wasi:nn host with a scripted model instead of a language model; counts every handle."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from wasmtime import Config, Engine, Store
from wasmtime.component import Component, Linker, ResourceHost, ResourceType, Variant

VERSION: Final = "@0.2.0-rc-2024-10-28"
INFERENCE: Final = "infwasi:llm/inference@0.1.0"
TENSOR, ERROR, GRAPH, CONTEXT = 1, 2, 3, 4


@dataclass
class Script:
    """What the fake model does. A refusal is (code, sentence); `raw` replaces whole answers."""

    pieces: Sequence[str] = ("Hello", ", ", "wörld")
    finish: int = 0
    input_tokens: int = 7
    refusals: dict[str, tuple[str, str]] = field(default_factory=dict)
    raw: dict[str, list[tuple[str, str, list[int], bytes]]] = field(default_factory=dict)


@dataclass
class _Context:
    position: int = -1  # -1: no prompt yet


class Failed(Exception):  # noqa: N818  # it is what the guest answered, not an error of ours
    """The guest answered with a failure."""

    def __init__(self, case: str, sentence: str) -> None:
        super().__init__(f"{case}: {sentence}")
        self.case = case
        self.sentence = sentence


class FakeNN:
    """One store with one instance of ``app``; `asked` holds what each generation was given."""

    def __init__(self, app: bytes, script: Script | None = None, memory_bytes: int = 2**20) -> None:
        self.script = script or Script()
        self.asked: list[list[tuple[str, Any]]] = []
        self.loaded: list[str] = []
        self.live: dict[int, Any] = {}
        self.most_live = 0
        self._next = 0
        config = Config()
        config.cranelift_opt_level = "none"  # compiles large guests in less time
        engine = Engine(config)
        self.store = Store(engine)
        self.store.set_limits(memory_size=memory_bytes)
        linker = Linker(engine)
        with linker.root() as root:
            for name, (resource, functions) in self._interfaces().items():
                with root.add_instance(f"wasi:nn/{name}{VERSION}") as instance:
                    label, kind = resource
                    instance.add_resource(label, ResourceType.host(kind), self._dropped)
                    for function, implementation in functions.items():
                        instance.add_func(function, implementation)
        self._instance = linker.instantiate(self.store, Component(engine, app))
        self._index = self._instance.get_export_index(self.store, INFERENCE)

    # --- what a test calls ---

    def compute(self, prompt: str | None) -> tuple[str, tuple[str, int, int]]:
        completion = self._ask("compute", prompt)
        return completion.text, _summary(completion.summary)

    def start(self, prompt: str | None) -> "FakeGeneration":
        return FakeGeneration(self, self._ask("start", prompt))

    def _ask(self, name: str, *arguments: Any) -> Any:
        index = self._instance.get_export_index(self.store, name, self._index)
        assert index is not None
        function = self._instance.get_func(self.store, index)
        assert function is not None
        answer = function(self.store, *arguments)
        while isinstance(answer, Variant):
            if answer.tag not in ("ok", "err"):
                raise Failed(answer.tag, str(answer.payload))
            answer = answer.payload
        return answer

    # --- wasi:nn ---

    def _interfaces(
        self,
    ) -> dict[str, tuple[tuple[str, int], dict[str, Callable[..., Any]]]]:
        return {
            "tensor": (
                ("tensor", TENSOR),
                {
                    "[constructor]tensor": lambda _, *fields: self._own(fields, TENSOR),
                    "[method]tensor.data": lambda store, it: self._get(store, it)[2],
                },
            ),
            "errors": (
                ("error", ERROR),
                {
                    "[method]error.code": lambda store, it: self._get(store, it)[0],
                    "[method]error.data": lambda store, it: self._get(store, it)[1],
                },
            ),
            "inference": (
                ("graph-execution-context", CONTEXT),
                {"[method]graph-execution-context.compute": self._compute},
            ),
            "graph": (
                ("graph", GRAPH),
                {
                    "load-by-name": self._load,
                    "[method]graph.init-execution-context": self._init,
                },
            ),
        }

    def _own(self, value: Any, kind: int) -> ResourceHost:
        self._next += 1
        self.live[self._next] = value
        self.most_live = max(self.most_live, len(self.live))
        return ResourceHost.own(self._next, kind)

    def _get(self, store: Any, handle: Any) -> Any:
        return self.live[handle.to_host(store).rep]

    def _take(self, store: Any, handle: Any) -> Any:
        return self.live.pop(handle.to_host(store).rep)

    def _dropped(self, _: Any, rep: int) -> None:
        del self.live[rep]

    def _refuse(self, step: str) -> ResourceHost | None:
        refusal = self.script.refusals.get(step)
        return None if refusal is None else self._own(refusal, ERROR)

    def _load(self, _: Any, name: str) -> Variant:
        self.loaded.append(name)
        error = self._refuse("load")
        return Variant("err", error) if error else Variant("ok", self._own("graph", GRAPH))

    def _init(self, store: Any, graph: Any) -> Variant:
        assert self._get(store, graph) == "graph"
        error = self._refuse("init")
        return Variant("err", error) if error else Variant("ok", self._own(_Context(), CONTEXT))

    def _compute(self, store: Any, handle: Any, inputs: list[Any]) -> Any:
        context: _Context = self._get(store, handle)
        given = [(name, self._take(store, tensor)) for name, tensor in inputs]
        if context.position < 0:
            self._note(given)
            context.position = 0
            step, output = "prompt", ("usage", "I32", [1], _words(self.script.input_tokens))
        else:
            assert given == []
            step, output = self._step(context)
        error = self._refuse(step)
        if error:
            return error
        outputs = self.script.raw.get(step, [output])
        return [
            (name, self._own((shape, kind, data), TENSOR)) for name, kind, shape, data in outputs
        ]

    def _step(self, context: _Context) -> tuple[str, tuple[str, str, list[int], bytes]]:
        if context.position == len(self.script.pieces):
            counts = _words(self.script.finish, self.script.input_tokens, context.position)
            return "end", ("summary", "I32", [3], counts)
        data = self.script.pieces[context.position].encode()
        context.position += 1
        return f"piece {context.position}", ("output", "U8", [len(data)], data)

    def _note(self, given: list[tuple[str, Any]]) -> None:
        noted: list[tuple[str, Any]] = []
        for name, (dimensions, kind, data) in given:
            assert kind == "U8"
            assert list(dimensions) == [len(data)]
            text = data.decode()
            noted.append((name, json.loads(text) if name == "options" else text))
        self.asked.append(noted)


class FakeGeneration:
    """The guest's `generation`, pulled piece by piece."""

    def __init__(self, host: FakeNN, resource: Any) -> None:
        self._host = host
        self._resource = resource

    def next(self) -> str | None:
        piece = self._host._ask("[method]generation.next", self._resource)
        assert piece is None or isinstance(piece, str)
        return piece

    def __iter__(self) -> Iterator[str]:
        while (piece := self.next()) is not None:
            yield piece

    def summary(self) -> tuple[str, int, int]:
        return _summary(self._host._ask("[method]generation.summary", self._resource))

    def drop(self) -> None:
        self._resource.drop(self._host.store)


def _words(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)


def _summary(record: Any) -> tuple[str, int, int]:
    # Fields keep their WIT names, which are not Python's.
    usage = record.usage
    reason: str = getattr(record, "finish-reason")
    return reason, getattr(usage, "input-tokens"), getattr(usage, "output-tokens")
