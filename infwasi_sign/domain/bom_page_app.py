"""What an app may do, as a page shows it: capabilities, interfaces, settings, vulnerabilities."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from infwasi_sign.domain.bom_node import Node, words_of
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.page_parts import (
    Capability,
    DatasetView,
    Fact,
    Show,
    Tile,
    VulnerabilityRow,
    fact,
    size_text,
    whole_number,
)

_CAPABILITIES: Final = (
    ("network", "Network"),
    ("filesystem", "File system"),
    ("environment", "Environment variables"),
    ("clocks", "Clocks"),
    ("random", "Random numbers"),
    ("inference", "Inference"),
)
_HARMLESS: Final = frozenset({"inference"})  # what an app of ours is there for
_SETTINGS: Final = "infwasi:settings:"
_INTERFACES: Final = (
    ("component:imports", "Imports"),
    ("component:exports", "Exports"),
    ("host:requires", "Needs of its host"),
)
_AFFECTED: Final = 12  # components that one vulnerability names at first sight
# CycloneDX 1.7, `impactAnalysisState`; what is open or exploitable is nothing good.
_MOODS: Final = {
    "resolved": "good",
    "resolved_with_pedigree": "good",
    "not_affected": "good",
    "false_positive": "good",
}


def tells_capabilities(node: Node) -> bool:
    """Whether it is a component of which infwasi told what it can reach."""
    return any(f"infwasi:capability:{name}" in node.properties for name, _ in _CAPABILITIES)


def capabilities(apps: Sequence[Node]) -> tuple[Capability, ...]:
    """What all apps together can reach; nothing where no component tells."""
    if not apps:
        return ()
    return tuple(
        Capability(label=label, by=_given(apps, name), is_risky=name not in _HARMLESS)
        for name, label in _CAPABILITIES
    )


def _given(apps: Sequence[Node], name: str) -> tuple[str, ...] | None:
    told = [app.properties.get(f"infwasi:capability:{name}") for app in apps]
    if None in told:
        return None
    words = (word for text in told for word in words_of(text or "") if word != "none")
    return tuple(sorted(set(islice(words, LIMITS.html_items))))


def reach_tile(reach: Sequence[Capability]) -> Tile:
    """Network and file system in one line, with what else can be reached."""
    risky = [one for one in reach if one.is_risky]
    given = [one.label.lower() for one in risky if one.by]
    untold = [one.label.lower() for one in risky if one.by is None]
    none = [one.label.lower() for one in risky if one.by == ()]
    notes = [f"can reach: {', '.join(given)}"] if given else []
    if untold:
        notes.append(f"not said: {', '.join(untold)}")
    is_good = not given and not untold
    return Tile(
        label="What it can reach",
        value=", ".join(f"no {label}" for label in none[:2]) or "see below",
        note="; ".join(notes) or "only inference",
        mood="good" if is_good else "",
    )


def interfaces(apps: Iterable[Node]) -> Iterator[Fact]:
    """What the apps import and export, and what a host must give."""
    for app in apps:
        for name, label in _INTERFACES:
            value = app.properties.get(f"infwasi:{name}")
            if value is not None:
                yield fact(
                    label, words_of(value) if value else "none", Show.CODE, origin=app.origin(name)
                )


def settings(apps: Iterable[Node]) -> Iterator[Fact]:
    """Prompt digests, sampling and limits of the apps."""
    for app in apps:
        for name, value in sorted(app.properties.items()):
            if name.startswith(_SETTINGS):
                short = name.removeprefix(_SETTINGS)
                label = short.replace(":", ": ").replace("-", " ").replace("sha256", "SHA-256")
                show = Show.CODE if short.endswith("sha256") else Show.NAME
                origin = app.origin(f"settings:{short}")
                text = _with_unit(short, value)
                yield fact(label[:1].upper() + label[1:], text, show, origin=origin)


def _with_unit(name: str, value: str) -> str:
    number = whole_number(value)
    if number is None or number < 10_000:
        return value
    return f"{number:,}" + (f" ({size_text(number)})" if name.endswith("bytes") else "")


def services(document: Node) -> Iterator[DatasetView]:
    """The services, with the data that flows."""
    for service in document.nodes("services"):
        flows = [
            f"{one.text('name') or 'data'}: {one.text('flow') or 'flow not said'}"
            for one in service.nodes("data")
        ]
        classes = dict.fromkeys(
            one.text("classification") or "unknown" for one in service.nodes("data")
        )
        facts = (
            fact("Version", service.text("version"), Show.NAME, origin=service.origin("version")),
            fact("Description", service.text("description")),
            fact("Endpoints", service.texts("endpoints"), Show.LINK),
            fact("Data", flows, origin=service.origin("data.flow")),
            fact("Its classification", classes, origin=service.origin("data.classification")),
        )
        name = service.text("name") or "unnamed service"
        yield DatasetView(name=name, facts=tuple(one for one in facts if one.values))


def vulnerability_tile(vulnerabilities: Iterable[Node], count: int) -> Tile:
    """How many vulnerabilities the document speaks of, and what it says of those that were read."""
    states = Counter(map(_state, vulnerabilities))
    if not count:
        return Tile(label="Vulnerabilities", value="none stated", note="which proves nothing")
    is_good = states.total() == count and all(state in _MOODS for state in states)
    return Tile(
        label="Vulnerabilities",
        value=f"{count:,} stated",
        note=", ".join(f"{count:,} {_words(state)}" for state, count in states.most_common(4)),
        mood="good" if is_good else "bad",
    )


def vulnerability_row(node: Node) -> VulnerabilityRow:
    """One vulnerability and what its analysis says."""
    analysis = node.node("analysis")
    severities = {rating.text("severity") for rating in node.nodes("ratings")}
    state, justification = _state(node), analysis.text("justification")
    facts = (
        fact("Description", node.text("description")),
        fact("Detail", analysis.text("detail")),
        fact("Justification", justification and _words(justification)),
        fact("Response", [_words(text) for text in analysis.texts("response")]),
        fact("What to do", node.text("recommendation")),
        fact("Source", node.node("source").text("name"), Show.NAME),
        fact("Address", node.node("source").text("url"), Show.LINK),
    )
    return VulnerabilityRow(
        identifier=node.text("id") or "without a number",
        state=_words(state),
        mood=_MOODS.get(state, "bad"),
        severity=", ".join(sorted(one for one in severities if one)),
        affects=tuple(one.text("ref") or "" for one in islice(node.nodes("affects"), _AFFECTED)),
        facts=tuple(one for one in facts if one.values),
    )


def _state(node: Node) -> str:
    return node.node("analysis").text("state") or ""


def _words(state: str) -> str:
    return state.replace("_", " ") or "not analysed"
