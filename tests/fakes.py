"""Stand-ins for the seams: a backend that replays bytes, a stop flag without a watcher."""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from infwasi_sign.domain.chat import FinishReason, GenerationOptions, Message, Summary
from infwasi_sign.errors import RefusalKind, RefusedError
from infwasi_sign.ports import EntryFile, StopReason


class FakeStopFlag:
    """Set by the test itself."""

    def __init__(self) -> None:
        self._reason: StopReason | None = None
        self._buffer = ctypes.create_string_buffer(2)

    def set(self, reason: StopReason = StopReason.INTERRUPT) -> None:
        self._reason = reason
        self._buffer[0] = b"\x01"

    def reason(self) -> StopReason | None:
        return self._reason

    def raise_if_stopped(self) -> None:
        match self._reason:
            case None:
                return
            case StopReason.INTERRUPT:
                raise KeyboardInterrupt
            case StopReason.DEADLINE:
                raise RefusedError(RefusalKind.LIMIT, "the run took too long")
            case StopReason.LEASE:
                raise RefusedError(RefusalKind.LEVEL, "the model was opened for writing")
            case StopReason.MEMORY:
                raise RefusedError(RefusalKind.LIMIT, "the run took too much memory")

    def address(self) -> int:
        return ctypes.addressof(self._buffer)


@dataclass
class FakeStream:
    """Replays pieces, one token each, at most `max_tokens`."""

    pieces: Sequence[bytes]
    max_tokens: int
    on_next: Callable[[int], None] | None = None
    made: int = 0
    reason: FinishReason = FinishReason.STOP
    is_closed: bool = False

    def next_piece(self) -> bytes | None:
        if self.on_next is not None:
            self.on_next(self.made)
        if self.made == len(self.pieces):
            return None
        if self.made == self.max_tokens:
            self.reason = FinishReason.LENGTH
            return None
        self.made += 1
        return self.pieces[self.made - 1]

    def summary(self) -> Summary:
        return Summary(finish_reason=self.reason, input_tokens=5, output_tokens=self.made)

    def close(self) -> None:
        self.is_closed = True


@dataclass
class FakeModel:
    """Remembers what was asked; answers `pieces`, or echoes the last message without them."""

    pieces: Sequence[bytes] | None = None
    on_next: Callable[[int], None] | None = None
    error: Exception | None = None
    asked: list[tuple[tuple[Message, ...], GenerationOptions]] = field(default_factory=list)
    streams: list[FakeStream] = field(default_factory=list)
    is_closed: bool = False

    def start(self, messages: Sequence[Message], options: GenerationOptions) -> FakeStream:
        if self.error is not None:
            raise self.error
        self.asked.append((tuple(messages), options))
        words = messages[-1].content.encode().split(b" ")
        echo = [words[0], *(b" " + word for word in words[1:])]
        pieces = echo if self.pieces is None else self.pieces
        stream = FakeStream(pieces, options.max_tokens, self.on_next)
        self.streams.append(stream)
        return stream

    def close(self) -> None:
        self.is_closed = True


@dataclass
class FakeBackend:
    """Gives the same model whatever file it is asked to load."""

    model: FakeModel = field(default_factory=FakeModel)
    loaded: list[tuple[str, int]] = field(default_factory=list)

    def load(self, file: EntryFile, context_tokens: int) -> FakeModel:
        self.loaded.append((file.name, context_tokens))
        return self.model
