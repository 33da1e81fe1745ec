"""All that an ML-BOM is a function of: names, measured facts, tools and declared facts."""

from collections.abc import Iterable, Mapping

from infwasi_sign.domain.component import ComponentFacts
from infwasi_sign.domain.declared import Declared
from infwasi_sign.domain.digest import Digest
from infwasi_sign.domain.gguf_facts import ModelFacts
from infwasi_sign.domain.manifest import (
    EntryRole,
    GgufEvidence,
    Manifest,
    PartClaim,
    format_time,
)
from infwasi_sign.domain.settings import Settings
from infwasi_sign.quick_dataclass import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class WasmSubject:
    """A component file: its name, its digests, what it holds.

    ``parts`` are those that a manifest declares, and ``settings`` those that it was composed with;
    a component that is no app has neither.
    """

    name: str
    size_bytes: int
    sha256: Digest
    blake3: Digest
    facts: ComponentFacts
    parts: tuple[PartClaim, ...] = ()
    settings: Settings | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSubject:
    """A model file: the name that `load-by-name` resolves, the index of the shard, its digests.

    ``name`` is the file's own, without `.gguf`, where no manifest gives one. ``tensor_digests`` are
    in their compact form (docs/format.md section 6.4).
    """

    name: str
    shard: int = 0
    size_bytes: int
    sha256: Digest
    blake3: Digest
    evidence: GgufEvidence
    tensor_digests: str
    facts: ModelFacts


@dataclass(frozen=True, kw_only=True, slots=True)
class BomInputs:
    """What a BOM is made of. Equal inputs are equal bytes, on any machine.

    ``name`` and ``version`` are those of the package, or of the file where there is no package.
    ``timestamp`` is RFC 3339 in UTC, whole seconds. ``tools`` are the programs that shaped the
    bytes, with versions, sorted by name. Not a package: one component or one model alone.
    """

    name: str
    version: str | None
    timestamp: str
    tools: tuple[tuple[str, str], ...]
    declared: Declared
    wasm: WasmSubject | None
    models: tuple[ModelSubject, ...]
    is_package: bool


def package_inputs(
    manifest: Manifest,
    app: ComponentFacts,
    settings: Settings,
    models: Mapping[str, ModelFacts],
    tensor_digests: Mapping[str, str],
    *,
    tools: Iterable[tuple[str, str]],
    declared: Declared,
) -> BomInputs:
    """What the BOM of a package is made of.

    ``models`` holds the header facts by model name; ``tensor_digests`` the compact per-tensor
    digests by entry name. The digests of the BOM's own entry are not looked at.
    """
    component = manifest.only(EntryRole.COMPONENT)
    subjects = []
    for model in manifest.models:
        for index, shard in enumerate(model.shards):
            entry = manifest.entry(shard)
            subjects.append(
                ModelSubject(
                    name=model.name,
                    shard=index,
                    size_bytes=entry.size_bytes,
                    sha256=entry.sha256,
                    blake3=entry.blake3,
                    evidence=entry.require_gguf(),
                    tensor_digests=tensor_digests[entry.name],
                    facts=models[model.name],
                )
            )
    return BomInputs(
        name=manifest.package_name,
        version=manifest.package_version,
        timestamp=format_time(manifest.issued_at),
        tools=tuple(sorted(tools)),
        declared=declared,
        wasm=WasmSubject(
            name=component.name,
            size_bytes=component.size_bytes,
            sha256=component.sha256,
            blake3=component.blake3,
            facts=app,
            parts=manifest.component.parts,
            settings=settings,
        ),
        models=tuple(subjects),
        is_package=True,
    )
