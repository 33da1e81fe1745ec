"""What caller and policy demand of the level, and whose demand a refusal names."""

from pathlib import Path

import pytest

from infwasi_sign import verify as verification
from infwasi_sign.adapters import guarded_file, holding
from infwasi_sign.adapters.keys import KeyVerifier, TrustedKey, parse_public_key
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.package_directory import DirectoryStore
from infwasi_sign.domain import level_demand
from infwasi_sign.domain.level_demand import is_enough
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.domain.policy import NamedPackage, Policy
from infwasi_sign.errors import RefusalKind, RefusedError
from infwasi_sign.verify import VerifyRequest, verify
from tests import forge
from tests.command_line import infwasi, make_timeless
from tests.policy_support import BLAKE3, MINIMAL, load, write_policy

MINIMUM = '[load]\nminimum-level = "{}"\n'
EXPRESSION = '[[rule]]\ncel = \'{}\'\nmessage = "no"\nkind = "level"\n'
KEY = ("--key", "trusted.pub")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("level")
    make_timeless(folder)
    return folder


def policy_of(folder: Path, rules: str) -> Policy:
    return load(folder, MINIMAL + rules).policy(NamedPackage(name="capital"), BLAKE3)


# --- what is enough --------------------------------------------------------------------------


def test_of_two_levels_the_one_that_shuts_out_more_is_better() -> None:
    assert [level.label for level in LoadLevel] == [
        *("none", "foreign-owner", "private-copy", "sealed-memfd", "read-lease", "fs-verity")
    ]


@pytest.mark.parametrize(
    ("rules", "enough"),
    [
        ("", True),
        (MINIMUM.format("foreign-owner"), True),
        (MINIMUM.format("sealed-memfd"), False),
        (EXPRESSION.format('load_level == "sealed-memfd"'), False),
        (EXPRESSION.format('load_level == "foreign-owner"'), True),
        # about what is not known before it is measured: the copy, to be sure
        (EXPRESSION.format('model_parameters < 1 || load_level == "foreign-owner"'), False),
        (EXPRESSION.format("model_parameters < 1"), True),
    ],
)
def test_a_policy_of_any_form_gets_the_copy_that_it_demands(
    rules: str, enough: bool, tmp_path: Path
) -> None:
    policy = policy_of(tmp_path, rules)
    found = is_enough(
        LoadLevel.FOREIGN_OWNER, caller=LoadLevel.NONE, policy=policy, claims={"package.name": "x"}
    )
    assert found is enough


@pytest.mark.parametrize("caller", LoadLevel)
def test_a_caller_gets_the_copy_that_they_demand(caller: LoadLevel, tmp_path: Path) -> None:
    policy = policy_of(tmp_path, "")
    found = is_enough(LoadLevel.FOREIGN_OWNER, caller=caller, policy=policy, claims={})
    assert found is (caller <= LoadLevel.FOREIGN_OWNER)


# --- a verification --------------------------------------------------------------------------


def held(package: Path, policy: Policy, demanded: LoadLevel = LoadLevel.NONE) -> LoadLevel:
    key = parse_public_key(forge.TRUSTED.public_key(), where="key")
    request = VerifyRequest(
        location=package, policy=policy, now=forge.NOW, hold=True, demanded=demanded
    )
    with verify(
        request,
        store=DirectoryStore(),
        signatures=KeyVerifier([TrustedKey(name="trusted", public_key=key)]),
        measure_bytes=measure_bytes,
    ) as verified:
        return verified.level


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is held to be root's, and we are not."""
    monkeypatch.setattr(holding, "LEASE_FILE_SYSTEMS", {})
    monkeypatch.setattr(guarded_file, "obstacle_to_foreign_owner", lambda _: None)


@pytest.mark.usefixtures("foreign")
@pytest.mark.parametrize(
    ("rules", "demanded", "level"),
    [
        ("", LoadLevel.NONE, LoadLevel.FOREIGN_OWNER),
        ("", LoadLevel.FOREIGN_OWNER, LoadLevel.FOREIGN_OWNER),
        ("", LoadLevel.SEALED_MEMFD, LoadLevel.SEALED_MEMFD),
        (MINIMUM.format("sealed-memfd"), LoadLevel.NONE, LoadLevel.SEALED_MEMFD),
        (MINIMUM.format("sealed-memfd"), LoadLevel.FOREIGN_OWNER, LoadLevel.SEALED_MEMFD),
        (MINIMUM.format("foreign-owner"), LoadLevel.SEALED_MEMFD, LoadLevel.SEALED_MEMFD),
    ],
)
def test_the_higher_demand_decides_whether_a_copy_is_made(
    rules: str, demanded: LoadLevel, level: LoadLevel, place: Path, tmp_path: Path
) -> None:
    policy = policy_of(tmp_path, rules)
    assert held(place / "capital-1.0.0", policy, demanded) is level


CALLERS = "the model is not held as surely as the caller demands in --require-level (expected {}, "
POLICYS = "the policy refuses load.level in policy.toml:8 load.minimum-level (expected one of {}"


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model lies where a lease means nothing."""
    monkeypatch.setattr(holding, "LEASE_FILE_SYSTEMS", {})


@pytest.mark.usefixtures("copied")
@pytest.mark.parametrize(
    ("minimum", "demanded", "message"),
    [
        ("none", LoadLevel.READ_LEASE, CALLERS.format("read-lease or fs-verity")),
        ("read-lease", LoadLevel.FS_VERITY, CALLERS.format("fs-verity")),
        ("fs-verity", LoadLevel.READ_LEASE, POLICYS.format("fs-verity")),
        ("read-lease", LoadLevel.SEALED_MEMFD, POLICYS.format("read-lease, fs-verity")),
    ],
)
def test_a_refusal_names_the_higher_demand(
    minimum: str,
    demanded: LoadLevel,
    message: str,
    place: Path,
    tmp_path: Path,
) -> None:
    with pytest.raises(RefusedError) as refusal:
        held(place / "capital-1.0.0", policy_of(tmp_path, MINIMUM.format(minimum)), demanded)
    assert refusal.value.kind is RefusalKind.LEVEL
    assert str(refusal.value).startswith(message)
    assert "got sealed-memfd" in str(refusal.value)


def test_what_the_policy_refuses_of_the_claims_is_said_before_a_level(
    place: Path, tmp_path: Path
) -> None:
    policy = policy_of(tmp_path, "[model]\nmax-bytes = 1\n")
    with pytest.raises(RefusedError, match=r"model\.max-bytes"):
        held(place / "capital-1.0.0", policy, LoadLevel.FS_VERITY)


def is_reached(*_: object) -> int:
    raise AssertionError("the work was done, and the level was known before")


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be copied or hashed."""
    monkeypatch.setattr(guarded_file, "sealed_copy", is_reached)
    monkeypatch.setattr(guarded_file.LocalFile, "measure", is_reached)


@pytest.mark.usefixtures("copied", "idle")
@pytest.mark.parametrize(
    ("rules", "demanded", "message"),
    [
        ("", LoadLevel.READ_LEASE, "in --require-level"),
        (MINIMUM.format("read-lease"), LoadLevel.NONE, r"load\.minimum-level"),
        (EXPRESSION.format('load_level == "fs-verity"'), LoadLevel.NONE, "rule"),
    ],
)
def test_a_level_out_of_reach_is_refused_before_anything_is_copied_or_hashed(
    rules: str,
    demanded: LoadLevel,
    message: str,
    place: Path,
    tmp_path: Path,
) -> None:
    with pytest.raises(RefusedError, match=message) as refusal:
        held(place / "capital-1.0.0", policy_of(tmp_path, rules), demanded)
    assert refusal.value.kind is RefusalKind.LEVEL
    assert "sealed-memfd" in str(refusal.value)


@pytest.mark.usefixtures("copied")
def test_a_level_that_depends_on_what_is_measured_is_decided_after_it(
    place: Path, tmp_path: Path
) -> None:
    rule = EXPRESSION.format('model_parameters > 1 && load_level == "read-lease"')
    with pytest.raises(RefusedError, match=r"load\.level sealed-memfd"):
        held(place / "capital-1.0.0", policy_of(tmp_path, rule))


@pytest.mark.usefixtures("copied")
def test_control_without_the_early_question_it_is_copied_and_hashed_first(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(level_demand, "require_possible", ruled)
    monkeypatch.setattr(guarded_file, "sealed_copy", is_reached)
    with pytest.raises(AssertionError, match="the work was done"):
        held(place / "capital-1.0.0", policy_of(tmp_path, ""), LoadLevel.READ_LEASE)


def ruled(*_: object, **__: object) -> None:
    """Neither rules nor levels are held to."""


@pytest.mark.usefixtures("copied")
def test_control_without_the_check_no_level_is_refused(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "require_rules_and_level", ruled)
    monkeypatch.setattr(level_demand, "require_rules_and_level", ruled)
    policy = policy_of(tmp_path, MINIMUM.format("read-lease"))
    assert held(place / "capital-1.0.0", policy, LoadLevel.FS_VERITY) is LoadLevel.SEALED_MEMFD


@pytest.mark.usefixtures("copied")
def test_control_without_the_comparison_the_lower_demand_is_named(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(level_demand, "_demands_no_more", lambda *_: False)
    policy = policy_of(tmp_path, MINIMUM.format("read-lease"))
    with pytest.raises(RefusedError, match=r"load\.minimum-level"):
        held(place / "capital-1.0.0", policy, LoadLevel.FS_VERITY)


@pytest.mark.usefixtures("foreign")
def test_control_without_asking_no_copy_is_made_and_the_policy_refuses(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(level_demand, "is_enough", lambda *_, **__: True)
    policy = policy_of(tmp_path, MINIMUM.format("sealed-memfd"))
    with pytest.raises(RefusedError, match="got foreign-owner"):
        held(place / "capital-1.0.0", policy)


# --- the command line ------------------------------------------------------------------------


def test_a_level_that_is_not_reached_is_refused_with_the_one_that_is(place: Path) -> None:
    words = ("verify-and-run", "capital-1.0.0", *KEY, "--require-level", "fs-verity", "Hi?")
    done = infwasi(*words, cwd=place)
    assert (done.code, done.out) == (1, "")
    assert done.said[0].startswith(
        "refused: level: the model is not held as surely as the caller demands in --require-level "
        "(expected fs-verity, got "
    )
    assert "fs-verity" in done.said[0].split(", got ")[1]


def test_a_level_that_is_reached_is_no_obstacle(place: Path) -> None:
    words = ("verify-and-run", "capital-1.0.0", *KEY, "--require-level", "sealed-memfd", "Hi?")
    done = infwasi(*words, "--json", cwd=place)
    verdict, failure = done.documents
    assert verdict["level"] in {"sealed-memfd", "read-lease"}
    # The package's model is too small to be one for llama.cpp; that is after all of this.
    assert failure["what"] == "llama.cpp cannot load the model"


def test_a_flag_never_lowers_what_the_policy_demands(place: Path, tmp_path: Path) -> None:
    path = write_policy(tmp_path, MINIMAL + MINIMUM.format("fs-verity"))
    words = ("verify-and-run", "capital-1.0.0", "--policy", path, "--require-level", "none", "Hi?")
    done = infwasi(*words, cwd=place)
    assert done.code == 1
    assert done.said[0].startswith("refused: level: the policy refuses load.level in ")
    assert "policy.toml:8 load.minimum-level (expected one of fs-verity, " in done.said[0]


def test_a_word_that_is_no_level_is_an_error(place: Path) -> None:
    words = ("verify-and-run", "capital-1.0.0", *KEY, "--require-level", "best", "Hi?")
    done = infwasi(*words, cwd=place)
    assert done.code == 2
    assert "'best' is not one of 'none', 'foreign-owner'" in done.errors
