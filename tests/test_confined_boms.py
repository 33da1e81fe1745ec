"""Each command that reads BOMs or models of strangers is confined before it parses a byte."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from infwasi_sign import targets
from infwasi_sign.adapters.confinement import Confinement
from infwasi_sign.cli import bom_command, diff_command
from infwasi_sign.domain import gguf, strict_json
from tests.gguf_forge import tiny_gguf


def noting(order: list[str], parse: Callable[..., Any]) -> Callable[..., Any]:
    def noted(*values: Any, **named: Any) -> Any:
        order.append("parsed")
        return parse(*values, **named)

    return noted


@pytest.fixture
def order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens, in its order; nothing is confined in the process of the tests."""
    found: list[str] = []
    monkeypatch.setattr(Confinement, "before_measuring", lambda _: found.append("confined"))
    monkeypatch.setattr(strict_json, "parse", noting(found, strict_json.parse))
    monkeypatch.setattr(targets, "parse", noting(found, gguf.parse))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.json").write_text('{"bomFormat": "CycloneDX", "specVersion": "1.7"}')
    (tmp_path / "a.gguf").write_bytes(tiny_gguf())
    return found


@pytest.mark.parametrize(
    "words",
    [
        ("check", "a.json"),
        ("convert", "a.json", "-o", "b.json"),
        ("view", "a.json", "-o", "b.html"),
        ("make", "a.gguf", "-o", "b.json"),
    ],
    ids=lambda words: str(words[0]),
)
def test_bom_is_confined_before_it_parses(words: tuple[str, ...], order: list[str]) -> None:
    done = CliRunner().invoke(bom_command.command, words)
    assert done.exit_code == 0, done.output
    assert order[:2] == ["confined", "parsed"]
    assert order.count("confined") == 1


def test_diff_is_confined_before_it_parses(order: list[str]) -> None:
    done = CliRunner().invoke(diff_command.command, ["a.gguf", "a.gguf"])
    assert done.exit_code == 0, done.output
    assert order == ["confined", "parsed", "parsed"]
