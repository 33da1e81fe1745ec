"""What a component imports and exports, as text that can be compared.

Part of the one door to wasmtime (see ``wasm_host``). It is read when the code is made, beside
llama.cpp, and held to what is granted when somebody asks for an answer.
"""

from collections.abc import Mapping
from typing import TypeAlias

from wasmtime import Engine
from wasmtime.component import (
    BorrowType,
    Component,
    ComponentInstanceType,
    EnumType,
    FuncType,
    ListType,
    OptionType,
    OwnType,
    RecordType,
    ResultType,
    TupleType,
    ValType,
    VariantType,
)

from infwasi_sign.quick_dataclass import dataclass

Members: TypeAlias = Mapping[str, str | None]
"""Of an interface, by name: the type of each function; ``None`` for what is no function."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interfaces:
    """Both sides of a component, by name; ``None`` for what is no interface."""

    imports: Mapping[str, Members | None]
    exports: Mapping[str, Members | None]


def interfaces(engine: Engine, component: Component) -> Interfaces:
    """Those of a component that ``engine`` has compiled."""
    ty = component.type
    return Interfaces(
        imports={name: _members(engine, item.ty) for name, item in ty.imports(engine).items()},
        exports={name: _members(engine, item.ty) for name, item in ty.exports(engine).items()},
    )


def _members(engine: Engine, item: object) -> Members | None:
    if not isinstance(item, ComponentInstanceType):
        return None
    return {
        name: signature(member.ty) if isinstance(member.ty, FuncType) else None
        for name, member in item.exports(engine).items()
    }


def signature(ty: FuncType) -> str:
    """A function type on one line: parameters without names, resources as `own` and `borrow`."""
    result = ty.result
    params = ", ".join(_shape(param) for _, param in ty.params)
    return f"({params}) -> {'nothing' if result is None else _shape(result)}"


def _shape(ty: ValType | None) -> str:  # noqa: PLR0911 - one return per kind of type
    match ty:
        case ListType():
            return f"list<{_shape(ty.element)}>"
        case OptionType():
            return f"option<{_shape(ty.payload)}>"
        case ResultType():
            return f"result<{_shape(ty.ok)}, {_shape(ty.err)}>"
        case TupleType():
            return f"tuple<{', '.join(map(_shape, ty.elements))}>"
        case EnumType():
            return f"enum{{{' '.join(ty.names)}}}"
        case RecordType():
            return f"record{{{', '.join(f'{name}: {_shape(t)}' for name, t in ty.fields)}}}"
        case VariantType():
            return f"variant{{{' '.join(f'{name}({_shape(t)})' for name, t in ty.cases)}}}"
        case OwnType():
            return "own"
        case BorrowType():
            return "borrow"
        case None:
            return "_"
        case _:  # the plain types: bool, u8 to s64, f32, f64, char, string
            return type(ty).__name__.lower()
