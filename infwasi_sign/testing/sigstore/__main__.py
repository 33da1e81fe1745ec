"""The private Sigstore as a command, for what is not written in Python."""

import os
import shlex
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, cast

import click

from infwasi_sign.testing.sigstore.faults import Fault
from infwasi_sign.testing.sigstore.instance import IDENTITY, PrivateSigstore
from infwasi_sign.testing.sigstore.limits import LIMITS

_DEFAULT_SECONDS: Final = 600
_FAULTS: Final = "\n\n".join(
    f"{fault.value} ({', '.join(f'v{version}' for version in sorted(fault.rekor_versions))}): "
    f"{fault.description}"
    for fault in Fault
)


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]}, epilog=f"Faults:\n\n{_FAULTS}"
)
@click.option(
    "--dir",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the files are written that clients need; made if it is not there.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    type=click.Choice([fault.value for fault in Fault]),
    metavar="FAULT",
    help="Something to do wrong, see below. Can be given several times.",
)
@click.option(
    "--rekor-version",
    type=click.IntRange(1, 2),
    default=2,
    show_default=True,
    help="The version of Rekor that is signed to.",
)
@click.option(
    "--identity",
    default=IDENTITY,
    show_default=True,
    help="Whom the token and the browser flow are for: a mail address or a URI.",
)
@click.option(
    "--seconds",
    type=click.IntRange(1, LIMITS.run_seconds),
    default=_DEFAULT_SECONDS,
    show_default=True,
    help="Stop after this time.",
)
def main(
    folder: Path, faults: tuple[str, ...], rekor_version: int, identity: str, seconds: int
) -> None:
    """Run a private Sigstore on 127.0.0.1 until SIGTERM, SIGINT or the end of its time.

    Writes trust_config.json, trusted_root.json, signing_config.json, tuf_root.json, token,
    ambient.env and url into the directory. `url` is written last: when it is there, all is there.
    """
    is_over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: is_over.set())
    try:
        instance = PrivateSigstore(
            faults=frozenset(Fault.named(word) for word in faults),
            rekor_version=cast(Literal[1, 2], rekor_version),
            identity=identity,
        )
    except ValueError as e:
        raise click.UsageError(str(e)) from e
    with instance:
        try:
            _write(folder, _files(instance, identity))
        except OSError as e:
            raise click.ClickException(f"cannot write into {folder}: {e.strerror}") from e
        print(instance.url, flush=True)
        is_over.wait(seconds)


def _files(instance: PrivateSigstore, identity: str) -> Mapping[str, bytes]:
    variables = instance.ambient_environment().items()
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables)
    return {
        "trust_config.json": instance.trust_config(),
        "trusted_root.json": instance.trusted_root(),
        "signing_config.json": instance.signing_config(),
        "tuf_root.json": instance.tuf_root(),
        "token": instance.token(identity).encode(),
        "ambient.env": exports.encode(),
        "url": instance.url.encode(),
    }


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Each file whole or not at all, so that whoever waits for one can read it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "url").unlink(missing_ok=True)  # of an instance before this one
    for name, data in files.items():
        beside = folder / f".{name}.{os.getpid()}"
        # Readable by the owner alone: the token is a secret, if a small one.
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
        beside.replace(folder / name)


if __name__ == "__main__":
    main()
