"""Where a passphrase comes from: a descriptor, a file, the environment, a terminal; never argv."""

import getpass
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from infwasi_sign.adapters.key_files import PassphraseSource
from infwasi_sign.adapters.trusted_file import read_descriptor, read_secret
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import UndecidedError

ENVIRONMENT_VARIABLE: Final = "INFWASI_PASSPHRASE"
_READ_BYTES: Final = LIMITS.passphrase_bytes + 1  # and the line feed that an editor leaves


def choose_passphrase(
    *,
    descriptor: int | None = None,
    file: Path | None = None,
    environment: Mapping[str, str],
    confirm: bool = False,
    has_terminal: bool,
) -> PassphraseSource:
    """Decide who will be asked: what was named explicitly, the environment, the terminal.

    Nothing is read yet, and without any source only the asking fails: a key may need none.

    Raises:
        UndecidedError: a descriptor and a file are named.
    """
    if descriptor is not None and file is not None:
        raise UndecidedError("passphrase is to come from a file and from a descriptor")
    if descriptor is not None:
        return from_fd(descriptor)
    if file is not None:
        return from_file(file)
    if ENVIRONMENT_VARIABLE in environment:
        return from_environment(environment)
    return terminal(confirm=confirm) if has_terminal else _from_nowhere


def has_terminal() -> bool:
    """Whether somebody can be asked: the process has a controlling terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def terminal(*, confirm: bool) -> PassphraseSource:
    """Ask on the terminal, without echo; twice when a mistake would cost a key."""

    def ask() -> bytes:
        name = "Passphrase" if confirm else "Passphrase or PIN"
        passphrase = _prompt(f"{name} of the key: ")
        if confirm and _prompt("The same again: ") != passphrase:
            raise UndecidedError("passphrases differ")
        return _checked(passphrase, "the answer on the terminal")

    return ask


def from_fd(descriptor: int) -> PassphraseSource:
    """Read an open descriptor to its end; it stays open."""

    def read() -> bytes:
        try:
            data = read_descriptor(descriptor, _READ_BYTES)
        except OSError as e:
            raise UndecidedError(
                "cannot read the passphrase",
                where=f"descriptor {descriptor}",
                got=(e.strerror or "an input error").lower(),
            ) from e
        return _checked(data, f"descriptor {descriptor}")

    return read


def from_file(path: Path) -> PassphraseSource:
    """Read a file that only its owner can read."""
    return lambda: _checked(read_secret(path, _READ_BYTES), str(path))


def from_environment(
    environment: Mapping[str, str], variable: str = ENVIRONMENT_VARIABLE
) -> PassphraseSource:
    """Take a variable, by default ``INFWASI_PASSPHRASE``."""
    return lambda: _checked(os.fsencode(environment[variable]), variable)


def _from_nowhere() -> bytes:
    raise UndecidedError(
        "the key has a passphrase and there is nobody to ask",
        hint=f"use --passphrase-file, --passphrase-fd, {ENVIRONMENT_VARIABLE} or a terminal",
    )


def _prompt(text: str) -> bytes:
    with warnings.catch_warnings():
        # NOTE: without a terminal getpass warns, then reads and shows what is typed.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(text).encode("utf-8", "surrogateescape")
        except (getpass.GetPassWarning, EOFError, OSError) as e:
            raise UndecidedError("nobody answered on the terminal") from e


def _checked(data: bytes, where: str) -> bytes:
    """One line feed at the end is an editor's or echo's and not meant."""
    passphrase = data.removesuffix(b"\n")
    if not passphrase:
        raise UndecidedError("passphrase is empty", where=where)
    if len(passphrase) > LIMITS.passphrase_bytes:
        raise UndecidedError(
            "passphrase is too long",
            where=where,
            expected=f"at most {LIMITS.passphrase_bytes} bytes",
        )
    return passphrase
