"""The forms of a result: nothing in a name gets out of its place in any of them."""

import html
import json
from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # ships no types
from markdown_it import MarkdownIt

from infwasi_sign.cli.delivery import Delivery, chosen_delivery
from infwasi_sign.cli.renderers import Format, render
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.result import (
    Accepted,
    Circumstances,
    ComputedEntry,
    NotAccepted,
    PolicyUsed,
    VerifyResult,
)
from infwasi_sign.domain.signer import SignerIdentity
from infwasi_sign.errors import (
    GuestError,
    InfwasiError,
    RefusalKind,
    RefusedError,
    UndecidedError,
)

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
BLAKE3 = Digest(algorithm=Algorithm.BLAKE3, hex="ab" * 32)
SHA256 = Digest(algorithm=Algorithm.SHA256, hex="cd" * 32)


def circumstances(name: str) -> Circumstances:
    policy = PolicyUsed(name=name, source=name, digest=SHA256, is_file=True)
    return Circumstances(location=name, at=AT, policy=policy, is_pinned=True)


def passed(name: str = "capital") -> Accepted:
    """A verified package in which every name is ``name``."""
    return Accepted(
        circumstances=circumstances(name),
        package_name=name,
        package_version="1.0.0",
        sequence=7,
        issued_at=AT,
        expires_at=None,
        signers=(SignerIdentity(name=name, algorithm="ecdsa-p256-sha256", fingerprint="ef" * 32),),
        strangers=(),
        statement=SHA256,
        entries=(
            ComputedEntry(name=name, role="model", size_bytes=1234567, digests=(BLAKE3, SHA256)),
        ),
        level="sealed-memfd",
        level_reason=name,
    )


def failed(name: str = "model.gguf", kind: RefusalKind | None = RefusalKind.DIGEST) -> NotAccepted:
    """A refusal, or no verdict where ``kind`` is None, in which every name is ``name``."""
    facts = {"where": name, "expected": name, "got": name, "hint": name}
    what = f"what {name}"
    error: InfwasiError = (
        UndecidedError(what, **facts) if kind is None else RefusedError(kind, what, **facts)
    )
    return NotAccepted.of(error, circumstances(name))


RESULTS: dict[str, Callable[[str], VerifyResult]] = {
    "passed": passed,
    "failed": failed,
    "undecided": lambda name: failed(name, None),
}
HOSTILE = [
    "</code></td></tr></table><script>alert(1)</script>",
    "a | b ` `` [x](javascript:1) ![y](https://z.invalid/)",
    "line\n\n# heading\n\n- item\n\n</table>\n\n<img src=x onerror=y>",
    "\r\n\r\n<!-- ",
    "@octocat #1 https://z.invalid www.z.invalid a@z.invalid :tada:",
    "&lt;b&gt; &#60;i&#62; \\` \\| **b** _i_ ~~s~~ $x$",
    "::error::x\n::set-output name=a::b",
    "\x1b[31m\u202e\x00\x85\u2028\udcff{0} {{1}} é 漢",
]
ANY_TEXT = st.text(alphabet=st.characters(codec=None), max_size=40)


# --- text ------------------------------------------------------------------------------------


def test_text_of_a_verified_package() -> None:
    assert render(passed(), Format.TEXT).splitlines() == [
        "verified: capital 1.0.0, signed by capital (ecdsa-p256-sha256 sha256:efefefefefefefef)",
        "  issued 2026-11-23T12:00:00Z, expires never, sequence 7",
        "  model      capital  1,234,567 bytes",
        f"             blake3:{'ab' * 32}",
        f"             sha256:{'cd' * 32}",
        f"  policy     capital capital sha256:{'cd' * 32}",
        "  pinned     trusted on first use: nobody vouches for this signer",
    ]


def test_text_of_a_refusal_is_the_line_and_the_hint() -> None:
    error = RefusedError(RefusalKind.EXTRA, "too much", where="x", hint="less")
    text = render(NotAccepted.of(error), Format.TEXT)
    assert text == "refused: extra: too much in x\nhint: less\n"
    assert render(NotAccepted.of(UndecidedError("hm")), Format.TEXT) == "error: hm\n"


@given(ANY_TEXT)
def test_text_has_as_many_lines_whatever_a_name_is(name: str) -> None:
    for make in RESULTS.values():
        usual, text = render(make("x"), Format.TEXT), render(make(name), Format.TEXT)
        assert text.count("\n") == len(text.splitlines()) == usual.count("\n")
        assert "\x1b" not in text
        text.encode()


# --- JSON ------------------------------------------------------------------------------------


def test_json_is_one_sorted_line_of_ascii() -> None:
    line = render(passed("é"), Format.JSON)
    assert line.isascii()
    assert line.endswith("}\n")
    assert line.count("\n") == 1
    assert line == json.dumps(json.loads(line), sort_keys=True, separators=(",", ":")) + "\n"


# --- GitHub ----------------------------------------------------------------------------------


class Outline(HTMLParser):
    """The tags of a page in their order, and the text of its code elements."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.codes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(f"{tag} {attrs}" if attrs else tag)
        if tag == "code":
            self.codes.append("")

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(f"/{tag}")

    def handle_comment(self, data: str) -> None:
        self.tags.append(f"comment {data}")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "code":
            self.codes[-1] += data


def outline(result: VerifyResult) -> Outline:
    """The summary as CommonMark with HTML makes a page of it."""
    found = Outline()
    found.feed(MarkdownIt("commonmark", {"html": True}).render(render(result, Format.GITHUB)))
    found.close()
    return found


def test_summary_is_a_table_with_every_fact() -> None:
    page = outline(passed())
    assert page.tags[:2] == ["h3", "/h3"]
    assert page.tags.count("table") == 2
    for value in ("capital 1.0.0", "2026-11-23T12:00:00Z", "never", str(BLAKE3), str(SHA256)):
        assert value in page.codes
    page = outline(failed())
    assert page.tags.count("table") == 1
    assert page.codes[:5] == ["what model.gguf", *["model.gguf"] * 4]
    assert render(failed(), Format.GITHUB).startswith("### infwasi: refused: digest\n\n<table>\n")
    assert render(failed("x", None), Format.GITHUB).startswith("### infwasi: undecided\n")


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("kind", RESULTS)
def test_names_cannot_inject_markdown_or_html(name: str, kind: str) -> None:
    usual, hostile = outline(RESULTS[kind]("usual")), outline(RESULTS[kind](name))
    assert hostile.tags == usual.tags
    assert len(hostile.codes) == len(usual.codes)


@given(ANY_TEXT)
def test_a_summary_has_the_same_outline_whatever_a_name_is(name: str) -> None:
    for make in RESULTS.values():
        text = render(make(name), Format.GITHUB)
        assert text.isascii()
        assert text.count("\n") == render(make("x"), Format.GITHUB).count("\n")
        assert outline(make(name)).tags == outline(make("x")).tags


def test_a_summary_shows_the_name_as_it_is() -> None:
    name = "<b>é & `c`</b>"
    assert f"{name} 1.0.0" in outline(passed(name)).codes
    assert html.escape("<b>") in render(passed(name), Format.GITHUB)


# --- SARIF -----------------------------------------------------------------------------------


def closed(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": sorted(required),
        "properties": {**required, **optional},
    }


TEXT = closed({"text": {"type": "string", "minLength": 1}})
# The part of SARIF 2.1.0 that is used here, and nothing else of it: sections 3.13, 3.14, 3.18 to
# 3.20, 3.27, 3.28, 3.33, 3.49 and 3.58. Names and types are those of the standard's own schema.
SARIF = closed(
    {
        "$schema": {"pattern": "^https://docs.oasis-open.org/sarif/sarif/v2.1.0/"},
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": closed(
                {
                    "tool": closed(
                        {
                            "driver": closed(
                                {
                                    "name": {"const": "infwasi"},
                                    "version": {"type": "string"},
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": closed(
                                            {
                                                "id": {"enum": list(RefusalKind)},
                                                "shortDescription": TEXT,
                                                "help": TEXT,
                                                "defaultConfiguration": closed(
                                                    {"level": {"const": "error"}}
                                                ),
                                                "properties": closed(
                                                    {"tags": {"type": "array", "minItems": 1}}
                                                ),
                                            }
                                        ),
                                    },
                                }
                            )
                        }
                    ),
                    "invocations": {
                        "type": "array",
                        "minItems": 1,
                        "items": closed(
                            {
                                "executionSuccessful": {"type": "boolean"},
                                "exitCode": {"enum": [0, 1, 2, 3]},
                            },
                            toolExecutionNotifications={
                                "type": "array",
                                "minItems": 1,
                                "items": closed({"level": {"const": "error"}, "message": TEXT}),
                            },
                        ),
                    },
                    "results": {
                        "type": "array",
                        "items": closed(
                            {
                                "ruleId": {"enum": list(RefusalKind)},
                                "ruleIndex": {"type": "integer", "minimum": 0},
                                "kind": {"const": "fail"},
                                "level": {"const": "error"},
                                "message": TEXT,
                            },
                            locations={
                                "type": "array",
                                "minItems": 1,
                                "items": closed(
                                    {},
                                    physicalLocation=closed(
                                        {
                                            "artifactLocation": closed(
                                                {
                                                    "uri": {
                                                        "type": "string",
                                                        "pattern": r"^[A-Za-z0-9%/:._~-]*$",
                                                    }
                                                }
                                            )
                                        }
                                    ),
                                    logicalLocations={
                                        "type": "array",
                                        "minItems": 1,
                                        "items": closed({"fullyQualifiedName": {"type": "string"}}),
                                    },
                                ),
                            },
                        ),
                    },
                    "properties": closed({"result": {"type": "object"}}),
                }
            ),
        },
    }
)


def sarif_run(result: VerifyResult) -> dict[str, Any]:
    """The one run of a log that fits."""
    log = json.loads(render(result, Format.SARIF))
    Draft202012Validator(SARIF).validate(log)
    run: dict[str, Any] = log["runs"][0]
    assert run["properties"]["result"] == json.loads(render(result, Format.JSON))
    return run


@pytest.mark.parametrize("kind", RefusalKind)
def test_sarif_has_a_result_of_its_rule_for_each_kind(kind: RefusalKind) -> None:
    run = sarif_run(failed(kind=kind))
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(RefusalKind)
    (result,) = run["results"]
    assert (result["ruleId"], result["level"]) == (kind, "error")
    assert rules[result["ruleIndex"]]["id"] == kind
    assert run["invocations"] == [{"executionSuccessful": True, "exitCode": 1}]


def test_sarif_of_a_verified_package_has_no_result() -> None:
    run = sarif_run(passed())
    assert run["results"] == []
    assert run["invocations"] == [{"executionSuccessful": True, "exitCode": 0}]


@pytest.mark.parametrize(
    ("error", "code"), [(UndecidedError("hm", hint="do"), 2), (GuestError("trap"), 3)]
)
def test_sarif_without_a_verdict_is_a_run_that_failed(error: InfwasiError, code: int) -> None:
    run = sarif_run(NotAccepted.of(error))
    assert run["results"] == []
    (invocation,) = run["invocations"]
    assert (invocation["executionSuccessful"], invocation["exitCode"]) == (False, code)
    (notification,) = invocation["toolExecutionNotifications"]
    assert notification["message"]["text"].startswith(error.what)


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("dist/capital-1.0.0", "dist/capital-1.0.0"),
        ("/srv/a b", "file:///srv/a%20b"),
        ("c:d?e#f", "c%3Ad%3Fe%23f"),
        ("\udcff/é", "%FF/%C3%A9"),
        ("//host/x", "file:////host/x"),
    ],
)
def test_sarif_keeps_every_byte_of_a_path(path: str, uri: str) -> None:
    (result,) = sarif_run(failed(path))["results"]
    found = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert found == uri
    name = unquote_to_bytes(found.removeprefix("file://"))
    assert name == path.encode("utf-8", "surrogateescape")


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=40))
def test_sarif_fits_whatever_a_name_is(name: str) -> None:
    for make in RESULTS.values():
        sarif_run(make(name))


def test_sarif_messages_have_no_links_and_no_placeholders() -> None:
    (result,) = sarif_run(failed("[click](https://z.invalid) {0}"))["results"]
    assert "](" not in result["message"]["text"]
    assert "{0}" not in result["message"]["text"].replace("{{", "").replace("}}", "")


# --- delivery --------------------------------------------------------------------------------


def test_json_is_the_short_form_of_a_format() -> None:
    assert chosen_delivery(None, True, False, None) == Delivery(form=Format.JSON)
    assert chosen_delivery("json", True, False, None) == Delivery(form=Format.JSON)
    assert chosen_delivery(None, False, False, None) == Delivery(form=Format.TEXT)
    with pytest.raises(UndecidedError) as undecided:
        chosen_delivery("sarif", True, False, None)
    assert str(undecided.value) == "--json and --format sarif cannot both be"


def test_delivery_to_a_file_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "result"
    for form in Format:
        for result in (passed(), failed(), failed("x", None)):
            Delivery(form=form, file=file).deliver(result)
            assert file.read_text() == render(result, form)
    assert capfd.readouterr() == ("", "")
    assert file.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [file]


def test_quiet_delivery_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    for form in Format:
        Delivery(form=form, is_quiet=True).deliver(passed())
    assert capfd.readouterr() == ("", "")


def test_delivery_prints_failures_only_where_they_are_data(
    capfd: pytest.CaptureFixture[str],
) -> None:
    Delivery().deliver(failed())
    assert capfd.readouterr() == ("", "")
    Delivery(form=Format.JSON).deliver(failed())
    assert capfd.readouterr().out == render(failed(), Format.JSON)


@pytest.mark.parametrize("kind", ["link", "directory", "/dev/null"])
def test_delivery_replaces_nothing_but_a_file(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "result"
    if kind == "link":
        place.symlink_to(tmp_path / "other")
    elif kind == "directory":
        place.mkdir()
    else:
        place = Path(kind)
    with pytest.raises(UndecidedError) as undecided:
        Delivery(file=place).deliver(passed())
    assert str(undecided.value) == f"not a regular file in {place}"
