"""A renewal: another statement over the same bytes, later than the old one, whole or not at all."""

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infwasi_sign import renew as renewing
from infwasi_sign.adapters import package_renewal
from infwasi_sign.adapters.bundle_signers import name_signer
from infwasi_sign.adapters.keys import KeyVerifier, sign_payload
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.package_editing import EditableStore
from infwasi_sign.adapters.package_renewal import PackageRenewal
from infwasi_sign.adapters.sealing import KeySealer
from infwasi_sign.domain.bundle import Bundle
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.manifest import format_time
from infwasi_sign.domain.policy import NamedPackage
from infwasi_sign.errors import InfwasiError, RefusalKind, RefusedError, UndecidedError
from infwasi_sign.pack import Companion
from infwasi_sign.ports import Sealer
from infwasi_sign.renew import Renewed, RenewRequest, renew
from infwasi_sign.verify import VerifiedPackage
from tests import forge
from tests.bom_lies import put
from tests.forge import NOW, STRANGER, TRUSTED, VectorSigner, counter_sign
from tests.policy_support import load
from tests.signing_support import LEGAL, SECURITY, opened, tree
from tests.unprivileged import NOBODY

DAY = timedelta(days=1)
LATER = NOW + 30 * DAY
ENDED = NOW + 400 * DAY  # the packages of the forge are valid for 365


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return forge.make_package(tmp_path / "packages", companion=Companion.REQUIRED)


def renewed(
    package: Path,
    *,
    signer: VectorSigner = TRUSTED,
    sealer: Sealer | None = None,
    at: datetime = LATER,
    issued_at: datetime | None = None,
    valid_for: timedelta | None = 365 * DAY,
    sequence: int | None = None,
    then: Callable[[], object] = str,
    trusted: KeyVerifier | None = None,
    detached: tuple[Path, ...] = (),
) -> Renewed:
    """Verify, let ``then`` happen, and renew."""
    verified, store = opened(package, now=at, renewing=True, trusted=trusted, detached=detached)
    with verified:
        then()
        return written(
            verified,
            store,
            sealer or KeySealer(signer=signer),
            RenewRequest(issued_at=issued_at or at, valid_for=valid_for, sequence=sequence, now=at),
        )


def written(
    verified: VerifiedPackage, store: EditableStore, sealer: Sealer, request: RenewRequest
) -> Renewed:
    with PackageRenewal(store) as target:
        done = renew(
            verified,
            request,
            sealer=sealer,
            name_signer=name_signer,
            measure_bytes=measure_bytes,
            target=target,
        )
        target.commit()
    return done


def refused(package: Path, act: Callable[[], object]) -> InfwasiError:
    """What is said when nothing is renewed; and nothing is."""
    before = tree(package.parent)
    with pytest.raises(InfwasiError) as caught:
        act()
    assert {name: seen.content for name, seen in tree(package.parent).items()} == {
        name: seen.content for name, seen in before.items()
    }
    return caught.value


# --- what is written -------------------------------------------------------------------------


@pytest.mark.parametrize("companion", [Companion.REQUIRED, Companion.NONE])
def test_it_is_what_packing_at_that_time_would_have_given(
    tmp_path: Path, companion: Companion
) -> None:
    package = forge.make_package(tmp_path / "old", companion=companion)
    packed = forge.make_package(tmp_path / "new", companion=companion, issued_at=LATER)
    renewed(package)
    contents = {name: seen.content for name, seen in tree(package).items()}
    assert contents == {name: seen.content for name, seen in tree(packed).items()}


def test_app_and_model_stay_and_the_model_is_the_very_file(package: Path) -> None:
    before = tree(package)
    done = renewed(package)
    after = tree(package)
    assert after.keys() == before.keys()
    assert after["model.gguf"] == before["model.gguf"]
    assert after["app.wasm"].content == before["app.wasm"].content
    assert (package / "model.gguf").stat().st_nlink == 1
    for name in ("bom.cdx.json", "manifest.sigstore.json", "model.sig"):
        assert after[name].content != before[name].content
    assert (done.manifest.issued_at, done.manifest.expires_at) == (LATER, LATER + 365 * DAY)
    assert done.manifest.sequence == int(LATER.timestamp())
    assert done.dropped == ()
    opened(package, now=LATER)[0].close()
    assert [path.name for path in package.parent.iterdir()] == [package.name]


def test_only_the_time_and_what_follows_from_it_differs_in_the_bom(package: Path) -> None:
    old = json.loads((package / "bom.cdx.json").read_bytes())
    renewed(package)
    new = json.loads((package / "bom.cdx.json").read_bytes())
    assert new["metadata"]["timestamp"] == format_time(LATER) != old["metadata"]["timestamp"]
    assert new["serialNumber"] != old["serialNumber"]
    old["metadata"]["timestamp"], old["serialNumber"] = format_time(LATER), new["serialNumber"]
    put(old["metadata"]["component"], "infwasi:app:timestamp", format_time(LATER))
    assert new == old


def test_it_can_be_without_an_end_and_have_its_own_sequence(package: Path) -> None:
    done = renewed(package, valid_for=None, sequence=int(NOW.timestamp()) + 1)
    assert done.manifest.expires_at is None
    with opened(package, now=LATER)[0] as verified:
        assert verified.manifest.sequence == int(NOW.timestamp()) + 1


def test_a_model_outside_of_the_package_stays_there(tmp_path: Path) -> None:
    package = forge.make_package(tmp_path / "packages", is_detached=True)
    model = package.parent / "capital-1.0.0.gguf"
    before = model.stat()
    renewed(package, detached=(model,))
    assert "model.gguf" not in tree(package)
    assert model.stat() == before
    opened(package, now=LATER, detached=(model,))[0].close()


def test_who_had_signed_must_sign_again(package: Path) -> None:
    counter_sign(package, SECURITY)
    counter_sign(package, LEGAL)
    stranger = counter_sign(package, STRANGER)
    done = renewed(package)
    assert sorted(done.dropped) == ["legal", "security", f"signatures/{stranger.name}"]
    assert not (package / "signatures").exists()


def test_renewed_by_another_the_packer_must_sign_again_too(package: Path) -> None:
    counter_sign(package, SECURITY)
    done = renewed(package, signer=LEGAL)
    assert sorted(done.dropped) == ["security", "trusted"]
    with opened(package, now=LATER)[0] as verified:
        assert verified.signer.name == "legal"  # and so is its OMS companion


# --- what does not follow --------------------------------------------------------------------


@pytest.mark.parametrize("behind", [0, 1])
def test_the_sequence_moves_forward(package: Path, behind: int) -> None:
    last = int(NOW.timestamp())
    said = refused(package, lambda: renewed(package, sequence=last - behind))
    assert str(said) == (
        f"the sequence does not move forward (expected more than {last}, got {last - behind})"
    )


def test_the_time_of_issue_moves_it_forward_or_nothing_does(package: Path) -> None:
    said = refused(package, lambda: renewed(package, issued_at=NOW - DAY, valid_for=999 * DAY))
    assert said.what == "the sequence does not move forward"


def test_the_end_lies_ahead(package: Path) -> None:
    said = refused(package, lambda: renewed(package, issued_at=NOW + DAY, valid_for=DAY))
    assert str(said) == (
        "the package would be expired already in package.valid-days "
        "(got issued 2026-11-24, expired 2026-11-25)"
    )


def test_the_end_is_a_date(package: Path) -> None:
    said = refused(package, lambda: renewed(package, valid_for=timedelta(days=36_500 * 100)))
    assert said.what == "the package would expire after the year 9999"


class WithoutCompanion(KeySealer):
    """As an Ed25519 key."""

    @property
    def obstacle(self) -> str | None:
        return "OMS has no Ed25519 keys"


def test_a_companion_is_not_dropped_silently(package: Path) -> None:
    sealer = WithoutCompanion(signer=TRUSTED)
    said = refused(package, lambda: renewed(package, sealer=sealer))
    assert isinstance(said, UndecidedError)
    assert str(said) == (
        "no OMS companion is possible, and the package has one (got OMS has no Ed25519 keys)"
    )


class Lying(KeySealer):
    """Signs an older sequence than it was given."""

    def seal(self, payload: bytes) -> Bundle:
        return sign_payload(self.signer, payload.replace(b'"sequence":', b'"sequence":1'))


def test_what_was_signed_is_the_new_statement(package: Path) -> None:
    said = refused(package, lambda: renewed(package, sealer=Lying(signer=TRUSTED)))
    assert str(said) == "what was signed is not the new statement"


def test_without_the_check_the_sequence_would_go_back(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewing, "_sequence", lambda *_: 1)
    assert renewed(package).manifest.sequence == 1


# --- a package that has ended ----------------------------------------------------------------


def test_its_own_packer_renews_a_package_that_has_ended(package: Path) -> None:
    with pytest.raises(RefusedError) as caught:
        opened(package, now=ENDED)
    assert caught.value.kind is RefusalKind.EXPIRED
    renewed(package, at=ENDED)
    opened(package, now=ENDED)[0].close()


def test_nobody_else_renews_a_package_that_has_ended(package: Path) -> None:
    expected, got = (name_signer(sign_payload(one, b"{}").material) for one in (TRUSTED, LEGAL))
    said = refused(package, lambda: renewed(package, at=ENDED, signer=LEGAL))
    assert isinstance(said, UndecidedError)
    assert str(said) == (
        "the package has ended, and only its own packer can renew it "
        f"(expected {expected}, got {got})"
    )


class Nameless(KeySealer):
    """As an identity of which only the certificate will tell."""

    @property
    def known_as(self) -> str | None:
        return None


class Unasked(KeySealer):
    """Signs nothing: a signature of an identity is published when it is made."""

    def seal(self, payload: bytes) -> Bundle:
        raise AssertionError(payload)


def test_somebody_else_is_told_before_they_sign(package: Path) -> None:
    said = refused(package, lambda: renewed(package, at=ENDED, sealer=Unasked(signer=LEGAL)))
    assert said.what == "the package has ended, and only its own packer can renew it"


def test_nobody_else_does_whatever_they_say_before(package: Path) -> None:
    said = refused(package, lambda: renewed(package, at=ENDED, sealer=Nameless(signer=LEGAL)))
    assert said.what == "the package has ended, and only its own packer can renew it"


def test_without_the_check_anybody_would(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewing, "_require_packer", lambda *_: None)
    renewed(package, at=ENDED, signer=LEGAL)
    with opened(package, now=ENDED)[0] as verified:
        assert verified.signer.name == "legal"


def test_the_last_second_is_not_the_end(package: Path) -> None:
    renewed(package, at=NOW + 365 * DAY, signer=LEGAL)


def test_its_end_is_all_that_is_passed_over(package: Path, tmp_path: Path) -> None:
    text = """\
version = 1
[[signer]]
name = "release"
keys = [{ file = "release.pub", not-after = 2027-11-25T00:00:00Z }]
[[package]]
name = "capital"
"""
    loaded = load(tmp_path / "policy", text)
    policy = loaded.policy(NamedPackage(name="capital"), frozenset(Algorithm))
    keys = KeyVerifier(loaded.signers.keys)
    before_both = NOW + 300 * DAY
    opened(package, now=before_both, renewing=True, policy=policy, trusted=keys)[0].close()
    after_both = datetime(2027, 12, 1, tzinfo=UTC)
    with pytest.raises(RefusedError) as caught:
        opened(package, now=after_both, renewing=True, policy=policy, trusted=keys)
    # the package ended two days before the key, and was good then; the key is judged now
    assert caught.value.kind is RefusalKind.EXPIRED
    assert "not-after" in str(caught.value)
    forge.flip(package / "model.gguf", -1)
    with pytest.raises(RefusedError) as caught:
        opened(package, now=ENDED, renewing=True)
    assert caught.value.kind is RefusalKind.DIGEST


def test_one_that_is_from_the_future_is_not_renewed(package: Path) -> None:
    with pytest.raises(RefusedError) as caught:
        opened(package, now=NOW - DAY, renewing=True)
    assert caught.value.what == "the manifest is from the future"


# --- how it is written -----------------------------------------------------------------------


def exchange_directory(package: Path) -> None:
    package.rename(package.parent / "aside")
    shutil.copytree(package.parent / "aside", package)


CHANGES: dict[str, Callable[[Path], object]] = {
    "model": lambda package: forge.flip(package / "model.gguf", -1),
    "signed": lambda package: counter_sign(package, LEGAL),
    "extra": lambda package: (package / "extra").write_bytes(b"x"),
    "directory": exchange_directory,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_package_that_changed_meanwhile_is_not_replaced(package: Path, change: str) -> None:
    verified, store = opened(package, now=LATER, renewing=True)
    request = RenewRequest(issued_at=LATER, valid_for=DAY, now=LATER)
    with verified:
        CHANGES[change](package)
        said = refused(
            package, lambda: written(verified, store, KeySealer(signer=TRUSTED), request)
        )
    assert str(said) == f"the package is not what was verified any more in {package}"


@pytest.mark.parametrize("change", CHANGES)
def test_one_that_changes_while_the_new_one_is_written_is_not_replaced(
    package: Path, change: str
) -> None:
    """A signature that was just added would be lost, and a model that was just changed signed."""
    verified, store = opened(package, now=LATER)
    with verified, PackageRenewal(store) as target:
        target.write("app.wasm", verified.component)
        CHANGES[change](package)
        changed = {name: seen.content for name, seen in tree(package).items()}
        with pytest.raises(UndecidedError) as caught:
            target.commit()
    assert str(caught.value) == f"the package is not what was verified any more in {package}"
    assert {name: seen.content for name, seen in tree(package).items()} == changed


@pytest.mark.parametrize("change", ["signed", "directory"])
def test_without_the_second_look_it_would_be(
    package: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EditableStore, "require_unchanged", lambda _: None)
    renewed(package, then=lambda: CHANGES[change](package))
    assert "signatures" not in tree(package)  # lost without a word


@pytest.mark.parametrize("is_linked", [True, False])
def test_where_nothing_can_be_linked_the_model_is_copied(
    package: Path, monkeypatch: pytest.MonkeyPatch, is_linked: bool
) -> None:
    before = (package / "model.gguf").stat().st_ino
    if not is_linked:
        monkeypatch.setattr(os, "link", forbidden)
    renewed(package)
    assert ((package / "model.gguf").stat().st_ino == before) is is_linked
    opened(package, now=LATER)[0].close()


def backed_up(package: Path) -> Path:
    """Another name of the model, outside of the package."""
    other = package.parent.parent / "other.gguf"
    os.link(package / "model.gguf", other)
    return other


def open_to_the_group(package: Path) -> Path:
    (package / "model.gguf").chmod(0o664)
    return package / "model.gguf"


def given_away(package: Path) -> Path:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(package / "model.gguf", NOBODY, -1)
    return package / "model.gguf"


SHARED = (backed_up, open_to_the_group, given_away)


@pytest.mark.parametrize("share", SHARED)
def test_a_model_that_others_could_change_is_copied(
    package: Path, share: Callable[[Path], Path]
) -> None:
    with share(package).open("r+b") as others:  # as they would have it
        renewed(package)
        others.seek(-1, os.SEEK_END)
        others.write(b"\xff")
    opened(package, now=LATER)[0].close()
    found = (package / "model.gguf").stat()
    assert (found.st_nlink, found.st_uid, found.st_mode & 0o022) == (1, os.geteuid(), 0)


@pytest.mark.parametrize("share", SHARED)
def test_without_the_look_at_who_could_they_would_change_what_was_signed(
    package: Path, share: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_renewal, "_is_ours_alone", lambda _: True)
    with share(package).open("r+b") as others:
        renewed(package)
        others.seek(-1, os.SEEK_END)
        others.write(b"\xff")
    with pytest.raises(RefusedError) as caught:
        opened(package, now=LATER)
    assert caught.value.kind is RefusalKind.DIGEST


@pytest.mark.parametrize(("mode", "after"), [(0o700, 0o700), (0o750, 0o750), (0o777, 0o755)])
def test_what_was_kept_from_others_stays_so(package: Path, mode: int, after: int) -> None:
    package.chmod(mode)
    umask = os.umask(0o022)
    try:
        renewed(package)
    finally:
        os.umask(umask)
    assert package.stat().st_mode & 0o777 == after


def forbidden(*_: object, **__: object) -> None:
    raise PermissionError(1, "Operation not permitted")


def test_a_copy_is_of_the_bytes_that_were_measured(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", forbidden)
    verified, store = opened(package, now=LATER)
    other = Digest(algorithm=Algorithm.SHA256, hex="0" * 64)

    def adopt() -> None:
        with PackageRenewal(store) as target:
            target.adopt("model.gguf", verified.model_file("model"), other)

    with verified:
        said = refused(package, adopt)
    assert str(said).startswith("the file was changed while it was copied in model.gguf (expected ")


def test_a_full_disk_leaves_the_old_package(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", forbidden)
    full = os.statvfs_result([4096, 4096, 1, 0, 0, 0, 0, 0, 0, 255])
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    said = refused(package, lambda: renewed(package))
    assert said.what == "cannot write the package: no space left on device"


def test_nobody_signs_while_it_is_renewed(package: Path) -> None:
    verified, store = opened(package, now=LATER)
    another, other_store = opened(package, now=LATER)
    with verified, another, PackageRenewal(store):
        said = refused(package, lambda: other_store.add("signatures/x", b"x"))
    assert str(said) == f"somebody else signs the package at the moment in {package}"


def test_who_verified_the_old_one_cannot_sign_the_new_one(package: Path) -> None:
    verified, store = opened(package, now=LATER)
    with verified:
        renewed(package)
        said = refused(package, lambda: store.add("signatures/x", b"x"))
    assert str(said) == f"the package is not what was verified any more in {package}"
