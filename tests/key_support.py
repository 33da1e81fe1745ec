"""What the tests of keys, key files and passphrases share; every key is made by the run."""

import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from infwasi_sign.adapters.keys import KeyKind, generate
from infwasi_sign.errors import UndecidedError
from tests.conftest import ROOT

KINDS = tuple(KeyKind)
PASSPHRASE = b"correct horse"
NOBODY = 65534
P256, OTHER_P256, ED25519 = (
    generate(kind) for kind in (KeyKind.P256, KeyKind.P256, KeyKind.ED25519)
)


def ask() -> bytes:
    return PASSPHRASE


def nobody_is_asked() -> bytes:
    raise AssertionError("the passphrase was asked for")


def undecided(act: Callable[[], object]) -> UndecidedError:
    with pytest.raises(UndecidedError) as caught:
        act()
    return caught.value


def openssl(*arguments: str | Path) -> bytes:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout


def write(path: Path, content: bytes, permissions: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(permissions)
    return path


def spki(key: PrivateKeyTypes) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def pkcs8_pem(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def in_child(code: str, *arguments: Path | str, is_nobody: bool = False) -> str:
    """What a new process prints; the code runs after it became a user without privileges."""
    prologue = f"""
        import os, sys
        from pathlib import Path
        from infwasi_sign.adapters import key_files, keys, passphrase, pkcs8
        if {is_nobody} and os.geteuid() == 0:
            os.setgroups([])
            os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
            os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
        assert not ({is_nobody} and os.geteuid() == 0)
        path = Path(sys.argv[1])
    """
    done = subprocess.run(
        [
            *(sys.executable, "-W", "error", "-c"),
            textwrap.dedent(prologue) + textwrap.dedent(code),
            *map(str, arguments),
        ],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
