"""The peer: one answer by the high-level API of llama-cpp-python, checked by nobody.

`python benchmarks/bare_llama.py MODEL CONTEXT THREADS SYSTEM PROMPT`
"""

import sys
from typing import Any

from llama_cpp import Llama, llama_cpp

_default_params = llama_cpp.llama_model_default_params


def _params_without_repacking() -> Any:
    """The same weights for both sides: the high-level API has no parameter for it (ADR 9)."""
    params = _default_params()
    params.use_extra_bufts = False
    return params


def main() -> None:
    llama_cpp.llama_model_default_params = _params_without_repacking
    model, context, threads, system, prompt = sys.argv[1:]
    llama = Llama(
        model,
        n_ctx=int(context),
        n_threads=int(threads),
        n_threads_batch=int(threads),
        verbose=False,
    )
    messages: list[Any] = [
        {"role": "system", "content": system},
        {"role": "user", "content": prompt},
    ]
    chunks: Any = llama.create_chat_completion(
        messages, stream=True, temperature=0.0, repeat_penalty=1.0, max_tokens=16
    )
    for chunk in chunks:
        sys.stdout.write(chunk["choices"][0]["delta"].get("content", ""))
        sys.stdout.flush()
    print()


if __name__ == "__main__":
    main()
