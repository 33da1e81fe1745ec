"""A BOM that lies is refused by name of the member, even where a trusted key signed the lie."""

import json
from pathlib import Path

import pytest

from infwasi_sign.domain import agreement, strict_json
from tests import forge
from tests.bom_lies import LIES, Lie, drop
from tests.test_controls import nothing
from tests.test_vectors import verdict


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return forge.make_package(tmp_path_factory.mktemp("honest"))


def copied(honest: Path, folder: Path) -> Path:
    return forge.build_case(forge.Case("x", "", "", lambda _: None), folder, honest)


def told(one: Lie, package: Path, *, is_signed: bool) -> Path:
    if is_signed:
        with forge.edited_bom(package) as bom:
            one.tell(bom)
    else:
        path = package / "bom.cdx.json"
        bom = json.loads(path.read_bytes())
        one.tell(bom)
        path.write_bytes(strict_json.canonical(bom))
    return package


def by_name(one: Lie) -> str:
    return one.name


@pytest.mark.parametrize("one", LIES, ids=by_name)
def test_a_signed_lie_disagrees_and_has_a_name(one: Lie, honest: Path, tmp_path: Path) -> None:
    package = told(one, copied(honest, tmp_path), is_signed=True)
    said = verdict(package)
    assert said.startswith("disagree: the BOM contradicts the package in "), said
    where = said.removeprefix("disagree: the BOM contradicts the package in ").partition(" (")[0]
    assert where == one.where


@pytest.mark.parametrize("one", LIES, ids=by_name)
def test_the_same_lie_unsigned_is_another_file(one: Lie, honest: Path, tmp_path: Path) -> None:
    package = told(one, copied(honest, tmp_path), is_signed=False)
    assert verdict(package).startswith("digest: "), verdict(package)


@pytest.mark.parametrize("one", LIES, ids=by_name)
def test_without_the_derivation_the_lie_gets_through(
    one: Lie, honest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = told(one, copied(honest, tmp_path), is_signed=True)
    monkeypatch.setattr(agreement, "_require_bom", nothing)
    assert verdict(package) == "verified"


def test_a_bom_without_tensor_digests_is_refused_by_their_name(
    honest: Path, tmp_path: Path
) -> None:
    package = copied(honest, tmp_path)
    with forge.edited_bom(package) as bom:
        drop(forge.bom_component(bom, "model:model:0"), "infwasi:gguf:tensor-digests:blake3")
    assert verdict(package) == (
        "disagree: the BOM states no tensor digests in bom.components[model:model:0] (got nothing)"
    )


def tool(name: str, version: str = "1") -> dict[str, str]:
    return {"bom-ref": f"tool:{name}", "type": "application", "name": name, "version": version}


@pytest.mark.parametrize(
    ("tools", "says"),
    [
        ([tool("a"), tool("a", "2")], "malformed: a tool stands twice in "),
        ([tool("a\u202e")], "malformed: not the name or version of a tool in "),
        ([tool("a", "\x1b[2K")], "malformed: a character that hides or reorders text in "),
        ([tool("")], "malformed: not the name or version of a tool in "),
        ([tool("a", "1" * 257)], "malformed: not the name or version of a tool in "),
        ([tool(f"{n:02}") for n in range(65)], "malformed: too many tools in "),
        ([tool(f"{n:02}", "1" * 256) for n in range(64)], "verified"),
    ],
)
def test_tools_which_nothing_derives_have_plain_names_once(
    tools: list[dict[str, str]], says: str, honest: Path, tmp_path: Path
) -> None:
    package = copied(honest, tmp_path)
    with forge.edited_bom(package) as bom:
        bom["metadata"]["tools"]["components"] = tools
    assert verdict(package).startswith(says), verdict(package)
