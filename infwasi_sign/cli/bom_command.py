"""`infwasi bom`: make a bill of materials, or check, show or convert one.

`infwasi bom TARGET` is short for `infwasi bom make TARGET`; each subcommand has its own file.
"""

import importlib
from typing import Final

import click

_SUBCOMMANDS: Final = {
    "make": "describe a model, a component or a package (the default)",
    "check": "report what minimum elements a BOM has, and what to add",
    "view": "render a BOM as one HTML page",
    "convert": "write a BOM in another version or format",
}


class _BomGroup(click.Group):
    """Imports a subcommand only when it is used; what is none is a target of `make`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _SUBCOMMANDS:
            return None
        module = importlib.import_module(f"infwasi_sign.cli.bom_{cmd_name}_command")
        subcommand: click.Command = module.command
        return subcommand

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in {*_SUBCOMMANDS, "--help", "-h"}:
            args = ["make", *args]
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl(list(_SUBCOMMANDS.items()))


@click.group(name="bom", cls=_BomGroup)
def command() -> None:
    """Make a bill of materials (CycloneDX ML-BOM), or check, show or convert one.

    \b
    Examples:
      infwasi bom model.gguf > model.cdx.json
      infwasi bom dist/capital-1.0.0 --format xml --spec-version 1.6
      infwasi bom check model.cdx.json
      infwasi bom view model.cdx.json --output model.html
      infwasi bom convert model.cdx.json --format spdx
    """
