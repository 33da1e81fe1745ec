"""Makes a signed package from inputs: compose, measure, describe, state, sign, write.

1. compose   engine + config + inference become the app; a component of the developer's is tried,
             and what it needs becomes its limits
2. measure   the model, in the pass that copies it
3. describe  the ML-BOM, from the bytes
4. state     the manifest, from everything measured
5. sign      and verify what was signed
6. write     the package appears whole, or not at all
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from typing import Final

from infwasi_sign.domain.bom import bom_bytes, derive_bom
from infwasi_sign.domain.bom_inputs import package_inputs
from infwasi_sign.domain.bom_statement import encode_bom_statement
from infwasi_sign.domain.bundle import encode_bundle
from infwasi_sign.domain.component import describe
from infwasi_sign.domain.declared import Declared
from infwasi_sign.domain.digest import Algorithm, Digest, MeasureBytes
from infwasi_sign.domain.gguf import GgufHeader, parse
from infwasi_sign.domain.gguf_facts import ModelFacts, model_facts
from infwasi_sign.domain.manifest import (
    BOM_FILE,
    COMPONENT_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    OMS_FILE,
    ComponentClaim,
    Entry,
    EntryRole,
    GgufEvidence,
    Manifest,
    ModelClaim,
)
from infwasi_sign.domain.model_digests import (
    ModelDigests,
    chat_template_digest,
    header_digest,
    tensor_table_digest,
)
from infwasi_sign.domain.needs import MEASURED, GuestNeeds
from infwasi_sign.domain.oms import encode_oms_payload
from infwasi_sign.domain.settings import Settings
from infwasi_sign.domain.statement import encode_statement, parse_statement
from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.domain.validity import end_of_validity
from infwasi_sign.errors import UndecidedError
from infwasi_sign.ports import (
    Composed,
    Composer,
    ModelSource,
    PackageTarget,
    Progress,
    Sealer,
)
from infwasi_sign.quick_dataclass import dataclass

# The BOM's own digest cannot be known while it is written; nothing in the BOM depends on it.
_UNKNOWN: Final = "0" * 64


class Companion(Enum):
    """Whether a package gets an OMS companion, so that `model_signing` can verify it too."""

    NONE = "none"
    IF_POSSIBLE = "if possible"
    REQUIRED = "required"


@dataclass(frozen=True, kw_only=True, slots=True)
class PackRequest:
    """What to pack. ``issued_at`` is a whole second, UTC; ``valid_for`` absent means for ever.

    ``stated_limits`` are the keys of `[limits]` that the developer wrote: they win over measuring.
    ``tools`` and ``declared`` go into the BOM, beside what is measured.
    """

    name: str
    version: str
    settings: Settings
    inference: bytes | None
    stated_limits: frozenset[str] = frozenset()
    is_detached: bool
    issued_at: datetime
    valid_for: timedelta | None
    sequence: int | None = None
    now: datetime
    tools: Mapping[str, str]
    declared: Declared = Declared()
    companion: Companion = Companion.IF_POSSIBLE
    attests_bom: bool = False
    progress: Progress | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """What was written, and what the developer should be told.

    ``attestation`` is a bundle over the BOM for scanners, if one was asked for: it lies beside the
    package and not in it, for in it every file is signed.
    """

    manifest: Manifest
    bom: Mapping[str, JsonValue]
    statement: bytes
    is_signed: bool
    no_companion: str | None  # why there is no `model.sig`, if there could have been one
    extra_exports: tuple[str, ...]
    model: ModelFacts
    attestation: bytes | None
    settings: Settings
    needs: GuestNeeds | None


def pack(
    request: PackRequest,
    *,
    composer: Composer,
    measure_needs: Callable[[bytes, Settings], GuestNeeds],
    model: ModelSource,
    measure_bytes: MeasureBytes,
    sealer: Sealer | None,
    target: PackageTarget,
) -> Packed:
    """Build a package in ``target``; the caller commits it.

    Without ``sealer`` the package has no manifest, and every verifier refuses it as unsigned.

    Raises:
        RefusedError: the model is malformed, or a part does not fit.
        UndecidedError: the package would be expired already, or cannot be signed or written; or
            it can have no OMS companion, and that is demanded; or the component
            fails in its trial.
    """
    expires_at = end_of_validity(request.issued_at, request.valid_for, request.now)
    no_companion = _no_companion(request, sealer)
    # 1. compose
    composed, settings, needs = _composed(request, composer, measure_needs)
    target.write(COMPONENT_FILE, composed.app)
    # 2. measure
    header = parse(model)
    facts = model_facts(header)
    copy = None
    if not request.is_detached:
        target.require_space(model.size_bytes)
        copy = partial(target.tee, MODEL_FILE)
    digests = model.measure(header, copy, request.progress)
    # 3. describe
    app = describe(composed.app)
    claim = ComponentClaim(
        imports=app.imports,
        exports=app.exports,
        parts=composed.parts,
        settings=settings.digest(),
    )
    component = _entry(
        COMPONENT_FILE, EntryRole.COMPONENT, len(composed.app), measure_bytes(composed.app)
    )
    model_entry = _model_entry(request, model.size_bytes, header, digests)

    def manifest_with(bom: Entry, oms_payload: Digest | None = None) -> Manifest:
        return Manifest(
            package_name=request.name,
            package_version=request.version,
            sequence=_sequence(request),
            issued_at=request.issued_at,
            expires_at=expires_at,
            entries=tuple(sorted((component, bom, model_entry), key=lambda entry: entry.name)),
            component=claim,
            oms_payload=oms_payload,
            models=(
                ModelClaim(
                    name=request.settings.model,
                    aliases=(),
                    shards=(MODEL_FILE,),
                    architecture=facts.architecture,
                    chat_template=_template_digest(facts),
                ),
            ),
        )

    unknown = {algorithm: Digest(algorithm=algorithm, hex=_UNKNOWN) for algorithm in Algorithm}
    inputs = package_inputs(
        manifest_with(_entry(BOM_FILE, EntryRole.BOM, 1, unknown)),
        app,
        settings,
        {request.settings.model: facts},
        {MODEL_FILE: digests.tensors.to_text()},
        tools={**request.tools, **composer.tools()}.items(),
        declared=request.declared,
    )
    document = derive_bom(inputs)
    bom = bom_bytes(document)
    target.write(BOM_FILE, bom)
    # 4. state
    bom_entry = _entry(BOM_FILE, EntryRole.BOM, len(bom), measure_bytes(bom))
    oms_payload = None
    if sealer is not None and no_companion is None:
        files = [(entry.name, entry.sha256) for entry in (component, bom_entry, model_entry)]
        oms_payload = encode_oms_payload(f"{request.name}-{request.version}", files)
    stated = None if oms_payload is None else measure_bytes(oms_payload)[Algorithm.SHA256]
    manifest = manifest_with(bom_entry, stated)
    statement = encode_statement(manifest)
    parse_statement(statement)  # whatever a verifier would refuse is not signed
    # 5. sign
    attestation = None
    if sealer is not None:
        target.write(MANIFEST_FILE, encode_bundle(sealer.seal(statement)))
        if oms_payload is not None:
            target.write(OMS_FILE, sealer.companion(oms_payload))
        if request.attests_bom:
            attestation = encode_bundle(sealer.seal(encode_bom_statement(manifest, bom)))
    return Packed(
        manifest=manifest,
        bom=document,
        statement=statement,
        is_signed=sealer is not None,
        no_companion=no_companion,
        extra_exports=composed.extra_exports,
        model=facts,
        attestation=attestation,
        settings=settings,
        needs=needs,
    )


def _no_companion(request: PackRequest, sealer: Sealer | None) -> str | None:
    """Why the package gets no `model.sig`; said before the work."""
    if sealer is None:
        return "the package is not signed"
    if request.companion is Companion.NONE:
        return "none was asked for"
    obstacle = sealer.obstacle
    if request.is_detached:
        obstacle = "the model lies outside of the package"
    if obstacle is not None and request.companion is Companion.REQUIRED:
        raise UndecidedError(
            "no OMS companion is possible", got=obstacle, hint="leave out --require-oms"
        )
    return obstacle


def _composed(
    request: PackRequest,
    composer: Composer,
    measure_needs: Callable[[bytes, Settings], GuestNeeds],
) -> tuple[Composed, Settings, GuestNeeds | None]:
    """The app with the limits that will be signed, and what was measured for them."""
    composed = composer.compose(request.settings, request.inference)
    if request.inference is None or request.stated_limits >= MEASURED:
        return composed, request.settings, None
    needs = measure_needs(composed.app, request.settings)
    limits = needs.limits(request.settings.limits, request.stated_limits)
    settings = replace(request.settings, limits=limits)
    return composer.compose(settings, request.inference), settings, needs


def _sequence(request: PackRequest) -> int:
    """The developer's, else the time: later releases get larger numbers by themselves."""
    if request.sequence is not None:
        return request.sequence
    return int(request.issued_at.timestamp())


def _entry(
    name: str, role: EntryRole, size_bytes: int, digests: Mapping[Algorithm, Digest]
) -> Entry:
    return Entry(
        name=name,
        role=role,
        size_bytes=size_bytes,
        sha256=digests[Algorithm.SHA256],
        blake3=digests[Algorithm.BLAKE3],
    )


def _model_entry(
    request: PackRequest, size_bytes: int, header: GgufHeader, digests: ModelDigests
) -> Entry:
    return Entry(
        name=MODEL_FILE,
        role=EntryRole.MODEL,
        size_bytes=size_bytes,
        sha256=digests.sha256,
        blake3=digests.blake3,
        is_detached=request.is_detached,
        fs_verity=digests.fs_verity,
        gguf=GgufEvidence(
            header_bytes=len(header.header_bytes),
            header=header_digest(header),
            tensor_count=len(header.tensors),
            tensor_table=tensor_table_digest(header),
            tensors=digests.tensor_root,
        ),
    )


def _template_digest(facts: ModelFacts) -> Digest | None:
    return None if facts.chat_template is None else chat_template_digest(facts.chat_template)
