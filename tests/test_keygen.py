"""`infwasi keygen`: what it says of a key, compared with what other tools say of the same files."""

import base64
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from infwasi_sign.adapters.key_files import load_public_key, write_key_pair
from infwasi_sign.adapters.keys import KeyKind
from tests.command_line import infwasi
from tests.key_support import PASSPHRASE, openssl

TYPES = ("p256", "ed25519")
SECRET = {"INFWASI_PASSPHRASE": PASSPHRASE.decode()}
ED25519_SAYS = "warning: Ed25519 keys cannot make an OMS companion or a Rekor v2 entry; p256 can"

needs_ssh = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed"
)


def ssh_keygen(*words: str, cwd: Path) -> str:
    return subprocess.run(
        ["ssh-keygen", *words], cwd=cwd, capture_output=True, text=True, check=True
    ).stdout


def test_makes_p256_and_names_it_as_others_do(tmp_path: Path) -> None:
    done = infwasi("keygen", "a", cwd=tmp_path, env=SECRET)
    key = load_public_key(tmp_path / "a.pub")
    shown = (
        f"a.key\na.pub\necdsa-p256-sha256 sha256:{key.fingerprint}\n"
        f"  hint in bundles, as cosign writes it: {key.hint}\n"
        f"  as ssh-keygen -l shows it: {key.ssh_fingerprint}\n"
    )
    assert done.transcript == (0, shown, [])


def test_says_what_ed25519_cannot_do(tmp_path: Path) -> None:
    done = infwasi("keygen", "a", "--type", "ed25519", cwd=tmp_path, env=SECRET)
    assert (done.code, done.said) == (0, [ED25519_SAYS])
    assert done.out.startswith("a.key\na.pub\ned25519 sha256:")


@pytest.mark.parametrize("kind", TYPES)
def test_json_has_the_same_names(tmp_path: Path, kind: str) -> None:
    done = infwasi("keygen", "a", "--type", kind, "--json", cwd=tmp_path, env=SECRET)
    key = load_public_key(tmp_path / "a.pub")
    assert done.documents == [
        {
            "algorithm": key.algorithm,
            "fingerprint": key.fingerprint,
            "hint": key.hint,
            "sshFingerprint": key.ssh_fingerprint,
        }
    ]


@pytest.mark.parametrize("kind", TYPES)
def test_openssl_opens_the_key_and_agrees(tmp_path: Path, kind: str) -> None:
    done = infwasi("keygen", "a", "--type", kind, cwd=tmp_path, env=SECRET)
    secret = f"pass:{PASSPHRASE.decode()}"
    spki = openssl(
        "pkey", "-in", tmp_path / "a.key", "-passin", secret, "-pubout", "-outform", "DER"
    )
    digest = hashlib.sha256(spki)
    assert f"sha256:{digest.hexdigest()}\n" in done.out
    assert f": {base64.b64encode(digest.digest()).decode()}\n" in done.out


@needs_ssh
@pytest.mark.parametrize("kind", TYPES)
def test_ssh_keygen_shows_the_same_fingerprint(tmp_path: Path, kind: str) -> None:
    done = infwasi("keygen", "a", "--type", kind, cwd=tmp_path, env=SECRET)
    public = serialization.load_pem_public_key((tmp_path / "a.pub").read_bytes())
    line = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    (tmp_path / "ssh.pub").write_bytes(line)
    shown = re.search(r"SHA256:\S{43}", ssh_keygen("-l", "-f", "ssh.pub", cwd=tmp_path))
    assert shown is not None
    assert f"  as ssh-keygen -l shows it: {shown[0]}\n" in done.out


@needs_ssh
def test_ssh_keygen_reads_the_public_file_itself(tmp_path: Path) -> None:
    key = write_key_pair(tmp_path / "a", KeyKind.P256, None)
    (tmp_path / "ssh.pub").write_text(ssh_keygen("-i", "-m", "PKCS8", "-f", "a.pub", cwd=tmp_path))
    assert key.ssh_fingerprint in ssh_keygen("-l", "-f", "ssh.pub", cwd=tmp_path)


@pytest.mark.parametrize("name", ["a.key", "a.pub"])
def test_says_that_a_file_is_there_before_it_asks(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    done = infwasi("keygen", "a", cwd=tmp_path)  # nobody could be asked
    said = [f"error: file is there already in {name}", "hint: key files are never written over"]
    assert done.transcript == (2, "", said)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_writes_the_public_half_of_a_key_that_is_elsewhere(tmp_path: Path) -> None:
    key = write_key_pair(tmp_path / "a", KeyKind.P256, PASSPHRASE)
    done = infwasi("keygen", "b", "--public-of", "a.key", cwd=tmp_path, env=SECRET)
    assert (done.code, done.said) == (0, [])
    assert done.out.startswith(f"b.pub\necdsa-p256-sha256 sha256:{key.fingerprint}\n")
    assert load_public_key(tmp_path / "b.pub") == key
    assert not (tmp_path / "b.key").exists()
    again = infwasi("keygen", "a", "--public-of", "a.key", cwd=tmp_path)
    assert (again.code, again.said[0]) == (2, "error: file is there already in a.pub")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--type", "p256", "--import-cosign", "c.key"),
            "--type, --import-cosign and --public-of exclude each other",
        ),
        (
            ("--public-of", "pkcs11:object=a", "--import-cosign", "c.key"),
            "--type, --import-cosign and --public-of exclude each other",
        ),
        (
            ("--public-of", "pkcs11:object=a", "--no-passphrase"),
            "--no-passphrase is for private keys that are written",
        ),
    ],
)
def test_refuses_what_contradicts_itself(
    tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    done = infwasi("keygen", "a", *words, cwd=tmp_path)
    assert done.transcript == (2, "", [f"error: {message}"])
    assert list(tmp_path.iterdir()) == []
