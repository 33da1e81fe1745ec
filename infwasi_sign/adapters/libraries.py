"""wasmtime and jinja2 in two steps: read while files may be opened, executed beside native code.

Executing them takes the interpreter for about 50 ms, as long as llama.cpp maps a small model: so it
waits for that, unless the model takes long to measure, which leaves time before.
"""

import ctypes
import sys
from threading import Event
from typing import Final

from infwasi_sign.adapters.background import Background
from infwasi_sign.adapters.foretold import Foretold
from infwasi_sign.adapters.wasm_settings import wasmtime_library
from infwasi_sign.errors import UndecidedError

_PACKAGES: Final = ("wasmtime", "jinja2")
# Of ours, and what these and the packages import of others. A test holds that nothing is missing.
_ADAPTERS: Final = tuple(
    f"infwasi_sign.adapters.{name}"
    for name in (
        *(
            "chat_template",
            "guest_calls",
            "guest_values",
            "nn_generation",
            "nn_interface",
            "template_sandbox",
        ),
        *("wasm_code", "wasm_host", "wasm_limits", "wasm_types"),
    )
)
_SHA512: Final = "_sha512" if sys.version_info < (3, 12) else "_sha2"  # what `random` imports
_MODULES: Final = (
    *_ADAPTERS,
    "infwasi_sign.domain.component_code",
    *("_bz2", "_lzma", "_pickle", "_socket", "_string", "markupsafe", "markupsafe._speedups"),
    *("_compat_pickle", "_compression", "bz2", "encodings.unicode_escape", "lzma", "numbers"),
    *("_bisect", "_random", _SHA512, "bisect", "random"),
    *("pickle", "platform", "pprint", "shutil", "string", "tempfile", "typing_extensions", "zlib"),
)


class Libraries:
    """Reads them from now on, in a thread; who needs them waits for `turn`."""

    def __init__(self) -> None:
        self._begin = Event()
        self._is_abandoned = False
        self._native: ctypes.CDLL | None = None
        self._read = Background(self._read_all)

    def require_read(self) -> None:
        """Wait until no file is needed any more.

        Raises:
            UndecidedError: a library is not there.
        """
        self._read.get()

    def begin(self) -> None:
        """There is time now: those who wait for their `turn` go on."""
        self._begin.set()

    def abandon(self) -> None:
        """Nobody will need them: those who wait for their `turn` end."""
        self._is_abandoned = True
        self._begin.set()

    def turn(self) -> None:
        """Wait until they are read, and it is time to execute them."""
        self._begin.wait()
        if self._is_abandoned:
            raise UndecidedError("the run was given up")
        self._read.get()

    def _read_all(self) -> None:
        library = wasmtime_library()
        if library is not None:
            # What is loaded already the dynamic loader finds again by its name, without opening it.
            self._native = ctypes.CDLL(str(library))
        Foretold(packages=_PACKAGES, modules=_MODULES).install()
