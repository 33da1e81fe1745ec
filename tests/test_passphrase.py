import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from infwasi_sign.adapters import passphrase
from infwasi_sign.domain.limits import LIMITS
from tests.conftest import ROOT
from tests.key_support import in_child, undecided, write


def piped(data: bytes) -> int:
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    return reading


@pytest.mark.parametrize(
    ("data", "secret"),
    [(b"a", b"a"), (b"a\n", b"a"), (b"a\n\n", b"a\n"), (b" a \r\n", b" a \r"), (b"\xff", b"\xff")],
)
def test_takes_away_one_line_feed(tmp_path: Path, data: bytes, secret: bytes) -> None:
    descriptor = piped(data)
    try:
        assert passphrase.from_fd(descriptor)() == secret
    finally:
        os.close(descriptor)
    assert passphrase.from_file(write(tmp_path / "a", data))() == secret
    environment = {"INFWASI_PASSPHRASE": os.fsdecode(data)}
    assert passphrase.from_environment(environment)() == secret


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "passphrase is empty in {}"),
        (b"\n", "passphrase is empty in {}"),
        (b"x" * 1025, "passphrase is too long in {} (expected at most 1024 bytes)"),
    ],
)
def test_refuses_useless_passphrases(tmp_path: Path, data: bytes, message: str) -> None:
    path = write(tmp_path / "a", data)
    assert str(undecided(passphrase.from_file(path))) == message.format(path)
    descriptor = piped(data)
    try:
        error = undecided(passphrase.from_fd(descriptor))
    finally:
        os.close(descriptor)
    assert str(error) == message.format(f"descriptor {descriptor}")


def test_takes_the_longest_passphrase(tmp_path: Path) -> None:
    path = write(tmp_path / "a", b"x" * LIMITS.passphrase_bytes + b"\n")
    assert len(passphrase.from_file(path)()) == LIMITS.passphrase_bytes


def test_reads_no_endless_descriptor() -> None:
    with open("/dev/zero", "rb") as file:
        error = undecided(passphrase.from_fd(file.fileno()))
    assert str(error).startswith("passphrase is too long")


def test_says_when_a_descriptor_is_closed() -> None:
    reading = piped(b"")
    os.close(reading)
    assert str(undecided(passphrase.from_fd(reading))) == (
        f"cannot read the passphrase in descriptor {reading} (got bad file descriptor)"
    )


def test_refuses_a_passphrase_file_that_others_can_access(tmp_path: Path) -> None:
    path = write(tmp_path / "a", b"secret", 0o640)
    assert str(undecided(passphrase.from_file(path))) == (
        f"file can be accessed by others than its owner in {path} (got mode 0640)"
    )


def test_what_is_named_goes_before_the_environment(tmp_path: Path) -> None:
    path = write(tmp_path / "a", b"of the file")
    environment = {"INFWASI_PASSPHRASE": "of the environment"}
    chosen = passphrase.choose_passphrase(file=path, environment=environment, has_terminal=True)
    assert chosen() == b"of the file"
    descriptor = piped(b"of the descriptor")
    chosen = passphrase.choose_passphrase(
        descriptor=descriptor, environment=environment, has_terminal=True
    )
    assert chosen() == b"of the descriptor"
    os.close(descriptor)


def test_the_environment_goes_before_the_terminal() -> None:
    environment = {"INFWASI_PASSPHRASE": "of the environment"}
    chosen = passphrase.choose_passphrase(environment=environment, has_terminal=True)
    assert chosen() == b"of the environment"


def test_an_empty_variable_is_no_passphrase() -> None:
    environment = {"INFWASI_PASSPHRASE": ""}
    chosen = passphrase.choose_passphrase(environment=environment, has_terminal=True)
    assert str(undecided(chosen)) == "passphrase is empty in INFWASI_PASSPHRASE"


def test_refuses_two_explicit_sources(tmp_path: Path) -> None:
    error = undecided(
        lambda: passphrase.choose_passphrase(
            descriptor=3, file=tmp_path, environment={}, has_terminal=True
        )
    )
    assert str(error) == "passphrase is to come from a file and from a descriptor"


def test_without_a_source_says_the_ways_to_give_one() -> None:
    chosen = passphrase.choose_passphrase(environment={}, has_terminal=False)
    error = undecided(chosen)
    assert str(error) == "the key has a passphrase and there is nobody to ask"
    assert error.hint == (
        "use --passphrase-file, --passphrase-fd, INFWASI_PASSPHRASE or a terminal"
    )


def test_never_reads_a_passphrase_where_it_would_be_shown() -> None:
    code = """
        print(passphrase.has_terminal())
        try:
            passphrase.terminal(confirm=False)()
        except keys.UndecidedError as e:
            print(e)
    """
    assert in_child(code, "unused") == "False\nnobody answered on the terminal"


@pytest.mark.parametrize(
    ("second", "outcome"), [(b"secret", "b'secret'"), (b"secrte", "passphrases differ")]
)
def test_asks_twice_on_the_terminal(second: bytes, outcome: str) -> None:
    code = """
        import os, sys
        from infwasi_sign.adapters import passphrase
        os.open(sys.argv[1], os.O_RDWR)  # the first terminal of a session controls it
        assert passphrase.has_terminal()
        try:
            print(passphrase.terminal(confirm=True)())
        except passphrase.UndecidedError as e:
            print(e)
    """
    master, slave = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), os.ttyname(slave)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as child:
        shown = b""
        for prompt, answer in ((b"Passphrase of the key: ", b"secret"), (b"again: ", second)):
            while not shown.endswith(prompt):
                shown += os.read(master, 1024)
            os.write(master, answer + b"\n")
        output, _ = child.communicate()
    os.close(slave)
    os.close(master)
    assert output.decode().strip() == outcome
    assert b"secr" not in shown
