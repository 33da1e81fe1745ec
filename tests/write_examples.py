"""Writes `sbom/examples/` anew: `python -m tests.write_examples`."""

import tempfile
from pathlib import Path

from infwasi_sign.domain.bom import bom_bytes, derive_bom
from tests import forge
from tests.bom_support import EVERYTHING, lone_model
from tests.conftest import ROOT
from tests.gguf_forge import every_general_key, tiny_gguf


def main() -> None:
    """The BOM of the smallest package, and of a model that says all that it can."""
    examples = ROOT / "sbom" / "examples"
    with tempfile.TemporaryDirectory() as folder:
        package = forge.make_package(Path(folder))
        (examples / "capital.bom.cdx.json").write_bytes((package / "bom.cdx.json").read_bytes())
    inputs = lone_model(tiny_gguf(pairs=every_general_key()), EVERYTHING)
    (examples / "model.cdx.json").write_bytes(bom_bytes(derive_bom(inputs)))


if __name__ == "__main__":
    main()
