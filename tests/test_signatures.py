"""Several who signed one statement: who is listed, who counts, and how many must be."""

from collections.abc import Callable
from pathlib import Path

import pytest

from infwasi_sign.errors import RefusalKind, RefusedError
from infwasi_sign.verify import VerifiedPackage
from tests import forge
from tests.forge import STRANGER, TRUSTED, VectorSigner, counter_sign
from tests.policy_support import load, verify_under

SECURITY = VectorSigner("security")
SECURITY_TOO = VectorSigner("security's second key")
LEGAL = VectorSigner("legal")

SIGNERS = """\
version = 1
[[signer]]
name = "release"
keys = [{ file = "release.pub" }]
[[signer]]
name = "security"
keys = [{ file = "security.pub" }, { file = "security-2.pub" }]
[[signer]]
name = "legal"
keys = [{ file = "legal.pub" }]
[[package]]
name = "capital"
"""

Verify = Callable[[str], VerifiedPackage]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return forge.make_package(tmp_path / "packages")


@pytest.fixture
def verify(package: Path, tmp_path: Path) -> Verify:
    """Verify the package under the three signers and some more lines."""
    folder = tmp_path / "policy"
    folder.mkdir()
    for name, key in (
        ("security", SECURITY),
        ("security-2", SECURITY_TOO),
        ("legal", LEGAL),
    ):
        (folder / f"{name}.pub").write_bytes(key.public_pem())

    def verify(lines: str) -> VerifiedPackage:
        return verify_under(load(folder, SIGNERS + lines), package)

    return verify


def refusal(verify: Verify, lines: str) -> tuple[RefusalKind, str]:
    with pytest.raises(RefusedError) as caught:
        verify(lines)
    return caught.value.kind, str(caught.value)


def test_all_who_signed_are_listed_and_strangers_count_nothing(
    package: Path, verify: Verify
) -> None:
    counter_sign(package, SECURITY)
    stranger = counter_sign(package, STRANGER)
    with verify("") as verified:
        assert sorted(signer.name for signer in verified.signatures.signers) == [
            "release",
            "security",
        ]
        assert verified.signer.name == "release"
        assert verified.signatures.strangers == (f"signatures/{stranger.name}",)
        assert verified.facts["signer.names"] == ("release", "security")


def test_two_of_three_are_enough(package: Path, verify: Verify) -> None:
    counter_sign(package, LEGAL)
    verify("threshold = 2").close()


@pytest.mark.parametrize(
    ("others", "why"),
    [
        ((), "nobody else"),
        ((STRANGER,), "somebody whom the policy does not name"),
        ((TRUSTED,), "the packer once more"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_signer_is_not_two(
    others: tuple[VectorSigner, ...], why: str, package: Path, verify: Verify
) -> None:
    for other in others:
        counter_sign(package, other)
    assert refusal(verify, "threshold = 2") == (
        RefusalKind.SIGNER,
        "the policy refuses signer.names in policy.toml:13 package[0].threshold "
        "(expected at least 2 of them, got release)",
    ), why


def test_two_keys_of_one_signer_are_one(package: Path, verify: Verify) -> None:
    counter_sign(package, SECURITY)
    counter_sign(package, SECURITY_TOO)
    verify("threshold = 2").close()
    assert refusal(verify, "threshold = 3")[0] is RefusalKind.SIGNER


def test_who_is_not_named_for_a_package_does_not_count_for_it(
    package: Path, verify: Verify
) -> None:
    lines = 'signers = ["security", "legal"]\n'
    assert refusal(verify, lines) == (
        RefusalKind.SIGNER,
        "the policy refuses signer.names in policy.toml:13 package[0].signers "
        "(expected at least 1 of security, legal, got nothing)",
    )
    counter_sign(package, LEGAL)
    verify(lines).close()
    assert refusal(verify, lines + "threshold = 2\n")[0] is RefusalKind.SIGNER
    counter_sign(package, SECURITY)
    verify(lines + "threshold = 2\n").close()


def test_a_denied_key_refuses_the_package_wherever_it_signed(package: Path, verify: Verify) -> None:
    counter_sign(package, LEGAL)
    with verify("") as verified:
        (fingerprint,) = {
            signer.fingerprint for signer in verified.signatures.signers if signer.name == "legal"
        }
    denial = f'[[deny]]\nkey = ["sha256:{fingerprint}"]\nreason = "lost"\ndate = 2026-01-02\n'
    assert refusal(verify, denial)[0] is RefusalKind.REVOKED


def test_an_ended_key_refuses_the_package_wherever_it_signed(package: Path, tmp_path: Path) -> None:
    counter_sign(package, LEGAL)
    folder = tmp_path / "ended"
    text = SIGNERS.replace(
        '"legal.pub" }', '"legal.pub", not-after = 2026-01-01T00:00:00Z }'
    ).replace(', { file = "security-2.pub" }', "")
    folder.mkdir()
    (folder / "legal.pub").write_bytes(LEGAL.public_pem())
    (folder / "security.pub").write_bytes(SECURITY.public_pem())
    with pytest.raises(RefusedError) as caught:
        verify_under(load(folder, text), package)
    assert caught.value.kind is RefusalKind.EXPIRED


def test_at_most_sixteen_may_sign_beside_the_packer(package: Path, verify: Verify) -> None:
    for number in range(16):
        counter_sign(package, VectorSigner(f"witness {number}"))
    verify("").close()
    counter_sign(package, LEGAL)
    assert refusal(verify, "") == (
        RefusalKind.LIMIT,
        "too many files in signatures (expected at most 16)",
    )
