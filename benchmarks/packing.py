"""`infwasi pack --sign` without hashing and copying: a model of less than 1 KiB."""

import tempfile
from pathlib import Path

from benchmarks.scene import ENVIRONMENT, pack_command, project
from benchmarks.timing import Figure, alone, process_seconds
from tests.gguf_forge import tiny_gguf


def measure(runs: int) -> list[Figure]:
    with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
        file.write(tiny_gguf())
        file.flush()
        with project(Path(file.name)) as folder:
            arguments = pack_command(folder)
            return [
                alone(
                    "pack --sign, tiny model",
                    lambda: process_seconds(arguments, ENVIRONMENT),
                    runs=runs,
                    goal=0.5,
                )
            ]
