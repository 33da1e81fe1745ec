"""The typed model card holds everything that the official schemas allow, and nothing else."""

from dataclasses import fields
from enum import StrEnum
from typing import Any
from xml.etree.ElementTree import Element

import pytest
from hypothesis import HealthCheck, given, settings

from infwasi_sign.adapters import cyclonedx_xml as xml
from infwasi_sign.domain import model_card as m
from infwasi_sign.domain.model_card_json import (
    card_from_json,
    card_to_json,
    data_from_json,
    data_to_json,
    flow_from_json,
    flow_to_json,
)
from infwasi_sign.domain.model_card_layout import LAYOUTS, Member
from infwasi_sign.domain.model_card_version import at_version
from infwasi_sign.errors import MalformedError
from tests.cyclonedx_full import Sampler, schema
from tests.cyclonedx_support import XML_TEXT, values

SPACE = "http://cyclonedx.org/schema/bom/1.7"
TOPS = {
    m.ModelCard: "modelCard",
    m.ComponentData: "componentData",
    m.ServiceData: "serviceData",
}
bounded = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


# --- the layout is that of the schemas ---------------------------------------------------------


def walk(kind: type, found: dict[str, Any], version: str, seen: set[type]) -> list[str]:
    """Where a class and a definition of the schema differ, members by members."""
    root = schema(version)["definitions"]
    while "$ref" in found:
        found = root[found["$ref"].rpartition("/")[2]]
    if kind in seen:
        return []
    seen.add(kind)
    there = found["properties"]
    ours = {one.name: one for one in LAYOUTS[kind].members if one.since <= version}
    differences = [f"{kind.__name__}.{name}" for name in there.keys() ^ ours.keys()]
    required = {name for name, one in ours.items() if one.required}
    if required != set(found.get("required", ())):
        differences.append(f"{kind.__name__} requires {required}")
    for name, one in ours.items():
        differences += inner_differences(one, there.get(name, {}), version, seen)
    return differences


def inner_differences(
    one: Member, found: dict[str, Any], version: str, seen: set[type]
) -> list[str]:
    if one.many:
        if found.get("type") != "array":
            return [f"{one.name} is no array"]
        found = found["items"]
    elif found.get("type") == "array":
        return [f"{one.name} is an array"]
    for kind in one.kinds:
        if kind in {"text", "number"}:
            continue
        assert isinstance(kind, type)
        if kind not in LAYOUTS:
            words = set(schema_of(found, version)["enum"])
            assert issubclass(kind, StrEnum)
            ours = {word.value for word in kind}
            return [] if words == ours else [f"{one.name}: {words ^ ours}"]
    classes = [kind for kind in one.kinds if isinstance(kind, type) and kind in LAYOUTS]
    if len(classes) > 1:  # the reference is the second alternative of the schema
        first, second = found["oneOf"]
        return [*walk(classes[1], first, version, seen), *walk(classes[0], second, version, seen)]
    return walk(classes[0], found, version, seen) if classes else []


def schema_of(found: dict[str, Any], version: str) -> dict[str, Any]:
    while "$ref" in found:
        found = schema(version)["definitions"][found["$ref"].rpartition("/")[2]]
    return found


@pytest.mark.parametrize("version", ["1.5", "1.6", "1.7"])
@pytest.mark.parametrize("kind", TOPS)
def test_has_the_members_words_and_types_of_the_official_schema(kind: type, version: str) -> None:
    seen: set[type] = {m.Property} if version == "1.5" else set()  # where it needed no name
    assert walk(kind, {"$ref": f"#/definitions/{TOPS[kind]}"}, version, seen) == []


def test_every_class_has_a_layout_with_its_fields() -> None:
    for kind, layout in LAYOUTS.items():
        assert {one.field for one in layout.members} == {one.name for one in fields(kind)}
        assert set(layout.one_of) <= {one.name for one in layout.members}
        assert not layout.needs or layout.needs in {one.field for one in layout.members}


def test_a_difference_from_the_schema_would_be_seen() -> None:
    """The control of the test above."""
    found = walk(m.EthicalConsideration, {"$ref": "#/definitions/fairnessAssessment"}, "1.7", set())
    assert "EthicalConsideration.harms" in found
    assert "EthicalConsideration.name" in found


# --- nothing is lost ---------------------------------------------------------------------------


@bounded
@given(values(m.ModelCard))
def test_a_card_comes_back_from_json(card: m.ModelCard) -> None:
    assert card_from_json(card_to_json(card)) == card


@bounded
@given(values(m.ComponentData))
def test_data_comes_back_from_json(data: m.ComponentData) -> None:
    assert data_from_json(data_to_json(data)) == data


@bounded
@given(values(m.ServiceData))
def test_a_flow_comes_back_from_json(flow: m.ServiceData) -> None:
    assert flow_from_json(flow_to_json(flow)) == flow


def through_bytes(element: Element) -> Element:
    data = xml.write_xml(element)
    return xml.parse_xml(data, where="bom", limit_bytes=len(data))


@bounded
@given(values(m.ModelCard, XML_TEXT))
def test_a_card_comes_back_from_xml(card: m.ModelCard) -> None:
    assert xml.card_from_xml(through_bytes(xml.card_to_xml(card, SPACE))) == card


@bounded
@given(values(m.ComponentData, XML_TEXT))
def test_data_comes_back_from_xml(data: m.ComponentData) -> None:
    assert xml.data_from_xml(through_bytes(xml.data_to_xml(data, SPACE))) == data


@bounded
@given(values(m.ServiceData, XML_TEXT))
def test_a_flow_comes_back_from_xml(flow: m.ServiceData) -> None:
    assert xml.flow_from_xml(through_bytes(xml.flow_to_xml(flow, SPACE))) == flow


def test_the_card_with_everything_survives_both_forms() -> None:
    value = Sampler("1.7").definition("modelCard")
    card = card_from_json(value)
    assert card_to_json(card) == value
    assert xml.card_from_xml(through_bytes(xml.card_to_xml(card, SPACE))) == card


def test_what_xml_cannot_hold_is_replaced() -> None:
    card = m.ModelCard(model_parameters=m.ModelParameters(task="a\x00b\x1bc\ufffe"))
    again = xml.card_from_xml(through_bytes(xml.card_to_xml(card, SPACE)))
    assert again.model_parameters == m.ModelParameters(task="a\ufffdb\ufffdc\ufffd")


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "wrong type in modelCard (expected an object, got an array)"),
        ({"task": "x"}, "unknown member in modelCard (got 'task')"),
        ({"bom-ref": 1}, "wrong type in modelCard.bom-ref (expected a string, got an integer)"),
        (
            {"modelParameters": {"properties": []}},
            "unknown member in modelCard.modelParameters (got 'properties')",
        ),
        (
            {"modelParameters": {"approach": {"type": "magic"}}},
            "unknown word in modelCard.modelParameters.approach.type (expected supervised, "
            "unsupervised, reinforcement-learning, semi-supervised, self-supervised, got 'magic')",
        ),
        (
            {"modelParameters": {"inputs": {"format": "string"}}},
            "wrong type in modelCard.modelParameters.inputs (expected an array, got an object)",
        ),
        (
            {"modelParameters": {"datasets": [5]}},
            "wrong type in modelCard.modelParameters.datasets[0] "
            "(expected an object, got an integer)",
        ),
        (
            {"quantitativeAnalysis": {"performanceMetrics": [{"value": 1.5}]}},
            "wrong type in modelCard.quantitativeAnalysis.performanceMetrics[0].value "
            "(expected a string, got a number)",
        ),
        ({"properties": [{}]}, "member is missing in modelCard.properties[0] (expected name)"),
        (
            {"considerations": {"users": None}},
            "wrong type in modelCard.considerations.users (expected an array, got null)",
        ),
    ],
)
def test_refuses_a_card_that_the_schema_refuses(value: Any, message: str) -> None:
    with pytest.raises(MalformedError) as caught:
        card_from_json(value)
    assert str(caught.value) == message


@pytest.mark.parametrize(("organization", "contact"), [(False, False), (True, True)])
def test_refuses_a_responsible_party_that_is_not_one(organization: bool, contact: bool) -> None:
    party: dict[str, Any] = {"organization": {}} if organization else {}
    party |= {"contact": {}} if contact else {}
    with pytest.raises(MalformedError) as caught:
        data_from_json({"type": "dataset", "governance": {"owners": [party]}})
    assert str(caught.value) == (
        "wrong number of members in data.governance.owners[0] "
        f"(expected exactly one of organization, contact, got {len(party)})"
    )


def test_refuses_energy_that_is_no_number() -> None:
    measure = {"value": True, "unit": "kWh"}
    provider = {"organization": {}, "energySource": "wind", "energyProvided": measure}
    consumption = {
        "activity": "training",
        "energyProviders": [provider],
        "activityEnergyCost": measure,
    }
    card: Any = {
        "considerations": {"environmentalConsiderations": {"energyConsumptions": [consumption]}}
    }
    with pytest.raises(MalformedError, match=r"energyProvided\.value \(expected a number\)$"):
        card_from_json(card)


def test_unknown_members_are_passed_over_only_where_it_is_asked_for() -> None:
    value: Any = {"modelParameters": {"task": "x", "cdx:ai-ml:model": "y"}}
    card = card_from_json(value, skip_unknown=True)
    assert card == m.ModelCard(model_parameters=m.ModelParameters(task="x"))


def test_refuses_an_element_that_no_card_has() -> None:
    element = xml.parse_xml(
        f'<modelCard xmlns="{SPACE}"><magic/></modelCard>'.encode(), where="bom", limit_bytes=999
    )
    with pytest.raises(MalformedError, match="unknown member in modelCard"):
        xml.card_from_xml(element)
    assert xml.card_from_xml(element, skip_unknown=True) == m.ModelCard()


def test_refuses_an_element_that_stands_twice() -> None:
    text = f'<modelCard xmlns="{SPACE}"><considerations/><considerations/></modelCard>'
    element = xml.parse_xml(text.encode(), where="bom", limit_bytes=999)
    with pytest.raises(MalformedError, match=r"^element stands twice in modelCard.considerations$"):
        xml.card_from_xml(element)


# --- versions ----------------------------------------------------------------------------------


def test_an_older_version_has_no_place_for_what_came_later() -> None:
    card = card_from_json(Sampler("1.7").definition("modelCard"))
    assert card_to_json(at_version(card, "1.7")) == card_to_json(card)
    for version in ("1.6", "1.5"):
        # every value is one that the sample of that version has a member for
        older = card_to_json(at_version(card, version))
        sample = Sampler(version).definition("modelCard")
        assert members(older) == members(sample)


def members(value: Any) -> Any:
    match value:
        case dict():
            return {name: members(item) for name, item in value.items()}
        case list():
            return [members(item) for item in value]
        case _:
            return None


def test_an_older_version_calls_a_newer_reference_other() -> None:
    reference = m.ExternalReference(url="https://example.com", type="patent")
    hashed = m.ExternalReference(
        url="x", type="bom", hashes=(m.Hash(alg="Streebog-256", content="ab" * 32),)
    )
    assert at_version(reference, "1.6").type == "other"
    assert at_version(reference, "1.7") == reference
    assert at_version(hashed, "1.6").hashes == ()
