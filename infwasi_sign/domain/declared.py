"""What a developer says of an app and its model that no byte can tell: `model-card.toml`."""

import re
from typing import Final

from infwasi_sign.quick_dataclass import dataclass

DECLARED_PROPERTY: Final = "infwasi:declared"
"""The property of `metadata` that carries the declared facts, as canonical JSON, as they were read.

Everything else in a BOM is derived from it and from bytes, and is derived again at verification.
"""


# CycloneDX has no member for what a metric is about, so its type must tell.
SECURITY_WORDS: Final = (
    r"secur|robust|advers|attack|jailbreak|inject|toxic|harm|vulnerab|cvss|privacy|leak|refus"
)


def is_security_metric(kind: str) -> bool:
    """Whether a metric of this type is one of security (G7, KPI-01) and not of performance."""
    return re.search(SECURITY_WORDS, kind, re.IGNORECASE) is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeclaredDataset:
    """A dataset that the model was made with; ``purpose`` is training, fine-tuning, validation."""

    name: str
    description: str | None = None
    url: str | None = None
    identifier: str | None = None
    sha256: str | None = None
    license: str | None = None
    provenance: str | None = None
    statistics: str | None = None
    classification: str | None = None
    sensitive: tuple[str, ...] = ()
    derived_from: tuple[str, ...] = ()
    purpose: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EthicalConsideration:
    """A risk, and what is done about it."""

    name: str
    mitigation: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FairnessAssessment:
    """What the model may do to a group of people."""

    group: str
    benefits: str | None = None
    harms: str | None = None
    mitigation: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EnergyConsumption:
    """Energy of one activity (CycloneDX's words: training, fine-tuning, inference, ...).

    ``kwh`` and ``co2_tonnes`` are decimal numbers as they were written.
    """

    activity: str
    kwh: str
    provider: str
    source: str
    provided_kwh: str | None = None
    co2_tonnes: str | None = None
    co2_offset_tonnes: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeclaredMetric:
    """A measured quality of the model, as somebody reports it; values are texts in CycloneDX."""

    type: str
    value: str
    slice: str | None = None
    lower: str | None = None
    upper: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Vulnerability:
    """One statement of a VEX document about the package.

    ``state`` and ``justification`` are CycloneDX's words (``vulnerabilities[].analysis``).
    ``affects`` are bom-refs; empty means the app.
    """

    id: str
    state: str
    source: str | None = None
    justification: str | None = None
    detail: str | None = None
    affects: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Declared:
    """Every declared fact; ``None`` and empty tuples where nothing is said.

    The names before the first underscore are the tables of the file: ``model_license`` is
    ``license`` in ``[model]``. ``openness`` values are "open", "closed" or "partly".
    """

    bom_author: str | None = None
    app_producer: str | None = None
    app_description: str | None = None
    app_area: str | None = None
    app_data_usage: str | None = None
    app_license: str | None = None
    model_version: str | None = None
    model_description: str | None = None
    model_producer: str | None = None
    model_authors: tuple[str, ...] = ()
    model_license: str | None = None
    model_license_url: str | None = None
    model_url: str | None = None
    model_purl: str | None = None
    model_released: str | None = None
    model_task: str | None = None
    model_inputs: tuple[str, ...] = ()
    model_outputs: tuple[str, ...] = ()
    model_base_models: tuple[str, ...] = ()
    model_languages: tuple[str, ...] = ()
    model_tags: tuple[str, ...] = ()
    model_library: str | None = None
    openness_weights: str | None = None
    openness_architecture: str | None = None
    openness_data: str | None = None
    openness_training: str | None = None
    training_approach: str | None = None
    training_description: str | None = None
    training_hardware: str | None = None
    training_co2_tonnes: str | None = None
    use_users: tuple[str, ...] = ()
    use_cases: tuple[str, ...] = ()
    use_limitations: tuple[str, ...] = ()
    use_tradeoffs: tuple[str, ...] = ()
    security_controls: tuple[str, ...] = ()
    security_compliance: str | None = None
    security_contact: str | None = None
    security_advisories: str | None = None
    infrastructure_hardware: str | None = None
    datasets: tuple[DeclaredDataset, ...] = ()
    ethics: tuple[EthicalConsideration, ...] = ()
    fairness: tuple[FairnessAssessment, ...] = ()
    energy: tuple[EnergyConsumption, ...] = ()
    metrics: tuple[DeclaredMetric, ...] = ()
    vulnerabilities: tuple[Vulnerability, ...] = ()
