"""What a core module says about itself: imports, exports, producers.

A strict reader of the two sections that have names (WebAssembly core specification 3.0, chapter 5);
types and code are the business of the engine that compiles them.
"""

from typing import Final

from infwasi_sign.domain.wasm_binary import PREAMBLE_BYTES, Section, WasmBudget, WasmReader
from infwasi_sign.quick_dataclass import dataclass

PRODUCERS_SECTION: Final = "producers"
_CUSTOM, _IMPORT, _EXPORT = 0, 2, 7

# Sections stand in this order, each at most once, custom ones anywhere (section 5.5.16): tags
# between memories and globals, the data count before the code.
_ORDER: Final = {
    section: at for at, section in enumerate((1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11))
}

_FUNCTION, _TABLE, _MEMORY, _GLOBAL, _TAG = range(5)  # section 5.5.5
_REFERENCES: Final = frozenset({0x63, 0x64})  # with a heap type behind them (section 5.3.4)
_ABSTRACT_HEAP_TYPES: Final = frozenset(range(0x69, 0x75))  # exn to noexn (section 5.3.3)
_VALUE_TYPES: Final = frozenset(range(0x7B, 0x80)) | _ABSTRACT_HEAP_TYPES  # and v128 to i32
_HAS_MAXIMUM, _IS_64_BIT, _LIMIT_FLAGS = 1, 4, 7  # section 5.3.10; 2 is shared (threads proposal)


@dataclass(frozen=True, kw_only=True, slots=True)
class Producer:
    """One entry of the `producers` section: `processed-by`, `wit-component`, `0.262.0`."""

    field: str
    name: str
    version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CoreModuleFacts:
    """Names are sorted, each once; an import is `module.name`."""

    imports: tuple[str, ...]
    exports: tuple[str, ...]
    producers: tuple[Producer, ...]


def describe_core_module(data: bytes, start: int, end: int, budget: WasmBudget) -> CoreModuleFacts:
    """Read the names of the core module in ``data[start:end]``, whose preamble is known.

    Raises:
        MalformedError: sections are out of order, or one with names is not what it must be.
    """
    imports: dict[str, None] = {}
    exports: dict[str, None] = {}
    producers: list[Producer] = []
    last = -1
    for section in WasmReader(data, start + PREAMBLE_BYTES, end).sections():
        reader = WasmReader(data, section.start, section.end)
        budget.spend_section(reader)
        if section.id == _CUSTOM:
            if reader.name() == PRODUCERS_SECTION:
                producers += read_producers(reader, budget)
            continue
        last = _place(section, reader, last)
        if section.id == _IMPORT:
            _read_imports(reader, imports, budget)
        elif section.id == _EXPORT:
            _read_exports(reader, exports, budget)
    return CoreModuleFacts(
        imports=tuple(sorted(imports)), exports=tuple(sorted(exports)), producers=tuple(producers)
    )


def read_producers(reader: WasmReader, budget: WasmBudget) -> list[Producer]:
    """The entries in the order of the file; the reader stands behind the section's name.

    Source: github.com/WebAssembly/tool-conventions, ProducersSection.md.

    Raises:
        MalformedError: they are cut off, or bytes are left over, or there are too many names.
    """
    found = []
    for _ in range(reader.u32()):
        budget.spend(reader)
        field = budget.name(reader)
        for _ in range(reader.u32()):
            budget.spend(reader)
            name, version = budget.name(reader), budget.name(reader)
            found.append(Producer(field=field, name=name, version=version))
    reader.require_end()
    return found


def _place(section: Section, reader: WasmReader, last: int) -> int:
    place = _ORDER.get(section.id)
    if place is None:
        raise reader.error("unknown section", got=str(section.id))
    if place <= last:
        raise reader.error("section is out of order", got=str(section.id))
    return place


def _read_imports(reader: WasmReader, imports: dict[str, None], budget: WasmBudget) -> None:
    for _ in range(reader.u32()):
        budget.spend(reader)
        imports[f"{budget.name(reader)}.{budget.name(reader)}"] = None
        kind = reader.byte()
        if kind == _FUNCTION:
            reader.u32()
        elif kind == _TABLE:
            _skip_type(reader, _ABSTRACT_HEAP_TYPES)
            _skip_limits(reader)
        elif kind == _MEMORY:
            _skip_limits(reader)
        elif kind == _GLOBAL:
            _skip_type(reader, _VALUE_TYPES)
            _require_at_most(reader, "mutability", 1)
        elif kind == _TAG:
            _require_at_most(reader, "attribute of a tag", 0)
            reader.u32()
        else:
            raise reader.error("unknown kind of import", got=str(kind))
    reader.require_end()


def _read_exports(reader: WasmReader, exports: dict[str, None], budget: WasmBudget) -> None:
    for _ in range(reader.u32()):
        budget.spend(reader)
        name = budget.name(reader)
        if name in exports:
            raise reader.error("export occurs twice", got=repr(name)[:80])
        exports[name] = None
        _require_at_most(reader, "kind of export", _TAG)
        reader.u32()
    reader.require_end()


def _skip_type(reader: WasmReader, known: frozenset[int]) -> None:
    byte = reader.byte()
    if byte in _REFERENCES:
        reader.s33()
    elif byte not in known:
        raise reader.error("unknown type", got=f"0x{byte:02x}")


def _skip_limits(reader: WasmReader) -> None:
    flags = _require_at_most(reader, "form of limits", _LIMIT_FLAGS)
    for _ in range(2 if flags & _HAS_MAXIMUM else 1):
        if flags & _IS_64_BIT:
            reader.u64()
        else:
            reader.u32()


def _require_at_most(reader: WasmReader, what: str, most: int) -> int:
    byte = reader.byte()
    if byte > most:
        raise reader.error(f"unknown {what}", expected=f"at most {most}", got=str(byte))
    return byte
