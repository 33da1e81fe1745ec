"""Settings: strict construction, canonical JSON, and the one memory image."""

import hashlib
import json
import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infwasi_sign.domain.settings import GuestLimits, Settings
from infwasi_sign.domain.settings_layout import from_memory_image, memory_image
from infwasi_sign.domain.settings_module import read_settings_module, settings_module
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError
from tests.settings_samples import any_settings, make_settings

BASE = 1024


@given(any_settings, st.integers(0, 2**20).map(lambda value: value * 4))
def test_memory_image_reads_back_as_the_same_settings(settings: Settings, base: int) -> None:
    image = memory_image(settings, base)
    assert from_memory_image(image, base) == settings


@given(any_settings)
def test_settings_module_reads_back_as_the_same_settings(settings: Settings) -> None:
    assert read_settings_module(settings_module(settings)) == settings


@given(st.data())
def test_no_other_byte_gives_the_same_settings(data: st.DataObject) -> None:
    settings = data.draw(any_settings)
    image = bytearray(memory_image(settings, BASE))
    image[data.draw(st.integers(0, len(image) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(RefusedError):
        assert from_memory_image(bytes(image), BASE) != settings


@given(st.binary(max_size=300), st.integers(0, 2**32))
def test_reading_any_bytes_raises_nothing_but_refusals(image: bytes, base: int) -> None:
    with pytest.raises(RefusedError):
        from_memory_image(image, base)


def test_memory_image_is_the_record_of_the_canonical_abi() -> None:
    image = memory_image(make_settings(system_prompt=None, stop=("a", "bc")), BASE)
    assert struct.unpack_from("<II", image, 0) == (BASE + 92, 5)
    assert image[92:97] == b"model"
    assert image[8:20] == bytes(12)
    assert struct.unpack_from("<III", image, 20) == (1, BASE + 97, 30)
    assert struct.unpack_from("<IIfIfff", image, 32) == pytest.approx(
        (2048, 64, 0.7, 40, 0.95, 0.05, 1.1)
    )
    assert struct.unpack_from("<BxxxIII", image, 60) == (1, 7, BASE + 128, 2)
    assert struct.unpack_from("<IIII", image, 128) == (BASE + 144, 1, BASE + 145, 2)
    assert image[144:] == b"abc"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image: image + b"\0", "settings are not in their one byte form in settings image"),
        (
            lambda image: image[:91],
            "settings are cut off in settings image (expected at least 92 bytes, got 91)",
        ),
        (
            lambda image: image[:-1],
            "text lies outside of the settings in settings image"
            " (expected 1116 to 1187, got 1178 to 1188)",
        ),
        (
            lambda image: image[:-1] + b"\xff",
            "text is not UTF-8 in settings image (got at 1187)",
        ),
        (
            lambda image: image[:8] + b"\2" + image[9:],
            "settings are not in their one byte form in settings image",
        ),
        (
            lambda image: image[:72] + struct.pack("<I", 17) + image[76:],
            "too many stop strings in settings image (expected at most 16, got 17)",
        ),
        (
            lambda image: image[:4] + struct.pack("<I", 4) + image[8:],
            "settings are not in their one byte form in settings image",
        ),
    ],
    ids=["trailing", "short", "cut", "utf8", "tag", "count", "gap"],
)
def test_refuses_an_image_of_another_form(change: Any, message: str) -> None:
    image: bytes = change(memory_image(make_settings(), BASE))
    with pytest.raises(MalformedError) as caught:
        from_memory_image(image, BASE)
    assert str(caught.value) == message


def test_refuses_an_image_beyond_the_address_space() -> None:
    with pytest.raises(MalformedError, match=r"^settings lie outside of memory"):
        from_memory_image(memory_image(make_settings(), 0), 2**32 - 4)


def test_refuses_a_module_with_one_more_section() -> None:
    module = settings_module(make_settings())
    with pytest.raises(MalformedError, match="constant settings and nothing else, got other bytes"):
        read_settings_module(module + b"\0\x02\x01x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": ""}, "setting out of range in settings.model (expected at least 1 byte, got 0)"),
        (
            {"model": "x" * 256},
            "setting out of range in settings.model (expected at most 255 bytes, got 256)",
        ),
        (
            {"max_tokens": 0},
            "setting out of range in settings.maxTokens (expected 1 to 131072, got 0)",
        ),
        (
            {"top_k": 2**31},
            "setting out of range in settings.topK (expected 0 to 2147483647, got 2147483648)",
        ),
        (
            {"seed": 2**32 - 1},
            "setting out of range in settings.seed (expected 0 to 4294967294, got 4294967295)",
        ),
        (
            {"temperature": float("nan")},
            "setting out of range in settings.temperature (expected 0 to 10, got nan)",
        ),
        ({"top_p": 1.5}, "setting out of range in settings.topP (expected 0 to 1, got 1.5)"),
        (
            {"repeat_penalty": 0},
            "setting out of range in settings.repeatPenalty (expected 1e-06 to 10, got 0.0)",
        ),
        (
            {"stop": ("a",) * 17},
            "setting out of range in settings.stop (expected at most 16, got 17)",
        ),
        (
            {"stop": ("",)},
            "setting out of range in settings.stop[0] (expected at least 1 byte, got 0)",
        ),
        (
            {"system_prompt": "x" * 2**19, "default_prompt": "x" * 2**19, "stop": ()},
            "setting out of range in settings.texts (expected at most 1048576 bytes, got 1048581)",
        ),
    ],
)
def test_refuses_a_setting_out_of_range(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RefusedError) as caught:
        make_settings(**change)
    assert caught.value.kind is RefusalKind.LIMIT
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": b"m"}, "wrong type in settings.model (expected str, got bytes)"),
        ({"max_tokens": True}, "wrong type in settings.maxTokens (expected int, got bool)"),
        ({"max_tokens": 1.0}, "wrong type in settings.maxTokens (expected int, got float)"),
        ({"temperature": "1"}, "wrong type in settings.temperature (expected float, got str)"),
        ({"stop": ["a"]}, "wrong type in settings.stop (expected tuple, got list)"),
        (
            {"default_prompt": "a\ud800"},
            "text has a lone surrogate in settings.defaultPrompt (got at character 1)",
        ),
    ],
)
def test_refuses_a_setting_of_the_wrong_type(change: dict[str, Any], message: str) -> None:
    with pytest.raises(MalformedError) as caught:
        make_settings(**change)
    assert str(caught.value) == message


def test_refuses_a_limit_of_no_memory() -> None:
    with pytest.raises(RefusedError) as caught:
        GuestLimits(memory_bytes=1, prompt_bytes=1, output_bytes=1, wall_clock_seconds=1)
    assert str(caught.value) == (
        "setting out of range in settings.limits.memoryBytes (expected 65536 to 4294967295, got 1)"
    )


def test_keeps_six_decimals_and_one_zero() -> None:
    settings = make_settings(temperature=0.123_456_789, top_p=1, min_p=-0.0)
    assert settings.temperature == 0.123_457
    assert isinstance(settings.top_p, float)
    assert str(settings.min_p) == "0.0"


def test_json_is_canonical_and_leaves_out_what_is_none() -> None:
    settings = make_settings(system_prompt=None, default_prompt='é"\n', seed=None, top_p=1.0)
    assert settings.to_json() == (
        b'{"contextTokens":2048,"defaultPrompt":"\xc3\xa9\\"\\n","limits":{"memoryBytes":16777216,'
        b'"outputBytes":1048576,"promptBytes":262144,"wallClockSeconds":600},"maxTokens":64,'
        b'"minP":0.05,"model":"model","repeatPenalty":1.1,"stop":["\\n\\n","say \\"stop\\""],'
        b'"temperature":0.7,"topK":40,"topP":1}'
    )
    assert settings.digest().hex == hashlib.sha256(settings.to_json()).hexdigest()


@given(any_settings, any_settings)
def test_digest_names_the_settings(left: Settings, right: Settings) -> None:
    assert (left.digest() == right.digest()) == (left == right)
    assert json.loads(left.to_json())["model"] == left.model


def test_facts_tell_every_setting_and_no_prompt() -> None:
    facts = make_settings(temperature=0.000_001, min_p=0, repeat_penalty=10).facts()
    assert facts == {
        "model": "model",
        "context-tokens": "2048",
        "max-tokens": "64",
        "temperature": "0.000001",
        "top-k": "40",
        "top-p": "0.95",
        "min-p": "0",
        "repeat-penalty": "10",
        "seed": "7",
        "stop": '["\\n\\n","say \\"stop\\""]',
        "limit:memory-bytes": "16777216",
        "limit:prompt-bytes": "262144",
        "limit:output-bytes": "1048576",
        "limit:wall-clock-seconds": "600",
        "system-prompt:sha256": hashlib.sha256(b"Be brief.").hexdigest(),
        "system-prompt:size": "9",
        "default-prompt:sha256": hashlib.sha256(b"What is the capital of Sweden?").hexdigest(),
        "default-prompt:size": "30",
    }


def test_facts_say_what_is_not_set() -> None:
    facts = make_settings(system_prompt=None, default_prompt="", seed=None, stop=()).facts()
    assert (facts["system-prompt:sha256"], facts["system-prompt:size"]) == ("none", "0")
    assert facts["default-prompt:sha256"] == hashlib.sha256(b"").hexdigest()
    assert (facts["seed"], facts["stop"]) == ("none", "none")


@given(any_settings, any_settings)
def test_settings_that_differ_have_facts_that_differ(left: Settings, right: Settings) -> None:
    assert (left.facts() == right.facts()) is (left == right)
