"""BOMs in other versions and formats: valid everywhere, nothing lost in silence."""

import contextlib
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings

from infwasi_sign.adapters import cyclonedx_convert, cyclonedx_xml
from infwasi_sign.adapters.confinement import Confinement
from infwasi_sign.adapters.cyclonedx_convert import (
    VERSIONS,
    OutputFormat,
    ReadBom,
    convert,
    read_any,
    read_with_losses,
)
from infwasi_sign.adapters.cyclonedx_xml import parse_xml
from infwasi_sign.cli import bom_command
from infwasi_sign.cli.bom_output import deliver
from infwasi_sign.domain import strict_json
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.lost_members import lost_members
from infwasi_sign.domain.model_card import ComponentData, ModelCard, ServiceData
from infwasi_sign.domain.model_card_json import card_to_json, data_to_json, flow_to_json
from infwasi_sign.domain.text import find_hidden
from infwasi_sign.errors import MalformedError
from tests import forge
from tests.bom_support import EVERYTHING
from tests.command_line import infwasi, make_timeless
from tests.cyclonedx_full import Sampler
from tests.cyclonedx_samples import bom, full, of_ours, with_component
from tests.cyclonedx_support import XML_TEXT, complaints, values
from tests.gguf_forge import every_general_key, tiny_gguf

FORMATS: Final[tuple[OutputFormat, ...]] = ("json", "xml")
MODEL: Final = pytest.mark.model
NAMESPACE: Final = "http://cyclonedx.org/schema/bom/1.7"
bounded = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def body(document: dict[str, Any]) -> dict[str, Any]:
    head = {"$schema", "bomFormat", "specVersion"}
    return {name: value for name, value in document.items() if name not in head}


def values_of(document: Any) -> dict[str, int]:
    """Every value with how often it is there: what is compared here without our own comparison."""
    found: dict[str, int] = {}

    def walk(value: Any, name: str) -> None:
        match value:
            case dict():
                for inner, item in value.items():
                    walk(item, f"{name}.{inner}")
            case list():
                for item in value:
                    walk(item, name)
            case _:
                if isinstance(value, int | float) and not isinstance(value, bool):
                    value = value + 0.0  # JSON has one kind of number, and one zero
                found[f"{name}={value!r}"] = found.get(f"{name}={value!r}", 0) + 1

    walk(body(document), "")
    return found


# --- nothing is lost in 1.6 and 1.7 ------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.6", "1.7"])
@pytest.mark.parametrize("output_format", FORMATS)
def test_ours_come_back_whole(version: str, output_format: OutputFormat) -> None:
    document = of_ours()
    converted = convert(document, spec_version=version, output_format=output_format)
    assert converted.losses == ()
    assert complaints(converted.data, version) == []
    again = read_with_losses(converted.data)
    assert again.losses == ()
    back = convert(again.document, spec_version="1.7", output_format="json")
    assert back.losses == ()
    assert values_of(json.loads(back.data)) == values_of(document)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_same_version_and_format_is_written_as_it_is(version: str) -> None:
    document = full(version)
    converted = convert(document, spec_version=version, output_format="json")
    assert converted.data == strict_json.canonical(document)
    assert converted.losses == ()


@bounded
@given(card=values(ModelCard, XML_TEXT))
def test_any_card_survives_every_way(card: ModelCard) -> None:
    come_through(with_component(modelCard=card_to_json(card)))


@bounded
@given(data=values(ComponentData, XML_TEXT))
def test_any_data_survives_every_way(data: ComponentData) -> None:
    come_through(with_component(data=[data_to_json(data), data_to_json(data)]))


@bounded
@given(flow=values(ServiceData, XML_TEXT))
def test_any_data_flow_survives_every_way(flow: ServiceData) -> None:
    come_through(bom(services=[{"name": "s", "data": [flow_to_json(flow)]}]))


def come_through(document: dict[str, Any]) -> None:
    """To both formats of 1.7; of 1.6 what that version has no place for is listed."""
    for version in ("1.7", "1.6"):
        for output_format in FORMATS:
            converted = convert(document, spec_version=version, output_format=output_format)
            again = read_with_losses(converted.data)
            assert again.losses == ()
            if version == "1.7":
                assert converted.losses == ()
                assert values_of(again.document) == values_of(document)


@pytest.fixture(
    scope="module", params=["packed", "everything", pytest.param("real", marks=[MODEL])]
)
def signed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """BOMs as they are signed: a small one, one with all that can be said, one of a real model."""
    folder = tmp_path_factory.mktemp("signed")
    match request.param:
        case "packed":
            package = make_timeless(folder)
        case "everything":
            rich = tiny_gguf(pairs=every_general_key())
            package = forge.make_package(folder, model=rich, declared=EVERYTHING)
        case _:
            model = request.getfixturevalue("model_path").read_bytes()
            package = forge.make_package(folder, model=model, is_detached=True)
    return read_any((package / "bom.cdx.json").read_bytes())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("output_format", FORMATS)
def test_a_signed_bom_is_valid_and_whole_in_every_form(
    signed: dict[str, Any], version: str, output_format: OutputFormat
) -> None:
    converted = convert(signed, spec_version=version, output_format=output_format)
    assert complaints(converted.data, version) == []
    if version != "1.5":
        assert converted.losses == ()
        back = convert(read_any(converted.data), spec_version="1.7", output_format="json")
        assert values_of(json.loads(back.data)) == values_of(signed)


# --- places ------------------------------------------------------------------------------------

CARD: Final = {"modelParameters": {"task": "t"}}
A_MODEL: Final = {"type": "machine-learning-model", "name": "m", "modelCard": CARD}
PLACES: Final = {
    "metadata.component": bom(metadata={"component": A_MODEL}),
    "tools": bom(metadata={"tools": {"components": [A_MODEL]}}),
    "nested": with_component(components=[A_MODEL]),
    "ancestor": with_component(pedigree={"ancestors": [A_MODEL]}),
    "descendant": with_component(pedigree={"descendants": [A_MODEL]}),
    "variant": with_component(pedigree={"variants": [A_MODEL]}),
    "variant of nested": with_component(
        components=[{"type": "data", "name": "d", "pedigree": {"variants": [A_MODEL]}}]
    ),
    "tools of a vulnerability": bom(
        vulnerabilities=[{"id": "CVE-1", "tools": {"components": [A_MODEL]}}]
    ),
    "two without bom-ref": bom(
        components=[A_MODEL, A_MODEL | {"modelCard": {"modelParameters": {"task": "u"}}}]
    ),
    "services of tools": bom(
        metadata={
            "tools": {
                "services": [
                    {"name": "s", "data": [{"flow": "unknown", "classification": "c", "name": "n"}]}
                ]
            }
        }
    ),
    "nested services": bom(
        services=[
            {
                "name": "s",
                "services": [
                    {"name": "t", "data": [{"flow": "inbound", "classification": "c"}]},
                ],
            }
        ]
    ),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("output_format", FORMATS)
def test_a_card_comes_back_to_its_place(place: str, output_format: OutputFormat) -> None:
    document = PLACES[place]
    converted = convert(document, spec_version="1.6", output_format=output_format)
    assert converted.losses == ()
    assert body(read_any(converted.data)) == body(document)
    assert complaints(converted.data, "1.6") == []


def test_the_place_that_was_lent_is_given_back() -> None:
    data = convert(PLACES["nested"], spec_version="1.7", output_format="xml").data
    assert b"infwasi-place" not in data


def test_refuses_two_places_of_one_name() -> None:
    document = bom(components=[A_MODEL | {"bom-ref": "m"}, A_MODEL | {"bom-ref": "m", "name": "n"}])
    with pytest.raises(MalformedError) as caught:
        convert(document, spec_version="1.6", output_format="json")
    assert str(caught.value) == "a bom-ref stands twice in bom (got 'm')"


# --- valid everywhere --------------------------------------------------------------------------


@pytest.mark.parametrize("source", VERSIONS)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("output_format", FORMATS)
def test_every_member_of_the_schema_gives_a_valid_bom(
    source: str, version: str, output_format: OutputFormat
) -> None:
    document = full(source)
    converted = convert(document, spec_version=version, output_format=output_format)
    assert complaints(converted.data, version) == []
    assert (
        converted.data == convert(document, spec_version=version, output_format=output_format).data
    )
    again = read_with_losses(converted.data)
    assert again.losses == ()


def test_the_full_sample_is_what_the_schema_says() -> None:
    """Else the test above would say little."""
    for version in VERSIONS:
        data = json.dumps(Sampler(version).document()).encode()
        assert complaints(data, version) == []


def test_the_judges_complain() -> None:
    spoiled = with_component(modelCard={"modelParameters": {"properties": []}})
    assert len(complaints(json.dumps(spoiled).encode(), "1.7")) == 2
    xml = convert(with_component(), spec_version="1.7", output_format="xml").data
    assert (
        len(complaints(xml.replace(b"<name>", b"<mame>").replace(b"</name", b"</mame"), "1.7")) >= 2
    )


# --- losses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", VERSIONS)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("output_format", FORMATS)
def test_what_is_not_listed_as_lost_is_there(
    source: str, version: str, output_format: OutputFormat
) -> None:
    """Counted value by value, by another way than the one that lists the losses."""
    document = full(source)
    converted = convert(document, spec_version=version, output_format=output_format)
    there, before = values_of(read_any(converted.data)), values_of(document)
    missing = sum(max(count - there.get(value, 0), 0) for value, count in before.items())
    # A value may be lost in one place and stand in another as often: never the other way round.
    assert missing <= len(converted.losses)
    if not converted.losses:
        assert missing == 0


@pytest.mark.parametrize("output_format", FORMATS)
def test_names_what_1_5_has_no_place_for(output_format: OutputFormat) -> None:
    converted = convert(of_ours(), spec_version="1.5", output_format=output_format)
    lost = converted.losses
    card = "components[model:main:0].modelCard."
    energy = f"{card}considerations.environmentalConsiderations.energyConsumptions["
    assert any(one.startswith(energy) and one.endswith("].activity") for one in lost)
    assert "components[model:main:0].manufacturer.name" in lost
    assert "externalReferences[manifest.sigstore.json].type" in lost
    assert not any(one.startswith(f"{card}modelParameters.task") for one in lost)
    assert complaints(converted.data, "1.5") == []


@pytest.mark.parametrize("output_format", FORMATS)
def test_the_new_bom_says_what_it_lost(output_format: OutputFormat) -> None:
    converted = convert(of_ours(), spec_version="1.5", output_format=output_format)
    metadata = cast("dict[str, Any]", read_any(converted.data)["metadata"])
    said = {one["name"]: one["value"] for one in metadata["properties"]}
    names = [f"infwasi:lost:{index}" for index in range(len(converted.losses))]
    assert [said[name] for name in names] == list(converted.losses)
    assert said["infwasi:declared"] == '{"a":"  b"}'


def test_what_was_lost_before_stays_said() -> None:
    first = convert(of_ours(), spec_version="1.5", output_format="xml")
    second = convert(read_any(first.data), spec_version="1.7", output_format="json")
    assert second.losses == ()
    third = read_any(second.data) | {"citations": [{"bom-ref": "c"}]}
    again = convert(third, spec_version="1.6", output_format="json")
    metadata = cast("dict[str, Any]", read_any(again.data)["metadata"])
    names = [one["name"] for one in metadata["properties"]]
    assert len(set(names)) == len(names)
    assert again.losses == ("citations[c].bom-ref",)
    assert f"infwasi:lost:{len(first.losses)}" in names


def test_members_that_no_schema_has_are_lost_and_named() -> None:
    document = with_component(modelCard={"modelParameters": {"task": "t", "properties": ["p"]}})
    converted = convert(document, spec_version="1.6", output_format="json")
    assert converted.losses == ("components[m].modelCard.modelParameters.properties[0]",)


def test_what_xml_cannot_hold_is_named() -> None:
    document = with_component(description="a\x00b", modelCard={"modelParameters": {"task": "\x1b"}})
    converted = convert(document, spec_version="1.7", output_format="xml")
    assert converted.losses == (
        "components[m].description",
        "components[m].modelCard.modelParameters.task",
    )
    assert b"a\xef\xbf\xbdb" in converted.data


def test_extensions_of_others_in_xml_are_named() -> None:
    text = (
        f'<bom xmlns="{NAMESPACE}" xmlns:x="urn:x" version="1" x:mark="1"><components>'
        '<component type="data"><name>n</name><x:more>1</x:more></component></components></bom>'
    )
    read = read_with_losses(text.encode())
    assert read.losses == ("{urn:x}mark", "components.component.{urn:x}more")
    assert body(read.document)["components"] == [{"type": "data", "name": "n"}]


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, []),
        ({"a": [1, 2]}, {"a": [2, 1]}, []),
        ({"a": [1, 1]}, {"a": [1]}, ["a[1]"]),
        ({"a": {}, "b": []}, {}, []),
        ({"a": {"b": {"c": 1, "d": ""}}}, {"a": 1}, ["a.b.c", "a.b.d"]),
        ({"a": True}, {"a": 1}, ["a"]),
        ({"a": "1"}, {"a": 1}, ["a"]),
        ({"a": 1.0}, {"a": 1}, []),
        ({"a": [{"name": "x", "v": 1}]}, {"a": [{"name": "x", "v": 2}]}, ["a[x].v"]),
        ({"a": [{"name": "x"}, {"name": "y"}]}, {"a": [{"name": "y"}]}, ["a[x].name"]),
        ({"a": {"b": 1}}, {"a": [{"b": 1}]}, []),
        ({"a": [["x"], ["y"]]}, {"a": [["y"], ["x"]]}, []),
        (None, {}, [""]),
    ],
)
def test_losses_are_what_one_has_and_the_other_has_not(
    before: Any, after: Any, lost: list[str]
) -> None:
    assert list(lost_members(before, after)) == lost


# --- nothing is made up ------------------------------------------------------------------------


@pytest.mark.parametrize("output_format", FORMATS)
def test_no_number_and_no_time_is_given_to_a_bom_without(output_format: OutputFormat) -> None:
    converted = convert(with_component(), spec_version="1.6", output_format=output_format)
    again = read_any(converted.data)
    assert body(again) == body(with_component())


@pytest.mark.parametrize(
    "stamp", ["2025-01-02T03:04:05Z", "2025-01-02T03:04:05+00:00", "2025-01-02T03:04:05.500+02:00"]
)
@pytest.mark.parametrize("output_format", FORMATS)
def test_a_time_keeps_its_words(stamp: str, output_format: OutputFormat) -> None:
    document = bom(metadata={"timestamp": stamp, "properties": [{"name": "t", "value": stamp}]})
    converted = convert(document, spec_version="1.6", output_format=output_format)
    assert body(read_any(converted.data)) == body(document)


# --- hostile -----------------------------------------------------------------------------------


def nested(levels: int) -> bytes:
    inner = '{"type":"data","name":"n","components":['
    head = '{"bomFormat":"CycloneDX","specVersion":"1.7","components":['
    return (head + inner * levels + "]}" * levels + "]}").encode()


def xml_of(content: str, head: str = "") -> bytes:
    return (
        f'<?xml version="1.0"?>{head}<bom xmlns="{NAMESPACE}" version="1">{content}</bom>'.encode()
    )


LAUGHS: Final = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "lol"}">' for n in range(10))
HOSTILE: Final = {
    "empty": (b"", "not JSON in bom (got expecting value at character 0)"),
    "no BOM": (b"{}", "not a CycloneDX BOM in bom (expected JSON or XML of one)"),
    "a list": (b"[1]", "not a CycloneDX BOM in bom (expected JSON or XML of one)"),
    "old": (
        b'{"bomFormat":"CycloneDX","specVersion":"1.4"}',
        "unsupported version in bom.specVersion (expected 1.7, 1.6, 1.5, got '1.4')",
    ),
    "long JSON": (
        b" " * (LIMITS.bom_bytes + 1),
        "too long in bom (expected at most 16777216 bytes, got 16777217)",
    ),
    "long XML": (
        b"<" + b" " * LIMITS.bom_bytes,
        "too long in bom (expected at most 16777216 bytes, got 16777217)",
    ),
    "deep JSON": (nested(40), "nested too deep in bom (expected at most 32 levels)"),
    "very deep JSON": (nested(100_000), "nested too deep in bom (expected at most 32 levels)"),
    "deep XML": (
        xml_of("<a>" * 100_000 + "</a>" * 100_000),
        "nested too deep in bom (expected at most 64 levels)",
    ),
    "many elements": (
        xml_of("<a/>" * 600_000),
        "too many elements in bom (expected at most 500000, with their attributes)",
    ),
    "many objects": (
        json.dumps(bom(properties=[{"name": "a"}] * 200_001)).encode(),
        "too many objects in bom (expected at most 200000, got 200002)",
    ),
    "many components": (
        json.dumps(bom(components=[{"type": "data", "name": "a"}] * 20_001)).encode(),
        "too many components in bom (expected at most 20000, got 20001)",
    ),
    "billion laughs": (
        xml_of("&l9;", f"<!DOCTYPE bom [{LAUGHS}]>"),
        "has a document type in bom (expected none)",
    ),
    "external entity": (
        xml_of("&x;", '<!DOCTYPE bom [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
        "has a document type in bom (expected none)",
    ),
    "external document type": (
        xml_of("", '<!DOCTYPE bom SYSTEM "http://127.0.0.1:9/x.dtd">'),
        "has a document type in bom (expected none)",
    ),
    "another namespace": (
        b'<bom xmlns="urn:x"/>',
        "not a CycloneDX BOM in bom (expected an element bom of "
        "http://cyclonedx.org/schema/bom/1.5, 1.6 or 1.7, got {urn:x}bom)",
    ),
    "old XML": (
        b'<bom xmlns="http://cyclonedx.org/schema/bom/1.4"/>',
        "not a CycloneDX BOM in bom (expected an element bom of http://cyclonedx.org/schema/bom/"
        "1.5, 1.6 or 1.7, got {http://cyclonedx.org/schema/bom/1.4}bom)",
    ),
    "broken XML": (b"<bom>", "not XML in bom (got no element found: line 1, column 5)"),
    "unknown encoding": (
        b'<?xml version="1.0" encoding="x-magic"?><bom/>',
        "not XML in bom (got unknown encoding: x-magic)",
    ),
    "control character": (
        xml_of("\x1b"),
        "not XML in bom (got not well-formed (invalid token): line 1, column 82)",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_refuses_hostile_bytes_in_one_line(name: str) -> None:
    data, message = HOSTILE[name]
    with pytest.raises(MalformedError) as caught:
        read_any(data)
    assert str(caught.value) == message


# --- each bound by its removal: the same bytes get further without it


def test_without_its_bound_entities_are_expanded() -> None:
    laughs = xml_of("&l3;", f"<!DOCTYPE bom [{LAUGHS}]>")
    root = ElementTree.fromstring(laughs)  # noqa: S314 - what is shown is that it does
    assert root.text == "lol" * 1000


@pytest.mark.parametrize(
    ("bound", "data", "message"),
    [
        ("bom_xml_depth", xml_of("<a>" * 70 + "</a>" * 70), "nested too deep"),
        ("bom_xml_elements", HOSTILE["many elements"][0], "too many elements"),
    ],
)
def test_without_its_bound_xml_is_read(
    bound: str, data: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MalformedError, match=message):
        parse_xml(data, where="bom", limit_bytes=len(data))
    monkeypatch.setattr(cyclonedx_xml, "LIMITS", replace(LIMITS, **{bound: 10**9}))
    assert len(parse_xml(data, where="bom", limit_bytes=len(data))) > 0


@pytest.mark.parametrize(
    ("bound", "members"),
    [
        ("bom_objects", {"properties": [{"name": "a"}] * 200_001}),
        ("bom_components", {"components": [{"type": "data", "name": "a"}] * 20_001}),
    ],
)
def test_without_its_bound_json_is_read(
    bound: str, members: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = json.dumps(bom(**members)).encode()
    with pytest.raises(MalformedError, match="too many"):
        read_any(data)
    monkeypatch.setattr(cyclonedx_convert, "LIMITS", replace(LIMITS, **{bound: 10**9}))
    assert read_any(data)


WRONG: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "card": (
        with_component(modelCard=[]),
        "wrong type in bom.components[0].modelCard (expected an object, got an array)",
    ),
    "data": (
        with_component(data={}),
        "wrong type in bom.components[0].data (expected an array)",
    ),
    "data item": (
        with_component(data=[{"type": "magic"}]),
        "unknown word in bom.components[0].data[0].type "
        "(expected source-code, configuration, dataset, definition, other, got 'magic')",
    ),
    "mime type": (
        with_component(**{"mime-type": 5}),
        "wrong type in bom.components[0] (expected a string, got an integer)",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_refuses_wrong_types_by_name(name: str) -> None:
    document, message = WRONG[name]
    with pytest.raises(MalformedError) as caught:
        convert(document, spec_version="1.6", output_format="json")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "members",
    [
        {"components": 5},
        {"components": [5]},
        {"components": [[]]},
        {"components": [{"type": "magic", "name": "x"}]},
        {"components": [{"type": "data"}]},
        {"components": [{"type": "data", "name": "x", "purl": "nonsense"}]},
        {"components": [{"type": "data", "name": "x", "hashes": [{"alg": "X", "content": "a"}]}]},
        {"metadata": 5},
        {"metadata": {"timestamp": "yesterday"}},
        {"metadata": {"component": []}},
        {"services": {"a": []}},
        {"vulnerabilities": [5]},
        {"vulnerabilities": "abc"},
        {"serialNumber": "nonsense"},
        {"dependencies": [{}]},
    ],
)
def test_what_the_library_cannot_read_is_one_line_about_it(members: dict[str, Any]) -> None:
    with pytest.raises(MalformedError) as caught:
        convert(bom(**members), spec_version="1.6", output_format="json")
    assert str(caught.value).startswith(
        "not as its schema says, cyclonedx-python-lib cannot read it in bom (got "
    )
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


def mutants() -> Iterator[Any]:
    """Every value of a BOM of ours replaced by one of each other type."""

    def walk(value: Any, rebuild: Any) -> Iterator[Any]:
        others: list[Any] = [None, True, 7, 1.5, "x", [], {}, ["x"], {"x": []}, [[]], [{}]]
        yield from map(rebuild, others)
        match value:
            case dict():
                for name, item in value.items():
                    yield from walk(item, lambda new, n=name: rebuild({**value, n: new}))
            case list():
                for index, item in enumerate(value):
                    yield from walk(
                        item,
                        lambda new, i=index: rebuild([*value[:i], new, *value[i + 1 :]]),
                    )

    small = {
        name: value
        for name, value in of_ours().items()
        if name in {"bomFormat", "specVersion", "metadata", "services", "dependencies"}
    }
    yield from walk(small, lambda new: new)


def test_no_wrong_type_gets_past_the_one_error() -> None:
    count = 0
    for mutant in mutants():
        if not isinstance(mutant, dict):
            continue
        count += 1
        with contextlib.suppress(MalformedError):
            convert(mutant, spec_version="1.6", output_format="xml")
    assert count > 300


# --- the command -------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bom.cdx.json").write_bytes(strict_json.canonical(of_ours()))
    return tmp_path


def test_writes_xml_to_standard_output(folder: Path) -> None:
    done = infwasi("bom", "convert", "bom.cdx.json", "--format", "xml", cwd=folder)
    assert (done.code, done.errors) == (0, "")
    assert done.output.startswith(b"<?xml")
    assert complaints(done.output, "1.7") == []


def test_writes_a_file_and_reports_losses_as_json(folder: Path) -> None:
    done = infwasi(
        *("bom", "convert", "bom.cdx.json", "--spec-version", "1.5"),
        *("--output", "old.json", "--json"),
        cwd=folder,
    )
    assert done.code == 0
    data = (folder / "old.json").read_bytes()
    report = json.loads(done.output)
    losses = report.pop("losses")
    assert report == {
        "type": "bom",
        "output": "old.json",
        "specVersion": "1.5",
        "format": "json",
        "size": len(data),
    }
    assert complaints(data, "1.5") == []
    lines = done.said
    assert lines[0] == f"{len(losses)} values did not come along to CycloneDX 1.5 JSON"
    assert lines[1:51] == [f"lost: {path}" for path in losses[:50]]


def test_there_and_back_gives_the_same_values(folder: Path) -> None:
    words = ("bom", "convert")
    assert infwasi(*words, "bom.cdx.json", "--format", "xml", "-o", "b.xml", cwd=folder).code == 0
    done = infwasi(*words, "b.xml", cwd=folder)
    assert (done.code, done.errors) == (0, "")
    assert values_of(json.loads(done.output)) == values_of(of_ours())


def test_json_needs_a_file_for_the_bom(folder: Path) -> None:
    done = infwasi("bom", "convert", "bom.cdx.json", "--json", cwd=folder)
    assert done.code == 2
    assert done.said == [
        "error: --json and the BOM would both be standard output",
        "hint: --output",
    ]


@pytest.mark.parametrize("name", ["no BOM", "billion laughs", "deep XML", "long JSON"])
def test_a_hostile_file_is_refused_in_one_line(folder: Path, name: str) -> None:
    (folder / "hostile").write_bytes(HOSTILE[name][0])
    done = infwasi("bom", "convert", "hostile", "-o", "new.json", cwd=folder)
    assert done.code == 1
    refused, hint = done.said
    assert refused.startswith("refused: ")
    assert hint.startswith("hint: ")
    assert not (folder / "new.json").exists()


def test_100_megabytes_are_refused_before_they_are_read(folder: Path) -> None:
    with (folder / "long.json").open("wb") as file:
        file.truncate(100_000_000)
    done = infwasi("bom", "convert", "long.json", cwd=folder)
    assert done.said[0] == (
        "refused: limit: file is too large in long.json "
        "(expected at most 16777216 bytes, got 100000000)"
    )
    done = infwasi("bom", "convert", "-", cwd=folder, stdin=b" " * 100_000_000)
    assert done.said[0] == (
        "refused: malformed: too long in bom (expected at most 16777216 bytes, got 16777217)"
    )


def test_is_confined_before_it_reads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(Confinement, "before_measuring", lambda _: order.append("confined"))

    def read(data: bytes) -> ReadBom:
        order.append("read")
        return read_with_losses(data)

    monkeypatch.setattr(cyclonedx_convert, "read_with_losses", read)
    monkeypatch.chdir(folder)
    words = ["convert", "bom.cdx.json", "-o", "new.xml", "--format", "xml"]
    assert CliRunner().invoke(bom_command.command, words).exit_code == 0
    assert order == ["confined", "read"]


def test_keeps_a_file_that_was_there_if_it_fails(folder: Path) -> None:
    (folder / "new.json").write_text("before")
    (folder / "hostile").write_bytes(b"{}")
    assert infwasi("bom", "convert", "hostile", "-o", "new.json", cwd=folder).code == 1
    assert (folder / "new.json").read_text() == "before"


def test_control_characters_of_a_bom_reach_no_terminal(folder: Path) -> None:
    document = of_ours()
    document["components"][1]["name\x1b[31m\u202e"] = "x"
    (folder / "bom.cdx.json").write_bytes(strict_json.canonical(document))
    done = infwasi("bom", "convert", "bom.cdx.json", "--format", "xml", "-o", "b.xml", cwd=folder)
    assert done.code == 0
    assert "lost: " in done.errors
    assert "\x1b" not in done.errors
    assert "\u202e" not in done.errors


# --- on a terminal ------------------------------------------------------------------------------

WITH_COMMANDS: Final[dict[str, Any]] = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.7",
    "version": 1,
    "components": [{"type": "library", "name": "a\u009b2Jb\u202ec\U000e0041"}],
}


class Terminal(io.TextIOWrapper):
    """Standard output that says whether it is one."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.mark.parametrize("is_terminal", [True, False], ids=["terminal", "pipe"])
@pytest.mark.parametrize("output_format", FORMATS)
def test_a_terminal_gets_the_same_document_without_commands(
    output_format: OutputFormat, is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal(is_terminal=is_terminal)
    monkeypatch.setattr(sys, "stdout", terminal)
    deliver(WITH_COMMANDS, "1.7", output_format, None, as_json=False)
    terminal.flush()
    data = cast("io.BytesIO", terminal.buffer).getvalue()
    assert read_any(data)["components"] == WITH_COMMANDS["components"]
    assert (find_hidden(data.decode()) is None) is is_terminal  # a pipe is the control
