"""What a policy says of a signer with a certificate, and what verification found out about one."""

from datetime import datetime
from enum import StrEnum

from infwasi_sign.quick_dataclass import dataclass


class TimestampRule(StrEnum):
    """At which time a certificate has to be valid."""

    REQUIRED = "required"  # when a trusted authority stamped the signature; without it, refused
    CURRENT_TIME = "current-time"  # now, unless a trusted authority stamped the signature


@dataclass(frozen=True, kw_only=True, slots=True)
class CertificateTrust:
    """One signer as the policy knows them: a name in a certificate, and who may certify it.

    ``identity`` is compared as it stands, without patterns and with its case. With a ``:`` it is a
    URI, else with an ``@`` an email address, else a DNS name of the subjectAltName; if the
    certificate has no subjectAltName at all, it is the one common name of the subject.
    """

    name: str
    identity: str
    roots: tuple[bytes, ...]  # certificates of CAs, DER; chains end here and nowhere else
    intermediates: tuple[bytes, ...]  # help to find a chain; nothing is trusted by them
    timestamp_roots: tuple[bytes, ...]  # self-signed, DER; without any, no timestamp counts
    timestamp: TimestampRule


@dataclass(frozen=True, kw_only=True, slots=True)
class CertifiedSigner:
    """Who signed; ``fingerprint`` and ``certificate`` are hex SHA-256 of SPKI and certificate.

    Deny by ``fingerprint``: the digest of a certificate changes with the form of its signature
    (an ECDSA signature has two), the key does not.
    """

    name: str
    identity: str
    fingerprint: str
    certificate: str
    algorithm: str
    signed_at: datetime | None  # not later than this, says a trusted authority; None: nobody says
