"""A real browser looks at our pages: what it shows, what it asks for, and what attacks come to."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from infwasi_sign.adapters import html_page
from infwasi_sign.domain.bom import derive_bom
from tests.bom_page_support import ATTACKS, FOREIGN, hostile_bom, page_of
from tests.bom_support import lone_model
from tests.browser_support import Browser, Page, browser_program, browsing
from tests.command_line import infwasi
from tests.conftest import ROOT
from tests.gguf_forge import PAIRS, TENSORS, text_pair, tiny_gguf

WIDTHS = (390, 1280)  # a telephone, a small screen on a desk

# Everything that is shown is as wide as the window at most, also when all of it is opened.
OPEN_ALL = "document.querySelectorAll('details').forEach(d => { d.open = true })"
# On a telephone `innerWidth` grows with what is too wide; `clientWidth` is that of the window.
IS_TOO_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
SIZES = """(selector => [...document.querySelectorAll(selector)].map(element => {
  const box = element.getBoundingClientRect(); return [box.width, box.height]
}))(%s)"""

# Texts whose contrast with what is behind them is below 4.5 to 1 (WCAG 2.2, 1.4.3 and its
# definitions of contrast ratio and relative luminance).
LOW_CONTRAST = """(() => {
  const parse = text => text.match(/[0-9.]+/g).map(Number);
  const curve = part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  const linear = value => curve(value / 255);
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = element => {
    for (; element; element = element.parentElement) {
      const color = parse(getComputedStyle(element).backgroundColor);
      if (color.length < 4 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const found = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.getClientRects().length) continue;
    const [light, dark] = [parse(getComputedStyle(element).color), behind(element)]
      .map(luminance).sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < 4.5) found.add(`${element.tagName}.${element.className} ${ratio.toFixed(2)}`);
  }
  return [...found];
})()"""


@dataclass
class Looking:
    """A browser, and a folder for pages and pictures."""

    browser: Browser
    folder: Path

    def at(self, page: str, *, width: int = 1280, is_dark: bool = False) -> Page:
        file = self.folder / "page.html"
        file.write_text(page)
        return self.browser.page(file, width=width, is_dark=is_dark)


@pytest.fixture(scope="module")
def looking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Looking]:
    program = browser_program()
    if isinstance(program, str):
        pytest.skip(program)
    folder = tmp_path_factory.mktemp("browser")
    with browsing(folder) as browser:
        yield Looking(browser, folder)


def real_bom() -> Any:
    return json.loads((ROOT / "sbom" / "examples" / "capital.bom.cdx.json").read_text())


def sizes(page: Page, selector: str) -> list[list[float]]:
    found = page.evaluate(SIZES % json.dumps(selector))
    assert isinstance(found, list)
    return found


def assert_nothing_happened(page: Page) -> None:
    """No script of the page ran, nothing was asked for, nobody complained."""
    assert page.evaluate("String(window.canary)") == "undefined"
    assert page.requests() == []
    assert page.complaints() == []
    assert page.dialogs() == 0


@pytest.mark.parametrize("is_dark", [False, True])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["real", "hostile", "foreign"])
def test_a_page_is_seen_whole(looking: Looking, name: str, width: int, is_dark: bool) -> None:
    documents: dict[str, Any] = {
        "real": real_bom(),
        "hostile": hostile_bom(100),
        "foreign": FOREIGN,
    }
    page = looking.at(page_of(documents[name]), width=width, is_dark=is_dark)
    picture = looking.folder / f"{name}-{width}-{'dark' if is_dark else 'light'}.png"
    page.screenshot(picture)
    assert picture.stat().st_size > 10_000
    assert not page.evaluate(IS_TOO_WIDE)
    page.evaluate(OPEN_ALL)
    assert not page.evaluate(IS_TOO_WIDE)
    assert page.evaluate(LOW_CONTRAST) == []
    assert_nothing_happened(page)
    page.close()


@pytest.mark.parametrize("is_dark", [False, True])
@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_of_what_changed_is_seen_whole(
    looking: Looking, width: int, is_dark: bool, tmp_path: Path
) -> None:
    names = ("</dd><script>canary = 1</script>\u202e\n", f"{'long' * 500}\nsame\nother")
    for file, name, count in zip(("old.gguf", "new.gguf"), names, (2, 3), strict=True):
        pairs = (PAIRS[0], text_pair("general.name", name), *PAIRS[2:])
        (tmp_path / file).write_bytes(tiny_gguf(pairs=pairs, tensors=TENSORS[:count]))
    done = infwasi("diff", "old.gguf", "new.gguf", "--html", "d.html", cwd=tmp_path)
    assert done.code == 0
    page = looking.at((tmp_path / "d.html").read_text(), width=width, is_dark=is_dark)
    page.screenshot(looking.folder / f"difference-{width}-{'dark' if is_dark else 'light'}.png")
    page.evaluate(OPEN_ALL)
    assert not page.evaluate(IS_TOO_WIDE)
    assert page.evaluate(LOW_CONTRAST) == []
    ((_, height),) = sizes(page, ".files thead th:nth-child(2)")
    assert height < 40  # "Side" is not broken into its letters
    assert_nothing_happened(page)
    page.close()


@pytest.mark.model
@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_of_the_real_model_is_seen_whole(
    looking: Looking, width: int, model_path: Path
) -> None:
    page = looking.at(page_of(derive_bom(lone_model(model_path.read_bytes()))), width=width)
    page.screenshot(looking.folder / f"model-{width}.png")
    page.evaluate(OPEN_ALL)
    assert not page.evaluate(IS_TOO_WIDE)
    assert page.evaluate(LOW_CONTRAST) == []
    parts = sizes(page, ".census svg.bar rect")
    assert len(parts) > 1
    assert all(box[0] > 0 and box[1] > 0 for box in parts)
    rows = page.evaluate("[...document.querySelectorAll('.census tbody tr')].map(r => r.innerText)")
    assert len(rows) == len(parts)
    assert_nothing_happened(page)
    page.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_tree_chart_and_labels_have_sizes(looking: Looking, width: int) -> None:
    document = real_bom()
    page = looking.at(page_of(document), width=width)
    for selector, least in (
        *((".tree > li", 2), (".tree ul li summary", 3), ("svg.bar rect", 2), ("svg.bar", 1)),
        *(("h1", 1), ("h2", 8), (".tile", 4), ("table", 2), ("nav a", 8), (".status", 1)),
    ):
        found = sizes(page, selector)
        assert len(found) >= least, selector
        assert all(box[0] > 0 and box[1] > 0 for box in found), selector
    assert_nothing_happened(page)
    page.close()


def test_a_chart_says_in_words_what_it_shows(looking: Looking) -> None:
    page = looking.at(page_of(real_bom()))
    names = page.evaluate(
        "[...document.querySelectorAll('svg[role=img]')].map(svg => "
        "svg.getAttribute('aria-labelledby').split(' ')"
        ".map(id => document.getElementById(id).textContent))"
    )
    assert "Tensors by type" in [title for title, _ in names]
    assert all(description.endswith(" %.") for _, description in names)
    page.close()


def test_headings_do_not_skip_a_level(looking: Looking) -> None:
    for document in (real_bom(), FOREIGN, hostile_bom(5)):
        page = looking.at(page_of(document))
        levels = page.evaluate(
            "[...document.querySelectorAll('h1,h2,h3,h4')].map(h => Number(h.tagName[1]))"
        )
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        assert page.evaluate("document.documentElement.lang") == "en"
        page.close()


def test_a_hostile_name_is_shown_as_text(looking: Looking) -> None:
    page = looking.at(page_of(hostile_bom(50)))
    title = page.evaluate("document.querySelector('h1 bdi').innerText")
    assert title.startswith("\\u{202e}gnp.exe\\u{202c} \\u{2066}isolated\\u{2069}")
    assert '"><img id="injected"' in title
    names = page.evaluate(
        "[...document.querySelectorAll('.tree .title bdi')].map(e => e.innerText)"
    )
    shown = "\n".join(names)
    for attack in ATTACKS[:8]:
        assert attack in shown
    assert page.evaluate("document.querySelectorAll('#injected, iframe, base, script').length") == 0
    assert page.evaluate("document.querySelectorAll('style').length") == 1
    assert page.evaluate("getComputedStyle(document.body).display") == "block"
    assert_nothing_happened(page)
    page.close()


def test_no_link_runs_a_script(looking: Looking) -> None:
    page = looking.at(page_of(hostile_bom(0)))
    links = page.evaluate("[...document.links].map(a => [a.protocol, a.rel, a.hash])")
    outside = [link for link in links if not link[2]]
    assert {link[0] for link in outside} == {"https:"}
    assert all("noreferrer" in link[1] for link in outside)
    page.evaluate("document.querySelectorAll('summary').forEach(s => s.click())")
    assert_nothing_happened(page)
    page.close()


def test_ten_thousand_components_are_laid_out(looking: Looking) -> None:
    page = looking.at(page_of(hostile_bom(10_000)), width=390)
    assert page.evaluate("document.querySelectorAll('.tree .title').length") == 10_000
    assert not page.evaluate(IS_TOO_WIDE)
    assert "14 components more are not shown." in page.evaluate("document.body.innerText")
    assert_nothing_happened(page)
    page.close()


def test_on_paper_there_is_no_navigation_and_all_is_open(looking: Looking) -> None:
    page = looking.at(page_of(hostile_bom(3)))
    page.emulate_paper()
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    long = "document.querySelector('details.long:not([open]) .full').getBoundingClientRect().height"
    assert page.evaluate(long) > 20
    page.close()


# --- controls: what would happen without each of the two defences


def unescaped(monkeypatch: pytest.MonkeyPatch) -> str:
    environment = html_page._environment.__wrapped__()
    environment.autoescape = False
    monkeypatch.setattr(html_page, "_environment", lambda: environment)
    # The first attacks alone: one of the others leaves the page, which no policy forbids.
    return page_of({**FOREIGN, "components": [{"name": attack} for attack in ATTACKS[:2]]})


def test_without_escaping_the_policy_still_stops_scripts_and_requests(
    looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = looking.at(unescaped(monkeypatch))
    assert page.evaluate("document.querySelectorAll('#injected').length") > 0  # it got in
    assert page.evaluate("String(window.canary)") == "undefined"
    assert any("Content Security Policy" in text for text in page.complaints())
    page.close()


def test_without_escaping_and_policy_the_attack_succeeds(
    looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = looking.at(unescaped(monkeypatch).replace("Content-Security-Policy", "x-nothing"))
    assert page.evaluate("String(window.canary)") != "undefined"
    assert page.requests() != []
    page.close()


def test_without_bounds_on_addresses_a_link_runs_a_script(
    looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = html_page._environment.__wrapped__()
    environment.tests["web_address"] = lambda _: True
    monkeypatch.setattr(html_page, "_environment", lambda: environment)
    page = looking.at(page_of(hostile_bom(0)))
    assert "javascript:" in page.evaluate("[...document.links].map(a => a.protocol)")
    page.close()
