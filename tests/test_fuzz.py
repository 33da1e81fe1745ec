"""The fuzz targets over their seeds and for a short run, and our readers against the references."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from sigstore.models import Bundle, InvalidBundle

from infwasi_sign.domain.bundle import parse_bundle
from infwasi_sign.errors import MalformedError
from tests.fuzz import corpus
from tests.fuzz.__main__ import fuzz, main
from tests.fuzz.differential import (
    by_sigstore,
    compare_bundles,
    compare_components,
    compare_models,
)
from tests.fuzz.targets import TARGETS, Target, mixed

RUNS = 10_000

needs_atheris = pytest.mark.skipif(
    find_spec("atheris") is None,
    reason="atheris is not installed; it has wheels for Linux on x86_64 only",
)


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_seeds_and_what_is_cut_from_them_raise_only_our_own_errors(target: Target) -> None:
    seeds = target.seeds()
    assert seeds
    for seed in (b"", b"\0", b"\xff" * 40, *seeds):
        for end in range(0, len(seed) + 1, max(1, len(seed) // 50)):
            target(seed[:end])
        target(seed)


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_some_seed_is_accepted(target: Target) -> None:
    accepted = 0
    for seed in target.seeds():
        try:
            target.run(seed)
        except target.own:
            continue
        accepted += 1
    assert accepted


@needs_atheris
def test_short_run_finds_nothing(tmp_path: Path) -> None:
    outcome = fuzz("mixed", RUNS, 1, tmp_path)
    assert outcome.finding == ""
    assert outcome.executions >= RUNS


@needs_atheris
def test_a_finding_is_told(tmp_path: Path) -> None:
    outcome = fuzz("faulty", RUNS, 1, tmp_path)
    assert outcome.executions < RUNS
    assert "LookupError: the fault" in outcome.finding
    (found,) = tmp_path.iterdir()
    with pytest.raises(LookupError, match="the fault"):
        main(["faulty", "--input", str(found)])


def test_mixed_target_reaches_all_others() -> None:
    chosen = {seed[0] for seed in mixed().seeds()}
    assert chosen == set(range(len(TARGETS)))


def test_an_input_is_shown_again(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"{}")
    assert main(["strict-json", "--input", str(path)]) == 0


def test_reads_models_as_the_reference_does() -> None:
    seen = compare_models(300)
    assert seen["the same"] > 50
    assert seen["refused by ours"] > 50


def test_describes_what_wasm_tools_finds_valid() -> None:
    seen = compare_components(60)
    assert seen["valid, described"] > 5
    assert seen["invalid, refused"] > 5


def test_reads_bundles_as_sigstore_does_and_trusts_no_other_signature() -> None:
    seen = compare_bundles(600)
    assert seen["trusted, signed"] > 20
    assert seen["signature, not signed"] > 20
    assert seen["malformed, unread"] > 20
    assert sum(count for pair, count in seen.items() if pair.startswith("malformed, ")) > 50


def test_sigstore_itself_takes_no_bundle_that_a_key_signed() -> None:
    """The documented difference: its verifier knows certificates only."""
    with pytest.raises(InvalidBundle, match="expected certificate in bundle"):
        Bundle.from_json(corpus.bundles()[0])


def test_an_empty_signature_is_read_by_neither() -> None:
    bundle = json.loads(corpus.bundles()[0])
    bundle["dsseEnvelope"]["signatures"] = [{"sig": ""}]
    data = json.dumps(bundle, separators=(",", ":")).encode() + b"\n"
    assert by_sigstore(data) == (None, False)
    with pytest.raises(MalformedError):
        parse_bundle(data)
