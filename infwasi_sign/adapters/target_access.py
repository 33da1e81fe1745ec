"""Reaches what a user names to look into it: files of this machine."""

from pathlib import Path

from infwasi_sign.adapters.guarded_file import LocalFile
from infwasi_sign.adapters.measuring import file_windows, measure_model
from infwasi_sign.adapters.package_directory import open_outside
from infwasi_sign.domain.gguf import GgufHeader
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.model_digests import ModelDigests
from infwasi_sign.ports import EntryFile, Progress


def open_target_file(location: Path) -> LocalFile:
    """A model or component; links on the way are the user's to make.

    Raises:
        UndecidedError: it cannot be opened.
        RefusedError: it is no regular file, or larger than any model.
    """
    return open_outside(location, most_bytes=LIMITS.model_bytes)


def measure_open_model(
    file: EntryFile, header: GgufHeader, progress: Progress | None
) -> ModelDigests:
    """All digests of a model, by the descriptor that its header was read from.

    Raises:
        RefusedError: kind `digest`; it changed since its header was read.
    """
    windows = file_windows(file.fileno(), file.size_bytes, held=False)
    return measure_model(windows, header, progress)
