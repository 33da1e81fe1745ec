"""Nothing that verifies opens a socket, in no mode: each command runs where none can be made."""

from collections.abc import Callable
from pathlib import Path

import pytest

from infwasi_sign.testing.sigstore import PrivateSigstore
from tests.trust_support import (
    USED_A_SOCKET,
    Signed,
    by_key,
    certified,
    keyless,
    without_sockets,
)

Make = Callable[[Path, PrivateSigstore], Signed]
MODES: dict[str, tuple[Make, int]] = {
    "key": (by_key, 2),
    "certificate": (certified, 2),
    "keyless-v1": (keyless, 1),
    "keyless-v2": (keyless, 2),
}


@pytest.fixture(scope="module", params=MODES)
def signed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Signed:
    """Signed by an instance that is gone by the time of verification."""
    make, version = MODES[request.param]
    with PrivateSigstore(rekor_version=version) as instance:  # type: ignore[arg-type]  # 1 or 2
        made = make(tmp_path_factory.mktemp("offline"), instance)
    (made.place / "policy.toml").write_text(
        f'version = 1\n[[package]]\nname = "capital"\n[[signer]]\nname = "release"\n{made.policy}'
    )
    return made


def commands(signed: Signed) -> dict[str, tuple[str, ...]]:
    package = signed.package
    by_policy = ("--policy", "policy.toml")
    found = {
        "verify": ("verify", package, *signed.options),
        "verify by policy": ("verify", package, *by_policy),
        "verify --oms": ("verify", "--oms", "model", *signed.options),
        "policy check": ("policy", "check", "policy.toml"),
        "policy why": ("policy", "why", package, *by_policy),
        "inspect": ("inspect", package),
    }
    if "--identity" in signed.options:
        found["trust show"] = ("trust", "show", "root.json")
    return found


def test_no_command_that_verifies_opens_a_socket(signed: Signed) -> None:
    for name, words in commands(signed).items():
        done = without_sockets(*words, cwd=signed.place)
        assert (name, done.code, done.said) == (name, 0, [])


def test_neither_does_a_run_before_or_after_the_verdict(signed: Signed) -> None:
    """The model of the forge is too small to answer; that is said after the verdict."""
    words = ("verify-and-run", signed.package, *signed.options, "Hi?")
    done = without_sockets(*words, cwd=signed.place)
    assert done.code != USED_A_SOCKET
    assert done.said[0].startswith("verified: capital 1.0.0, signed by ")


def test_what_goes_online_would_be_seen(tmp_path: Path) -> None:
    done = without_sockets("trust", "fetch", "--output", "root.json", cwd=tmp_path)
    assert done.code == USED_A_SOCKET
    assert done.said[-1].startswith("used socket.")


def test_without_care_importing_sigstore_would_be_seen(signed: Signed) -> None:
    """The control of `unprobed`: what urllib3 does upon import is a socket, too."""
    if "--identity" not in signed.options:
        pytest.skip("only identities need sigstore")
    careless = "import sys, socket, urllib3.util.connection"
    done = without_sockets("inspect", signed.package, cwd=signed.place, before=careless)
    assert done.code == USED_A_SOCKET
