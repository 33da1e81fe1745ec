"""Attacks on what a verifier reads: bundles by who checks nothing, and bundles made of others."""

import itertools
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from cryptography import x509

from infwasi_sign.adapters import sigstore_identity
from infwasi_sign.adapters.sigstore_identity import KeylessVerifier, TrustedIdentity
from infwasi_sign.domain.bundle import Bundle, encode_bundle, parse_bundle, read_bundle
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.material import Logged, Material
from infwasi_sign.domain.trust_root import TrustRoot
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError
from infwasi_sign.testing.sigstore import Fault, PrivateSigstore
from tests.certificate_authority import alternative, certify, email, tlv
from tests.modes_support import (
    ALICE,
    PACK,
    PACKAGE,
    bring_instance,
    make_project,
    nobody,
    run,
)
from tests.test_controls import nothing
from tests.test_sigstore_identity import FAULTS, HARMLESS, PAYLOAD, now, sign, trust, verifier

VERSIONS: Final[tuple[Literal[1, 2], ...]] = (1, 2)


@pytest.fixture(scope="module", params=VERSIONS, ids=["rekor-v1", "rekor-v2"])
def instance(request: pytest.FixtureRequest) -> Iterator[PrivateSigstore]:
    with PrivateSigstore(rekor_version=request.param) as running:
        yield running


@pytest.fixture(scope="module")
def bundle(instance: PrivateSigstore) -> Bundle:
    sign(instance)  # so that the proof of the next has a hash
    return sign(instance)


def material(bundle: Bundle) -> Logged:
    assert isinstance(bundle.material, Logged)
    return bundle.material


# --- a careless signer -----------------------------------------------------------------------

# The service itself refuses, so that there is no bundle.
NOTHING: Final = {
    Fault.TOKEN_FOR_OTHER_AUDIENCE,
    Fault.TOKEN_EXPIRED,
    Fault.TOKEN_BAD_SIGNATURE,
    Fault.FULCIO_UNAVAILABLE,
    Fault.LOG_UNAVAILABLE,
}


@pytest.mark.parametrize(
    ("fault", "version"), sorted(one for one in set(FAULTS) - HARMLESS if one[0] not in NOTHING)
)
def test_no_fault_gets_past_the_verification(fault: Fault, version: Literal[1, 2]) -> None:
    """Though whoever signed looked at nothing that came back."""
    with PrivateSigstore(faults=frozenset({fault}), rekor_version=version) as faulty:
        data = faulty.careless_dsse_bundle(PAYLOAD)
    with pytest.raises(RefusedError) as caught:
        verifier(faulty).verify(read_bundle(data))
    assert caught.value.kind in {
        RefusalKind.SIGNATURE,
        RefusalKind.SIGNER,
        RefusalKind.MALFORMED,
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_careless_signer_gets_without_faults_verifies(version: Literal[1, 2]) -> None:
    with PrivateSigstore(rekor_version=version) as honest:
        data = honest.careless_dsse_bundle(PAYLOAD)
    assert verifier(honest).verify(read_bundle(data)).identity == ALICE


# --- mix and match ---------------------------------------------------------------------------

PARTS: Final = ("signature", "certificate", "entry", "timestamps")
MIXES: Final = [taken for count in (1, 2, 3) for taken in itertools.combinations(PARTS, count)]


@pytest.mark.parametrize("taken", MIXES, ids="+".join)
@pytest.mark.parametrize("donor", ["again", "somebody-else", "elsewhere"])
def test_no_mix_of_two_genuine_bundles_is_one(
    taken: tuple[str, ...], donor: str, instance: PrivateSigstore, bundle: Bundle
) -> None:
    """CVE-2022-36056 and CVE-2026-22703: entry, signature, certificate and digest are one."""
    other = _donor(donor, instance)
    envelope = bundle.envelope
    if "signature" in taken:
        envelope = replace(envelope, signature=other.envelope.signature)
    theirs: dict[str, Any] = {
        part: getattr(material(other), part) for part in taken if part != "signature"
    }
    mixed = Bundle(envelope=envelope, material=replace(material(bundle), **theirs))
    with pytest.raises(RefusedError) as caught:
        verifier(instance).verify(parse_bundle(encode_bundle(mixed)))
    assert caught.value.kind is RefusalKind.SIGNATURE


def _donor(donor: str, instance: PrivateSigstore) -> Bundle:
    match donor:
        case "again":
            return sign(instance)
        case "somebody-else":
            return sign(instance, "mallory@example.test")
        case _:
            with PrivateSigstore(rekor_version=2) as other:
                return sign(other)


@pytest.mark.parametrize("time", [None, 0])
def test_a_promise_of_the_log_without_its_time_is_malformed(time: int | None) -> None:
    """It is over the time: without it nobody could say whether the promise is one."""
    with PrivateSigstore(rekor_version=1) as first:
        bundle = sign(first)
    entry = replace(material(bundle).entry, integrated_time=time)
    changed = replace(bundle, material=replace(material(bundle), entry=entry))
    assert verifier(first).verify(changed).identity == ALICE  # the control: past the parser
    with pytest.raises(MalformedError) as caught:
        parse_bundle(encode_bundle(changed))
    assert str(caught.value) == (
        "a promise of the log without its time in bundle.verificationMaterial.tlogEntries[0] "
        "(expected inclusionPromise and integratedTime)"
    )


def test_what_nobody_vouches_for_is_no_fact() -> None:
    """Of Rekor v2 nobody signs `logIndex`; who changes it changes no answer."""
    with PrivateSigstore(rekor_version=2) as second:
        bundle = sign(second)
    honest = verifier(second).verify(bundle)
    entry = replace(material(bundle).entry, log_index=7_000_000, integrated_time=None)
    changed = replace(bundle, material=replace(material(bundle), entry=entry))
    assert verifier(second).verify(changed) == honest
    assert honest.signed_at is None


def test_the_log_is_the_one_that_the_entry_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """sigstore-python compares 4 bytes of the name, and then tries the keys of all logs."""
    with PrivateSigstore(rekor_version=2) as second:
        bundle = sign(second)
    name = material(bundle).entry.log_id
    entry = replace(material(bundle).entry, log_id=name[:4] + bytes(len(name) - 4))
    changed = replace(bundle, material=replace(material(bundle), entry=entry))
    with pytest.raises(RefusedError) as caught:
        verifier(second).verify(changed)
    assert caught.value.kind is RefusalKind.SIGNATURE
    assert str(caught.value) == (
        "the log entry names a log that is not in the trust root in "
        "verificationMaterial.tlogEntries[0].logId"
    )
    monkeypatch.setattr(sigstore_identity, "_require_listed_log", nothing)
    assert verifier(second).verify(changed).identity == ALICE


# --- exhaustion ------------------------------------------------------------------------------


def _many(bundle: Bundle, **changes: Any) -> bytes:
    found: Material = replace(material(bundle), **changes)
    return encode_bundle(replace(bundle, material=found))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda bundle, _: _many(bundle, timestamps=(b"x",) * (LIMITS.timestamps + 1)),
            "rfc3161Timestamps (expected 1 to 32",
        ),
        (
            lambda bundle, entry: _many(
                bundle, entry=replace(entry, hashes=(b"x" * 32,) * (LIMITS.log_hashes + 1))
            ),
            "hashes (expected at most 64",
        ),
        (
            lambda bundle, _: _many(bundle, certificate=bytes(LIMITS.certificate_bytes + 1)),
            "rawBytes (expected at most 65536",
        ),
        (
            lambda bundle, _: _many(bundle, timestamps=(bytes(LIMITS.timestamp_bytes + 1),)),
            "signedTimestamp (expected at most 65536",
        ),
        (
            lambda bundle, entry: _many(bundle, entry=replace(entry, kind="x" * 65)),
            "kindVersion.kind",
        ),
        (
            lambda bundle, entry: _many(bundle, entry=replace(entry, tree_size=2**63)),
            "treeSize",
        ),
        (
            lambda bundle, entry: _many(bundle, entry=replace(entry, body=bytes(900_000))),
            "bundle",
        ),
    ],
    ids=["timestamps", "hashes", "certificate", "timestamp", "kind", "number", "body"],
)
def test_what_is_too_much_is_refused_before_any_of_it_is_verified(
    make: Callable[[Bundle, Any], bytes],
    message: str,
    bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sigstore_identity, "_verified", None)
    with pytest.raises(RefusedError) as caught:
        read_bundle(make(bundle, material(bundle).entry))
    assert caught.value.kind in {RefusalKind.MALFORMED, RefusalKind.LIMIT}
    assert message in str(caught.value)


def test_as_much_as_is_allowed_is_read_and_refused(
    instance: PrivateSigstore, bundle: Bundle
) -> None:
    """The bounds are those of the parser: what is within them is verified, all of it."""
    stamps = tuple(bytes([number]) * 1000 for number in range(LIMITS.timestamps))
    hashes = (b"x" * 32,) * LIMITS.log_hashes
    entry = replace(material(bundle).entry, hashes=hashes)
    data = _many(bundle, timestamps=stamps, entry=entry)
    with pytest.raises(RefusedError) as caught:
        verifier(instance).verify(parse_bundle(data))
    assert caught.value.kind is RefusalKind.SIGNATURE


def test_a_second_log_entry_is_refused(bundle: Bundle) -> None:
    value = json.loads(encode_bundle(bundle))
    entries = value["verificationMaterial"]["tlogEntries"]
    entries.append(entries[0])
    with pytest.raises(MalformedError):
        read_bundle(json.dumps(value).encode())


@pytest.mark.parametrize("member", ["tlogEntries", "certificate", "mediaType"])
def test_a_member_twice_is_refused(member: str, bundle: Bundle) -> None:
    """sigstore-python takes the last, others the first."""
    text = encode_bundle(bundle).decode()
    value = json.loads(text)
    box = value if member in value else value["verificationMaterial"]
    twice = f'"{member}":{json.dumps(box[member])},"{member}":'
    with pytest.raises(MalformedError, match=r"twice|duplicate"):
        read_bundle(text.replace(f'"{member}":', twice, 1).encode())


# --- whom a certificate names ----------------------------------------------------------------

_ISSUER: Final = "https://issuer.example.test"


def _says(oid: str, value: bytes) -> tuple[x509.ExtensionType, bool]:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), False


def _issuer(text: str = _ISSUER) -> tuple[x509.ExtensionType, bool]:
    return _says("1.3.6.1.4.1.57264.1.8", tlv(0x0C, text.encode()))


def _old_issuer(text: str = _ISSUER) -> tuple[x509.ExtensionType, bool]:
    return _says("1.3.6.1.4.1.57264.1.1", text.encode())


NAMES_ONE: Final = "the certificate does not name one identity and one issuer"
DNS: Final = alternative(x509.DNSName("example.test"))
TWO: Final = alternative(x509.RFC822Name(ALICE), x509.RFC822Name("mallory@example.test"))
BESIDE: Final = alternative(x509.RFC822Name(ALICE), x509.DNSName("example.test"))


@pytest.mark.parametrize(
    ("extensions", "message"),
    [
        ((email(ALICE),), NAMES_ONE),
        ((TWO, _issuer()), NAMES_ONE),
        ((BESIDE, _issuer()), NAMES_ONE),
        ((email(ALICE), _issuer(), _old_issuer("https://other.example.test")), NAMES_ONE),
        (
            (email(ALICE), _says("1.3.6.1.4.1.57264.1.8", _ISSUER.encode())),
            "the certificate's text is not a UTF8String",
        ),
        (
            (email(ALICE), _says("1.3.6.1.4.1.57264.1.8", tlv(0x0C, b"\xff\xfe"))),
            "the certificate's text is not UTF-8",
        ),
        (
            (email(ALICE), _says("1.3.6.1.4.1.57264.1.8", tlv(0x0C, b"a") + b"\0")),
            "the certificate's text is not a UTF8String",
        ),
    ],
    ids=["no-issuer", "two", "beside-dns", "two-issuers", "not-der", "not-utf-8", "longer"],
)
def test_a_certificate_that_does_not_name_one_is_nobodys(
    extensions: tuple[tuple[x509.ExtensionType, bool], ...], message: str
) -> None:
    certificate = certify("somebody", None, extensions).certificate
    with pytest.raises(RefusedError) as caught:
        sigstore_identity.subject_of(certificate)
    assert caught.value.kind is RefusalKind.SIGNATURE
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "extensions",
    [
        (email(ALICE), _issuer()),
        (email(ALICE), _old_issuer()),
        (email(ALICE), _issuer(), _old_issuer()),
    ],
    ids=["new", "old", "both"],
)
def test_both_extensions_say_the_issuer(
    extensions: tuple[tuple[x509.ExtensionType, bool], ...],
) -> None:
    certificate = certify("somebody", None, extensions).certificate
    assert sigstore_identity.subject_of(certificate) == (ALICE, _ISSUER)


@pytest.mark.parametrize(
    ("identity", "pattern", "issuer"),
    [("", None, _ISSUER), (None, "*", _ISSUER), (None, "", _ISSUER)],
    ids=["empty", "any", "empty-pattern"],
)
def test_a_name_that_cannot_be_read_fits_nobody(
    identity: str | None, pattern: str | None, issuer: str
) -> None:
    """Of a DNS name there is no identity; a variable that nobody set must not stand for it."""
    certificate = certify("somebody", None, (DNS, _issuer())).certificate
    found = sigstore_identity.subject_of(certificate)
    assert found == ("", _ISSUER)
    wanted = TrustedIdentity(name="x", issuer=issuer, identity=identity, pattern=pattern)
    assert not wanted.fits(*found)


def test_an_empty_issuer_vouches_for_nobody() -> None:
    wanted = TrustedIdentity(name="x", issuer="", identity=ALICE)
    assert not wanted.fits(ALICE, "")


def test_sigstore_reading_something_else_than_we_do_is_noticed(
    instance: PrivateSigstore, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the library ever found another payload in the same JSON, its yes were about that one."""
    real = sigstore_identity._verified

    def other(root: TrustRoot, found: Bundle) -> tuple[Any, str, bytes]:
        certificate, payload_type, _ = real(root, found)
        return certificate, payload_type, b"{}"

    monkeypatch.setattr(sigstore_identity, "_verified", other)
    with pytest.raises(RefusedError, match="what was verified is another payload"):
        verifier(instance).verify(bundle)


# --- the command line ------------------------------------------------------------------------


def test_a_stale_trust_root_is_refused_past_the_age_that_the_policy_has(tmp_path: Path) -> None:
    env, folder = nobody(tmp_path), make_project(tmp_path / "project")
    with PrivateSigstore() as instance:
        bring_instance(folder, instance)
        token = instance.token(ALICE)
        assert run(*PACK, "--identity-token", token, cwd=folder, env=env).code == 0
    (folder / "policy.toml").write_text(
        f'version = 1\n[[signer]]\nname = "alice"\nidentities = [{{ identity = "{ALICE}", '
        f'issuer = "{instance.issuer}" }}]\n[[package]]\nname = "capital"\n'
        '[sigstore]\ntrust-root = "root.json"\nmaximum-age-days = 30\n'
    )
    words = ("verify", PACKAGE, "--policy", "policy.toml")
    assert run(*words, cwd=folder, env=env, is_offline=True).code == 0
    written = (now() - timedelta(days=31, minutes=1)).timestamp()
    os.utime(folder / "root.json", (written, written))
    done = run(*words, cwd=folder, env=env, is_offline=True)
    assert done.code == 1
    assert done.said[0] == (
        "refused: expired: the policy refuses trust-root.age-days in policy.toml:9 "
        "sigstore.maximum-age-days (expected at most 30, got 31)"
    )


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("--identity", "", "--issuer", _ISSUER), "--identity"),
        (("--identity", ALICE, "--issuer", " "), "--issuer"),
        (("--identity-pattern", "", "--issuer", _ISSUER), "--identity-pattern"),
        (("--certificate-identity", "", "--certificate-roots", "r.pem"), "--certificate-identity"),
    ],
    ids=["identity", "issuer", "pattern", "certificate"],
)
def test_a_name_that_is_empty_names_nobody(
    words: tuple[str, ...], option: str, tmp_path: Path
) -> None:
    done = run("verify", "x", *words, cwd=tmp_path, env=nobody(tmp_path), is_offline=True)
    assert done.transcript == (2, "", [f"error: the name is empty in {option}"])


def test_a_policy_that_trusts_two_instances_mixes_nothing(
    instance: PrivateSigstore, bundle: Bundle
) -> None:
    """The identity of one instance is not that of the other, whatever their issuers are called."""
    with PrivateSigstore() as other:
        foreign = sign(other)
    both = [
        TrustedIdentity(name="alice", identity=ALICE, issuer=one.issuer)
        for one in (instance, other)
    ]
    judge = KeylessVerifier(both, lambda: trust(instance), now())
    assert judge.verify(bundle).issuer == instance.issuer
    with pytest.raises(RefusedError) as caught:
        judge.verify(foreign)
    assert caught.value.kind is RefusalKind.SIGNATURE
