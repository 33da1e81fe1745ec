"""What will interpret the bytes: digests of the native libraries of llama.cpp and wasmtime."""

import importlib.util
from pathlib import Path
from typing import Final

from infwasi_sign.adapters.atomic import storage_error
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.errors import UndecidedError

# Packages are found without importing them: nothing of them runs before it was measured.
_LIBRARIES: Final = {"llama_cpp": "lib/*.so*", "wasmtime": "*/*.so"}


def library_digests() -> tuple[str, ...]:
    """SHA-256 of every native library that a run loads, sorted; links count once.

    Raises:
        UndecidedError: one of the packages, or its libraries, is not there or cannot be read.
    """
    return tuple(sorted({digest for _, digest in libraries()}))


def libraries() -> tuple[tuple[str, str], ...]:
    """The same with the files' names, for `infwasi policy` to show."""
    found: dict[Path, str] = {}
    for package, pattern in _LIBRARIES.items():
        spec = importlib.util.find_spec(package)
        places = [] if spec is None else list(spec.submodule_search_locations or ())
        files = {path.resolve() for place in places for path in Path(place).glob(pattern)}
        if not files:
            raise UndecidedError("native library is not installed", where=package)
        for path in files:
            try:
                content = path.read_bytes()
            except OSError as error:
                raise storage_error(error, path, "read a native library") from error
            found[path] = str(measure_bytes(content)[Algorithm.SHA256])
    return tuple(sorted((path.name, digest) for path, digest in found.items()))
