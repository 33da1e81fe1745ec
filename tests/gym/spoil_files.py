"""Mutators of the directory, of the bytes of its files, and of what happens while they are read."""

import contextlib
import os
from pathlib import Path
from random import Random
from typing import Final

from infwasi_sign.domain.limits import LIMITS
from tests.forge import MANIFEST
from tests.gym.draft import APP, BOM, FILES, MODEL, Draft, Link, Node, Sparse, Special, mutator

_KEPT: Final = (APP, BOM, MODEL)  # files that are entries


# --- bytes ------------------------------------------------------------------------------------


@mutator("bytes", 4)
def bit_flips(draft: Draft, rng: Random) -> None:
    name = rng.choice(FILES)
    data = bytearray(draft.content(name))
    for at in rng.sample(range(len(data)), rng.choice((1, 1, 1, 2, 8))):
        data[at] ^= 1 << rng.randrange(8)
    draft.files[name] = bytes(data)


@mutator("bytes", 2)
def bytes_cut_and_pasted(draft: Draft, rng: Random) -> None:
    name = rng.choice(FILES)
    data = draft.content(name)
    start, end = sorted(rng.sample(range(len(data) + 1), 2))
    piece = data[start:end]
    at = rng.randrange(len(data) + 1)
    draft.files[name] = rng.choice(
        (
            data[:start] + data[end:],
            data[:at] + piece + data[at:],
            data[:start] + bytes(len(piece)) + data[end:],
            data[:start] + piece[::-1] + data[end:],
            data[:at] + rng.randbytes(16) + data[at:],
            data + rng.choice((b"\0", b"\n", b" ", data)),
            data[:at],
        )
    )
    if draft.files[name] == data:
        draft.files[name] = data + b"\0"


@mutator("bytes")
def empty_or_all_zero(draft: Draft, rng: Random) -> None:
    name = rng.choice(FILES)
    draft.files[name] = rng.choice((b"", b"\0", bytes(len(draft.content(name)))))


# --- the directory ----------------------------------------------------------------------------


@mutator("directory", 3)
def file_missing(draft: Draft, rng: Random) -> None:
    for name in rng.sample(_KEPT, rng.choice((1, 1, 2))):
        del draft.files[name]


@mutator("directory", 3)
def unsigned(draft: Draft, rng: Random) -> None:
    """No manifest, or one under a name that looks like its own."""
    data = draft.files.pop(MANIFEST)
    name = rng.choice((None, "manifest.json", MANIFEST + " ", MANIFEST.upper(), MANIFEST + ".bak"))
    if name is not None:
        draft.files[name] = data
    if rng.random() < 0.3:
        del draft.files[rng.choice((APP, BOM))]


@mutator("directory", 3)
def file_extra(draft: Draft, rng: Random) -> None:
    name = rng.choice(
        (
            *("notes.txt", "a", "app.wasm.bak", "config.json", "model.gguf.part", "APP.WASM"),
            *("app.cwasm", "é.txt", "libllama.so", "Makefile", "model-00001-of-00002.gguf"),
        )
    )
    draft.files[name] = rng.choice((b"", b"x", draft.content(rng.choice(FILES))))


@mutator("directory", 2)
def file_with_a_strange_name(draft: Draft, rng: Random) -> None:
    name = rng.choice(
        (
            *(".hidden", "...", ".app.wasm", "app.wasm\u200b", "app\u202emsaw", "a\nb", "\x1b[2J"),
            *(" ", "\u00a0", "x" * 255, "a\\b", "C:", "\ufeff", os.fsdecode(b"\xff\xfe"), "-rf"),
            *("é" * 127, "\U000e0001", "\u2028", "\ue000", "con", "~", "$(id)"),
        )
    )
    draft.files[name] = rng.choice((b"", b"x"))


@mutator("directory", 2)
def file_renamed(draft: Draft, rng: Random) -> None:
    name = rng.choice(_KEPT)
    new = rng.choice((name.upper(), name + "_", "x", "model2.gguf", name[1:], "model.sig"))
    draft.files[new] = draft.files.pop(name)


@mutator("directory", 2)
def files_swapped(draft: Draft, rng: Random) -> None:
    one, other = rng.sample(FILES, 2)
    draft.files[one], draft.files[other] = draft.files[other], draft.files[one]


@mutator("directory", 2)
def file_of_another_kind(draft: Draft, rng: Random) -> None:
    """A link, FIFO, socket or folder in the place of a file."""
    name = rng.choice(FILES)
    draft.outside["same"] = draft.content(name)
    choices: tuple[Node, ...] = (
        Link("{outside}/same"),
        Link("/dev/zero"),
        Link("/dev/null"),
        Link("/proc/self/mem"),
        Link(name),
        Link("nowhere"),
        Link(rng.choice([other for other in FILES if other != name])),
        Special("fifo"),
        Special("socket"),
        Special("folder"),
    )
    draft.files[name] = rng.choice(choices)


@mutator("directory", 2)
def something_extra(draft: Draft, rng: Random) -> None:
    """A link, FIFO, socket or folder beside the files."""
    choices: tuple[Node, ...] = (
        Link("app.wasm"),
        Link("/etc/passwd"),
        Link(".."),
        Special("fifo"),
        Special("socket"),
        Special("folder"),
    )
    name = rng.choice(("extra", "model.sig", "z", ".x", "signatures2"))
    draft.files[name] = rng.choice(choices)


@mutator("directory")
def signatures_beside(draft: Draft, rng: Random) -> None:
    """Counter-signatures: well named or not, few or many."""
    if rng.random() < 0.3:
        draft.files["signatures"] = rng.choice((b"", Link("."), Special("fifo")))
        return
    draft.files["signatures"] = Special("folder")
    for _ in range(rng.choice((1, 2, 16, 17, 40))):
        draft.files[f"signatures/{rng.randbytes(32).hex()}.sigstore.json"] = b"{}"
    if rng.random() < 0.5:
        name = rng.choice(("x", ".x", "é", "0" * 64, "a.sigstore.json"))
        draft.files["signatures/" + name] = rng.choice((b"", Special("fifo"), Link("..")))


@mutator("directory")
def folders_beside(draft: Draft, rng: Random) -> None:
    """A folder that does not belong, with or without the one that may."""
    if rng.random() < 0.7:
        draft.files["signatures"] = Special("folder")
    draft.files[rng.choice(("extra", "a", "signatures2", "src", "..."))] = Special("folder")


@mutator("directory")
def companion_beside(draft: Draft, rng: Random) -> None:
    draft.files["model.sig"] = rng.choice((b"", b"{}", draft.content(MANIFEST)))


# --- sizes ------------------------------------------------------------------------------------


@mutator("sizes", 2)
def file_too_large(draft: Draft, rng: Random) -> None:
    """Beyond its bound, in zeros that take no room."""
    bounds = {
        MANIFEST: LIMITS.bundle_bytes,
        "model.sig": LIMITS.bundle_bytes,
        BOM: LIMITS.bom_bytes,
        APP: LIMITS.component_bytes,
        MODEL: LIMITS.model_bytes,
    }
    name = rng.choice(sorted(bounds))
    draft.files[name] = Sparse(bounds[name] + rng.choice((1, 4096, 1 << 30)))


@mutator("sizes")
def file_large(draft: Draft, rng: Random) -> None:
    """Within its bound, and not what was signed: nothing of it may be read for long."""
    name = rng.choice((BOM, APP, MODEL))
    most = {BOM: LIMITS.bom_bytes, APP: LIMITS.component_bytes, MODEL: LIMITS.model_bytes}[name]
    draft.files[name] = Sparse(most - rng.choice((0, 1)))


@mutator("sizes", 0.03)
def too_many_files(draft: Draft, rng: Random) -> None:
    """One more than may be in a package, or many more."""
    surplus = rng.choice((0, 0, 1, 500))
    for number in range(LIMITS.package_files + 1 - len(draft.files) + surplus):
        draft.files[f"f{number}"] = b""


# --- while it is read -------------------------------------------------------------------------


@mutator("race", 2)
def changed_after_opening(draft: Draft, rng: Random) -> None:
    """A file grows or shrinks between the moment it is opened and the moment it is measured."""
    name = rng.choice(_KEPT)
    cut = rng.randrange(len(draft.content(name)))
    grows = rng.random() < 0.5

    def change(package: Path) -> None:
        if grows:
            with (package / name).open("ab") as file:
                file.write(b"x")
        else:
            os.truncate(package / name, cut)

    draft.race = change


@mutator("race")
def overwritten_after_opening(draft: Draft, rng: Random) -> None:
    """Other bytes of the same length, written into the file that is open.

    Its time tells or, because it can be set, does not tell.
    """
    name = rng.choice(_KEPT)
    tells = rng.random() < 0.5
    data = bytearray(draft.content(name))
    data[rng.randrange(len(data))] ^= 0xFF

    def change(package: Path) -> None:
        before = (package / name).stat().st_mtime_ns
        with (package / name).open("r+b") as file:
            file.write(data)
        os.utime(package / name, ns=(before, before + 10**9 * tells))

    draft.race = change


@mutator("race", 0.5)
def opened_for_writing_while_measured(draft: Draft, rng: Random) -> None:
    """Somebody asks to write to a model that is held; what they would write comes later."""
    draft.hold = True
    # Where the system knows no leases the level is refused: a copy does not mind writers.
    draft.rules = '[load]\nminimum-level = "read-lease"'
    flags = rng.choice((os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC)) | os.O_NONBLOCK

    def change(package: Path) -> None:
        with contextlib.suppress(BlockingIOError):  # who would wait, waits for us
            os.close(os.open(package / MODEL, flags))

    draft.race_measuring = change


# --- models outside of the package ------------------------------------------------------------


@mutator("detached", 2)
def detached_model(draft: Draft, rng: Random) -> None:
    """A package without its model, and no model, another, a spoiled or a strange one for it."""
    draft.files = dict(draft.honest.detached)
    data = draft.honest.capital[MODEL]
    at = rng.randrange(len(data))
    spoiled = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    choice = rng.choice((None, b"", spoiled, data[:at], data + b"\0", draft.honest.rival[MODEL]))
    if choice is not None:
        draft.outside["model.gguf"] = choice
        draft.models = ("model.gguf",)
        if rng.random() < 0.2:
            draft.outside["second.gguf"] = spoiled
            draft.models = ("second.gguf", "model.gguf")


@mutator("detached")
def model_inside_and_outside(draft: Draft, rng: Random) -> None:
    """A package that holds its model, or has one that it says it has not."""
    if rng.random() < 0.5:
        draft.files = {**draft.honest.detached, MODEL: draft.honest.capital[MODEL]}
    if draft.files == draft.honest.capital or rng.random() < 0.5:
        draft.outside["model.gguf"] = draft.honest.capital[MODEL]
        draft.models = ("model.gguf",)
