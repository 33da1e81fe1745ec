"""The stock `sigstore` command verifies our keyless bundles, file by file, with nobody to ask.

The instance that signed is over by then: what is not in the trust configuration, nobody can tell.
"""

import json
import sys
from pathlib import Path

import pytest

from infwasi_sign.testing.sigstore import IDENTITY
from tests import forge
from tests.interop_support import (
    FILES,
    KEYLESS_MODES,
    Signed,
    SignedPackages,
    payload_of,
    rebind,
    run_tool,
)


def verify(
    signed: Signed,
    file: Path,
    folder: Path,
    *,
    bundle: Path | None = None,
    identity: str = IDENTITY,
) -> tuple[int, str]:
    """Its exit code, and all that it said."""
    done = run_tool(
        *(sys.executable, "-m", "sigstore"),
        *("--trust-config", signed.folder / "trust_config.json", "verify", "identity", "--offline"),
        *("--cert-identity", identity, "--cert-oidc-issuer", signed.issuer),
        *("--bundle", bundle or signed.bundle, file),
        cwd=folder,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(params=KEYLESS_MODES)
def signed(request: pytest.FixtureRequest, packages: SignedPackages) -> Signed:
    return packages[request.param]


@pytest.mark.parametrize("name", FILES)
def test_accepts_each_file_of_the_package(name: str, signed: Signed, tmp_path: Path) -> None:
    code, said = verify(signed, signed.package / name, tmp_path)
    assert code == 0, said
    assert f"OK: {signed.package / name}" in said
    # it prints the statement that it verified, which is ours
    assert payload_of(signed.document()).decode() in said


def test_refuses_a_file_of_which_one_bit_was_changed(signed: Signed, tmp_path: Path) -> None:
    package = signed.copy(tmp_path)
    forge.flip(package / "app.wasm", 40)
    code, said = verify(signed, package / "app.wasm", tmp_path)
    assert code == 1
    assert "OK:" not in said


def test_refuses_another_statement_under_the_signature(signed: Signed, tmp_path: Path) -> None:
    document = signed.document()
    rebind(document, payload_of(document).replace(b'"sequence":', b'"sequence":1'))
    assert document != signed.document()
    spoiled = tmp_path / "spoiled.json"
    spoiled.write_text(json.dumps(document))
    code, said = verify(signed, signed.package / "app.wasm", tmp_path, bundle=spoiled)
    assert code == 1
    assert "OK:" not in said


def test_refuses_another_identity(signed: Signed, tmp_path: Path) -> None:
    code, said = verify(
        signed, signed.package / "app.wasm", tmp_path, identity="mallory@example.test"
    )
    assert code == 1
    assert "OK:" not in said


@pytest.mark.parametrize("mode", ["key-p256", "certificate-stamped"])
def test_knows_keyless_bundles_only(
    mode: str, packages: SignedPackages, signed: Signed, tmp_path: Path
) -> None:
    """Why docs/interop.md names no command of it for the other modes."""
    other = packages[mode]
    code, said = verify(signed, other.package / "app.wasm", tmp_path, bundle=other.bundle)
    assert code == 1
    assert "OK:" not in said
