"""What flags are short for is a policy, and the digest in results is that of its text."""

import hashlib
import json
import tomllib
from pathlib import Path

import pytest

from infwasi_sign.domain.policy_file import parse_policy
from infwasi_sign.domain.policy_short import certificate_policy, identity_policy, key_policy
from tests.command_line import infwasi, make_timeless
from tests.forge import TRUSTED

HOSTILE = 'a"\n[[deny]]\\'


def test_the_short_form_of_a_key_is_a_policy_with_one_signer_and_one_package() -> None:
    pem = TRUSTED.public_pem().decode()
    file = parse_policy(key_policy(asked="capital", name="release", pem=pem), where="--key")
    assert [(one.name, one.keys[0].pem) for one in file.signers] == [("release", pem)]
    assert [rule.fact for rule in file.rules] == ["package.name"]


@pytest.mark.parametrize("is_pattern", [True, False])
def test_that_of_an_identity_too(is_pattern: bool) -> None:
    text = identity_policy(
        asked="capital", name=HOSTILE, issuer="https://i", wanted=HOSTILE, is_pattern=is_pattern
    )
    (signer,) = parse_policy(text, where="--identity").signers
    (found,) = signer.identities
    expected = (None, HOSTILE) if is_pattern else (HOSTILE, None)
    assert (signer.name, found.identity, found.pattern) == (HOSTILE, *expected)


def test_that_of_a_certificate_differs_with_everything_it_says() -> None:
    given = {"roots": ("a",), "intermediates": ("b",), "timestamp_roots": ("c",)}
    base = certificate_policy(asked="x", identity="i", **given)
    others = [
        certificate_policy(asked="x", identity="i", **{**given, name: ("z",)}) for name in given
    ]
    assert len({base, *others, certificate_policy(asked="y", identity="i", **given)}) == 5


@pytest.mark.parametrize("stamps", [(), ("c",)])
def test_that_of_a_certificate_says_at_which_time_it_must_be_valid(stamps: tuple[str, ...]) -> None:
    text = certificate_policy(
        asked="x", identity="i", roots=("a",), intermediates=(), timestamp_roots=stamps
    )
    (certificate,) = tomllib.loads(text.decode())["signer"][0]["certificates"]
    when = {"timestamp-roots": ["c"]} if stamps else {"valid-at": "current-time"}
    assert certificate == {"identity": "i", "roots": ["a"], **when}


def test_a_result_names_the_digest_of_that_text(tmp_path: Path) -> None:
    package = make_timeless(tmp_path)
    done = infwasi("verify", package.name, "--key", "trusted.pub", "--json", cwd=tmp_path)
    pem = (tmp_path / "trusted.pub").read_text()
    text = key_policy(asked=package.name, name="trusted", pem=pem)
    digest = f"sha256:{hashlib.sha256(text).hexdigest()}"
    assert json.loads(done.output)["policy"] == {"source": "--key", "digest": digest}
