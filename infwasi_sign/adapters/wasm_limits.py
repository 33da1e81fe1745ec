"""What wasmtime means when it does not start a component: which limit, or a misfit."""

import re
from typing import Final

from infwasi_sign.adapters.nn_generation import limit_error
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import RefusalKind, RefusedError

# What wasmtime 50 says when a store's limit forbids what a component begins with.
_MEMORY_TOO_SMALL: Final = re.compile(r"memory minimum size of (\d+) pages exceeds memory limits")
_TABLE_TOO_SMALL: Final = re.compile(r"table minimum size of (\d+) elements exceeds table limits")
_TOO_MANY: Final = re.compile(
    r"resource limit exceeded: (memory|table|instance) count too high at (\d+)"
)
_PAGE_BYTES: Final = 65_536  # WebAssembly core specification, section 4.2.8
_WHAT: Final = "component cannot be started"


def cannot_start(reason: str, memory_bytes: int) -> RefusedError:
    """The refusal for wasmtime's ``reason``; ``memory_bytes`` is what a memory may have."""
    if needed := _MEMORY_TOO_SMALL.fullmatch(reason):
        return limit_error(
            f"{_WHAT}: it needs more memory",
            "limits.memory-bytes",
            f"at most {memory_bytes} bytes",
            f"{int(needed[1]) * _PAGE_BYTES} bytes",
        )
    if needed := _TABLE_TOO_SMALL.fullmatch(reason):
        return _beyond("table elements", LIMITS.wasm_table_elements, needed[1])
    if needed := _TOO_MANY.fullmatch(reason):
        things, most = {
            "memory": ("memories", LIMITS.wasm_memories),
            "table": ("tables", LIMITS.wasm_tables),
            "instance": ("instances", LIMITS.wasm_instances),
        }[needed[1]]
        return _beyond(things, most, needed[2])
    return RefusedError(RefusalKind.DISAGREE, f"{_WHAT}: {reason}")


def _beyond(things: str, most: int, got: str) -> RefusedError:
    where = f"wasm-{things.replace(' ', '-')}"
    return limit_error(f"{_WHAT}: it needs more {things}", where, f"at most {most}", got)
