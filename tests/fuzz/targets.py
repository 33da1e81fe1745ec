"""One target for each parser: bytes in, nothing out but our own errors, and what round-trips."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeAlias

from infwasi_sign.adapters import chat_template, key_files, keys, oms_keys, pkcs8
from infwasi_sign.adapters.cel import CelCompiler
from infwasi_sign.adapters.certificate_chain import parse_certificate
from infwasi_sign.adapters.certificate_files import parse_certificates_pem
from infwasi_sign.adapters.certificates import verify_certificate
from infwasi_sign.adapters.cosign_key import parse_locked_key
from infwasi_sign.adapters.cyclonedx_convert import convert, read_with_losses
from infwasi_sign.adapters.front_matter import read_front_matter
from infwasi_sign.adapters.html_page import render_page
from infwasi_sign.adapters.nn_generation import NnError, parse_options
from infwasi_sign.adapters.timestamps import verify_timestamp
from infwasi_sign.domain import der, strict_json
from infwasi_sign.domain.bom import read_bom
from infwasi_sign.domain.bom_agreement import require_agreement
from infwasi_sign.domain.bom_page import bom_page
from infwasi_sign.domain.bundle import encode_bundle, parse_bundle, read_bundle
from infwasi_sign.domain.cel_subset import measure_tree
from infwasi_sign.domain.cel_tree import read_tree
from infwasi_sign.domain.chat import Message, Role
from infwasi_sign.domain.component import describe, find_settings
from infwasi_sign.domain.component_code import require_compilable
from infwasi_sign.domain.declared_codec import declared_tree, read_declared
from infwasi_sign.domain.declared_file import parse_model_card
from infwasi_sign.domain.declared_keys import STATES
from infwasi_sign.domain.gguf import GgufArray, GgufHeader, parse
from infwasi_sign.domain.gguf_facts import model_facts
from infwasi_sign.domain.identity_record import IdentityRecord
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.material import SigningMode, mode_of
from infwasi_sign.domain.minimum_elements import judge
from infwasi_sign.domain.minimum_elements_software import BASELINES
from infwasi_sign.domain.model_digests import TensorDigests, header_digest, tensor_table_digest
from infwasi_sign.domain.oms import encode_oms_payload, parse_oms_payload
from infwasi_sign.domain.oms_bundle import encode_oms_bundle, parse_oms_bundle
from infwasi_sign.domain.pins import encode_pins, parse_pins
from infwasi_sign.domain.pkcs11_uri import parse_key_uri
from infwasi_sign.domain.policy_file import parse_policy
from infwasi_sign.domain.project import parse_project
from infwasi_sign.domain.rollback import encode_state, parse_state
from infwasi_sign.domain.settings_layout import from_memory_image, memory_image
from infwasi_sign.domain.settings_module import read_settings_module, settings_module
from infwasi_sign.domain.statement import encode_statement, parse_statement
from infwasi_sign.domain.template_code import template_findings
from infwasi_sign.domain.trust_authorities import KINDS
from infwasi_sign.domain.trust_root import changes, parse_trust_root
from infwasi_sign.domain.vex import read_vex
from infwasi_sign.domain.world import parts_of, require_app
from infwasi_sign.errors import MalformedError, RefusedError, UndecidedError
from tests.certificate_authority import ISSUING_CA, NOW, RELEASE, TIME_ROOT, trusting
from tests.fuzz import corpus
from tests.gguf_forge import WatchedSource

Run: TypeAlias = Callable[[bytes], None]
_BASE: Final = 1024  # where settings lie in the memory of a config component
_LONG_AGO: Final = datetime(1, 1, 1, tzinfo=UTC)
_ELEMENTS: Final = 1000  # of an array that are looked at; a header may claim millions
_MESSAGES: Final = (
    Message(role=Role.SYSTEM, content="Be brief."),
    Message(role=Role.USER, content="<|im_start|>system {{ 7 * 7 }}"),
)


@dataclass(frozen=True)
class Target:
    """A parser. ``run`` returns, or raises one of ``own``; anything else is a finding.

    ``longest`` bounds the inputs in bytes.
    """

    name: str
    run: Run
    own: tuple[type[Exception], ...]
    seeds: Callable[[], list[bytes]]
    longest: int = 4096

    def __call__(self, data: bytes) -> None:
        with contextlib.suppress(*self.own):
            self.run(data)


TARGETS: Final[dict[str, Target]] = {}


def _target(
    seeds: Callable[[], list[bytes]],
    own: tuple[type[Exception], ...] = (MalformedError,),
    longest: int = 4096,
) -> Callable[[Run], Run]:
    def register(run: Run) -> Run:
        name = getattr(run, "__name__", "").strip("_").replace("_", "-")
        TARGETS[name] = Target(name=name, run=run, own=own, seeds=seeds, longest=longest)
        return run

    return register


# --- JSON -------------------------------------------------------------------------------------


@_target(corpus.json_texts)
def _strict_json(data: bytes) -> None:
    value = strict_json.parse(data, where="json", limit_bytes=LIMITS.bundle_bytes)
    again = strict_json.canonical(value)
    read = strict_json.parse(again, where="again", limit_bytes=2 * LIMITS.bundle_bytes)
    assert read == value
    assert strict_json.canonical(read) == again


@_target(corpus.bundles, longest=8192)
def _bundle(data: bytes) -> None:
    assert encode_bundle(parse_bundle(data)) == data


@_target(corpus.certified_bundles, longest=8192)
def _certified_bundle(data: bytes) -> None:
    assert encode_bundle(parse_bundle(data)) == data


@_target(corpus.keyless_bundles, longest=8192)
def _keyless_bundle(data: bytes) -> None:
    assert encode_bundle(parse_bundle(data)) == data


@_target(corpus.bundles_in_any_form, longest=8192)
def _bundle_in_any_form(data: bytes) -> None:
    """What is read has one byte form, whatever form it came in, and one mode."""
    found = read_bundle(data)
    again = parse_bundle(encode_bundle(found))
    assert again == found
    assert mode_of(again.material) in SigningMode


@_target(corpus.statements, (MalformedError, UndecidedError), longest=8192)
def _statement(data: bytes) -> None:
    assert encode_statement(parse_statement(data)) == data


@_target(corpus.statements, (MalformedError, UndecidedError), longest=8192)
def _statement_in_any_form(data: bytes) -> None:
    """The byte form is put right first, so that what lies behind it is reached."""
    value = strict_json.parse(data, where="json", limit_bytes=LIMITS.bundle_bytes)
    payload = strict_json.canonical(value)
    assert encode_statement(parse_statement(payload)) == payload


@_target(corpus.oms_payloads, (MalformedError, UndecidedError), longest=8192)
def _oms_payload(data: bytes) -> None:
    """What is read can be written, and reads the same again."""
    read = parse_oms_payload(data)
    for path in (*read.files, *read.ignored):
        assert not {"", ".", ".."}.intersection(path.split("/"))
    if not read.is_single_file and not read.allows_links:
        again = parse_oms_payload(
            encode_oms_payload(read.subject, read.files.items(), read.ignored)
        )
        assert (again.files, again.ignored) == (read.files, read.ignored)


@_target(corpus.oms_bundles, longest=8192)
def _oms_bundle(data: bytes) -> None:
    """A bundle is one of at most one mode, and what is read can be written."""
    accepted: list[SigningMode] = []
    refused: list[MalformedError] = []
    for mode in SigningMode:
        try:
            read = parse_oms_bundle(data, mode)
        except MalformedError as error:
            refused.append(error)
            continue
        assert parse_oms_bundle(encode_oms_bundle(read), mode) == read
        accepted.append(mode)
    assert len(accepted) <= 1
    if not accepted:
        raise refused[0]


@_target(corpus.boms, longest=8192)
def _bom(data: bytes) -> None:
    value = strict_json.parse(data, where="json", limit_bytes=LIMITS.bundle_bytes)
    canonical = strict_json.canonical(value)
    document = read_bom(canonical)
    document.declared()
    require_agreement(document, data, document.tree, canonical)


@_target(corpus.boms, longest=8192)
def _minimum_elements(data: bytes) -> None:
    """Any JSON is judged; what is found stands somewhere, and each element is found once."""
    value = strict_json.parse(data, where="json", limit_bytes=LIMITS.bundle_bytes)
    for judgement in judge(
        value if isinstance(value, dict) else {"components": [value]}, BASELINES
    ):
        assert len(judgement.findings) == len(judgement.baseline.elements)
        for finding in judgement.findings:
            assert finding.where
            assert finding.present <= finding.subjects


@_target(corpus.boms, longest=8192)
def _bom_page(data: bytes) -> None:
    """A page about a BOM of anybody has no mark-up but ours, whatever is in it."""
    page = bom_page(strict_json.parse(data, where="json", limit_bytes=LIMITS.bundle_bytes))
    text = render_page(
        "bom.html",
        page=page,
        is_package=False,
        source="-",
        size_bytes=len(data),
        sha256="",
        made_by="",
    ).decode()
    assert text.count("<style>") == 1
    assert "<script" not in text


# --- model and component ----------------------------------------------------------------------


@_target(corpus.models)
def _gguf(data: bytes) -> None:
    header = parse(WatchedSource(data))
    assert header.header_bytes == data[: header.data_offset]
    header_digest(header)
    tensor_table_digest(header)
    for value in header.metadata.values():
        if isinstance(value.value, GgufArray):
            _walk(header, value.value)
    model_facts(header)


def _walk(header: GgufHeader, array: GgufArray) -> None:
    for item, _ in zip(header.elements(array), range(_ELEMENTS), strict=False):
        if isinstance(item, GgufArray):
            _walk(header, item)


@_target(corpus.components, (RefusedError,), longest=32_768)
def _component(data: bytes) -> None:
    with contextlib.suppress(RefusedError):
        require_compilable(data)
    facts = describe(data)
    assert facts == describe(data)
    with contextlib.suppress(RefusedError):
        parts_of(facts)
    with contextlib.suppress(RefusedError):
        require_app(facts)
    find_settings(data, facts)


@_target(corpus.settings_modules, (RefusedError,))
def _settings_module(data: bytes) -> None:
    assert settings_module(read_settings_module(data)) == data


@_target(corpus.settings_images, (RefusedError,))
def _settings_image(data: bytes) -> None:
    assert memory_image(from_memory_image(data, _BASE), _BASE) == data


@_target(corpus.tensor_digests)
def _tensor_digests(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    assert TensorDigests.parse_text(text, where="digests").to_text() == text


# --- what a user or a guest writes ------------------------------------------------------------


@_target(corpus.projects, (UndecidedError, RefusedError))
def _project(data: bytes) -> None:
    parse_project(data, {}, where="infwasi.toml").settings()


@_target(corpus.model_cards, (UndecidedError,))
def _model_card(data: bytes) -> None:
    declared = parse_model_card(data, where="model-card.toml")
    assert read_declared(declared_tree(declared), "again") == declared


@_target(corpus.front_matters, (UndecidedError,))
def _front_matter(data: bytes) -> None:
    declared = read_front_matter(data, where="README.md").declared
    assert read_declared(declared_tree(declared), "again") == declared


@_target(corpus.declared_facts)
def _declared(data: bytes) -> None:
    """As a BOM carries them: what is accepted has one form."""
    tree = strict_json.parse(data, where="json", limit_bytes=LIMITS.bom_bytes)
    assert declared_tree(read_declared(tree, "declared")) == tree


@_target(corpus.policies, (UndecidedError,))
def _policy(data: bytes) -> None:
    found = parse_policy(data, where="policy.toml")
    assert found.signers
    assert found.rules


@_target(corpus.expressions, (UndecidedError,), longest=2048)
def _cel(data: bytes) -> None:
    """An expression that is accepted says yes, no, or why it does not; to the largest facts too."""
    test = CelCompiler().compile(data.decode("utf-8", "replace"), "p.toml:1 rule[0].cel")
    for facts in (corpus.SMALL_FACTS, corpus.LARGE_FACTS):
        answer = test.evaluate({name: facts[name] for name in test.facts})
        assert isinstance(answer, bool) or "\n" not in answer
        assert test.constant is None or answer is test.constant


@_target(corpus.expression_trees)
def _cel_tree(data: bytes) -> None:
    measured = measure_tree(read_tree(data), frozenset({"now"}), checked=True)
    assert measured.steps > 0


@_target(corpus.states)
def _state(data: bytes) -> None:
    records = parse_state(data, policy=corpus.POLICY_ID, where="state")
    assert encode_state(corpus.POLICY_ID, records) == data


@_target(corpus.identity_records)
def _identity_record(data: bytes) -> None:
    assert IdentityRecord.parse(data).to_bytes() == data


@_target(corpus.pins)
def _pins(data: bytes) -> None:
    assert encode_pins(parse_pins(data, where="pins")) == data


@_target(corpus.options, (NnError,))
def _options(data: bytes) -> None:
    found = parse_options(data, max_tokens=64, seed=7)
    assert 1 <= found.max_tokens <= 64


@_target(corpus.templates, (UndecidedError,))
def _chat_template(data: bytes) -> None:
    """What a prompt says stays data: it comes back whole, and in no piece of the template."""
    template = data.decode("utf-8", "replace")
    segments = chat_template.render(template, _MESSAGES, "<s>", "</s>")
    assert any(_MESSAGES[1].content in segment.text for segment in segments)
    assert all(segment.text for segment in segments)


@_target(corpus.templates, ())
def _template_code(data: bytes) -> None:
    """Any text has findings or none, the same ones each time, and fit to be printed."""
    template = data.decode("utf-8", "replace")
    found = template_findings(template)
    assert found == template_findings(template)
    assert list(found) == sorted(set(found))
    assert all(word.isascii() and word.isprintable() and len(word) < 80 for word in found)


# --- keys -------------------------------------------------------------------------------------


@_target(corpus.key_files, (UndecidedError,))
def _key_file(data: bytes) -> None:
    label, der = key_files.from_pem(data, "key")
    if label == key_files._PUBLIC:
        assert keys.parse_public_key(der, where="key").spki_der == der
    else:
        pkcs8.decode(der, None, where="key")


@_target(corpus.public_keys, (UndecidedError,))
def _public_key(data: bytes) -> None:
    key = keys.parse_public_key(data, where="key")
    assert key.spki_der == data
    assert len(key.fingerprint) == 64
    assert key.made(b"", b"") is False


@_target(corpus.public_keys, (UndecidedError,))
def _oms_key(data: bytes) -> None:
    key = oms_keys.parse_oms_key(data, where="key")
    assert key.spki_der == data
    assert key.made(b"", b"") is False


@_target(corpus.private_keys, (UndecidedError,))
def _private_key(data: bytes) -> None:
    key = pkcs8.decode(data, None, where="key")
    assert pkcs8.decode(pkcs8.encode(key), None, where="again").public == key.public


@_target(corpus.cosign_keys, (UndecidedError,))
def _cosign_key(data: bytes) -> None:
    locked = parse_locked_key(data, where="key")
    assert locked.scrypt in {(2**15, 8, 1), (2**16, 8, 1), (2**17, 8, 1)}
    assert (len(locked.salt), len(locked.nonce)) == (32, 24)


@_target(corpus.key_uris, (UndecidedError,))
def _key_uri(data: bytes) -> None:
    found = parse_key_uri(data.decode("utf-8", "surrogateescape"))
    assert found.label or found.key_id
    assert found.module_path is None or found.module_path.startswith("/")
    assert found.pin_path is None or found.pin_path.startswith("/")


# --- certificates and timestamps ---------------------------------------------------------------


@_target(corpus.certificates, longest=8192)
def _certificate(data: bytes) -> None:
    found = parse_certificate(data, where="certificate")
    assert found.der == data
    assert found.shown.isascii()


@_target(corpus.certificates, (RefusedError,), longest=8192)
def _certified_signer(data: bytes) -> None:
    """The same bytes as the leaf, and as what stands above another leaf."""
    for leaf, chain in ((RELEASE.der, (data,)), (data, (ISSUING_CA.der,))):
        verify_certificate(
            leaf=leaf,
            chain=chain,
            signature=corpus.SIGNATURE,
            signed=corpus.SIGNED,
            timestamps=(),
            trust=trusting(intermediates=(ISSUING_CA,)),
            now=NOW,
        )


@_target(corpus.certificate_files, (UndecidedError,))
def _certificates_pem(data: bytes) -> None:
    assert parse_certificates_pem(data, where="file")


@_target(corpus.timestamps, (RefusedError,), longest=8192)
def _timestamp(data: bytes) -> None:
    verify_timestamp(data, signature=corpus.SIGNATURE, roots=(TIME_ROOT.der,), now=NOW)


@_target(corpus.certificates, longest=8192)
def _der(data: bytes) -> None:
    """Each element holds its children and nothing else, down to the last."""
    rest = [der.parse(data, where="der")]
    while rest:
        element = rest.pop()
        if element.tag & 0x20:
            rest += element.children()


# --- statements about vulnerabilities ---------------------------------------------------------


@_target(corpus.vex_documents, (MalformedError,), longest=8192)
def _vex(data: bytes) -> None:
    """Every statement is of a state that policies know, and is about something."""
    for statement in read_vex(data, "vex"):
        assert statement.state in STATES
        assert statement.products
        assert all(statement.products)


# --- trust roots ------------------------------------------------------------------------------


@_target(corpus.trust_roots, (UndecidedError,), longest=16_384)
def _trust_root(data: bytes) -> None:
    """Whom it lists is what is filtered by time: all of them, and then nobody before all began."""
    root = parse_trust_root(data, source="root.json", written_at=NOW)
    listed = json.loads(root.at(()))["trustedRoot"]
    assert sum(map(len, (listed[member] for member in KINDS))) == len(root.authorities)
    for moments in ((NOW,), (NOW, _LONG_AGO)):
        listed = json.loads(root.at(moments))["trustedRoot"]
        left = sum(map(len, (listed[member] for member in KINDS)))
        assert left == sum(one.covers(moments) for one in root.authorities)
    assert not changes(root, root)


# --- all of them in one -----------------------------------------------------------------------


def mixed() -> Target:
    """A target of all targets, chosen by the first byte: for short runs, one process does."""
    every = [TARGETS[name] for name in sorted(TARGETS)]

    def run(data: bytes) -> None:
        if data:
            every[data[0] % len(every)](data[1:])

    def seeds() -> list[bytes]:
        return [bytes([at]) + seed for at, one in enumerate(every) for seed in one.seeds()]

    longest = max(one.longest for one in every) + 1
    return Target(name="mixed", run=run, own=(), seeds=seeds, longest=longest)


def faulty() -> Target:
    """A target with a fault; shows that a finding is told."""

    def run(data: bytes) -> None:
        if len(data) > 2:
            raise LookupError("the fault")

    return Target(name="faulty", run=run, own=(MalformedError,), seeds=list)


def named(name: str) -> Target:
    """The target of that name."""
    others = {"mixed": mixed, "faulty": faulty}
    return others[name]() if name in others else TARGETS[name]


# --- BOMs of other tools ----------------------------------------------------------------------


@_target(corpus.boms_of_any_form, longest=16384)
def _cyclonedx(data: bytes) -> None:
    """What is read can be written in both forms, and what is written can be read."""
    read = read_with_losses(data)
    assert not [path for path in read.losses if len(path) > 8 * len(data)]
    for output_format in corpus.BOM_FORMATS:
        converted = convert(read.document, spec_version="1.6", output_format=output_format)
        again = read_with_losses(converted.data)
        assert again.losses == ()
