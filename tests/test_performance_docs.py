"""docs/performance.md shows the figures that a program measured, and no others."""

import importlib
import json
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

import pytest

from benchmarks.report import DATA, PAGE, SHOWN, filled, tables
from benchmarks.span_names import WATCHED

FOUND: Mapping[str, Any] = json.loads(DATA.read_bytes())


def test_the_page_is_what_its_data_say() -> None:
    assert filled(PAGE.read_text(), tables(FOUND)) == PAGE.read_text()


def test_a_figure_that_somebody_changed_by_hand_is_noticed() -> None:
    page = PAGE.read_text()
    (line, *_) = [row for row in page.splitlines() if row.startswith("| verify, model of 2 GiB")]
    changed = page.replace(line, line.replace(" s |", "0 s |"))
    assert changed != page
    assert filled(changed, tables(FOUND)) == page


def test_a_page_without_a_place_for_a_table_is_an_error() -> None:
    with pytest.raises(ValueError, match="no place for the table 'start'"):
        filled("<!-- sizes -->\n<!-- /sizes -->\n", {"sizes": "", "start": ""})


def test_every_promised_figure_is_there_with_its_goal() -> None:
    goals = {
        (one["what"], one["peer_name"]): one["goal"]
        for name in SHOWN
        for one in FOUND[name]["figures"]
    }
    large = "verify, model of 2 GiB"
    assert goals[large, "model_signing verify key"] == 1 / 4
    assert goals[large, "model_signing, BLAKE3 by API"] == 1 / 1.5
    assert goals[large, "openssl dgst -sha256"] == 1 / 3.5
    assert goals[large, "sha256sum"] == 1 / 10
    assert goals["hashing alone, 2 GiB", "blake3.update_mmap"] == 1 / 0.85
    assert goals["first token", "bare, high-level API"] == 1
    assert goals["first token", "bare, the same calls"] == 1.2
    assert goals["first token, 2 GiB", "bare, high-level API"] == 1.3
    assert goals["first token, 2 GiB, remembered", "bare, high-level API"] == 1.05
    assert goals["tokens per second, 128 tokens", "bare llama-cpp-python"] == 0.97
    for size in ("100 MB", "4 GiB"):
        assert goals[f"memory, {size}, mapped", "above python -c pass"] == 64


@pytest.mark.parametrize(("module", "path", "span"), WATCHED)
def test_a_span_of_a_start_begins_with_a_function_that_exists(
    module: str, path: str, span: str
) -> None:
    """One that is renamed would lose its span, and its time go to another."""
    assert span
    assert callable(attrgetter(path)(importlib.import_module(module)))


def test_every_span_of_a_start_was_found() -> None:
    figures = [*FOUND["cost"]["figures"], *FOUND["first_token"]["figures"]]
    assert {span for *_, span in WATCHED} <= {one["what"].partition(": ")[2] for one in figures}
