"""What a component's code costs to compile, as far as its sizes tell.

A compiler's work grows faster than its input in one place: within a function, with the values that
are alive where blocks meet. 200 KB of blocks that assign 49,000 locals take Cranelift 11 s and
3.9 GiB; real components are far from it. So each function is measured before any is compiled.
"""

from collections.abc import Iterator
from typing import Final

from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.wasm_binary import (
    CORE_VERSION,
    MAGIC,
    PREAMBLE_BYTES,
    Section,
    WasmReader,
)
from infwasi_sign.errors import RefusalKind, RefusedError

_CORE_MODULE, _COMPONENT = 1, 4  # component-model, Binary.md: "Component Definitions"
_TYPE, _CODE = 1, 10  # core specification, section 5.5.2
_FUNCTION_TYPE: Final = 0x60  # core specification, section 5.3.4
_MOST_VALUES: Final = 1000  # of parameters, or of results: what wasmparser permits


def require_compilable(component: bytes) -> None:
    """Refuse a component with a function that takes out of proportion to compile.

    Raises:
        MalformedError: it cannot be walked.
        RefusedError: kind `limit`; a function is too long, or too long for its many locals.
    """
    for number, (locals_, size_bytes) in enumerate(functions(component)):
        for value, most, name in (
            (size_bytes, LIMITS.function_bytes, "function-bytes"),
            (locals_ * size_bytes, LIMITS.function_local_bytes, "function-local-bytes"),
        ):
            if value > most:
                raise RefusedError(
                    RefusalKind.LIMIT,
                    f"component's function {number} takes too long to compile",
                    where=name,
                    expected=f"at most {most}",
                    got=str(value),
                )


def functions(component: bytes) -> Iterator[tuple[int, int]]:
    """Of each function in all core modules: how many locals it may have, and its bytes.

    Parameters are locals, and a block can have as many as any type of the module has.
    """
    pending = [(0, len(component), 0)]
    while pending:
        start, end, depth = pending.pop()
        reader = WasmReader(component, start, end)
        is_module = component[start : start + PREAMBLE_BYTES] == MAGIC + CORE_VERSION
        reader.skip(PREAMBLE_BYTES)
        parameters = 0
        for section in reader.sections():
            if is_module and section.id == _TYPE:
                parameters = _most_values(component, section)
            elif is_module and section.id == _CODE:
                for locals_, size_bytes in _bodies(component, section):
                    yield parameters + locals_, size_bytes
            elif not is_module and section.id in {_CORE_MODULE, _COMPONENT}:
                if depth == LIMITS.component_depth:
                    raise reader.error("nested too deep")
                pending.append((section.start, section.end, depth + 1))


def _most_values(component: bytes, section: Section) -> int:
    """The most parameters and results of a type; the most there can be, if one is not plain."""
    reader = WasmReader(component, section.start, section.end)
    most = 0
    for _ in range(reader.u32()):
        if reader.byte() != _FUNCTION_TYPE:
            return 2 * _MOST_VALUES
        values = 0
        for _ in range(2):
            count = reader.u32()
            values += count
            for _ in range(count):
                _skip_type(reader)
        most = max(most, values)
    return most


def _bodies(component: bytes, section: Section) -> Iterator[tuple[int, int]]:
    reader = WasmReader(component, section.start, section.end)
    for _ in range(reader.u32()):
        size_bytes = reader.u32()
        start = reader.skip(size_bytes)
        body = WasmReader(component, start, start + size_bytes)
        locals_ = 0
        for _ in range(body.u32()):
            locals_ += body.u32()
            _skip_type(body)
        yield locals_, size_bytes


def _skip_type(body: WasmReader) -> None:
    """A value type: one byte, or a reference with a heap type (core specification, 5.3.5)."""
    if body.byte() in {0x63, 0x64}:
        while body.byte() >= 0x80:
            pass
