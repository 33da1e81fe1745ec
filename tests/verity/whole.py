"""A whole package in the machine: installed, verified there, and refused where its signer lies.

The packages are made outside (`machine`), where there is what `pack` needs.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from infwasi_sign.adapters.installation import open_installation
from infwasi_sign.adapters.keys import KeyVerifier, TrustedKey, parse_public_key
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.package_editing import EditableStore
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.domain.manifest import EntryRole
from infwasi_sign.domain.policy import DirectoryNamed, Policy
from infwasi_sign.errors import RefusalKind, RefusedError
from infwasi_sign.install import Installed, install
from infwasi_sign.verify import VerifiedPackage, VerifyRequest, verify

NAME: Final = "capital-1.0.0"
KEY: Final = "key.der"  # of both packages; beside them
NOW: Final = datetime(2026, 11, 24, tzinfo=UTC)
SHA256: Final = frozenset({Algorithm.SHA256})


def verified(request: VerifyRequest, store: EditableStore, key_file: Path) -> VerifiedPackage:
    """By the packages' key, with all adapters of a real run."""
    key = parse_public_key(key_file.read_bytes(), where=KEY)
    return verify(
        request,
        store=store,
        signatures=KeyVerifier([TrustedKey(name="trusted", public_key=key)]),
        measure_bytes=measure_bytes,
    )


def request_for(package: Path, demanded: LoadLevel, policy: Policy | None = None) -> VerifyRequest:
    """As `verify-and-run` asks."""
    return VerifyRequest(
        location=package,
        policy=policy or Policy(package=DirectoryNamed(directory=NAME)),
        now=NOW,
        hold=True,
        demanded=demanded,
    )


def put(packages: Path, which: str, into: Path) -> Installed:
    """As `infwasi install` does."""
    store = EditableStore()
    return install(
        VerifyRequest(
            location=packages / which / NAME,
            policy=Policy(package=DirectoryNamed(directory=NAME)),
            now=NOW,
        ),
        verify=lambda asked: verified(asked, store, packages / KEY),
        files=lambda: store.files,
        target=lambda _: open_installation(into / NAME, replace_other=True),
    )


def computed(
    key: Path, package: Path, demanded: LoadLevel, policy: Policy | None = None
) -> set[str]:
    """What was computed of the model of a package that is accepted."""
    with verified(request_for(package, demanded, policy), EditableStore(), key) as accepted:
        (model,) = [entry for entry in accepted.entries if entry.role is EntryRole.MODEL]
        assert accepted.level >= demanded
        kernel = set() if model.fs_verity is None else {"fs-verity"}
        return {str(digest.algorithm) for digest in model.digests} | kernel


def claims(packages: Path, folder: Path) -> dict[str, Any]:
    """Every claim about a whole package, with whether it held; as `guest.play` gives them."""
    key, installed = packages / KEY, folder / NAME
    done = put(packages, "honest", folder)
    named = Policy(package=DirectoryNamed(directory=NAME), digests=SHA256, named_digests=SHA256)
    held: dict[str, Any] = {
        "install: a run will hold it by fs-verity": (done.level, done.unprotected)
        == (LoadLevel.FS_VERITY, None),
        "verify: nothing is hashed": computed(key, installed, LoadLevel.FS_VERITY) == {"fs-verity"},
        "verify: what is named is hashed": computed(key, installed, LoadLevel.NONE, named)
        == {"fs-verity", "sha256"},
    }
    refusal = "install: another digest of a signer's is refused"
    try:
        put(packages, "lying", folder)
        held[refusal] = "it was installed"
    except RefusedError as error:
        is_meant = "fs-verity digest differs" in str(error)
        held[refusal] = error.kind is RefusalKind.DIGEST and is_meant
    before = computed(key, installed, LoadLevel.FS_VERITY) == {"fs-verity"}
    held["install: what was there before still is"] = before
    return held
