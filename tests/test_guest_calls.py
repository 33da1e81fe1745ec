"""Calls whose types are looked up once: the same values, and every check that was there."""

from collections.abc import Iterator
from typing import Any

import pytest
from wasmtime import Engine, Store, WasmtimeError
from wasmtime import _ffi as ffi
from wasmtime.component import Component, Func, Linker, ListType, ResultType

from infwasi_sign.adapters.guest_calls import add_function, known, with_known_type
from tests.guests import component_from_wat

# The guest hands what it gets to the host, and gives back what it gets from there.
WAT = """
(component
  (import "h:h/h" (instance $h
    (export "swap" (func (param "a" (list u32)) (result (result u32 (error string)))))))
  (core module $libc
    (memory (export "memory") 1)
    (global $at (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $was i32)
      (local.set $was (global.get $at))
      (global.set $at (i32.and (i32.add (i32.add (local.get $was) (local.get 3)) (i32.const 7))
        (i32.const -8)))
      (local.get $was)))
  (core instance $c (instantiate $libc))
  (core func $swap (canon lower (func $h "swap")
    (memory (core memory $c "memory")) (realloc (core func $c "realloc"))))
  (core module $m
    (import "h" "swap" (func $swap (param i32 i32 i32)))
    (func (export "go") (param i32 i32) (result i32)
      (call $swap (local.get 0) (local.get 1) (i32.const 16)) (i32.const 16)))
  (core instance $i (instantiate $m (with "h" (instance (export "swap" (func $swap))))))
  (func (export "go") (param "a" (list u32)) (result (result u32 (error string)))
    (canon lift (core func $i "go")
      (memory (core memory $c "memory")) (realloc (core func $c "realloc")))))
"""


class Guest:
    """An instance whose host function answers what ``answer`` says."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.answer: Any = 7
        self.error: WasmtimeError | None = None
        engine = Engine()
        self.store = Store(engine)
        with Linker(engine) as linker:
            with linker.root() as root, root.add_instance("h:h/h") as instance:
                add_function(instance, "swap", self._swap)
            component = Component(engine, component_from_wat(WAT))
            instance = linker.instantiate(self.store, component)
        found = instance.get_func(self.store, "go")
        assert found is not None
        self.plain = found
        self.go: Func = with_known_type(found, self.store)

    def _swap(self, _: object, values: list[int]) -> Any:
        self.heard.append(values)
        if self.error is not None:
            raise self.error
        return self.answer


@pytest.fixture
def guest() -> Iterator[Guest]:
    made = Guest()
    yield made
    made.store.close()


def test_values_go_through_as_ever(guest: Guest) -> None:
    for values, answer in (([1, 2], 7), ([], "no"), ([2**32 - 1] * 9, 0)):
        guest.answer = answer
        assert guest.go(guest.store, values) == answer
    assert guest.heard == [[1, 2], [], [2**32 - 1] * 9]


@pytest.mark.parametrize("answer", [None, [7], 1.5, b"7"])
def test_an_answer_of_another_type_never_reaches_the_guest(guest: Guest, answer: object) -> None:
    guest.answer = answer
    with pytest.raises((TypeError, ValueError, OverflowError)):
        guest.go(guest.store, [1])


@pytest.mark.parametrize("values", [["a"], 7, (1,), b"a"])
def test_an_argument_of_another_type_never_reaches_the_guest(guest: Guest, values: object) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        guest.go(guest.store, values)
    assert guest.heard == []


def test_what_the_host_function_raises_is_a_trap(guest: Guest) -> None:
    guest.error = WasmtimeError("no")
    with pytest.raises(WasmtimeError, match="no"):
        guest.go(guest.store, [1])


def test_types_are_asked_for_once(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    guest.go(guest.store, [1])
    asked: list[str] = []
    for name in ("wasmtime_component_func_type", "wasmtime_component_list_type_element"):
        real = getattr(ffi, name)

        def counted(*args: Any, real: Any = real, name: str = name) -> Any:
            asked.append(name)
            return real(*args)

        monkeypatch.setattr(ffi, name, counted)
    for _ in range(3):
        guest.go(guest.store, [1])
    assert asked == []


def test_types_that_nobody_marked_stay_as_wasmtime_makes_them(guest: Guest) -> None:
    fresh = Func._from_raw(guest.plain._func).type(guest.store)
    assert type(fresh.params[0][1]) is ListType
    assert type(fresh.result) is ResultType
    assert isinstance(known(fresh).params[0][1], ListType)
