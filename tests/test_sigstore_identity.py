"""Keyless signatures: made by sigstore-python against a private instance, judged by us."""

import json
import socket
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from infwasi_sign.adapters import sigstore_signer
from infwasi_sign.adapters.keys import sign_payload
from infwasi_sign.adapters.sigstore_identity import (
    KeylessVerifier,
    OmsKeylessVerifier,
    TrustedIdentity,
    _algorithm,
    subject_of,
)
from infwasi_sign.adapters.sigstore_signer import KeylessSigner, read_token
from infwasi_sign.domain import strict_json
from infwasi_sign.domain.bundle import Bundle, encode_bundle, parse_bundle
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.material import Logged, SigningMode
from infwasi_sign.domain.oms import encode_oms_payload
from infwasi_sign.domain.oms_bundle import parse_oms_bundle
from infwasi_sign.domain.trust_root import TrustRoot, parse_trust_root
from infwasi_sign.errors import RefusalKind, RefusedError, UndecidedError
from infwasi_sign.testing.sigstore import Fault, Notice, PrivateSigstore
from tests import forge
from tests.certificate_authority import alternative, leaf, rsa_key
from tests.trust_support import silent_server

ALICE = "alice@example.test"
PAYLOAD = strict_json.canonical(
    {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "x", "digest": {"sha256": "00" * 32}}],
        "predicateType": "urn:test",
        "predicate": {},
    }
)


NOT_EVEN_THESE: tuple[dict[str, str], ...] = ({"identity": ""}, {"pattern": "*"}, {"pattern": ""})


def now() -> datetime:
    return datetime.now(UTC)


def trust(instance: PrivateSigstore) -> TrustRoot:
    return parse_trust_root(instance.trust_config(), source="test", written_at=now())


def sign(instance: PrivateSigstore, identity: str = ALICE) -> Bundle:
    token = read_token(instance.token(identity))
    return KeylessSigner(token, trust(instance), now()).sign(PAYLOAD)


@pytest.fixture(scope="module", params=[1, 2], ids=["rekor-v1", "rekor-v2"])
def instance(request: pytest.FixtureRequest) -> Iterator[PrivateSigstore]:
    with PrivateSigstore(rekor_version=request.param) as running:
        yield running


@pytest.fixture(scope="module")
def bundle(instance: PrivateSigstore) -> Bundle:
    return sign(instance)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def blocked(*_: object) -> None:
        raise AssertionError("verification opened a socket")

    monkeypatch.setattr(socket.socket, "connect", blocked)
    monkeypatch.setattr(socket, "getaddrinfo", blocked)


def verifier(instance: PrivateSigstore, **changes: str | None) -> KeylessVerifier:
    wanted = TrustedIdentity(name="alice", identity=ALICE, issuer=instance.issuer)
    return KeylessVerifier([replace(wanted, **changes)], lambda: trust(instance), now())  # type: ignore[arg-type]  # all are texts


def refusal(instance: PrivateSigstore, bundle: Bundle, **changes: str | None) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        verifier(instance, **changes).verify(bundle)
    return caught.value


@pytest.mark.usefixtures("offline")
def test_says_who_signed_without_a_socket(instance: PrivateSigstore, bundle: Bundle) -> None:
    signer = verifier(instance).verify(parse_bundle(encode_bundle(bundle)))
    assert (signer.name, signer.mode) == ("alice", SigningMode.KEYLESS)
    assert (signer.identity, signer.issuer) == (ALICE, instance.issuer)
    assert signer.trust_root is not None
    assert signer.trust_root.age_days == 0


def test_a_model_directory_of_many_files_has_a_longer_bundle_than_a_package() -> None:
    """With Rekor v1 the log would have to take all of it."""
    digest = Digest(algorithm=Algorithm.SHA256, hex="0" * 64)
    payload = encode_oms_payload("model", ((f"shard-{n}", digest) for n in range(8000)))
    with PrivateSigstore(rekor_version=2) as instance:
        token = read_token(instance.token(ALICE))
        document = KeylessSigner(token, trust(instance), now())._signed(payload)
        assert LIMITS.bundle_bytes < len(document) < LIMITS.oms_bundle_bytes
        verified = OmsKeylessVerifier(verifier(instance))
        assert verified.verify(parse_oms_bundle(document, SigningMode.KEYLESS)).identity == ALICE


@pytest.mark.parametrize("service", ["caUrls", "rekorTlogUrls"])
def test_who_signs_waits_for_no_service_without_end(
    service: str, instance: PrivateSigstore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sigstore-python would: of its clients only that of timestamp authorities has a bound."""
    monkeypatch.setattr(sigstore_signer, "LIMITS", replace(LIMITS, sigstore_total_seconds=0.2))
    token, config = read_token(instance.token(ALICE)), json.loads(instance.trust_config())
    with silent_server() as url:
        config["signingConfig"][service][0]["url"] = url
        root = parse_trust_root(json.dumps(config).encode(), source="test", written_at=now())
        with pytest.raises(UndecidedError) as caught:
            KeylessSigner(token, root, now()).sign(PAYLOAD)
    assert str(caught.value) == (
        "the Sigstore instance did not sign (got no whole answer in 0.2 s)"
    )


@pytest.mark.parametrize(
    "identity",
    [
        "alice@example.tes",
        "alice@example.testx",
        "Alice@example.test",
        "*",
        "",
        "lice@example.test",
    ],
)
def test_an_identity_is_the_whole_one(
    instance: PrivateSigstore, bundle: Bundle, identity: str
) -> None:
    error = refusal(instance, bundle, identity=identity)
    assert error.kind is RefusalKind.SIGNER
    assert str(error) == (
        "signed by an identity that is not trusted "
        f"(expected {identity} of {instance.issuer}, got {ALICE} of {instance.issuer})"
    )


@pytest.mark.parametrize(
    ("pattern", "is_met"),
    [
        ("*@example.test", True),
        ("alice@*", True),
        ("alice", False),
        ("*example", False),
        ("A*", False),
    ],
)
def test_a_pattern_is_for_the_whole_identity(
    instance: PrivateSigstore, bundle: Bundle, pattern: str, is_met: bool
) -> None:
    if is_met:
        verifier(instance, identity=None, pattern=pattern).verify(bundle)
    else:
        error = refusal(instance, bundle, identity=None, pattern=pattern)
        assert error.kind is RefusalKind.SIGNER


@pytest.mark.parametrize("issuer", ["*", "http://127.0.0.1", "", "https://accounts.google.com"])
def test_an_issuer_is_never_a_pattern(
    instance: PrivateSigstore, bundle: Bundle, issuer: str
) -> None:
    error = refusal(instance, bundle, issuer=issuer)
    assert error.kind is RefusalKind.SIGNER
    error = refusal(instance, bundle, issuer=issuer, identity=None, pattern="*")
    assert error.kind is RefusalKind.SIGNER


@pytest.mark.parametrize(
    "wanted", [TrustedIdentity(name="x", issuer="i", **one) for one in NOT_EVEN_THESE]
)
def test_a_name_of_another_kind_fits_nobody(wanted: TrustedIdentity) -> None:
    ours = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1"), b"i")
    issued = leaf(None, names=(alternative(x509.DNSName("alice.test")), (ours, False)))
    identity, issuer = subject_of(issued.certificate)
    assert issuer == wanted.issuer
    assert not wanted.fits(identity, issuer)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (ec.derive_private_key(7, ec.SECP256R1()), "ecdsa-p256-sha256"),
        (ec.derive_private_key(7, ec.SECP384R1()), "ecdsa-p384-sha256"),
    ],
)
def test_says_the_algorithm_that_verified(key: ec.EllipticCurvePrivateKey, says: str) -> None:
    assert _algorithm(leaf(None, key=key).certificate) == says


@pytest.mark.parametrize(
    "key", [ec.derive_private_key(7, ec.SECP256K1()), rsa_key(2048)], ids=["secp256k1", "rsa"]
)
def test_an_algorithm_that_has_no_name_here_is_refused(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
) -> None:
    with pytest.raises(RefusedError) as caught:
        _algorithm(leaf(None, key=key).certificate)
    assert caught.value.kind is RefusalKind.SIGNATURE


def test_a_certificate_without_a_name_names_nobody() -> None:
    with pytest.raises(RefusedError) as caught:
        subject_of(leaf(None, names=()).certificate)
    assert caught.value.got == "0 and 0"


def test_a_certificate_that_a_library_warns_of_is_refused_and_nothing_else_is_said(
    instance: PrivateSigstore, bundle: Bundle
) -> None:
    material = bundle.material
    assert isinstance(material, Logged)
    version = b"\xa0\x03\x02\x01\x02\x02"  # 3, and then the serial number (RFC 5280 section 4.1)
    der = bytearray(material.certificate)
    der[der.index(version) + len(version) + 1] |= 0x80  # negative
    bent = replace(bundle, material=replace(material, certificate=bytes(der)))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        error = refusal(instance, bent)
    assert error.kind is RefusalKind.SIGNATURE
    assert said == []


def test_refuses_another_payload_under_the_signature(
    instance: PrivateSigstore, bundle: Bundle
) -> None:
    envelope = replace(bundle.envelope, payload=PAYLOAD.replace(b"urn:test", b"urn:tess"))
    error = refusal(instance, replace(bundle, envelope=envelope))
    assert error.kind is RefusalKind.SIGNATURE


def test_refuses_what_another_instance_signed(instance: PrivateSigstore) -> None:
    with PrivateSigstore() as other:
        error = refusal(instance, sign(other))
    assert error.kind is RefusalKind.SIGNATURE


def _swapped(bundle: Bundle, other: Bundle, member: str) -> Bundle:
    first, second = bundle.material, other.material
    assert isinstance(first, Logged)
    assert isinstance(second, Logged)
    return replace(bundle, material=replace(first, **{member: getattr(second, member)}))


@pytest.mark.parametrize("member", ["certificate", "entry", "timestamps"])
def test_refuses_parts_of_another_bundle(
    instance: PrivateSigstore, bundle: Bundle, member: str
) -> None:
    error = refusal(instance, _swapped(bundle, sign(instance), member))
    assert error.kind is RefusalKind.SIGNATURE


def test_refuses_a_log_entry_that_was_moved_on(instance: PrivateSigstore, bundle: Bundle) -> None:
    material = bundle.material
    assert isinstance(material, Logged)
    entry = replace(material.entry, proof_index=material.entry.proof_index + 1)
    error = refusal(instance, replace(bundle, material=replace(material, entry=entry)))
    assert error.kind is RefusalKind.SIGNATURE


def test_a_bundle_of_a_key_is_not_one_of_an_identity(instance: PrivateSigstore) -> None:
    by_key = sign_payload(forge.TRUSTED, PAYLOAD)
    error = refusal(instance, by_key)
    assert (error.kind, str(error)) == (
        RefusalKind.SIGNER,
        "signed in mode key, in which nobody is trusted in verificationMaterial "
        "(expected keyless, got key)",
    )


def test_a_trust_root_is_as_old_as_its_file(instance: PrivateSigstore, bundle: Bundle) -> None:
    root = parse_trust_root(
        instance.trusted_root(), source="test", written_at=now() - timedelta(days=40)
    )
    wanted = TrustedIdentity(name="alice", identity=ALICE, issuer=instance.issuer)
    signer = KeylessVerifier([wanted], lambda: root, now()).verify(bundle)
    assert signer.trust_root is not None
    assert signer.trust_root.age_days == 40


def test_a_bare_trusted_root_cannot_sign(instance: PrivateSigstore) -> None:
    root = parse_trust_root(instance.trusted_root(), source="root.json", written_at=now())
    with pytest.raises(UndecidedError, match=r"names no services to sign with in root\.json"):
        KeylessSigner(read_token(instance.token(ALICE)), root, now())


@pytest.mark.parametrize("data", [b"{}", b"[]", b"x", b'{"mediaType":1}', b'{"mediaType":"x"}'])
def test_says_what_is_no_trust_root(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(UndecidedError) as caught:
        parse_trust_root(data, source="root.json", written_at=now())
    assert str(caught.value).startswith("not a trust root")


@pytest.mark.parametrize("raw", ["", "x", "a.b.c", "\0", "ä" * 10, "x" * 100_000])
def test_says_what_is_no_token(raw: str) -> None:
    with pytest.raises(UndecidedError):
        read_token(raw)


# --- each fault of an instance ----------------------------------------------------------------

VERSIONS: tuple[Literal[1, 2], ...] = (1, 2)

# A nonce says only that the answer is new (RFC 3161 section 2.4.1), and it is.
HARMLESS = {(Fault.TIMESTAMP_FOR_OTHER_NONCE, version) for version in VERSIONS}
FAULTS = [
    (fault, version)
    for fault in Fault
    for version in VERSIONS
    if fault.applies_to(version) and fault.notice is not Notice.FETCHING
]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_instance_without_faults_signs(version: Literal[1, 2]) -> None:
    with PrivateSigstore(rekor_version=version) as instance:
        verifier(instance).verify(sign(instance))


def test_there_are_faults_of_every_service() -> None:
    assert len(set(FAULTS) - HARMLESS) >= 32


@pytest.mark.parametrize(("fault", "version"), sorted(set(FAULTS) - HARMLESS))
def test_no_fault_gets_past_the_signing(fault: Fault, version: Literal[1, 2]) -> None:
    """What was signed is verified before anybody sees it."""
    with (
        PrivateSigstore(faults=frozenset({fault}), rekor_version=version) as instance,
        pytest.raises(UndecidedError),
    ):
        sign(instance)


@pytest.mark.parametrize(("fault", "version"), sorted(HARMLESS))
def test_what_is_said_to_be_harmless_signs(fault: Fault, version: Literal[1, 2]) -> None:
    with PrivateSigstore(faults=frozenset({fault}), rekor_version=version) as instance:
        assert verifier(instance).verify(sign(instance)).identity == ALICE


# --- who was to be trusted when it was signed -------------------------------------------------


def judge_retired_at(end: datetime, kind: str, instance: PrivateSigstore, bundle: Bundle) -> None:
    """Verify as somebody whose trust root says that these authorities ended then."""
    config = json.loads(instance.trust_config())
    for one in config["trustedRoot"][kind]:
        place = one if "validFor" in one else one["publicKey"]
        place["validFor"]["end"] = f"{end:%Y-%m-%dT%H:%M:%SZ}"
    root = parse_trust_root(json.dumps(config).encode(), source="x", written_at=now())
    wanted = TrustedIdentity(name="alice", identity=ALICE, issuer=instance.issuer)
    KeylessVerifier([wanted], lambda: root, now()).verify(bundle)


@pytest.mark.parametrize(
    "kind", ["certificateAuthorities", "ctlogs", "tlogs", "timestampAuthorities"]
)
@pytest.mark.parametrize("version", VERSIONS)
def test_who_was_retired_before_the_signature_is_not_trusted(
    kind: str, version: Literal[1, 2]
) -> None:
    with PrivateSigstore(rekor_version=version) as instance:
        bundle = sign(instance)
    judge_retired_at(now() + timedelta(minutes=1), kind, instance, bundle)
    with pytest.raises(RefusedError) as caught:
        judge_retired_at(now() - timedelta(minutes=1), kind, instance, bundle)
    assert caught.value.kind is RefusalKind.SIGNATURE


@pytest.mark.parametrize(
    "kind", ["certificateAuthorities", "ctlogs", "tlogs", "timestampAuthorities"]
)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_last_second_of_an_authority_counts(kind: str, version: Literal[1, 2]) -> None:
    """Both ends of a TimeRange are included (sigstore_common.proto)."""
    moment = now().replace(microsecond=0)
    with PrivateSigstore(rekor_version=version, now=lambda: moment) as instance:
        bundle = sign(instance)
    judge_retired_at(moment, kind, instance, bundle)
    with pytest.raises(RefusedError) as caught:
        judge_retired_at(moment - timedelta(seconds=1), kind, instance, bundle)
    assert caught.value.kind is RefusalKind.SIGNATURE
