"""Unmodified clients sign against the private Sigstore, and verify when it is gone."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import id as ambient
import pytest
from sigstore.errors import CertValidationError, TUFError, VerificationError
from sigstore.models import Bundle, ClientTrustConfig
from sigstore.oidc import IdentityToken
from sigstore.verify import policy

from infwasi_sign.testing.sigstore import Asked, Fault, PrivateSigstore
from tests.sigstore_support import (
    ARTIFACT,
    KINDS,
    VERSIONS,
    Kind,
    Version,
    block_network,
    expected_signer,
    sign,
    sign_carelessly,
    verify,
)

WORKFLOW = "https://github.com/example/project/.github/workflows/release.yml@refs/heads/main"
ENTRY_PATHS = {1: "/api/v1/log/entries", 2: "/api/v2/log/entries"}

# A browser without a window: it follows redirects until the client's own page.
BROWSER = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=10).read()"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", VERSIONS)
def test_sigstore_python_signs_and_verifies_without_network(
    version: Version, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PrivateSigstore(rekor_version=version) as instance:
        bundle = sign(instance, kind)
        paths = [asked.path for asked in instance.requests]
    assert paths == ["/api/v2/signingCert", "/api/v1/timestamp", ENTRY_PATHS[version]]
    block_network(monkeypatch)
    verify(instance, kind, bundle.to_json())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", VERSIONS)
def test_verifier_refuses_another_identity(version: Version, kind: Kind) -> None:
    with PrivateSigstore(rekor_version=version) as instance:
        bundle = sign(instance, kind).to_json()
    with pytest.raises(VerificationError, match=r"SANs do not match bob@example\.test"):
        verify(instance, kind, bundle, expected_signer(instance, "bob@example.test"))


def test_instances_side_by_side_do_not_trust_each_other() -> None:
    with PrivateSigstore() as one, PrivateSigstore() as other:
        assert one.url != other.url
        of_one, of_other = sign(one, "dsse").to_json(), sign(other, "dsse").to_json()
        verify(one, "dsse", of_one)
        verify(other, "dsse", of_other)
        with pytest.raises(VerificationError, match="not enough sources of verified time"):
            verify(other, "dsse", of_one, policy.UnsafeNoOp())
        with pytest.raises(Exception, match=r"^$"):  # FulcioClientError: the token is another's
            sign(one, "dsse", other.token())


def test_identity_may_be_a_uri() -> None:
    uri = "https://ci.example.test/jobs/1"
    with PrivateSigstore() as instance:
        bundle = sign(instance, "artifact", instance.token(uri)).to_json()
    verify(instance, "artifact", bundle, expected_signer(instance, uri))


def test_claims_replace_what_a_token_says() -> None:
    with PrivateSigstore() as instance:
        token = instance.token("alice@example.test", email_verified=False)
        with pytest.raises(Exception, match=r"^$"):
            sign(instance, "dsse", token)
        assert instance.requests[0].status == 400


def test_ambient_token_is_found_and_names_the_workflow(monkeypatch: pytest.MonkeyPatch) -> None:
    with PrivateSigstore() as instance:
        for name, value in instance.ambient_environment().items():
            monkeypatch.setenv(name, value)
        token = ambient.detect_credential("sigstore")
        assert token is not None
        bundle = sign(instance, "dsse", token).to_json()
    expected = policy.AllOf(
        [
            expected_signer(instance, WORKFLOW),
            policy.OIDCIssuerV2(instance.issuer),
            policy.OIDCBuildSignerURI(WORKFLOW),
            policy.OIDCSourceRepositoryURI("https://github.com/example/project"),
            policy.OIDCSourceRepositoryRef("refs/heads/main"),
            policy.OIDCBuildTrigger("push"),
            policy.OIDCRunInvocationURI(
                "https://github.com/example/project/actions/runs/3/attempts/1"
            ),
            policy.GitHubWorkflowName("release"),
        ]
    )
    verify(instance, "dsse", bundle, expected)


def test_ambient_claims_can_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    with PrivateSigstore() as instance:
        for name, value in instance.ambient_environment(ref="refs/tags/v1").items():
            monkeypatch.setenv(name, value)
        bundle = sign(instance, "dsse", ambient.detect_credential("sigstore")).to_json()
    verify(instance, "dsse", bundle, policy.OIDCSourceRepositoryRef("refs/tags/v1"))


def test_ambient_endpoint_wants_its_ticket(monkeypatch: pytest.MonkeyPatch) -> None:
    with PrivateSigstore() as instance:
        for name, value in instance.ambient_environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "guessed")
        with pytest.raises(ambient.AmbientCredentialError, match="ticket is unknown"):
            ambient.detect_credential("sigstore")


def test_ambient_token_is_for_the_audience_that_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with PrivateSigstore() as instance:
        for name, value in instance.ambient_environment().items():
            monkeypatch.setenv(name, value)
        token = ambient.detect_credential("other")
        assert token is not None
        assert IdentityToken(token, client_id="other").issuer == instance.issuer
        with pytest.raises(Exception, match="malformed or missing claims"):
            sign(instance, "dsse", token)


# The clock


def test_certificates_and_times_follow_the_clock() -> None:
    at = datetime(2021, 5, 4, 12, 0, tzinfo=UTC)
    for version in VERSIONS:
        with PrivateSigstore(rekor_version=version, now=lambda: at) as instance:
            bundle = sign_carelessly(instance, "dsse")
        verify(instance, "dsse", bundle)
        certificate = Bundle.from_json(bundle).signing_certificate
        assert certificate.not_valid_before_utc == at
        assert certificate.not_valid_after_utc == at + timedelta(minutes=10)


def test_verifier_notices_a_timestamp_after_the_certificate() -> None:
    times = [datetime(2021, 5, 4, 12, minute, tzinfo=UTC) for minute in (0, 0, 11, 11)]
    with PrivateSigstore(now=lambda: times.pop(0)) as instance:
        bundle = sign_carelessly(instance, "dsse")
    assert times == []  # certificate, SCT, timestamp and its signing time
    with pytest.raises(CertValidationError, match="not valid at validation time"):
        verify(instance, "dsse", bundle)


# TUF


@pytest.fixture
def client_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """Where a TUF client keeps what it fetched."""
    homes = {"XDG_DATA_HOME": str(tmp_path / "data"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for name, value in homes.items():
        monkeypatch.setenv(name, value)
    return homes


@pytest.fixture
def root_file(tmp_path: Path) -> Callable[[PrivateSigstore], Path]:
    def write(instance: PrivateSigstore) -> Path:
        path = tmp_path / "root.json"
        path.write_bytes(instance.tuf_root())
        return path

    return write


@pytest.mark.usefixtures("client_home")
def test_trust_is_fetched_over_tuf(root_file: Callable[[PrivateSigstore], Path]) -> None:
    with PrivateSigstore() as instance:
        config = ClientTrustConfig.from_tuf(instance.tuf_url, bootstrap_root=root_file(instance))
        given = ClientTrustConfig.from_json(instance.trust_config().decode())
        # The whole of both documents: sigstore-python has no public way to compare them.
        assert config._inner == given._inner


@pytest.mark.usefixtures("client_home")
@pytest.mark.parametrize(
    "fault", [Fault.TUF_BAD_SIGNATURE, Fault.TUF_EXPIRED, Fault.TUF_TARGET_CHANGED]
)
def test_client_notices_what_is_wrong_with_tuf(
    fault: Fault, root_file: Callable[[PrivateSigstore], Path]
) -> None:
    with PrivateSigstore(faults={fault}) as instance, pytest.raises(TUFError):
        ClientTrustConfig.from_tuf(instance.tuf_url, bootstrap_root=root_file(instance))


@pytest.mark.usefixtures("client_home")
def test_tuf_root_of_another_instance_is_refused(
    root_file: Callable[[PrivateSigstore], Path],
) -> None:
    with PrivateSigstore() as one, PrivateSigstore() as other, pytest.raises(TUFError):
        ClientTrustConfig.from_tuf(one.tuf_url, bootstrap_root=root_file(other))


# The sigstore command


def sigstore(*words: str | Path, env: Mapping[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "sigstore", *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("version", VERSIONS)
def test_sigstore_command_signs_with_a_token_and_verifies_offline(
    version: Version, tmp_path: Path, client_home: Mapping[str, str]
) -> None:
    artifact, bundle, config = tmp_path / "a.txt", tmp_path / "a.bundle", tmp_path / "trust.json"
    artifact.write_bytes(ARTIFACT)
    trust = ("--trust-config", config)
    with PrivateSigstore(rekor_version=version) as instance:
        config.write_bytes(instance.trust_config())
        token = ("--identity-token", instance.token())
        sigstore(*trust, "sign", *token, "--bundle", bundle, artifact, env=client_home)
    verify(instance, "artifact", bundle.read_text())
    expected = ("--cert-identity", "alice@example.test", "--cert-oidc-issuer", instance.issuer)
    words = ("verify", "identity", "--offline", *expected, "--bundle", bundle, artifact)
    said = sigstore(*trust, *words, env=client_home)
    assert "OK: " in said


def test_sigstore_command_signs_with_the_browser(
    tmp_path: Path, client_home: Mapping[str, str]
) -> None:
    artifact, bundle, config = tmp_path / "a.txt", tmp_path / "a.bundle", tmp_path / "trust.json"
    artifact.write_bytes(ARTIFACT)
    browser = shlex.join([sys.executable, "-c", BROWSER]) + " %s"
    # No job of a build service, whose token would come first.
    env = {**client_home, "BROWSER": browser, "GITHUB_ACTIONS": "", "GITLAB_CI": "", "DISPLAY": ""}
    with PrivateSigstore(identity="carol@example.test") as instance:
        config.write_bytes(instance.trust_config())
        sigstore("--trust-config", config, "sign", "--bundle", bundle, artifact, env=env)
        asked = [asked.path for asked in instance.requests][:3]
    assert asked == ["/oidc/.well-known/openid-configuration", "/oidc/auth", "/oidc/token"]
    expected = expected_signer(instance, "carol@example.test")
    verify(instance, "artifact", bundle.read_text(), expected)


# Our own command

COMMAND = (sys.executable, "-W", "error", "-m", "infwasi_sign.testing.sigstore")
FILES = {
    *("ambient.env", "signing_config.json", "token", "trust_config.json", "trusted_root.json"),
    *("tuf_root.json", "url"),
}


def test_command_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    folder = tmp_path / "instance"
    words = [*COMMAND, "--dir", str(folder), "--seconds", "60", "--rekor-version", "1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        url = command.stdout.readline().strip()
        assert {path.name for path in folder.iterdir()} == FILES
        assert (folder / "url").read_text() == url
        config = ClientTrustConfig.from_json((folder / "trust_config.json").read_text())
        token = IdentityToken((folder / "token").read_text())
        assert token.issuer == f"{url}/oidc"
        assert len(config.signing_config.get_tlogs()) == 1
        command.send_signal(signal.SIGTERM)
    assert command.returncode == 0


def test_command_ends_by_itself(tmp_path: Path) -> None:
    words = [*COMMAND, "--dir", str(tmp_path), "--seconds", "1", "--fault", "sct-missing"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in tmp_path.iterdir()} == FILES


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--fault", "no-such-fault"], "is not one of"),
        (["--fault", "set-bad-signature"], "means nothing with rekor version 2"),
        (["--seconds", "0"], "is not in the range"),
        (["--seconds", "3601"], "is not in the range"),
        (["--rekor-version", "3"], "is not in the range"),
    ],
)
def test_command_refuses(words: list[str], said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--dir", str(tmp_path), *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


# Its life


def test_an_instance_is_used_in_a_with_statement() -> None:
    instance = PrivateSigstore()
    with pytest.raises(RuntimeError, match=r"^a PrivateSigstore is used in a with statement$"):
        _ = instance.url
    with instance:
        pass
    with pytest.raises(RuntimeError, match=r"^a PrivateSigstore is entered once$"), instance:
        pass


def test_refuses_an_unknown_version_of_rekor() -> None:
    with pytest.raises(ValueError, match=r"^rekor_version must be 1 or 2, got 3$"):
        PrivateSigstore(rekor_version=3)  # type: ignore[arg-type] # what types do not stop


def test_requests_are_recorded() -> None:
    with PrivateSigstore() as instance:
        assert instance.requests == []
        sign(instance, "artifact")
        first = instance.requests[0]
    assert isinstance(first, Asked)
    assert (first.method, first.path, first.status) == ("POST", "/api/v2/signingCert", 200)
    assert first.size_bytes > 0
