import base64
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infwasi_sign.domain.bundle import (
    BUNDLE_MEDIA_TYPE,
    PAYLOAD_TYPE,
    Bundle,
    Envelope,
    encode_bundle,
    hint_fingerprint,
    pae,
    parse_bundle,
    verification_hint,
)
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.material import KeyHint
from infwasi_sign.errors import MalformedError, RefusalKind

HINT = verification_hint(b"a key")


def bundle(payload: bytes = b'{"a":1}', signature: bytes = b"signed") -> Bundle:
    envelope = Envelope(payload=payload, payload_type=PAYLOAD_TYPE, signature=signature)
    return Bundle(envelope=envelope, material=KeyHint(hint=HINT))


bundles = st.builds(bundle, st.binary(min_size=1), st.binary(min_size=1, max_size=72))


def document() -> dict[str, Any]:  # Any: the tests bend it into shapes that no type has
    loaded: dict[str, Any] = json.loads(encode_bundle(bundle()))
    return loaded


def written(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def refusal(data: bytes) -> str:
    with pytest.raises(MalformedError) as caught:
        parse_bundle(data)
    assert caught.value.kind is RefusalKind.MALFORMED
    return str(caught.value)


def test_pae_is_that_of_the_dsse_protocol() -> None:
    # the example of dsse/protocol.md, "Signature Definition" and "Test Vectors"
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_pae_counts_bytes_and_takes_any_payload() -> None:
    assert pae("ä", b"\n \x00") == b"DSSEv1 2 \xc3\xa4 3 \n \x00"


def test_writes_the_shape_that_cosign_writes() -> None:
    assert encode_bundle(bundle()).decode() == (
        '{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json",'
        f'"verificationMaterial":{{"publicKey":{{"hint":"{HINT}"}},"tlogEntries":[]}},'
        '"dsseEnvelope":{"payload":"eyJhIjoxfQ==","payloadType":"application/vnd.in-toto+json",'
        '"signatures":[{"sig":"c2lnbmVk"}]}}\n'
    )


@given(bundles)
def test_reads_what_it_writes(made: Bundle) -> None:
    assert parse_bundle(encode_bundle(made)) == made


@given(bundles, st.data(), st.integers(1, 255))
def test_no_changed_byte_leaves_the_bundle_as_it_was(
    made: Bundle, data: st.DataObject, change: int
) -> None:
    encoded = bytearray(encode_bundle(made))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= change
    try:
        changed = parse_bundle(bytes(encoded))
    except MalformedError:
        return
    assert changed != made


def test_no_changed_bit_leaves_the_bundle_as_it_was() -> None:
    made = bundle()
    encoded = encode_bundle(made)
    for offset in range(len(encoded)):
        for bit in range(8):
            changed = bytearray(encoded)
            changed[offset] ^= 1 << bit
            try:
                assert parse_bundle(bytes(changed)) != made, (offset, bit)
            except MalformedError:
                continue


@given(st.binary(max_size=300))
@example(b"null")
def test_raises_nothing_but_its_own_error(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_bundle(data)


def test_refuses_more_than_the_limit() -> None:
    data = encode_bundle(bundle(payload=b"x" * LIMITS.bundle_bytes))
    assert refusal(data).startswith("too long in bundle (expected at most 1048576 bytes, got ")


@pytest.mark.parametrize("count", [2, 3])
def test_refuses_more_than_one_signature(count: int) -> None:
    value = document()
    value["dsseEnvelope"]["signatures"] *= count
    assert refusal(written(value)) == (
        "more than one signature in bundle.dsseEnvelope.signatures "
        f"(expected exactly one, got {count})"
    )


def test_refuses_no_signature() -> None:
    value = document()
    value["dsseEnvelope"]["signatures"] = []
    assert refusal(written(value)) == (
        "wrong number of items in bundle.dsseEnvelope.signatures (expected 1 to 1, got 0)"
    )


def test_refuses_another_payload_type() -> None:
    value = document()
    value["dsseEnvelope"]["payloadType"] = "application/json"
    assert refusal(written(value)) == (
        "payload is of another type in bundle.dsseEnvelope.payloadType "
        "(expected application/vnd.in-toto+json, got 'application/json')"
    )


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.dev.sigstore.bundle+json;version=0.1",
        "application/vnd.dev.sigstore.bundle.v0.2+json",
        "",
    ],
)
def test_refuses_another_bundle_version(media_type: str) -> None:
    value = document()
    value["mediaType"] = media_type
    assert refusal(written(value)) == (
        "not a Sigstore bundle v0.3 in bundle.mediaType "
        f"(expected {BUNDLE_MEDIA_TYPE}, got {media_type!r})"
    )


def test_refuses_a_certificate_beside_the_key() -> None:
    value = document()
    value["verificationMaterial"]["certificate"] = {"rawBytes": "AA=="}
    assert refusal(written(value)) == (
        "unknown member in bundle.verificationMaterial (got 'publicKey')"
    )


@pytest.mark.parametrize("keep_key", [True, False])
def test_refuses_a_chain(keep_key: bool) -> None:
    value = document()
    value["verificationMaterial"]["x509CertificateChain"] = {"certificates": []}
    if not keep_key:
        del value["verificationMaterial"]["publicKey"]
    assert refusal(written(value)) == (
        "a chain is not part of a bundle v0.3 in bundle.verificationMaterial "
        "(expected publicKey or certificate, got x509CertificateChain)"
    )


def test_refuses_log_entries() -> None:
    value = document()
    value["verificationMaterial"]["tlogEntries"] = [{}]
    assert refusal(written(value)) == (
        "wrong number of items in bundle.verificationMaterial.tlogEntries "
        "(expected at most 0, got 1)"
    )


@pytest.mark.parametrize(
    "path",
    [
        (),
        ("verificationMaterial",),
        ("verificationMaterial", "publicKey"),
        ("dsseEnvelope",),
        ("dsseEnvelope", "signatures", 0),
    ],
)
def test_refuses_unknown_and_missing_members(path: tuple[str | int, ...]) -> None:
    value = document()
    inner: Any = value  # Any: as in `document`
    for step in path:
        inner = inner[step]
    inner["keyid"] = ""
    assert refusal(written(value)).startswith("unknown member in bundle")
    del inner["keyid"], inner[next(iter(inner))]
    assert refusal(written(value)).startswith("member is missing in bundle")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("YQ", "not base64"),
        ("YQ=", "not base64"),
        ("YQ===", "not base64"),
        ("Y Q==", "not base64"),
        ("YQ==\n", "not base64"),
        ("Y*Q=", "not base64"),
        ("-_8=", "not base64"),
        ("YQ==YQ==", "not base64"),
        ("ä", "not base64"),
        ("YR==", "not base64 in its one byte form"),
        ("YWJ=", "not base64 in its one byte form"),
        ("", "is empty"),
    ],
)
@pytest.mark.parametrize("member", ["payload", "sig"])
def test_refuses_base64_with_more_than_one_reading(member: str, text: str, what: str) -> None:
    value = document()
    inner = value["dsseEnvelope"]
    (inner if member == "payload" else inner["signatures"][0])[member] = text
    where = "payload" if member == "payload" else "signatures[0].sig"
    message = refusal(written(value))
    assert message.startswith(f"{what} in bundle.dsseEnvelope.{where}")


@pytest.mark.parametrize("size", [1, 31, 33])
def test_refuses_a_hint_that_is_no_sha256(size: int) -> None:
    value = document()
    value["verificationMaterial"]["publicKey"]["hint"] = base64.b64encode(b"x" * size).decode()
    assert refusal(written(value)) == (
        "not a key hint in bundle.verificationMaterial.publicKey.hint (expected base64 of 32 bytes)"
    )


@pytest.mark.parametrize(
    "data",
    [
        encode_bundle(bundle()).rstrip(),
        encode_bundle(bundle()) + b"\n",
        b" " + encode_bundle(bundle()),
        encode_bundle(bundle()).rstrip() + b"\t",
        json.dumps(document()).encode() + b"\n",
        written(dict(sorted(document().items()))),
        encode_bundle(bundle()).replace(b"application/vnd.in-toto", b"application\\/vnd.in-toto"),
    ],
)
def test_refuses_the_same_bundle_in_other_bytes(data: bytes) -> None:
    assert refusal(data) == (
        "not in its one byte form in bundle (expected no spaces, members in the order of the "
        "format, one line feed at the end)"
    )


def test_hint_and_fingerprint_are_one_digest() -> None:
    # SHA-256 of "abc", FIPS 180-4 example
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert verification_hint(b"abc") == base64.b64encode(bytes.fromhex(digest)).decode()
    assert hint_fingerprint(KeyHint(hint=verification_hint(b"abc"))) == digest
