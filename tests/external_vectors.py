"""Where the test vectors of other projects lie; they are not part of this repository."""

import os
from pathlib import Path

import pytest

from tests.conftest import ROOT

VARIABLE = "INFWASI_EXTERNAL_VECTORS"


def external_vectors(name: str) -> Path | None:
    """The folder of one collection, such as `oms-history`, if it is on this machine."""
    place = Path(os.environ.get(VARIABLE, ROOT.parent / "shared" / "vectors")) / name
    return place if place.is_dir() else None


def needs(name: str) -> pytest.MarkDecorator:
    """Skips where the collection is not there, and says how to bring it."""
    return pytest.mark.skipif(
        external_vectors(name) is None,
        reason=f"no {name}: set {VARIABLE} to the folder that holds it",
    )
