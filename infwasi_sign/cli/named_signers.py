"""Whom the flags of `verify` name, without a policy: a key, a certificate's holder, an identity."""

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from infwasi_sign.adapters.trust_root import JudgingRoot, default_trust_root, load_trust_root
from infwasi_sign.cli.output import say
from infwasi_sign.cli.trust_options import TrustOptions
from infwasi_sign.errors import UndecidedError

if TYPE_CHECKING:
    from infwasi_sign.adapters.sigstore_identity import TrustedIdentity
    from infwasi_sign.domain.certified import CertificateTrust


def require_one_way(options: TrustOptions) -> None:
    """Key, identity and policy exclude each other: whoever means one gets no other.

    Raises:
        UndecidedError: several are named, one in part, or one by an empty text.
    """
    ways = {
        "--policy": options.policy_path is not None,
        options.key_flag: options.key_path is not None,
        "--identity": options.identity is not None,
        "--identity-pattern": options.identity_pattern is not None,
        "--certificate-roots": options.certificate_roots is not None,
    }
    named = [way for way, is_named in ways.items() if is_named]
    _require_said(options)
    if len(named) > 1:
        raise UndecidedError(
            f"{named[0]} and {named[1]} exclude each other",
            hint="a policy names all its signers; a flag names the only one",
        )
    if options.pin and named not in ([], [options.key_flag]):
        raise UndecidedError("only a key can be pinned", got=named[0], hint="leave out --pin")
    is_keyless = bool({"--identity", "--identity-pattern"} & set(named))
    if is_keyless != (options.issuer is not None):
        raise UndecidedError(
            "an identity counts only with who vouches for it",
            expected="--identity and --issuer",
        )
    is_certified = options.certificate_roots is not None
    if is_certified != (options.certificate_identity is not None) or (
        not is_certified and (options.certificate_intermediates or options.timestamp_roots)
    ):
        raise UndecidedError(
            "a certificate counts only with whose it is and who issued it",
            expected="--certificate-identity and --certificate-roots",
        )
    if options.trust_root is not None and not is_keyless:
        raise UndecidedError(
            "a trust root is for identities", hint="a policy names its own in [sigstore]"
        )


def _require_said(options: TrustOptions) -> None:
    """A name that is empty is a variable that nobody set, and names nobody."""
    for option, said in {
        "--identity": options.identity,
        "--identity-pattern": options.identity_pattern,
        "--issuer": options.issuer,
        "--certificate-identity": options.certificate_identity,
    }.items():
        if said is not None and not said.strip():
            raise UndecidedError("the name is empty", where=option)


def named_holder(options: TrustOptions) -> "CertificateTrust":
    """Whom ``--certificate-identity`` and ``--certificate-roots`` name.

    Raises:
        UndecidedError: a file cannot be read or trusted.
    """
    from infwasi_sign.adapters.certificate_files import read_certificates
    from infwasi_sign.domain.certified import CertificateTrust, TimestampRule

    def read(path: Path | None) -> tuple[bytes, ...]:
        return () if path is None else read_certificates(path)

    identity = options.certificate_identity or ""
    is_stamped = options.timestamp_roots is not None
    return CertificateTrust(
        name=identity,
        identity=identity,
        roots=read(options.certificate_roots),
        intermediates=read(options.certificate_intermediates),
        timestamp_roots=read(options.timestamp_roots),
        timestamp=TimestampRule.REQUIRED if is_stamped else TimestampRule.CURRENT_TIME,
    )


def named_identity(options: TrustOptions) -> "TrustedIdentity":
    """Whom ``--identity`` or ``--identity-pattern``, and ``--issuer`` name."""
    from infwasi_sign.adapters.sigstore_identity import TrustedIdentity

    assert options.issuer is not None  # noqa: S101 - require_one_way looked
    return TrustedIdentity(
        name=options.identity or options.identity_pattern or "",
        issuer=options.issuer,
        identity=options.identity,
        pattern=options.identity_pattern,
    )


def named_root(options: TrustOptions, package: Path) -> JudgingRoot:
    """The trust root of ``--trust-root``, else the one in its usual place; not yet read."""
    path = options.trust_root
    return JudgingRoot(
        default_trust_root if path is None else partial(load_trust_root, path), package
    )


def say_if_stale(root: JudgingRoot | None, now: datetime) -> None:
    """A note for people, if a trust root was used that is old."""
    if root is None or root.root is None:
        return
    from infwasi_sign.domain.trust_root import stale_note

    note = stale_note(root.root, now)
    if note is not None:
        say(f"note: {note}")
