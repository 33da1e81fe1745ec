"""What the tests of `sign` and `renew` share: packages that are opened to be signed, and trees."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from infwasi_sign.adapters.bundle_signers import name_signer
from infwasi_sign.adapters.keys import KeyVerifier, TrustedKey, parse_public_key
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.package_editing import EditableStore
from infwasi_sign.adapters.sealing import KeySealer
from infwasi_sign.countersign import Countersigned, countersign
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.policy import NamedPackage, Policy
from infwasi_sign.ports import Sealer
from infwasi_sign.verify import VerifiedPackage, VerifyRequest, verify
from tests import forge
from tests.forge import VectorSigner

SECURITY = VectorSigner("security")
LEGAL = VectorSigner("legal")
POLICY = Policy(package=NamedPackage(name="capital"), digests=frozenset(Algorithm))


def verifier(*signers: VectorSigner) -> KeyVerifier:
    """Trusts these keys by the names of the signers."""
    return KeyVerifier(
        [
            TrustedKey(
                name=signer.name, public_key=parse_public_key(signer.public_key(), where="test")
            )
            for signer in signers or (forge.TRUSTED, SECURITY, LEGAL)
        ]
    )


def opened(
    package: Path,
    *,
    now: datetime = forge.NOW,
    renewing: bool = False,
    policy: Policy = POLICY,
    trusted: KeyVerifier | None = None,
    detached: tuple[Path, ...] = (),
) -> tuple[VerifiedPackage, EditableStore]:
    """A package that was verified, and the store that knows which."""
    store = EditableStore()
    request = VerifyRequest(
        location=package, policy=policy, now=now, renewing=renewing, detached=detached
    )
    verified = verify(
        request,
        store=store,
        signatures=trusted or verifier(),
        measure_bytes=measure_bytes,
    )
    return verified, store


def add_signature(
    verified: VerifiedPackage,
    store: EditableStore,
    sealer: Sealer,
    *,
    policy: Policy = POLICY,
    trusted: KeyVerifier | None = None,
) -> Countersigned:
    return countersign(
        verified,
        policy=policy,
        sealer=sealer,
        verifier=trusted or verifier(),
        name_signer=name_signer,
        measure_bytes=measure_bytes,
        target=store,
    )


def sign(package: Path, signer: VectorSigner, then: Callable[[], object] = str) -> Countersigned:
    """Verify, let ``then`` happen, and sign."""
    verified, store = opened(package)
    with verified:
        then()
        return add_signature(verified, store, KeySealer(signer=signer))


@dataclass(frozen=True)
class Seen:
    """One name in a tree."""

    content: bytes
    inode: int
    mode: int


def tree(folder: Path) -> dict[str, Seen]:
    """Everything below a folder, by its path; a link is what it says."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = b""
        if path.is_symlink():
            content = os.fsencode(path.readlink())
        elif path.is_file():
            content = path.read_bytes()
        found[str(path.relative_to(folder))] = Seen(content, status.st_ino, status.st_mode)
    return found
