"""The minimum elements of others' lists on a page: what a document says of each, what to add."""

from collections.abc import Iterator, Mapping
from typing import Final

from infwasi_sign.domain.minimum_elements import Finding, judge
from infwasi_sign.domain.minimum_elements_software import BASELINES
from infwasi_sign.domain.minimum_elements_view import State
from infwasi_sign.domain.page_parts import ElementList, ElementRow, shares
from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.errors import MalformedError

_TONES: Final = (0, 3, 5)  # of `page.css`: green, grey, red; the words stand beside it
_NOTES: Final = {
    State.VALUE: "the document says it",
    State.UNKNOWN: "the document says that it is unknown",
    State.MISSING: "the document does not speak of it",
}


def element_lists(document: Mapping[str, JsonValue], *, is_ours: bool) -> Iterator[ElementList]:
    """Each list with its elements; none where the document has too many components to judge."""
    try:
        judgements = judge(document, BASELINES)
    except MalformedError:
        return
    for judgement in judgements:
        baseline = judgement.baseline
        yield ElementList(
            name=baseline.name,
            title=baseline.title,
            parts=shares(
                ((str(state), judgement.count(state), _NOTES[state]) for state in State), _TONES
            ),
            rows=tuple(_row(finding, is_ours=is_ours) for finding in judgement.findings),
        )


def _row(finding: Finding, *, is_ours: bool) -> ElementRow:
    element = finding.element
    add = element.key if is_ours else element.member
    return ElementRow(
        identifier=element.id,
        title=element.title,
        state=str(finding.state),
        value=(finding.what or "") if finding.state is State.VALUE else "",
        add="" if finding.state is State.VALUE else add,
    )
