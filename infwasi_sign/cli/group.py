"""The group of all commands, which imports one only when it is called."""

import importlib
from typing import Final

import click

from infwasi_sign import __version__
from infwasi_sign.cli import collect_from_now

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
