"""The package that is raced for, and the one that attackers would rather have run."""

from dataclasses import replace
from pathlib import Path

from tests import forge
from tests.command_line import make_timeless
from tests.gym.race_model import CONTEXT_TOKENS, race_model


def make_honest(folder: Path) -> None:
    """A package, another of the same name with another model in it, and the key that is trusted."""
    settings = replace(forge.SETTINGS, context_tokens=CONTEXT_TOKENS)
    packages = [
        make_timeless(folder / name, model=race_model(seed), settings=settings)
        for seed, name in enumerate(("package", "other"))
    ]
    # The other one has everything that is signed, so that only the model tells.
    honest, other = packages
    for file in honest.iterdir():
        if file.name != "model.gguf":
            (other / file.name).write_bytes(file.read_bytes())
    (folder / "package" / "trusted.pub").rename(folder / "trusted.pub")
    for path in folder.glob("*/*.pub"):
        path.unlink()
