"""The wrapper for sigstore-conformance speaks its protocol; the suite itself is run by hand."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from infwasi_sign.testing.sigstore import IDENTITY, PrivateSigstore
from tests import forge
from tests.conformance.client import INSTANCE, main
from tests.conformance.verifying import Judge
from tests.sigstore_support import ARTIFACT, STATEMENT, VERSIONS


@pytest.fixture(params=VERSIONS, ids=["rekor-v1", "rekor-v2"])
def instance(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PrivateSigstore]:
    """An instance that the wrapper knows by its folder."""
    with PrivateSigstore(rekor_version=request.param) as running:
        (tmp_path / "trusted_root.json").write_bytes(running.trusted_root())
        (tmp_path / "signing_config.json").write_bytes(running.signing_config())
        monkeypatch.setenv(INSTANCE, str(tmp_path))
        yield running


def said(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str]:
    code = main([str(word) for word in words])
    return code, capsys.readouterr().err


@pytest.mark.parametrize("in_toto", [True, False], ids=["in-toto", "artifact"])
def test_signs_and_verifies_a_file_or_its_digest(
    in_toto: bool,
    instance: PrivateSigstore,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    statement = json.loads(STATEMENT)
    statement["subject"][0]["digest"]["sha256"] = hashlib.sha256(ARTIFACT).hexdigest()
    artifact, bundle = tmp_path / "a.txt", tmp_path / "a.sigstore.json"
    artifact.write_bytes(ARTIFACT)
    (tmp_path / "statement.json").write_text(json.dumps(statement))
    signed = ("--in-toto",) if in_toto else ()
    words = ("--identity-token", instance.token(), "--bundle", bundle)
    file = tmp_path / "statement.json" if in_toto else artifact
    assert said(capsys, "sign-bundle", *signed, *words, file) == (0, "")

    judge = Judge.OURS if in_toto else Judge.STOCK
    expected = (0, f"verified by {judge}\n")
    checked = ("verify-bundle", "--bundle", bundle, "--certificate-identity")
    issuer = ("--certificate-oidc-issuer", instance.issuer)
    digest = f"sha256:{hashlib.sha256(ARTIFACT).hexdigest()}"
    assert said(capsys, *checked, IDENTITY, *issuer, artifact) == expected
    assert said(capsys, *checked, IDENTITY, *issuer, digest) == expected
    assert said(capsys, *checked, "mallory@example.test", *issuer, artifact)[0] == 1
    artifact.write_bytes(b"other")
    assert said(capsys, *checked, IDENTITY, *issuer, artifact)[0] == 1


def test_verifies_our_key_bundle_and_no_other_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = forge.make_package(tmp_path)
    for name, signer in (("trusted", forge.TRUSTED), ("stranger", forge.STRANGER)):
        (tmp_path / f"{name}.pub").write_bytes(signer.public_pem())
    words = ("verify-bundle", "--bundle", package / forge.MANIFEST, "--key")
    app = package / "app.wasm"
    assert said(capsys, *words, tmp_path / "trusted.pub", app) == (0, "verified by infwasi\n")
    code, refusal = said(capsys, *words, tmp_path / "stranger.pub", app)
    assert code == 1
    assert refusal.startswith("refused: signed by a key that is not trusted")
    code, refusal = said(capsys, *words, tmp_path / "trusted.pub", tmp_path / "trusted.pub")
    assert (code, refusal) == (1, "refused: the artifact is no subject of the statement\n")
