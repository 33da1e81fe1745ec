"""`policy why` explains every refusal that a rule causes, over all cases of the forge."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from infwasi_sign.adapters.policy_source import LoadedPolicy, load_policy
from infwasi_sign.cli import policy_command
from infwasi_sign.domain.rules import Holds, expectation
from infwasi_sign.errors import InfwasiError, RefusedError
from tests import forge
from tests.forge_cases import CASES
from tests.policy_support import MINIMAL, verify_under, write_policy
from tests.test_policy_file import A, B

# Rules that the cases of the forge break: most of them what the statement says, some what the bytes
# say, each by its key. A case that is broken in another way as well is refused by the rule first.
RULES: dict[str, str] = {
    "package[0].minimum-sequence": "minimum-sequence = 9007199254740991",
    "package[0].minimum-version": 'minimum-version = "1.0.1"',
    "component.max-bytes": "[component]\nmax-bytes = 1",
    "component.digests": f'[component]\ndigests = ["{A}"]',
    "model.architectures": '[model]\narchitectures = ["gemma3"]',
    "model.digests": f'[model]\ndigests = ["{B}"]',
    "model.licenses": '[model]\nlicenses = ["mit"]',
    "model.max-parameters": "[model]\nmax-parameters = 1",
    "bom.require": '[bom]\nrequire = ["infwasi:gguf:nothing"]',
    "deny[0].package": '[[deny]]\npackage = ["capital 1.0.0"]\nreason = "r"\ndate = 2026-01-01',
    "rule[0].cel": "[[rule]]\ncel = 'package_sequence < 5'\nmessage = \"too new\"",
    "rule[1].cel": "[[rule]]\ncel = 'now > 0'\nmessage = \"m\"\n"
    '[[rule]]\ncel = \'"mit" in model_licenses && package_age_days >= 0\'\nmessage = "a licence"',
}

# What comes of a key does not depend on the case; these try all cases, the others the honest one.
EVERYWHERE = {
    *("package[0].minimum-sequence", "model.licenses", "deny[0].package"),
    *("rule[0].cel", "rule[1].cel"),
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The package of every case."""
    honest = forge.make_package(tmp_path_factory.mktemp("honest"))
    folder = tmp_path_factory.mktemp("cases")
    return {one.name: forge.build_case(one, folder / one.name, honest) for one in CASES}


def refused_by_a_rule(loaded: LoadedPolicy, package: Path) -> RefusedError | None:
    try:
        verify_under(loaded, package).close()
    except RefusedError as error:
        return error if (error.where or "").startswith(f"{loaded.path.name}:") else None
    except InfwasiError:
        return None
    return None


def why(loaded: LoadedPolicy, package: Path) -> Result:
    words = ["why", str(package), "--policy", str(loaded.path), "--name", "capital"]
    return CliRunner().invoke(policy_command.command, words)


@pytest.mark.parametrize("key", RULES)
def test_every_refusal_by_a_rule_is_explained_with_file_and_line(
    key: str, corpus: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infwasi_sign.cli.clock.now_utc", lambda: forge.NOW)
    loaded = load_policy(write_policy(tmp_path, f"{MINIMAL}{RULES[key]}\n"))
    rule = next(one for one in loaded.rules if one.name == key)
    explained = []
    cases = corpus if key in EVERYWHERE else {"honest": corpus["honest"]}
    for name, package in cases.items():
        error = refused_by_a_rule(loaded, package)
        if error is None or error.where != f"{rule.place} {key}":
            continue
        said = why(loaded, package)
        lines = [line for line in said.output.splitlines() if line.startswith("NO ")]
        assert len(lines) == 1, name
        assert lines[0].startswith(f"NO   {rule.place} {key}: "), name
        assert expectation(rule.test) in lines[0], name
        assert (error.got or "") in lines[0], name
        if isinstance(rule.test, Holds):
            assert rule.reason is not None
            assert rule.reason in lines[0], name
            assert all(fact in lines[0] for fact in rule.test.facts), name
        explained.append((name, type(said.exception)))
    assert ("honest", type(None)) in explained
    if key not in EVERYWHERE:
        return
    assert len(explained) > 5
    is_early = any(refusal is not type(None) for _, refusal in explained)
    is_claim = key not in {"model.licenses", "rule[1].cel"}
    assert is_early == is_claim  # also where something else is wrong with the package


def test_all_kinds_of_cases_are_among_them() -> None:
    assert len(CASES) > 100
    assert {one.expect for one in CASES} >= {"verified", "digest", "disagree", "policy"}
