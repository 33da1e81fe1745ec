"""A package whose model is held and being measured before its signature is judged (ADR 23)."""

from collections.abc import Callable, Sequence
from pathlib import Path

from infwasi_sign.adapters.guarded_file import LocalFile
from infwasi_sign.adapters.package_directory import DirectoryStore, OpenedDirectory
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.errors import InfwasiError


class OpenedAhead:
    """One package, opened by `begin` and given to `verify` later. Implements `ports.PackageStore`.

    Whoever makes it closes it, whether or not `verify` got as far as asking for it.
    """

    def __init__(self, location: Path, detached: Sequence[Path] = ()) -> None:
        self._asked = (location, tuple(detached))
        self._opened: OpenedDirectory | None = None

    def begin(self, digests: frozenset[Algorithm], on_held: Callable[[], None]) -> None:
        """Open the package, hold by a lease what can only be the model, and begin to measure it.

        ``on_held`` is called in between. Nothing happens where there is no such file, no lease to
        be had, or fs-verity, which needs no pass; nor where the package cannot be opened: that
        `open` finds again, when there is somebody to be told.
        """
        try:
            opened = self.open(*self._asked)
        except InfwasiError:
            return
        model = _only_candidate(opened)
        if model is not None and model.hold_ahead():
            on_held()
            model.measure_ahead(digests)

    def open(self, location: Path, detached: Sequence[Path] = ()) -> OpenedDirectory:
        """The package; opened now, if that was not done yet.

        Raises:
            RefusedError, UndecidedError: as `DirectoryStore.open`.
            ValueError: another one is asked for.
        """
        if (location, tuple(detached)) != self._asked:
            raise ValueError("another package was opened ahead")
        if self._opened is None:
            self._opened = DirectoryStore().open(location, detached)
        return self._opened

    def close(self) -> None:
        """Close every file, dropping its lease first; a second call does nothing."""
        if self._opened is not None:
            self._opened.close()


def _only_candidate(opened: OpenedDirectory) -> LocalFile | None:
    """The one file that the statement can name as a model; with several, nobody knows yet."""
    candidates = (*opened.detached, *opened.unnamed())
    return candidates[0] if len(candidates) == 1 else None
