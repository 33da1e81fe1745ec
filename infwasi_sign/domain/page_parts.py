"""What a page about a BOM is made of: facts with origins, shares of a chart, rows of a tree."""

from collections.abc import Iterable
from enum import StrEnum
from itertools import islice

from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.origin import Origin
from infwasi_sign.quick_dataclass import dataclass


class Show(StrEnum):
    """How the values of a fact are written."""

    PROSE = "prose"  # lines stay lines
    NAME = "name"  # one line
    CODE = "code"  # one line, monospaced: digests, identifiers, interfaces
    LINK = "link"  # an address, which may be followed where it is one of the web


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """Something that the BOM says of a subject, or does not: then ``values`` is empty.

    ``left_out`` counts values that are too many to show.
    """

    label: str
    values: tuple[str, ...] = ()
    show: Show = Show.PROSE
    origin: Origin | None = None
    left_out: int = 0


def fact(
    label: str,
    values: "str | Iterable[str] | None",
    show: Show = Show.PROSE,
    *,
    origin: Origin | None = None,
) -> Fact:
    """A fact with as many values as may be shown."""
    several = iter((values,) if isinstance(values, str) else values or ())
    shown = tuple(islice(several, LIMITS.html_items))
    left_out = sum(1 for _ in several)
    return Fact(label=label, values=shown, show=show, origin=origin, left_out=left_out)


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Facts under one heading."""

    title: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """One part of a whole in a chart; ``tone`` picks its colour (0 to 7), ``note`` explains it.

    ``start`` and ``width`` are in thousandths of the whole.
    """

    label: str
    count: int
    start: int
    width: int
    tone: int
    note: str = ""

    @property
    def percent(self) -> str:
        """Its part of the whole for people."""
        return "under 1 %" if self.width < 10 else f"{round(self.width / 10)} %"


def shares(
    counts: Iterable[tuple[str, int, str]], tones: tuple[int, ...] = tuple(range(8))
) -> tuple[Share, ...]:
    """The parts of a whole: name, count and note of each, in the order given; none that is 0."""
    parts = [(tones[at % len(tones)], *part) for at, part in enumerate(counts) if part[1] > 0]
    total = sum(count for _, _, count, _ in parts)
    found: list[Share] = []
    before = 0
    for tone, label, count, note in parts:
        start, end = before * 1000 // total, (before + count) * 1000 // total
        found.append(
            Share(label=label, count=count, start=start, width=end - start, tone=tone, note=note)
        )
        before += count
    return tuple(found)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """What somebody in a hurry wants to know: a word or number, and what it is about.

    ``mood`` is "good", "bad" or empty.
    """

    label: str
    value: str
    note: str = ""
    mood: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A component in the tree; ``closes`` is how many lists end after it."""

    name: str
    version: str
    kind: str
    ref: str
    size_bytes: int | None
    digest: str
    facts: tuple[Fact, ...]
    has_children: bool
    closes: int


def size_text(size_bytes: int) -> str:
    """Bytes for people, in powers of 1000: 98.4 MB."""
    value = float(size_bytes)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 999.95 or unit == "TB":
            break
        value /= 1000
    return f"{size_bytes} bytes" if unit == "bytes" else f"{value:.1f} {unit}"


def number_text(number: int) -> str:
    """A large number for people: 134.5 million."""
    for size, word in ((10**12, "trillion"), (10**9, "billion"), (10**6, "million")):
        if number >= size:
            return f"{number / size:.1f} {word}"
    return f"{number:,}"


def whole_number(text: str | None) -> int | None:
    """The number that a property holds, if it is one that can be a size or a count."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 18 else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Capability:
    """What the app can reach; ``by`` are the imports that give it, none where it cannot.

    ``by`` is None where the BOM does not tell; inference is what an app is there for, no risk.
    """

    label: str
    by: tuple[str, ...] | None
    is_risky: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class LicenceRow:
    """A licence, and the components that are under it, at most as many as are shown."""

    licence: str
    components: tuple[str, ...]
    count: int
    origins: tuple[Origin, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class VulnerabilityRow:
    """One statement about a vulnerability; ``state`` is CycloneDX's word for its analysis."""

    identifier: str
    state: str
    mood: str
    severity: str
    affects: tuple[str, ...]
    facts: tuple[Fact, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Census:
    """How the weights of a model are stored, by tensor type, and what the file calls it."""

    parts: tuple[Share, ...]
    tensors: int
    facts: tuple[Fact, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelView:
    """One model: its card in groups, how it is stored, and its chat template.

    ``findings`` is None where the BOM tells nothing of the template.
    """

    anchor: str
    name: str
    summary: str
    groups: tuple[Group, ...]
    census: Census | None
    findings: tuple[str, ...] | None
    template: tuple[Fact, ...]
    header: tuple[Fact, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetView:
    """A dataset and what is said of it."""

    name: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """What nobody said; ``key`` is what to add where infwasi reads it, or its member."""

    label: str
    key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Gaps:
    """The gaps of one subject."""

    subject: str
    gaps: tuple[Gap, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRow:
    """A file that the BOM describes, its first digest, and its size where one is said."""

    name: str
    ref: str
    size_bytes: int | None
    digest: str
    origin: Origin | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ElementRow:
    """A minimum element: value, unknown or missing, and what to add."""

    identifier: str
    title: str
    state: str
    value: str
    add: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ElementList:
    """A list of minimum elements, and how many of them are in which state."""

    name: str
    title: str
    parts: tuple[Share, ...]
    rows: tuple[ElementRow, ...]
