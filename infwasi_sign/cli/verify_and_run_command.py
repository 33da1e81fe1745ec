"""`infwasi verify-and-run` as click reads it; `plain_run` reads plain forms, `running` does it."""

from typing import Any

import click

from infwasi_sign.cli.options import package_options
from infwasi_sign.domain.load_level import LoadLevel

COLLECTS_LATE = True  # only once the model is loaded: see `cli.collect_from_now`


@click.command(name="verify-and-run")
@package_options
@click.argument("prompt", required=False)
@click.option("--max-tokens", type=click.IntRange(1), help="At most this many tokens.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 2), help="Where the package fixes none.")
@click.option(
    "--timeout", "timeout_seconds", type=click.IntRange(1), help="Seconds, verifying included."
)
@click.option(
    "--max-memory",
    "memory_mib",
    type=click.IntRange(1),
    help="MiB of this process, without the mapped model.",
)
@click.option("--threads", type=click.IntRange(1, 512), help="[default: the cores we may use]")
@click.option(
    "--require-level",
    type=click.Choice([level.label for level in LoadLevel]),
    default=LoadLevel.NONE.label,
    help="Hold the model this surely, or better; worst first. A policy can demand more.",
)
@click.option("--paranoid", is_flag=True, help="Hash the whole model, whatever the policy allows.")
@click.option("--no-cache", is_flag=True, help="Neither use nor keep what is compiled or found.")
@click.option("-v", "--verbose", is_flag=True, help="Show llama.cpp's own log.")
def command(**options: Any) -> None:
    """Check PACKAGE and, only if every byte is the signed one, answer PROMPT with it.

    \b
    Examples:
      infwasi verify-and-run dist/capital-1.0.0 --key release.pub "What is the capital of Sweden?"
      echo "What is ...?" | infwasi verify-and-run dist/capital-1.0.0 --key release.pub -
      infwasi verify-and-run dist/capital-1.0.0 --key release.pub      the default prompt

    The answer goes to standard output as it is made, everything else to standard error. Limits
    can only narrow what the package allows.
    """
    from infwasi_sign.cli.run_options import RunOptions
    from infwasi_sign.cli.running import run_package

    run_package(RunOptions(**options))
