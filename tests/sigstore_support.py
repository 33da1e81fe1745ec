"""sigstore-python as those use it who test against the private Sigstore."""

import socket
from typing import Literal, NoReturn, TypeAlias

import pytest
from sigstore.dsse import Statement
from sigstore.models import Bundle, ClientTrustConfig
from sigstore.oidc import IdentityToken
from sigstore.sign import SigningContext
from sigstore.verify import Verifier, policy

from infwasi_sign.testing.sigstore import IDENTITY, PrivateSigstore

Kind: TypeAlias = Literal["dsse", "artifact"]
Version: TypeAlias = Literal[1, 2]
KINDS: tuple[Kind, ...] = ("dsse", "artifact")
VERSIONS: tuple[Version, ...] = (1, 2)

ARTIFACT = b"hello"
STATEMENT = (
    b'{"_type":"https://in-toto.io/Statement/v1","predicate":{},"predicateType":'
    b'"https://example.test/predicate/v1","subject":[{"digest":{"sha256":"' + b"2a" * 32 + b'"},'
    b'"name":"model.gguf"}]}'
)


def sign(instance: PrivateSigstore, kind: Kind, token: str | None = None) -> Bundle:
    """A bundle by sigstore-python, unmodified."""
    config = ClientTrustConfig.from_json(instance.trust_config().decode())
    identity = IdentityToken(token or instance.token(IDENTITY))
    with SigningContext.from_trust_config(config).signer(identity) as signer:
        if kind == "dsse":
            return signer.sign_dsse(Statement(STATEMENT))
        return signer.sign_artifact(ARTIFACT)


def sign_carelessly(instance: PrivateSigstore, kind: Kind) -> bytes:
    if kind == "dsse":
        return instance.careless_dsse_bundle(STATEMENT)
    return instance.careless_artifact_bundle(ARTIFACT)


def expected_signer(instance: PrivateSigstore, identity: str = IDENTITY) -> policy.Identity:
    return policy.Identity(identity=identity, issuer=instance.issuer)


def verify(
    instance: PrivateSigstore,
    kind: Kind,
    bundle: bytes | str,
    expected: policy.VerificationPolicy | None = None,
) -> None:
    """Have sigstore-python verify with what the instance says to believe."""
    root = ClientTrustConfig.from_json(instance.trust_config().decode()).trusted_root
    parsed, expected = Bundle.from_json(bundle), expected or expected_signer(instance)
    if kind == "dsse":
        answer = Verifier(trusted_root=root).verify_dsse(parsed, expected)
        assert answer == ("application/vnd.in-toto+json", STATEMENT)
    else:
        Verifier(trusted_root=root).verify_artifact(ARTIFACT, parsed, expected)


def block_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing out of this process from now on."""

    def refuse(*_: object) -> NoReturn:
        raise AssertionError("the network was used")

    for name in ("connect", "connect_ex", "sendto", "bind"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
