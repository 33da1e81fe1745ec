"""What signs nothing and publishes nothing, and says no token, through the real command line."""

from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal

import pytest

from infwasi_sign.testing.sigstore import Fault, PrivateSigstore
from tests.command_line import Done
from tests.modes_support import (
    ALICE,
    CERTIFICATE,
    MANIFEST,
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

BOTH: Final = "hint: one of them signs: leave out the other"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return nobody(tmp_path)


@pytest.fixture(scope="module")
def instance() -> Iterator[PrivateSigstore]:
    with PrivateSigstore() as running:
        yield running


@pytest.fixture
def asked(instance: PrivateSigstore) -> Callable[[], list[str]]:
    """What this test has asked the instance for."""
    before = len(instance.requests)
    return lambda: [one.path for one in instance.requests[before:]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project")


@pytest.fixture
def keyless(project: Path, instance: PrivateSigstore) -> Path:
    """A project, and the two files of an instance: to sign with, and to verify with."""
    return bring_instance(project, instance)


# --- what a project pins ---------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["key", "certificate"])
def test_a_forgotten_key_is_an_error_and_not_a_publication(
    mode: str,
    tmp_path: Path,
    env: dict[str, str],
    instance: PrivateSigstore,
    asked: Callable[[], list[str]],
) -> None:
    """Though there is an identity, from wherever it comes, and the person would say yes."""
    project = bring_instance(make_project(tmp_path / "pinned", mode=mode), instance)
    token = {"INFWASI_IDENTITY_TOKEN": instance.token(ALICE)}
    # the instance is the one that is found without being named
    home = tmp_path / ".config" / "infwasi"
    home.mkdir(parents=True)
    (home / "trust-root.json").write_bytes(instance.trust_config())
    forgotten = (
        2,
        "",
        [
            "error: nothing to sign with in signing.mode",
            "hint: --key FILE, from `infwasi keygen`",
        ],
    )
    for more in ({}, token, instance.ambient_environment()):
        done = run("pack", "--sign", cwd=project, env={**env, **more})
        assert done.transcript == forgotten
    env["BROWSER"] = browser()
    done = run_at_terminal("pack", "--sign", "--yes", cwd=project, env=env, typed=b"y\n")
    assert done.transcript == forgotten
    done = run(*PACK, cwd=project, env={**env, **token})
    assert done.transcript == (2, "", [another_mode(mode, "keyless")])
    assert asked() == []
    assert not (project / "dist").exists()
    # the control: without the pin each of these had been published
    make_project(project)
    assert run("pack", "--sign", cwd=project, env={**env, **token}).code == 0
    assert published(asked())


def another_mode(pinned: str, got: str) -> str:
    return (
        f"error: the project is signed in another mode in signing.mode (expected {pinned}, "
        f"got {got})"
    )


def test_a_pinned_mode_is_the_only_one(
    tmp_path: Path, env: dict[str, str], instance: PrivateSigstore
) -> None:
    project = bring_instance(make_project(tmp_path / "pinned"), instance)
    bring_certificate(project, instance)
    ways = {
        "key": ("--key", "certified.key"),
        "certificate": CERTIFICATE,
        "keyless": ("--trust-config", "instance.json", "--identity-token", instance.token(ALICE)),
    }
    for pinned, own in ways.items():
        make_project(project, mode=pinned)
        for mode, words in ways.items():
            if mode != pinned:
                done = run("pack", "--sign", *words, cwd=project, env=env, is_offline=True)
                assert done.transcript == (2, "", [another_mode(pinned, mode)])
        done = run("pack", "--sign", "--force", *own, cwd=project, env=env)
        assert done.code == 0


# --- flags that contradict each other --------------------------------------------------------

_TOKEN: Final = ("--identity-token", "x.y.z")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--sign", "--key", "a.key", *_TOKEN),
            ["error: a key and an identity are named", BOTH],
        ),
        (
            ("--sign", "--key", "a.key", "--trust-config", "i.json"),
            ["error: a key and an identity are named", BOTH],
        ),
        (
            ("--sign", "--key", "a.key", "--certificate", "a.pem", *_TOKEN),
            ["error: a key and an identity are named", BOTH],
        ),
        (
            ("--sign", "--certificate", "a.pem"),
            ["error: a certificate needs its key (expected --key)"],
        ),
        (
            ("--sign", "--certificate", "a.pem", *_TOKEN),
            ["error: a certificate needs its key (expected --key)"],
        ),
        (
            ("--sign", "--key", "a.key", "--certificate-chain", "a.pem"),
            ["error: chain and timestamp go with --certificate"],
        ),
        (
            ("--sign", "--timestamp-url", "http://tsa.test", *_TOKEN),
            ["error: chain and timestamp go with --certificate"],
        ),
        (
            ("--sign", "--passphrase-file", "words"),
            ["error: a passphrase needs its key (expected --key)"],
        ),
        (
            ("--sign", "--passphrase-fd", "0", *_TOKEN),
            ["error: a passphrase needs its key (expected --key)"],
        ),
        (
            ("--sign", "--identity-token", ""),
            [
                "error: the identity token is empty in --identity-token",
                "hint: give one, or leave the option out",
            ],
        ),
        (("--key", "a.key"), ["error: who signs was said without --sign", "hint: add --sign"]),
        (_TOKEN, ["error: who signs was said without --sign", "hint: add --sign"]),
        (
            ("--sign", "--key", "a.key", "--no-oms", "--require-oms"),
            ["error: --no-oms and --require-oms exclude each other"],
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_flags_that_contradict_each_other_sign_nothing(
    *,
    words: tuple[str, ...],
    said: list[str],
    keyless: Path,
    env: dict[str, str],
    instance: PrivateSigstore,
    asked: Callable[[], list[str]],
) -> None:
    env["INFWASI_IDENTITY_TOKEN"] = instance.token(ALICE)  # a mistake would be a publication
    done = run("pack", *words, cwd=keyless, env=env, is_offline=True)
    assert done.transcript == (2, "", said)
    assert asked() == []


def test_a_key_that_is_named_signs_though_there_is_an_identity(
    keyless: Path, env: dict[str, str], instance: PrivateSigstore
) -> None:
    assert run("keygen", "--no-passphrase", "release", cwd=keyless, env=env).code == 0
    env |= {**instance.ambient_environment(), "INFWASI_IDENTITY_TOKEN": instance.token(ALICE)}
    words = ("pack", "--sign", "--key", "release.key")
    done = run(*words, cwd=keyless, env=env, is_offline=True)
    assert done.transcript == (0, f"{PACKAGE}\n", [])
    require_verifies(keyless, "--key", "release.pub", env=env, name="release")


# --- nothing is published in vain ------------------------------------------------------------


@pytest.mark.parametrize("epoch", ["", "1795521000"], ids=["now", "fixed-time"])
def test_nothing_is_published_if_the_package_exists_already(
    epoch: str,
    keyless: Path,
    env: dict[str, str],
    instance: PrivateSigstore,
    asked: Callable[[], list[str]],
) -> None:
    if epoch:
        env["SOURCE_DATE_EPOCH"] = epoch
    words = (*PACK, "--identity-token", instance.token(ALICE))
    assert run(*words, cwd=keyless, env=env).code == 0
    before, signed = asked(), (keyless / MANIFEST).read_bytes()
    done = run(*words, cwd=keyless, env=env)
    assert done.transcript == (
        2,
        "",
        [
            signs_as(instance, ALICE)[0],
            f"error: package exists already in {PACKAGE}",
            "hint: --force replaces it; or choose another version or place",
        ],
    )
    assert asked() == before
    assert (keyless / MANIFEST).read_bytes() == signed


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda model: model.unlink(), 2),
        (lambda model: model.write_bytes(b"GGUF"), 1),
        (lambda model: model.write_bytes(model.read_bytes()[:300]), 1),
        (lambda model: (model.unlink(), model.mkdir()), 1),
    ],
    ids=["missing", "no-header", "cut-off", "folder"],
)
def test_nothing_is_published_of_a_model_that_cannot_be_read(
    *,
    spoil: Callable[[Path], object],
    code: int,
    keyless: Path,
    env: dict[str, str],
    instance: PrivateSigstore,
    asked: Callable[[], list[str]],
) -> None:
    spoil(keyless / "tiny.gguf")
    token = instance.token(ALICE)
    done = run(*PACK, "--identity-token", token, cwd=keyless, env=env)
    assert (done.code, done.out) == (code, "")
    assert asked() == []
    assert not (keyless / PACKAGE).exists()


@pytest.mark.parametrize(
    "fault", [Fault.CERTIFICATE_FOR_OTHER_IDENTITY, Fault.PROOF_WRONG, Fault.LOG_UNAVAILABLE]
)
@pytest.mark.parametrize("version", [1, 2])
def test_what_an_instance_gives_and_does_not_verify_is_not_written(
    fault: Fault, version: Literal[1, 2], project: Path, env: dict[str, str]
) -> None:
    with PrivateSigstore(rekor_version=version, faults={fault}) as faulty:
        bring_instance(project, faulty)
        token = faulty.token(ALICE)
        done = run(*PACK, "--identity-token", token, "--json", cwd=project, env=env)
    assert (done.code, done.documents[0]["verdict"]) == (2, "undecided")
    assert not (project / PACKAGE).exists()
    require_not_said(token, done)


# --- a token is a secret ---------------------------------------------------------------------


def require_not_said(token: str, done: Done) -> None:
    """No part of a token that would be of use: its signature, or its claims as they stand there."""
    for part in (token, *(part for part in token.split(".") if len(part) > 20)):
        assert part not in done.out + done.errors


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: token,
        lambda token: token + "x",
        lambda token: token[:-8] + "AAAAAAAA",
        lambda token: token.replace(".", ",", 1),
        lambda token: token.rsplit(".", 1)[0],
        lambda token: token + "\u00e9",
        lambda token: token * 40,
        lambda token: f" {token}\n",
    ],
    ids=["good", "longer", "forged", "comma", "cut-off", "letter", "too-long", "blanks"],
)
def test_a_token_is_never_said(
    spoil: Callable[[str], str], keyless: Path, env: dict[str, str], instance: PrivateSigstore
) -> None:
    """Not from the command line, not from the environment; not in text, not in JSON."""
    good = instance.token(ALICE)
    token = spoil(good)
    require_not_said(good, run(*PACK, "--identity-token", token, cwd=keyless, env=env))
    env["INFWASI_IDENTITY_TOKEN"] = token
    require_not_said(good, run(*PACK, "--force", "--json", cwd=keyless, env=env))


def test_a_token_for_another_audience_or_that_is_over_is_not_said(
    keyless: Path, env: dict[str, str], instance: PrivateSigstore
) -> None:
    for claims in ({"aud": "other"}, {"exp": 1_000_000_000}, {"sub": None, "email": None}):
        token = instance.token(ALICE, **claims)
        done = run(*PACK, "--identity-token", token, cwd=keyless, env=env)
        assert (done.code, done.out) == (2, "")
        require_not_said(token, done)


def test_no_token_gets_into_the_package(
    keyless: Path, env: dict[str, str], instance: PrivateSigstore
) -> None:
    token = instance.token(ALICE)
    assert run(*PACK, "--identity-token", token, cwd=keyless, env=env).code == 0
    for path in (keyless / PACKAGE).iterdir():
        assert token.encode() not in path.read_bytes()
        assert b64encode(token.encode())[:-4] not in path.read_bytes()
