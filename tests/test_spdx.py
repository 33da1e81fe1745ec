"""The SPDX export: valid for a validator of others, the same every time, and nothing invented."""

import copy
import io
import json
from pathlib import Path
from typing import Any

import pytest
from spdx_python_model import v3_0_1

from infwasi_sign.domain.bom import read_bom
from infwasi_sign.domain.declared_file import parse_model_card
from infwasi_sign.domain.spdx import CONTEXT, spdx_document
from infwasi_sign.domain.strict_json import canonical
from infwasi_sign.domain.vex import read_vex
from infwasi_sign.errors import MalformedError
from tests import forge
from tests.command_line import infwasi
from tests.cyclonedx_full import Sampler
from tests.declared_support import FILLED
from tests.policy_support import LICENSED
from tests.spdx_support import Judge, published
from tests.vex_samples import data, openvex

Graph = list[dict[str, Any]]


def export(bom: Any) -> dict[str, Any]:
    """The document, as what a reader of JSON has."""
    document: dict[str, Any] = json.loads(canonical(spdx_document(bom)))
    return document


def exported(package: Path) -> dict[str, Any]:
    return export(json.loads((package / "bom.cdx.json").read_bytes()))


def elements(document: dict[str, Any], kind: str) -> Graph:
    return [one for one in document["@graph"] if one["type"] == kind]


def related(document: dict[str, Any], kind: str) -> list[tuple[str, list[str]]]:
    def short(identifier: str) -> str:
        return identifier.partition("#")[2] or identifier

    return [
        (short(one["from"]), [short(to) for to in one["to"]])
        for one in document["@graph"]
        if one.get("relationshipType") == kind
    ]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return exported(forge.make_package(tmp_path_factory.mktemp("plain"), model=LICENSED))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a package of which everything is declared, vulnerabilities too."""
    every = [
        openvex("affected"),
        openvex("not_affected", name="CVE-2026-2", justification="component_not_present"),
        openvex("fixed", "model:model:0", name="CVE-2026-3"),
        openvex("under_investigation", name="GHSA-4"),
    ]
    return exported(
        forge.make_package(
            tmp_path_factory.mktemp("told"),
            declared=parse_model_card(FILLED.encode(), where="card"),
            vex=tuple(one for value in every for one in read_vex(data(value), "vex")),
        )
    )


def _any_bom() -> dict[str, Any]:
    """A BOM with every member of the official schema: of another tool, for us."""
    bom: dict[str, Any] = Sampler("1.7").document()
    (first, *_) = bom["components"]
    kinds = ("application", "data", "file", "library", "machine-learning-model")
    bom["components"] = [first | {"type": kind, "bom-ref": f"of:{kind}"} for kind in kinds]
    return bom


# --- validity --------------------------------------------------------------------------------


def read_by_the_project(document: dict[str, Any]) -> v3_0_1.SHACLObjectSet:
    """Read, and written again, by what the SPDX project makes of its own model.

    Reading holds each property to its type, and writing demands those that must be there.
    """
    found = v3_0_1.SHACLObjectSet()
    v3_0_1.JSONLDDeserializer().read(io.BytesIO(json.dumps(document).encode()), found)
    v3_0_1.JSONLDSerializer().write(found, io.BytesIO())
    return found


def test_the_bindings_of_the_spdx_project_read_our_exports(
    plain: dict[str, Any], told: dict[str, Any]
) -> None:
    for document in (plain, told, export(_any_bom())):
        found = read_by_the_project(document)
        assert not found.missing_ids
        assert len(list(found.foreach())) >= len(document["@graph"])


@pytest.mark.parametrize("spoil", ["type", "algorithm", "required"])
def test_the_bindings_refuse_what_is_wrong(plain: dict[str, Any], spoil: str) -> None:
    """The control: bindings that read nothing would accept all of the above."""
    wrong = copy.deepcopy(plain)
    (model,) = elements(wrong, "ai_AIPackage")
    match spoil:
        case "type":
            model["software_packageVersion"] = 7
        case "algorithm":
            model["verifiedUsing"][0]["algorithm"] = "sha257"
        case _:
            del model["verifiedUsing"][0]["hashValue"]
    with pytest.raises((TypeError, ValueError)):
        read_by_the_project(wrong)


def test_a_reference_into_nothing_is_seen(plain: dict[str, Any]) -> None:
    less = copy.deepcopy(plain)
    (model,) = elements(less, "ai_AIPackage")
    less["@graph"].remove(model)
    assert read_by_the_project(less).missing_ids == {model["spdxId"]}


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(published())


def test_exports_are_valid(judge: Judge, plain: dict[str, Any], told: dict[str, Any]) -> None:
    """Of a package, of one that declares everything, and of another tool's BOM with every member.

    NOTE: SHACL of all three at once, with which pyshacl is busy for a minute.
    """
    documents = [plain, told, export(_any_bom())]
    assert [judge.schema_complaints(one) for one in documents] == [[], [], []]
    assert judge.shape_complaints(*documents) == []


@pytest.mark.parametrize("spoil", ["type", "algorithm", "class"])
def test_the_judge_refuses_what_is_wrong(judge: Judge, plain: dict[str, Any], spoil: str) -> None:
    """The control: a validator that reads nothing would accept all of the above."""
    wrong = copy.deepcopy(plain)
    (model,) = elements(wrong, "ai_AIPackage")
    match spoil:
        case "type":
            model["software_packageVersion"] = 7
        case "algorithm":
            model["verifiedUsing"][0]["algorithm"] = "sha257"
        case _:  # only the shapes see that a tool is no agent
            (tool, *_) = elements(wrong, "Tool")
            wrong["@graph"] = [wrong["@graph"][0], tool, *elements(wrong, "SoftwareAgent")]
            assert judge.schema_complaints(wrong) == []
            wrong["@graph"][0]["createdBy"] = [tool["spdxId"]]
    assert judge.complaints(wrong)


# --- what it says ----------------------------------------------------------------------------


def test_equal_boms_give_equal_bytes(tmp_path: Path) -> None:
    documents = [exported(forge.make_package(tmp_path / name)) for name in ("one", "two")]
    assert canonical(documents[0]) == canonical(documents[1])
    identifiers = [one["spdxId"] for one in documents[0]["@graph"] if "spdxId" in one]
    assert len(identifiers) == len(set(identifiers))


def test_every_reference_leads_to_an_element(told: dict[str, Any]) -> None:
    there = {one.get("spdxId", one.get("@id")) for one in told["@graph"]}
    there |= {"NoAssertionElement", "expandedlicensing_NoAssertionLicense"}
    ends = {one["creationInfo"] for one in told["@graph"] if "creationInfo" in one}
    for one in told["@graph"]:
        for name in ("from", "to", "subject", "element", "rootElement", "suppliedBy"):
            value = one.get(name, [])
            ends |= {value} if isinstance(value, str) else set(value)
    assert ends - there == set()


def test_every_component_and_hash_of_the_bom_is_there(tmp_path: Path) -> None:
    package = forge.make_package(tmp_path)
    bom = read_bom((package / "bom.cdx.json").read_bytes())
    document = export(bom.tree)
    names = {one["name"] for one in document["@graph"] if "software_primaryPurpose" in one}
    assert {component.name for component in bom.components.values()} <= names
    hashes = {
        digest["hashValue"] for one in document["@graph"] for digest in one.get("verifiedUsing", [])
    }
    trees: list[dict[str, Any]] = [one.tree for one in bom.components.values()]
    assert hashes == {digest["content"] for tree in trees for digest in tree.get("hashes", [])}


def test_the_tree_of_components_is_contained(plain: dict[str, Any]) -> None:
    contained = dict(related(plain, "contains"))
    assert contained["component/app"] == [
        "component/file%3Aapp.wasm",
        "component/model%3Amodel%3A0",
    ]
    assert "component/part%3Aengine" in contained["component/file%3Aapp.wasm"]
    assert dict(related(plain, "dependsOn"))["component/app"] == contained["component/app"]


def test_licences_are_declared_or_said_to_be_unknown(plain: dict[str, Any]) -> None:
    licences = dict(related(plain, "hasDeclaredLicense"))
    assert licences["component/model%3Amodel%3A0"] == ["license/Apache-2.0"]
    assert licences["component/app"] == ["expandedlicensing_NoAssertionLicense"]
    (licence,) = elements(plain, "simplelicensing_LicenseExpression")
    assert licence["simplelicensing_licenseExpression"] == "Apache-2.0"


def test_what_nobody_said_is_not_said(plain: dict[str, Any]) -> None:
    (model,) = elements(plain, "ai_AIPackage")
    for name in (
        *("ai_safetyRiskAssessment", "ai_limitation", "ai_energyConsumption", "ai_metric"),
        *("suppliedBy", "releaseTime", "software_packageVersion", "software_downloadLocation"),
    ):
        assert name not in model
    assert model["ai_autonomyType"] == "noAssertion"
    assert related(plain, "trainedOn") == [("component/model%3Amodel%3A0", ["NoAssertionElement"])]
    (sbom,) = elements(plain, "software_Sbom")
    assert "ai" not in sbom["profileConformance"]
    (unknown,) = [
        one for one in elements(plain, "Annotation") if one["spdxId"].endswith("/unknown")
    ]
    assert unknown["statement"].startswith("unknown, and demanded by the profile ai: suppliedBy")


def test_what_is_declared_has_its_place(told: dict[str, Any]) -> None:
    (model, *_) = elements(told, "ai_AIPackage")
    for name in (
        *("ai_limitation", "ai_energyConsumption", "ai_metric", "ai_informationAboutTraining"),
        *("ai_informationAboutApplication", "ai_typeOfModel", "ai_hyperparameter", "ai_domain"),
    ):
        assert model[name], name
    assert elements(told, "dataset_DatasetPackage")
    assert related(told, "trainedOn")
    assert "NoAssertionElement" not in str(related(told, "trainedOn"))


def test_origins_come_along(plain: dict[str, Any]) -> None:
    (model,) = elements(plain, "ai_AIPackage")
    (extension,) = model["extension"]
    pairs = {
        one["extension_cdxPropName"]: one["extension_cdxPropValue"]
        for one in extension["extension_cdxProperty"]
    }
    assert pairs["infwasi:origin:licenses"] == "file-declared"
    assert pairs["infwasi:origin:version"] == "unknown"


def test_statements_about_vulnerabilities_are_relationships(told: dict[str, Any]) -> None:
    for kind, name, target in (
        ("affects", "CVE-2026-1234", "component/app"),
        ("doesNotAffect", "CVE-2026-2", "component/app"),
        ("fixedIn", "CVE-2026-3", "component/model%3Amodel%3A0"),
        ("underInvestigationFor", "GHSA-4", "component/app"),
    ):
        assert related(told, kind) == [(f"vulnerability/{name}", [target])]


# --- other tools' BOMs -----------------------------------------------------------------------


def test_a_bom_of_another_tool_is_exported() -> None:
    document = export(_any_bom())
    assert document["@context"] == CONTEXT
    assert {"ai_AIPackage", "dataset_DatasetPackage", "software_File"} <= {
        one["type"] for one in document["@graph"]
    }


@pytest.mark.parametrize(
    ("member", "says"),
    [
        ("bomFormat", "not a CycloneDX BOM in bom (expected bomFormat CycloneDX)"),
        ("serialNumber", "a BOM without a serial number in bom.serialNumber"),
        ("metadata", "a BOM that does not say when it was made in bom.metadata.timestamp"),
    ],
)
def test_what_spdx_cannot_do_without_is_not_invented(
    member: str, says: str, tmp_path: Path
) -> None:
    bom = json.loads((forge.make_package(tmp_path) / "bom.cdx.json").read_bytes())
    del bom[member]
    with pytest.raises(MalformedError) as caught:
        spdx_document(bom)
    assert str(caught.value) == says


# --- the command -----------------------------------------------------------------------------


def test_convert_writes_spdx(tmp_path: Path) -> None:
    package = forge.make_package(tmp_path)
    done = infwasi("bom", "convert", package / "bom.cdx.json", "--format", "spdx", cwd=tmp_path)
    assert (done.code, done.said) == (0, [])
    assert json.loads(done.out) == exported(package)


def test_a_version_of_cyclonedx_is_none_of_spdx(tmp_path: Path) -> None:
    package = forge.make_package(tmp_path)
    done = infwasi("bom", "convert", package, "--format", "spdx", "--spec-version", "1.6")
    assert (done.code, done.out) == (2, "")
    assert done.said == ["error: SPDX has versions of its own in --spec-version"]
