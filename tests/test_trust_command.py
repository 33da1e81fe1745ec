"""`infwasi trust`: the one online step, what it believes, and what it says; and old trust roots."""

import hashlib
import importlib.resources
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sigstore.models import ClientTrustConfig
from tuf.ngclient import Updater

from infwasi_sign.adapters import trust_fetch
from infwasi_sign.adapters.trust_fetch import (
    PUBLIC_INSTANCE,
    STAGING_INSTANCE,
    fetch_trust_root,
)
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.trust_root import encode_fetched, parse_trust_root
from infwasi_sign.errors import UndecidedError
from infwasi_sign.testing.sigstore import Fault, Notice, PrivateSigstore
from tests.command_line import Done, infwasi
from tests.test_result import require_fits
from tests.trust_support import Signed, keyless, silent_server
from tests.unprivileged import NOBODY, unprivileged_output

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def instance() -> Iterator[PrivateSigstore]:
    with PrivateSigstore() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, instance: PrivateSigstore) -> Path:
    (tmp_path / "root.json").write_bytes(instance.tuf_root())
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def run(home: Path, *words: str | Path, **more: str) -> Done:
    unset = dict.fromkeys(("XDG_CONFIG_HOME", "XDG_DATA_HOME"), "")
    env = {"HOME": str(home), **unset, **more}
    return infwasi("trust", *words, cwd=home.parent, env=env)


def fetch(home: Path, instance: PrivateSigstore, *words: str) -> Done:
    return run(home, "fetch", "--url", instance.tuf_url, "--root", "root.json", *words)


# --- fetch -----------------------------------------------------------------------------------


def test_fetches_what_the_repository_signed(home: Path, instance: PrivateSigstore) -> None:
    path = home / ".config" / "infwasi" / "trust-root.json"
    done = fetch(home, instance)
    assert done.transcript == (0, f"{path}: {instance.tuf_url}, 5 authorities and logs\n", [])
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o644, 0o755)
    written = json.loads(path.read_bytes())
    assert written["clientTrustConfig"] == json.loads(instance.trust_config())
    assert written["instance"] == instance.tuf_url
    again = fetch(home, instance)
    assert again.out.splitlines()[1:] == ["nothing changed"]
    (value,) = fetch(home, instance, "--json").documents
    assert (value["instance"], value["changes"]) == (instance.tuf_url, [])


def test_says_what_changed_and_whose_it_was(home: Path, instance: PrivateSigstore) -> None:
    with PrivateSigstore() as other:
        old = encode_fetched(
            other.trust_config().decode(), instance="https://old.test", fetched_at=NOW
        )
    (home / "private.json").write_bytes(old)
    done = fetch(home, instance, "--output", str(home / "private.json"))
    assert done.said == ["warning: this was the trust root of https://old.test"]
    verbs = [line.split(":")[0] for line in done.out.splitlines()[1:]]
    assert verbs == ["added"] * 5 + ["removed"] * 5


def test_what_cannot_be_read_is_replaced_and_that_is_said(
    home: Path, instance: PrivateSigstore
) -> None:
    (home / "private.json").write_text("x")
    done = fetch(home, instance, "--output", str(home / "private.json"))
    assert done.code == 0
    assert done.said[0].startswith("note: what was there is replaced: not a trust root: not JSON ")


def test_a_repository_that_nobody_vouched_for_is_not_believed(
    home: Path, instance: PrivateSigstore
) -> None:
    words = ("fetch", "--url", instance.tuf_url)
    done = run(home, *words)
    said = [
        f"error: nothing says how to believe this repository in {instance.tuf_url}",
        "hint: --root ROOT.json: its first root, got by a way that you trust",
    ]
    assert done.transcript == (2, "", said)
    # and not the second time either: what lies in the cache by then is nobody's word
    assert fetch(home, instance).code == 0
    assert run(home, *words).transcript == (2, "", said)


def test_nor_one_with_another_root_than_the_one_that_was_given(
    home: Path, instance: PrivateSigstore
) -> None:
    with PrivateSigstore() as other:
        (home.parent / "root.json").write_bytes(other.tuf_root())
    done = fetch(home, instance)
    assert (done.code, done.out) == (2, "")
    assert done.said[0].startswith(
        f"error: the trust root cannot be fetched in {instance.tuf_url} "
    )
    assert not (home / ".config" / "infwasi" / "trust-root.json").exists()


def poisoned(folder: Path, instance: PrivateSigstore, other: PrivateSigstore) -> None:
    """A cache as if the other's metadata had come from this instance's URL."""
    made = folder / "made"
    fetch_trust_root(other.tuf_url, environment={"HOME": str(made)}, now=NOW, root=other.tuf_root())
    (cache,) = (made / ".local/share/infwasi/tuf").iterdir()
    target = folder / "home/.local/share/infwasi/tuf" / quote(instance.tuf_url, safe="")
    target.parent.mkdir(parents=True)
    shutil.copytree(cache, target, symlinks=True)


def test_what_lies_in_the_cache_is_not_believed(
    home: Path, instance: PrivateSigstore, tmp_path: Path
) -> None:
    with PrivateSigstore() as other:
        poisoned(tmp_path, instance, other)
    assert fetch(home, instance).code == 0
    written = json.loads((home / ".config" / "infwasi" / "trust-root.json").read_bytes())
    assert written["clientTrustConfig"] == json.loads(instance.trust_config())


def test_without_a_first_root_it_would_be(
    home: Path, instance: PrivateSigstore, tmp_path: Path
) -> None:
    """The control: python-tuf starts from its cache if it is given no root."""
    with PrivateSigstore() as other:
        poisoned(tmp_path, instance, other)
        cache = tmp_path / "home/.local/share/infwasi/tuf" / quote(instance.tuf_url, safe="")
        found = trust_fetch._fetched(other.tuf_url, None, cache)  # type: ignore[arg-type]  # that
        assert json.loads(found) == json.loads(other.trust_config())


@pytest.mark.parametrize("fault", [one for one in Fault if one.notice is Notice.FETCHING])
def test_no_fault_of_a_repository_gets_through(fault: Fault, tmp_path: Path) -> None:
    with PrivateSigstore(faults={fault}) as bad, pytest.raises(UndecidedError) as caught:
        fetch_trust_root(
            bad.tuf_url, environment={"HOME": str(tmp_path)}, now=NOW, root=bad.tuf_root()
        )
    assert caught.value.what == "the trust root cannot be fetched"


def test_there_are_faults_of_a_repository() -> None:
    assert [one for one in Fault if one.notice is Notice.FETCHING]


def test_a_home_that_cannot_be_written_is_one_line(instance: PrivateSigstore) -> None:
    snippet = """
import os, sys
os.environ.update(HOME="/", XDG_CONFIG_HOME="", XDG_DATA_HOME="")
from infwasi_sign.adapters.trust_fetch import fetch_trust_root
from infwasi_sign.adapters.trust_root import prepare_place, user_trust_root
from infwasi_sign.errors import UndecidedError
for act in (
    lambda: prepare_place(user_trust_root(os.environ)),
    lambda: fetch_trust_root("http://127.0.0.1:1", environment=os.environ, now=None, root=b"{}"),
):
    try:
        act()
    except UndecidedError as error:
        print(error.sentence())
"""
    preload = ("infwasi_sign.adapters.trust_fetch", "tuf.ngclient", "tuf.api.metadata")
    assert unprivileged_output(snippet, preload=preload).splitlines() == [
        "cannot make the folder: permission denied in /.config/infwasi",
        "cannot keep TUF metadata: permission denied in "
        "/.local/share/infwasi/tuf/http%3A%2F%2F127.0.0.1%3A1",
    ]


def test_a_folder_of_somebody_else_is_not_written_to(home: Path, instance: PrivateSigstore) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(home, NOBODY, NOBODY)
    done = fetch(home, instance)
    assert done.said == [
        f"error: folder belongs to somebody else in {home} (expected user 0 or root, "
        f"got user {NOBODY})"
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--staging", "--url", "https://x.test"), "--staging and --url exclude each other"),
        (("--url", ""), "not the URL of a TUF repository (expected http:// or https://, a host"),
        (("--url", "ftp://x.test"), "not the URL of a TUF repository (expected http:// or "),
        (("--url", "https://me:secret@x.test"), "not the URL of a TUF repository (expected htt"),
        (("--url", "https://x.test", "--root", "none"), "cannot read none (got no such file"),
    ],
)
def test_says_what_it_cannot_fetch(words: tuple[str, ...], said: str, home: Path) -> None:
    done = run(home, "fetch", *words)
    assert done.code == 2
    assert done.said[0].startswith(f"error: {said}")
    assert "secret" not in done.errors


def test_nobody_is_waited_for_without_end(
    tmp_path: Path, instance: PrivateSigstore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust_fetch, "LIMITS", replace(LIMITS, tuf_total_seconds=0.2))
    with silent_server() as url, pytest.raises(UndecidedError) as caught:
        fetch_trust_root(
            url, environment={"HOME": str(tmp_path)}, now=NOW, root=instance.tuf_root()
        )
    assert caught.value.sentence() == (
        f"the trust root cannot be fetched in {url} (got no whole answer in 0.2 s)"
    )


def test_what_is_used_is_what_was_verified(
    tmp_path: Path, instance: PrivateSigstore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client leaves a verified file behind, which somebody could exchange before it is read."""
    download = Updater.download_target

    def exchanged(self: Updater, *words: Any) -> str:
        path = download(self, *words)
        Path(path).write_bytes(b"{}")
        return path

    monkeypatch.setattr(Updater, "download_target", exchanged)
    with pytest.raises(UndecidedError) as caught:
        fetch_trust_root(
            instance.tuf_url,
            environment={"HOME": str(tmp_path)},
            now=NOW,
            root=instance.tuf_root(),
        )
    assert caught.value.what == "the trust root cannot be fetched"
    assert caught.value.got is not None
    assert caught.value.got.startswith("Observed length 2 does not match expected length")


def test_what_is_too_long_is_not_loaded(
    tmp_path: Path, instance: PrivateSigstore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(*_: object) -> str:
        raise AssertionError

    monkeypatch.setattr(Updater, "download_target", loaded)
    monkeypatch.setattr(trust_fetch, "LIMITS", replace(LIMITS, trust_root_bytes=10))
    with pytest.raises(UndecidedError) as caught:
        fetch_trust_root(
            instance.tuf_url,
            environment={"HOME": str(tmp_path)},
            now=NOW,
            root=instance.tuf_root(),
        )
    assert caught.value.got is not None
    assert caught.value.got.startswith("too long in trusted_root.json (expected at most 10 bytes")


# --- what we assume of sigstore-python -------------------------------------------------------


@pytest.mark.parametrize("url", [PUBLIC_INSTANCE, STAGING_INSTANCE])
def test_the_first_roots_came_with_sigstore(url: str) -> None:
    root = json.loads(trust_fetch._embedded_root(url))
    assert root["signed"]["_type"] == "root"


@pytest.mark.parametrize("url", [PUBLIC_INSTANCE, STAGING_INSTANCE])
def test_the_public_trust_roots_are_read(url: str) -> None:
    store = importlib.resources.files("sigstore").joinpath("_store", quote(url, safe=""))
    data = store.joinpath("trusted_root.json").read_bytes()
    assert len(parse_trust_root(data, source="embedded", written_at=NOW).authorities) >= 7


def test_what_was_fetched_is_what_sigstore_python_would_fetch(
    home: Path, instance: PrivateSigstore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    theirs = ClientTrustConfig.from_tuf(instance.tuf_url, bootstrap_root=home.parent / "root.json")
    fetch(home, instance)
    written = json.loads((home / ".config" / "infwasi" / "trust-root.json").read_bytes())
    assert json.loads(theirs._inner.to_json()) == written["clientTrustConfig"]


# --- show ------------------------------------------------------------------------------------


def test_shows_whom_it_lists_since_when_and_how_old(home: Path, instance: PrivateSigstore) -> None:
    fetch(home, instance)
    done, machine = run(home, "show"), run(home, "show", "--json")
    assert (done.code, done.said, machine.said) == (0, [], [])
    (value,) = machine.documents
    path = home / ".config" / "infwasi" / "trust-root.json"
    assert value["source"] == str(path)
    assert value["digest"] == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert (value["instance"], value["ageDays"], value["canSign"]) == (instance.tuf_url, 0, True)
    assert len(value["authorities"]) == 5
    for one in value["authorities"]:
        assert f"{one['kind']} {one['name']}, valid since 2000-01-01T00:00:00+00:00" in done.out
        for fingerprint in one["fingerprints"]:
            assert f"  sha256:{fingerprint}\n" in done.out
    assert f"  instance   {instance.tuf_url}\n" in done.out


def test_shows_that_it_is_old_and_who_was_retired(home: Path, instance: PrivateSigstore) -> None:
    config = json.loads(instance.trust_config())
    config["trustedRoot"]["ctlogs"][0]["publicKey"]["validFor"]["end"] = "2021-01-01T00:00:00Z"
    config["trustedRoot"]["ctlogs"][0]["baseUrl"] = "https://log.test/\x1b[2J\n"
    data = encode_fetched(json.dumps(config), instance="x", fetched_at=NOW - timedelta(days=999))
    (home / "old.json").write_bytes(data)
    done = run(home, "show", home / "old.json")
    assert "days ago; `infwasi trust fetch` gets the newest\n" in done.out
    assert ", retired at 2021-01-01T00:00:00+00:00\n" in done.out
    assert "\x1b" not in done.out


def test_says_that_there_is_none(home: Path) -> None:
    done = run(home, "show", "--json")
    assert done.code == 2
    require_fits(done.documents[0])
    assert done.said[1] == (
        "hint: `infwasi trust fetch` gets the public one; --trust-root FILE names another"
    )


# --- a trust root that is old ----------------------------------------------------------------


@pytest.fixture
def signed(tmp_path: Path, instance: PrivateSigstore) -> Signed:
    (tmp_path / "place").mkdir()
    return keyless(tmp_path / "place", instance)


def aged(signed: Signed, days: int) -> None:
    moment = datetime.now(UTC).timestamp() - days * 86_400 - 60
    os.utime(signed.place / "root.json", (moment, moment))


def note(days: int) -> list[str]:
    return [
        f"note: the trust root root.json is {days} days old: who was retired since is still "
        "trusted; `infwasi trust fetch` gets the newest"
    ]


def test_a_result_says_by_what_an_identity_was_judged(signed: Signed) -> None:
    aged(signed, 3)
    data = (signed.place / "root.json").read_bytes()
    for words in (("verify", signed.package), ("verify", "--oms", "model")):
        done = infwasi(*words, *signed.options, "--json", cwd=signed.place)
        (value,) = done.documents
        require_fits(value)
        assert (done.code, done.said) == (0, [])
        assert value["signers"][0]["trustRoot"] == {
            "source": "root.json",
            "digest": f"sha256:{hashlib.sha256(data).hexdigest()}",
            "ageDays": 3,
        }


def test_a_stale_trust_root_is_said_whatever_the_verdict(signed: Signed) -> None:
    aged(signed, 31)
    for words, code in (
        (("verify", signed.package, *signed.options), 0),
        (("verify", "--oms", "model", *signed.options), 0),
        (("verify-and-run", signed.package, *signed.options, "Hi?"), None),
        (("verify", signed.package, *signed.options, "--identity", "other@example.test"), 1),
    ):
        done = infwasi(*words, cwd=signed.place)
        assert (words, done.said[:1]) == (words, note(31))
        assert code in {None, done.code}
    aged(signed, 30)
    assert infwasi("verify", signed.package, *signed.options, cwd=signed.place).said == []


def test_text_and_summary_say_so_too(signed: Signed) -> None:
    digest = hashlib.sha256((signed.place / "root.json").read_bytes()).hexdigest()
    said = f"root.json sha256:{digest}, 0 days old"
    for words in (("verify", signed.package), ("verify", "--oms", "model")):
        done = infwasi(*words, *signed.options, cwd=signed.place)
        assert f"  trust root {said}\n" in done.out
        done = infwasi(*words, *signed.options, "--format", "github", cwd=signed.place)
        assert f"<th>trust root</th><td><code>{said}</code></td>" in done.out


def policy(signed: Signed, age: str) -> Path:
    path = signed.place / "policy.toml"
    path.write_text(
        'version = 1\n[[package]]\nname = "capital"\n[[signer]]\nname = "release"\n'
        + signed.policy.replace("maximum-age-days = 10\n", age)
    )
    return path


def test_past_the_maximum_age_of_a_policy_it_is_refused(signed: Signed) -> None:
    policy(signed, "maximum-age-days = 40\n")
    words = (signed.package, "--policy", "policy.toml")
    aged(signed, 40)
    assert infwasi("verify", *words, cwd=signed.place).said == []  # the policy decides
    aged(signed, 41)
    done = infwasi("verify", *words, cwd=signed.place)
    assert done.code == 1
    assert done.said[0].startswith("refused: expired: ")
    assert "policy.toml:9 sigstore.maximum-age-days" in done.said[0]
    why = infwasi("policy", "why", *words, cwd=signed.place)
    assert (
        "NO   policy.toml:9 sigstore.maximum-age-days: trust-root.age-days is 41; "
        "must be at most 40" in why.out
    )
    # without the rule
    policy(signed, "")
    done = infwasi("verify", *words, cwd=signed.place)
    assert (done.code, done.said) == (0, note(41))


def test_a_policy_without_a_maximum_age_is_warned_of(signed: Signed) -> None:
    policy(signed, "")
    done = infwasi("policy", "check", "policy.toml", cwd=signed.place)
    assert (done.code, done.said) == (
        0,
        [
            "warning: signer release: the trust root of its identities may be of any age; "
            "[sigstore] maximum-age-days bounds it"
        ],
    )
    policy(signed, "maximum-age-days = 40\n")
    assert infwasi("policy", "check", "policy.toml", "--strict", cwd=signed.place).said == []


def test_a_policy_whose_trust_root_is_none_does_not_pass_the_check(signed: Signed) -> None:
    policy(signed, "maximum-age-days = 40\n")
    (signed.place / "root.json").write_text("{}")
    done = infwasi("policy", "check", "policy.toml", cwd=signed.place)
    assert done.transcript == (
        2,
        "",
        [
            "error: not a trust root: unknown mediaType in root.json: mediaType (expected "
            "urn:infwasi:trust:v1 or application/vnd.dev.sigstore.trustedroot+json;version=0.1)",
            "hint: `infwasi trust fetch` writes one",
        ],
    )


# --- whose trust root ------------------------------------------------------------------------


def test_a_trust_root_in_the_package_is_refused_whoever_named_it(signed: Signed) -> None:
    inside = Path(signed.package) / "root.json"
    shutil.copyfile(signed.place / "root.json", signed.place / inside)
    said = [
        f"error: the trust root lies in the package that it is to judge in {inside}",
        "hint: what comes with a package does not say by whose rules it is judged",
    ]
    options = (*signed.options[:-1], str(inside))
    path = policy(signed, "")
    path.write_text(path.read_text().replace('"root.json"', f'"{inside}"'))
    for words in (options, ("--policy", "policy.toml")):
        done = infwasi("verify", signed.package, *words, cwd=signed.place)
        assert done.transcript == (2, "", said)
    inside = Path("model") / "root.json"
    (signed.place / "model" / "weights").unlink()
    shutil.copyfile(signed.place / "root.json", signed.place / inside)
    done = infwasi("verify", "--oms", "model", *signed.options[:-1], str(inside), cwd=signed.place)
    assert done.transcript == (
        2,
        "",
        [said[0].replace(str(Path(signed.package) / "root.json"), str(inside)), said[1]],
    )


def test_the_config_of_another_instance_vouches_for_nobody(signed: Signed) -> None:
    with PrivateSigstore() as other:
        (signed.place / "root.json").write_bytes(other.trust_config())
    for words in (("verify", signed.package), ("verify", "--oms", "model")):
        done = infwasi(*words, *signed.options, cwd=signed.place)
        assert done.code == 1
        assert done.said[0].startswith(
            "refused: signature: the identity's signature does not verify "
        )
