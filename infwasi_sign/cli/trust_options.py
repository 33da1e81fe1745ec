"""What a command line says of whom to trust; how it is asked is in `options`."""

from pathlib import Path

from infwasi_sign.quick_dataclass import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class TrustOptions:
    """What the command line says of whom to trust; the names are those of the parameters."""

    name: str | None = None
    policy_path: Path | None = None
    key_path: Path | None = None
    pin: bool = False
    identity: str | None = None
    identity_pattern: str | None = None
    issuer: str | None = None
    trust_root: Path | None = None
    certificate_identity: str | None = None
    certificate_roots: Path | None = None
    certificate_intermediates: Path | None = None
    timestamp_roots: Path | None = None
    key_flag: str = "--key"  # what the user calls ``key_path``

    @property
    def is_one_key(self) -> bool:
        """Whether the policy that they are short for is known before any file is read.

        It is the one of ``--key``: it demands nothing beyond that signer, and allows no identity
        cache.
        """
        others = (self.policy_path, self.identity, self.identity_pattern, self.certificate_roots)
        return self.key_path is not None and not self.pin and all(one is None for one in others)

    @property
    def is_one_signer(self) -> bool:
        """Whether a flag names whom to trust, and no policy does."""
        named = (self.key_path, self.identity, self.identity_pattern, self.certificate_roots)
        return self.pin or any(one is not None for one in named)
