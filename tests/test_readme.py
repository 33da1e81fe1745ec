"""What the README shows is what happens: its commands are run and their output is compared."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infwasi_sign.domain.project import Project, parse_project, template
from tests.conftest import ROOT
from tests.forge_cases import CASES

README = (ROOT / "README.md").read_text()
TIMEOUT_SECONDS = 120  # only a command that hangs waits this long
SHIM = """\
#!{python}
import sys
sys.path.insert(0, {root!r})
from infwasi_sign.__main__ import main
main()
"""


@dataclass(frozen=True)
class Step:
    """A command and what the page prints under it."""

    command: str
    printed: str


def steps(page: str) -> Iterator[Step]:
    """Lines of the console blocks that begin with `$ `, each with the lines after it."""
    for block in re.findall(r"^```console\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        commands = re.split(r"^\$ ", block, flags=re.MULTILINE)
        assert commands[0] == "", "a console block begins with a command"
        for command in commands[1:]:
            line, _, printed = command.partition("\n")
            yield Step(command=line, printed=printed)


def is_shown_by(output: str, printed: str) -> bool:
    """Whether the output is what was printed; an ellipsis stands for anything, lines too."""
    first, *rest = printed.split("…")
    if not rest:
        return output == printed
    *middle, last = rest
    if not output.startswith(first):
        return False
    at = len(first)
    # Each piece as early as it can be: if any way fits, this one does.
    for piece in middle:
        found = output.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return len(output) - len(last) >= at and output.endswith(last)


def shell_environment(tmp_path: Path) -> dict[str, str]:
    """A search path on which `infwasi` is the installed one, or else this working copy."""
    folder = tmp_path / "bin"
    folder.mkdir()
    shim = folder / "infwasi"
    shim.write_text(SHIM.format(python=sys.executable, root=str(ROOT)))
    shim.chmod(0o755)
    ours = ("INFWASI_", "_INFWASI", "SOURCE_DATE_EPOCH", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    path = os.pathsep.join((str(Path(sys.executable).parent), str(folder), os.environ["PATH"]))
    return kept | {"PATH": path, "INFWASI_PASSPHRASE": "correct horse", "LC_ALL": "C.UTF-8"}


def run_page(page: str, folder: Path, environment: dict[str, str]) -> None:
    """Run the page's commands in ``folder``, one after the other."""
    bash = shutil.which("bash")
    assert bash is not None, "the page is written for bash"
    for step in steps(page):
        done = subprocess.run(
            [bash, "-c", step.command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        output = done.stdout.decode()
        assert is_shown_by(output, step.printed), f"$ {step.command}\n{output}"
        assert done.returncode == 0, f"$ {step.command}\n{output}"


@pytest.mark.model
def test_every_command_prints_what_the_page_shows(model_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf").symlink_to(model_path)
    run_page(README, folder, shell_environment(tmp_path))


def test_page_shows_every_command() -> None:
    shown = {
        step.command.split()[1] for step in steps(README) if step.command.startswith("infwasi")
    }
    assert shown == {
        *("init", "keygen", "pack", "verify", "verify-and-run", "inspect", "policy"),
        *("bom", "diff"),
    }


def test_an_ellipsis_stands_for_anything_and_nothing_else_does() -> None:
    assert is_shown_by("a 12 b\nc\n", "a … b\nc\n")
    assert is_shown_by("a\nx\ny\nb\n", "a\n…\nb\n")
    assert not is_shown_by("a 12 b\n", "a 13 b\n")
    assert not is_shown_by("a\nmore\n", "a\n")


def toml_block() -> str:
    (block,) = re.findall(r"^```toml\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return str(block)


def uncommented(text: str) -> str:
    return re.sub(r"^# (?=[\[a-z][a-z-]*[\]a-z-]*( = |\]))", "", text, flags=re.MULTILINE)


def test_commented_lines_of_the_toml_are_the_defaults() -> None:
    shown = parse_project(toml_block().encode(), {}, where="README.md")
    spelled_out = uncommented(toml_block())
    # these have no default: the page shows what one could write
    spelled_out = re.sub(
        r'^((seed|inference|sequence) = |mode = "key"|path = "model-card).*\n',
        "",
        spelled_out,
        flags=re.MULTILINE,
    )
    assert parse_project(spelled_out.encode(), {}, where="README.md") == shown
    assert shown == Project(
        name="capital",
        version="1.0.0",
        model_path=shown.model_path,
        system_prompt="Answer in one short sentence.",
        default_prompt="What is the capital of Sweden?",
    )


def test_the_toml_shows_the_keys_that_init_shows() -> None:
    def keys(text: str) -> dict[str, set[str]]:
        return {name: set(items) for name, items in tomllib.loads(uncommented(text)).items()}

    assert keys(toml_block()) == keys(template("capital", Path("models/model.gguf")))


def test_every_link_of_the_page_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)[^):]*\)", README)
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_threat_model_names_vectors_and_tests_that_exist() -> None:
    page = (ROOT / "docs" / "threat-model.md").read_text()
    sources = "".join(path.read_text() for path in sorted((ROOT / "tests").glob("test_*.py")))
    table = page.split("## Attacks and what stops them")[1].split("\n## ")[0]
    evidence = [row.rsplit("|", 2)[1] for row in table.splitlines() if row.startswith("| ")][1:]
    named = [word for cell in evidence for word in re.findall(r"`([a-z0-9_-]+)`", cell)]
    vectors = {one.name for one in CASES} | {"sequence"}
    assert len(named) > 60
    assert [
        word
        for word in named
        if (f"def {word}(" not in sources if word.startswith("test_") else word not in vectors)
    ] == []
