"""The BOM that we derive: valid CycloneDX, within our profile, the same everywhere, and true."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # ships no types

from infwasi_sign.domain import strict_json
from infwasi_sign.domain.bom import BomInputs, bom_bytes, derive_bom, read_bom
from infwasi_sign.domain.bom_agreement import require_agreement
from infwasi_sign.domain.component import Nested, NestedKind
from infwasi_sign.domain.declared import Declared, DeclaredDataset, Vulnerability
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.model_card_json import (
    card_from_json,
    card_to_json,
    data_from_json,
    data_to_json,
)
from infwasi_sign.domain.origin import Origin
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError
from tests import forge
from tests.bom_lies import drop, put
from tests.bom_support import (
    EVERYTHING,
    PROFILE,
    complaints,
    complaints_of_profile,
    components_of,
    lone_component,
    lone_model,
)
from tests.conftest import ROOT
from tests.declared_support import any_declared
from tests.gguf_forge import (
    ARRAY,
    PAIRS,
    every_general_key,
    pair,
    strings,
    text_pair,
    tiny_gguf,
    u32_pair,
)

EXAMPLES = ROOT / "sbom" / "examples"
RICH = tiny_gguf(pairs=every_general_key())


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return forge.make_package(tmp_path_factory.mktemp("honest"))


@pytest.fixture(scope="module")
def bom(package: Path) -> bytes:
    return (package / "bom.cdx.json").read_bytes()


@pytest.fixture(scope="module")
def component(package: Path) -> bytes:
    return (package / "app.wasm").read_bytes()


def rich_package(folder: Path, declared: Declared = EVERYTHING) -> bytes:
    made = forge.make_package(folder, model=RICH, declared=declared)
    return (made / "bom.cdx.json").read_bytes()


def derived(inputs: BomInputs) -> bytes:
    return bom_bytes(derive_bom(inputs))


# --- valid ------------------------------------------------------------------------------------


def test_bom_of_a_package_fits_profile_and_cyclonedx(bom: bytes) -> None:
    assert complaints(bom) == []


@pytest.mark.parametrize("declared", [Declared(), EVERYTHING], ids=["nothing", "everything"])
def test_bom_of_all_that_a_model_can_say_fits(declared: Declared, tmp_path: Path) -> None:
    assert complaints(rich_package(tmp_path, declared)) == []


@pytest.mark.parametrize("declared", [Declared(), EVERYTHING], ids=["nothing", "everything"])
@pytest.mark.parametrize("model", [tiny_gguf(), RICH], ids=["tiny", "rich"])
def test_bom_of_a_model_alone_fits(declared: Declared, model: bytes) -> None:
    assert complaints(derived(lone_model(model, declared))) == []


@pytest.mark.parametrize("declared", [Declared(), EVERYTHING], ids=["nothing", "everything"])
def test_bom_of_a_component_alone_fits(declared: Declared, component: bytes) -> None:
    assert complaints(derived(lone_component(component, declared))) == []


@pytest.mark.model
def test_bom_of_a_real_model_fits(model_path: Path, tmp_path: Path) -> None:
    package = forge.make_package(tmp_path, model=model_path.read_bytes(), is_detached=True)
    assert complaints((package / "bom.cdx.json").read_bytes()) == []


@given(declared=any_declared())
@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.filter_too_much])
def test_whatever_is_declared_fits_and_is_read_back(declared: Declared) -> None:
    data = derived(lone_model(tiny_gguf(), replace(declared, vulnerabilities=())))
    assert complaints(data) == []
    again = read_bom(data).declared()
    assert derived(lone_model(tiny_gguf(), again)) == data


@pytest.mark.parametrize(
    "text",
    [
        "http://",
        "ftp://x.test/",
        "https://x.test/a b",
        "https://[::::::]/",
        "https://[::1]/",
        "x",
        "%",
    ],
)
def test_what_is_no_address_stands_in_no_reference(text: str) -> None:
    pairs = (*PAIRS, text_pair("general.url", text), text_pair("general.license.link", text))
    data = derived(lone_model(tiny_gguf(pairs=pairs)))
    assert complaints(data) == []
    model = read_bom(data).subject
    assert "externalReferences" not in model.tree
    assert model.properties["infwasi:gguf:general.url"] == text


@pytest.mark.parametrize(
    "text",
    ["\x01\x1b[31m\x7f", "\u202egnp.exe", "<script>alert(1)</script>", "\U0001d4b3\ufeff", " "],
)
def test_hostile_names_are_repeated_truly_and_break_nothing(text: str) -> None:
    pairs = tuple(one for one in PAIRS if b"general.name" not in one)
    data = derived(lone_model(tiny_gguf(pairs=(*pairs, text_pair("general.name", text)))))
    assert complaints(data) == []
    assert read_bom(data).subject.name == text


def test_the_card_is_what_the_typed_card_writes(tmp_path: Path) -> None:
    """The derivation writes plain values, which are faster to import; they are the same."""
    document = json.loads(rich_package(tmp_path))
    cards = [one["modelCard"] for one in components_of(document) if "modelCard" in one]
    data = [item for one in components_of(document) for item in one.get("data", [])]
    assert len(cards) == 1
    assert len(data) >= 3
    assert [card_to_json(card_from_json(card)) for card in cards] == cards
    assert [data_to_json(data_from_json(item)) for item in data] == data
    assert set(cards[0]) == {"modelParameters", "quantitativeAnalysis", "considerations"}
    assert len(cards[0]["modelParameters"]) == len(cards[0]["considerations"]) == 7


# --- one form, one place ----------------------------------------------------------------------


def test_bom_is_in_its_one_byte_form(bom: bytes, tmp_path: Path) -> None:
    rich = rich_package(tmp_path)
    for data in (bom, rich):
        assert strict_json.canonical(json.loads(data)) == data


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-1e9, 1e9)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(st.characters(codec="ascii"), max_size=5), inner, max_size=3),
    max_leaves=20,
)  # fmt: skip


@given(value=JSON)
@settings(deadline=None, max_examples=300)
def test_the_quick_byte_form_is_the_one(value: Any) -> None:
    assert strict_json.canonical_quickly(value) == strict_json.canonical(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {"\ud800": 1}])
def test_the_quick_byte_form_refuses_what_has_none(value: Any) -> None:
    with pytest.raises(MalformedError, match="value has no canonical form"):
        strict_json.canonical_quickly(value)


def test_serial_number_is_that_of_the_content(bom: bytes) -> None:
    document = json.loads(bom)
    number = document.pop("serialNumber")
    namespace = uuid.UUID("5c3b6b0e-6a5e-5d0a-9a53-6f7a3f0f9b1d")
    content = strict_json.canonical(document).decode()
    assert number == uuid.uuid5(namespace, content).urn


def test_bom_is_the_same_in_other_folders_time_zones_and_languages(
    bom: bytes, tmp_path: Path
) -> None:
    make = (
        "import pathlib, sys; from tests import forge; "
        "forge.make_package(pathlib.Path(sys.argv[1]))"
    )
    for seed, language in (("1", "C"), ("2", "tr_TR.UTF-8")):
        folder = tmp_path / f"a folder {seed}" / "é"
        folder.mkdir(parents=True)
        environment = os.environ | {
            "PYTHONHASHSEED": seed,
            "TZ": f"UTC-{seed}",
            "LC_ALL": language,
            "USER": seed,
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
        }
        subprocess.run([sys.executable, "-c", make, folder], check=True, cwd=ROOT, env=environment)
        assert (folder / "capital-1.0.0" / "bom.cdx.json").read_bytes() == bom


def test_an_installation_with_other_libraries_makes_the_same_bom(
    bom: bytes, tmp_path: Path
) -> None:
    """The same infwasi beside a llama.cpp that was built otherwise: its libraries differ in bytes.

    The installation is a copy whose libraries have a byte more; that it is used is the control.
    """
    (place,) = {Path(path) for path in sys.path if Path(path, "llama_cpp").is_dir()}
    shutil.copytree(place / "llama_cpp", tmp_path / "site" / "llama_cpp")
    libraries = sorted((tmp_path / "site" / "llama_cpp").rglob("*.so*"))
    assert libraries
    for library in libraries:
        library.write_bytes(library.read_bytes() + b"\0")
    make = (
        "import pathlib, sys; from tests import forge; "
        "from infwasi_sign.adapters.native_host import library_digests; "
        "forge.make_package(pathlib.Path(sys.argv[1])); print(*library_digests())"
    )
    boms, seen = [], []
    for name, paths in (("one", [ROOT]), ("two", [tmp_path / "site", ROOT])):
        done = subprocess.run(
            [sys.executable, "-c", make, tmp_path / name],
            check=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))},
            capture_output=True,
            text=True,
        )
        seen.append(done.stdout)
        boms.append((tmp_path / name / "capital-1.0.0" / "bom.cdx.json").read_bytes())
    assert seen[0] != seen[1]
    assert boms == [bom, bom]


def test_bom_says_nothing_of_who_signed_and_where(package: Path, tmp_path: Path) -> None:
    other = forge.make_package(tmp_path, signer=forge.STRANGER)
    unsigned = forge.make_package(tmp_path / "unsigned", signer=None)
    data = (package / "bom.cdx.json").read_bytes()
    assert (other / "bom.cdx.json").read_bytes() == data
    assert (unsigned / "bom.cdx.json").read_bytes() == data
    assert str(tmp_path).encode() not in data


# --- profile and examples ---------------------------------------------------------------------


def test_profile_is_a_schema() -> None:
    Draft202012Validator.check_schema(PROFILE)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("capital.bom.cdx.json", lambda bom: bom),
        ("model.cdx.json", lambda _: derived(lone_model(RICH, EVERYTHING))),
    ],
)
def test_examples_are_what_is_derived_now(name: str, make: Any, bom: bytes) -> None:
    made = make(bom)
    assert (EXAMPLES / name).read_bytes() == made, "python -m tests.write_examples"


# What a component may be without: what its file does not say, and tags of that.
_OPTIONAL = re.compile(
    r"infwasi:(?:origin:)?gguf:(?:bits-per|parameters|quantization|chat-template|basename|block|"
    r"context|embedding|file-type|languages|license|organization|size-label|tokenizer|general)"
    r"|infwasi:(?:origin:)?(?:externalReferences|dataset|model:languages|model:training|model:re)"
    r"|infwasi:(?:component:producers|wasm:(?:imports|exports|producers))"
    r"|components|licenses|manufacturer"
)


@pytest.mark.parametrize(
    ("ref", "kind"),
    [
        ("app", "app"),
        ("file:app.wasm", "component"),
        ("part:engine", "nested"),
        ("model:model:0", "model"),
    ],
)
def test_profile_misses_every_required_member(ref: str, kind: str, bom: bytes) -> None:
    schema = {"$defs": PROFILE["$defs"], "$ref": f"#/$defs/{kind}"}
    validator = Draft202012Validator(schema)
    found = next(one for one in components_of(json.loads(bom)) if one["bom-ref"] == ref)
    assert validator.is_valid(found)
    count = 0
    for name in {item["name"] for item in found["properties"]}:
        if not _OPTIONAL.match(name):
            other = json.loads(json.dumps(found))
            drop(other, name)
            assert not validator.is_valid(other), name
            count += 1
    for member in found:
        if not _OPTIONAL.match(member):
            other = {name: value for name, value in found.items() if name != member}
            assert not validator.is_valid(other), member
            count += 1
    assert count >= 7


def test_profile_refuses_what_it_does_not_know(bom: bytes) -> None:
    document = json.loads(bom)
    forge.bom_component(document, "model:model:0")["properties"].append(
        {"name": "infwasi:gguf:mood", "value": "good"}
    )
    assert complaints_of_profile(document)
    document = json.loads(bom)
    document["metadata"]["manufacturer"] = {"name": "who packed it"}
    assert complaints_of_profile(document)


def test_profile_page_lists_every_property() -> None:
    page = (ROOT / "sbom" / "README.md").read_text()
    names = {name for name in _named_infwasi(PROFILE) if not name.startswith("infwasi:origin:")}
    assert len(names) >= 80
    assert {name for name in names if f"`{name}`" not in page} == set()


def _named_infwasi(node: object) -> Iterator[str]:
    match node:
        case str() if node.startswith("infwasi:") and "/" not in node:
            yield node
        case dict():
            for item in node.values():
                yield from _named_infwasi(item)
        case list():
            for item in node:
                yield from _named_infwasi(item)


# --- what is said, and by whom ----------------------------------------------------------------


def test_what_the_file_says_wins_over_what_is_declared() -> None:
    model = read_bom(derived(lone_model(RICH, EVERYTHING))).subject
    for member in ("name", "version", "description", "manufacturer", "authors", "licenses"):
        assert model.origin(member) is Origin.FILE_DECLARED, member
    assert model.origin("modelCard.considerations.users") is Origin.USER_DECLARED
    assert model.origin("gguf:parameters") is Origin.MEASURED
    assert model.origin("gguf:general.url") is Origin.FILE_DECLARED
    assert model.origin("nothing of the kind") is None


def test_what_the_file_does_not_say_is_declared_or_unknown() -> None:
    for declared, origin in ((EVERYTHING, Origin.USER_DECLARED), (Declared(), Origin.UNKNOWN)):
        model = read_bom(derived(lone_model(tiny_gguf(), declared))).subject
        for member in ("version", "description", "manufacturer", "authors", "licenses", "purl"):
            assert model.origin(member) is origin, member
            assert (member in model.tree) is (origin is Origin.USER_DECLARED), member


ENGINE = (ROOT / "components" / "prebuilt" / "engine.wasm").read_bytes()
UNSAID = ("licenses", "manufacturer", "purl", "version")


def test_what_nobody_measured_is_not_called_measured(package: Path) -> None:
    document = read_bom((package / "bom.cdx.json").read_bytes())
    app, *others = document.components.values()
    parts = [one for one in others if one.type in ("file", "library")]
    assert len(parts) > 10
    for member in UNSAID:
        assert {one.origin(member) for one in parts} == {Origin.UNKNOWN}, member
    assert {one.origin("hashes") for one in parts} == {Origin.MEASURED}
    assert {one.origin("size") for one in parts} == {Origin.MEASURED}
    assert {one.origin("description") for one in parts} == {None}
    assert [app.origin(member) for member in ("licenses", "purl")] == [Origin.UNKNOWN] * 2


def test_the_licence_of_the_app_is_not_that_of_its_files(tmp_path: Path) -> None:
    declared = Declared(app_license="mit")
    package = forge.make_package(tmp_path, declared=declared)
    document = read_bom((package / "bom.cdx.json").read_bytes())
    assert document.subject.tree["licenses"] == [{"license": {"id": "MIT"}}]
    assert document.subject.origin("licenses") is Origin.USER_DECLARED
    assert "licenses" not in document.components["file:app.wasm"].tree
    alone = read_bom(derived(lone_component(ENGINE, declared)))
    assert alone.subject.tree["licenses"] == [{"license": {"id": "MIT"}}]


def test_a_list_of_data_sets_that_the_developer_added_to_is_not_the_files() -> None:
    named = tiny_gguf(pairs=(*PAIRS, pair("general.datasets", ARRAY, strings("the web"))))
    unnamed = tiny_gguf(pairs=(*PAIRS, u32_pair("general.dataset.count", 1)))
    corpus = Declared(datasets=(DeclaredDataset(name="corpus"),))
    for model, declared, origin in (
        (named, Declared(), Origin.FILE_DECLARED),
        (named, corpus, Origin.USER_DECLARED),
        (unnamed, corpus, Origin.USER_DECLARED),
        (unnamed, Declared(), Origin.UNKNOWN),
    ):
        found = read_bom(derived(lone_model(model, declared))).subject
        assert found.origin("modelCard.modelParameters.datasets") is origin


def test_a_licence_that_the_file_calls_unknown_leaves_the_declared_one() -> None:
    words = (text_pair("general.license", "other"), text_pair("general.license.name", "unknown"))
    model = tiny_gguf(pairs=(*PAIRS, *words))
    found = read_bom(derived(lone_model(model, Declared(model_license="MIT")))).subject
    assert found.tree["licenses"] == [{"license": {"id": "MIT"}}]
    assert found.origin("licenses") is Origin.USER_DECLARED


def test_a_version_that_cyclonedx_does_not_permit_is_only_a_property() -> None:
    keys = ("general.version", "general.base_model.0.version", "general.dataset.0.version")
    names = [text_pair(f"general.{one}.0.name", "x") for one in ("base_model", "dataset")]
    for length, is_there in ((1024, True), (1025, False)):
        versions = [text_pair(key, "1" * length) for key in keys]
        data = derived(lone_model(tiny_gguf(pairs=(*PAIRS, *names, *versions))))
        assert complaints(data) == []
        model = read_bom(data).subject
        assert ("version" in model.tree) is is_there
        assert model.properties["infwasi:gguf:general.version"] == "1" * length


def test_lineage_is_that_of_the_file() -> None:
    model = read_bom(derived(lone_model(RICH))).subject
    pedigree = model.tree["pedigree"]
    assert isinstance(pedigree, dict)
    assert isinstance(pedigree["ancestors"], list)
    assert len(pedigree["ancestors"]) == 2
    assert model.origin("pedigree.ancestors") is Origin.FILE_DECLARED


@pytest.mark.parametrize(
    ("repo_url", "purl"),
    [
        ("https://huggingface.co/acme/tiny", "pkg:huggingface/acme/tiny"),
        ("https://huggingface.co/acme/tiny/", "pkg:huggingface/acme/tiny"),
        ("https://huggingface.co/datasets/tiny", None),
        ("https://huggingface.co/acme/tiny/tree/main", None),
        ("https://huggingface.co.evil.test/acme/tiny", None),
        ("https://github.com/acme/tiny", None),
        ("acme/tiny", None),
    ],
)
def test_package_url_is_of_hugging_face_or_not_known(repo_url: str, purl: str | None) -> None:
    pairs = (*PAIRS, text_pair("general.repo_url", repo_url))
    model = read_bom(derived(lone_model(tiny_gguf(pairs=pairs)))).subject
    assert model.tree.get("purl") == purl


def test_two_models_that_differ_in_the_template_only_differ_in_digest() -> None:
    pairs = tuple(one for one in PAIRS if b"chat_template" not in one)
    first, second = (
        read_bom(
            derived(
                lone_model(tiny_gguf(pairs=(*pairs, text_pair("tokenizer.chat_template", text))))
            )
        ).subject.properties["infwasi:gguf:chat-template:sha256"]
        for text in ("{{ messages[0].content }}", "{{ messages[0]['content'] }}")
    )
    assert first != second


def test_a_vulnerability_is_about_something_in_the_bom() -> None:
    def about(ref: str) -> Declared:
        return Declared(
            vulnerabilities=(Vulnerability(id="CVE-1", state="exploitable", affects=(ref,)),)
        )

    document = derive_bom(lone_model(tiny_gguf(), about("model:model:0")))
    assert document["vulnerabilities"] == [
        {
            "id": "CVE-1",
            "analysis": {"state": "exploitable"},
            "affects": [{"ref": "model:model:0"}],
        }
    ]
    with pytest.raises(MalformedError, match="a vulnerability affects what is not in the BOM"):
        derive_bom(lone_model(tiny_gguf(), about("model:other:0")))


def test_a_bom_that_is_too_long_is_not_made() -> None:
    inputs = lone_model(tiny_gguf())
    huge = replace(inputs, tools=(("infwasi", "x" * LIMITS.bom_bytes),))
    with pytest.raises(RefusedError, match="the BOM would be too long") as caught:
        derived(huge)
    assert caught.value.kind is RefusalKind.LIMIT


# --- every member counts ----------------------------------------------------------------------


def slots(value: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each member of a document, however deep."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for name, item in pairs:
        yield (*where, name)
        if isinstance(item, dict | list):
            yield from slots(item, (*where, name))


TRUTH = derive_bom(lone_model(RICH, EVERYTHING))
WAYS = list(slots(TRUTH))


@given(data=st.data())
@settings(deadline=None, max_examples=200)
def test_notices_a_change_of_any_member(data: st.DataObject) -> None:
    expected = bom_bytes(TRUTH)
    document = json.loads(expected)
    way = data.draw(st.sampled_from(WAYS))
    box = document
    for step in way[:-1]:
        box = box[step]
    old = box[way[-1]]
    change = data.draw(st.sampled_from(["drop", "other", "double", "null", "wrap"]))
    if change == "drop":
        del box[way[-1]]
    elif change == "double" and isinstance(box, list):
        box.insert(way[-1], old)
    elif change == "null":
        box[way[-1]] = None
    else:
        box[way[-1]] = [old] if change == "wrap" else f"x{data.draw(st.text(max_size=3))}"
    claimed = strict_json.canonical(document)
    with pytest.raises(RefusedError) as caught:
        require_agreement(read_bom(claimed), claimed, TRUTH, expected)
    assert caught.value.kind in (RefusalKind.DISAGREE, RefusalKind.MALFORMED)
    assert str(caught.value.where).startswith("bom")


def test_same_content_in_other_bytes_is_malformed(bom: bytes) -> None:
    truth = json.loads(bom)
    other = json.dumps(truth).encode()
    with pytest.raises(MalformedError, match="not in its one byte form in bom"):
        require_agreement(read_bom(other), other, truth, bom)


# --- what is nested ---------------------------------------------------------------------------


def nested(depth: int, exports: tuple[str, ...] = ()) -> Nested:
    """A component within a component, and so on; at the bottom a core module."""
    below = (nested(depth - 1, exports),) if depth else ()
    return Nested(
        kind=NestedKind.COMPONENT if depth else NestedKind.CORE_MODULE,
        offset_bytes=8,
        size_bytes=100 + depth,
        sha256=Digest(algorithm=Algorithm.SHA256, hex=f"{depth:064x}"),
        imports=(),
        exports=exports,
        producers=(),
        children=below,
    )


def nesting(component: bytes, *children: Nested) -> BomInputs:
    inputs = lone_component(component)
    assert inputs.wasm is not None
    facts = replace(inputs.wasm.facts, children=children)
    return replace(inputs, wasm=replace(inputs.wasm, facts=facts))


def test_the_whole_tree_is_told_as_deep_as_a_component_may_nest(component: bytes) -> None:
    depth = LIMITS.component_depth
    data = derived(nesting(component, nested(depth), nested(0)))
    assert complaints(data) == []
    found = read_bom(data).components
    paths = ["wasm:0" + "/0" * level for level in range(depth + 1)]
    assert [ref for ref in found if ref.startswith("wasm:")] == [*paths, "wasm:1"]
    kinds = {found[path].properties["infwasi:wasm:kind"] for path in paths[:-1]}
    assert kinds == {"component"}
    assert found[paths[-1]].properties["infwasi:wasm:kind"] == "core-module"
    assert found["wasm:0/0"].parent == "wasm:0"


def test_many_names_of_a_core_module_are_counted_and_digested(component: bytes) -> None:
    few, many = (tuple(f"name {number:03}" for number in range(count)) for count in (64, 65))
    listed = read_bom(derived(nesting(component, nested(0, few)))).components["wasm:0"]
    assert listed.properties["infwasi:wasm:exports"].startswith("name%20000 name%20001 ")
    counted = read_bom(derived(nesting(component, nested(0, many)))).components["wasm:0"]
    assert "infwasi:wasm:exports" not in counted.properties
    assert counted.properties["infwasi:wasm:exports:count"] == "65"
    text = " ".join(name.replace(" ", "%20") for name in many)
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert counted.properties["infwasi:wasm:exports:sha256"] == digest


def test_a_component_that_could_reach_the_network_says_so(component: bytes) -> None:
    inputs = lone_component(component)
    assert inputs.wasm is not None
    imports = ("wasi:http/outgoing-handler@0.2.0", "x:y/z@1.0.0")
    reaching = replace(inputs.wasm, facts=replace(inputs.wasm.facts, imports=imports))
    data = derived(replace(inputs, wasm=reaching))
    assert complaints(data) == []
    properties = read_bom(data).subject.properties
    assert properties["infwasi:capability:network"] == imports[0]
    assert properties["infwasi:capability:unknown"] == imports[1]
    assert properties["infwasi:capability:filesystem"] == "none"
    assert properties["infwasi:host:requires"] == " ".join(imports)


@pytest.mark.parametrize(
    ("name", "told"), [("none", "%6Eone"), ("", "%"), ("nonesuch", "nonesuch")]
)
def test_an_import_cannot_be_called_as_if_there_were_none(
    name: str, told: str, component: bytes
) -> None:
    inputs = lone_component(component)
    assert inputs.wasm is not None
    reaching = replace(inputs.wasm, facts=replace(inputs.wasm.facts, imports=(name,)))
    properties = read_bom(derived(replace(inputs, wasm=reaching))).subject.properties
    for property_ in ("component:imports", "capability:unknown", "host:requires"):
        assert properties[f"infwasi:{property_}"] == told


# --- hostile documents ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{" * 100_000, "nested too deep in bom"),
        (b'{"a":' + b"[" * 40 + b"]" * 40 + b"}", "nested too deep in bom"),
        (b" " * (LIMITS.bom_bytes + 1), "too long in bom"),
        (b'{"a":[' + b"0," * LIMITS.bom_separators + b"0]}", "not a CycloneDX BOM in bom"),
        (b'{"a":[' + b"0," * (LIMITS.bom_separators + 1) + b"0]}", "too many values in bom"),
        (b"\xff", "not UTF-8 in bom"),
        (b'{"bomFormat":"CycloneDX","bomFormat":"CycloneDX"}', "member stands twice in bom"),
        (b'{"bomFormat":"SPDX","specVersion":"1.7"}', "not a CycloneDX BOM in bom"),
        (b'{"bomFormat":"CycloneDX","specVersion":"1.7"}', "not an object in bom.metadata"),
        (b"[]", "not an object in bom"),
    ],
)
def test_what_is_no_bom_is_malformed(data: bytes, says: str) -> None:
    with pytest.raises(MalformedError) as caught:
        read_bom(data)
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(
    ("where", "says"),
    [
        (("components", 1, "bom-ref"), "a bom-ref stands twice in bom.components[1]"),
        (("components", 0, "properties", 0, "name"), "a property stands twice in bom.components"),
        (("metadata", "tools", "components", 0, "version"), "not a string in bom.metadata.tools"),
        (("metadata", "component", "type"), "not a string in bom.metadata.component.type"),
    ],
)
def test_a_view_shows_only_what_has_its_shape(
    where: tuple[Any, ...], says: str, bom: bytes
) -> None:
    document = json.loads(bom)
    box = document
    for step in where[:-1]:
        box = box[step]
    others = {"bom-ref": "file:app.wasm", "name": "infwasi:size"}
    box[where[-1]] = others.get(str(where[-1]), 1)
    with pytest.raises(MalformedError) as caught:
        read_bom(json.dumps(document).encode())
    assert str(caught.value).startswith(says)


def test_declared_facts_that_are_none_are_malformed(bom: bytes) -> None:
    for text in ("[]", "{", '{"model":{"colour":"blue"}}', '{"model":{"task":5}}', "[" * 40):
        document = json.loads(bom)
        put(document["metadata"], "infwasi:declared", text)
        claimed = read_bom(json.dumps(document).encode())
        with pytest.raises(MalformedError, match=r"bom\.metadata\.properties\[infwasi:declared\]"):
            claimed.declared()
