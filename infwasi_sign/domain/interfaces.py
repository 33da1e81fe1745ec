"""The names of the interfaces that an app and its parts import and export (wit/)."""

from typing import Final

TYPES_INTERFACE: Final = "infwasi:llm/types@0.1.0"
SETTINGS_INTERFACE: Final = "infwasi:llm/settings@0.1.0"
ENGINE_INTERFACE: Final = "infwasi:llm/engine@0.1.0"
INFERENCE_INTERFACE: Final = "infwasi:llm/inference@0.1.0"
WASI_NN_INTERFACES: Final = frozenset(
    f"wasi:nn/{name}@0.2.0-rc-2024-10-28" for name in ("tensor", "graph", "inference", "errors")
)
APP_IMPORTS: Final = WASI_NN_INTERFACES | {TYPES_INTERFACE}
"""All that an app may ask of the host; the last one has types and no functions."""
