"""Inputs to begin with, made by the forge when they are needed; none are kept in files."""

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import PurePath
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from infwasi_sign.adapters.cel import CelCompiler
from infwasi_sign.adapters.oms_keys import sign_oms
from infwasi_sign.domain import strict_json
from infwasi_sign.domain.bundle import Bundle, encode_bundle, parse_bundle
from infwasi_sign.domain.component import Nested, describe
from infwasi_sign.domain.declared_codec import declared_tree
from infwasi_sign.domain.declared_file import parse_model_card
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.facts import FACT_TYPES, FactType
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.material import Certified, LogEntry, Logged
from infwasi_sign.domain.pins import Pin, encode_pins
from infwasi_sign.domain.policy_file import parse_policy
from infwasi_sign.domain.project import template
from infwasi_sign.domain.rollback import SequenceRecord, encode_state, policy_id
from infwasi_sign.domain.rules import Facts, FactValue
from infwasi_sign.domain.settings_layout import memory_image
from infwasi_sign.domain.settings_module import settings_module
from infwasi_sign.domain.trust_root import encode_fetched
from tests import certificate_authority as authority
from tests import gguf_forge, oms_support
from tests.conftest import ROOT
from tests.declared_support import CARD, FILLED
from tests.forge import MANIFEST, NOW, SETTINGS, TRUSTED
from tests.gguf_forge import PAIRS, tiny_gguf
from tests.gym.draft import APP, BOM, MODEL, Honest
from tests.policy_support import MINIMAL
from tests.settings_samples import make_settings
from tests.template_samples import HOSTILE, STOCK
from tests.test_identity_record import BLAKE3, RECORD, SHA256
from tests.vex_samples import CYCLONEDX_VEX, OPENVEX

POLICY_ID = policy_id("key", "a" * 64)

_TEMPLATES = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n'"
    " }}{% endif %}",
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}"
    "{{ raise_exception('no system turn') }}{% endif %}[INST] {{ m.content | trim }} [/INST]"
    "{% endfor %}",
    "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
    "{{ m['content'] }}{{ ns.n }}{% endfor %}",
    "{% macro turn(m) %}{{ m.content }}{% endmacro %}"
    "{% for m in messages %}{{ turn(m) }}{% endfor %}",
    "{%- for m in messages[:1] + messages[1:] -%}{{ m['content'] ~ eos_token }}{%- endfor -%}",
    "{% for i in range(9) %}{{ i * 'x' }}{% endfor %}{{ messages | tojson }}",
    gguf_forge.TEMPLATE,
)


@cache
def honest() -> Honest:
    """The forge's packages."""
    return Honest.make()


def bundles() -> list[bytes]:
    """Signed bundles."""
    return [honest().capital[MANIFEST], honest().weather[MANIFEST]]


def certified_bundles() -> list[bytes]:
    """Bundles under a certificate: of fixed bytes, for nothing here is verified."""
    envelope = parse_bundle(bundles()[0]).envelope
    materials = (
        Certified(certificate=bytes(range(200)), timestamps=()),
        Certified(certificate=b"\x30\x03\x02\x01\x00", timestamps=(b"\x30\x00", bytes(100))),
    )
    return [encode_bundle(Bundle(envelope=envelope, material=one)) for one in materials]


def keyless_bundles() -> list[bytes]:
    """Bundles under an identity, as with either version of Rekor; of fixed bytes."""
    envelope = parse_bundle(bundles()[0]).envelope
    second = LogEntry(
        log_index=7,
        log_id=bytes(32),
        kind="hashedrekord",
        version="0.0.2",
        integrated_time=None,
        promise=None,
        proof_index=7,
        root_hash=bytes(range(32)),
        tree_size=2**63 - 1,
        hashes=(bytes(32), bytes([1]) * 32),
        checkpoint="log.example.test\n8\nAAAA\n\n\u2014 log.example.test AAAA\n",
        body=b'{"apiVersion":"0.0.2"}',
    )
    first = replace(
        second, kind="dsse", version="0.0.1", integrated_time=1_795_521_600, promise=bytes(70)
    )
    certificate = bytes(range(250))
    materials = (
        Logged(certificate=certificate, entry=first, timestamps=()),
        Logged(certificate=certificate, entry=second, timestamps=(b"\x30\x00",)),
    )
    return [encode_bundle(Bundle(envelope=envelope, material=one)) for one in materials]


def bundles_in_any_form() -> list[bytes]:
    """Bundles of all modes as other writers have them: with spaces, in another order."""
    values = [json.loads(one) for one in (*bundles()[:1], *certified_bundles(), *keyless_bundles())]
    return [
        *(json.dumps(value, indent=1).encode() for value in values),
        *(json.dumps(value, sort_keys=True).encode() for value in values),
    ]


def statements() -> list[bytes]:
    """Statements, also with everything that format v1 has a place for."""
    bundles = (honest().capital[MANIFEST], honest().detached[MANIFEST])
    found = [base64.b64decode(json.loads(one)["dsseEnvelope"]["payload"]) for one in bundles]
    value = json.loads(found[0])
    entry = value["predicate"]["entries"][2]
    entry["fsVerity"] = {"digest": "ab" * 32, "blockSize": 4096, "salt": ""}
    entry["offset"] = {"file": APP, "at": 4096}
    value["predicate"]["models"][0]["aliases"] = ["chat"]
    claim = {"name": "extra", "model": "model", "entry": MODEL}
    value["predicate"] |= {"loras": [claim], "projectors": [claim], "omsPayload": "00" * 32}
    return [*found, json.dumps(value, sort_keys=True, separators=(",", ":")).encode()]


def oms_payloads() -> list[bytes]:
    """OMS payloads: ours, one by a release before 1.1, and one of a single file."""
    old = json.loads(oms_support.payload_of())
    del old["predicate"]["serialization"]["ignore_paths"]
    single = json.loads(json.dumps(old))
    single["predicate"]["resources"][1:] = []
    single["predicate"]["resources"][0]["name"] = "."
    oms_support.reroot(single)
    return [
        oms_support.payload_of(),
        json.dumps(old, indent=2).encode(),
        json.dumps(single).encode(),
    ]


def oms_bundles() -> list[bytes]:
    """OMS bundles of each mode."""
    signed = sign_oms(TRUSTED, oms_support.payload_of())
    value = json.loads(signed)
    others: tuple[dict[str, object], ...] = (
        {"publicKey": {"rawBytes": "AAAA", "keyDetails": "PKIX_ECDSA_P256_SHA_256"}},
        {
            "x509CertificateChain": {"certificates": [{"rawBytes": "AAAA"}]},
            "timestampVerificationData": {"rfc3161Timestamps": [{"signedTimestamp": "AAAA"}]},
        },
        {"certificate": {"rawBytes": "AAAA"}, "tlogEntries": [{"logIndex": "1"}]},
    )
    return [
        signed,
        *(json.dumps({**value, "verificationMaterial": other}).encode() for other in others),
    ]


def boms() -> list[bytes]:
    """Bills of materials."""
    return [honest().capital[BOM], honest().detached[BOM]]


def json_texts() -> list[bytes]:
    """JSON of all kinds."""
    values = (b'{"a":[1,-0.5,1e3,true,null,"\\u00e9\\ud83d\\ude00"],"b":{}}', b"[]", b'"\\ud800"')
    return [*values, b"9007199254740991", b"1E400", b"NaN", b'{"a":1,"a":2}', b"[" * 40, *boms()]


def models() -> list[bytes]:
    """Models: small ones, with arrays in arrays, with other alignments."""
    nested = gguf_forge.array(gguf_forge.ARRAY, gguf_forge.strings("a", "b"), 1)
    return [
        tiny_gguf(),
        tiny_gguf(states_alignment=True, alignment=64),
        tiny_gguf(pairs=gguf_forge.every_general_key()),
        tiny_gguf(pairs=(*PAIRS, gguf_forge.pair("nested", gguf_forge.ARRAY, nested))),
        tiny_gguf(tensors=()),
        tiny_gguf(version=2),
    ]


def _parts(nested: tuple[Nested, ...]) -> list[Nested]:
    return [found for one in nested for found in (one, *_parts(one.children))]


def components() -> list[bytes]:
    """The app and every component in it."""
    app = honest().capital[APP]
    parts = _parts(describe(app).children)
    found = [app[part.offset_bytes : part.offset_bytes + part.size_bytes] for part in parts]
    return [app, *(data for data in found if data[4] == 0x0D), b"\0asm\x0d\0\x01\0"]


def settings_modules() -> list[bytes]:
    """Core modules of config components."""
    return [settings_module(SETTINGS), settings_module(make_settings())]


def settings_images() -> list[bytes]:
    """Settings as they lie in memory."""
    return [memory_image(SETTINGS, 1024), memory_image(make_settings(), 1024)]


def tensor_digests() -> list[bytes]:
    """Digests of tensors in base64."""
    return [base64.b64encode(bytes(range(32 * count))) for count in (0, 1, 3)]


def projects() -> list[bytes]:
    """Project files, with every key."""
    text = template("capital", PurePath("model.gguf"))
    full = "\n".join(line.removeprefix("# ") for line in text.splitlines())
    return [text.encode(), full.encode(), b'[package]\nname = "x"\nversion = "1"\n']


def model_cards() -> list[bytes]:
    """Model cards: all that can be said, and little."""
    return [FILLED.encode(), (ROOT / "examples" / "model-card.toml").read_bytes()]


def front_matters() -> list[bytes]:
    """Beginnings of READMEs: with every key that has a place, and with YAML that is refused."""
    refused = "a: &b [*b, !!int 1, {<<: 2}]\n? |\n  x\n: >-\n  y\n"
    return [CARD.encode(), f"---\n{refused}---\n".encode(), b"---\nlicense: mit\n---\n"]


def declared_facts() -> list[bytes]:
    """The same facts as JSON."""
    return [
        strict_json.canonical(declared_tree(parse_model_card(card, where="card")))
        for card in model_cards()
    ]


def policies() -> list[bytes]:
    """Policy files: the smallest, and those that are ready for use."""
    return [MINIMAL.encode(), *_ready()]


def _ready() -> list[bytes]:
    return [path.read_bytes() for path in sorted((ROOT / "policies").glob("*.toml"))]


_EXAMPLES: Final[Mapping[FactType, tuple[FactValue, FactValue]]] = {
    FactType.NUMBER: (7, 2**63 - 1),
    FactType.TEXT: ("llama", "x" * LIMITS.expression_text_bytes),
    FactType.TEXTS: (("mit", "F32"), tuple("x" * 64 + str(at) for at in range(256))),
}
SMALL_FACTS: Final[Facts] = {fact: _EXAMPLES[kind][0] for fact, kind in FACT_TYPES.items()}
LARGE_FACTS: Final[Facts] = {fact: _EXAMPLES[kind][1] for fact, kind in FACT_TYPES.items()}


def expressions() -> list[bytes]:
    """Expressions with everything that they may have, and those of the ready policies."""
    everything = (
        'package_name in ["capital", "weather"] && !(package_age_days + 1 * 2 - 3 / 4 % 5 > 7)',
        'model_licenses.all(a, bom_properties.exists(b, a != b)) || "x" in model_licenses',
        'size(model_licenses.filter(a, a.startsWith("m"))) == 1 ? now > 0 : now <= -1',
        'model_licenses.exists_one(a, a.matches("^[a-z]+$")) && model_licenses[0].endsWith("t")',
        'package_version.contains(".") && package_version >= "1" && component_imports != []',
    )
    ready = [spec.text for path in _ready() for spec in parse_policy(path, where="p").expressions]
    return [text.encode() for text in (*everything, *ready)]


def expression_trees() -> list[bytes]:
    """Expressions as the library writes them, before and after their types were checked."""
    environment = CelCompiler()._opened("corpus")
    return [
        environment.compile(text, disable_check=not is_checked).serialize()
        for text in ("now > 1 && now + 1 != 3", "[1, 2].all(a, a in [1]) || size('x') == now")
        for is_checked in (False, True)
    ]


def states() -> list[bytes]:
    """What was accepted before, under one policy."""
    record = SequenceRecord(
        package="capital",
        sequence=7,
        statement=Digest(algorithm=Algorithm.SHA256, hex="ab" * 32),
        accepted_at=NOW,
    )
    other = replace(record, package="weather", sequence=0)
    return [encode_state(POLICY_ID, records) for records in ((), (record,), (record, other))]


def identity_records() -> list[bytes]:
    both = replace(RECORD, digests={one.algorithm: one for one in (SHA256, BLAKE3)})
    return [RECORD.to_bytes(), both.to_bytes()]


def pins() -> list[bytes]:
    """Keys that packages were seen with first."""
    pin = Pin(package="capital", public_key=TRUSTED.public_key(), pinned_at=NOW)
    return [encode_pins(found) for found in ((), (pin,), (pin, replace(pin, package="x")))]


def options() -> list[bytes]:
    """Options of a guest."""
    full = {"n-predict": 5, "temp": 0.5, "top-k": 4, "top-p": 0.9, "min-p": 0.1, "seed": 1}
    return [b"{}", json.dumps(full | {"repeat-penalty": 1.1, "stop": ["a", "\n"]}).encode()]


def templates() -> list[bytes]:
    """Chat templates."""
    return [text.encode() for text in (*_TEMPLATES, *STOCK.values(), *HOSTILE) if len(text) < 4096]


def public_keys() -> list[bytes]:
    """Public keys, of supported and other types."""
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    others = (
        ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key(),
        ec.derive_private_key(7, ec.SECP384R1()).public_key(),
        ec.derive_private_key(7, ec.SECP256K1()).public_key(),
    )
    ders = [key.public_bytes(serialization.Encoding.DER, spki) for key in others]
    compressed = TRUSTED.secret.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
    )
    return [TRUSTED.public_key(), *ders, compressed]


def private_keys() -> list[bytes]:
    """Private keys without protection."""
    found = (TRUSTED.secret, ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)))
    ders = [
        key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        for key in found
    ]
    # one as long as Ed25519's under the name of Ed448, RFC 8410 section 3
    return [*ders, ders[-1].replace(b"\x2b\x65\x70", b"\x2b\x65\x71")]


def key_files() -> list[bytes]:
    """Key files in PEM."""
    secret = TRUSTED.secret.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return [TRUSTED.public_pem(), secret, b"-----BEGIN X-----\nAA==\n-----END X-----\n"]


SIGNED = b"what was signed"
SIGNATURE = authority.RELEASE.sign(SIGNED)


def certificates() -> list[bytes]:
    """Certificates of all kinds; the first is accepted as a signer's."""
    own = (authority.RELEASE, authority.ISSUING_CA, authority.ROOT_CA, authority.TIME.own)
    return [one.der for one in own]


def certificate_files() -> list[bytes]:
    """PEM files of certificates."""
    return [authority.RELEASE.pem, authority.RELEASE.pem + authority.ISSUING_CA.pem]


def timestamps() -> list[bytes]:
    """Answers of timestamp authorities; the first is accepted."""
    bare = authority.stamper(authority.TIME_ROOT, "Other Timestamps")
    good = authority.Stamp(signature=SIGNATURE, at=authority.NOW)
    return [
        authority.TIME.answer(good),
        bare.answer(replace(good, nonce=7)),
        bare.answer(replace(good, status=2)),
        bare.answer(replace(good, has_attributes=False)),
    ]


def cosign_keys() -> list[bytes]:
    """The JSON of key files of cosign."""
    salt, nonce, secret = (base64.b64encode(bytes(size)).decode() for size in (32, 24, 64))
    cipher = {"name": "nacl/secretbox", "nonce": nonce}
    return [
        json.dumps(
            {
                "kdf": {"name": "scrypt", "params": {"N": n, "r": 8, "p": 1}, "salt": salt},
                "cipher": cipher,
                "ciphertext": secret,
            }
        ).encode()
        for n in (2**16, 2**40)
    ]


def key_uris() -> list[bytes]:
    """Names of keys in tokens, RFC 7512."""
    return [
        b"pkcs11:token=The%20token;object=signer;type=private?module-path=/usr/lib/a.so",
        b"pkcs11:manufacturer=m;model=d;serial=0A;slot-id=7;id=%00%FF?pin-source=file:///etc/pin",
        b"pkcs11:object=a;pin-value=1",
    ]


def trust_roots() -> list[bytes]:
    """A small one in its three forms, and with a time for each authority."""
    valid = {"start": "2020-01-01T00:00:00Z", "end": "2030-01-01T00:00:00.5+01:00"}
    log = {"baseUrl": "x", "publicKey": {"rawBytes": "AA==", "validFor": valid}}
    authority = {"uri": "x", "certChain": {"certificates": [{"rawBytes": "AA=="}]}}
    root = {
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [log, {**log, "logId": {"keyId": "AA=="}}],
        "ctlogs": [log],
        "certificateAuthorities": [{**authority, "validFor": valid}],
        "timestampAuthorities": [authority],
    }
    config = {
        "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
        "trustedRoot": root,
        "signingConfig": {},
    }
    fetched = encode_fetched(json.dumps(config), instance="https://x.test", fetched_at=NOW)
    return [json.dumps(root).encode(), json.dumps(config).encode(), fetched]


def vex_documents() -> list[bytes]:
    """Statements in both forms."""
    return [json.dumps(value).encode() for value in (OPENVEX, CYCLONEDX_VEX)]
