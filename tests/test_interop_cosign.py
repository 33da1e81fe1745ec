"""cosign cannot be had here: our bundles have the shape that it reads.

It reads bundles and statements with protojson, which refuses a member that sigstore_bundle.proto or
in-toto's statement.proto does not have; it skips a signature whose keyid it does not know; and it
takes the subject from the digest of the blob (docs/interop.md). sigstore-models, which is generated
from the same .proto files, has to read them as well.
"""

import base64
import hashlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from sigstore_models.bundle.v1 import Bundle

from tests.interop_support import (
    CERTIFICATE_MODES,
    FILES,
    KEY_MODES,
    KEYLESS_MODES,
    MODES,
    SignedPackages,
    payload_of,
)

ENTRY = {
    "logIndex": str,
    "logId": {"keyId": bytes},
    "kindVersion": {"kind": str, "version": str},
    "inclusionProof": {
        "logIndex": str,
        "rootHash": bytes,
        "treeSize": str,
        "hashes": [bytes],
        "checkpoint": {"envelope": str},
    },
    "canonicalizedBody": bytes,
}
PROMISED = ENTRY | {
    "integratedTime": str,
    "inclusionPromise": {"signedEntryTimestamp": bytes},
}
CERTIFIED = {"certificate": {"rawBytes": bytes}, "tlogEntries": []}
STAMPED = {"timestampVerificationData": {"rfc3161Timestamps": [{"signedTimestamp": bytes}]}}
MATERIALS: dict[str, Any] = {
    "key-p256": {"publicKey": {"hint": bytes}, "tlogEntries": []},
    "key-ed25519": {"publicKey": {"hint": bytes}, "tlogEntries": []},
    "certificate": CERTIFIED,
    "certificate-stamped": CERTIFIED | STAMPED,
    "keyless-v1": CERTIFIED | STAMPED | {"tlogEntries": [PROMISED]},
    "keyless-v2": CERTIFIED | STAMPED | {"tlogEntries": [ENTRY]},
}
ENVELOPE = {"payload": bytes, "payloadType": str, "signatures": [{"sig": bytes}]}
STATEMENT = {"_type", "predicate", "predicateType", "subject"}


def fits(value: Any, shape: Any) -> bool:
    """Whether a value has the members of a shape and no others; `bytes` are base64 (RFC 4648)."""
    if isinstance(shape, dict):
        return (
            isinstance(value, dict)
            and value.keys() == shape.keys()
            and all(fits(value[name], part) for name, part in shape.items())
        )
    if isinstance(shape, list):
        items = shape or [None]
        return isinstance(value, list) and all(fits(item, items[0]) for item in value)
    if shape is bytes:
        return isinstance(value, str) and value != "" and is_base64(value)
    return shape is str and isinstance(value, str)


def is_base64(text: str) -> bool:
    return base64.b64encode(base64.b64decode(text, validate=True)).decode() == text


@pytest.mark.parametrize("mode", MODES)
def test_the_bundle_has_these_members_and_no_others(mode: str, packages: SignedPackages) -> None:
    document = packages[mode].document()
    assert document["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    shape = {
        "mediaType": str,
        "verificationMaterial": MATERIALS[mode],
        "dsseEnvelope": ENVELOPE,
    }
    assert fits(document, shape)
    assert len(document["verificationMaterial"]["tlogEntries"]) == (mode in KEYLESS_MODES)
    assert len(document["dsseEnvelope"]["signatures"]) == 1
    # the check sees what it is for
    document["dsseEnvelope"]["signatures"][0]["keyid"] = ""
    assert not fits(document, shape)


@pytest.mark.parametrize("mode", MODES)
def test_the_models_of_the_specification_read_it(mode: str, packages: SignedPackages) -> None:
    signed = packages[mode]
    read = Bundle.from_json(signed.bundle.read_text())
    assert read.dsse_envelope is not None
    assert read.dsse_envelope.payload == payload_of(signed.document())
    assert [one.keyid for one in read.dsse_envelope.signatures] in ([""], [None])


@pytest.mark.parametrize("mode", KEY_MODES)
def test_the_hint_is_the_digest_of_the_key(mode: str, packages: SignedPackages) -> None:
    signed = packages[mode]
    key = serialization.load_pem_public_key((signed.folder / "release.pub").read_bytes())
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    hint = base64.b64encode(hashlib.sha256(der).digest()).decode()
    assert signed.document()["verificationMaterial"]["publicKey"] == {"hint": hint}


@pytest.mark.parametrize("mode", ["key-p256", *CERTIFICATE_MODES, *KEYLESS_MODES])
def test_an_ecdsa_signature_is_a_der_sequence(mode: str, packages: SignedPackages) -> None:
    (signature,) = packages[mode].document()["dsseEnvelope"]["signatures"]
    numbers = decode_dss_signature(base64.b64decode(signature["sig"]))
    assert all(0 < number < 2**256 for number in numbers)


@pytest.mark.parametrize("mode", MODES)
def test_the_statement_has_no_member_outside_the_predicate(
    mode: str, packages: SignedPackages
) -> None:
    signed = packages[mode]
    document = signed.document()
    assert document["dsseEnvelope"]["payloadType"] == "application/vnd.in-toto+json"
    statement = json.loads(payload_of(document))
    assert statement.keys() == STATEMENT
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    for subject in statement["subject"]:
        assert subject.keys() == {"digest", "name"}
    # a blob is found by the digest of its bytes
    digests = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    assert digests == {
        name: hashlib.sha256((signed.package / name).read_bytes()).hexdigest() for name in FILES
    }
