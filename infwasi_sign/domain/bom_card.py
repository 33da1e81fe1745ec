"""The model card of a derived BOM, as CycloneDX 1.7 has it; each member has its origin.

NOTE: plain values and not those of `model_card`, whose 45 classes cost a run 5 ms to import. A test
reads every card that is derived into those, and writes the same again.
"""

from collections.abc import Iterator
from typing import Final

from infwasi_sign.domain.bom_data import dataset_name
from infwasi_sign.domain.bom_parts import Tagged, first_said
from infwasi_sign.domain.declared import Declared, EnergyConsumption, is_security_metric
from infwasi_sign.domain.gguf_facts import ModelFacts
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.origin import Origin
from infwasi_sign.domain.strict_json import JsonValue

_TASKS: Final = frozenset(  # huggingface.co/tasks; converters write a model's task among its tags
    {
        *("text-generation", "text2text-generation", "image-text-to-text", "any-to-any"),
        *("feature-extraction", "sentence-similarity", "text-ranking", "text-classification"),
        *("token-classification", "question-answering", "summarization", "translation"),
        *("fill-mask", "automatic-speech-recognition", "text-to-speech", "audio-text-to-text"),
        *(
            "text-to-image",
            "image-to-text",
            "visual-question-answering",
            "zero-shot-classification",
        ),
    }
)


def add_model_card(
    component: Tagged, facts: ModelFacts, declared: Declared, dataset_refs: list[str]
) -> None:
    """Put the card, without what nobody said, into a model's component, and tags for all of it."""
    parts: dict[str, JsonValue] = {}
    for part, members in (
        ("modelParameters", _parameters(facts, declared, dataset_refs)),
        ("quantitativeAnalysis", _analysis(declared)),
        ("considerations", _considerations(declared)),
    ):
        said: dict[str, JsonValue] = {}
        for name, value, origin in members:
            if value:
                said[name] = value
            component.tag(f"modelCard.{part}.{name}", origin if value else Origin.UNKNOWN)
        if said:
            parts[part] = said
    component.tree["modelCard"] = parts
    about = {is_security_metric(one.type) for one in declared.metrics}
    for name, is_security in (("security", True), ("performance", False)):
        is_said = is_security in about
        component.tag(
            f"modelCard.metrics.{name}", Origin.USER_DECLARED if is_said else Origin.UNKNOWN
        )


_Members = Iterator[tuple[str, JsonValue, Origin]]


def _parameters(facts: ModelFacts, declared: Declared, dataset_refs: list[str]) -> _Members:
    approach = declared.training_approach
    yield "approach", approach and {"type": approach}, Origin.USER_DECLARED
    task, origin = first_said(
        next((tag for tag in facts.tags if tag in _TASKS), None), declared.model_task
    )
    yield "task", task, origin
    yield "architectureFamily", facts.architecture, Origin.FILE_DECLARED
    label = " ".join(filter(None, (facts.basename, facts.size_label)))
    yield "modelArchitecture", label, Origin.FILE_DECLARED
    datasets: list[JsonValue] = [{"ref": ref} for ref in dataset_refs]
    # Where both name some, the list as a whole is the developer's; each data set has its own tag.
    named = {dataset_name(one) for one in facts.datasets}
    is_by_file = all(one.name in named for one in declared.datasets)
    yield "datasets", datasets, Origin.FILE_DECLARED if is_by_file else Origin.USER_DECLARED
    # A tokenizer turns text into what the model reads, and a chat template is for answers in text.
    for name, stated, is_text in (
        ("inputs", declared.model_inputs, facts.has_tokenizer),
        ("outputs", declared.model_outputs, facts.can_chat),
    ):
        formats: list[JsonValue] = [{"format": text} for text in stated]
        if stated or not is_text:
            yield name, formats, Origin.USER_DECLARED
        else:
            yield name, [{"format": "text"}], Origin.MEASURED


def _analysis(declared: Declared) -> _Members:
    metrics: list[JsonValue] = []
    for one in declared.metrics:
        metric = _said(type=one.type, value=one.value, slice=one.slice)
        if interval := _said(lowerBound=one.lower, upperBound=one.upper):
            metric["confidenceInterval"] = interval
        metrics.append(metric)
    yield "performanceMetrics", metrics, Origin.USER_DECLARED


def _considerations(declared: Declared) -> _Members:
    for name, texts in (
        ("users", declared.use_users),
        ("useCases", declared.use_cases),
        ("technicalLimitations", declared.use_limitations),
        ("performanceTradeoffs", declared.use_tradeoffs),
    ):
        yield name, list(texts), Origin.USER_DECLARED
    ethics: list[JsonValue] = [
        _said(name=one.name, mitigationStrategy=one.mitigation) for one in declared.ethics
    ]
    yield "ethicalConsiderations", ethics, Origin.USER_DECLARED
    energy: list[JsonValue] = [_energy(one) for one in declared.energy]
    environment: JsonValue = {"energyConsumptions": energy} if energy else None
    yield "environmentalConsiderations", environment, Origin.USER_DECLARED
    fairness: list[JsonValue] = [
        _said(
            groupAtRisk=one.group,
            benefits=one.benefits,
            harms=one.harms,
            mitigationStrategy=one.mitigation,
        )
        for one in declared.fairness
    ]
    yield "fairnessAssessments", fairness, Origin.USER_DECLARED


def _energy(one: EnergyConsumption) -> dict[str, JsonValue]:
    """CycloneDX demands how much the provider provided: without a word of it, all that was used."""
    found: dict[str, JsonValue] = {
        "activity": one.activity,
        "energyProviders": [
            {
                "organization": {"name": one.provider},
                "energySource": one.source,
                "energyProvided": _measure(one.provided_kwh or one.kwh, "kWh"),
            }
        ],
        "activityEnergyCost": _measure(one.kwh, "kWh"),
    }
    if one.co2_tonnes is not None:
        found["co2CostEquivalent"] = _measure(one.co2_tonnes, "tCO2eq")
    if one.co2_offset_tonnes is not None:
        found["co2CostOffset"] = _measure(one.co2_offset_tonnes, "tCO2eq")
    return found


def _measure(text: str, unit: str) -> dict[str, JsonValue]:
    number = float(text)
    is_whole = number.is_integer() and abs(number) <= LIMITS.json_integer
    return {"value": int(number) if is_whole else number, "unit": unit}


def _said(**members: str | None) -> dict[str, JsonValue]:
    return {name: value for name, value in members.items() if value is not None}
