"""Modules that are read while files may be opened, and executed later, beside native code.

A run opens no file any more once its model is parsed (docs/adr/0017), and the libraries that it
needs then take longer to import than the model takes to load. So their files are read before, and
what is left, checking them as importlib does it and executing them, needs none.

What is not foretold and not imported yet cannot be imported later: the run ends with an error then,
and nothing is worse than that.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import cache_from_source, find_spec, spec_from_file_location
from io import open_code
from types import ModuleType
from typing import Final

from infwasi_sign.errors import UndecidedError

_SOURCE: Final = ".py"
_PACKAGE: Final = "__init__"
_CACHE: Final = "__pycache__"
_ANY: Final = "infwasi-any"  # stands for the name of any module of a folder
_BY_TIME: Final = bytes(4)  # the flags of a .pyc file that is held to its source's time (PEP 552)


class _Source:
    """A module's files, read now: its bytecode, and its source if importlib will ask for that."""

    def __init__(self, path: str, compiled: str) -> None:
        self.path = path
        status = os.stat(path)  # noqa: PTH116 - 82 times at each start
        self.stats: Mapping[str, float] = {"mtime": status.st_mtime, "size": status.st_size}
        self.files: dict[str, bytes] = {}
        with suppress(OSError):
            self.files[compiled] = _content(compiled)
        if not self._is_current(self.files.get(compiled, b"")):
            self.files[path] = _content(path)

    def _is_current(self, compiled: bytes) -> bool:
        """Whether importlib will need no source beside it (PEP 3147, PEP 552)."""
        made_at, size = int(self.stats["mtime"]), int(self.stats["size"])
        of_source = b"".join((n & 0xFFFFFFFF).to_bytes(4, "little") for n in (made_at, size))
        return compiled[4:16] == _BY_TIME + of_source


class _InHand(SourceFileLoader):
    """Loads a module whose files were read already; importlib's own checks are made of them."""

    def __init__(self, name: str, source: _Source) -> None:
        super().__init__(name, source.path)
        self._source = source

    def path_stats(self, path: str) -> Mapping[str, float]:  # noqa: ARG002 - importlib's signature
        """Of the source when it was read."""
        return self._source.stats

    def get_data(self, path: str) -> bytes:
        """A file that was read; no other is opened.

        Raises:
            OSError: it is none of them.
        """
        try:
            return self._source.files[path]
        except KeyError:
            raise FileNotFoundError(path) from None

    def set_data(self, path: str, data: object, *, _mode: int = 0o666) -> None:
        """Nothing is written."""


class Foretold:
    """Finds modules in memory; `install` puts it before those that look into folders.

    A meta path finder as the import system has it; not derived from that of ``importlib.abc``,
    whose import costs as much as that of a small library.

    ``packages`` are read with all that is in them, ``modules`` alone. What is native in them is
    imported at once: it is a file that the dynamic loader opens.
    """

    def __init__(self, *, packages: Sequence[str] = (), modules: Sequence[str] = ()) -> None:
        self._sources: dict[str, _Source] = {}
        self._places: dict[str, list[str]] = {}  # of packages, their folders
        for name in modules:
            if name not in sys.modules:
                self._read(name, find_spec(name))
        for name in packages:
            if name not in sys.modules:
                spec = _required(name, PathFinder.find_spec(name))
                for folder in spec.submodule_search_locations or ():
                    self._read_package(name, folder)

    def install(self) -> None:
        """From now on these are found here first."""
        sys.meta_path.insert(0, self)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - importlib's signature
        target: ModuleType | None = None,  # noqa: ARG002 - importlib's signature
    ) -> ModuleSpec | None:
        """The module, if it was foretold; each is asked for once."""
        source = self._sources.pop(fullname, None)
        if source is None:
            return None
        return spec_from_file_location(
            fullname,
            source.path,
            loader=_InHand(fullname, source),
            submodule_search_locations=self._places.get(fullname),
        )

    def _read(self, name: str, found: ModuleSpec | None) -> None:
        spec = _required(name, found)
        if isinstance(spec.loader, SourceFileLoader) and spec.origin is not None:
            self._sources[name] = _Source(spec.origin, cache_from_source(spec.origin))
        else:
            import_module(name)  # native, frozen or built in

    def _read_package(self, name: str, folder: str) -> None:
        """All of its source files, and of the packages in it."""
        self._places[name] = [folder]
        compiled = cache_from_source(f"{folder}/{_ANY}{_SOURCE}")
        for entry in _entries(folder):
            stem, is_source = entry.removesuffix(_SOURCE), entry.endswith(_SOURCE)
            if is_source:
                member = name if stem == _PACKAGE else f"{name}.{stem}"
                read = _Source(f"{folder}/{entry}", compiled.replace(_ANY, stem))
                self._sources[member] = read
            elif os.access(f"{folder}/{entry}/{_PACKAGE}{_SOURCE}", os.F_OK):
                self._read_package(f"{name}.{entry}", f"{folder}/{entry}")


def _required(name: str, spec: ModuleSpec | None) -> ModuleSpec:
    if spec is None:
        raise UndecidedError(f"a part of infwasi cannot be found: {name}")
    return spec


def _entries(folder: str) -> Iterator[str]:
    """What can be a module in a folder: source files, and folders."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(_SOURCE) or (entry.name != _CACHE and entry.is_dir()):
                yield entry.name


def _content(path: str) -> bytes:
    with open_code(path) as file:
        return file.read()
