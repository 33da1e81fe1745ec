"""Whom a command trusts, and by whose rules."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, assert_never

from infwasi_sign.adapters.key_files import load_public_key, public_pem
from infwasi_sign.adapters.keys import TrustedKey
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.signature_modes import TrustedSigners
from infwasi_sign.adapters.trust_root import JudgingRoot
from infwasi_sign.cli.named_signers import (
    named_holder,
    named_identity,
    named_root,
    require_one_way,
)
from infwasi_sign.cli.trust_options import TrustOptions
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.policy import DirectoryNamed, NamedPackage, Policy
from infwasi_sign.domain.rollback import policy_id
from infwasi_sign.quick_dataclass import dataclass

if TYPE_CHECKING:
    from datetime import datetime

    from infwasi_sign.adapters.pins import PinStore
    from infwasi_sign.verify import VerifiedPackage

PIN: Final = "--pin"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trust:
    """Whom a command trusts and by whose rules; ``root`` is for identities, if any are trusted."""

    policy: Policy
    signers: TrustedSigners
    policy_id: str  # under which accepted releases are remembered
    memory_demanded_at: str | None = None  # the line that demands that they are
    root: JudgingRoot | None = None
    pins: "PinStore | None" = None  # where trust on first use is kept, if that is what decides


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
            policy=Policy(
                package=wanted,
                digests=digests,
                source=options.key_flag,
                digest=_key_digest(wanted, key),
            ),
            signers=TrustedSigners(keys=(key,)),
            policy_id=policy_id("key", key.public_key.fingerprint),
        )
    if options.identity is not None or options.identity_pattern is not None:
        return _identity_trust(package, wanted, options, digests)
    if options.certificate_roots is not None:
        return _certificate_trust(wanted, options, digests)
    from infwasi_sign.adapters.policy_source import find_policy, load_policy, require_outside

    found = find_policy(options.policy_path, os.environ, key_flag=options.key_flag)
    require_outside(found, package)
    loaded = load_policy(found)
    root = JudgingRoot(loaded.signers.trust_root, package)
    return Trust(
        policy=loaded.policy(wanted, digests),
        signers=replace(loaded.signers, trust_root=root),
        root=root,
        policy_id=policy_id("file", _place(loaded.path)),
        memory_demanded_at=loaded.file.memory_demanded_at,
    )


def _place(path: Path) -> str:
    """The name of a policy, which stays when its rules change: its folder, and what it is called.

    Not what it leads to: where files are replaced behind a link (Kubernetes, NixOS) that is another
    one for each version, and what was accepted would be forgotten with each.
    """
    return os.path.join(os.path.realpath(path.parent), path.name)


def _key_digest(wanted: NamedPackage | DirectoryNamed, key: TrustedKey) -> Digest:
    from infwasi_sign.domain.policy_short import key_policy

    pem = public_pem(key.public_key)
    return _sha256(key_policy(asked=_asked(wanted), name=key.name, pem=pem))


def _asked(wanted: NamedPackage | DirectoryNamed) -> str:
    match wanted:
        case NamedPackage(name=name):
            return name
        case DirectoryNamed(directory=name):
            return name
        case _:
            assert_never(wanted)


def _sha256(data: bytes) -> Digest:
    return measure_bytes(data)[Algorithm.SHA256]


def _certificate_trust(
    wanted: NamedPackage | DirectoryNamed, options: TrustOptions, digests: frozenset[Algorithm]
) -> Trust:
    from infwasi_sign.domain.policy_short import certificate_policy

    trusted = named_holder(options)
    anchors = " ".join(_sha256(root).hex for root in sorted(trusted.roots))
    short = certificate_policy(
        asked=_asked(wanted),
        identity=trusted.identity,
        roots=tuple(str(_sha256(one)) for one in trusted.roots),
        intermediates=tuple(str(_sha256(one)) for one in trusted.intermediates),
        timestamp_roots=tuple(str(_sha256(one)) for one in trusted.timestamp_roots),
    )
    return Trust(
        policy=Policy(
            package=wanted, digests=digests, source="--certificate-roots", digest=_sha256(short)
        ),
        signers=TrustedSigners(certificates=(trusted,)),
        policy_id=policy_id("certificate", f"{trusted.identity} {anchors}"),
    )


def _identity_trust(
    package: Path,
    wanted: NamedPackage | DirectoryNamed,
    options: TrustOptions,
    digests: frozenset[Algorithm],
) -> Trust:
    from infwasi_sign.domain.policy_short import identity_policy

    trusted, root = named_identity(options), named_root(options, package)
    short = identity_policy(
        asked=_asked(wanted),
        name=trusted.name,
        issuer=trusted.issuer,
        wanted=trusted.name,
        is_pattern=trusted.pattern is not None,
    )
    return Trust(
        policy=Policy(package=wanted, digests=digests, source="--identity", digest=_sha256(short)),
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
    from infwasi_sign.adapters.pins import PinStore, trusted_key
    from infwasi_sign.adapters.state_folder import StateFolder, state_folder
    from infwasi_sign.domain.pins import find_pin

    pins = PinStore(StateFolder(state_folder(os.environ, os.geteuid())))
    if options.key_path is not None:
        key = TrustedKey(name=options.key_path.stem, public_key=load_public_key(options.key_path))
    else:
        key = trusted_key(
            find_pin(pins.pins(), name=options.name, directory=_directory_name(package))
        )
    return Trust(
        policy=Policy(
            package=wanted,
            digests=digests,
            source=PIN,
            digest=_key_digest(wanted, key),
            is_pinned=True,
        ),
        signers=TrustedSigners(keys=(key,)),
        policy_id=policy_id("pins", ""),
        pins=pins,
    )


def remember_pin(trust: Trust, package: "VerifiedPackage", now: "datetime") -> None:
    """Keep the key of an accepted package, where trust on first use is what decides.

    Raises:
        RefusedError: kind `signer`; another key was kept meanwhile.
        UndecidedError: it cannot be kept.
    """
    if trust.pins is not None:
        from infwasi_sign.domain.pins import Pin

        (key,) = trust.signers.keys
        name = package.manifest.package_name
        trust.pins.write(Pin(package=name, public_key=key.public_key.spki_der, pinned_at=now))
