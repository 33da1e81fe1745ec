"""What a GGUF says of itself in `general.*`: every key as text, and whom and what it comes from.

Source: github.com/ggml-org/ggml `docs/gguf.md`, "General metadata"; gguf-py, `constants.py`.
"""

import json
from collections.abc import Iterator
from typing import Final

from infwasi_sign.domain.gguf_header import GgufHeader
from infwasi_sign.domain.gguf_types import GgufArray, GgufValue, Scalar, ValueType
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import MalformedError
from infwasi_sign.quick_dataclass import dataclass

GENERAL: Final = "general."
_LIST_ELEMENTS: Final = 1024  # of languages or tags; ISO 639-1 knows 183 languages
_UNSIGNED: Final = frozenset(
    # gguf.md: counts are uint64 by convention, "some models may use uint32"; smaller ones fit too
    {ValueType.UINT8, ValueType.UINT16, ValueType.UINT32, ValueType.UINT64}
)
_ORIGIN_MEMBERS: Final = (
    *("name", "author", "version", "organization", "description", "url", "doi", "uuid"),
    "repo_url",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseModel:
    """A model that this one was made from: `general.base_model.N.*`; ``None`` is not said."""

    name: str | None = None
    author: str | None = None
    version: str | None = None
    organization: str | None = None
    description: str | None = None
    url: str | None = None
    doi: str | None = None
    uuid: str | None = None
    repo_url: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetFacts:
    """What a model was trained on: `general.dataset.N.*`, or one name of `general.datasets`."""

    name: str | None = None
    author: str | None = None
    version: str | None = None
    organization: str | None = None
    description: str | None = None
    url: str | None = None
    doi: str | None = None
    uuid: str | None = None
    repo_url: str | None = None


def general_texts(header: GgufHeader) -> tuple[tuple[str, str], ...]:
    """Every `general.*` key and its value as text, sorted by key.

    A string is itself, an integer decimal, a float the shortest text that reads back as the same
    double, a bool `true` or `false`, and an array is JSON without blanks of its elements (a float
    in it as outside of it). With the type, which the text does not tell, nothing is lost.

    Raises:
        MalformedError: an array holds arrays, or there are more keys or longer texts than the
            limits permit.
    """
    keys = sorted(key for key in header.metadata if key.startswith(GENERAL))
    if len(keys) > LIMITS.general_keys:
        raise MalformedError(
            "too many keys",
            where="metadata 'general.*'",
            expected=f"at most {LIMITS.general_keys}",
            got=str(len(keys)),
        )
    found = tuple((key, _bounded(key, _as_text(header, key))) for key in keys)
    total = sum(len(key) + len(text.encode()) for key, text in found)
    if total > LIMITS.general_total_bytes:
        raise MalformedError(
            "texts are too long together",
            where="metadata 'general.*'",
            expected=f"at most {LIMITS.general_total_bytes} bytes",
            got=str(total),
        )
    return found


def base_models(header: GgufHeader) -> tuple[BaseModel, ...]:
    """The models that this one was made from, by their numbers.

    Raises:
        MalformedError: a number is not below the count, or a value is no string.
    """
    return tuple(BaseModel(**members) for members in _numbered(header, "general.base_model."))


def datasets(header: GgufHeader) -> tuple[DatasetFacts, ...]:
    """What the model was trained on: the numbered ones, then names that none of those has.

    Raises:
        MalformedError: a number is not below the count, or a value is no string.
    """
    numbered = [DatasetFacts(**members) for members in _numbered(header, "general.dataset.")]
    known = {text for one in numbered for text in (one.name, one.url, one.repo_url)}
    names = dict.fromkeys(texts_of(header, "general.datasets"))
    return (*numbered, *(DatasetFacts(name=name) for name in names if name not in known))


def text_of(header: GgufHeader, key: str) -> str | None:
    """The string under a key.

    Raises:
        MalformedError: it is no string.
    """
    found = header.metadata.get(key)
    if found is None:
        return None
    if not isinstance(found.value, str):
        raise _wrong_type(key, "string", found)
    return found.value


def texts_of(header: GgufHeader, key: str) -> tuple[str, ...]:
    """The strings under a key.

    Raises:
        MalformedError: it is no array of strings, or a long one.
    """
    found = header.metadata.get(key)
    if found is None:
        return ()
    array = found.value
    if not isinstance(array, GgufArray):
        raise _wrong_type(key, "array of string", found)
    # An empty list has no elements whose type could matter; writers differ in what they put there.
    if array.element_type is not ValueType.STRING and array.count:
        raise _wrong_type(key, "array of string", found)
    return tuple(str(text) for text in header.materialise(array, at_most=_LIST_ELEMENTS))


def count_of(header: GgufHeader, key: str) -> int | None:
    """The unsigned integer under a key.

    Raises:
        MalformedError: it is none.
    """
    found = header.metadata.get(key)
    if found is None:
        return None
    if found.type not in _UNSIGNED or not isinstance(found.value, int):
        raise _wrong_type(key, "unsigned integer", found)
    return found.value


def _wrong_type(key: str, expected: str, found: GgufValue) -> MalformedError:
    got = found.type.label
    if isinstance(found.value, GgufArray) and expected.startswith("array"):
        got = f"array of {found.value.element_type.label}"
    return MalformedError(
        "value has the wrong type", where=f"metadata {key[:80]!r}", expected=expected, got=got
    )


def _bounded(key: str, text: str) -> str:
    size = len(text.encode())
    if size > LIMITS.general_text_bytes:
        raise MalformedError(
            "text is too long",
            where=f"metadata {key[:80]!r}",
            expected=f"at most {LIMITS.general_text_bytes} bytes",
            got=str(size),
        )
    return text


def _as_text(header: GgufHeader, key: str) -> str:
    value = header.metadata[key].value
    if not isinstance(value, GgufArray):
        return value if isinstance(value, str) else _word(value)
    if value.element_type is ValueType.ARRAY and value.count:
        raise _wrong_type(key, "array of strings, numbers or bools", header.metadata[key])
    elements = header.materialise(value, at_most=_LIST_ELEMENTS)
    return "[" + ",".join(map(_element, elements)) + "]"


def _element(value: Scalar | GgufArray) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return "" if isinstance(value, GgufArray) else _word(value)


def _word(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)


def _numbered(header: GgufHeader, prefix: str) -> Iterator[dict[str, str | None]]:
    """The members of each number from 0 up; a number of which nothing is said has empty ones."""
    count_key = f"{prefix}count"
    count = count_of(header, count_key)
    numbers = [_number(key, prefix) for key in header.metadata if key.startswith(prefix)]
    seen = max((number for number in numbers if number is not None), default=-1) + 1
    most = LIMITS.general_numbered if count is None else min(count, LIMITS.general_numbered)
    if seen > most or (count or 0) > LIMITS.general_numbered:
        raise MalformedError(
            "number is not below the count",
            where=f"metadata '{prefix}*'",
            expected=f"below {most}",
            got=str(max(seen, count or 0) - 1),
        )
    for number in range(seen if count is None else count):
        yield {name: text_of(header, f"{prefix}{number}.{name}") for name in _ORIGIN_MEMBERS}


def _number(key: str, prefix: str) -> int | None:
    """The 3 of `general.dataset.3.name`; numbers are short and have no leading zero."""
    word, dot, _ = key.removeprefix(prefix).partition(".")
    is_number = bool(dot) and word.isascii() and word.isdigit() and len(word) < 10
    return int(word) if is_number and word == str(int(word)) else None
