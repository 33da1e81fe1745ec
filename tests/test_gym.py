"""One in a hundred of the gym's mutants, and each check of verification switched off."""

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from tests.conftest import ROOT
from tests.gym.__main__ import main
from tests.gym.control import Control
from tests.gym.controls import CONTROLS, run_control
from tests.gym.draft import MUTATORS, Draft, Honest
from tests.gym.oracle import ACCEPTED, judge, mutant
from tests.gym.training import Tally, train, train_here

SEED = 1
COUNT = 1_000


@pytest.fixture(scope="module")
def honest() -> Honest:
    return Honest.make()


def test_accepts_the_package_that_nobody_spoiled(honest: Honest, tmp_path: Path) -> None:
    assert judge(Draft.of(honest), tmp_path) == (ACCEPTED, "")


@pytest.mark.parametrize(
    "make",
    [
        Draft.companioned,
        Draft.certified,
        lambda honest: Draft.keyless(honest, 1),
        lambda honest: Draft.keyless(honest, 2),
    ],
    ids=["companion", "certificate", "rekor-v1", "rekor-v2"],
)
def test_accepts_the_package_in_every_mode(
    make: Callable[[Honest], Draft], honest: Honest, tmp_path: Path
) -> None:
    assert judge(make(honest), tmp_path) == (ACCEPTED, "")


def test_refuses_every_mutant(honest: Honest) -> None:
    tally = train_here(honest, SEED, range(COUNT))
    assert tally.failures == []
    assert tally.verdict() == []
    assert tally.done == COUNT


@pytest.mark.parametrize("name", sorted(MUTATORS))
def test_mutator_never_leaves_the_package_as_it_was(name: str, honest: Honest) -> None:
    for number in range(10):
        draft = Draft.of(honest)
        MUTATORS[name].spoil(draft, Random(number))  # noqa: S311 -- repeatable, not secret
        assert not draft.is_honest()


def test_mutants_follow_from_seed_and_number(honest: Honest) -> None:
    for number in range(100):
        one, other = (mutant(honest, SEED, number)[0] for _ in range(2))
        assert (one.files, one.directory, one.now) == (other.files, other.directory, other.now)
    assert mutant(honest, SEED, 0)[0].files != mutant(honest, SEED + 1, 0)[0].files


@pytest.mark.parametrize("one", CONTROLS, ids=lambda one: f"{one.step}-{one.claim}")
def test_without_the_check_a_mutant_gets_through(one: Control, honest: Honest) -> None:
    line = run_control(one, honest, SEED)
    assert line["is_noticed"], line


def test_each_step_of_verification_has_a_control() -> None:
    assert {one.step for one in CONTROLS} == set(range(1, 8))


def test_a_check_that_nothing_needs_fails_the_gym(honest: Honest) -> None:
    idle = Control(step=1, claim="idle", switches=(), mutators=("bit-flips",), attempts=20)
    assert run_control(idle, honest, SEED)["why"] == "none of 20 mutants got through"


def test_run_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    record = tmp_path / "gym.part.jsonl"

    def interrupt(tally: Tally) -> None:
        if tally.done >= 250:
            raise KeyboardInterrupt

    def run(progress: object) -> Tally:
        assert callable(progress)
        return train(SEED, 500, workers=1, record=record, resume=True, progress=progress)

    with pytest.raises(KeyboardInterrupt):
        run(interrupt)
    first = record.read_text().splitlines()
    record.write_text("\n".join([*first, '{"start": 250, "do']) + "\n")
    done: list[int] = []
    tally = run(lambda tally: done.append(tally.done))
    assert len(first) == 2
    assert done == [500]
    assert tally.done == tally.kinds.total() == 500


def test_command_writes_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "gym.json"
    arguments = ["--count", "20", "--workers", "1", "--output", str(output)]
    assert main(arguments) == 0
    result = json.loads(output.read_text())
    assert result["mutants"] == 20
    assert result["accepted"] == result["crashes"] == 0
    assert result["verdict"] == "passed"
    assert len(result["controls"]) == len(CONTROLS)
    assert capsys.readouterr().out == f"20 mutants, {len(CONTROLS)} controls: passed\n"
    assert list(tmp_path.iterdir()) == [output]


# --- whether the table is complete -----------------------------------------------------------

CHECKED = (
    *(
        "matching",
        "domain.fs_verity",
        "verify",
        "adapters.package_directory",
        "adapters.file_kind",
        "adapters.guarded_file",
        "adapters.measuring",
    ),
    *("adapters.keys", "domain.agreement", "domain.manifest", "domain.policy", "domain.rollback"),
    *("domain.statement", "domain.world", "signatures", "adapters.signature_modes"),
    *("adapters.sigstore_identity", "adapters.certificate_verifier", "adapters.certificates"),
    *("domain.trust_root", "adapters.trust_root"),
)
# Functions that refuse and are in no line of the table, each with the reason.
NOT_SWITCHED = {
    "adapters.certificate_verifier.CertificateVerifier.verify_oms": "the reader sees it",
    "adapters.certificates._require_bounds": "bundles have the same bounds; test_certificates",
    "adapters.certificates.require_signed_by": "packing",
    "adapters.certificates.require_usable": "the caller's own roots",
    "adapters.guarded_file.LocalFile.open": "a race of two looks at one name; test_guarded_file",
    "adapters.guarded_file.LocalFile.read_at": "there are no bytes to go on with",
    "adapters.keys.KeyVerifier.__init__": "the caller's own keys",
    "adapters.keys.parse_public_key": "the caller's own keys",
    "adapters.keys.sign_payload": "packing",
    "adapters.measuring._HeaderCheck.require_end": "packing",
    "adapters.measuring._HeaderCheck.update": "packing",
    "adapters.measuring._read_into": "there are no bytes to go on with",
    "adapters.package_directory.DirectoryStore.open": "a part of opening; test_package_directory",
    "adapters.package_directory._open_real_directory": "there is no package",
    "adapters.package_directory._open_signatures": "such a name is not its bundle's either",
    "adapters.package_directory._require_manifest": "without it there is nothing to verify",
    "adapters.package_directory.open_outside": "there is no file",
    "adapters.signature_modes.ModeVerifier.__init__": "the caller's own signers",
    "adapters.sigstore_identity.OmsKeylessVerifier.verify": "the reader sees it",
    "adapters.sigstore_identity._algorithm": "no Fulcio issues such; test_sigstore_identity",
    "adapters.sigstore_identity.require_readable": "the caller's own trust root",
    "adapters.sigstore_identity.subject_of": "no Fulcio issues such; test_sigstore_threats",
    "adapters.sigstore_identity._text": "no Fulcio issues such; test_sigstore_threats",
    "adapters.sigstore_identity._utf8": "no Fulcio issues such; test_sigstore_threats",
    "adapters.trust_root.find_trust_root": "the caller's own trust root",
    "adapters.trust_root.load_trust_root": "the caller's own trust root",
    "domain.manifest.require_package_names": "packing",
    "domain.rollback.parse_packages": "what the caller remembers; test_rollback",
    "domain.rollback.parse_state": "what the caller remembers; test_rollback",
    "domain.statement.parse_statement": "the byte form is switched off, and would not be its own",
    "domain.trust_root.TrustRoot.log_ids": "the caller's own trust root",
    "domain.trust_root._trusted_root": "the caller's own trust root",
    "domain.trust_root._found": "the caller's own trust root; test_sigstore_identity",
    "domain.trust_root.parse_trust_root": "the caller's own trust root; test_sigstore_identity",
    "domain.world._refuse_differences": "the function around it is switched",
    "signatures._require_one_name_for_each_key": "a slip of the policy; test_signatures",
}


def test_each_function_that_refuses_is_in_the_table_or_says_why_not() -> None:
    switched = set()
    for one in CONTROLS:
        for where, name, _ in one.switches:
            check = getattr(where, name)
            if callable(check):
                module = check.__module__.removeprefix("infwasi_sign.")
                switched.add(f"{module}.{check.__qualname__}")
    refusing = {name for module in CHECKED for name in refusers(module)}
    assert refusing - switched == NOT_SWITCHED.keys()


def refusers(module: str) -> Iterator[str]:
    """Functions with a `raise` of a refusal, or of no verdict, by module and qualified name."""
    path = ROOT / "infwasi_sign" / f"{module.replace('.', '/')}.py"
    yield from _refusers(ast.parse(path.read_text()), module)


def _refusers(node: ast.AST, name: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            inner = f"{name}.{child.name}"
            if isinstance(child, ast.FunctionDef) and any(
                _is_refusal(found) for found in ast.walk(child)
            ):
                yield inner
            yield from _refusers(child, inner)


def _is_refusal(node: ast.AST) -> bool:
    if not isinstance(node, ast.Raise) or not isinstance(node.exc, ast.Call):
        return False
    called = ast.unparse(node.exc.func)
    return called in {"RefusedError", "MalformedError", "UndecidedError"} or called.startswith(
        (
            *("not_regular", "self._changed", "self._nobody", "wrong_mode", "_strictest"),
            *("_unsuited", "_outside_of_its_time"),
        )
    )
