"""Calls into a guest and from it whose types are looked up once, not at every call.

Part of the one door to wasmtime. wasmtime-py 50 asks for the type of a function anew at each call,
and for the types in it at each value: a token through a guest made about forty such objects, and
they took more time than all else that it costs. Types do not change, so here each is asked for once
(``known``); values are converted by wasmtime-py itself, and checked as before.
"""

import ctypes
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Final, cast

from wasmtime import StoreContext, WasmtimeError
from wasmtime import _ffi as ffi
from wasmtime.component import (
    Func,
    FuncType,
    ListType,
    OptionType,
    ResultType,
    TupleType,
    ValType,
    VariantType,
)
from wasmtime.component._enter import catch_exceptions
from wasmtime.component._linker import FUNCTIONS, LinkerInstance, func_finalize

# What each kind of type computes anew whenever it is asked.
_PROPERTIES: Final[Mapping[type, tuple[str, ...]]] = {
    ListType: ("element",),
    OptionType: ("payload",),
    ResultType: ("ok", "err"),
    TupleType: ("elements",),
    VariantType: ("cases",),
    FuncType: ("params", "result"),
}
_METHODS: Final = ("_is_bytes", "_tagged", "_cases")


def known(ty: Any) -> Any:
    """The same type, which from now on remembers what is in it; nested ones likewise."""
    match ty:
        case list():
            return [known(one) for one in ty]
        case tuple():
            return tuple(known(one) for one in ty)
        case _:
            remembering = _REMEMBERING.get(type(ty))
            if remembering is not None:
                ty.__class__ = remembering
            return ty


def _remembering(kind: type) -> type:
    members: dict[str, Any] = {}
    for name in _PROPERTIES[kind]:
        members[name] = cached_property(_ask(getattr(kind, name).fget))
    for name in _METHODS:
        if hasattr(kind, name):
            members[name] = _once(name, getattr(kind, name))
    return type(f"Known{kind.__name__}", (kind,), members)


def _ask(get: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda self: known(get(self))


def _once(name: str, method: Callable[[Any], Any]) -> Callable[[Any], Any]:
    key = f"once{name}"

    def get(self: Any) -> Any:
        found = self.__dict__.get(key, self)  # never a value of these methods
        if found is self:
            found = self.__dict__[key] = method(self)
        return found

    return get


_REMEMBERING: Final[Mapping[type, type]] = {kind: _remembering(kind) for kind in _PROPERTIES}


def with_known_type(function: Func, store: Any) -> Func:
    """The same function; its type is the one of now, for it has no other later."""
    ty = known(function.type(store))
    function.type = lambda _: ty  # type: ignore[method-assign, assignment]  # what `__call__` asks
    return function


# --- from the guest --------------------------------------------------------------------------


class _HostFunction:
    """A function that guests call. It is defined for one request, so it has one type."""

    __slots__ = ("_call", "_params", "_result")

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self._params: list[ValType] | None = None
        self._result: ValType | None = None

    def __call__(self, store: StoreContext, ty: Any, args: Any, count: int, results: Any) -> None:
        if self._params is None:
            with FuncType._from_ptr(ty, owner=store) as found:
                self._params = [known(param) for _, param in found.params]
                self._result = known(found.result)
        if len(self._params) != count:
            raise WasmtimeError("a function is called as one of another type")
        values = [param.convert_from_c(args[at]) for at, param in enumerate(self._params)]
        result = self._call(store, *values)
        if self._result is not None:
            self._result.convert_to_c(store, result, results)


def add_function(instance: LinkerInstance, name: str, function: Callable[..., Any]) -> None:
    """As ``LinkerInstance.add_func``, with types that are looked up once."""
    encoded = name.encode()
    number = FUNCTIONS.allocate(_HostFunction(function))
    error = ffi.wasmtime_component_linker_instance_add_func(
        instance.ptr(),
        ctypes.create_string_buffer(encoded),
        len(encoded),
        _from_guest,
        number,
        func_finalize,
    )
    if error:  # type: ignore[truthy-bool]  # a pointer of ctypes is false where it is NULL
        raise WasmtimeError._from_ptr(error)


@ffi.wasmtime_component_func_callback_t  # type: ignore[untyped-decorator]  # it is ctypes'
def _from_guest(  # noqa: PLR0917 - the C API's order
    number: Any, context: Any, ty: Any, args: Any, count: int, results: Any, _: int
) -> Any:
    def run(store: StoreContext) -> None:
        function = cast("_HostFunction", FUNCTIONS.get(number or 0))
        function(store, ty, args, count, results)

    return catch_exceptions(context, run)
