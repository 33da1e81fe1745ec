"""Somebody who signed and is trusted."""

from dataclasses import dataclass
from datetime import datetime

from infwasi_sign.domain.material import SigningMode


@dataclass(frozen=True, kw_only=True, slots=True)
class SignerIdentity:
    """Who signed, as the policy calls them; ``fingerprint`` is hex SHA-256 of the SPKI DER.

    ``identity`` is what a certificate says of its holder and ``issuer`` who vouched for that, in
    keyless mode; ``signed_at`` a time that somebody else than the signer confirms;
    ``trust_age_days`` how old the trust root is by which that was judged.
    """

    name: str
    fingerprint: str
    algorithm: str
    mode: SigningMode = SigningMode.KEY
    identity: str | None = None
    issuer: str | None = None
    signed_at: datetime | None = None
    trust_age_days: int | None = None
