"""What machine code depends on beside the component: wasmtime, its configuration, the processor.

Known without importing wasmtime, so that kept code can be looked for while it is imported.
"""

import os
from collections.abc import Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Final

from infwasi_sign.domain.limits import MIB

# A component with an interpreter in it (12 to 18 MB) computes little and compiles for seconds;
# without optimisation it is a fifth less. The single-pass register allocator would halve it, but
# wasmtime advises against it for security-sensitive uses (bytecodealliance/wasmtime#11864).
_LARGE_BYTES: Final = 1 * MIB

# All that differs from wasmtime's defaults: code depends on it, so code is found again by it.
_SETTINGS: Final[Mapping[str, object]] = {
    "epoch_interruption": True,
    # Initial memories would be memfds otherwise, and a confined process makes no descriptor.
    "memory_init_cow": False,
}
_SETTINGS_OF_LARGE: Final[Mapping[str, object]] = {**_SETTINGS, "cranelift_opt_level": "none"}

_PROCESSOR: Final = Path("/proc/cpuinfo")  # proc_cpuinfo(5): a block for each core
_BLOCK_BYTES: Final = 8192
_FEATURES: Final = ("vendor_id", "model name", "flags", "CPU implementer", "CPU part", "Features")


def settings_for(component: bytes) -> Mapping[str, object]:
    """The members of ``wasmtime.Config`` by which a component is compiled."""
    return _SETTINGS_OF_LARGE if len(component) > _LARGE_BYTES else _SETTINGS


def wasmtime_library() -> Path | None:
    """The file that its bindings load; ``None`` if it is not installed as we know it."""
    spec = PathFinder.find_spec("wasmtime")
    places = [] if spec is None else list(spec.submodule_search_locations or ())
    found = [path for place in places for path in Path(place).glob("*/_libwasmtime.so")]
    return found[0] if len(found) == 1 else None


def code_maker() -> str | None:
    """Which build of wasmtime on which processor; ``None`` if that cannot be told.

    To be asked before the process is confined. The module tells no version, so the library's file
    stands for it. wasmtime holds its version, its configuration and the processor against code as
    well (``Engine::check_compatible``); this is so that code which does not fit is not found.
    """
    library = wasmtime_library()
    if library is None:
        return None
    try:
        status = library.stat()
        processor = _processor()
    except OSError:
        return None
    machine = os.uname().machine
    return f"wasmtime {status.st_size} {status.st_mtime_ns} on {machine} {processor}"


def _processor() -> str:
    """What the first core is and can do."""
    with _PROCESSOR.open("rb") as file:
        block = file.read(_BLOCK_BYTES).partition(b"\n\n")[0].decode("ascii", "replace")
    lines = (line.partition(":") for line in block.splitlines())
    return "; ".join(value.strip() for name, _, value in lines if name.strip() in _FEATURES)
