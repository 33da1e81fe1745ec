"""npm's `@sigstore/verify`, a second implementation, judges our bundles of every mode.

It verifies the signature and who made it; whether a file is the one that was signed is for its
caller, here and in npm. Key and certificate bundles have no log entry, so no log is asked for.
"""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from infwasi_sign.testing.sigstore import IDENTITY
from tests.certificate_authority import OTHER_ROOT
from tests.conftest import ROOT
from tests.forge import STRANGER
from tests.interop_support import (
    CERTIFICATE_MODES,
    KEY_MODES,
    KEYLESS_MODES,
    Signed,
    SignedPackages,
    payload_of,
    rebind,
    sigstore_js,
)

ACCEPTED_MODES = (*KEY_MODES, "certificate-stamped", *KEYLESS_MODES)


def job(signed: Signed, document: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """What somebody who trusts the signer would ask."""
    text = signed.bundle.read_text() if document is None else json.dumps(document)
    keys, identity = {}, None
    logs, timestamps = 0, 0
    if signed.mode in KEY_MODES:
        hint = signed.document()["verificationMaterial"]["publicKey"]["hint"]
        keys = {hint: spki(signed)}
    if signed.mode == "certificate-stamped":
        timestamps = 1
    if signed.mode in KEYLESS_MODES:
        logs = timestamps = 1
        identity = {"subject": IDENTITY, "issuer": signed.issuer}
    return {
        "bundle": text,
        "trustedRoot": signed.trusted_root,
        "keys": keys,
        "thresholds": {
            "ctlogThreshold": logs,
            "tlogThreshold": logs,
            "timestampThreshold": timestamps,
        },
        "identity": identity,
        **changes,
    }


def spki(signed: Signed) -> str:
    key = serialization.load_pem_public_key((signed.folder / "release.pub").read_bytes())
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(der).decode()


def other_payload(signed: Signed) -> dict[str, Any]:
    """The signed statement with another digest for the component."""
    document = signed.document()
    statement = json.loads(payload_of(document))
    statement["subject"][0]["digest"]["sha256"] = "00" * 32
    rebind(document, json.dumps(statement).encode())
    return document


def other_signature(signed: Signed) -> dict[str, Any]:
    """A signature of which one bit of the last byte is another."""
    document = signed.document()
    (signature,) = document["dsseEnvelope"]["signatures"]
    data = bytearray(base64.b64decode(signature["sig"]))
    data[-1] ^= 1
    signature["sig"] = base64.b64encode(data).decode()
    return document


@pytest.mark.parametrize("mode", ACCEPTED_MODES)
def test_accepts_the_bundle_and_not_its_tampered_twins(mode: str, packages: SignedPackages) -> None:
    signed = packages[mode]
    honest, payload, signature = sigstore_js(
        [
            job(signed),
            job(signed, other_payload(signed)),
            job(signed, other_signature(signed)),
        ]
    )
    assert honest == {"payload": base64.b64encode(payload_of(signed.document())).decode()}
    assert payload["code"] == ("TLOG_BODY_ERROR" if mode in KEYLESS_MODES else "SIGNATURE_ERROR")
    assert signature["code"] == ("SIGNATURE_ERROR" if mode in KEY_MODES else "TIMESTAMP_ERROR")


@pytest.mark.parametrize("mode", KEY_MODES)
def test_the_key_is_the_verifiers(mode: str, packages: SignedPackages) -> None:
    signed = packages[mode]
    (hint,) = job(signed)["keys"]
    stranger = base64.b64encode(STRANGER.public_key()).decode()
    nobody, other = sigstore_js([job(signed, keys={}), job(signed, keys={hint: stranger})])
    assert nobody == {"code": "PUBLIC_KEY_ERROR", "error": f"key not found: {hint}"}
    assert other["code"] == "SIGNATURE_ERROR"


def test_the_authority_is_the_verifiers(packages: SignedPackages) -> None:
    signed = packages["certificate-stamped"]
    root = json.loads(json.dumps(signed.trusted_root))
    chain = root["certificateAuthorities"][0]["certChain"]["certificates"]
    chain[:] = [{"rawBytes": base64.b64encode(OTHER_ROOT.der).decode()}]
    (answer,) = sigstore_js([job(signed, trustedRoot=root)])
    assert answer["code"] == "CERTIFICATE_ERROR"


@pytest.mark.parametrize("mode", KEYLESS_MODES)
def test_identity_and_issuer_are_the_verifiers(mode: str, packages: SignedPackages) -> None:
    signed = packages[mode]
    answers = sigstore_js(
        [
            job(signed, identity={"subject": "mallory@example.test", "issuer": signed.issuer}),
            job(signed, identity={"subject": IDENTITY, "issuer": "https://issuer.test"}),
        ]
    )
    assert [answer["code"] for answer in answers] == ["UNTRUSTED_SIGNER_ERROR"] * 2


def test_a_certificate_without_a_timestamp_is_beyond_it(packages: SignedPackages) -> None:
    """What docs/interop.md says: it judges a certificate at the times in the bundle, and nowhere
    else."""
    signed = packages[CERTIFICATE_MODES[0]]
    (answer,) = sigstore_js([job(signed)])
    assert answer["code"] == "TypeError"


def test_the_lock_has_a_digest_for_each_package_and_no_address() -> None:
    text = (ROOT / "tests" / "sigstore_js" / "package-lock.json").read_text()
    packages = json.loads(text)["packages"]
    del packages[""]  # this folder itself
    assert len(packages) == 4
    assert all(one["integrity"].startswith("sha512-") for one in packages.values())
    assert "resolved" not in text
