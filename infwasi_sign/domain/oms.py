"""The payload of an OMS signature: the files of a model directory and their digests (docs/oms.md).

OpenSSF Model Signing (OMS) v1.0, as ``model_signing`` 0.3.1 to 1.1.1 writes and reads it: an
in-toto statement whose only subject is the directory, with the root digest over all files.
"""

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from infwasi_sign.domain import strict_json
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import MANIFEST_FILE, OMS_FILE, SIGNATURES_FOLDER
from infwasi_sign.domain.statement import STATEMENT_TYPE
from infwasi_sign.domain.strict_json import Cursor
from infwasi_sign.errors import MalformedError, UndecidedError
from infwasi_sign.quick_dataclass import dataclass

OMS_PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
# Of release 0.2, whose signatures are over other bytes than DSSE says (`pae_compat` of 1.1.1).
_OLD_PREDICATE_TYPE: Final = "https://model_signing/Digests/v0.1"
SINGLE_FILE: Final = "."
"""How a resource is called that is the model itself, where that is a file and no directory."""

GIT_PATHS: Final = (".git", ".gitattributes", ".github", ".gitignore")
"""What `model_signing` leaves out unless it is told otherwise (``hashing.Config.hash``)."""

PACKAGE_IGNORED: Final = tuple(sorted((*GIT_PATHS, MANIFEST_FILE, OMS_FILE, SIGNATURES_FOLDER)))
"""What the companion of a package leaves out: signatures, which come to a package later."""

# Unicode general categories (UAX #44, table 12) that show a name as another, or as nothing.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})


@dataclass(frozen=True, kw_only=True, slots=True)
class OmsResource:
    """One file: its path relative to the directory, with slashes, and its digest."""

    name: str
    digest: Digest


@dataclass(frozen=True, kw_only=True, slots=True)
class OmsPayload:
    """All that an OMS signature says.

    ``subject`` is what the directory was called when it was signed; nobody compares it, so that the
    directory can be moved. ``resources`` are in the order of the payload, which the root digest
    covers. ``ignored`` are paths that nobody signed, with everything below them, sorted.
    ``allows_links``: the signer followed symbolic links; we do not.
    """

    subject: str
    resources: tuple[OmsResource, ...]
    algorithm: Algorithm
    allows_links: bool
    ignored: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_consistency(self)

    @property
    def root(self) -> Digest:
        """SHA-256 over the raw digests of all resources in their order."""
        raw = b"".join(bytes.fromhex(resource.digest.hex) for resource in self.resources)
        return Digest(algorithm=Algorithm.SHA256, hex=hashlib.sha256(raw).hexdigest())

    @property
    def is_single_file(self) -> bool:
        """The model is one file, and its name is that of the subject."""
        return [resource.name for resource in self.resources] == [SINGLE_FILE]

    @property
    def files(self) -> Mapping[str, Digest]:
        """The signed files by their path in the directory."""
        if self.is_single_file:
            return {self.subject: self.resources[0].digest}
        return {resource.name: resource.digest for resource in self.resources}


@dataclass(frozen=True, kw_only=True, slots=True)
class OmsSurvey:
    """What lies in a directory: files with their sizes in bytes, and ignored paths, sorted."""

    files: Mapping[str, int]
    ignored: tuple[str, ...]


def is_ignored(path: str, ignored: Sequence[str]) -> bool:
    """Whether ``path`` is one of ``ignored`` or lies below one."""
    return any(path == one or path.startswith(one + "/") for one in ignored)


def path_order(path: str) -> list[str]:
    """Sorts paths as `model_signing` does: name by name, each by code points.

    NOTE: not the order of whole strings, where `a.txt` stands before `a/b`.
    """
    return path.split("/")


# --- writing ---------------------------------------------------------------------------------


def encode_oms_payload(
    subject: str, files: Iterable[tuple[str, Digest]], ignored: Sequence[str] = PACKAGE_IGNORED
) -> bytes:
    """The payload for a directory: RFC 8785 bytes, the same whatever the order of ``files``.

    All digests are of one algorithm; SHA-256 is what the command ``model_signing`` can verify.
    ``subject`` is informative: give the name that the directory has when it is made.

    Raises:
        MalformedError: no payload can say this (no files, unsafe or ignored paths).
    """
    resources = tuple(
        OmsResource(name=name, digest=digest)
        for name, digest in sorted(files, key=lambda pair: path_order(pair[0]))
    )
    if not resources:
        raise MalformedError("no file is signed", where="resources")
    payload = OmsPayload(
        subject=subject,
        resources=resources,
        algorithm=resources[0].digest.algorithm,
        allows_links=False,
        ignored=tuple(sorted(ignored)),
    )
    return strict_json.canonical(_statement(payload))


def _statement(payload: OmsPayload) -> strict_json.JsonValue:
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": payload.subject, "digest": {"sha256": payload.root.hex}}],
        "predicateType": OMS_PREDICATE_TYPE,
        "predicate": {
            "resources": [
                {
                    "name": resource.name,
                    "algorithm": str(resource.digest.algorithm),
                    "digest": resource.digest.hex,
                }
                for resource in payload.resources
            ],
            "serialization": {
                "method": "files",
                "hash_type": str(payload.algorithm),
                "allow_symlinks": payload.allows_links,
                "ignore_paths": list(payload.ignored),
            },
        },
    }


# --- reading ---------------------------------------------------------------------------------


def parse_oms_payload(data: bytes) -> OmsPayload:
    """Read a payload whose signature was verified.

    1. JSON without duplicate members, an in-toto statement v1, of the predicate type of OMS v1.0
    2. how the files were digested: whole, by an algorithm that we know
    3. the resources: each digest of that algorithm, safe paths in their order, none twice
    4. one subject, whose digest is the root digest over the resources

    Members may stand in any order, for protobuf, which wrote the releases before 1.1, has none.

    Raises:
        MalformedError: naming the member.
        UndecidedError: it is digested in a way that we do not know.
    """
    # 1
    value = strict_json.parse(data, where="payload", limit_bytes=LIMITS.oms_payload_bytes)
    cursor = Cursor(value, "payload")
    members = cursor.object(required=("_type", "subject", "predicateType", "predicate"))
    _require_type(members["_type"], members["predicateType"])
    predicate = members["predicate"].object(required=("serialization", "resources"))
    # 2
    algorithm, allows_links, ignored = _parse_serialization(predicate["serialization"])
    # 3
    resources = tuple(
        _parse_resource(item, algorithm)
        for item in predicate["resources"].array(LIMITS.oms_resources, min_items=1)
    )
    # 4
    (subject,) = members["subject"].array(1, min_items=1)
    named = subject.object(required=("name", "digest"))
    payload = OmsPayload(
        subject=named["name"].string(LIMITS.file_name_bytes),
        resources=resources,
        algorithm=algorithm,
        allows_links=allows_links,
        ignored=ignored,
    )
    _require_root(payload, named["digest"].object(required=("sha256",))["sha256"])
    return payload


def _require_type(statement: Cursor, predicate: Cursor) -> None:
    if (kind := statement.string()) != STATEMENT_TYPE:
        raise MalformedError("not an in-toto statement", where=statement.path, got=ascii(kind)[:80])
    if (kind := predicate.string()) == OMS_PREDICATE_TYPE:
        return
    if kind == _OLD_PREDICATE_TYPE:
        raise old_release()
    raise MalformedError(
        "not an OMS signature of version 1.0",
        where=predicate.path,
        expected=OMS_PREDICATE_TYPE,
        got=ascii(kind)[:80],
    )


def old_release() -> MalformedError:
    """What is said of a signature of release 0.2."""
    return MalformedError(
        "not an OMS signature of version 1.0",
        where="payload.predicateType",
        expected=OMS_PREDICATE_TYPE,
        got=_OLD_PREDICATE_TYPE,
        hint="model_signing 0.2 made it: ask for a signature by model_signing 1.0 or newer",
    )


def names_old_release(data: bytes) -> bool:
    """Whether a payload that nobody signed looks like one of release 0.2: good for a hint only."""
    return _OLD_PREDICATE_TYPE.encode("ascii") in data


def _parse_serialization(cursor: Cursor) -> tuple[Algorithm, bool, tuple[str, ...]]:
    members = cursor.object(
        required=("method", "hash_type", "allow_symlinks"),
        optional=("ignore_paths", "shard_size"),
    )
    method, hash_type = members["method"].string(), members["hash_type"].string()
    if method != "files" or "shard_size" in members:
        raise UndecidedError(
            "the files were not digested whole",
            where=members["method"].path,
            expected="files",
            got=ascii(method)[:80],
            hint="digests of shards are not verified by this version",
        )
    if hash_type not in set(Algorithm):
        raise UndecidedError(
            "hash algorithm is not supported",
            where=members["hash_type"].path,
            expected=" or ".join(Algorithm),
            got=ascii(hash_type)[:80],
        )
    listed = members.get("ignore_paths")
    items = () if listed is None else listed.array(LIMITS.oms_ignored_paths)
    ignored = tuple(sorted(item.string(LIMITS.oms_path_bytes) for item in items))
    return Algorithm(hash_type), members["allow_symlinks"].boolean(), ignored


def _parse_resource(cursor: Cursor, algorithm: Algorithm) -> OmsResource:
    members = cursor.object(required=("name", "algorithm", "digest"))
    if (named := members["algorithm"].string()) != algorithm:
        raise MalformedError(
            "algorithm is another than the serialization says",
            where=members["algorithm"].path,
            expected=algorithm,
            got=ascii(named)[:80],
        )
    digest = members["digest"]
    return OmsResource(
        name=members["name"].string(LIMITS.oms_path_bytes),
        digest=Digest.parse_hex(algorithm, digest.string(), where=digest.path),
    )


def _require_root(payload: OmsPayload, cursor: Cursor) -> None:
    claimed = Digest.parse_hex(Algorithm.SHA256, cursor.string(), where=cursor.path)
    if claimed != payload.root:
        raise MalformedError(
            "root digest is not that of the resources",
            where=cursor.path,
            expected=str(payload.root),
            got=str(claimed),
        )


# --- what members say together ---------------------------------------------------------------


def _check_consistency(payload: OmsPayload) -> None:
    """Each path is safe and stands once; nothing is signed and ignored at once."""
    if payload.is_single_file:
        _require_safe(payload.subject, "subject")
        if "/" in payload.subject:
            raise MalformedError("not a file name", where="subject", got=ascii(payload.subject))
    else:
        for resource in payload.resources:
            _require_safe(resource.name, "resources")
    for path in payload.ignored:
        _require_safe(path, "ignore_paths")
    if len(set(payload.ignored)) != len(payload.ignored):
        raise MalformedError("a path stands twice", where="ignore_paths")
    _require_order([resource.name for resource in payload.resources])
    for path in payload.files:
        if is_ignored(path, payload.ignored):
            raise MalformedError("a file is signed and ignored", where="resources", got=path)
    if any(resource.digest.algorithm is not payload.algorithm for resource in payload.resources):
        raise MalformedError("digests are of several algorithms", where="resources")


def _require_order(names: list[str]) -> None:
    """Sorted name by name (`model_signing`) or as whole strings (the letter of OMS), each once."""
    if names not in (sorted(names, key=path_order), sorted(names)):
        raise MalformedError("resources are not sorted by name", where="resources")
    known = set(names)
    if len(known) != len(names):
        raise MalformedError("a resource stands twice", where="resources")
    for name in names:
        parts = name.split("/")
        above = ("/".join(parts[:length]) for length in range(1, len(parts)))
        if found := known.intersection(above):
            raise MalformedError(
                "a path is a file and a directory", where="resources", got=min(found)
            )


def _require_safe(path: str, where: str) -> None:
    """A path that stays in the directory and shows as what it is."""
    parts = path.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        raise MalformedError(
            "path is not safe",
            where=where,
            expected="names with slashes between them, none of them . or ..",
            got=ascii(path[:80])[:80],
        )
    if len(parts) > LIMITS.oms_path_depth:
        raise MalformedError(
            "path is too deep",
            where=where,
            expected=f"at most {LIMITS.oms_path_depth} names",
            got=str(len(parts)),
        )
    if any(unicodedata.category(character) in _UNSEEN for character in path):
        raise MalformedError(
            "path has characters that do not show", where=where, got=ascii(path[:80])[:80]
        )
    longest = max(len(part.encode("utf-8")) for part in parts)
    if longest > LIMITS.file_name_bytes:
        raise MalformedError(
            "path has a name that is too long",
            where=where,
            expected=f"at most {LIMITS.file_name_bytes} bytes",
            got=str(longest),
        )
