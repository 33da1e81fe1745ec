"""Settings into a component: constants, no code, no imports but types."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from infwasi_sign.domain.settings import Settings
from infwasi_sign.domain.settings_module import settings_module

WORLD: Final = "config-component"

WasmTool: TypeAlias = Callable[[Sequence[str], bytes], bytes]
"""Runs wasm-tools with these arguments on these bytes and returns what it makes of them."""


def config_component(settings: Settings, wasm_tool: WasmTool, wit: Path) -> bytes:
    """The component for the world `config-component` whose `get` returns ``settings``.

    Raises:
        UndecidedError: wasm-tools did not do its work.
    """
    typed = wasm_tool(
        ("component", "embed", str(wit), "--world", WORLD, "-"), settings_module(settings)
    )
    component = wasm_tool(("component", "new", "-"), typed)
    # What remains says which tool made it, and would change the bytes with every release.
    return wasm_tool(("strip", "--all", "-"), component)
