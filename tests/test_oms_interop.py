"""The second opinion: what `model_signing` accepts of ours, and ours of what it made.

It is a child process, as its users run it; no option is given that a user would not give.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from infwasi_sign.adapters.model_directory import open_model_directory
from infwasi_sign.adapters.oms_keys import OmsKeyVerifier, load_oms_key, sign_oms
from infwasi_sign.domain.material import SigningMode
from infwasi_sign.domain.oms import encode_oms_payload, parse_oms_payload
from infwasi_sign.domain.oms_bundle import encode_oms_bundle, parse_oms_bundle
from infwasi_sign.errors import RefusedError
from infwasi_sign.oms_verify import VerifiedModel, verify_oms
from tests import forge
from tests.key_support import ED25519, P256, pkcs8_pem
from tests.oms_support import FILES, digest, make_model

TIMEOUT_SECONDS = 120


def model_signing(*words: str | Path) -> tuple[bool, str]:
    """Whether it said yes, and its last line."""
    done = subprocess.run(
        [sys.executable, "-m", "model_signing", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return done.returncode == 0, (done.stdout + done.stderr).strip().splitlines()[-1]


def plain_verify(model: Path, key: Path) -> tuple[bool, str]:
    signature = model / "model.sig"
    return model_signing("verify", "key", "--signature", signature, "--public_key", key, model)


def our_verify(model: Path, key: Path) -> VerifiedModel:
    with open_model_directory(model) as opened:
        return verify_oms(opened, signatures=OmsKeyVerifier(load_oms_key(key), name="key"))


def add_companion(package: Path) -> None:
    """What packing will do: sign every file but the signatures."""
    names = sorted(path.name for path in package.iterdir() if path.suffix in {".wasm", ".gguf"})
    files = [(name, digest((package / name).read_bytes())) for name in [*names, "bom.cdx.json"]]
    (package / "model.sig").write_bytes(sign_oms(P256, encode_oms_payload(package.name, files)))


YES = (True, "Verification succeeded")


# --- ours, read by model_signing -------------------------------------------------------------


def test_plain_model_signing_accepts_a_package_with_our_companion(tmp_path: Path) -> None:
    model = make_model(tmp_path)  # also writes the public key
    assert model.is_dir()
    key = tmp_path / "trusted.pub"
    package = forge.make_package(tmp_path)
    add_companion(package)
    assert sorted(path.name for path in package.iterdir()) == [
        "app.wasm",
        "bom.cdx.json",
        "manifest.sigstore.json",
        "model.gguf",
        "model.sig",
    ]
    assert plain_verify(package, key) == YES
    # a counter-signature comes later
    (package / "signatures").mkdir()
    (package / "signatures" / f"{'ab' * 32}.sigstore.json").write_text("{}")
    assert plain_verify(package, key) == YES
    # the package is moved, and called otherwise
    moved = tmp_path / "elsewhere" / "other"
    moved.parent.mkdir()
    package.rename(moved)
    assert plain_verify(moved, key) == YES
    assert len(our_verify(moved, key).files) == 3
    # and it still looks at every file
    (moved / "extra").write_bytes(b"")
    assert plain_verify(moved, key)[0] is False
    (moved / "extra").unlink()
    forge.flip(moved / "app.wasm", 40)
    assert plain_verify(moved, key)[0] is False


def test_plain_model_signing_accepts_nested_folders_and_no_other_key(tmp_path: Path) -> None:
    model = make_model(tmp_path)
    assert plain_verify(model, tmp_path / "trusted.pub") == YES
    accepted, said = plain_verify(model, tmp_path / "other.pub")
    assert not accepted
    assert "Key mismatch" in said


# --- made by model_signing, read by ours -----------------------------------------------------


def write_keys(folder: Path, secret: PrivateKeyTypes) -> tuple[Path, Path]:
    private, public = folder / "signer.key", folder / "signer.pub"
    private.write_bytes(pkcs8_pem(secret))
    public.write_bytes(
        secret.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_accepts_what_model_signing_signed(curve: ec.EllipticCurve, tmp_path: Path) -> None:
    model = make_model(tmp_path)
    (model / ".gitattributes").write_text("not signed by default")
    (model / "cache").mkdir()
    (model / "cache" / "x").write_text("not signed by wish")
    private, public = write_keys(tmp_path, ec.generate_private_key(curve))
    ignore = ("--ignore-paths", model / "cache")
    done = model_signing(
        *("sign", "key", "--signature", model / "model.sig", "--private_key", private),
        *ignore,
        model,
    )
    assert done == (True, "Signing succeeded")
    verified = our_verify(model, public)
    assert {file.path for file in verified.files} == set(FILES)
    assert verified.ignored == (".gitattributes", "cache")
    # attacks on it
    with pytest.raises(RefusedError) as caught:
        our_verify(model, tmp_path / "trusted.pub")
    assert caught.value.kind == "signer"
    (model / "onnx" / "new.bin").write_bytes(b"")
    with pytest.raises(RefusedError) as caught:
        our_verify(model, public)
    assert str(caught.value) == "file is not signed in onnx/new.bin"


def test_the_same_files_make_the_same_resources_and_root(tmp_path: Path) -> None:
    model = make_model(tmp_path)
    ours = parse_oms_bundle((model / "model.sig").read_bytes(), SigningMode.KEY)
    private, _ = write_keys(tmp_path, P256.secret)
    signature = model / "model.sig"
    model_signing("sign", "key", "--signature", signature, "--private_key", private, model)
    theirs = parse_oms_bundle(signature.read_bytes(), SigningMode.KEY)
    assert theirs.material == ours.material
    assert parse_oms_payload(theirs.envelope.payload) == parse_oms_payload(ours.envelope.payload)
    assert (
        encode_oms_bundle(theirs).replace(b" ", b"")
        == signature.read_bytes().replace(b" ", b"").replace(b"\n", b"") + b"\n"
    )


def test_a_model_of_one_file_is_called_by_its_name(tmp_path: Path) -> None:
    model = tmp_path / "one"
    model.mkdir()
    (model / "model.gguf").write_bytes(b"weights")
    private, public = write_keys(tmp_path, P256.secret)
    signature = model / "model.sig"
    done = model_signing(
        *("sign", "key", "--signature", signature, "--private_key", private),
        model / "model.gguf",
    )
    assert done[0], done
    assert [file.path for file in our_verify(model, public).files] == ["model.gguf"]
    (model / "model.gguf").rename(model / "other.gguf")
    with pytest.raises(RefusedError) as caught:
        our_verify(model, public)
    assert str(caught.value) == "file is missing in model.gguf"


# --- what we assume of it --------------------------------------------------------------------


def test_model_signing_has_no_ed25519(tmp_path: Path) -> None:
    """Why an Ed25519 key makes no companion."""
    model = make_model(tmp_path)
    secret = ED25519.secret
    assert isinstance(secret, ed25519.Ed25519PrivateKey)
    private, _ = write_keys(tmp_path, secret)
    signature = model / "model.sig"
    done = model_signing("sign", "key", "--signature", signature, "--private_key", private, model)
    assert not done[0]
