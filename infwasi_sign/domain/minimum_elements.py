"""What a bill of materials must say at least, by three lists of others, and what one says of it.

An element is *present* with a value, or with the explicit statement that it is unknown: all three
lists ask for what is not known to be said. It is judged for every subject that it is about, and the
worst answer counts: a version that one component of ten lacks is missing. An empty text or list is
nothing, and so is a value that cannot be one, such as a SHA-256 of five characters.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, assert_never

from infwasi_sign.domain.minimum_elements_questions import answers
from infwasi_sign.domain.minimum_elements_view import BomView, Found, State, Subject, view_of
from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.quick_dataclass import dataclass

_ORDER: Final = tuple(State)


class Each(StrEnum):
    """The subjects that an element is asked of; the words are for people."""

    DOCUMENT = "document"
    SYSTEM = "metadata.component"
    COMPONENT = "component"
    PART = "component beside metadata.component"
    MODEL = "component of type machine-learning-model"
    DATASET = "dataset"
    TOOL = "tool in metadata.tools"


@dataclass(frozen=True, kw_only=True, slots=True)
class Element:
    """One element of a list.

    ``places`` are tried in turn (`minimum_elements_view`): those that CycloneDX means for it first,
    its reserved properties next, then ours. ``key`` is what gives infwasi's own BOM a value,
    ``member`` what gives one to that of another tool.
    """

    id: str
    group: str
    title: str
    each: Each
    places: tuple[str, ...]
    key: str
    member: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """A list of elements, by the short name that `--require` takes."""

    name: str
    title: str
    source: str
    elements: tuple[Element, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What a document says of an element.

    ``where`` is the first place of the worst answer; for what is missing, the subject that lacks
    it. ``subjects`` were asked, and ``present`` of them have a value or say that it is unknown.
    """

    element: Element
    state: State
    where: str
    what: str | None
    subjects: int
    present: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What a document says of a whole list."""

    baseline: Baseline
    findings: tuple[Finding, ...]

    def count(self, state: State) -> int:
        """How many elements are in this state."""
        return sum(finding.state is state for finding in self.findings)

    @property
    def present(self) -> int:
        """How many have a value or are said to be unknown."""
        return len(self.findings) - self.count(State.MISSING)


def judge(
    document: Mapping[str, JsonValue], baselines: Sequence[Baseline]
) -> tuple[Judgement, ...]:
    """What a CycloneDX document of any version says of each list, whoever made it.

    Nothing is too wrong to be judged: what has the wrong shape is as good as missing.

    Raises:
        MalformedError: it has more components than `LIMITS.bom_components`.
    """
    view = view_of(document)
    return tuple(
        Judgement(
            baseline=baseline,
            findings=tuple(_judge(view, element) for element in baseline.elements),
        )
        for baseline in baselines
    )


def _judge(view: BomView, element: Element) -> Finding:
    subjects = _subjects(view, element.each)
    if not subjects:
        return _without_subject(view, element)
    worst: Found | None = None
    present = 0
    for subject in subjects:
        found = _best(view, subject, element)
        present += found.state is not State.MISSING
        if worst is None or _ORDER.index(found.state) > _ORDER.index(worst.state):
            worst = found
    assert worst is not None  # noqa: S101 - there is a subject
    return _finding(element, worst, len(subjects), present)


def _without_subject(view: BomView, element: Element) -> Finding:
    """A BOM without datasets may still say that they are unknown (`model ?dataset.name`)."""
    elsewhere = [place for place in element.places if " " in place]
    for found in _candidates(view, view.document, elsewhere):
        if found.state is State.UNKNOWN:
            return _finding(element, found, 0, 0)
    nobody = Found(state=State.MISSING, where=f"no {element.each}", what="")
    return _finding(element, nobody, 0, 0)


def _finding(element: Element, found: Found, subjects: int, present: int) -> Finding:
    return Finding(
        element=element,
        state=found.state,
        where=found.where,
        what=found.what or None,
        subjects=subjects,
        present=present,
    )


def _best(view: BomView, subject: Subject, element: Element) -> Found:
    unknown: Found | None = None
    for found in _candidates(view, subject, element.places):
        if found.state is State.VALUE:
            return found
        unknown = unknown or found
    return unknown or Found(state=State.MISSING, where=subject.path or "document", what="")


def _candidates(view: BomView, subject: Subject, places: Sequence[str]) -> Iterator[Found]:
    for place in places:
        yield from answers(view, subject, place)


def _subjects(view: BomView, each: Each) -> tuple[Subject, ...]:
    match each:
        case Each.DOCUMENT:
            found: tuple[Subject, ...] = (view.document,)
        case Each.SYSTEM:
            found = (view.system,)
        case Each.COMPONENT:
            found = view.components
        case Each.PART:
            beside = tuple(one for one in view.components if one.path != view.system.path)
            found = beside or view.components
        case Each.MODEL:
            found = view.models
        case Each.DATASET:
            found = view.datasets
        case Each.TOOL:
            found = view.tools
        case _:
            assert_never(each)
    return found
