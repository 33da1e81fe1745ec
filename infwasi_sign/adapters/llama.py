"""Inference on llama.cpp, by the low-level bindings of llama-cpp-python (``llama_bindings``).

The model is mapped from the very descriptor that was measured (``llama_model_load_from_file_ptr``):
no path is opened. Nothing here is called per graph node: the abort callback is libc's ``strlen`` on
the stop flag's buffer and the log goes to a C function that ignores it, so llama.cpp never waits
for the interpreter.
"""

import ctypes
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from infwasi_sign.adapters.background import Background
from infwasi_sign.adapters.chat_placeholders import Segment
from infwasi_sign.adapters.cores import usable_cores
from infwasi_sign.adapters.llama_batches import batches_can_abort
from infwasi_sign.adapters.llama_bindings import bindings, set_fields
from infwasi_sign.adapters.llama_context import LlamaContext
from infwasi_sign.adapters.llama_sampler import sampler
from infwasi_sign.adapters.llama_vocabulary import Vocabulary
from infwasi_sign.domain.chat import FinishReason, GenerationOptions, Message, Summary
from infwasi_sign.errors import GuestError, RefusalKind, RefusedError, UndecidedError
from infwasi_sign.ports import EntryFile, StopFlag

if TYPE_CHECKING:
    from infwasi_sign.adapters.libraries import Libraries

__all__ = ["LlamaBackend", "LlamaModel", "LlamaStream", "bindings"]

_NO_TEMPLATE: Final = "the model has no chat template"
_DECODE_FULL, _DECODE_ABORTED = 1, 2  # llama.h, llama_decode

# Native code keeps these for as long as the process lives.
_KEPT: list[object] = []


_Renderer: TypeAlias = "Callable[[str, Sequence[Message], str, str], tuple[Segment, ...]]"


class LlamaBackend:
    """The InferenceBackend on llama.cpp; ``log`` gets llama.cpp's own lines.

    With ``libraries`` the template engine waits for its turn, and is not imported before.
    ``can_abort``: whether a batch can be stopped half-way; found out unless it is said.
    """

    def __init__(
        self,
        stop: StopFlag,
        *,
        n_threads: int | None = None,
        can_abort: bool | None = None,
        log: Callable[[str], None] | None = None,
        libraries: "Libraries | None" = None,
    ) -> None:
        self._stop = stop
        self._libraries = libraries
        self._n_threads = usable_cores() if n_threads is None else n_threads
        self._llama = bindings()
        self._libc = ctypes.CDLL(None)
        self._libc.fdopen.argtypes = (ctypes.c_int, ctypes.c_char_p)
        self._libc.fdopen.restype = ctypes.c_void_p
        self._libc.fclose.argtypes = (ctypes.c_void_p,)
        self._send_log_to(log)
        self._llama.llama_backend_init()
        self.can_abort = batches_can_abort(self._llama) if can_abort is None else can_abort
        self._renderer = Background(self._import_renderer)
        self._expected: Background[None] | None = None
        self._prepared: tuple[EntryFile, int] | None = None

    def _import_renderer(self) -> _Renderer:
        if self._libraries is not None:
            self._libraries.turn()
        from infwasi_sign.adapters.chat_template import render, warm_up  # noqa: PLC0415 - 30 ms

        warm_up()
        return render

    def expect(self, template: str) -> None:
        """Compile a chat template in a thread, which has time while the model is mapped."""
        self._expected = Background(partial(self._compile_ahead, template))

    def _compile_ahead(self, template: str) -> None:
        self._renderer.get()
        from infwasi_sign.adapters.chat_template import compile_ahead  # noqa: PLC0415 - is there

        compile_ahead(template)

    def _send_log_to(self, log: Callable[[str], None] | None) -> None:
        llama = self._llama
        if log is None:
            # any C function without side effects will do: it gets three arguments and ignores them
            sink = ctypes.cast(llama._lib.llama_supports_mmap, llama.llama_log_callback)
        else:
            sink = llama.llama_log_callback(
                lambda _level, text, _data: log(text.decode("utf-8", "replace").rstrip("\n"))
            )
        _KEPT.append(sink)
        llama.llama_log_set(sink, None)

    def prepare(self, file: EntryFile) -> None:
        """Open the stream that `load` will read from; join what is imported in the background.

        Raises:
            UndecidedError: no descriptor is left for it.
        """
        if self._libraries is None:
            self._renderer.wait()
        else:
            self._libraries.require_read()
        if self._prepared is None or self._prepared[0] is not file:
            self.close()
            self._prepared = (file, self._stream(file))

    def close(self) -> None:
        """Close a stream that was prepared and not loaded from; a second call does nothing."""
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            self._libc.fclose(prepared[1])

    def _stream(self, file: EntryFile) -> int:
        """A ``FILE *`` on a duplicate of the descriptor that was measured."""
        try:
            duplicate = os.dup(file.fileno())
        except OSError as e:
            raise UndecidedError(f"no descriptor for the model: {e.strerror}") from e
        stream: int | None = self._libc.fdopen(duplicate, b"rb")
        if not stream:
            os.close(duplicate)
            raise UndecidedError("no stream for the model")
        return stream

    def load(self, file: EntryFile, context_tokens: int) -> "LlamaModel":
        """Map the model from ``file``'s descriptor; its context is made with the first prompt.

        Raises:
            UndecidedError: llama.cpp cannot load it, or it is not a model that chats.
        """
        self.prepare(file)
        llama = self._llama
        params = llama.llama_model_default_params()
        # Without "extra buffers" the weights stay where they are mapped, as the bytes that were
        # measured (docs/adr/0009): nothing is repacked into memory that nobody holds still.
        set_fields(
            params,
            n_gpu_layers=0,
            load_mode=llama.LLAMA_LOAD_MODE_MMAP,
            use_extra_bufts=False,
        )
        try:
            os.lseek(file.fileno(), 0, os.SEEK_SET)  # the offset is shared, and read from there
            stream = None if self._prepared is None else self._prepared[1]
            model = llama.llama_model_load_from_file_ptr(stream, params)
        finally:
            self.close()
        if not model:
            raise UndecidedError("llama.cpp cannot load the model", where=file.name)
        try:
            if llama.llama_model_has_encoder(model):
                raise UndecidedError("models with an encoder are not supported", where=file.name)
            context = LlamaContext(
                llama,
                model,
                granted_tokens=context_tokens,
                n_threads=self._n_threads,
                can_abort=self.can_abort,
                stop=self._stop,
            )
            return LlamaModel(
                llama,
                model,
                context,
                stop=self._stop,
                renderer=self._renderer,
                is_room_granted=context.room == context_tokens,
            )
        except BaseException:
            llama.llama_model_free(model)
            raise


class LlamaModel:
    """A model with one context: one generation at a time."""

    def __init__(
        self,
        llama: Any,
        model: int,
        context: LlamaContext,
        *,
        stop: StopFlag,
        renderer: Background[_Renderer],
        is_room_granted: bool,
    ) -> None:
        self._llama = llama
        self._model: int | None = model
        self._context = context
        self._stop = stop
        self._stream: LlamaStream | None = None
        self._vocabulary = Vocabulary(llama, model)
        self._renderer = renderer
        self._is_room_granted = is_room_granted

    def start(self, messages: Sequence[Message], options: GenerationOptions) -> "LlamaStream":
        """Render the chat template, evaluate the prompt (see ports.LoadedModel)."""
        if self._model is None:
            raise UndecidedError("the model is closed")
        if self._stream is not None and not self._stream.is_closed:
            raise UndecidedError("another generation of this model is running")
        tokens = self._prompt(messages)
        room = self._context.room
        if len(tokens) >= room:
            whose = "" if self._is_room_granted else f" (context-tokens {room}, the model's)"
            raise RefusedError(
                RefusalKind.LIMIT,
                "prompt does not fit the context",
                where="context-tokens" if self._is_room_granted else None,
                expected=f"at most {room - 1} tokens{whose}",
                got=f"{len(tokens)} tokens",
            )
        self._stream = LlamaStream(
            self._llama,
            self._context.empty(len(tokens) + options.max_tokens),
            self._vocabulary,
            stop=self._stop,
            prompt=tokens,
            options=options,
            room=room,
            batch_tokens=self._context.batch_tokens,
        )
        return self._stream

    def _prompt(self, messages: Sequence[Message]) -> list[int]:
        template = self._llama.llama_model_chat_template(self._model, None)
        if not template:
            raise UndecidedError(_NO_TEMPLATE)
        try:
            source = template.decode("utf-8")
        except UnicodeDecodeError as e:
            raise UndecidedError("the model's chat template is not UTF-8") from e
        vocabulary = self._vocabulary
        render = self._renderer.get()
        segments = render(source, messages, vocabulary.bos_text, vocabulary.eos_text)
        tokens = vocabulary.prompt(segments)
        if not tokens:
            raise UndecidedError("the model's chat template gives an empty prompt")
        return tokens

    def close(self) -> None:
        """Free the context and the model; a second call does nothing."""
        if self._model is None:
            return
        if self._stream is not None:
            self._stream.close()
        self._context.close()
        self._llama.llama_model_free(self._model)
        self._model = None


class LlamaStream:
    """One generation: a sampler, and the context it reads."""

    def __init__(
        self,
        llama: Any,
        context: int,
        vocabulary: Vocabulary,
        *,
        stop: StopFlag,
        prompt: list[int],
        options: GenerationOptions,
        room: int,
        batch_tokens: int,
    ) -> None:
        self._llama = llama
        self._context = context
        self._vocabulary = vocabulary
        self._stop = stop
        self._left = options.max_tokens
        self._room = room - len(prompt)
        self._batch_tokens = batch_tokens
        self._made = 0
        self._input_tokens = len(prompt)
        self._reason: FinishReason | None = None
        self._is_fresh = True  # the last decode's logits have not been sampled
        self._last = (llama.llama_token * 1)()
        self._batch = llama.llama_batch_get_one(self._last, 1)
        self.is_closed = False
        self._sampler = sampler(llama, options, vocabulary.size, prompt)
        try:
            self._evaluate(prompt)
        except BaseException:
            self.close()
            raise

    def _evaluate(self, prompt: list[int]) -> None:
        llama = self._llama
        for start in range(0, len(prompt), self._batch_tokens):
            if self._stop.reason() is not None:
                self._reason = FinishReason.CANCELLED
                return
            part = prompt[start : start + self._batch_tokens]
            tokens = (llama.llama_token * len(part))(*part)
            if not self._decode(llama.llama_batch_get_one(tokens, len(part))):
                return

    def _decode(self, batch: object) -> bool:
        result = self._llama.llama_decode(self._context, batch)
        if result == 0:
            return True
        if self._stop.reason() is not None:
            self._reason = FinishReason.CANCELLED
        elif result == _DECODE_FULL:
            self._reason = FinishReason.CONTEXT_FULL
        else:
            word = "aborted" if result == _DECODE_ABORTED else "failed"
            raise GuestError(f"llama.cpp {word} while decoding", got=str(result))
        return False

    def next_piece(self) -> bytes | None:
        """Sample a token and give its bytes: none for a control token, ``None`` at the end."""
        if self._reason is not None or self.is_closed:
            return None
        if self._left == 0:
            self._reason = FinishReason.LENGTH
            return None
        if not self._is_fresh:
            if self._room == 0:
                self._reason = FinishReason.CONTEXT_FULL
                return None
            self._room -= 1
            if not self._decode(self._batch):
                return None
        self._is_fresh = False
        token: int = self._llama.llama_sampler_sample(self._sampler, self._context, -1)
        if self._vocabulary.is_end(token):
            self._reason = FinishReason.STOP
            return None
        self._last[0] = token
        self._left -= 1
        self._made += 1
        return self._vocabulary.piece(token)

    def summary(self) -> Summary:
        """The state so far; a generation that has not ended would be cancelled now."""
        return Summary(
            finish_reason=self._reason or FinishReason.CANCELLED,
            input_tokens=self._input_tokens,
            output_tokens=self._made,
        )

    def close(self) -> None:
        """Free the sampler; the context stays with the model. A second call does nothing."""
        if not self.is_closed:
            self.is_closed = True
            self._llama.llama_sampler_free(self._sampler)
