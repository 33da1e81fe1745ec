"""Key files: written once and never over another, read only if nobody else could change them."""

import binascii
import os
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, TypeAlias

from infwasi_sign.adapters import keys
from infwasi_sign.adapters.atomic import hint_for_error
from infwasi_sign.adapters.keys import KeyKind, PrivateKey, PublicKey
from infwasi_sign.adapters.trusted_file import read_secret, read_trusted
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.pem import pem_text
from infwasi_sign.errors import UndecidedError

PassphraseSource: TypeAlias = Callable[[], bytes]
"""Asks for the passphrase; called only when there is something to open or to lock."""

_PLAIN: Final = "PRIVATE KEY"  # labels of RFC 7468 sections 10, 11 and 13
_ENCRYPTED: Final = "ENCRYPTED PRIVATE KEY"
_PUBLIC: Final = "PUBLIC KEY"
COSIGN_LABELS: Final = ("ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY")

# One block and nothing around it, RFC 7468 section 3; lines of any length, for many tools do not
# break them.
_PEM: Final = re.compile(
    rb"\s*-----BEGIN ([A-Z0-9 ]{1,40})-----\r?\n((?:[A-Za-z0-9+/=]+\r?\n)+)-----END \1-----\s*"
)


# --- writing ---------------------------------------------------------------------------------


def require_absent(base: Path, *, is_pair: bool) -> None:
    """Look whether ``<base>.pub``, and ``<base>.key`` too, are free, before anybody is asked.

    Raises:
        UndecidedError: a file is there already, or the folder is not.
    """
    with ExitStack() as opened:
        directory = _open_directory(base.parent, opened)
        for name in _file_names(base)[0 if is_pair else 1 :]:
            _refuse_existing(directory, base.parent, name)


def write_key_pair(base: Path, kind: KeyKind, passphrase: bytes | None) -> PublicKey:
    """Make a key and write it as `write_key` does.

    Raises:
        UndecidedError: a file is there already, or cannot be written.
    """
    return write_key(base, lambda: keys.generate(kind), passphrase)


def write_key(base: Path, make: Callable[[], PrivateKey], passphrase: bytes | None) -> PublicKey:
    """Write a key as ``<base>.key`` (0600, PKCS#8) and ``<base>.pub`` (0644, SPKI), both PEM.

    The private key is encrypted unless ``passphrase`` is None. Both files appear complete or
    not at all; files that are there stay as they are.

    Raises:
        UndecidedError: a file is there already, or cannot be written.
    """
    from infwasi_sign.adapters import pkcs8  # noqa: PLC0415 -- 10 ms that only private keys need

    files = _file_names(base)
    if passphrase is not None and not 0 < len(passphrase) <= LIMITS.passphrase_bytes:
        raise UndecidedError(
            "passphrase has a wrong length",
            expected=f"1 to {LIMITS.passphrase_bytes} bytes",
            got=str(len(passphrase)),
        )
    with ExitStack() as opened:
        directory = _open_directory(base.parent, opened)
        for name in files:
            _refuse_existing(directory, base.parent, name)
        key = make()
        secret = (
            _to_pem(_PLAIN, pkcs8.encode(key))
            if passphrase is None
            else _to_pem(_ENCRYPTED, pkcs8.encrypt(key, passphrase))
        )
        _write(
            directory,
            base.parent,
            ((files[0], secret, 0o600), (files[1], _to_pem(_PUBLIC, key.public_key()), 0o644)),
        )
    return key.public


def write_public_key(base: Path, key: PublicKey) -> None:
    """Write ``<base>.pub`` alone, for a private key that is kept elsewhere.

    Raises:
        UndecidedError: the file is there already, or cannot be written.
    """
    _, name = _file_names(base)
    with ExitStack() as opened:
        directory = _open_directory(base.parent, opened)
        _write(directory, base.parent, ((name, _to_pem(_PUBLIC, key.spki_der), 0o644),))


def _write(directory: int, parent: Path, files: Sequence[tuple[str, bytes, int]]) -> None:
    """Write name, content and mode of each, or nothing at all."""
    with ExitStack() as undo:
        for name, content, mode in files:
            try:
                _create(directory, name, content, mode)
                undo.callback(_remove, directory, name)
                os.fsync(directory)
            except FileExistsError as e:
                raise _exists(parent / name) from e
            except OSError as e:
                raise _failed("cannot write", parent / name, e) from e
        undo.pop_all()


def _file_names(base: Path) -> tuple[str, str]:
    if base.name in {"", ".."}:
        raise UndecidedError("not a file name", where=str(base))
    return f"{base.name}.key", f"{base.name}.pub"


def _open_directory(path: Path, opened: ExitStack) -> int:
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as e:
        raise _failed("cannot open directory", path, e) from e
    opened.callback(os.close, directory)
    return directory


def _refuse_existing(directory: int, parent: Path, name: str) -> None:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return
    except OSError as e:
        raise _failed("cannot look for", parent / name, e) from e
    raise _exists(parent / name)


def _remove(directory: int, name: str) -> None:
    with suppress(OSError):  # the first failure is the one to report
        os.unlink(name, dir_fd=directory)


def _create(directory: int, name: str, content: bytes, mode: int) -> None:
    """Write under a passing name, then link: unlike a rename, a link never replaces a file."""
    passing = f".infwasi-{os.urandom(8).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(passing, flags, 0o600, dir_fd=directory)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(descriptor, mode)  # whatever the umask took away
            os.fsync(descriptor)
        os.link(passing, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    finally:
        _remove(directory, passing)


# --- reading ---------------------------------------------------------------------------------


def load_private_key(path: Path, passphrase: PassphraseSource) -> PrivateKey:
    """Read a private key of P-256 or Ed25519; ``passphrase`` is asked only if it is encrypted.

    Raises:
        UndecidedError: others have access to the file, it holds no such key, or the passphrase
            does not open it.
    """
    from infwasi_sign.adapters import pkcs8  # noqa: PLC0415 -- 10 ms that only private keys need

    label, der = from_pem(read_secret(path, LIMITS.key_file_bytes), str(path))
    if label not in {_PLAIN, _ENCRYPTED}:
        convert = "openssl pkcs8 -topk8 -scrypt -in OLD -out NEW"
        if label in COSIGN_LABELS:
            convert = f"infwasi keygen NEW --import-cosign {path}"
        raise UndecidedError(
            "not a private key in PKCS#8",
            where=str(path),
            expected=f"{_ENCRYPTED} or {_PLAIN}",
            got=label,
            hint=f"convert it: {convert}",
        )
    return pkcs8.decode(der, passphrase() if label == _ENCRYPTED else None, where=str(path))


def load_public_key(path: Path) -> PublicKey:
    """Read a public key of P-256 or Ed25519 that nobody but its owner could have changed.

    Raises:
        UndecidedError: others can write the file or a folder above it, or it holds no such key.
    """
    data = read_trusted(path, LIMITS.key_file_bytes, "public key")
    return parse_public_pem(data, str(path))


def parse_public_pem(data: bytes, where: str) -> PublicKey:
    """A public key of P-256 or Ed25519 from its PEM text.

    Raises:
        UndecidedError: it is no such key.
    """
    return keys.parse_public_key(public_key_der(data, where), where=where)


def public_key_der(data: bytes, where: str) -> bytes:
    """What stands in the PEM text of a public key, of whatever type.

    Raises:
        UndecidedError: it is not the PEM text of one public key.
    """
    label, der = from_pem(data, where)
    if label != _PUBLIC:
        raise UndecidedError("not a public key", where=where, expected=_PUBLIC, got=label)
    return der


def _exists(path: Path) -> UndecidedError:
    return UndecidedError(
        "file is there already", where=str(path), hint="key files are never written over"
    )


def _failed(what: str, path: Path, error: OSError) -> UndecidedError:
    reason = (error.strerror or "an input error").lower()
    return UndecidedError(f"{what} {path}", got=reason, hint=hint_for_error(error))


# --- PEM -------------------------------------------------------------------------------------


def public_pem(key: PublicKey) -> str:
    """A public key as PEM text (RFC 7468 section 13), as key files have it."""
    return _to_pem(_PUBLIC, key.spki_der).decode("ascii")


def _to_pem(label: str, der: bytes) -> bytes:
    return pem_text(label, der).encode("ascii")


def from_pem(data: bytes, where: str) -> tuple[str, bytes]:
    """The label and the content of the one PEM block that ``data`` is.

    Raises:
        UndecidedError: it is something else, or something stands around it.
    """
    found = _PEM.fullmatch(data)
    if found is None:
        raise UndecidedError(
            "not a key file", where=where, expected="exactly one PEM block and nothing else"
        )
    try:
        der = binascii.a2b_base64(b"".join(found[2].split()), strict_mode=True)
    except binascii.Error as e:
        raise UndecidedError("not base64", where=where) from e
    return found[1].decode("ascii"), der
