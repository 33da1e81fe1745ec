"""Runs `infwasi` in this process and says where its time went: `python -m benchmarks.spans ...`.

The product is not instrumented: a hook on imports sees each module when it is complete, and puts a
clock around its public functions. Every moment belongs to the innermost span that is open, so that
the spans add up to the whole. ``INFWASI_SPANS`` is `START FILE`: the monotonic clock, in
nanoseconds, when the parent started this process, and where the spans go. Only the main thread is
watched; what others do while it waits is in the span that waits.
"""

import sys
import time

_BEGUN, _BEGUN_CPU = time.monotonic_ns(), time.process_time_ns()  # before anything is imported

import builtins  # noqa: E402 - the clock first
import importlib  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import threading  # noqa: E402
from collections.abc import Callable, Mapping  # noqa: E402
from typing import Any, Final, NoReturn  # noqa: E402

from benchmarks.span_names import EXIT, LIBRARIES, OURS, REST, STANDARD, START, WATCHED  # noqa: E402

_MAIN: Final = threading.get_ident()


class _Spans:
    """Nanoseconds by span, as the clock and the processors count them; see the module.

    The open spans are a stack, and only the innermost one runs.
    """

    def __init__(self, start: int) -> None:
        self.wall: dict[str, int] = {START: _BEGUN - start}
        self.cpu: dict[str, int] = {START: _BEGUN_CPU}
        self._open = [REST]
        self._wall, self._cpu = _BEGUN, _BEGUN_CPU

    def enter(self, name: str) -> None:
        self._count()
        self._open.append(name)

    def leave(self) -> None:
        self._count()
        self._open.pop()

    def _count(self) -> None:
        wall, cpu = time.monotonic_ns(), time.process_time_ns()
        name = self._open[-1]
        self.wall[name] = self.wall.get(name, 0) + wall - self._wall
        self.cpu[name] = self.cpu.get(name, 0) + cpu - self._cpu
        self._wall, self._cpu = wall, cpu


def _timed(
    spans: _Spans, name: str, function: Callable[..., Any], look: Callable[[], None]
) -> Callable[..., Any]:
    def timed(*arguments: Any, **named: Any) -> Any:
        if threading.get_ident() != _MAIN:
            return function(*arguments, **named)
        spans.enter(name)
        try:
            return function(*arguments, **named)
        finally:
            look()
            spans.leave()

    return timed


def _watch(spans: _Spans) -> None:
    """From now on imports are counted, and watched functions get their clock."""
    waiting = list(WATCHED)
    load = builtins.__import__

    def look() -> None:
        """Other threads import, too; what they have completed is seen at the end of a span."""
        for watched in [one for one in waiting if _is_complete(one[0])]:
            waiting.remove(watched)
            _put_clock(spans, *watched, look)

    def timed_import(name: str, *rest: Any, **named: Any) -> Any:
        if threading.get_ident() != _MAIN or name in sys.modules:
            return load(name, *rest, **named)
        spans.enter(_group(name, *rest, **named))
        try:
            return load(name, *rest, **named)
        finally:
            look()
            spans.leave()

    builtins.__import__ = timed_import


def _group(
    name: str,
    globals: Mapping[str, Any] | None = None,  # noqa: A002 - as `__import__` names them
    _locals: object = None,
    _members: object = (),
    level: int = 0,
    **_: object,
) -> str:
    """By the library that is imported, or that imports a part of itself by a relative name."""
    importer = (globals or {}).get("__name__", "")
    top = (importer if level else name).partition(".")[0]
    if top == "infwasi_sign":
        return OURS
    return f"import {top}" if top in LIBRARIES else STANDARD


def _is_complete(name: str) -> bool:
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    return spec is not None and not getattr(spec, "_initializing", False)


def _put_clock(spans: _Spans, module: str, path: str, span: str, look: Callable[[], None]) -> None:
    place: Any = sys.modules[module]
    *outer, last = path.split(".")
    for part in outer:
        place = getattr(place, part)
    setattr(place, last, _timed(spans, span, getattr(place, last), look))


def main() -> None:
    start, file = os.environ["INFWASI_SPANS"].split(" ", 1)
    out = os.open(file, os.O_WRONLY)  # now: the command may give up opening files
    spans = _Spans(int(start))
    leave_at_once = os._exit

    def write_down() -> None:
        spans.enter(EXIT)
        found = {"wall": spans.wall, "cpu": spans.cpu, "ended": time.monotonic_ns()}
        os.write(out, json.dumps(found).encode())

    def leave(status: int) -> NoReturn:
        write_down()
        leave_at_once(status)

    os._exit = leave
    _watch(spans)
    try:
        importlib.import_module("infwasi_sign.__main__").main()
    except SystemExit:
        write_down()
        raise


if __name__ == "__main__":
    main()
