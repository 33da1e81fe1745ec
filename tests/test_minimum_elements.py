"""What a document says of the minimum elements: nothing counts that is not said, or is not so."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infwasi_sign import pack
from infwasi_sign.domain.bom import BomInputs, derive_bom
from infwasi_sign.domain.declared import Declared
from infwasi_sign.domain.declared_codec import read_declared
from infwasi_sign.domain.declared_keys import ARRAYS, TABLES
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.minimum_elements import Baseline, Each, Element, Finding, judge
from infwasi_sign.domain.minimum_elements_g7 import G7
from infwasi_sign.domain.minimum_elements_questions import APPROVED_HASHES, QUESTIONS
from infwasi_sign.domain.minimum_elements_software import BASELINES, CISA, NTIA
from infwasi_sign.domain.minimum_elements_view import State, look, view_of
from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.errors import MalformedError
from tests import forge
from tests.bom_support import EVERYTHING, lone_component, lone_model
from tests.conftest import ROOT
from tests.generators.cards import FIFTEEN_LINES, card
from tests.generators.page import DATA
from tests.gguf_forge import tiny_gguf

ELEMENTS = {element.id: element for baseline in BASELINES for element in baseline.elements}
SHA256 = "ab" * 32
ENGINE = (ROOT / "components" / "prebuilt" / "engine.wasm").read_bytes()
PUBLISHED: dict[str, Any] = json.loads(DATA.read_bytes())["generators"]


def found(element: str, document: dict[str, Any]) -> Finding:
    """What the document says of one element."""
    findings = [one for judgement in judge(document, BASELINES) for one in judgement.findings]
    return next(one for one in findings if one.element.id == element)


def model(**members: Any) -> dict[str, Any]:
    """A document with one model."""
    return {"components": [{"type": "machine-learning-model", "bom-ref": "m", **members}]}


def properties(**named: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in named.items()]


# --- the tables ---------------------------------------------------------------------------------


def test_the_lists_are_as_long_as_their_sources_say() -> None:
    assert [(one.name, len(one.elements)) for one in BASELINES] == [
        ("G7", 50),
        ("NTIA", 7),
        ("CISA", 11),
    ]
    counts = {"MD": 10, "SLP": 9, "MDL": 13, "DP": 10, "INF": 2, "SP": 4, "KPI": 2}
    numbers = [
        f"{cluster}-{n:02}" for cluster, count in counts.items() for n in range(1, count + 1)
    ]
    assert [element.id for element in G7.elements] == numbers
    assert len(ELEMENTS) == 68


@pytest.mark.parametrize("element", ELEMENTS.values(), ids=ELEMENTS)
def test_every_place_can_be_looked_at(element: Element) -> None:
    view = view_of(model())
    assert element.places
    for place in element.places:
        if place.startswith("@"):
            assert place in QUESTIONS
        else:
            assert list(look(view, view.models[0], place)) == []


@pytest.mark.parametrize("element", ELEMENTS.values(), ids=ELEMENTS)
def test_no_element_of_many_subjects_looks_at_many_others(element: Element) -> None:
    """Twenty thousand components, each of which looks at all others, would take hours."""
    wide = [place for place in element.places if re.match(r"(part|model) [^?]", place)]
    assert element.each in {Each.DOCUMENT, Each.SYSTEM} or wide == []


def keys_of(element: Element) -> Iterator[tuple[str, str]]:
    """The tables and keys of model-card.toml that the element names."""
    text = element.key
    for table, rest in re.findall(r"\[+([a-z.]+)\]+ ([^\[]*)", text.split("model-card.toml:")[-1]):
        for key in re.findall(r"([a-z0-9-]+) = ", rest):
            yield table, key


@pytest.mark.parametrize("element", ELEMENTS.values(), ids=ELEMENTS)
def test_the_key_to_add_is_one_that_is_read(element: Element) -> None:
    if "model-card.toml" not in element.key:
        assert re.search(r"`infwasi (pack|bom)|infwasi\.toml", element.key)
        return
    keys = list(keys_of(element))
    assert keys
    for table, key in keys:
        known = ARRAYS[table].keys if table in ARRAYS else TABLES[table]
        assert key in known, f"{element.id}: [{table}] {key}"


def test_each_key_fills_the_elements_that_it_says_to_fill() -> None:
    told = {
        (table, key, element.id)
        for element in G7.elements
        if "model-card.toml" in element.key
        for table, key in keys_of(element)
    }
    filled = {
        (table, key, element)
        for table, keys in [*TABLES.items(), *((n, rows.keys) for n, rows in ARRAYS.items())]
        for key, form in keys.items()
        for element in form.fills
    }
    # What a key must be written with, or fills together with another.
    beside = {("dataset", "name", "DP-09"), ("metric", "value", "KPI-01")}
    beside |= {("metric", "value", "KPI-02"), ("model", "inputs", "SLP-08")}
    assert told - filled - beside == set()


# --- what counts --------------------------------------------------------------------------------


@pytest.mark.parametrize("empty", ["", "  ", None, [], {}, True, [""], [None], {"name": ""}])
@pytest.mark.parametrize(
    ("element", "member"),
    [("MDL-01", "name"), ("MDL-02", "purl"), ("MDL-05", "manufacturer"), ("MDL-12", "licenses")],
)
def test_what_is_empty_is_missing(element: str, member: str, empty: object) -> None:
    finding = found(element, model(**{member: empty}))
    assert (finding.state, finding.where, finding.what) == (State.MISSING, "components[0]", None)


@pytest.mark.parametrize("word", ["unknown", "Unknown ", "NOASSERTION", "none", "NONE"])
def test_the_words_for_unknown_are_no_value(word: str) -> None:
    finding = found("MDL-12", model(licenses=[{"license": {"name": word}}]))
    assert (finding.state, finding.what) == (State.UNKNOWN, word.strip())
    assert finding.where == "components[0].licenses[0].license.name"


def test_a_value_is_told_with_its_place_and_beginning() -> None:
    finding = found("MDL-12", model(licenses=[{"license": {"id": "Apache-2.0"}}]))
    assert (finding.state, finding.what) == (State.VALUE, "Apache-2.0")
    assert finding.where == "components[0].licenses[0].license.id"
    long = found("MDL-06", model(description="x" * 10_000))
    assert long.what == "x" * 80


@pytest.mark.parametrize("algorithm", sorted(APPROVED_HASHES))
def test_a_hash_of_an_approved_algorithm_counts(algorithm: str) -> None:
    content = "0f" * (APPROVED_HASHES[algorithm] // 2)
    document = model(hashes=[{"alg": algorithm, "content": content}])
    assert found("MDL-07", document).state is State.VALUE
    assert found("MDL-08", document).what == algorithm


@pytest.mark.parametrize(
    ("algorithm", "content"),
    [
        ("SHA-256", ""),
        ("SHA-256", "abcde"),
        ("SHA-256", "g" * 64),
        ("SHA-256", SHA256 + "ab"),
        ("SHA-256", f"sha256:{SHA256}"),
        ("MD5", "ab" * 16),
        ("SHA-1", "ab" * 20),
        ("BLAKE3", SHA256),
        ("sha256", SHA256),
        (None, SHA256),
        ("SHA-256", None),
        ("SHA-256", 7),
    ],
)
def test_a_hash_that_proves_nothing_is_missing(algorithm: object, content: object) -> None:
    document = model(hashes=[{"alg": algorithm, "content": content}])
    assert found("MDL-07", document).state is State.MISSING
    assert found("CISA-06", document).state is State.MISSING


def test_the_hash_of_a_file_of_the_model_is_one_of_the_model() -> None:
    inner = {"type": "file", "hashes": [{"alg": "SHA-256", "content": SHA256}]}
    assert found("MDL-07", model(components=[inner])).state is State.VALUE
    assert found("MDL-07", model(components=[inner | {"type": "library"}])).state is State.MISSING


@pytest.mark.parametrize(
    ("stamp", "state"),
    [
        ("2026-05-12T10:00:00Z", State.VALUE),
        ("2026-05-12T10:00:00.123+02:00", State.VALUE),
        ("2026-05-12", State.VALUE),
        ("2026-13-12T10:00:00Z", State.MISSING),
        ("yesterday", State.MISSING),
        ("2026-05-12T10:00:00", State.MISSING),
        (1778580000, State.MISSING),
    ],
)
def test_a_time_counts_if_it_is_one(stamp: object, state: State) -> None:
    assert found("MD-09", {"metadata": {"timestamp": stamp}}).state is state


@pytest.mark.parametrize(
    ("element", "document"),
    [
        ("MD-02", {"serialNumber": "3e671687-395b-41f5-a30f-a58921a69b79"}),
        ("MD-02", {"version": 1}),
        ("MD-03", {"bomFormat": "SPDX"}),
        ("MD-08", {"metadata": {"lifecycles": [{"phase": "soon"}]}}),
        ("MDL-02", model(purl="SmolLM2")),
        ("MDL-02", model(cpe="SmolLM2")),
        ("SLP-06", {"services": [{"data": [{"flow": "sideways"}]}]}),
    ],
)
def test_what_cannot_be_a_value_is_missing(element: str, document: dict[str, Any]) -> None:
    assert found(element, document).state is State.MISSING


def test_a_flow_that_is_unknown_in_the_words_of_cyclonedx_is_unknown() -> None:
    assert found("SLP-06", {"services": [{"data": [{"flow": "unknown"}]}]}).state is State.UNKNOWN


@pytest.mark.parametrize(
    ("signature", "state"),
    [
        ({"algorithm": "ES256", "value": "MEUC"}, State.VALUE),
        ({"signers": [{"algorithm": "ES256", "value": "MEUC"}]}, State.VALUE),
        ({"algorithm": "ES256"}, State.MISSING),
        ({"algorithm": "ES256", "value": ""}, State.MISSING),
        ({"value": "MEUC"}, State.MISSING),
        ("MEUC", State.MISSING),
    ],
)
def test_a_signature_has_an_algorithm_and_a_value(signature: object, state: State) -> None:
    assert found("MD-05", {"signature": signature}).state is state


def test_dependencies_of_what_is_not_there_are_none() -> None:
    document = model() | {"dependencies": [{"ref": "x", "dependsOn": ["y"]}]}
    assert found("MD-10", document).state is State.MISSING
    document["dependencies"] = [{"ref": "m"}]
    assert found("MD-10", document).what == "0 edges of 1 components"
    document["dependencies"] = []
    document["compositions"] = [{"aggregate": "unknown", "dependencies": ["m"]}]
    assert found("MD-10", document).state is State.UNKNOWN


def test_the_tools_of_older_versions_are_tools() -> None:
    document = {"metadata": {"tools": [{"vendor": "x", "name": "y", "version": "1"}]}}
    assert found("MD-07", document).where == "metadata.tools[0].version"
    both = {"metadata": {"tools": {"components": [{"name": "y"}], "services": [{"name": "z"}]}}}
    assert (found("MD-06", both).subjects, found("MD-06", both).present) == (2, 2)
    assert found("MD-07", both).state is State.MISSING


def test_the_worst_subject_counts_and_is_named() -> None:
    one, two = {"name": "a", "version": "1"}, {"name": "b"}
    finding = found("NTIA-03", {"components": [one, two, one]})
    assert (finding.state, finding.where) == (State.MISSING, "components[1]")
    assert (finding.present, finding.subjects) == (2, 3)


def test_nested_components_count_and_ancestors_do_not() -> None:
    inner = {"name": "inner", "version": "1", "pedigree": {"ancestors": [{"name": "old"}]}}
    finding = found("NTIA-03", {"components": [{"version": "2", "components": [inner]}]})
    assert (finding.state, finding.subjects) == (State.VALUE, 2)


def test_without_a_model_its_elements_are_missing() -> None:
    finding = found("MDL-01", {"components": [{"type": "library", "name": "left-pad"}]})
    assert finding.state is State.MISSING
    assert finding.where == "no component of type machine-learning-model"


# --- properties and tags ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "infwasi:gguf:context-length",
        "aisbom:gguf:context_length",
        "context.length",
        "x:Context Length",
    ],
)
def test_a_property_counts_in_any_namespace(name: str) -> None:
    assert found("MDL-10", model(properties=properties(**{name: "8192"}))).what == "8192"


def test_properties_of_the_model_card_count() -> None:
    named = properties(**{"cdx:ai-ml:model:modality": "text"})
    finding = found("MDL-10", model(modelCard={"properties": named}))
    assert finding.where.startswith("components[0].modelCard.properties[0]")


def test_a_tag_is_no_value() -> None:
    tags = {
        "infwasi:origin:gguf:context-length": "measured",
        "infwasi:origin:purl": "file-declared",
    }
    document = model(properties=properties(**tags))
    assert found("MDL-10", document).state is State.MISSING
    assert found("MDL-02", document).state is State.MISSING


@pytest.mark.parametrize("tag", ["purl", "pur*", "*"])
def test_a_tag_says_that_a_member_is_unknown(tag: str) -> None:
    document = model(properties=properties(**{f"infwasi:origin:{tag}": "unknown"}))
    assert found("MDL-02", document).state is State.UNKNOWN
    assert found("MDL-02", document).what == f"infwasi:origin:{tag}"


def test_the_tag_of_a_member_has_the_last_word_about_it() -> None:
    tags = {"infwasi:origin:*": "unknown", "infwasi:origin:purl": "measured"}
    assert found("MDL-02", model(properties=properties(**tags))).state is State.MISSING


def nested(around: dict[str, str], *inner: dict[str, str]) -> dict[str, Any]:
    """A file with these tags, and one component in the other for each dictionary after it."""
    document: dict[str, Any] = {}
    for depth, tags in reversed([*enumerate((around, *inner))]):
        component = {"type": "file", "name": f"n{depth}", "components": document.get("components")}
        named = {f"infwasi:origin:{name}": origin for name, origin in tags.items()}
        document = {"components": [component | {"properties": properties(**named)}]}
    return document


def test_a_tag_of_the_parts_is_about_all_that_is_nested() -> None:
    tags = {"*": "measured", "purl": "unknown", "components.purl": "unknown"}
    finding = found("NTIA-04", nested(tags, {"*": "measured"}, {"*": "measured"}))
    assert (finding.state, finding.present, finding.subjects) == (State.UNKNOWN, 3, 3)


@pytest.mark.parametrize(
    ("tags", "inner"),
    [
        ({"components.purl": "unknown"}, {"*": "measured"}),  # of the parts, and not of itself
        ({"purl": "unknown"}, {"*": "measured"}),  # of itself, and not of the parts
        ({"purl": "unknown", "components.purl": "unknown"}, {}),  # a part by another tool
        ({"purl": "unknown", "components.purl": "unknown"}, {"purl": "measured"}),
        ({"purl": "unknown", "components.purl": "measured"}, {"*": "measured"}),
        ({"purl": "unknown", "components.*": "unknown"}, {"*": "measured"}),
    ],
)
def test_it_is_about_nothing_else(tags: dict[str, str], inner: dict[str, str]) -> None:
    assert found("NTIA-04", nested(tags, inner)).state is State.MISSING


def test_that_an_app_has_no_network_is_a_control() -> None:
    document = model(properties=properties(**{"infwasi:capability:network": "none"}))
    assert found("SP-01", document).state is State.VALUE


# --- datasets -----------------------------------------------------------------------------------


def test_a_dataset_that_nobody_uses_has_no_dependency() -> None:
    document = model()
    document["components"].append({"type": "data", "bom-ref": "d", "name": "smoltalk"})
    assert found("DP-01", document).state is State.VALUE
    assert found("DP-09", document).state is State.MISSING
    document["components"][0]["modelCard"] = {"modelParameters": {"datasets": [{"ref": "d"}]}}
    assert found("DP-09", document).state is State.VALUE


def test_a_dataset_in_a_card_is_one_and_a_reference_to_nothing_is_none() -> None:
    inline = {"type": "dataset", "name": "smoltalk", "contents": {"url": "https://x.example"}}
    document = model(modelCard={"modelParameters": {"datasets": [{"ref": "lost"}]}})
    assert found("DP-01", document).state is State.MISSING
    document = model(modelCard={"modelParameters": {"datasets": [inline]}})
    assert [found(f"DP-{n:02}", document).state for n in (1, 3, 9)] == [State.VALUE] * 3
    assert found("DP-02", document).state is State.MISSING


def test_without_datasets_tags_of_the_model_say_that_they_are_unknown() -> None:
    named = properties(**{"infwasi:origin:dataset.*": "unknown"})
    document = model(properties=named)
    assert found("DP-07", document).state is State.UNKNOWN
    # A dataset that is there inherits what its model says of its gaps.
    document["components"].append({"type": "data", "name": "smoltalk"})
    assert found("DP-01", document).state is State.VALUE
    assert found("DP-07", document).state is State.UNKNOWN


# --- security metrics ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "security", "other"),
    [
        ("accuracy", State.MISSING, State.VALUE),
        ("adversarial-robustness", State.VALUE, State.MISSING),
        ("prompt injection rate", State.VALUE, State.MISSING),
        ("", State.MISSING, State.VALUE),
    ],
)
def test_metrics_are_told_apart_by_their_type(kind: str, security: State, other: State) -> None:
    metrics = {"performanceMetrics": [{"type": kind, "value": "0.9"}]}
    document = model(modelCard={"quantitativeAnalysis": metrics})
    assert (found("KPI-01", document).state, found("KPI-02", document).state) == (security, other)


# --- our own ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, model_path: Path) -> BomInputs:
    """What the BOM of a package with the real model is made of."""
    seen: list[BomInputs] = []

    def watched(given: BomInputs) -> dict[str, JsonValue]:
        seen.append(given)
        return derive_bom(given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack, "derive_bom", watched)
        folder = tmp_path_factory.mktemp("real")
        forge.make_package(folder, model=model_path.read_bytes(), is_detached=True)
    return seen[0]


def states(document: dict[str, Any]) -> dict[str, str]:
    (judgement,) = judge(document, [G7])
    return {finding.element.id: str(finding.state) for finding in judgement.findings}


def test_nothing_is_missing_for_any_list_in_a_package_or_a_model_alone(tmp_path: Path) -> None:
    package = json.loads((forge.make_package(tmp_path) / "bom.cdx.json").read_bytes())
    for document in (package, derive_bom(lone_model(tiny_gguf()))):
        for judgement in judge(document, BASELINES):
            gaps = [one for one in judgement.findings if one.state is State.MISSING]
            assert gaps == [], judgement.baseline.name


@pytest.mark.parametrize("baseline", [NTIA, CISA], ids=["NTIA", "CISA"])
def test_nothing_is_missing_for_software_in_a_component_alone(baseline: Baseline) -> None:
    for declared in (Declared(), EVERYTHING):
        (judgement,) = judge(derive_bom(lone_component(ENGINE, declared)), [baseline])
        assert judgement.present == len(judgement.findings)


@pytest.mark.model
def test_our_default_bom_of_a_real_model_misses_nothing_of_g7(inputs: BomInputs) -> None:
    seen = states(derive_bom(replace(inputs, declared=Declared())))
    assert State.MISSING not in seen.values()
    assert seen == PUBLISHED["infwasi"]["lists"]["G7"], "make generators"


@pytest.mark.model
def test_fifteen_lines_give_at_least_35_elements_a_value(inputs: BomInputs) -> None:
    assert len(FIFTEEN_LINES.splitlines()) == 15
    declared = read_declared(card(FIFTEEN_LINES), "model-card.toml")
    seen = states(derive_bom(replace(inputs, declared=declared)))
    assert State.MISSING not in seen.values()
    assert [*seen.values()].count(State.VALUE) >= 35
    assert seen == PUBLISHED["infwasi, card"]["lists"]["G7"], "make generators"


# --- any shape ----------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)
NAMES = sorted(
    {
        name
        for element in ELEMENTS.values()
        for place in element.places
        for name in re.findall(r"[A-Za-z-]+", place.rpartition(" ")[2])
    }
    | {"components", "metadata", "component", "tools", "modelCard", "type", "bom-ref", "ref"}
    | {"properties", "name", "value", "hashes", "alg", "content", "dependencies", "dependsOn"}
)
SHAPED = st.recursive(
    JSON
    | st.sampled_from(["machine-learning-model", "data", "file", "unknown", "SHA-256", SHA256]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6)
    ),
    max_leaves=60,
)


@given(st.dictionaries(st.sampled_from(NAMES), SHAPED, max_size=8))
@settings(deadline=None, max_examples=100)
def test_any_shape_is_judged(document: dict[str, Any]) -> None:
    for judgement in judge(document, BASELINES):
        assert len(judgement.findings) == len(judgement.baseline.elements)
        for finding in judgement.findings:
            assert finding.where
            assert (finding.what is None) == (finding.state is State.MISSING)
            assert 0 <= finding.present <= finding.subjects


@given(st.data())
@settings(deadline=None, max_examples=100)
def test_a_real_document_with_anything_anywhere_is_judged(data: st.DataObject) -> None:
    document: Any = _copy(EXAMPLE)
    for _ in range(data.draw(st.integers(1, 4))):
        node = document
        while isinstance(node, dict | list) and node:
            key = data.draw(
                st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node)))
            )
            if data.draw(st.booleans()) or not isinstance(node[key], dict | list):
                node[key] = data.draw(SHAPED)
                break
            node = node[key]
    for judgement in judge(document, BASELINES):
        assert judgement.present <= len(judgement.findings)


EXAMPLE: dict[str, Any] = {
    "bomFormat": "CycloneDX",
    "metadata": {
        "component": {"name": "a", "bom-ref": "a"},
        "tools": {"components": [{"name": "t"}]},
    },
    "components": [
        {
            "type": "machine-learning-model",
            "bom-ref": "m",
            "hashes": [{"alg": "SHA-256", "content": SHA256}],
            "licenses": [{"license": {"id": "MIT"}}],
            "modelCard": {
                "modelParameters": {"datasets": [{"ref": "d"}], "inputs": [{"format": "text"}]},
                "quantitativeAnalysis": {"performanceMetrics": [{"type": "f1", "value": "1"}]},
            },
            "properties": properties(**{"infwasi:origin:purl": "unknown", "x:area": "y"}),
        },
        {"type": "data", "bom-ref": "d", "data": [{"name": "d", "governance": {"owners": []}}]},
    ],
    "dependencies": [{"ref": "a", "dependsOn": ["m"]}],
    "services": [{"data": [{"flow": "inbound", "classification": "public"}]}],
    "vulnerabilities": [{"id": "CVE-1"}],
}


def _copy(value: Any) -> Any:
    match value:
        case dict():
            return {name: _copy(item) for name, item in value.items()}
        case list():
            return [_copy(item) for item in value]
        case _:
            return value


def test_more_components_than_can_be_judged_are_refused() -> None:
    many: list[JsonValue] = [{}] * (LIMITS.bom_components + 1)
    documents: list[dict[str, JsonValue]] = [{"components": many}]
    documents.append({"components": [{"components": many}]})
    for document in documents:
        with pytest.raises(MalformedError) as refused:
            judge(document, BASELINES)
        assert str(refused.value) == "too many components in bom (expected at most 20000)"


def test_deep_nesting_is_judged_without_recursion() -> None:
    component: dict[str, Any] = {"name": "innermost"}
    for _ in range(2000):
        component = {"components": [component]}
    assert found("NTIA-02", {"components": [component]}).present == 1


def test_ntia_is_a_part_of_cisa() -> None:
    """CISA's draft renames what NTIA has, and adds four."""
    assert len(CISA.elements) == len(NTIA.elements) + 4
