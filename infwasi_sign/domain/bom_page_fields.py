"""Which members of a BOM a page shows, how it calls them, and what to add where they are empty.

A field's member is the word of its origin tag (sbom/README.md); its key is that of
`model-card.toml` (docs/model-card.md).
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from infwasi_sign.domain.bom_node import Node, hashes_of, licences_of, name_of, words_of
from infwasi_sign.domain.origin import Origin
from infwasi_sign.domain.page_parts import (
    Fact,
    Group,
    Show,
    fact,
    number_text,
    size_text,
    whole_number,
)
from infwasi_sign.quick_dataclass import dataclass

Reader = Callable[[Node], Iterable[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One member or property of a component: how it is called, read, shown and filled."""

    member: str
    label: str
    read: Reader
    show: Show = Show.PROSE
    key: str | None = None

    def fact(self, node: Node) -> Fact:
        """What this component says of it."""
        values = (value for value in self.read(node) if value)
        return fact(self.label, values, self.show, origin=node.origin(self.member))


def _member(name: str) -> Reader:
    """The text at a path of members: `modelCard.modelParameters.task`."""
    *path, last = name.split(".")

    def read(node: Node) -> Iterator[str]:
        for step in path:
            node = node.node(step)
        if (value := node.text(last)) is not None:
            yield value

    return read


def _list(name: str) -> Reader:
    *path, last = name.split(".")

    def read(node: Node) -> Iterable[str]:
        for step in path:
            node = node.node(step)
        return node.texts(last)

    return read


def _records(name: str, render: Callable[[Node], str]) -> Reader:
    """One text for each object of an array."""
    *path, last = name.split(".")

    def read(node: Node) -> Iterator[str]:
        for step in path:
            node = node.node(step)
        yield from map(render, node.nodes(last))

    return read


def property_of(name: str) -> Reader:
    """The text of one of our properties."""

    def read(node: Node) -> Iterator[str]:
        if value := node.properties.get(f"infwasi:{name}"):
            yield value

    return read


def _number(name: str) -> Reader:
    def read(node: Node) -> Iterator[str]:
        text = node.properties.get(f"infwasi:{name}")
        number = whole_number(text)
        if number is not None:
            yield f"{number_text(number)} ({number:,})" if number >= 10**6 else f"{number:,}"
        elif text:
            yield text

    return read


def _words(name: str) -> Reader:
    return lambda node: words_of(node.properties.get(f"infwasi:{name}") or "")


def _size(node: Node) -> Iterator[str]:
    number = whole_number(node.properties.get("infwasi:size"))
    if number is not None:
        yield size_text(number) + (f" ({number:,} bytes)" if number >= 1000 else "")


def _digest(algorithm: str) -> Field:
    """The digests by one algorithm, for `hashes` has several."""

    def read(node: Node) -> Iterator[str]:
        return (digest for name, digest in hashes_of(node) if name == algorithm)

    return Field(member="hashes", label=algorithm, read=read, show=Show.CODE)


def _other_digests(node: Node) -> Iterator[str]:
    known = ("SHA-256", "BLAKE3")
    return (f"{name}: {digest}" for name, digest in hashes_of(node) if name not in known)


def _producer(node: Node) -> Iterator[str]:
    return (name_of(node.node(name)) for name in ("manufacturer", "supplier"))


def _authors(node: Node) -> Iterator[str]:
    yield from map(name_of, node.nodes("authors"))
    yield node.text("author") or ""  # CycloneDX 1.5


def _ancestor(node: Node) -> str:
    purl = node.text("purl")
    words = [node.text("group"), node.text("name"), node.text("version"), purl and f"({purl})"]
    return " ".join(word for word in words if word)


def _nothing(_: Node) -> Iterable[str]:
    """For members that are shown elsewhere, one by one, where there are any."""
    return ()


def _dataset(node: Node) -> str:
    return node.text("ref") or node.text("name") or node.node("contents").text("url") or ""


def _lines(node: Node, *members: tuple[str, str]) -> str:
    """Some members of an object, each on a line of its own with its label."""
    return "\n".join(
        f"{label}: {value}" if label else value
        for member, label in members
        if (value := node.text(member))
    )


def _metric(node: Node) -> str:
    interval = node.node("confidenceInterval")
    words = [f"{node.text('type') or 'value'}: {node.text('value') or 'none'}"]
    if part := node.text("slice"):
        words.append(f"on {part}")
    if interval:
        bounds = (interval.text("lowerBound") or "?", interval.text("upperBound") or "?")
        words.append(f"({bounds[0]} to {bounds[1]})")
    return " ".join(words)


def _quantity(node: Node) -> str:
    return " ".join(filter(None, (node.text("value"), node.text("unit"))))


def _energy(node: Node) -> str:
    lines = [f"{node.text('activity') or 'activity'}: {_quantity(node.node('activityEnergyCost'))}"]
    if co2 := _quantity(node.node("co2CostEquivalent")):
        lines.append(f"CO2 {co2}")
    if offset := _quantity(node.node("co2CostOffset")):
        lines.append(f"offset {offset}")
    for provider in node.nodes("energyProviders"):
        organization = name_of(provider.node("organization"))
        lines.append(f"from {organization} ({provider.text('energySource') or 'source unknown'})")
    return ", ".join(lines)


def _ethical(node: Node) -> str:
    return _lines(node, ("name", ""), ("mitigationStrategy", "What is done about it"))


def _fairness(node: Node) -> str:
    return _lines(
        node,
        ("groupAtRisk", "Group"),
        ("benefits", "Benefits"),
        ("harms", "Harms"),
        ("mitigationStrategy", "What is done about it"),
    )


def _field(
    member: str,
    label: str,
    key: str | None = None,
    show: Show = Show.PROSE,
    read: Reader | None = None,
) -> Field:
    """A field that is a property if its name has a colon, else a text member; or as ``read``."""
    if read is None:
        read = property_of(member) if ":" in member else _member(member)
    return Field(member=member, label=label, read=read, show=show, key=key)


_PARAMETERS: Final = "modelCard.modelParameters"
_USES: Final = "modelCard.considerations"
DATASETS: Final = "Datasets"
_METRICS: Final = "modelCard.quantitativeAnalysis.performanceMetrics"


def _format(node: Node) -> str:
    return node.text("format") or ""


def _parameter(name: str, label: str, key: str | None = None, show: Show = Show.PROSE) -> Field:
    return _field(f"{_PARAMETERS}.{name}", label, key, show)


def _formats(name: str, label: str, key: str) -> Field:
    member = f"{_PARAMETERS}.{name}"
    return _field(member, label, key, read=_records(member, _format))


def _use(name: str, label: str, key: str, read: Reader | None = None) -> Field:
    member = f"{_USES}.{name}"
    return _field(member, label, key, read=read or _list(member))


_WHO: Final = (
    _field("version", "Version", "version in [model]", Show.NAME),
    _field("description", "Description", "description in [model]"),
    _field("manufacturer", "Producer", "producer in [model]", Show.NAME, _producer),
    _field("authors", "Authors", "authors in [model]", Show.NAME, _authors),
    _field("publisher", "Publisher", None, Show.NAME),
    _field("licenses", "Licence", "license in [model]", Show.NAME, licences_of),
    _field("model:released", "Released", "released in [model]", Show.NAME),
    _field("purl", "Package URL", "purl in [model]", Show.CODE),
    _field("externalReferences", "Where to find it", "url in [model]", read=_nothing),
    _field(
        "pedigree.ancestors",
        "Derived from",
        "base-models in [model]",
        read=_records("pedigree.ancestors", _ancestor),
    ),
    *(
        _field(f"model:openness:{part}", f"Open {part}", f"{part} in [model.openness]")
        for part in ("weights", "architecture", "data", "training")
    ),
)
_WHAT: Final = (
    _parameter("task", "Task", "task in [model]"),
    _formats("inputs", "Takes", "inputs in [model]"),
    _formats("outputs", "Gives", "outputs in [model]"),
    _field(
        "model:languages",
        "Languages",
        "languages in [model]",
        Show.NAME,
        _words("model:languages"),
    ),
    _field("tags", "Tags", "tags in [model]", Show.NAME, _list("tags")),
    _field("model:library", "Library", "library in [model]", Show.NAME),
    _parameter("architectureFamily", "Architecture family", show=Show.NAME),
    _parameter("modelArchitecture", "Architecture", show=Show.NAME),
    _field("gguf:parameters", "Parameters", read=_number("gguf:parameters")),
    _field("gguf:context-length", "Context, tokens", read=_number("gguf:context-length")),
    _field("gguf:tokenizer", "Tokenizer", show=Show.CODE),
)
_TRAINING: Final = (
    _field(
        f"{_PARAMETERS}.approach",
        "Approach",
        "approach in [training]",
        read=_member(f"{_PARAMETERS}.approach.type"),
    ),
    _field("model:training:description", "Training", "description in [training]"),
    _field("model:training:hardware", "Hardware", "hardware in [training]"),
    _field("model:training:co2-tonnes", "CO2, tonnes", "co2-tonnes in [training]"),
    _field(
        f"{_PARAMETERS}.datasets",
        DATASETS,
        "[[dataset]]",
        Show.NAME,
        _records(f"{_PARAMETERS}.datasets", _dataset),
    ),
)
_MEANT_FOR: Final = (
    _use("users", "Users", "users in [use]"),
    _use("useCases", "Uses", "cases in [use]"),
    _use("technicalLimitations", "Limits", "limitations in [use]"),
    _use("performanceTradeoffs", "Trade-offs", "tradeoffs in [use]"),
)
_RISKS: Final = (
    _use(
        "ethicalConsiderations",
        "Ethics",
        "[[ethics]]",
        _records(f"{_USES}.ethicalConsiderations", _ethical),
    ),
    _use(
        "fairnessAssessments",
        "Fairness",
        "[[fairness]]",
        _records(f"{_USES}.fairnessAssessments", _fairness),
    ),
    _use(
        "environmentalConsiderations",
        "Energy",
        "[[energy]]",
        _records(f"{_USES}.environmentalConsiderations.energyConsumptions", _energy),
    ),
    _field(_METRICS, "Measured quality", "[[metric]]", read=_records(_METRICS, _metric)),
)
_BYTES: Final = (
    _field("size", "Size", read=_size),
    _digest("SHA-256"),
    _digest("BLAKE3"),
    _field("hashes", "Other digests", show=Show.CODE, read=_other_digests),
    _field("gguf:header:sha256", "Header, SHA-256", show=Show.CODE),
    _field("gguf:tensor-table:sha256", "Tensor table, SHA-256", show=Show.CODE),
    _field("gguf:tensors:blake3", "All tensors, BLAKE3", show=Show.CODE),
)

MODEL_GROUPS: Final = (
    ("Who and what", _WHO),
    ("What it does", _WHAT),
    ("How it was trained", _TRAINING),
    ("What it is meant for", _MEANT_FOR),
    ("Risks and costs", _RISKS),
    ("Its bytes", _BYTES),
)
"""The model card and what stands beside it, by heading."""

SUBJECT_FIELDS: Final = (
    _field("name", "Name", None, Show.NAME),
    _field("version", "Version", None, Show.NAME),
    _field("description", "Description", "description in [app]"),
    _field("manufacturer", "Producer", "producer in [app]", Show.NAME, _producer),
    _field("app:area", "Area of use", "area in [app]"),
    _field("app:data-usage", "What happens to data", "data-usage in [app]"),
    _field("infrastructure:hardware", "Hardware", "hardware in [infrastructure]"),
    _field("licenses", "Licence", "license in [app]", Show.NAME, licences_of),
    _field("purl", "Package URL", None, Show.CODE),
    _field("app:timestamp", "Made at", None, Show.CODE),
    _field("app:data-flow", "Data flow", None),
    _field("infrastructure:software", "Software that it needs", None),
    _field("size", "Size", read=_size),
    _digest("SHA-256"),
    _digest("BLAKE3"),
    _field("hashes", "Other digests", show=Show.CODE, read=_other_digests),
)
SECURITY_FIELDS: Final = (
    _field("security:controls", "Security controls", "controls in [security]"),
    _field("security:compliance", "Security compliance", "compliance in [security]"),
    _field("security:contact", "Security contact", "contact in [security]", Show.LINK),
    _field("security:advisories", "Advisories", "advisories in [security]", Show.LINK),
)
AUTHORS: Final = _field("authors", "Author of this BOM", "author in [bom]", Show.NAME, _authors)


def model_groups(node: Node) -> tuple[Group, ...]:
    """Everything the page shows of a model, with what is not said where a tag says so."""
    return tuple(
        Group(title=title, facts=tuple(shown_facts(fields, node))) for title, fields in MODEL_GROUPS
    )


def shown_facts(fields: Iterable[Field], node: Node) -> Iterator[Fact]:
    """The fields that have a value, or a tag that says why not."""
    for field in fields:
        found = field.fact(node)
        if found.values or found.origin is Origin.UNKNOWN:
            yield found
