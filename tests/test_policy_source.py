"""Where policies come from, whose files count, and what denials and ends of keys do."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from infwasi_sign.adapters import policy_source
from infwasi_sign.adapters.keys import KeyVerifier, parse_public_key
from infwasi_sign.adapters.policy_source import find_policy, load_policy
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.policy import DirectoryNamed, NamedPackage
from infwasi_sign.domain.rules import Facts
from infwasi_sign.errors import RefusalKind, RefusedError, UndecidedError
from tests import forge
from tests.command_line import infwasi, make_timeless
from tests.key_support import undecided
from tests.policy_support import BLAKE3, MINIMAL, facts_of, load, verify_under, write_policy
from tests.unprivileged import NOBODY, unprivileged_output

SOMEBODY = NOBODY - 1
NOWHERE = "nothing says whom to trust"


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The policy of the system, which is not there yet."""
    path = tmp_path / "etc" / "policy.toml"
    path.parent.mkdir()
    monkeypatch.setattr(policy_source, "SYSTEM_POLICY", path)
    return path


def place(folder: Path) -> Path:
    (folder / "infwasi").mkdir(parents=True)
    path = folder / "infwasi" / "policy.toml"
    path.touch()
    return path


# --- the places ------------------------------------------------------------------------------


def test_the_first_place_that_has_a_policy_counts(tmp_path: Path, system: Path) -> None:
    system.touch()
    home, xdg = tmp_path / "home", tmp_path / "xdg"
    in_home, in_xdg = place(home / ".config"), place(xdg)
    named = {"INFWASI_POLICY": "/site.toml", "XDG_CONFIG_HOME": str(xdg), "HOME": str(home)}
    assert find_policy(Path("mine.toml"), named) == Path("mine.toml")
    assert find_policy(None, named) == Path("/site.toml")
    del named["INFWASI_POLICY"]
    assert find_policy(None, named) == in_xdg
    del named["XDG_CONFIG_HOME"]
    assert find_policy(None, named) == in_home
    del named["HOME"]
    assert find_policy(None, named) == system


def test_the_folder_that_is_named_replaces_the_one_in_the_home(
    tmp_path: Path, system: Path
) -> None:
    system.touch()
    place(tmp_path / ".config")
    (tmp_path / "empty").mkdir()
    variables = {"XDG_CONFIG_HOME": str(tmp_path / "empty"), "HOME": str(tmp_path)}
    assert find_policy(None, variables) == system


@pytest.mark.parametrize("relative", ["", "config", "."])
def test_a_relative_configuration_folder_counts_as_none(
    relative: str, tmp_path: Path, system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_home = place(tmp_path / ".config")
    place(tmp_path / "config")
    place(tmp_path)
    monkeypatch.chdir(tmp_path)
    variables = {"XDG_CONFIG_HOME": relative, "HOME": str(tmp_path)}
    assert find_policy(None, variables) == in_home
    assert not system.exists()


@pytest.mark.parametrize("variables", [{}, {"HOME": ""}, {"HOME": "."}, {"HOME": "/nowhere"}])
def test_nothing_found_is_no_verdict(
    variables: dict[str, str], tmp_path: Path, system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(tmp_path / ".config")
    monkeypatch.chdir(tmp_path)
    error = undecided(lambda: find_policy(None, variables))
    assert str(error) == (
        f"{NOWHERE} (expected --key FILE, --policy FILE or a policy in its usual place)"
    )
    assert error.hint == "`infwasi policy init PACKAGE` writes a policy to start from"
    assert not system.exists()


@pytest.mark.parametrize("named", ["policy.toml", "./policy.toml", "../policy.toml"])
def test_a_variable_never_means_the_current_folder(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_policy(tmp_path, MINIMAL)
    monkeypatch.chdir(tmp_path)
    error = undecided(lambda: find_policy(None, {"INFWASI_POLICY": named}))
    assert str(error) == f"$INFWASI_POLICY is not an absolute path (got {named})"


def test_a_link_to_nothing_is_an_error_and_does_not_fall_through(
    tmp_path: Path, system: Path
) -> None:
    system.touch()
    path = place(tmp_path / ".config")
    path.unlink()
    path.symlink_to("gone.toml")
    found = find_policy(None, {"HOME": str(tmp_path)})
    assert found == path
    assert str(undecided(lambda: load_policy(found))) == (
        f"cannot read {path} (got no such file or directory)"
    )


LOOK = """
from pathlib import Path
from infwasi_sign.adapters.policy_source import find_policy
from infwasi_sign.errors import UndecidedError
folder = Path(sys.argv[1])
try:
    print(list((folder / ".config").iterdir()))
except PermissionError:
    print("denied")
try:
    print(find_policy(None, {"HOME": str(folder)}))
except UndecidedError as error:
    print(error)
"""


def test_a_folder_that_cannot_be_searched_is_an_error_and_does_not_fall_through(
    reachable: Path,
) -> None:
    path = place(reachable / ".config")
    (reachable / ".config").chmod(0o700)
    said = unprivileged_output(
        LOOK, reachable, preload=("pathlib", "infwasi_sign.adapters.policy_source")
    )
    assert said.splitlines() == ["denied", f"cannot look for {path} (got permission denied)"]


# --- what comes with a package ---------------------------------------------------------------


@pytest.fixture
def download(tmp_path: Path) -> Path:
    """An unpacked archive: a stranger's package, and policies that trust them all around it."""
    folder = tmp_path / "download"
    package = make_timeless(folder, signer=forge.STRANGER)
    for friendly in (folder, folder / "infwasi", folder / ".config" / "infwasi", tmp_path):
        write_policy(friendly, MINIMAL, signer=forge.STRANGER)
    for outside in (folder, tmp_path):
        write_policy(outside, MINIMAL, signer=forge.STRANGER, name=".infwasi")
        write_policy(outside, MINIMAL, signer=forge.STRANGER, name="infwasi")
    return package


def test_a_friendly_policy_beside_the_package_gains_nothing(download: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    nobody = {"HOME": str(home), "XDG_CONFIG_HOME": ""}
    for where, package in ((download.parent, "capital-1.0.0"), (download, ".")):
        done = infwasi("verify", package, cwd=where, env=nobody)
        assert (done.code, done.out) == (2, "")
        assert done.said[0].startswith(f"error: {NOWHERE}")
    ours = write_policy(home / ".config" / "infwasi", MINIMAL)
    done = infwasi("verify", "capital-1.0.0", cwd=download.parent, env=nobody)
    assert done.code == 1
    assert done.said[0].startswith("refused: signer: signed by a key that is not trusted")
    # The control: that policy would be friendly, if somebody chose it.
    shutil.copy(download.parent / "release.pub", ours.parent)
    assert infwasi("verify", "capital-1.0.0", cwd=download.parent, env=nobody).code == 0


def test_a_friendly_policy_inside_of_the_package_is_an_extra_file(
    download: Path, tmp_path: Path
) -> None:
    ours = write_policy(tmp_path / "ours", MINIMAL, signer=forge.STRANGER)
    assert infwasi("verify", download, "--policy", ours).code == 0
    (download / "policy.toml").write_text(MINIMAL)
    done = infwasi("verify", download, "--policy", ours)
    assert done.code == 1
    assert done.said[0] == (
        "refused: extra: the package has a file that nobody signed in policy.toml"
    )
    done = infwasi("verify", download, env={"HOME": str(tmp_path / "x"), "XDG_CONFIG_HOME": ""})
    assert done.code == 2


# --- whose files -----------------------------------------------------------------------------

AS_NOBODY = """
from pathlib import Path
from infwasi_sign.adapters.policy_source import load_policy
from infwasi_sign.errors import UndecidedError
folder = Path(sys.argv[1])
try:
    os.close(os.open(folder / sys.argv[2], os.O_WRONLY))
    print("can be written")
except PermissionError:
    print("denied")
try:
    print(len(load_policy(folder / "policy.toml").signers.keys), "keys")
except UndecidedError as error:
    print(error)
"""


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that every user can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
        Path(name).chmod(0o700)


def as_nobody(folder: Path, name: str) -> list[str]:
    """Whether a user who owns nothing can write the file, and what the policy is to them."""
    preload = ("os", "pathlib", "infwasi_sign.adapters.policy_source")
    return unprivileged_output(AS_NOBODY, folder, name, preload=preload).splitlines()


@pytest.mark.parametrize(
    ("name", "what"), [("policy.toml", "policy"), ("release.pub", "public key")]
)
def test_policies_and_keys_count_only_if_nobody_else_can_change_them(
    name: str, what: str, reachable: Path
) -> None:
    write_policy(reachable, MINIMAL)
    path = reachable / name
    for file in reachable.iterdir():
        file.chmod(0o644)
    assert as_nobody(reachable, name) == ["denied", "1 keys"]
    path.chmod(0o646)
    shared = f"{what} can be written by others than its owner in {path} (got mode 0%o)"
    assert as_nobody(reachable, name) == ["can be written", shared % 0o646]
    os.chown(path, -1, NOBODY)
    path.chmod(0o664)
    assert as_nobody(reachable, name) == ["can be written", shared % 0o664]
    path.chmod(0o644)
    os.chown(path, SOMEBODY, NOBODY)
    assert as_nobody(reachable, name) == [
        "denied",
        f"{what} belongs to somebody else in {path} "
        f"(expected user {NOBODY} or root, got user {SOMEBODY})",
    ]
    os.chown(path, NOBODY, NOBODY)
    assert as_nobody(reachable, name) == ["can be written", "1 keys"]  # their own


def test_a_folder_that_others_can_write_holds_no_policy(reachable: Path) -> None:
    write_policy(reachable, MINIMAL)
    for file in reachable.iterdir():
        file.chmod(0o644)
    reachable.chmod(0o777)
    assert as_nobody(reachable, "policy.toml") == [
        "denied",
        f"folder can be written by others than its owner in {reachable} (got mode 0777)",
    ]


# --- loading ---------------------------------------------------------------------------------


def test_a_loaded_policy_says_which_one_it_is(tmp_path: Path) -> None:
    loaded = load(tmp_path, MINIMAL)
    wanted = DirectoryNamed(directory="capital")
    policy = loaded.policy(wanted, frozenset({Algorithm.SHA256}))
    assert (policy.source, policy.digest, policy.package) == (
        str(tmp_path / "policy.toml"),
        loaded.digest,
        wanted,
    )
    assert policy.digests == frozenset(Algorithm)
    assert str(loaded.digest) == f"sha256:{sha256(MINIMAL.encode()).hexdigest()}"


def test_keys_are_read_from_files_beside_the_policy_from_elsewhere_and_from_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "keys" / "a.pub"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(forge.VectorSigner("elsewhere").public_pem())
    text = MINIMAL.replace(
        '[{ file = "release.pub" }]',
        f'[{{ file = "release.pub" }}, {{ file = "{elsewhere}" }},\n  {{ pem = """\n'
        f'{forge.STRANGER.public_pem().decode()}""" }}]',
    )
    monkeypatch.chdir("/")
    loaded = load(tmp_path / "site", text)
    signers = (forge.TRUSTED, forge.VectorSigner("elsewhere"), forge.STRANGER)
    assert [key.public_key for key in loaded.signers.keys] == [
        parse_public_key(signer.public_key(), where="") for signer in signers
    ]
    assert {key.name for key in loaded.signers.keys} == {"release"}


@pytest.mark.parametrize(
    ("instead", "message"),
    [
        ('{ file = "gone.pub" }', "cannot read {folder}/gone.pub (got no such file or directory)"),
        (
            '{ file = "policy.toml" }',
            "not a key file in {folder}/policy.toml "
            "(expected exactly one PEM block and nothing else)",
        ),
        (
            '{ pem = "x" }',
            "not a key file in policy.toml:4 (expected exactly one PEM block and nothing else)",
        ),
    ],
)
def test_a_key_that_cannot_be_read_is_an_error(instead: str, message: str, tmp_path: Path) -> None:
    text = MINIMAL.replace('{ file = "release.pub" }', instead)
    error = undecided(lambda: load(tmp_path, text))
    assert str(error) == message.format(folder=tmp_path)


def test_a_key_of_two_signers_is_trusted_by_no_name(tmp_path: Path) -> None:
    twice = '[[signer]]\nname = "other"\nkeys = [{ file = "release.pub" }]\n'
    loaded = load(tmp_path, MINIMAL + twice)
    assert "is trusted twice" in str(undecided(lambda: KeyVerifier(loaded.signers.keys)))


# --- ends of keys ----------------------------------------------------------------------------

END = datetime(2026, 11, 23, 13, 0, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return forge.make_package(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def facts(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Facts:
    return facts_of(load(tmp_path_factory.mktemp("facts"), MINIMAL), package)


@pytest.mark.parametrize("end", ["2026-11-23T13:00:00Z", "2026-11-23T14:00:00+01:00"])
def test_a_key_is_trusted_up_to_its_end(end: str, package: Path, tmp_path: Path) -> None:
    text = MINIMAL.replace('"release.pub"', f'"release.pub", not-after = {end}')
    loaded = load(tmp_path, text)
    verify_under(loaded, package, now=END).close()
    with pytest.raises(RefusedError) as caught:
        verify_under(loaded, package, now=END + timedelta(seconds=1))
    error = caught.value
    assert (error.kind, error.where) == (RefusalKind.EXPIRED, "policy.toml:4 not-after")
    assert (
        error.what == "the policy refuses now: the time of this key ended at 2026-11-23T13:00:00Z"
    )


def test_the_end_of_another_key_decides_nothing(package: Path, tmp_path: Path) -> None:
    (tmp_path / "old.pub").write_bytes(forge.STRANGER.public_pem())
    text = MINIMAL.replace(
        '{ file = "release.pub" }',
        '{ file = "old.pub", not-after = 2020-01-01T00:00:00Z }, { file = "release.pub" }',
    )
    verify_under(load(tmp_path, text), package).close()


# --- denials ---------------------------------------------------------------------------------

# What a denial can be of, and the fact that has its value for the package at hand.
DENIALS = {
    "key": "signer.keys",
    "statement": "statement.digest",
    "model": "model.digests",
    "component": "component.digests",
    "part": "component.parts",
    "library": "host.libraries",
    "package": "package.release",
}


@pytest.mark.parametrize(("thing", "fact"), DENIALS.items())
def test_a_denial_refuses_by_each_of_its_values_and_says_why(
    thing: str, fact: str, package: Path, facts: Facts, tmp_path: Path
) -> None:
    seen = facts[fact]
    assert not isinstance(seen, int)
    for number, value in enumerate((seen,) if isinstance(seen, str) else seen):
        text = f'{MINIMAL}[[deny]]\n{thing} = ["{value}"]\nreason = "lost"\ndate = 2026-01-02\n'
        with pytest.raises(RefusedError) as caught:
            verify_under(load(tmp_path / str(number), text), package)
        error = caught.value
        assert error.kind is RefusalKind.REVOKED
        assert str(error) == (
            f"the policy refuses {fact}: lost (2026-01-02) in policy.toml:8 deny[0].{thing} "
            f"(expected none of {value}, got {value})"
        )


@pytest.mark.parametrize("thing", ["key", "statement", "model", "component", "part", "package"])
def test_a_denial_comes_before_every_other_refusal_of_the_policy(
    thing: str, package: Path, facts: Facts, tmp_path: Path
) -> None:
    seen = facts[DENIALS[thing]]
    assert not isinstance(seen, int)
    value = seen if isinstance(seen, str) else seen[0]
    others = (
        MINIMAL.replace('name = "*"', 'name = "weather"\nexpires = ["never"]')
        .replace('"release.pub"', '"release.pub", not-after = 2020-01-01T00:00:00Z')
        .__add__("[component]\nmax-bytes = 1\n[model]\nmax-bytes = 1\n")
    )
    long_over = forge.NOW + timedelta(days=9999)
    denial = f'[[deny]]\n{thing} = ["{value}"]\nreason = "lost"\ndate = 2026-01-02\n'
    with pytest.raises(RefusedError) as caught:
        verify_under(load(tmp_path / "a", others), package, name="other", now=long_over)
    assert caught.value.kind is not RefusalKind.REVOKED
    with pytest.raises(RefusedError) as caught:
        verify_under(load(tmp_path / "b", others + denial), package, name="other", now=long_over)
    assert caught.value.kind is RefusalKind.REVOKED


def test_a_denied_library_comes_first_of_what_is_measured(
    package: Path, facts: Facts, tmp_path: Path
) -> None:
    libraries = facts["host.libraries"]
    assert isinstance(libraries, tuple)
    text = (
        f'{MINIMAL}[model]\nmax-parameters = 1\n[host]\nlibraries = ["{libraries[0]}"]\n'
        f'[[deny]]\nlibrary = ["{libraries[-1]}"]\nreason = "bug"\ndate = 2026-01-02\n'
    )
    with pytest.raises(RefusedError) as caught:
        verify_under(load(tmp_path, text), package)
    assert caught.value.kind is RefusalKind.REVOKED


def test_a_pinned_digest_is_computed_and_not_believed(package: Path, tmp_path: Path) -> None:
    """Who signs SHA-256 of the pinned model and BLAKE3 of another does not get through."""
    lying = forge.build_case(
        forge.Case("x", "digest", "", lambda _: None), tmp_path / "case", package
    )
    pinned = "ab" * 32
    bom = lying / "bom.cdx.json"
    true_digest = forge.statement(package)["subject"][2]["digest"]["sha256"]
    bom.write_bytes(forge.replaced_in_bom(bom.read_bytes(), true_digest, pinned))
    forge.restate(lying)
    with forge.lie(lying) as value:
        value["subject"][2]["digest"]["sha256"] = pinned
    verify_under(load(tmp_path / "trusting", MINIMAL), lying).close()
    text = f'{MINIMAL}[model]\ndigests = ["sha256:{pinned}"]\n'
    with pytest.raises(RefusedError) as caught:
        verify_under(load(tmp_path / "pinning", text), lying)
    assert caught.value.kind is RefusalKind.DIGEST


def test_a_policy_that_cannot_be_read_is_no_verdict(tmp_path: Path) -> None:
    with pytest.raises(UndecidedError):
        load_policy(tmp_path / "none.toml")


# --- expressions -----------------------------------------------------------------------------


def cel(text: str) -> str:
    return f"{MINIMAL}[[rule]]\ncel = '{text}'\nmessage = \"x\"\n"


def test_expressions_come_after_the_rules_of_keys_and_before_the_ends_of_signers(
    tmp_path: Path,
) -> None:
    end = '"release.pub", not-after = 2030-01-01T00:00:00Z'
    loaded = load(tmp_path, cel("now > 1").replace('"release.pub"', end))
    assert [rule.name for rule in loaded.rules] == ["package.name", "rule[0].cel", "not-after"]
    assert loaded.policy(NamedPackage(name="x"), BLAKE3).rules == loaded.rules


@pytest.mark.parametrize(
    ("text", "digests"),
    [
        ("size(model_digests) > 0", {"blake3", "sha256"}),
        ("size(bom_properties) > 0", {"blake3"}),
    ],
)
def test_a_digest_of_a_model_that_an_expression_may_name_is_computed(
    text: str, digests: set[str], tmp_path: Path
) -> None:
    policy = load(tmp_path, cel(text)).policy(NamedPackage(name="x"), BLAKE3)
    assert policy.digests == digests


@pytest.mark.parametrize(
    ("text", "is_pinned"), [("size(host_libraries) > 0", True), ("now > 0", False)]
)
def test_an_expression_about_libraries_has_them_measured(
    text: str, is_pinned: bool, tmp_path: Path
) -> None:
    policy = load(tmp_path, cel(text)).policy(NamedPackage(name="x"), BLAKE3)
    assert policy.is_host_pinned is is_pinned


def test_an_expression_that_is_none_is_named_with_file_line_and_column(tmp_path: Path) -> None:
    error = undecided(lambda: load(tmp_path, cel('now > "x"')))
    assert str(error) == (
        "not an expression in policy.toml:8 rule[0].cel at 1:5 "
        "(got found no matching overload for '_>_' applied to '(int, string)')"
    )
