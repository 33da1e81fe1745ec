import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from infwasi_sign.adapters import keys, pkcs8
from infwasi_sign.adapters.key_files import load_private_key, load_public_key, write_key_pair
from infwasi_sign.adapters.keys import KeyKind, PrivateKey, generate
from infwasi_sign.domain.limits import LIMITS
from tests.key_support import (
    KINDS,
    NOBODY,
    P256,
    PASSPHRASE,
    ask,
    in_child,
    nobody_is_asked,
    openssl,
    pkcs8_pem,
    spki,
    undecided,
    write,
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A directory that every user can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
        Path(name).chmod(0o700)


# --- key pairs on disk -----------------------------------------------------------------------


@pytest.mark.parametrize("secret", [None, PASSPHRASE, b"\x00\xff"])
@pytest.mark.parametrize("kind", KINDS)
def test_reads_the_pair_that_it_wrote(tmp_path: Path, kind: KeyKind, secret: bytes | None) -> None:
    public = write_key_pair(tmp_path / "signer", kind, secret)
    assert load_public_key(tmp_path / "signer.pub") == public
    source = nobody_is_asked if secret is None else lambda: secret
    private = load_private_key(tmp_path / "signer.key", source)
    assert private.public == public
    assert public.made(private.sign(b"data"), b"data")
    assert not public.made(private.sign(b"data"), b"date")


@pytest.mark.parametrize("kind", KINDS)
def test_openssl_opens_the_encrypted_key(tmp_path: Path, kind: KeyKind) -> None:
    write_key_pair(tmp_path / "a", kind, PASSPHRASE)
    secret = f"pass:{PASSPHRASE.decode()}"
    public = openssl("pkey", "-in", tmp_path / "a.key", "-passin", secret, "-pubout")
    assert public == (tmp_path / "a.pub").read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_cryptography_opens_the_encrypted_key(tmp_path: Path, kind: KeyKind) -> None:
    public = write_key_pair(tmp_path / "a", kind, PASSPHRASE)
    opened = serialization.load_pem_private_key((tmp_path / "a.key").read_bytes(), PASSPHRASE)
    assert spki(opened) == public.spki_der


def test_encrypts_by_scrypt_and_aes(tmp_path: Path) -> None:
    write_key_pair(tmp_path / "a", KeyKind.P256, PASSPHRASE)
    shown = openssl("asn1parse", "-in", tmp_path / "a.key").decode()
    words = [line.rsplit(":", 1)[-1] for line in shown.splitlines() if " prim: " in line]
    salt, iv, secret = words.pop(2), words.pop(-2), words.pop()
    assert words == ["PBES2", "scrypt", "4000", "08", "05", "20", "aes-256-cbc"]
    assert (len(salt), len(iv)) == (32, 32)  # 16 bytes each, in hex
    assert len(secret) % 32 == 0


def test_encrypts_the_same_key_differently_each_time() -> None:
    assert pkcs8.encrypt(P256, PASSPHRASE)[33:51] != pkcs8.encrypt(P256, PASSPHRASE)[33:51]


@pytest.mark.parametrize("umask", [0, 0o022, 0o777])
def test_modes_are_the_same_under_every_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_key_pair(tmp_path / "a", KeyKind.ED25519, None)
    finally:
        os.umask(before)
    assert mode(tmp_path / "a.key") == 0o600
    assert mode(tmp_path / "a.pub") == 0o644
    assert names(tmp_path) == ["a.key", "a.pub"]


@pytest.mark.parametrize("name", ["a.key", "a.pub"])
@pytest.mark.parametrize("is_link", [False, True])
def test_never_writes_over_a_file(tmp_path: Path, name: str, is_link: bool) -> None:
    there = tmp_path / name
    if is_link:
        there.symlink_to("nowhere")
    else:
        there.write_bytes(b"mine")
    error = undecided(lambda: write_key_pair(tmp_path / "a", KeyKind.P256, None))
    assert str(error) == f"file is there already in {there}"
    assert error.hint == "key files are never written over"
    assert names(tmp_path) == [name]
    assert is_link or there.read_bytes() == b"mine"


@pytest.mark.parametrize("failing", ["a.key", "a.pub"])
def test_leaves_nothing_when_a_link_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    link = os.link

    def link_or_fail(
        source: str, name: str, *, src_dir_fd: int, dst_dir_fd: int, follow_symlinks: bool
    ) -> None:
        if name == failing:
            raise PermissionError(1, "Operation not permitted")
        link(
            source,
            name,
            src_dir_fd=src_dir_fd,
            dst_dir_fd=dst_dir_fd,
            follow_symlinks=follow_symlinks,
        )

    monkeypatch.setattr(os, "link", link_or_fail)
    error = undecided(lambda: write_key_pair(tmp_path / "a", KeyKind.P256, None))
    assert str(error) == f"cannot write {tmp_path / failing} (got operation not permitted)"
    assert names(tmp_path) == []


def test_a_file_that_appears_meanwhile_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def generate_slowly(kind: KeyKind) -> PrivateKey:
        (tmp_path / "a.pub").write_bytes(b"mine")
        return generate(kind)

    monkeypatch.setattr(keys, "generate", generate_slowly)
    error = undecided(lambda: write_key_pair(tmp_path / "a", KeyKind.P256, None))
    assert str(error) == f"file is there already in {tmp_path / 'a.pub'}"
    assert names(tmp_path) == ["a.pub"]
    assert (tmp_path / "a.pub").read_bytes() == b"mine"


@pytest.mark.parametrize("secret", [b"", b"x" * (LIMITS.passphrase_bytes + 1)])
def test_refuses_to_write_under_a_useless_passphrase(tmp_path: Path, secret: bytes) -> None:
    error = undecided(lambda: write_key_pair(tmp_path / "a", KeyKind.P256, secret))
    assert str(error) == (
        f"passphrase has a wrong length (expected 1 to 1024 bytes, got {len(secret)})"
    )
    assert names(tmp_path) == []


def test_says_which_directory_is_missing(tmp_path: Path) -> None:
    error = undecided(lambda: write_key_pair(tmp_path / "no" / "a", KeyKind.P256, None))
    assert str(error) == (
        f"cannot open directory {tmp_path / 'no'} (got no such file or directory)"
    )


@pytest.mark.parametrize("base", ["/", ".", ".."])
def test_refuses_a_base_without_a_name(base: str) -> None:
    error = undecided(lambda: write_key_pair(Path(base), KeyKind.P256, None))
    assert str(error) == f"not a file name in {base}"


def test_says_when_the_directory_cannot_be_written(reachable: Path) -> None:
    reachable.chmod(0o555)
    code = """
        try:
            os.open(path / "plain", os.O_CREAT | os.O_WRONLY)
        except PermissionError:
            print("denied")
        try:
            key_files.write_key_pair(path / "a", keys.KeyKind.P256, None)
        except keys.UndecidedError as e:
            print(e)
    """
    assert in_child(code, reachable, is_nobody=True) == (
        f"denied\ncannot write {reachable / 'a.key'} (got permission denied)"
    )
    assert names(reachable) == []


# --- reading private keys --------------------------------------------------------------------


@pytest.mark.parametrize("permissions", [0o644, 0o640, 0o604, 0o620, 0o602, 0o610, 0o777])
def test_refuses_a_private_key_that_others_can_access(tmp_path: Path, permissions: int) -> None:
    write_key_pair(tmp_path / "a", KeyKind.P256, None)
    path = tmp_path / "a.key"
    path.chmod(permissions)
    error = undecided(lambda: load_private_key(path, nobody_is_asked))
    assert str(error) == (
        f"file can be accessed by others than its owner in {path} (got mode {permissions:04o})"
    )
    assert error.hint == f"chmod 600 {path}"


@pytest.mark.parametrize("permissions", [0o400, 0o600, 0o700])
def test_reads_a_private_key_of_the_owner_alone(tmp_path: Path, permissions: int) -> None:
    public = write_key_pair(tmp_path / "a", KeyKind.P256, None)
    (tmp_path / "a.key").chmod(permissions)
    assert load_private_key(tmp_path / "a.key", nobody_is_asked).public == public


def test_says_when_the_private_key_cannot_be_read(reachable: Path) -> None:
    path = write(reachable / "a.key", pkcs8_pem(P256.secret), 0)
    code = """
        try:
            path.read_bytes()
        except PermissionError:
            print("denied")
        try:
            key_files.load_private_key(path, lambda: b"")
        except keys.UndecidedError as e:
            print(e)
    """
    assert in_child(code, path, is_nobody=True) == (
        f"denied\ncannot read {path} (got permission denied)"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_trusts_files_of_the_caller_and_of_root_only(reachable: Path) -> None:
    write_key_pair(reachable / "a", KeyKind.P256, None)
    path = reachable / "a.pub"
    code = """
        print(len(path.read_bytes()))
        try:
            print(key_files.load_public_key(path).kind)
        except keys.UndecidedError as e:
            print(e)
    """
    size = path.stat().st_size
    assert in_child(code, path, is_nobody=True) == f"{size}\np256"
    os.chown(path, NOBODY, NOBODY)
    assert in_child(code, path, is_nobody=True) == f"{size}\np256"
    os.chown(path, NOBODY - 1, NOBODY)
    assert in_child(code, path, is_nobody=True) == (
        f"{size}\npublic key belongs to somebody else in {path} "
        f"(expected user {NOBODY} or root, got user {NOBODY - 1})"
    )


def test_follows_a_link_and_judges_its_target(tmp_path: Path) -> None:
    public = write_key_pair(tmp_path / "a", KeyKind.P256, None)
    link = tmp_path / "current.key"
    link.symlink_to("a.key")
    assert load_private_key(link, nobody_is_asked).public == public
    (tmp_path / "a.key").chmod(0o644)
    error = undecided(lambda: load_private_key(link, nobody_is_asked))
    assert str(error).startswith("file can be accessed by others than its owner")


def test_refuses_what_is_no_regular_file_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/null")):
        error = undecided(lambda path=path: load_private_key(path, nobody_is_asked))  # type: ignore[misc] # mypy does not infer lambdas with defaults
        assert str(error) == f"not a regular file in {path}"


def test_says_when_there_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "no.key"
    assert str(undecided(lambda: load_private_key(path, nobody_is_asked))) == (
        f"cannot read {path} (got no such file or directory)"
    )


def test_refuses_a_key_file_beyond_the_limit(tmp_path: Path) -> None:
    path = write(tmp_path / "a", b" " * (LIMITS.key_file_bytes + 1))
    assert str(undecided(lambda: load_private_key(path, nobody_is_asked))) == (
        f"too long in {path} (expected at most 65536 bytes)"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_refuses_a_wrong_passphrase(tmp_path: Path, kind: KeyKind) -> None:
    write_key_pair(tmp_path / "a", kind, PASSPHRASE)
    path = tmp_path / "a.key"
    for wrong in (b"correct horsf", PASSPHRASE + b"\n", b"x" * 1024):
        error = undecided(lambda wrong=wrong: load_private_key(path, lambda: wrong))  # type: ignore[misc] # mypy does not infer lambdas with defaults
        assert str(error) == f"passphrase does not open the key, or the file is damaged in {path}"


def test_reads_keys_that_openssl_made(tmp_path: Path) -> None:
    write(tmp_path / "plain", openssl("genpkey", "-algorithm", "ED25519"))
    assert load_private_key(tmp_path / "plain", nobody_is_asked).public.kind is KeyKind.ED25519
    secret = f"pass:{PASSPHRASE.decode()}"
    curve = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    write(tmp_path / "locked", openssl("genpkey", *curve, "-aes-256-cbc", "-pass", secret))
    private = load_private_key(tmp_path / "locked", ask)
    write(
        tmp_path / "pub", openssl("pkey", "-in", tmp_path / "locked", "-passin", secret, "-pubout")
    )
    assert load_public_key(tmp_path / "pub") == private.public


UNSUPPORTED: Sequence[tuple[PrivateKeyTypes, str]] = (
    (ec.generate_private_key(ec.SECP384R1()), "the curve secp384r1"),
    (ec.generate_private_key(ec.SECP256K1()), "the curve secp256k1"),
    (rsa.generate_private_key(public_exponent=65537, key_size=2048), "RSA with 2048 bits"),
    (ed448.Ed448PrivateKey.generate(), "Ed448"),
)


@pytest.mark.parametrize(("key", "name"), UNSUPPORTED)
def test_names_the_type_of_key_that_it_does_not_support(
    tmp_path: Path, key: PrivateKeyTypes, name: str
) -> None:
    private = write(tmp_path / "a.key", pkcs8_pem(key))
    assert str(undecided(lambda: load_private_key(private, nobody_is_asked))) == (
        f"key type is not supported in {private} (expected P-256 or Ed25519, got {name})"
    )
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    public = write(tmp_path / "a.pub", pem)
    assert str(undecided(lambda: load_public_key(public))) == (
        f"key type is not supported in {public} (expected P-256 or Ed25519, got {name})"
    )


def test_tells_how_to_convert_an_older_format(tmp_path: Path) -> None:
    pem = P256.secret.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    path = write(tmp_path / "a", pem)
    error = undecided(lambda: load_private_key(path, nobody_is_asked))
    assert str(error) == (
        f"not a private key in PKCS#8 in {path} "
        "(expected ENCRYPTED PRIVATE KEY or PRIVATE KEY, got EC PRIVATE KEY)"
    )
    assert error.hint == "convert it: openssl pkcs8 -topk8 -scrypt -in OLD -out NEW"


GOOD = pkcs8_pem(P256.secret)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a key file"),
        (b"key", "not a key file"),
        (GOOD + GOOD, "not a key file"),
        (b"comment\n" + GOOD, "not a key file"),
        (GOOD.replace(b"END PRIVATE", b"END PUBLIC"), "not a key file"),
        (GOOD.replace(b"\n", b" "), "not a key file"),
        (b"-----BEGIN PRIVATE KEY-----\nA=A=\n-----END PRIVATE KEY-----\n", "not base64"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not a private key"),
        (GOOD.replace(b"PRIVATE", b"ENCRYPTED PRIVATE"), "passphrase does not open the key"),
    ],
)
def test_refuses_damaged_key_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = write(tmp_path / "a", content)
    error = str(undecided(lambda: load_private_key(path, ask)))
    assert error.startswith(message)
    assert str(path) in error


@pytest.mark.parametrize(
    "content", [GOOD.replace(b"\n", b"\r\n"), b"\n " + GOOD + b"\n\n", GOOD.rstrip()]
)
def test_reads_other_line_ends(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path / "a", content)
    assert load_private_key(path, nobody_is_asked).public == P256.public


def test_a_private_key_does_not_show_itself() -> None:
    assert "secret" not in repr(P256)


# --- reading public keys ---------------------------------------------------------------------


@pytest.mark.parametrize("permissions", [0o664, 0o646, 0o666])
def test_refuses_a_public_key_that_others_can_write(tmp_path: Path, permissions: int) -> None:
    write_key_pair(tmp_path / "a", KeyKind.P256, None)
    path = tmp_path / "a.pub"
    path.chmod(permissions)
    error = undecided(lambda: load_public_key(path))
    assert str(error) == (
        f"public key can be written by others than its owner in {path} (got mode {permissions:04o})"
    )
    assert error.hint == f"chmod go-w {path}"


def test_refuses_a_private_key_where_a_public_one_belongs(tmp_path: Path) -> None:
    path = write(tmp_path / "a", GOOD)
    assert str(undecided(lambda: load_public_key(path))) == (
        f"not a public key in {path} (expected PUBLIC KEY, got PRIVATE KEY)"
    )
