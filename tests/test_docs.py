"""What the documents say of the code is what the code says."""

import re
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest

from infwasi_sign.cli.group import cli
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.oms import PACKAGE_IGNORED
from infwasi_sign.errors import RefusalKind
from tests.conftest import ROOT
from tests.forge_cases import CASES

FORMAT = (ROOT / "docs" / "format.md").read_text()
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/README.md"))
    if path.is_file()
)
WORKFLOW = ROOT / "examples" / "github-actions" / "release.yml"


def test_the_format_lists_every_kind_of_refusal() -> None:
    section = FORMAT.split("## 9. Refusals")[1].split("\n## ")[0]
    cells = [row.split("|")[1] for row in section.splitlines() if row.startswith("| `")]
    named = [word for cell in cells for word in re.findall(r"`([a-z]+)`", cell)]
    assert sorted(named) == sorted(RefusalKind)


@pytest.mark.parametrize(
    ("sentence", "number"),
    [
        ("(the leaf), at most {} KiB", LIMITS.certificate_bytes // 1024),
        ("in DER, at most {} KiB", LIMITS.timestamp_bytes // 1024),
        ("with 1 to {} elements", LIMITS.timestamps),
        ("`version`: each at most {} bytes", LIMITS.log_words_bytes),
        ("`hashes` (at most {}, base64)", LIMITS.log_hashes),
        ("{} files in `signatures`", LIMITS.signatures - 1),
        ("in `signatures/`, at most {}, each", LIMITS.signatures - 1),
        ("bundle {} MiB, each counter-signature and the companion", LIMITS.bundle_bytes // 2**20),
    ],
)
def test_the_format_names_the_bounds_of_signatures(sentence: str, number: int) -> None:
    assert sentence.format(number) in FORMAT


def test_the_format_names_every_path_that_a_companion_ignores() -> None:
    (sentence,) = re.findall(r"`ignore_paths` are exactly ([^;]*);", FORMAT)
    assert tuple(re.findall(r"`([^`]+)`", sentence)) == PACKAGE_IGNORED


def test_there_are_vectors_of_every_refusal_of_counter_signatures_and_companions() -> None:
    """Section 3.8 and 3.9: kinds `digest` `malformed` `disagree`, and five of the companion."""

    def kinds(prefix: str) -> set[str]:
        return {case.expect for case in CASES if case.name.startswith(prefix)}

    assert kinds("counter-sign") >= {"verified", "digest", "malformed", "disagree", "signature"}
    assert kinds("oms-companion") >= {
        *("verified", "missing", "extra", "malformed", "signer", "signature"),
        *("digest", "disagree"),
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]*))?\)", text):
        found = page.parent / target if target else page
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found.read_text()), f"{target}#{anchor}"


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


# --- the workflow -----------------------------------------------------------------------------


def workflow() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="a tool for tests brings PyYAML")
    loaded: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text())
    return loaded


def steps() -> list[dict[str, Any]]:
    return [step for job in workflow()["jobs"].values() for step in job["steps"]]


def test_only_the_job_that_signs_has_an_identity() -> None:
    found = workflow()
    assert found["permissions"] == {}
    assert found["jobs"]["sign"]["permissions"] == {"contents": "read", "id-token": "write"}
    assert found["jobs"]["verify"]["permissions"] == {"contents": "read"}


def test_its_commands_are_commands_of_the_shell_without_words_of_others_in_them() -> None:
    scripts = [step["run"] for step in steps() if "run" in step]
    assert len(scripts) > 4
    for script in scripts:
        assert "${{" not in script, "a tag could bring a command: it comes by the environment"
        subprocess.run(["bash", "-n", "-c", script], check=True, timeout=10)


def test_its_options_are_those_of_the_commands() -> None:
    scripts = "\n".join(step.get("run", "") for step in steps()).replace("\\\n", " ")
    called = re.findall(r"^infwasi (pack|verify) (.*)$", scripts, re.MULTILINE)
    assert [name for name, _ in called] == ["pack", "verify"]
    for name, words in called:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        known = {text for one in command.params for text in one.opts}
        assert set(re.findall(r"(?<= )--[a-z-]+", f" {words}")) <= known
