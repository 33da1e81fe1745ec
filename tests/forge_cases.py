"""The cases: what an attacker, a careless signer or a broken disk can make of a package.

Each function is a case of a line or two; its decorator says what must come of it, and why.
"""

import base64
import json
import os
from datetime import timedelta
from importlib.resources import files
from pathlib import Path

from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.domain import strict_json
from infwasi_sign.domain.component import describe
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.fs_verity import FsVerityHash
from infwasi_sign.domain.manifest import OMS_FILE
from infwasi_sign.domain.oms import PACKAGE_IGNORED
from infwasi_sign.pack import Companion
from tests.bom_lies import LIES, Lie, put
from tests.forge import (
    CASES,
    MANIFEST,
    NOW,
    STRANGER,
    Make,
    add_signature,
    bom_component,
    bundle_json,
    case,
    companion,
    counter_sign,
    edited_bom,
    flip,
    lie,
    make_package,
    oms_files,
    oms_payload,
    restate,
    restate_evidence,
    sign_bytes,
    state_companion,
    statement,
    write_bundle,
)
from tests.gguf_forge import PAIRS, Tensor, text_pair, tiny_gguf

__all__ = ["CASES"]

WASI_FILES = "wasi:filesystem/types@0.2.0"


# --- counter-signatures -----------------------------------------------------------------------


@case("digest", "a counter-signature has another's name", says="not the one that its name says")
def counter_signature_misnamed(package: Path) -> None:
    path = counter_sign(package)
    path.rename(path.with_name(f"{'0' * 64}.sigstore.json"))


@case("malformed", "a counter-signature is no bundle")
def counter_signature_malformed(package: Path) -> None:
    add_signature(package, b"{}")


@case("malformed", "a counter-signature is a bundle in another byte form", says="one byte form")
def counter_signature_in_another_form(package: Path) -> None:
    path = counter_sign(package)
    bundle = json.loads(path.read_bytes())
    path.unlink()
    add_signature(package, json.dumps(bundle).encode())


@case("disagree", "a counter-signature is over another statement", says="another statement")
def counter_signature_over_another_statement(package: Path) -> None:
    other = statement(package)
    other["predicate"]["sequence"] += 1
    counter_sign(package, payload=strict_json.canonical(other))


@case("disagree", "the packer's bundle was replaced under an older counter-signature")
def counter_signature_left_behind(package: Path) -> None:
    counter_sign(package)
    with lie(package) as value:
        value["predicate"]["models"][0]["aliases"] = ["chat"]


@case("signature", "a trusted key's counter-signature is damaged", says="not that of key")
def counter_signature_damaged(package: Path) -> None:
    path = counter_sign(package)
    bundle = json.loads(path.read_bytes())
    path.unlink()
    bundle["dsseEnvelope"]["signatures"] = json.loads(counter_sign(package, STRANGER).read_bytes())[
        "dsseEnvelope"
    ]["signatures"]
    add_signature(package, json.dumps(bundle, separators=(",", ":")).encode() + b"\n")


@case("signer", "the packer is a stranger; that somebody trusted signed too does not help")
def counter_signature_in_place_of_the_packers(package: Path) -> None:
    payload = strict_json.canonical(statement(package))
    counter_sign(package)
    sign_bytes(package, payload, STRANGER)


# --- the OMS companion ------------------------------------------------------------------------


@case("malformed", "an OMS companion is declared and is none", says="bundle")
def oms_companion_malformed(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["omsPayload"] = "00" * 32
    (package / OMS_FILE).write_text("{}")


@case("missing", "the OMS companion was taken away", companion=Companion.REQUIRED)
def oms_companion_taken_away(package: Path) -> None:
    (package / OMS_FILE).unlink()


@case("extra", "an OMS companion lies there that nobody declared", says="nobody declared")
def oms_companion_undeclared(package: Path) -> None:
    companion(package, oms_payload(package))


@case("signer", "somebody else signed the companion", companion=Companion.REQUIRED)
def oms_companion_by_a_stranger(package: Path) -> None:
    companion(package, oms_payload(package), STRANGER)


@case("signature", "the companion's signature is another's", companion=Companion.REQUIRED)
def oms_companion_signature(package: Path) -> None:
    own = json.loads((package / OMS_FILE).read_bytes())
    companion(package, oms_payload(package), STRANGER)
    other = json.loads((package / OMS_FILE).read_bytes())
    own["dsseEnvelope"]["signatures"] = other["dsseEnvelope"]["signatures"]
    (package / OMS_FILE).write_text(json.dumps(own))


@case("digest", "a companion of another release", says="stated", companion=Companion.REQUIRED)
def oms_companion_of_another_release(package: Path) -> None:
    companion(package, oms_payload(package, subject="capital-0.9.0"))


@case("disagree", "the companion says other of a file", companion=Companion.REQUIRED)
def oms_companion_says_other(package: Path) -> None:
    files = dict.fromkeys(oms_files(package), "00" * 32)
    state_companion(package, oms_payload(package, files=files))


@case("disagree", "the companion leaves out a file", companion=Companion.REQUIRED)
def oms_companion_leaves_out(package: Path) -> None:
    files = dict(list(oms_files(package).items())[1:])
    state_companion(package, oms_payload(package, files=files))


@case("disagree", "the companion ignores more than it may", companion=Companion.REQUIRED)
def oms_companion_ignores_more(package: Path) -> None:
    state_companion(package, oms_payload(package, ignored=(*PACKAGE_IGNORED, "extra")))


@case("malformed", "an OMS bundle in the place of the manifest", companion=Companion.REQUIRED)
def oms_companion_as_manifest(package: Path) -> None:
    (package / MANIFEST).write_bytes((package / OMS_FILE).read_bytes())


# --- what must pass ---------------------------------------------------------------------------


@case("verified", "nothing was changed")
def honest(package: Path) -> None: ...


@case("verified", "a package that never expires", valid_for=None)
def without_expiry(package: Path) -> None: ...


@case("verified", "the signed clock is four minutes ahead of ours, which is within the skew")
def issued_within_skew(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["issuedAt"] = "2026-11-23T12:04:00Z"
    with edited_bom(package) as bom:
        bom["metadata"]["timestamp"] = "2026-11-23T12:04:00Z"
        put(bom["metadata"]["component"], "infwasi:app:timestamp", "2026-11-23T12:04:00Z")


@case("verified", "further names of a model are declared")
def model_aliases(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["models"][0]["aliases"] = ["chat", "default"]


@case("verified", "an fs-verity digest of other parameters than those that infwasi pack uses")
def fs_verity_declared(package: Path) -> None:
    verity = FsVerityHash(block_size=1024, salt=b"\0\xff")
    verity.update((package / "model.gguf").read_bytes())
    with lie(package) as value:
        value["predicate"]["entries"][2]["fsVerity"] = {
            "digest": verity.hexdigest(),
            "blockSize": 1024,
            "salt": "00ff",
        }


@case("verified", "no fs-verity digest is declared")
def fs_verity_undeclared(package: Path) -> None:
    with lie(package) as value:
        del value["predicate"]["entries"][2]["fsVerity"]


@case("malformed", "an fs-verity block size that is no power of two", says="a power of two")
def fs_verity_block_size(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["entries"][2]["fsVerity"]["blockSize"] = 4097


@case("verified", "a second bundle by the same key over the same statement")
def counter_signed(package: Path) -> None:
    counter_sign(package)


@case("verified", "somebody whom nobody trusts has signed as well: it counts nothing")
def counter_signed_by_a_stranger(package: Path) -> None:
    counter_sign(package, STRANGER)


@case("verified", "an OMS companion, so that others can verify too", companion=Companion.REQUIRED)
def oms_companion(_: Path) -> None: ...


@case("verified", "a folder for counter-signatures that is empty")
def counter_signatures_taken_away(package: Path) -> None:
    counter_sign(package).unlink()


# --- places of the format that this version does not serve: no verdict ------------------------


@case("undecided", "a manifest of version 2", says="manifest has version 2")
def version_2(package: Path) -> None:
    with lie(package) as value:
        value["predicateType"] = "urn:infwasi:manifest:v2"


def _second_gguf(package: Path, role: str) -> None:
    """A second GGUF in the package, with its entry; the caller says what it is for."""
    (package / "second.gguf").write_bytes(tiny_gguf())
    with lie(package) as value:
        entry = dict(value["predicate"]["entries"][2], name="second.gguf", role=role)
        value["predicate"]["entries"].append(entry)
        value["subject"].append(
            {"name": "second.gguf", "digest": dict(value["subject"][2]["digest"])}
        )
        attachment = {"name": "extra", "model": "model", "entry": "second.gguf"}
        if role == "lora":
            value["predicate"]["loras"] = [attachment]
        elif role == "projector":
            value["predicate"]["projectors"] = [attachment]
        else:
            value["predicate"]["models"][0]["shards"].append("second.gguf")


@case("undecided", "a LoRA adapter is declared", says="LoRA adapters")
def lora(package: Path) -> None:
    _second_gguf(package, "lora")


@case("undecided", "a projector is declared", says="projectors")
def projector(package: Path) -> None:
    _second_gguf(package, "projector")


@case("undecided", "a model in two shards", says="a model in several shards")
def shards(package: Path) -> None:
    _second_gguf(package, "model")


@case("undecided", "the model lies inside the component", says="an embedded model")
def embedded_model(package: Path) -> None:
    app = package / "app.wasm"
    padding = -app.stat().st_size % 4096
    at = app.stat().st_size + padding
    app.write_bytes(app.read_bytes() + bytes(padding) + (package / "model.gguf").read_bytes())
    (package / "model.gguf").unlink()
    restate(package)
    with lie(package) as value:
        value["predicate"]["entries"][2]["offset"] = {"file": "app.wasm", "at": at}


# --- bytes that are not the signed ones -------------------------------------------------------


@case("digest", "a flipped bit in the model's tensors")
def model_bit(package: Path) -> None:
    flip(package / "model.gguf", (package / "model.gguf").stat().st_size - 3)


@case("digest", "a flipped bit in the model's header")
def model_header_bit(package: Path) -> None:
    flip(package / "model.gguf", 60)


@case("digest", "a flipped bit in the component")
def component_bit(package: Path) -> None:
    flip(package / "app.wasm", 1000)


@case("digest", "a flipped bit in the BOM")
def bom_bit(package: Path) -> None:
    flip(package / "bom.cdx.json", 100)


@case("digest", "the model is one byte shorter")
def model_truncated(package: Path) -> None:
    os.truncate(package / "model.gguf", (package / "model.gguf").stat().st_size - 1)


@case("digest", "the model is one byte longer")
def model_longer(package: Path) -> None:
    with (package / "model.gguf").open("ab") as file:
        file.write(b"\0")


@case("digest", "component and BOM are swapped")
def swapped(package: Path) -> None:
    app, bom = package / "app.wasm", package / "bom.cdx.json"
    content = app.read_bytes()
    app.write_bytes(bom.read_bytes())
    bom.write_bytes(content)


@case("digest", "SHA-256 of one model is signed and BLAKE3 of another; this one has the SHA-256")
def split_digests(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["entries"][2]["blake3"] = "ab" * 32


@case("digest", "the statement states a size that the file has not")
def size_differs(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["entries"][2]["size"] += 1


# --- files ------------------------------------------------------------------------------------


@case("missing", "the model is missing")
def model_missing(package: Path) -> None:
    (package / "model.gguf").unlink()


@case("missing", "the component is missing")
def component_missing(package: Path) -> None:
    (package / "app.wasm").unlink()


@case("missing", "the BOM is missing")
def bom_missing(package: Path) -> None:
    (package / "bom.cdx.json").unlink()


@case("missing", "the model is detached and nobody brings it", is_detached=True)
def detached_model(package: Path) -> None: ...


@case("missing", "an OMS companion is declared and not there")
def oms_companion_missing(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["omsPayload"] = "00" * 32


@case("extra", "an OMS companion that nobody declared")
def oms_companion_extra(package: Path) -> None:
    (package / "model.sig").write_text("{}")


@case("extra", "a file that nobody signed")
def extra_file(package: Path) -> None:
    (package / "readme.txt").write_text("hello")


@case("extra", "a directory")
def extra_directory(package: Path) -> None:
    (package / "more").mkdir()


@case("malformed", "the model is a symbolic link to the very same bytes")
def symbolic_link(package: Path) -> None:
    model = package / "model.gguf"
    model.rename(package.parent / "elsewhere.gguf")
    model.symlink_to(package.parent / "elsewhere.gguf")


@case("malformed", "the component is a pipe")
def pipe(package: Path) -> None:
    (package / "app.wasm").unlink()
    os.mkfifo(package / "app.wasm")


# --- envelope and signature -------------------------------------------------------------------


@case("unsigned", "the bundle was taken away")
def unsigned(package: Path) -> None:
    (package / MANIFEST).unlink()


@case("unsigned", "packed without --sign", signer=None)
def never_signed(package: Path) -> None: ...


@case("signer", "signed by a key that nobody trusts")
def stranger(package: Path) -> None:
    with lie(package, STRANGER):
        pass


@case("signature", "the payload was changed after signing")
def payload_changed(package: Path) -> None:
    bundle = bundle_json(package)
    value = statement(package)
    value["predicate"]["sequence"] += 1
    payload = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    write_bundle(package, bundle)


@case("signature", "the signature of a stranger under the trusted key's hint")
def hint_of_another(package: Path) -> None:
    hint = bundle_json(package)["verificationMaterial"]["publicKey"]["hint"]
    with lie(package, STRANGER):
        pass
    bundle = bundle_json(package)
    bundle["verificationMaterial"]["publicKey"]["hint"] = hint
    write_bundle(package, bundle)


@case("malformed", "an envelope with two signatures")
def two_signatures(package: Path) -> None:
    bundle = bundle_json(package)
    bundle["dsseEnvelope"]["signatures"] *= 2
    write_bundle(package, bundle)


@case("malformed", "an envelope without a signature")
def no_signature(package: Path) -> None:
    bundle = bundle_json(package)
    bundle["dsseEnvelope"]["signatures"] = []
    write_bundle(package, bundle)


@case("malformed", "a member that stands twice: the second payload is another one")
def duplicate_key(package: Path) -> None:
    text = (package / MANIFEST).read_text()
    start = text.index('"payload":')
    (package / MANIFEST).write_text(text[:start] + '"payload":"e30=",' + text[start:])


@case("malformed", "a blank inside the base64 of the payload")
def junk_in_base64(package: Path) -> None:
    bundle = bundle_json(package)
    payload = bundle["dsseEnvelope"]["payload"]
    bundle["dsseEnvelope"]["payload"] = payload[:8] + " " + payload[8:]
    write_bundle(package, bundle)


@case("malformed", "another payload type")
def payload_type(package: Path) -> None:
    bundle = bundle_json(package)
    bundle["dsseEnvelope"]["payloadType"] = "application/json"
    write_bundle(package, bundle)


@case("malformed", "a keyid, which some tools would go by")
def keyid(package: Path) -> None:
    bundle = bundle_json(package)
    bundle["dsseEnvelope"]["signatures"][0]["keyid"] = "x"
    write_bundle(package, bundle)


@case("malformed", "a bundle that is not JSON")
def bundle_garbage(package: Path) -> None:
    (package / MANIFEST).write_bytes(b"\xff\xfe{}")


@case("malformed", "an empty bundle")
def bundle_empty(package: Path) -> None:
    (package / MANIFEST).write_bytes(b"")


@case("limit", "a bundle of more than 1 MiB")
def bundle_too_large(package: Path) -> None:
    (package / MANIFEST).write_bytes(b" " * ((1 << 20) + 1))


@case("malformed", "a bundle that nests 100,000 deep")
def bundle_deep(package: Path) -> None:
    (package / MANIFEST).write_bytes(b"[" * 100_000)


# --- the statement, signed by a trusted key ---------------------------------------------------


@case("malformed", "a member that format v1 does not know")
def unknown_member(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["note"] = "harmless?"


@case("malformed", "sequence is missing")
def member_missing(package: Path) -> None:
    with lie(package) as value:
        del value["predicate"]["sequence"]


@case("malformed", "sequence is a string")
def wrong_type(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["sequence"] = "1"


@case("malformed", "a statement of another type", says="not an infwasi manifest")
def other_predicate(package: Path) -> None:
    with lie(package) as value:
        value["predicateType"] = "https://cyclonedx.org/bom"


@case("malformed", "blanks between members: another byte form of the same statement")
def not_canonical(package: Path) -> None:
    sign_bytes(package, json.dumps(statement(package), sort_keys=True).encode())


@case("malformed", "two subjects of one name")
def subject_twice(package: Path) -> None:
    with lie(package) as value:
        value["subject"].append(value["subject"][0])


@case("malformed", "an entry that is no subject")
def entry_without_subject(package: Path) -> None:
    with lie(package) as value:
        del value["subject"][2]


@case("malformed", "two entries of the role bom, none of the role component")
def role_twice(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["entries"][0]["role"] = "bom"


@case("malformed", "the roles of component and BOM are swapped: no BOM parses as a component")
def roles_swapped(package: Path) -> None:
    with lie(package) as value:
        first, second = value["predicate"]["entries"][:2]
        first["role"], second["role"] = "bom", "component"


@case("malformed", "an entry that leaves the package")
def name_with_separator(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["entries"][0]["name"] = "../app.wasm"
        value["subject"][0]["name"] = "../app.wasm"


@case("malformed", "the component has another name than app.wasm")
def component_renamed(package: Path) -> None:
    (package / "app.wasm").rename(package / "apple.wasm")
    with lie(package) as value:
        value["predicate"]["entries"][0]["name"] = "apple.wasm"
        value["subject"][0]["name"] = "apple.wasm"


@case("malformed", "an entry is the manifest itself")
def reserved_entry(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["entries"][1]["name"] = MANIFEST
        value["subject"][1]["name"] = MANIFEST
        value["predicate"]["entries"].sort(key=lambda entry: str(entry["name"]))
        value["subject"].sort(key=lambda subject: str(subject["name"]))


@case("malformed", "no model is declared")
def no_models(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["models"] = []


@case("malformed", "a model names a shard that is no entry")
def unknown_shard(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["models"][0]["shards"] = ["other.gguf"]


@case("malformed", "an integer beyond 2^53 - 1, which is not the same number everywhere")
def large_integer(package: Path) -> None:
    value = statement(package)
    payload = json.dumps(value, sort_keys=True, separators=(",", ":"))
    sequence = f'"sequence":{value["predicate"]["sequence"]}'
    sign_bytes(package, payload.replace(sequence, f'"sequence":{2**53}').encode())


@case("malformed", "expires before it was issued")
def expires_before_issue(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["expiresAt"] = "2026-01-01T00:00:00Z"


@case("malformed", "an offset that is not page-aligned")
def offset_unaligned(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["entries"][2]["offset"] = {"file": "app.wasm", "at": 100}


# --- policy -----------------------------------------------------------------------------------


@case("expired", "issued two years ago for one year", issued_at=NOW - timedelta(days=730))
def expired(package: Path) -> None: ...


@case("policy", "issued an hour from now")
def from_the_future(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["issuedAt"] = "2026-11-23T13:00:00Z"


@case("policy", "the package lies under another name")
def renamed(package: Path) -> Path:
    return package.rename(package.parent / "weather-1.0.0")


@case("policy", "an older version lies under the name of a newer one")
def version_renamed(package: Path) -> Path:
    return package.rename(package.parent / "capital-2.0.0")


@case("policy", "the manifest of another package of the same signer")
def other_manifest(package: Path) -> None:
    other = make_package(package.parent, name="weather")
    (package / MANIFEST).write_bytes((other / MANIFEST).read_bytes())


@case("policy", "the component imports the file system, and the statement says so")
def imports_files(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["component"]["imports"].append(WASI_FILES)
        value["predicate"]["component"]["imports"].sort()


# --- a trusted signer whose statement and bytes say different things --------------------------


@case("disagree", "the statement leaves out an import")
def imports_differ(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["component"]["imports"].pop()


@case("disagree", "the statement claims an export that is not there")
def exports_differ(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["component"]["exports"].append("wasi:zzz/x@0.1.0")


@case("disagree", "a part that is not in the component")
def part_differs(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["component"]["parts"][0]["sha256"] = "ab" * 32


@case("disagree", "a part is left out")
def part_hidden(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["component"]["parts"].pop()


@case("disagree", "two parts are called by each other's name")
def parts_swapped(package: Path) -> None:
    with lie(package) as value:
        first, second = value["predicate"]["component"]["parts"][:2]
        first["name"], second["name"] = second["name"], first["name"]
        value["predicate"]["component"]["parts"][:2] = [second, first]


@case("disagree", "the app is an engine alone, which answers nobody")
def not_an_app(package: Path) -> None:
    engine = files("infwasi_sign") / "data" / "components" / "engine.wasm"
    (package / "app.wasm").write_bytes(engine.read_bytes())
    restate(package)
    with lie(package) as value:
        facts = describe(engine.read_bytes())
        value["predicate"]["component"]["imports"] = list(facts.imports)
        value["predicate"]["component"]["exports"] = list(facts.exports)


@case("disagree", "other settings than the component has")
def settings_differ(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["component"]["settings"] = "ab" * 32


@case("disagree", "another architecture than the header says")
def architecture_differs(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["models"][0]["architecture"] = "gemma3"


@case("disagree", "another chat template than the header has")
def template_differs(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["models"][0]["chatTemplate"] = "ab" * 32


@case("disagree", "no chat template is declared, but there is one")
def template_hidden(package: Path) -> None:
    with lie(package) as value:
        del value["predicate"]["models"][0]["chatTemplate"]


@case("disagree", "another header")
def header_differs(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["entries"][2]["gguf"]["header"] = "ab" * 32


@case("disagree", "another tensor table")
def tensor_table_differs(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["entries"][2]["gguf"]["tensorTable"] = "ab" * 32


@case("disagree", "other tensors than the BOM lists")
def tensors_differ(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["entries"][2]["gguf"]["tensors"] = "ab" * 32


@case("disagree", "the settings ask for a model by a name that is not declared")
def model_renamed(package: Path) -> None:
    with lie(package) as value:
        value["predicate"]["models"][0]["name"] = "other"


def _lying(one: Lie) -> Make:
    def tell(package: Path) -> None:
        with edited_bom(package) as bom:
            one.tell(bom)

    tell.__name__ = one.name
    return tell


for _one in LIES:
    case("disagree", f"the BOM: {_one.why}", says=_one.where)(_lying(_one))


@case("disagree", "the serial number of another BOM", says="bom.serialNumber")
def bom_number(package: Path) -> None:
    path = package / "bom.cdx.json"
    bom = json.loads(path.read_bytes())
    bom["serialNumber"] = "urn:uuid:5c3b6b0e-6a5e-5d0a-9a53-6f7a3f0f9b1d"
    path.write_bytes(strict_json.canonical(bom))
    restate(package)


@case("malformed", "the BOM carries declared facts that nothing can read")
def bom_declared_broken(package: Path) -> None:
    with edited_bom(package) as bom:
        put(bom["metadata"], "infwasi:declared", '{"model":{"colour":"blue"}}')


@case("malformed", "the BOM says one property twice: a false one beside the true one")
def bom_property_twice(package: Path) -> None:
    with edited_bom(package) as bom:
        properties = bom_component(bom, "model:model:0")["properties"]
        properties.insert(0, {"name": "infwasi:gguf:architecture", "value": "gemma3"})


@case("malformed", "the BOM is not in its one byte form")
def bom_not_canonical(package: Path) -> None:
    path = package / "bom.cdx.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()), indent=1))
    restate(package)


@case("disagree", "the BOM lists fewer tensor digests than there are tensors")
def bom_tensor_dropped(package: Path) -> None:
    with edited_bom(package) as bom:
        for item in bom_component(bom, "model:model:0")["properties"]:
            if item["name"] == "infwasi:gguf:tensor-digests:blake3":
                item["value"] = base64.b64encode(base64.b64decode(item["value"])[:-32]).decode()
                root = measure_bytes(base64.b64decode(item["value"]))[Algorithm.BLAKE3]
    with lie(package) as value:
        value["predicate"]["entries"][2]["gguf"]["tensors"] = root.hex


@case("malformed", "the BOM is of another specification version")
def bom_version(package: Path) -> None:
    with edited_bom(package) as bom:
        bom["specVersion"] = "1.4"


# --- signed bytes that are not what their role demands ----------------------------------------


@case("malformed", "the component is a core module")
def core_module(package: Path) -> None:
    (package / "app.wasm").write_bytes(b"\0asm\x01\0\0\0")
    restate(package)


@case("malformed", "the component is text")
def not_wasm(package: Path) -> None:
    (package / "app.wasm").write_bytes(b"(component)")
    restate(package)


def _model(package: Path, model: bytes) -> None:
    (package / "model.gguf").write_bytes(model)
    restate(package)


@case("malformed", "the model claims 2^60 tensors")
def tensors_2_to_60(package: Path) -> None:
    _model(package, tiny_gguf(tensor_count=2**60))


@case("malformed", "the model claims 2^60 pairs of metadata")
def pairs_2_to_60(package: Path) -> None:
    _model(package, tiny_gguf(pair_count=2**60))


@case("malformed", "the model's header ends in the middle")
def model_header_truncated(package: Path) -> None:
    _model(package, tiny_gguf()[:100])


@case("malformed", "two tensors overlap")
def tensors_overlap(package: Path) -> None:
    lying = Tensor(name=b"d.weight", dimensions=(8,), type=0, data=bytes(32), offset=0)
    first = Tensor(name=b"a.weight", dimensions=(8,), type=0, data=bytes(32))
    _model(package, tiny_gguf(tensors=(first, lying)))


@case("malformed", "a model without an architecture")
def no_architecture(package: Path) -> None:
    pairs = tuple(pair for pair in PAIRS if b"general.architecture" not in pair)
    _model(package, tiny_gguf(pairs=pairs))
    restate_evidence(package)


@case("disagree", "another model under the old evidence", says="gguf.header")
def other_model(package: Path) -> None:
    _model(package, tiny_gguf(pairs=(*PAIRS, text_pair("general.author", "Mallory"))))


@case("disagree", "the BOM is of another model than the one that is signed", says="bom")
def bom_of_other_model(package: Path) -> None:
    _model(package, tiny_gguf(pairs=(*PAIRS, text_pair("general.license", "mit"))))
    restate_evidence(package)
