"""Plain `model_signing verify` accepts the packages of every mode that has an OMS companion."""

from pathlib import Path

import pytest

from tests import forge
from tests.interop_support import MODES, SignedPackages, model_signing

YES = (True, "Verification succeeded")
COMPANIONS = [mode for mode in MODES if mode != "key-ed25519"]


@pytest.mark.parametrize("mode", COMPANIONS)
def test_accepts_the_package_whatever_happens_to_it_but_a_change(
    mode: str, packages: SignedPackages, tmp_path: Path
) -> None:
    signed = packages[mode]
    package = signed.copy(tmp_path)
    assert model_signing(signed, package) == YES
    # somebody signs as well
    added = forge.counter_sign(package, forge.STRANGER)
    assert added.parent.name == "signatures"
    assert model_signing(signed, package) == YES
    # and the package gets another place and another name
    moved = tmp_path / "elsewhere" / "other"
    moved.parent.mkdir()
    package.rename(moved)
    assert model_signing(signed, moved) == YES
    # one bit of the model
    forge.flip(moved / "model.gguf", -1)
    accepted, said = model_signing(signed, moved)
    assert not accepted
    assert "model.gguf" in said


@pytest.mark.parametrize("name", ["app.wasm", "bom.cdx.json"])
def test_refuses_a_change_of_any_file(name: str, packages: SignedPackages, tmp_path: Path) -> None:
    signed = packages["key-p256"]
    package = signed.copy(tmp_path)
    forge.flip(package / name, 40)
    accepted, said = model_signing(signed, package)
    assert not accepted
    assert name in said


def test_an_ed25519_key_makes_no_companion(packages: SignedPackages) -> None:
    assert not (packages["key-ed25519"].package / "model.sig").exists()
