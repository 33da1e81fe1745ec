"""The manifest, format v1: what one signature says about a package (docs/format.md section 4).

The value types and what they must say together; `manifest_json` reads and writes them.
"""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from infwasi_sign.domain.digest import Digest
from infwasi_sign.errors import MalformedError, UndecidedError
from infwasi_sign.quick_dataclass import dataclass

MANIFEST_FILE: Final = "manifest.sigstore.json"
COMPONENT_FILE: Final = "app.wasm"
BOM_FILE: Final = "bom.cdx.json"
MODEL_FILE: Final = "model.gguf"
OMS_FILE: Final = "model.sig"
SIGNATURES_FOLDER: Final = "signatures"
RESERVED_NAMES: Final = frozenset({MANIFEST_FILE, OMS_FILE, SIGNATURES_FOLDER})

WORD: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
# No hyphen before a digit: `weather-1.0.0` is version 1.0.0 of `weather`, and of nothing else.
PACKAGE_NAME: Final = re.compile(r"(?!.*-[0-9])[a-z0-9][a-z0-9._-]{0,63}")
VERSION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,63}")


class EntryRole(StrEnum):
    """What a file is for. The role binds: a digest in another role is another thing."""

    COMPONENT = "component"
    BOM = "bom"
    MODEL = "model"
    LORA = "lora"
    PROJECTOR = "projector"


FIXED_NAMES: Final = {EntryRole.COMPONENT: COMPONENT_FILE, EntryRole.BOM: BOM_FILE}
GGUF_ROLES: Final = frozenset({EntryRole.MODEL, EntryRole.LORA, EntryRole.PROJECTOR})


@dataclass(frozen=True, kw_only=True, slots=True)
class Offset:
    """The entry's bytes lie inside another file of the package, from ``at`` on."""

    file: str
    at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FsVerity:
    """An fs-verity digest with the parameters it depends on (Linux fsverity.rst, "File digest")."""

    digest: str
    block_size: int
    salt: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GgufEvidence:
    """Digests of the parts of a GGUF (docs/format.md section 6)."""

    header_bytes: int
    header: Digest
    tensor_count: int
    tensor_table: Digest
    tensors: Digest


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One file of the package: its name, role, size in bytes and digests."""

    name: str
    role: EntryRole
    size_bytes: int
    sha256: Digest
    blake3: Digest
    is_detached: bool = False
    offset: Offset | None = None
    fs_verity: FsVerity | None = None
    gguf: GgufEvidence | None = None

    def require_gguf(self) -> GgufEvidence:
        """The evidence of an entry whose role demands it (format section 4.2)."""
        if self.gguf is None:
            raise ValueError(f"a {self.role} entry has no gguf evidence")
        return self.gguf

    @property
    def is_own_file(self) -> bool:
        """Whether a file of this name lies in the package directory."""
        return not self.is_detached and self.offset is None


@dataclass(frozen=True, kw_only=True, slots=True)
class PartClaim:
    """One component that was composed into the app; its bytes are in the app verbatim."""

    name: str
    size_bytes: int
    sha256: Digest


@dataclass(frozen=True, kw_only=True, slots=True)
class ComponentClaim:
    """What the app imports and exports, of what it is composed, and its settings' digest."""

    imports: tuple[str, ...]
    exports: tuple[str, ...]
    parts: tuple[PartClaim, ...]
    settings: Digest


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelClaim:
    """A model by the names that ``load-by-name`` resolves, and its shards in order."""

    name: str
    aliases: tuple[str, ...]
    shards: tuple[str, ...]
    architecture: str
    chat_template: Digest | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AttachmentClaim:
    """A LoRA adapter or projector: its name, the model it belongs to, the entry that holds it."""

    name: str
    model: str
    entry: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """The whole signed predicate. ``entries`` are sorted by name; times are UTC, whole seconds."""

    package_name: str
    package_version: str
    sequence: int
    issued_at: datetime
    expires_at: datetime | None
    entries: tuple[Entry, ...]
    component: ComponentClaim
    models: tuple[ModelClaim, ...]
    loras: tuple[AttachmentClaim, ...] = ()
    projectors: tuple[AttachmentClaim, ...] = ()
    oms_payload: Digest | None = None

    def __post_init__(self) -> None:
        _check_consistency(self)

    def only(self, role: EntryRole) -> Entry:
        """The one entry of a role that occurs exactly once (component, bom)."""
        (entry,) = (entry for entry in self.entries if entry.role is role)
        return entry

    def entry(self, name: str) -> Entry:
        """The entry called ``name``; it exists wherever the manifest itself names it."""
        return next(entry for entry in self.entries if entry.name == name)


def format_time(moment: datetime) -> str:
    """RFC 3339, UTC, whole seconds, with a Z."""
    # NOTE: strftime's %Y has no leading zeros on Linux (bugs.python.org/issue13305).
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def require_package_names(name: str, version: str) -> None:
    """Whether a name and a version can stand in a manifest (docs/format.md section 4.1).

    Raises:
        UndecidedError: one of them cannot.
    """
    for value, pattern, what, expected in (
        (
            name,
            PACKAGE_NAME,
            "package name",
            "1 to 64 of a-z 0-9 . _ - beginning with a letter or digit, no - before a digit",
        ),
        (version, VERSION, "version", "1 to 64 of A-Z a-z 0-9 . + - beginning with one of them"),
    ):
        if not pattern.fullmatch(value):
            raise UndecidedError(f"not a {what}", expected=expected, got=ascii(value)[:80])


# --- what members say together ----------------------------------------------------------------


def _check_consistency(manifest: Manifest) -> None:
    """The rules of docs/format.md section 4.4, each with its own sentence."""
    names = [entry.name for entry in manifest.entries]
    if names != sorted(set(names)):
        raise MalformedError("entries are not sorted by name or not unique", where="entries")
    for name in names:
        if name in RESERVED_NAMES:
            raise MalformedError("entry has a reserved name", where="entries", got=name)
    roles = Counter(entry.role for entry in manifest.entries)
    for role, name in FIXED_NAMES.items():
        if roles[role] != 1:
            raise MalformedError(
                f"wrong number of {role} entries",
                where="entries",
                expected="1",
                got=str(roles[role]),
            )
        if manifest.only(role).name != name:
            raise MalformedError(
                f"the {role} has another name",
                where="entries",
                expected=name,
                got=manifest.only(role).name,
            )
    for index, entry in enumerate(manifest.entries):
        _check_entry(manifest, entry, f"entries[{index}]")
    _check_models(manifest)
    parts = [part.name for part in manifest.component.parts]
    if parts != sorted(set(parts)):
        raise MalformedError("parts are not sorted by name or not unique", where="component.parts")
    _check_times(manifest)


def _check_times(manifest: Manifest) -> None:
    if manifest.expires_at is not None and manifest.expires_at <= manifest.issued_at:
        raise MalformedError("expires before it was issued", where="expiresAt")


def _check_entry(manifest: Manifest, entry: Entry, where: str) -> None:
    is_gguf = entry.role in GGUF_ROLES
    if is_gguf != (entry.gguf is not None):
        raise MalformedError(
            f"a {entry.role} entry {'needs' if is_gguf else 'has no'} gguf evidence", where=where
        )
    if not is_gguf and not entry.is_own_file:
        raise MalformedError(f"a {entry.role} entry is always a file of its own", where=where)
    if entry.offset is None:
        return
    if entry.is_detached:
        raise MalformedError("an entry is either detached or inside another file", where=where)
    host = next((e for e in manifest.entries if e.name == entry.offset.file), None)
    if host is None or not host.is_own_file:
        raise MalformedError(
            "offset names no file of the package", where=f"{where}.offset", got=entry.offset.file
        )
    if entry.offset.at % 4096 or entry.offset.at + entry.size_bytes > host.size_bytes:
        raise MalformedError(
            "offset is not page-aligned or ends beyond its file", where=f"{where}.offset"
        )


def _check_models(manifest: Manifest) -> None:
    if not manifest.models:
        raise MalformedError("no model is declared", where="models")
    held: list[tuple[EntryRole, str]] = []
    for model in manifest.models:
        if not model.shards:
            raise MalformedError("a model has no shards", where="models", got=model.name)
        held += [(EntryRole.MODEL, shard) for shard in model.shards]
    held += [(EntryRole.LORA, claim.entry) for claim in manifest.loras]
    held += [(EntryRole.PROJECTOR, claim.entry) for claim in manifest.projectors]
    declared = [(e.role, e.name) for e in manifest.entries if e.role in GGUF_ROLES]
    if sorted(held) != sorted(declared):
        raise MalformedError(
            "models, loras and projectors must name each entry of their role exactly once",
            where="models",
        )
    _require_unique(
        [name for model in manifest.models for name in (model.name, *model.aliases)], "models"
    )
    model_names = {model.name for model in manifest.models}
    for member, claims in (("loras", manifest.loras), ("projectors", manifest.projectors)):
        _require_unique([claim.name for claim in claims], member)
        for claim in claims:
            if claim.model not in model_names:
                raise MalformedError("names no model", where=member, got=claim.model)


def _require_unique(names: Sequence[str], where: str) -> None:
    if len(set(names)) != len(names):
        raise MalformedError("a name is used twice", where=where)
