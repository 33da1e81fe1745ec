"""`infwasi install`: what appears is a copy of what was verified, verified itself."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from infwasi_sign.adapters.installation import Installation, open_installation
from infwasi_sign.adapters.keys import KeyVerifier, TrustedKey, parse_public_key
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.package_editing import EditableStore
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.domain.policy import DirectoryNamed, Policy
from infwasi_sign.errors import InfwasiError, RefusalKind, RefusedError, UndecidedError
from infwasi_sign.install import Installed, install
from infwasi_sign.ports import EntryFile
from infwasi_sign.verify import VerifiedPackage, VerifyRequest, verify
from tests import forge
from tests.command_line import infwasi, make_timeless

KEY = ("--key", "trusted.pub")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    make_timeless(tmp_path)
    return tmp_path


# --- the command -----------------------------------------------------------------------------


def test_what_is_installed_is_a_copy_that_verifies(place: Path) -> None:
    done = infwasi("install", "capital-1.0.0", "there", *KEY, cwd=place)
    assert (done.code, done.out) == (0, "there/capital-1.0.0\n")
    assert done.said[-1].startswith("a run by this user will hold the model by ")
    for name in ("app.wasm", "bom.cdx.json", "manifest.sigstore.json", "model.gguf"):
        installed = place / "there" / "capital-1.0.0" / name
        assert installed.read_bytes() == (place / "capital-1.0.0" / name).read_bytes()
        assert installed.stat().st_ino != (place / "capital-1.0.0" / name).stat().st_ino
    assert infwasi("verify", "there/capital-1.0.0", *KEY, cwd=place).code == 0


def test_what_is_refused_is_not_installed(place: Path) -> None:
    model = place / "capital-1.0.0" / "model.gguf"
    model.write_bytes(model.read_bytes()[:-1] + b"\xff")
    done = infwasi("install", "capital-1.0.0", "there", *KEY, cwd=place)
    assert done.code == 1
    assert done.said[0].startswith("refused: digest: the model differs from what was signed")
    assert not (place / "there").exists()


def test_a_package_that_is_there_is_replaced_only_when_asked(place: Path) -> None:
    words = ("install", "capital-1.0.0", "there", *KEY)
    assert infwasi(*words, cwd=place).code == 0
    again = infwasi(*words, cwd=place)
    there = "error: package exists already in there/capital-1.0.0"
    assert (again.code, again.said[0]) == (2, there)
    replaced = infwasi(*words, "--force", "--json", cwd=place)
    (document,) = replaced.documents
    assert (document["package"], replaced.code) == ("there/capital-1.0.0", 0)
    assert document["level"] in {level.label for level in LoadLevel}
    assert sorted(path.name for path in (place / "there").iterdir()) == ["capital-1.0.0"]


def test_it_is_installed_under_its_own_name(place: Path) -> None:
    (place / "capital-1.0.0").rename(place / "downloaded")
    done = infwasi("install", "downloaded", ".", "--name", "capital", *KEY, cwd=place)
    assert (done.code, done.out) == (0, "capital-1.0.0\n")


def test_counter_signatures_are_installed_too(place: Path) -> None:
    path = forge.counter_sign(place / "capital-1.0.0", forge.STRANGER)
    assert infwasi("install", "capital-1.0.0", "there", *KEY, cwd=place).code == 0
    copied = place / "there" / path.relative_to(place)
    assert copied.read_bytes() == path.read_bytes()


def test_a_detached_model_stays_where_it_is(place: Path) -> None:
    make_timeless(place, name="detached", is_detached=True)
    words = ("install", "detached-1.0.0", "there", *KEY, "--model", "detached-1.0.0.gguf")
    done = infwasi(*words, cwd=place)
    assert (done.code, done.out) == (0, "there/detached-1.0.0\n")
    assert done.said[0] == (
        "note: the model is not under fs-verity: the model lies outside of the package"
    )
    assert not list((place / "there").rglob("*.gguf"))


# --- what happens meanwhile ------------------------------------------------------------------


def installed(
    place: Path, verify_at: Callable[[VerifyRequest, EditableStore], VerifiedPackage]
) -> Installed:
    store = EditableStore()
    request = VerifyRequest(
        location=place / "capital-1.0.0",
        policy=Policy(package=DirectoryNamed(directory="capital-1.0.0")),
        now=forge.NOW,
    )

    def target(_: object) -> contextlib.AbstractContextManager[Installation]:
        return open_installation(place / "there" / "capital-1.0.0", replace_other=False)

    return install(
        request,
        verify=lambda asked: verify_at(asked, store),
        files=lambda: store.files,
        target=target,
    )


def verified(request: VerifyRequest, store: EditableStore) -> VerifiedPackage:
    key = parse_public_key(forge.TRUSTED.public_key(), where="key")
    return verify(
        request,
        store=store,
        signatures=KeyVerifier([TrustedKey(name="trusted", public_key=key)]),
        measure_bytes=measure_bytes,
    )


def spoil_model(self: Installation, name: str, file: EntryFile) -> None:
    data = file.read(file.size_bytes)
    self._writer.write(name, data[:-1] + b"\xff" if name == "model.gguf" else data)


@pytest.fixture
def spoiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy gets other bytes than those that were verified."""
    monkeypatch.setattr(Installation, "copy", spoil_model)


@pytest.mark.usefixtures("spoiled")
def test_what_was_exchanged_meanwhile_is_not_installed(place: Path) -> None:
    with pytest.raises(RefusedError, match="the model differs from what was signed") as refusal:
        installed(place, verified)
    assert refusal.value.kind is RefusalKind.DIGEST
    assert list((place / "there").iterdir()) == []


@pytest.mark.usefixtures("spoiled")
def test_control_without_the_second_look_it_is_installed(place: Path) -> None:
    def once(request: VerifyRequest, store: EditableStore) -> VerifiedPackage:
        if request.hold:  # the second time, at the copy
            return verified(
                VerifyRequest(
                    location=place / "capital-1.0.0", policy=request.policy, now=request.now
                ),
                EditableStore(),
            )
        return verified(request, store)

    installed(place, once)
    copy = place / "there" / "capital-1.0.0" / "model.gguf"
    assert copy.read_bytes()[-1:] == b"\xff"


def test_another_signed_package_that_takes_its_place_is_not_installed(
    place: Path,
) -> None:
    class Other:
        """A verified package of another statement."""

        statement_digest = "another"

    def exchanged(request: VerifyRequest, store: EditableStore) -> VerifiedPackage:
        if request.hold:
            return contextlib.nullcontext(Other())  # type: ignore[return-value]  # a fake of it
        return verified(request, store)

    with pytest.raises(UndecidedError, match="the package was exchanged while it was copied"):
        installed(place, exchanged)
    assert list((place / "there").iterdir()) == []


def test_the_level_is_that_of_a_run_there(place: Path) -> None:
    done = installed(place, verified)
    run = VerifyRequest(
        location=place / "there" / "capital-1.0.0",
        policy=Policy(package=DirectoryNamed(directory="capital-1.0.0")),
        now=forge.NOW,
        hold=True,
    )
    with verified(run, EditableStore()) as held:
        assert (done.level, done.manifest) == (held.level, held.manifest)
    assert done.level > LoadLevel.NONE
    assert (done.unprotected is None) is (done.level is LoadLevel.FS_VERITY)


def test_what_cannot_be_written_is_no_refusal(place: Path) -> None:
    (place / "there").write_text("a file")
    with pytest.raises(InfwasiError) as failure:
        installed(place, verified)
    assert isinstance(failure.value, UndecidedError)
