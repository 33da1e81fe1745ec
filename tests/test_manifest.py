"""The statement and its manifest: one byte form, and every rule with its own sentence."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infwasi_sign.domain import strict_json
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import (
    AttachmentClaim,
    EntryRole,
    Manifest,
    Offset,
    format_time,
    require_package_names,
)
from infwasi_sign.domain.statement import encode_statement, parse_statement
from infwasi_sign.errors import MalformedError, UndecidedError
from tests.manifest_samples import (
    APP,
    BOM,
    CLAIM,
    EVIDENCE,
    FULL,
    MANIFEST,
    MODEL,
    make_entry,
    manifests,
)

Json = dict[str, Any]


def as_json(manifest: Manifest) -> Json:
    value = json.loads(encode_statement(manifest))
    assert isinstance(value, dict)
    return value


def malformed(payload: Json | bytes) -> str:
    data = payload if isinstance(payload, bytes) else strict_json.canonical(payload)
    with pytest.raises(MalformedError) as caught:
        parse_statement(data)
    return str(caught.value)


def edited(edit: Callable[[Json], object], manifest: Manifest = MANIFEST) -> str:
    """What is said to the statement of ``manifest`` after ``edit``."""
    value = as_json(manifest)
    edit(value)
    return malformed(value)


# --- one byte form ---------------------------------------------------------------------------


@given(manifests())
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=100, deadline=None)
def test_what_is_encoded_parses_to_the_same(manifest: Manifest) -> None:
    payload = encode_statement(manifest)
    assert parse_statement(payload) == manifest
    assert encode_statement(parse_statement(payload)) == payload


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_no_changed_byte_is_read_as_the_same_manifest(data: st.DataObject) -> None:
    payload = bytearray(encode_statement(FULL))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(MalformedError, UndecidedError):
        assert parse_statement(bytes(payload)) != FULL


@pytest.mark.parametrize("manifest", [MANIFEST, FULL], ids=["plain", "full"])
def test_samples_are_in_their_byte_form(manifest: Manifest) -> None:
    assert parse_statement(encode_statement(manifest)) == manifest


@pytest.mark.parametrize(
    "other",
    [
        lambda payload: payload + b"\n",
        lambda payload: payload.replace(b'":', b'": ', 1),
        lambda payload: json.dumps(dict(reversed(json.loads(payload).items()))).encode(),
        lambda payload: payload.replace(b"capital", rb"c\u0061pital"),
        lambda payload: payload.replace(b'"size":8192', b'"size":8192.0', 1),
    ],
    ids=["newline", "space", "order", "escape", "float"],
)
def test_refuses_another_form_of_the_same_value(other: Callable[[bytes], bytes]) -> None:
    assert malformed(other(encode_statement(MANIFEST))).startswith(
        ("statement is not in its one byte form in statement", "wrong type in statement.predicate")
    )


def test_refuses_subjects_in_another_order() -> None:
    assert edited(lambda value: value["subject"].reverse()) == (
        "statement is not in its one byte form in statement "
        "(expected RFC 8785, subjects in the order of the entries)"
    )


# --- optional members, both ways -------------------------------------------------------------

OPTIONAL: list[tuple[str, tuple[str | int, ...]]] = [
    ("expires_at", ("predicate", "expiresAt")),
    ("loras", ("predicate", "loras")),
    ("projectors", ("predicate", "projectors")),
    ("oms_payload", ("predicate", "omsPayload")),
    ("is_detached", ("predicate", "entries", 2, "detached")),
    ("offset", ("predicate", "entries", 4, "offset")),
    ("fs_verity", ("predicate", "entries", 1, "fsVerity")),
    ("gguf", ("predicate", "entries", 3, "gguf")),
    ("chat_template", ("predicate", "models", 0, "chatTemplate")),
]


@pytest.mark.parametrize("path", [path for _, path in OPTIONAL], ids=[name for name, _ in OPTIONAL])
def test_optional_member_is_written_where_it_says_something(path: tuple[str | int, ...]) -> None:
    value: Any = as_json(FULL)
    for step in path:
        value = value[step]
    assert value


BARE = replace(MANIFEST, expires_at=None, models=(replace(CLAIM, chat_template=None),))


@pytest.mark.parametrize(
    "member",
    [path[-1] for name, path in OPTIONAL if name != "gguf"],
)
def test_optional_member_is_left_out_where_it_says_nothing(member: str) -> None:
    payload = encode_statement(BARE)
    assert f'"{member}"'.encode() not in payload
    assert parse_statement(payload) == BARE


@pytest.mark.parametrize("member", ["loras", "projectors"])
def test_refuses_an_empty_list_that_should_be_left_out(member: str) -> None:
    assert edited(lambda value: value["predicate"].update({member: []})) == (
        f"an empty list is written by leaving it out in statement.predicate.{member}"
    )


def test_refuses_false_that_should_be_left_out() -> None:
    assert edited(lambda value: value["predicate"]["entries"][2].update(detached=False)) == (
        "false is written by leaving it out in statement.predicate.entries[2].detached"
    )


# --- members ---------------------------------------------------------------------------------


def _objects(value: Any, path: str = "statement") -> list[str]:
    found = [path] if isinstance(value, dict) else []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, item in items:
        if isinstance(item, dict | list):
            step = f".{name}" if isinstance(value, dict) else f"[{name}]"
            found += _objects(item, path + step)
    return found


def _at(value: Any, path: str) -> Json:
    for step in path.replace("[", ".[").split(".")[1:]:
        value = value[int(step[1:-1])] if step.startswith("[") else value[step]
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("path", _objects(as_json(FULL)))
def test_every_object_refuses_unknown_and_missing_members(path: str) -> None:
    assert edited(lambda value: _at(value, path).update(surplus=1), FULL) == (
        f"unknown member in {path} (got 'surplus')"
    )
    allowed = {name for _, (*_, name) in OPTIONAL}
    for name in _at(as_json(FULL), path):
        if name not in allowed:
            assert edited(lambda value, gone=name: _at(value, path).pop(gone), FULL) == (  # type: ignore[misc] # lambdas have no types
                f"member is missing in {path} (expected {name})"
            )


@pytest.mark.parametrize(
    ("path", "name", "value", "says"),
    [
        ("statement", "_type", "other", "not an in-toto statement in statement._type"),
        ("statement", "predicateType", "urn:x", "not an infwasi manifest in statement.predicat"),
        ("statement.predicate.package", "name", "Capital", "bad value in statement.predicate.pack"),
        ("statement.predicate.package", "name", "-a", "bad value in statement.predicate.package.n"),
        ("statement.predicate.package", "name", "a" * 65, "bad value in statement.predicate.packa"),
        ("statement.predicate.package", "name", "a\n", "bad value in statement.predicate.package."),
        ("statement.predicate.package", "version", "1 0", "bad value in statement.predicate.packa"),
        ("statement.predicate", "sequence", -1, "out of range in statement.predicate.sequence (ex"),
        ("statement.predicate", "sequence", "1", "wrong type in statement.predicate.sequence"),
        ("statement.predicate", "issuedAt", "2026-01-01", "bad value in statement.predicate.issue"),
        ("statement.predicate", "issuedAt", "2026-02-30T00:00:00Z", "no such time in statement.pr"),
        ("statement.predicate", "issuedAt", "2026-01-01T00:00:60Z", "no such time in statement.pr"),
        ("statement.predicate", "expiresAt", None, "wrong type in statement.predicate.expiresAt"),
        ("statement.predicate.entries[0]", "size", 0, "out of range in statement.predicate.entri"),
        ("statement.predicate.entries[0]", "role", "code", "unknown role in statement.predicate.e"),
        ("statement.predicate.entries[0]", "blake3", "AB" * 32, "not a digest in statement.predic"),
        (
            "statement.predicate.entries[2].gguf",
            "headerSize",
            23,
            "out of range in statement.predi",
        ),
        ("statement.predicate.entries[2].gguf", "tensors", "", "not a digest in statement.predic"),
        ("statement.predicate.component", "imports", ["b", "a"], "names are not sorted or not u"),
        ("statement.predicate.component", "exports", ["a", "a"], "names are not sorted or not u"),
        ("statement.predicate.component", "exports", ["a b"], "bad value in statement.predicate"),
        ("statement.predicate.models[0]", "architecture", "é", "bad value in statement.predicate"),
    ],
)
def test_refuses_a_bad_value(path: str, name: str, value: object, says: str) -> None:
    assert edited(lambda whole: _at(whole, path).update({name: value})).startswith(says)


@pytest.mark.parametrize(
    "name", ["", ".hidden", "-flag", "+x", "a/b", "..", "a\\b", "a b", "ä", "a" * 256, "a\n"]
)
def test_refuses_an_entry_that_is_no_plain_file_name(name: str) -> None:
    assert edited(lambda value: value["predicate"]["entries"][0].update(name=name)).startswith(
        "bad value in statement.predicate.entries[0].name (expected a plain file name, got "
    )


def test_sequence_reaches_the_last_safe_integer() -> None:
    last = replace(MANIFEST, sequence=LIMITS.json_integer)
    assert parse_statement(encode_statement(last)) == last


@pytest.mark.parametrize("version", ["2", "10", "0"])
def test_another_version_gives_no_verdict(version: str) -> None:
    value = as_json(MANIFEST)
    value["predicateType"] = f"urn:infwasi:manifest:v{version}"
    with pytest.raises(UndecidedError) as caught:
        parse_statement(strict_json.canonical(value))
    assert str(caught.value) == (
        f"manifest has version {version}, this infwasi reads version 1 in statement.predicateType"
    )
    assert caught.value.hint == "use a newer infwasi"


def test_refuses_subjects_that_are_not_the_entries() -> None:
    assert edited(lambda value: value["subject"].pop()) == (
        "entry has no subject in statement.predicate.entries[2].name (got 'model.gguf')"
    )
    assert edited(lambda value: value["subject"].append(value["subject"][0])) == (
        "subject stands twice in statement.subject[3].name"
    )
    other = {"name": "other", "digest": {"sha256": "0" * 64}}
    assert edited(lambda value: value["subject"].append(other)) == (
        "subjects and entries do not name the same files in statement.predicate.entries"
    )


# --- what members say together (docs/format.md section 4.4) ----------------------------------

LORA = make_entry("lora.gguf", EntryRole.LORA)
POLITE = AttachmentClaim(name="polite", model="model", entry="lora.gguf")
EYES = AttachmentClaim(name="eyes", model="model", entry="vision.gguf")
PARTS = MANIFEST.component.parts
VISION = make_entry("vision.gguf", EntryRole.PROJECTOR)
WHOLE = "models, loras and projectors must name each entry of their role exactly once in models"


def rule(*entries: Any, **changes: Any) -> dict[str, Any]:
    return {"entries": entries, **changes} if entries else changes


RULES: list[tuple[dict[str, Any], str]] = [
    (rule(BOM, APP, MODEL), "entries are not sorted by name or not unique in entries"),
    (rule(APP, APP, BOM, MODEL), "entries are not sorted by name or not unique in entries"),
    (
        rule(APP, BOM, make_entry("model.sig", EntryRole.MODEL)),
        "entry has a reserved name in entries (got model.sig)",
    ),
    (rule(BOM, MODEL), "wrong number of component entries in entries (expected 1, got 0)"),
    (
        rule(APP, replace(APP, name="b.wasm"), BOM, MODEL),
        "wrong number of component entries in entries (expected 1, got 2)",
    ),
    (rule(APP, MODEL), "wrong number of bom entries in entries (expected 1, got 0)"),
    (
        rule(APP, BOM, replace(MODEL, gguf=None)),
        "a model entry needs gguf evidence in entries[2]",
    ),
    (
        rule(replace(APP, gguf=EVIDENCE), BOM, MODEL),
        "a component entry has no gguf evidence in entries[0]",
    ),
    (
        rule(APP, replace(BOM, is_detached=True), MODEL),
        "a bom entry is always a file of its own in entries[1]",
    ),
    (
        rule(replace(APP, offset=Offset(file="model.gguf", at=0)), BOM, MODEL),
        "a component entry is always a file of its own in entries[0]",
    ),
    (
        rule(APP, BOM, replace(MODEL, is_detached=True, offset=Offset(file="app.wasm", at=0))),
        "an entry is either detached or inside another file in entries[2]",
    ),
    (
        rule(APP, BOM, replace(MODEL, offset=Offset(file="other", at=0))),
        "offset names no file of the package in entries[2].offset (got other)",
    ),
    (
        rule(APP, BOM, replace(MODEL, offset=Offset(file="model.gguf", at=0))),
        "offset names no file of the package in entries[2].offset (got model.gguf)",
    ),
    (
        rule(APP, BOM, replace(MODEL, size_bytes=1, offset=Offset(file="app.wasm", at=4095))),
        "offset is not page-aligned or ends beyond its file in entries[2].offset",
    ),
    (
        rule(APP, BOM, replace(MODEL, size_bytes=4097, offset=Offset(file="app.wasm", at=4096))),
        "offset is not page-aligned or ends beyond its file in entries[2].offset",
    ),
    (rule(models=()), "no model is declared in models"),
    (
        rule(models=(replace(CLAIM, shards=()),)),
        "a model has no shards in models (got model)",
    ),
    (rule(models=(replace(CLAIM, shards=("model.gguf", "model.gguf")),)), WHOLE),
    (rule(models=(CLAIM, replace(CLAIM, name="other"))), WHOLE),
    (rule(models=(replace(CLAIM, shards=("app.wasm",)),)), WHOLE),
    (rule(APP, BOM, MODEL, make_entry("other.gguf", EntryRole.MODEL)), WHOLE),
    (rule(APP, BOM, LORA, MODEL), WHOLE),
    (rule(APP, BOM, LORA, MODEL, projectors=(POLITE,)), WHOLE),
    (rule(APP, BOM, LORA, MODEL, loras=(POLITE, replace(POLITE, name="rude"))), WHOLE),
    (rule(models=(replace(CLAIM, aliases=("model",)),)), "a name is used twice in models"),
    (rule(models=(replace(CLAIM, aliases=("a", "a")),)), "a name is used twice in models"),
    (
        rule(APP, BOM, LORA, replace(LORA, name="lora2.gguf"), MODEL)
        | {"loras": (POLITE, replace(POLITE, entry="lora2.gguf"))},
        "a name is used twice in loras",
    ),
    (
        rule(APP, BOM, MODEL, VISION, replace(VISION, name="wide.gguf"))
        | {"projectors": (EYES, replace(EYES, entry="wide.gguf"))},
        "a name is used twice in projectors",
    ),
    (
        rule(APP, BOM, LORA, MODEL, loras=(replace(POLITE, model="other"),)),
        "names no model in loras (got other)",
    ),
    (
        rule(APP, BOM, MODEL, VISION, projectors=(replace(EYES, model="other"),)),
        "names no model in projectors (got other)",
    ),
    (
        rule(component=replace(MANIFEST.component, parts=(*PARTS, *PARTS))),
        "parts are not sorted by name or not unique in component.parts",
    ),
    (rule(expires_at=MANIFEST.issued_at), "expires before it was issued in expiresAt"),
]


@pytest.mark.parametrize(("changes", "says"), RULES)
def test_no_manifest_breaks_a_rule(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(MalformedError) as caught:
        replace(MANIFEST, **changes)
    assert str(caught.value) == says


def test_a_rule_is_broken_by_bytes_just_as_by_values() -> None:
    assert edited(lambda value: value["predicate"].update(models=[])) == (
        "no model is declared in models"
    )


# --- names and times -------------------------------------------------------------------------


def test_package_names_are_those_of_the_format() -> None:
    require_package_names("a", "1")
    require_package_names("0a._-z" + "x" * 58, "1.0.0+build.7-rc" + "x" * 48)
    for name in ("", "A", "_a", "a/b", "a" * 65, "a\n", "ä"):
        with pytest.raises(UndecidedError, match=r"^not a package name \(expected 1 to 64 of a-z"):
            require_package_names(name, "1")
    for version in ("", ".1", "1 0", "1" * 65, "1/2"):
        with pytest.raises(UndecidedError, match=r"^not a version \(expected 1 to 64 of A-Z a-z"):
            require_package_names("a", version)


def test_times_are_utc_with_four_digits_of_the_year() -> None:
    assert format_time(datetime(1, 2, 3, tzinfo=UTC)) == "0001-02-03T00:00:00Z"
    assert format_time(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)) == "9999-12-31T23:59:59Z"
    east = datetime(2026, 1, 1, tzinfo=UTC).astimezone()
    assert format_time(east + timedelta(0)) == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize("name", ["weather-1.0.0", "gpt-4", "a-b-0"])
def test_refuses_a_package_name_that_reads_like_a_name_and_a_version(name: str) -> None:
    """Else version `beta` of `weather-1.0.0` would pass in a folder `weather-1.0.0`."""
    value = json.loads(encode_statement(replace(MANIFEST, package_name=name)))
    with pytest.raises(MalformedError, match=r"^bad value in statement\.predicate\.package\.name"):
        parse_statement(strict_json.canonical(value))
    with pytest.raises(UndecidedError, match="no - before a digit"):
        require_package_names(name, "beta")
