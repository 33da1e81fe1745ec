"""`infwasi pack` with the developer's own inference component."""

from pathlib import Path

import pytest

from infwasi_sign.domain.component import describe, find_settings
from infwasi_sign.domain.limits import KIB, MIB
from infwasi_sign.domain.settings import GuestLimits
from tests.command_line import Done, infwasi
from tests.gguf_forge import tiny_gguf
from tests.guest_builds import build_classify, built

PROJECT = """\
[package]
name = "own"
version = "1.0.0"
[model]
path = "tiny.gguf"
[component]
inference = "own.wasm"
"""
EPOCH = {"SOURCE_DATE_EPOCH": "1790000000"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "tiny.gguf").write_bytes(tiny_gguf())
    (tmp_path / "own.wasm").write_bytes(built("classify", tmp_path / "build"))
    (tmp_path / "infwasi.toml").write_text(PROJECT)
    return tmp_path


def pack(project: Path, more: str = "", *words: str) -> Done:
    (project / "infwasi.toml").write_text(PROJECT + more)
    return infwasi("pack", "--force", *words, cwd=project, env=EPOCH)


def signed_limits(project: Path) -> GuestLimits:
    app = (project / "dist/own-1.0.0/app.wasm").read_bytes()
    return find_settings(app, describe(app)).limits


def test_what_was_measured_is_said_and_becomes_the_limits(project: Path) -> None:
    done = pack(project)
    assert done.code == 0
    assert done.said[0] == (
        "measured: memory 0.5 MiB, answer 8.0 KiB; limits: memory-mib 1, output-kib 10"
    )
    assert signed_limits(project) == GuestLimits(
        memory_bytes=MIB, output_bytes=10 * KIB, prompt_bytes=256 * KIB, wall_clock_seconds=600
    )


def test_the_same_component_gives_the_same_package(project: Path) -> None:
    made = []
    for _ in range(2):
        assert pack(project).code == 0
        made.append({path.name: path.read_bytes() for path in project.glob("dist/*/*")})
    assert made[0] == made[1]


def test_what_is_stated_wins(project: Path) -> None:
    done = pack(project, "[limits]\nmemory-mib = 7\n")
    assert done.said[0] == (
        "measured: memory 0.5 MiB, answer 8.0 KiB; limits: memory-mib 7 (stated), output-kib 10"
    )
    assert signed_limits(project).memory_bytes == 7 * MIB
    assert signed_limits(project).output_bytes == 10 * KIB


def test_a_stated_memory_that_is_too_small_is_warned_of(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    edits = (("#define MAX_ANSWER 256", "#define MAX_ANSWER 3000000"),)
    (project / "own.wasm").write_bytes(build_classify(tmp_path_factory.mktemp("large"), edits))
    done = pack(project, "[limits]\nmemory-mib = 2\n")
    assert done.code == 0
    assert done.said[0].startswith("measured: memory 3.")
    assert done.said[0].endswith("; limits: memory-mib 2 (stated), output-kib 10")
    assert done.said[1] == (
        "warning: the stated memory-mib is less than the component needed in its trial"
    )
    assert signed_limits(project).memory_bytes == 2 * MIB


def test_nothing_is_measured_where_all_is_stated(project: Path) -> None:
    done = pack(project, "[limits]\nmemory-mib = 7\noutput-kib = 1\n")
    assert done.said[0] == "note: all limits of the component are stated, so nothing was measured"
    assert signed_limits(project).output_bytes == KIB


def test_the_stock_component_is_not_tried_and_keeps_its_limits(project: Path) -> None:
    (project / "infwasi.toml").write_text(PROJECT.split("[component]", maxsplit=1)[0])
    done = infwasi("pack", cwd=project, env=EPOCH)
    assert [line for line in done.said if "measured" in line] == []
    assert signed_limits(project).memory_bytes == 16 * MIB


def test_a_component_that_fails_is_packed_only_with_stated_limits(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (project / "own.wasm").write_bytes(refusing(tmp_path_factory.mktemp("refusing")))
    done = pack(project)
    assert done.transcript == (
        2,
        "",
        [
            "error: the component fails in its trial: the guest failed with invalid-argument: no"
            " text was given to classify in component.inference",
            "hint: measure it yourself and state memory-mib and output-kib in [limits]",
        ],
    )
    assert not (project / "dist/own-1.0.0").exists()
    assert pack(project, "[limits]\nmemory-mib = 1\noutput-kib = 1\n").code == 0


def refusing(folder: Path) -> bytes:
    """The classify example, but it takes no text at all."""
    before = "if (!settings.default_prompt.is_some) {"
    return build_classify(folder, (("if (!has_prompt) {", "if (true) {"), (before, "if (true) {")))
