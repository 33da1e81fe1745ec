"""`infwasi init`."""

from pathlib import Path

import click

from infwasi_sign.adapters.atomic import write_atomic
from infwasi_sign.cli.output import say
from infwasi_sign.domain.project import MODEL_CARD_FILE, PROJECT_FILE, template
from infwasi_sign.errors import UndecidedError


@click.command(name="init")
@click.option("--name", default=None, help="Package name (default: this folder's name).")
@click.option(
    "--model-card",
    is_flag=True,
    help="Write a model-card.toml instead: what bytes cannot say of app and model.",
)
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def command(name: str | None, model_card: bool, force: bool) -> None:
    """Write a commented infwasi.toml into this folder, or a model-card.toml.

    \b
    Example:
      infwasi init
      infwasi init --name capital
      infwasi init --model-card          what is unknown in the bill of materials without it
    """
    if model_card:
        from infwasi_sign.domain.declared_file import model_card_template

        _require_free(MODEL_CARD_FILE, force)
        text = model_card_template()
        write_atomic(Path(MODEL_CARD_FILE), text.encode(), mode=0o644, overwrite=force)
        say(f"wrote {MODEL_CARD_FILE}; fill it in: infwasi pack reads it (docs/model-card.md)")
        return
    target = Path(PROJECT_FILE)
    _require_free(PROJECT_FILE, force)
    models = sorted(Path().glob("*.gguf")) + sorted(Path("models").glob("*.gguf"))
    text = template(name or Path.cwd().name, models[0] if models else Path("models/model.gguf"))
    write_atomic(target, text.encode(), mode=0o644, overwrite=force)
    say(
        f"wrote {PROJECT_FILE}; next: infwasi keygen release, "
        "then infwasi pack --sign --key release.key"
    )


def _require_free(name: str, force: bool) -> None:
    if Path(name).exists() and not force:
        raise UndecidedError("there is one already", where=name, hint="--force replaces it")
