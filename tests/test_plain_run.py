"""Runs that are asked for plainly are understood as click understands them, or are left to it."""

import random
from pathlib import Path
from typing import Any

import click
import pytest

from infwasi_sign.cli.plain_run import plain_run
from infwasi_sign.cli.run_options import RunOptions
from infwasi_sign.cli.verify_and_run_command import command

WORDS = (
    *("--key", "--policy", "--name", "--model", "--max-tokens", "--seed", "--timeout"),
    *("--max-memory", "--threads", "--require-level", "--identity", "--issuer", "--trust-root"),
    *("--json", "--accept-jump", "--paranoid", "--no-cache", "--pin", "-v", "--verbose", "--help"),
    *("--key=release.pub", "--max-tok", "--seed=3", "-", "--", "", "-x", "--threads=2"),
    *("dist/capital-1.0.0", "What is the capital?", "release.pub", "no-such-file", "\udc80"),
    *("0", "1", "7", "007", "512", "513", "+5", " 5", "5_0", "٣", "4294967294", "4294967295"),
    *("999999999", "1000000000", "-1", "1e3", "read-lease", "none"),
)
PLAIN = (
    *(["--key", "release.pub"], ["--policy", "policy.toml"], ["--name", "capital"], ["--json"]),
    *(["--model", "model.gguf"], ["--max-tokens", "16"], ["--seed", "0"], ["--timeout", "60"]),
    *(["--max-memory", "4096"], ["--threads", "2"], ["--accept-jump"], ["--paranoid"]),
    (["--no-cache"]),
)


class _Seen(Exception):  # noqa: N818 - it carries an answer
    def __init__(self, options: RunOptions) -> None:
        self.options = options


def by_click(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> RunOptions | None:
    """What click makes of the arguments; ``None`` if it has something to say about them."""

    def run(options: RunOptions) -> None:
        raise _Seen(options)

    monkeypatch.setattr("infwasi_sign.cli.running.run_package", run)
    try:
        command.main(arguments, prog_name="infwasi", standalone_mode=False)
    except _Seen as seen:
        return seen.options
    except click.ClickException:
        return None
    return None  # `--help`


def arguments_of(choice: random.Random) -> list[str]:
    """Half of them are such as people write, half are anything."""
    if choice.random() < 0.5:
        return choice.choices(WORDS, k=choice.randint(0, 7))
    parts: list[Any] = [["dist/capital-1.0.0"], *choice.sample(PLAIN, choice.randint(0, 6))]
    parts += [["What is the capital?"]] * choice.randint(0, 1)
    choice.shuffle(parts)
    return [word for part in parts for word in part]


def test_what_is_read_plainly_click_reads_alike(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "release.pub").write_text("key")
    choice = random.Random(1)  # noqa: S311 - not for a secret
    read = 0
    for _ in range(4_000):
        arguments = arguments_of(choice)
        plain = plain_run(arguments)
        if plain is not None:
            read += 1
            assert plain == by_click(arguments, monkeypatch), arguments
    capsys.readouterr()
    assert read > 1_500


@pytest.mark.parametrize(
    "arguments",
    [
        *([], ["--help"], ["p", "q", "r"], ["p", "--"], ["p", "--key"], ["p", "--key", "--json"]),
        *(["p", "--key=k"], ["p", "--max-tok", "3"], ["p", "--unknown"], ["p", "-v"], [""]),
        *(["p", "--seed", "4294967295"], ["p", "--threads", "513"], ["p", "--max-tokens", "0"]),
        *(["p", "--max-tokens", "٣"], ["p", "--max-tokens", "1_0"], ["p", "--json", "--json"]),
        *(["p", "--key", "a", "--key", "b"], ["p", "--pin"], ["p", "--identity", "me"]),
    ],
)
def test_what_is_not_plain_is_left_to_click(arguments: list[str]) -> None:
    assert plain_run(arguments) is None


def test_a_file_that_cannot_be_read_is_left_to_click(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = tmp_path / "release.pub"
    key.write_text("key")
    arguments = ["p", "--key", str(key)]
    assert plain_run(arguments) is not None
    monkeypatch.setattr("os.access", lambda *_: False)
    assert plain_run(arguments) is None
    assert by_click(arguments, monkeypatch) is None
