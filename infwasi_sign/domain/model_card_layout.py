"""How each class of the model card is written in JSON and in XML: one table for both.

The members stand in the order of the sequences of bom-1.7.xsd, which XML demands; those of 1.5 and
1.6 are the same without what came later (`Member.since`). The names are those of the JSON schema.
"""

from enum import StrEnum
from typing import Final, Literal, TypeAlias

from infwasi_sign.domain import model_card as m
from infwasi_sign.quick_dataclass import dataclass

Kind: TypeAlias = "Literal['text', 'number'] | type[StrEnum] | type"
"""What a member holds: text, a number, a word of an enumeration, or another class of the card."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One field of a class.

    ``field`` is its name in Python, ``name`` that in JSON. In XML it is an ``attribute``, the
    ``content`` of its element, or an ``element``. A member with ``many`` values repeats its
    element, or has one element around elements called ``item``. ``kinds`` are more than one where
    the schema says oneOf. ``since`` is the first version that has it, after 1.5.
    """

    field: str
    name: str
    kinds: tuple[Kind, ...]
    place: Literal["element", "attribute", "content"] = "element"
    element: str = ""
    items: tuple[str, ...] = ()
    many: bool = False
    required: bool = False
    since: str = "1.5"


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How a class is written; of the members in ``one_of`` exactly one is there."""

    members: tuple[Member, ...]
    one_of: tuple[str, ...] = ()
    needs: str = ""  # the member without which XML has no such element, though JSON may leave it


def _one(
    name: str,
    kind: Kind = "text",
    *,
    element: str = "",
    required: bool = False,
    since: str = "1.5",
) -> Member:
    return Member(
        field=_snake(name),
        name=name,
        kinds=(kind,),
        element=element or name,
        required=required,
        since=since,
    )


def _many(
    name: str,
    kind: Kind = "text",
    *,
    item: str = "",
    required: bool = False,
    since: str = "1.5",
) -> Member:
    """With an element around them if an ``item`` is named."""
    items = (item,) if item else ()
    return Member(
        field=_snake(name),
        name=name,
        kinds=(kind,),
        element=name,
        items=items,
        many=True,
        required=required,
        since=since,
    )


def _attribute(
    name: str, kind: Kind = "text", *, element: str = "", required: bool = False
) -> Member:
    return Member(
        field=_snake(name),
        name=name,
        kinds=(kind,),
        place="attribute",
        element=element or name,
        required=required,
    )


def _content(name: str, *, required: bool = False) -> Member:
    return Member(
        field=_snake(name), name=name, kinds=("text",), place="content", required=required
    )


def _snake(name: str) -> str:
    letters = (f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return "".join(letters).replace("-", "_")


def _properties(since: str = "1.5") -> Member:
    return _many("properties", m.Property, item="property", since=since)


_REF: Final = _attribute("bom-ref")

_DATASETS: Final = Member(
    field="datasets",
    name="datasets",
    kinds=(m.DataReference, m.ComponentData),
    element="datasets",
    items=("ref", "dataset"),
    many=True,
)

LAYOUTS: Final[dict[type, Layout]] = {
    m.Property: Layout(members=(_attribute("name", required=True), _content("value"))),
    m.Attachment: Layout(
        members=(
            _attribute("contentType", element="content-type"),
            _attribute("encoding", m.AttachmentEncoding),
            _content("content", required=True),
        )
    ),
    m.PostalAddress: Layout(
        members=(
            _REF,
            _one("country"),
            _one("region"),
            _one("locality"),
            _one("postOfficeBoxNumber"),
            _one("postalCode"),
            _one("streetAddress"),
        )
    ),
    m.OrganizationalContact: Layout(members=(_REF, _one("name"), _one("email"), _one("phone"))),
    m.OrganizationalEntity: Layout(
        members=(
            _REF,
            _one("name"),
            _one("address", m.PostalAddress, since="1.6"),
            _many("url"),
            _many("contact", m.OrganizationalContact),
        )
    ),
    m.Hash: Layout(members=(_attribute("alg", required=True), _content("content", required=True))),
    m.ExternalReference: Layout(
        members=(
            _attribute("type", required=True),
            _one("url", required=True),
            _one("comment"),
            _many("hashes", m.Hash, item="hash"),
            _properties(since="1.7"),
        )
    ),
    m.Graphic: Layout(members=(_one("name"), _one("image", m.Attachment))),
    m.GraphicsCollection: Layout(
        members=(_one("description"), _many("collection", m.Graphic, item="graphic"))
    ),
    m.DataContents: Layout(members=(_one("attachment", m.Attachment), _one("url"), _properties())),
    m.ResponsibleParty: Layout(
        members=(
            _one("organization", m.OrganizationalEntity),
            _one("contact", m.OrganizationalContact, element="individual"),
        ),
        one_of=("organization", "contact"),
    ),
    m.DataGovernance: Layout(
        members=(
            _many("custodians", m.ResponsibleParty, item="custodian"),
            _many("stewards", m.ResponsibleParty, item="steward"),
            _many("owners", m.ResponsibleParty, item="owner"),
        )
    ),
    m.ComponentData: Layout(
        members=(
            _REF,
            _one("type", m.ComponentDataType, required=True),
            _one("name"),
            _one("contents", m.DataContents),
            _one("classification"),
            _many("sensitiveData"),
            _one("graphics", m.GraphicsCollection),
            _one("description"),
            _one("governance", m.DataGovernance),
        )
    ),
    m.DataReference: Layout(members=(_content("ref"),), needs="ref"),
    m.ServiceData: Layout(
        members=(
            _attribute("name"),
            _attribute("description"),
            _one("flow", m.DataFlowDirection, required=True),  # in XML of the next element
            _one("classification", required=True),
            _one("governance", m.DataGovernance),
            _many("source", item="url"),
            _many("destination", item="url"),
        )
    ),
    m.Approach: Layout(members=(_one("type", m.ApproachType),)),
    m.InputOutput: Layout(members=(_one("format"),), needs="format"),
    m.ModelParameters: Layout(
        members=(
            _one("approach", m.Approach),
            _one("task"),
            _one("architectureFamily"),
            _one("modelArchitecture"),
            _DATASETS,
            _many("inputs", m.InputOutput, item="input"),
            _many("outputs", m.InputOutput, item="output"),
        )
    ),
    m.ConfidenceInterval: Layout(members=(_one("lowerBound"), _one("upperBound"))),
    m.PerformanceMetric: Layout(
        members=(
            _one("type"),
            _one("value"),
            _one("slice"),
            _one("confidenceInterval", m.ConfidenceInterval),
        )
    ),
    m.QuantitativeAnalysis: Layout(
        members=(
            _many("performanceMetrics", m.PerformanceMetric, item="performanceMetric"),
            _one("graphics", m.GraphicsCollection),
        )
    ),
    m.EthicalConsideration: Layout(members=(_one("name"), _one("mitigationStrategy"))),
    m.EnergyMeasure: Layout(
        members=(_one("value", "number", required=True), _one("unit", m.EnergyUnit, required=True))
    ),
    m.Co2Measure: Layout(
        members=(_one("value", "number", required=True), _one("unit", m.Co2Unit, required=True))
    ),
    m.EnergyProvider: Layout(
        members=(
            _REF,
            _one("description"),
            _one("organization", m.OrganizationalEntity, required=True),
            _one("energySource", m.EnergySource, required=True),
            _one("energyProvided", m.EnergyMeasure, required=True),
            _many("externalReferences", m.ExternalReference, item="reference"),
        )
    ),
    m.EnergyConsumption: Layout(
        members=(
            _one("activity", m.Activity, required=True),
            _many("energyProviders", m.EnergyProvider, required=True),
            _one("activityEnergyCost", m.EnergyMeasure, required=True),
            _one("co2CostEquivalent", m.Co2Measure),
            _one("co2CostOffset", m.Co2Measure),
            _properties(),
        ),
        needs="energy_providers",
    ),
    m.EnvironmentalConsiderations: Layout(
        members=(
            _many("energyConsumptions", m.EnergyConsumption, item="energyConsumption"),
            _properties(),
        )
    ),
    m.FairnessAssessment: Layout(
        members=(
            _one("groupAtRisk"),
            _one("benefits"),
            _one("harms"),
            _one("mitigationStrategy"),
        )
    ),
    m.Considerations: Layout(
        members=(
            _many("users", item="user"),
            _many("useCases", item="useCase"),
            _many("technicalLimitations", item="technicalLimitation"),
            _many("performanceTradeoffs", item="performanceTradeoff"),
            _many("ethicalConsiderations", m.EthicalConsideration, item="ethicalConsideration"),
            _one("environmentalConsiderations", m.EnvironmentalConsiderations, since="1.6"),
            _many("fairnessAssessments", m.FairnessAssessment, item="fairnessAssessment"),
        )
    ),
    m.ModelCard: Layout(
        members=(
            _REF,
            _one("modelParameters", m.ModelParameters),
            _one("quantitativeAnalysis", m.QuantitativeAnalysis),
            _one("considerations", m.Considerations),
            _properties(),
        )
    ),
}
"""Every class of the card."""
