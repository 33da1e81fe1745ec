"""llama.cpp's context of a model: its cache and its buffers, made when a prompt is there.

Works on the bindings that ``llama`` hands it; imports nothing of llama.cpp itself.
"""

import ctypes
from typing import Any, Final

from infwasi_sign.adapters.llama_batches import batch_tokens, micro_batch_tokens
from infwasi_sign.adapters.llama_bindings import metadata, set_fields
from infwasi_sign.errors import UndecidedError
from infwasi_sign.ports import StopFlag

_STEP_TOKENS: Final = 256  # llama.cpp rounds every context up to a multiple of it
_ARCHITECTURE: Final = b"general.architecture"
_ORIGINAL_LENGTH: Final = b".rope.scaling.original_context_length"


class LlamaContext:
    """The one context of a model, as large as the largest generation so far needs.

    llama.cpp fills a new cache with zeros: 25 ms for the 2,048 tokens that a package is granted,
    where the prompt and the longest answer to it are a few hundred. ``granted_tokens`` is the most
    that there can be.
    """

    def __init__(
        self,
        llama: Any,
        model: int,
        *,
        granted_tokens: int,
        n_threads: int,
        can_abort: bool,
        stop: StopFlag,
    ) -> None:
        self._llama = llama
        self._model = model
        self._n_threads = n_threads
        self._can_abort = can_abort
        self._stop = stop
        # strlen(buffer) is 0 until the stop flag writes its first byte
        self._abort = ctypes.cast(ctypes.CDLL(None).strlen, llama.ggml_abort_callback)
        trained: int = llama.llama_model_n_ctx_train(model)
        most = -(-trained // _STEP_TOKENS) * _STEP_TOKENS
        self.room = min(granted_tokens, most) if trained > 0 else granted_tokens
        self.batch_tokens = batch_tokens(can_abort)
        # A context of whole steps can be longer than the model was trained for, a smaller one not.
        self._is_size_heard = bool(trained % _STEP_TOKENS) or _is_size_heard(llama, model)
        self.handle: int | None = None

    def empty(self, tokens: int) -> int:
        """The handle of a context without a token in it and with room for so many.

        Raises:
            UndecidedError: there is no memory for it.
        """
        llama = self._llama
        needed = self.room if self._is_size_heard else min(tokens, self.room)
        if self.handle is not None and llama.llama_n_ctx(self.handle) >= needed:
            llama.llama_memory_clear(llama.llama_get_memory(self.handle), True)
            return self.handle
        self.close()
        self.handle = self._made(needed)
        return self.handle

    def _made(self, tokens: int) -> int:
        llama = self._llama
        params = llama.llama_context_default_params()
        width = llama.llama_model_n_embd(self._model)
        set_fields(
            params,
            n_ctx=tokens,
            n_batch=self.batch_tokens,
            n_ubatch=min(self.batch_tokens, micro_batch_tokens(width, self._n_threads)),
            n_threads=self._n_threads,
            n_threads_batch=self._n_threads,
            flash_attn_type=llama.LLAMA_FLASH_ATTN_TYPE_DISABLED,
            no_perf=True,
        )
        context: int | None = llama.llama_init_from_model(self._model, params)
        if not context:
            raise UndecidedError("llama.cpp has no memory for the context")
        if self._can_abort:
            llama.llama_set_abort_callback(context, self._abort, self._stop.address())
        return context

    def close(self) -> None:
        """Free it; the next generation gets a new one."""
        handle, self.handle = self.handle, None
        if handle is not None:
            self._llama.llama_free(handle)


def _is_size_heard(llama: Any, model: int) -> bool:
    """Whether the model may compute otherwise in a larger context.

    LongRoPE has factors for short and for long texts, and llama.cpp chooses by the context's size,
    not by the text's (llama-model.cpp, get_rope_factors). Models that have them say this length.
    """
    architecture = metadata(llama, model, _ARCHITECTURE) or b""
    return metadata(llama, model, architecture + _ORIGINAL_LENGTH) is not None
