"""What `verify` and `verify-and-run` share: whom to trust, the adapters, the clock."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from infwasi_sign.adapters.key_files import load_public_key
from infwasi_sign.adapters.keys import KeyVerifier, TrustedKey
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.package_directory import DirectoryStore
from infwasi_sign.adapters.policy_source import find_policy, load_policy
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.policy import DirectoryNamed, NamedPackage, Policy
from infwasi_sign.domain.rollback import policy_id
from infwasi_sign.errors import UndecidedError
from infwasi_sign.verify import VerifiedPackage, VerifyRequest, verify


@dataclass(frozen=True, kw_only=True, slots=True)
class Trust:
    """Whom a command trusts and by whose rules: one key, or a policy file."""

    policy: Policy
    keys: tuple[TrustedKey, ...]
    policy_id: str  # under which accepted releases are remembered


def choose_trust(
    package: Path,
    *,
    name: str | None,
    key_path: Path | None,
    policy_path: Path | None,
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
        else DirectoryNamed(directory=package.resolve().name)
    )
    if key_path is not None:
        if policy_path is not None:
            raise UndecidedError("a key and a policy are named", hint="a policy names its keys")
        key = TrustedKey(name=key_path.stem, public_key=load_public_key(key_path))
        return Trust(
            policy=Policy(package=wanted, digests=digests),
            keys=(key,),
            policy_id=policy_id("key", key.public_key.fingerprint),
        )
    loaded = load_policy(find_policy(policy_path, os.environ))
    return Trust(
        policy=loaded.policy(wanted, digests),
        keys=loaded.keys,
        policy_id=policy_id("file", os.path.realpath(loaded.path)),
    )


def verify_trusting(request: VerifyRequest, trust: Trust) -> VerifiedPackage:
    """Verify with the adapters of this machine."""
    return verify(
        request,
        store=DirectoryStore(),
        signatures=KeyVerifier(trust.keys),
        measure_bytes=measure_bytes,
    )


def now_utc() -> datetime:
    """The clock, read once per command."""
    return datetime.now(UTC)
