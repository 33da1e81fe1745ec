"""One switch for each thing that a Sigstore instance can do wrong."""

from enum import Enum, StrEnum
from typing import Final, Self

BOTH: Final = frozenset({1, 2})
_V1: Final = frozenset({1})


class Notice(Enum):
    """When a correct client notices a fault at the latest."""

    SIGNING = "signing"
    """The signer gets no signature, or no token."""
    VERIFYING = "verifying"
    """The signer may be content; the verifier must not be."""
    FETCHING = "fetching"
    """Whoever fetches the trust root over TUF (The Update Framework specification 5)."""


class Fault(StrEnum):
    """What is wrong, and who must notice; the word is that of the command line.

    Each member has a `description` (also its docstring), the `rekor_versions` with which it means
    something, and `notice`: when a correct client notices it at the latest. What sigstore-python
    4.5.1 does otherwise is said in the description and held by tests/test_private_sigstore_faults.
    """

    description: str
    rekor_versions: frozenset[int]
    notice: Notice

    def __new__(
        cls, word: str, description: str, notice: Notice, rekor_versions: frozenset[int] = BOTH
    ) -> Self:
        """A member; the value is the word alone."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.__doc__ = member.description = description
        member.notice = notice
        member.rekor_versions = rekor_versions
        return member

    @classmethod
    def named(cls, word: str) -> Self:
        """The fault that the command line calls ``word``; `Fault(word)` for type checkers.

        Raises:
            ValueError: there is none.
        """
        for member in cls:
            if member.value == word:
                return member
        raise ValueError(f"there is no fault {word}")

    def applies_to(self, rekor_version: int) -> bool:
        """Whether the fault changes anything when that version of Rekor is signed to."""
        return rekor_version in self.rekor_versions

    # OpenID Connect
    TOKEN_FOR_OTHER_AUDIENCE = (
        "token-for-other-audience",
        "Tokens are meant for another audience than `sigstore`; client and Fulcio must refuse.",
        Notice.SIGNING,
    )
    TOKEN_EXPIRED = (
        "token-expired",
        "Tokens ended an hour ago; client and Fulcio must refuse.",
        Notice.SIGNING,
    )
    TOKEN_BAD_SIGNATURE = (
        "token-bad-signature",
        "Tokens are signed by another key than the issuer's; Fulcio refuses, clients cannot know.",
        Notice.SIGNING,
    )

    # Fulcio
    FULCIO_UNAVAILABLE = (
        "fulcio-unavailable",
        "Fulcio answers with status 500; there is no certificate to sign with.",
        Notice.SIGNING,
    )
    CERTIFICATE_BY_UNKNOWN_CA = (
        "certificate-by-unknown-ca",
        "The certificate comes from a CA of the right name that is not in the trusted root; "
        "the verifier must notice. sigstore-python signs without a complaint.",
        Notice.VERIFYING,
    )
    CERTIFICATE_FOR_OTHER_IDENTITY = (
        "certificate-for-other-identity",
        "The certificate names `mallory@example.test`, whoever asked; the verifier's policy must "
        "notice. sigstore-python signs without a complaint.",
        Notice.VERIFYING,
    )
    CERTIFICATE_FOR_OTHER_ISSUER = (
        "certificate-for-other-issuer",
        "The certificate says that another OIDC issuer knew the signer; the verifier's policy must "
        "notice.",
        Notice.VERIFYING,
    )
    CERTIFICATE_FOR_OTHER_KEY = (
        "certificate-for-other-key",
        "The certificate holds a key that nobody has, and Rekor does not look; the verifier must "
        "notice. sigstore-python signs without a complaint.",
        Notice.VERIFYING,
    )
    CERTIFICATE_EXPIRED = (
        "certificate-expired",
        "The certificate ended fifty minutes before it was issued; signer and verifier must "
        "notice.",
        Notice.SIGNING,
    )
    CERTIFICATE_NOT_YET_VALID = (
        "certificate-not-yet-valid",
        "The certificate begins in an hour; the verifier must notice. sigstore-python signs with "
        "it without a complaint.",
        Notice.VERIFYING,
    )
    CERTIFICATE_NOT_FOR_CODE_SIGNING = (
        "certificate-not-for-code-signing",
        "The certificate has no extended key usage; the verifier must notice. sigstore-python "
        "does so with an `ExtensionNotFound` that is not an error of its own.",
        Notice.VERIFYING,
    )

    # Certificate Transparency, RFC 6962
    SCT_MISSING = (
        "sct-missing",
        "The certificate has no signed certificate timestamp (SCT); signer and verifier must "
        "notice.",
        Notice.SIGNING,
    )
    SCT_BAD_SIGNATURE = (
        "sct-bad-signature",
        "The signature of the SCT is over other bytes; signer and verifier must notice.",
        Notice.SIGNING,
    )
    SCT_FOR_OTHER_CERTIFICATE = (
        "sct-for-other-certificate",
        "The SCT is a true one of another certificate; signer and verifier must notice.",
        Notice.SIGNING,
    )
    SCT_BY_UNKNOWN_LOG = (
        "sct-by-unknown-log",
        "The SCT comes from a log that is not in the trusted root; signer and verifier must "
        "notice.",
        Notice.SIGNING,
    )

    # Rekor
    LOG_UNAVAILABLE = (
        "log-unavailable",
        "Rekor answers with status 500; there is no complete signature.",
        Notice.SIGNING,
    )
    LOG_UNKNOWN = (
        "log-unknown",
        "The entry comes from a log that is not in the trusted root; the verifier must notice.",
        Notice.VERIFYING,
    )
    ENTRY_FOR_OTHER_ARTIFACT = (
        "entry-for-other-artifact",
        "The logged digest is that of something else; the verifier must notice (CVE-2022-36056).",
        Notice.VERIFYING,
    )
    ENTRY_FOR_OTHER_SIGNATURE = (
        "entry-for-other-signature",
        "The logged signature is another one over the same artifact; the verifier must notice.",
        Notice.VERIFYING,
    )
    ENTRY_FOR_OTHER_KEY = (
        "entry-for-other-key",
        "The logged certificate is another one; the verifier must notice.",
        Notice.VERIFYING,
    )
    PROOF_MISSING = (
        "proof-missing",
        "The entry comes without an inclusion proof; the verifier must notice. sigstore-python "
        "refuses it when it signs, with a `KeyError` (v1) or pydantic's `ValidationError` (v2).",
        Notice.VERIFYING,
    )
    PROOF_WRONG = (
        "proof-wrong",
        "The first hash of the inclusion proof is random; the verifier must notice.",
        Notice.VERIFYING,
    )
    CHECKPOINT_MISSING = (
        "checkpoint-missing",
        "The inclusion proof comes without a checkpoint; the verifier must notice. sigstore-python "
        "refuses it when it signs, with a `KeyError` (v1).",
        Notice.VERIFYING,
    )
    CHECKPOINT_BAD_SIGNATURE = (
        "checkpoint-bad-signature",
        "The signature of the checkpoint is over other bytes; the verifier must notice.",
        Notice.VERIFYING,
    )
    CHECKPOINT_OF_OTHER_TREE = (
        "checkpoint-of-other-tree",
        "The checkpoint is signed by the log but has another root hash than the proof; the "
        "verifier must notice.",
        Notice.VERIFYING,
    )
    SET_BAD_SIGNATURE = (
        "set-bad-signature",
        "The signed entry timestamp (SET) is over other bytes; the verifier must notice.",
        Notice.VERIFYING,
        _V1,
    )
    INTEGRATED_TIME_TOO_LATE = (
        "integrated-time-too-late",
        "The log says that it got the entry half an hour after the end of the certificate; the "
        "verifier must notice.",
        Notice.VERIFYING,
        _V1,
    )
    INTEGRATED_TIME_TOO_EARLY = (
        "integrated-time-too-early",
        "The log says that it got the entry half an hour before the certificate existed; the "
        "verifier must notice.",
        Notice.VERIFYING,
        _V1,
    )

    INTEGRATED_TIME_UNSIGNED = (
        "integrated-time-unsigned",
        "There is neither a SET nor a timestamp authority, so that nobody signed the log's time; "
        "the verifier must notice. sigstore-python refuses it when it signs, with a `KeyError`.",
        Notice.VERIFYING,
        _V1,
    )

    # Timestamps, RFC 3161
    TIMESTAMP_UNAVAILABLE = (
        "timestamp-unavailable",
        "The timestamp authority answers with status 500. With Rekor v2 there is no trusted time "
        "and signer or verifier must notice; with v1 the log's own time is enough.",
        Notice.VERIFYING,
        frozenset({2}),
    )
    TIMESTAMP_NOT_CONFIGURED = (
        "timestamp-not-configured",
        "The signing configuration names no timestamp authority. With Rekor v2 there is no trusted "
        "time and signer or verifier must notice; with v1 the log's own time is enough.",
        Notice.VERIFYING,
        frozenset({2}),
    )
    TIMESTAMP_OVER_OTHER_MESSAGE = (
        "timestamp-over-other-message",
        "The timestamp is over another signature; the verifier must notice. With Rekor v1 "
        "sigstore-python passes over it, because the log's own time is enough.",
        Notice.VERIFYING,
    )
    TIMESTAMP_BY_UNKNOWN_AUTHORITY = (
        "timestamp-by-unknown-authority",
        "The timestamp comes from an authority of the right name that is not in the trusted root; "
        "the verifier must notice. With Rekor v1 sigstore-python passes over it.",
        Notice.VERIFYING,
    )
    TIMESTAMP_BAD_SIGNATURE = (
        "timestamp-bad-signature",
        "The signature of the timestamp is over other bytes; the verifier must notice. With Rekor "
        "v1 sigstore-python passes over it.",
        Notice.VERIFYING,
    )
    TIMESTAMP_NOT_FOR_TIMESTAMPING = (
        "timestamp-not-for-timestamping",
        "The authority's certificate has the extended key usage of code signing; the verifier must "
        "notice (RFC 3161 section 2.3). With Rekor v1 sigstore-python passes over it.",
        Notice.VERIFYING,
    )
    TIMESTAMP_TOO_LATE = (
        "timestamp-too-late",
        "The timestamp lies half an hour after the end of the certificate; the verifier must "
        "notice.",
        Notice.VERIFYING,
    )
    TIMESTAMP_TOO_EARLY = (
        "timestamp-too-early",
        "The timestamp lies half an hour before the certificate existed; the verifier must notice.",
        Notice.VERIFYING,
    )
    TIMESTAMP_FOR_OTHER_NONCE = (
        "timestamp-for-other-nonce",
        "The answer repeats another nonce than the request's; the signer must notice (RFC 3161 "
        "section 2.4.2). sigstore-python does not.",
        Notice.SIGNING,
    )

    # TUF
    TUF_BAD_SIGNATURE = (
        "tuf-bad-signature",
        "`timestamp.json` is signed by another key; who fetches must notice.",
        Notice.FETCHING,
    )
    TUF_EXPIRED = (
        "tuf-expired",
        "`timestamp.json` ended a day ago; who fetches must notice.",
        Notice.FETCHING,
    )
    TUF_TARGET_CHANGED = (
        "tuf-target-changed",
        "`trusted_root.json` is not the file that was signed; who fetches must notice.",
        Notice.FETCHING,
    )
