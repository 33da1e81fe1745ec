"""`infwasi inspect`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infwasi_sign.cli.inspected_facts import (
    component_json,
    component_lines,
    model_json,
    model_lines,
)
from infwasi_sign.cli.output import emit_json, failures_as_json, show

if TYPE_CHECKING:
    from infwasi_sign.inspection import Inspection


@click.command(name="inspect")
@click.argument("package", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
def command(package: Path, as_json: bool) -> None:
    """Show what is in PACKAGE. Needs no key, and therefore proves nothing.

    \b
    Examples:
      infwasi inspect dist/capital-1.0.0
      infwasi inspect dist/capital-1.0.0 --json | jq .settings
    """
    from infwasi_sign.adapters.package_directory import DirectoryStore
    from infwasi_sign.cli.confining import confinement_of
    from infwasi_sign.domain.confinement import describe_layers
    from infwasi_sign.inspection import inspect

    confinement = confinement_of()
    with failures_as_json(as_json):
        found = inspect(package, store=DirectoryStore(), on_opened=confinement.before_measuring)
        layers = confinement.layers()
        if as_json:
            confined = {"confinement": [layer.to_json() for layer in layers]}
            emit_json(_as_json(found) | confined)
        else:
            show(*_as_text(found), f"read by a process confined by {describe_layers(layers)}")


def _as_json(found: "Inspection") -> dict[str, object]:
    from infwasi_sign.domain.manifest_json import predicate_json
    from infwasi_sign.domain.material import KeyHint, mode_of

    return {
        "type": "inspection",
        "verdict": "not-verified",
        "files": [{"name": name, "size": size} for name, size in found.files],
        "keyHint": found.material.hint if isinstance(found.material, KeyHint) else None,
        "mode": str(mode_of(found.material)),
        "manifest": predicate_json(found.manifest),
        "settings": json.loads(found.settings.to_json()),
        "component": component_json(found.app),
        "models": [{"file": name, **model_json(facts)} for name, facts in found.models],
    }


def _as_text(found: "Inspection") -> list[str]:
    from infwasi_sign.domain.manifest import format_time
    from infwasi_sign.domain.material import KeyHint, mode_of

    hint = found.material.hint if isinstance(found.material, KeyHint) else "none"
    manifest, settings = found.manifest, found.settings
    expires = "never" if manifest.expires_at is None else format_time(manifest.expires_at)
    lines = [
        "NOT VERIFIED: this is what the package says of itself; `infwasi verify` decides",
        f"package    {manifest.package_name} {manifest.package_version}",
        f"issued     {format_time(manifest.issued_at)}, expires {expires}, "
        f"sequence {manifest.sequence}",
        f"signed     in mode {mode_of(found.material)}, key hint {hint}",
        "files",
        *(f"  {name}  {size:,} bytes" for name, size in found.files),
        "component",
        *(f"  imports {name}" for name in found.app.imports),
        *(f"  exports {name}" for name in found.app.exports),
        *component_lines(found.app),
        *(
            f"  part {part.name}  {part.size_bytes:,} bytes  {part.sha256}"
            for part in manifest.component.parts
        ),
        "settings",
        *(
            f"  {name}: {json.dumps(value, ensure_ascii=False)}"
            for name, value in sorted(json.loads(settings.to_json()).items())
        ),
    ]
    for name, facts in found.models:
        lines += [f"model {name}", *model_lines(facts)]
    return lines
