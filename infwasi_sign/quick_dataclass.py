"""``@dataclass`` for our values, made without compiling: a twentieth of the time at each start.

The standard library writes the methods of each dataclass as text and compiles it (PEP 557), which
takes 0.4 ms a class, and a run has more than a hundred. Here all classes share the same methods.
For type checkers this is `dataclasses.dataclass` itself, and at run time what else works with those
(``replace``, ``fields``, ``copy``) works with these (docs/adr/0021).

Only what ``frozen=True, slots=True`` means is made here, with ``kw_only=True`` or without. All
else, as a class that has a dataclass among its bases, is left to the standard library.
"""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, MISSING, Field, FrozenInstanceError, InitVar
from typing import TYPE_CHECKING, Any, ClassVar, Final, Never, get_origin

if TYPE_CHECKING or sys.version_info >= (3, 14):
    # From 3.14 on annotations are computed when they are asked for (PEP 649), and asking costs.
    from dataclasses import dataclass
else:

    def dataclass(cls=None, /, **options):
        """As the standard library's."""
        if cls is None:
            return lambda decorated: dataclass(decorated, **options)
        is_by_name = options.get("kw_only", False)
        if options | {"kw_only": True} == _OPTIONS and _is_plain(cls):
            return _made(cls, is_by_name)
        return dataclasses.dataclass(cls, **options)


__all__ = ("dataclass",)

_FIELDS: Final = "__dataclass_fields__"
_OPTIONS: Final = {"frozen": True, "kw_only": True, "slots": True}

_set = object.__setattr__


class _Plan:
    """What is particular to one class: its fields by name, and what they are unless it is said."""

    __slots__ = ("compared", "defaults", "factories", "names", "required", "shown")

    def __init__(self, names: tuple[str, ...], given: Mapping[str, Any]) -> None:
        fields = {name: value for name, value in given.items() if isinstance(value, Field)}
        self.names = names
        self.defaults = {n: v for n, v in given.items() if n not in fields}
        self.defaults |= {n: f.default for n, f in fields.items() if f.default is not MISSING}
        self.factories: dict[str, Callable[[], object]] = {
            n: f.default_factory for n, f in fields.items() if f.default_factory is not MISSING
        }
        self.required = frozenset(names) - self.defaults.keys() - self.factories.keys()
        self.shown = tuple(n for n in names if n not in fields or fields[n].repr)
        self.compared = tuple(n for n in names if n not in fields or fields[n].compare)


class _OfTheTwin:
    """A member that the standard library gives its dataclasses, asked of it when it is needed."""

    __slots__ = ("_body", "_is_by_name", "_name")

    def __init__(self, name: str, body: Mapping[str, object], is_by_name: bool) -> None:
        self._name = name
        self._body = body
        self._is_by_name = is_by_name

    def __get__(self, _: object, owner: type) -> object:
        body = type(owner.__name__, (), dict(self._body))
        twin: type
        if self._name == _FIELDS:  # they are the same without methods, which take the time
            twin = dataclasses.dataclass(
                init=False, repr=False, eq=False, kw_only=self._is_by_name
            )(body)
        else:
            twin = dataclasses.dataclass(frozen=True, kw_only=self._is_by_name, slots=True)(body)
        found = getattr(twin, self._name)
        if isinstance(vars(owner).get(self._name), _OfTheTwin):  # else it is a base of the owner
            setattr(owner, self._name, found)
        return found


def _annotations(cls: type) -> Mapping[str, object]:
    """The names that a class's own body declares, in their order, and their types."""
    declared: Mapping[str, object] = vars(cls).get("__annotations__", {})
    return declared


def _is_plain(cls: type) -> bool:
    """Whether nothing in the class needs more than `_Plan` has."""
    if any(_FIELDS in vars(base) for base in cls.__mro__[1:]):
        return False
    if "__setattr__" in vars(cls) or "__delattr__" in vars(cls):  # which they refuse
        return False
    for name, kind in _annotations(cls).items():
        value = vars(cls).get(name)
        if isinstance(value, Field) and (not value.init or value.hash is not None):
            return False
        if _is_no_field(kind):
            return False
    return True


def _is_no_field(kind: object) -> bool:
    if isinstance(kind, str):  # from a module with `from __future__ import annotations`
        return any(word in kind for word in ("ClassVar", "InitVar", "KW_ONLY"))
    return kind is KW_ONLY or ClassVar in {kind, get_origin(kind)} or isinstance(kind, InitVar)


def _made(cls: type, is_by_name: bool) -> type:
    """The class anew, with the methods and with slots, which cannot be added to one that is."""
    declared = _annotations(cls)
    given = {name: vars(cls)[name] for name in declared if name in vars(cls)}
    told = {"__doc__": cls.__doc__, "__module__": cls.__module__}  # else `inspect` is asked for one
    twin = {"__annotations__": dict(declared), **told, **given}
    left_out = {*declared, "__dict__", "__weakref__"}
    space: dict[str, Any] = {n: v for n, v in vars(cls).items() if n not in left_out}
    methods = _METHODS if is_by_name else _METHODS | {"__init__": _init_in_order}
    for name, method in methods.items():
        if space.get(name) is None:  # a class with an __eq__ of its own has None for its hash
            space[name] = method
    space |= {
        "__slots__": tuple(declared),
        "__match_args__": () if is_by_name else tuple(declared),
        "__quick_plan__": _Plan(tuple(declared), given),
        _FIELDS: _OfTheTwin(_FIELDS, twin, is_by_name),
        "__dataclass_params__": _OfTheTwin("__dataclass_params__", twin, is_by_name),
    }
    made = type(cls)(cls.__name__, cls.__bases__, space)
    made.__qualname__ = cls.__qualname__
    return made


# --- the methods, which know their class by its plan -----------------------------------------


def _init(self: Any, /, **given: object) -> None:
    plan: _Plan = self.__quick_plan__
    if not plan.required <= given.keys():
        missing = ", ".join(sorted(plan.required - given.keys()))
        raise TypeError(f"{type(self).__qualname__} without {missing}")
    used = 0
    for name in plan.names:
        if name in given:
            _set(self, name, given[name])
            used += 1
        elif name in plan.defaults:
            _set(self, name, plan.defaults[name])
        else:
            _set(self, name, plan.factories[name]())
    if used != len(given):
        unknown = ", ".join(sorted(given.keys() - set(plan.names)))
        raise TypeError(f"{type(self).__qualname__} has no {unknown}")
    if hasattr(self, "__post_init__"):
        self.__post_init__()


def _init_in_order(self: Any, /, *values: object, **given: object) -> None:
    names = self.__quick_plan__.names
    if len(values) > len(names):
        raise TypeError(f"{type(self).__qualname__} has {len(names)} fields, not {len(values)}")
    _init(self, **dict(zip(names, values, strict=False)), **given)


def _repr(self: Any) -> str:
    shown = (f"{name}={getattr(self, name)!r}" for name in self.__quick_plan__.shown)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _values(self: Any) -> tuple[object, ...]:
    return tuple(getattr(self, name) for name in self.__quick_plan__.compared)


def _equals(self: Any, other: object) -> object:  # a bool, or NotImplemented
    if type(other) is not type(self):
        return NotImplemented
    return _values(self) == _values(other)


def _hash(self: Any) -> int:
    return hash(_values(self))


def _refuse(self: object, name: str, *_: object) -> Never:  # noqa: ARG001 - of __setattr__
    raise FrozenInstanceError(f"cannot change field {name!r}")


def _get_state(self: Any) -> list[object]:
    return [getattr(self, name) for name in self.__quick_plan__.names]


def _set_state(self: Any, state: list[object]) -> None:
    for name, value in zip(self.__quick_plan__.names, state, strict=True):
        _set(self, name, value)


_METHODS: Final[dict[str, object]] = {
    "__init__": _init,
    "__repr__": _repr,
    "__eq__": _equals,
    "__hash__": _hash,
    "__setattr__": _refuse,
    "__delattr__": _refuse,
    "__getstate__": _get_state,
    "__setstate__": _set_state,
}
