"""The BOM that we write: valid CycloneDX, within our own profile, the same everywhere, and true."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given, settings
from hypothesis import strategies as st
from infwasi_sign.adapters.cyclonedx_bom import CycloneDxWriter
from infwasi_sign.domain.bom_old import BomComponent, BomFacts, read_bom, require_agreement
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # ships no types

from infwasi_sign.domain.strict_json import canonical
from infwasi_sign.errors import RefusalKind, RefusedError
from tests import forge

ROOT = Path(__file__).resolve().parent.parent
PROFILE = json.loads((ROOT / "sbom" / "profile.schema.json").read_bytes())
EXAMPLE = ROOT / "sbom" / "examples" / "capital.bom.cdx.json"
TOOLS = {"infwasi": "vector", "wasm-tools": "vector"}


def complaints(bom: bytes) -> list[str]:
    """What the profile and CycloneDX 1.7 have against a document."""
    found = [error.message for error in Draft202012Validator(PROFILE).iter_errors(json.loads(bom))]
    error = JsonStrictValidator(SchemaVersion.V1_7).validate_str(bom.decode())
    return found if error is None else [*found, str(error)]


def loose_ends(bom: dict[str, Any]) -> set[str]:
    """What a schema cannot see: references to nothing, and names that occur twice."""
    listed = list(bom["components"])
    for component in listed:
        listed += component.get("components", [])
    refs = {"app", *(component["bom-ref"] for component in listed)}
    ends = {edge["ref"] for edge in bom["dependencies"]} ^ refs
    ends |= {to for edge in bom["dependencies"] for to in edge.get("dependsOn", [])} - refs
    for component in listed:
        names = [item["name"] for item in component["properties"]]
        ends |= {name for name in names if names.count(name) > 1}
    return ends


@pytest.fixture(scope="module")
def bom(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    package = forge.make_package(tmp_path_factory.mktemp("honest"))
    return (package / "bom.cdx.json").read_bytes()


@pytest.fixture(scope="module")
def facts(bom: bytes) -> BomFacts:
    return read_bom(bom)


# --- what we write ----------------------------------------------------------------------------


def test_bom_of_the_forge_fits_the_profile_and_cyclonedx(bom: bytes) -> None:
    assert complaints(bom) == []
    assert loose_ends(json.loads(bom)) == set()


@pytest.mark.model
def test_bom_of_a_real_model_fits_the_profile_and_cyclonedx(
    model_path: Path, tmp_path: Path
) -> None:
    package = forge.make_package(tmp_path, model=model_path.read_bytes(), is_detached=True)
    bom = (package / "bom.cdx.json").read_bytes()
    assert complaints(bom) == []
    assert loose_ends(json.loads(bom)) == set()


def test_bom_is_in_its_one_byte_form(bom: bytes) -> None:
    assert canonical(json.loads(bom)) == bom


def test_example_is_what_pack_writes_now(bom: bytes) -> None:
    assert EXAMPLE.read_bytes() == bom, "copy the new one over the example"


def test_profile_is_a_schema() -> None:
    Draft202012Validator.check_schema(PROFILE)


@pytest.mark.parametrize("ref", ["file:app.wasm", "model:model:0"])
def test_profile_misses_every_required_member(ref: str, bom: bytes) -> None:
    optional = {"infwasi:gguf:bits-per-weight", "infwasi:gguf:chat-template:sha256"}
    optional |= {"infwasi:gguf:context-length", "infwasi:gguf:parameters"}
    optional |= {"infwasi:gguf:quantization", "infwasi:gguf:tokenizer"}
    component = forge.bom_component(json.loads(bom), ref)
    names = [item["name"] for item in component["properties"]]
    for name in set(names) - optional:
        document = json.loads(bom)
        properties = forge.bom_component(document, ref)["properties"]
        del properties[names.index(name)]
        assert complaints_of_profile(document), name
    for member in component:
        document = json.loads(bom)
        del forge.bom_component(document, ref)[member]
        assert complaints_of_profile(document), member


def test_profile_refuses_what_it_does_not_know(bom: bytes) -> None:
    document = json.loads(bom)
    forge.bom_component(document, "model:model:0")["properties"].append(
        {"name": "infwasi:gguf:mood", "value": "good"}
    )
    assert complaints_of_profile(document)
    document = json.loads(bom)
    document["metadata"]["manufacturer"] = {"name": "who packed it"}
    assert complaints_of_profile(document)


def complaints_of_profile(document: dict[str, Any]) -> list[str]:
    return [error.message for error in Draft202012Validator(PROFILE).iter_errors(document)]


def test_profile_page_lists_every_property() -> None:
    page = (ROOT / "sbom" / "README.md").read_text()
    names = set(_constants_named_infwasi(PROFILE))
    assert len(names) >= 27
    assert {name for name in names if f"`{name}`" not in page} == set()


def _constants_named_infwasi(node: object) -> Iterator[str]:
    match node:
        case {"const": str(text)} if text.startswith("infwasi:"):
            yield text
        case dict():
            for item in node.values():
                yield from _constants_named_infwasi(item)
        case list():
            for item in node:
                yield from _constants_named_infwasi(item)


def test_bom_is_the_same_under_other_hash_seeds(bom: bytes, tmp_path: Path) -> None:
    make = (
        "import pathlib, sys; from tests import forge; "
        "forge.make_package(pathlib.Path(sys.argv[1]))"
    )
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        environment = os.environ | {"PYTHONHASHSEED": seed, "TZ": f"UTC-{seed}"}
        subprocess.run([sys.executable, "-c", make, folder], check=True, cwd=ROOT, env=environment)
        assert (folder / "capital-1.0.0" / "bom.cdx.json").read_bytes() == bom


# --- derive, write, read ----------------------------------------------------------------------

SHA = st.binary(max_size=4).map(lambda seed: hashlib.sha256(seed).hexdigest())
TEXT = st.text(min_size=1, max_size=12)
LICENCE = st.sampled_from(["mit", "Apache-2.0", "llama3.2", "mit OR apache-2.0", "see the card"])
PROPERTIES = st.dictionaries(TEXT, st.text(max_size=12), max_size=4).map(
    lambda pairs: tuple(sorted(pairs.items()))
)


def components(prefix: str, children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Components whose refs begin with ``prefix``, each once, sorted."""
    one = st.builds(
        BomComponent,
        ref=st.integers(0, 9).map(lambda number: f"{prefix}:{number}"),
        type=st.sampled_from(["file", "library", "machine-learning-model"]),
        name=TEXT,
        version=st.none() | TEXT,
        mime_type=st.none() | st.just("application/wasm"),
        sha256=SHA,
        blake3=st.none() | SHA,
        licence=st.none() | LICENCE,
        properties=PROPERTIES,
        children=children,
    )
    return st.lists(one, max_size=2, unique_by=lambda item: item.ref).map(
        lambda items: tuple(sorted(items, key=lambda item: item.ref))
    )


def own_refs(items: tuple[BomComponent, ...]) -> tuple[BomComponent, ...]:
    """A bom-ref stands once in a whole BOM (CycloneDX 1.7, "bom-ref")."""
    return tuple(
        replace(
            item,
            children=tuple(
                replace(child, ref=f"{item.ref}/{child.ref}") for child in item.children
            ),
        )
        for item in items
    )


FACTS = st.builds(
    BomFacts,
    name=TEXT,
    version=TEXT,
    timestamp=st.just("2026-11-23T12:00:00Z"),
    components=components("outer", st.just(()) | components("inner", st.just(()))).map(own_refs),
)


@given(made=FACTS)
@settings(deadline=None, max_examples=60)
def test_what_is_written_is_what_is_read(made: BomFacts) -> None:
    require_agreement(read_bom(CycloneDxWriter().write(made, TOOLS)), made)


def test_derived_facts_are_what_the_bom_says(facts: BomFacts) -> None:
    assert read_bom(CycloneDxWriter().write(facts, TOOLS)) == facts


# --- every field counts -----------------------------------------------------------------------


def lies(facts: BomFacts | BomComponent, text: str) -> Iterator[tuple[str, Any]]:
    """Each field changed in turn, in every component; ``text`` is the new value."""
    for field in fields(facts):
        old = getattr(facts, field.name)
        change = partial(_changed, facts, field.name)
        if field.name in ("components", "children"):
            yield f"{field.name} added", change((*old, _other_component(text)))
            for index, component in enumerate(old):
                rest = (old[:index], old[index + 1 :])
                yield f"{component.ref} dropped", change((*rest[0], *rest[1]))
                for what, lie in lies(component, text):
                    yield f"{component.ref} {what}", change((*rest[0], lie, *rest[1]))
        elif field.name == "properties":
            yield "property added", change((*old, (f"x-{text}", text)))
            for index, (name, _) in enumerate(old):
                rest = (old[:index], old[index + 1 :])
                yield f"{name} dropped", change((*rest[0], *rest[1]))
                yield f"{name} changed", change((*rest[0], (name, f"x-{text}"), *rest[1]))
        else:
            yield f"{field.name} changed", change(f"x-{text}")
            if old is not None:
                yield f"{field.name} absent", change(None)


def _changed(facts: Any, name: str, value: object) -> Any:
    return replace(facts, **{name: value})


def _other_component(text: str) -> BomComponent:
    return BomComponent(ref=f"x-{text}", type="library", name=text, sha256="ab" * 32)


@given(text=TEXT)
@settings(deadline=None, max_examples=20)
def test_notices_a_change_of_any_field(text: str) -> None:
    facts = read_bom(EXAMPLE.read_bytes())
    count = 0
    for what, lie in lies(facts, text):
        with pytest.raises(RefusedError, match="the BOM contradicts the package") as caught:
            require_agreement(lie, facts)
        assert caught.value.kind is RefusalKind.DISAGREE, what
        assert caught.value.where is not None
        assert caught.value.where.startswith("bom."), what
        count += 1
    assert count > 80


def test_licences_differ_only_by_more_than_case(facts: BomFacts) -> None:
    model = facts.components[-1]
    assert model.type == "machine-learning-model"

    def with_licence(licence: str) -> BomFacts:
        return replace(facts, components=(*facts.components[:-1], replace(model, licence=licence)))

    require_agreement(with_licence("Apache-2.0"), with_licence("apache-2.0"))
    with pytest.raises(RefusedError, match=r"bom\.components\[model:model:0\]\.licence"):
        require_agreement(with_licence("Apache-2.0"), with_licence("Apache-1.0"))
