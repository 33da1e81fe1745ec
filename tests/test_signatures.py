"""Several who signed one statement: who is listed, who counts, and how many must be."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from infwasi_sign import signatures
from infwasi_sign.adapters.certificate_signer import SigningCertificate
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.package_directory import DirectoryStore
from infwasi_sign.adapters.sealing import CertificateSealer
from infwasi_sign.adapters.signature_modes import ModeVerifier
from infwasi_sign.domain.bundle import encode_bundle, parse_bundle
from infwasi_sign.domain.manifest import MANIFEST_FILE
from infwasi_sign.domain.policy import NamedPackage
from infwasi_sign.errors import RefusalKind, RefusedError
from infwasi_sign.verify import VerifiedPackage, VerifyRequest
from infwasi_sign.verify import verify as verify_package
from tests import forge
from tests.certificate_authority import IDENTITY, ca, leaf
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


# --- one key under two names ------------------------------------------------------------------

ONE_KEY_TWICE = """\
version = 1
[[signer]]
name = "release"
keys = [{ file = "release.pub" }]
[[signer]]
name = "security"
certificates = [{ identity = "IDENTITY", roots = "roots.pem", valid-at = "current-time" }]
[[package]]
name = "capital"
threshold = 2
""".replace("IDENTITY", IDENTITY)


@pytest.fixture
def verify_one_key(package: Path, tmp_path: Path) -> Callable[[VectorSigner], VerifiedPackage]:
    """Verify a package whose second signature is by a certificate for the given key."""
    folder = tmp_path / "one"

    def verify(holder: VectorSigner) -> VerifiedPackage:
        span = (forge.NOW - timedelta(days=1), forge.NOW + timedelta(days=1))
        root = ca("One Key Root", span=span)
        issued = leaf(root, key=holder.secret, span=span)
        folder.mkdir()
        (folder / "roots.pem").write_bytes(root.pem)
        sealer = CertificateSealer(
            signer=holder,
            certificate=SigningCertificate(leaf=issued.der, chain=()),
            timestamp_url=None,
            now=forge.NOW,
        )
        payload = parse_bundle((package / MANIFEST_FILE).read_bytes()).envelope.payload
        forge.add_signature(package, encode_bundle(sealer.seal(payload)))
        loaded = load(folder, ONE_KEY_TWICE)
        request = VerifyRequest(
            location=package,
            policy=loaded.policy(NamedPackage(name="capital"), frozenset()),
            now=forge.NOW,
        )
        return verify_package(
            request,
            store=DirectoryStore(),
            signatures=ModeVerifier(loaded.signers, forge.NOW),
            measure_bytes=measure_bytes,
        )

    return verify


def test_a_key_and_another_ones_certificate_are_two(
    verify_one_key: Callable[[VectorSigner], VerifiedPackage],
) -> None:
    with verify_one_key(SECURITY) as verified:
        assert verified.facts["signer.names"] == ("release", "security")


def test_one_key_under_two_names_is_not_two_signers(
    verify_one_key: Callable[[VectorSigner], VerifiedPackage],
) -> None:
    with pytest.raises(RefusedError) as caught:
        verify_one_key(TRUSTED)
    assert caught.value.kind is RefusalKind.SIGNER
    assert str(caught.value).startswith("one key signed under two names in signatures/")
    assert (caught.value.expected, caught.value.got) == ("release", "security")


def test_without_the_check_one_key_would_be_a_threshold_of_two(
    verify_one_key: Callable[[VectorSigner], VerifiedPackage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signatures, "_require_one_name_for_each_key", lambda *_: None)
    verify_one_key(TRUSTED).close()
