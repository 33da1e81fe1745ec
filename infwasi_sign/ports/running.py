"""Seams of running: what stops a run, a model in memory, the host of a guest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from infwasi_sign.quick_dataclass import dataclass

if TYPE_CHECKING:
    from infwasi_sign.domain.chat import GenerationOptions, Message, Summary
    from infwasi_sign.domain.settings import GuestLimits
    from infwasi_sign.ports.packaging import EntryFile


class StopReason(StrEnum):
    """Who stopped a run."""

    INTERRUPT = "interrupt"
    DEADLINE = "deadline"
    LEASE = "lease"
    MEMORY = "memory"


class StopFlag(Protocol):
    """Set from a watcher thread, read by native code between two graph nodes."""

    def reason(self) -> StopReason | None:
        """Who stopped the run, if anybody did."""
        ...

    def raise_if_stopped(self) -> None:
        """Do nothing, or raise what the reason means: KeyboardInterrupt, or a RefusedError."""
        ...

    def address(self) -> int:
        """Address of a NUL-terminated buffer that is empty until somebody stops the run."""
        ...


class TokenStream(Protocol):
    """One generation in progress."""

    def next_piece(self) -> bytes | None:
        """The bytes of the next token (maybe a part of a character), or ``None`` at the end."""
        ...

    def summary(self) -> Summary:
        """How it ended, or the state so far."""
        ...

    def close(self) -> None:
        """Give everything back; a second call does nothing."""
        ...


class LoadedModel(Protocol):
    """A model in memory, mapped from the very descriptor that was measured."""

    def start(self, messages: Sequence[Message], options: GenerationOptions) -> TokenStream:
        """Evaluate the prompt. Template text may be control tokens; message text never.

        Raises:
            RefusedError: kind `limit`; the prompt does not fit the context.
            UndecidedError: the model has no chat template or tokenizer.
        """
        ...

    def close(self) -> None:
        """Give everything back; a second call does nothing."""
        ...


class InferenceBackend(Protocol):
    """llama.cpp, or a fake."""

    def load(self, file: EntryFile, context_tokens: int) -> LoadedModel:
        """Map the model from ``file``'s descriptor; no path is opened."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class GuestGrants:
    """All that a guest gets: imports and models by name, and limits."""

    imports: frozenset[str]
    models: Mapping[str, LoadedModel]
    limits: GuestLimits
    max_tokens: int  # of all generations of the request together
    seed: int  # for generations whose guest names none


class GuestHost(Protocol):
    """Runs one verified component for one request."""

    def prepare(self, component: bytes) -> None:
        """Begin what can be done before `run`, in the background; what goes wrong, `run` says."""
        ...

    def run(
        self,
        component: bytes,
        grants: GuestGrants,
        prompt: str | None,
        stop: StopFlag,
        on_piece: Callable[[str], None],
    ) -> Summary:
        """Stream the answer through ``on_piece``.

        Raises:
            RefusedError: imports or exports are not the permitted ones; a limit was reached.
            GuestError: the guest trapped or answered with a failure.
        """
        ...
