"""The result for machines: every answer to every vector fits the published schema."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # ships no types

from infwasi_sign.adapters.keys import KeyVerifier, TrustedKey, parse_public_key
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.package_directory import DirectoryStore
from infwasi_sign.cli.verdicts import accepted
from infwasi_sign.domain.chat import FinishReason
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.fs_verity import FsVerityHash
from infwasi_sign.domain.policy import DirectoryNamed, Policy
from infwasi_sign.domain.refusals import EXPLANATIONS, hint_for
from infwasi_sign.domain.result import (
    RESULT_SCHEMA,
    Accepted,
    Circumstances,
    NotAccepted,
    PolicyUsed,
    Verdict,
    VerifyResult,
)
from infwasi_sign.errors import (
    GuestError,
    InfwasiError,
    MalformedError,
    RefusalKind,
    RefusedError,
    UndecidedError,
)
from infwasi_sign.verify import VerifyRequest, verify
from tests import forge
from tests.command_line import infwasi, make_timeless
from tests.conftest import ROOT
from tests.forge import NOW, TRUSTED, Case
from tests.forge_cases import CASES

SCHEMA = json.loads((ROOT / "docs" / "schemas" / "result.v1.schema.json").read_text())
CIRCUMSTANCES = Circumstances(location="capital-1.0.0", at=NOW)
KEY = ("--key", "trusted.pub")


def require_fits(value: object, definition: str | None = None) -> None:
    """Hold a value to the published schema, or to one of its definitions."""
    schema = SCHEMA if definition is None else {**SCHEMA, "oneOf": [], "$ref": definition}
    if definition is not None:
        schema.pop("oneOf")
    Draft202012Validator(schema).validate(value)


def result_of(package: Path, digests: frozenset[Algorithm] | None = None) -> VerifyResult:
    """What `verify` answers to a package of the forge, as a result."""
    key = parse_public_key(TRUSTED.public_key(), where="key")
    request = VerifyRequest(
        location=package,
        policy=Policy(
            package=DirectoryNamed(directory=package.name),
            digests=digests or frozenset({Algorithm.BLAKE3}),
        ),
        now=NOW + timedelta(seconds=30),
    )
    circumstances = replace(CIRCUMSTANCES, location=str(package), at=request.now)
    try:
        with verify(
            request,
            store=DirectoryStore(),
            signatures=KeyVerifier([TrustedKey(name="trusted", public_key=key)]),
            measure_bytes=measure_bytes,
        ) as verified:
            return accepted(verified, circumstances)
    except InfwasiError as error:
        return NotAccepted.of(error, circumstances)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return forge.make_package(tmp_path_factory.mktemp("honest"))


@pytest.fixture(scope="module")
def verified(honest: Path) -> Accepted:
    result = result_of(honest)
    assert isinstance(result, Accepted)
    return result


# --- the schema ------------------------------------------------------------------------------


def test_schema_is_a_schema_of_the_version_that_results_name() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["$id"] == RESULT_SCHEMA


def test_schema_is_closed_everywhere() -> None:
    def objects(value: Any) -> list[dict[str, Any]]:
        found = [value] if isinstance(value, dict) and value.get("type") == "object" else []
        children = value.values() if isinstance(value, dict) else value
        nested = [child for child in children if isinstance(child, dict | list)]
        return found + [one for child in nested for one in objects(child)]

    assert len(objects(SCHEMA)) >= 10
    assert [one for one in objects(SCHEMA) if one.get("additionalProperties") is not False] == []


def test_schema_has_the_words_of_the_code() -> None:
    definitions = SCHEMA["$defs"]
    assert definitions["refused"]["properties"]["kind"]["enum"] == list(RefusalKind)
    ends = definitions["end"]["properties"]["finishReason"]["enum"]
    assert ends == [str(reason) for reason in FinishReason]
    verdicts = {one["properties"].get("verdict", {}).get("const") for one in definitions.values()
                if "properties" in one}  # fmt: skip
    assert verdicts - {None} == set(Verdict)


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.name)
def test_every_vector_has_a_result_that_fits(one: Case, honest: Path, tmp_path: Path) -> None:
    result = result_of(forge.build_case(one, tmp_path / "case", honest))
    value = result.to_json()
    require_fits(value)
    said = value["kind"] if result.verdict is Verdict.REFUSED else value["verdict"]
    assert said == one.expect


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: value.pop("schema"),
        lambda value: value.update(schema="urn:infwasi:result:v2"),
        lambda value: value.update(verdict="refused"),
        lambda value: value.update(extra=1),
        lambda value: value["entries"][0]["computed"].update(md5="00"),
        lambda value: value["entries"][0]["computed"].clear(),
        lambda value: value["signers"].clear(),
        lambda value: value.update(level="best"),
        lambda value: value.update(at="today"),
    ],
)
def test_schema_refuses_a_spoiled_result(spoil: Any, verified: Accepted) -> None:
    value: dict[str, Any] = json.loads(json.dumps(verified.to_json()))
    require_fits(value)
    spoil(value)
    assert not Draft202012Validator(SCHEMA).is_valid(value)


# --- results ---------------------------------------------------------------------------------


def test_result_names_exactly_the_digests_that_were_computed(honest: Path) -> None:
    for digests, of_model in (
        (frozenset({Algorithm.BLAKE3}), {"blake3"}),
        (frozenset({Algorithm.SHA256}), {"sha256"}),
        (frozenset(Algorithm), {"blake3", "fs-verity", "sha256"}),
    ):
        value: Any = result_of(honest, digests).to_json()
        require_fits(value)
        computed = {entry["name"]: set(entry["computed"]) for entry in value["entries"]}
        both = {"blake3", "sha256"}
        assert computed == {"app.wasm": both, "bom.cdx.json": both, "model.gguf": of_model}
        for entry in value["entries"]:
            content = (honest / entry["name"]).read_bytes()
            verity = FsVerityHash()
            verity.update(content)
            truth = {str(name): digest.hex for name, digest in measure_bytes(content).items()}
            truth["fs-verity"] = verity.hexdigest()
            names = computed[entry["name"]]
            assert entry["computed"] == {name: truth[name] for name in names}


def test_result_says_by_whose_rules_and_when(verified: Accepted) -> None:
    digest = Digest(algorithm=Algorithm.SHA256, hex="ab" * 32)
    policy = PolicyUsed(name="laptop", source="/etc/infwasi/policy.toml", digest=digest)
    circumstances = Circumstances(
        location="x",
        at=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
        policy=policy,
        is_pinned=True,
    )
    refused = RefusedError(RefusalKind.POLICY, "no")
    for result in (
        replace(verified, circumstances=circumstances),
        NotAccepted.of(refused, circumstances),
    ):
        value = result.to_json()
        require_fits(value)
        assert value["at"] == "2026-01-02T03:04:05Z"
        assert value["pinned"] is True
        assert value["policy"] == {
            "name": "laptop",
            "source": "/etc/infwasi/policy.toml",
            "digest": f"sha256:{'ab' * 32}",
        }
    require_fits(PolicyUsed(source="--key").to_json(), "#/$defs/policy")


@pytest.mark.parametrize(
    ("error", "verdict", "headline"),
    [
        (
            RefusedError(RefusalKind.SIGNER, "who", got="x"),
            "refused",
            "refused: signer: who (got x)",
        ),
        (MalformedError("what", where="here"), "refused", "refused: malformed: what in here"),
        (UndecidedError("hm"), "undecided", "error: hm"),
        (GuestError("trap"), "guest-failed", "guest failed: trap"),
    ],
    ids=["refused", "malformed", "undecided", "guest-failed"],
)
def test_failure_is_its_error(error: InfwasiError, verdict: str, headline: str) -> None:
    result = NotAccepted.of(error)
    require_fits(result.to_json())
    assert (result.verdict, result.headline) == (verdict, headline)
    assert result.verdict.exit_code == error.exit_code


@given(st.text(alphabet=st.characters(codec=None), max_size=30))
def test_result_is_json_whatever_a_name_is(name: str) -> None:
    error = UndecidedError(f"what {name}", where=name, expected=name, got=name, hint=name)
    circumstances = replace(CIRCUMSTANCES, location=name)
    value = NotAccepted.of(error, circumstances).to_json()
    require_fits(value)
    json.dumps(value, ensure_ascii=False).encode("utf-8", "strict")


# --- hints -----------------------------------------------------------------------------------


def test_every_kind_of_refusal_says_what_to_do() -> None:
    assert set(EXPLANATIONS) == set(RefusalKind)
    hints = [explanation.hint for explanation in EXPLANATIONS.values()]
    assert len(set(hints)) == len(hints)
    for explanation in EXPLANATIONS.values():
        assert explanation.meaning.endswith(".")
        assert explanation.hint[0].islower()
        assert not explanation.hint.endswith(".")
        assert len(explanation.hint) < 100


def test_the_errors_own_hint_is_better_than_that_of_its_kind() -> None:
    assert hint_for(RefusedError(RefusalKind.DIGEST, "x", hint="own")) == "own"
    assert hint_for(RefusedError(RefusalKind.DIGEST, "x")) == EXPLANATIONS[RefusalKind.DIGEST].hint
    assert hint_for(UndecidedError("x")) is None


# --- what the commands print -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("verify", "capital-1.0.0", "--key", "stranger.pub"), 1),
        (("verify", "nothing", *KEY), 2),
        (("verify-and-run", "capital-1.0.0", "--key", "stranger.pub", "Hi?"), 1),
        (("inspect", "nothing"), 2),
        (("pack", "--config", "nothing.toml"), 2),
    ],
)
def test_failures_of_every_command_fit(words: tuple[str, ...], code: int, tmp_path: Path) -> None:
    make_timeless(tmp_path)
    done = infwasi(*words, "--json", cwd=tmp_path)
    assert done.code == code
    (value,) = done.documents
    require_fits(value)
    hint = [f"hint: {value['hint']}"] if "hint" in value else []
    assert done.said[1:] == hint


def test_lines_of_an_answer_have_definitions() -> None:
    require_fits({"type": "piece", "text": "Stockholm"}, "#/$defs/piece")
    end = {"type": "result", "finishReason": "stop", "inputTokens": 3, "outputTokens": 1, "seed": 7}
    require_fits(end | {"loadSeconds": 0.1}, "#/$defs/end")
