"""Manifests for tests: a plain one, one with every optional member, and any at all."""

import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import (
    FIXED_NAMES,
    GGUF_ROLES,
    PACKAGE_NAME,
    RESERVED_NAMES,
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
)


def sha256(number: int) -> Digest:
    return Digest(algorithm=Algorithm.SHA256, hex=f"{number:064x}")


def blake3(number: int) -> Digest:
    return Digest(algorithm=Algorithm.BLAKE3, hex=f"{number:064x}")


EVIDENCE = GgufEvidence(
    header_bytes=320, header=sha256(1), tensor_count=3, tensor_table=sha256(2), tensors=blake3(3)
)


def make_entry(name: str, role: EntryRole, **changes: Any) -> Entry:
    """An entry that is right for its role, with these changes."""
    members: dict[str, Any] = {
        "name": name,
        "role": role,
        "size_bytes": 8192,
        "sha256": sha256(4),
        "blake3": blake3(5),
        "gguf": EVIDENCE if role in GGUF_ROLES else None,
    }
    return Entry(**(members | changes))


APP = make_entry("app.wasm", EntryRole.COMPONENT)
BOM = make_entry("bom.cdx.json", EntryRole.BOM)
MODEL = make_entry("model.gguf", EntryRole.MODEL)
CLAIM = ModelClaim(
    name="model",
    aliases=(),
    shards=("model.gguf",),
    architecture="llama",
    chat_template=sha256(6),
)

MANIFEST = Manifest(
    package_name="capital",
    package_version="1.0.0",
    sequence=1,
    issued_at=datetime(2026, 1, 1, tzinfo=UTC),
    expires_at=datetime(2027, 1, 1, tzinfo=UTC),
    entries=(APP, BOM, MODEL),
    component=ComponentClaim(
        imports=("infwasi:llm/types@0.1.0",),
        exports=("infwasi:llm/inference@0.1.0",),
        parts=(PartClaim(name="config", size_bytes=600, sha256=sha256(7)),),
        settings=sha256(8),
    ),
    models=(CLAIM,),
)

FULL = replace(
    MANIFEST,
    entries=(
        APP,
        replace(BOM, fs_verity=FsVerity(digest="0" * 63 + "9", block_size=4096, salt="00ff")),
        make_entry("lora.gguf", EntryRole.LORA, is_detached=True),
        make_entry("model-1.gguf", EntryRole.MODEL),
        make_entry(
            "model-2.gguf",
            EntryRole.MODEL,
            size_bytes=100,
            offset=Offset(file="model-1.gguf", at=4096),
        ),
        make_entry("vision.gguf", EntryRole.PROJECTOR),
    ),
    models=(replace(CLAIM, aliases=("default",), shards=("model-1.gguf", "model-2.gguf")),),
    loras=(AttachmentClaim(name="polite", model="model", entry="lora.gguf"),),
    projectors=(AttachmentClaim(name="eyes", model="model", entry="vision.gguf"),),
    oms_payload=sha256(10),
)


# --- any manifest ------------------------------------------------------------------------------

_LETTERS = string.ascii_letters + string.digits + "_"
_file_names = st.builds(
    str.__add__, st.sampled_from(_LETTERS), st.text(_LETTERS + ".+-", max_size=20)
).filter(lambda name: name not in RESERVED_NAMES | set(FIXED_NAMES.values()))
_words = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True)
_versions = st.from_regex(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,20}", fullmatch=True)
_interfaces = st.text([chr(code) for code in range(0x21, 0x7F)], min_size=1, max_size=30)
_hex = st.binary(min_size=32, max_size=32).map(bytes.hex)
_sha256 = st.builds(Digest, algorithm=st.just(Algorithm.SHA256), hex=_hex)
_blake3 = st.builds(Digest, algorithm=st.just(Algorithm.BLAKE3), hex=_hex)
_seconds = st.integers(-62135596800, 253402300798)  # the years 1 to 9999
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_evidence = st.builds(
    GgufEvidence,
    header_bytes=st.integers(24, LIMITS.gguf_header_bytes),
    header=_sha256,
    tensor_count=st.integers(0, LIMITS.gguf_tensors),
    tensor_table=_sha256,
    tensors=_blake3,
)
_fs_verity = st.builds(
    FsVerity,
    digest=_hex,
    block_size=st.sampled_from([1024, 4096, 65536]),
    salt=st.binary(max_size=32).map(bytes.hex),
)


def _entries(name: str, role: EntryRole) -> st.SearchStrategy[Entry]:
    is_gguf = role in GGUF_ROLES
    return st.builds(
        Entry,
        name=st.just(name),
        role=st.just(role),
        size_bytes=st.integers(1, LIMITS.model_bytes),
        sha256=_sha256,
        blake3=_blake3,
        is_detached=st.booleans() if is_gguf else st.just(False),
        fs_verity=st.none() | _fs_verity,
        gguf=_evidence if is_gguf else st.none(),
    )


def _sorted_unique(words: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(words, max_size=4, unique=True).map(lambda found: tuple(sorted(found)))


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Any manifest that exists: models with shards, attachments, offsets, with and without."""
    roles = [
        EntryRole.COMPONENT,
        EntryRole.BOM,
        EntryRole.MODEL,
        *draw(st.lists(st.sampled_from(sorted(GGUF_ROLES)), max_size=4)),
    ]
    count = len(roles)
    names = [
        *FIXED_NAMES.values(),
        *draw(st.lists(_file_names, min_size=count - 2, max_size=count - 2, unique=True)),
    ]
    entries = [draw(_entries(name, role)) for name, role in zip(names, roles, strict=True)]
    if draw(st.booleans()):  # the last one lies inside the first file
        page = draw(st.integers(0, 2**20)) * 4096
        inside = replace(entries[-1], is_detached=False, offset=Offset(file=names[0], at=page))
        host = replace(entries[0], size_bytes=page + inside.size_bytes)
        if host.size_bytes <= LIMITS.model_bytes:
            entries[0], entries[-1] = host, inside
    by_role = {role: [e.name for e in entries if e.role is role] for role in EntryRole}
    words = iter(draw(st.lists(_words, min_size=12, max_size=12, unique=True)))
    shards = draw(st.permutations(by_role[EntryRole.MODEL]))
    cut = draw(st.integers(1, len(shards)))
    models = tuple(
        ModelClaim(
            name=next(words),
            aliases=(next(words),) if draw(st.booleans()) else (),
            shards=tuple(held),
            architecture=draw(_interfaces),
            chat_template=draw(st.none() | _sha256),
        )
        for held in (shards[:cut], shards[cut:])
        if held
    )
    attached = {
        role: tuple(
            AttachmentClaim(name=next(words), model=draw(st.sampled_from(models)).name, entry=name)
            for name in by_role[role]
        )
        for role in (EntryRole.LORA, EntryRole.PROJECTOR)
    }
    issued = draw(_seconds)
    expires = draw(st.none() | st.integers(issued + 1, 253402300799))
    return Manifest(
        package_name=draw(_words.filter(PACKAGE_NAME.fullmatch)),
        package_version=draw(_versions),
        sequence=draw(st.integers(0, LIMITS.json_integer)),
        issued_at=_EPOCH + timedelta(seconds=issued),
        expires_at=None if expires is None else _EPOCH + timedelta(seconds=expires),
        entries=tuple(sorted(entries, key=lambda entry: entry.name)),
        component=ComponentClaim(
            imports=draw(_sorted_unique(_interfaces)),
            exports=draw(_sorted_unique(_interfaces)),
            parts=tuple(
                PartClaim(
                    name=name,
                    size_bytes=draw(st.integers(1, LIMITS.component_bytes)),
                    sha256=draw(_sha256),
                )
                for name in draw(_sorted_unique(_words))
            ),
            settings=draw(_sha256),
        ),
        models=models,
        loras=attached[EntryRole.LORA],
        projectors=attached[EntryRole.PROJECTOR],
        oms_payload=draw(st.none() | _sha256),
    )
