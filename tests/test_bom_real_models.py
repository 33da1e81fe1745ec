"""BOMs of eight real models: a whole one, and seven of which there are headers without weights."""

import json
from pathlib import Path
from typing import Any

import pytest

from infwasi_sign.adapters.cyclonedx_convert import VERSIONS, convert, read_any
from infwasi_sign.domain.minimum_elements import judge
from infwasi_sign.domain.minimum_elements_software import BASELINES
from tests.bom_support import complaints_of_profile
from tests.command_line import infwasi
from tests.cyclonedx_support import complaints
from tests.spdx_support import Judge, published
from tests.test_bom_convert import FORMATS, values_of
from tests.test_spdx import elements, export
from tests.test_vocabularies import NAMES, vocabulary_path

pytestmark = pytest.mark.model

# What the header says, as `gguf-dump` of llama.cpp shows it too.
ARCHITECTURES = {
    "smollm2": "llama",
    "command-r": "command-r",
    "deepseek-coder": "llama",
    "gemma-4": "gemma4",
    "llama-bpe": "llama",
    "llama-spm": "llama",
    "phi-3": "phi3",
    "qwen2": "qwen2",
}


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """A real model."""
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def document(name: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Its BOM, as the command makes it."""
    model = request.getfixturevalue("model_path") if name == "smollm2" else vocabulary_path(name)
    done = infwasi("bom", model)
    assert done.code == 0, done.said
    assert complaints(done.out.encode(), "1.7") == []
    return dict(read_any(done.out.encode()))


def test_it_passes_the_profile_and_says_what_it_is(name: str, document: dict[str, Any]) -> None:
    assert complaints_of_profile(document) == []
    card = document["metadata"]["component"]["modelCard"]
    assert card["modelParameters"]["architectureFamily"] == ARCHITECTURES[name]


def test_no_element_of_any_list_is_missing(document: dict[str, Any]) -> None:
    for found in judge(document, BASELINES):
        assert found.present == len(found.findings), found.baseline.name


def test_it_is_valid_in_every_form_and_comes_back_whole(document: dict[str, Any]) -> None:
    for version in VERSIONS:
        for output_format in FORMATS:
            converted = convert(document, spec_version=version, output_format=output_format)
            assert complaints(converted.data, version) == [], (version, output_format)
            if version == "1.5":
                continue
            assert converted.losses == ()
            back = convert(read_any(converted.data), spec_version="1.7", output_format="json")
            assert values_of(json.loads(back.data)) == values_of(document)


def test_it_has_an_spdx_form_with_one_model_in_it(document: dict[str, Any]) -> None:
    exported = export(document)
    assert len(elements(exported, "ai_AIPackage")) == 1


def test_the_spdx_of_one_of_them_is_valid() -> None:
    """By the schema of spdx.org, which takes half a minute for each."""
    done = infwasi("bom", vocabulary_path("qwen2"))
    assert Judge(published()).schema_complaints(export(json.loads(done.out))) == []


def difference(old: Path, new: Path) -> dict[str, Any]:
    done = infwasi("diff", old, new, "--json")
    assert done.code == 0, done.said
    found: dict[str, Any] = json.loads(done.out)
    return found


def test_two_versions_of_one_model_differ_in_one_key() -> None:
    found = difference(vocabulary_path("qwen2"), vocabulary_path("qwen35"))
    assert found["summary"] == "only tokenizer.ggml.pre"


def test_two_models_differ_in_every_key_that_tells_them_apart() -> None:
    found = difference(vocabulary_path("llama-spm"), vocabulary_path("phi-3"))
    names = {one["name"] for one in found["changes"]}
    assert {"general.architecture", "tokenizer.ggml.tokens", "general.name"} <= names
