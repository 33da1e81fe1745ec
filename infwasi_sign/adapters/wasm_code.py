"""Components as machine code: compiled from bytes in memory, or what we compiled before.

Part of the one door to wasmtime (see ``wasm_host``). Nothing precompiled is ever accepted from
anybody: what ``compiled_cache`` gives was made here, on this machine, by this user.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from wasmtime import Config, Engine, WasmtimeError
from wasmtime.component import Component

from infwasi_sign.adapters.nn_generation import limit_error
from infwasi_sign.adapters.wasm_settings import settings_for
from infwasi_sign.adapters.wasm_types import Interfaces, interfaces
from infwasi_sign.domain.component_code import require_compilable
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.text import escape_controls
from infwasi_sign.errors import MalformedError, UndecidedError
from infwasi_sign.quick_dataclass import dataclass

if TYPE_CHECKING:
    from infwasi_sign.adapters.compiled_cache import CodeCache

_COMPONENT_MAGIC: Final = b"\0asm\x0d\x00\x01\x00"  # component-model, Binary.md: preamble


@dataclass(frozen=True, kw_only=True, slots=True)
class Compiled:
    """Machine code with the bytes it was made of, and the interfaces that it has."""

    wasm: bytes
    engine: Engine
    component: Component
    interfaces: Interfaces


def compile_component(wasm: bytes, cache: "CodeCache | None") -> Compiled:
    """The code of a component; taken from ``cache`` if it is there, kept there if not.

    Raises:
        RefusedError: the bytes are not a component, or too many.
    """
    if len(wasm) > LIMITS.component_bytes:
        at_most = f"at most {LIMITS.component_bytes} bytes"
        raise limit_error(
            "component is too large", "component-bytes", at_most, f"{len(wasm)} bytes"
        )
    # NOTE: wasmtime-py takes anything else for the text format
    if not wasm.startswith(_COMPONENT_MAGIC):
        raise MalformedError("not a component", where="component")
    engine = Engine(_config(settings_for(wasm)))
    component = None if cache is None else _deserialized(engine, cache.load(wasm))
    if component is None:
        require_compilable(wasm)
        try:
            component = Component(engine, wasm)
        except WasmtimeError as e:
            raise MalformedError(f"not a valid component: {last_line(e)}") from e
        if cache is not None:
            cache.store(wasm, bytes(component.serialize()))
    return Compiled(
        wasm=wasm,
        engine=engine,
        component=component,
        interfaces=interfaces(engine, component),
    )


def _config(settings: Mapping[str, object]) -> Config:
    config = Config()
    for name, value in settings.items():
        if not hasattr(Config, name):  # it would be taken for a new attribute
            raise UndecidedError(f"wasmtime has no setting {name}")
        setattr(config, name, value)
    return config


def _deserialized(engine: Engine, code: bytes | None) -> Component | None:
    """The component, unless this processor cannot run the code or wasmtime finds it unfit."""
    if code is None:
        return None
    try:
        return Component.deserialize(engine, code)
    except WasmtimeError:
        return None


def last_line(error: WasmtimeError) -> str:
    """The cause, which wasmtime puts last, as one printable line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return escape_controls(lines[-1][:200] if lines else "no reason given", keep_layout=False)
