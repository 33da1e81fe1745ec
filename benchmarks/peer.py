"""llama-cpp-python's high-level API, computing with mapped weights as infwasi does (ADR 9)."""

from typing import Any

from llama_cpp import Llama, llama_cpp

_default_params = llama_cpp.llama_model_default_params


def _params_without_repacking() -> Any:
    params = _default_params()
    params.use_extra_bufts = False
    return params


def bare_llama(model: str, context_tokens: int, threads: int) -> Llama:
    """A model that nobody checked; the API has no parameter for its weights' place."""
    llama_cpp.llama_model_default_params = _params_without_repacking
    return Llama(
        model, n_ctx=context_tokens, n_threads=threads, n_threads_batch=threads, verbose=False
    )
