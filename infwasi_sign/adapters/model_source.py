"""A GGUF on disk that is about to be packed: opened once, parsed and measured by one descriptor."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infwasi_sign.adapters.guarded_file import LocalFile
from infwasi_sign.adapters.measuring import file_windows, measure_model
from infwasi_sign.adapters.package_directory import open_outside
from infwasi_sign.domain.gguf import GgufHeader
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.model_digests import ModelDigests
from infwasi_sign.ports import Progress, Tee


class LocalModel:
    """Implements `ports.ModelSource`; made by `open_model`."""

    def __init__(self, file: LocalFile) -> None:
        self._file = file

    @property
    def size_bytes(self) -> int:
        """The size when it was opened; measuring refuses any other."""
        return self._file.size_bytes

    def read_at(self, offset: int, size: int) -> bytes:
        """Exactly ``size`` bytes from ``offset``."""
        return self._file.read_at(offset, size)

    def measure(
        self, header: GgufHeader, copy: Tee | None, progress: Progress | None
    ) -> ModelDigests:
        """All digests in one pass, which also feeds ``copy``."""
        windows = file_windows(self._file.fileno(), self.size_bytes, held=False)
        return measure_model(windows if copy is None else copy(windows), header, progress)


@contextmanager
def open_model(path: Path) -> Iterator[LocalModel]:
    """Open the model that a developer names; links are theirs to make.

    Raises:
        UndecidedError: it cannot be opened.
        RefusedError: it is no regular file, or larger than any model.
    """
    file = open_outside(path, most_bytes=LIMITS.model_bytes)
    try:
        yield LocalModel(file)
    finally:
        file.close()


def read_component(path: Path) -> bytes:
    """The bytes of a developer's own inference component.

    Raises:
        UndecidedError: it cannot be read.
        RefusedError: it is no regular file, or too large.
    """
    file = open_outside(path, most_bytes=LIMITS.component_bytes)
    try:
        return file.read(LIMITS.component_bytes)
    finally:
        file.close()
