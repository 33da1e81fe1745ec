"""`infwasi diff` names exactly what was changed, and no byte changes without a word."""

import random
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.usage import process_usage
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.package_directory import DirectoryStore
from infwasi_sign.adapters.target_access import measure_open_model, open_target_file
from infwasi_sign.describe import package_document
from infwasi_sign.difference import difference
from infwasi_sign.domain.declared import Declared, DeclaredDataset
from infwasi_sign.domain.difference import Difference, Section
from infwasi_sign.domain.limits import MIB
from infwasi_sign.errors import RefusedError, UndecidedError
from infwasi_sign.targets import Access
from tests import forge
from tests.bom_lies import LIES
from tests.command_line import arguments, environment, infwasi
from tests.conftest import ROOT
from tests.gguf_forge import (
    PAIRS,
    TEMPLATE,
    TENSOR_F16,
    TENSOR_F32,
    TENSORS,
    Tensor,
    pattern,
    text_pair,
    tiny_gguf,
    u32_pair,
)

SETTINGS = forge.SETTINGS
KINDS = ("ffn_up", "ffn_down", "attn_q", "attn_k")
MODEL_PAIRS = 14  # beside the six of packages: the twenty that the project promises


def between(old: Path, new: Path) -> Difference:
    opened: list[int] = []
    found = difference(
        (old, new),
        Access(
            store=DirectoryStore(),
            open_file=open_target_file,
            measure_model=measure_open_model,
            on_opened=opened.append,
        ),
        lambda package: package_document(package, measure_bytes),
    )
    assert len(opened) == 1
    return found


def models(folder: Path, old: bytes, new: bytes) -> Difference:
    (folder / "old.gguf").write_bytes(old)
    (folder / "new.gguf").write_bytes(new)
    return between(folder / "old.gguf", folder / "new.gguf")


def many_tensors(count: int, seed: int = 0) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(
            name=f"blk.{index // 4}.{KINDS[index % 4]}.weight".encode(),
            dimensions=(8,),
            type=TENSOR_F32,
            data=pattern(32, index + seed),
        )
        for index in range(count)
    )


@pytest.mark.parametrize("seed", range(MODEL_PAIRS))
def test_names_exactly_the_tensors_and_keys_that_were_changed(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)  # noqa: S311 - chance that can be repeated
    tensors = list(many_tensors(40))
    pairs = [*PAIRS, *(text_pair(f"test.key_{index}", f"value {index}") for index in range(12))]
    changed_tensors = sorted(chance.sample(range(40), chance.randrange(0, 5)))
    changed_keys = sorted(
        chance.sample(range(12), chance.randrange(0 if changed_tensors else 1, 3))
    )
    old = tiny_gguf(pairs=tuple(pairs), tensors=tuple(tensors))
    for index in changed_tensors:
        data = bytearray(tensors[index].data)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        tensors[index] = replace(tensors[index], data=bytes(data))
    for index in changed_keys:
        pairs[len(PAIRS) + index] = text_pair(f"test.key_{index}", f"another {index}")
    found = models(tmp_path, old, tiny_gguf(pairs=tuple(pairs), tensors=tuple(tensors)))
    assert [(change.section, change.name, change.verb) for change in found.changes] == [
        *((Section.METADATA, f"test.key_{index}", "changed") for index in changed_keys),
        *((Section.TENSOR, tensors[index].name.decode(), "changed") for index in changed_tensors),
    ]


SETTING_PAIRS: dict[str, dict[str, Any]] = {
    "system prompt": {"system_prompt": "Lie."},
    "temperature": {"temperature": 0.9},
    "max tokens": {"max_tokens": 7},
    "stop texts": {"stop": ("END",)},
    "limit promptBytes": {"limits": replace(SETTINGS.limits, prompt_bytes=1000)},
}


@pytest.mark.parametrize("name", SETTING_PAIRS)
def test_names_the_setting_that_was_changed(name: str, tmp_path: Path) -> None:
    changed = replace(SETTINGS, **SETTING_PAIRS[name])
    old = forge.make_package(tmp_path / "old", settings=SETTINGS)
    new = forge.make_package(tmp_path / "new", settings=changed)
    assert between(old, new).summary == f"only {name}"


def test_names_the_component_that_was_changed(tmp_path: Path) -> None:
    stock = (ROOT / "components" / "prebuilt" / "inference.wasm").read_bytes()
    old = forge.make_package(tmp_path / "old", inference=stock + b"\0\x02\x01x")
    new = forge.make_package(tmp_path / "new", inference=stock + b"\0\x02\x01y")
    found = between(old, new)
    assert found.summary == "only inference component"
    (change,) = found.changes
    assert change.old is not None
    assert change.new is not None
    assert change.old.size_bytes == change.new.size_bytes == len(stock) + 4
    assert change.old.digest != change.new.digest


def test_two_models_that_differ_in_their_template_alone_say_so(tmp_path: Path) -> None:
    pairs = (*PAIRS[:-1], text_pair("tokenizer.chat_template", f"{TEMPLATE}\n{{# more #}}"))
    found = models(tmp_path, tiny_gguf(), tiny_gguf(pairs=pairs))
    assert found.summary == "only tokenizer.chat_template"
    (change,) = found.changes
    assert change.old is not None
    assert change.new is not None
    assert change.old.digest != change.new.digest
    assert change.text_lines() == ("@@ -1 +1,2 @@", f" {TEMPLATE}", "+{# more #}")


def test_many_tensors_are_told_in_few_words(tmp_path: Path) -> None:
    new = tiny_gguf(tensors=(*TENSORS[:1], *many_tensors(4)))
    old = tiny_gguf(tensors=(*TENSORS[:1], *many_tensors(4, seed=9)))
    assert models(tmp_path, old, new).summary == "only blk.0.ffn_up.weight and 3 more"


def test_a_tensor_of_another_type_with_the_same_bytes_is_another(tmp_path: Path) -> None:
    def with_type(kind: int, dimensions: tuple[int, ...]) -> bytes:
        tensor = Tensor(name=b"x", dimensions=dimensions, type=kind, data=pattern(32, 1))
        return tiny_gguf(tensors=(tensor,))

    found = models(tmp_path, with_type(TENSOR_F32, (8,)), with_type(TENSOR_F16, (16,)))
    assert found.summary == "only x"
    assert [item and item.value for item in (found.changes[0].old, found.changes[0].new)] == [
        "F32 8",
        "F16 16",
    ]


def test_added_and_removed_things_are_told(tmp_path: Path) -> None:
    old = tiny_gguf(pairs=(*PAIRS, u32_pair("test.old", 1)), tensors=TENSORS[:2])
    new = tiny_gguf(pairs=(*PAIRS, u32_pair("test.new", 1)), tensors=TENSORS)
    assert [(change.name, change.verb) for change in models(tmp_path, old, new).changes] == [
        ("test.old", "removed"),
        ("test.new", "added"),
        ("c.weight", "added"),
    ]


def test_a_value_of_another_type_is_another(tmp_path: Path) -> None:
    new = tiny_gguf(pairs=(*PAIRS, text_pair("test.one", "1")))
    old = tiny_gguf(pairs=(*PAIRS, u32_pair("test.one", 1)))
    assert models(tmp_path, old, new).summary == "only test.one"


@pytest.mark.parametrize(
    "new",
    [
        pytest.param(tiny_gguf(pairs=PAIRS[::-1]), id="order of keys"),
        pytest.param(tiny_gguf(version=2), id="version"),
        pytest.param(tiny_gguf(pads_last=False), id="padding"),
    ],
)
def test_bytes_that_are_no_item_are_told_as_well(new: bytes, tmp_path: Path) -> None:
    found = models(tmp_path, tiny_gguf(), new)
    assert found.summary == "only bytes of the model that are none of its parts"


def test_the_same_is_the_same(tmp_path: Path) -> None:
    found = models(tmp_path, tiny_gguf(), tiny_gguf())
    assert (found.summary, found.changes, found.containers) == ("nothing", (), ())


def test_a_release_of_the_same_is_told_as_one(tmp_path: Path) -> None:
    old = forge.make_package(tmp_path)
    new = forge.make_package(tmp_path, version="1.0.1")
    assert between(old, new).summary == "only the release (version)"


def test_a_detached_model_is_compared_by_its_digest(tmp_path: Path) -> None:
    old = forge.make_package(tmp_path / "old", is_detached=True)
    new = forge.make_package(tmp_path / "new", is_detached=True, model=tiny_gguf(pairs=PAIRS[::-1]))
    found = between(old, new)
    assert found.summary == "only model.gguf"
    assert any("without its model" in note for note in found.new.notes)


def test_refuses_to_compare_a_model_with_a_package(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(tiny_gguf())
    with pytest.raises(UndecidedError, match="of different kinds"):
        between(tmp_path / "a.gguf", forge.make_package(tmp_path))


def test_refuses_what_does_not_parse(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="file is truncated"):
        models(tmp_path, tiny_gguf(), tiny_gguf()[:-40])


def test_refuses_what_is_none_of_the_three(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(UndecidedError, match="neither a model nor a component nor a package"):
        between(tmp_path / "a.txt", tmp_path / "a.txt")


# --- what a package says beside its bytes ------------------------------------------------------


def lying(folder: Path, name: str, *, version: str = "1.0.0") -> Path:
    """A package whose BOM was changed, and everything signed again."""
    package = forge.make_package(folder, version=version)
    (chosen,) = (one for one in LIES if one.name == name)
    with forge.edited_bom(package) as bom:
        chosen.tell(bom)
    return package


def test_names_the_declared_fact_that_was_changed(tmp_path: Path) -> None:
    rows = (DeclaredDataset(name="a"), DeclaredDataset(name="b"))
    declared = Declared(model_license="MIT", app_area="schools", datasets=rows)
    changed = replace(declared, model_license="Apache-2.0", datasets=rows[:1])
    old = forge.make_package(tmp_path / "old", declared=declared)
    new = forge.make_package(tmp_path / "new", declared=changed)
    assert [(change.section, change.name, change.verb) for change in between(old, new).changes] == [
        (Section.DECLARED, "model.license", "changed"),
        (Section.DECLARED, "dataset b", "removed"),
    ]


def test_a_bom_that_does_not_follow_is_told_whatever_else_changed(tmp_path: Path) -> None:
    old = forge.make_package(tmp_path / "old")
    lie = lying(tmp_path / "lie", "bom-licence", version="1.0.1")
    found = between(old, lie)
    assert found.summary == "only bytes of bom.cdx.json that follow from nothing else here"
    assert "bom.components[model:model:0].licenses" in found.notes[0]
    honest = forge.make_package(tmp_path / "honest", version="1.0.1")
    assert between(old, honest).summary == "only the release (version)"  # the control


def test_the_order_of_rows_alone_is_told(tmp_path: Path) -> None:
    rows = (DeclaredDataset(name="a"), DeclaredDataset(name="b"))
    old = forge.make_package(tmp_path / "old", declared=Declared(datasets=rows))
    new = forge.make_package(tmp_path / "new", declared=Declared(datasets=rows[::-1]))
    assert (
        between(old, new).summary == "only bytes of bom.cdx.json that follow from nothing else here"
    )


def test_another_signature_alone_is_told(tmp_path: Path) -> None:
    old = forge.make_package(tmp_path / "old")
    new = forge.make_package(tmp_path / "new", signer=forge.STRANGER)
    assert between(old, new).summary == "only bytes of the signature manifest.sigstore.json alone"


def test_findings_about_templates_that_come_and_go_are_notes(tmp_path: Path) -> None:
    reaching = (*PAIRS[:-1], text_pair("tokenizer.chat_template", "{{ x.__class__ }}"))
    old, new = tiny_gguf(), tiny_gguf(pairs=reaching)
    (note,) = models(tmp_path, old, new).notes
    assert note.startswith("a finding came: tokenizer.chat_template: ")
    (note,) = models(tmp_path, new, old).notes
    assert note.startswith("a finding went: tokenizer.chat_template: ")
    assert models(tmp_path, new, new).notes == ()


def test_sections_between_the_parts_are_told_beside_another_change(tmp_path: Path) -> None:
    old = (ROOT / "components" / "prebuilt" / "inference.wasm").read_bytes()
    (tmp_path / "old.wasm").write_bytes(old)
    (tmp_path / "new.wasm").write_bytes(old + b"\0\x02\x01x")
    found = between(tmp_path / "old.wasm", tmp_path / "new.wasm")
    assert found.summary == "only what connects the parts of the component"


def test_a_part_that_is_twice_in_a_component_is_two(tmp_path: Path) -> None:
    module = b"\x01\x08\0asm\x01\0\0\0"  # section 1, an empty core module
    head = b"\0asm\x0d\0\x01\0"
    (tmp_path / "old.wasm").write_bytes(head + module * 2)
    (tmp_path / "new.wasm").write_bytes(head + module * 3)
    (change, *_) = between(tmp_path / "old.wasm", tmp_path / "new.wasm").changes
    assert (change.section, change.name, change.verb) == (
        Section.COMPONENT,
        "core-module 2",
        "added",
    )


def test_a_manifest_that_calls_another_part_config_hides_nothing(tmp_path: Path) -> None:
    """Nothing of it is believed: what holds the settings is asked of the bytes."""
    stock = (ROOT / "components" / "prebuilt" / "inference.wasm").read_bytes()
    sides = []
    for side, settings in (("old", SETTINGS), ("new", replace(SETTINGS, system_prompt="Lie."))):
        inference = stock + b"\0\x02\x01" + side[:1].encode()
        package = forge.make_package(tmp_path / side, settings=settings, inference=inference)
        with forge.lie(package) as statement:
            parts = {one["name"]: one for one in statement["predicate"]["component"]["parts"]}
            engine, config = dict(parts["inference"]), dict(parts["config"])
            parts["config"] |= engine | {"name": "config"}
            parts["inference"] |= config | {"name": "inference"}
        sides.append(package)
    found = between(*sides)
    assert [(change.section, change.name) for change in found.changes][:2] == [
        (Section.SETTING, "system prompt"),
        (Section.COMPONENT, "config component"),
    ]


# --- the command -----------------------------------------------------------------------------


def test_says_it_in_lines(tmp_path: Path) -> None:
    (tmp_path / "old.gguf").write_bytes(tiny_gguf())
    pairs = (PAIRS[0], text_pair("general.name", "tina\x1b[2J"), *PAIRS[2:])
    (tmp_path / "new.gguf").write_bytes(tiny_gguf(pairs=pairs))
    done = infwasi("diff", "old.gguf", "new.gguf", cwd=tmp_path)
    first, file, *lines = done.out.splitlines()
    assert (done.code, first) == (0, "changed: only general.name")
    assert file.startswith("file the model: 672 bytes blake3:")
    assert [line.rsplit("sha256:", 1)[0] for line in lines] == [
        "metadata general.name: changed",
        '  - "tiny"  4 bytes  ',
        '  + "tina\\u001b[2J"  8 bytes  ',
    ]


def test_says_of_packages_what_is_declared_and_what_is_found(tmp_path: Path) -> None:
    """The whole command, confined: what it imports late can still be read."""
    lines = ("{{ x.__class__ }}", "\x1b[2J", "last")
    reaching = (*PAIRS[:-1], text_pair("tokenizer.chat_template", "\n".join(lines)))
    old = forge.make_package(tmp_path / "old", declared=Declared(app_area="schools"))
    new = forge.make_package(
        tmp_path / "new", declared=Declared(app_area="courts"), model=tiny_gguf(pairs=reaching)
    )
    done = infwasi("diff", old, new, "--html", "page.html", cwd=tmp_path)
    assert done.code == 0, done
    assert done.out.startswith("changed: app.area; tokenizer.chat_template\n")
    assert done.said[0].startswith("note: a finding came: tokenizer.chat_template: ")
    assert "\x1b" not in done.out + done.errors
    assert "Declared facts" in (tmp_path / "page.html").read_text()
    done = infwasi("diff", old, new, "--json", cwd=tmp_path)
    (document,) = done.documents
    assert document["changes"][0]["section"] == "declared"
    assert document["notes"][0].startswith("a finding came: ")


def test_the_same_as_json(tmp_path: Path) -> None:
    (tmp_path / "old.gguf").write_bytes(tiny_gguf())
    (tmp_path / "new.gguf").write_bytes(tiny_gguf(pairs=PAIRS[:3] + PAIRS[4:]))
    done = infwasi("diff", "old.gguf", "new.gguf", "--json", "--exit-code", cwd=tmp_path)
    (document,) = done.documents
    assert (done.code, document["summary"]) == (1, "only tokenizer.ggml.model")
    (change,) = document["changes"]
    assert (change["change"], change["new"], change["old"]["size"]) == ("removed", None, 4)


def test_nothing_changed_is_exit_code_0(tmp_path: Path) -> None:
    (tmp_path / "old.gguf").write_bytes(tiny_gguf())
    done = infwasi("diff", "old.gguf", "old.gguf", "--exit-code", cwd=tmp_path)
    assert (done.code, done.out) == (0, "changed: nothing\n")


def test_writes_a_page_that_shows_hostile_names_as_text(tmp_path: Path) -> None:
    hostile = "</dd><script>alert(1)</script>\u202e"
    (tmp_path / "old.gguf").write_bytes(tiny_gguf())
    pairs = (PAIRS[0], text_pair("general.name", hostile), *PAIRS[2:])
    (tmp_path / "new.gguf").write_bytes(tiny_gguf(pairs=pairs))
    done = infwasi("diff", "old.gguf", "new.gguf", "--html", "page.html", cwd=tmp_path)
    page = (tmp_path / "page.html").read_text()
    assert (done.code, done.said) == (0, ["wrote page.html: not verified, only compared"])
    assert "only general.name" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page
    assert "\u202e" not in page


def test_writes_no_page_into_a_package_nor_over_a_file(tmp_path: Path) -> None:
    package = forge.make_package(tmp_path)
    inside = package / "page.html"
    done = infwasi("diff", package, package, "--html", inside, cwd=tmp_path)
    assert (done.code, inside.exists()) == (2, False)
    (tmp_path / "page.html").write_text("mine")
    done = infwasi("diff", package, package, "--html", "page.html", cwd=tmp_path)
    assert (done.code, (tmp_path / "page.html").read_text()) == (2, "mine")


def large_models(folder: Path) -> tuple[Path, Path]:
    """Two models with a header of 10 MB and 10,000 tensors, of which the last differs."""
    words = struct.pack("<IQ", 8, 400_000) + b"".join(
        struct.pack("<Q", 17) + b"%017d" % index for index in range(400_000)
    )
    tokens = struct.pack("<Q", 9) + b"test.long" + struct.pack("<I", 9) + words
    old, changed = many_tensors(10_000), list(many_tensors(10_000))
    changed[9_999] = replace(changed[9_999], data=pattern(32, 5))
    paths = folder / "old.gguf", folder / "new.gguf"
    paths[0].write_bytes(tiny_gguf(pairs=(*PAIRS, tokens), tensors=old))
    paths[1].write_bytes(tiny_gguf(pairs=(*PAIRS, tokens), tensors=tuple(changed)))
    return paths


def test_a_large_header_with_many_tensors_takes_little_memory(tmp_path: Path) -> None:
    old, new = large_models(tmp_path)
    done = infwasi("diff", old, new)
    assert done.out.splitlines()[0] == "changed: only blk.2499.attn_k.weight"
    used = process_usage(arguments("diff", old, new), environment())
    assert used.most_resident_bytes < 200 * MIB
