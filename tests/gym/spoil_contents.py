"""Mutators of what the trusted key signed: BOM, component and model, with right digests over them.

NOTE: a trusted signer can sign other tensors, other glue code or other tools in the BOM, and that
is a package of theirs, not an attack. So a mutator that makes all digests right (``restate()``)
changes only what another signed statement contradicts; the others leave the BOM as it was.
"""

import hashlib
import json
import struct
from collections.abc import Callable
from random import Random

from infwasi_sign.domain.component import Nested, describe
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.gguf import parse
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.model_digests import header_digest, tensor_table_digest
from infwasi_sign.domain.wasm_binary import PREAMBLE_BYTES, Section, WasmReader, encode_u32
from infwasi_sign.errors import RefusedError
from tests import gguf_forge
from tests.forge import numbered, replaced_in_bom
from tests.gguf_forge import PAIRS, TENSORS, Tensor, tiny_gguf
from tests.gym import json_tricks
from tests.gym.draft import APP, BOM, MODEL, Draft, Json, mutator, to_bytes
from tests.gym.json_tricks import any_slot

# --- the BOM ----------------------------------------------------------------------------------


def _bom(draft: Draft) -> Json:
    return json.loads(draft.content(BOM))


def _sign_bom(draft: Draft, bom: Json) -> None:
    draft.files[BOM] = to_bytes(bom)
    draft.restate(bom=False)


@mutator("bom", 4)
def bom_says_other(draft: Draft, rng: Random) -> None:
    """Anything but the tools: all else follows from bytes, or is tagged as declared."""
    bom = _bom(draft)
    member = rng.choice(("components", "components", "dependencies", "services", "metadata"))
    said = bom[member] if member != "metadata" else bom[member]["component"]
    rng.choice(json_tricks.SAYS_OTHER)(said, rng)
    _sign_bom(draft, bom)


@mutator("bom", 2)
def bom_says_of_one_what_is_true_of_another(draft: Draft, rng: Random) -> None:
    bom = _bom(draft)
    box, key = any_slot(bom["components"], rng, lambda slot: isinstance(slot[0][slot[1]], str))
    texts = [item[name] for item, name in json_tricks.slots(bom) if isinstance(item[name], str)]
    box[key] = rng.choice([text for text in texts if text != box[key]])
    _sign_bom(draft, bom)


@mutator("bom")
def bom_of_another(draft: Draft, rng: Random) -> None:
    """Name, version, time and kind of document."""
    bom = _bom(draft)
    metadata = bom["metadata"]
    box, key = rng.choice(
        (
            *((metadata["component"], "name"), (metadata["component"], "version")),
            *((metadata, "timestamp"), (metadata, "component"), (bom, "metadata")),
            *((bom, "bomFormat"), (bom, "specVersion"), (bom, "components")),
        )
    )
    if rng.random() < 0.3:
        del box[key]
    else:
        box[key] = rng.choice((None, 1, [], {}, "", "weather", "1.6", "2.0.0"))
    _sign_bom(draft, bom)


@mutator("bom")
def bom_has_surplus(draft: Draft, rng: Random) -> None:
    """A component, hash, property or licence that nothing proves."""
    bom = _bom(draft)
    component = rng.choice(bom["components"])
    extra = {
        "bom-ref": rng.choice(("model:other:0", "x", component["bom-ref"])),
        "type": "file",
        "name": "x",
        "hashes": [{"alg": "SHA-256", "content": rng.randbytes(32).hex()}],
    }
    surplus: tuple[Callable[[], object], ...] = (
        lambda: bom["components"].append(extra),
        lambda: component.setdefault("components", []).append(extra),
        lambda: component["hashes"].append({"alg": "MD5", "content": "00" * 16}),
        lambda: component["hashes"].append(dict(component["hashes"][0])),
        lambda: component["properties"].append({"name": "infwasi:zzz", "value": "1"}),
        lambda: component["properties"].append(dict(component["properties"][0])),
        lambda: component.update(licenses=[{"license": {"id": "MIT"}}]),
        lambda: component.update(licenses=[{"expression": "MIT"}, {"expression": "MIT"}]),
        lambda: component.update(version="1"),
    )
    rng.choice(surplus)()
    _sign_bom(draft, bom)


@mutator("bom", 2)
def bom_written_otherwise(draft: Draft, rng: Random) -> None:
    draft.files[BOM] = json_tricks.rewritten(draft.content(BOM), rng)
    draft.restate(bom=False)


@mutator("bom", 0.01)
def bom_beyond_its_bound(draft: Draft, rng: Random) -> None:
    """True, signed, in its one byte form, and too large: nobody knows what a tool calls itself."""
    bom = _bom(draft)
    version = "x" * (LIMITS.bom_bytes + rng.randrange(1000))
    bom["metadata"]["tools"]["components"][0]["version"] = version
    draft.files[BOM] = numbered(bom)
    draft.restate(bom=False)


# --- the component ----------------------------------------------------------------------------


def _sections(data: bytes, start: int = 0, end: int | None = None) -> list[Section]:
    end = len(data) if end is None else end
    return list(WasmReader(data, start + PREAMBLE_BYTES, end).sections())


def _join(data: bytes, sections: list[tuple[int, bytes]]) -> bytes:
    parts = [bytes([kind]) + encode_u32(len(content)) + content for kind, content in sections]
    return data[:PREAMBLE_BYTES] + b"".join(parts)


def _contents(data: bytes) -> list[tuple[int, bytes]]:
    return [(section.id, data[section.start : section.end]) for section in _sections(data)]


def _part(draft: Draft, rng: Random, export: str = "") -> Nested:
    parts = describe(draft.honest.capital[APP]).children
    return rng.choice([part for part in parts if any(export in name for name in part.exports)])


@mutator("component", 3)
def component_bytes_signed(draft: Draft, rng: Random) -> None:
    """Any byte of the component is another, and only the BOM was not told."""
    data = bytearray(draft.content(APP))
    for _ in range(rng.choice((1, 1, 2, 16))):
        data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    if rng.random() < 0.2:
        del data[rng.randrange(len(data)) :]
    draft.files[APP] = bytes(data) if data != draft.content(APP) else bytes(data) + b"\0"
    draft.restate(bom=False)


@mutator("component", 3)
def component_sections_signed(draft: Draft, rng: Random) -> None:
    """Sections are dropped, doubled, swapped, retyped, added."""
    data = draft.content(APP)
    sections = _contents(data)
    at, other = rng.randrange(len(sections)), rng.randrange(len(sections))
    kind, content = sections[at]
    match rng.randrange(6):
        case 0:
            del sections[at]
        case 1:
            sections.insert(other, sections[at])
        case 2:
            sections[at], sections[other] = sections[other], sections[at]
        case 3:
            sections[at] = (rng.choice((kind ^ 1, 12, 13, 127, 255)), content)
        case 4:
            new = rng.choice((b"", b"\x01x", b"\0asm\x01\0\0\0", data, b"\xff" * 5))
            sections.insert(at, (rng.randrange(13), new))
        case _:
            sections[at] = (kind, content[: rng.randrange(len(content) + 1)] + b"\0")
    spoiled = _join(data, sections)
    draft.files[APP] = spoiled if spoiled != data else spoiled + b"\0\x02\x01x"
    draft.restate(bom=False)


@mutator("component", 2)
def part_replaced(draft: Draft, rng: Random) -> None:
    """Code inside of a part is other code; all digests but the part's are right."""
    part = _part(draft, rng)
    data = bytearray(draft.content(APP))
    for _ in range(rng.choice((1, 4))):
        at = part.offset_bytes + rng.randrange(part.size_bytes)
        data[at] ^= 1 << rng.randrange(8)
    if data == draft.content(APP):
        data[part.offset_bytes + part.size_bytes - 1] ^= 1
    draft.files[APP] = bytes(data)
    draft.restate()


@mutator("component", 2)
def part_smuggled_in(draft: Draft, rng: Random) -> None:
    """One more component or module among the parts, or one part less; all digests are right."""
    data = draft.content(APP)
    sections = _contents(data)
    places = [at for at, (kind, _) in enumerate(sections) if kind == 4]
    at = rng.choice(places)
    if rng.random() < 0.3:
        del sections[at]
    else:
        module, empty = b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0"
        extra = rng.choice(((1, module), (4, empty), sections[at]))
        sections.insert(rng.choice((at, len(sections))), extra)
    draft.files[APP] = _join(data, sections)
    draft.restate()


@mutator("component")
def imports_smuggled_in(draft: Draft, rng: Random) -> None:
    """An import of the app has another name in the component; all digests are right."""
    data = draft.content(APP)
    claimed = draft.statement()["predicate"]["component"]
    name = rng.choice(claimed["imports"]).encode()
    at = rng.randrange(len(name))
    spoiled = name[:at] + bytes([name[at] ^ 1]) + name[at + 1 :]
    head = b"\0" + encode_u32(len(name))  # as imports and exports write it, not as types do
    times = rng.choice((1, -1))  # of the app alone, whose own come first; or of its parts, too
    draft.files[APP] = data.replace(head + name, head + spoiled, times)
    draft.restate()
    if rng.random() < 0.7:  # and the statement says so
        value = draft.statement()
        names = value["predicate"]["component"]["imports"]
        names[names.index(name.decode())] = spoiled.decode("ascii")
        names.sort()
        draft.state(value)


@mutator("component", 2)
def settings_edited(draft: Draft, rng: Random) -> None:
    """Other settings; the digests of component and part are right, that of the settings is not."""
    part = _part(draft, rng, "settings")
    data = draft.content(APP)
    (module,) = (child for child in _modules(part.children))
    end = module.offset_bytes + module.size_bytes
    sections = _sections(data, module.offset_bytes, end)
    (content,) = (section for section in sections if section.id == 11)
    spoiled = bytearray(data)
    if rng.random() < 0.5:  # one of the numbers of the record
        word = content.start + 8 + 4 * rng.randrange((content.end - content.start) // 4 - 2)
        struct.pack_into("<I", spoiled, word, rng.choice((0, 1, 2**31, 2**32 - 1, 1 << 20)))
    else:
        spoiled[rng.randrange(content.start, content.end)] ^= 1 << rng.randrange(8)
    if spoiled == data:
        spoiled[content.end - 1] ^= 1
    draft.files[APP] = bytes(spoiled)
    draft.restate()
    value = draft.statement()
    for claim in value["predicate"]["component"]["parts"]:
        if claim["name"] == "config":
            whole = bytes(spoiled[part.offset_bytes : part.offset_bytes + part.size_bytes])
            claim["sha256"] = hashlib.sha256(whole).hexdigest()
    draft.state(value)


def _modules(children: tuple[Nested, ...]) -> list[Nested]:
    found = [child for child in children if child.kind.value == "core-module"]
    for child in children:
        found += _modules(child.children)
    return found


@mutator("component")
def component_is_something_else(draft: Draft, rng: Random) -> None:
    part = _part(draft, rng)
    data = draft.content(APP)
    nested = b"\0asm\x0d\0\x01\0"
    for _ in range(rng.choice((5, 15, 16, 17, 300))):
        nested = b"\0asm\x0d\0\x01\0\x04" + encode_u32(len(nested)) + nested
    draft.files[APP] = rng.choice(
        (
            *(
                b"",
                b"\0asm\x01\0\0\0",
                b"\0asm\x0d\0\x01\0",
                b"(component)",
                b"\x7fELF" + bytes(60),
            ),
            *(nested, data[part.offset_bytes : part.offset_bytes + part.size_bytes], data * 2),
            draft.content(MODEL),
        )
    )
    if draft.files[APP]:
        draft.restate(bom=rng.random() < 0.5)


# --- the model --------------------------------------------------------------------------------


def _restate_evidence(draft: Draft) -> None:
    """Sign the header as it is now, if it is one."""
    try:
        header = parse(gguf_forge.WatchedSource(draft.content(MODEL)))
    except RefusedError:
        return
    value = draft.statement()
    value["predicate"]["entries"][2]["gguf"] |= {
        "headerSize": len(header.header_bytes),
        "header": header_digest(header).hex,
        "tensorCount": len(header.tensors),
        "tensorTable": tensor_table_digest(header).hex,
    }
    draft.state(value)


@mutator("model", 3)
def header_bytes_signed(draft: Draft, rng: Random) -> None:
    """Any byte of the header is another; what is signed of the header may be right."""
    data = bytearray(draft.content(MODEL))
    header = parse(gguf_forge.WatchedSource(bytes(data)))
    for _ in range(rng.choice((1, 1, 2, 16))):
        at = rng.randrange(header.data_offset)
        data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, data[at] ^ (1 << rng.randrange(8))))
    if data == draft.content(MODEL):
        data[header.data_offset - 1] ^= 1
    draft.files[MODEL] = bytes(data)
    has_evidence = rng.random() < 0.5
    draft.restate(bom=not has_evidence)
    if has_evidence:
        _restate_evidence(draft)


@mutator("model", 3)
def header_rewritten(draft: Draft, rng: Random) -> None:
    """A GGUF that lies about itself."""
    number = rng.choice((0, 1, 2**16, 2**31, 2**32, 2**60, 2**63, 2**64 - 1))
    word = rng.randrange(2**32)
    kind = rng.choice((*range(14), 99, 2**32 - 1))
    key = rng.choice(("general.alignment", "general.license", "x", "", "llama.context_length", "é"))
    pair = gguf_forge.pair(key, kind, struct.pack("<Q", number))
    deep = b"".join(gguf_forge.array(gguf_forge.ARRAY, b"", 1) for _ in range(rng.choice((3, 300))))
    tensor = Tensor(
        name=rng.choice((b"", b"a.weight", b"x" * 65, b"\xff", b"t")),
        dimensions=tuple(rng.choice((0, 1, 8, number)) for _ in range(rng.randrange(6))),
        type=rng.choice((0, 1, 2, 4, 30, 99)),
        data=bytes(32),
        offset=rng.choice((None, 0, number, 32)),
        dimension_count=rng.choice((None, None, 0, 5, 2**32 - 1)),
    )
    draft.files[MODEL] = rng.choice(
        (
            tiny_gguf(version=rng.choice((0, 1, 2, 4, word))),
            tiny_gguf(magic=rng.choice((b"GGUX", b"FUGG", b"\0\0\0\0", b"ggml"))),
            tiny_gguf(tensor_count=number),
            tiny_gguf(pair_count=number),
            tiny_gguf(pairs=(*PAIRS, pair)),
            tiny_gguf(pairs=(*PAIRS, PAIRS[rng.randrange(len(PAIRS))])),
            tiny_gguf(pairs=PAIRS[: rng.randrange(len(PAIRS))]),
            tiny_gguf(pairs=(*PAIRS, gguf_forge.pair("deep", gguf_forge.ARRAY, deep))),
            tiny_gguf(pairs=(gguf_forge.string("k", length=number), *PAIRS)),
            tiny_gguf(tensors=(*TENSORS, tensor)),
            tiny_gguf(tensors=TENSORS[: rng.randrange(3)]),
            tiny_gguf(alignment=rng.choice((1, 8, 64, 4096)), states_alignment=rng.random() < 0.5),
            tiny_gguf(padding=b"\xff"),
            tiny_gguf(pads_last=False, trailing=rng.randbytes(rng.randrange(1, 40))),
        )
    )
    if draft.files[MODEL] == draft.honest.capital[MODEL]:
        draft.files[MODEL] = tiny_gguf(tensors=TENSORS[:1])
    draft.restate(bom=False)
    if rng.random() < 0.7:
        _restate_evidence(draft)


@mutator("model")
def tensors_signed(draft: Draft, rng: Random) -> None:
    """Other weights; the statement is right, the BOM is that of the model before."""
    data = bytearray(draft.content(MODEL))
    at = rng.randrange(parse(gguf_forge.WatchedSource(bytes(data))).data_offset, len(data))
    data[at] ^= 1 << rng.randrange(8)
    draft.files[MODEL] = bytes(data)
    draft.restate(bom=False)


@mutator("model")
def model_for_one_digest_only(draft: Draft, rng: Random) -> None:
    """SHA-256 of one model and BLAKE3 of another; the verifier computes both."""
    value = draft.statement()
    true_digest = value["subject"][2]["digest"]["sha256"]
    lie = rng.randbytes(32).hex()
    draft.files[BOM] = replaced_in_bom(draft.content(BOM), true_digest, lie)
    draft.restate(bom=False)
    value = draft.statement()
    value["subject"][2]["digest"]["sha256"] = lie
    draft.state(value)
    draft.digests = frozenset(Algorithm)
