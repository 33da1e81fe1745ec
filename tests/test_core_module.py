"""The names of core modules inside components, and bytes that are none."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infwasi_sign.domain.component import NestedKind, describe
from infwasi_sign.domain.core_module import CoreModuleFacts, Producer, describe_core_module
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.wasm_binary import WasmBudget, encode_u32
from infwasi_sign.errors import MalformedError
from tests.guests import component_from_wat
from tests.test_component import COMPONENT, CORE_MODULE, section

IMPORT, EXPORT = 2, 7
EVERY_IMPORT = """
  (core module
    (import "b" "func" (func))
    (import "a" "table" (table 1 2 funcref))
    (import "a" "extern" (table 1 externref))
    (import "a" "memory" (memory 1))
    (import "a" "large" (memory i64 1 2))
    (import "a" "shared" (memory 1 2 shared))
    (import "a" "global" (global (mut i64)))
    (import "a" "vector" (global v128))
    (import "a" "reference" (global (ref null func)))
    (import "a" "heap" (global (ref null 0)))
    (import "a" "tag" (tag))
    (type (func))
    (func (export "f")) (table (export "t") 1 funcref) (memory (export "m") 1)
    (global (export "g") i32 (i32.const 0)) (tag (export "e"))
    (func (export "ö"))
    (data "x") (start 0)
  )"""


def text(data: bytes) -> bytes:
    return encode_u32(len(data)) + data


def of(*sections: bytes) -> CoreModuleFacts:
    data = CORE_MODULE + b"".join(sections)
    return describe_core_module(data, 0, len(data), WasmBudget())


def test_reads_every_kind_of_import_and_export() -> None:
    (module,) = describe(component_from_wat(f"(component {EVERY_IMPORT})")).children
    assert module.kind is NestedKind.CORE_MODULE
    names = ("extern", "global", "heap", "large", "memory", "reference", "shared", "table", "tag")
    assert module.imports == (*(f"a.{name}" for name in names), "a.vector", "b.func")
    assert module.exports == ("e", "f", "g", "m", "t", "ö")


def test_every_level_has_its_producers() -> None:
    producers = b"\x01" + text(b"language") + b"\x01" + text(b"C") + text(b"17")
    custom = section(0, text(b"producers") + producers)
    inner = COMPONENT + custom + section(1, CORE_MODULE + custom)
    (child,) = describe(COMPONENT + section(4, inner)).children
    found = (Producer(field="language", name="C", version="17"),)
    assert (child.producers, child.children[0].producers) == (found, found)


def test_what_is_nested_twice_is_told_twice() -> None:
    module = section(1, CORE_MODULE + section(EXPORT, b"\x01" + text(b"f") + b"\0\0"))
    first, second = describe(COMPONENT + module + module).children
    assert first.sha256 == second.sha256
    assert first.offset_bytes < second.offset_bytes
    assert second.exports == ("f",)


def test_an_import_may_stand_twice() -> None:
    """Core specification section 2.5.11: two imports may have the same names."""
    one = text(b"a") + text(b"b") + b"\0\0"
    assert of(section(IMPORT, b"\x02" + one + one)).imports == ("a.b",)


OVERFLOW = b"\xff\xff\xff\xff\xff\x01"


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (section(14, b""), "unknown section in component at offset 10 (got 14)"),
        (
            section(EXPORT, b"\0") + section(IMPORT, b"\0"),
            "section is out of order in component at offset 13 (got 2)",
        ),
        (
            section(IMPORT, b"\0") * 2,
            "section is out of order in component at offset 13 (got 2)",
        ),
        (
            section(IMPORT, OVERFLOW),
            "integer is longer than 5 bytes in component at offset 15",
        ),
        (
            section(IMPORT, b"\xff\xff\xff\xff\x1f"),
            "integer does not fit 32 bits in component at offset 15 (got 8589934591)",
        ),
        (
            section(IMPORT, b"\xff\xff\xff\xff\x0f"),
            "cut off in component at offset 15 (expected 1 bytes, got 0)",
        ),
        (
            section(EXPORT, b"\x01\xff\xff\xff\xff\x0fa"),
            "cut off in component at offset 16 (expected 4294967295 bytes, got 1)",
        ),
        (
            section(EXPORT, b"\x01" + text(b"\xff") + b"\0\0"),
            "name is not UTF-8 in component at offset 13",
        ),
        (
            section(EXPORT, b"\x01" + text(b"a") + b"\x05\0"),
            "unknown kind of export in component at offset 14 (expected at most 4, got 5)",
        ),
        (
            section(EXPORT, b"\x02" + (text(b"a") + b"\0\0") * 2),
            "export occurs twice in component at offset 17 (got 'a')",
        ),
        (
            section(EXPORT, b"\0\0"),
            "section has bytes left over in component at offset 11",
        ),
        (
            section(IMPORT, b"\x01" + text(b"a") + text(b"b") + b"\x05"),
            "unknown kind of import in component at offset 16 (got 5)",
        ),
        (
            section(IMPORT, b"\x01" + text(b"a") + text(b"b") + b"\x01\x7f\0\0"),
            "unknown type in component at offset 17 (got 0x7f)",
        ),
        (
            section(IMPORT, b"\x01" + text(b"a") + text(b"b") + b"\x02\x08\0"),
            "unknown form of limits in component at offset 17 (expected at most 7, got 8)",
        ),
        (
            section(IMPORT, b"\x01" + text(b"a") + text(b"b") + b"\x03\x7f\x02"),
            "unknown mutability in component at offset 18 (expected at most 1, got 2)",
        ),
        (
            section(IMPORT, b"\x01" + text(b"a") + text(b"b") + b"\x04\x01\0"),
            "unknown attribute of a tag in component at offset 17 (expected at most 0, got 1)",
        ),
        (
            section(
                IMPORT, b"\x01" + text(b"a") + text(b"b") + b"\x02\x04" + b"\xff" * 9 + b"\x02"
            ),
            "integer does not fit 64 bits in component at offset 27 (got 27670116110564327423)",
        ),
        (
            section(
                IMPORT, b"\x01" + text(b"a") + text(b"b") + b"\x03\x63" + b"\x80" * 4 + b"\x20\0"
            ),
            "integer does not fit 33 bits in component at offset 22 (got 8589934592)",
        ),
        (
            section(IMPORT, b"\x01" + text(b"a") + text(b"b") + b"\x03\x63" + b"\x80" * 5 + b"\0"),
            "integer is longer than 5 bytes in component at offset 22",
        ),
        (
            section(0, text(b"producers") + b"\xff\xff\xff\xff\x0f"),
            "cut off in component at offset 25 (expected 1 bytes, got 0)",
        ),
    ],
)
def test_refuses_malformed_bytes(sections: bytes, message: str) -> None:
    with pytest.raises(MalformedError) as caught:
        of(sections)
    assert str(caught.value) == message


def test_names_of_all_modules_are_counted_together() -> None:
    half = LIMITS.component_names // 2 + 1
    names = b"".join(text(b"%06d" % number) + b"\0\0" for number in range(half))
    module = section(1, CORE_MODULE + section(EXPORT, encode_u32(half) + names))
    assert len(describe(COMPONENT + module).children[0].exports) == half
    with pytest.raises(MalformedError, match=r"^too many names in component at offset"):
        describe(COMPONENT + module + module)


def test_sections_of_modules_are_counted() -> None:
    module = section(1, CORE_MODULE + section(0, b"\0") * LIMITS.component_sections)
    with pytest.raises(MalformedError, match=r"^too many sections in component at offset"):
        describe(COMPONENT + module)


@settings(deadline=None)
@given(st.binary(max_size=100), st.sampled_from([IMPORT, EXPORT, 0]))
def test_any_bytes_raise_nothing_but_malformed(data: bytes, kind: int) -> None:
    with suppress(MalformedError):
        assert of(section(kind, data)).producers is not None
    with suppress(MalformedError):
        of(data)
