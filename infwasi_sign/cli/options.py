"""Options that several commands share."""

import functools
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from infwasi_sign.cli.output import Command
from infwasi_sign.cli.trust_options import TrustOptions
from infwasi_sign.quick_dataclass import dataclass


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


@dataclass(frozen=True, kw_only=True, slots=True)
class PackageOptions:
    """Which package to sign, how it is named and found, and whom to trust."""

    package: Path
    trust: TrustOptions
    model_path: Path | None
    accept_jump: bool
    as_json: bool


_FILE = click.Path(path_type=Path)


def gathered_as(
    name: str, kind: type[Any], command: Callable[..., Any], **fixed: Any
) -> Callable[..., Any]:
    """A command that takes one parameter, a ``kind``, for those that its fields are called like."""
    names = [one.name for one in fields(kind) if one.name not in fixed]

    @functools.wraps(command)
    def gathered(*args: Any, **values: Any) -> None:
        values[name] = kind(**fixed, **{one: values.pop(one) for one in names})
        command(*args, **values)

    return gathered


def package_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which package, and whose signature counts: parameters ``package`` and ``trust``."""
    return _package_options(command, "--key")


def package_options_to_sign(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same beside `signing_options`, where ``--key`` signs: parameter ``options``."""
    return _package_options(gathered_as("options", PackageOptions, command), "--trust-key")


def _package_options(command: Callable[..., Any], key_flag: str) -> Callable[..., Any]:
    decorated = gathered_as("trust", TrustOptions, command, key_flag=key_flag)
    for option in (
        click.option("--json", "as_json", is_flag=True, help="JSON on standard output."),
        click.option(
            "--model",
            "model_path",
            type=_FILE,
            help="The model file of a package whose model is detached.",
        ),
        click.option(
            "--accept-jump",
            is_flag=True,
            help="Accept a sequence more than a year ahead of the last one.",
        ),
        click.option(
            "--pin",
            is_flag=True,
            help="Trust on first use: keep --key's key for this package, and later need no --key."
            if key_flag == "--key"
            else "Trust the key that `verify --pin` kept for this package.",
        ),
        click.option(
            "--timestamp-roots",
            type=_FILE,
            help="Roots of timestamp authorities, PEM: then a timestamp must be there.",
        ),
        click.option(
            "--certificate-intermediates",
            type=_FILE,
            help="The authorities between roots and certificate, PEM.",
        ),
        click.option(
            "--certificate-roots",
            type=_FILE,
            help="Roots of the authority that certifies the signer you trust, PEM.",
        ),
        click.option("--certificate-identity", help="Whom the certificate must be for, exactly."),
        click.option(
            "--trust-root",
            type=_FILE,
            help="Of the Sigstore instance [default: what `infwasi trust fetch` wrote].",
        ),
        click.option(
            "--identity-pattern",
            help="In place of --identity: a shell pattern for the whole identity.",
        ),
        click.option("--issuer", help="Who must vouch for the identity: an OIDC issuer's URL."),
        click.option(
            "--identity",
            help="The identity you trust, exactly: a mail address or the URI of a workflow.",
        ),
        click.option(
            "--name", default=None, help="The package you want (default: by the directory's name)."
        ),
        click.option(
            key_flag,
            "key_path",
            type=_FILE,
            help="Public key of the signer you trust; short for a policy with one key.",
        ),
        click.option(
            "--policy",
            "policy_path",
            type=_FILE,
            help="Policy file [default: $INFWASI_POLICY, ~/.config/infwasi, /etc/infwasi].",
        ),
        # readable=False: the package is opened once, and that says better what is wrong
        click.argument("package", type=click.Path(path_type=Path, readable=False)),
    ):
        decorated = option(decorated)
    return decorated
