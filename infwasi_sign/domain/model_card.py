"""The model card of CycloneDX as values: what a model is for, how well it does, and what it costs.

Every member that `modelCard`, `componentData` and `serviceData` have in the schemas of versions
1.5, 1.6 and 1.7 (https://cyclonedx.org/schema/bom-1.7.schema.json), under its name in snake case.
``None`` and the empty tuple mean that the member is not there. Nothing here is of infwasi alone, so
that cyclonedx-python-lib, which has no card (its issues 912 and 913), could take it over.

`model_card_layout` says how each class is written, and `model_card_json` reads and writes it.
"""

from enum import StrEnum
from typing import TypeAlias

from infwasi_sign.quick_dataclass import dataclass


class ApproachType(StrEnum):
    """How a model learned: `modelCard.modelParameters.approach.type`."""

    SUPERVISED = "supervised"
    UNSUPERVISED = "unsupervised"
    REINFORCEMENT_LEARNING = "reinforcement-learning"
    SEMI_SUPERVISED = "semi-supervised"
    SELF_SUPERVISED = "self-supervised"


class ComponentDataType(StrEnum):
    """What kind of data it is: `componentData.type`."""

    SOURCE_CODE = "source-code"
    CONFIGURATION = "configuration"
    DATASET = "dataset"
    DEFINITION = "definition"
    OTHER = "other"


class DataFlowDirection(StrEnum):
    """Which way data goes: `serviceData.flow`."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    BI_DIRECTIONAL = "bi-directional"
    UNKNOWN = "unknown"


class Activity(StrEnum):
    """What energy was spent on: `energyConsumption.activity`."""

    DESIGN = "design"
    DATA_COLLECTION = "data-collection"
    DATA_PREPARATION = "data-preparation"
    TRAINING = "training"
    FINE_TUNING = "fine-tuning"
    VALIDATION = "validation"
    DEPLOYMENT = "deployment"
    INFERENCE = "inference"
    OTHER = "other"


class EnergySource(StrEnum):
    """Where energy comes from: `energyProvider.energySource`."""

    COAL = "coal"
    OIL = "oil"
    NATURAL_GAS = "natural-gas"
    NUCLEAR = "nuclear"
    WIND = "wind"
    SOLAR = "solar"
    GEOTHERMAL = "geothermal"
    HYDROPOWER = "hydropower"
    BIOFUEL = "biofuel"
    UNKNOWN = "unknown"
    OTHER = "other"


class AttachmentEncoding(StrEnum):
    """How the content of an attachment is written, if not as it is: `attachment.encoding`."""

    BASE64 = "base64"


class EnergyUnit(StrEnum):
    """`energyMeasure.unit`: kilowatt hours are the only one."""

    KWH = "kWh"


class Co2Unit(StrEnum):
    """`co2Measure.unit`: tonnes of CO2 equivalent are the only one."""

    TCO2EQ = "tCO2eq"


# --- what the card shares with the rest of a BOM -----------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Property:
    """A name and a value that no member is for: `property`."""

    name: str
    value: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Attachment:
    """Text, or bytes as base64: `attachment`."""

    content: str
    content_type: str | None = None
    encoding: AttachmentEncoding | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PostalAddress:
    """`postalAddress`, since 1.6."""

    bom_ref: str | None = None
    country: str | None = None
    region: str | None = None
    locality: str | None = None
    post_office_box_number: str | None = None
    postal_code: str | None = None
    street_address: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OrganizationalContact:
    """A person: `organizationalContact`."""

    bom_ref: str | None = None
    name: str | None = None
    email: str | None = None
    phone: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OrganizationalEntity:
    """`organizationalEntity`; ``address`` is since 1.6."""

    bom_ref: str | None = None
    name: str | None = None
    address: PostalAddress | None = None
    url: tuple[str, ...] = ()
    contact: tuple[OrganizationalContact, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Hash:
    """`hash`: an algorithm by its name in the schema, and the digest as hex."""

    alg: str
    content: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ExternalReference:
    """`externalReference`; ``properties`` are since 1.7."""

    url: str
    type: str
    comment: str | None = None
    hashes: tuple[Hash, ...] = ()
    properties: tuple[Property, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Graphic:
    """`graphic`."""

    name: str | None = None
    image: Attachment | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class GraphicsCollection:
    """`graphicsCollection`."""

    description: str | None = None
    collection: tuple[Graphic, ...] = ()


# --- data --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class DataContents:
    """Where the data is: `componentData.contents`."""

    attachment: Attachment | None = None
    url: str | None = None
    properties: tuple[Property, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ResponsibleParty:
    """`dataGovernanceResponsibleParty`: an organization or a contact, never both."""

    organization: OrganizationalEntity | None = None
    contact: OrganizationalContact | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DataGovernance:
    """Who answers for data: `dataGovernance`."""

    custodians: tuple[ResponsibleParty, ...] = ()
    stewards: tuple[ResponsibleParty, ...] = ()
    owners: tuple[ResponsibleParty, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ComponentData:
    """`componentData`: an item of `component.data`, or a dataset that stands in a card itself."""

    type: ComponentDataType
    bom_ref: str | None = None
    name: str | None = None
    contents: DataContents | None = None
    classification: str | None = None
    sensitive_data: tuple[str, ...] = ()
    graphics: GraphicsCollection | None = None
    description: str | None = None
    governance: DataGovernance | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DataReference:
    """A dataset that stands elsewhere, by its bom-ref: `modelCard.modelParameters.datasets[]`."""

    ref: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceData:
    """`serviceData`: what data a service takes or gives, an item of `service.data`."""

    flow: DataFlowDirection
    classification: str
    name: str | None = None
    description: str | None = None
    governance: DataGovernance | None = None
    source: tuple[str, ...] = ()
    destination: tuple[str, ...] = ()


Dataset: TypeAlias = ComponentData | DataReference


# --- the card ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Approach:
    """`modelCard.modelParameters.approach`."""

    type: ApproachType | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class InputOutput:
    """`inputOutputMLParameters`: the format of what a model takes or gives, as "string"."""

    format: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelParameters:
    """`modelCard.modelParameters`; it has no properties, those stand in the card."""

    approach: Approach | None = None
    task: str | None = None
    architecture_family: str | None = None
    model_architecture: str | None = None
    datasets: tuple[Dataset, ...] = ()
    inputs: tuple[InputOutput, ...] = ()
    outputs: tuple[InputOutput, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfidenceInterval:
    """`performanceMetric.confidenceInterval`; bounds are texts, as in the schema."""

    lower_bound: str | None = None
    upper_bound: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PerformanceMetric:
    """`performanceMetric`; the value is a text, as in the schema."""

    type: str | None = None
    value: str | None = None
    slice: str | None = None
    confidence_interval: ConfidenceInterval | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantitativeAnalysis:
    """`modelCard.quantitativeAnalysis`."""

    performance_metrics: tuple[PerformanceMetric, ...] = ()
    graphics: GraphicsCollection | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EthicalConsideration:
    """A risk and what is done about it: `risk`."""

    name: str | None = None
    mitigation_strategy: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EnergyMeasure:
    """`energyMeasure`: an amount of energy."""

    value: int | float
    unit: EnergyUnit = EnergyUnit.KWH


@dataclass(frozen=True, kw_only=True, slots=True)
class Co2Measure:
    """`co2Measure`: an amount of CO2."""

    value: int | float
    unit: Co2Unit = Co2Unit.TCO2EQ


@dataclass(frozen=True, kw_only=True, slots=True)
class EnergyProvider:
    """`energyProvider`, since 1.6."""

    organization: OrganizationalEntity
    energy_source: EnergySource
    energy_provided: EnergyMeasure
    bom_ref: str | None = None
    description: str | None = None
    external_references: tuple[ExternalReference, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class EnergyConsumption:
    """`energyConsumption`, since 1.6."""

    activity: Activity
    energy_providers: tuple[EnergyProvider, ...]
    activity_energy_cost: EnergyMeasure
    co2_cost_equivalent: Co2Measure | None = None
    co2_cost_offset: Co2Measure | None = None
    properties: tuple[Property, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvironmentalConsiderations:
    """`environmentalConsiderations`, since 1.6."""

    energy_consumptions: tuple[EnergyConsumption, ...] = ()
    properties: tuple[Property, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class FairnessAssessment:
    """What the model may do to a group of people: `fairnessAssessment`."""

    group_at_risk: str | None = None
    benefits: str | None = None
    harms: str | None = None
    mitigation_strategy: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Considerations:
    """`modelCard.considerations`; ``environmental_considerations`` are since 1.6."""

    users: tuple[str, ...] = ()
    use_cases: tuple[str, ...] = ()
    technical_limitations: tuple[str, ...] = ()
    performance_tradeoffs: tuple[str, ...] = ()
    ethical_considerations: tuple[EthicalConsideration, ...] = ()
    environmental_considerations: EnvironmentalConsiderations | None = None
    fairness_assessments: tuple[FairnessAssessment, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """`component.modelCard`."""

    bom_ref: str | None = None
    model_parameters: ModelParameters | None = None
    quantitative_analysis: QuantitativeAnalysis | None = None
    considerations: Considerations | None = None
    properties: tuple[Property, ...] = ()
