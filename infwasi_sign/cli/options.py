"""Options that several commands share."""

import os
from collections.abc import Callable
from pathlib import Path

import click

from infwasi_sign.cli.output import Command


def passphrase_options(command: Command) -> Command:
    """Where the passphrase of a private key comes from; never the command line itself."""
    for option in (
        click.option(
            "--passphrase-file",
            type=click.Path(path_type=Path),
            help="Read the key's passphrase from this file.",
        ),
        click.option("--passphrase-fd", type=int, help="Read it from this file descriptor."),
    ):
        command = option(command)
    return command


def passphrase_source(
    descriptor: int | None, file: Path | None, *, confirm: bool
) -> Callable[[], bytes]:
    """Who will be asked for the passphrase, once it is needed."""
    from infwasi_sign.adapters.passphrase import choose_passphrase, has_terminal

    return choose_passphrase(
        descriptor=descriptor,
        file=file,
        environment=os.environ,
        confirm=confirm,
        has_terminal=has_terminal(),
    )


def package_options(command: Command) -> Command:
    """Which package, and whose signature counts."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="JSON on standard output."),
        click.option(
            "--model",
            "model_path",
            type=click.Path(path_type=Path),
            help="The model file of a package whose model is detached.",
        ),
        click.option(
            "--pin",
            is_flag=True,
            help="Trust on first use: keep --key's key for this package, and later need no --key.",
        ),
        click.option(
            "--accept-jump",
            is_flag=True,
            help="Accept a sequence more than a year ahead of the last one.",
        ),
        click.option(
            "--name", default=None, help="The package you want (default: by the directory's name)."
        ),
        click.option(
            "--key",
            "key_path",
            type=click.Path(path_type=Path),
            help="Public key of the signer you trust; short for a policy with one key.",
        ),
        click.option(
            "--policy",
            "policy_path",
            type=click.Path(path_type=Path),
            help="Policy file [default: $INFWASI_POLICY, ~/.config/infwasi, /etc/infwasi].",
        ),
        # readable=False: the package is opened once, and that says better what is wrong
        click.argument("package", type=click.Path(path_type=Path, readable=False)),
    ):
        command = option(command)
    return command
