"""Code that takes out of proportion to compile is refused before it is compiled."""

from dataclasses import replace

import pytest
import wasmtime
from wasmtime.component import Component

from infwasi_sign.adapters import wasm_code
from infwasi_sign.adapters.wasm_host import OFFERED, WasmtimeHost
from infwasi_sign.domain import component_code
from infwasi_sign.domain.component_code import functions, require_compilable
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.settings import GuestLimits
from infwasi_sign.domain.wasm_binary import COMPONENT_VERSION, CORE_VERSION, MAGIC, encode_u32
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError
from infwasi_sign.ports import GuestGrants
from tests.fakes import FakeModel, FakeStopFlag
from tests.guests import probe

PREAMBLE = MAGIC + COMPONENT_VERSION
PLAIN_TYPE = b"\x60\x00\x01\x7f"  # () -> i32


def section(number: int, content: bytes) -> bytes:
    return bytes([number]) + encode_u32(len(content)) + content


def module(*bodies: bytes, type_: bytes = PLAIN_TYPE) -> bytes:
    """A core module of functions with these bodies."""
    count = encode_u32(len(bodies))
    code = count + b"".join(encode_u32(len(body)) + body for body in bodies)
    parts = (
        section(1, b"\x01" + type_),
        section(3, count + bytes(len(bodies))),
        section(10, code),
    )
    return MAGIC + CORE_VERSION + b"".join(parts)


def component(*modules: bytes) -> bytes:
    return PREAMBLE + b"".join(section(1, inner) for inner in modules)


def many_locals(locals_: int, blocks: int) -> bytes:
    """The body of a function whose blocks assign its locals in turn."""
    body = b"\x01" + encode_u32(locals_) + b"\x7f"
    for number in range(blocks):
        read, written = encode_u32(number % locals_), encode_u32(number * 7 % locals_)
        body += b"\x41\x01\x04\x40\x20" + read + b"\x41\x01\x6a\x21" + written + b"\x0b"
    return body + b"\x20\x00\x0b"


def long_body(size_bytes: int) -> bytes:
    return b"\x00" + b"\x01" * (size_bytes - 4) + b"\x41\x00\x0b"  # nop


BOMBS = {
    "a long function": (
        component(module(long_body(LIMITS.function_bytes + 1))),
        "component's function 0 takes too long to compile in function-bytes"
        " (expected at most 524288, got 524289)",
    ),
    "many locals": (
        component(module(b"\x00\x41\x00\x0b", many_locals(49_000, 14_000))),
        "component's function 1 takes too long to compile in function-local-bytes"
        " (expected at most 100000000, got 10053045160)",
    ),
    "in a nested component": (
        PREAMBLE + section(4, component(module(many_locals(49_000, 14_000)))),
        "component's function 0 takes too long to compile in function-local-bytes"
        " (expected at most 100000000, got 10053045160)",
    ),
    "many parameters of a block": (
        component(
            module(
                long_body(120_000), type_=b"\x60" + encode_u32(1000) + b"\x7f" * 1000 + b"\x01\x7f"
            )
        ),
        "component's function 0 takes too long to compile in function-local-bytes"
        " (expected at most 100000000, got 120120000)",
    ),
    "a type that may have any number": (
        component(module(long_body(60_000), type_=b"\x5f\x00")),
        "component's function 0 takes too long to compile in function-local-bytes"
        " (expected at most 100000000, got 120000000)",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_refuses_code_that_takes_too_long_to_compile(name: str) -> None:
    bomb, sentence = BOMBS[name]
    with pytest.raises(RefusedError) as caught:
        require_compilable(bomb)
    assert (caught.value.kind, str(caught.value)) == (RefusalKind.LIMIT, sentence)


def test_the_host_asks_before_it_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """And its control: without the question the bomb reaches the compiler."""
    reached: list[bytes] = []

    def compile_(_: wasmtime.Engine, wasm: bytes) -> Component:
        reached.append(wasm)
        raise wasmtime.WasmtimeError("reached")

    monkeypatch.setattr(wasm_code, "Component", compile_)
    bomb, _ = BOMBS["many locals"]
    with pytest.raises(RefusedError, match="takes too long to compile"):
        run(bomb)
    assert reached == []
    monkeypatch.setattr(wasm_code, "require_compilable", lambda _: None)
    with pytest.raises(MalformedError, match="reached"):
        run(bomb)
    assert reached == [bomb]


def run(wasm: bytes) -> None:
    limits = GuestLimits(
        memory_bytes=2**20, prompt_bytes=1000, output_bytes=1000, wall_clock_seconds=20
    )
    grants = GuestGrants(
        imports=OFFERED, models={"model": FakeModel()}, limits=limits, max_tokens=1, seed=1
    )
    WasmtimeHost().run(wasm, grants, None, FakeStopFlag(), print)


def test_what_is_within_the_bounds_compiles_in_proportion() -> None:
    """The worst that passes: as wasmtime has it, it is valid, so the bound is what refuses it."""
    body = many_locals(500, 4_000)
    assert len(body) * 501 < LIMITS.function_local_bytes
    whole = component(module(body))
    require_compilable(whole)
    Component(wasmtime.Engine(), whole)


def test_reads_the_functions_of_all_modules() -> None:
    small, large = b"\x00\x41\x00\x0b", many_locals(7, 3)
    nested = PREAMBLE + section(4, component(module(small))) + section(1, module(large, small))
    assert sorted(functions(nested)) == sorted(
        [(1, len(small)), (1, len(small)), (1 + 7, len(large))]
    )


def test_functions_of_a_real_component_are_far_from_the_bounds() -> None:
    found = list(functions(probe()))
    assert len(found) > 10
    assert max(locals_ * size for locals_, size in found) < LIMITS.function_local_bytes / 1000


def test_a_component_that_is_cut_off_is_malformed() -> None:
    whole = component(module(many_locals(3, 2)))
    for at in range(len(whole)):
        if at == len(PREAMBLE):
            continue  # an empty component
        with pytest.raises(MalformedError):
            list(functions(whole[:at]))


def test_nesting_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(component_code, "LIMITS", replace(LIMITS, component_depth=3))
    inner = component(module(b"\x00\x41\x00\x0b"))
    for _ in range(3):
        inner = PREAMBLE + section(4, inner)
    with pytest.raises(MalformedError, match=r"^nested too deep "):
        list(functions(inner))
