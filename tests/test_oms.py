"""The OMS payload: what is written, what is read, and what is refused."""

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infwasi_sign.domain import oms
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.oms import (
    PACKAGE_IGNORED,
    SINGLE_FILE,
    OmsPayload,
    encode_oms_payload,
    is_ignored,
    parse_oms_payload,
    path_order,
)
from infwasi_sign.errors import MalformedError, UndecidedError
from tests.conftest import ROOT
from tests.oms_support import FILES, change_statement, digest, payload_of, reroot, written

NAMES = st.text(st.sampled_from("abé_.-09 /"), min_size=1, max_size=12).filter(
    lambda name: name != SINGLE_FILE
)


def refusal(data: bytes) -> str:
    with pytest.raises(MalformedError) as caught:
        parse_oms_payload(data)
    return str(caught.value)


# --- writing ---------------------------------------------------------------------------------


def test_payload_of_a_package_is_these_bytes() -> None:
    a, b = digest(b"a"), digest(b"b")
    root = sha256(bytes.fromhex(a.hex) + bytes.fromhex(b.hex)).hexdigest()
    assert encode_oms_payload("capital-1.0.0", [("bom.cdx.json", b), ("app.wasm", a)]).decode() == (
        '{"_type":"https://in-toto.io/Statement/v1","predicate":{"resources":['
        f'{{"algorithm":"sha256","digest":"{a.hex}","name":"app.wasm"}},'
        f'{{"algorithm":"sha256","digest":"{b.hex}","name":"bom.cdx.json"}}],'
        '"serialization":{"allow_symlinks":false,"hash_type":"sha256","ignore_paths":['
        '".git",".gitattributes",".github",".gitignore","manifest.sigstore.json","model.sig",'
        '"signatures"],"method":"files"}},"predicateType":"https://model_signing/signature/v1.0",'
        f'"subject":[{{"digest":{{"sha256":"{root}"}},"name":"capital-1.0.0"}}]}}'
    )


@given(st.permutations(sorted(FILES)))
def test_the_order_of_the_files_makes_no_difference(names: list[str]) -> None:
    assert payload_of({name: FILES[name] for name in names}) == payload_of()


def test_paths_are_sorted_name_by_name() -> None:
    names = [resource.name for resource in parse_oms_payload(payload_of()).resources]
    assert names == sorted(FILES, key=path_order)
    assert names != sorted(FILES)


@given(st.dictionaries(NAMES, st.binary(max_size=4), max_size=6), st.lists(NAMES, max_size=3))
def test_what_is_written_reads_as_the_same(files: dict[str, bytes], ignored: list[str]) -> None:
    try:
        data = payload_of(files, tuple(ignored))
    except MalformedError:
        return
    read = parse_oms_payload(data)
    assert read.files == {name: digest(content) for name, content in files.items()}
    assert read.ignored == tuple(sorted(ignored))
    assert encode_oms_payload(read.subject, read.files.items(), read.ignored) == data


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no file is signed in resources"),
        ({"model.sig": b""}, "a file is signed and ignored in resources (got model.sig)"),
        ({".git/x": b""}, "a file is signed and ignored in resources (got .git/x)"),
        ({"../x": b""}, "path is not safe in resources"),
    ],
)
def test_does_not_write_what_it_would_not_read(files: dict[str, bytes], message: str) -> None:
    with pytest.raises(MalformedError) as caught:
        payload_of(files)
    assert str(caught.value).startswith(message)


def test_an_ignored_path_has_everything_below_it_and_nothing_beside_it() -> None:
    assert is_ignored("signatures", PACKAGE_IGNORED)
    assert is_ignored("signatures/a/b", PACKAGE_IGNORED)
    assert not is_ignored("signatures2", PACKAGE_IGNORED)
    assert not is_ignored("a/signatures", PACKAGE_IGNORED)


def test_docs_name_every_path_that_a_companion_ignores() -> None:
    text = (ROOT / "docs" / "oms.md").read_text()
    section = text[text.index("## 2.") : text.index("## 3.")]
    table = "".join(line for line in section.splitlines() if line.startswith("| `"))
    named = [word for word in table.split("`")[1::2] if word != "model_signing"]
    assert sorted(named) == sorted(PACKAGE_IGNORED)


# --- reading ---------------------------------------------------------------------------------


def test_members_stand_in_any_order_and_with_any_spaces() -> None:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: turned(value[name]) for name in reversed(value)}
        return [turned(item) for item in value] if isinstance(value, list) else value

    data = json.dumps(turned(json.loads(payload_of())), indent=2).encode()
    assert data != payload_of()
    assert parse_oms_payload(data) == parse_oms_payload(payload_of())


def test_releases_before_1_1_ignore_nothing() -> None:
    data = change_statement(lambda v: v["predicate"]["serialization"].pop("ignore_paths"))
    assert parse_oms_payload(data).ignored == ()


def test_whole_strings_sorted_are_an_order_too() -> None:
    def change(value: Any) -> None:
        value["predicate"]["resources"].sort(key=lambda one: one["name"])
        reroot(value)

    assert (
        parse_oms_payload(change_statement(change)).files == parse_oms_payload(payload_of()).files
    )


def test_a_model_of_one_file_is_called_by_its_subject() -> None:
    def change(value: Any) -> None:
        value["predicate"]["resources"][1:] = []
        value["predicate"]["resources"][0]["name"] = "."
        value["subject"][0]["name"] = "model.gguf"
        reroot(value)

    payload = parse_oms_payload(change_statement(change))
    assert payload.is_single_file
    assert list(payload.files) == ["model.gguf"]


def test_digests_may_be_blake3() -> None:
    same = Digest(algorithm=Algorithm.BLAKE3, hex="ab" * 32)
    payload = parse_oms_payload(encode_oms_payload("m", [("a", same)]))
    assert (payload.algorithm, payload.files["a"]) == (Algorithm.BLAKE3, same)


def _resources(change: Callable[[Any], object]) -> Callable[[Any], object]:
    """Bend the resources, and make the root digest fit: the signer himself means it."""

    def bend(value: Any) -> None:
        change(value["predicate"]["resources"])
        reroot(value)

    return bend


def _serialization(**members: object) -> Callable[[Any], object]:
    return lambda value: value["predicate"]["serialization"].update(members)


def _named(name: str) -> Callable[[Any], object]:
    return _resources(lambda r: r[0].update(name=name))


BENT: dict[str, tuple[Callable[[Any], object], str]] = {
    "two subjects": (
        lambda v: v["subject"].append(v["subject"][0]),
        "wrong number of items in payload.subject (expected 1 to 1, got 2)",
    ),
    "no subject": (
        lambda v: v["subject"].clear(),
        "wrong number of items in payload.subject (expected 1 to 1, got 0)",
    ),
    "no resources": (
        lambda v: v["predicate"]["resources"].clear(),
        "wrong number of items in payload.predicate.resources "
        f"(expected 1 to {LIMITS.oms_resources}, got 0)",
    ),
    "unknown member": (
        lambda v: v["predicate"].update(more=1),
        "unknown member in payload.predicate (got 'more')",
    ),
    "unknown member of a resource": (
        lambda v: v["predicate"]["resources"][0].update(uri="x"),
        "unknown member in payload.predicate.resources[0] (got 'uri')",
    ),
    "annotation": (
        lambda v: v["subject"][0].update(annotations={}),
        "unknown member in payload.subject[0] (got 'annotations')",
    ),
    "another digest of the subject": (
        lambda v: v["subject"][0]["digest"].update(sha512="00"),
        "unknown member in payload.subject[0].digest (got 'sha512')",
    ),
    "other statement": (
        lambda v: v.update(_type="https://in-toto.io/Statement/v0.1"),
        "not an in-toto statement in payload._type (got 'https://in-toto.io/Statement/v0.1')",
    ),
    "other predicate": (
        lambda v: v.update(predicateType="https://slsa.dev/provenance/v1"),
        "not an OMS signature of version 1.0 in payload.predicateType "
        "(expected https://model_signing/signature/v1.0, got 'https://slsa.dev/provenance/v1')",
    ),
    "swapped digests": (
        lambda v: v["predicate"]["resources"][0].update(
            digest=v["predicate"]["resources"][1]["digest"]
        ),
        "root digest is not that of the resources in payload.subject[0].digest.sha256",
    ),
    "swapped resources": (
        _resources(lambda r: r.insert(0, r.pop(1))),
        "resources are not sorted by name in resources",
    ),
    "resource twice": (
        _resources(lambda r: r.insert(0, r[0])),
        "a resource stands twice in resources",
    ),
    "file and directory": (
        _resources(lambda r: r.insert(2, {**r[0], "name": "onnx"})),
        "a path is a file and a directory in resources (got onnx)",
    ),
    "absolute": (_named("/etc/passwd"), "path is not safe in resources"),
    "dots": (_named("a/../../b"), "path is not safe in resources"),
    "dot": (_named("./a"), "path is not safe in resources"),
    "dot alone among others": (_named("."), "path is not safe in resources"),
    "empty": (_named(""), "path is not safe in resources"),
    "slash at the end": (_named("a/"), "path is not safe in resources"),
    "hidden characters": (
        _named("a\u202eb"),
        "path has characters that do not show in resources (got 'a\\u202eb')",
    ),
    "NUL": (_named("a\0"), "path has characters that do not show in resources (got 'a\\x00')"),
    "long name": (
        _named("a" * 256),
        "path has a name that is too long in resources (expected at most 255 bytes, got 256)",
    ),
    "deep": (
        _named("/".join("a" * 33)),
        "path is too deep in resources (expected at most 32 names, got 33)",
    ),
    "long path": (
        _named("/".join(["a" * 200] * 21)),
        "too long in payload.predicate.resources[0].name (expected at most 4095 bytes, got 4220)",
    ),
    "other algorithm of a resource": (
        lambda v: v["predicate"]["resources"][0].update(algorithm="blake3"),
        "algorithm is another than the serialization says in "
        "payload.predicate.resources[0].algorithm (expected sha256, got 'blake3')",
    ),
    "upper-case digest": (
        lambda v: v["predicate"]["resources"][0].update(digest="AB" * 32),
        "not a digest in payload.predicate.resources[0].digest",
    ),
    "links as text": (
        _serialization(allow_symlinks="false"),
        "wrong type in payload.predicate.serialization.allow_symlinks "
        "(expected a boolean, got a string)",
    ),
    "everything ignored": (_serialization(ignore_paths=["."]), "path is not safe in ignore_paths"),
    "ignored above": (_serialization(ignore_paths=[".."]), "path is not safe in ignore_paths"),
    "ignored absolute": (_serialization(ignore_paths=["/"]), "path is not safe in ignore_paths"),
    "ignored twice": (
        _serialization(ignore_paths=["a", "a"]),
        "a path stands twice in ignore_paths",
    ),
    "signed and ignored": (
        _serialization(ignore_paths=["onnx"]),
        "a file is signed and ignored in resources (got onnx/decoder/model.onnx)",
    ),
}


@pytest.mark.parametrize(("bend", "message"), BENT.values(), ids=BENT)
def test_refuses(bend: Callable[[Any], object], message: str) -> None:
    assert refusal(change_statement(bend)).startswith(message)


def test_refuses_a_member_named_twice() -> None:
    twice = payload_of().replace(b'"resources":', b'"resources":[],"resources":', 1)
    assert refusal(twice) == "member stands twice in payload (got 'resources')"


def test_refuses_a_payload_that_is_too_long() -> None:
    assert refusal(b" " * (LIMITS.oms_payload_bytes + 1)) == (
        f"too long in payload (expected at most {LIMITS.oms_payload_bytes} bytes, "
        f"got {LIMITS.oms_payload_bytes + 1})"
    )


def test_release_0_2_is_told_as_that() -> None:
    with pytest.raises(MalformedError) as caught:
        parse_oms_payload(
            change_statement(lambda v: v.update(predicateType="https://model_signing/Digests/v0.1"))
        )
    assert str(caught.value).startswith("not an OMS signature of version 1.0")
    assert caught.value.hint == (
        "model_signing 0.2 made it: ask for a signature by model_signing 1.0 or newer"
    )


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            {"method": "shards", "shard_size": 1000},
            "the files were not digested whole in payload.predicate.serialization.method "
            "(expected files, got 'shards')",
        ),
        (
            {"shard_size": 1000},
            "the files were not digested whole in payload.predicate.serialization.method "
            "(expected files, got 'files')",
        ),
        (
            {"hash_type": "blake2b"},
            "hash algorithm is not supported in payload.predicate.serialization.hash_type "
            "(expected sha256 or blake3, got 'blake2b')",
        ),
    ],
)
def test_what_this_version_cannot_digest_is_no_verdict(
    members: dict[str, object], message: str
) -> None:
    with pytest.raises(UndecidedError) as caught:
        parse_oms_payload(change_statement(_serialization(**members)))
    assert str(caught.value) == message


# --- controls --------------------------------------------------------------------------------


def nothing(*_: object) -> None:
    """A check that never says no."""


@pytest.mark.parametrize(
    ("check", "attacks"),
    [
        ("_require_root", ("swapped digests",)),
        ("_require_order", ("swapped resources", "resource twice", "file and directory")),
        ("_require_safe", ("absolute", "dots", "hidden characters", "everything ignored", "deep")),
        ("_check_consistency", ("signed and ignored", "ignored twice")),
    ],
)
def test_without_the_check_the_attack_gets_through(
    check: str, attacks: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    payloads = [change_statement(BENT[attack][0]) for attack in attacks]
    for payload in payloads:
        refusal(payload)
    monkeypatch.setattr(oms, check, nothing)
    if check == "_require_safe":  # an absolute name is also out of order
        monkeypatch.setattr(oms, "_require_order", nothing)
    for payload in payloads:
        assert isinstance(parse_oms_payload(payload), OmsPayload)


def test_written_is_canonical() -> None:
    assert written(json.loads(payload_of())) == payload_of()
