"""Bundles that nobody here wrote: the vectors of sigstore-conformance, of npm, and the OMS history.

They are not part of this repository (tests/external_vectors.py). A case that must be refused counts
only if its twin, the same without the fault, is accepted, and it says why it was refused; so nobody
passes by saying no.
"""

import base64
import hashlib
import json
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from infwasi_sign.adapters.certificate_files import read_certificates
from infwasi_sign.adapters.certificate_verifier import CertificateVerifier, OmsCertificateVerifier
from infwasi_sign.adapters.key_files import public_key_der
from infwasi_sign.adapters.keys import parse_public_key
from infwasi_sign.adapters.model_directory import open_model_directory
from infwasi_sign.adapters.sigstore_identity import (
    KeylessVerifier,
    OmsKeylessVerifier,
    TrustedIdentity,
)
from infwasi_sign.domain.bundle import pae
from infwasi_sign.domain.certified import CertificateTrust, TimestampRule
from infwasi_sign.domain.oms_bundle import OmsBundle
from infwasi_sign.domain.signer import SignerIdentity
from infwasi_sign.domain.trust_root import parse_trust_root
from infwasi_sign.errors import InfwasiError, RefusedError
from infwasi_sign.oms_verify import OmsVerifier, VerifiedModel, verify_oms
from tests.conformance.vectors import CASES, DIFFERENCES, IDENTITY, ISSUER
from tests.conformance.verifying import (
    Judge,
    Question,
    Signer,
    embedded_trusted_root,
    verify,
)
from tests.external_vectors import external_vectors, needs
from tests.key_support import OTHER_P256

SUITE: Final = external_vectors("sigstore-conformance")
HISTORY: Final = external_vectors("oms-history")
NPM: Final = external_vectors("npm-key-bundle")


# --- sigstore-conformance ---------------------------------------------------------------------


def folders() -> list[str]:
    if SUITE is None:
        return []
    return sorted(path.name for path in (SUITE / "bundle-verify").iterdir() if path.is_dir())


def question(name: str) -> Question:
    """What the suite asks of a case (its test/client.py, `BundleMaterials.from_dir`)."""
    assert SUITE is not None
    folder = SUITE / "bundle-verify" / name

    def read(file: str, otherwise: bytes) -> bytes:
        path = folder / file
        return path.read_bytes() if path.exists() else otherwise

    artifact = read("artifact", (SUITE / "bundle-verify" / "a.txt").read_bytes())
    key = read("key.pub", b"")
    return Question(
        bundle=(folder / "bundle.sigstore.json").read_bytes(),
        sha256=hashlib.sha256(artifact).digest(),
        signer=Signer(
            identity=read("identity", IDENTITY).decode().strip(),
            issuer=read("issuer", ISSUER).decode().strip(),
            key=key or None,
        ),
        trusted_root=read("trusted_root.json", embedded_trusted_root()),
    )


@cache
def answer(name: str) -> Judge | str:
    """Who accepts it, or why it is refused."""
    try:
        return verify(question(name))
    except InfwasiError as e:
        return str(e)


@needs("sigstore-conformance")
def test_every_case_of_the_suite_has_its_line_here() -> None:
    names = folders()
    assert len(names) >= 70
    assert names == sorted(CASES)
    assert set(DIFFERENCES) <= set(names)


@needs("sigstore-conformance")
@pytest.mark.parametrize("name", [name for name in folders() if not name.endswith("_fail")])
def test_accepts_a_bundle_that_others_made(name: str) -> None:
    if name in DIFFERENCES:
        said = answer(name)
        assert not isinstance(said, Judge), "it is accepted now: take it out of DIFFERENCES"
        assert DIFFERENCES[name].says in said
    else:
        assert answer(name) is CASES[name].judge


@needs("sigstore-conformance")
@pytest.mark.parametrize("name", [name for name in folders() if name.endswith("_fail")])
def test_refuses_its_twin_with_a_fault(name: str) -> None:
    case = CASES[name]
    assert case.twin is not None
    said = answer(name)
    assert not isinstance(said, Judge)
    assert case.says in said
    if case.twin in DIFFERENCES:
        pytest.skip(f"refused, and does not count: {DIFFERENCES[case.twin].why}")
    assert isinstance(answer(case.twin), Judge)


@needs("sigstore-conformance")
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.twin is None])
def test_another_signer_or_artifact_is_refused(name: str) -> None:
    """What the suite does not ask of its happy cases."""
    if name in DIFFERENCES:
        pytest.skip(DIFFERENCES[name].why)
    asked = question(name)
    stranger = (
        Signer(identity="mallory@example.test", issuer=asked.signer.issuer)
        if asked.signer.key is None
        else Signer(key=pem(OTHER_P256.public.spki_der))
    )
    for signer, sha256 in ((stranger, asked.sha256), (asked.signer, bytes(32))):
        with pytest.raises(RefusedError):
            verify(
                Question(
                    bundle=asked.bundle,
                    sha256=sha256,
                    signer=signer,
                    trusted_root=asked.trusted_root,
                )
            )


def pem(spki_der: bytes) -> bytes:
    body = base64.encodebytes(spki_der).decode().replace("\n", "")
    lines = "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    return f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n".encode()


# --- a bundle of the npm registry -------------------------------------------------------------


@needs("npm-key-bundle")
def test_our_key_code_verifies_what_the_npm_registry_signed() -> None:
    """Its bundle is v0.1 with a log entry of a kind that is no longer written: not our format.

    The envelope is that of DSSE, and the key is one of P-256.
    """
    assert NPM is not None
    envelope = json.loads((NPM / "bundle-publish.json").read_bytes())["dsseEnvelope"]
    key = parse_public_key(
        public_key_der(rewrapped((NPM / "publish_key.pub").read_text()), where="key"), where="key"
    )
    (only,) = envelope["signatures"]
    assert only["keyid"] == key.ssh_fingerprint
    signature, payload = (base64.b64decode(text) for text in (only["sig"], envelope["payload"]))
    assert key.made(signature, pae(envelope["payloadType"], payload))
    assert not key.made(signature, pae(envelope["payloadType"], payload + b" "))
    assert not key.made(signature, pae("text/plain", payload))
    assert not OTHER_P256.public.made(signature, pae(envelope["payloadType"], payload))


def rewrapped(text: str) -> bytes:
    """Its PEM has lines of any length; RFC 7468 section 3 lets a strict reader refuse that."""
    return pem(base64.b64decode("".join(text.splitlines()[1:-1])))


# --- the OMS history --------------------------------------------------------------------------

OMS_IDENTITY: Final = "stefanb@us.ibm.com"
OMS_ISSUER: Final = "https://sigstore.verify.ibm.com/oauth2"


def history(mode: str) -> Iterable[str]:
    """The releases that sign as OMS v1.0 has it; 0.2.0 does not (tests/test_cli_oms.py)."""
    found = [] if HISTORY is None else sorted(HISTORY.glob(f"v*-{mode}"))
    return [path.name for path in found if not path.name.startswith("v0.2")]


def copy_of(name: str, folder: Path) -> Path:
    """The model as its signer saw it; releases before 1.1 did not write down what they ignored."""
    assert HISTORY is not None
    model = folder / "model"
    model.mkdir()
    for path in (HISTORY / name).iterdir():
        if name.startswith("v1.1") or path.name != "ignore-me":
            shutil.copyfile(path, model / path.name)
    return model


def verify_model(model: Path, verifier: OmsVerifier) -> VerifiedModel:
    with open_model_directory(model) as opened:
        return verify_oms(opened, signatures=verifier)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


def by_identity(identity: str = OMS_IDENTITY) -> OmsKeylessVerifier:
    now = datetime.now(UTC)
    root = parse_trust_root(embedded_trusted_root(), source="sigstore", written_at=now)
    trusted = TrustedIdentity(name="release", identity=identity, issuer=OMS_ISSUER)
    return OmsKeylessVerifier(KeylessVerifier([trusted], lambda: root, now))


@needs("oms-history")
@pytest.mark.parametrize("name", history("sigstore"))
def test_verifies_what_each_release_signed_by_an_identity(name: str, tmp_path: Path) -> None:
    """Under the public instance's root, offline."""
    model = copy_of(name, tmp_path)
    verified = verify_model(model, by_identity())
    assert (verified.signer.identity, verified.signer.issuer) == (OMS_IDENTITY, OMS_ISSUER)
    assert [file.path for file in verified.files] == ["signme-1", "signme-2"]
    with pytest.raises(RefusedError) as caught:
        verify_model(model, by_identity("mallory@us.ibm.com"))
    assert caught.value.kind == "signer"
    flip(model / "signme-1")
    with pytest.raises(RefusedError) as caught:
        verify_model(model, by_identity())
    assert caught.value.kind == "digest"


def by_certificate(root: str = "ca-cert.pem") -> OmsCertificateVerifier:
    assert HISTORY is not None
    trust = CertificateTrust(
        name="release",
        identity="intermediate-ca",
        roots=read_certificates(HISTORY / "keys" / root),
        intermediates=(),
        timestamp_roots=(),
        timestamp=TimestampRule.CURRENT_TIME,
    )
    return OmsCertificateVerifier(CertificateVerifier([trust], datetime(2025, 6, 1, tzinfo=UTC)))


@needs("oms-history")
class AsOurs(OmsCertificateVerifier):
    """Judges a certificate as that of a package of ours."""

    def verify(self, bundle: OmsBundle) -> SignerIdentity:
        return self._verifier.verify_oms(bundle)


@pytest.mark.parametrize("name", history("certificate"))
def test_verifies_the_certificates_of_the_releases(name: str, tmp_path: Path) -> None:
    """Their leaf says that it is a CA, and its keyUsage that it can issue nothing.

    That is borne for models from elsewhere, and never for packages of ours.
    """
    model = copy_of(name, tmp_path)
    verified = verify_model(model, by_certificate())
    assert verified.signer.name == "release"
    assert [file.path for file in verified.files] == ["signme-1", "signme-2"]
    with pytest.raises(RefusedError) as caught:
        verify_model(model, AsOurs(by_certificate()._verifier))
    assert (caught.value.kind, caught.value.what) == (
        "signer",
        "the certificate is that of a CA",
    )
    flip(model / "signme-1")
    with pytest.raises(RefusedError) as caught:
        verify_model(model, by_certificate())
    assert caught.value.kind == "digest"


@needs("oms-history")
def test_the_history_is_not_empty() -> None:
    assert len(list(history("sigstore"))) == 4
    assert len(list(history("certificate"))) == 4
