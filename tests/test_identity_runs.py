"""The identity cache in verification and on the command line: who allows it, what results say."""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import ValidationError  # type: ignore[import-untyped]  # it has no types

from infwasi_sign.adapters import fixed_disk, measuring
from infwasi_sign.adapters.identity_cache import LocalIdentityCache
from infwasi_sign.adapters.keys import KeyVerifier, TrustedKey, parse_public_key
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.package_directory import DirectoryStore
from infwasi_sign.cli.remembering import close_identity_cache, open_identity_cache
from infwasi_sign.cli.renderers import github_summary, text_lines
from infwasi_sign.cli.verdicts import accepted, circumstances
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.facts import COMPUTED
from infwasi_sign.domain.identity_record import Remembered
from infwasi_sign.domain.policy import NamedPackage, Policy
from infwasi_sign.errors import RefusalKind, RefusedError
from infwasi_sign.ports import GuardedFile
from infwasi_sign.verify import VerifiedPackage, VerifyRequest, verify
from tests import forge
from tests.command_line import Done, infwasi
from tests.identity_support import folder_with_identities
from tests.policy_support import BLAKE3, MINIMAL, load, write_policy
from tests.test_end_to_end import KEY, SIGN, make_project
from tests.test_result import require_fits

ALLOWED = MINIMAL + "[model]\nidentity-cache = true\n"
WHEN = datetime(2026, 6, 1, 12, tzinfo=UTC)


@dataclass
class FakeCache:
    """Knows what it is told, and keeps a record of what it is asked."""

    known: Mapping[Algorithm, Digest] | None = None
    asked: list[frozenset[Algorithm]] = field(default_factory=list)
    kept: list[Mapping[Algorithm, Digest]] = field(default_factory=list)

    def recall(self, file: GuardedFile, wanted: frozenset[Algorithm]) -> Remembered | None:
        assert file.level.label != "none"
        self.asked.append(wanted)
        return None if self.known is None else Remembered(digests=self.known, computed_at=WHEN)

    def keep(self, file: GuardedFile, digests: Mapping[Algorithm, Digest]) -> None:
        file.require_same()
        self.kept.append(digests)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return forge.make_package(tmp_path_factory.mktemp("identity"))


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[frozenset[Algorithm]]:
    """What was computed of the model."""
    calls: list[frozenset[Algorithm]] = []
    real = measuring.measure

    def measure(windows: Any, algorithms: frozenset[Algorithm], *others: Any) -> Any:
        calls.append(algorithms)
        return real(windows, algorithms, *others)

    monkeypatch.setattr(measuring, "measure", measure)
    return calls


def policy_of(folder: Path, text: str) -> Policy:
    return load(folder, text).policy(NamedPackage(name="capital"), BLAKE3)


def verified(
    package: Path, policy: Policy, cache: FakeCache, *, hold: bool = True
) -> VerifiedPackage:
    key = TrustedKey(
        name="release", public_key=parse_public_key(forge.TRUSTED.public_key(), where="key")
    )
    return verify(
        VerifyRequest(location=package, policy=policy, now=forge.NOW, hold=hold, identities=cache),
        store=DirectoryStore(),
        signatures=KeyVerifier((key,)),
        measure_bytes=measure_bytes,
    )


def true_digests(package: Path, tmp_path: Path) -> Mapping[Algorithm, Digest]:
    cache = FakeCache()
    verified(package, policy_of(tmp_path, ALLOWED), cache).close()
    (digests,) = cache.kept
    return digests


# --- who allows it ----------------------------------------------------------------------------


def test_what_is_hashed_is_kept_and_what_is_known_is_not_hashed(
    package: Path, tmp_path: Path, hashed: list[frozenset[Algorithm]]
) -> None:
    digests = true_digests(package, tmp_path)
    assert hashed == [BLAKE3]
    cache = FakeCache(known=digests)
    with verified(package, policy_of(tmp_path, ALLOWED), cache) as found:
        assert (cache.asked, cache.kept, hashed) == ([BLAKE3], [], [BLAKE3])
        (model,) = (entry for entry in found.entries if entry.remembered_at is not None)
        assert (model.role, model.remembered_at) == ("model", WHEN)
        assert model.digests == (digests[Algorithm.BLAKE3],)
        assert found.facts[COMPUTED] == ("blake3",)


@pytest.mark.parametrize("more", ["", "[model]\nidentity-cache = false\n"])
def test_a_policy_that_does_not_allow_it_has_none(
    more: str, package: Path, tmp_path: Path, hashed: list[frozenset[Algorithm]]
) -> None:
    cache = FakeCache()
    verified(package, policy_of(tmp_path, MINIMAL + more), cache).close()
    assert (cache.asked, cache.kept, hashed) == ([], [], [BLAKE3])


def test_what_is_not_held_has_none(
    package: Path, tmp_path: Path, hashed: list[frozenset[Algorithm]]
) -> None:
    cache = FakeCache()
    verified(package, policy_of(tmp_path, ALLOWED), cache, hold=False).close()
    assert (cache.asked, cache.kept, hashed) == ([], [], [BLAKE3])


def test_a_key_alone_never_allows_it() -> None:
    assert not Policy(package=NamedPackage(name="capital")).may_use_identity_cache


def test_all_digests_that_are_demanded_are_asked_for(tmp_path: Path) -> None:
    package = forge.make_package(tmp_path)
    with forge.lie(package) as value:
        del value["predicate"]["entries"][2]["fsVerity"]
    cache = FakeCache()
    policy = policy_of(tmp_path, ALLOWED + '[digests]\nrequire = ["sha256"]\n')
    verified(package, policy, cache).close()
    assert cache.asked == [frozenset(Algorithm)]


def test_who_demands_all_digests_of_three_that_are_stated_is_given_none_from_before(
    package: Path, tmp_path: Path, hashed: list[frozenset[Algorithm]]
) -> None:
    cache = FakeCache()
    policy = policy_of(tmp_path, ALLOWED + '[digests]\nrequire = ["sha256"]\n')
    verified(package, policy, cache).close()
    assert (cache.asked, hashed) == ([], [frozenset(Algorithm)])


def test_a_remembered_digest_is_held_to_the_signed_one(package: Path, tmp_path: Path) -> None:
    other = Digest(algorithm=Algorithm.BLAKE3, hex="b3" * 32)
    cache = FakeCache(known={Algorithm.BLAKE3: other})
    with pytest.raises(RefusedError) as refusal:
        verified(package, policy_of(tmp_path, ALLOWED), cache)
    assert refusal.value.kind is RefusalKind.DIGEST
    assert refusal.value.what == "the model differs from what was signed"


def test_the_caller_may_forbid_what_the_policy_allows(tmp_path: Path) -> None:
    allowed = policy_of(tmp_path, ALLOWED)
    assert open_identity_cache(allowed, paranoid=True) is None
    forbidden = replace(allowed, may_use_identity_cache=False)
    assert open_identity_cache(forbidden, paranoid=False) is None
    cache = open_identity_cache(allowed, paranoid=False)
    assert isinstance(cache, LocalIdentityCache)
    cache.close()


def test_without_a_folder_of_its_own_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INFWASI_CACHE_DIR", "relative")
    assert open_identity_cache(policy_of(tmp_path, ALLOWED), paranoid=False) is None
    assert capsys.readouterr().err == (
        "note: the model is hashed: there is no cache folder that is ours alone\n"
    )


def test_why_a_model_was_hashed_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = open_identity_cache(policy_of(tmp_path, ALLOWED), paranoid=False)
    assert cache is not None
    cache.reason = "the mount is not what it was"
    close_identity_cache(cache)
    close_identity_cache(None)
    assert capsys.readouterr().err == "note: the model was hashed: the mount is not what it was\n"


# --- what results say -------------------------------------------------------------------------


def test_results_say_which_digests_this_run_computed(package: Path, tmp_path: Path) -> None:
    digests = true_digests(package, tmp_path)
    hex_digits = digests[Algorithm.BLAKE3].hex
    policy = policy_of(tmp_path, ALLOWED)
    with verified(package, policy, FakeCache(known=digests)) as found:
        result = accepted(found, circumstances(package, forge.NOW, policy))
    document = result.to_json()
    require_fits(document)
    entries = {entry["role"]: entry for entry in document["entries"]}  # type: ignore[attr-defined]  # JSON
    assert entries["model"]["computed"] == {}
    assert entries["model"]["remembered"] == {
        "computedAt": "2026-06-01T12:00:00Z",
        "digests": {"blake3": hex_digits},
    }
    assert "remembered" not in entries["component"]
    words = f"blake3:{hex_digits} (from the identity cache of 2026-06-01T12:00:00Z)"
    assert [line.strip() for line in text_lines(result) if "identity cache" in line] == [words]
    assert f"<code>{words}</code>" in github_summary(result)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda entry: entry.update(computed={"blake3": "b3" * 32}),  # both cannot be
        lambda entry: entry.pop("remembered"),  # one must be
        lambda entry: entry["remembered"].pop("computedAt"),
        lambda entry: entry["remembered"].update(digests={}),
        lambda entry: entry.update(role="bom"),
    ],
)
def test_the_schema_has_no_other_form(spoil: Any, package: Path, tmp_path: Path) -> None:
    policy = policy_of(tmp_path, ALLOWED)
    cache = FakeCache(known=true_digests(package, tmp_path))
    with verified(package, policy, cache) as found:
        document: Any = accepted(found, circumstances(package, forge.NOW, policy)).to_json()
    (model,) = (entry for entry in document["entries"] if entry["role"] == "model")
    spoil(model)
    with pytest.raises(ValidationError):
        require_fits(document)


# --- the command line -------------------------------------------------------------------------


def test_check_warns_where_a_digest_is_demanded_by_name(tmp_path: Path) -> None:
    write_policy(tmp_path, ALLOWED.replace('"*"', '"capital"'))
    assert infwasi("policy", "check", "--strict", "policy.toml", cwd=tmp_path).code == 0
    strict = '[digests]\nrequire = ["sha256"]\n[[rule]]\ncel = \'"blake3" in digests_computed\'\n'
    write_policy(tmp_path, ALLOWED.replace('"*"', '"capital"') + strict + 'message = "no"\n')
    done = infwasi("policy", "check", "policy.toml", cwd=tmp_path)
    says = "policy.toml:8 model.identity-cache lets a digest count that an earlier run computed"
    assert done.said == [
        f"warning: {says}, and policy.toml:12 rule[0].cel is demanded",
        f"warning: {says}, and a digest by SHA-256 is demanded",
    ]


@pytest.fixture(scope="module")
def place(
    state_of_the_session: None, tmp_path_factory: pytest.TempPathFactory, model_path: Path
) -> Iterator[Path]:
    """A signed package of the real model where identities are told, and a policy that allows it."""
    with folder_with_identities() as folder:
        if why := fixed_disk.obstacle_to_fixed_disk(folder.stat().st_dev):
            pytest.skip(f"no identity cache here: {why}")
        make_project(folder, model_path, max_tokens=4)
        assert infwasi("keygen", "release", "--no-passphrase", cwd=folder).code == 0
        assert infwasi(*SIGN, cwd=folder).code == 0
        (folder / "allowed.toml").write_text(ALLOWED)
        time.sleep(2.1)  # what is newer is not remembered
        yield folder


@pytest.mark.model
def test_the_second_run_does_not_hash_the_model(place: Path) -> None:
    env = {"INFWASI_CACHE_DIR": str(place / "cache")}
    known = "; its digest is from the identity cache; "

    def run(*more: str) -> Done:
        words = ("verify-and-run", "dist/capital-1.0.0", *more, "--threads", "1", "--json", "Hi")
        done = infwasi(*words, cwd=place, env=env)
        assert done.code == 0, done.errors
        require_fits(done.documents[0])
        return done

    def is_remembered(done: Done) -> bool:
        (model,) = (e for e in done.documents[0]["entries"] if e["role"] == "model")
        assert ("remembered" in model) is any(
            line.startswith("model held by read-lease") and known in line for line in done.said
        )
        return "remembered" in model

    policy = ("--policy", "allowed.toml")
    runs = [run(*policy), run(*policy), run(*policy, "--paranoid"), run(*KEY), run(*policy)]
    assert [is_remembered(one) for one in runs] == [False, True, False, False, True]
    pieces = [[d["text"] for d in one.documents if d["type"] == "piece"] for one in runs]
    assert pieces == [pieces[0]] * 5
    # In place, with its time set back: what is said is that it is not what was signed.
    model = place / "dist/capital-1.0.0/model.gguf"
    status = model.stat()
    with model.open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    os.utime(model, ns=(status.st_atime_ns, status.st_mtime_ns))
    done = infwasi("verify-and-run", "dist/capital-1.0.0", *policy, "Hi", cwd=place, env=env)
    assert done.code == 1
    assert "refused: digest: the model differs from what was signed" in done.errors
