"""A view of any CycloneDX document: finds what stands at a place, whatever else is wrong with it.

A place is a text, so that the tables of elements stay readable:

- ``manufacturer.name``, ``licenses[].license.id``, ``externalReferences[type=vcs|website].url``: a
  path in the subject, through lists where it says so
- ``#cdx:ai-ml:model:modality``, ``#infwasi:security:*``: a property by its name, or the beginning
- ``#~context-length``: a property by the last word of its name, in any tool's namespace
- ``?manufacturer``: our tag says that the origin of this member is unknown; `components.<member>`
  says so of each nested component that has our tags, but none for this member
- ``@hash``: a question that a path cannot ask (`minimum_elements_questions`)

``doc``, ``app``, ``model`` and ``part`` before it look at the document, at the component that it
describes, at each model or at each component, in place of the subject. Of others' words only these
count as an explicit unknown: unknown, NOASSERTION, none (SPDX 2.3 section 8.13, and plain English).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import cache
from typing import Final

from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.minimum_elements_forms import has_form
from infwasi_sign.domain.origin import OF_PARTS, ORIGIN_PREFIX, Origin
from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.errors import MalformedError
from infwasi_sign.quick_dataclass import dataclass

_UNKNOWN_WORDS: Final = frozenset({"unknown", "noassertion", "none", "not known"})
_SHOWN_CHARACTERS: Final = 80
_CAPABILITIES: Final = "infwasi:capability:"
_STEP: Final = re.compile(r"([A-Za-z-]+)(\[(?:([a-z]+)=([a-z0-9|-]+))?\])?$")


class State(StrEnum):
    """What a document says of an element; worse ones come later."""

    VALUE = "value"
    UNKNOWN = "unknown"
    MISSING = "missing"


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A value, or that it is unknown: where it stands, and its beginning."""

    state: State
    where: str
    what: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A part of the document that elements are asked of, and its properties by name.

    ``path`` is where it stands, `components[1]`; the document's own is empty. ``words`` are the
    properties again, by the last word of their names; ``origins`` are our tags, by member.
    """

    path: str
    tree: Mapping[str, JsonValue]
    properties: Mapping[str, Sequence[Found]]
    words: Mapping[str, Sequence[Found]]
    origins: Mapping[str, tuple[str, str]]

    @property
    def type(self) -> str:
        """The component's type, as far as it has one."""
        found = self.tree.get("type")
        return found if isinstance(found, str) else ""

    @property
    def ref(self) -> str | None:
        """What others call it in this document."""
        found = self.tree.get("bom-ref")
        return found if isinstance(found, str) and found else None

    def at(self, name: str) -> str:
        """Where a member of it stands."""
        return f"{self.path}.{name}" if self.path else name


@dataclass(frozen=True, kw_only=True, slots=True)
class BomView:
    """A document by its subjects. The described component is the first of ``components``, if any.

    ``datasets`` are components of type data, and those that stand within a model card. ``refs`` are
    the references of the components; ``needed`` are those that others name, with the place that
    does. ``any_model`` has our tags of all models together.
    """

    document: Subject
    system: Subject
    components: tuple[Subject, ...]
    models: tuple[Subject, ...]
    datasets: tuple[Subject, ...]
    tools: tuple[Subject, ...]
    refs: frozenset[str]
    needed: Mapping[str, str]
    any_model: Subject


def view_of(document: Mapping[str, JsonValue]) -> BomView:
    """The subjects of a document.

    Raises:
        MalformedError: it has more components than `LIMITS.bom_components`.
    """
    metadata = _object(document.get("metadata"))
    described = _subject(metadata.get("component"), "metadata.component")
    listed = list(_components(document))
    models = tuple(one for one in listed if one.type == "machine-learning-model")
    datasets = [one for one in listed if one.type == "data"]
    for model in models:
        datasets += _inline_datasets(model)
    refs = frozenset(one.ref for one in listed if one.ref is not None)
    return BomView(
        document=_document_subject(document, metadata),
        system=described,
        components=tuple(listed),
        models=models,
        datasets=tuple(datasets),
        tools=tuple(_tools(metadata.get("tools"))),
        refs=refs,
        needed=dict(_needed(document, models, refs)),
        any_model=_any_of(models),
    )


def look(view: BomView, subject: Subject, place: str) -> Iterator[Found]:
    """What stands at a place that is no question; nothing where nothing that counts does."""
    scope, body = _split(place)
    match scope:
        case "doc":
            subjects: tuple[Subject, ...] = (view.document,)
        case "app":
            subjects = (view.system,)
        case "model":
            subjects = (view.any_model,) if body.startswith("?") else view.models
        case "part":
            subjects = view.components
        case _:
            subjects = (subject,)
    for one in subjects:
        yield from _look_at(one, body)


def value_of(value: JsonValue, where: str, form: str = "") -> Iterator[Found]:
    """A value or an explicit unknown, if it is one; ``form`` names what a value must look like."""
    match value:
        case str():
            text = value.strip()
        case bool() | None | list() | dict():
            return
        case _:
            text = str(value)
    if not text:
        return
    shown = text[:_SHOWN_CHARACTERS]
    if text.casefold() in _UNKNOWN_WORDS:
        yield Found(state=State.UNKNOWN, where=where, what=shown)
    elif has_form(text, form):
        yield Found(state=State.VALUE, where=where, what=shown)


def objects(value: JsonValue, path: str) -> Iterator[tuple[dict[str, JsonValue], str]]:
    """The objects of a list, each with its path; nothing if it is no list."""
    if isinstance(value, list):
        for at, item in enumerate(value):
            if isinstance(item, dict):
                yield item, f"{path}[{at}]"


@cache
def _split(place: str) -> tuple[str, str]:
    scope, blank, body = place.partition(" ")
    return (scope, body) if blank else ("", place)


def _look_at(subject: Subject, body: str) -> Iterator[Found]:
    match body[0]:
        case "?":
            found = _unknown_by_tag(subject, body[1:])
            if found is not None:
                yield found
        case "#":
            yield from _properties_at(subject, body[1:])
        case _:
            yield from _walk(subject.tree, _steps(body), subject.path)


def _unknown_by_tag(subject: Subject, member: str) -> Found | None:
    """Our tag for this member, or the longest that ends in `*` and begins like it."""
    if not subject.origins:
        return None
    for name in (member, *(f"{member[:end]}*" for end in range(len(member), -1, -1))):
        if name in subject.origins:
            origin, where = subject.origins[name]
            if origin == Origin.UNKNOWN:
                return Found(state=State.UNKNOWN, where=where, what=ORIGIN_PREFIX + name)
            return None
    return None


def _properties_at(subject: Subject, name: str) -> Iterator[Found]:
    if name.startswith("~"):
        for word in name[1:].split("|"):
            yield from subject.words.get(word, ())
    elif name.endswith("*"):
        for full, found in subject.properties.items():
            if full.startswith(name[:-1]):
                yield from found
    else:
        yield from subject.properties.get(name, ())


@cache
def _steps(path: str) -> tuple[tuple[str, bool, str, frozenset[str]], ...]:
    """Name, whether a list follows, and which of its objects: member and permitted values."""
    steps = []
    for step in path.split("."):
        match = _STEP.match(step)
        assert match is not None, step  # noqa: S101 - the tables are ours, and a test reads them all
        name, brackets, member, values = match.groups()
        steps.append((name, bool(brackets), member or "", frozenset((values or "").split("|"))))
    return tuple(steps)


def _walk(
    value: "JsonValue | Mapping[str, JsonValue]",
    steps: tuple[tuple[str, bool, str, frozenset[str]], ...],
    path: str,
) -> Iterator[Found]:
    (name, is_list, member, values), *rest = steps
    if not isinstance(value, Mapping) or name not in value:
        return
    inner = value[name]
    path = f"{path}.{name}" if path else name
    if not is_list:
        yield from _walk(inner, tuple(rest), path) if rest else value_of(inner, path, name)
        return
    for at, item in enumerate(inner if isinstance(inner, list) else ()):
        if member and not (isinstance(item, dict) and item.get(member) in values):
            continue
        where = f"{path}[{at}]"
        yield from _walk(item, tuple(rest), where) if rest else value_of(item, where, name)


# --- subjects -------------------------------------------------------------------------------

_Origins = dict[str, tuple[str, str]]  # origin and place, by member


def _object(value: JsonValue) -> dict[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _components(document: Mapping[str, JsonValue]) -> Iterator[Subject]:
    """All components, the described one first, nested ones after theirs; without recursion."""
    described = _object(document.get("metadata")).get("component")
    waiting: list[tuple[dict[str, JsonValue], str, _Origins]] = [
        (tree, path, {}) for tree, path in objects(document.get("components"), "components")
    ]
    waiting.reverse()
    if isinstance(described, dict):
        waiting.append((described, "metadata.component", {}))
    count = 0
    while waiting:
        tree, path, around = waiting.pop()
        count += 1
        if count > LIMITS.bom_components:
            expected = f"at most {LIMITS.bom_components}"
            raise MalformedError("too many components", where="bom", expected=expected)
        subject = _subject(tree, path, around)
        yield subject
        nested = [*objects(tree.get("components"), f"{path}.components")]
        if nested:
            around = around | _of_parts(subject)
        waiting += reversed([(tree, path, around) for tree, path in nested])


def _of_parts(subject: Subject) -> _Origins:
    """What it says is unknown of all that is nested in it."""
    return {
        member.removeprefix(OF_PARTS): (origin, where)
        for member, (origin, where) in subject.origins.items()
        if member.startswith(OF_PARTS) and origin == Origin.UNKNOWN
    }


def _subject(value: JsonValue, path: str, around: _Origins | None = None) -> Subject:
    tree = _object(value)
    card = _object(tree.get("modelCard"))
    lists = [(tree.get("properties"), f"{path}.properties")]
    lists.append((card.get("properties"), f"{path}.modelCard.properties"))
    found = _with_properties(tree, path, lists)
    if around and found.origins:
        return replace(found, origins={**around, **found.origins})
    return found


def _document_subject(
    document: Mapping[str, JsonValue], metadata: Mapping[str, JsonValue]
) -> Subject:
    lists = [(document.get("properties"), "properties")]
    lists.append((metadata.get("properties"), "metadata.properties"))
    return _with_properties(document, "", lists)


def _with_properties(
    tree: Mapping[str, JsonValue], path: str, lists: list[tuple[JsonValue, str]]
) -> Subject:
    properties: dict[str, list[Found]] = {}
    words: dict[str, list[Found]] = {}
    origins: dict[str, tuple[str, str]] = {}
    for value, where in lists:
        for item, at in objects(value, where):
            name, text = item.get("name"), item.get("value")
            if not isinstance(name, str) or not isinstance(text, str):
                continue
            if name.startswith(ORIGIN_PREFIX):
                origins.setdefault(name.removeprefix(ORIGIN_PREFIX), (text, at))
                continue
            found = [*value_of(text, f"{at} ({name[:_SHOWN_CHARACTERS]})")]
            if name.startswith(_CAPABILITIES) and text == "none":
                found = [
                    replace(one, state=State.VALUE) for one in found
                ]  # it has none: that is known
            word = re.sub(r"[_. ]", "-", name.rpartition(":")[2].lower())
            properties.setdefault(name, []).extend(found)
            words.setdefault(word, []).extend(found)
    return Subject(path=path, tree=tree, properties=properties, words=words, origins=origins)


def _needed(
    document: Mapping[str, JsonValue], models: tuple[Subject, ...], refs: frozenset[str]
) -> Iterator[tuple[str, str]]:
    """References that an edge or a model card names, with the place."""
    for item, path in objects(document.get("dependencies"), "dependencies"):
        needed = item.get("dependsOn")
        by = item.get("ref")
        if isinstance(needed, list) and isinstance(by, str) and by in refs:
            yield from ((ref, f"{path}.dependsOn") for ref in needed if isinstance(ref, str))
    for model in models:
        parameters = _object(_object(model.tree.get("modelCard")).get("modelParameters"))
        path = model.at("modelCard.modelParameters.datasets")
        for item, where in objects(parameters.get("datasets"), path):
            if isinstance(ref := item.get("ref"), str):
                yield ref, f"{where}.ref"


def _any_of(models: tuple[Subject, ...]) -> Subject:
    origins: dict[str, tuple[str, str]] = {}
    for model in models:
        for member, (origin, where) in model.origins.items():
            if origin == Origin.UNKNOWN or member not in origins:
                origins[member] = (origin, where)
    return Subject(path="", tree={}, properties={}, words={}, origins=origins)


def _inline_datasets(model: Subject) -> Iterator[Subject]:
    """Datasets within a card. One that is only a reference is the component that it names."""
    parameters = _object(_object(model.tree.get("modelCard")).get("modelParameters"))
    path = f"{model.path}.modelCard.modelParameters.datasets"
    for item, at in objects(parameters.get("datasets"), path):
        if "ref" not in item:
            yield _subject({"data": [item], **item}, at)


def _tools(value: JsonValue) -> Iterator[Subject]:
    """Tools in the form of 1.5 and later, and in the older one."""
    places: list[tuple[JsonValue, str]] = [(value, "metadata.tools")]
    if not isinstance(value, list):
        tools = _object(value)
        places = [
            (tools.get(name), f"metadata.tools.{name}") for name in ("components", "services")
        ]
    for items, path in places:
        for tree, at in objects(items, path):
            yield _subject(tree, at)
