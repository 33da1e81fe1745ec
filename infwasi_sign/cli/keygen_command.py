"""`infwasi keygen`."""

from pathlib import Path

import click

from infwasi_sign.cli.options import passphrase_options, passphrase_source
from infwasi_sign.cli.output import emit_json, say, show


@click.command(name="keygen")
@click.argument("base", type=click.Path(path_type=Path))
@click.option(
    "--type",
    "kind",
    type=click.Choice(["p256", "ed25519"]),
    default="p256",
    show_default=True,
    help="P-256 is what every verifier accepts.",
)
@click.option("--no-passphrase", is_flag=True, help="Write the private key unencrypted.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@passphrase_options
def command(
    base: Path,
    kind: str,
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
    """
    from infwasi_sign.adapters.key_files import require_free, write_key_pair
    from infwasi_sign.adapters.keys import KeyKind
    from infwasi_sign.adapters.process import clear_up_when_ended, forbid_dumps

    forbid_dumps()
    clear_up_when_ended()
    require_free(base)  # before somebody thinks of a passphrase
    if kind == "ed25519":
        say("warning: Ed25519 keys cannot make an OMS companion or a Rekor v2 entry; p256 can")
    if no_passphrase:
        say("warning: the private key is not encrypted: whoever reads the file can sign")
        passphrase = None
    else:
        passphrase = passphrase_source(passphrase_fd, passphrase_file, confirm=True)()
    public = write_key_pair(base, KeyKind(kind), passphrase)
    if as_json:
        emit_json({"algorithm": public.algorithm, "fingerprint": public.fingerprint})
    else:
        show(f"{base}.key", f"{base}.pub", f"{public.algorithm} sha256:{public.fingerprint}")
