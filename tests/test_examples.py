"""The example components in C, Python and JavaScript: built, packed, verified, run."""

import json
import shutil
from pathlib import Path

import pytest

from infwasi_sign.adapters.composer import WasmToolsComposer
from infwasi_sign.domain.component import describe
from infwasi_sign.domain.interfaces import APP_IMPORTS
from tests.conftest import ROOT
from tests.fake_nn import Failed, FakeNN, Script
from tests.guest_builds import BUILDS, built
from tests.settings_samples import make_settings
from tests.test_readme import run_page, shell_environment, steps

EXAMPLES = sorted(BUILDS)
MEMORY_BYTES = 32 * 2**20


def app_of(example: str, scratch: Path) -> bytes:
    return WasmToolsComposer().compose(make_settings(), built(example, scratch)).app


@pytest.fixture(scope="module")
def extract(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return app_of("python-extract", tmp_path_factory.mktemp("extract"))


@pytest.fixture(scope="module")
def redact(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return app_of("javascript-redact", tmp_path_factory.mktemp("redact"))


@pytest.mark.model
@pytest.mark.parametrize("example", EXAMPLES)
def test_every_command_of_the_page_prints_what_it_shows(
    example: str, model_path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "examples" / example
    folder.mkdir(parents=True)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf").symlink_to(model_path)
    name = BUILDS[example][0]
    (folder / f"{name}.wasm").write_bytes(built(example, tmp_path / "build"))
    shutil.copy(ROOT / "examples" / example / "infwasi.toml", folder)
    page = (ROOT / "examples" / example / "README.md").read_text()
    assert len(list(steps(page))) >= 3
    run_page(page, folder, shell_environment(tmp_path))


@pytest.mark.model
@pytest.mark.parametrize("example", EXAMPLES)
def test_imports_nothing_but_what_an_app_may(example: str, tmp_path: Path) -> None:
    facts = describe(app_of(example, tmp_path))
    assert frozenset(facts.imports) == APP_IMPORTS
    depth = 2 + max(len(child.children) > 0 for child in facts.children)
    assert depth <= 3


def test_the_npm_lock_has_a_digest_of_each_package_and_no_address() -> None:
    lock = json.loads((ROOT / "examples/javascript-redact/package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert len(packages) > 100
    for name, entry in packages.items():
        assert entry["integrity"].startswith("sha512-"), name
        assert "resolved" not in entry, name


# One test each: a component of this size takes 4 s to compile.


@pytest.mark.model
def test_extract_answers_with_a_name_only_if_the_text_has_it(extract: bytes) -> None:
    host = FakeNN(extract, Script(pieces=("Ada ", "Lovel", "ace.")), memory_bytes=MEMORY_BYTES)
    answers = {
        text: host.compute(text)[0]
        for text in (
            "It was ADA LOVELACE who wrote it.",
            "It was Ada Lovelaces.",
            "",
        )
    }
    assert list(answers.values()) == [
        '{"name": "ADA LOVELACE"}',
        '{"name": null}',
        '{"name": null}',
    ]
    generation = host.start("by Ada Lovelace")
    assert list(generation) == ['{"name": "Ada Lovelace"}']
    assert generation.summary() == ("stop", 7, 3)
    generation.drop()
    assert host.live == {}
    assert host.asked[0][-2] == ("user", "Text: It was ADA LOVELACE who wrote it.")
    host.script = Script(refusals={"piece 2": ("security", "no")})
    with pytest.raises(Failed, match=r"^security: no$"):
        host.compute("x")


@pytest.mark.model
def test_redact_takes_secrets_out_wherever_the_pieces_end(redact: bytes) -> None:
    secret = "Mail to ada.l@mail.example.org. Or call +46-70-1234567, or 12 34, not a@b"
    shown = "Mail to [e-mail]. Or call [number], or 12 34, not a@b"
    host = FakeNN(redact, memory_bytes=MEMORY_BYTES)
    for size in (1, 2, 3, 5, 7, len(secret)):
        pieces = [secret[at : at + size] for at in range(0, len(secret), size)]
        host.script = Script(pieces=pieces)
        assert host.compute("x") == (shown, ("stop", 7, len(pieces)))
    host.script = Script(pieces=("Hello ", "you\n", "and", " me"))
    generation = host.start("x")
    assert list(generation) == ["Hello ", "you\n", "and ", "me"]
    generation.drop()
    assert host.live == {}
    host.script = Script(refusals={"piece 2": ("security", "no")})
    with pytest.raises(Failed, match=r"^security: no$"):
        host.compute("x")
