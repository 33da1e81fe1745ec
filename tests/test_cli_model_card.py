"""Transcripts: what a developer declares gets into the signed bill of materials, and no more."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from infwasi_sign.domain.declared_file import model_card_template
from infwasi_sign.domain.limits import LIMITS
from tests.command_line import infwasi
from tests.gguf_forge import tiny_gguf

PROJECT = '[package]\nname = "capital"\nversion = "1.0.0"\n[model]\npath = "tiny.gguf"\n'
PACK = ("pack", "--sign", "--key", "release.key")
DIST = "dist/capital-1.0.0"
CARD = """\
[bom]
author = "Acme AI Team"
[use]
users = ["Teachers"]
[[dataset]]
name = "acme/talk"
"""
README = "---\nlicense: mit\nthumbnail: x.png\ndatasets: [acme/talk]\n---\n# Tiny\n"
NOTE = "note: model-card.toml declares 3 facts (tagged user-declared)"


def left(count: int) -> str:
    return (
        f"note: the bill of materials does not know {count} of the G7's 50 elements:"
        f" infwasi bom check {DIST} says which"
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder to pack in."""
    (tmp_path / "infwasi.toml").write_text(PROJECT)
    (tmp_path / "tiny.gguf").write_bytes(tiny_gguf())
    assert infwasi("keygen", "release", "--no-passphrase", cwd=tmp_path).code == 0
    return tmp_path


def bom(project: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((project / DIST / "bom.cdx.json").read_bytes())
    return document


def declared_in(document: dict[str, Any]) -> Any:
    properties = {one["name"]: one["value"] for one in document["metadata"]["properties"]}
    return json.loads(properties["infwasi:declared"]) if "infwasi:declared" in properties else None


def test_a_model_card_beside_the_project_file_is_read(project: Path) -> None:
    (project / "model-card.toml").write_text(CARD)
    assert infwasi(*PACK, cwd=project).transcript == (0, f"{DIST}\n", [NOTE, left(25)])
    document = bom(project)
    assert declared_in(document) == {
        "bom": {"author": "Acme AI Team"},
        "use": {"users": ["Teachers"]},
        "dataset": [{"name": "acme/talk"}],
    }
    assert document["metadata"]["authors"] == [{"name": "Acme AI Team"}]
    assert infwasi("verify", DIST, "--key", "release.pub", cwd=project).code == 0


def test_what_is_left_is_what_the_checker_counts(project: Path) -> None:
    (project / "model-card.toml").write_text(CARD)
    assert infwasi(*PACK, cwd=project).said[-1] == left(25)
    done = infwasi("bom", "check", DIST, "--json", cwd=project)
    (lists,) = (one for one in done.documents[0]["lists"] if one["name"] == "G7")
    assert (lists["values"], lists["unknown"] + lists["missing"]) == (25, 25)


def test_without_one_nothing_is_declared(project: Path) -> None:
    assert infwasi(*PACK, cwd=project).transcript == (0, f"{DIST}\n", [])
    assert declared_in(bom(project)) is None


def test_the_flag_wins_over_the_file_and_the_file_over_what_lies_there(project: Path) -> None:
    (project / "model-card.toml").write_text("[bom]\nauthor = 'beside'")
    (project / "stated.toml").write_text("[bom]\nauthor = 'stated'")
    (project / "given.toml").write_text("[bom]\nauthor = 'given'")
    (project / "infwasi.toml").write_text(PROJECT + "[model-card]\npath = 'stated.toml'\n")
    for words, author in (([], "stated"), (["--model-card", "given.toml"], "given")):
        done = infwasi(*PACK, "--force", *words, cwd=project)
        assert done.said == [
            f"note: {author}.toml declares one fact (tagged user-declared)",
            left(27),
        ]
        assert declared_in(bom(project)) == {"bom": {"author": author}}


@pytest.mark.parametrize("name", ["README.md", "card"])
def test_front_matter_is_known_by_name_or_beginning(name: str, project: Path) -> None:
    (project / name).write_text(README)
    done = infwasi(*PACK, "--model-card", name, cwd=project)
    assert done.transcript == (
        0,
        f"{DIST}\n",
        [
            f"note: passed over in {name}: thumbnail",
            f"note: {name} declares 2 facts (tagged user-declared)",
            left(24),
        ],
    )
    assert declared_in(bom(project)) == {
        "model": {"license": "mit"},
        "dataset": [{"name": "acme/talk", "identifier": "acme/talk"}],
    }
    assert infwasi("verify", DIST, "--key", "release.pub", cwd=project).code == 0


def test_the_same_card_gives_the_same_bytes(project: Path) -> None:
    (project / "model-card.toml").write_text(CARD)
    env = {"SOURCE_DATE_EPOCH": "1790000000"}
    found = []
    for place in ("a", "b"):
        assert infwasi(*PACK, "--output", place, cwd=project, env=env).code == 0
        found.append((project / place / "capital-1.0.0" / "bom.cdx.json").read_bytes())
    assert found[0] == found[1]
    (project / "model-card.toml").write_text(CARD.replace("Acme", "Ajax"))
    assert infwasi(*PACK, "--output", "c", cwd=project, env=env).code == 0
    assert (project / "c" / "capital-1.0.0" / "bom.cdx.json").read_bytes() != found[0]


@pytest.mark.parametrize(
    ("card", "says"),
    [
        ("[model]\nlicence = 'MIT'", "unknown key in model-card.toml:2:11 model.licence (expecte"),
        ("[model]\nurl = 'javascript:alert(1)'", "not of its form in model-card.toml:2:7 model.u"),
        ('[model]\nversion = "\\u202e1"', "a character that hides or reorders text in model-car"),
        ("\ufeff[model]", "not TOML: Invalid statement (at line 1, column 1) in model-card.toml"),
        ("a = [" * 50_000, "not TOML: "),
        ("#" * 100_000_000, f"too long in model-card.toml (expected at most {LIMITS.toml_bytes} b"),
        ("---\na: &a b\n---\n", "anchors are refused in front matter in model-card.toml:2:4"),
        ("---\n" + "x" * 100_000_000, "front matter is too long in model-card.toml (expected at "),
    ],
)
def test_a_card_that_is_wrong_packs_nothing(card: str, says: str, project: Path) -> None:
    (project / "model-card.toml").write_text(card)
    done = infwasi(*PACK, cwd=project)
    assert (done.code, done.out) == (2, "")
    assert done.said[0][: len(says) + 7] == f"error: {says}"
    assert not list(project.glob("dist/*"))


def test_a_card_that_is_no_file_is_refused(project: Path) -> None:
    for name, says in (
        ("no.toml", "no such file in no.toml"),
        ("/dev/zero", "not a regular file in /dev/zero"),
        (".", "cannot read the file: is a directory in ."),
    ):
        done = infwasi(*PACK, "--model-card", name, cwd=project)
        assert done.transcript == (2, "", [f"error: {says}"])
    os.mkfifo(project / "model-card.toml")
    done = infwasi(*PACK, cwd=project)
    assert done.transcript == (2, "", ["error: not a regular file in model-card.toml"])


def test_a_link_that_leads_nowhere_is_not_passed_over(project: Path) -> None:
    (project / "model-card.toml").symlink_to("elsewhere.toml")
    done = infwasi(*PACK, cwd=project)
    assert done.transcript == (2, "", ["error: no such file in model-card.toml"])


def test_names_with_markup_and_controls_are_neutral_in_what_is_said(project: Path) -> None:
    (project / "README.md").write_text("---\n'<b>::error::x</b>': 1\n\"a\\e[31m\": 2\n---\n")
    done = infwasi(*PACK, "--model-card", "README.md", cwd=project)
    assert done.said == [
        "note: passed over in README.md: <b>::error::x</b>, a\\u{1b}[31m",
        "note: README.md declares nothing",
    ]


def test_init_writes_a_card_that_says_nothing_yet(project: Path) -> None:
    done = infwasi("init", "--model-card", cwd=project)
    wrote = "wrote model-card.toml; fill it in: infwasi pack reads it (docs/model-card.md)"
    assert done.transcript == (0, "", [wrote])
    assert (project / "model-card.toml").read_text() == model_card_template()
    done = infwasi("init", "--model-card", cwd=project)
    said = ["error: there is one already in model-card.toml", "hint: --force replaces it"]
    assert done.transcript == (2, "", said)
    assert infwasi(*PACK, cwd=project).said == ["note: model-card.toml declares nothing"]
