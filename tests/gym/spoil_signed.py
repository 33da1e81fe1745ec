"""Mutators of the bundle, its envelope, and the statement inside."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from infwasi_sign.domain.bundle import pae, verification_hint
from infwasi_sign.domain.digest import Algorithm
from tests.forge import MANIFEST, NOW, STRANGER, TRUSTED, VectorSigner
from tests.gguf_forge import tiny_gguf
from tests.gym import json_tricks
from tests.gym.draft import APP, BOM, MODEL, Draft, Json, Special, mutator, to_bytes
from tests.gym.json_tricks import any_object, any_slot

OTHER_TYPE: Final = "application/json"
_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def _bundle(draft: Draft) -> Json:
    return json.loads(draft.content(MANIFEST))


def _put(draft: Draft, bundle: Json) -> None:
    draft.files[MANIFEST] = json.dumps(bundle, separators=(",", ":")).encode() + b"\n"


# --- the bundle -------------------------------------------------------------------------------


@mutator("bundle", 4)
def bundle_says_other(draft: Draft, rng: Random) -> None:
    bundle = _bundle(draft)
    rng.choice(json_tricks.SAYS_OTHER)(bundle, rng)
    _put(draft, bundle)


@mutator("bundle", 2)
def bundle_written_otherwise(draft: Draft, rng: Random) -> None:
    data = draft.content(MANIFEST)
    draft.files[MANIFEST] = json_tricks.rewritten(data, rng)


@mutator("bundle", 0.5)
def bundle_has_garbage(draft: Draft, rng: Random) -> None:
    draft.files[MANIFEST] = rng.randbytes(rng.choice((0, 1, 2, 3, 100, 5_000)))


@mutator("bundle", 0.5)
def bundle_of_a_certificate(draft: Draft, rng: Random) -> None:
    bundle = _bundle(draft)
    material = bundle["verificationMaterial"]
    if rng.random() < 0.5:
        del material["publicKey"]
    name = rng.choice(("certificate", "x509CertificateChain", "timestampVerificationData"))
    material[name] = {"rawBytes": base64.b64encode(rng.randbytes(60)).decode()}
    _put(draft, bundle)


# --- counter-signatures -----------------------------------------------------------------------


def _payload(draft: Draft) -> bytes:
    return base64.b64decode(_bundle(draft)["dsseEnvelope"]["payload"])


@mutator("counter", 0.5)
def counter_signature_misnamed(draft: Draft, rng: Random) -> None:
    name = draft.counter_sign(_payload(draft), rng.choice((TRUSTED, STRANGER)))
    other = rng.choice((rng.randbytes(32).hex(), name[11:74].rjust(64, "0"), name[11:75][::-1]))
    draft.files[f"signatures/{other}.sigstore.json"] = draft.files.pop(name)


@mutator("counter", 0.5)
def counter_signature_of_other(draft: Draft, rng: Random) -> None:
    value = draft.statement()
    value["predicate"]["sequence"] += rng.choice((1, -1, 60))
    draft.counter_sign(to_bytes(value), rng.choice((TRUSTED, STRANGER)))


@mutator("counter", 0.5)
def counter_signature_damaged(draft: Draft, rng: Random) -> None:
    """By its hint the trusted key's, by its signature nobody's or somebody else's."""
    name = draft.counter_sign(_payload(draft))
    bundle = json.loads(draft.content(name))
    by_stranger = draft.counter_sign(_payload(draft), STRANGER)
    stranger = json.loads(draft.content(by_stranger))
    del draft.files[name], draft.files[by_stranger]
    bundle["dsseEnvelope"]["signatures"] = rng.choice(
        (
            stranger["dsseEnvelope"]["signatures"],
            [{"sig": base64.b64encode(rng.randbytes(70)).decode()}],
        )
    )
    draft.add_signature(json.dumps(bundle, separators=(",", ":")).encode() + b"\n")


@mutator("counter")
def counter_signature_written_otherwise(draft: Draft, rng: Random) -> None:
    name = draft.counter_sign(_payload(draft))
    data = draft.content(name)
    del draft.files[name]
    draft.add_signature(json_tricks.rewritten(data, rng))


# --- the envelope -----------------------------------------------------------------------------


@mutator("envelope")
def payload_type(draft: Draft, rng: Random) -> None:
    bundle = _bundle(draft)
    bundle["dsseEnvelope"]["payloadType"] = rng.choice(
        (
            *("", "application/json", "application/vnd.in-toto+json ", "text/plain"),
            *("application/vnd.in-toto+JSON", "application/vnd.in-toto+json; charset=utf-8"),
        )
    )
    _put(draft, bundle)


def _base64_trick(text: str, rng: Random) -> str:
    at = rng.randrange(1, len(text))
    tricks = [
        text[:at] + inserted + text[at:]
        for inserted in (" ", "\n", "=", "-", "_", "%3D", "\\", "é")
    ]
    tricks += [text + "=", text + "====", text.rstrip("=") + "A", text[:at], text + "\n"]
    if any(character in text for character in "+/"):
        tricks.append(text.replace("+", "-").replace("/", "_"))
    if text.endswith("="):
        # the unused bits of the last letter, RFC 4648 section 3.5
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        last = text.rstrip("=")
        tricks.append(last[:-1] + alphabet[alphabet.index(last[-1]) ^ 1] + text[len(last) :])
        tricks.append(last)
    return rng.choice(tricks)


@mutator("envelope", 2)
def base64_tricks(draft: Draft, rng: Random) -> None:
    bundle = _bundle(draft)
    envelope = bundle["dsseEnvelope"]
    box, key = rng.choice(
        (
            (envelope, "payload"),
            (envelope["signatures"][0], "sig"),
            (bundle["verificationMaterial"]["publicKey"], "hint"),
        )
    )
    box[key] = _base64_trick(box[key], rng)
    _put(draft, bundle)


def _flipped(data: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


@mutator("envelope", 3)
def bits_under_the_signature(draft: Draft, rng: Random) -> None:
    """The payload, or the signature, is another one; the bundle is well-formed."""
    bundle = _bundle(draft)
    envelope = bundle["dsseEnvelope"]
    box, key = rng.choice(((envelope, "payload"), (envelope["signatures"][0], "sig")))
    box[key] = base64.b64encode(_flipped(base64.b64decode(box[key]), rng)).decode()
    _put(draft, bundle)


@mutator("envelope")
def signature_in_other_der(draft: Draft, rng: Random) -> None:
    """The same two numbers in another encoding, or numbers beside them (SEC 1 C.5, X.690)."""
    bundle = _bundle(draft)
    box = bundle["dsseEnvelope"]["signatures"][0]
    r, s = decode_dss_signature(base64.b64decode(box["sig"]))

    def integer(number: int, extra: int = 0) -> bytes:
        raw = bytes(extra) + number.to_bytes(number.bit_length() // 8 + 1, "big")
        return b"\x02" + bytes([len(raw)]) + raw

    def sequence(content: bytes, length: bytes | None = None) -> bytes:
        return b"\x30" + (bytes([len(content)]) if length is None else length) + content

    both = integer(r) + integer(s)
    forms = (
        *(sequence(integer(r, 1) + integer(s)), sequence(integer(r) + integer(s, 2))),
        *(sequence(both, b"\x81" + bytes([len(both)])), sequence(both) + b"\0"),
        *(sequence(both + b"\x05\0"), sequence(integer(0) + integer(0))),
        *(sequence(integer(r + _P256_ORDER) + integer(s)), sequence(integer(1) + integer(1))),
        *(sequence(integer(s) + integer(r)), r.to_bytes(32, "big") + s.to_bytes(32, "big")),
    )
    box["sig"] = base64.b64encode(rng.choice(forms)).decode()
    _put(draft, bundle)


@mutator("envelope")
def second_signature(draft: Draft, rng: Random) -> None:
    bundle = _bundle(draft)
    signatures = bundle["dsseEnvelope"]["signatures"]
    again = base64.b64encode(rng.choice((STRANGER, TRUSTED)).sign(b"x")).decode()
    signatures.insert(rng.randrange(2), rng.choice(({"sig": again}, dict(signatures[0]))))
    _put(draft, bundle)


@mutator("envelope", 2)
def parts_of_another_package(draft: Draft, rng: Random) -> None:
    """Signature, payload or both are those of another package of the same signer."""
    bundle = _bundle(draft)
    other = json.loads(rng.choice((draft.honest.weather, draft.honest.rival))[MANIFEST])
    member = rng.choice(("payload", "signatures"))
    bundle["dsseEnvelope"][member] = other["dsseEnvelope"][member]
    _put(draft, bundle)


@mutator("envelope", 3)
def signed_by_a_stranger(draft: Draft, rng: Random) -> None:
    """The statement as it is or edited, under a signature that nobody trusts."""
    signer = VectorSigner(f"stranger {rng.randrange(1000)}")
    value = draft.statement()
    if rng.random() < 0.5:
        rng.choice(json_tricks.SAYS_OTHER)(value, rng)
    draft.state(value, signer)
    if rng.random() < 0.4:  # and says that it was the trusted one
        bundle = _bundle(draft)
        bundle["verificationMaterial"]["publicKey"]["hint"] = verification_hint(
            TRUSTED.public_key()
        )
        _put(draft, bundle)


@mutator("envelope")
def signed_for_another_purpose(draft: Draft, rng: Random) -> None:
    """The trusted key's signature over the same bytes as a payload of another type."""
    bundle = _bundle(draft)
    envelope = bundle["dsseEnvelope"]
    payload = base64.b64decode(envelope["payload"])
    other = rng.choice((OTHER_TYPE, "", "application/vnd.in-toto+json ", "text/plain"))
    signed = rng.choice((pae(other, payload), payload, pae(other, envelope["payload"].encode())))
    envelope["signatures"][0]["sig"] = base64.b64encode(TRUSTED.sign(signed)).decode()
    if rng.random() < 0.3:
        envelope["payloadType"] = other
    _put(draft, bundle)


@mutator("envelope")
def hint_of_another(draft: Draft, rng: Random) -> None:
    """Signed by the trusted key, under the name of another."""
    bundle = _bundle(draft)
    key = rng.choice((STRANGER.public_key(), rng.randbytes(91), b""))
    bundle["verificationMaterial"]["publicKey"]["hint"] = verification_hint(key)
    _put(draft, bundle)


# --- the statement, signed by the trusted key -------------------------------------------------


@mutator("statement", 4)
def statement_says_other(draft: Draft, rng: Random) -> None:
    value = draft.statement()
    trick = rng.choice(json_tricks.SAYS_OTHER)
    if trick is json_tricks.drop_member:
        json_tricks.drop_member(value, rng, ("expiresAt", "fsVerity"))  # both may be missing
    else:
        trick(value, rng)
    draft.state(value)


@mutator("statement", 2)
def statement_written_otherwise(draft: Draft, rng: Random) -> None:
    draft.sign(json_tricks.rewritten(to_bytes(draft.statement()), rng))


@mutator("statement")
def payload_is_no_statement(draft: Draft, rng: Random) -> None:
    payloads = (b"{}", b"[]", b"null", b"0", b'""', draft.content(BOM), draft.content(MANIFEST))
    draft.sign(rng.choice((*payloads, draft.content(MODEL), rng.randbytes(rng.randrange(1, 400)))))


def _is_hex(item: Any) -> bool:
    return isinstance(item, str) and len(item) == 64


@mutator("statement", 3)
def digest_lies(draft: Draft, rng: Random) -> None:
    """Any digest is another one, or written otherwise; bytes can prove each of them."""
    value = draft.statement()
    box, key = any_slot(value, rng, lambda slot: _is_hex(slot[0][slot[1]]))
    old: str = box[key]
    others = [old.upper(), old[:-2], old + "00", rng.randbytes(32).hex(), "00" * 32, "0x" + old]
    others += [box[key] for box, key in json_tricks.slots(value) if _is_hex(box[key])]
    box[key] = rng.choice([other for other in others if other != old])
    draft.state(value)
    draft.digests = frozenset(Algorithm)


@mutator("statement", 2)
def number_lies(draft: Draft, rng: Random) -> None:
    """Any number but the sequence, which is the signer's own word."""
    value = draft.statement()
    box, key = any_slot(
        value, rng, lambda slot: isinstance(slot[0][slot[1]], int) and slot[1] != "sequence"
    )
    old: int = box[key]
    others = (old + 1, old - 1, 0, -old, old * 2, 2**53 - 1, 1, 2**32 + old)
    box[key] = rng.choice([other for other in others if other != old])
    draft.state(value)
    if key == "blockSize":  # only who computes every digest can tell
        draft.digests = frozenset(Algorithm)


@mutator("statement", 2)
def list_lies(draft: Draft, rng: Random) -> None:
    """A list is in another order, has an item twice, or one less."""
    value = draft.statement()
    box, key = any_slot(
        value, rng, lambda slot: isinstance(slot[0][slot[1]], list) and len(slot[0][slot[1]]) > 0
    )
    items: list[Json] = box[key]
    trick = rng.randrange(3)
    if trick == 0 and len(items) > 1:
        first = rng.randrange(len(items) - 1)
        items[first], items[first + 1] = items[first + 1], items[first]
    elif trick == 1:
        del items[rng.randrange(len(items))]
    else:
        items.insert(rng.randrange(len(items) + 1), rng.choice(items))
    draft.state(value)


@mutator("statement")
def entries_in_another_order(draft: Draft, rng: Random) -> None:
    """Entries and subjects alike, so that they still belong together."""
    value = draft.statement()
    order = rng.choice(((1, 0, 2), (2, 1, 0), (0, 2, 1), (2, 0, 1)))
    for box, key in ((value["predicate"], "entries"), (value, "subject")):
        box[key] = [box[key][index] for index in order]
    draft.state(value)


@mutator("statement", 2)
def role_lies(draft: Draft, rng: Random) -> None:
    value = draft.statement()
    entry = rng.choice(value["predicate"]["entries"])
    roles = ("component", "bom", "model", "lora", "projector", "oms-companion", "", "MODEL")
    entry["role"] = rng.choice([role for role in roles if role != entry["role"]])
    draft.state(value)


@mutator("statement", 2)
def name_lies(draft: Draft, rng: Random) -> None:
    """An entry and its subject have another name; the file may go with it."""
    value = draft.statement()
    index = rng.randrange(3)
    old = value["subject"][index]["name"]
    names: tuple[str, ...] = (
        "../app.wasm",
        "/etc/passwd",
        "",
        ".",
        "..",
        "a/b",
        ".x",
        "app.wasm\0",
        "APP.WASM",
    )
    names += ("model.sig", MANIFEST, "signatures", "é", "x" * 256, "zz", "a.b", "bom.cdx.json ")
    new = rng.choice(names)
    value["subject"][index]["name"] = value["predicate"]["entries"][index]["name"] = new
    if rng.random() < 0.5 and new in {"APP.WASM", "zz", "a.b"}:
        draft.files[new] = draft.files.pop(old)
    draft.state(value)
    if index == 2 and new in draft.files:  # a model may have another name if all agree on it
        draft.files["unsigned"] = b"x"


@mutator("statement")
def two_entries_of_one_file(draft: Draft, rng: Random) -> None:
    """Another entry with the bytes of the model, in any role and with or without its file."""
    value = draft.statement()
    entry = dict(value["predicate"]["entries"][2], name="second.gguf")
    entry["role"] = rng.choice(("model", "lora", "projector", "bom"))
    value["predicate"]["entries"].append(entry)
    value["subject"].append({"name": "second.gguf", "digest": value["subject"][2]["digest"]})
    claim = {"name": "extra", "model": rng.choice(("model", "other")), "entry": "second.gguf"}
    predicate = value["predicate"]
    choice = rng.randrange(4)
    if choice == 0:
        predicate["models"][0]["shards"].append("second.gguf")
    elif choice == 1:
        predicate["models"].append(dict(predicate["models"][0], name="m", shards=["second.gguf"]))
    elif choice == 2:
        predicate[entry["role"] + "s"] = [claim]
    if rng.random() < 0.7:
        draft.files["second.gguf"] = tiny_gguf()
    draft.state(value)


@mutator("statement", 2)
def imports_and_exports_lie(draft: Draft, rng: Random) -> None:
    value = draft.statement()
    names = value["predicate"]["component"][rng.choice(("imports", "exports"))]
    if rng.random() < 0.4:
        names.pop(rng.randrange(len(names)))
    else:
        names.append(
            rng.choice(
                (
                    *("wasi:filesystem/types@0.2.0", "wasi:cli/environment@0.2.0"),
                    *("wasi:sockets/tcp@0.2.0", "wasi:nn/graph@0.2.0", "a", "infwasi:llm/x@0.1.0"),
                )
            )
        )
        names.sort()
    draft.state(value)


@mutator("statement", 2)
def parts_lie(draft: Draft, rng: Random) -> None:
    value = draft.statement()
    parts = value["predicate"]["component"]["parts"]
    part = rng.choice(parts)
    choice = rng.randrange(5)
    if choice == 0:
        other = rng.choice([other for other in parts if other is not part])
        part["name"], other["name"] = other["name"], part["name"]
        parts.sort(key=lambda item: str(item["name"]))
    elif choice == 1:
        parts.remove(part)
    elif choice == 2:
        parts.append({"name": "zz", "size": 1, "sha256": rng.randbytes(32).hex()})
    elif choice == 3:
        part["size"] += rng.choice((-1, 1, 4096))
    else:
        part["sha256"] = rng.randbytes(32).hex()
    draft.state(value)


@mutator("statement", 2)
def evidence_lies(draft: Draft, rng: Random) -> None:
    """What is said of the GGUF's header; evidence where none belongs, none where it does."""
    value = draft.statement()
    entries = value["predicate"]["entries"]
    evidence = entries[2]["gguf"]
    choice = rng.randrange(4)
    if choice == 0:
        entries[rng.randrange(2)]["gguf"] = evidence
    elif choice == 1:
        del entries[2]["gguf"]
    else:
        name = rng.choice(sorted(evidence))
        old = evidence[name]
        evidence[name] = old + 1 if isinstance(old, int) else rng.randbytes(32).hex()
    draft.state(value)


@mutator("statement", 2)
def model_lies(draft: Draft, rng: Random) -> None:
    """What is said of the model: architecture, template, names, shards."""
    value = draft.statement()
    model = value["predicate"]["models"][0]
    lies: tuple[Callable[[], object], ...] = (
        lambda: model.update(architecture=rng.choice(("gemma3", "Llama", "llama ", "", "llam"))),
        lambda: model.update(chatTemplate=rng.randbytes(32).hex()),
        lambda: model.pop("chatTemplate"),
        lambda: model.update(name=rng.choice(("other", "Model", "", "model ", "../model"))),
        lambda: model.update(aliases=rng.choice((["model"], ["a", "a"], ["A"], [""], ["a"] * 17))),
        lambda: model.update(shards=rng.choice(([], [APP], ["x"], [MODEL, MODEL], [MODEL, "x"]))),
        lambda: value["predicate"]["models"].append(dict(model)),
        lambda: value["predicate"]["models"].append(dict(model, name="twin")),
        value["predicate"]["models"].clear,
    )
    rng.choice(lies)()
    draft.state(value)


@mutator("statement")
def places_of_later_versions(draft: Draft, rng: Random) -> None:
    """Members that format v1 reserves, rightly or wrongly used."""
    value = draft.statement()
    predicate = value["predicate"]
    entry = predicate["entries"][2]
    uses: tuple[Callable[[], object], ...] = (
        lambda: entry.update(offset={"file": APP, "at": rng.choice((0, 1, 4096, -4096, 2**52))}),
        lambda: entry.update(offset={"file": rng.choice((MODEL, "x", BOM)), "at": 0}),
        lambda: entry.update(detached=rng.choice((False, None, 1))),
        lambda: rng.choice(predicate["entries"]).update(detached=True),
        lambda: entry.update(fsVerity={"digest": "ab" * 32, "blockSize": 3, "salt": ""}),
        lambda: entry.update(fsVerity={"digest": "ab", "blockSize": 4096, "salt": "zz"}),
        lambda: predicate.update(omsPayload=rng.choice(("00" * 32, "", None))),
        lambda: predicate.update(loras=[]),
        lambda: predicate.update(projectors=[{"name": "p", "model": "model", "entry": MODEL}]),
        lambda: value.update(predicateType=f"urn:infwasi:manifest:v{rng.randrange(2, 99)}"),
        lambda: value.update(predicateType="urn:infwasi:manifest:v"),
    )
    rng.choice(uses)()
    if rng.random() < 0.3:
        draft.files["model.sig"] = b"{}"
    draft.state(value)


@mutator("statement")
def attachment_declared(draft: Draft, rng: Random) -> None:
    """A second GGUF, stated as the format has it, for which this version has no use."""
    value = draft.statement()
    predicate = value["predicate"]
    draft.files["second.gguf"] = draft.content(MODEL)
    role = rng.choice(("lora", "projector"))
    entry = dict(predicate["entries"][2], name="second.gguf", role=role)
    predicate["entries"].append(entry)
    value["subject"].append(dict(value["subject"][2], name="second.gguf"))
    name = rng.choice(("a", "x.1", "model"))
    predicate[f"{role}s"] = [{"name": name, "model": "model", "entry": "second.gguf"}]
    draft.state(value)


@mutator("statement")
def unknown_member(draft: Draft, rng: Random) -> None:
    value = draft.statement()
    any_object(value, rng)["note"] = rng.choice(("", 0, None, [], {"a": 1}))
    draft.state(value)


@mutator("statement")
def other_type_of_statement(draft: Draft, rng: Random) -> None:
    value = draft.statement()
    member = rng.choice(("_type", "predicateType"))
    value[member] = rng.choice(
        (
            "",
            "https://in-toto.io/Statement/v0.1",
            "https://cyclonedx.org/bom",
            "urn:infwasi:manifest",
        )
    )
    draft.state(value)


# --- time and identity ------------------------------------------------------------------------


@mutator("time", 2)
def read_too_late(draft: Draft, rng: Random) -> None:
    """Verified when the manifest has expired."""
    end = NOW + timedelta(days=365, minutes=5)
    latest = datetime.max.replace(tzinfo=UTC) - end
    late = rng.choice((1, 60, 86_400, rng.randrange(1, 10**9), int(latest.total_seconds()) - 1))
    draft.now = end + timedelta(seconds=late)


@mutator("time")
def read_too_early(draft: Draft, rng: Random) -> None:
    """Verified long before the manifest was issued: the clock is wrong, or the manifest lies."""
    start = NOW - timedelta(minutes=5)
    since = start - datetime.min.replace(tzinfo=UTC)
    early = rng.choice((1, 60, 86_400, rng.randrange(1, 10**9), int(since.total_seconds()) - 1))
    draft.now = start - timedelta(seconds=early)


@mutator("time", 2)
def times_lie(draft: Draft, rng: Random) -> None:
    """Times that no clock shows, that are in the wrong order, over, or yet to come."""
    value = draft.statement()
    predicate = value["predicate"]
    lies: tuple[dict[str, Json], ...] = (
        {"issuedAt": "2026-11-23T13:00:00Z"},
        {"issuedAt": "2026-11-23T11:59:59Z"},  # the BOM says another
        {"issuedAt": "2026-02-30T12:00:00Z"},
        {"issuedAt": "2026-11-23T12:00:60Z"},
        {"issuedAt": "2026-11-23T12:00:00+00:00"},
        {"issuedAt": "0000-00-00T00:00:00Z"},
        {"issuedAt": "2026-11-23 12:00:00Z"},
        {"issuedAt": "٢٠٢٦-11-23T12:00:00Z"},
        {"expiresAt": "2026-11-23T12:00:00Z"},
        {"expiresAt": "2020-01-01T00:00:00Z"},
        {"expiresAt": "2027-11-23T24:00:00Z"},
        {"expiresAt": "2027-11-23T12:00:00.5Z"},
        {"expiresAt": "10000-01-01T00:00:00Z"},
        {"issuedAt": "2020-01-01T00:00:00Z", "expiresAt": "2021-01-01T00:00:00Z"},
        {"sequence": -1},
        {"sequence": 2**53},
    )
    predicate.update(rng.choice(lies))
    draft.state(value)


@mutator("identity", 3)
def package_renamed(draft: Draft, rng: Random) -> None:
    """The directory has another name than the package."""
    draft.directory = rng.choice(
        (
            *("weather-1.0.0", "capital-2.0.0", "capital-1.0", "capital-1.0.0.", "Capital-1.0.0"),
            *(
                "capital-",
                "capital1.0.0",
                " capital-1.0.0",
                "capital-1.0.0\n",
                "\u0441apital-1.0.0",
            ),
            *("capital-1.0.0\x1b[0m", "c" * 200, f"capital-{rng.randrange(2, 10**6)}.0.0"),
        )
    )


@mutator("identity", 0.5)
def directory_exchanged(draft: Draft, rng: Random) -> None:
    """The name that was asked for led to another directory by the time it was opened."""
    draft.asked = draft.directory
    draft.directory = rng.choice(("evil", "capital-1.0.0.", "Capital-1.0.0", "weather-1.0.0"))


@mutator("identity", 2)
def identity_lies(draft: Draft, rng: Random) -> None:
    """The statement is of another package or version than the BOM and the directory."""
    value = draft.statement()
    package = value["predicate"]["package"]
    if rng.random() < 0.5:
        package["name"] = rng.choice(
            ("weather", "Capital", "", "capital-1.0.0", "capital ", "../x")
        )
    else:
        package["version"] = rng.choice(("2.0.0", "", "1.0.0 ", "v1.0.0", "-1", "1.0.0\n"))
    draft.state(value)
    if rng.random() < 0.4:
        draft.directory = rng.choice(("weather-1.0.0", "capital-2.0.0", "weather", "capital"))


@mutator("identity", 2)
def all_of_another_package(draft: Draft, rng: Random) -> None:
    """Another honest package of the same signer, under this name; or some files of it."""
    names = sorted(draft.honest.weather)
    if rng.random() < 0.5:
        draft.files.update(draft.honest.weather)
        return
    for name in rng.sample(names, rng.randrange(1, 3)):
        draft.files[name] = draft.honest.rival[name]
    if draft.is_honest():  # the two have the same component
        draft.files["extra"] = Special("folder")
