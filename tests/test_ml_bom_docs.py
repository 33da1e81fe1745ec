"""docs/ml-bom.md shows what the checker said of each generator, and those had no network."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infwasi_sign.domain.minimum_elements_software import BASELINES
from tests.generators.__main__ import GENERATORS, NO_SOCKETS
from tests.generators.page import DATA, PAGE, filled, tables

FOUND: Mapping[str, Any] = json.loads(DATA.read_bytes())


def test_the_page_is_what_its_data_say() -> None:
    assert filled(PAGE.read_text(), tables(FOUND)) == PAGE.read_text()


def test_a_figure_that_somebody_changed_by_hand_is_noticed() -> None:
    page = PAGE.read_text()
    changed = page.replace(
        "| MD-05 SBOM author signature | value ", "| MD-05 SBOM author signature | - "
    )
    assert changed != page
    assert filled(changed, tables(FOUND)) == page


def test_the_data_are_of_the_generators_and_elements_that_there_are() -> None:
    assert list(FOUND["generators"]) == list(GENERATORS)
    for found in FOUND["generators"].values():
        assert {name: list(states) for name, states in found["lists"].items()} == {
            one.name: [element.id for element in one.elements] for one in BASELINES
        }
    assert FOUND["titles"] == {
        element.id: element.title for one in BASELINES for element in one.elements
    }


def test_every_bom_that_is_compared_is_valid() -> None:
    assert [found["isValid"] for found in FOUND["generators"].values()] == [True] * len(GENERATORS)


@pytest.mark.parametrize(
    "attempt",
    [
        "import socket; socket.socket()",
        "import socket; socket.getaddrinfo('localhost', 80)",
        "import urllib.request as r; r.urlopen('http://127.0.0.1:9')",
    ],
)
def test_a_generator_that_asks_for_the_network_is_refused(attempt: str, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    environment = {"PYTHONPATH": str(NO_SOCKETS), "INFWASI_SOCKETS_SEEN": str(seen)}
    done = subprocess.run(
        [sys.executable, "-c", attempt],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no network here: socket." in done.stderr
    assert seen.read_text().startswith("socket.")


def test_without_that_refusal_a_socket_is_made() -> None:
    attempt = "import socket; socket.socket()"
    assert subprocess.run([sys.executable, "-c", attempt], env={}, check=False).returncode == 0
