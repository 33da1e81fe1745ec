"""What a command gives up before it reads bytes of others, in two stages.

1. *Before the model is measured*: no core file, no tracing, no new privileges; files only beneath
   Python's installation, and where this command writes; no other program, process or socket.
2. *Before the model is parsed*: no file is opened any more, by nobody in the process, and no
   descriptor made; no limit can be raised again, by root neither.

Each layer is on its own: where the kernel, a container or the architecture lacks one, the others
are put in force, and `Confinement.layers` says what is missing and why (docs/adr/0017).

NOTE: this is for the whole process and is never taken back, so no use case does it by itself; the
command line does, and an application that wants it makes a `Confinement` of its own.
"""

import ctypes
import os
import resource
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from infwasi_sign.adapters import landlock, process, seccomp
from infwasi_sign.adapters.landlock import READ, REPLACE, Access
from infwasi_sign.domain.confinement import Layer, LayerReport, Standing
from infwasi_sign.errors import UndecidedError

_PR_SET_NO_NEW_PRIVS: Final = 38  # linux/prctl.h
# Where the dynamic loader looks for what a library needs that is imported late (ld.so(8)).
_SYSTEM_LIBRARIES: Final = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
_LOADER_CACHE: Final = "/etc/ld.so.cache"


class Confinement:
    """The two stages of one process; each may be called again, and then does nothing.

    ``writable`` are folders in which files are replaced, ``readable`` what else may be opened after
    the first stage, as paths or descriptors. ``loads``: there will be a second stage.
    """

    def __init__(
        self,
        *,
        writable: Iterable[Path] = (),
        readable: Iterable[Path | int] = (),
        loads: bool = False,
    ) -> None:
        self._writable = writable  # asked for only when it is time
        self._readable = tuple(readable)
        self._loads = loads
        self._reports: dict[Layer, LayerReport] = {}
        self._is_loading = False

    def before_measuring(self) -> None:
        """The first stage. Threads that start from now on are bound by all of it."""
        if self._reports:
            return
        process.forbid_dumps()
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        landlocked = landlock.restrict(self._allowed())
        filtered = seccomp.restrict_before_measuring()  # last: it denies what comes before
        self._reports = {
            Layer.NO_DUMPS: _as_the_kernel_says(Layer.NO_DUMPS),
            Layer.NO_NEW_PRIVS: _as_the_kernel_says(Layer.NO_NEW_PRIVS),
            Layer.LANDLOCK: landlocked,
            Layer.SECCOMP: filtered,
        }
        process.remember_layers(self._reports.values())

    def before_loading(self) -> None:
        """The second stage; the first, where that was not called yet.

        From now on nothing can be imported or opened: descriptors that are open serve on.

        Raises:
            UndecidedError: a layer that `layers` announced cannot be put in force.
        """
        self.before_measuring()
        if self._is_loading:
            return
        self._is_loading = True
        if self._is_in_force(Layer.LANDLOCK):
            landlock.restrict(())  # what the first stage allowed, nobody needs any more
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
        except (OSError, ValueError) as e:
            raise UndecidedError("the process cannot give up its files", got=str(e)) from e
        if self._is_in_force(Layer.SECCOMP):
            report = seccomp.restrict_before_loading()
            if report.standing is Standing.MISSING:
                raise UndecidedError("the process cannot be confined", got=str(report))

    def layers(self) -> tuple[LayerReport, ...]:
        """Every layer of this process, in the order of their names."""
        reports = dict(self._reports)
        if self._loads and reports:
            reports[Layer.RLIMITS] = LayerReport(
                layer=Layer.RLIMITS,
                standing=Standing.IN_FORCE if self._is_loading else Standing.BEFORE_LOADING,
                lacks=()
                if self._is_in_force(Layer.SECCOMP) or not _may_raise_limits()
                else ("root can raise the limit again",),
            )
        return tuple(reports[layer] for layer in sorted(reports))

    def promised(self) -> tuple[Layer, ...]:
        """The layers that are in force, or will be before the model is loaded, or nothing loads."""
        return tuple(
            report.layer for report in self.layers() if report.standing is not Standing.MISSING
        )

    def _is_in_force(self, layer: Layer) -> bool:
        report = self._reports.get(layer)
        return report is not None and report.standing is Standing.IN_FORCE

    def _allowed(self) -> Iterator[tuple[Path | int, Access]]:
        for place in (*_installation(), *self._readable):
            yield place, READ
        for folder in self._writable:
            yield folder, REPLACE


def _installation() -> Iterator[Path]:
    """Where modules and the libraries that they need lie, as far as a run may import them late.

    Without the first entry of ``sys.path``: it is the script's folder, or with ``python -m`` the
    one where the caller stands, unless Python was told not to add it (-P, sys.flags.safe_path).
    """
    yield Path(__file__).parents[1]
    yield Path(os.__file__).parent
    yield Path(sys.base_prefix, "lib")
    for entry in sys.path if sys.flags.safe_path else sys.path[1:]:
        if entry:
            yield Path(entry)
    yield from map(Path, _SYSTEM_LIBRARIES)
    yield Path(_LOADER_CACHE)


def _as_the_kernel_says(layer: Layer) -> LayerReport:
    if layer in process.layers_in_force():
        return LayerReport(layer=layer, standing=Standing.IN_FORCE)
    lacks = ("the system does not allow it",)
    return LayerReport(layer=layer, standing=Standing.MISSING, lacks=lacks)


def _may_raise_limits() -> bool:
    return 0 in os.getresuid()
