"""The bundle `model.sig` in its three modes: the caller names the mode."""

import base64
import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from infwasi_sign.domain import oms_bundle
from infwasi_sign.domain.bundle import PAYLOAD_TYPE, Envelope
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.material import SigningMode
from infwasi_sign.domain.oms_bundle import (
    OmsBundle,
    OmsCertificateMaterial,
    OmsKeylessMaterial,
    OmsKeyMaterial,
    OmsMaterial,
    encode_oms_bundle,
    oms_key_hint,
    parse_oms_bundle,
)
from infwasi_sign.errors import MalformedError, RefusalKind
from tests.key_support import P256

HINT = oms_key_hint(P256.public_key())
ENVELOPE = Envelope(payload=b'{"a":1}', payload_type=PAYLOAD_TYPE, signature=b"signed")
B64 = base64.b64encode(b"DER").decode()
MATERIALS: dict[SigningMode, dict[str, Any]] = {
    SigningMode.KEY: {"publicKey": {"hint": HINT}, "tlogEntries": []},
    SigningMode.CERTIFICATE: {"x509CertificateChain": {"certificates": [{"rawBytes": B64}]}},
    SigningMode.KEYLESS: {"certificate": {"rawBytes": B64}, "tlogEntries": [{"logIndex": "1"}]},
}


def document(mode: SigningMode) -> dict[str, Any]:
    made = OmsBundle(envelope=ENVELOPE, material=OmsKeyMaterial(hint=HINT))
    value: dict[str, Any] = json.loads(encode_oms_bundle(made))
    value["verificationMaterial"] = json.loads(json.dumps(MATERIALS[mode]))
    return value


def parse(value: object, mode: SigningMode) -> OmsBundle:
    return parse_oms_bundle(json.dumps(value).encode(), mode)


def refusal(data: bytes, mode: SigningMode = SigningMode.KEY) -> str:
    with pytest.raises(MalformedError) as caught:
        parse_oms_bundle(data, mode)
    assert caught.value.kind is RefusalKind.MALFORMED
    return str(caught.value)


# --- writing ---------------------------------------------------------------------------------


def test_writes_the_shape_of_model_signing() -> None:
    made = OmsBundle(envelope=ENVELOPE, material=OmsKeyMaterial(hint=HINT))
    assert encode_oms_bundle(made).decode() == (
        '{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json",'
        f'"verificationMaterial":{{"publicKey":{{"hint":"{HINT}"}},"tlogEntries":[]}},'
        '"dsseEnvelope":{"payload":"eyJhIjoxfQ==","payloadType":"application/vnd.in-toto+json",'
        '"signatures":[{"sig":"c2lnbmVk","keyid":""}]}}\n'
    )


def test_hint_is_the_digest_of_the_pem_text_with_its_last_line_end() -> None:
    key = serialization.load_der_public_key(P256.public_key())
    pem = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert pem.endswith(b"-\n")
    assert sha256(pem).hexdigest() == HINT


binaries = st.binary(min_size=1, max_size=80)
materials: st.SearchStrategy[OmsMaterial] = st.one_of(
    st.builds(OmsKeyMaterial, hint=st.none() | st.just(HINT)),
    st.builds(
        OmsCertificateMaterial,
        certificates=st.lists(binaries, min_size=1, max_size=4).map(tuple),
        timestamps=st.lists(binaries, max_size=3).map(tuple),
    ),
)


@given(materials, binaries, binaries)
def test_reads_what_it_writes(material: OmsMaterial, payload: bytes, signature: bytes) -> None:
    envelope = Envelope(payload=payload, payload_type=PAYLOAD_TYPE, signature=signature)
    made = OmsBundle(envelope=envelope, material=material)
    assert parse_oms_bundle(encode_oms_bundle(made), made.mode) == made


def test_a_keyless_bundle_is_handed_on_byte_for_byte() -> None:
    data = json.dumps(document(SigningMode.KEYLESS), indent=3).encode()
    read = parse_oms_bundle(data, SigningMode.KEYLESS)
    assert read.material == OmsKeylessMaterial(document=data)
    assert encode_oms_bundle(read) == data


# --- reading ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", SigningMode)
def test_reads_each_mode(mode: SigningMode) -> None:
    read = parse(document(mode), mode)
    assert (read.mode, read.envelope) == (mode, ENVELOPE)


@pytest.mark.parametrize("wanted", SigningMode)
@pytest.mark.parametrize("there", SigningMode)
def test_what_lies_in_the_bundle_never_picks_the_mode(
    there: SigningMode, wanted: SigningMode
) -> None:
    if there is wanted:
        return
    message = refusal(json.dumps(document(there)).encode(), wanted)
    assert message.startswith(f"not signed in the mode {wanted} in bundle.verificationMaterial")


def test_a_keyless_bundle_without_log_entries_is_refused() -> None:
    value = document(SigningMode.KEYLESS)
    value["verificationMaterial"]["tlogEntries"] = []
    assert refusal(json.dumps(value).encode(), SigningMode.KEYLESS) == (
        "wrong number of items in bundle.verificationMaterial.tlogEntries (expected 1 to 1, got 0)"
    )
    del value["verificationMaterial"]["tlogEntries"]
    assert refusal(json.dumps(value).encode(), SigningMode.KEYLESS) == (
        "member is missing in bundle.verificationMaterial (expected tlogEntries)"
    )


def test_releases_before_1_1_wrote_no_log_entries_and_the_whole_key() -> None:
    pem = b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
    value = document(SigningMode.KEY)
    value["verificationMaterial"] = {
        "publicKey": {
            "rawBytes": base64.b64encode(pem).decode(),
            "keyDetails": "PKIX_ECDSA_P384_SHA_384",
        }
    }
    value["dsseEnvelope"]["signatures"][0]["keyid"] = None
    assert parse(value, SigningMode.KEY).material == OmsKeyMaterial(hint=sha256(pem).hexdigest())


def test_a_key_may_have_no_hint() -> None:
    value = document(SigningMode.KEY)
    value["verificationMaterial"] = {"publicKey": {}}
    assert parse(value, SigningMode.KEY).material == OmsKeyMaterial(hint=None)


def _material(**members: object) -> Callable[[Any], object]:
    return lambda value: value["verificationMaterial"].update(members)


def _key(**members: object) -> Callable[[Any], object]:
    return lambda value: value["verificationMaterial"]["publicKey"].update(members)


def _envelope(**members: object) -> Callable[[Any], object]:
    return lambda value: value["dsseEnvelope"].update(members)


def _signature(**members: object) -> Callable[[Any], object]:
    return lambda value: value["dsseEnvelope"]["signatures"][0].update(members)


BENT: dict[str, tuple[SigningMode, Callable[[Any], object], str]] = {
    "two signatures": (
        SigningMode.KEY,
        _envelope(signatures=[{"sig": B64}, {"sig": B64}]),
        "wrong number of items in bundle.dsseEnvelope.signatures (expected 1 to 1, got 2)",
    ),
    "no signature": (
        SigningMode.KEY,
        _envelope(signatures=[]),
        "wrong number of items in bundle.dsseEnvelope.signatures (expected 1 to 1, got 0)",
    ),
    "other media type": (
        SigningMode.KEY,
        lambda v: v.update(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.2"),
        "not a Sigstore bundle v0.3 in bundle.mediaType",
    ),
    "other payload type": (
        SigningMode.KEY,
        _envelope(payloadType="text/plain"),
        "payload is of another type in bundle.dsseEnvelope.payloadType",
    ),
    "unknown member": (
        SigningMode.KEY,
        lambda v: v.update(x=1),
        "unknown member in bundle (got 'x')",
    ),
    "certificate beside the key": (
        SigningMode.KEY,
        _material(certificate={"rawBytes": B64}),
        "unknown member in bundle.verificationMaterial (got 'certificate')",
    ),
    "key beside the chain": (
        SigningMode.CERTIFICATE,
        _material(publicKey={"hint": HINT}),
        "unknown member in bundle.verificationMaterial (got 'publicKey')",
    ),
    "chain beside the certificate": (
        SigningMode.KEYLESS,
        _material(x509CertificateChain={"certificates": []}),
        "unknown member in bundle.verificationMaterial (got 'x509CertificateChain')",
    ),
    "key in a log": (
        SigningMode.KEY,
        _material(tlogEntries=[{}]),
        "wrong number of items in bundle.verificationMaterial.tlogEntries "
        "(expected at most 0, got 1)",
    ),
    "chain in a log": (
        SigningMode.CERTIFICATE,
        _material(tlogEntries=[{}]),
        "wrong number of items in bundle.verificationMaterial.tlogEntries "
        "(expected at most 0, got 1)",
    ),
    "hint of cosign": (
        SigningMode.KEY,
        _key(hint=base64.b64encode(b"\1" * 32).decode()),
        "not a key hint in bundle.verificationMaterial.publicKey.hint",
    ),
    "hint and key": (
        SigningMode.KEY,
        _key(rawBytes=B64),
        "member is missing in bundle.verificationMaterial.publicKey (expected keyDetails)",
    ),
    "unknown kind of key": (
        SigningMode.KEY,
        lambda v: v["verificationMaterial"].update(
            publicKey={"rawBytes": B64, "keyDetails": "PKIX_ED25519"}
        ),
        "not a kind of key that OMS has in bundle.verificationMaterial.publicKey.keyDetails",
    ),
    "named key": (
        SigningMode.KEY,
        _signature(keyid="x"),
        "key is named in bundle.dsseEnvelope.signatures[0].keyid",
    ),
    "key named by an object": (
        SigningMode.KEY,
        _signature(keyid={}),
        "key is named in bundle.dsseEnvelope.signatures[0].keyid",
    ),
    "signature is no base64": (
        SigningMode.KEY,
        _signature(sig="c2ln bmVk"),
        "not base64 in bundle.dsseEnvelope.signatures[0].sig (got 'c2ln bmVk')",
    ),
    "base64 with unused bits": (
        SigningMode.KEY,
        _signature(sig="YR=="),
        "not base64 in its one byte form in bundle.dsseEnvelope.signatures[0].sig",
    ),
    "empty signature": (
        SigningMode.KEY,
        _signature(sig=""),
        "is empty in bundle.dsseEnvelope.signatures[0].sig (expected base64)",
    ),
    "empty chain": (
        SigningMode.CERTIFICATE,
        _material(x509CertificateChain={"certificates": []}),
        "wrong number of items in bundle.verificationMaterial.x509CertificateChain.certificates "
        "(expected 1 to 10, got 0)",
    ),
    "long chain": (
        SigningMode.CERTIFICATE,
        _material(x509CertificateChain={"certificates": [{"rawBytes": B64}] * 11}),
        "wrong number of items in bundle.verificationMaterial.x509CertificateChain.certificates "
        "(expected 1 to 10, got 11)",
    ),
    "many timestamps": (
        SigningMode.CERTIFICATE,
        _material(timestampVerificationData={"rfc3161Timestamps": [{"signedTimestamp": B64}] * 33}),
        "wrong number of items in "
        "bundle.verificationMaterial.timestampVerificationData.rfc3161Timestamps "
        "(expected at most 32, got 33)",
    ),
    "keyless certificate is no base64": (
        SigningMode.KEYLESS,
        _material(certificate={"rawBytes": "?"}),
        "not base64 in bundle.verificationMaterial.certificate.rawBytes (got '?')",
    ),
}


@pytest.mark.parametrize(("mode", "bend", "message"), BENT.values(), ids=BENT)
def test_refuses(mode: SigningMode, bend: Callable[[Any], object], message: str) -> None:
    value = document(mode)
    bend(value)
    assert refusal(json.dumps(value).encode(), mode).startswith(message)


@pytest.mark.parametrize("mode", SigningMode)
def test_refuses_a_member_named_twice(mode: SigningMode) -> None:
    text = json.dumps(document(mode))
    twice = text.replace('"dsseEnvelope"', '"mediaType": "x", "dsseEnvelope"', 1)
    assert refusal(twice.encode(), mode) == "member stands twice in bundle (got 'mediaType')"


def test_refuses_a_bundle_that_is_too_long() -> None:
    assert refusal(b" " * (LIMITS.oms_bundle_bytes + 1)) == (
        f"too long in bundle (expected at most {LIMITS.oms_bundle_bytes} bytes, "
        f"got {LIMITS.oms_bundle_bytes + 1})"
    )


@pytest.mark.parametrize("mode", SigningMode)
@pytest.mark.parametrize("material", [None, [], "publicKey", 1, {}])
def test_material_of_another_shape_is_refused(mode: SigningMode, material: object) -> None:
    value = document(mode)
    value["verificationMaterial"] = material
    refusal(json.dumps(value).encode(), mode)


def test_without_the_check_a_keyless_bundle_needs_no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    value = document(SigningMode.KEYLESS)
    del value["verificationMaterial"]["tlogEntries"]
    monkeypatch.setattr(oms_bundle, "_require_keyless", lambda _: None)
    assert parse(value, SigningMode.KEYLESS).mode is SigningMode.KEYLESS


def test_without_the_check_a_key_may_be_in_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    value = document(SigningMode.KEY)
    value["verificationMaterial"]["tlogEntries"] = [{}]
    monkeypatch.setattr(oms_bundle, "_require_no_log", lambda _: None)
    assert parse(value, SigningMode.KEY).mode is SigningMode.KEY
