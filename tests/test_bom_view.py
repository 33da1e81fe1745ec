"""`infwasi bom view`: one page about a BOM of any tool, that says what is known and what is not."""

import json
import re
import subprocess
import sys
import tarfile
import zipfile
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from infwasi_sign.adapters.confinement import Confinement
from infwasi_sign.adapters.cyclonedx_convert import convert
from infwasi_sign.adapters.html_page import is_web_address
from infwasi_sign.cli.bom_view_command import command
from infwasi_sign.domain.bom import derive_bom
from infwasi_sign.domain.bom_node import document_node
from infwasi_sign.domain.bom_page import bom_page
from infwasi_sign.domain.declared_keys import ARRAYS, TABLES
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.page_parts import shares, size_text
from infwasi_sign.errors import MalformedError, RefusedError, UndecidedError
from tests.bom_page_support import ADDRESSES, FOREIGN, hostile_bom, page_of, write_bom
from tests.bom_support import EVERYTHING, lone_model
from tests.command_line import infwasi, make_timeless
from tests.conftest import ROOT
from tests.gguf_forge import tiny_gguf

VOID = {"meta", "br", "rect", "link", "img", "hr", "input"}


class Outline(HTMLParser):
    """The elements of a page; each must be closed in the order in which it was opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline(page: str) -> Outline:
    found = Outline()
    found.feed(page)
    found.close()
    assert found.open == []
    return found


def bom(components: Any) -> dict[str, Any]:
    """The smallest BOM of these components."""
    return {"bomFormat": "CycloneDX", "components": components}


def text_of(page: str) -> str:
    """What somebody reads, roughly."""
    body = page.split("</style>", 1)[1]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body))


# --- the page


def test_a_page_of_another_tool_tells_what_it_has_and_what_is_missing() -> None:
    text = text_of(page_of(FOREIGN))
    assert "shop 4.2.0" in text
    assert "This bill of materials was not made by infwasi." in text
    assert "BSD-3-Clause 1 click" in text
    assert "none stated 2 shop , unlicensed" in text
    assert "CVE-2025-0001 not affected" in text
    assert "Producer manufacturer" in text  # a gap, and its member in CycloneDX
    assert "model-card.toml" not in text
    assert "scanner 2.1" in text


def test_every_page_says_that_nothing_was_verified() -> None:
    assert "Not verified. This page repeats what a file says." in text_of(page_of(FOREIGN))
    assert "what the package says of itself" in text_of(page_of(FOREIGN, is_package=True))


def test_an_open_vulnerability_stands_before_those_that_are_none() -> None:
    harmless: Any = {"id": "CVE-1", "analysis": {"state": "not_affected"}}
    page = bom_page(
        {
            **FOREIGN,
            "vulnerabilities": [harmless] * LIMITS.html_items
            + [{"id": "CVE-2", "analysis": {"state": "exploitable"}}],
        }
    )
    assert page.vulnerabilities[0].identifier == "CVE-2"
    assert page.more_vulnerabilities == 1
    (tile,) = (tile for tile in page.tiles if tile.label == "Vulnerabilities")
    assert (tile.value, tile.mood) == ("201 stated", "bad")


def test_what_is_not_as_cyclonedx_says_is_told_and_passed_over() -> None:
    page = bom_page(
        {"bomFormat": "CycloneDX", "components": ["x", {"name": 7, "hashes": {}}], "metadata": []}
    )
    assert page.component_count == 1
    assert page.rows[0].name == "7"
    assert {"components[0]", "components[1].hashes", "metadata"} <= set(page.oddities)


@pytest.mark.parametrize("value", [[], {}, {"bomFormat": "SPDX"}, "CycloneDX", None])
def test_refuses_what_is_not_cyclonedx(value: Any) -> None:
    with pytest.raises(MalformedError, match="not a CycloneDX BOM"):
        bom_page(value)


def test_the_tree_is_whole_however_deep_and_wide() -> None:
    components = [
        {"name": "a", "components": [{"name": "b", "components": [{"name": "c"}]}, {"name": "d"}]},
        {"name": "e"},
    ]
    page = bom_page(bom(components))
    assert [(row.name, row.has_children, row.closes) for row in page.rows] == [
        ("a", True, 0),
        ("b", True, 0),
        ("c", False, 1),
        ("d", False, 1),
        ("e", False, 0),
    ]


def test_components_beyond_the_bound_are_counted_and_not_shown() -> None:
    many = [{"name": "x"}] * (LIMITS.html_components + 5)
    page = bom_page(bom(many))
    assert len(page.rows) == LIMITS.html_components
    assert page.component_count == LIMITS.html_components + 5


def test_a_page_that_would_be_too_long_is_refused() -> None:
    component = {"name": "x", "description": "'" * 15_000}
    document = {"bomFormat": "CycloneDX", "components": [component] * 1_000}
    with pytest.raises(RefusedError, match="the page is too long"):
        page_of(document)


def test_shares_fill_the_whole() -> None:
    parts = shares([("a", 61, ""), ("b", 210, ""), ("none", 0, ""), ("c", 1, "")])
    assert [(part.label, part.start, part.width, part.percent) for part in parts] == [
        ("a", 0, 224, "22 %"),
        ("b", 224, 772, "77 %"),
        ("c", 996, 4, "under 1 %"),
    ]
    assert shares([]) == ()


def test_sizes_are_rounded_as_people_say_them() -> None:
    sizes = (0, 999, 1000, 999_949, 999_950, 98_362_432, 10**15)
    assert [size_text(size) for size in sizes] == [
        *("0 bytes", "999 bytes", "1.0 kB", "999.9 kB", "1.0 MB", "98.4 MB", "1000.0 TB"),
    ]


def complete_bom() -> Any:
    """A BOM of ours of which every declared fact is stated."""
    return derive_bom(lone_model(tiny_gguf(), EVERYTHING))


def test_every_declared_fact_is_on_the_page_with_its_origin() -> None:
    page = page_of(complete_bom())
    text = text_of(page)
    for said in (
        "Acme Research",
        "Ada",
        "MIT OR Apache-2.0",
        "knows nothing after 2024",
        "crawled",
    ):
        assert said in text
    assert "Training Two epochs user-declared" in text
    assert "Datasets corpus user-declared" in text
    assert "Group: all" in text
    assert "accuracy: 0.5 on all (0.4 to 0.6)" in text
    assert "training: 12.5 kWh, CO2 0.1 tCO2eq, offset 0.1 tCO2eq, from Acme Power (wind)" in text
    assert "CVE-2026-0001 not affected" in text
    assert "Justification code not present" in text


OF_NO_CARD = {  # the file or the package says it, or nobody
    *("Architecture", "Data flow", "Made at", "Signature of this BOM"),
    *("Software that it needs", "Package URL", "Version"),
}


def test_every_unknown_fact_of_ours_has_a_name_and_a_key_that_exists() -> None:
    page = bom_page(derive_bom(lone_model(tiny_gguf())))
    gaps = [gap for group in page.gaps for gap in group.gaps]
    assert len(gaps) > 30
    assert [gap.label for gap in gaps if ":" in gap.label and gap.label[0].islower()] == []
    known = {f"{key} in [{table}]" for table, keys in TABLES.items() for key in keys}
    known |= {f"{key} in [[{table}]]" for table, rows in ARRAYS.items() for key in rows.keys}
    known |= {f"[[{table}]]" for table in ARRAYS}
    assert {gap.key for gap in gaps if gap.key} - known == set()
    without = {gap.label for gap in gaps if not gap.key}
    assert {label for label in without if not label.startswith("Header: ")} <= OF_NO_CARD


def test_a_finding_on_the_chat_template_is_on_the_page() -> None:
    document = complete_bom()
    properties = document["metadata"]["component"]["properties"]
    finding = {"name": "infwasi:gguf:chat-template:findings", "value": "attribute:__class__ more"}
    kept = [one for one in properties if one["name"] != finding["name"]]
    document["metadata"]["component"]["properties"] = [*kept, finding]
    page = page_of(document)
    assert '<li class="bad"><code><bdi>attribute:__class__</bdi></code></li>' in page
    assert "No finding is stated" not in page
    assert "No finding is stated" in page_of(complete_bom())


def test_the_lists_of_minimum_elements_are_on_the_page() -> None:
    page = bom_page(complete_bom())
    assert [(one.name, len(one.rows)) for one in page.elements] == [
        *(("G7", 50), ("NTIA", 7), ("CISA", 11)),
    ]
    rows = {row.identifier: row for one in page.elements for row in one.rows}
    assert rows["MDL-05"].state == "value"
    foreign = {row.identifier: row for one in bom_page(FOREIGN).elements for row in one.rows}
    assert (foreign["MD-01"].state, foreign["MD-01"].add) == ("missing", "metadata.authors[].name")


def test_a_chart_shows_how_the_weights_are_stored() -> None:
    (model,) = bom_page(complete_bom()).models
    assert model.census is not None
    assert model.census.tensors == sum(part.count for part in model.census.parts)
    page = page_of(complete_bom())
    assert '<title id="model-0-census-title">Tensors by type</title>' in page
    assert page.count('<th scope="col" class="number">Tensors</th>') == 1


# --- hostile


def test_a_hostile_bom_makes_no_element_and_no_attribute_of_its_own() -> None:
    plain, hostile = outline(page_of(FOREIGN)), outline(page_of(hostile_bom(20)))
    allowed = {*plain.names, "article", "a", "figure", "figcaption", "svg", "desc", "rect"}
    allowed |= {"caption", "h4", "br", "thead"}
    assert set(hostile.names) - allowed == set()
    assert {name for name, _ in hostile.attributes if name.startswith(("on", "src", "style"))} == (
        set()
    )


def test_only_plain_addresses_of_the_web_are_links() -> None:
    page = outline(page_of(hostile_bom(0)))
    links = {
        value
        for name, value in page.attributes
        if name == "href" and not (value or "").startswith("#")
    }
    assert links == {"https://example.org/fine?a=1&b=2"}
    assert [is_web_address(text) for text in ADDRESSES].count(True) == 1


@pytest.mark.parametrize(
    "text",
    [
        *("", "https://", "https:///x", "https://a:99999/", "https://a:0/", "HTTPS://a"),
        *(" https://a", "https://a\n", "https://a\u202e", "https://u:p@a/", "ftp://a"),
    ],
)
def test_other_addresses_are_only_shown(text: str) -> None:
    assert not is_web_address(text)


def test_hidden_characters_are_shown_and_marked() -> None:
    page = page_of({**FOREIGN, "metadata": {"component": {"name": "a\u202eb\x00\u200b"}}})
    mark = '<span class="hidden-character">'
    assert (
        f"<h1><bdi>a{mark}\\u{{202e}}</span>b{mark}\\u{{0}}</span>{mark}\\u{{200b}}</span></bdi>"
        in page
    )
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", page
    )


def test_long_texts_are_cut_and_say_so() -> None:
    name, description = "n" * 1000, "d" * (LIMITS.html_text_characters + 7)
    component = {"name": name, "description": description}
    text = text_of(page_of({"bomFormat": "CycloneDX", "components": [component]}))
    assert "n" * 241 not in text
    assert "760 characters more" in text
    assert "all 16,391 characters" in text
    assert "7 characters more are not shown." in text


def test_a_template_in_a_bom_is_a_text() -> None:
    page = page_of({**FOREIGN, "metadata": {"component": {"name": "{{ 7 * 7 }}{% raw %}"}}})
    assert "<bdi>{{ 7 * 7 }}{% raw %}</bdi>" in page


def test_the_policy_of_a_page_allows_its_one_style_and_nothing_else() -> None:
    page = page_of(hostile_bom(3))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='; base-uri 'none'; "
        r"form-action 'none'",
        policy,
    )
    assert page.count("<style>") == 1
    assert "<script" not in page


def test_a_template_that_names_what_nobody_gave_is_an_error() -> None:
    command = (
        "from infwasi_sign.adapters.html_page import render_page\n"
        "try:\n    render_page('bom.html')\nexcept Exception as e:\n    print(type(e).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout == "UndefinedError\n"


# --- the command


def test_writes_a_page_about_a_file_and_says_where(tmp_path: Path) -> None:
    file = write_bom(tmp_path, FOREIGN)
    done = infwasi("bom", "view", file, cwd=tmp_path)
    assert done.transcript == (0, "", ["wrote some.html: not verified, only shown"])
    outline((tmp_path / "some.html").read_text())


def test_a_page_is_never_replaced_unasked(tmp_path: Path) -> None:
    file = write_bom(tmp_path, FOREIGN)
    page = tmp_path / "page.html"
    page.write_text("mine")
    done = infwasi("bom", "view", file, "--output", page, cwd=tmp_path)
    assert done.code == 2
    assert done.said[0] == f"error: file exists already in {page}"
    assert page.read_text() == "mine"
    assert infwasi("bom", "view", file, "--output", page, "--force", cwd=tmp_path).code == 0
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_the_page_of_a_package_is_that_of_its_bom(tmp_path: Path) -> None:
    package = make_timeless(tmp_path / "here")
    done = infwasi("bom", "view", package, "--output", "-", cwd=tmp_path)
    assert (done.code, done.said) == (0, [])
    text = text_of(done.out)
    assert "capital 1.0.0" in text
    assert "what the package says of itself" in text
    assert "inference component" in text or "inference library" in text


def test_a_page_is_the_same_each_time(tmp_path: Path) -> None:
    file = write_bom(tmp_path, FOREIGN)
    words = ("bom", "view", file, "--output", "-")
    assert infwasi(*words).output == infwasi(*words, cwd=tmp_path).output


def test_reads_standard_input(tmp_path: Path) -> None:
    data = json.dumps(FOREIGN).encode()
    done = infwasi("bom", "view", "-", "--output", "-", cwd=tmp_path, stdin=data)
    assert done.code == 0
    assert "shop" in done.out


def test_a_page_of_xml_says_what_that_of_json_says(tmp_path: Path) -> None:
    document = complete_bom()
    file = tmp_path / "some.xml"
    file.write_bytes(convert(document, spec_version="1.7", output_format="xml").data)
    done = infwasi("bom", "view", file, "--output", "-")
    assert done.code == 0
    for group in bom_page(document).models[0].groups:
        for one in group.facts:
            assert all(escape(value.split("\n")[0]) in done.out for value in one.values)


@pytest.mark.parametrize("kind", ["file", "package", "stream"])
def test_the_process_is_confined_before_a_byte_is_read(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: Confinement) -> None:
        raise UndecidedError("confined now")

    (tmp_path / "file").write_bytes(b"no BOM")
    package = make_timeless(tmp_path / "here")
    (package / "bom.cdx.json").write_bytes(b"no BOM")
    source = {"file": tmp_path / "file", "package": package, "stream": "-"}[kind]
    monkeypatch.setattr(Confinement, "before_measuring", stop)
    result = CliRunner().invoke(command, [str(source), "--output", "-"], input="no BOM")
    assert str(result.exception) == "confined now"


def test_a_page_does_not_go_into_a_package(tmp_path: Path) -> None:
    package = make_timeless(tmp_path / "here")
    done = infwasi("bom", "view", package, "--output", package / "x.html")
    assert done.code == 2
    assert "that nobody signed" in done.said[0]
    assert not (package / "x.html").exists()


@pytest.mark.parametrize(
    ("data", "code", "line"),
    [
        (b"{}", 1, "refused: malformed: not a CycloneDX BOM in bom (expected bomFormat CycloneDX)"),
        (
            b"[" * 100,
            1,
            "refused: malformed: nested too deep in a.json (expected at most 32 levels)",
        ),
        (
            b"<bom/>",
            1,
            "refused: malformed: not a CycloneDX BOM in bom (expected an element bom of "
            "http://cyclonedx.org/schema/bom/1.5, 1.6 or 1.7, got bom)",
        ),
        (
            b"x",
            1,
            "refused: malformed: not JSON in a.json (got expecting value at character 0)",
        ),
    ],
)
def test_refuses_other_files(tmp_path: Path, data: bytes, code: int, line: str) -> None:
    (tmp_path / "a.json").write_bytes(data)
    done = infwasi("bom", "view", "a.json", cwd=tmp_path)
    assert (done.code, done.said[0]) == (code, line)
    assert not (tmp_path / "a.html").exists()


def test_refuses_a_file_that_is_too_large_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(LIMITS.bom_bytes + 1)
    done = infwasi("bom", "view", "a.json", cwd=tmp_path)
    assert done.code == 1
    assert done.said[0].startswith("refused: limit: ")


def test_a_large_bom_is_shown_within_bounds_of_memory(tmp_path: Path) -> None:
    component = {
        "type": "library",
        "version": "1.0",
        "hashes": [{"alg": "SHA-512", "content": "ab" * 64}],
        "licenses": [{"license": {"id": "MIT"}}],
        "properties": [{"name": f"p{at}", "value": "v" * 50} for at in range(8)],
    }
    components = [{**component, "name": f"package-{at}"} for at in range(10_000)]
    file = write_bom(tmp_path, {**FOREIGN, "components": components})
    assert file.stat().st_size > 8_000_000
    command = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "from infwasi_sign.cli import main\nmain()"
    )
    page = tmp_path / "large.html"
    done = subprocess.run(
        [sys.executable, "-c", command, "bom", "view", str(file), "--output", str(page)],
        capture_output=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert page.stat().st_size < LIMITS.html_bytes
    assert page.read_text().count("<bdi>package-") >= 10_000


@pytest.mark.parametrize("target", ["wheel", "sdist"])
def test_what_is_built_has_the_templates(target: str, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(tmp_path)],
        capture_output=True,
        cwd=ROOT,
        check=True,
    )
    (built,) = tmp_path.iterdir()
    if target == "wheel":
        names = zipfile.ZipFile(built).namelist()
    else:
        with tarfile.open(built) as archive:
            names = archive.getnames()
    found = {
        name.rpartition("data/html/")[2] for name in names if "infwasi_sign/data/html/" in name
    }
    here = {path.name for path in (ROOT / "infwasi_sign" / "data" / "html").iterdir()}
    assert found == here > {"bom.html", "macros.html", "page.css"}


def test_the_bounds_of_a_page_are_those_in_its_document() -> None:
    text = (ROOT / "docs" / "ml-bom-view.md").read_text()
    for said in (
        f"{LIMITS.html_short_characters} characters are seen at once",
        f"up to {LIMITS.html_text_characters:,} when they are opened",
        f"{LIMITS.html_components:,} components and {LIMITS.html_items} items",
        f"beyond {LIMITS.html_bytes // 2**20} MiB is refused",
    ):
        assert said in text


# --- BOMs that imitate ours ---------------------------------------------------------------------


def test_a_file_that_says_measured_is_said_to_claim_it(tmp_path: Path) -> None:
    imitation = bom([]) | {
        "metadata": {
            "properties": [
                {"name": "infwasi:bom:profile", "value": "1"},
                {"name": "infwasi:origin:*", "value": "measured"},
            ],
            "component": {
                "type": "application",
                "name": "x",
                "properties": [{"name": "infwasi:origin:*", "value": "measured"}],
            },
        }
    }
    (tmp_path / "x.json").write_text(json.dumps(imitation))
    done = infwasi("bom", "view", "x.json", "--output", "-", cwd=tmp_path)
    page = text_of(done.out)
    assert "Where the facts come from, as this file claims" in page
    assert "computed from the bytes, as this file claims of itself" in page
    assert "verification computes it again" not in page


def test_a_property_that_stands_there_often_takes_time_in_proportion() -> None:
    """As one text that grows with each of them this would not end within an hour."""
    often = [{"name": "a", "value": "b" * 8}] * 400_000
    node, _ = document_node(bom([]) | {"properties": often})
    assert len(node.properties["a"]) == 9 * 400_000 - 1
