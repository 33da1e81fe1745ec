"""A new statement over the same component and model: a later sequence, another end, nothing packed.

1. who      anybody the caller has; of a package that has ended, only its own packer
2. times    the sequence moves forward, and the end lies ahead
3. describe the same BOM, but for the time that it was issued, which the package says too
4. state    the manifest, with the BOM's new digests, and the OMS payload over them
5. sign     and verify what was signed
6. write    all of it; component and model are the bytes that were verified
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from infwasi_sign.domain.bom import bom_bytes, read_bom, retimed
from infwasi_sign.domain.bundle import encode_bundle
from infwasi_sign.domain.digest import Algorithm, Digest, MeasureBytes
from infwasi_sign.domain.manifest import (
    BOM_FILE,
    COMPONENT_FILE,
    MANIFEST_FILE,
    OMS_FILE,
    Entry,
    EntryRole,
    Manifest,
    format_time,
)
from infwasi_sign.domain.material import NameSigner
from infwasi_sign.domain.oms import encode_oms_payload
from infwasi_sign.domain.statement import encode_statement, parse_statement
from infwasi_sign.domain.validity import end_of_validity
from infwasi_sign.errors import UndecidedError
from infwasi_sign.ports import EntryFile, Sealer
from infwasi_sign.quick_dataclass import dataclass
from infwasi_sign.verify import VerifiedPackage


class RenewalTarget(Protocol):
    """The successor of one package that was verified; nobody sees it before it is complete."""

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file."""
        ...

    def adopt(self, name: str, file: EntryFile, sha256: Digest) -> None:
        """Take over a file of the old package, by a link, else by a copy that has this digest."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class RenewRequest:
    """What the new statement says. ``issued_at`` is a whole second, UTC.

    ``valid_for`` absent means for ever; ``sequence`` absent means the time of issue.
    """

    issued_at: datetime
    valid_for: timedelta | None
    sequence: int | None = None
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Renewed:
    """What was written. ``dropped`` are those whose approval is not in it, by name or by file."""

    manifest: Manifest
    statement: bytes
    made_by: str
    dropped: tuple[str, ...]


def has_ended(manifest: Manifest, now: datetime) -> bool:
    """Whether a package is beyond its end, without any allowance for clocks."""
    return manifest.expires_at is not None and now > manifest.expires_at


def renew(
    package: VerifiedPackage,
    request: RenewRequest,
    *,
    sealer: Sealer,
    name_signer: NameSigner,
    measure_bytes: MeasureBytes,
    target: RenewalTarget,
) -> Renewed:
    """Write the successor of ``package`` to ``target``; the caller commits it.

    Raises:
        UndecidedError: it would not follow the old package, somebody else than its packer renews
            one that has ended, or it cannot be signed or written.
    """
    VerifiedPackage.require(package)
    old = package.manifest
    packer = name_signer(package.signatures.material)
    # 1. who
    is_for_packer = has_ended(old, request.now)
    if is_for_packer and sealer.known_as is not None:
        _require_packer(sealer.known_as, packer)
    if old.oms_payload is not None and sealer.obstacle is not None:
        raise UndecidedError(
            "no OMS companion is possible, and the package has one",
            got=sealer.obstacle,
            hint="renew with a key that can sign one, or pack again with --no-oms",
        )
    # 2. times
    sequence = _sequence(request, old)
    expires_at = end_of_validity(request.issued_at, request.valid_for, request.now)
    # 3. describe
    bom = bom_bytes(retimed(read_bom(package.bom), format_time(request.issued_at)))
    # 4. state
    entries = tuple(
        _restated(entry, bom, measure_bytes(bom)) if entry.role is EntryRole.BOM else entry
        for entry in old.entries
    )
    oms_payload = stated = None
    if old.oms_payload is not None:
        subject = f"{old.package_name}-{old.package_version}"
        files = [(entry.name, entry.sha256) for entry in entries if entry.is_own_file]
        oms_payload = encode_oms_payload(subject, files)
        stated = measure_bytes(oms_payload)[Algorithm.SHA256]
    manifest = replace(
        old,
        sequence=sequence,
        issued_at=request.issued_at,
        expires_at=expires_at,
        entries=entries,
        oms_payload=stated,
    )
    statement = encode_statement(manifest)
    parse_statement(statement)  # whatever a verifier would refuse is not signed
    # 5. sign
    bundle = sealer.seal(statement)
    made_by = name_signer(bundle.material)
    if bundle.envelope.payload != statement:
        raise UndecidedError("what was signed is not the new statement")
    if is_for_packer:
        _require_packer(made_by, packer)
    # 6. write
    target.write(COMPONENT_FILE, package.component)
    target.write(BOM_FILE, bom)
    for model in old.models:
        entry = old.entry(model.shards[0])
        if entry.is_own_file:
            target.adopt(entry.name, package.model_file(model.name), entry.sha256)
    target.write(MANIFEST_FILE, encode_bundle(bundle))
    if oms_payload is not None:
        target.write(OMS_FILE, sealer.companion(oms_payload))
    return Renewed(
        manifest=manifest,
        statement=statement,
        made_by=made_by,
        dropped=_dropped(package, is_by_packer=made_by == packer),
    )


def _require_packer(name: str, packer: str) -> None:
    if name != packer:
        raise UndecidedError(
            "the package has ended, and only its own packer can renew it",
            expected=packer,
            got=name,
            hint="pack it again",
        )


def _sequence(request: RenewRequest, old: Manifest) -> int:
    """The caller's, else the time; always after the old one, or verifiers would see a rollback."""
    sequence = request.sequence
    if sequence is None:
        sequence = int(request.issued_at.timestamp())
    if sequence <= old.sequence:
        raise UndecidedError(
            "the sequence does not move forward",
            expected=f"more than {old.sequence}",
            got=str(sequence),
            hint="--sequence NUMBER; without it, it is the time of issue (see SOURCE_DATE_EPOCH)",
        )
    return sequence


def _restated(entry: Entry, data: bytes, digests: Mapping[Algorithm, Digest]) -> Entry:
    return replace(
        entry,
        size_bytes=len(data),
        sha256=digests[Algorithm.SHA256],
        blake3=digests[Algorithm.BLAKE3],
    )


def _dropped(package: VerifiedPackage, *, is_by_packer: bool) -> tuple[str, ...]:
    signatures = package.signatures
    others = [
        other.file if other.signer is None else other.signer.name for other in signatures.others
    ]
    return tuple(dict.fromkeys([*([] if is_by_packer else [signatures.packer.name]), *others]))
