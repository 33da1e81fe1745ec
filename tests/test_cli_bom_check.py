"""`infwasi bom check` as its users meet it: what it says, with which exit code, of which files."""

import json
from pathlib import Path
from typing import Any

import pytest

from infwasi_sign.adapters.cyclonedx_convert import convert
from infwasi_sign.adapters.cyclonedx_validation import check_profile, check_schema
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.minimum_elements import judge
from infwasi_sign.domain.minimum_elements_software import BASELINES
from tests.command_line import Done, infwasi, make_timeless
from tests.conftest import ROOT

SMALL: dict[str, Any] = {
    "$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json",
    "bomFormat": "CycloneDX",
    "specVersion": "1.7",
    "metadata": {"component": {"type": "application", "name": "chat", "version": "2"}},
    "components": [{"type": "machine-learning-model", "bom-ref": "m", "name": "tiny"}],
}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_timeless(tmp_path_factory.mktemp("honest"))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return written(tmp_path, SMALL)


def written(folder: Path, document: object, name: str = "bom.json") -> Path:
    path = folder / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def report(*words: str | Path) -> dict[str, Any]:
    done = infwasi("bom", "check", "--json", *words)
    (document,) = done.documents
    return document


# --- what it says -------------------------------------------------------------------------------


def test_a_package_is_checked_by_its_bom(package: Path) -> None:
    by_package, by_file = (
        infwasi("bom", "check", path) for path in (package, package / "bom.cdx.json")
    )
    assert by_package.transcript == by_file.transcript
    assert by_package.code == 0
    lines = by_package.out.splitlines()
    assert lines[0] == "capital 1.0.0: CycloneDX 1.7"
    assert "elements (2026-05-12): 50 of 50 present" in lines[2]
    assert "CycloneDX 1.7: valid" in lines


def test_a_bom_of_ours_is_told_the_keys_of_the_card_and_others_the_members(
    package: Path, small: Path
) -> None:
    ours, others = (infwasi("bom", "check", path).out for path in (package, small))
    assert '  model-card.toml: [bom] author = "..."  (MD-01, NTIA-06, CISA-01)' in ours
    assert "  metadata.authors[].name  (MD-01, NTIA-06, CISA-01)" in others
    assert "model-card.toml" not in others


def test_the_report_for_pipelines_has_all_that_the_table_has(small: Path) -> None:
    found = report(small)
    assert {name: found[name] for name in ("type", "name", "version", "specVersion", "unmet")} == {
        "type": "bom-check",
        "name": "chat",
        "version": "2",
        "specVersion": "1.7",
        "unmet": [],
    }
    for said, judgement in zip(found["lists"], judge(SMALL, BASELINES), strict=True):
        assert said["name"] == judgement.baseline.name
        assert said["elements"] == said["values"] + said["unknown"] + said["missing"]
        assert [one["state"] for one in said["findings"]] == [
            str(finding.state) for finding in judgement.findings
        ]
    assert found["schemas"] == [
        {"name": "CycloneDX 1.7", "isValid": True, "complaints": [], "obstacle": None}
    ]


def test_a_gap_names_the_first_that_lacks_it(small: Path) -> None:
    lines = infwasi("bom", "check", small).out.splitlines()
    version = (
        "    MISSING  NTIA-03  Version of the component         in 1 of 2, first in components[0]"
    )
    assert version in lines
    assert "    MISSING  DP-01    Dataset name                     no dataset" in lines


@pytest.mark.parametrize("version", ["1.7", "1.6", "1.5"])
def test_xml_is_judged_like_the_json_it_is_made_of(
    version: str, tmp_path: Path, package: Path
) -> None:
    document = json.loads((package / "bom.cdx.json").read_bytes())
    for output_format in ("json", "xml"):
        data = convert(document, spec_version=version, output_format=output_format).data  # type: ignore[arg-type]  # the loop's text is one of the two
        (tmp_path / output_format).write_bytes(data)
    as_json, as_xml = report(tmp_path / "json"), report(tmp_path / "xml")
    assert as_xml["schemas"][0]["isValid"] is True, as_xml["schemas"]
    states = [
        [[one["state"] for one in each["findings"]] for each in found["lists"]]
        for found in (as_json, as_xml)
    ]
    assert states[0] == states[1]


# --- requirements -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "unmet"),
    [
        (["--require", "G7"], "44 of 50 elements of G7 missing"),
        (["--require", "ntia"], "6 of 7 elements of NTIA missing"),
        (["--require", "CISA"], "10 of 11 elements of CISA missing"),
        (["--require-values", "10"], "6 elements of G7 have a value, not 10"),
    ],
)
def test_a_requirement_that_fails_is_exit_code_1(words: list[str], unmet: str, small: Path) -> None:
    done = infwasi("bom", "check", small, *words)
    assert (done.code, done.said[0]) == (1, f"refused: policy: {unmet} in {small}")
    quiet = infwasi("bom", "check", small, *words, "--json")
    assert quiet.code == 1
    assert [one["unmet"] for one in quiet.documents] == [[unmet]]


@pytest.mark.parametrize(
    "words",
    [
        ["--require", "G7"],
        ["--require", "schema"],
        ["--require-values", "20"],
    ],
)
def test_our_bom_meets_what_others_fail(words: list[str], package: Path) -> None:
    assert infwasi("bom", "check", package, *words).code == 0


def test_a_bom_that_is_not_as_the_schema_says_fails_that_requirement(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL | {"mood": "good"})
    done = infwasi("bom", "check", path, "--require", "schema")
    assert done.code == 1
    assert "not valid by CycloneDX 1.7: $: Additional properties are not allowed" in done.said[0]
    assert infwasi("bom", "check", path).code == 0


def test_a_version_that_is_none_is_not_valid(tmp_path: Path) -> None:
    found = report(written(tmp_path, SMALL | {"specVersion": "9.9"}))
    assert found["schemas"][0]["complaints"] == ["$.specVersion: no version of CycloneDX"]


def test_without_its_extra_the_schema_is_not_checked_and_that_is_said(
    tmp_path: Path, small: Path
) -> None:
    """An installation without the validators: modules of their names that cannot be imported."""
    for name in ("jsonschema", "lxml"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('no {name}')\n")
    env = {"PYTHONPATH": f"{ROOT}:{tmp_path}"}
    done = infwasi("bom", "check", small, env=env)
    assert done.code == 0
    (line,) = [line for line in done.out.splitlines() if line.startswith("CycloneDX 1.7:")]
    assert line.startswith("CycloneDX 1.7: not checked: no validator: ")
    assert line.endswith("install infwasi with its extra: pip install 'infwasi[check]'")
    for demand in ("schema", "profile"):
        done = infwasi("bom", "check", small, "--require", demand, env=env)
        assert done.code == 2
        assert done.said[0].startswith("error: not checked against ")
        assert done.said[1] == (
            "hint: install infwasi with its extra: pip install 'infwasi[check]'"
        )


def test_only_boms_of_ours_pass_the_profile(package: Path, small: Path) -> None:
    assert infwasi("bom", "check", package, "--require", "profile").code == 0
    done = infwasi("bom", "check", small, "--require", "profile")
    assert done.code == 1
    assert "not valid by infwasi profile: " in done.said[0]


# --- what cannot be read ------------------------------------------------------------------------


def error_of(done: Done) -> str:
    assert done.code == 2, done.errors
    assert done.out == ""
    return done.said[0]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "not a CycloneDX BOM"),
        ('{"bomFormat": "SPDX"}', "not a CycloneDX BOM"),
        ('{"bomFormat": "CycloneDX", "bomFormat": "CycloneDX"}', "member stands twice"),
        ('{"bomFormat": "CycloneDX", "x": ' + "[" * 40 + "]" * 40 + "}", "nested too deep"),
        ("[" * 100_000, "nested too deep"),
        ("<bom/>", ""),
        ("<!DOCTYPE bom [<!ENTITY a 'aaaa'>]><bom>&a;</bom>", ""),
    ],
)
def test_what_is_no_bom_has_no_verdict(content: str, what: str, tmp_path: Path) -> None:
    path = written(tmp_path, content)
    assert error_of(infwasi("bom", "check", path)).startswith(f"error: {what}")


def test_what_is_not_there_has_no_verdict(tmp_path: Path) -> None:
    assert error_of(infwasi("bom", "check", tmp_path / "no")).startswith("error: cannot open")
    assert error_of(infwasi("bom", "check", tmp_path)).startswith("error: cannot open")


def test_a_hundred_megabytes_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    assert "at most" in error_of(infwasi("bom", "check", path))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    import os  # noqa: PLC0415 - for this alone

    os.mkfifo(tmp_path / "pipe")
    error_of(infwasi("bom", "check", tmp_path / "pipe"))


# --- hostile documents --------------------------------------------------------------------------


def test_names_that_move_a_terminal_or_a_build_server_are_shown_harmless(tmp_path: Path) -> None:
    hostile = "\x1b[2J\u202egnp\n::set-output name=a::b\r##[error]"
    document = json.loads(json.dumps(SMALL))
    document["metadata"]["component"] |= {"name": hostile, "version": hostile}
    document["components"][0] |= {"name": hostile, "description": hostile, "mood": hostile}
    document["components"][0]["licenses"] = [{"license": {"name": hostile}}]
    path = written(tmp_path, document)
    for words in ([], ["--json"], ["--require", "schema"]):
        done = infwasi("bom", "check", path, *words)
        for text in (done.out, done.errors):
            assert "\x1b" not in text
            assert "\u202e" not in text
            assert "\r" not in text
            assert "##[" not in text
            assert not any(line.lstrip().startswith("::") for line in text.splitlines())


@pytest.mark.parametrize(
    ("extra", "obstacle"),
    [
        (
            {"components": [{"type": "file", "name": str(n)} for n in range(5000)]},
            "too many items in its lists for the validator",
        ),
        (
            {"externalReferences": [{"type": "other", "url": "x" * 300_000}]},
            "too many addresses in it for the validator",
        ),
    ],
)
def test_what_a_validator_would_take_hours_for_is_not_given_to_it(
    extra: dict[str, Any], obstacle: str
) -> None:
    document = SMALL | extra
    data = json.dumps(document).encode()
    assert check_schema(data, document, is_xml=False).obstacle == obstacle
    assert check_profile(document).obstacle == obstacle


def test_complaints_are_few_and_short() -> None:
    document = SMALL | {"components": [{"type": "x" * 100_000, "name": "n"}] * 100}
    check = check_schema(json.dumps(document).encode(), document, is_xml=False)
    assert len(check.complaints) == 20
    assert max(map(len, check.complaints)) < 300


def test_too_many_components_have_no_verdict(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL | {"components": [{}] * (LIMITS.bom_components + 1)})
    assert error_of(infwasi("bom", "check", path)) == (
        f"error: too many components in {path}: bom (expected at most {LIMITS.bom_components})"
    )
