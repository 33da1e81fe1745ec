"""What must come of each vector of sigstore-conformance, and in which words.

A case that ends in ``_fail`` has a twin, the happy case from which it differs by its fault alone,
as far as the suite has one. The words come from our own code where ours verifies, and else from
sigstore-python 4.5: if they change with a release, read what it says now before you change them.
"""

from dataclasses import dataclass
from typing import Final

from tests.conformance.verifying import Judge

# Who signed where a case does not say it (the suite's test/client.py).
IDENTITY: Final = (
    b"https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/"
    b"workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
)
ISSUER: Final = b"https://token.actions.githubusercontent.com"


@dataclass(frozen=True, kw_only=True)
class Case:
    """Accepted, by ``judge``; or refused in these words, unlike its twin."""

    judge: Judge = Judge.STOCK
    twin: str | None = None
    says: str = ""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A happy case that is refused, in which words, and why that is meant."""

    says: str
    why: str


DIFFERENCES: Final = {
    "intoto-with-custom-trust-root": Difference(
        says="Integrated time only supported for dsse/hashedrekord 0.0.1 types",
        why="its log entry is of the kind intoto 0.0.2, which sigstore-python 4.5 does not read; "
        "entries of our format are of the kinds dsse 0.0.1 and hashedrekord 0.0.2",
    ),
}


def _accepted(*names: str, judge: Judge = Judge.STOCK) -> dict[str, Case]:
    return {name: Case(judge=judge) for name in names}


def _refused(twin: str, **says: str) -> dict[str, Case]:
    return {
        f"{name.replace('_', '-')}_fail": Case(twin=twin, says=words)
        for name, words in says.items()
    }


_INCONSISTENT: Final = "transparency log entry is inconsistent with other materials"
_NO_TIME: Final = "not enough sources of verified time"
_NO_PROOF: Final = "entry must contain inclusion proof, with checkpoint"
_UNREAD: Final = "failed to load bundle"
_INTOTO: Final = "Integrated time only supported for dsse/hashedrekord 0.0.1 types"
_HEADER: Final = "malformed LogCheckpoint: too few items in header"
_OUTSIDE: Final = "cert is not valid at validation time"

CASES: Final[dict[str, Case]] = {
    **_accepted("happy-path-intoto-in-dsse-v3", "rekor2-dsse-happy-path", judge=Judge.OURS),
    **_accepted("managed-key-happy-path", "managed-key-and-trusted-root", judge=Judge.OURS),
    **_accepted(
        "bundle-with-sct-with-extensions",
        "happy-path-v0.1",
        "happy-path-v0.2",
        "happy-path-v0.3",
        "happy-path-v0.3-new-mediaType",
        "intoto-with-custom-trust-root",
        "rekor2-checkpoint-cosigned",
        "rekor2-checkpoint-multiple-cosigs",
        "rekor2-checkpoint-origin-not-first",
        "rekor2-checkpoint-two-sigs-cosigned",
        "rekor2-checkpoint-two-sigs-from-origin",
        "rekor2-happy-path",
        "rekor2-timestamp-with-embedded-cert",
        "rekor2-timestamp-with-expired-cert-chain",
        "rekor2-timestamp-without-embedded-cert",
        "trust-root-tlog-validity-end-inclusive",
        "trust-root-tsa-validity-end-inclusive",
    ),
    **_refused(
        "happy-path-v0.1",
        bundle_empty_certificate_chain="expected non-empty certificate chain in bundle",
        bundle_from_wrong_instance="candidates exhausted: signature does not match",
        bundle_invalid_base64_signature=_UNREAD,
        bundle_malformed_json="not JSON in bundle",
        bundle_negative_log_index=_UNREAD,
        bundle_unknown_version=_UNREAD,
        bundle_with_root_cert=_NO_PROOF,
        checkpoint_bad_keyhint="checkpoint: Signature not found for log ID",
        checkpoint_wrong_roothash="Inclusion proof contains invalid root hash",
        incorrect_public_key="inclusion proof contains invalid root hash",
        invalid_checkpoint_signature="checkpoint: invalid signature",
        invalid_ct_key="failed to verify SCT on signing certificate",
        set_invalid_signature="SET: invalid inclusion promise",
        signature_mismatch="Signature is invalid for input",
        wrong_material="Bundle message digest mismatch",
    ),
    **_refused("happy-path-v0.2", invalid_inclusion_proof=_NO_PROOF),
    **_refused(
        "happy-path-v0.3",
        inclusion_proof_corrupted_hash="inclusion proof contains invalid root hash",
        message_digest_mismatch="Bundle message digest mismatch",
    ),
    **_refused(
        "happy-path-v0.3-new-mediaType",
        integrated_time_in_future=_OUTSIDE,
        wrong_hashedrekord_artifact=_INCONSISTENT,
        wrong_hashedrekord_cert_and_sig=_INCONSISTENT,
        wrong_hashedrekord_entry=_INCONSISTENT,
    ),
    **_refused(
        "happy-path-intoto-in-dsse-v3",
        dsse_invalid_sig="DSSE: invalid signature",
        dsse_mismatch_envelope="log entry payload hash does not match bundle",
        dsse_mismatch_sig="log entry signatures do not match bundle",
    ),
    **_refused(
        "intoto-with-custom-trust-root",
        intoto_expired_certificate=_INTOTO,
        intoto_log_entry_mismatch=_INTOTO,
        intoto_missing_inclusion_proof=_UNREAD,
        intoto_set_outside_signing_cert_validity=_INTOTO,
        intoto_tsa_timestamp_outside_cert_validity=_INTOTO,
    ),
    **_refused(
        "managed-key-happy-path",
        managed_key_no_key="expected certificate in bundle",
        managed_key_wrong_key="not a point of the curve P-256 in key",
    ),
    **_refused(
        "rekor2-dsse-happy-path",
        rekor2_dsse_invalid_sig="DSSE: invalid signature",
        rekor2_dsse_mismatch_envelope=_INCONSISTENT,
        rekor2_dsse_mismatch_sig=_INCONSISTENT,
    ),
    **_refused(
        "rekor2-happy-path",
        rekor2_checkpoint_missing_log_signature="malformed Note: must contain at least one",
        rekor2_checkpoint_missing_origin=_HEADER,
        rekor2_checkpoint_missing_root_hash=_HEADER,
        rekor2_checkpoint_missing_size=_HEADER,
        rekor2_checkpoint_no_matching_signature="checkpoint: invalid signature",
        rekor2_no_inclusion_proof=_UNREAD,
        rekor2_no_timestamp="must contain an inclusion promise or signed timestamp(s)",
        rekor2_timestamp_outside_trust_root_tsa_validity="no Timestamp Authorities have been "
        "provided",
        rekor2_timestamp_payload_mismatch=_NO_TIME,
        rekor2_timestamp_with_incorrect_time=_OUTSIDE,
        trust_root_tlog_missing_validity_start="1 validation error for ClientTrustConfig",
    ),
    **_refused(
        "rekor2-timestamp-with-embedded-cert",
        rekor2_timestamp_untrusted_tsa_with_embedded_cert="Invalid Timestamp Response",
    ),
    **_refused(
        "rekor2-timestamp-without-embedded-cert",
        rekor2_timestamp_outside_tsa_cert_validity=_NO_TIME,
        rekor2_timestamp_untrusted_tsa_without_embedded_cert=_NO_TIME,
    ),
}
