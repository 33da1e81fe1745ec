"""`verify --format --quiet --output`: what goes where, also where it cannot go there."""

import json
import os
import pty
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from infwasi_sign.cli.renderers import Format
from tests.command_line import Done, arguments, environment, infwasi, make_timeless
from tests.test_conditions import FULL, mounted, require_clear, under
from tests.test_result import require_fits

KEY = ("--key", "trusted.pub")
GOOD = ("verify", "capital-1.0.0", *KEY)
BAD = ("verify", "capital-1.0.0", "--key", "stranger.pub")
NOTHING = ("verify", "nothing", *KEY)
AT = ("--at", "2026-01-02T03:04:05Z")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("output")
    make_timeless(folder)
    return folder


@pytest.mark.parametrize(("words", "code"), [(GOOD, 0), (BAD, 1), (NOTHING, 2)])
def test_json_is_a_result_that_says_where_when_and_by_whose_rules(
    words: tuple[str, ...], code: int, place: Path
) -> None:
    done = infwasi(*words, *AT, "--json", cwd=place)
    (value,) = done.documents
    require_fits(value)
    assert done.code == code
    assert (value["location"], value["at"]) == (words[1], AT[1])
    assert (value["policy"]["source"], value["pinned"]) == ("--key", False)
    assert value["policy"]["digest"].startswith("sha256:")
    assert infwasi(*words, *AT, "--format", "json", cwd=place) == done


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize(("words", "code"), [(GOOD, 0), (BAD, 1), (NOTHING, 2)])
def test_a_file_gets_what_standard_output_would_get(
    words: tuple[str, ...], code: int, form: Format, place: Path, tmp_path: Path
) -> None:
    options = ("--format", form, *AT)
    printed = infwasi(*words, *options, cwd=place)
    file = tmp_path / "result"
    written = infwasi(*words, *options, "--output", file, cwd=place)
    assert (written.code, written.output, written.said) == (code, b"", printed.said)
    if form is Format.TEXT and code != 0:
        assert (printed.out, file.read_text()) == ("", printed.errors)
    else:
        assert printed.output == file.read_bytes()
    quiet = infwasi(*words, *options, "--quiet", cwd=place)
    assert quiet.transcript == (code, "", printed.said)


def test_quiet_leaves_the_refusal_on_standard_error(place: Path) -> None:
    assert infwasi(*GOOD, "-q", cwd=place).transcript == (0, "", [])
    done = infwasi(*BAD, "-q", cwd=place)
    assert (done.code, done.out) == (1, "")
    assert done.said[0].startswith("refused: signer: ")


def test_sarif_and_summary_name_the_package(place: Path) -> None:
    log = json.loads(infwasi(*BAD, "--format", "sarif", cwd=place).out)
    (result,) = log["runs"][0]["results"]
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert (result["ruleId"], uri) == ("signer", "capital-1.0.0")
    page = infwasi(*GOOD, "--format", "github", cwd=place).out
    assert page.startswith("### infwasi: verified\n")
    assert "<code>capital 1.0.0</code>" in page


def test_two_forms_at_once_are_a_mistake(place: Path) -> None:
    done = infwasi(*GOOD, "--json", "--format", "sarif", cwd=place)
    require_clear(done, 2, "error: --json and --format sarif cannot both be")


@pytest.mark.parametrize("words", [("verify",), ("verify", "--oms")])
@pytest.mark.parametrize("name", ["capital-1.0.0/result", "link/model.gguf"])
def test_no_result_becomes_a_file_of_the_package(
    words: tuple[str, ...], name: str, place: Path, tmp_path: Path
) -> None:
    shutil.copytree(place, tmp_path, dirs_exist_ok=True)
    (tmp_path / "link").symlink_to("capital-1.0.0")
    done = infwasi(*words, "capital-1.0.0", *KEY, "--output", name, cwd=tmp_path)
    what = "error: the result would be a file of the package that nobody signed"
    assert done.transcript == (
        2,
        "",
        [f"{what} in {name}", "hint: write it to another folder"],
    )
    assert infwasi(*GOOD, cwd=tmp_path).code == 0  # the control: it is still what was signed


def test_every_line_of_verify_and_run_fits(place: Path) -> None:
    words = ("verify-and-run", "capital-1.0.0", *KEY, "--json", "Hi?")
    for value in infwasi(*words, cwd=place).documents:
        require_fits(value)
        assert value["policy"]["source"] == "--key"


# --- where the result cannot go --------------------------------------------------------------


@pytest.mark.parametrize(
    ("shell", "says"),
    [
        (FULL, "cannot write the file: no space left on device"),
        ("mount -t tmpfs -o ro none full; exec ", "cannot write the file: read-only file system"),
    ],
    ids=["full", "read-only"],
)
def test_a_result_that_cannot_be_written_is_no_verdict_and_a_refusal_stays_one(
    shell: str, says: str, place: Path
) -> None:
    (place / "full").mkdir(exist_ok=True)
    done = mounted(shell + '"$@"', *GOOD, "--output", "full/result", cwd=place)
    require_clear(done, 2, f"error: {says} in full/result")
    done = mounted(shell + '"$@"', *BAD, "--output", "full/result", cwd=place)
    assert (done.code, done.output) == (1, b"")
    assert done.said[0].startswith(f"error: {says}")
    assert done.said[2].startswith("refused: signer: ")


@pytest.mark.parametrize("words", [GOOD, (*GOOD, "--json"), ("inspect", "capital-1.0.0")])
def test_a_closed_standard_output_is_said(words: tuple[str, ...], place: Path) -> None:
    done = under('exec "$@" >&-', *words, cwd=place)
    require_clear(done, 2, "error: standard output is closed")


def test_a_closed_standard_output_changes_no_refusal_and_no_silence(place: Path) -> None:
    assert under('exec "$@" >&-', *BAD, cwd=place).code == 1
    assert under('exec "$@" >&-', *BAD, "--json", cwd=place).code == 1
    assert under('exec "$@" >&-', *GOOD, "--quiet", cwd=place).code == 0
    assert under('exec "$@" >&- 2>&-', *BAD, cwd=place).code == 1
    assert under('exec "$@" <&- >&- 2>&-', *GOOD, cwd=place).code == 2


def test_a_closed_standard_input_is_no_prompt(place: Path) -> None:
    done = under('exec "$@" <&-', "verify-and-run", "capital-1.0.0", *KEY, "-", cwd=place)
    require_clear(done, 2, "error: standard input is closed")


# --- colours ---------------------------------------------------------------------------------


def on_a_terminal(*words: str, cwd: Path, **env: str) -> tuple[int, bytes]:
    """Both streams of a command on one terminal."""
    reader, writer = pty.openpty()
    done = subprocess.run(
        arguments(*words),
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=writer,
        cwd=cwd,
        env=environment({"TERM": "xterm", **env}),
        check=False,
    )
    os.close(writer)
    shown = os.read(reader, 1 << 16)
    os.close(reader)
    return done.returncode, shown


def test_a_verdict_has_its_colour_on_a_terminal(place: Path) -> None:
    code, shown = on_a_terminal(*GOOD, cwd=place)
    assert code == 0
    assert b"\x1b[32m\x1b[1mverified\x1b[0m: capital 1.0.0" in shown
    code, shown = on_a_terminal(*BAD, cwd=place)
    assert code == 1
    assert b"\x1b[31m\x1b[1mrefused\x1b[0m: signer: " in shown


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colours_for_whoever_wants_none(env: dict[str, str], place: Path) -> None:
    for words, headline in ((GOOD, b"verified: "), (BAD, b"refused: signer: ")):
        _, shown = on_a_terminal(*words, cwd=place, **env)
        assert headline in shown
        assert not re.search(rb"\x1b\[[0-9;]*m", shown)


def test_no_colours_in_pipes_and_files(place: Path, tmp_path: Path) -> None:
    done: Done = infwasi(*GOOD, cwd=place)
    assert b"\x1b" not in done.output
    on_a_terminal(*GOOD, "--output", str(tmp_path / "result"), cwd=place)
    assert b"\x1b" not in (tmp_path / "result").read_bytes()
