"""Dataclasses that are made without compiling do what those of the standard library do."""

import copy
import dataclasses
import pickle
import sys
from collections.abc import Callable
from dataclasses import InitVar, field
from typing import Any, ClassVar

import pytest

from infwasi_sign import quick_dataclass
from infwasi_sign.quick_dataclass import dataclass

Decorator = Callable[..., Any]


def sample(decorator: Decorator) -> Any:
    """The same class by either decorator."""

    @decorator(frozen=True, kw_only=True, slots=True)
    class Sample:
        """With all that our classes use."""

        name: str
        size: int = 3
        secret: str = field(default="s", repr=False)
        note: str = field(default="", compare=False)
        words: list[str] = field(default_factory=list)
        checked: tuple[str, ...] = ()

        def __post_init__(self) -> None:
            if self.size < 0:
                raise ValueError("negative")

        @property
        def both(self) -> str:
            return f"{self.name} {self.size}"

    return Sample


pytestmark = pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="there it is the standard library's"
)

OURS, THEIRS = sample(dataclass), sample(dataclasses.dataclass)


def test_it_is_made_here_and_not_there() -> None:
    assert OURS.__init__ is quick_dataclass._init
    assert THEIRS.__init__ is not quick_dataclass._init


@pytest.mark.parametrize(
    "ask",
    [
        lambda made: repr(made(name="a", size=1, words=["x"])),
        lambda made: made(name="a").both,
        lambda made: made(name="a") == made(name="a"),
        lambda made: made(name="a") == made(name="b"),
        lambda made: made(name="a", secret="t") == made(name="a"),
        lambda made: made(name="a", note="n") == made(name="a"),
        lambda made: made(name="a") != "a",
        lambda made: hash(made(name="a", words=())) == hash(made(name="a", words=(), note="n")),
        lambda made: made(name="a").words is made(name="a").words,
        lambda made: made.__slots__,
        lambda made: made.__match_args__,
        lambda made: made.__qualname__,
        lambda made: made.__doc__,
        lambda made: hasattr(made(name="a"), "__dict__"),
        dataclasses.is_dataclass,
        lambda made: dataclasses.asdict(made(name="a")),
        lambda made: [(f.name, f.default, f.repr) for f in dataclasses.fields(made) if f.default],
        lambda made: repr(dataclasses.replace(made(name="a"), size=9)),
        lambda made: copy.copy(made(name="a")) == made(name="a"),
        lambda made: copy.deepcopy(made(name="a")) == made(name="a"),
        lambda made: sorted(made.__annotations__),
    ],
)
def test_it_answers_as_the_standard_librarys(ask: Callable[[Any], object]) -> None:
    ours, theirs = ask(OURS), ask(THEIRS)
    assert str(ours).replace("<MISSING", "") == str(theirs).replace("<MISSING", "")


@pytest.mark.parametrize(
    "act",
    [
        lambda made: made(),
        lambda made: made(name="a", colour="red"),
        lambda made: made("a"),
        lambda made: made(name="a", size=-1),
        lambda made: setattr(made(name="a"), "name", "b"),
        lambda made: delattr(made(name="a"), "name"),
        lambda made: dataclasses.replace(made(name="a"), colour="red"),
        lambda made: hash(made(name="a")),  # it has a list
    ],
)
def test_it_refuses_as_the_standard_librarys(act: Callable[[Any], object]) -> None:
    refusals = []
    for made in (OURS, THEIRS):
        with pytest.raises((TypeError, ValueError, AttributeError)) as refused:
            act(made)
        refusals.append(refused.type)
    assert refusals[0] is refusals[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """One that pickle finds again by its name."""

    number: int


def test_it_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(Kept(number=3))) == Kept(number=3)  # noqa: S301 - ours


def test_a_class_whose_equality_is_its_own_keeps_it() -> None:
    @dataclass(frozen=True, kw_only=True, slots=True)
    class Loose:
        number: int

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Loose)

        def __hash__(self) -> int:
            return 7

    assert Loose(number=1) == Loose(number=2)
    assert hash(Loose(number=1)) == 7


def test_what_needs_more_is_left_to_the_standard_library() -> None:
    @dataclass(frozen=True, kw_only=True, slots=True)
    class Proved:
        proof: InitVar[int]
        number: int = 0

        def __post_init__(self, proof: int) -> None:
            assert proof == 7

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Counted:
        count: ClassVar[int] = 1
        number: int = 0

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Derived(Kept):
        more: int

    @dataclass(slots=True)
    class Changing:
        number: int

    others: tuple[Any, ...] = (Proved, Counted, Derived, Changing)
    for made in others:
        assert made.__init__ is not quick_dataclass._init
    assert repr(Proved(proof=7)).endswith("Proved(number=0)")
    assert (Counted.count, Counted().number) == (1, 0)
    assert Derived(number=1, more=2).number == 1


def in_order(decorator: Decorator) -> Any:
    @decorator(frozen=True, slots=True)
    class Place:
        line: int
        column: int = 1

    return Place


@pytest.mark.parametrize(
    "ask",
    [
        lambda made: repr(made(3)),
        lambda made: made(3, 1) == made(3) == made(line=3) == made(3, column=1),
        lambda made: made.__match_args__,
        lambda made: [field.kw_only for field in dataclasses.fields(made)],
        lambda made: repr(dataclasses.replace(made(3), line=4)),
        lambda made: [type(error_of(made, *values)) for values in ((), (1, 2, 3))],
        lambda made: type(error_of(made, 1, line=2)),
    ],
)
def test_fields_may_be_given_in_their_order(ask: Callable[[Any], object]) -> None:
    ours, theirs = in_order(dataclass), in_order(dataclasses.dataclass)
    assert ours.__init__ is quick_dataclass._init_in_order
    assert str(ask(ours)) == str(ask(theirs))


def error_of(made: Any, *values: object, **given: object) -> Exception:
    with pytest.raises(TypeError) as refused:
        made(*values, **given)
    return refused.value


def test_what_the_standard_library_refuses_is_left_to_it() -> None:
    with pytest.raises(TypeError, match="Cannot overwrite attribute __setattr__"):

        @dataclass(frozen=True, slots=True)
        class Open:
            number: int

            def __setattr__(self, name: str, value: object) -> None:
                object.__setattr__(self, name, value)
