"""A language model that says always the same, for the trial of a component at packing."""

import ctypes
from collections.abc import Sequence
from typing import Final

from infwasi_sign.domain.chat import FinishReason, GenerationOptions, Message, Summary
from infwasi_sign.ports import StopReason

# One token as large as domain.needs takes them to be. It has a character beyond the basic plane,
# which makes a text as large as it can be in Python and JavaScript, no line end and no stop word.
TOKEN: Final = "the same words as ever \N{SLIGHTLY SMILING FACE}, so ".encode()


class _CannedStream:
    """As many tokens as were asked for."""

    def __init__(self, input_tokens: int, max_tokens: int) -> None:
        self._input_tokens = input_tokens
        self._left = max_tokens
        self._made = 0

    def next_piece(self) -> bytes | None:
        if self._left == 0:
            return None
        self._left -= 1
        self._made += 1
        return TOKEN

    def summary(self) -> Summary:
        return Summary(
            finish_reason=FinishReason.LENGTH,
            input_tokens=self._input_tokens,
            output_tokens=self._made,
        )

    def close(self) -> None:
        self._left = 0


class CannedModel:
    """The LoadedModel of a trial; counts a token for every four bytes of a prompt."""

    def start(self, messages: Sequence[Message], options: GenerationOptions) -> _CannedStream:
        """Every prompt fits."""
        size_bytes = sum(len(message.content.encode()) for message in messages)
        return _CannedStream(size_bytes // 4, options.max_tokens)

    def close(self) -> None:
        """Nothing is held."""


class NeverStopped:
    """The StopFlag of a trial that ends at its deadline, or never."""

    def __init__(self) -> None:
        self._flag = ctypes.create_string_buffer(1)

    def reason(self) -> StopReason | None:
        """Nobody."""
        return None

    def raise_if_stopped(self) -> None:
        """Nothing to raise."""

    def address(self) -> int:
        """Of one byte that stays zero."""
        return ctypes.addressof(self._flag)
