"""The predicate of a manifest as JSON, both ways (docs/format.md section 4).

Everything here is strict: unknown members, missing members, duplicates, other spellings of the same
value are refused, so that one manifest has one meaning and one byte form.
"""

import re
from contextlib import suppress
from datetime import datetime
from typing import Final

from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import (
    PACKAGE_NAME,
    VERSION,
    WORD,
    AttachmentClaim,
    ComponentClaim,
    Entry,
    EntryRole,
    FsVerity,
    GgufEvidence,
    Manifest,
    ModelClaim,
    Offset,
    PartClaim,
    format_time,
)
from infwasi_sign.domain.strict_json import Cursor, JsonValue
from infwasi_sign.errors import MalformedError

_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,254}")
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_HEX: Final = re.compile(r"([0-9a-f]{2}){0,32}")
_INTERFACE: Final = re.compile(r"[!-~]{1,255}")


def parse_predicate(predicate: Cursor, sha256_by_name: dict[str, Digest]) -> Manifest:
    """Turn the predicate of a v1 statement into a `Manifest` (docs/format.md section 4).

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
        package_name=_match(package["name"], PACKAGE_NAME, "a package name"),
        package_version=_match(package["version"], VERSION, "a version"),
        sequence=members["sequence"].integer(0, LIMITS.json_integer),
        issued_at=parse_time(members["issuedAt"]),
        expires_at=parse_time(members["expiresAt"]) if "expiresAt" in members else None,
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
    block_size = members["blockSize"].integer(1024, 65536)
    if block_size.bit_count() != 1:
        raise MalformedError(
            "not a block size",
            where=members["blockSize"].path,
            expected="a power of two",
            got=str(block_size),
        )
    return FsVerity(
        digest=_digest(members["digest"]).hex,
        block_size=block_size,
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
                name=_match(inner["name"], WORD, "a part's name"),
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
        name=_match(members["name"], WORD, "a model's name"),
        aliases=tuple(
            _match(alias, WORD, "a model's name") for alias in members["aliases"].array(16)
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
                name=_match(members["name"], WORD, "a name"),
                model=_match(members["model"], WORD, "a model's name"),
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


def parse_time(cursor: Cursor) -> datetime:
    """A time as everything here writes it: UTC, whole seconds, ``Z``."""
    text = _match(cursor, _TIME, "YYYY-MM-DDTHH:MM:SSZ")
    with suppress(ValueError):
        moment = datetime.fromisoformat(text)  # strptime costs each start 4 ms
        if format_time(moment) == text:  # Python 3.14 takes 24:00 for the next day
            return moment
    raise MalformedError("no such time", where=cursor.path, got=text)


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
