"""Modules that are read while files may be opened, and executed later, beside native code.

A run opens no file any more once its model is parsed (docs/adr/0017), and the libraries that it
needs then take longer to import than the model takes to load. So their code is read before (and
checked, as importlib does it), and what is left, executing it, needs no file.

What is not foretold and not imported yet cannot be imported later: the run ends with an error then,
and nothing is worse than that.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import cache_from_source, find_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

from infwasi_sign.errors import UndecidedError

_SOURCE: Final = ".py"
_BY_TIME: Final = bytes(4)  # the flags of a .pyc file that is held to its source's time (PEP 552)


class _InHand(SourceFileLoader):
    """Loads a module whose files were read already; importlib's own checks are made of them."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name, path)
        self._stats: Mapping[str, float] = super().path_stats(path)
        self._files: dict[str, bytes] = {}
        compiled = cache_from_source(path)
        with suppress(OSError):
            self._files[compiled] = super().get_data(compiled)
        if not self._is_current(self._files.get(compiled, b"")):
            self._files[path] = super().get_data(path)

    def _is_current(self, compiled: bytes) -> bool:
        """Whether importlib will need no source beside it (PEP 3147, PEP 552)."""
        made_at, size = int(self._stats["mtime"]), int(self._stats["size"])
        of_source = b"".join((n & 0xFFFFFFFF).to_bytes(4, "little") for n in (made_at, size))
        return compiled[4:16] == _BY_TIME + of_source

    def path_stats(self, path: str) -> Mapping[str, float]:  # noqa: ARG002 - importlib's signature
        """Of the source when it was read."""
        return self._stats

    def get_data(self, path: str) -> bytes:
        """A file that was read; no other is opened.

        Raises:
            OSError: it is none of them.
        """
        try:
            return self._files[path]
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
        self._specs: dict[str, ModuleSpec] = {}
        for name in modules:
            if name not in sys.modules:
                self._read(name, find_spec(name))
        for name in packages:
            if name not in sys.modules:
                self._read_package(name, PathFinder.find_spec(name))

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
        return self._specs.pop(fullname, None)

    def _read(self, name: str, found: ModuleSpec | None) -> ModuleSpec:
        spec = _required(name, found)
        if not isinstance(spec.loader, SourceFileLoader) or spec.origin is None:
            import_module(name)  # native, frozen or built in
            return spec
        self._specs[name] = _in_hand(name, spec.origin, spec.submodule_search_locations)
        return spec

    def _read_package(self, name: str, found: ModuleSpec | None) -> None:
        spec = self._read(name, found)
        for folder in spec.submodule_search_locations or ():
            for path, is_package in _members(Path(folder)):
                member = f"{name}.{path.parent.name if is_package else path.stem}"
                if is_package:
                    self._read_package(member, PathFinder.find_spec(member, [folder]))
                else:
                    self._specs[member] = _in_hand(member, str(path), None)


def _required(name: str, spec: ModuleSpec | None) -> ModuleSpec:
    if spec is None:
        raise UndecidedError(f"a part of infwasi cannot be found: {name}")
    return spec


def _members(folder: Path) -> Iterator[tuple[Path, bool]]:
    """The source files of a package, and the folders in it that are packages."""
    for path in sorted(folder.iterdir()):
        if path.suffix == _SOURCE and path.stem != "__init__":
            yield path, False
        elif (path / "__init__.py").is_file():
            yield path / "__init__.py", True


def _in_hand(name: str, path: str, places: list[str] | None) -> ModuleSpec:
    loader = _InHand(name, path)
    return _required(
        name,
        spec_from_file_location(name, path, loader=loader, submodule_search_locations=places),
    )
