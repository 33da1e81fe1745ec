"""`infwasi keygen`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from infwasi_sign.cli.options import passphrase_options, passphrase_source
from infwasi_sign.cli.output import emit_json, failures_as_json, say, show
from infwasi_sign.errors import UndecidedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from infwasi_sign.adapters.keys import PublicKey


@click.command(name="keygen")
@click.argument("base", type=click.Path(path_type=Path))
@click.option(
    "--type",
    "kind",
    type=click.Choice(["p256", "ed25519"]),
    help="P-256 is what every verifier accepts. [default: p256]",
)
@click.option(
    "--import-cosign",
    "cosign_path",
    type=click.Path(path_type=Path),
    help="Take the key of this cosign.key, and keep its passphrase.",
)
@click.option(
    "--public-of",
    "reference",
    help="Write BASE.pub only, of this key: pkcs11:..., PLUGIN:..., or a file.",
)
@click.option("--no-passphrase", is_flag=True, help="Write the private key unencrypted.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@passphrase_options
def command(
    base: Path,
    kind: str | None,
    cosign_path: Path | None,
    reference: str | None,
    no_passphrase: bool,
    as_json: bool,
    passphrase_fd: int | None,
    passphrase_file: Path | None,
) -> None:
    """Make BASE.key (private, encrypted, mode 0600) and BASE.pub.

    \b
    Examples:
      infwasi keygen release
      INFWASI_PASSPHRASE=... infwasi keygen ci
      infwasi keygen throwaway --no-passphrase
      infwasi keygen release --import-cosign cosign.key
      infwasi keygen release --public-of "pkcs11:token=release;object=signer"
    """
    from infwasi_sign.adapters.key_files import require_absent
    from infwasi_sign.adapters.process import clear_up_when_ended, forbid_dumps

    forbid_dumps()
    clear_up_when_ended()
    with failures_as_json(as_json):
        if [kind, cosign_path, reference].count(None) < 2:
            raise UndecidedError("--type, --import-cosign and --public-of exclude each other")
        if reference is not None and no_passphrase:
            raise UndecidedError("--no-passphrase is for private keys that are written")
        require_absent(base, is_pair=reference is None)
        source = None
        if not no_passphrase:
            is_new = cosign_path is None and reference is None
            source = passphrase_source(passphrase_fd, passphrase_file, confirm=is_new)
        if reference is not None and source is not None:
            public = _write_public(base, reference, source)
        else:
            public = _write_pair(base, kind or "p256", cosign_path, source)
        if public.algorithm == "ed25519":
            say("warning: Ed25519 keys cannot make an OMS companion or a Rekor v2 entry; p256 can")
        _report(base, public, as_json, has_private=reference is None)


def _write_public(base: Path, reference: str, source: "Callable[[], bytes]") -> "PublicKey":
    from infwasi_sign.adapters.key_files import write_public_key
    from infwasi_sign.adapters.keys import parse_public_key
    from infwasi_sign.adapters.signer_source import open_signer

    signer = open_signer(reference, source)
    public = parse_public_key(signer.public_key(), where="the signer's public key")
    write_public_key(base, public)
    return public


def _write_pair(
    base: Path, kind: str, cosign_path: Path | None, source: "Callable[[], bytes] | None"
) -> "PublicKey":
    from infwasi_sign.adapters.key_files import write_key, write_key_pair
    from infwasi_sign.adapters.keys import KeyKind

    if source is None:
        say("warning: the private key is not encrypted: whoever reads the file can sign")
    passphrase = None if source is None else source()
    if cosign_path is None:
        return write_key_pair(base, KeyKind(kind), passphrase)
    from infwasi_sign.adapters.cosign_key import load_cosign_key

    imported = load_cosign_key(cosign_path, passphrase or b"")
    return write_key(base, lambda: imported, passphrase)


def _report(base: Path, public: "PublicKey", as_json: bool, *, has_private: bool) -> None:
    """The files, and the names that others know the key by."""
    if as_json:
        emit_json(
            {
                "algorithm": public.algorithm,
                "fingerprint": public.fingerprint,
                "hint": public.hint,
                "sshFingerprint": public.ssh_fingerprint,
            }
        )
        return
    if has_private:
        show(f"{base}.key")
    show(
        f"{base}.pub",
        f"{public.algorithm} sha256:{public.fingerprint}",
        f"  hint in bundles, as cosign writes it: {public.hint}",
        f"  as ssh-keygen -l shows it: {public.ssh_fingerprint}",
    )
