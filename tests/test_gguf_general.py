"""What a GGUF says of itself in `general.*`."""

import dataclasses
import json
import struct
from contextlib import suppress

import pytest
from gguf.constants import Keys
from hypothesis import given
from hypothesis import strategies as st

from infwasi_sign.domain.gguf import ModelFacts, model_facts, parse
from infwasi_sign.domain.gguf_general import BaseModel, DatasetFacts
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import MalformedError
from tests.gguf_forge import (
    ARRAY,
    BOOL,
    F32,
    F64,
    GENERAL_TEXTS,
    I64,
    STRING,
    U8,
    U64,
    WatchedSource,
    array,
    every_general_key,
    pair,
    strings,
    text_pair,
    tiny_gguf,
    u32_pair,
)

ARCHITECTURE = text_pair("general.architecture", "llama")


def facts(*pairs: bytes) -> ModelFacts:
    return model_facts(parse(WatchedSource(tiny_gguf(pairs=(ARCHITECTURE, *pairs)))))


def everything() -> ModelFacts:
    return model_facts(parse(WatchedSource(tiny_gguf(pairs=every_general_key()))))


def test_the_forge_knows_every_key_of_the_reference_writer() -> None:
    """Another version of gguf-py that knows more keys fails here."""
    known = {
        key.replace("{id}", "0")
        for group in (Keys.General,)
        for name, key in vars(group).items()
        if isinstance(key, str) and name.isupper()
    }
    assert known - {key for key, _ in everything().general} == set()
    assert len(known) > 50


def test_tells_every_general_key_as_text() -> None:
    told = dict(everything().general)
    assert list(told) == sorted(told)
    assert {f"general.{key}": text for key, text in GENERAL_TEXTS.items()}.items() <= told.items()
    assert told["general.alignment"] == "32"
    assert told["general.languages"] == '["en","de"]'
    assert told["general.tags"] == '["text-generation","chat, with a comma"]'
    assert told["general.sampling.temp"] == "0.800000011920929"


def test_tells_the_keys_that_we_use_by_name() -> None:
    found = everything()
    assert (found.finetune, found.description) == ("instruct", GENERAL_TEXTS["description"])
    assert (found.license_name, found.license_link) == (
        "Apache License 2.0",
        "https://example.com/license",
    )
    assert found.source_repo_url == "https://example.com/source.git"
    assert found.url == "https://example.com/model"
    assert [one.name for one in found.base_models] == ["base_model 0 name", "base_model 1 name"]
    assert None not in dataclasses.astuple(found.base_models[1])
    assert None not in dataclasses.astuple(found.datasets[0])


def test_names_of_datasets_follow_those_with_numbers_that_have_them_already() -> None:
    assert [one.name for one in everything().datasets] == ["dataset 0 name", "example/other"]


@pytest.mark.parametrize(
    ("kind", "payload", "text"),
    [
        (STRING, struct.pack("<Q", 3) + b"a\nb", "a\nb"),
        (U64, struct.pack("<Q", 2**64 - 1), "18446744073709551615"),
        (I64, struct.pack("<q", -5), "-5"),
        (F64, struct.pack("<d", 0.1), "0.1"),
        (F32, struct.pack("<f", 0.1), "0.10000000149011612"),
        (F64, struct.pack("<d", float("nan")), "nan"),
        (F64, struct.pack("<d", float("-inf")), "-inf"),
        (BOOL, b"\x01", "true"),
        (BOOL, b"\x00", "false"),
        (ARRAY, strings(), "[]"),
        (ARRAY, strings('a"b', "é\x01"), '["a\\"b","é\\u0001"]'),
        (ARRAY, array(U8, b"\x01\x02", 2), "[1,2]"),
        (ARRAY, array(BOOL, b"\x01\x00", 2), "[true,false]"),
        (ARRAY, array(F64, struct.pack("<d", -0.5), 1), "[-0.5]"),
    ],
)
def test_a_value_of_any_type_has_a_text(kind: int, payload: bytes, text: str) -> None:
    assert dict(facts(pair("general.x", kind, payload)).general)["general.x"] == text


@given(st.lists(st.text(max_size=8), max_size=5))
def test_the_text_of_a_list_of_texts_reads_back(texts: list[str]) -> None:
    with suppress(UnicodeEncodeError):  # lone surrogates are in no file
        found = facts(pair("general.x", ARRAY, strings(*texts)))
        assert json.loads(dict(found.general)["general.x"]) == texts


def test_a_number_of_which_nothing_is_said_is_a_model_too() -> None:
    found = facts(
        u32_pair("general.base_model.count", 2), text_pair("general.base_model.1.name", "b")
    )
    assert found.base_models == (BaseModel(), BaseModel(name="b"))


def test_without_a_count_the_numbers_are_the_count() -> None:
    found = facts(text_pair("general.dataset.1.url", "u"))
    assert found.datasets == (DatasetFacts(), DatasetFacts(url="u"))


def test_keys_that_only_look_like_numbers_are_told_and_count_nothing() -> None:
    keys = ("general.base_model.01.name", "general.base_model.x.name", "general.base_model.9")
    found = facts(*(text_pair(key, "a") for key in keys))
    assert found.base_models == ()
    assert set(keys) <= {key for key, _ in found.general}


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (
            (u32_pair("general.description", 1),),
            "value has the wrong type in metadata 'general.description'"
            " (expected string, got uint32)",
        ),
        (
            (text_pair("general.datasets", "a"),),
            "value has the wrong type in metadata 'general.datasets'"
            " (expected array of string, got string)",
        ),
        (
            (text_pair("general.base_model.count", "1"),),
            "value has the wrong type in metadata 'general.base_model.count'"
            " (expected unsigned integer, got string)",
        ),
        (
            (u32_pair("general.base_model.count", 1), u32_pair("general.base_model.0.url", 1)),
            "value has the wrong type in metadata 'general.base_model.0.url'"
            " (expected string, got uint32)",
        ),
        (
            (u32_pair("general.base_model.count", 1), text_pair("general.base_model.1.name", "a")),
            "number is not below the count in metadata 'general.base_model.*'"
            " (expected below 1, got 1)",
        ),
        (
            (u32_pair("general.dataset.count", 2**32 - 1),),
            "number is not below the count in metadata 'general.dataset.*'"
            " (expected below 256, got 4294967294)",
        ),
        (
            (text_pair("general.dataset.999999999.name", "a"),),
            "number is not below the count in metadata 'general.dataset.*'"
            " (expected below 256, got 999999999)",
        ),
        (
            (pair("general.x", ARRAY, array(ARRAY, strings("a"), 1)),),
            "value has the wrong type in metadata 'general.x'"
            " (expected array of strings, numbers or bools, got array of array)",
        ),
        (
            (text_pair("general.x", "a" * (LIMITS.general_text_bytes + 1)),),
            "text is too long in metadata 'general.x' (expected at most 16384 bytes, got 16385)",
        ),
        (
            tuple(text_pair(f"general.x{n:02}", "a" * 16_000) for n in range(17)),
            "texts are too long together in metadata 'general.*'"
            " (expected at most 262144 bytes, got 272212)",
        ),
        (
            tuple(u32_pair(f"general.x{n}", n) for n in range(LIMITS.general_keys)),
            "too many keys in metadata 'general.*' (expected at most 1024, got 1025)",
        ),
    ],
)
def test_refuses(pairs: tuple[bytes, ...], message: str) -> None:
    with pytest.raises(MalformedError) as caught:
        facts(*pairs)
    assert str(caught.value) == message
