"""Tokens per second through the component against llama-cpp-python alone.

One process holds both; each answers the same long question greedily, and the time between the
first and the last of 128 tokens counts.
"""

import contextlib
import time
from collections.abc import Callable
from typing import Any

from benchmarks.scene import CONTEXT_TOKENS, MODEL
from benchmarks.timing import Figure, in_turns
from infwasi_sign.adapters.composer import WasmToolsComposer
from infwasi_sign.adapters.cores import usable_cores
from infwasi_sign.adapters.llama import LlamaBackend
from infwasi_sign.adapters.package_directory import open_outside
from infwasi_sign.adapters.wasm_host import WasmtimeHost
from infwasi_sign.domain.component import describe
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.settings import GuestLimits, Settings
from infwasi_sign.ports import GuestGrants, LoadedModel
from tests.fakes import FakeStopFlag

TOKENS = 128
SYSTEM = "You tell long stories."
PROMPT = "Tell a long story about a lighthouse keeper, his dog and the sea."
GUEST_LIMITS = GuestLimits(
    memory_bytes=16 * 2**20, prompt_bytes=2**18, output_bytes=2**20, wall_clock_seconds=600
)


class _Pieces:
    """When the first and the last piece came."""

    def __init__(self) -> None:
        self.first = self.last = 0.0

    def hear(self, _: str) -> None:
        self.last = time.perf_counter()
        self.first = self.first or self.last

    def rate(self, tokens: int) -> float:
        if tokens != TOKENS:
            raise RuntimeError(f"the answer ended after {tokens} of {TOKENS} tokens")
        return (TOKENS - 1) / (self.last - self.first)


def _component() -> bytes:
    settings = Settings(
        model="model",
        system_prompt=SYSTEM,
        default_prompt=None,
        context_tokens=CONTEXT_TOKENS,
        max_tokens=TOKENS,
        temperature=0.0,
        top_k=0,
        top_p=1.0,
        min_p=0.0,
        repeat_penalty=1.0,
        seed=None,
        stop=(),
        limits=GUEST_LIMITS,
    )
    return WasmToolsComposer().compose(settings, None).app


def _ours(component: bytes, model: LoadedModel, stop: FakeStopFlag) -> Callable[[], float]:
    host = WasmtimeHost()
    grants = GuestGrants(
        imports=frozenset(describe(component).imports),
        models={"model": model},
        limits=GUEST_LIMITS,
        max_tokens=TOKENS,
        seed=7,
    )

    def answer() -> float:
        pieces = _Pieces()
        summary = host.run(component, grants, PROMPT, stop, pieces.hear)
        return pieces.rate(summary.output_tokens)

    return answer


def _bare(llama: Any) -> Callable[[], float]:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": PROMPT}]

    def answer() -> float:
        pieces = _Pieces()
        tokens = 0
        for chunk in llama.create_chat_completion(
            messages, stream=True, temperature=0.0, repeat_penalty=1.0, max_tokens=TOKENS
        ):
            choice = chunk["choices"][0]
            if "content" in choice["delta"]:
                tokens += 1
                pieces.hear(choice["delta"]["content"])
        return pieces.rate(tokens)

    return answer


def measure(runs: int) -> list[Figure]:
    threads = usable_cores()
    stop = FakeStopFlag()
    component = _component()
    with contextlib.closing(open_outside(MODEL, most_bytes=LIMITS.model_bytes)) as file:
        model = LlamaBackend(stop, n_threads=threads).load(file, CONTEXT_TOKENS)
    from benchmarks.peer import (  # noqa: PLC0415 - after our bindings, which load it another way
        bare_llama,
    )

    llama = bare_llama(str(MODEL), CONTEXT_TOKENS, threads)
    try:
        return in_turns(
            f"tokens per second, {TOKENS} tokens",
            _ours(component, model, stop),
            {"bare llama-cpp-python": _bare(llama)},
            runs=runs,
            unit="tok/s",
            goal=0.97,
            more_is_better=True,
        )
    finally:
        llama.close()
        model.close()
