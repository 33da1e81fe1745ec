"""Keys in a token, asked through PKCS #11: SoftHSM in a temporary folder."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pkcs11
import pytest

from infwasi_sign.adapters import pkcs11_signer
from infwasi_sign.adapters.key_files import public_pem
from infwasi_sign.adapters.keys import KeyKind, parse_public_key, sign_payload
from infwasi_sign.adapters.pkcs11_signer import TokenSigner
from infwasi_sign.adapters.signer_source import open_signer
from infwasi_sign.errors import UndecidedError
from tests import token_support
from tests.command_line import infwasi
from tests.gguf_forge import tiny_gguf
from tests.key_support import nobody_is_asked, undecided, write
from tests.token_support import LABEL, PIN

MODULE = token_support.softhsm()
TOKEN = f"pkcs11:token={LABEL.replace(' ', '%20')};object="

pytestmark = pytest.mark.skipif(
    MODULE is None or shutil.which("softhsm2-util") is None, reason=token_support.NEEDS
)


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    assert MODULE is not None
    found = token_support.make_token(tmp_path_factory.mktemp("token"), MODULE)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in found.items():
            patch.setenv(name, value)
        token_support.fill(MODULE)
        yield found


@pytest.fixture(autouse=True)
def token(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def opened(reference: str) -> TokenSigner:
    signer = open_signer(reference, nobody_is_asked)
    assert isinstance(signer, TokenSigner)
    return signer


def failure(reference: str) -> UndecidedError:
    return undecided(lambda: opened(reference))


# --- it signs --------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", ["object=release", "id=%01", "id=%01;object=release"])
def test_signs_with_the_key_that_is_named(reference: str) -> None:
    signer = opened(f"pkcs11:{reference};type=private")
    try:
        key = parse_public_key(signer.public_key(), where="test")
        assert key.kind is KeyKind.P256
        sign_payload(signer, b"{}")
        # r and s begin with a set bit or with zeros often enough in so many
        assert all(key.made(signer.sign(bytes([n])), bytes([n])) for n in range(200))
        assert not key.made(signer.sign(b"a"), b"b")
    finally:
        signer.close()


def test_signs_with_ed25519() -> None:
    if not token_support.knows_ed25519():
        pytest.skip("this SoftHSM was built without EdDSA")
    signer = opened(f"{TOKEN}edwards")
    try:
        key = parse_public_key(signer.public_key(), where="test")
        assert key.kind is KeyKind.ED25519
        sign_payload(signer, b"{}")
    finally:
        signer.close()


def test_gives_the_pin_again_to_a_key_that_wants_it_each_time() -> None:
    signer = opened(f"{TOKEN}careful")
    try:
        assert signer.pin_again == PIN
        sign_payload(signer, b"{}")
        sign_payload(signer, b"{}")
    finally:
        signer.close()


def test_its_repr_shows_no_pin() -> None:
    signer = opened(f"{TOKEN}careful")
    signer.close()
    assert PIN not in repr(signer)


# --- it does not -----------------------------------------------------------------------------


def not_one(what: str, found: int) -> str:
    return f"not exactly one {what} is the one that the URI names (expected 1, got {found})"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (
            "pkcs11:object=none",
            not_one("private key of the token", 0),
        ),
        (
            "pkcs11:object=twin",
            not_one("private key of the token", 2),
        ),
        (
            "pkcs11:object=lonely",
            not_one("public key of the token", 0),
        ),
        (
            "pkcs11:object=release;id=%02",
            not_one("private key of the token", 0),
        ),
        (
            "pkcs11:object=release;token=other",
            not_one("token", 0),
        ),
        (
            "pkcs11:object=release;serial=00",
            not_one("token", 0),
        ),
        (
            "pkcs11:object=release;model=00",
            not_one("token", 0),
        ),
        (
            "pkcs11:object=release;manufacturer=x",
            not_one("token", 0),
        ),
        (
            "pkcs11:object=release;slot-id=0",
            not_one("token", 0),
        ),
        (
            "pkcs11:object=p384",
            "key type is not supported in the token (expected P-256 or Ed25519)",
        ),
    ],
)
def test_refuses_a_key_that_is_not_exactly_the_one(reference: str, message: str) -> None:
    assert str(failure(reference)) == message
    opened(f"{TOKEN}release").close()  # and is logged out again


class TwoReaders:
    """A module that shows each token twice, as with two cards of one kind."""

    load = staticmethod(pkcs11.lib)

    def __init__(self, module: str) -> None:
        self._slots = [*self.load(module).get_slots(token_present=True)]

    def get_slots(self, *, token_present: bool) -> list[pkcs11.Slot]:
        assert token_present
        return self._slots * 2


def test_never_chooses_between_two_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pkcs11, "lib", TwoReaders)
    assert str(failure("pkcs11:object=release")) == not_one("token", 2)


def test_a_signature_of_another_length_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    signer = opened(f"{TOKEN}release")
    try:
        monkeypatch.setattr(pkcs11_signer, "_SIGNATURE_BYTES", 96)  # as that of P-384
        assert str(undecided(lambda: signer.sign(b"x"))) == (
            "the token made a signature of a wrong length (expected 96 bytes, got 64)"
        )
    finally:
        signer.close()


def test_a_public_key_of_another_pair_is_noticed_before_anything_is_written() -> None:
    signer = opened(f"{TOKEN}crossed")
    try:
        error = undecided(lambda: sign_payload(signer, b"{}"))
    finally:
        signer.close()
    assert str(error) == "signer made a signature that its own key does not verify"


def test_a_wrong_pin_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def ask() -> bytes:
        tried.append(1)
        return b"0000"

    monkeypatch.delenv("INFWASI_PKCS11_PIN")
    error = undecided(lambda: open_signer(f"{TOKEN}release", ask))
    assert str(error) == "token: cannot log in (got the PIN is wrong)"
    assert tried == [1]


# --- where the PIN comes from ----------------------------------------------------------------


def test_the_pin_comes_from_a_file_that_the_uri_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFWASI_PKCS11_PIN", "wrong")
    pin = write(tmp_path / "pin", PIN.encode() + b"\n")
    opened(f"{TOKEN}release?pin-source=file:{pin}").close()
    pin.chmod(0o644)
    assert str(failure(f"{TOKEN}release?pin-source=file:{pin}")).startswith("file can be accessed")


def test_the_pin_is_asked_for_where_nothing_else_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INFWASI_PKCS11_PIN")
    signer = open_signer(f"{TOKEN}release", PIN.encode)
    assert isinstance(signer, TokenSigner)
    signer.close()


def test_a_pin_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INFWASI_PKCS11_PIN")
    error = undecided(lambda: open_signer(f"{TOKEN}release", lambda: b"\xff"))
    assert str(error) == "PIN is not UTF-8 in the answer"


# --- the module ------------------------------------------------------------------------------


def test_the_module_is_named_by_the_uri_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFWASI_PKCS11_MODULE", "/nowhere.so")
    opened(f"{TOKEN}release?module-path={MODULE}").close()
    monkeypatch.delenv("INFWASI_PKCS11_MODULE")
    error = failure(f"{TOKEN}release")
    assert str(error) == "which PKCS#11 module is not said"
    monkeypatch.setenv("INFWASI_PKCS11_MODULE", "softhsm.so")
    relative = "PKCS#11 module is a relative path in INFWASI_PKCS11_MODULE"
    assert str(failure(f"{TOKEN}release")) == f"{relative} (expected an absolute path)"


@pytest.fixture
def shared() -> Iterator[Path]:
    """The module in a folder that is fine, and anybody may write the file."""
    assert MODULE is not None
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "shared.so"
        shutil.copyfile(MODULE, copy)
        copy.chmod(0o666)
        yield copy


def test_a_module_that_others_could_change_is_not_loaded(shared: Path) -> None:
    error = failure(f"{TOKEN}release?module-path={shared}")
    assert str(error).startswith("PKCS#11 module can be written by others")


def test_without_that_check_it_would_be(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pkcs11_signer, "read_trusted", lambda *_: b"")
    opened(f"{TOKEN}release?module-path={shared}").close()


def test_what_is_no_module_is_not_one(tmp_path: Path) -> None:
    text = write(tmp_path / "text.so", b"not a library", 0o644)
    message = str(failure(f"{TOKEN}release?module-path={text}"))
    assert message.startswith("token: cannot load the module (got OS exception while loading ")
    assert "\n" not in message


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    error = failure(f"{TOKEN}release")
    assert str(error) == (
        "keys in tokens need a package that is not installed (expected python-pkcs11)"
    )
    assert error.hint == "install infwasi with its extra: pip install 'infwasi[pkcs11]'"


# --- the command line ------------------------------------------------------------------------

PROJECT = '[package]\nname = "capital"\nversion = "1.0.0"\n[model]\npath = "tiny.gguf"\n'


def test_pack_signs_with_a_token(tmp_path: Path, variables: dict[str, str]) -> None:
    (tmp_path / "infwasi.toml").write_text(PROJECT)
    (tmp_path / "tiny.gguf").write_bytes(tiny_gguf())
    signer = opened(f"{TOKEN}release")
    (tmp_path / "token.pub").write_text(public_pem(signer.public))
    signer.close()
    words = ("pack", "--sign", "--key", f"{TOKEN}release")
    without = {name: value for name, value in variables.items() if not name.endswith("PIN")}
    done = infwasi(*words, cwd=tmp_path, env={**without, "INFWASI_PKCS11_PIN": "0000"})
    wrong = "error: token: cannot log in (got the PIN is wrong)"
    assert done.transcript == (2, "", [wrong])
    assert not (tmp_path / "dist").exists()
    assert infwasi(*words, cwd=tmp_path, env=variables).code == 0
    done = infwasi("verify", "dist/capital-1.0.0", "--key", "token.pub", cwd=tmp_path)
    assert done.code == 0
    assert f"sha256:{signer.public.fingerprint[:16]}" in done.out
