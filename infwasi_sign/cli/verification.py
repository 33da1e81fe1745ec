"""What `verify` and `verify-and-run` share: whom to trust, the adapters, the clock."""

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from infwasi_sign.adapters.key_files import load_public_key
from infwasi_sign.adapters.keys import KeyVerifier, TrustedKey
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.package_directory import DirectoryStore
from infwasi_sign.adapters.pins import PinStore, trusted_key
from infwasi_sign.adapters.policy_source import find_policy, load_policy, require_outside
from infwasi_sign.adapters.state_folder import StateFolder, state_folder
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.manifest import Manifest
from infwasi_sign.domain.pins import Pin, find_pin, require_pinned
from infwasi_sign.domain.policy import DirectoryNamed, NamedPackage, Policy
from infwasi_sign.domain.rollback import policy_id
from infwasi_sign.errors import UndecidedError
from infwasi_sign.ports import SignerIdentity
from infwasi_sign.verify import VerifiedPackage, VerifyRequest, verify

PIN: Final = "--pin"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trust:
    """Whom a command trusts and by whose rules: one key, or a policy file."""

    policy: Policy
    keys: tuple[TrustedKey, ...]
    policy_id: str  # under which accepted releases are remembered
    pins: PinStore | None = None  # where trust on first use is kept, if that is what decides


def choose_trust(
    package: Path,
    *,
    name: str | None,
    key_path: Path | None,
    policy_path: Path | None,
    pin: bool,
    digests: frozenset[Algorithm],
) -> Trust:
    """The trust that the options name, else the policy in its usual place.

    ``--key`` is the short form of a policy with that one key, called by its file's name, and one
    package.

    Raises:
        UndecidedError: both are named, or there is neither.
    """
    wanted = (
        NamedPackage(name=name)
        if name is not None
        else DirectoryNamed(directory=_directory_name(package))
    )
    if pin:
        if policy_path is not None:
            raise UndecidedError("a pin and a policy are named", hint="a policy decides alone")
        return _pinned_trust(package, wanted, name, key_path, digests)
    if key_path is not None:
        if policy_path is not None:
            raise UndecidedError("a key and a policy are named", hint="a policy names its keys")
        key = TrustedKey(name=key_path.stem, public_key=load_public_key(key_path))
        return Trust(
            policy=Policy(package=wanted, digests=digests),
            keys=(key,),
            policy_id=policy_id("key", key.public_key.fingerprint),
        )
    found = find_policy(policy_path, os.environ)
    require_outside(found, package)
    loaded = load_policy(found)
    return Trust(
        policy=loaded.policy(wanted, digests),
        keys=loaded.keys,
        policy_id=policy_id("file", os.path.realpath(loaded.path)),
    )


def _directory_name(package: Path) -> str:
    """What the directory is really called; `Path.resolve` has no error of ours for a loop."""
    return Path(os.path.realpath(package)).name


def _pinned_trust(
    package: Path,
    wanted: NamedPackage | DirectoryNamed,
    name: str | None,
    key_path: Path | None,
    digests: frozenset[Algorithm],
) -> Trust:
    """Trust on first use: the key that is given now, else the one that was kept for the package."""
    pins = PinStore(StateFolder(state_folder(os.environ, os.geteuid())))
    if key_path is not None:
        key = TrustedKey(name=key_path.stem, public_key=load_public_key(key_path))
    else:
        key = trusted_key(find_pin(pins.pins(), name=name, directory=_directory_name(package)))
    policy = Policy(package=wanted, digests=digests, source=PIN)
    return Trust(policy=policy, keys=(key,), policy_id=policy_id("pins", ""), pins=pins)


def verify_trusting(request: VerifyRequest, trust: Trust) -> VerifiedPackage:
    """Verify with the adapters of this machine."""
    if trust.pins is not None:
        request = replace(request, on_claims=partial(_require_pin, request, trust))
    return verify(
        request,
        store=DirectoryStore(),
        signatures=KeyVerifier(trust.keys),
        measure_bytes=measure_bytes,
    )


def _require_pin(
    request: VerifyRequest, trust: Trust, manifest: Manifest, signer: SignerIdentity
) -> None:
    """The key of this package's name is the one that was kept for it, if one was."""
    pin = None if trust.pins is None else trust.pins.read(manifest.package_name)
    (key,) = trust.keys
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
        (key,) = trust.keys
        name = package.manifest.package_name
        trust.pins.write(Pin(package=name, public_key=key.public_key.spki_der, pinned_at=now))


def now_utc() -> datetime:
    """The clock, read once per command."""
    return datetime.now(UTC)
