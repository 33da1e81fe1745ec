"""What the tests of policies share: a folder with a policy, and verifications under it."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from infwasi_sign.adapters.keys import KeyVerifier
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.native_host import library_digests
from infwasi_sign.adapters.package_directory import DirectoryStore
from infwasi_sign.adapters.policy_source import LoadedPolicy, load_policy
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.policy import NamedPackage
from infwasi_sign.domain.rules import Facts
from infwasi_sign.verify import VerifiedPackage, VerifyRequest, verify
from tests import forge
from tests.gguf_forge import PAIRS, text_pair, tiny_gguf

MINIMAL = """\
version = 1
[[signer]]
name = "release"
keys = [{ file = "release.pub" }]
[[package]]
name = "*"
"""

LICENSED = tiny_gguf(pairs=(*PAIRS, text_pair("general.license", "Apache-2.0")))
"""A model that says its licence, as real ones do."""

BLAKE3 = frozenset({Algorithm.BLAKE3})


def write_policy(
    folder: Path, text: str, *, signer: forge.VectorSigner = forge.TRUSTED, name: str = "policy"
) -> Path:
    """A policy file with `release.pub` beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "release.pub").write_bytes(signer.public_pem())
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def load(folder: Path, text: str, *, name: str = "policy") -> LoadedPolicy:
    return load_policy(write_policy(folder, text, name=name))


def verify_under(
    loaded: LoadedPolicy,
    package: Path,
    *,
    name: str = "capital",
    now: datetime = forge.NOW,
    hold: bool = False,
    ruleless: bool = False,
) -> VerifiedPackage:
    """Verify as the command line does; ``ruleless`` keeps signers and limits only."""
    policy = loaded.policy(NamedPackage(name=name), BLAKE3)
    request = VerifyRequest(
        location=package,
        policy=replace(policy, rules=()) if ruleless else policy,
        now=now,
        hold=hold,
        libraries=library_digests,
    )
    return verify(
        request,
        store=DirectoryStore(),
        signatures=KeyVerifier(loaded.signers.keys),
        measure_bytes=measure_bytes,
    )


def facts_of(loaded: LoadedPolicy, package: Path) -> Facts:
    """Every fact there is, of a package that is held, with the digests of the host's libraries."""
    with verify_under(loaded, package, hold=True, ruleless=True) as verified:
        return {**verified.facts, "host.libraries": library_digests()}
