"""A package that was verified and accepted shuts out what came before it, whoever signed."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from infwasi_sign.adapters.keys import KeyVerifier, TrustedKey, parse_public_key
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.package_directory import DirectoryStore
from infwasi_sign.cli.remembering import Memory, open_memory
from infwasi_sign.domain.policy import DirectoryNamed, Policy
from infwasi_sign.domain.rollback import policy_id
from infwasi_sign.errors import RefusalKind, RefusedError, UndecidedError
from infwasi_sign.verify import VerifiedPackage, VerifyRequest, verify
from tests import forge

NOW = forge.NOW + timedelta(days=9)
BOTH = [
    TrustedKey(name=name, public_key=parse_public_key(key.public_key(), where=name))
    for name, key in (("a", forge.TRUSTED), ("b", forge.STRANGER))
]


@contextmanager
def verified(package: Path) -> Iterator[VerifiedPackage]:
    """By a policy that trusts both keys."""
    request = VerifyRequest(
        location=package, policy=Policy(package=DirectoryNamed(directory=package.name)), now=NOW
    )
    with verify(
        request,
        store=DirectoryStore(),
        signatures=KeyVerifier(BOTH),
        measure_bytes=measure_bytes,
    ) as result:
        yield result


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Memory:
    monkeypatch.setenv("INFWASI_STATE_DIR", str(tmp_path / "state"))
    return open_memory(policy_id("file", "site"), required=True)


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """Signed by key A, three days after the older one."""
    issued_at = forge.NOW + timedelta(days=3)
    return forge.make_package(tmp_path, version="1.1.0", issued_at=issued_at)


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """Signed by key B, and still valid."""
    return forge.make_package(tmp_path, version="1.0.0", signer=forge.STRANGER)


def test_an_older_release_by_another_trusted_key_is_refused(
    memory: Memory, newer: Path, older: Path
) -> None:
    with verified(newer) as package:
        assert memory.known("capital") is None
        assert memory.accept(package, NOW) is None
        accepted = package.manifest.sequence
        known = memory.known("capital")
        assert known is not None
        assert (known.sequence, known.statement) == (accepted, package.statement_digest)
    with verified(older) as package:
        assert package.signer.name == "b"
        with pytest.raises(RefusedError) as caught:
            memory.accept(package, NOW)
    assert caught.value.kind is RefusalKind.ROLLBACK
    assert str(caught.value) == (
        "a newer release was accepted before in sequence "
        f"(expected at least {accepted}, got {package.manifest.sequence})"
    )
    assert memory.known("capital") == known


def test_a_newer_release_follows_and_another_policy_knows_nothing(
    memory: Memory, newer: Path, older: Path
) -> None:
    for path in (older, newer, newer):
        with verified(path) as package:
            assert memory.accept(package, NOW) is None
    other = open_memory(policy_id("file", "elsewhere"), required=True)
    assert other.known("capital") is None


def test_what_cannot_be_kept_is_an_error_only_if_it_is_demanded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, older: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("INFWASI_STATE_DIR", str(tmp_path / "file" / "state"))
    with verified(older) as package:
        note = open_memory(policy_id("key", "k"), required=False).accept(package, NOW)
        assert note is not None
        assert note.startswith("no state can be kept: not a directory in ")
        with pytest.raises(UndecidedError, match="no state can be kept"):
            open_memory(policy_id("key", "k"), required=True).accept(package, NOW)
