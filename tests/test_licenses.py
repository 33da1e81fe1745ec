"""Words for licences become SPDX ids only where they can mean nothing else."""

import json
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infwasi_sign.domain import licenses
from infwasi_sign.domain.bom_data import license_choice
from infwasi_sign.domain.licenses import is_said, spdx_expression, spdx_id

SPDX = json.loads(
    files("cyclonedx.schema").joinpath("_res", "spdx.SNAPSHOT.schema.json").read_text()
)


def test_every_id_is_one_that_cyclonedx_knows() -> None:
    ids = set(licenses._SPDX.values())
    assert len(ids) >= 100
    assert ids - set(SPDX["enum"]) == set()


@pytest.mark.parametrize(
    ("word", "known"),
    [
        ("apache-2.0", "Apache-2.0"),
        ("MIT", "MIT"),
        (" cc-by-nc-4.0 ", "CC-BY-NC-4.0"),
        ("odc-by", "ODC-By-1.0"),
        ("gemma", None),
        ("llama3.2", None),
        ("openrail", None),
        ("apache", None),
        ("gpl", None),
        ("", None),
    ],
)
def test_a_word_is_an_id_or_none(word: str, known: str | None) -> None:
    assert spdx_id(word) == known


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("MIT or apache-2.0", "MIT OR Apache-2.0"),
        ("(mit OR Apache-2.0) and bsd-3-clause", "(MIT OR Apache-2.0) AND BSD-3-Clause"),
        ("apache-2.0 WITH LLVM-exception OR MIT", "Apache-2.0 WITH LLVM-exception OR MIT"),
        ("((MIT))", "((MIT))"),
        ("MIT", None),
        ("MIT OR llama3.2", None),
        ("MIT OR", None),
        ("OR MIT OR", None),
        ("MIT MIT MIT", None),
        ("(MIT OR MIT", None),
        ("MIT) OR (MIT", None),
        ("() OR MIT", None),
        ("MIT WITH MIT", None),
        ("LLVM-exception OR MIT", None),
        ("MIT / Apache-2.0", None),
        ("MIT OR " * 200 + "MIT", None),
    ],
)
def test_an_expression_has_known_ids_only(text: str, known: str | None) -> None:
    assert spdx_expression(text) == known


@given(text=st.text(alphabet="MIT()ORANDWH -.20", max_size=60))
def test_what_is_an_expression_is_one_again(text: str) -> None:
    known = spdx_expression(text)
    assert known is None or spdx_expression(known) == known


@pytest.mark.parametrize("word", [None, "", "other", "Unknown", " none "])
def test_some_words_say_nothing(word: str | None) -> None:
    assert not is_said(word)
    assert license_choice(word) is None


def test_what_is_no_id_is_a_name() -> None:
    link = "https://x.test/terms"
    assert license_choice("gemma", link) == [{"license": {"name": "gemma", "url": link}}]
    assert license_choice("mit") == [{"license": {"id": "MIT"}}]
    assert license_choice("mit or isc") == [{"expression": "MIT OR ISC"}]
