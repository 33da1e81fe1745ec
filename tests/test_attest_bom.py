"""`pack --attest-bom`: the BOM as an attestation beside the package, which scanners can verify."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from sigstore.models import Bundle, ClientTrustConfig
from sigstore.verify import Verifier, policy

from infwasi_sign.adapters.attestation_file import AttestationFile, attestation_path
from infwasi_sign.adapters.key_files import load_public_key, write_key_pair
from infwasi_sign.adapters.keys import KeyKind, KeyVerifier, TrustedKey
from infwasi_sign.domain.bom_statement import encode_bom_statement
from infwasi_sign.domain.bundle import parse_bundle
from infwasi_sign.domain.manifest import Manifest
from infwasi_sign.domain.statement import parse_statement
from infwasi_sign.errors import RefusedError, UndecidedError
from infwasi_sign.testing.sigstore import PrivateSigstore
from tests import forge
from tests.command_line import environment, infwasi
from tests.gguf_forge import tiny_gguf

PROJECT = '[package]\nname = "capital"\nversion = "1.0.0"\n[model]\npath = "tiny.gguf"\n'
PACKAGE, ATTESTATION = "dist/capital-1.0.0", "dist/capital-1.0.0.bom.sigstore.json"
PACK = ("pack", "--sign", "--key", "release.key", "--attest-bom")
CAROL = "carol@example.test"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "infwasi.toml").write_text(PROJECT)
    (tmp_path / "tiny.gguf").write_bytes(tiny_gguf())
    write_key_pair(tmp_path / "release", KeyKind.P256, None)
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "dist").iterdir())


def test_the_statement_is_about_app_and_model_and_says_the_bom(project: Path) -> None:
    done = infwasi(*PACK, cwd=project)
    assert done.transcript == (0, f"{PACKAGE}\n{ATTESTATION}\n", [])
    payload = parse_bundle((project / ATTESTATION).read_bytes()).envelope.payload
    statement = json.loads(payload)
    signed = forge.statement(project / PACKAGE)
    assert statement == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [one for one in signed["subject"] if one["name"] != "bom.cdx.json"],
        "predicateType": "https://cyclonedx.org/bom",
        "predicate": json.loads((project / PACKAGE / "bom.cdx.json").read_bytes()),
    }
    assert [one["name"] for one in statement["subject"]] == ["app.wasm", "model.gguf"]
    assert infwasi("verify", PACKAGE, "--key", "release.pub", "-q", cwd=project).code == 0


def test_by_a_key_it_verifies_and_a_changed_one_does_not(project: Path) -> None:
    infwasi(*PACK, cwd=project)
    key = TrustedKey(name="release", public_key=load_public_key(project / "release.pub"))
    data = (project / ATTESTATION).read_bytes()
    bundle = parse_bundle(data)
    assert KeyVerifier([key]).verify(bundle).name == "release"
    # it is no manifest: nobody can put it in the place of one
    with pytest.raises(RefusedError, match="not an infwasi manifest"):
        parse_statement(bundle.envelope.payload)
    (project / PACKAGE / forge.MANIFEST).write_bytes(data)
    done = infwasi("verify", PACKAGE, "--key", "release.pub", cwd=project)
    assert done.code == 1
    assert done.said[0].startswith("refused: malformed: not an infwasi manifest ")


@pytest.fixture(params=[1, 2], ids=["rekor-v1", "rekor-v2"])
def instance(request: pytest.FixtureRequest) -> Iterator[PrivateSigstore]:
    version: Literal[1, 2] = request.param
    with PrivateSigstore(rekor_version=version) as running:
        yield running


def test_by_an_identity_sigstore_verifies_it(project: Path, instance: PrivateSigstore) -> None:
    (project / "config.json").write_bytes(instance.trust_config())
    token = ("--identity-token", instance.token(CAROL), "--trust-config", "config.json")
    assert infwasi("pack", "--sign", *token, "--attest-bom", cwd=project).code == 0
    data = (project / ATTESTATION).read_bytes()
    root = ClientTrustConfig.from_json(instance.trust_config().decode()).trusted_root
    expected = policy.Identity(identity=CAROL, issuer=instance.issuer)
    kind, payload = Verifier(trusted_root=root).verify_dsse(Bundle.from_json(data), expected)
    assert kind == "application/vnd.in-toto+json"
    assert json.loads(payload)["predicateType"] == "https://cyclonedx.org/bom"
    # and the command line of sigstore, for each file that the statement is about, and no other
    for name, is_subject in (("app.wasm", True), ("model.gguf", True), ("bom.cdx.json", False)):
        assert (sigstore_verifies(project, instance, name)) is is_subject, name


def sigstore_verifies(project: Path, instance: PrivateSigstore, name: str) -> bool:
    command = (
        *(sys.executable, "-m", "sigstore", "--trust-config", "config.json"),
        *("verify", "identity", "--offline", "--bundle", ATTESTATION),
        *("--cert-identity", CAROL, "--cert-oidc-issuer", instance.issuer, f"{PACKAGE}/{name}"),
    )
    done = subprocess.run(
        command, cwd=project, env=environment(), capture_output=True, timeout=60, check=False
    )
    assert b"Traceback" not in done.stderr, done.stderr
    return done.returncode == 0


def test_the_path_is_in_the_result_for_machines(project: Path) -> None:
    done = infwasi(*PACK, "--json", cwd=project)
    assert done.documents == [{"bomAttestation": ATTESTATION, "package": PACKAGE, "signed": True}]


# --- refusals --------------------------------------------------------------------------------


def test_who_does_not_sign_attests_nothing(project: Path) -> None:
    said = ["error: an attestation is signed", "hint: add --sign"]
    assert infwasi("pack", "--attest-bom", cwd=project).transcript == (2, "", said)
    assert not (project / "dist").exists()


def test_one_that_is_there_is_not_written_over(project: Path) -> None:
    (project / "dist").mkdir()
    (project / ATTESTATION).write_bytes(b"of somebody else")
    said = [
        f"error: attestation exists already in {ATTESTATION}",
        "hint: --force replaces it",
    ]
    assert infwasi(*PACK, cwd=project).transcript == (2, "", said)
    assert names(project) == ["capital-1.0.0.bom.sigstore.json"]
    assert (project / ATTESTATION).read_bytes() == b"of somebody else"
    assert infwasi(*PACK, "--force", cwd=project).code == 0
    parse_bundle((project / ATTESTATION).read_bytes())


def test_a_pack_that_fails_leaves_none(project: Path) -> None:
    (project / "tiny.gguf").write_bytes(b"GGUF")
    assert infwasi(*PACK, cwd=project).code == 1
    assert names(project) == []


def test_one_that_is_about_another_package_is_pointed_at(project: Path) -> None:
    infwasi(*PACK, cwd=project)
    note = f"note: {ATTESTATION} is about another bill of materials"
    done = infwasi("pack", "--sign", "--key", "release.key", "--force", cwd=project)
    assert done.transcript == (0, f"{PACKAGE}\n", [note])
    done = infwasi(
        *("renew", PACKAGE, "--trust-key", "release.pub", "--key", "release.key"),
        *("--sequence", "9000000000", "--accept-jump"),
        cwd=project,
    )
    assert done.said[-2:] == [
        f"note: {project / ATTESTATION} is about the old bill of materials",
        "warning: the sequence is more than a year ahead of the time in seconds: verifiers refuse "
        "it without --accept-jump",
    ]


def test_a_bom_that_no_reader_takes_is_not_attested(tmp_path: Path) -> None:
    package = forge.make_package(tmp_path)
    bundle = parse_bundle((package / forge.MANIFEST).read_bytes())
    manifest: Manifest = parse_statement(bundle.envelope.payload)
    with pytest.raises(UndecidedError) as caught:
        encode_bom_statement(manifest, b'{"x":"' + b"y" * 700_000 + b'"}')
    assert str(caught.value) == (
        "the bill of materials is too large for an attestation "
        "(expected at most 688128 bytes, got 700336)"
    )


# --- the file --------------------------------------------------------------------------------


@pytest.mark.parametrize("is_written", [True, False])
def test_without_a_commit_nothing_is_left(tmp_path: Path, is_written: bool) -> None:
    with AttestationFile(tmp_path / "x-1", overwrite=False) as file:
        if is_written:
            file.write(b"one")
            assert [path.name[:8] for path in tmp_path.iterdir()] == [".x-1.bom"]
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_removed_and_what_a_living_one_writes_is_not(
    tmp_path: Path,
) -> None:
    left = tmp_path / f".x-1.bom.sigstore.json.{'0' * 16}.tmp"
    left.write_bytes(b"half")
    with AttestationFile(tmp_path / "x-1", overwrite=False) as first:
        first.write(b"one")
        with AttestationFile(tmp_path / "x-1", overwrite=True) as second:
            second.write(b"two")
            second.commit()
        assert not left.exists()
        with pytest.raises(UndecidedError, match="attestation exists already"):
            first.commit()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"two"]


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    target = attestation_path(tmp_path / "x-1")
    (tmp_path / "other").write_bytes(b"kept")
    target.symlink_to("other")
    with pytest.raises(UndecidedError, match="attestation exists already"):
        AttestationFile(tmp_path / "x-1", overwrite=False).require_free()
    with AttestationFile(tmp_path / "x-1", overwrite=True) as file:
        file.write(b"one")
        file.commit()
    assert (tmp_path / "other").read_bytes() == b"kept"
    assert not target.is_symlink()
