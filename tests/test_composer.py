"""Composing: the same bytes everywhere, every byte of a prompt, and parts that do not fit."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infwasi_sign.adapters import composer as composer_module
from infwasi_sign.adapters.composer import WasmToolsComposer
from infwasi_sign.domain.component import describe, find_settings
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError, UndecidedError
from tests.conftest import ROOT
from tests.fake_nn import FakeNN
from tests.guest_builds import build_script
from tests.guests import component_from_wat
from tests.settings_samples import make_settings

STOCK = ROOT / "components" / "prebuilt"
GUESTS = Path(__file__).resolve().parent / "guests"
HOSTILE_PROMPTS = (
    'quotes " and backslashes \\ \\n \\00 \\u{41}',
    '") (data (i32.const 0) "") (start 0) (func (unreachable)) (;',
    "".join(chr(code) for code in range(256)) + "\0",
    "日本語 \U0001f600 \u202e \ufeff",
    "line\r\nline\n",
    "- yaml: *alias\n%TAG !",
    "",
)

SCRIPT = """
import sys
from infwasi_sign.adapters.composer import WasmToolsComposer
from tests.settings_samples import make_settings
sys.stdout.buffer.write(WasmToolsComposer().compose(make_settings(), None).app)
"""


def test_makes_the_same_bytes_in_other_directories_and_environments(tmp_path: Path) -> None:
    here = WasmToolsComposer().compose(make_settings(), None).app
    temporary = tmp_path / "other place"
    temporary.mkdir()
    environment = {"PATH": os.devnull, "TMPDIR": str(temporary), "TZ": "Asia/Tokyo"}
    environment["PYTHONPATH"] = str(ROOT)
    there = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
    ).stdout
    assert there == here
    assert list(temporary.iterdir()) == []


def test_parts_lie_in_the_app_unchanged() -> None:
    composed = WasmToolsComposer().compose(make_settings(), None)
    assert [part.name for part in composed.parts] == ["config", "engine", "inference"]
    for part in composed.parts[1:]:
        content = (STOCK / f"{part.name}.wasm").read_bytes()
        assert content in composed.app
        assert part.size_bytes == len(content)
        assert part.sha256.hex == hashlib.sha256(content).hexdigest()
    assert composed.extra_exports == ()


def test_settings_change_nothing_but_the_config() -> None:
    left = WasmToolsComposer().compose(make_settings(), None)
    right = WasmToolsComposer().compose(make_settings(seed=8), None)
    assert left.parts[1:] == right.parts[1:]
    assert left.parts[0] != right.parts[0]


@pytest.mark.parametrize("prompt", HOSTILE_PROMPTS)
def test_every_byte_of_a_prompt_reaches_the_model(prompt: str) -> None:
    stop = prompt[:60] or "x"
    settings = make_settings(system_prompt=prompt, default_prompt=prompt, stop=(stop,))
    app = WasmToolsComposer().compose(settings, None).app
    assert find_settings(app, describe(app)) == settings
    host = FakeNN(app)
    host.compute(None)
    assert host.asked[0][:2] == [("system", prompt), ("user", prompt)]
    assert host.asked[0][2][1]["stop"] == [stop]


def test_composes_settings_as_large_as_the_limit() -> None:
    settings = make_settings(default_prompt="é" * (2**19 - 50))
    app = WasmToolsComposer().compose(settings, None).app
    assert find_settings(app, describe(app)) == settings


def test_refuses_a_core_module() -> None:
    with pytest.raises(MalformedError, match=r"^is a core module, not a component in component$"):
        WasmToolsComposer().compose(make_settings(), b"\0asm\x01\0\0\0")


def test_names_missing_exports_and_surplus_imports() -> None:
    part = component_from_wat((GUESTS / "other_world.wat").read_text())
    with pytest.raises(RefusedError) as caught:
        WasmToolsComposer().compose(make_settings(), part)
    assert caught.value.kind is RefusalKind.DISAGREE
    assert caught.value.got == (
        "missing export infwasi:llm/inference@0.1.0, surplus export infwasi:llm/engine@0.1.0,"
        " missing import infwasi:llm/engine@0.1.0, surplus import wasi:cli/environment@0.2.0"
    )


def test_refuses_right_names_with_wrong_types_in_one_line() -> None:
    part = component_from_wat((GUESTS / "wrong_types.wat").read_text())
    with pytest.raises(RefusedError) as caught:
        WasmToolsComposer().compose(make_settings(), part)
    assert caught.value.kind is RefusalKind.DISAGREE
    message = str(caught.value)
    assert message.startswith("types are not those of infwasi:llm/inference-component: ")
    assert "type mismatch for export `infwasi:llm/inference@0.1.0`" in message
    assert message.endswith(" in inference component")
    assert "\n" not in message


def test_refuses_code_that_is_not_valid() -> None:
    part = bytearray((STOCK / "inference.wasm").read_bytes())
    # `end` of some function becomes an opcode that does not exist.
    part[part.rindex(b"\x0b\x0b")] = 0xFF
    with pytest.raises(MalformedError, match=r"^not valid: .* in inference component$"):
        WasmToolsComposer().compose(make_settings(), bytes(part))


def test_lists_extra_exports(tmp_path: Path) -> None:
    wit = shutil.copytree(ROOT / "wit", tmp_path / "wit")
    with (wit / "infwasi-llm.wit").open("a") as file:
        file.write("world extra { include inference-component; export ping: func() -> u32; }\n")
    source = tmp_path / "extra.c"
    source.write_text('#include "inference.c"\nEXPORT("ping") uint32_t ping(void) { return 1; }\n')
    part = build_script().build(source, "extra", wit)
    composed = WasmToolsComposer().compose(make_settings(), part)
    assert composed.extra_exports == ("ping",)
    assert describe(composed.app).exports == ("infwasi:llm/inference@0.1.0", "ping")


def test_refuses_a_stock_part_that_is_not_the_recorded_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(STOCK, tmp_path / "components")
    (tmp_path / "wit").symlink_to(ROOT / "wit")
    engine = tmp_path / "components" / "engine.wasm"
    engine.write_bytes(engine.read_bytes() + b"\0\x02\x01x")
    monkeypatch.setattr(composer_module, "_DATA", tmp_path)
    with pytest.raises(UndecidedError, match=r"^stock component is not the recorded one in engine"):
        WasmToolsComposer().compose(make_settings(), None)
    engine.unlink()
    with pytest.raises(UndecidedError, match=r"^stock component cannot be read: No such file"):
        WasmToolsComposer().compose(make_settings(), None)


def test_stops_a_tool_that_does_not_end() -> None:
    with pytest.raises(UndecidedError, match=r"^wasm-tools component did not end within 1e-06 s$"):
        WasmToolsComposer(timeout_seconds=1e-6).compose(make_settings(), None)


def test_names_the_tool_and_its_version() -> None:
    assert WasmToolsComposer().tools() == {"wasm-tools": "1.262.0"}


def test_the_order_of_definitions_would_change_the_bytes(tmp_path: Path) -> None:
    """Why the composer writes a plan: what we assume of the tool."""
    for name in ("engine", "inference"):
        shutil.copy(STOCK / f"{name}.wasm", tmp_path)
    composed = WasmToolsComposer().compose(make_settings(), None)
    config = next(
        child
        for child in describe(composed.app).children
        if child.sha256 == composed.parts[0].sha256
    )
    content = composed.app[config.offset_bytes : config.offset_bytes + config.size_bytes]
    (tmp_path / "config.wasm").write_bytes(content)

    def compose_with(*arguments: str) -> bytes:
        tool = WasmToolsComposer()._executable
        command = (tool, "compose", "-q", *arguments, "inference.wasm")
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout

    lines = composer_module._PLAN.splitlines()
    (tmp_path / "turned.yml").write_text("\n".join((lines[0], lines[2], lines[1])))
    assert compose_with("-c", "turned.yml") == composed.app
    definitions = ("engine.wasm", "config.wasm")
    there = compose_with("-d", definitions[0], "-d", definitions[1])
    assert there != compose_with("-d", definitions[1], "-d", definitions[0])
