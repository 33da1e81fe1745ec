"""Each fault of the private Sigstore is one that sigstore-python notices, or is said not to be."""

from typing import NamedTuple

import pytest
from cryptography.x509 import ExtensionNotFound
from pydantic import ValidationError
from sigstore.errors import CertValidationError, Error, VerificationError
from sigstore.models import InvalidBundle
from sigstore.oidc import IdentityError

from infwasi_sign.testing.sigstore import Fault, Notice, PrivateSigstore, RequestError
from tests.sigstore_support import KINDS, VERSIONS, Kind, Version, sign, sign_carelessly, verify


class Answer(NamedTuple):
    """What a refusal is and a part of what it says."""

    type: type[Exception]
    text: str


WRONG_TIME = Answer(CertValidationError, "cert is not valid at validation time")
NO_TIME = Answer(VerificationError, "not enough sources of verified time")
NO_TIME_AT_ALL = Answer(InvalidBundle, "must contain an inclusion promise or signed timestamp")
BAD_SCT = Answer(VerificationError, "SCT verify failed: keyring: invalid signature")
BAD_CHECKPOINT = Answer(VerificationError, "checkpoint: invalid signature")
OTHER_ENTRY = Answer(
    VerificationError, "log entry (payload hash|signatures) do(es)? not match|entry is inconsistent"
)

# What a verifier says of a bundle whose signer looked at nothing.
VERIFIER_SAYS = {
    Fault.CERTIFICATE_BY_UNKNOWN_CA: Answer(CertValidationError, "signature does not match"),
    Fault.CERTIFICATE_FOR_OTHER_IDENTITY: Answer(VerificationError, "mallory@example.test"),
    Fault.CERTIFICATE_FOR_OTHER_ISSUER: Answer(VerificationError, "OIDCIssuer does not match"),
    Fault.CERTIFICATE_FOR_OTHER_KEY: Answer(
        VerificationError, "DSSE: invalid signature|Signature is invalid"
    ),
    Fault.CERTIFICATE_EXPIRED: WRONG_TIME,
    Fault.CERTIFICATE_NOT_YET_VALID: WRONG_TIME,
    Fault.CERTIFICATE_NOT_FOR_CODE_SIGNING: Answer(ExtensionNotFound, "ExtendedKeyUsage"),
    Fault.SCT_MISSING: Answer(VerificationError, "does not contain a signed certificate timestamp"),
    Fault.SCT_BAD_SIGNATURE: BAD_SCT,
    Fault.SCT_FOR_OTHER_CERTIFICATE: BAD_SCT,
    Fault.SCT_BY_UNKNOWN_LOG: BAD_SCT,
    Fault.LOG_UNKNOWN: BAD_CHECKPOINT,
    Fault.ENTRY_FOR_OTHER_ARTIFACT: OTHER_ENTRY,
    Fault.ENTRY_FOR_OTHER_SIGNATURE: OTHER_ENTRY,
    Fault.ENTRY_FOR_OTHER_KEY: OTHER_ENTRY,
    Fault.PROOF_MISSING: Answer(InvalidBundle, "inclusionProof"),
    Fault.PROOF_WRONG: Answer(VerificationError, "inclusion proof contains invalid root hash"),
    Fault.CHECKPOINT_MISSING: Answer(InvalidBundle, "inclusion proof, with checkpoint"),
    Fault.CHECKPOINT_BAD_SIGNATURE: BAD_CHECKPOINT,
    Fault.CHECKPOINT_OF_OTHER_TREE: Answer(VerificationError, "invalid root hash signature"),
    Fault.SET_BAD_SIGNATURE: Answer(VerificationError, "SET: invalid inclusion promise"),
    Fault.INTEGRATED_TIME_TOO_LATE: WRONG_TIME,
    Fault.INTEGRATED_TIME_TOO_EARLY: WRONG_TIME,
    Fault.INTEGRATED_TIME_UNSIGNED: NO_TIME_AT_ALL,
    Fault.TIMESTAMP_UNAVAILABLE: NO_TIME_AT_ALL,
    Fault.TIMESTAMP_NOT_CONFIGURED: NO_TIME_AT_ALL,
    Fault.TIMESTAMP_OVER_OTHER_MESSAGE: NO_TIME,
    Fault.TIMESTAMP_BY_UNKNOWN_AUTHORITY: NO_TIME,
    Fault.TIMESTAMP_BAD_SIGNATURE: NO_TIME,
    Fault.TIMESTAMP_NOT_FOR_TIMESTAMPING: NO_TIME,
    Fault.TIMESTAMP_TOO_LATE: WRONG_TIME,
    Fault.TIMESTAMP_TOO_EARLY: WRONG_TIME,
}

# sigstore-python does not notice these: openssl does, in tests/test_private_sigstore_timestamp.
NOT_NOTICED = {
    *((fault, 1) for fault, answer in VERIFIER_SAYS.items() if answer is NO_TIME),
    *((Fault.TIMESTAMP_FOR_OTHER_NONCE, version) for version in VERSIONS),
}

# Where no certificate or no entry is given, there is no bundle either.
SERVICE_SAYS = {
    Fault.TOKEN_FOR_OTHER_AUDIENCE: "token is refused: Audience doesn't match",
    Fault.TOKEN_EXPIRED: "token is refused: Signature has expired",
    Fault.TOKEN_BAD_SIGNATURE: "token is refused: Signature verification failed",
    Fault.FULCIO_UNAVAILABLE: "fault: fulcio is not available",
    Fault.LOG_UNAVAILABLE: "fault: rekor is not available",
}

# What sigstore-python's signer says; of the other faults it says nothing.
SIGNER_SAYS = {
    Fault.TOKEN_FOR_OTHER_AUDIENCE: Answer(IdentityError, "malformed or missing claims"),
    Fault.TOKEN_EXPIRED: Answer(IdentityError, "malformed or missing claims"),
    Fault.TOKEN_BAD_SIGNATURE: Answer(Exception, "^$"),  # FulcioClientError, private and silent
    Fault.FULCIO_UNAVAILABLE: Answer(Exception, "^$"),
    Fault.CERTIFICATE_EXPIRED: Answer(Exception, "^$"),  # ExpiredCertificate, private and silent
    Fault.SCT_MISSING: VERIFIER_SAYS[Fault.SCT_MISSING],
    Fault.SCT_BAD_SIGNATURE: BAD_SCT,
    Fault.SCT_FOR_OTHER_CERTIFICATE: BAD_SCT,
    Fault.SCT_BY_UNKNOWN_LOG: BAD_SCT,
    Fault.LOG_UNAVAILABLE: Answer(Exception, "13: fault: rekor is not available"),
    Fault.PROOF_MISSING: Answer(Exception, "inclusionProof"),
    Fault.CHECKPOINT_MISSING: Answer(Exception, "checkpoint"),
    Fault.INTEGRATED_TIME_UNSIGNED: Answer(KeyError, "signedEntryTimestamp"),
    Fault.TIMESTAMP_UNAVAILABLE: NO_TIME_AT_ALL,
    Fault.TIMESTAMP_NOT_CONFIGURED: NO_TIME_AT_ALL,
}

BUNDLED = [
    (fault, version)
    for fault in Fault
    if fault not in SERVICE_SAYS and fault.notice is not Notice.FETCHING
    for version in VERSIONS
    if fault.applies_to(version)
]
NOTICED = [case for case in BUNDLED if case not in NOT_NOTICED]
SIGNING = [
    (fault, version) for fault in SIGNER_SAYS for version in VERSIONS if fault.applies_to(version)
]


def test_every_fault_is_tried() -> None:
    fetching = {fault for fault in Fault if fault.notice is Notice.FETCHING}
    tried = [VERIFIER_SAYS.keys(), SERVICE_SAYS.keys(), {Fault.TIMESTAMP_FOR_OTHER_NONCE}, fetching]
    assert set().union(*tried) == set(Fault)
    assert sum(map(len, tried)) == len(Fault)
    assert len(Fault) >= 40


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_fault_the_verifier_is_content(version: Version, kind: Kind) -> None:
    with PrivateSigstore(rekor_version=version) as instance:
        verify(instance, kind, sign_carelessly(instance, kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("fault", "version"), NOTICED)
def test_verifier_notices(fault: Fault, version: Version, kind: Kind) -> None:
    with PrivateSigstore(faults={fault}, rekor_version=version) as instance:
        bundle = sign_carelessly(instance, kind)
    answer = VERIFIER_SAYS[fault]
    with pytest.raises(answer.type, match=answer.text):
        verify(instance, kind, bundle)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("fault", "version"), sorted(NOT_NOTICED))
def test_what_sigstore_python_does_not_notice_is_said(
    fault: Fault, version: Version, kind: Kind
) -> None:
    with PrivateSigstore(faults={fault}, rekor_version=version) as instance:
        verify(instance, kind, sign_carelessly(instance, kind))
    assert "sigstore-python" in fault.description


@pytest.mark.parametrize("fault", SERVICE_SAYS)
def test_service_gives_nothing(fault: Fault) -> None:
    with PrivateSigstore(faults={fault}) as instance, pytest.raises(RequestError) as refusal:
        sign_carelessly(instance, "dsse")
    assert str(refusal.value) == SERVICE_SAYS[fault]


@pytest.mark.parametrize(("fault", "version"), SIGNING)
def test_signer_notices(fault: Fault, version: Version) -> None:
    answer = SIGNER_SAYS[fault]
    with (
        PrivateSigstore(faults={fault}, rekor_version=version) as instance,
        pytest.raises(answer.type, match=answer.text) as refusal,
    ):
        sign(instance, "dsse")
    foreign = isinstance(refusal.value, KeyError | ValidationError)
    assert not foreign or "sigstore-python" in fault.description


@pytest.mark.parametrize(
    ("fault", "version"), [case for case in BUNDLED if case[0] not in SIGNER_SAYS]
)
def test_signer_does_not_notice_but_the_verifier_does(fault: Fault, version: Version) -> None:
    with PrivateSigstore(faults={fault}, rekor_version=version) as instance:
        bundle = sign(instance, "dsse").to_json()
    if (fault, version) in NOT_NOTICED:
        verify(instance, "dsse", bundle)
    else:
        with pytest.raises((Error, ExtensionNotFound)):
            verify(instance, "dsse", bundle)


@pytest.mark.parametrize("fault", [fault for fault in Fault if not fault.applies_to(1)])
def test_refuses_a_fault_that_means_nothing(fault: Fault) -> None:
    with pytest.raises(ValueError, match=f"^{fault.value} means nothing with rekor version 1$"):
        PrivateSigstore(faults={fault}, rekor_version=1)


@pytest.mark.parametrize("fault", Fault)
def test_a_fault_says_what_is_wrong_and_who_must_notice(fault: Fault) -> None:
    assert Fault.named(fault.value) is fault
    assert fault.__doc__ == fault.description
    assert fault.description.endswith(".")
    assert fault.value == fault.name.lower().replace("_", "-")
    assert fault.rekor_versions


def test_an_unknown_fault_is_none() -> None:
    with pytest.raises(ValueError, match=r"^there is no fault no-such-fault$"):
        Fault.named("no-such-fault")
