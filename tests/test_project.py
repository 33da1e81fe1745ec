"""`infwasi.toml`: every refusal names the key, and the flags win."""

import re
import tomllib
from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import require_package_names
from infwasi_sign.domain.project import Project, parse_project, template
from infwasi_sign.errors import RefusalKind, RefusedError, UndecidedError

MINIMAL = '[package]\nname = "capital"\nversion = "1.0.0"\n[model]\npath = "model.gguf"\n'

EVERYTHING = """
[package]
name = "capital"
version = "1.0.0"
valid-days = 0

[model]
path = "models/model.gguf"
name = "stockholm"
mode = "detach"
context-tokens = 512

[prompt]
system = "Answer in one short sentence."
default = "What is the capital of Sweden?"
stop = ["\\n\\n", "END"]

[sampling]
temperature = 1
max-tokens = 64
seed = 7
top-k = 0
top-p = 1
min-p = 0.0
repeat-penalty = 1.1

[model-card]
path = "cards/capital.toml"

[component]
inference = "my_inference.wasm"

[limits]
memory-mib = 32
prompt-kib = 1
output-kib = 2
timeout-seconds = 3
"""


def parse(text: str, **overrides: object) -> Project:
    return parse_project(text.encode(), overrides, where="infwasi.toml")


def refusal(text: str) -> UndecidedError:
    with pytest.raises(UndecidedError) as caught:
        parse(text)
    return caught.value


def test_reads_every_key() -> None:
    assert parse(EVERYTHING) == Project(
        name="capital",
        version="1.0.0",
        valid_days=0,
        model_path=PurePath("models/model.gguf"),
        model_name="stockholm",
        model_mode="detach",
        context_tokens=512,
        system_prompt="Answer in one short sentence.",
        default_prompt="What is the capital of Sweden?",
        stop=("\n\n", "END"),
        temperature=1.0,
        max_tokens=64,
        seed=7,
        top_k=0,
        top_p=1.0,
        min_p=0.0,
        repeat_penalty=1.1,
        model_card_path=PurePath("cards/capital.toml"),
        inference_path=PurePath("my_inference.wasm"),
        memory_mib=32,
        prompt_kib=1,
        output_kib=2,
        timeout_seconds=3,
    )


def test_every_key_reaches_the_settings() -> None:
    settings = parse(EVERYTHING).settings()
    assert settings.model == "stockholm"
    assert (settings.context_tokens, settings.max_tokens, settings.seed) == (512, 64, 7)
    assert (settings.temperature, settings.top_k, settings.top_p) == (1.0, 0, 1.0)
    assert (settings.min_p, settings.repeat_penalty) == (0.0, 1.1)
    assert settings.stop == ("\n\n", "END")
    assert settings.limits.memory_bytes == 32 * 2**20
    assert settings.limits.prompt_bytes == 1024
    assert settings.limits.output_bytes == 2048
    assert settings.limits.wall_clock_seconds == 3


def test_three_keys_are_enough() -> None:
    project = parse(MINIMAL)
    assert project == Project(name="capital", version="1.0.0", model_path=PurePath("model.gguf"))
    assert project.settings().limits.wall_clock_seconds == LIMITS.wall_clock_seconds


@pytest.mark.parametrize(
    ("added", "says"),
    [
        ("[modle]", "unknown section in infwasi.toml [modle] (expected package, model, prompt, "),
        ("[sampling]\ntemprature = 1.0", "unknown key in infwasi.toml sampling.temprature (exp"),
        ("[prompt.stop]\nx = 1", "wrong type in infwasi.toml prompt.stop (expected an array, got "),
    ],
)
def test_refuses_what_it_does_not_know(added: str, says: str) -> None:
    assert str(refusal(MINIMAL + added)).startswith(says)


def test_names_the_keys_that_there_are() -> None:
    assert str(refusal(MINIMAL + "[sampling]\nTemperature = 1.0")) == (
        "unknown key in infwasi.toml sampling.Temperature (expected temperature, max-tokens, "
        "seed, top-k, top-p, min-p, repeat-penalty)"
    )


@pytest.mark.parametrize("text", ['package = "capital"', "limits = 3", "[[prompt]]"])
def test_refuses_a_section_that_is_none(text: str) -> None:
    name = text.split(maxsplit=1)[0].strip("[]")
    assert str(refusal(text)) == f"not a section in infwasi.toml {name}"


@pytest.mark.parametrize(
    ("section", "line", "expected", "got"),
    [
        ("sampling", "temperature = '0.0'", "a number", "str '0.0'"),
        ("sampling", "temperature = true", "a number", "bool True"),
        ("sampling", "max-tokens = 64.0", "an integer", "float 64.0"),
        ("sampling", "max-tokens = false", "an integer", "bool False"),
        ("sampling", "seed = '7'", "an integer", "str '7'"),
        ("sampling", "top-k = []", "an integer", "list []"),
        ("prompt", "system = 1", "a string", "int 1"),
        ("prompt", "default = ['a']", "a string", "list ['a']"),
        ("prompt", "stop = 'END'", "an array", "str 'END'"),
        ("prompt", "stop = ['END', 1]", "an array of strings", "list ['END', 1]"),
        ("component", "inference = 1", "a path", "int 1"),
        ("component", "inference = ''", "a path", "str ''"),
        ("component", 'inference = "a\\u0000b"', "a path", r"str 'a\x00b'"),
        ("limits", "memory-mib = 1979-05-27", "an integer", "date datetime.date(1979, 5, 27)"),
    ],
)
def test_refuses_the_wrong_type(section: str, line: str, expected: str, got: str) -> None:
    key = line.split(maxsplit=1)[0]
    assert str(refusal(f"{MINIMAL}[{section}]\n{line}")) == (
        f"wrong type in infwasi.toml {section}.{key} (expected {expected}, got {got})"
    )


@pytest.mark.parametrize(
    ("section", "key", "low", "high"),
    [
        ("sampling", "max-tokens", 1, LIMITS.max_tokens),
        ("sampling", "seed", 0, 2**32 - 2),
        ("sampling", "top-k", 0, 1_000_000),
        ("limits", "memory-mib", 1, 4095),
        ("limits", "prompt-kib", 1, 256),
        ("limits", "output-kib", 1, 1024),
        ("limits", "timeout-seconds", 1, LIMITS.wall_clock_seconds),
    ],
)
def test_whole_numbers_have_bounds(section: str, key: str, low: int, high: int) -> None:
    for value in (low, high):
        parse(f"{MINIMAL}[{section}]\n{key} = {value}").settings()
    for value in (low - 1, high + 1):
        assert str(refusal(f"{MINIMAL}[{section}]\n{key} = {value}")) == (
            f"out of range in infwasi.toml {section}.{key} (expected {low} to {high}, got {value})"
        )


@pytest.mark.parametrize(
    ("line", "expected", "got"),
    [
        ("temperature = -0.1", "0 to 10", "-0.1"),
        ("temperature = 10.1", "0 to 10", "10.1"),
        ("temperature = nan", "0 to 10", "nan"),
        ("temperature = inf", "0 to 10", "inf"),
        ("top-p = 1.1", "0 to 1", "1.1"),
        ("min-p = -1", "0 to 1", "-1.0"),
        ("repeat-penalty = 0", "1e-06 to 10", "0.0"),
    ],
)
def test_refuses_numbers_out_of_range(line: str, expected: str, got: str) -> None:
    key = line.split(maxsplit=1)[0]
    assert str(refusal(f"{MINIMAL}[sampling]\n{line}")) == (
        f"out of range in infwasi.toml sampling.{key} (expected {expected}, got {got})"
    )


def test_refuses_a_number_that_no_float_holds() -> None:
    assert str(refusal(f"{MINIMAL}[sampling]\ntemperature = {10**400}")) == (
        "out of range in infwasi.toml sampling.temperature (expected 0 to 10, got inf)"
    )


def test_refuses_an_unknown_mode() -> None:
    text = MINIMAL + 'mode = "link"'
    assert str(refusal(text)) == (
        "unknown word in infwasi.toml model.mode (expected copy or detach, got str 'link')"
    )


@pytest.mark.parametrize("text", ["[package", "a = ", '[package]\nname = "a"\nname = "b"', "\0"])
def test_refuses_what_is_not_toml(text: str) -> None:
    assert re.fullmatch(r"not TOML: [^\n]+ in infwasi\.toml", str(refusal(text)))


def test_refuses_bytes_that_are_not_utf_8() -> None:
    with pytest.raises(UndecidedError, match=r"^not TOML: .* in infwasi\.toml$"):
        parse_project(b'[package]\nname = "\xff"', {}, where="infwasi.toml")


def test_refuses_nesting_that_exhausts_the_parser() -> None:
    assert str(refusal("a = " + "[" * 100_000)).startswith("not TOML: ")


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("", "package.name"),
        ('[package]\nname = "a"', "package.version"),
        ('[package]\nname = "a"\nversion = "1"', "model.path"),
    ],
)
def test_says_what_is_missing_and_how_to_start(text: str, missing: str) -> None:
    error = refusal(text)
    assert str(error) == f"{missing} is missing in infwasi.toml"
    assert error.hint == "`infwasi init` writes an infwasi.toml to start from"


def test_flags_win_over_the_file() -> None:
    flags = {
        "name": "other",
        "version": "2.0.0",
        "model_path": PurePath("other.gguf"),
        "system_prompt": "Be long.",
        "default_prompt": "Why?",
        "model_mode": "copy",
    }
    project = parse(EVERYTHING, **flags)
    assert {name: getattr(project, name) for name in flags} == flags
    assert project.seed == 7


def test_flags_are_enough_without_a_file() -> None:
    project = parse("", name="capital", version="1.0.0", model_path=PurePath("model.gguf"))
    assert project == parse(MINIMAL)


def test_texts_that_are_too_long_are_refused_before_anything_is_built() -> None:
    project = parse(MINIMAL, system_prompt="x" * (LIMITS.settings_bytes + 1))
    with pytest.raises(RefusedError) as caught:
        project.settings()
    assert caught.value.kind is RefusalKind.LIMIT
    assert str(caught.value).startswith("setting out of range in settings.systemPrompt (")


@given(st.text(max_size=80), st.text(min_size=1, max_size=80).filter(lambda text: "\0" not in text))
def test_template_parses_whatever_the_folder_is_called(name: str, model: str) -> None:
    text = template(name, PurePath(model))
    project = parse_project(text.encode(), {}, where="infwasi.toml")
    require_package_names(project.name, project.version)
    assert project.model_path == PurePath(model)


def test_template_parses_where_a_file_name_is_not_utf_8() -> None:
    text = template("capital", PurePath("model\udcff.gguf"))
    assert parse_project(text.encode(), {}, where="x").model_path == PurePath("model?.gguf")


def test_template_shows_the_real_defaults() -> None:
    comment = re.compile(r"# (?P<key>[a-z-]+) = (?P<value>[^#]+)")
    shown = {
        found["key"]: tomllib.loads(f"value = {found['value']}")["value"]
        for found in comment.finditer(template("capital", PurePath("model.gguf")))
    }
    for example in ("system", "default", "seed", "inference", "sequence", "mode", "path"):
        del shown[example]  # `mode` stands twice, in [model] and in [signing]
    assert len(shown) >= 12
    defaults = parse(MINIMAL)
    other_names = {"name": "model_name"}
    for key, value in shown.items():
        default = getattr(defaults, other_names.get(key, key.replace("-", "_")))
        assert value == (list(default) if isinstance(default, tuple) else default), key
