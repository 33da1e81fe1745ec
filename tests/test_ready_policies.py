"""Each line of each ready policy: a package that passes without it, and what it does with it."""

import tomllib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infwasi_sign.adapters.policy_source import LoadedPolicy, load_policy
from infwasi_sign.cli.remembering import open_memory
from infwasi_sign.domain.confinement import Layer
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.policy import NamedPackage, RunLimit, decide, require
from infwasi_sign.domain.policy_file import parse_policy
from infwasi_sign.domain.policy_warnings import warnings
from infwasi_sign.domain.rules import Facts, FactValue, Outcome
from infwasi_sign.domain.settings import GuestLimits
from infwasi_sign.domain.toml_text import read_toml
from infwasi_sign.errors import RefusalKind, RefusedError, UndecidedError
from infwasi_sign.run import EffectiveLimit, RunRequest, plan
from tests import forge
from tests.conftest import ROOT
from tests.gguf_forge import PAIRS, text_pair, tiny_gguf
from tests.policy_support import BLAKE3, LICENSED, facts_of, load, verify_under, write_policy

NAMES = ("developer", "release-pipeline", "air-gapped", "regulated")
ZEROS = "0" * 64
OTHER = "b" * 64

TABLES = ("deny[", "rule[")  # whole tables are one rule

# Lines that say something about others and decide nothing alone.
WORDS = {"version", "description", "signer[0].name"}


def shipped(name: str) -> str:
    return (ROOT / "policies" / f"{name}.toml").read_text()


def lines(name: str) -> list[str]:
    """Every line of a policy that says something, as the path of its key."""
    found: list[str] = []
    for section, value in tomllib.loads(shipped(name)).items():
        match value:
            case list():
                for index, table in enumerate(value):
                    found += [f"{section}[{index}].{key}" for key in table]
            case dict():
                found += [f"{section}.{key}" for key in value]
            case _:
                found.append(section)
    return found


LINES = [(name, key) for name in NAMES for key in lines(name)]


def those(wanted: Callable[[str], bool]) -> list[tuple[str, str]]:
    return [(name, key) for name, key in LINES if wanted(key)]


def value_of(name: str, key: str) -> Any:
    value: Any = tomllib.loads(shipped(name))
    for part in key.replace("[", ".").replace("]", "").split("."):
        value = value[int(part)] if part.isdigit() else value[part]
    return value


def without(text: str, key: str) -> str:
    """The text without the lines of one key; of a denial or a rule, without all of it."""
    toml = read_toml(text.encode(), where="policy")
    place = toml.places[key]
    first, last = place.line, toml.text.count("\n", 0, place.end) + 1
    if key.startswith(TABLES):
        table = key.split(".", maxsplit=1)[0]
        inside = [at for path, at in toml.places.items() if path.startswith(f"{table}.")]
        first = toml.places[table].line
        last = max(toml.text.count("\n", 0, at.end) + 1 for at in inside)
    kept = text.split("\n")
    return "\n".join(kept[: first - 1] + kept[last:])


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return forge.make_package(tmp_path_factory.mktemp("ready"), model=LICENSED)


@pytest.fixture(scope="module")
def facts(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Facts:
    """The real facts of a package, on a machine that can hold it by a lease."""
    loaded = load(tmp_path_factory.mktemp("facts"), shipped("developer"))
    held: Facts = {"load.level": "read-lease", "confinement.layers": ("no-dumps", "no-new-privs")}
    return {**facts_of(loaded, package), **held}


def filled(name: str, facts: Facts) -> str:
    """A ready policy with the digests of the package where it has zeros."""
    text = shipped(name)
    for key, fact in (
        ("host.libraries", "host.libraries"),
        ("model.chat-templates", "model.chat-templates"),
        ("model.digests", "model.digests"),
        ("component.digests", "component.digests"),
    ):
        place = read_toml(text.encode(), where=name).places.get(key)
        if place is not None:
            digests = facts[fact]
            assert isinstance(digests, tuple)
            algorithm = text[place.start :][2:8]
            real = ", ".join(f'"{one}"' for one in digests if one.startswith(algorithm))
            text = f"{text[: place.start]}[{real}]{text[place.end :]}"
    assert ZEROS not in text
    return text


def outcomes(loaded: LoadedPolicy, facts: Facts) -> tuple[Outcome, ...]:
    return decide(loaded.policy(NamedPackage(name="capital"), BLAKE3), facts)


def test_there_is_no_policy_without_tests() -> None:
    assert {path.stem for path in (ROOT / "policies").glob("*.toml")} == set(NAMES)
    tested = {
        *those(lambda key: key in RULES),
        *those(lambda key: key.startswith("run.")),
        *those(lambda key: key.startswith("deny[")),
        *those(lambda key: key.endswith((".cel", ".message")) and key.startswith("rule[")),
        *those(lambda key: key in {"digests.require", "package[0].name", "signer[0].keys"}),
        *those(lambda key: key == "state.require"),
        *those(lambda key: key in WORDS),
    }
    assert sorted(tested) == sorted(LINES)
    assert len(LINES) > 90


@pytest.mark.parametrize("name", NAMES)
def test_every_line_has_its_comment(name: str) -> None:
    text = shipped(name).split("\n")
    toml = read_toml(shipped(name).encode(), where=name)
    for key in lines(name):
        at = toml.places[key].line - 1
        around = "\n".join(text[at - 1 : at + 3])
        assert " # " in text[at] or "# " in around, f"{name}.toml:{at + 1}"


# --- whole policies --------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_accepts_the_package_for_which_it_was_filled_in(
    name: str, package: Path, facts: Facts, tmp_path: Path
) -> None:
    loaded = load(tmp_path, filled(name, facts), name=name)
    verify_under(loaded, package).close()
    assert [one.rule.name for one in outcomes(loaded, facts) if one.is_met is not True] == []


@pytest.mark.parametrize("name", ["air-gapped", "regulated"])
def test_refuses_everything_before_it_is_filled_in(
    name: str, package: Path, tmp_path: Path
) -> None:
    loaded = load(tmp_path, shipped(name), name=name)
    with pytest.raises(RefusedError) as caught:
        verify_under(loaded, package)
    place = read_toml(loaded.data, where=name).places["component.digests"]
    assert caught.value.where == f"{name}.toml:{place.line} component.digests"
    assert caught.value.expected == f"one of sha256:{ZEROS}"


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("developer", ["permits everything"]),
        ("release-pipeline", []),
        ("air-gapped", ["is to be filled in"] * 3),
        ("regulated", ["is to be filled in"] * 4),
    ],
)
def test_check_warns_of_what_is_left_to_fill_in(name: str, what: list[str]) -> None:
    found = warnings(parse_policy(shipped(name).encode(), where=name).rules, forge.NOW)
    assert [line.split(" ", 2)[2] for line in found] == what


# --- one rule each ---------------------------------------------------------------------------


def above(name: str, key: str) -> int:
    return int(value_of(name, key)) + 1


# For each rule the fact that it is about, a value that this rule alone refuses, and the kind.
Worse = Callable[[str, str], FactValue]
RULES: dict[str, tuple[str, Worse, RefusalKind]] = {
    "package[0].minimum-version": (
        "package.version",
        lambda name, _: "0.9.9" if name == "regulated" else "1.0.0-rc.1",
        RefusalKind.POLICY,
    ),
    "package[0].minimum-sequence": (
        "package.sequence",
        lambda name, key: int(value_of(name, key)) - 1,
        RefusalKind.POLICY,
    ),
    "package[0].maximum-age-days": ("package.age-days", above, RefusalKind.EXPIRED),
    "package[0].expires": ("package.expires", lambda *_: "never", RefusalKind.POLICY),
    "component.imports": (
        "component.imports",
        lambda *_: ("infwasi:llm/types@0.1.0", "wasi:filesystem/types@0.2.0"),
        RefusalKind.POLICY,
    ),
    "component.max-bytes": ("component.size", above, RefusalKind.POLICY),
    "component.digests": (
        "component.digests",
        lambda *_: (f"sha256:{OTHER}", f"blake3:{OTHER}"),
        RefusalKind.POLICY,
    ),
    "model.architectures": ("model.architectures", lambda *_: ("gemma3",), RefusalKind.POLICY),
    "model.licenses": ("model.licenses", lambda *_: ("unknown",), RefusalKind.POLICY),
    "model.quantizations": (
        "model.quantizations",
        lambda *_: ("F32", "IQ1_S"),
        RefusalKind.POLICY,
    ),
    "model.digests": (
        "model.digests",
        lambda *_: (f"sha256:{OTHER}", f"blake3:{OTHER}"),
        RefusalKind.POLICY,
    ),
    "model.chat-templates": ("model.chat-templates", lambda *_: (), RefusalKind.POLICY),
    "model.max-bytes": ("model.size", above, RefusalKind.POLICY),
    "model.max-parameters": ("model.parameters", above, RefusalKind.POLICY),
    "bom.require": (
        "bom.properties",
        lambda name, key: tuple(value_of(name, key)[1:]),
        RefusalKind.POLICY,
    ),
    "host.libraries": ("host.libraries", lambda *_: (f"sha256:{OTHER}",), RefusalKind.POLICY),
    "load.minimum-level": ("load.level", lambda *_: "private-copy", RefusalKind.LEVEL),
    "confinement.require": (
        "confinement.layers",
        lambda *_: ("no-new-privs", "seccomp"),
        RefusalKind.LEVEL,
    ),
}


def assert_only_this_line_decides(
    name: str, key: str, kind: RefusalKind, *, folder: Path, text: str, facts: Facts
) -> RefusedError:
    """With the line exactly its rule says no, at its file and line; without it nothing does."""
    loaded = load(folder / "with", text, name=name)
    line = read_toml(loaded.data, where=name).places[key].line
    refusing = [one.rule for one in outcomes(loaded, facts) if one.is_met is False]
    assert [(rule.name, rule.place, rule.kind) for rule in refusing] == [
        (key, f"{name}.toml:{line}", kind)
    ]
    with pytest.raises(RefusedError) as caught:
        require(outcomes(loaded, facts))
    assert caught.value.kind is kind
    assert caught.value.where == f"{name}.toml:{line} {key}"
    loose = load(folder / "without", without(text, key), name=name)
    require(outcomes(loose, facts))
    assert [one for one in outcomes(loose, facts) if one.is_met is False] == []
    return caught.value


@pytest.mark.parametrize(("name", "key"), those(lambda key: key in RULES))
def test_only_this_line_refuses(name: str, key: str, facts: Facts, tmp_path: Path) -> None:
    fact, worse, kind = RULES[key]
    changed = {**facts, fact: worse(name, key)}
    error = assert_only_this_line_decides(
        name, key, kind, folder=tmp_path, text=filled(name, facts), facts=changed
    )
    assert error.what == f"the policy refuses {fact}"


@pytest.mark.parametrize(
    ("name", "key"),
    those(lambda key: key.startswith("deny[") and not key.endswith((".reason", ".date"))),
)
def test_only_this_denial_refuses(name: str, key: str, facts: Facts, tmp_path: Path) -> None:
    table = value_of(name, key.split(".", maxsplit=1)[0])
    text = filled(name, facts)
    rule = next(one for one in parse_policy(text.encode(), where=name).rules if one.name == key)
    if rule.fact == "host.libraries":
        text = without(text, "host.libraries")  # the pin would refuse an unknown library as well
    for number, denied in enumerate(value_of(name, key)):
        seen = facts[rule.fact]
        worse: FactValue = (*seen, denied) if isinstance(seen, tuple) else denied
        changed = {**facts, rule.fact: worse}
        folder = tmp_path / str(number)
        error = assert_only_this_line_decides(
            name, key, RefusalKind.REVOKED, folder=folder, text=text, facts=changed
        )
        assert error.what == (
            f"the policy refuses {rule.fact}: {table['reason']} ({table['date'].isoformat()})"
        )


# For each expression facts that it alone refuses.
WORSE: dict[tuple[str, str], dict[str, FactValue]] = {
    ("release-pipeline", "rule[0].cel"): {"model.chat-templates": ()},
    ("release-pipeline", "rule[1].cel"): {
        "model.parameters": 1_000_000_000,
        "model.quantizations": ("F16", "F32"),
    },
    ("regulated", "rule[0].cel"): {"package.version": "1.1.0-rc.1"},
}


@pytest.mark.parametrize(("name", "key"), those(lambda key: key.endswith(".cel")))
def test_only_this_expression_refuses(name: str, key: str, facts: Facts, tmp_path: Path) -> None:
    changed = {**facts, **WORSE[name, key]}
    message = value_of(name, key.replace(".cel", ".message"))
    error = assert_only_this_line_decides(
        name, key, RefusalKind.POLICY, folder=tmp_path, text=filled(name, facts), facts=changed
    )
    about = ", ".join(sorted(WORSE[name, key]))
    assert error.what == f"the policy refuses {about}: {message}"
    assert error.expected == " ".join(value_of(name, key).split())


@pytest.mark.parametrize(("name", "key"), those(lambda key: key == "state.require"))
def test_only_this_line_demands_a_memory(
    name: str, key: str, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("INFWASI_STATE_DIR", str(tmp_path / "file" / "state"))
    text = shipped(name)
    line = read_toml(text.encode(), where=name).places[key].line
    strict = load(tmp_path / "with", text, name=name)
    demanded_at = strict.file.memory_demanded_at
    assert demanded_at == f"{name}.toml:{line} state.require"
    assert load(tmp_path / "without", without(text, key)).file.memory_demanded_at is None
    with verify_under(strict, package, ruleless=True) as verified:
        with pytest.raises(UndecidedError) as caught:
            open_memory("a" * 64, required=False, demanded_at=demanded_at).accept(
                verified, forge.NOW
            )
        note = open_memory("a" * 64, required=False).accept(verified, forge.NOW)
    assert caught.value.sentence().startswith(
        f"the policy demands that what was accepted is remembered in {demanded_at} "
        "(got no state can be kept: not a directory in "
    )
    assert note is not None


@pytest.mark.parametrize("name", NAMES)
def test_only_the_pattern_decides_which_package(
    name: str, package: Path, facts: Facts, tmp_path: Path
) -> None:
    text, pattern = filled(name, facts), value_of(name, "package[0].name")
    other = "*" if pattern == "capital" else "capital"
    line = f'name = "{pattern}"'
    strict, open_to_all = (text, text.replace(line, f'name = "{other}"', 1))
    if other == "capital":
        strict, open_to_all = open_to_all, strict
    weather = {**facts, "package.name": "weather"}
    loaded = load(tmp_path / "strict", strict, name=name)
    with pytest.raises(RefusedError) as caught:
        require(outcomes(loaded, weather))
    place = read_toml(loaded.data, where=name).places["package[0].name"]
    assert caught.value.kind is RefusalKind.POLICY
    assert caught.value.where == f"{name}.toml:{place.line} package.name"
    require(outcomes(load(tmp_path / "open", open_to_all, name=name), weather))


# --- signers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_only_the_key_decides_who_may_sign(
    name: str, package: Path, facts: Facts, tmp_path: Path
) -> None:
    text = filled(name, facts)
    theirs = load_with_key_of(forge.STRANGER, tmp_path / "theirs", text)
    with pytest.raises(RefusedError) as caught:
        verify_under(theirs, package)
    assert caught.value.kind is RefusalKind.SIGNER
    verify_under(load_with_key_of(forge.TRUSTED, tmp_path / "ours", text), package).close()


def load_with_key_of(signer: forge.VectorSigner, folder: Path, text: str) -> LoadedPolicy:
    return load_policy(write_policy(folder, text, signer=signer))


@pytest.mark.parametrize("name", ["air-gapped", "regulated"])
def test_only_the_end_of_the_key_decides_when_it_is_over(
    name: str, facts: Facts, tmp_path: Path
) -> None:
    text, end = filled(name, facts), ", not-after = 2030-01-01T00:00:00Z"
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    last = {**facts, "now": int(moment.timestamp())}
    late = {**facts, "now": int(moment.timestamp()) + 1}
    loaded = load(tmp_path / "with", text, name=name)
    require(outcomes(loaded, last))
    with pytest.raises(RefusedError) as caught:
        require(outcomes(loaded, late))
    line = text[: text.index(end)].count("\n") + 1
    assert caught.value.kind is RefusalKind.EXPIRED
    assert caught.value.where == f"{name}.toml:{line} not-after"
    assert text.count(end) == 1
    require(outcomes(load(tmp_path / "without", text.replace(end, ""), name=name), late))


@pytest.mark.parametrize("name", NAMES)
def test_without_a_signer_nobody_is_trusted(name: str, tmp_path: Path) -> None:
    before, _, after = shipped(name).partition("[[signer]]")
    with pytest.raises(UndecidedError, match=r"^nobody is trusted in policy\.toml signer"):
        load(tmp_path, before + "[[package]]" + after.partition("[[package]]")[2])


@pytest.mark.parametrize("name", NAMES)
def test_without_a_version_it_is_no_policy(name: str, tmp_path: Path) -> None:
    with pytest.raises(UndecidedError, match=r"^unknown version in policy\.toml version"):
        load(tmp_path, without(shipped(name), "version"))


# --- what is narrowed ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def greedy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package that asks for all that the host grants."""
    settings = replace(
        forge.SETTINGS,
        max_tokens=LIMITS.max_tokens,
        context_tokens=LIMITS.context_tokens,
        limits=GuestLimits(
            memory_bytes=LIMITS.package_memory_bytes,
            prompt_bytes=LIMITS.prompt_bytes,
            output_bytes=LIMITS.output_bytes,
            wall_clock_seconds=LIMITS.wall_clock_seconds,
        ),
    )
    return forge.make_package(tmp_path_factory.mktemp("greedy"), settings=settings, model=LICENSED)


def planned(loaded: LoadedPolicy, package: Path) -> dict[str, EffectiveLimit]:
    with verify_under(loaded, package, ruleless=True) as verified:
        decided = plan(verified, RunRequest(prompt=None))
    return {str(name): getattr(decided, name.replace("-", "_")) for name in RunLimit}


@pytest.mark.parametrize(("name", "key"), those(lambda key: key.startswith("run.")))
def test_only_this_limit_narrows(name: str, key: str, greedy: Path, tmp_path: Path) -> None:
    text, limit = shipped(name), key.removeprefix("run.")
    narrow = planned(load(tmp_path / "with", text, name=name), greedy)
    wide = planned(load(tmp_path / "without", without(text, key), name=name), greedy)
    assert str(narrow[limit]) == f"{limit} {value_of(name, key)} (set by the policy)"
    assert wide[limit].value > narrow[limit].value
    assert wide[limit].whose != "policy"
    assert {one: narrow[one] for one in narrow if one != limit} == {
        one: wide[one] for one in wide if one != limit
    }


@pytest.mark.parametrize(("name", "key"), those(lambda key: key == "digests.require"))
def test_only_this_line_demands_the_second_digest(
    name: str, key: str, package: Path, facts: Facts, tmp_path: Path
) -> None:
    text = filled(name, facts)
    if name == "regulated":  # a pin and a denial by SHA-256 demand it as well
        text = without(without(text, "deny[4].model"), "model.digests")
    with verify_under(load(tmp_path / "with", text), package) as verified:
        assert verified.facts["digests.computed"] == ("blake3", "sha256")
    with verify_under(load(tmp_path / "without", without(text, key)), package) as verified:
        assert verified.facts["digests.computed"] == ("blake3",)


def test_a_level_that_no_machine_reaches_refuses_the_run_and_not_the_verification(
    package: Path, facts: Facts, tmp_path: Path
) -> None:
    text = filled("regulated", facts).replace('"read-lease"', '"fs-verity"')
    loaded = load(tmp_path, text)
    verify_under(loaded, package).close()
    with pytest.raises(RefusedError) as caught:
        verify_under(loaded, package, hold=True)
    line = read_toml(loaded.data, where="").places["load.minimum-level"].line
    assert caught.value.kind is RefusalKind.LEVEL
    assert caught.value.where == f"policy.toml:{line} load.minimum-level"
    assert caught.value.expected == "one of fs-verity"


def test_a_package_that_is_not_held_is_not_run_where_a_level_is_demanded(
    package: Path, facts: Facts, tmp_path: Path
) -> None:
    loaded = load(tmp_path, filled("air-gapped", facts))
    with verify_under(loaded, package) as verified, pytest.raises(RefusedError) as caught:
        plan(verified, RunRequest(prompt=None))
    assert caught.value.kind is RefusalKind.LEVEL
    assert caught.value.got == "none"
    with verify_under(loaded, package, hold=True) as verified:
        plan(verified, RunRequest(prompt=None, layers=(Layer.NO_DUMPS,)))


def test_a_process_that_is_not_confined_runs_nothing_where_a_layer_is_demanded(
    package: Path, facts: Facts, tmp_path: Path
) -> None:
    loaded = load(tmp_path, filled("air-gapped", facts))
    line = read_toml(loaded.data, where="").places["confinement.require"].line
    with (
        verify_under(loaded, package, hold=True) as verified,
        pytest.raises(RefusedError) as caught,
    ):
        plan(verified, RunRequest(prompt=None, layers=(Layer.NO_NEW_PRIVS,)))
    assert caught.value.kind is RefusalKind.LEVEL
    assert caught.value.sentence() == (
        f"the policy refuses confinement.layers in policy.toml:{line} confinement.require "
        "(expected all of no-dumps, got without no-dumps)"
    )


# --- real packages ---------------------------------------------------------------------------


def llama_licensed(licence: str) -> bytes:
    return tiny_gguf(pairs=(*PAIRS, text_pair("general.license", licence)))


GATE: list[tuple[dict[str, Any], str, RefusalKind]] = [
    ({"version": "0.9.9"}, "package[0].minimum-version", RefusalKind.POLICY),
    ({"version": "1.0.1"}, "deny[0].package", RefusalKind.REVOKED),
    ({"valid_for": None}, "package[0].expires", RefusalKind.POLICY),
    (
        {"issued_at": forge.NOW - timedelta(days=8)},
        "package[0].maximum-age-days",
        RefusalKind.EXPIRED,
    ),
    ({"model": llama_licensed("llama3")}, "model.licenses", RefusalKind.POLICY),
]


@pytest.mark.parametrize(("fresh", "key", "kind"), GATE, ids=[key for _, key, _ in GATE])
def test_the_gate_refuses_real_packages_too(
    fresh: dict[str, Any], key: str, kind: RefusalKind, tmp_path: Path
) -> None:
    package = forge.make_package(tmp_path / "package", **{"model": LICENSED, **fresh})
    name = "release-pipeline"
    loaded = load(tmp_path / "with", shipped(name), name=name)
    with pytest.raises(RefusedError) as caught:
        verify_under(loaded, package)
    line = read_toml(loaded.data, where=name).places[key].line
    assert (caught.value.kind, caught.value.where) == (kind, f"{name}.toml:{line} {key}")
    loose = load(tmp_path / "without", without(shipped(name), key), name=name)
    verify_under(loose, package).close()
