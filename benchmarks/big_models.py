"""GGUF files of any size for the benchmarks, and packages around them that are deleted again.

A sparse model is a hole with a header: to the kernel, to the hash and to every check it is as long
as it says, and its zeros pass through the page cache like other bytes. It only saves the disk.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.scene import ENVIRONMENT, pack_command, project
from tests.gguf_forge import PAIRS, TENSOR_F32, Tensor, tiny_gguf

MIB: Final = 1 << 20
GIB: Final = 1 << 30
TENSORS: Final = 16
_BLOCK: Final = 16 * MIB
_ALIGNMENT: Final = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class BigPackage:
    """A signed package of a big model, and what verifies it."""

    folder: Path
    model: Path
    key: Path
    private_key: Path
    is_detached: bool

    @property
    def arguments(self) -> list[str]:
        """Of `infwasi verify`."""
        model = ["--model", str(self.model)] if self.is_detached else []
        return ["verify", str(self.folder), "--key", str(self.key), *model]


@contextmanager
def big_package(
    size_bytes: int, *, tensors: int = TENSORS, is_sparse: bool = True
) -> Iterator[BigPackage]:
    """A package whose model is about ``size_bytes`` long, in the folder of TMPDIR.

    A sparse model stays outside of the package, which would copy it; another is moved into it.
    """
    with tempfile.TemporaryDirectory(prefix="infwasi-bench-") as name:
        model = Path(name) / "model.gguf"
        write_model(model, size_bytes, tensors=tensors, is_sparse=is_sparse)
        with project(model) as folder:
            mode = ["--model-mode", "detach" if is_sparse else "copy"]
            command = [*pack_command(folder), *mode]
            subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True)
            package = folder / "bench-1.0.0"
            if not is_sparse:
                model.unlink()
                model = package / "model.gguf"
            yield BigPackage(
                folder=package,
                model=model,
                key=folder / "release.pub",
                private_key=folder / "release.key",
                is_detached=is_sparse,
            )


def write_model(path: Path, size_bytes: int, *, tensors: int, is_sparse: bool) -> None:
    """A model of so many equal tensors, together at most ``size_bytes``; zeros if sparse."""
    each = size_bytes // tensors // _ALIGNMENT * _ALIGNMENT
    header = tiny_gguf(
        pairs=PAIRS,
        tensors=tuple(
            Tensor(
                name=b"blk.%d.weight" % index,
                dimensions=(each // 4,),
                type=TENSOR_F32,
                data=b"",
                offset=index * each,
            )
            for index in range(tensors)
        ),
    )
    with path.open("wb") as file:
        file.write(header)
        if not is_sparse:
            block = os.urandom(_BLOCK)
            for start in range(0, tensors * each, _BLOCK):
                file.write(block[: tensors * each - start])
        file.truncate(len(header) + tensors * each)
