"""Somebody who signed and is trusted."""

from datetime import datetime

from infwasi_sign.domain.digest import Digest
from infwasi_sign.domain.manifest import OMS_FILE
from infwasi_sign.domain.material import SigningMode
from infwasi_sign.errors import RefusalKind, RefusedError
from infwasi_sign.quick_dataclass import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class TrustRootUsed:
    """By what an identity was judged: a file, the digest of its bytes, its age in whole days."""

    source: str
    digest: Digest
    age_days: int

    def __str__(self) -> str:
        return f"{self.source} {self.digest}, {self.age_days} days old"


@dataclass(frozen=True, kw_only=True, slots=True)
class SignerIdentity:
    """Who signed, as the policy calls them; ``fingerprint`` is hex SHA-256 of the SPKI DER.

    ``identity`` is what a certificate says of its holder and ``issuer`` who vouched for that, in
    keyless mode; ``signed_at`` a time that somebody else than the signer confirms;
    ``trust_root`` by what that was judged.
    """

    name: str
    fingerprint: str
    algorithm: str
    mode: SigningMode = SigningMode.KEY
    identity: str | None = None
    issuer: str | None = None
    signed_at: datetime | None = None
    trust_root: TrustRootUsed | None = None


def require_same_certificate(companion: SignerIdentity, packer: SignerIdentity) -> None:
    """The OMS companion is by the key of the packer's certificate, and not only by a trusted one.

    Raises:
        RefusedError: kind `signer`.
    """
    if companion.fingerprint != packer.fingerprint:
        raise RefusedError(
            RefusalKind.SIGNER,
            "the OMS companion is under another certificate than the manifest",
            where=OMS_FILE,
            expected=f"sha256:{packer.fingerprint}",
            got=f"sha256:{companion.fingerprint}",
        )
