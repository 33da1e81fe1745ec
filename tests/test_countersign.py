"""Counter-signatures: over the verified bytes, one for each signer, into the verified package."""

import base64
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from infwasi_sign import countersign
from infwasi_sign.adapters.bundle_signers import name_signer
from infwasi_sign.adapters.keys import KeyVerifier, sign_payload
from infwasi_sign.adapters.package_editing import EditableStore
from infwasi_sign.adapters.sealing import KeySealer
from infwasi_sign.domain import strict_json
from infwasi_sign.domain.bundle import Bundle, parse_bundle, verification_hint
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.material import Certified, KeyHint, LogEntry, Logged
from infwasi_sign.domain.policy import NamedPackage, without_thresholds
from infwasi_sign.errors import RefusalKind, RefusedError, UndecidedError
from tests import certificate_authority, forge
from tests.forge import STRANGER, TRUSTED, VectorSigner, counter_sign
from tests.policy_support import load
from tests.signing_support import LEGAL, POLICY, SECURITY, add_signature, opened, sign, tree

CHANGED = "the package is not what was verified any more in {}"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return forge.make_package(tmp_path / "packages")


def fingerprint(signer: VectorSigner) -> str:
    return name_signer(sign_payload(signer, b"{}").material)


def undecided(act: Callable[[], object]) -> str:
    with pytest.raises(UndecidedError) as caught:
        act()
    return str(caught.value)


# --- what is added ---------------------------------------------------------------------------


def test_adds_one_file_over_the_very_payload_and_changes_nothing_else(package: Path) -> None:
    before = tree(package)
    signed = sign(package, SECURITY)
    after = tree(package)
    assert after.keys() - before.keys() == {"signatures", signed.file}
    assert {name: after[name] for name in before} == before
    assert after[signed.file].mode & 0o777 == 0o666 & ~umask()
    bundle = parse_bundle(after[signed.file].content)
    assert bundle.envelope.payload == base64.b64decode(
        forge.bundle_json(package)["dsseEnvelope"]["payload"]
    )
    assert (signed.signer and signed.signer.name, signed.missing) == ("security", None)
    verified, _ = opened(package)
    with verified:
        assert [one.name for one in verified.signatures.signers] == ["trusted", "security"]
    assert [path.name for path in package.parent.iterdir()] == [package.name]


def umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def test_sixteen_sign_and_the_seventeenth_finds_no_room(package: Path) -> None:
    for number in range(15):
        counter_sign(package, VectorSigner(f"witness {number}"))
    sign(package, SECURITY)
    before = tree(package)
    assert undecided(lambda: sign(package, LEGAL)) == (
        "the package has all the counter-signatures that it may have (expected at most 16)"
    )
    assert tree(package) == before


def test_who_packed_it_signs_it_no_second_time(package: Path) -> None:
    assert undecided(lambda: sign(package, TRUSTED)) == (
        f"this signer packed the package, and counts already (got {fingerprint(TRUSTED)})"
    )
    assert not (package / "signatures").exists()


@pytest.mark.parametrize("signer", [SECURITY, STRANGER], ids=["named", "stranger"])
def test_nobody_signs_twice(package: Path, signer: VectorSigner) -> None:
    first = sign(package, signer)
    before = tree(package)
    assert undecided(lambda: sign(package, signer)) == (
        f"this signer signed already in {first.file} (got {fingerprint(signer)})"
    )
    assert tree(package) == before


def test_a_key_and_its_certificate_are_one_signer() -> None:
    issued = certificate_authority.leaf(certificate_authority.ca("root"))
    spki = issued.certificate.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    by_key = name_signer(KeyHint(hint=verification_hint(spki)))
    assert name_signer(Certified(certificate=issued.der, timestamps=())) == by_key


@pytest.mark.parametrize("certificate", [b"", b"x", b"\x30\x00"])
def test_what_is_no_certificate_is_named_by_its_digest(certificate: bytes) -> None:
    name = name_signer(Certified(certificate=certificate, timestamps=()))
    assert name.startswith("certificate sha256:")


def test_a_stranger_without_a_name_stops_nobody() -> None:
    """A bundle of a mode in which nobody is trusted holds any certificate at all."""
    nameless = certificate_authority.leaf(None, names=())
    entry = LogEntry(
        log_index=0,
        log_id=b"x",
        kind="dsse",
        version="0.0.1",
        integrated_time=None,
        promise=None,
        proof_index=0,
        root_hash=b"x",
        tree_size=1,
        hashes=(),
        checkpoint="x",
        body=b"x",
    )
    name = name_signer(Logged(certificate=nameless.der, entry=entry, timestamps=()))
    assert name.startswith("certificate sha256:")


# --- what a signer may do wrong --------------------------------------------------------------


@dataclass(frozen=True)
class BentSealer:
    """Says that it is one signer, and gives any bundle."""

    bundle: Bundle
    known_as: str | None = None
    obstacle: str | None = None

    def seal(self, _: bytes) -> Bundle:
        return self.bundle

    def companion(self, payload: bytes) -> bytes:
        return payload


def bent(package: Path, bundle: Bundle, known_as: str | None = None) -> str:
    verified, store = opened(package)
    before = tree(package)
    with verified:
        said = undecided(lambda: add_signature(verified, store, BentSealer(bundle, known_as)))
    assert tree(package) == before
    return said


def payload_of(package: Path) -> bytes:
    return base64.b64decode(forge.bundle_json(package)["dsseEnvelope"]["payload"])


def test_a_signature_over_another_payload_is_not_written(package: Path) -> None:
    value = forge.statement(package)
    value["predicate"]["sequence"] += 1
    other = sign_payload(SECURITY, strict_json.canonical(value))
    assert bent(package, other) == "what was signed is not the statement of the package"
    # the same meaning in other bytes is another payload
    spaced = json.dumps(forge.statement(package)).encode()
    assert bent(package, sign_payload(SECURITY, spaced)) == (
        "what was signed is not the statement of the package"
    )


def test_a_signature_that_does_not_verify_is_not_written(package: Path) -> None:
    good = sign_payload(SECURITY, payload_of(package))
    other = sign_payload(LEGAL, payload_of(package))
    mixed = replace(good, envelope=replace(good.envelope, signature=other.envelope.signature))
    assert bent(package, mixed).startswith("what was signed does not verify (got hint does not")


def test_who_signs_is_told_by_the_bundle_and_not_by_the_signer(package: Path) -> None:
    again = sign_payload(TRUSTED, payload_of(package))
    assert bent(package, again, known_as="somebody else").startswith("this signer packed")


SWITCHED_OFF: list[tuple[str, Callable[[bytes], Bundle], str]] = [
    (
        "_require_same_payload",
        lambda _: sign_payload(SECURITY, b'{"another":"payload"}'),
        "the counter-signature is over another statement",
    ),
    (
        "_trusted",
        lambda payload: replace(
            sign_payload(SECURITY, payload),
            envelope=sign_payload(LEGAL, payload).envelope,
        ),
        "hint does not belong to the key that signed",
    ),
]


@pytest.mark.parametrize(("check", "make", "then"), SWITCHED_OFF, ids=["payload", "signature"])
def test_without_the_check_it_would_spoil_the_package(
    package: Path,
    check: str,
    make: Callable[[bytes], Bundle],
    then: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(countersign, check, lambda *_: None)
    verified, store = opened(package)
    with verified:
        add_signature(verified, store, BentSealer(make(payload_of(package))))
    with pytest.raises(RefusedError, match=then):
        opened(package)


def test_without_the_check_one_signer_fills_the_package(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(countersign, "_require_new", lambda *_: None)
    sign(package, TRUSTED)
    with opened(package)[0] as verified:
        assert [one.name for one in verified.signatures.signers] == ["trusted", "trusted"]


POLICY_TEXT = """\
version = 1
[[signer]]
name = "release"
keys = [{ file = "release.pub" }]
[[signer]]
name = "security"
keys = [{ file = "security.pub"END }]
[[package]]
name = "capital"
"""
DENIAL = '[[deny]]\nkey = ["{}"]\nreason = "lost"\ndate = 2026-01-02\n'


@pytest.mark.parametrize(
    ("end", "denial", "kind"),
    [
        ("", DENIAL.format(fingerprint(SECURITY)), RefusalKind.REVOKED),
        (", not-after = 2026-01-01T00:00:00Z", "", RefusalKind.EXPIRED),
    ],
    ids=["denied", "ended"],
)
def test_who_is_denied_or_ended_does_not_spoil_the_package(
    package: Path, tmp_path: Path, end: str, denial: str, kind: RefusalKind
) -> None:
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "security.pub").write_bytes(SECURITY.public_pem())
    loaded = load(folder, POLICY_TEXT.replace("END", end) + denial)
    policy = loaded.policy(NamedPackage(name="capital"), frozenset(Algorithm))
    keys = KeyVerifier(loaded.signers.keys)
    verified, store = opened(package, policy=without_thresholds(policy), trusted=keys)
    before = tree(package)
    with verified, pytest.raises(RefusedError) as caught:
        add_signature(verified, store, KeySealer(signer=SECURITY), policy=policy, trusted=keys)
    assert caught.value.kind is kind
    assert tree(package) == before


# --- the package changes meanwhile -----------------------------------------------------------


def flip_model(package: Path) -> None:
    forge.flip(package / "model.gguf", -1)


def exchange_manifest(package: Path) -> None:
    """Even by the same bytes: a name that leads to another file."""
    path = package / forge.MANIFEST
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)


def add_file(package: Path) -> None:
    (package / "extra").write_bytes(b"x")


def take_file(package: Path) -> None:
    (package / "bom.cdx.json").unlink()


def put_link(package: Path) -> None:
    (package / "bom.cdx.json").rename(package.parent / "bom")
    (package / "bom.cdx.json").symlink_to("../bom")


def exchange_directory(package: Path) -> None:
    package.rename(package.parent / "aside")
    shutil.copytree(package.parent / "aside", package)


def link_to_directory(package: Path) -> None:
    package.rename(package.parent / "aside")
    package.symlink_to("aside")


def take_directory(package: Path) -> None:
    package.rename(package.parent / "aside")


def signatures_are_a_link(package: Path) -> None:
    (package.parent / "elsewhere").mkdir()
    (package / "signatures").symlink_to("../elsewhere")


def somebody_signs(package: Path) -> None:
    counter_sign(package, LEGAL)


CHANGES = [
    flip_model,
    exchange_manifest,
    add_file,
    take_file,
    put_link,
    exchange_directory,
    link_to_directory,
    take_directory,
    signatures_are_a_link,
    somebody_signs,
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_package_that_changed_meanwhile_is_not_signed(
    package: Path, change: Callable[[Path], None]
) -> None:
    after: dict[str, Any] = {}

    def then() -> None:
        change(package)
        after.update(tree(package.parent))

    said = undecided(lambda: sign(package, SECURITY, then))
    assert said == CHANGED.format(package)
    assert tree(package.parent) == after


@pytest.mark.parametrize(
    "change", [flip_model, exchange_manifest, add_file, exchange_directory, somebody_signs]
)
def test_without_the_second_look_it_would_be(
    package: Path, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EditableStore, "require_unchanged", lambda _: None)
    signed = sign(package, SECURITY, lambda: change(package))
    assert any(package.parent.rglob(signed.file.split("/")[1]))


def test_a_link_that_comes_after_the_second_look_is_not_followed(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EditableStore, "require_unchanged", lambda _: None)
    said = undecided(lambda: sign(package, SECURITY, lambda: signatures_are_a_link(package)))
    assert said.startswith("cannot write the counter-signature: not a directory in ")
    assert list((package.parent / "elsewhere").iterdir()) == []


def test_a_package_whose_signatures_are_a_link_is_refused_before(package: Path) -> None:
    signatures_are_a_link(package)
    with pytest.raises(RefusedError) as caught:
        sign(package, SECURITY)
    assert (caught.value.kind, str(caught.value)) == (
        RefusalKind.MALFORMED,
        "not a directory in signatures",
    )


def test_no_two_sign_at_once(package: Path) -> None:
    other = os.open(package, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        said = undecided(lambda: sign(package, SECURITY))
    finally:
        os.close(other)
    assert said == f"somebody else signs the package at the moment in {package}"
    sign(package, SECURITY)


# --- how it is written -----------------------------------------------------------------------


def without_unnamed_files(patch: pytest.MonkeyPatch, code: int) -> None:
    """A file system that knows no O_TMPFILE."""
    plain = os.open

    def refuse(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(code, os.strerror(code))
        return plain(path, flags, *arguments, **named)

    patch.setattr(os, "open", refuse)


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL])
def test_where_no_file_can_be_without_a_name_it_is_written_beside_the_package(
    package: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    left = package.parent / f".{package.name}.{'0' * 16}.signature.tmp"
    others = package.parent / f".{package.name}.{'0' * 16}.tmp"
    left.write_bytes(b"of a run that was killed")
    others.write_bytes(b"of somebody else")
    without_unnamed_files(monkeypatch, code)
    signed = sign(package, SECURITY)
    assert (package / signed.file).is_file()
    assert sorted(path.name for path in package.parent.iterdir()) == [others.name, package.name]
    opened(package)[0].close()


@pytest.mark.parametrize("is_unnamed", [True, False], ids=["unnamed", "beside"])
def test_no_file_is_written_over(
    package: Path, monkeypatch: pytest.MonkeyPatch, is_unnamed: bool
) -> None:
    if not is_unnamed:
        without_unnamed_files(monkeypatch, errno.EOPNOTSUPP)
    monkeypatch.setattr(EditableStore, "require_unchanged", lambda _: None)
    verified, store = opened(package)
    with verified:
        store.add("signatures/x", b"one")
        said = undecided(lambda: store.add("signatures/x", b"two"))
    assert said == f"cannot write the counter-signature: file exists in {package}/signatures/x"
    assert (package / "signatures/x").read_bytes() == b"one"
    assert [path.name for path in package.parent.iterdir()] == [package.name]


@pytest.mark.parametrize("call", ["write", "fsync", "link", "mkdir"])
def test_a_full_disk_leaves_nothing_behind(
    package: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = tree(package)
    with monkeypatch.context() as patch:
        said = undecided(lambda: sign(package, SECURITY, lambda: patch.setattr(os, call, fail)))
    assert said.startswith("cannot write the counter-signature: no space left on device in ")
    assert tree(package).keys() - before.keys() <= {"signatures"}
    sign(package, SECURITY)


def test_the_policy_judges_at_the_time_of_the_clock(package: Path) -> None:
    late = datetime(2030, 1, 1, tzinfo=UTC)
    with pytest.raises(RefusedError) as caught:
        opened(package, now=late, policy=POLICY)
    assert caught.value.kind is RefusalKind.EXPIRED
