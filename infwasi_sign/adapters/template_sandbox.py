"""The sandbox of chat templates: jinja2 with a meter (the other half of its one door).

What bounds a template:

- its size: ``LIMITS.chat_template_bytes``
- steps: each round of a loop and each call of a macro pays for all the nodes of its body, and each
  operation for the sizes of what it reads and makes
- sizes: no text over ``_PART`` and no answer over ``_TEXT``, no collection over ``_ITEMS`` (all
  levels counted), no range over ``_RANGE``, no integer over 64 bits; checked before the operation
  that would make it
- reach: the filters, functions and attributes named here, and no others
- what is left (one long C call of the interpreter) is bounded by the watcher of the process
"""

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from itertools import islice
from typing import Any, Final, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.filters import FILTERS
from jinja2.runtime import Context, LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from infwasi_sign.adapters.chat_placeholders import MessageText
from infwasi_sign.domain.limits import KIB, LIMITS
from infwasi_sign.errors import UndecidedError

_TEXT: Final = 4 * LIMITS.chat_template_bytes  # all that is printed; placeholders stay 18 long
_PART: Final = 64 * KIB  # any text that an operation makes; the longest published one is 30 KiB
_ITEMS: Final = 20_000  # 4,096 messages of a role and a content, and room
_RANGE: Final = 4_096
_STEPS: Final = 500_000  # about 25 per message in SmolLM2's template
_WORD_BITS: Final = 64
_CHARACTERS_PER_STEP: Final = 64  # the slowest operations on texts take about 20 ns a character
_ITEMS_PER_STEP: Final = 16  # and on collections 100 ns an item


class RaisedByTemplateError(TemplateError):
    """The template called raise_exception."""


def _stop(what: str) -> NoReturn:
    raise UndecidedError(f"chat template {what}")


def _weight(value: object, limit: int) -> int:
    """How many items a collection has on all levels; counting ends beyond ``limit``."""
    if isinstance(value, Mapping):
        children: Iterable[object] = value.values()
    elif isinstance(value, list | tuple):
        children = value
    else:
        return 1
    total = 1
    for child in children:
        if total > limit:
            break
        total += _weight(child, limit - total)
    return total


def _price(value: object) -> int:
    """The steps that it takes to read or make a value, if it is not too large."""
    if isinstance(value, str):
        if str.__len__(value) > _PART:
            _stop(f"makes a text longer than {_PART} characters")
        return len(value) // _CHARACTERS_PER_STEP
    if isinstance(value, int):
        if value.bit_length() > _WORD_BITS:
            _stop(f"makes a number of more than {_WORD_BITS} bits")
    elif isinstance(value, list | tuple | Mapping):
        weight = _weight(value, _ITEMS)
        if weight > _ITEMS:
            _stop(f"makes a collection of more than {_ITEMS} items")
        return weight // _ITEMS_PER_STEP + _characters(value) // _CHARACTERS_PER_STEP
    return 0


def _characters(value: object) -> int:
    """Of all texts in a collection, on all levels; how many they are is bounded already."""
    if isinstance(value, str):
        return str.__len__(value)
    if isinstance(value, Mapping):
        return sum(map(_characters, value.values()))
    return sum(map(_characters, value)) if isinstance(value, list | tuple) else 0


def _checked(value: Any) -> Any:
    """The value, if it is not too large."""
    _price(value)
    return value


def _text(value: object) -> str:
    """A value as the template prints it; collections are not printed."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool | int | float | Undefined) or value is None:
        return str(value)
    _stop(f"prints a {type(value).__name__}")


def _price_of_filter(name: str, args: tuple[object, ...]) -> int:
    """The steps to read what a filter is given; one that asks compares each item with the rest."""
    if name in _CHEAP:
        return 0
    read, *rest = [arg for arg in args if not isinstance(arg, Context)]
    price = _price(read)
    if name in _ASKING:
        items = len(read) if isinstance(read, Sized) else _ITEMS
        price += items * sum(map(_price, rest))
    return price


def _joined(values: Iterable[object], limit: int = _PART) -> str:
    parts: list[str] = []
    size = 0
    for value in values:
        text = _text(value)
        size += len(text)
        if size > limit:
            _stop(f"makes a text longer than {limit} characters")
        parts.append(text)
    return "".join(parts)


def _replaced(text: str, old: str, new: str, count: int = -1) -> str:
    old, new = _text(old), _text(new)
    found = text.count_of(old) if isinstance(text, MessageText) else text.count(old)
    size = len(text) + found * len(new)
    if size > LIMITS.prompt_bytes + _PART:
        _stop("replaces one text by a longer one too often")
    return text.replace(old, new, count)


def _joined_by(value: Iterable[object], d: str = "", attribute: str | None = None) -> str:
    def parts() -> Iterator[object]:
        for number, item in enumerate(value):
            if number:
                yield d
            yield item[attribute] if attribute is not None and isinstance(item, dict) else item

    return _joined(parts())


def _as_json(value: object, indent: int | None = None, **_others: object) -> str:
    if isinstance(value, MessageText):
        _stop("writes a message as JSON")
    depth = None if indent is None else max(0, min(int(indent), 8))
    encoder = json.JSONEncoder(ensure_ascii=False, indent=depth)
    return _joined(encoder.iterencode(_checked(value)))


def _ranged(*edges: int) -> range:
    found = range(*edges)
    if len(found) > _RANGE:
        _stop(f"counts over more than {_RANGE} numbers")
    return found


def _raise_exception(message: object = "") -> NoReturn:
    raise RaisedByTemplateError(_text(message)[:200])


def _listed(value: Iterable[object]) -> list[object]:
    found = list(islice(value, _ITEMS + 1))
    return list(_checked(found))


_PLAIN_FILTERS_WORDS: Final = (
    "abs capitalize count d default dictsort escape e first float forceescape int items"
    " last length lower map max min reject rejectattr reverse safe select selectattr sort"
    " sum title trim unique upper"
)
_STR_WORDS: Final = (
    "capitalize count endswith find index isalnum isalpha isdigit isspace isupper islower"
    " lower lstrip removeprefix removesuffix rfind rsplit rstrip split splitlines startswith"
    " strip title upper"
)
_CHEAP: Final = frozenset(("count", "d", "default", "first", "last", "length", "string"))
_ASKING: Final = frozenset(("reject", "rejectattr", "select", "selectattr"))
_PLAIN_FILTERS: Final = tuple(_PLAIN_FILTERS_WORDS.split())
_STR: Final = frozenset(_STR_WORDS.split())
_DICT: Final = frozenset(("get", "items", "keys", "values"))
_LIST: Final = frozenset(("count", "index"))


class SandboxEnvironment(ImmutableSandboxedEnvironment):
    """Jinja as chat templates know it, with a meter."""

    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%", "**"))

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,
            cache_size=0,
            finalize=_text,
            extensions=["jinja2.ext.loopcontrols"],
        )
        self._left = _STEPS
        self.globals = {
            "range": _ranged,
            "namespace": Namespace,
            "raise_exception": _raise_exception,
        }
        plain = {name: self._metered(name, FILTERS[name]) for name in _PLAIN_FILTERS}
        own: dict[str, Callable[..., Any]] = {
            "join": _joined_by,
            "list": _listed,
            "replace": _replaced,
            "string": _text,
            "tojson": _as_json,
        }
        self.filters = plain | {name: self._metered(name, filter_) for name, filter_ in own.items()}
        self.concat = functools.partial(_joined, limit=_TEXT)  # type: ignore[method-assign]  # jinja2 reads it as an attribute

    def metered_template(self, source: str) -> Template:
        """Parse, put the meter in, compile."""
        return self.from_string(_Metered().visit(self.parse(source)))

    def tick(self, cost: int) -> str:
        """Pay for a round of a loop or for a call."""
        self._left -= cost
        if self._left < 0:
            _stop(f"takes more than {_STEPS} steps")
        return ""

    def joined(self, values: list[object]) -> str:
        """The operator ``~``."""
        return _joined(values)

    def weighed(self, value: Any) -> Any:
        """A list, tuple or dict that the template has just written, or what it compares."""
        self.tick(_price(value))
        return value

    def _metered(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)  # keeps the marks of filters that want the context
        def call(*args: Any, **kwargs: Any) -> Any:
            self.tick(1 + _price_of_filter(name, args))
            return self.weighed(function(*args, **kwargs))

        return call

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic, with the size of the result known before it is made."""
        match operator:
            case "**":
                _stop("raises to a power")
            case "%" if isinstance(left, str):
                _stop("formats a text")
            case "*" if isinstance(left, str | list | tuple) or isinstance(
                right, str | list | tuple
            ):
                many, times = (left, right) if isinstance(right, int) else (right, left)
                if not isinstance(times, int) or times * max(1, len(many)) > _ITEMS:
                    _stop("repeats a text too often")
            case _:
                pass
        return self.weighed(super().call_binop(context, operator, left, right))

    def call(  # jinja2's names, which no keyword of a template can collide with
        __self,  # noqa: N805 - see above
        __context: Context,
        __obj: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Call a function, method or macro."""
        __self.tick(1 + _price(getattr(__obj, "__self__", None)))
        return __self.weighed(super().call(__context, __obj, *args, **kwargs))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:  # noqa: ARG002 - jinja2's
        """Whether a template may read ``obj.attr``."""
        if isinstance(obj, str):
            return attr in _STR
        if isinstance(obj, Mapping):
            return attr in _DICT
        if isinstance(obj, list | tuple):
            return attr in _LIST
        return isinstance(obj, Namespace | LoopContext) and not attr.startswith("_")

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """The two methods of texts that can make large ones; ``format`` is not offered."""
        owner = getattr(value, "__self__", None)
        if not isinstance(owner, str):
            return None
        match getattr(value, "__name__", ""):
            case "replace":
                return functools.partial(_replaced, owner)
            case "join":
                return lambda values: _joined_by(values, str(owner))
            case _:
                return None

    def is_safe_callable(self, obj: Any) -> bool:
        """Whether a template may call this; types are not called, but for ``namespace``."""
        return obj is Namespace or not isinstance(obj, type)


class _Metered(NodeTransformer):
    """Puts the meter into a parsed template: loops, macros, ``~`` and written collections."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - jinja2 looks for it
        return self._paid(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802 - jinja2 looks for it
        return self._paid(node)

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:  # noqa: N802 - jinja2 looks for it
        return self._paid(node)

    def visit_Block(self, node: nodes.Block) -> nodes.Node:  # noqa: N802 - jinja2 looks for it
        return self._paid(node)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802 - jinja2 looks for it
        self.generic_visit(node)
        return _weighed(node) if isinstance(node.arg, nodes.Slice) else node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - jinja2 looks for it
        parts = [self.visit(part) for part in node.nodes]
        return _call("joined", nodes.List(parts, lineno=node.lineno), node.lineno)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802 - jinja2 looks for it
        self.generic_visit(node)
        node.expr = _weighed(node.expr)
        for operand in node.ops:
            operand.expr = _weighed(operand.expr)
        return node

    def visit_Test(self, node: nodes.Test) -> nodes.Node:  # noqa: N802 - jinja2 looks for it
        self.generic_visit(node)
        if node.args:  # a comparison by another name
            node.node = _weighed(node.node)
            node.args = [_weighed(argument) for argument in node.args]
        return node

    def visit_List(self, node: nodes.List) -> nodes.Node:  # noqa: N802 - jinja2 looks for it
        return _call("weighed", self.generic_visit(node), node.lineno)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:  # noqa: N802 - jinja2 looks for it
        return _call("weighed", self.generic_visit(node), node.lineno)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802 - jinja2 looks for it
        visited = self.generic_visit(node)
        return visited if node.ctx != "load" else _call("weighed", visited, node.lineno)

    def _paid(self, node: nodes.For | nodes.Macro | nodes.CallBlock | nodes.Block) -> nodes.Node:
        cost = sum(1 for _ in node.find_all(nodes.Node))
        self.generic_visit(node)
        price = nodes.Const(cost, lineno=node.lineno)
        pay = _call("tick", price, node.lineno)
        node.body.insert(0, nodes.ExprStmt(pay, lineno=node.lineno))
        return node


def _weighed(node: nodes.Expr) -> nodes.Call:
    return _call("weighed", node, node.lineno)


def _call(method: str, argument: nodes.Node, line: int) -> nodes.Call:
    function = nodes.EnvironmentAttribute(method, lineno=line)
    return nodes.Call(function, [argument], [], None, None, lineno=line)
