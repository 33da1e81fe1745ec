"""The other peer: the same low-level calls as infwasi makes, with nothing checked and no guest.

`python benchmarks/bare_calls.py MODEL CONTEXT THREADS SYSTEM PROMPT`
"""

import os
import sys
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from infwasi_sign.adapters.llama import LlamaBackend
from infwasi_sign.domain.chat import GenerationOptions, Message, Role

if TYPE_CHECKING:
    from infwasi_sign.ports import EntryFile


class _NeverStopped:
    """A stop flag that nobody sets."""

    def __init__(self) -> None:
        import ctypes  # noqa: PLC0415 - llama.py has imported it by now

        self._flag = ctypes.create_string_buffer(2)
        self._address = ctypes.addressof(self._flag)

    def reason(self) -> None:
        return None

    def raise_if_stopped(self) -> None:
        pass

    def address(self) -> int:
        return self._address


@dataclass(frozen=True, slots=True)
class _Unguarded:
    name: str
    descriptor: int

    def fileno(self) -> int:
        return self.descriptor


def main() -> None:
    model, context, threads, system, prompt = sys.argv[1:]
    descriptor = os.open(model, os.O_RDONLY | os.O_CLOEXEC)
    file = cast("EntryFile", _Unguarded(model, descriptor))  # nothing else is asked of it
    backend = LlamaBackend(_NeverStopped(), n_threads=int(threads))
    messages = [
        Message(role=Role.SYSTEM, content=system),
        Message(role=Role.USER, content=prompt),
    ]
    options = GenerationOptions(
        max_tokens=16,
        temperature=0.0,
        top_k=0,
        top_p=1.0,
        min_p=0.0,
        repeat_penalty=1.0,
        seed=7,
        stop=(),
    )
    with closing(backend.load(file, int(context))) as loaded:
        stream = loaded.start(messages, options)
        while (piece := stream.next_piece()) is not None:
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
    print()


if __name__ == "__main__":
    main()
