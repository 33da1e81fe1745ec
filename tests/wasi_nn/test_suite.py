"""Our host under the suite, and the suite itself: it notices hosts that do not conform."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from infwasi_sign.adapters import wasm_host
from infwasi_sign.adapters.nn_interface import NnSession
from tests.wasi_nn.builds import EDITS, build
from tests.wasi_nn.cases import GUESTS, HERE, HONEST, RESTS_ON, Case, as_table, read_cases
from tests.wasi_nn.hosts import CommandHost, Outcome, judge, outcome_of
from tests.wasi_nn.our_host import OurHost

CASES = read_cases()
BY_NAME = {case.name: case for case in CASES}
REQUESTS = 300  # `make gym` makes 10,000 of each
COMMAND = f"{sys.executable} -m tests.wasi_nn.our_host"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_our_host_conforms(case: Case) -> None:
    assert judge(OurHost(), case, build(case), REQUESTS) == []


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.has_twin], ids=lambda case: case.name
)
def test_a_guest_without_its_misuse_goes_on(case: Case) -> None:
    """So that a guest which is stopped is stopped for what it does wrong."""
    component = build(case, is_honest=True)
    assert OurHost().run(component, requests=1, seconds=20).faults((HONEST,)) == []


# --- hosts that do not conform


def faults(name: str, requests: int = 2) -> list[str]:
    return judge(OurHost(), BY_NAME[name], build(BY_NAME[name]), requests)


def test_notices_a_host_that_does_not_compare_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wasm_host, "_check_imports", lambda *_: None)
    assert faults("import-of-other-tensors") == [
        "ended with 'answered summary', not with 'refused'"
    ]


def test_notices_a_host_that_is_lenient_with_names(monkeypatch: pytest.MonkeyPatch) -> None:
    exact: Callable[..., object] = NnSession._load_by_name

    def lenient(self: NnSession, store: object, name: str) -> object:
        return exact(self, store, name.strip().lower())

    monkeypatch.setattr(NnSession, "_load_by_name", lenient)
    assert faults("forge-names") == ["ended with 'answered went on', not with 'answered not-found'"]


def test_notices_a_host_that_keeps_what_a_trap_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[NnSession] = []

    def keep(self: NnSession) -> None:
        kept.append(self)

    monkeypatch.setattr(NnSession, "close", keep)
    (fault,) = faults("requests-trapped")
    assert fault.endswith("resources are left in the host")


def test_notices_memory_that_grows() -> None:
    grown = Outcome(end="stopped", live=0, growth_bytes=10_240_001)
    assert grown.faults(("stopped",), 10_000) == ["memory grew by 10240001 bytes"]
    assert replace(grown, growth_bytes=10_240_000).faults(("stopped",), 10_000) == []


# --- hosts of others


def test_a_command_says_what_our_host_says() -> None:
    for name in ("drop-tensor-twice", "forge-names", "requests-left"):
        assert judge(CommandHost(COMMAND), BY_NAME[name], build(BY_NAME[name]), 10) == []


def test_a_host_that_crashes_is_one_that_died() -> None:
    crashing = CommandHost(f"{sys.executable} -c 'import os; os.abort()'")
    assert crashing.run(b"", requests=1, seconds=1).end == "died (-6)"


@pytest.mark.parametrize(
    "printed", [b"", b"[]", b"{}", b'{"end":1}', b'{"end":"stopped","live":"none"}', b"\xff"]
)
def test_a_host_that_prints_no_result_is_one_that_died(printed: bytes) -> None:
    assert outcome_of(printed).end == "died (printed no result)"


# --- the record


def test_every_guest_has_a_case_and_every_edit_is_used() -> None:
    assert {case.source for case in CASES} == set(GUESTS.glob("*.c"))
    assert {case.edit for case in CASES if case.edit is not None} == set(EDITS)


def test_every_case_rests_on_something() -> None:
    assert {case.rests_on for case in CASES} == set(RESTS_ON)
    for case in CASES:
        assert case.because
        assert case.expect
        for end in case.expect:
            assert end in {"stopped", "refused"} or end.startswith("answered ")


def test_the_readme_lists_the_cases() -> None:
    assert as_table(CASES) in (HERE / "README.md").read_text()


def test_writes_the_components_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.wasi_nn.__main__ import main  # noqa: PLC0415 - a command

    monkeypatch.setattr(sys, "argv", ["suite", "--case", "forge-zero", "--write", str(tmp_path)])
    assert main() == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cases.json",
        "forge-zero.honest.wasm",
        "forge-zero.wasm",
    ]
    (record,) = json.loads((tmp_path / "cases.json").read_text())
    assert (record["name"], record["expect"], record["has_twin"]) == (
        "forge-zero",
        ["stopped"],
        True,
    )
