"""What `verify` and `verify-and-run` share: whom to trust, the adapters, the clock."""

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from infwasi_sign.adapters.key_files import load_public_key
from infwasi_sign.adapters.keys import TrustedKey
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.package_directory import DirectoryStore
from infwasi_sign.adapters.pins import PinStore, trusted_key
from infwasi_sign.adapters.policy_source import find_policy, load_policy, require_outside
from infwasi_sign.adapters.signature_modes import ModeVerifier, TrustedSigners
from infwasi_sign.adapters.state_folder import StateFolder, state_folder
from infwasi_sign.adapters.trust_root import JudgingRoot, default_trust_root, load_trust_root
from infwasi_sign.cli.options import TrustOptions
from infwasi_sign.cli.output import say
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.facts import TRUST_AGE
from infwasi_sign.domain.manifest import Manifest
from infwasi_sign.domain.pins import Pin, find_pin, require_pinned
from infwasi_sign.domain.policy import DirectoryNamed, NamedPackage, Policy
from infwasi_sign.domain.rollback import policy_id
from infwasi_sign.domain.signer import SignerIdentity
from infwasi_sign.domain.trust_root import stale_note
from infwasi_sign.errors import UndecidedError
from infwasi_sign.verify import VerifiedPackage, VerifyRequest, verify

if TYPE_CHECKING:
    from infwasi_sign.adapters.sigstore_identity import TrustedIdentity
    from infwasi_sign.domain.certified import CertificateTrust

PIN: Final = "--pin"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trust:
    """Whom a command trusts and by whose rules; ``root`` is for identities, if any are trusted."""

    policy: Policy
    signers: TrustedSigners
    policy_id: str  # under which accepted releases are remembered
    memory_demanded_at: str | None = None  # the line that demands that they are
    root: JudgingRoot | None = None
    pins: PinStore | None = None  # where trust on first use is kept, if that is what decides


def choose_trust(package: Path, options: TrustOptions, *, digests: frozenset[Algorithm]) -> Trust:
    """The trust that the options name, else the policy in its usual place.

    ``--key`` and ``--identity`` are short for a policy with that one signer and one package.

    Raises:
        UndecidedError: several are named, or there is none.
    """
    wanted = (
        NamedPackage(name=options.name)
        if options.name is not None
        else DirectoryNamed(directory=_directory_name(package))
    )
    require_one_way(options)
    if options.pin:
        return _pinned_trust(package, wanted, options, digests)
    if options.key_path is not None:
        key = TrustedKey(name=options.key_path.stem, public_key=load_public_key(options.key_path))
        return Trust(
            policy=Policy(package=wanted, digests=digests),
            signers=TrustedSigners(keys=(key,)),
            policy_id=policy_id("key", key.public_key.fingerprint),
        )
    if options.identity is not None or options.identity_pattern is not None:
        return _identity_trust(package, wanted, options, digests)
    if options.certificate_roots is not None:
        return _certificate_trust(wanted, options, digests)
    found = find_policy(options.policy_path, os.environ)
    require_outside(found, package)
    loaded = load_policy(found)
    root = JudgingRoot(loaded.signers.trust_root, package)
    return Trust(
        policy=loaded.policy(wanted, digests),
        signers=replace(loaded.signers, trust_root=root),
        root=root,
        policy_id=policy_id("file", os.path.realpath(loaded.path)),
        memory_demanded_at=loaded.file.memory_demanded_at,
    )


def require_one_way(options: TrustOptions) -> None:
    """Key, identity and policy exclude each other: whoever means one gets no other."""
    ways = {
        "--policy": options.policy_path is not None,
        "--key": options.key_path is not None,
        "--identity": options.identity is not None,
        "--identity-pattern": options.identity_pattern is not None,
        "--certificate-roots": options.certificate_roots is not None,
    }
    named = [way for way, is_named in ways.items() if is_named]
    if len(named) > 1:
        raise UndecidedError(
            f"{named[0]} and {named[1]} exclude each other",
            hint="a policy names all its signers; a flag names the only one",
        )
    if options.pin and named not in ([], ["--key"]):
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


def named_holder(options: TrustOptions) -> "CertificateTrust":
    """Whom ``--certificate-identity`` and ``--certificate-roots`` name.

    Raises:
        UndecidedError: a file cannot be read.
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


def _certificate_trust(
    wanted: NamedPackage | DirectoryNamed, options: TrustOptions, digests: frozenset[Algorithm]
) -> Trust:
    trusted = named_holder(options)
    anchors = " ".join(measure_bytes(root)[Algorithm.SHA256].hex for root in sorted(trusted.roots))
    return Trust(
        policy=Policy(package=wanted, digests=digests, source="--certificate-roots"),
        signers=TrustedSigners(certificates=(trusted,)),
        policy_id=policy_id("certificate", f"{trusted.identity} {anchors}"),
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


def _identity_trust(
    package: Path,
    wanted: NamedPackage | DirectoryNamed,
    options: TrustOptions,
    digests: frozenset[Algorithm],
) -> Trust:
    trusted, root = named_identity(options), named_root(options, package)
    return Trust(
        policy=Policy(package=wanted, digests=digests, source="--identity"),
        signers=TrustedSigners(identities=(trusted,), trust_root=root),
        policy_id=policy_id("identity", str(trusted)),
        root=root,
    )


def _directory_name(package: Path) -> str:
    """What the directory is really called; `Path.resolve` has no error of ours for a loop."""
    return Path(os.path.realpath(package)).name


def _pinned_trust(
    package: Path,
    wanted: NamedPackage | DirectoryNamed,
    options: TrustOptions,
    digests: frozenset[Algorithm],
) -> Trust:
    """Trust on first use: the key that is given now, else the one that was kept for the package."""
    pins = PinStore(StateFolder(state_folder(os.environ, os.geteuid())))
    if options.key_path is not None:
        key = TrustedKey(name=options.key_path.stem, public_key=load_public_key(options.key_path))
    else:
        key = trusted_key(
            find_pin(pins.pins(), name=options.name, directory=_directory_name(package))
        )
    return Trust(
        policy=Policy(package=wanted, digests=digests, source=PIN),
        signers=TrustedSigners(keys=(key,)),
        policy_id=policy_id("pins", ""),
        pins=pins,
    )


def verify_trusting(request: VerifyRequest, trust: Trust) -> VerifiedPackage:
    """Verify with the adapters of this machine; a stale trust root is said, whatever it comes to.

    Where a policy sets a maximum age, that decides, and nothing needs to be said.
    """
    if trust.pins is not None:
        request = replace(request, on_claims=partial(_require_pin, request, trust))
    try:
        return verify(
            request,
            store=DirectoryStore(),
            signatures=ModeVerifier(trust.signers, request.now),
            measure_bytes=measure_bytes,
        )
    finally:
        if not any(rule.fact == TRUST_AGE for rule in trust.policy.rules):
            say_if_stale(trust.root, request.now)


def say_if_stale(root: JudgingRoot | None, now: datetime) -> None:
    """A note for people, if a trust root was used that is old."""
    if root is None or root.root is None:
        return
    note = stale_note(root.root, now)
    if note is not None:
        say(f"note: {note}")


def _require_pin(
    request: VerifyRequest, trust: Trust, manifest: Manifest, signer: SignerIdentity
) -> None:
    """The key of this package's name is the one that was kept for it, if one was."""
    pin = None if trust.pins is None else trust.pins.read(manifest.package_name)
    (key,) = trust.signers.keys
    require_pinned(pin, package=manifest.package_name, public_key=key.public_key.spki_der)
    if request.on_claims is not None:
        request.on_claims(manifest, signer)


def remember_pin(trust: Trust, package: VerifiedPackage, now: datetime) -> None:
    """Keep the key of an accepted package, where trust on first use is what decides.

    Raises:
        RefusedError: kind `signer`; another key was kept meanwhile.
        UndecidedError: it cannot be kept.
    """
    if trust.pins is not None:
        (key,) = trust.signers.keys
        name = package.manifest.package_name
        trust.pins.write(Pin(package=name, public_key=key.public_key.spki_der, pinned_at=now))


def now_utc() -> datetime:
    """The clock, read once per command."""
    return datetime.now(UTC)
