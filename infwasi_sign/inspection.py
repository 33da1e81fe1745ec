"""Reads what a package says about itself without believing any of it."""

from collections.abc import Callable
from pathlib import Path

from infwasi_sign.domain.bom import BomDocument, read_bom
from infwasi_sign.domain.bundle import parse_bundle
from infwasi_sign.domain.component import ComponentFacts, describe, find_settings
from infwasi_sign.domain.gguf import parse
from infwasi_sign.domain.gguf_facts import ModelFacts, model_facts
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import BOM_FILE, COMPONENT_FILE, MANIFEST_FILE, Manifest
from infwasi_sign.domain.material import Material
from infwasi_sign.domain.settings import Settings
from infwasi_sign.domain.statement import parse_statement
from infwasi_sign.errors import RefusalKind, RefusedError
from infwasi_sign.ports import PackageStore
from infwasi_sign.quick_dataclass import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """What the files of a package claim; nothing was checked against a key or each other.

    ``material`` is what the bundle says of who signed; ``models`` are read from the files that are
    there.
    """

    files: tuple[tuple[str, int], ...]
    material: Material
    manifest: Manifest
    app: ComponentFacts
    settings: Settings
    bom: BomDocument
    models: tuple[tuple[str, ModelFacts], ...]


def inspect(
    location: Path, *, store: PackageStore, on_opened: Callable[[], None] | None = None
) -> Inspection:
    """Parse everything, within the same bounds as verification, and decide nothing.

    ``on_opened`` is called when every file is open, before the first byte of one is read.

    Raises:
        RefusedError: something does not parse, or there is no manifest.
        UndecidedError: the package cannot be read.
    """
    opened = store.open(location)
    try:
        if on_opened is not None:
            on_opened()
        for name in (MANIFEST_FILE, COMPONENT_FILE, BOM_FILE):
            if name not in opened.files:
                raise RefusedError(
                    RefusalKind.MISSING, "a file of the package is missing", where=name
                )
        bundle = parse_bundle(opened.files[MANIFEST_FILE].read(LIMITS.bundle_bytes))
        manifest = parse_statement(bundle.envelope.payload)
        component = opened.files[COMPONENT_FILE].read(LIMITS.component_bytes)
        app = describe(component)
        return Inspection(
            files=tuple(sorted((name, file.size_bytes) for name, file in opened.files.items())),
            material=bundle.material,
            manifest=manifest,
            app=app,
            settings=find_settings(component, app),
            bom=read_bom(opened.files[BOM_FILE].read(LIMITS.bom_bytes)),
            models=tuple(
                (shard, model_facts(parse(opened.files[shard])))
                for model in manifest.models
                for shard in model.shards
                if shard in opened.files
            ),
        )
    finally:
        opened.close()
