"""Our host under the suite, and the worked example of a command for it.

`python -m tests.wasi_nn.our_host FILE REQUESTS SECONDS` prints one JSON object (README.md).
"""

import gc
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from infwasi_sign.adapters import nn_generation, nn_interface
from infwasi_sign.adapters.wasm_host import OFFERED, WasmtimeHost
from infwasi_sign.domain.chat import FinishReason, GenerationOptions, Message, Summary
from infwasi_sign.domain.settings import GuestLimits
from infwasi_sign.errors import GuestError, MalformedError, RefusalKind, RefusedError
from infwasi_sign.ports import GuestGrants
from tests.fakes import FakeStopFlag
from tests.wasi_nn.cases import ANSWERED, REFUSED, STOPPED
from tests.wasi_nn.hosts import Outcome

_MODULES: Final = (nn_interface.__name__, nn_generation.__name__)
_STATM: Final = Path("/proc/self/statm")  # proc(5): size and resident, in pages


class _Model:
    """Answers every prompt with four words; knows how many of its streams are open."""

    def __init__(self) -> None:
        self.open_streams = 0

    def start(self, _messages: Sequence[Message], options: GenerationOptions) -> "_Stream":
        self.open_streams += 1
        return _Stream(self, min(4, options.max_tokens))

    def close(self) -> None: ...


class _Stream:
    def __init__(self, model: _Model, words: int) -> None:
        self._model = model
        self._words = words
        self._made = 0
        self._is_closed = False

    def next_piece(self) -> bytes | None:
        if self._made == self._words:
            return None
        self._made += 1
        return b"word "

    def summary(self) -> Summary:
        return Summary(finish_reason=FinishReason.STOP, input_tokens=3, output_tokens=self._made)

    def close(self) -> None:
        self._model.open_streams -= not self._is_closed
        self._is_closed = True


class OurHost:
    """One WasmtimeHost with a fake model, in this process."""

    def run(self, component: bytes, *, requests: int, seconds: int) -> Outcome:
        """Each request is granted what README.md asks for."""
        model = _Model()
        limits = GuestLimits(
            memory_bytes=4 * 2**20,
            prompt_bytes=100_000,
            output_bytes=10_000,
            wall_clock_seconds=seconds,
        )
        grants = GuestGrants(
            imports=OFFERED, models={"model": model}, limits=limits, max_tokens=1_000_000, seed=1
        )
        host = WasmtimeHost()
        before = _held_by_guests()
        ends, warm_bytes = set(), None
        for number in range(requests):
            if number == requests // 5 and number:
                warm_bytes = _resident_bytes()
            ends.add(_end(host, component, grants))
        now_bytes = _resident_bytes()
        return Outcome(
            end=ends.pop() if len(ends) == 1 else f"varied: {', '.join(sorted(ends))}",
            live=_held_by_guests() - before + model.open_streams,
            growth_bytes=(
                None if now_bytes is None or warm_bytes is None else now_bytes - warm_bytes
            ),
        )


def _end(host: WasmtimeHost, component: bytes, grants: GuestGrants) -> str:
    pieces: list[str] = []
    try:
        host.run(component, grants, None, FakeStopFlag(), pieces.append)
    except MalformedError:
        return REFUSED
    except RefusedError as e:
        return STOPPED if e.kind is RefusalKind.LIMIT else REFUSED
    except GuestError as e:
        return STOPPED if str(e).startswith("the guest trapped") else str(e)
    return f"{ANSWERED} {''.join(pieces)}"


def _held_by_guests() -> int:
    """Objects behind wasi:nn that exist, whatever the host itself believes to have freed."""
    gc.collect()
    return sum(
        type(thing).__module__ in _MODULES and not isinstance(thing, type)
        for thing in gc.get_objects()
    )


def _resident_bytes() -> int | None:
    gc.collect()
    if not _STATM.exists():
        return None
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """The command."""
    file, requests, seconds = sys.argv[1:]
    outcome = OurHost().run(Path(file).read_bytes(), requests=int(requests), seconds=int(seconds))
    sys.stdout.write(json.dumps(asdict(outcome)) + "\n")


if __name__ == "__main__":
    main()
