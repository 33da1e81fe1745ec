"""The manifest, format v1: what one signature says about a package (docs/format.md section 4).

Everything here is strict: unknown members, missing members, duplicates, other spellings of the same
value are refused, so that one manifest has one meaning and one byte form.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.strict_json import Cursor, JsonValue
from infwasi_sign.errors import MalformedError, UndecidedError

MANIFEST_FILE: Final = "manifest.sigstore.json"
COMPONENT_FILE: Final = "app.wasm"
BOM_FILE: Final = "bom.cdx.json"
MODEL_FILE: Final = "model.gguf"
OMS_FILE: Final = "model.sig"
SIGNATURES_FOLDER: Final = "signatures"
RESERVED_NAMES: Final = frozenset({MANIFEST_FILE, OMS_FILE, SIGNATURES_FOLDER})

_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,254}")
_WORD: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_VERSION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,63}")
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_HEX: Final = re.compile(r"([0-9a-f]{2}){0,64}")
_INTERFACE: Final = re.compile(r"[!-~]{1,255}")


class EntryRole(StrEnum):
    """What a file is for. The role binds: a digest in another role is another thing."""

    COMPONENT = "component"
    BOM = "bom"
    MODEL = "model"
    LORA = "lora"
    PROJECTOR = "projector"


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


def require_package_names(name: str, version: str) -> None:
    """Whether a name and a version can stand in a manifest (docs/format.md section 4.1).

    Raises:
        UndecidedError: one of them cannot.
    """
    for value, pattern, what, expected in (
        (name, _WORD, "package name", "1 to 64 of a-z 0-9 . _ - beginning with a letter or digit"),
        (version, _VERSION, "version", "1 to 64 of A-Z a-z 0-9 . + - beginning with one of them"),
    ):
        if not pattern.fullmatch(value):
            raise UndecidedError(f"not a {what}", expected=expected, got=ascii(value)[:80])


# --- from JSON -------------------------------------------------------------------------------


def parse_predicate(predicate: Cursor, sha256_by_name: dict[str, Digest]) -> Manifest:
    """Turn the predicate of a v1 statement into a `Manifest` (docs/format.md section 4.3).

    ``sha256_by_name`` holds the statement's subjects. Raises `MalformedError` naming the member.
    """
    members = predicate.object(
        required={"package", "sequence", "issuedAt", "entries", "component", "models"},
        optional={"expiresAt", "loras", "projectors", "omsPayload"},
    )
    package = members["package"].object(required={"name", "version"})
    entries = tuple(
        _parse_entry(cursor, sha256_by_name)
        for cursor in members["entries"].array(LIMITS.package_files)
    )
    if set(sha256_by_name) != {entry.name for entry in entries}:
        raise MalformedError(
            "subjects and entries do not name the same files", where=members["entries"].path
        )
    return Manifest(
        package_name=_match(package["name"], _WORD, "a package name"),
        package_version=_match(package["version"], _VERSION, "a version"),
        sequence=members["sequence"].integer(0, LIMITS.json_integer),
        issued_at=_parse_time(members["issuedAt"]),
        expires_at=_parse_time(members["expiresAt"]) if "expiresAt" in members else None,
        entries=entries,
        component=_parse_component(members["component"]),
        models=tuple(_parse_model(cursor) for cursor in members["models"].array(64)),
        loras=_parse_attachments(members.get("loras")),
        projectors=_parse_attachments(members.get("projectors")),
        oms_payload=_digest(members["omsPayload"]) if "omsPayload" in members else None,
    )


def _parse_entry(cursor: Cursor, sha256_by_name: dict[str, Digest]) -> Entry:
    members = cursor.object(
        required={"name", "role", "size", "blake3"},
        optional={"detached", "offset", "fsVerity", "gguf"},
    )
    name = _match(members["name"], _FILE_NAME, "a plain file name")
    if name not in sha256_by_name:
        raise MalformedError("entry has no subject", where=members["name"].path, got=repr(name))
    is_detached = False
    if "detached" in members:
        is_detached = members["detached"].boolean()
        if not is_detached:
            raise MalformedError(
                "false is written by leaving it out", where=members["detached"].path
            )
    offset = None
    if "offset" in members:
        within = members["offset"].object(required={"file", "at"})
        offset = Offset(
            file=_match(within["file"], _FILE_NAME, "a plain file name"),
            at=within["at"].integer(0, LIMITS.json_integer),
        )
    return Entry(
        name=name,
        role=_parse_role(members["role"]),
        size_bytes=members["size"].integer(1, LIMITS.model_bytes),
        sha256=sha256_by_name[name],
        blake3=_digest(members["blake3"], Algorithm.BLAKE3),
        is_detached=is_detached,
        offset=offset,
        fs_verity=_parse_fs_verity(members["fsVerity"]) if "fsVerity" in members else None,
        gguf=_parse_gguf(members["gguf"]) if "gguf" in members else None,
    )


def _parse_role(cursor: Cursor) -> EntryRole:
    text = cursor.string()
    try:
        return EntryRole(text)
    except ValueError:
        expected = ", ".join(EntryRole)
        raise MalformedError(
            "unknown role", where=cursor.path, expected=f"one of {expected}", got=repr(text)[:80]
        ) from None


def _parse_fs_verity(cursor: Cursor) -> FsVerity:
    members = cursor.object(required={"digest", "blockSize", "salt"})
    return FsVerity(
        digest=_digest(members["digest"]).hex,
        block_size=members["blockSize"].integer(1024, 65536),
        salt=_match(members["salt"], _HEX, "hex digits"),
    )


def _parse_gguf(cursor: Cursor) -> GgufEvidence:
    members = cursor.object(
        required={"headerSize", "header", "tensorCount", "tensorTable", "tensors"}
    )
    return GgufEvidence(
        header_bytes=members["headerSize"].integer(24, LIMITS.gguf_header_bytes),
        header=_digest(members["header"]),
        tensor_count=members["tensorCount"].integer(0, LIMITS.gguf_tensors),
        tensor_table=_digest(members["tensorTable"]),
        tensors=_digest(members["tensors"], Algorithm.BLAKE3),
    )


def _parse_component(cursor: Cursor) -> ComponentClaim:
    members = cursor.object(required={"imports", "exports", "parts", "settings"})
    parts = []
    for part in members["parts"].array(16):
        inner = part.object(required={"name", "size", "sha256"})
        parts.append(
            PartClaim(
                name=_match(inner["name"], _WORD, "a part's name"),
                size_bytes=inner["size"].integer(1, LIMITS.component_bytes),
                sha256=_digest(inner["sha256"]),
            )
        )
    return ComponentClaim(
        imports=_sorted_words(members["imports"]),
        exports=_sorted_words(members["exports"]),
        parts=tuple(parts),
        settings=_digest(members["settings"]),
    )


def _parse_model(cursor: Cursor) -> ModelClaim:
    members = cursor.object(
        required={"name", "aliases", "shards", "architecture"}, optional={"chatTemplate"}
    )
    return ModelClaim(
        name=_match(members["name"], _WORD, "a model's name"),
        aliases=tuple(
            _match(alias, _WORD, "a model's name") for alias in members["aliases"].array(16)
        ),
        shards=tuple(
            _match(shard, _FILE_NAME, "a plain file name")
            for shard in members["shards"].array(LIMITS.package_files)
        ),
        architecture=_match(members["architecture"], _INTERFACE, "printable ASCII"),
        chat_template=_digest(members["chatTemplate"]) if "chatTemplate" in members else None,
    )


def _parse_attachments(cursor: Cursor | None) -> tuple[AttachmentClaim, ...]:
    if cursor is None:
        return ()
    claims = []
    for item in cursor.array(LIMITS.package_files):
        members = item.object(required={"name", "model", "entry"})
        claims.append(
            AttachmentClaim(
                name=_match(members["name"], _WORD, "a name"),
                model=_match(members["model"], _WORD, "a model's name"),
                entry=_match(members["entry"], _FILE_NAME, "a plain file name"),
            )
        )
    if not claims:
        raise MalformedError("an empty list is written by leaving it out", where=cursor.path)
    return tuple(claims)


def _match(cursor: Cursor, pattern: re.Pattern[str], expected: str) -> str:
    text = cursor.string()
    if not pattern.fullmatch(text):
        raise MalformedError(
            "bad value", where=cursor.path, expected=expected, got=ascii(text)[:80]
        )
    return text


def _digest(cursor: Cursor, algorithm: Algorithm = Algorithm.SHA256) -> Digest:
    return Digest.parse_hex(algorithm, cursor.string(), where=cursor.path)


def _sorted_words(cursor: Cursor) -> tuple[str, ...]:
    words = tuple(_match(item, _INTERFACE, "an interface name") for item in cursor.array(1024))
    if list(words) != sorted(set(words)):
        raise MalformedError("names are not sorted or not unique", where=cursor.path)
    return words


def _parse_time(cursor: Cursor) -> datetime:
    text = _match(cursor, _TIME, "YYYY-MM-DDTHH:MM:SSZ")
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise MalformedError("no such time", where=cursor.path, got=text) from None


# --- to JSON ---------------------------------------------------------------------------------


def predicate_json(manifest: Manifest) -> dict[str, JsonValue]:
    """The predicate as JSON values; absent optional members are left out."""
    predicate: dict[str, JsonValue] = {
        "package": {"name": manifest.package_name, "version": manifest.package_version},
        "sequence": manifest.sequence,
        "issuedAt": format_time(manifest.issued_at),
        "entries": [_entry_json(entry) for entry in manifest.entries],
        "component": {
            "imports": list(manifest.component.imports),
            "exports": list(manifest.component.exports),
            "parts": [
                {"name": part.name, "size": part.size_bytes, "sha256": part.sha256.hex}
                for part in manifest.component.parts
            ],
            "settings": manifest.component.settings.hex,
        },
        "models": [_model_json(model) for model in manifest.models],
    }
    if manifest.expires_at is not None:
        predicate["expiresAt"] = format_time(manifest.expires_at)
    for name, claims in (("loras", manifest.loras), ("projectors", manifest.projectors)):
        if claims:
            predicate[name] = [
                {"name": claim.name, "model": claim.model, "entry": claim.entry} for claim in claims
            ]
    if manifest.oms_payload is not None:
        predicate["omsPayload"] = manifest.oms_payload.hex
    return predicate


def _entry_json(entry: Entry) -> JsonValue:
    members: dict[str, JsonValue] = {
        "name": entry.name,
        "role": str(entry.role),
        "size": entry.size_bytes,
        "blake3": entry.blake3.hex,
    }
    if entry.is_detached:
        members["detached"] = True
    if entry.offset is not None:
        members["offset"] = {"file": entry.offset.file, "at": entry.offset.at}
    if entry.fs_verity is not None:
        members["fsVerity"] = {
            "digest": entry.fs_verity.digest,
            "blockSize": entry.fs_verity.block_size,
            "salt": entry.fs_verity.salt,
        }
    if entry.gguf is not None:
        members["gguf"] = {
            "headerSize": entry.gguf.header_bytes,
            "header": entry.gguf.header.hex,
            "tensorCount": entry.gguf.tensor_count,
            "tensorTable": entry.gguf.tensor_table.hex,
            "tensors": entry.gguf.tensors.hex,
        }
    return members


def _model_json(model: ModelClaim) -> JsonValue:
    members: dict[str, JsonValue] = {
        "name": model.name,
        "aliases": list(model.aliases),
        "shards": list(model.shards),
        "architecture": model.architecture,
    }
    if model.chat_template is not None:
        members["chatTemplate"] = model.chat_template.hex
    return members


def format_time(moment: datetime) -> str:
    """RFC 3339, UTC, whole seconds, with a Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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
    for role in (EntryRole.COMPONENT, EntryRole.BOM):
        if roles[role] != 1:
            raise MalformedError(
                f"wrong number of {role} entries",
                where="entries",
                expected="1",
                got=str(roles[role]),
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
