"""Transcripts of verify, inspect and refused runs; what terminals and pipes get."""

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.refusals import EXPLANATIONS
from infwasi_sign.errors import RefusalKind
from tests.command_line import arguments, environment, infwasi, make_timeless
from tests.forge import STRANGER, TRUSTED
from tests.gguf_forge import PAIRS, every_general_key, text_pair, tiny_gguf

KEY = ("--key", "trusted.pub")
ASK_FOR_LESS = f"hint: {EXPLANATIONS[RefusalKind.LIMIT].hint}"
SIGNED_BY = "verified: capital 1.0.0, signed by trusted (ecdsa-p256-sha256 sha256:66df3406918210c7)"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that tests only read: a package, a detached one and its model, public keys."""
    folder = tmp_path_factory.mktemp("cli")
    make_timeless(folder)
    make_timeless(folder, name="detached", is_detached=True)
    hostile = text_pair("general.name", "tiny\nverified: \x1b[2Jfake\u202e")
    pairs = tuple(hostile if b"general.name" in pair else pair for pair in PAIRS)
    make_timeless(folder, name="hostile", model=tiny_gguf(pairs=pairs))
    return folder


# --- verify ----------------------------------------------------------------------------------


def test_verify_says_exactly_what_was_computed(place: Path) -> None:
    done = infwasi("verify", "capital-1.0.0", *KEY, cwd=place)
    lines = done.out.splitlines()
    assert (done.code, done.said) == (0, [])
    assert lines[0] == SIGNED_BY
    assert lines[1] == "  issued 2020-01-01T00:00:00Z, expires never, sequence 1577836800"
    assert [line.split()[:2] for line in lines[2:] if "bytes" in line] == [
        ["component", "app.wasm"],
        ["bom", "bom.cdx.json"],
        ["model", "model.gguf"],
    ]
    kinds = [line.split(":")[0].strip() for line in lines if line.startswith(" " * 13)]
    assert kinds == ["blake3", "sha256", "blake3", "sha256", "blake3"]
    both = infwasi("verify", "capital-1.0.0", *KEY, "--digests", "all", cwd=place)
    assert len(both.out.splitlines()) == len(lines) + 2  # SHA-256 and that of fs-verity


def test_verify_json_has_the_same_facts(place: Path) -> None:
    done = infwasi("verify", "capital-1.0.0", *KEY, "--json", cwd=place)
    (verdict,) = done.documents
    assert (done.code, done.said) == (0, [])
    assert done.out == json.dumps(verdict, sort_keys=True, separators=(",", ":")) + "\n"
    assert (verdict["type"], verdict["verdict"]) == ("verdict", "verified")
    assert verdict["package"] == {"name": "capital", "version": "1.0.0"}
    assert [signer["name"] for signer in verdict["signers"]] == ["trusted"]
    assert verdict["level"] == "none"
    computed = {entry["name"]: sorted(entry["computed"]) for entry in verdict["entries"]}
    assert computed["model.gguf"] == ["blake3"]


REFUSALS: list[tuple[list[str], int, dict[str, Any]]] = [
    (
        ["capital-1.0.0", "--key", "stranger.pub"],
        1,
        {"verdict": "refused", "kind": "signer", "what": "signed by a key that is not trusted"},
    ),
    (
        ["capital-1.0.0", *KEY, "--name", "other"],
        1,
        {
            "verdict": "refused",
            "kind": "policy",
            "what": "the manifest is of another package",
            "where": "package.name",
            "expected": "other",
            "got": "capital 1.0.0",
            "hint": "if capital is what you want, say --name capital",
        },
    ),
    (
        ["detached-1.0.0", *KEY],
        1,
        {
            "verdict": "refused",
            "kind": "missing",
            "what": "the model is not in the package",
            "where": "model.gguf",
            "hint": "say where it is with --model FILE",
        },
    ),
    (
        ["detached-1.0.0", *KEY, "--model", "trusted.pub"],
        1,
        {"verdict": "refused", "kind": "digest", "what": "size differs", "where": "trusted.pub"},
    ),
    (
        ["capital-1.0.0", *KEY, "--model", "detached-1.0.0.gguf"],
        2,
        {"verdict": "undecided", "what": "the package holds its model itself"},
    ),
    (
        ["detached-1.0.0", *KEY, "--model", "no.gguf"],
        2,
        {"verdict": "undecided", "what": "cannot open the file: no such file or directory"},
    ),
    (["no-package", *KEY], 2, {"verdict": "undecided", "what": "no package there"}),
    (["trusted.pub", *KEY], 2, {"verdict": "undecided", "what": "not a package"}),
    (["capital-1.0.0", "--key", "no.pub"], 2, {"verdict": "undecided"}),
    (["capital-1.0.0", "--key", "detached-1.0.0.gguf"], 2, {"verdict": "undecided"}),
    (
        ["capital-1.0.0", *KEY, "--at", "0001-01-01T00:00:00Z"],
        1,
        {"verdict": "refused", "kind": "policy", "what": "the manifest is from the future"},
    ),
]


@pytest.mark.parametrize(
    ("words", "code", "facts"), REFUSALS, ids=[" ".join(words) for words, _, _ in REFUSALS]
)
def test_refusals_are_the_same_in_text_and_json(
    words: list[str], code: int, facts: dict[str, Any], place: Path
) -> None:
    done = infwasi("verify", *words, "--json", cwd=place)
    (verdict,) = done.documents
    assert done.code == code
    assert verdict["type"] == "verdict"
    assert verdict.items() >= facts.items()
    headline = f"refused: {facts['kind']}: " if code == 1 else "error: "
    assert done.said[0].startswith(headline + verdict["what"])
    assert done.said[1:] == ([f"hint: {verdict['hint']}"] if "hint" in verdict else [])
    text = infwasi("verify", *words, cwd=place)
    assert text.transcript == (code, "", done.said)


def test_wrong_key_names_both_fingerprints(place: Path) -> None:
    done = infwasi("verify", "capital-1.0.0", "--key", "stranger.pub", cwd=place)
    stranger, trusted = (sha256(one.public_key()).hexdigest() for one in (STRANGER, TRUSTED))
    assert done.said[0].endswith(f"(expected sha256:{stranger}, got sha256:{trusted})")


def test_a_detached_model_is_brought_by_the_caller(place: Path) -> None:
    words = ("verify", "detached-1.0.0", *KEY, "--model", "detached-1.0.0.gguf")
    assert infwasi(*words, cwd=place).code == 0


def test_another_model_of_the_same_size_is_refused(place: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    data = bytearray((place / "detached-1.0.0.gguf").read_bytes())
    data[-40] ^= 1
    other.write_bytes(data)
    done = infwasi("verify", "detached-1.0.0", *KEY, "--model", other, cwd=place)
    assert (done.code, done.out) == (1, "")
    line, hint = done.said
    assert line.startswith("refused: digest: the model differs from what was signed in other.gguf")
    assert hint == f"hint: {EXPLANATIONS[RefusalKind.DIGEST].hint}"


def test_a_renamed_package_passes_only_by_name(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "capital-1.0.0", tmp_path / "stockholm")
    key = ("--key", place / "trusted.pub")
    assert infwasi("verify", "stockholm", *key, cwd=tmp_path).code == 1
    assert infwasi("verify", "stockholm", *key, "--name", "capital", cwd=tmp_path).code == 0
    # The directory's real name counts, whatever way leads there.
    (tmp_path / "capital").symlink_to(tmp_path / "stockholm")
    assert infwasi("verify", "capital", *key, cwd=tmp_path).code == 1
    assert infwasi("verify", ".", *key, cwd=place / "capital-1.0.0").code == 0


# --- verify-and-run, as far as no model is needed --------------------------------------------


@pytest.mark.parametrize(
    ("stdin", "code", "says"),
    [
        (b"broken \xff", 2, ["error: the prompt is not UTF-8 text in standard input at byte 7"]),
        (
            b"a" * 2**20,
            1,
            [
                f"refused: limit: the prompt is too long in standard input "
                f"(expected at most {LIMITS.prompt_bytes} bytes)",
                ASK_FOR_LESS,
            ],
        ),
    ],
)
def test_prompt_from_standard_input_is_bounded_text(
    stdin: bytes, code: int, says: list[str], place: Path
) -> None:
    done = infwasi("verify-and-run", "capital-1.0.0", *KEY, "-", cwd=place, stdin=stdin)
    assert done.transcript == (code, "", says)
    done = infwasi("verify-and-run", "capital-1.0.0", *KEY, "--json", "-", cwd=place, stdin=stdin)
    assert [document["type"] for document in done.documents] == ["verdict"]


def test_prompt_argument_that_is_not_utf_8_gives_no_verdict(place: Path) -> None:
    done = infwasi("verify-and-run", "capital-1.0.0", *KEY, "broken \udcff", cwd=place)
    assert done.transcript == (2, "", ["error: the prompt is not UTF-8 text"])


def test_another_seed_than_the_packages_is_refused(place: Path) -> None:
    done = infwasi("verify-and-run", "capital-1.0.0", *KEY, "--seed", "8", "Hi?", cwd=place)
    says = "refused: limit: the package fixes another seed in --seed (expected 7, got 8)"
    assert done.transcript == (1, "", [says, "hint: leave out --seed"])


def test_a_model_that_llama_cannot_load_gives_no_verdict(place: Path) -> None:
    done = infwasi("verify-and-run", "capital-1.0.0", *KEY, "--json", "Hi?", cwd=place)
    first, second = done.documents
    assert done.code == 2
    assert (first["type"], first["verdict"]) == ("verdict", "verified")
    assert (second["type"], second["verdict"]) == ("failure", "undecided")  # one verdict only
    assert second["what"] == "llama.cpp cannot load the model"
    assert done.said[0] == SIGNED_BY
    assert done.said[-1] == "error: llama.cpp cannot load the model in model.gguf"


@pytest.mark.parametrize("words", [["--key", "stranger.pub"], [*KEY, "--name", "x"]])
def test_nothing_refused_is_run(words: list[str], place: Path) -> None:
    done = infwasi("verify-and-run", "capital-1.0.0", *words, "Hi?", cwd=place)
    assert (done.code, done.out) == (1, "")
    assert done.said[0].startswith("refused: ")


# --- inspect, and what terminals and pipes get -----------------------------------------------


def test_inspect_says_first_that_it_proves_nothing(place: Path) -> None:
    done = infwasi("inspect", "capital-1.0.0", cwd=place)
    assert (done.code, done.said) == (0, [])
    assert done.out.startswith("NOT VERIFIED: ")
    (facts,) = infwasi("inspect", "capital-1.0.0", "--json", cwd=place).documents
    assert (facts["type"], facts["verdict"]) == ("inspection", "not-verified")
    assert facts["manifest"]["package"] == {"name": "capital", "version": "1.0.0"}


def test_inspect_shows_what_a_package_can_do_and_is_made_of(place: Path) -> None:
    done = infwasi("inspect", "capital-1.0.0", cwd=place)
    assert "  no capability: network, filesystem, environment, clocks, random, " in done.out
    assert "  capability inference: wasi:nn/errors@0.2.0-rc-2024-10-28 wasi:nn/" in done.out
    assert re.search(r"^    core-module  [0-9,]+ bytes  sha256:[0-9a-f]{64}  ", done.out, re.M)
    (facts,) = infwasi("inspect", "capital-1.0.0", "--json", cwd=place).documents
    component = facts["component"]
    assert component["capabilities"]["network"] == component["capabilities"]["unknown"] == []
    assert {child["kind"] for child in component["nested"]} == {"component"}
    assert any(module["exports"] for module in component["nested"][0]["nested"])


def test_inspect_shows_where_a_model_comes_from_and_what_its_template_does(tmp_path: Path) -> None:
    hostile = "{{ ''.__class__ }}{% for m in messages %}{{ m.content }}{% endfor %}"
    *others, _ = every_general_key()
    model = tiny_gguf(pairs=(*others, text_pair("tokenizer.chat_template", hostile)))
    make_timeless(tmp_path, name="all", model=model)
    done = infwasi("inspect", "all-1.0.0", cwd=tmp_path)
    assert "  made from: base_model 1 name, base_model 1 author, " in done.out
    assert "  trained on: example/other\n" in done.out
    assert "  chat template findings: attribute:__class__\n" in done.out
    (facts,) = infwasi("inspect", "all-1.0.0", "--json", cwd=tmp_path).documents
    (told,) = facts["models"]
    assert told["general"]["general.tags"] == '["text-generation","chat, with a comma"]'
    assert told["baseModels"][0]["doi"] == "10.1000/base_model.0"
    assert told["datasets"][1] == {"name": "example/other"}
    assert told["chatTemplateFindings"] == ["attribute:__class__"]
    assert told["chatTemplateDigest"].startswith("sha256:")


def test_inspect_refuses_in_json(place: Path) -> None:
    done = infwasi("inspect", "no-package", "--json", cwd=place)
    assert (done.code, done.documents[0]["verdict"]) == (2, "undecided")


def test_names_in_a_package_cannot_forge_lines_or_move_the_cursor(place: Path) -> None:
    done = infwasi("inspect", "hostile-1.0.0", cwd=place)
    assert done.code == 0
    assert r"  tiny\u{a}verified: \u{1b}[2Jfake\u{202e}, llama, " in done.out
    assert not [line for line in done.out.splitlines() if line.startswith("verified")]


def test_names_that_are_typed_cannot_either(place: Path) -> None:
    done = infwasi("verify", "no\x1b[2J\nverified: x", *KEY, cwd=place)
    assert done.transcript == (2, "", [r"error: no package there in no\u{1b}[2J verified: x"])


WRITE_AN_ANSWER = """\
from infwasi_sign.cli.output import AnswerWriter
from infwasi_sign.domain.chat import FinishReason, Summary
writer = AnswerWriter(as_json=False)
for piece in ("a\\x1b[2J", "\\u202e\\x00\\tb", "\\nc"):
    writer.write(piece)
writer.end(Summary(finish_reason=FinishReason.STOP, input_tokens=1, output_tokens=3), 7)
"""


def test_an_answer_goes_to_a_pipe_byte_for_byte() -> None:
    words = [sys.executable, "-c", WRITE_AN_ANSWER]
    done = subprocess.run(words, capture_output=True, env=environment(), check=True)
    assert done.stdout == "a\x1b[2J\u202e\x00\tb\nc\n".encode()


def test_an_answer_is_shown_harmless_on_a_terminal() -> None:
    reader, writer = pty.openpty()
    words = [sys.executable, "-c", WRITE_AN_ANSWER]
    subprocess.run(words, stdout=writer, env=environment(), check=True)
    os.close(writer)
    shown = os.read(reader, 4096)
    os.close(reader)
    assert shown == b"a\\u{1b}[2J\\u{202e}\\u{0}\tb\r\nc\r\n"


@pytest.mark.parametrize("words", [("inspect",), ("verify", *KEY), ("verify", *KEY, "--json")])
def test_a_reader_that_went_away_is_no_traceback(words: tuple[str, ...], place: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command, *options = words
    done = subprocess.run(
        arguments(command, "capital-1.0.0", *options),
        stdout=writer,
        stderr=subprocess.PIPE,
        cwd=place,
        env=environment(),
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (2, b"")


def test_standard_output_that_is_full_is_an_error(place: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            arguments("verify", "capital-1.0.0", *KEY),
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=place,
            env=environment(),
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        2,
        b"error: cannot write the result: no space left on device in standard output\n"
        b"hint: free some space or choose another place\n",
    )


@pytest.mark.parametrize("name", ["::add-mask::x", "##[add-mask]x", "x\n::error::y"])
def test_a_name_in_a_package_is_no_command_to_a_build_server(
    name: str, place: Path, tmp_path: Path
) -> None:
    package = Path(shutil.copytree(place / "capital-1.0.0", tmp_path / "capital-1.0.0"))
    (package / name).touch()
    for words in (
        ("inspect", package),
        ("inspect", package, "--json"),
        ("verify", package, "--key", place / "trusted.pub"),
        ("verify", package, "--key", place / "trusted.pub", "--json"),
    ):
        done = infwasi(*words)
        lines = [*done.out.splitlines(), *done.said]
        assert any("add-mask" in line or "error" in line for line in lines)
        assert not any(line.lstrip().startswith("::") or "##[" in line for line in lines)
