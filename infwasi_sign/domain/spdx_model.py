"""Models and datasets as SPDX's AI and Dataset profiles have them: only what the BOM says.

What nobody says stays out, or is said to be unsaid where SPDX has a word for that. Nothing here
judges risk or autonomy.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final

from infwasi_sign.domain.bom_node import Node
from infwasi_sign.domain.spdx_graph import Element, Graph, dictionary
from infwasi_sign.domain.spdx_software import package
from infwasi_sign.domain.strict_json import JsonValue

_HYPERPARAMETERS: Final = (  # properties `infwasi:gguf:*` that say how a model is built
    *("architecture", "bits-per-weight", "block-count", "context-length", "embedding-length"),
    *("file-type", "parameters", "quantization", "size-label", "tokenizer", "tokenizer-pre"),
)
_ENERGY: Final = {  # CycloneDX's activities that SPDX has a property for
    "training": "ai_trainingEnergyConsumption",
    "fine-tuning": "ai_finetuningEnergyConsumption",
    "inference": "ai_inferenceEnergyConsumption",
}
_UNITS: Final = {"kWh": "kilowattHour"}
_LEVELS: Final = frozenset({"red", "amber", "green", "clear"})  # ConfidentialityLevelType
_AI_DEMANDS: Final = (  # SPDX 3.0.1, AIPackage, "External properties restrictions"
    *("suppliedBy", "software_downloadLocation", "software_packageVersion"),
    *("software_primaryPurpose", "releaseTime"),
)
_DATASET_DEMANDS: Final = (  # likewise, DatasetPackage
    *("builtTime", "originatedBy", "software_downloadLocation", "software_primaryPurpose"),
    "releaseTime",
)


def model(graph: Graph, node: Node, subject: Node) -> Element:
    """An `ai_AIPackage`; ``subject`` is the app that the BOM is about."""
    card = node.node("modelCard")
    parameters, considerations = card.node("modelParameters"), card.node("considerations")
    approach = parameters.node("approach").text("type")
    kinds = (parameters.text("architectureFamily"), parameters.text("modelArchitecture"), approach)
    area = subject.properties.get("infwasi:app:area")
    compliance = subject.properties.get("infwasi:security:compliance")
    return package(graph, node) | {
        "ai_typeOfModel": _known(kinds),
        "ai_domain": _known((parameters.text("task"), area)),
        "ai_hyperparameter": dictionary(_hyperparameters(node)),
        "ai_informationAboutApplication": _lines(
            ("task", (parameters.text("task"),)),
            ("use case", considerations.texts("useCases")),
            ("users", considerations.texts("users")),
            ("inputs", _formats(parameters, "inputs")),
            ("outputs", _formats(parameters, "outputs")),
        ),
        "ai_informationAboutTraining": _lines(
            ("approach", (approach,)),
            *(
                (what, (node.properties.get(f"infwasi:model:training:{what}"),))
                for what in ("description", "hardware", "co2-tonnes")
            ),
        ),
        "ai_limitation": _lines(
            ("limitation", considerations.texts("technicalLimitations")),
            ("tradeoff", considerations.texts("performanceTradeoffs")),
        ),
        "ai_metric": dictionary(_metrics(card)),
        "ai_energyConsumption": _energy(considerations),
        "ai_standardCompliance": _known((compliance,)),
        "ai_autonomyType": "noAssertion",
        "ai_useSensitivePersonalInformation": "noAssertion",
    }


def dataset(graph: Graph, node: Node) -> Element:
    """A `dataset_DatasetPackage`."""
    data = next(node.nodes("data"), node.node("data"))
    said = node.properties
    level = (data.text("classification") or "").lower()
    found = package(graph, node) | {
        "dataset_datasetType": ["noAssertion"],
        "dataset_intendedUse": said.get("infwasi:dataset:purpose"),
        "dataset_dataCollectionProcess": said.get("infwasi:dataset:provenance"),
        "dataset_confidentialityLevel": level if level in _LEVELS else None,
        "dataset_hasSensitivePersonalInformation": "noAssertion",
    }
    address = data.node("contents").text("url")
    if found["software_downloadLocation"] is None and address is not None:
        found["software_downloadLocation"] = address
    return found


def missing_demands(spdx_type: str, element: Element) -> list[str]:
    """What the profile of a model or dataset demands and nobody said."""
    demands = _AI_DEMANDS if spdx_type == "ai_AIPackage" else _DATASET_DEMANDS
    return [name for name in demands if element.get(name) in (None, "", [])]


def _known(texts: Iterable[str | None]) -> list[JsonValue]:
    return [*dict.fromkeys(text for text in texts if text)]


def _lines(*said: tuple[str, Iterable[str | None]]) -> str | None:
    """One text of several, each with what it is about."""
    lines = [f"{about}: {text}" for about, texts in said for text in texts if text]
    return "\n".join(lines) or None


def _formats(parameters: Node, name: str) -> Iterator[str | None]:
    return (one.text("format") for one in parameters.nodes(name))


def _hyperparameters(node: Node) -> Iterator[tuple[str, str]]:
    for name in _HYPERPARAMETERS:
        value = node.properties.get(f"infwasi:gguf:{name}")
        if value:
            yield name, value


def _metrics(card: Node) -> Iterator[tuple[str, str]]:
    for one in card.node("quantitativeAnalysis").nodes("performanceMetrics"):
        kind, value, part = one.text("type"), one.text("value"), one.text("slice")
        interval = one.node("confidenceInterval")
        lower, upper = interval.text("lowerBound"), interval.text("upperBound")
        if kind is not None and value is not None:
            bounds = f" [{lower or '?'}, {upper or '?'}]" if lower or upper else ""
            yield (f"{kind} ({part})" if part else kind), value + bounds


def _energy(considerations: Node) -> JsonValue:
    found: dict[str, list[JsonValue]] = {}
    environment = considerations.node("environmentalConsiderations")
    for one in environment.nodes("energyConsumptions"):
        member = _ENERGY.get(one.text("activity") or "")
        cost = one.node("activityEnergyCost")
        value, unit = cost.text("value"), cost.text("unit") or ""
        if member is not None and value is not None:
            found.setdefault(member, []).append(
                {
                    "type": "ai_EnergyConsumptionDescription",
                    "ai_energyQuantity": f"{Decimal(value):f}",
                    "ai_energyUnit": _UNITS.get(unit, "other"),
                }
            )
    return {"type": "ai_EnergyConsumption", **found} if found else None
