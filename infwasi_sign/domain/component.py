"""What a component says about itself: imports, exports, what is nested in it, its settings.

A strict reader of the component binary format (component-model, design/mvp/Binary.md), as far as
names and nesting go; types and code are the business of the engine that compiles them.
"""

import hashlib
from enum import StrEnum
from typing import Final

from infwasi_sign.domain.core_module import (
    PRODUCERS_SECTION,
    CoreModuleFacts,
    Producer,
    describe_core_module,
    read_producers,
)
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.interfaces import SETTINGS_INTERFACE
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.settings import Settings
from infwasi_sign.domain.settings_module import read_settings_module
from infwasi_sign.domain.wasm_binary import (
    COMPONENT_VERSION,
    CORE_VERSION,
    MAGIC,
    PREAMBLE_BYTES,
    Section,
    WasmBudget,
    WasmReader,
)
from infwasi_sign.errors import MalformedError
from infwasi_sign.quick_dataclass import dataclass

# Section ids, Binary.md "Component Definitions".
_CUSTOM, _CORE_MODULE, _COMPONENT, _IMPORT, _EXPORT = 0, 1, 4, 10, 11
_LAST_SECTION: Final = 12

# Sorts, Binary.md "Instance Definitions". Values (2) are not part of the ratified binary format.
_CORE_SORT, _FUNC_SORT, _TYPE_SORT, _COMPONENT_SORT, _INSTANCE_SORT = 0, 1, 3, 4, 5
_CORE_MODULE_SORT: Final = 0x11


CONFIG_WRAPPERS: Final = frozenset(
    # wit-component's wrapper for world `config-component` of infwasi:llm@0.1.0, wasm-tools 1.262.0
    {"c156d28e1931190bcc0ef7abfaddc90b9221f571967758786f289d326b31caa3"}
)
"""SHA-256 of a config component without its core module's section; a test makes it again."""


class NestedKind(StrEnum):
    """The two things that a component holds whole."""

    COMPONENT = "component"
    CORE_MODULE = "core-module"


@dataclass(frozen=True, kw_only=True, slots=True)
class Nested:
    """A component or core module inside a component; the offset counts from the file's start.

    Names are sorted, and those that a core module imports are `module.name`; children are in the
    order of the file, and what is in it twice is here twice.
    """

    kind: NestedKind
    offset_bytes: int
    size_bytes: int
    sha256: Digest
    imports: tuple[str, ...]
    exports: tuple[str, ...]
    producers: tuple[Producer, ...]
    children: tuple["Nested", ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ComponentFacts:
    """A whole component file; names sorted, children in the order of the file."""

    imports: tuple[str, ...]
    exports: tuple[str, ...]
    children: tuple[Nested, ...]
    producers: tuple[Producer, ...]


def describe(component: bytes) -> ComponentFacts:
    """Read a component's names and nesting.

    Raises:
        MalformedError: it is not a component, or larger or deeper than the limits.
    """
    if len(component) > LIMITS.component_bytes:
        raise MalformedError(
            "too large",
            where="component",
            expected=f"at most {LIMITS.component_bytes} bytes",
            got=str(len(component)),
        )
    _require_component(component)
    return _Description(component).whole()


def find_settings(app: bytes, facts: ComponentFacts) -> Settings:
    """The settings that the app was composed with, from the bytes of its config component.

    ``facts`` are those of ``app``.

    Raises:
        MalformedError: not exactly one part exports them, or it is not a config component.
        RefusedError: kind `limit`; a value is out of range.
    """
    configs = [child for child in facts.children if SETTINGS_INTERFACE in child.exports]
    if len(configs) != 1:
        raise MalformedError(
            "no single part exports the settings",
            where="component",
            expected="1",
            got=str(len(configs)),
        )
    modules = _core_modules(configs[0].children)
    if len(modules) != 1:
        raise MalformedError(
            "config component has other code than its settings",
            where=f"component at offset {configs[0].offset_bytes}",
            expected="1 core module",
            got=str(len(modules)),
        )
    module = modules[0]
    image = app[module.offset_bytes : module.offset_bytes + module.size_bytes]
    settings = read_settings_module(image)
    _require_known_wrapper(app, configs[0], module)
    return settings


def _require_known_wrapper(app: bytes, config: Nested, module: Nested) -> None:
    """Around its module the config component is always the same: nothing lifts the text otherwise.

    Without this a component could hand out the bytes of the image as Latin-1 or UTF-16.
    """
    size_field = (module.size_bytes.bit_length() + 6) // 7  # LEB128, seven bits to a byte
    before = app[config.offset_bytes : module.offset_bytes - size_field - 1]
    after = app[module.offset_bytes + module.size_bytes : config.offset_bytes + config.size_bytes]
    digest = hashlib.sha256(before + after).hexdigest()
    if digest not in CONFIG_WRAPPERS:
        raise MalformedError(
            "config component is not one that infwasi makes",
            where=f"component at offset {config.offset_bytes}",
            expected="a known wrapper around its module",
            got=f"sha256:{digest}",
        )


def _core_modules(nested: tuple[Nested, ...]) -> list[Nested]:
    found = [child for child in nested if child.kind is NestedKind.CORE_MODULE]
    for child in nested:
        found += _core_modules(child.children)
    return found


def _require_component(component: bytes) -> None:
    preamble = component[:PREAMBLE_BYTES]
    if preamble == MAGIC + CORE_VERSION:
        raise MalformedError(
            "is a core module, not a component",
            where="component",
            hint="`wasm-tools component new` makes a component of a core module",
        )
    if preamble != MAGIC + COMPONENT_VERSION:
        raise MalformedError(
            "not a WebAssembly component",
            where="component",
            expected=(MAGIC + COMPONENT_VERSION).hex(),
            got=preamble.hex() or "nothing",
        )


class _Content:
    """What one component was found to hold."""

    def __init__(self) -> None:
        self.imports: dict[str, None] = {}
        self.exports: dict[str, None] = {}
        self.children: list[Nested] = []
        self.producers: list[Producer] = []


class _Description:
    """One reading of one file; counts what the limits bound."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._nested_left = LIMITS.component_nested
        self._budget = WasmBudget()

    def whole(self) -> ComponentFacts:
        content = self._component(0, len(self._data), depth=1)
        return ComponentFacts(
            imports=tuple(sorted(content.imports)),
            exports=tuple(sorted(content.exports)),
            children=tuple(content.children),
            producers=tuple(content.producers),
        )

    def _component(self, start: int, end: int, *, depth: int) -> _Content:
        reader = WasmReader(self._data, start + PREAMBLE_BYTES, end)
        if depth > LIMITS.component_depth:
            raise reader.error("nested too deep", expected=f"at most {LIMITS.component_depth}")
        content = _Content()
        for section in reader.sections():
            self._budget.spend_section(reader)
            self._section(section, content, depth)
        return content

    def _section(self, section: Section, content: _Content, depth: int) -> None:
        reader = WasmReader(self._data, section.start, section.end)
        if section.id == _CUSTOM:
            if reader.name() == PRODUCERS_SECTION:
                content.producers += read_producers(reader, self._budget)
        elif section.id in (_CORE_MODULE, _COMPONENT):
            content.children.append(self._nested(section, depth))
        elif section.id == _IMPORT:
            for _ in range(reader.u32()):
                self._add_name(reader, content.imports, "import")
                _skip_extern_description(reader)
            reader.require_end()
        elif section.id == _EXPORT:
            for _ in range(reader.u32()):
                self._add_name(reader, content.exports, "export")
                _skip_export_target(reader)
            reader.require_end()
        elif section.id > _LAST_SECTION:
            raise reader.error("unknown section", got=str(section.id))

    def _nested(self, section: Section, depth: int) -> Nested:
        reader = WasmReader(self._data, section.start, section.end)
        self._nested_left -= 1
        if self._nested_left < 0:
            raise reader.error("too much nested", expected=f"at most {LIMITS.component_nested}")
        is_module = section.id == _CORE_MODULE
        preamble = MAGIC + (CORE_VERSION if is_module else COMPONENT_VERSION)
        seen = reader.take(PREAMBLE_BYTES)
        if seen != preamble:
            raise reader.error("wrong preamble", expected=preamble.hex(), got=seen.hex())
        children: tuple[Nested, ...] = ()
        found: CoreModuleFacts | _Content
        if is_module:
            found = describe_core_module(self._data, section.start, section.end, self._budget)
        else:
            found = self._component(section.start, section.end, depth=depth + 1)
            children = tuple(found.children)
        digest = hashlib.sha256(memoryview(self._data)[section.start : section.end])
        return Nested(
            kind=NestedKind.CORE_MODULE if is_module else NestedKind.COMPONENT,
            offset_bytes=section.start,
            size_bytes=section.end - section.start,
            sha256=Digest(algorithm=Algorithm.SHA256, hex=digest.hexdigest()),
            imports=tuple(sorted(found.imports)),
            exports=tuple(sorted(found.exports)),
            producers=tuple(found.producers),
            children=children,
        )

    def _add_name(self, reader: WasmReader, names: dict[str, None], what: str) -> None:
        # importname' and exportname': 0 and 1 are the same; 2 carries options that none of our
        # interfaces has, and skipping what could change a name's meaning is not reading it.
        self._budget.spend(reader)
        form = reader.byte()
        if form > 1:
            raise reader.error("unknown form of name", expected="0 or 1", got=str(form))
        name = self._budget.name(reader)
        if name in names:
            raise reader.error(f"{what} occurs twice", got=repr(name)[:80])
        names[name] = None


def _skip_export_target(reader: WasmReader) -> None:
    # export ::= name sortidx, then 0, or 1 and the type it is shown with
    sort = reader.byte()
    if sort == _CORE_SORT:
        _require_byte(reader, "core sort", _CORE_MODULE_SORT)
    elif sort not in (_FUNC_SORT, _TYPE_SORT, _COMPONENT_SORT, _INSTANCE_SORT):
        raise reader.error("unknown sort", got=str(sort))
    reader.u32()
    if _require_byte(reader, "option", 0, 1):
        _skip_extern_description(reader)


def _skip_extern_description(reader: WasmReader) -> None:
    # externdesc ::= core module | func | value | type with its bound | component | instance
    sort = reader.byte()
    if sort == _CORE_SORT:
        _require_byte(reader, "core sort", _CORE_MODULE_SORT)
        reader.u32()
    elif sort == _TYPE_SORT:
        if _require_byte(reader, "type bound", 0, 1) == 0:  # eq another type; 1 is a resource
            reader.u32()
    elif sort in (_FUNC_SORT, _COMPONENT_SORT, _INSTANCE_SORT):
        reader.u32()
    else:
        raise reader.error("unknown kind of import or export", got=str(sort))


def _require_byte(reader: WasmReader, what: str, *allowed: int) -> int:
    byte = reader.byte()
    if byte not in allowed:
        expected = " or ".join(str(value) for value in allowed)
        raise reader.error(f"unknown {what}", expected=expected, got=str(byte))
    return byte
