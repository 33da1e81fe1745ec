"""The OMS companion is by the very certificate of the packer, not by another that is trusted."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from infwasi_sign.adapters import certificate_verifier, sigstore_identity
from infwasi_sign.adapters.certificate_signer import SigningCertificate
from infwasi_sign.adapters.certificate_verifier import CertificateVerifier
from infwasi_sign.adapters.sealing import CertificateSealer, KeylessSealer
from infwasi_sign.adapters.sigstore_identity import KeylessVerifier, TrustedIdentity
from infwasi_sign.adapters.sigstore_signer import KeylessSigner, read_token
from infwasi_sign.domain.trust_root import parse_trust_root
from infwasi_sign.errors import RefusalKind, RefusedError
from infwasi_sign.ports import Sealer, SignatureVerifier
from infwasi_sign.testing.sigstore import IDENTITY, PrivateSigstore
from tests.certificate_authority import NOW, ROOT_CA, leaf, trusting
from tests.forge import VectorSigner

PAYLOAD = (
    b'{"_type":"https://in-toto.io/Statement/v1","predicate":{},"predicateType":"urn:test",'
    b'"subject":[{"digest":{"sha256":"%064d"},"name":"x"}]}' % 0
)

Mode = tuple[SignatureVerifier, Callable[[str], Sealer]]


def by_certificate(name: str) -> CertificateSealer:
    signer = VectorSigner(name)
    issued = leaf(ROOT_CA, key=signer.secret)
    return CertificateSealer(
        signer=signer,
        certificate=SigningCertificate(leaf=issued.der, chain=()),
        timestamp_url=None,
        now=NOW,
    )


@pytest.fixture(scope="module")
def keyless() -> Iterator[Mode]:
    now = datetime.now(UTC)
    with PrivateSigstore() as instance:
        root = parse_trust_root(instance.trust_config(), source="test", written_at=now)
        wanted = TrustedIdentity(name="x", identity=IDENTITY, issuer=instance.issuer)

        def sealer(_: str) -> KeylessSealer:
            token = read_token(instance.token(IDENTITY))
            return KeylessSealer(signer=KeylessSigner(token, root, now))

        yield KeylessVerifier([wanted], lambda: root, now), sealer


@pytest.fixture(params=["certificate", "keyless"])
def mode(request: pytest.FixtureRequest) -> Mode:
    """A verifier, and who makes two certificates of one holder."""
    if request.param == "certificate":
        return CertificateVerifier([trusting()], NOW), by_certificate
    found: Mode = request.getfixturevalue("keyless")
    return found


def test_the_packers_certificate_signs_both(mode: Mode) -> None:
    verifier, sealer = mode
    packer = sealer("packer")
    signer = verifier.verify(packer.seal(PAYLOAD))
    assert verifier.verify_companion(packer.companion(PAYLOAD), signer) == PAYLOAD


def test_another_certificate_of_the_same_holder_does_not(
    mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier, sealer = mode
    signer = verifier.verify(sealer("packer").seal(PAYLOAD))
    other = sealer("other").companion(PAYLOAD)
    with pytest.raises(RefusedError) as caught:
        verifier.verify_companion(other, signer)
    assert caught.value.kind is RefusalKind.SIGNER
    assert str(caught.value).startswith(
        "the OMS companion is under another certificate than the manifest in model.sig "
        f"(expected sha256:{signer.fingerprint}, got sha256:"
    )
    # without the check
    for module in (certificate_verifier, sigstore_identity):
        monkeypatch.setattr(module, "require_same_certificate", lambda *_: None)
    assert verifier.verify_companion(other, signer) == PAYLOAD
