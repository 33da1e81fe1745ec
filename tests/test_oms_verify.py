"""A model directory against its OMS signature: attacks, and what happens without each check."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from infwasi_sign import oms_verify
from infwasi_sign.adapters import model_directory
from infwasi_sign.adapters.keys import sign_payload
from infwasi_sign.adapters.model_directory import open_model_directory
from infwasi_sign.adapters.oms_keys import (
    OmsCurve,
    OmsKey,
    OmsKeyVerifier,
    parse_oms_key,
    sign_oms,
)
from infwasi_sign.domain.bundle import encode_bundle
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.material import SigningMode
from infwasi_sign.domain.oms_bundle import (
    OmsBundle,
    OmsKeyMaterial,
    encode_oms_bundle,
    parse_oms_bundle,
)
from infwasi_sign.errors import InfwasiError, RefusalKind, RefusedError, UndecidedError
from infwasi_sign.oms_verify import verify_oms
from tests.key_support import ED25519, OTHER_P256, P256, undecided
from tests.oms_support import (
    FILES,
    AnyOmsSigner,
    CurveSigner,
    digest,
    make_model,
    payload_of,
    reroot,
    resign,
    verify_with,
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path)


def refused(model: Path) -> tuple[str, str]:
    with pytest.raises(RefusedError) as caught:
        verify_with(model)
    return str(caught.value.kind), str(caught.value)


# --- honest ----------------------------------------------------------------------------------


def test_verifies_every_file_of_nested_folders(model: Path) -> None:
    verified = verify_with(model)
    assert {file.path: file.digest for file in verified.files} == {
        name: digest(content) for name, content in FILES.items()
    }
    assert [file.size_bytes for file in verified.files] == [
        len(FILES[file.path]) for file in verified.files
    ]
    assert verified.signer.fingerprint == sha256(P256.public_key()).hexdigest()
    assert (verified.signer.name, verified.signer.algorithm) == ("trusted", "ecdsa-p256-sha256")
    assert verified.payload_digest == digest(payload_of())
    assert verified.ignored == ()


def test_a_directory_may_be_moved_and_renamed(model: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "another name"
    moved.parent.mkdir()
    model.rename(moved)
    assert len(verify_with(moved).files) == len(FILES)


def test_what_the_signer_ignored_is_named_and_not_looked_at(model: Path) -> None:
    (model / ".git").mkdir()
    (model / ".git" / "link").symlink_to("/etc/passwd")
    (model / ".gitattributes").write_text("*.onnx filter=lfs\n")
    assert verify_with(model).ignored == (".git", ".gitattributes")


def test_empty_folders_hold_nothing_that_could_be_signed(model: Path) -> None:
    (model / "empty" / "inner").mkdir(parents=True)
    assert len(verify_with(model).files) == len(FILES)


@pytest.mark.parametrize(
    ("curve", "name"),
    [
        (ec.SECP256R1(), OmsCurve.P256),
        (ec.SECP384R1(), OmsCurve.P384),
        (ec.SECP521R1(), OmsCurve.P521),
    ],
)
def test_keys_of_three_curves_sign_and_verify(
    curve: ec.EllipticCurve, name: OmsCurve, tmp_path: Path
) -> None:
    signer = CurveSigner(ec.generate_private_key(curve))
    model = make_model(tmp_path)
    (model / "model.sig").write_bytes(sign_oms(signer, payload_of()))
    key = parse_oms_key(signer.public_key(), where="key")
    with open_model_directory(model) as opened:
        verified = verify_oms(opened, signatures=OmsKeyVerifier(key, name="k"))
    assert verified.signer.algorithm == str(name) == str(key.curve)


def test_a_bundle_without_a_hint_is_verified_by_its_signature(model: Path) -> None:
    bundle = parse_oms_bundle((model / "model.sig").read_bytes(), SigningMode.KEY)
    bare = OmsBundle(envelope=bundle.envelope, material=OmsKeyMaterial(hint=None))
    (model / "model.sig").write_bytes(encode_oms_bundle(bare))
    assert len(verify_with(model).files) == len(FILES)


# --- attacks ---------------------------------------------------------------------------------

Attack = Callable[[Path], object]


def _change(model: Path) -> None:
    (model / "onnx" / "decoder" / "model.onnx").write_bytes(b"nestee")


def _add(name: str) -> Attack:
    def attack(model: Path) -> None:
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_bytes(b"")

    return attack


def _rename(model: Path) -> None:
    (model / "config.json").rename(model / "config2.json")


def _swap(model: Path) -> None:
    one, other = model / "onnx" / "model.onnx", model / "onnx" / "decoder" / "model.onnx"
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def _link_file(model: Path) -> None:
    (model / "config.json").rename(model.parent / "outside.json")
    (model / "config.json").symlink_to("../outside.json")


def _link_folder(model: Path) -> None:
    (model / "onnx").rename(model.parent / "outside")
    (model / "onnx").symlink_to("../outside")


def _link_signature(model: Path) -> None:
    (model / "model.sig").rename(model.parent / "outside.sig")
    (model / "model.sig").symlink_to("../outside.sig")


def _pipe(model: Path) -> None:
    os.mkfifo(model / "pipe")


def _folder_for_file(model: Path) -> None:
    (model / "config.json").unlink()
    (model / "config.json").mkdir()


def _stranger(model: Path) -> None:
    (model / "model.sig").write_bytes(sign_oms(OTHER_P256, payload_of()))


def _stranger_with_our_hint(model: Path) -> None:
    bundle = parse_oms_bundle(sign_oms(OTHER_P256, payload_of()), SigningMode.KEY)
    hint = parse_oms_key(P256.public_key(), where="key").hint
    forged = OmsBundle(envelope=bundle.envelope, material=OmsKeyMaterial(hint=hint))
    (model / "model.sig").write_bytes(encode_oms_bundle(forged))


def _hint_of_another(model: Path) -> None:
    bundle = parse_oms_bundle((model / "model.sig").read_bytes(), SigningMode.KEY)
    hint = parse_oms_key(OTHER_P256.public_key(), where="key").hint
    forged = OmsBundle(envelope=bundle.envelope, material=OmsKeyMaterial(hint=hint))
    (model / "model.sig").write_bytes(encode_oms_bundle(forged))


def _widen_unsigned(model: Path) -> None:
    (model / "evil.py").write_bytes(b"")
    resign(model, lambda v: v["predicate"]["serialization"]["ignore_paths"].append("evil.py"))


def _swap_resources(model: Path) -> None:
    def change(value: Any) -> None:
        first, second = value["predicate"]["resources"][:2]
        first["digest"], second["digest"] = second["digest"], first["digest"]
        reroot(value)

    resign(model, change)


def _member_twice(model: Path) -> None:
    path = model / "model.sig"
    path.write_bytes(path.read_bytes().replace(b'"mediaType"', b'"mediaType":"x","mediaType"'))


def _package_bundle(model: Path) -> None:
    (model / "model.sig").write_bytes(encode_bundle(sign_payload(P256, payload_of())))


ATTACKS: dict[str, tuple[Attack, str, str]] = {
    "changed file": (_change, "digest", "digest differs in onnx/decoder/model.onnx"),
    "extra file": (_add("evil.py"), "extra", "file is not signed in evil.py"),
    "extra file in a folder": (_add("onnx/x"), "extra", "file is not signed in onnx/x"),
    "extra hidden file": (_add(".hidden/x"), "extra", "file is not signed in .hidden/x"),
    "almost an ignored name": (_add(".github2"), "extra", "file is not signed in .github2"),
    "ignored name elsewhere": (_add("onnx/.git"), "extra", "file is not signed in onnx/.git"),
    "missing file": (
        lambda model: (model / "config.json").unlink(),
        "missing",
        "file is missing in config.json",
    ),
    "renamed file": (_rename, "missing", "file is missing in config.json"),
    "swapped files": (_swap, "digest", "digest differs in onnx/decoder/model.onnx"),
    "link for a file": (
        _link_file,
        "malformed",
        "not a regular file in config.json (expected a file or a directory, got a symbolic link)",
    ),
    "link for a folder": (
        _link_folder,
        "malformed",
        "not a regular file in onnx (expected a file or a directory, got a symbolic link)",
    ),
    "link for the signature": (
        _link_signature,
        "malformed",
        "not a regular file in model.sig (expected a file, got a symbolic link)",
    ),
    "pipe": (
        _pipe,
        "malformed",
        "not a regular file in pipe (expected a file or a directory, got something else)",
    ),
    "folder for a file": (_folder_for_file, "missing", "file is missing in config.json"),
    "no signature": (
        lambda model: (model / "model.sig").unlink(),
        "unsigned",
        "model directory has no OMS signature in",
    ),
    "other key": (_stranger, "signer", "signed by a key that is not trusted"),
    "other key, our hint": (
        _stranger_with_our_hint,
        "signature",
        "signature is not that of key 'trusted' over this payload",
    ),
    "hint of another": (
        _hint_of_another,
        "signature",
        "hint does not belong to the key that signed",
    ),
    "ignore_paths widened, unsigned": (
        _widen_unsigned,
        "signature",
        "signature is not that of key 'trusted' over this payload",
    ),
    "resources swapped, unsigned": (
        _swap_resources,
        "signature",
        "signature is not that of key 'trusted' over this payload",
    ),
    "member twice": (_member_twice, "malformed", "member stands twice in bundle"),
    "hint of a package": (_package_bundle, "malformed", "not a key hint in"),
}


@pytest.mark.parametrize(("attack", "kind", "message"), ATTACKS.values(), ids=ATTACKS)
def test_refuses(attack: Attack, kind: str, message: str, model: Path) -> None:
    attack(model)
    said = refused(model)
    assert said[0] == kind
    assert said[1].startswith(message)


def test_what_is_ignored_is_what_was_signed_and_nothing_else(model: Path) -> None:
    (model / "notes.txt").write_bytes(b"")
    assert refused(model) == ("extra", "file is not signed in notes.txt")
    widen = lambda v: v["predicate"]["serialization"]["ignore_paths"].append("notes.txt")  # noqa: E731 -- one line, used twice
    resign(model, widen)
    assert refused(model)[0] == "signature"
    resign(model, lambda _: None, signed=True)
    assert verify_with(model).ignored == ("notes.txt",)


def test_refuses_a_directory_of_too_many_files(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = replace(LIMITS, oms_resources=4, oms_ignored_paths=2)  # 5 files, 2 folders, a signature
    monkeypatch.setattr(model_directory, "LIMITS", few)
    assert refused(model) == ("limit", f"too many files in {model} (expected at most 4)")


def test_says_how_much_there_is_before_it_is_measured(model: Path) -> None:
    told: list[tuple[int, str]] = []
    measured: list[int] = []
    key = parse_oms_key(P256.public_key(), where="key")
    with open_model_directory(model) as opened:
        verify_oms(
            opened,
            signatures=OmsKeyVerifier(key, name="trusted"),
            progress=measured.append,
            on_survey=lambda found, signer: told.append((sum(found.files.values()), signer.name)),
        )
    assert told == [(sum(map(len, FILES.values())), "trusted")] == [(sum(measured), "trusted")]


def test_links_are_refused_even_if_the_signer_followed_them(model: Path) -> None:
    resign(
        model, lambda v: v["predicate"]["serialization"].update(allow_symlinks=True), signed=True
    )
    assert verify_with(model).payload.allows_links
    _link_file(model)
    assert refused(model)[0] == "malformed"


def test_refuses_folders_that_nest_without_end(model: Path) -> None:
    path = model / "a"
    for _ in range(LIMITS.oms_path_depth):
        path = path / "a"
    path.mkdir(parents=True)
    kind, said = refused(model)
    assert kind == "limit"
    assert said.startswith("folders are nested too deep in a/a/a")


def test_descriptors_do_not_grow_with_files_or_failures(model: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    verify_with(model)
    (model / "onnx" / "decoder" / "link").symlink_to("x")
    with pytest.raises(RefusedError) as caught:
        verify_with(model)
    assert "onnx/decoder/link" in str(caught.value)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# --- keys ------------------------------------------------------------------------------------


def test_ed25519_is_refused_in_one_clear_line() -> None:
    error = undecided(lambda: parse_oms_key(ED25519.public_key(), where="release.pub"))
    assert str(error) == (
        "key type is not one that OMS signatures have in release.pub "
        "(expected P-256, P-384 or P-521, got Ed25519)"
    )
    error = undecided(lambda: sign_oms(ED25519, payload_of()))
    assert str(error).startswith("key type is not one that OMS signatures have in the signer's")


def test_a_point_beside_the_curve_is_no_key() -> None:
    spki = P256.public_key()
    error = undecided(lambda: parse_oms_key(spki[:-1] + bytes([spki[-1] ^ 1]), where="k"))
    assert str(error) == "not a point of the curve of ecdsa-p256-sha256 in k"


def test_a_signer_that_signs_something_else_is_noticed() -> None:
    class Liar:
        def public_key(self) -> bytes:
            return P256.public_key()

        def sign(self, data: bytes) -> bytes:
            return P256.sign(data + b"x")

    error = undecided(lambda: sign_oms(Liar(), payload_of()))
    assert str(error) == "signer made a signature that its own key does not verify"


def test_a_bundle_of_another_mode_is_not_for_a_key() -> None:
    certificate = json.loads(sign_oms(P256, payload_of()))
    certificate["verificationMaterial"] = {
        "x509CertificateChain": {"certificates": [{"rawBytes": "AAAA"}]}
    }
    bundle = parse_oms_bundle(json.dumps(certificate).encode(), SigningMode.CERTIFICATE)
    key = parse_oms_key(P256.public_key(), where="k")
    with pytest.raises(RefusedError, match="not signed by a key in bundle") as caught:
        OmsKeyVerifier(key, name="k").verify(bundle)
    assert caught.value.kind is RefusalKind.MALFORMED


# --- places ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", "no model directory there in "),
        ("trusted.pub", "not a model directory in "),
        ("a\0b", "not a path in "),
    ],
)
def test_what_is_no_directory_is_no_verdict(name: str, said: str, model: Path) -> None:
    with pytest.raises(UndecidedError) as caught, open_model_directory(model.parent / name):
        pass
    assert str(caught.value).startswith(said)


def test_a_link_that_the_user_names_is_followed(model: Path) -> None:
    (model.parent / "link").symlink_to(model)
    assert len(verify_with(model.parent / "link").files) == len(FILES)


# --- controls --------------------------------------------------------------------------------


def nothing(*_: object) -> None:
    """A check that never says no."""


def outcome(model: Path) -> str:
    try:
        verify_with(model)
    except InfwasiError as e:
        return str(e)
    return "verified"


MADE = (OmsKey, "made", lambda *_: True)
ALL = (oms_verify, "_require_all", nothing)
NO_OTHER = (oms_verify, "_require_no_other", nothing)
DIGEST = (oms_verify, "_require_digest", nothing)

CONTROLS: list[tuple[tuple[tuple[object, str, Any], ...], tuple[str, ...]]] = [
    ((DIGEST,), ("changed file", "swapped files")),
    ((NO_OTHER,), ("extra file", "extra file in a folder", "ignored name elsewhere")),
    ((MADE,), ("other key, our hint", "ignore_paths widened, unsigned")),
    ((MADE, DIGEST), ("resources swapped, unsigned",)),
]


@pytest.mark.parametrize(
    ("checks", "attack"),
    [(checks, attack) for checks, attacks in CONTROLS for attack in attacks],
    ids=lambda value: value if isinstance(value, str) else "+".join(name for _, name, _ in value),
)
def test_without_the_check_the_attack_gets_through(
    checks: tuple[tuple[object, str, Any], ...],
    attack: str,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ATTACKS[attack][0](model)
    assert outcome(model) != "verified"
    for where, name, instead in checks:
        monkeypatch.setattr(where, name, instead)
    assert outcome(model) == "verified"


def test_without_the_check_a_missing_file_is_met_later(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second look, when the file is opened, sees it too."""
    (model / "config.json").unlink()
    monkeypatch.setattr(oms_verify, "_require_all", nothing)
    assert outcome(model) == "file is missing in config.json"


def test_who_trusts_anybody_sees_no_stranger(model: Path) -> None:
    _stranger(model)
    assert outcome(model).startswith("signed by a key that is not trusted")
    with open_model_directory(model) as opened:
        verified = verify_oms(opened, signatures=AnyOmsSigner(SigningMode.KEY))
    assert len(verified.files) == len(FILES)
