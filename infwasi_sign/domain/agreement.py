"""Step 6 of verification: the bytes say what the statement says, and so does the BOM.

Pure: component and BOM are bytes that were measured; the header of the model, which was read after
that, is held to its digest here.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from infwasi_sign.domain.bom import BomDocument, bom_bytes, derive_bom, read_bom
from infwasi_sign.domain.bom_agreement import require_agreement
from infwasi_sign.domain.bom_inputs import package_inputs
from infwasi_sign.domain.bom_model import stated_tensor_digests
from infwasi_sign.domain.component import ComponentFacts, describe, find_settings
from infwasi_sign.domain.digest import Algorithm, MeasureBytes
from infwasi_sign.domain.gguf import GgufHeader
from infwasi_sign.domain.gguf_facts import ModelFacts, model_facts
from infwasi_sign.domain.manifest import ComponentClaim, Entry, Manifest
from infwasi_sign.domain.model_digests import (
    chat_template_digest,
    header_digest,
    tensor_table_digest,
)
from infwasi_sign.domain.settings import Settings
from infwasi_sign.domain.world import parts_of, require_app
from infwasi_sign.errors import RefusalKind, RefusedError
from infwasi_sign.quick_dataclass import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreed:
    """What the bytes were found to be; models by the name that ``load-by-name`` resolves."""

    app: ComponentFacts
    settings: Settings
    models: Mapping[str, ModelFacts]
    bom: BomDocument


def agree(
    manifest: Manifest,
    component: bytes,
    bom: bytes,
    read_header: Callable[[Entry], GgufHeader],
    measure_bytes: MeasureBytes,
) -> Agreed:
    """Hold a manifest to the component, the models' headers and the BOM.

    ``read_header`` gives the header of the model that an entry states.

    Raises:
        RefusedError: kind `disagree`, naming the member; `malformed`, one of them does not parse.
    """
    app = describe(component)
    require_app(app)
    claim = manifest.component
    _require_equal("component.imports", claim.imports, app.imports)
    _require_equal("component.exports", claim.exports, app.exports)
    _require_parts(claim, app)
    settings = find_settings(component, app)
    _require_equal("component.settings", claim.settings, settings.digest())

    models: dict[str, ModelFacts] = {}
    for model in manifest.models:
        entry = manifest.entry(model.shards[0])
        header = read_header(entry)
        _require_evidence(entry, header)
        facts = models[model.name] = model_facts(header)
        where = f"models[{model.name}]"
        _require_equal(f"{where}.architecture", model.architecture, facts.architecture)
        template = facts.chat_template
        digest = None if template is None else chat_template_digest(template)
        _require_equal(f"{where}.chatTemplate", model.chat_template, digest)
    _require_declared_model(manifest, settings)
    claimed = read_bom(bom)
    agreed = Agreed(app=app, settings=settings, models=MappingProxyType(models), bom=claimed)
    _require_bom(manifest, agreed, bom, measure_bytes)
    return agreed


def _require_parts(claim: ComponentClaim, app: ComponentFacts) -> None:
    """The declared parts are all that the app holds, each under the name of what it does."""
    held = parts_of(app)
    for part in claim.parts:
        if part not in held:
            raise RefusedError(
                RefusalKind.DISAGREE,
                "a declared part is not in the component",
                where=f"component.parts[{part.name}]",
                expected=str(part.sha256),
            )
    if len(held) != len(claim.parts):
        raise RefusedError(
            RefusalKind.DISAGREE,
            "the component holds a part that is not declared",
            where="component.parts",
            expected=", ".join(part.name for part in claim.parts),
            got=", ".join(part.name for part in held),
        )


def _require_declared_model(manifest: Manifest, settings: Settings) -> None:
    names = {name for model in manifest.models for name in (model.name, *model.aliases)}
    if settings.model not in names:
        raise RefusedError(
            RefusalKind.DISAGREE,
            "the settings name a model that is not declared",
            where="settings.model",
            got=settings.model,
        )


def _require_evidence(entry: Entry, header: GgufHeader) -> None:
    """The header that was just parsed is the one that was signed, whatever happened in between."""
    claim = entry.require_gguf()
    where = f"entries[{entry.name}].gguf"
    _require_equal(f"{where}.headerSize", claim.header_bytes, len(header.header_bytes))
    _require_equal(f"{where}.header", claim.header, header_digest(header))
    _require_equal(f"{where}.tensorCount", claim.tensor_count, len(header.tensors))
    _require_equal(f"{where}.tensorTable", claim.tensor_table, tensor_table_digest(header))


def _require_bom(
    manifest: Manifest, agreed: Agreed, bom: bytes, measure_bytes: MeasureBytes
) -> None:
    """Derive the BOM again: from it come only tools, declared facts and the tensors' digests.

    The digests are held to their root, which the manifest has.
    """
    claimed = agreed.bom
    digests: dict[str, str] = {}
    places = {
        shard: (model.name, index)
        for model in manifest.models
        for index, shard in enumerate(model.shards)
    }
    for entry in manifest.entries:
        if entry.gguf is None:
            continue
        compact = stated_tensor_digests(claimed, *places.get(entry.name, (entry.name, 0)))
        where = f"entries[{entry.name}].gguf"
        _require_equal(f"{where}.tensorCount", entry.gguf.tensor_count, len(compact))
        root = measure_bytes(compact.concatenated)[Algorithm.BLAKE3]
        _require_equal(f"{where}.tensors", entry.gguf.tensors, root)
        digests[entry.name] = compact.to_text()
    inputs = package_inputs(
        manifest,
        agreed.app,
        agreed.settings,
        agreed.models,
        digests,
        tools=claimed.tools,
        declared=claimed.declared(),
    )
    derived = derive_bom(inputs)
    require_agreement(claimed, bom, derived, bom_bytes(derived))


def _require_equal(where: str, claimed: object, measured: object) -> None:
    if claimed != measured:
        raise RefusedError(
            RefusalKind.DISAGREE,
            "the manifest contradicts the bytes",
            where=where,
            expected=str(claimed)[:200],
            got=str(measured)[:200],
        )
