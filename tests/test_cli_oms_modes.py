"""`verify --oms` by certificates and by identities: what model_signing left, and what it makes."""

import importlib.resources
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from infwasi_sign.adapters.certificate_verifier import CertificateVerifier
from infwasi_sign.adapters.sigstore_identity import KeylessVerifier
from infwasi_sign.adapters.trust_fetch import PUBLIC_INSTANCE
from infwasi_sign.cli.verify_command import command
from infwasi_sign.domain.signer import SignerIdentity
from infwasi_sign.testing.sigstore import IDENTITY, PrivateSigstore
from tests.certificate_authority import IDENTITY as HOLDER
from tests.certificate_authority import ca, email, leaf
from tests.command_line import Done, infwasi
from tests.key_support import pkcs8_pem
from tests.oms_support import ANYBODY, FILES, make_model
from tests.test_cli_oms import HISTORY, copy_of, needs_history, vectors
from tests.test_oms_interop import model_signing
from tests.test_result import require_fits

SIGNED = (True, "Signing succeeded")
AUTHOR = ("--identity", "stefanb@us.ibm.com")  # who signed the vectors of the project
AUTHORS_ISSUER = ("--issuer", "https://sigstore.verify.ibm.com/oauth2")


def verify(place: Path, *words: str | Path, model: str = "model") -> Done:
    return infwasi("verify", "--oms", model, *words, cwd=place)


# --- vectors ---------------------------------------------------------------------------------


def public_root(folder: Path) -> tuple[str, str]:
    """The public trust root that came with sigstore-python."""
    store = importlib.resources.files("sigstore").joinpath(
        "_store", quote(PUBLIC_INSTANCE, safe="")
    )
    (folder / "root.json").write_bytes(store.joinpath("trusted_root.json").read_bytes())
    return "--trust-root", "root.json"


@needs_history
@pytest.mark.parametrize("vector", vectors("sigstore"), ids=lambda path: path.name)
def test_verifies_what_each_release_signed_by_an_identity(vector: Path, tmp_path: Path) -> None:
    model = copy_of(vector, tmp_path).name
    root = public_root(tmp_path)
    done = verify(tmp_path, *AUTHOR, *AUTHORS_ISSUER, *root, "--json", model=model)
    (value,) = done.documents
    require_fits(value)
    assert (done.code, done.said, value["policy"]) == (0, [], {"source": "--identity"})
    (signer,) = value["signers"]
    assert (signer["mode"], signer["identity"]) == ("keyless", AUTHOR[1])
    # another identity, another issuer, another file
    for words in (
        ("--identity", "stefanb@us.ibm.co", *AUTHORS_ISSUER),
        (*AUTHOR, "--issuer", "https://accounts.google.com"),
    ):
        done = verify(tmp_path, *words, *root, model=model)
        assert done.code == 1
        assert done.said[0].startswith("refused: signer: signed by an identity that is not trus")
    (tmp_path / model / "signme-1").write_text("x")
    done = verify(tmp_path, *AUTHOR, *AUTHORS_ISSUER, *root, model=model)
    assert done.code == 1
    assert done.said[0].startswith("refused: digest: digest differs in signme-1 ")


@needs_history
@pytest.mark.parametrize("vector", vectors("certificate"), ids=lambda path: path.name)
def test_verifies_the_certificates_of_the_releases(vector: Path, tmp_path: Path) -> None:
    """Their leaf calls itself a CA and can issue nothing (RFC 5280 section 4.2.1.9)."""
    assert HISTORY is not None
    model = copy_of(vector, tmp_path).name
    text = (HISTORY / "keys" / "ca-cert.pem").read_text()
    (tmp_path / "roots.pem").write_text(text[text.index("-----BEGIN") :])
    words = ("--certificate-identity", "intermediate-ca", "--certificate-roots", "roots.pem")
    done = verify(tmp_path, *words, model=model)
    if vector.name.startswith("v0.2"):
        assert done.code == 1
        assert done.said[0].startswith("refused: malformed: not an OMS signature of version 1.0 ")
    else:
        assert (done.code, done.said) == (0, [])
    other = ("--certificate-identity", "somebody", "--certificate-roots", "roots.pem")
    assert verify(tmp_path, *other, model=model).code == 1


# --- made by model_signing -------------------------------------------------------------------


@pytest.fixture(scope="module")
def instance() -> Iterator[PrivateSigstore]:
    with PrivateSigstore(rekor_version=1) as running:
        yield running


@pytest.fixture
def certified(tmp_path: Path) -> tuple[str, ...]:
    """A model that model_signing signed by a certificate, and whom to trust for it."""
    now = datetime.now(UTC)
    span = (now - timedelta(days=10), now + timedelta(days=10))
    root = ca("OMS Root", span=span)
    issuing = ca("OMS Issuing CA", root, span=span)
    holder = leaf(issuing, names=(email(HOLDER),), span=span)
    (tmp_path / "leaf.pem").write_bytes(holder.pem)
    (tmp_path / "chain.pem").write_bytes(issuing.pem)
    (tmp_path / "roots.pem").write_bytes(root.pem)
    (tmp_path / "leaf.key").write_bytes(pkcs8_pem(holder.key))
    model = make_model(tmp_path)
    done = model_signing(
        *("sign", "certificate", "--signature", model / "model.sig"),
        *("--private_key", tmp_path / "leaf.key", "--signing_certificate", tmp_path / "leaf.pem"),
        *("--certificate_chain", tmp_path / "chain.pem", model),
    )
    assert done == SIGNED
    return ("--certificate-identity", HOLDER, "--certificate-roots", "roots.pem")


@pytest.fixture
def keyless(tmp_path: Path, instance: PrivateSigstore) -> tuple[str, ...]:
    """A model that model_signing signed as an identity, and whom to trust for it."""
    (tmp_path / "config.json").write_bytes(instance.trust_config())
    model = make_model(tmp_path)
    done = model_signing(
        *("sign", "sigstore", "--signature", model / "model.sig"),
        *("--trust_config", tmp_path / "config.json"),
        *("--identity_token", instance.token(IDENTITY), model),
    )
    assert done == SIGNED
    issuer = ("--issuer", instance.issuer)
    return ("--identity", IDENTITY, *issuer, "--trust-root", "config.json")


@pytest.mark.parametrize("mode", ["certified", "keyless"])
def test_verifies_what_model_signing_signs(
    mode: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    words = request.getfixturevalue(mode)
    done = verify(tmp_path, *words, "--json")
    (value,) = done.documents
    require_fits(value)
    assert (done.code, done.said, value["policy"]["source"]) == (
        *(0, []),
        "--identity" if mode == "keyless" else "--certificate-roots",
    )
    assert {one["name"] for one in value["entries"]} == set(FILES)
    assert value["signers"][0]["identity"] == words[1]
    # in another mode than the one that is asked for
    done = verify(tmp_path, "--key", "trusted.pub")
    assert done.said[0].startswith("refused: malformed: not signed in the mode key in ")
    # attacks
    (tmp_path / "model" / "new.bin").write_bytes(b"")
    assert verify(tmp_path, *words).said[0] == "refused: extra: file is not signed in new.bin"
    (tmp_path / "model" / "new.bin").unlink()
    (tmp_path / "model" / "config.json").write_bytes(b"[]")
    assert (
        verify(tmp_path, *words)
        .said[0]
        .startswith("refused: digest: digest differs in config.json ")
    )


def test_refuses_the_certificate_of_somebody_else(
    certified: tuple[str, ...], tmp_path: Path
) -> None:
    words = ("--certificate-identity", "somebody@example.test", *certified[2:])
    done = verify(tmp_path, *words)
    assert done.code == 1
    assert done.said[0] == (
        "refused: signer: the certificate is that of nobody who is trusted in "
        "certificate 'CN=Release' (expected somebody@example.test)"
    )


def test_refuses_a_certificate_of_another_authority(
    certified: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "roots.pem").write_bytes(ca("Other Root").pem)
    done = verify(tmp_path, *certified)
    assert done.code == 1
    assert done.said[0].startswith("refused: signer: ")


def test_a_timestamp_that_is_demanded_is_missed(certified: tuple[str, ...], tmp_path: Path) -> None:
    shutil.copyfile(tmp_path / "roots.pem", tmp_path / "stamps.pem")
    done = verify(tmp_path, *certified, "--timestamp-roots", "stamps.pem")
    assert done.code == 1
    assert done.said[0].startswith("refused: signature: ")
    assert "timestamp" in done.said[0]


@pytest.mark.parametrize("other", ["--name", "--policy"])
def test_what_is_about_packages_does_not_go_with_it(
    other: str, certified: tuple[str, ...], tmp_path: Path
) -> None:
    done = verify(tmp_path, *(certified if other == "--name" else ()), other, "x")
    assert done.code == 2
    assert done.said[0].startswith(f"error: {other} does not go with --oms ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--identity", "x"), "an identity counts only with who vouches for it"),
        (("--key", "trusted.pub", "--identity", "x"), "--key and --identity exclude each other"),
        (("--identity", "", "--issuer", "x"), "the name is empty in --identity"),
        (("--identity-pattern", "", "--issuer", "x"), "the name is empty in --identity-pattern"),
        (("--identity", "x", "--issuer", ""), "the name is empty in --issuer"),
        (
            ("--certificate-identity", "", "--certificate-roots", "x"),
            "the name is empty in --certificate-identity",
        ),
        (("--key", "trusted.pub", "--trust-root", "x"), "a trust root is for identities"),
        (("--certificate-roots", "x"), "a certificate counts only with whose it is and who is"),
    ],
)
def test_one_signer_is_named_and_wholly(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    make_model(tmp_path)
    done = verify(tmp_path, *words)
    assert done.code == 2
    assert done.said[0].startswith(f"error: {said}")


# --- controls --------------------------------------------------------------------------------


def anybody(*_: object, **__: object) -> SignerIdentity:
    return ANYBODY


CHECKS = {"certified": (CertificateVerifier, "verify_oms"), "keyless": (KeylessVerifier, "verify")}


@pytest.mark.parametrize("mode", CHECKS)
def test_without_the_signers_check_anybody_signs(
    mode: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = list(request.getfixturevalue(mode))
    words[1] = "nobody@example.test"
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(command, ["--oms", "model", *words]).exit_code == 1
    monkeypatch.setattr(*CHECKS[mode], anybody)
    assert CliRunner().invoke(command, ["--oms", "model", *words]).exit_code == 0
