"""`infwasi keygen`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from infwasi_sign.cli.options import passphrase_options, passphrase_source
from infwasi_sign.cli.output import emit_json, say, show
from infwasi_sign.errors import UndecidedError

if TYPE_CHECKING:
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
@click.option("--no-passphrase", is_flag=True, help="Write the private key unencrypted.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@passphrase_options
def command(
    base: Path,
    kind: str | None,
    cosign_path: Path | None,
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
    """
    from infwasi_sign.adapters.key_files import require_no_key_pair, write_key, write_key_pair
    from infwasi_sign.adapters.keys import KeyKind
    from infwasi_sign.adapters.process import forbid_dumps

    forbid_dumps()
    if cosign_path is not None and kind is not None:
        raise UndecidedError("an imported key has its type already", hint="leave out --type")
    require_no_key_pair(base)
    if no_passphrase:
        say("warning: the private key is not encrypted: whoever reads the file can sign")
        passphrase = None
    else:
        is_new = cosign_path is None
        passphrase = passphrase_source(passphrase_fd, passphrase_file, confirm=is_new)()
    if cosign_path is None:
        public = write_key_pair(base, KeyKind(kind or "p256"), passphrase)
    else:
        from infwasi_sign.adapters.cosign_key import load_cosign_key

        imported = load_cosign_key(cosign_path, passphrase or b"")
        public = write_key(base, lambda: imported, passphrase)
    if public.kind is KeyKind.ED25519:
        say("warning: Ed25519 keys cannot make an OMS companion or a Rekor v2 entry; p256 can")
    _report(base, public, as_json)


def _report(base: Path, public: "PublicKey", as_json: bool) -> None:
    """The names by which others call the key: compare them on another way than you got it."""
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
    show(
        f"{base}.key",
        f"{base}.pub",
        f"{public.algorithm} sha256:{public.fingerprint}",
        f"  hint in bundles, as cosign writes it: {public.hint}",
        f"  as ssh-keygen -l shows it: {public.ssh_fingerprint}",
    )
