"""Transcripts of usage, init, keygen and pack: what is typed, the exit code, both streams."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infwasi_sign import __version__
from tests.command_line import environment, infwasi
from tests.gguf_forge import tiny_gguf

COMMANDS = (
    *(
        "init",
        "keygen",
        "pack",
        "sign",
        "renew",
        "verify",
        "install",
        "verify-and-run",
        "policy",
        "trust",
    ),
    "inspect",
    "bom",
    "diff",
    "state",
)
SIGN = ("pack", "--sign", "--key", "release.key")
PROJECT = '[package]\nname = "capital"\nversion = "1.0.0"\n[model]\npath = "tiny.gguf"\n'
UNSIGNED = "warning: not signed: every verifier refuses this package; sign it with --sign --key"
EXISTS = [
    "error: package exists already in dist/capital-1.0.0",
    "hint: --force replaces it; or choose another version or place",
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder to pack in."""
    (tmp_path / "infwasi.toml").write_text(PROJECT)
    (tmp_path / "tiny.gguf").write_bytes(tiny_gguf())
    done = infwasi("keygen", "release", "--no-passphrase", cwd=tmp_path)
    assert done.code == 0
    return tmp_path


# --- usage -----------------------------------------------------------------------------------


def test_version() -> None:
    assert infwasi("--version").transcript == (0, f"infwasi {__version__}\n", [])
    assert infwasi("-V").out == f"infwasi {__version__}\n"


def test_help_lists_every_command() -> None:
    done = infwasi("--help")
    assert (done.code, done.said) == (0, [])
    commands = done.out.split("Commands:\n")[1].split("\n\n")[0]
    assert [line.split()[0] for line in commands.splitlines()] == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_teaches_by_example(name: str) -> None:
    done = infwasi(name, "--help")
    assert (done.code, done.said) == (0, [])
    assert f"Usage: infwasi {name}" in done.out
    assert "Example" in done.out
    assert f"  infwasi {name}" in done.out.split("Example")[1]


def test_nothing_typed_shows_the_help() -> None:
    done = infwasi()
    assert (done.code, done.out) == (2, "")
    assert done.errors == infwasi("--help").out


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_unknown_option_is_a_usage_error(name: str) -> None:
    words = [name] if name else []
    done = infwasi(*words, "--frobnicate")
    path = " ".join(["infwasi", *words, *(["make"] if name == "bom" else [])])
    assert (done.code, done.out) == (2, "")
    assert done.said[0].startswith("error: No such option '--frobnicate'.")
    assert done.said[1:] == [f"hint: {path} --help shows examples"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("frobnicate", "No such command 'frobnicate'."),
        ("verify", "Missing argument 'PACKAGE'."),
        ("verify x y --key k", "Got unexpected extra argument (y)"),
        ("verify x --key k --digests md5", "Invalid value for '--digests': 'md5' is not one of "),
        ("verify x --key k --at now", "Invalid value for '--at': 'now' does not match the format "),
        ("verify-and-run x --key k --max-tokens 0", "Invalid value for '--max-tokens': 0 is not "),
        ("verify-and-run x --key k --seed 4294967295", "Invalid value for '--seed': 4294967295"),
        ("verify-and-run x --key k --timeout soon", "Invalid value for '--timeout': 'soon' is n"),
        ("verify-and-run x --key k --threads 0", "Invalid value for '--threads': 0 is not in"),
        ("keygen k --type rsa", "Invalid value for '--type': 'rsa' is not one of"),
        ("pack --model-mode link", "Invalid value for '--model-mode': 'link' is not one of"),
    ],
)
def test_usage_errors_are_one_line_and_a_hint(words: str, says: str) -> None:
    done = infwasi(*words.split())
    assert (done.code, done.out) == (2, "")
    error, hint = done.said
    assert error.startswith(f"error: {says}")
    assert hint.endswith(" --help shows examples")


# --- init, keygen, pack ----------------------------------------------------------------------


def test_init_writes_a_file_that_pack_reads(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "tiny.gguf").write_bytes(tiny_gguf())
    done = infwasi("init", "--name", "Städer 2", cwd=tmp_path)
    wrote = (
        "wrote infwasi.toml; next: infwasi keygen release, "
        "then infwasi pack --sign --key release.key"
    )
    assert done.transcript == (0, "", [wrote])
    assert infwasi("pack", cwd=tmp_path).transcript == (0, "dist/st-der_2-1.0.0\n", [UNSIGNED])


def test_init_keeps_what_is_there(project: Path) -> None:
    said = ["error: there is one already in infwasi.toml", "hint: --force replaces it"]
    assert infwasi("init", cwd=project).transcript == (2, "", said)
    assert (project / "infwasi.toml").read_text() == PROJECT
    assert infwasi("init", "--force", cwd=project).code == 0
    assert (project / "infwasi.toml").read_text() != PROJECT


def test_keygen_never_writes_over_a_key(project: Path) -> None:
    before = (project / "release.key").read_bytes()
    done = infwasi("keygen", "release", "--no-passphrase", cwd=project)
    assert (done.code, done.out) == (2, "")
    assert done.said == [
        "error: file is there already in release.key",
        "hint: key files are never written over",
    ]
    assert (project / "release.key").read_bytes() == before


def test_keygen_asks_for_no_passphrase_where_a_file_is_in_the_way(project: Path) -> None:
    done = infwasi("keygen", "release", cwd=project, env={"INFWASI_PASSPHRASE": ""})
    assert done.said[0] == "error: file is there already in release.key"
    # the control: elsewhere the passphrase is looked at
    done = infwasi("keygen", "other", cwd=project, env={"INFWASI_PASSPHRASE": ""})
    assert done.said[0] == "error: passphrase is empty in INFWASI_PASSPHRASE"


def test_keygen_says_in_json_why_there_is_no_key(project: Path) -> None:
    done = infwasi("keygen", "release", "--no-passphrase", "--json", cwd=project)
    (document,) = done.documents
    assert (done.code, document["verdict"]) == (2, "undecided")
    assert document["what"] == "file is there already"


def test_keygen_json_and_passphrase_from_the_environment(tmp_path: Path) -> None:
    env = {"INFWASI_PASSPHRASE": "correct horse"}
    done = infwasi("keygen", "ci", "--json", cwd=tmp_path, env=env)
    assert (done.code, done.said) == (0, [])
    assert done.documents[0]["algorithm"] == "ecdsa-p256-sha256"
    assert b"ENCRYPTED" in (tmp_path / "ci.key").read_bytes()
    assert (tmp_path / "ci.key").stat().st_mode & 0o777 == 0o600


def test_unsigned_package_is_packed_with_a_warning_and_refused(project: Path) -> None:
    done = infwasi("pack", cwd=project)
    assert done.transcript == (0, "dist/capital-1.0.0\n", [UNSIGNED])
    done = infwasi("verify", "dist/capital-1.0.0", "--key", "release.pub", cwd=project)
    assert done.transcript == (
        1,
        "",
        [
            "refused: unsigned: package is not signed in dist/capital-1.0.0 "
            "(expected manifest.sigstore.json, got no such file)",
            "hint: get the signed package; who publishes it signs it with `infwasi pack --sign`",
        ],
    )


def test_packed_and_signed_verifies(project: Path) -> None:
    assert infwasi(*SIGN, cwd=project).transcript == (0, "dist/capital-1.0.0\n", [])
    done = infwasi("verify", "dist/capital-1.0.0", "--key", "release.pub", cwd=project)
    assert (done.code, done.said) == (0, [])
    assert done.out.startswith("verified: capital 1.0.0, signed by release (ecdsa-p256-sha256 ")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["pack", "--sign"], "nothing to sign with"),
        (["pack", "--key", "release.key"], "who signs was said without --sign"),
        (["pack", "--sign", "--key", "no.key"], "cannot read no.key (got no such file or dir"),
        ([*SIGN, "--model", "no.gguf"], "cannot open the file: no such file or directory"),
        ([*SIGN, "--config", "no.toml"], "no such file in no.toml"),
        ([*SIGN, "--config", "/dev/zero"], "not a regular file in /dev/zero"),
        (
            ["pack", "--sign", "--identity-token", ""],
            "the identity token is empty in --identity-to",
        ),
        ([*SIGN, "--name", "a/b"], "not a package name (expected 1 to 64 of a-z 0-9 . _ - beg"),
        ([*SIGN, "--version", "../1"], "not a version (expected 1 to 64 of A-Z a-z 0-9 . + -"),
    ],
)
def test_pack_says_what_it_lacks(words: list[str], says: str, project: Path) -> None:
    done = infwasi(*words, cwd=project)
    assert (done.code, done.out) == (2, "")
    assert done.said[0].startswith(f"error: {says}")
    assert not list(project.glob("dist/*"))


def test_a_pipe_is_no_project_and_holds_nothing_up(project: Path) -> None:
    os.mkfifo(project / "pipe")
    done = infwasi(*SIGN, "--config", "pipe", cwd=project)
    assert done.transcript == (2, "", ["error: not a regular file in pipe"])


def test_key_file_readable_by_others_is_not_used(project: Path) -> None:
    (project / "release.key").chmod(0o644)
    done = infwasi(*SIGN, cwd=project)
    assert done.transcript == (
        2,
        "",
        [
            "error: file can be accessed by others than its owner in release.key (got mode 0644)",
            "hint: chmod 600 release.key",
        ],
    )


def test_existing_package_is_replaced_only_with_force(project: Path) -> None:
    assert infwasi(*SIGN, cwd=project).code == 0
    before = (project / "dist/capital-1.0.0/app.wasm").read_bytes()
    other = (*SIGN, "--system", "Be another.")
    assert infwasi(*other, cwd=project).transcript == (2, "", EXISTS)
    assert (project / "dist/capital-1.0.0/app.wasm").read_bytes() == before
    assert infwasi(*other, "--force", cwd=project).transcript == (0, "dist/capital-1.0.0\n", [])
    assert (project / "dist/capital-1.0.0/app.wasm").read_bytes() != before


def test_force_does_not_remove_what_is_no_package(project: Path) -> None:
    precious = project / "dist/capital-1.0.0/precious"
    precious.parent.mkdir(parents=True)
    precious.write_text("mine")
    done = infwasi(*SIGN, "--force", cwd=project)
    assert (done.code, done.out) == (2, "")
    assert done.said[0].startswith("error: what is there is not ")
    assert precious.read_text() == "mine"


@pytest.mark.parametrize(
    ("epoch", "says"),
    [
        ("yesterday", "not a time in SOURCE_DATE_EPOCH (expected seconds since 1970, got yest"),
        ("-1", "not a time in SOURCE_DATE_EPOCH (expected seconds since 1970, got -1)"),
        ("", "not a time in SOURCE_DATE_EPOCH (expected seconds since 1970, got )"),
        ("9" * 30, "not a time in SOURCE_DATE_EPOCH (expected seconds since 1970, got 99999"),
        ("0" * 20 + "9" * 20, "not a time in SOURCE_DATE_EPOCH (expected seconds since 1970, got "),
        ("0", "the package would be expired already in package.valid-days (got issued 1970-01-01"),
        ("253402300799", "the package would expire after the year 9999 in package.valid-days (g"),
    ],
)
def test_refuses_a_bad_source_date_epoch(epoch: str, says: str, project: Path) -> None:
    done = infwasi(*SIGN, cwd=project, env={"SOURCE_DATE_EPOCH": epoch})
    assert (done.code, done.out) == (2, "")
    assert done.said[0].startswith(f"error: {says}")
    assert not list(project.glob("dist/*"))


@pytest.mark.parametrize(("sequence", "notes"), [(1, 0), (2**53 - 1, 1)])
def test_a_sequence_far_ahead_is_said(sequence: int, notes: int, project: Path) -> None:
    stated = f'version = "1.0.0"\nsequence = {sequence}'
    (project / "infwasi.toml").write_text(PROJECT.replace('version = "1.0.0"', stated))
    done = infwasi(*SIGN, cwd=project)
    assert done.code == 0
    assert sum("the sequence is more than a year ahead" in line for line in done.said) == notes


def test_pack_answers_in_json_where_it_is_asked_to(project: Path) -> None:
    package = {"package": "dist/capital-1.0.0", "signed": True}
    assert infwasi(*SIGN, "--json", cwd=project).documents == [package]
    (failure,) = infwasi(*SIGN, "--json", cwd=project).documents
    assert (failure["verdict"], failure["what"]) == ("undecided", "package exists already")


def test_pack_detaches_the_model(project: Path) -> None:
    assert infwasi(*SIGN, "--model-mode", "detach", cwd=project).code == 0
    package = project / "dist/capital-1.0.0"
    assert not (package / "model.gguf").exists()
    words = ("verify", package, "--key", "release.pub", "--model", "tiny.gguf")
    assert infwasi(*words, cwd=project).code == 0


def test_nothing_is_imported_from_where_the_caller_stands(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise SystemExit('a stranger ran')")
    done = subprocess.run(
        [sys.executable, "-m", "infwasi_sign", "--version"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("infwasi ")
