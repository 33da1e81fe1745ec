"""How many tokens llama.cpp is given at once, so that a run can be stopped in the middle."""

from typing import Any, Final

_BATCH_TOKENS: Final = 512  # llama.cpp's default n_ubatch
# Of a prompt at once, where nothing stops llama.cpp within a batch: we look between two.
_BLIND_BATCH_TOKENS: Final = 128
_LEAST_TOKENS: Final = 32  # below it the weights are read so often that a prompt gets slower
_EASY_WIDTH: Final = 1024  # of a model that a core multiplies with 256 tokens in 0.1 s


def batch_tokens(can_abort: bool) -> int:
    """The most tokens of a prompt in one call."""
    return _BATCH_TOKENS if can_abort else _BLIND_BATCH_TOKENS


def batches_can_abort(llama: Any) -> bool:
    """Whether the callback is there, and heard: llama.h says of it, "only with CPU execution".

    A device that is not the CPU takes parts of a prompt even of a model that is not loaded there.
    """
    return hasattr(llama, "llama_set_abort_callback") and not llama.llama_supports_gpu_offload()


def micro_batch_tokens(width: int, n_threads: int) -> int:
    """How many tokens of a prompt are computed at once, so that a stop is heard in time.

    llama.cpp looks at the flag between two nodes of its graph. The largest multiplies the tokens
    with a matrix whose size grows with the square of the model's width.
    """
    tokens = _BATCH_TOKENS * n_threads * _EASY_WIDTH**2 // (2 * width**2)
    return max(_LEAST_TOKENS, min(_BATCH_TOKENS, tokens))
