"""The front matter of a model's README.md, as Hugging Face has it, read as strictly as ours.

Only the block between the first two lines `---` is looked at. Of YAML 1.1 it may use mappings,
sequences and texts: anchors, aliases, tags, merge keys, directives and a second document are
refused, and so are keys that stand twice. Every scalar is a text, as it is written: `no` is
Norwegian and `1.10` is a version. Source of the keys: the model card specification in
huggingface/hub-docs (modelcard.md).
"""

import re
from collections.abc import Iterator
from typing import Final, TypeAlias

import yaml

from infwasi_sign.domain.declared import Declared
from infwasi_sign.domain.declared_codec import read_declared
from infwasi_sign.domain.declared_hub import hub_tree, name_in_front_matter
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import UndecidedError
from infwasi_sign.quick_dataclass import dataclass

Yaml: TypeAlias = "str | list[Yaml] | dict[str, Yaml] | None"
"""What a block says; ``None`` is a value that is left out."""

_MARK: Final = b"---"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
# YAML 1.1, "null": what is written so says nothing. Nothing else is more than the text it is.
_NOTHING: Final = frozenset({"", "~", "null", "Null", "NULL"})


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontMatter:
    """What a README declares, and the keys of it that mean nothing to us."""

    declared: Declared
    passed_over: tuple[str, ...]


def has_front_matter(data: bytes) -> bool:
    """Whether a file begins as one with front matter does; no TOML document can."""
    return data.removeprefix(_BYTE_ORDER_MARK).partition(b"\n")[0].rstrip() == _MARK


def read_front_matter(data: bytes, *, where: str) -> FrontMatter:
    """Read the beginning of a README; more than `LIMITS.front_matter_bytes` are not needed.

    Raises:
        UndecidedError: naming the line, and the key if there is one.
    """
    tree, lines = _Block(_block(data, where), where).read()
    found = hub_tree(tree)

    def refuse(
        what: str, key: str, expected: str | None, got: str | None, hint: str | None
    ) -> UndecidedError:
        name = name_in_front_matter(key)
        line = lines.get(re.split(r"[.\[ ]", name)[0])
        place = f"{where}:{line} {name}" if line else f"{where} {name}"
        return UndecidedError(what, where=place.rstrip(), expected=expected, got=got, hint=hint)

    declared = read_declared(found.tree, where, refuse)
    return FrontMatter(declared=declared, passed_over=found.passed_over)


def _block(data: bytes, where: str) -> str:
    """The text between the first two lines `---`."""
    if data.startswith(_BYTE_ORDER_MARK):
        raise UndecidedError("begins with a byte order mark", where=where, expected="plain UTF-8")
    if not has_front_matter(data):
        raise UndecidedError("no front matter", where=where, expected="a first line `---`")
    start = end = data.index(b"\n") + 1 if b"\n" in data else len(data)
    while end < len(data):
        most = end + LIMITS.front_matter_bytes
        stop = data.find(b"\n", end, most)
        line = data[end : most if stop < 0 else stop]
        if line.rstrip() == _MARK:
            return _decoded(data[start:end], where)
        end += len(line) + 1
        if end - start > LIMITS.front_matter_bytes:
            raise UndecidedError(
                "front matter is too long",
                where=where,
                expected=f"at most {LIMITS.front_matter_bytes} bytes",
                hint="say it in a model-card.toml",
            )
    raise UndecidedError("front matter does not end", where=where, expected="a second line `---`")


def _decoded(block: bytes, where: str) -> str:
    try:
        return block.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = block.count(b"\n", 0, error.start) + 2
        raise UndecidedError("not UTF-8", where=f"{where}:{line}") from error


class _Block:
    """A block of YAML as plain values, built from the events of PyYAML's parser in Python.

    NOTE: libyaml is not used: it is C, and the bytes are anybody's.
    """

    def __init__(self, text: str, where: str) -> None:
        self._where = where
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.SafeLoader)

    def read(self) -> tuple[dict[str, Yaml], dict[str, int]]:
        """The mapping, and the line in the file of each of its keys."""
        lines: dict[str, int] = {}
        try:
            value = self._document(lines)
        except yaml.MarkedYAMLError as error:
            line = self._line(error.problem_mark or error.context_mark)
            raise UndecidedError(f"not YAML: {error.problem}", where=line) from error
        except yaml.reader.ReaderError as error:
            raise UndecidedError(
                "not YAML: a character that it does not permit",
                where=self._where,
                got=f"U+{int(error.character):04X}",  # of a text, it is the number
            ) from error
        except (ValueError, OverflowError) as error:  # of `chr` and `int`, for escapes and versions
            raise UndecidedError("not YAML: a number out of range", where=self._where) from error
        return value, lines

    def _document(self, lines: dict[str, int]) -> dict[str, Yaml]:
        next(self._events)  # the start of the stream
        value: Yaml = None
        for event in self._events:
            match event:
                case yaml.StreamEndEvent():
                    break
                case yaml.DocumentStartEvent() if not event.explicit:
                    value = self._value(next(self._events), 1, lines)
                case yaml.DocumentEndEvent() if not event.explicit:
                    pass
                case _:
                    raise self._refused("directives and further documents", event)
        if not isinstance(value, dict | None):
            raise UndecidedError("front matter is not a mapping", where=self._where)
        return value or {}

    def _value(self, event: yaml.Event, depth: int, lines: dict[str, int] | None = None) -> Yaml:
        if depth > LIMITS.front_matter_depth:
            raise UndecidedError(
                "nested too deep",
                where=self._line(event.start_mark),
                expected=f"at most {LIMITS.front_matter_depth} levels",
            )
        match event:
            case yaml.AliasEvent():
                raise self._refused("aliases", event)
            case yaml.NodeEvent() if event.anchor is not None:
                raise self._refused("anchors", event)
            case yaml.ScalarEvent() | yaml.CollectionStartEvent() if event.tag is not None:
                raise self._refused("tags", event)
            case yaml.ScalarEvent():
                is_plain = event.style is None
                return None if is_plain and event.value in _NOTHING else event.value
            case yaml.SequenceStartEvent():
                return [self._value(item, depth + 1) for item in self._until(yaml.SequenceEndEvent)]
            case yaml.MappingStartEvent():
                return self._mapping(depth, {} if lines is None else lines)
            case _:
                raise self._refused("this", event)

    def _mapping(self, depth: int, lines: dict[str, int]) -> dict[str, Yaml]:
        found: dict[str, Yaml] = {}
        for event in self._until(yaml.MappingEndEvent):
            name = self._value(event, depth + 1)
            if not isinstance(name, str):
                raise self._refused("keys that are no texts", event)
            if name == "<<":
                raise self._refused("merge keys", event)
            if name in found:
                raise UndecidedError(
                    "key stands twice", where=self._line(event.start_mark), got=ascii(name[:60])
                )
            if isinstance(event.start_mark, yaml.Mark):
                lines[name] = event.start_mark.line + 2
            found[name] = self._value(next(self._events), depth + 1)
        return found

    def _until(self, end: type[yaml.Event]) -> Iterator[yaml.Event]:
        while not isinstance(event := next(self._events), end):
            yield event

    def _refused(self, what: str, event: yaml.Event) -> UndecidedError:
        return UndecidedError(
            f"{what} are refused in front matter", where=self._line(event.start_mark)
        )

    def _line(self, mark: object) -> str:
        """A place in the file, of which the first line is not in the block."""
        if not isinstance(mark, yaml.Mark):  # libyaml has marks of its own, for the type checker
            return self._where
        return f"{self._where}:{mark.line + 2}:{mark.column + 1}"
