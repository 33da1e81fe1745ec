"""`infwasi init`."""

from pathlib import Path

import click

from infwasi_sign.adapters.atomic import write_atomic
from infwasi_sign.cli.output import say
from infwasi_sign.domain.project import PROJECT_FILE, template
from infwasi_sign.errors import UndecidedError


@click.command(name="init")
@click.option("--name", default=None, help="Package name (default: this folder's name).")
@click.option("--force", is_flag=True, help="Replace an infwasi.toml that is there.")
def command(name: str | None, force: bool) -> None:
    """Write a commented infwasi.toml into this folder.

    \b
    Example:
      infwasi init
      infwasi init --name capital
    """
    target = Path(PROJECT_FILE)
    if target.exists() and not force:
        raise UndecidedError("there is one already", where=PROJECT_FILE, hint="--force replaces it")
    models = sorted(Path().glob("*.gguf")) + sorted(Path("models").glob("*.gguf"))
    text = template(name or Path.cwd().name, models[0] if models else Path("models/model.gguf"))
    write_atomic(target, text.encode(), mode=0o644, overwrite=force)
    say(
        f"wrote {PROJECT_FILE}; next: infwasi keygen release, "
        "then infwasi pack --sign --key release.key"
    )
