"""Transcripts of `verify --oms`, and the signatures that every release of model_signing left."""

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from infwasi_sign.adapters.key_files import public_pem
from infwasi_sign.adapters.model_directory import open_model_directory
from infwasi_sign.adapters.oms_keys import parse_oms_key
from infwasi_sign.cli.renderers import Format, render
from infwasi_sign.domain.bundle import pae
from infwasi_sign.domain.material import SigningMode
from infwasi_sign.domain.oms import parse_oms_payload
from infwasi_sign.domain.oms_bundle import (
    OmsBundle,
    OmsKeyMaterial,
    encode_oms_bundle,
    parse_oms_bundle,
)
from infwasi_sign.domain.result import AcceptedModel, Circumstances, ComputedEntry
from infwasi_sign.domain.signer import SignerIdentity
from infwasi_sign.errors import MalformedError
from infwasi_sign.oms_verify import verify_oms
from tests.command_line import infwasi
from tests.external_vectors import external_vectors, needs
from tests.forge import NOW
from tests.key_support import ED25519
from tests.oms_support import FILES, AnyOmsSigner, digest, make_model, payload_of
from tests.test_result import require_fits

KEY = ("--key", "trusted.pub")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    make_model(tmp_path)
    return tmp_path


# --- transcripts -----------------------------------------------------------------------------


def test_says_who_signed_what_and_what_nobody_signed(place: Path) -> None:
    (place / "model" / ".gitignore").write_text("")
    done = infwasi("verify", "--oms", "model", *KEY, cwd=place)
    lines = done.out.splitlines()
    assert (done.code, done.said) == (0, [])
    assert lines[0].startswith("verified: model directory, signed by trusted (ecdsa-p256-sha256 ")
    assert lines[1:-2] == [
        line
        for name, content in sorted(FILES.items())
        for line in (
            f"  resource   {name}  {len(content)} bytes",
            f"             {digest(content)}",
        )
    ]
    assert lines[-2] == "  ignored    .gitignore  not signed, not looked at"
    assert lines[-1].startswith("  confined   ")


def test_json_has_the_same_facts_and_fits_the_schema(place: Path) -> None:
    done = infwasi("verify", "--oms", "model", *KEY, "--json", cwd=place)
    (value,) = done.documents
    require_fits(value)
    assert (done.code, value["verdict"], value["policy"]) == (0, "verified", {"source": "--key"})
    assert value["omsPayload"] == str(digest(payload_of()))
    assert value["omsRoot"] == str(parse_oms_payload(payload_of()).root)
    assert {one["name"]: one["computed"] for one in value["entries"]} == {
        name: {"sha256": digest(content).hex} for name, content in FILES.items()
    }
    assert (value["ignored"], [one["name"] for one in value["signers"]]) == ([], ["trusted"])


@pytest.mark.parametrize("form", ["sarif", "github"])
def test_the_other_forms_have_it_too(form: str, place: Path) -> None:
    done = infwasi("verify", "--oms", "model", *KEY, "--format", form, cwd=place)
    assert (done.code, done.said) == (0, [])
    assert "onnx/decoder/model.onnx" in done.out
    if form == "sarif":
        (run,) = done.documents[0]["runs"]
        assert run["results"] == []
        require_fits(run["properties"]["result"])


def test_names_on_disk_lead_no_reader_of_a_summary() -> None:
    hostile = "</code><script>\u202e\n| @team"
    signer = SignerIdentity(name=hostile, algorithm="ecdsa-p256-sha256", fingerprint="00" * 32)
    result = AcceptedModel(
        circumstances=Circumstances(location=hostile, at=NOW),
        signers=(signer,),
        payload=digest(b""),
        root=digest(b""),
        files=(ComputedEntry(name=hostile, role="resource", size_bytes=0, digests=(digest(b""),)),),
        ignored=(hostile,),
    )
    require_fits(result.to_json())
    summary = render(result, Format.GITHUB)
    assert summary.isascii()
    assert "<script>" not in summary
    assert "\n|" not in summary
    text = render(result, Format.TEXT)
    assert len(text.splitlines()) == 4
    assert "\u202e" not in text


def test_a_refusal_is_the_same_in_text_and_json(place: Path) -> None:
    (place / "model" / "evil\x1b.py").write_text("")
    text = infwasi("verify", "--oms", "model", *KEY, cwd=place)
    assert text.transcript == (
        1,
        "",
        [
            "refused: extra: file is not signed in evil\\u{1b}.py",
            "hint: take it out of the directory, or have the model signed with it",
        ],
    )
    done = infwasi("verify", "--oms", "model", *KEY, "--json", cwd=place)
    (value,) = done.documents
    require_fits(value)
    assert (done.code, done.said, value["kind"]) == (1, text.said, "extra")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            ["model"],
            2,
            [
                "error: nobody is trusted (expected --key, --certificate-roots or --identity)",
                "hint: say whose signature counts: --key FILE",
            ],
        ),
        (
            ["model", "--key", "ed25519.pub"],
            2,
            [
                "error: key type is not one that OMS signatures have in ed25519.pub "
                "(expected P-256, P-384 or P-521, got Ed25519)"
            ],
        ),
        (
            ["model", *KEY, "--commit"],
            2,
            [
                "error: --commit does not go with --oms "
                "(expected --oms DIRECTORY with --key, --certificate-roots or --identity)",
                "hint: leave out --commit, or leave out --oms",
            ],
        ),
        (
            ["model", *KEY, "--policy", "site.toml"],
            2,
            [
                "error: --policy does not go with --oms "
                "(expected --oms DIRECTORY with --key, --certificate-roots or --identity)",
                "hint: leave out --policy, or leave out --oms",
            ],
        ),
        (["nothing", *KEY], 2, ["error: no model directory there in nothing"]),
        (
            ["empty", *KEY],
            1,
            [
                "refused: unsigned: model directory has no OMS signature in empty "
                "(expected model.sig, got no such file)",
                "hint: get the signed model; who publishes it signs it with `model_signing sign`",
            ],
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_is_not_verified_is_one_line(
    words: list[str], code: int, said: list[str], place: Path
) -> None:
    (place / "ed25519.pub").write_text(public_pem(ED25519.public))
    (place / "empty").mkdir()
    assert infwasi("verify", "--oms", *words, cwd=place).transcript == (code, "", said)


# --- vectors of model_signing, all releases ---------------------------------------------------

HISTORY = external_vectors("oms-history")
needs_history = needs("oms-history")


def vectors(*modes: str) -> list[Path]:
    """The directories of these modes; none where the collection is not there."""
    found = sorted(HISTORY.glob("v*")) if HISTORY else []
    return [path for path in found if path.name.split("-", 1)[1] in modes]


def copy_of(vector: Path, folder: Path) -> Path:
    """The vector as its signer saw it, and `signer.pub` beside it.

    Releases before 1.1 did not write down what they were told to ignore: it is taken away. The key
    file of the collection has text before its one PEM block.
    """
    assert HISTORY is not None
    model = folder / vector.name
    model.mkdir()
    for path in vector.iterdir():
        shutil.copyfile(path, model / path.name)
    if not vector.name.startswith("v1.1"):
        (model / "ignore-me").unlink(missing_ok=True)
    text = (HISTORY / "keys" / "signing-key-pub.pem").read_text()
    (folder / "signer.pub").write_text(text[text.index("-----BEGIN") :])
    return model


@needs_history
def test_the_collection_is_whole() -> None:
    names = {path.name for path in vectors("certificate", "elliptic-key", "sigstore")}
    assert len(names) == 13
    assert {"v0.3.1-elliptic-key", "v1.1.0-sigstore", "v0.2.0-certificate"} <= names


@needs_history
@pytest.mark.parametrize("vector", vectors("elliptic-key"), ids=lambda path: path.name)
def test_verifies_what_each_release_signed_by_a_key(vector: Path, tmp_path: Path) -> None:
    model = copy_of(vector, tmp_path)
    done = infwasi("verify", "--oms", model.name, "--key", "signer.pub", "--json", cwd=tmp_path)
    (value,) = done.documents
    assert (done.code, done.said) == (0, [])
    assert [one["algorithm"] for one in value["signers"]] == ["ecdsa-p384-sha384"]
    signed = {path.name for path in model.iterdir()} - {"model.sig", "ignore-me"}
    assert {one["name"] for one in value["entries"]} == signed
    assert value["ignored"] == (["ignore-me"] if vector.name.startswith("v1.1") else [])
    # one bit
    data = bytearray((model / "signme-1").read_bytes())
    data[0] ^= 1
    (model / "signme-1").write_bytes(data)
    done = infwasi("verify", "--oms", model.name, "--key", "signer.pub", cwd=tmp_path)
    assert done.code == 1
    assert done.said[0].startswith("refused: digest: digest differs in signme-1 ")


@needs_history
def test_what_an_old_release_ignored_without_signing_it_is_extra(tmp_path: Path) -> None:
    (vector,) = (path for path in vectors("elliptic-key") if path.name.startswith("v1.0.1"))
    model = copy_of(vector, tmp_path)
    (model / "ignore-me").write_bytes(b"")
    done = infwasi("verify", "--oms", model.name, "--key", "signer.pub", cwd=tmp_path)
    assert done.code == 1
    assert done.said[0] == "refused: extra: file is not signed in ignore-me"


@needs_history
@pytest.mark.parametrize("vector", vectors("certificate", "sigstore"), ids=lambda path: path.name)
def test_reads_the_other_modes_and_holds_the_files_to_them(vector: Path, tmp_path: Path) -> None:
    """Who signed is judged in test_cli_oms_modes.py; here are bundle, payload and files."""
    is_keyless = vector.name.endswith("sigstore")
    mode = SigningMode.KEYLESS if is_keyless else SigningMode.CERTIFICATE
    model = copy_of(vector, tmp_path)
    with open_model_directory(model) as opened:
        if vector.name.startswith("v0.2"):
            with pytest.raises(MalformedError) as caught:
                verify_oms(opened, signatures=AnyOmsSigner(mode))
            assert caught.value.hint is not None
            assert "model_signing 0.2 made it" in caught.value.hint
            return
        verified = verify_oms(opened, signatures=AnyOmsSigner(mode))
    assert [file.path for file in verified.files] == ["signme-1", "signme-2"]
    done = infwasi("verify", "--oms", model.name, "--key", "signer.pub", cwd=tmp_path)
    assert done.code == 1
    assert done.said[0].startswith("refused: malformed: not signed in the mode key in ")


@needs_history
@pytest.mark.parametrize(
    "vector", vectors("certificate", "elliptic-key"), ids=lambda path: path.name
)
def test_only_release_0_2_signed_other_bytes_than_dsse_says(vector: Path, tmp_path: Path) -> None:
    """What we assume of the releases: no second form of the signed bytes is needed."""
    model = copy_of(vector, tmp_path)
    mode = SigningMode.KEY if vector.name.endswith("key") else SigningMode.CERTIFICATE
    envelope = parse_oms_bundle((model / "model.sig").read_bytes(), mode).envelope
    key = serialization.load_pem_public_key((tmp_path / "signer.pub").read_bytes())
    spki = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signed = pae(envelope.payload_type, envelope.payload)
    made = parse_oms_key(spki, where="key").made(envelope.signature, signed)
    assert made is not vector.name.startswith("v0.2")


@needs_history
def test_release_0_2_is_refused_with_a_hint(tmp_path: Path) -> None:
    (vector,) = (path for path in vectors("certificate") if path.name.startswith("v0.2"))
    model = copy_of(vector, tmp_path)
    bundle = parse_oms_bundle((model / "model.sig").read_bytes(), SigningMode.CERTIFICATE)
    by_key = OmsBundle(envelope=bundle.envelope, material=OmsKeyMaterial(hint=None))
    (model / "model.sig").write_bytes(encode_oms_bundle(by_key))
    done = infwasi("verify", "--oms", model.name, "--key", "signer.pub", cwd=tmp_path)
    assert done.transcript == (
        1,
        "",
        [
            "refused: malformed: not an OMS signature of version 1.0 in payload.predicateType "
            "(expected https://model_signing/signature/v1.0, "
            "got https://model_signing/Digests/v0.1)",
            "hint: model_signing 0.2 made it: ask for a signature by model_signing 1.0 or newer",
        ],
    )


@needs_history
@pytest.mark.parametrize(
    "vector", vectors("certificate", "elliptic-key", "sigstore"), ids=lambda path: path.name
)
def test_every_payload_of_1_0_says_what_its_json_says(vector: Path) -> None:
    bundle: Any = json.loads((vector / "model.sig").read_bytes())
    payload = base64.b64decode(bundle["dsseEnvelope"]["payload"])
    value = json.loads(payload)
    if vector.name.startswith("v0.2"):
        return
    read = parse_oms_payload(payload)
    assert read.root.hex == value["subject"][0]["digest"]["sha256"]
    assert read.ignored == tuple(
        sorted(value["predicate"]["serialization"].get("ignore_paths", ()))
    )
