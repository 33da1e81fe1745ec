"""The low-level bindings of llama-cpp-python, and nothing else of it. Part of its one door."""

import functools
import importlib
import importlib.util
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from infwasi_sign.errors import UndecidedError

if TYPE_CHECKING:
    import ctypes

_PACKAGE: Final = "llama_cpp"
_LIBRARY, _NO_DEBUGGER = "LLAMA_CPP_LIB_PATH", "GGML_NO_BACKTRACE"
_VALUE_BYTES: Final = 128  # longer ones are cut; those that we ask for are short


def settle_environment() -> None:
    """Say in the environment what llama.cpp and its bindings look for there.

    They would load llama.cpp from a place that no policy knows, and ggml starts a debugger from the
    ``PATH`` where it aborts (ggml.c, ggml_print_backtrace). To be called before there are threads:
    who reads the environment while it changes can crash (getenv(3), "MT-Safe env"); where nothing
    is left to say, a second call changes nothing.
    """
    if _LIBRARY in os.environ:
        del os.environ[_LIBRARY]
    if os.environ.get(_NO_DEBUGGER) != "1":
        os.environ[_NO_DEBUGGER] = "1"


@functools.cache
def bindings() -> ModuleType:
    """The module ``llama_cpp.llama_cpp`` without the package around it.

    The package's ``__init__`` imports numpy and the high-level API (0.3 s). The module is loaded
    under a stand-in for the package, which is taken away again: who imports ``llama_cpp`` later
    gets the real one.
    """
    name = f"{_PACKAGE}.llama_cpp"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        raise UndecidedError("llama-cpp-python is not installed")
    settle_environment()
    stand_in = ModuleType(_PACKAGE)
    stand_in.__path__ = list(spec.submodule_search_locations)
    sys.modules[_PACKAGE] = stand_in
    try:
        return importlib.import_module(name)
    except (OSError, RuntimeError) as e:
        raise UndecidedError(f"libllama does not load: {e}") from e
    finally:
        for loaded in [key for key in list(sys.modules) if key.partition(".")[0] == _PACKAGE]:
            del sys.modules[loaded]


def set_fields(struct: "ctypes.Structure", **values: object) -> None:
    """Set fields that must exist: ctypes would take a wrong name for a new attribute."""
    for name, value in values.items():
        if not hasattr(type(struct), name):
            raise UndecidedError(f"llama-cpp-python has no parameter {name}")
        setattr(struct, name, value)


def metadata(llama: Any, model: int, key: bytes) -> bytes | None:
    """What a loaded model's header says under ``key``, as text; ``None`` if it says nothing."""
    import ctypes  # noqa: PLC0415 - the bindings have imported it

    value = ctypes.create_string_buffer(_VALUE_BYTES)
    length: int = llama.llama_model_meta_val_str(model, key, value, _VALUE_BYTES)
    return None if length < 0 else value.value
