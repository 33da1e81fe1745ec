"""Key files of cosign: what cosign reads is read, and nothing else makes scrypt work."""

import copy
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from infwasi_sign.adapters import cosign_key, pkcs8
from infwasi_sign.adapters.cosign_key import load_cosign_key, parse_locked_key
from infwasi_sign.adapters.key_files import load_private_key, load_public_key
from infwasi_sign.adapters.keys import PrivateKey
from infwasi_sign.errors import UndecidedError
from tests.command_line import infwasi
from tests.cosign_support import LABEL, STANDARD, b64, locked, pem, text_of
from tests.key_support import ED25519, P256, PASSPHRASE, ask, nobody_is_asked, undecided, write

HONEST = locked(pkcs8.encode(P256), PASSPHRASE)
SETS = [(2**15, 8, 1), STANDARD, (2**17, 8, 1)]


def changed(*path: str, to: Any) -> dict[str, Any]:
    """The honest file with one member changed; Ellipsis takes it away."""
    value = copy.deepcopy(HONEST)
    *parents, last = path
    within = value
    for name in parents:
        within = within[name]
    if to is ...:
        del within[last]
    else:
        within[last] = to
    return value


def failure(path: Path, passphrase: bytes = PASSPHRASE) -> UndecidedError:
    return undecided(lambda: load_cosign_key(path, passphrase))


# --- what is read ----------------------------------------------------------------------------


@pytest.mark.parametrize("scrypt", SETS)
def test_reads_the_three_sets_of_parameters(tmp_path: Path, scrypt: tuple[int, int, int]) -> None:
    content = text_of(locked(pkcs8.encode(P256), PASSPHRASE, scrypt))
    path = write(tmp_path / "cosign.key", pem(content))
    assert load_cosign_key(path, PASSPHRASE).public == P256.public


@pytest.mark.parametrize("key", [P256, ED25519])
@pytest.mark.parametrize("passphrase", [PASSPHRASE, b"", b"\x00\xff"])
def test_reads_both_kinds_and_every_passphrase(
    tmp_path: Path, key: PrivateKey, passphrase: bytes
) -> None:
    content = text_of(locked(pkcs8.encode(key), passphrase, SETS[0]))
    path = write(tmp_path / "cosign.key", pem(content))
    assert load_cosign_key(path, passphrase).public == key.public


def test_reads_the_older_label(tmp_path: Path) -> None:
    older = LABEL.replace("SIGSTORE", "COSIGN")
    path = write(tmp_path / "cosign.key", pem(text_of(HONEST), older))
    assert load_cosign_key(path, PASSPHRASE).public == P256.public


# --- what is not -----------------------------------------------------------------------------

SETS_ARE = "expected N=32768, r=8, p=1 or N=65536, r=8, p=1 or N=131072, r=8, p=1"
ATTACKS: dict[str, tuple[object, str]] = {
    "huge N": (
        changed("kdf", "params", "N", to=2**40),
        f"not one of cosign's sets of parameters in kdf.params ({SETS_ARE}, "
        f"got N={2**40}, r=8, p=1)",
    ),
    "small N": (
        changed("kdf", "params", "N", to=2),
        f"not one of cosign's sets of parameters in kdf.params ({SETS_ARE}, got N=2, r=8, p=1)",
    ),
    "mixed set": (
        changed("kdf", "params", "p", to=5),
        f"not one of cosign's sets of parameters in kdf.params ({SETS_ARE}, got N=65536, r=8, p=5)",
    ),
    "N beyond JSON": (changed("kdf", "params", "N", to=2**60), "number out of range in the JSON"),
    "N is true": (changed("kdf", "params", "N", to=True), "wrong type in kdf.params.N"),
    "N is zero": (changed("kdf", "params", "N", to=0), "out of range in kdf.params.N"),
    "no N": (changed("kdf", "params", "N", to=...), "member is missing in kdf.params"),
    "other kdf": (
        changed("kdf", "name", to="pbkdf2"),
        "not supported in kdf.name (expected scrypt, got 'pbkdf2')",
    ),
    "other cipher": (
        changed("cipher", "name", to="none"),
        "not supported in cipher.name (expected nacl/secretbox, got 'none')",
    ),
    "short salt": (
        changed("kdf", "salt", to=b64(bytes(31))),
        "wrong length in kdf.salt (expected 32 bytes, got 31)",
    ),
    "long nonce": (
        changed("cipher", "nonce", to=b64(bytes(25))),
        "wrong length in cipher.nonce (expected 24 bytes, got 25)",
    ),
    "no secret": (
        changed("ciphertext", to=b64(bytes(15))),
        "wrong length in ciphertext (expected 16 to 65536 bytes, got 15)",
    ),
    "lenient base64": (changed("kdf", "salt", to=b64(bytes(32)) + "\n"), "not base64 in kdf.salt"),
    "other letters": (changed("kdf", "salt", to="ä" * 43), "not base64 in kdf.salt"),
    "unknown member": (changed("extra", to=1), "unknown member"),
    "no cipher": (changed("cipher", to=...), "member is missing"),
    "an array": ([HONEST], "wrong type"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_refuses_before_scrypt_does_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attack: str
) -> None:
    def scrypt(*_: object, **__: object) -> bytes:
        raise AssertionError("scrypt was called")

    monkeypatch.setattr(hashlib, "scrypt", scrypt)
    value, message = ATTACKS[attack]
    path = write(tmp_path / "cosign.key", pem(text_of(value)))
    error = failure(path)
    inside = message.split(" (")[0]
    where = f" of {path}" if " in " in inside else f" in {path}"
    assert str(error).startswith(inside + where)
    assert message.partition(" (")[2] in str(error)


def test_without_that_check_scrypt_would_be_asked_for_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def scrypt(*_: object, n: int, **__: object) -> bytes:
        asked.append(n)
        return bytes(32)

    monkeypatch.setattr(hashlib, "scrypt", scrypt)
    monkeypatch.setattr(cosign_key, "_SCRYPT_SETS", Everything())
    path = write(tmp_path / "cosign.key", pem(text_of(ATTACKS["huge N"][0])))
    failure(path)
    assert asked == [2**40]


class Everything(tuple[Any, ...]):
    def __contains__(self, _: object) -> bool:
        return True


def twice(text: bytes) -> bytes:
    """Two sets of parameters: one that a first reader sees, one for the other."""
    return text.replace(b'"params":', b'"params":{"N":2,"r":8,"p":1},"params":')


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (twice, "member stands twice in the JSON of {} (got 'params')"),
        (lambda text: text[:-1], "not JSON in the JSON of {}"),
        (lambda text: text + b"{}", "not JSON in the JSON of {}"),
        (lambda _: b"\xef\xbb\xbf{}", "begins with a byte order mark in the JSON of {}"),
        (lambda _: b"[" * 40_000, "nested too deep in the JSON of {}"),
    ],
    ids=["twice", "truncated", "followed", "mark", "deep"],
)
def test_refuses_text_that_has_not_one_meaning(
    tmp_path: Path, spoil: Callable[[bytes], bytes], message: str
) -> None:
    path = write(tmp_path / "cosign.key", pem(spoil(text_of(HONEST))))
    assert str(failure(path)).startswith(message.format(path))


def test_refuses_another_passphrase_and_changed_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "cosign.key", pem(text_of(HONEST)))
    message = f"passphrase does not open the key, or the file is damaged in {path}"
    assert str(failure(path, b"another")) == message
    secret = HONEST["ciphertext"]
    flipped = ("B" if secret[0] == "A" else "A") + secret[1:]
    write(path, pem(text_of(changed("ciphertext", to=flipped))))
    assert str(failure(path)) == message


@pytest.mark.parametrize(
    ("der", "message"),
    [
        (b"not a key", "not a private key in {} (expected PKCS#8)"),
        (
            serialization.load_der_private_key(pkcs8.encode(P256), None).private_bytes(
                serialization.Encoding.DER,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"inner"),
            ),
            "not a private key in {} (expected PKCS#8)",
        ),
        (
            ec.generate_private_key(ec.SECP384R1()).private_bytes(
                serialization.Encoding.DER,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
            "key type is not supported in {} (expected P-256 or Ed25519, got the curve secp384r1)",
        ),
    ],
    ids=["bytes", "locked again", "p384"],
)
def test_refuses_what_is_no_key_of_ours(tmp_path: Path, der: bytes, message: str) -> None:
    content = text_of(locked(der, PASSPHRASE, SETS[0]))
    path = write(tmp_path / "cosign.key", pem(content))
    assert str(failure(path)) == message.format(path)


def test_refuses_other_files(tmp_path: Path) -> None:
    path = write(tmp_path / "cosign.key", pem(text_of(HONEST), "ENCRYPTED PRIVATE KEY"))
    assert str(failure(path)).startswith(
        f"not a key file of cosign in {path} (expected ENCRYPTED S"
    )
    write(path, pem(text_of(HONEST)), 0o640)
    assert str(failure(path)).startswith("file can be accessed by others")
    write(path, b"x" * 70_000)
    assert str(failure(path)).startswith(f"too long in {path} (")


def test_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nacl.secret", None)
    error = failure(write(tmp_path / "cosign.key", pem(text_of(HONEST))))
    assert str(error) == (
        "key files of cosign need a package that is not installed (expected PyNaCl)"
    )
    assert error.hint == "install infwasi with its extra: pip install 'infwasi[cosign]'"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=10,
)


@given(
    st.binary(max_size=300)
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.tuples(st.sampled_from(["kdf", "cipher", "ciphertext"]), json_values).map(
        lambda change: json.dumps({**HONEST, change[0]: change[1]}).encode()
    )
)
def test_any_bytes_are_one_error_or_a_locked_key(data: bytes) -> None:
    try:
        found = parse_locked_key(data, where="test")
    except UndecidedError:
        return
    assert found.scrypt in SETS


# --- the command line ------------------------------------------------------------------------


def test_a_key_of_cosign_becomes_ours(tmp_path: Path) -> None:
    source = write(tmp_path / "cosign.key", pem(text_of(HONEST)))
    before = source.read_bytes()
    env = {"INFWASI_PASSPHRASE": PASSPHRASE.decode()}
    words = ("keygen", "release", "--import-cosign", "cosign.key")
    done = infwasi(*words, cwd=tmp_path, env=env)
    assert (done.code, done.said) == (0, [])
    assert f"sha256:{P256.public.fingerprint}" in done.out
    assert load_private_key(tmp_path / "release.key", ask).public == P256.public
    assert load_public_key(tmp_path / "release.pub") == P256.public
    assert (tmp_path / "release.key").stat().st_mode & 0o777 == 0o600
    written = (tmp_path / "release.key").read_bytes()
    again = infwasi(*words, cwd=tmp_path, env={"INFWASI_PASSPHRASE": "not even looked at"})
    assert again.transcript == (
        2,
        "",
        [
            "error: file is there already in release.key",
            "hint: key files are never written over",
        ],
    )
    assert (tmp_path / "release.key").read_bytes() == written
    assert source.read_bytes() == before


def test_a_wrong_passphrase_writes_nothing(tmp_path: Path) -> None:
    write(tmp_path / "cosign.key", pem(text_of(HONEST)))
    words = ("keygen", "release", "--import-cosign", "cosign.key")
    done = infwasi(*words, cwd=tmp_path, env={"INFWASI_PASSPHRASE": "wrong"})
    message = "error: passphrase does not open the key, or the file is damaged in cosign.key"
    assert done.transcript == (2, "", [message])
    assert [path.name for path in tmp_path.iterdir()] == ["cosign.key"]


def test_a_key_of_cosign_without_passphrase_is_taken_by_name(tmp_path: Path) -> None:
    content = text_of(locked(pkcs8.encode(ED25519), b"", SETS[0]))
    write(tmp_path / "cosign.key", pem(content))
    words = ("keygen", "release", "--import-cosign", "cosign.key", "--no-passphrase")
    done = infwasi(*words, cwd=tmp_path)
    assert done.code == 0
    assert done.said == [
        "warning: the private key is not encrypted: whoever reads the file can sign",
        "warning: Ed25519 keys cannot make an OMS companion or a Rekor v2 entry; p256 can",
    ]
    assert load_private_key(tmp_path / "release.key", nobody_is_asked).public == ED25519.public


def test_pack_says_how_to_convert_it(tmp_path: Path) -> None:
    path = write(tmp_path / "cosign.key", pem(text_of(HONEST)))
    error = undecided(lambda: load_private_key(path, nobody_is_asked))
    assert error.hint == f"convert it: infwasi keygen NEW --import-cosign {path}"
