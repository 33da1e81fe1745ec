"""`model-card.toml`: what people write, read strictly, with the line of what is wrong."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infwasi_sign.domain.declared import Declared, DeclaredMetric, EnergyConsumption
from infwasi_sign.domain.declared_codec import declared_tree
from infwasi_sign.domain.declared_file import model_card_template, parse_model_card
from infwasi_sign.domain.declared_keys import ARRAYS, TABLES
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import UndecidedError
from tests.declared_support import FILLED


def parse(text: str) -> Declared:
    return parse_model_card(text.encode(), where="model-card.toml")


def refusal(text: str) -> UndecidedError:
    with pytest.raises(UndecidedError) as caught:
        parse(text)
    return caught.value


def test_the_template_says_nothing_until_it_is_filled_in() -> None:
    assert parse(model_card_template()) == Declared()
    filled = parse(FILLED)
    assert filled.model_license == "Apache-2.0"
    assert filled.model_released == "2024-11-02"
    assert filled.energy[0].kwh == "1200"
    assert filled.metrics == (DeclaredMetric(type="accuracy", value="0.41", slice="MMLU, 5-shot"),)


def test_the_template_has_an_example_of_every_table() -> None:
    tables = {f"[{name}]" for name in TABLES} | {f"[[{name}]]" for name in ARRAYS}
    assert set(re.findall(r"(?m)^\[+[a-z.]+\]+", FILLED)) == tables - {"[[vulnerability]]"}


def test_what_is_not_text_in_toml_is_read_as_it_is_written() -> None:
    found = parse("""
        model.released = 2024-11-02 10:00:00.50z
        training = { co2-tonnes = 1_000.500 }
        energy = [{ activity = "training", kwh = 0.10, provider = "P", source = "wind" }]
        metric = [ { type = "t", value = 1e3, lower = -1, upper = +inf } ]
    """)
    assert found.model_released == "2024-11-02T10:00:00.50Z"
    assert found.training_co2_tonnes == "1000.500"
    assert found.energy == (
        EnergyConsumption(activity="training", kwh="0.10", provider="P", source="wind"),
    )
    assert found.metrics == (DeclaredMetric(type="t", value="1e3", lower="-1", upper="+inf"),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            '[model]\nlicence = "MIT"',
            "unknown key in model-card.toml:2:11 model.licence (expected version, description, ",
        ),
        ("[modle]", "unknown key in model-card.toml:1:1 modle (expected bom, app, model, "),
        (
            '[model]\n\nversion = 1.0 # "1.0"',
            "wrong type in model-card.toml:3:11 model.version (expected a line of at most 256 "
            "characters, got float 1.0)",
        ),
        (
            '[use]\nusers = [\n  "a",\n  "",\n]',
            "empty text in model-card.toml:4:3 use.users[1] (expected a text of at most 4096 ",
        ),
        (
            '[[dataset]]\nname = "a"\n[[dataset]]\nlicense = "MIT"',
            "missing key in model-card.toml:3:1 dataset[1].name (expected a line of at most 256 ",
        ),
        (
            "[[metric]]\ntype = 'x'\nvalue = true",
            "wrong type in model-card.toml:3:9 metric[0].value (expected a line of at most 256 ",
        ),
        (
            "[model]\nreleased = 2024-11-02T10:00:00",
            "not of its form in model-card.toml:2:12 model.released (expected a date or a time w",
        ),
        (
            "[model]\nreleased = 10:00:00",
            "wrong type in model-card.toml:2:12 model.released (expected a date or a time with i",
        ),
        (
            f"[training]\nco2-tonnes = {'9' * 4000}",
            "too long in model-card.toml:2:14 training.co2-tonnes (expected a number that is not",
        ),
        (f"[training]\nco2-tonnes = {'9' * 5000}", "not TOML: Exceeds the limit (4300 digits) fo"),
        ("[model]\nversion = 1\nversion = 2", "not TOML: Cannot overwrite a value (at "),
        ("[model", "not TOML: Expected ']' at the end of a table declaration (at "),
        ("\ufeff[model]", "not TOML: Invalid statement (at line 1, column 1) in model-card.toml"),
        ("[model]\nversion = 'a\0b'", "not TOML: Found invalid character '\\x00' (at line 2, colu"),
        (
            '[model]\nversion = "a\\u0000b"',
            "a character that hides or reorders text in model-card.toml:2:11 model.version (expe",
        ),
        (
            "[model]\ndescription = 'a \u202e b'",
            "a character that hides or reorders text in model-card.toml:2:15 model.description (",
        ),
        ("[model]\nversion = 'a \x9b b'", "a character that hides or reorders text in model-card"),
        ("x = " + "[" * 100_000, "not TOML: nested too deeply in model-card.toml"),
        ("use.users = " + "[" * 60 + "]" * 60, "wrong type in model-card.toml:1:14 use.users[0] "),
        ("[" + "a." * 50 + "b]", "not TOML: a key has too many parts in model-card.toml:1 (expect"),
        ("model.a.b.c.d.e.f = {}", "unknown key in model-card.toml:1:21 model.a (expected versio"),
        ("'\x1b[31m' = 1", "not TOML: "),
        ('"\\u001b[31m" = 1', "unknown key in model-card.toml '\\x1b[31m' (expected bom, app, m"),
    ],
)
def test_refuses_and_says_where(text: str, says: str) -> None:
    assert str(refusal(text))[: len(says)] == says


def test_a_slip_of_the_pen_gets_a_hint() -> None:
    assert refusal("[model]\nlicence = 'MIT'").hint == "did you mean license?"
    assert refusal("[dataste]").hint == "did you mean dataset?"
    assert refusal("[model]\nzzz = 1").hint is None


def test_a_file_of_a_hundred_megabytes_is_refused_unread() -> None:
    with pytest.raises(UndecidedError) as caught:
        parse_model_card(b"#" * 100_000_000, where="x")
    assert str(caught.value) == f"too long in x (expected at most {LIMITS.toml_bytes} bytes)"


def test_vulnerabilities_have_a_file_of_their_own() -> None:
    error = refusal('[[vulnerability]]\nid = "CVE-2024-1"\nstate = "not_affected"')
    assert str(error) == (
        "a model card knows nothing of vulnerabilities in model-card.toml:1:1 vulnerability"
    )
    assert error.hint == "`pack --vex FILE` attaches a VEX document"


def test_markup_in_names_is_text() -> None:
    assert parse("[app]\nproducer = '<b onclick=x()>Acme</b>'").app_producer == (
        "<b onclick=x()>Acme</b>"
    )


LINES = [*FILLED.splitlines(), "a.b = 1", "x = {", "'''", "[[model]]", "[model]", "released = 1"]


@given(st.lists(st.sampled_from(LINES) | st.text(max_size=20), max_size=12))
def test_no_text_raises_another_error(lines: list[str]) -> None:
    data = "\n".join(lines).encode("utf-8", "surrogatepass")
    try:
        declared_tree(parse_model_card(data, where="x"))
    except UndecidedError:
        return
