"""What is asked of a model and what comes back; the words of `infwasi:llm/types`."""

from enum import StrEnum

from infwasi_sign.quick_dataclass import dataclass


class Role(StrEnum):
    """Who speaks; the names that chat templates use."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One turn of a conversation. ``content`` is data: it never becomes a control token."""

    role: Role
    content: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationOptions:
    """How to sample; temperature 0 is greedy; ``top_k`` 0, ``top_p`` 1, ``min_p`` 0 are off."""

    max_tokens: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repeat_penalty: float
    seed: int
    stop: tuple[str, ...]


class FinishReason(StrEnum):
    """Why a generation ended."""

    STOP = "stop"  # end-of-generation token or a stop string
    LENGTH = "length"  # max-tokens
    CONTEXT_FULL = "context-full"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """How a generation ended and what it used, in tokens.

    ``load_seconds`` is what loading the model took; the run knows it, no host does.
    """

    finish_reason: FinishReason
    input_tokens: int
    output_tokens: int
    load_seconds: float | None = None
