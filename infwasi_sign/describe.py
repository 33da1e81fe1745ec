"""Makes the bill of materials of a lone model or component, or gives that of a package.

A package's own is derived again from its bytes, so what is given is what those bytes are; who
signed it is not asked.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import assert_never

from infwasi_sign.domain.agreement import agree
from infwasi_sign.domain.bom import BomInputs, ModelSubject, WasmSubject, derive_bom
from infwasi_sign.domain.declared import Declared
from infwasi_sign.domain.digest import Algorithm, Digest, MeasureBytes
from infwasi_sign.domain.gguf import GgufHeader
from infwasi_sign.domain.gguf_facts import model_facts
from infwasi_sign.domain.manifest import (
    BOM_FILE,
    COMPONENT_FILE,
    GgufEvidence,
    format_time,
)
from infwasi_sign.domain.model_digests import header_digest, tensor_table_digest
from infwasi_sign.domain.run_bom import RunSubject
from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.domain.vex_match import attach
from infwasi_sign.domain.vex_statement import VexStatement
from infwasi_sign.errors import RefusalKind, RefusedError, UndecidedError
from infwasi_sign.matching import require_supported
from infwasi_sign.quick_dataclass import dataclass
from infwasi_sign.targets import Access, ReadComponent, ReadModel, ReadPackage, read_targets


@dataclass(frozen=True, kw_only=True, slots=True)
class DescribeRequest:
    """What to describe; ``declared`` and ``tools`` are for what is no package, which has its own.

    ``made_at`` is a whole second, UTC. Of ``vex`` goes in what is about the file;
    ``on_passed_over`` hears of the vulnerabilities that are stated for other products only.
    """

    location: Path
    made_at: datetime
    declared: Declared
    tools: Mapping[str, str]
    vex: tuple[VexStatement, ...] = ()
    on_passed_over: Callable[[tuple[str, ...]], None] | None = None


def describe(
    request: DescribeRequest, *, access: Access, measure_bytes: MeasureBytes
) -> dict[str, JsonValue]:
    """The CycloneDX document of what lies at the location.

    Raises:
        RefusedError: it does not parse; or a package's bytes are not what its manifest or its bill
            of materials says.
        UndecidedError: it cannot be read, or a detached model is not there.
    """
    (target,) = read_targets((request.location,), access)
    match target:
        case ReadModel():
            return derive_bom(_attached(request, _model_inputs(request, target)))
        case ReadComponent():
            return derive_bom(_attached(request, _component_inputs(request, target, measure_bytes)))
        case ReadPackage():
            if request.declared != Declared() or request.vex:
                raise UndecidedError(
                    "a package has its declared facts in it",
                    where=target.title,
                    hint="`infwasi pack --model-card FILE --vex FILE` writes others",
                )
            return package_document(target, measure_bytes)
        case _:
            assert_never(target)


def _attached(request: DescribeRequest, inputs: BomInputs) -> BomInputs:
    if not request.vex:
        return inputs
    attached, passed_over = attach(inputs, request.vex, "--vex")
    if passed_over and request.on_passed_over is not None:
        request.on_passed_over(passed_over)
    return attached


def run_subject(location: Path, *, access: Access, measure_bytes: MeasureBytes) -> RunSubject:
    """What the BOM of a run points at: a package whose own BOM agrees with its bytes.

    Raises:
        RefusedError: as `describe`.
        UndecidedError: it is no package, or as `describe`.
    """
    (target,) = read_targets((location,), access)
    if not isinstance(target, ReadPackage):
        raise UndecidedError("not a package", where=target.title, hint="only packages run")
    document = package_document(target, measure_bytes)
    return RunSubject(
        name=target.manifest.package_name,
        version=target.manifest.package_version,
        bom_serial_number=str(document["serialNumber"]),
        bom_sha256=measure_bytes(target.bom)[Algorithm.SHA256].hex,
        statement_sha256=measure_bytes(target.statement)[Algorithm.SHA256].hex,
    )


def package_document(target: ReadPackage, measure_bytes: MeasureBytes) -> dict[str, JsonValue]:
    """The bill of materials of a package, once manifest and bytes agree with it.

    Raises:
        RefusedError: kinds `digest`, `disagree`, `malformed`.
        UndecidedError: a detached model is not there.
    """
    manifest = target.manifest
    require_supported(manifest)  # of a second shard or model nothing would be read
    for name, data in ((COMPONENT_FILE, target.component), (BOM_FILE, target.bom)):
        entry, digests = manifest.entry(name), measure_bytes(data)
        _require_digest(name, entry.blake3, digests[Algorithm.BLAKE3])
        _require_digest(name, entry.sha256, digests[Algorithm.SHA256])
    headers: dict[str, GgufHeader] = {}
    for model, read in target.models:
        name = model.shards[0]
        if read is None:
            raise UndecidedError(
                "the model is not in the package",
                where=name,
                hint="`infwasi verify --model FILE` checks packages whose model lies elsewhere",
            )
        entry = manifest.entry(name)
        _require_digest(name, entry.blake3, read.digests.blake3)
        _require_digest(name, entry.sha256, read.digests.sha256)
        where = f"entries[{name}].gguf.tensors"
        _require_digest(where, entry.require_gguf().tensors, read.digests.tensor_root)
        headers[name] = read.header
    agreed = agree(
        manifest, target.component, target.bom, lambda entry: headers[entry.name], measure_bytes
    )
    return agreed.bom.tree


def _require_digest(where: str, stated: Digest, measured: Digest) -> None:
    if stated != measured:
        raise RefusedError(
            RefusalKind.DIGEST,
            "the file is not the one that the manifest states",
            where=where,
            expected=str(stated),
            got=str(measured),
        )


def _model_inputs(request: DescribeRequest, model: ReadModel) -> BomInputs:
    name = model.title.removesuffix(".gguf")
    header, digests = model.header, model.digests
    return BomInputs(
        name=model.title,
        version=None,
        timestamp=format_time(request.made_at),
        tools=tuple(sorted(request.tools.items())),
        declared=request.declared,
        wasm=None,
        models=(
            ModelSubject(
                name=name,
                size_bytes=model.size_bytes,
                sha256=digests.sha256,
                blake3=digests.blake3,
                evidence=GgufEvidence(
                    header_bytes=len(header.header_bytes),
                    header=header_digest(header),
                    tensor_count=len(header.tensors),
                    tensor_table=tensor_table_digest(header),
                    tensors=digests.tensor_root,
                ),
                tensor_digests=digests.tensors.to_text(),
                facts=model_facts(header),
            ),
        ),
        is_package=False,
    )


def _component_inputs(
    request: DescribeRequest, component: ReadComponent, measure_bytes: MeasureBytes
) -> BomInputs:
    digests = measure_bytes(component.data)
    return BomInputs(
        name=component.title,
        version=None,
        timestamp=format_time(request.made_at),
        tools=tuple(sorted(request.tools.items())),
        declared=request.declared,
        wasm=WasmSubject(
            name=component.title,
            size_bytes=len(component.data),
            sha256=digests[Algorithm.SHA256],
            blake3=digests[Algorithm.BLAKE3],
            facts=component.facts,
        ),
        models=(),
        is_package=False,
    )
