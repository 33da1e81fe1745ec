"""docs/model-card.md says of each key what the code says, and what a BOM then shows."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final

import pytest

from infwasi_sign.adapters.front_matter import read_front_matter
from infwasi_sign.domain.declared import SECURITY_WORDS
from infwasi_sign.domain.declared_file import parse_model_card
from infwasi_sign.domain.declared_hub import hub_tree
from infwasi_sign.domain.declared_keys import ARRAYS, TABLES, Form, Key
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.minimum_elements import judge
from infwasi_sign.domain.minimum_elements_g7 import G7
from infwasi_sign.domain.minimum_elements_view import State
from tests.command_line import infwasi
from tests.conftest import ROOT
from tests.declared_doc import stated_value
from tests.declared_support import SAMPLES
from tests.gguf_forge import tiny_gguf

PAGE: Final = (ROOT / "docs" / "model-card.md").read_text()
EXAMPLE: Final = (ROOT / "examples" / "model-card.toml").read_text()
KEYS: Final[Mapping[str, Mapping[str, Key]]] = {
    **{f"[{name}]": keys for name, keys in TABLES.items()},
    **{f"[[{name}]]": array.keys for name, array in ARRAYS.items() if name != "vulnerability"},
}
ROWS: Final = [(table, name) for table, keys in KEYS.items() for name in keys]


def rows(table: str) -> Iterator[list[str]]:
    """The cells of each row below a heading."""
    section = PAGE.split(f"\n### {table}\n", 1)[1].split("\n#", 1)[0]
    for line in section.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def test_the_page_has_a_table_for_each_table_and_no_other() -> None:
    assert re.findall(r"(?m)^### (\[.*)$", PAGE) == list(KEYS)


@pytest.mark.parametrize("table", KEYS)
def test_the_page_says_of_each_key_what_it_must_be_and_what_it_fills(table: str) -> None:
    assert [(cells[0], cells[1], cells[3].split()) for cells in rows(table)] == [
        (f"`{name}`{' (needed)' if key.is_required else ''}", stated_value(key), list(key.fills))
        for name, key in KEYS[table].items()
    ]


# --- in a BOM --------------------------------------------------------------------------------


def sample(table: str, name: str, form: Form) -> str:
    """A value that no other key has, where its form permits one."""
    if form.words:
        return form.words[0]
    if form.is_number and not form.is_date:
        return "12.5"
    return SAMPLES[form][0] if form in SAMPLES else f"{table} {name}".replace("[", "<")


def everything() -> str:
    """A card with all keys."""
    lines = []
    for table, keys in KEYS.items():
        lines.append(table)
        for name, key in keys.items():
            value = json.dumps(sample(table, name, key.form))
            lines.append(f"{name} = {f'[{value}]' if key.is_list else value}")
    # G7 asks for both kinds of metrics.
    return "\n".join([*lines, "[[metric]]", 'type = "jailbreak-resistance"', "value = 1"])


def pack(folder: Path, card: str | None, model: Path | None = None) -> dict[str, Any]:
    folder.mkdir()
    (folder / "tiny.gguf").write_bytes(tiny_gguf())
    project = '[package]\nname = "capital"\nversion = "1.0.0"\n[model]\npath = "tiny.gguf"\n'
    (folder / "infwasi.toml").write_text(project)
    if card is not None:
        (folder / "model-card.toml").write_text(card)
    words = () if model is None else ("--model", str(model))
    assert infwasi("pack", *words, cwd=folder).code == 0
    document: dict[str, Any] = json.loads(
        (folder / "dist" / "capital-1.0.0" / "bom.cdx.json").read_bytes()
    )
    return document


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The BOM of everything."""
    return pack(tmp_path_factory.mktemp("card") / "all", everything())


def subject(document: dict[str, Any], name: str) -> dict[str, Any]:
    def component(kind: str) -> dict[str, Any]:
        (found,) = (one for one in document["components"] if one["type"] == kind)
        assert isinstance(found, dict)
        return found

    match name:
        case "metadata":
            found: dict[str, Any] = document["metadata"]
        case "app":
            found = document["metadata"]["component"]
        case "service":
            (found,) = document["services"]
        case "model":
            found = component("machine-learning-model")
        case _:
            found = component("data")
    return found


def values_at(tree: Any, path: list[str]) -> Iterator[str]:
    """Every value at or below a path; `[kind]` is the item of that type, `[]` any item."""
    match tree:
        case list():
            for item in tree:
                yield from values_at(item, path)
        case dict() if path:
            name, _, kind = path[0].rstrip("]").partition("[")
            inner = tree.get(name, {})
            if kind:
                inner = [item for item in inner if item["type"] == kind]
            yield from values_at(inner, path[1:])
        case dict():
            for inner in tree.values():
                yield from values_at(inner, [])
        case _:
            yield str(tree)


@pytest.mark.parametrize(("table", "name"), ROWS)
def test_a_value_stands_where_the_page_says(
    table: str, name: str, document: dict[str, Any]
) -> None:
    (cells,) = (cells for cells in rows(table) if cells[0].split("`")[1] == name)
    places = re.findall(r"([a-z]+) `([^`]+)`", cells[2])
    assert places
    assert "; ".join(f"{who} `{place}`" for who, place in places).replace(";", ",") == cells[2]
    for who, place in places:
        tree = subject(document, who)
        if place.startswith("infwasi:"):
            found = [one["value"] for one in tree["properties"] if one["name"] == place]
        else:
            found = list(values_at(tree, place.split(".")))
        assert sample(table, name, KEYS[table][name].form) in found


# --- G7 --------------------------------------------------------------------------------------


def states(document: dict[str, Any]) -> dict[str, State]:
    (judgement,) = judge(document, [G7])
    return {finding.element.id: finding.state for finding in judgement.findings}


def test_all_keys_together_leave_nothing_unknown_that_they_can_say(
    document: dict[str, Any],
) -> None:
    found = states(document)
    filled = {element for keys in KEYS.values() for key in keys.values() for element in key.fills}
    assert {element: found[element] for element in filled} == dict.fromkeys(filled, State.VALUE)


def test_the_key_that_the_checker_names_is_one_that_fills_the_element() -> None:
    named = 0
    for element in G7.elements:
        if found := re.match(r"model-card\.toml: (\[+[a-z.]+\]+) ([a-z0-9-]+) =", element.key):
            named += 1
            assert element.id in KEYS[found[1]][found[2]].fills, element.id
    assert named >= 20


@pytest.mark.model
def test_fifteen_lines_are_enough(tmp_path: Path, model_path: Path) -> None:
    assert len(EXAMPLE.splitlines()) == 15
    without = states(pack(tmp_path / "without", None, model_path))
    having = states(pack(tmp_path / "with", EXAMPLE, model_path))
    assert State.MISSING not in {*without.values(), *having.values()}
    counts = [list(found.values()).count(State.VALUE) for found in (having, without)]
    sentence = "With SmolLM2 this gives {} of the 50 a value; without any card it is {}."
    assert sentence.format(*counts) in PAGE
    assert counts[0] >= 35


# --- the rest of the page --------------------------------------------------------------------


def test_the_example_on_the_page_is_the_file() -> None:
    (shown,) = re.findall(r"(?s)```toml\n(.*?)```", PAGE)
    assert shown == EXAMPLE
    assert parse_model_card(EXAMPLE.encode(), where="x").model_released == str(date(2024, 11, 2))
    assert tomllib.loads(EXAMPLE)


def test_the_page_names_the_bounds() -> None:
    assert LIMITS.declared_rows == 64
    assert "at most 64 tables (`[[metric]]`: 1,024)" in PAGE
    assert LIMITS.declared_metrics == 1024
    assert LIMITS.toml_bytes == LIMITS.declared_bytes == 2**20
    assert f"at most {LIMITS.front_matter_bytes // 1024} KiB of UTF-8" in PAGE
    assert f"at most {LIMITS.front_matter_depth} deep" in PAGE


def test_the_page_names_the_words_of_security() -> None:
    assert f"in it: {', '.join(SECURITY_WORDS.split('|'))}." in PAGE


def test_the_page_names_every_key_of_front_matter_that_is_read() -> None:
    section = PAGE.split("## Front matter")[1]
    named = re.findall(r"(?m)^\| `([^`]+)` \|", section)
    assert set(hub_tree(dict.fromkeys(named)).passed_over) == set()
    assert len(named) == 11
    for name in named:
        assert read_front_matter(f"---\n{name}:\n---\n".encode(), where="x").passed_over == ()
