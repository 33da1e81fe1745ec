"""What guests hand over is bounded before it becomes Python objects, and freed after."""

import contextlib
import gc
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from wasmtime.component import ListType

from infwasi_sign.adapters import guest_values, wasm_host
from infwasi_sign.adapters.guest_values import our_values
from infwasi_sign.adapters.host_memory import MemoryMeter
from infwasi_sign.adapters.nn_generation import Ledger
from infwasi_sign.adapters.nn_interface import FUNCTIONS
from infwasi_sign.adapters.wasm_host import OFFERED, WasmtimeHost
from infwasi_sign.domain.limits import LIMITS, MIB
from infwasi_sign.domain.settings import GuestLimits
from infwasi_sign.errors import GuestError, RefusalKind, RefusedError
from infwasi_sign.ports import GuestGrants
from tests.fakes import FakeModel, FakeStopFlag
from tests.guests import probe
from tests.unprivileged import python_output
from tests.wasi_nn.builds import build
from tests.wasi_nn.cases import read_cases

CASES = {case.name: case for case in read_cases()}
GRANTS = GuestGrants(
    imports=OFFERED,
    models={"model": FakeModel()},
    limits=GuestLimits(
        memory_bytes=4 * MIB, prompt_bytes=100_000, output_bytes=10_000, wall_clock_seconds=20
    ),
    max_tokens=100_000,
    seed=1,
)


def run(component: bytes, prompt: str | None = None) -> str:
    pieces: list[str] = []
    WasmtimeHost().run(component, GRANTS, prompt, FakeStopFlag(), pieces.append)
    return "".join(pieces)


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the lists that wasmtime-py made objects of."""
    sizes: list[int] = []
    original: Callable[[ListType, Any], Any] = guest_values._LIST

    def counting(self: ListType, value: Any) -> Any:
        sizes.append(value.of.list.size)
        return original(self, value)

    monkeypatch.setattr(guest_values, "_LIST", counting)
    return sizes


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("load-many", "in list-elements (expected at most 4096 elements, got 200000 elements)"),
        ("many-dimensions", "in list-elements (expected at most 4096 elements, got 100000 elem"),
        ("tensor-of-all-memory", "in tensor-bytes (expected at most 589824 bytes, got 235"),
    ],
)
def test_refuses_a_list_before_an_object_of_it_is_made(
    name: str, sentence: str, converted: list[int]
) -> None:
    with pytest.raises(RefusedError, match=re.escape(sentence)) as caught:
        run(build(CASES[name]))
    assert caught.value.kind is RefusalKind.LIMIT
    assert str(caught.value).startswith("guest gives too long a list ")
    assert all(size <= LIMITS.list_elements for size in converted)


def test_control_without_the_bound_objects_are_made_of_all(
    converted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wasm_host, "our_values", lambda _: contextlib.nullcontext())
    assert run(build(CASES["load-many"])) == "unsupported-operation"
    assert 200_000 in converted


def test_bytes_arrive_as_wasmtime_would_have_made_them(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"s{'x' * size} \U0001f600\0 end" for size in (0, 1, 7, 8, 1000, 70_000)]
    ours = [asked(text) for text in texts]
    monkeypatch.setattr(wasm_host, "our_values", lambda _: contextlib.nullcontext())
    assert [asked(text) for text in texts] == ours


def asked(prompt: str) -> str:
    model = FakeModel()
    grants = replace(GRANTS, models={"model": model})
    with contextlib.suppress(RefusedError):  # it answers with more than is granted
        WasmtimeHost().run(probe(), grants, prompt, FakeStopFlag(), lambda _: None)
    return model.asked[0][0][0].content


def test_other_users_of_wasmtime_in_this_process_are_left_alone() -> None:
    """Only within a request, and only in its thread."""
    ledger = Ledger(grants=GRANTS, stop=FakeStopFlag(), deadline=0.0)
    seen: list[object] = []
    with our_values(ledger):
        thread = threading.Thread(
            target=lambda: seen.append(getattr(guest_values._ours, "ledger", None))
        )
        thread.start()
        thread.join()
        assert guest_values._ours.ledger is ledger
    assert seen == [None]
    assert getattr(guest_values._ours, "ledger", None) is None


def test_no_function_that_is_offered_takes_what_is_freed_after_an_answer() -> None:
    parameters = [
        signature.partition(") -> ")[0] for of in FUNCTIONS.values() for signature in of.values()
    ]
    assert parameters
    assert not any(kind in text for text in parameters for kind in ("option", "result", "variant"))


def growth_bytes(requests: int) -> int:
    """What the process keeps of so many requests of ten pieces each."""
    host, model = WasmtimeHost(), FakeModel()
    grants = replace(GRANTS, models={"model": model})
    meter = MemoryMeter()

    def ask() -> None:
        host.run(probe(), grants, "sone two three four", FakeStopFlag(), lambda _: None)
        model.streams.clear()
        model.asked.clear()

    for _ in range(200):
        ask()
    gc.collect()
    before = meter.own_bytes()
    for _ in range(requests):
        ask()
    gc.collect()
    grown = meter.own_bytes() - before
    meter.close()
    return grown


CHILD = """
import contextlib
from infwasi_sign.adapters import wasm_host
from tests.test_guest_values import growth_bytes
"""
PRINT = "print(growth_bytes(1000))"
WITHOUT = "wasm_host.our_values = lambda _: contextlib.nullcontext()\n"


def test_answers_leave_nothing_behind() -> None:
    """In a process of its own: memory that others freed would hide what is kept."""
    assert int(python_output(CHILD + PRINT)) < 1000 * 100


def test_control_without_the_freeing_each_answer_leaves_its_boxes() -> None:
    assert int(python_output(CHILD + WITHOUT + PRINT)) > 1000 * 300


@pytest.mark.parametrize(
    "name",
    [
        "flood-of-tensors",
        "list-of-2-31",
        "load-many",
        "memory-bomb",
        "tensor-hoard",
        "tensor-of-all-memory",
        "trap-in-realloc",
        "trap-while-running",
    ],
)
def test_memory_is_back_at_its_start_after_a_hostile_guest(name: str) -> None:
    assert int(python_output(GROWTH, name, "")) < 4 * MIB


def test_control_sessions_that_are_kept_are_seen() -> None:
    assert int(python_output(GROWTH, "tensor-hoard", "kept")) >= 4 * MIB


# In a process of its own: what others have freed there would hide what is kept.
GROWTH = """
import sys
from infwasi_sign.adapters.nn_interface import NnSession
from tests.test_guest_values import growth_bytes_of_attacks
kept = []
if sys.argv[2]:
    NnSession.close = lambda self: kept.append(self)
print(growth_bytes_of_attacks(sys.argv[1]))
"""


def growth_bytes_of_attacks(name: str) -> int:
    """By how much this process is larger after ten attacks than after three."""
    component = build(CASES[name])
    host, meter = WasmtimeHost(), MemoryMeter()

    def attack() -> None:
        with contextlib.suppress(GuestError, RefusedError):
            host.run(component, GRANTS, None, FakeStopFlag(), lambda _: None)

    for _ in range(3):
        attack()
    gc.collect()
    before = meter.own_bytes()
    for _ in range(10):
        attack()
    gc.collect()
    grown = meter.own_bytes() - before
    meter.close()
    return grown
