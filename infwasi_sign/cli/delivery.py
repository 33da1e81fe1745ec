"""Where the result of `verify` goes, and in which form."""

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infwasi_sign.cli.output import Command, show, write_out
from infwasi_sign.cli.renderers import Format, render, text_lines
from infwasi_sign.domain.manifest import MANIFEST_FILE
from infwasi_sign.domain.result import (
    Accepted,
    AcceptedModel,
    VerifyResult,
)
from infwasi_sign.errors import UndecidedError
from infwasi_sign.quick_dataclass import dataclass

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """A form, and a file instead of standard output; neither has a say in standard error.

    `deliver` is for a verified package, and for failures by `output.failures_delivered`.
    """

    form: Format = Format.TEXT
    is_quiet: bool = False
    file: Path | None = None

    def deliver(self, result: VerifyResult) -> None:
        """Write the result once.

        Raises:
            UndecidedError: the file or standard output cannot be written.
        """
        if self.file is not None:
            _write_file(self.file, render(result, self.form))
        elif self.is_quiet:
            return
        elif self.form is not Format.TEXT:
            write_out(render(result, self.form))
        elif isinstance(result, Accepted | AcceptedModel):
            show(*text_lines(result))
        # A failure as text is on standard error, and data on standard output only if it is data.


def _write_file(path: Path, text: str) -> None:
    from infwasi_sign.adapters.atomic import storage_error, write_atomic

    try:
        # A rename would put a file into the place of /dev/null or of what a link names.
        if not stat.S_ISREG(path.lstat().st_mode):
            raise UndecidedError("not a regular file", where=str(path), hint="choose another name")
    except FileNotFoundError:
        pass
    except OSError as error:
        raise storage_error(error, path, "look at the file") from error
    write_atomic(path, text.encode(), mode=0o644, overwrite=True)


def delivery_options(command: Command) -> Command:
    """``--format``, ``--quiet``, ``--output``; `chosen_delivery` takes their values."""
    for option in (
        click.option(
            "--output",
            "output_file",
            type=click.Path(path_type=Path),
            help="Write the result to this file, whole or not at all.",
        ),
        click.option("-q", "--quiet", is_flag=True, help="Nothing on standard output."),
        click.option(
            "--format",
            "form",
            type=click.Choice([str(form) for form in Format]),
            help="The form of the result; --json is short for json. [default: text]",
        ),
    ):
        command = option(command)
    return command


def chosen_delivery(form: str | None, as_json: bool, is_quiet: bool, file: Path | None) -> Delivery:
    """What the options say together.

    Raises:
        UndecidedError: ``--json`` and another ``--format``.
    """
    if as_json and form not in {None, Format.JSON}:
        raise UndecidedError(f"--json and --format {form} cannot both be", hint="leave one out")
    return Delivery(
        form=Format.JSON if as_json else Format(form or Format.TEXT), is_quiet=is_quiet, file=file
    )


def require_outside(file: Path, package: Path) -> None:
    """In a package every file is signed: a result in it would be the next refusal.

    Raises:
        UndecidedError: the file would lie in it.
    """
    inside = os.path.join(os.path.realpath(package), "")
    if os.path.join(os.path.realpath(file.parent), "").startswith(inside):
        raise UndecidedError(
            "the result would be a file of the package that nobody signed",
            where=str(file),
            hint="write it to another folder",
        )


def require_no_package(file: Path) -> None:
    """Keep results out of every package, also of one that the command was not told of.

    Raises:
        UndecidedError: the file would lie in the folder of a manifest, or in `signatures` there.
    """
    folder = Path(os.path.realpath(file.parent))
    for one in (folder, folder.parent):
        if os.path.lexists(one / MANIFEST_FILE):
            require_outside(file, one)
