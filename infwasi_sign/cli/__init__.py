"""The command line: thin commands, each in a file of its own, imported only when it is called.

Only this package prints and exits. Exit codes: 0 done, 1 refused, 2 no verdict, 3 the verified
guest failed, 130 interrupted.
"""

import contextlib
import gc
import importlib
import os
import sys
import threading
from typing import Final, NoReturn

import click

from infwasi_sign import __version__

_COMMANDS: Final = {
    "init": "write an infwasi.toml to start from",
    "keygen": "make a key pair for signing",
    "pack": "compose, describe and sign a package",
    "sign": "add a signature to a package that others signed",
    "renew": "give a package a later end, without packing it again",
    "verify": "check a package against a key",
    "install": "check a package, and copy it to where the kernel holds its model",
    "verify-and-run": "check a package, and only then run it",
    "policy": "write, check and explain policies",
    "trust": "fetch or show the trust root that identities are judged by",
    "inspect": "show what is in a package, verified or not",
    "bom": "make a bill of materials, or check, show or convert one",
    "diff": "say what changed between two packages or models",
    "state": "show or reset what was accepted before",
}


class _LazyGroup(click.Group):
    """Knows its commands by name and imports one only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        module = importlib.import_module(f"infwasi_sign.cli.{name}_command")
        command: click.Command = module.command
        if not getattr(module, "COLLECTS_LATE", False):
            collect_from_now()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(
    cls=_LazyGroup,
    epilog="`infwasi COMMAND --help` shows examples. Exit codes: 0 done, 1 refused, 2 no verdict, "
    "3 the verified guest failed.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", message="infwasi %(version)s")
def cli() -> None:
    """Sign, describe and run LLM features that ship as WebAssembly components.

    \b
      infwasi init                                     write infwasi.toml
      infwasi keygen release                           make release.key and release.pub
      infwasi pack --sign --key release.key            write dist/NAME-VERSION
      infwasi verify dist/capital-1.0.0 --key release.pub
      infwasi verify-and-run dist/capital-1.0.0 --key release.pub "What is ...?"
      infwasi inspect dist/capital-1.0.0
    """


def main() -> NoReturn:
    """Run the command line and exit; no traceback ever leaves this function."""
    _occupy_standard_descriptors()
    try:
        # What a command gives to `Context.exit` comes back from here, as does what it returns.
        code = cli.main(prog_name="infwasi", standalone_mode=False) or 0
    except BaseException as error:  # the edge: everything becomes one line and a code
        code = _reported(error)
    _flush_or_forget()
    if len(threading.enumerate()) > 1:
        # A thread is still in native code (compiling, importing); nobody needs its result, and
        # the watcher that could end it is gone. Everything is flushed and closed by now.
        os._exit(code)
    sys.exit(code)


def collect_from_now() -> None:
    """Let the collector work again (`__main__` switched it off), but not on what is imported."""
    gc.freeze()
    gc.enable()


def _reported(error: BaseException) -> int:
    try:
        from infwasi_sign.cli.output import report_failure

        return report_failure(error)
    except (ImportError, MemoryError, OSError):
        # Too little memory, or no file left, even to say which.
        with contextlib.suppress(OSError):
            os.write(2, b"error: too little memory or too few files to go on\n")
        return 2


def _occupy_standard_descriptors() -> None:
    """Where the caller closed 0, 1 or 2, the next file opened would get that number.

    What libraries print would then go into it. For Python the stream stays closed.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number


def _flush_or_forget() -> None:
    """A reader that went away must not turn into a traceback at interpreter exit."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        sys.stdout = None
