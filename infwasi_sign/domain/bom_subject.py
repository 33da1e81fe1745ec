"""What a BOM is about, who wrote it and with what, and the service that an app offers."""

from typing import Final

from infwasi_sign.domain.bom_data import license_choice
from infwasi_sign.domain.bom_inputs import BomInputs
from infwasi_sign.domain.bom_parts import (
    Tagged,
    as_contact,
    as_url,
    organization,
    people,
    reference,
)
from infwasi_sign.domain.declared import DECLARED_PROPERTY, Declared
from infwasi_sign.domain.interfaces import INFERENCE_INTERFACE
from infwasi_sign.domain.origin import Origin
from infwasi_sign.domain.strict_json import JsonValue, canonical

PROFILE: Final = "1"
PROFILE_PROPERTY: Final = "infwasi:bom:profile"
TIMESTAMP_PROPERTY: Final = "infwasi:app:timestamp"
APP_REF: Final = "app"
MODEL_TYPE: Final = "machine-learning-model"
SERVICE_REF: Final = "service:inference"
_NOTHING: Final = Declared()


def app_component(inputs: BomInputs) -> Tagged:
    """`metadata.component` of a package; no registry has it, so nobody gives it a package URL."""
    component = Tagged(bom_ref=APP_REF, type="application")
    component.member("name", inputs.name, Origin.USER_DECLARED)
    component.member("version", inputs.version, Origin.USER_DECLARED)
    component.property("app:timestamp", inputs.timestamp, Origin.MEASURED)
    component.tag("purl", Origin.UNKNOWN)
    return component


def add_lone_facts(component: Tagged) -> None:
    """What a package says of its app, and nobody of a file alone.

    What a component needs of its host is measured (`infwasi:host:requires`).
    """
    component.tag("app:data-flow", Origin.UNKNOWN)
    component.tag("app:timestamp", Origin.UNKNOWN)
    if component.tree["type"] == MODEL_TYPE:
        component.tag("infrastructure:software", Origin.UNKNOWN)


def add_producer(component: Tagged, declared: Declared) -> None:
    """Who made the app or component, what for, and on what terms."""
    maker = organization(declared.app_producer)
    component.member("manufacturer", maker, Origin.USER_DECLARED)
    component.member("description", declared.app_description, Origin.USER_DECLARED)
    component.member("licenses", license_choice(declared.app_license), Origin.USER_DECLARED)


def add_system_facts(component: Tagged, declared: Declared) -> None:
    """What the developer says about the whole: its use, security and the machines it needs."""
    for name, value in (
        ("app:area", declared.app_area),
        ("app:data-usage", declared.app_data_usage),
        ("infrastructure:hardware", declared.infrastructure_hardware),
        ("security:advisories", declared.security_advisories),
        ("security:compliance", declared.security_compliance),
        ("security:contact", declared.security_contact),
        ("security:controls", "; ".join(declared.security_controls)),
    ):
        component.property(name, value, Origin.USER_DECLARED)
    references = [
        *reference("advisories", as_url(declared.security_advisories)),
        *reference("security-contact", as_contact(declared.security_contact)),
    ]
    if references:
        known = component.tree.get("externalReferences", [])
        assert isinstance(known, list)  # noqa: S101 - nobody writes anything else there
        component.tree["externalReferences"] = [*known, *references]


def metadata(inputs: BomInputs, subject: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The member `metadata`."""
    declared = inputs.declared
    author = declared.bom_author
    properties = {
        PROFILE_PROPERTY: PROFILE,
        "infwasi:origin:authors": (Origin.USER_DECLARED if author else Origin.UNKNOWN).value,
    }
    if not inputs.is_package:  # of a package, `externalReferences` names the signature
        properties["infwasi:origin:signature"] = Origin.UNKNOWN.value
    if declared != _NOTHING:
        properties[DECLARED_PROPERTY] = _declared_text(declared)
    found: dict[str, JsonValue] = {
        "timestamp": inputs.timestamp,
        "lifecycles": [{"phase": "build"}],
        "tools": {
            "components": [
                {
                    "bom-ref": f"tool:{name}",
                    "type": "application",
                    "name": name,
                    "version": version,
                }
                for name, version in inputs.tools
            ]
        },
        "component": subject,
        "properties": [
            {"name": name, "value": value} for name, value in sorted(properties.items())
        ],
    }
    if author:
        found["authors"] = people([author])
    return found


def _declared_text(declared: Declared) -> str:
    # Most packages declare nothing, and a run should not read what reads it.
    from infwasi_sign.domain.declared_codec import declared_tree  # noqa: PLC0415

    return canonical(declared_tree(declared)).decode()


def inference_service(declared: Declared) -> dict[str, JsonValue]:
    """What an app offers: a text goes in, and a text comes out (wit/)."""
    usage = declared.app_data_usage
    name, _, version = INFERENCE_INTERFACE.partition("@")
    service = Tagged(bom_ref=SERVICE_REF, name=name, version=version)
    service.tree["data"] = [
        {"flow": flow, "name": what, "classification": usage or Origin.UNKNOWN.value}
        for flow, what in (("inbound", "prompt"), ("outbound", "answer"))
    ]
    service.tag("data.flow", Origin.MEASURED)
    service.tag("data.classification", Origin.USER_DECLARED if usage else Origin.UNKNOWN)
    service.tag("name", Origin.MEASURED)
    service.tag("version", Origin.MEASURED)
    return service.finished()


def vulnerabilities(declared: Declared, root: str) -> list[JsonValue]:
    """The member `vulnerabilities`: statements of a VEX document, all of them declared."""
    found: list[JsonValue] = []
    for one in declared.vulnerabilities:
        analysis: dict[str, JsonValue] = {"state": one.state}
        if one.justification is not None:
            analysis["justification"] = one.justification
        if one.detail is not None:
            analysis["detail"] = one.detail
        item: dict[str, JsonValue] = {
            "id": one.id,
            "analysis": analysis,
            "affects": [{"ref": ref} for ref in one.affects or (root,)],
        }
        if one.source is not None:
            item["source"] = {"name": one.source}
        found.append(item)
    return found
