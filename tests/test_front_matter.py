"""The front matter of a README.md: what the Hub's keys mean, and what YAML may not do here."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from infwasi_sign.adapters.front_matter import has_front_matter, read_front_matter
from infwasi_sign.domain.declared import Declared, DeclaredDataset, DeclaredMetric
from infwasi_sign.domain.declared_codec import declared_tree, read_declared
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import UndecidedError
from tests.declared_support import CARD


def block(text: str) -> str:
    return f"---\n{text}\n---\n"


def read(text: str) -> Declared:
    return read_front_matter(text.encode(), where="README.md").declared


def refusal(text: str | bytes) -> str:
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    with pytest.raises(UndecidedError) as caught:
        read_front_matter(data, where="README.md")
    return str(caught.value)


@pytest.mark.parametrize("card", [CARD, CARD.replace("\n", "\r\n")], ids=["lf", "crlf"])
def test_every_key_that_has_a_place_is_read(card: str) -> None:
    found = read_front_matter(card.encode(), where="README.md")
    assert found.declared == Declared(
        model_license="acme-open-1.0",
        model_license_url="https://acme.example/licence",
        model_languages=("no", "en"),
        model_tags=("text-generation", "1.10"),
        model_base_models=("acme/base-135M",),
        model_task="text-generation",
        model_library="transformers",
        datasets=(
            DeclaredDataset(name="acme/talk", identifier="acme/talk"),
            DeclaredDataset(name="acme/walk", identifier="acme/walk"),
        ),
        metrics=(DeclaredMetric(type="accuracy", value="0.410", slice="MMLU, 5-shot, test"),),
        training_co2_tonnes="149.2000005",
        training_hardware="8 A100",
    )
    assert found.passed_over == (
        "thumbnail",
        "widget",
        "model-index metric without one value",
        "co2_eq_emissions.source",
    )
    assert read_declared(declared_tree(found.declared), "x") == found.declared


@pytest.mark.parametrize(
    ("text", "license_word", "passed"),
    [
        ("license: mit", "mit", ()),
        ("license: [mit]", "mit", ()),
        ("license: [mit, apache-2.0]", None, ("license (several)",)),
        ("license: other", None, ("license (other)",)),
        ("license: ", None, ()),
        ("license: mit\nlicense_name: x", "mit", ("license_name",)),
        ("license_name: x", "x", ()),
        ("license: mit\nlicense_link: LICENSE", "mit", ("license_link (no address)",)),
    ],
)
def test_a_licence_is_never_guessed(
    text: str, license_word: str | None, passed: tuple[str, ...]
) -> None:
    found = read_front_matter(block(text).encode(), where="x")
    assert found.declared.model_license == license_word
    assert found.passed_over == passed


@pytest.mark.parametrize("word", ["no", "NO", "off", "1_000", "0x1F", "1:30", "2024-01-01", ".5e3"])
def test_texts_stay_texts(word: str) -> None:
    assert read(block(f"language: {word}")).model_languages == (word,)


@pytest.mark.parametrize(
    ("grams", "tonnes"),
    [
        ("0", "0"),
        ("1", "0.000001"),
        ("1e3", "0.001"),
        ("35.92358928347823456", "0.0000359235892834782"),
    ],
)
def test_grams_become_tonnes(grams: str, tonnes: str) -> None:
    assert read(block(f"co2_eq_emissions: {grams}")).training_co2_tonnes == tonnes


@pytest.mark.parametrize("empty", [block(""), "---\n---\n", "---\n---", "--- \n# note\n---\t\n"])
def test_an_empty_block_says_nothing(empty: str) -> None:
    assert read(empty) == Declared()


def test_only_the_beginning_of_a_file_counts() -> None:
    assert read(block("license: mit") + "x" * 10 + "\0\ud7ff") == Declared(model_license="mit")
    found = read_front_matter(block("license: mit").encode() + b"\xff" * 100_000_000, where="x")
    assert found.declared == Declared(model_license="mit")


LAUGHS = "a: &a [x]\n" + "".join(f"b{n}: [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n" for n in range(9))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("license: mit\n", "no front matter in README.md (expected a first line `---`)"),
        ("", "no front matter in README.md (expected a first line `---`)"),
        ("\n---\nlicense: mit\n---\n", "no front matter in README.md (expected a first line `-"),
        ("\ufeff---\nlicense: mit\n---\n", "begins with a byte order mark in README.md (expect"),
        ("---\nlicense: mit\n", "front matter does not end in README.md (expected a second line"),
        ("---", "front matter does not end in README.md (expected a second line `---`)"),
        (b"---\nlicense: \xff\n---\n", "not UTF-8 in README.md:2"),
        (block(LAUGHS), "anchors are refused in front matter in README.md:2:4"),
        (block("a: *a"), "aliases are refused in front matter in README.md:2:4"),
        (block("a: &a"), "anchors are refused in front matter in README.md:2:4"),
        (block("a: !!python/object/apply:os.system [id]"), "tags are refused in front matter in R"),
        (block("license: !!str mit"), "tags are refused in front matter in README.md:2:10"),
        (block("!x a: b"), "tags are refused in front matter in README.md:2:1"),
        (block("license: ! mit"), "tags are refused in front matter in README.md:2:10"),
        (block("<<: {license: mit}"), "merge keys are refused in front matter in README.md:2:1"),
        (
            block("? [a]\n: b"),
            "keys that are no texts are refused in front matter in README.md:2:3",
        ),
        (block("~: b"), "keys that are no texts are refused in front matter in README.md:2:1"),
        (block("license: mit\nlicense: x"), "key stands twice in README.md:3:1 (got 'license')"),
        (block("a: {b: 1, 'b': 2}"), "key stands twice in README.md:2:11 (got 'b')"),
        (block("%YAML 1.1"), "not YAML: expected '<document start>', but found '<stream end>' in "),
        (block(f"%YAML 1.{'1' * 5000}"), "not YAML: a number out of range in README.md"),
        (block("license: mit\n--- x"), "directives and further documents are refused in front mat"),
        (block("license: mit\n...\nb: 1"), "directives and further documents are refused in front"),
        (block("- license"), "front matter is not a mapping in README.md"),
        (block("license"), "front matter is not a mapping in README.md"),
        (block("a: " + "[" * 100_000), "nested too deep in README.md:2:15 (expected at most 12 le"),
        (block("- " * 100_000), "nested too deep in README.md:2:25 (expected at most 12 levels)"),
        (block("a: " + "{a: " * 50_000), "nested too deep in README.md:2:"),
        (block('a: "\\UFFFFFFFF"'), "not YAML: a number out of range in README.md"),
        (block("a: \0"), "not YAML: a character that it does not permit in README.md (got U+0000)"),
        (block("a: \x1b[31m"), "not YAML: a character that it does not permit in README.md (got U"),
        (block("license: \u202emit"), "a character that hides or reorders text in README.md:2 li"),
        (block('license: "\\u202emit"'), "a character that hides or reorders text in README.md:2"),
        (block('tags: [a, "\\ud800"]'), "a character that hides or reorders text in README.md:2 "),
        (block('license: "mit\\n"'), "a character that hides or reorders text in README.md:2 lice"),
        (block("license: {a: b}"), "wrong type in README.md:2 license (expected a line of at most"),
        (block("tags: {a: b}"), "wrong type in README.md:2 tags[0] (expected a line of at most 25"),
        (block("tags: [a, ]\nlanguage: []"), "empty list in README.md:3 language (expected at lea"),
        (block("a: 1\ntags: [a, '']"), "empty text in README.md:3 tags[1] (expected a line of at"),
        (block("tags: [a, ~]"), "wrong type in README.md:2 tags[1] (expected a line of at most 25"),
        (block("datasets: [a, a]"), "stands twice in README.md:2 datasets[1].name (got str 'a')"),
        (block("model-index: x"), "wrong type in README.md:2 model-index metric (expected a list "),
        (
            block("model-index:\n- name: a\n  results: x"),
            "wrong type in README.md:2 model-index me",
        ),
        (
            block("model-index: [{results: [{metrics: [{value: 1}]}]}]"),
            "missing key in README.md:2 model-index metric[0].type (expected a line of at most 25",
        ),
        (
            block("model-index: [{results: [{metrics: [x]}]}]"),
            "wrong type in README.md:2 model-index metric[0] (expected a table, got str 'x')",
        ),
        (
            block(
                "model-index: [{results: [{dataset: {name: [x]}, metrics: [{type: a, value: 1}]}]}]"
            ),
            "wrong type in README.md:2 model-index metric[0].slice (expected a line of at most 25",
        ),
        (
            block(f"co2_eq_emissions: {'9' * 100_000}"),
            "too long in README.md:2 co2_eq_emissions.emissions (expected a number that is not n",
        ),
        (block("co2_eq_emissions: 12 kg"), "not of its form in README.md:2 co2_eq_emissions.emiss"),
        (block("co2_eq_emissions: 1e99"), "too long in README.md:2 co2_eq_emissions.emissions (e"),
        (block(f"license: {'a' * 257}"), "too long in README.md:2 license (expected a line of at "),
        (block("tags: [" + ", ".join(map(str, range(65))) + "]"), "too many in README.md:2 tags ("),
    ],
)
def test_refuses_and_says_where(text: str | bytes, says: str) -> None:
    assert refusal(text)[: len(says)] == says


def test_a_block_that_is_too_long_is_refused_unread() -> None:
    bound = f"(expected at most {LIMITS.front_matter_bytes} bytes)"
    too_long = f"front matter is too long in README.md {bound}"
    assert refusal(block("#\n" * LIMITS.front_matter_bytes)) == too_long
    assert refusal(b"---\n" + b"#" * 100_000_000) == too_long
    assert refusal(block("a: " + "[" * LIMITS.front_matter_bytes)) == too_long


def test_markup_in_names_is_text() -> None:
    assert read(block("license: <b>mit</b>")).model_license == "<b>mit</b>"


def test_a_file_is_known_by_its_beginning() -> None:
    assert has_front_matter(CARD.encode())
    assert has_front_matter(b"\xef\xbb\xbf---\r\n")
    assert not has_front_matter(b"[model]\n---\n")
    assert not has_front_matter(b"")


def test_what_is_refused_gets_through_where_it_is_not_looked_for() -> None:
    """The control: this is what PyYAML's safe loader makes of the same texts."""
    assert len(yaml.safe_load(LAUGHS)["b8"]) == 9  # of 9 of 9 ..., and 9^9 when it is written out
    assert yaml.safe_load("a: 1\na: 2") == {"a": 2}
    assert yaml.safe_load("language: no\nversion: 1.10") == {"language": False, "version": 1.1}
    assert yaml.safe_load("a: {<<: {b: 1}}") == {"a": {"b": 1}}


PIECES = [*CARD.splitlines(), "- ", "? ", "a: &b", "*b", "!!int 1", "{", "]", '"\\', "|", ">-", "%"]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=12), max_size=12))
def test_no_text_raises_another_error(lines: list[str]) -> None:
    data = block("\n".join(lines)).encode("utf-8", "surrogatepass")
    try:
        found = read_front_matter(data, where="x")
    except UndecidedError:
        return
    assert read_declared(declared_tree(found.declared), "x") == found.declared


NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-.", min_size=1, max_size=20).map("x{}".format)


@given(st.lists(NAMES, min_size=1, max_size=5, unique=True), NAMES)
def test_lists_and_words_come_back(names: list[str], word: str) -> None:
    found = read(block("tags:\n" + "".join(f"- {name}\n" for name in names) + f"license: {word}"))
    assert found == Declared(model_tags=tuple(names), model_license=word)
