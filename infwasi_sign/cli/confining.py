"""Which folders a command still writes to when it is confined, and what it says of its layers."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from infwasi_sign.adapters.confinement import Confinement
from infwasi_sign.adapters.state_file import StateFile

if TYPE_CHECKING:
    from infwasi_sign.cli.trusting import Trust
    from infwasi_sign.ports import SequenceState


def confinement_of(
    *,
    state: "SequenceState | None" = None,
    trust: "Trust | None" = None,
    output: Path | None = None,
    caches: tuple[Path, ...] = (),
    readable: tuple[Path | int, ...] = (),
    loads: bool = False,
) -> Confinement:
    """The confinement of a command that writes to this state, pins, file and caches.

    Their folders are made where they are missing, for a confined process makes none.
    """
    written = _written(state, trust, output)
    return Confinement(writable=chain(written, caches), readable=readable, loads=loads)


def _written(
    state: "SequenceState | None", trust: "Trust | None", output: Path | None
) -> Iterator[Path]:
    if isinstance(state, StateFile):
        yield state.folder.made()
    if trust is not None and trust.pins is not None:
        yield trust.pins.folder.made()
    if output is not None:
        yield output.absolute().parent
