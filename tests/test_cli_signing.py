"""Every way to sign, through the real command line; each verified where there are no sockets."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from infwasi_sign.domain.refusals import EXPLANATIONS
from infwasi_sign.errors import RefusalKind
from infwasi_sign.testing.sigstore import PrivateSigstore
from tests import token_support
from tests.command_line import environment
from tests.key_support import write
from tests.modes_support import (
    ALICE,
    CERTIFICATE,
    CERTIFIED,
    ENTRIES,
    NOW,
    PACK,
    PACKAGE,
    bring_certificate,
    bring_instance,
    browser,
    make_project,
    nobody,
    published,
    require_verifies,
    run,
    run_at_terminal,
    signs_as,
)
from tests.offline import USED

WORKFLOW: Final = "https://github.com/example/project/.github/workflows/release.yml@refs/heads/main"
NOTHING_TO_SIGN_WITH: Final = [
    "error: nothing to sign with (expected a key, an identity token, or a person at a terminal who "
    "logs in)",
    "hint: --key FILE, from `infwasi keygen`; or --identity-token, in a pipeline with OIDC; or run "
    "this in a terminal",
]
ED25519_NOTE: Final = "note: no OMS companion for `model_signing`: OMS has no Ed25519 keys"
LATER: Final = f"{NOW + timedelta(days=800):%Y-%m-%dT%H:%M:%SZ}"
NEVER_EXPIRES: Final = "note: this package never expires"
PUBLISHES: Final = (
    "this signs with your identity, not with a key. For ever and for everybody to read in a "
    "public log: your mail address or account, who vouches for it, the time, and the digests of "
    "what is signed"
)
# What is typed is shown by the terminal, which is not the standard error of the command.
QUESTION: Final = "log in and publish this [y/N]: "
WAITING: Final = "Waiting for browser interaction..."


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return nobody(tmp_path)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project")


# --- keys ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "said"), [("p256", []), ("ed25519", [ED25519_NOTE])], ids=["p256", "ed25519"]
)
@pytest.mark.parametrize("has_passphrase", [False, True], ids=["plain", "encrypted"])
def test_a_key_signs(
    kind: str, said: list[str], has_passphrase: bool, project: Path, env: dict[str, str]
) -> None:
    write(project / "words", b"correct horse\n")
    lock = ("--passphrase-file", "words") if has_passphrase else ("--no-passphrase",)
    assert run("keygen", "--type", kind, *lock, "release", cwd=project, env=env).code == 0
    words = ("pack", "--sign", "--key", "release.key", *(lock if has_passphrase else ()))
    done = run(*words, cwd=project, env=env, is_offline=True)
    assert done.transcript == (0, f"{PACKAGE}\n", said)
    assert (project / PACKAGE / "model.sig").exists() == (kind == "p256")
    require_verifies(project, "--key", "release.pub", env=env, name="release")


MODULE: Final = token_support.softhsm()


@pytest.mark.skipif(
    MODULE is None or shutil.which("softhsm2-util") is None, reason=token_support.NEEDS
)
def test_a_token_signs(tmp_path: Path, project: Path, env: dict[str, str]) -> None:
    assert MODULE is not None
    variables = {**env, **token_support.make_token(tmp_path, MODULE)}
    # SoftHSM reads its configuration once in a process.
    code = "import sys; from pathlib import Path; from tests.token_support import fill"
    subprocess.run(
        [sys.executable, "-c", f"{code}; fill(Path(sys.argv[1]))", str(MODULE)],
        env=environment(variables),
        check=True,
    )
    token = f"pkcs11:token={token_support.LABEL.replace(' ', '%20')};object=release"
    made = run("keygen", "--public-of", token, "token", cwd=project, env=variables)
    assert made.code == 0, made.said
    done = run("pack", "--sign", "--key", token, cwd=project, env=variables, is_offline=True)
    assert done.transcript == (0, f"{PACKAGE}\n", [])
    assert (project / PACKAGE / "model.sig").exists()
    require_verifies(project, "--key", "token.pub", env=env, name="token")


# --- certificates ----------------------------------------------------------------------------


def test_a_certificate_signs_for_as_long_as_it_lasts(
    tmp_path: Path, env: dict[str, str], instance: PrivateSigstore
) -> None:
    project = make_project(tmp_path / "project", days=0)
    bring_certificate(project, instance)
    done = run("pack", "--sign", *CERTIFICATE, cwd=project, env=env, is_offline=True)
    assert done.transcript == (0, f"{PACKAGE}\n", [NEVER_EXPIRES])
    assert (project / PACKAGE / "model.sig").exists()
    require_verifies(project, *CERTIFIED, env=env, name="release@example.com")
    # where a timestamp must be there
    words = ("verify", PACKAGE, *CERTIFIED, "--timestamp-roots", "time.pem")
    done = run(*words, cwd=project, env=env, is_offline=True)
    assert done.transcript == (
        1,
        "",
        [
            "refused: signature: the signature has no timestamp, and the policy requires one",
            "hint: sign again with --timestamp-url",
        ],
    )
    done = run("verify", PACKAGE, *CERTIFIED, "--at", LATER, cwd=project, env=env, is_offline=True)
    assert done.code == 1
    assert done.said[0].startswith("refused: expired: the certificate has expired in ")


def test_a_timestamp_keeps_a_signature_longer_than_its_certificate(
    tmp_path: Path, env: dict[str, str], instance: PrivateSigstore
) -> None:
    project = make_project(tmp_path / "project", days=0)
    bring_certificate(project, instance)
    words = ("pack", "--sign", *CERTIFICATE, "--timestamp-url", instance.timestamp_url)
    done = run(*words, cwd=project, env=env)
    assert done.transcript == (0, f"{PACKAGE}\n", [NEVER_EXPIRES])
    trust = (*CERTIFIED, "--timestamp-roots", "time.pem")
    require_verifies(project, *trust, env=env, name="release@example.com")
    require_verifies(project, *trust, "--at", LATER, env=env, name="release@example.com")
    assert run(*words, "--force", cwd=project, env=env, is_offline=True).code == USED


# --- identities ------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[1, 2], ids=["rekor-v1", "rekor-v2"])
def instance(request: pytest.FixtureRequest) -> Iterator[PrivateSigstore]:
    with PrivateSigstore(rekor_version=request.param) as running:
        yield running


@pytest.fixture
def asked(instance: PrivateSigstore) -> Callable[[], list[str]]:
    """What this test has asked the instance for."""
    before = len(instance.requests)
    return lambda: [one.path for one in instance.requests[before:]]


@pytest.fixture
def keyless(project: Path, instance: PrivateSigstore) -> Path:
    """A project, and the two files of an instance: to sign with, and to verify with."""
    return bring_instance(project, instance)


def require_signed(
    project: Path, instance: PrivateSigstore, identity: str, env: dict[str, str]
) -> None:
    """The manifest and its companion verify without a socket; others of the instance do not."""
    assert (project / PACKAGE / "model.sig").exists()
    whom = ("--issuer", instance.issuer, "--trust-root", "root.json")
    require_verifies(project, "--identity", identity, *whom, env=env, name=identity)
    words = ("verify", PACKAGE, "--identity", "mallory@example.test", *whom)
    done = run(*words, cwd=project, env=env, is_offline=True)
    assert done.transcript == (
        1,
        "",
        [
            "refused: signer: signed by an identity that is not trusted (expected "
            f"mallory@example.test of {instance.issuer}, got {identity} of {instance.issuer})",
            f"hint: {EXPLANATIONS[RefusalKind.SIGNER].hint}",
        ],
    )


def test_a_token_on_the_command_line_signs(
    keyless: Path, env: dict[str, str], instance: PrivateSigstore, asked: Callable[[], list[str]]
) -> None:
    token = instance.token(ALICE)
    done = run(*PACK, "--identity-token", token, cwd=keyless, env=env)
    assert done.transcript == (0, f"{PACKAGE}\n", signs_as(instance, ALICE))
    paths = published(asked())
    entry = ENTRIES[instance.rekor_version]
    assert paths == ["/api/v2/signingCert", entry, entry]  # one certificate, manifest, companion
    require_signed(keyless, instance, ALICE, env)


def test_a_token_in_the_environment_signs(
    keyless: Path, env: dict[str, str], instance: PrivateSigstore
) -> None:
    env["INFWASI_IDENTITY_TOKEN"] = instance.token("bob@example.test")
    done = run(*PACK, cwd=keyless, env=env)
    assert done.transcript == (0, f"{PACKAGE}\n", signs_as(instance, "bob@example.test"))
    require_signed(keyless, instance, "bob@example.test", env)


def test_the_identity_of_a_pipeline_signs(
    keyless: Path, env: dict[str, str], instance: PrivateSigstore
) -> None:
    done = run(*PACK, cwd=keyless, env={**env, **instance.ambient_environment()})
    assert done.transcript == (
        0,
        f"{PACKAGE}\n",
        [
            f"signing as repo:example/project:ref:refs/heads/main, says {instance.issuer}",
            f"verifiers name it: --identity {WORKFLOW} --issuer {instance.issuer}",
        ],
    )
    require_signed(keyless, instance, WORKFLOW, env)


def test_a_person_is_asked_and_logs_in(
    keyless: Path, env: dict[str, str], instance: PrivateSigstore, asked: Callable[[], list[str]]
) -> None:
    env["BROWSER"] = browser()
    done = run_at_terminal(*PACK, cwd=keyless, env=env, typed=b"y\n")
    assert done.transcript == (
        0,
        f"{PACKAGE}\n",
        [PUBLISHES, QUESTION + WAITING, *signs_as(instance, ALICE)],
    )
    assert asked()[:4] == [
        *("/oidc/.well-known/openid-configuration", "/oidc/auth", "/oidc/token"),
        "/api/v2/signingCert",
    ]
    require_signed(keyless, instance, ALICE, env)


def test_yes_is_the_answer_and_what_is_published_is_said_all_the_same(
    keyless: Path, env: dict[str, str], instance: PrivateSigstore
) -> None:
    env["BROWSER"] = browser()
    done = run_at_terminal(*PACK, "--yes", "--json", cwd=keyless, env=env, typed=b"")
    assert (done.code, done.documents) == (0, [{"package": PACKAGE, "signed": True}])
    assert done.said == [PUBLISHES, WAITING, *signs_as(instance, ALICE)]
    require_signed(keyless, instance, ALICE, env)


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        (b"n\n", 2, ["error: nothing was signed", "hint: sign with a key: --key FILE"]),
        (b"\n", 2, ["error: nothing was signed", "hint: sign with a key: --key FILE"]),
        (b"\x04", 130, ["interrupted"]),
    ],
    ids=["no", "nothing", "end"],
)
def test_who_does_not_say_yes_signs_and_publishes_nothing(
    *,
    typed: bytes,
    code: int,
    said: list[str],
    keyless: Path,
    env: dict[str, str],
    asked: Callable[[], list[str]],
) -> None:
    env["BROWSER"] = browser()
    done = run_at_terminal(*PACK, cwd=keyless, env=env, typed=typed)
    assert done.transcript == (code, "", [PUBLISHES, QUESTION + said[0], *said[1:]])
    assert asked() == []
    assert not (keyless / "dist").exists()


def test_nobody_to_ask_is_an_error_with_the_three_ways(
    keyless: Path, env: dict[str, str], asked: Callable[[], list[str]]
) -> None:
    for words in (PACK, ("pack", "--sign"), (*PACK, "--yes")):
        done = run(*words, cwd=keyless, env=env)
        assert done.transcript == (2, "", NOTHING_TO_SIGN_WITH)
    assert asked() == []
    assert not (keyless / "dist").exists()


# --- the companion ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "words", "why"),
    [
        ("ed25519", (), "OMS has no Ed25519 keys"),
        ("p256", ("--model-mode", "detach"), "the model lies outside of the package"),
    ],
    ids=["ed25519", "detached"],
)
def test_where_no_companion_is_possible_one_line_says_so(
    kind: str, words: tuple[str, ...], why: str, project: Path, env: dict[str, str]
) -> None:
    made = run("keygen", "--type", kind, "--no-passphrase", "release", cwd=project, env=env)
    assert made.code == 0
    pack = ("pack", "--sign", "--key", "release.key", *words)
    done = run(*pack, "--require-oms", cwd=project, env=env)
    assert done.transcript == (
        2,
        "",
        [
            f"error: no OMS companion is possible (got {why})",
            "hint: leave out --require-oms",
        ],
    )
    assert not (project / PACKAGE).exists()
    done = run(*pack, cwd=project, env=env)
    note = f"note: no OMS companion for `model_signing`: {why}"
    assert done.transcript == (0, f"{PACKAGE}\n", [note])
    assert not (project / PACKAGE / "model.sig").exists()
    done = run(*pack, "--no-oms", "--force", cwd=project, env=env)
    assert done.transcript == (0, f"{PACKAGE}\n", [])


def test_a_companion_is_left_out_where_none_is_wanted(
    keyless: Path, env: dict[str, str], instance: PrivateSigstore, asked: Callable[[], list[str]]
) -> None:
    words = (*PACK, "--identity-token", instance.token(ALICE))
    done = run(*words, "--no-oms", cwd=keyless, env=env)
    assert done.transcript == (0, f"{PACKAGE}\n", signs_as(instance, ALICE))
    assert not (keyless / PACKAGE / "model.sig").exists()
    assert len(published(asked())) == 2  # a certificate, and one entry
    done = run(*words, "--require-oms", "--force", cwd=keyless, env=env)
    assert done.code == 0
    assert (keyless / PACKAGE / "model.sig").exists()


# --- packed again ----------------------------------------------------------------------------


def test_the_same_package_by_the_same_key_is_packed_again(
    project: Path, env: dict[str, str]
) -> None:
    """An ECDSA signature is another one each time, also that of the companion."""
    env["SOURCE_DATE_EPOCH"] = f"{int(NOW.timestamp())}"
    assert run("keygen", "--no-passphrase", "release", cwd=project, env=env).code == 0
    words = ("pack", "--sign", "--key", "release.key")
    for _ in range(2):
        assert run(*words, cwd=project, env=env).transcript == (0, f"{PACKAGE}\n", [])
    require_verifies(project, "--key", "release.pub", env=env, name="release")


def test_a_certificate_without_a_timestamp_signs_the_same_again(
    project: Path, env: dict[str, str], instance: PrivateSigstore, asked: Callable[[], list[str]]
) -> None:
    """With one it never does, and that is said before the authority is asked."""
    bring_certificate(project, instance)
    env["SOURCE_DATE_EPOCH"] = f"{int(NOW.timestamp())}"
    words = ("pack", "--sign", *CERTIFICATE)
    for _ in range(2):
        assert run(*words, cwd=project, env=env).transcript == (0, f"{PACKAGE}\n", [])
    done = run(*words, "--timestamp-url", instance.timestamp_url, cwd=project, env=env)
    assert done.transcript == (
        2,
        "",
        [
            f"error: package exists already in {PACKAGE}",
            "hint: --force replaces it; or choose another version or place",
        ],
    )
    assert asked() == []
