"""`infwasi bom TARGET`: the BOM of a model, a component or a package, and that of a run."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.domain.digest import Algorithm
from tests import forge
from tests.bom_lies import put
from tests.command_line import Done, infwasi, make_timeless
from tests.conftest import ROOT
from tests.gguf_forge import tiny_gguf

EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}
ENGINE = ROOT / "components" / "prebuilt" / "engine.wasm"


def document(done: Done) -> dict[str, Any]:
    """What was written, valid by the strict schema."""
    assert done.code == 0, done.said
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(done.out) is None
    value: dict[str, Any] = json.loads(done.out)
    return value


def hashes(component: dict[str, Any]) -> dict[str, str]:
    return {one["alg"]: one["content"] for one in component["hashes"]}


def told(component: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in component["properties"]}


def test_describes_a_lone_model_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(tiny_gguf())
    found = document(infwasi("bom", "tiny.gguf", cwd=tmp_path))["metadata"]["component"]
    assert hashes(found)["SHA-256"] == hashlib.sha256(tiny_gguf()).hexdigest()
    assert told(found)["infwasi:gguf:tensors"] == "3"
    assert told(found)["infwasi:origin:licenses"] == "unknown"


def test_describes_a_lone_component_with_what_is_nested_in_it() -> None:
    found = document(infwasi("bom", "make", ENGINE))["metadata"]["component"]
    assert hashes(found)["SHA-256"] == hashlib.sha256(ENGINE.read_bytes()).hexdigest()
    assert found["components"]


def test_the_same_bytes_for_the_same_model_at_the_same_time(tmp_path: Path) -> None:
    made = []
    for zone in ("Asia/Tokyo", "America/Lima"):
        folder = tmp_path / zone.replace("/", "-")
        folder.mkdir()
        (folder / "tiny.gguf").write_bytes(tiny_gguf())
        made.append(infwasi("bom", "tiny.gguf", cwd=folder, env={**EPOCH, "TZ": zone}).out)
    assert made[0] == made[1]
    assert '"2023-11-14T22:13:20Z"' in made[0]


def test_what_a_model_card_declares_is_tagged(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(tiny_gguf())
    (tmp_path / "card.toml").write_text('[model]\nlicense = "MIT"\n')
    done = infwasi("bom", "tiny.gguf", "--model-card", "card.toml", cwd=tmp_path)
    found = document(done)["metadata"]["component"]
    assert found["licenses"] == [{"license": {"id": "MIT"}}]
    assert told(found)["infwasi:origin:licenses"] == "user-declared"


def test_gives_the_bom_of_a_package_byte_for_byte(tmp_path: Path) -> None:
    package = make_timeless(tmp_path)
    done = infwasi("bom", package)
    assert (done.code, done.out.encode()) == (0, (package / "bom.cdx.json").read_bytes())


def test_refuses_a_package_whose_bom_says_something_else(tmp_path: Path) -> None:
    package = make_timeless(tmp_path)
    with forge.edited_bom(package) as bom:
        model = next(c for c in bom["components"] if c["type"] == "machine-learning-model")
        model["name"] = "another"
    forge.restate(package)
    done = infwasi("bom", package)
    assert (done.code, done.out) == (1, "")
    assert done.said[0].startswith("refused: disagree: ")
    assert "name" in done.said[0]


@pytest.mark.parametrize("name", ["app.wasm", "bom.cdx.json", "model.gguf"])
def test_refuses_a_package_whose_bytes_are_others(name: str, tmp_path: Path) -> None:
    package = make_timeless(tmp_path)
    forge.flip(package / name, -1)
    done = infwasi("bom", package)
    assert (done.code, done.out) == (1, "")


def test_digests_that_verify_need_not_compute_are_computed(tmp_path: Path) -> None:
    package = make_timeless(tmp_path)
    (stated,) = (one for one in forge.statement(package)["subject"] if one["name"] == "model.gguf")
    path = package / "bom.cdx.json"
    lie = forge.replaced_in_bom(path.read_bytes(), stated["digest"]["sha256"], "ab" * 32)
    path.write_bytes(lie)
    forge.restate(package)
    with forge.lie(package) as value:
        for one in value["subject"]:
            if one["name"] == "model.gguf":
                one["digest"]["sha256"] = "ab" * 32
    done = infwasi("bom", package)
    assert (done.code, done.out) == (1, "")
    assert done.said[0].startswith("refused: digest: ")
    assert "in model.gguf" in done.said[0]


def test_tensor_digests_are_computed(tmp_path: Path) -> None:
    package = make_timeless(tmp_path)
    with forge.edited_bom(package) as bom:
        (model,) = (c for c in bom["components"] if c["type"] == "machine-learning-model")
        name = "infwasi:gguf:tensor-digests:blake3"
        digests = bytes(len(base64.b64decode(told(model)[name])))
        root = measure_bytes(digests)[Algorithm.BLAKE3].hex
        put(model, name, base64.b64encode(digests).decode())
        put(model, "infwasi:gguf:tensors:blake3", root)
    with forge.lie(package) as value:
        value["predicate"]["entries"][2]["gguf"]["tensors"] = root
    done = infwasi("bom", package)
    assert (done.code, done.out) == (1, "")
    assert "in entries[model.gguf].gguf.tensors" in done.said[0]


@pytest.mark.parametrize("name", ["app.wasm", "bom.cdx.json", "model.gguf"])
def test_repeats_no_digest_that_the_signer_made_up(name: str, tmp_path: Path) -> None:
    """By default `verify` computes one digest of a model; a BOM that is given away has two."""
    package = make_timeless(tmp_path)
    with forge.lie(package) as value:
        at = [entry["name"] for entry in value["predicate"]["entries"]].index(name)
        value["subject"][at]["digest"]["sha256"] = "0" * 64
    done = infwasi("bom", package)
    assert (done.code, done.out) == (1, "")
    what = "refused: digest: the file is not the one that the manifest states in"
    assert done.said[0].startswith(f"{what} {name} (expected sha256:000")


def test_a_package_takes_no_model_card(tmp_path: Path) -> None:
    package = make_timeless(tmp_path)
    (tmp_path / "card.toml").write_text('[model]\nlicense = "MIT"\n')
    done = infwasi("bom", package, "--model-card", tmp_path / "card.toml")
    assert (done.code, done.said[-2:]) == (
        2,
        [
            "error: a package has its declared facts in it in capital-1.0.0",
            "hint: `infwasi pack --model-card FILE --vex FILE` writes others",
        ],
    )


@pytest.mark.parametrize("content", [b"", b"GG", b"hello", b"\0asm\x01\0\0\0", b"GGUF"])
def test_what_cannot_be_described_ends_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    done = infwasi("bom", "file", cwd=tmp_path)
    assert done.code in {1, 2}
    assert done.out == ""


# --- of a run --------------------------------------------------------------------------------


def test_facts_of_the_host_point_at_the_package_and_are_not_in_it(tmp_path: Path) -> None:
    package = make_timeless(tmp_path)
    found = document(infwasi("bom", package, "--host"))
    signed = (package / "bom.cdx.json").read_bytes()
    (pointer,) = found["metadata"]["component"]["externalReferences"]
    serial = json.loads(signed)["serialNumber"].removeprefix("urn:uuid:")
    assert pointer["url"] == f"urn:cdx:{serial}/1"
    assert hashes(pointer) == {"SHA-256": hashlib.sha256(signed).hexdigest()}
    refs = {one["bom-ref"]: one for one in found["components"]}
    assert {"host:processor", "host:python", "pypi:wasmtime"} <= refs.keys()
    library = next(ref for ref in refs if ref.startswith("host:libllama"))
    assert hashes(refs[library])["SHA-256"] not in signed.decode()


def test_a_run_is_measured_only_if_it_is_verified(tmp_path: Path) -> None:
    package = make_timeless(tmp_path)
    stranger = tmp_path / "stranger.pub"
    done = infwasi("bom", package, "--measure", "--key", stranger)
    assert (done.code, done.out) == (1, "")
    assert done.said[0].startswith("refused: signer: the measured run failed: ")
    done = infwasi("bom", package, "--measure")
    assert (done.code, done.out) == (2, "")
    assert "(expected --key FILE, --policy FILE or a policy" in done.said[0]
    assert done.said[1].startswith("hint: `infwasi policy init PACKAGE`")


@pytest.mark.model
def test_measures_runs_of_the_real_model(model_path: Path, tmp_path: Path) -> None:
    package = make_timeless(tmp_path, model=model_path.read_bytes())
    key = tmp_path / "trusted.pub"
    words = ("--measure", "--key", key, "--runs", "1", "--max-tokens", "4")
    found = document(infwasi("bom", package, *words))
    run = next(one for one in found["components"] if one["bom-ref"] == "run")
    metrics = {
        one["type"]: float(one["value"])
        for one in run["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    }
    assert set(metrics) == {
        "peak resident memory in bytes",
        "seconds to load the model",
        "seconds to the first token, whole process",
        "tokens per second",
    }
    assert all(value > 0 for value in metrics.values())
    # The model is mapped, and its pages are resident once it has computed.
    assert metrics["peak resident memory in bytes"] > model_path.stat().st_size
    assert (
        metrics["seconds to load the model"] < metrics["seconds to the first token, whole process"]
    )


# --- what a result must not replace -------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(("convert", "{}/bom.cdx.json", "-o", "{}/bom.cdx.json"), id="convert"),
        pytest.param(("convert", "{}/bom.cdx.json", "-o", "{}/app.wasm"), id="component"),
        pytest.param(("make", "lone.gguf", "-o", "{}/bom.cdx.json"), id="make"),
        pytest.param(("view", "{}/bom.cdx.json", "-o", "{}/page.html"), id="view"),
        pytest.param(("view", "{}/bom.cdx.json", "-o", "{}/signatures/page.html"), id="signatures"),
    ],
)
def test_no_result_goes_into_a_package(asked: tuple[str, ...], tmp_path: Path) -> None:
    package = forge.make_package(tmp_path)
    (tmp_path / "lone.gguf").write_bytes(tiny_gguf())
    (package / "signatures").mkdir()
    before = {path: path.read_bytes() for path in package.rglob("*") if path.is_file()}
    done = infwasi("bom", *(word.format(package) for word in asked), cwd=tmp_path)
    assert done.code == 2, done
    assert "the result would be a file of the package that nobody signed" in done.said[0]
    assert {path: path.read_bytes() for path in package.rglob("*") if path.is_file()} == before


def test_a_bom_does_not_replace_the_model_that_it_describes(tmp_path: Path) -> None:
    model = tmp_path / "model.gguf"
    model.write_bytes(tiny_gguf())
    (tmp_path / "same.gguf").hardlink_to(model)
    for name in ("model.gguf", "same.gguf"):
        done = infwasi("bom", "make", "model.gguf", "-o", name, cwd=tmp_path)
        assert (done.code, model.read_bytes()) == (2, tiny_gguf())
        assert "the BOM would replace what it describes" in done.said[0]
    done = infwasi("bom", "make", "model.gguf", "-o", "model.cdx.json", cwd=tmp_path)
    assert done.code == 0  # the control
