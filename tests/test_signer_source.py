"""What `--key` names, and that code of others cannot decide how it ends."""

import textwrap
from pathlib import Path

import pytest

from infwasi_sign.adapters import keys, signer_plugins
from infwasi_sign.adapters.key_files import write_key_pair
from infwasi_sign.adapters.keys import KeyKind, PrivateKey, sign_payload
from infwasi_sign.adapters.signer_source import open_signer
from infwasi_sign.errors import UndecidedError
from tests.command_line import infwasi
from tests.conftest import ROOT
from tests.gguf_forge import tiny_gguf
from tests.key_support import P256, nobody_is_asked, undecided

PREFIX = """
from infwasi_sign.adapters.keys import KeyKind, generate
KEY, OTHER = generate(KeyKind.P256), generate(KeyKind.P256)

class Signer:
    def __init__(self, reference=""): pass
    def public_key(self): return KEY.public_key()
    def sign(self, data): return KEY.sign(data)
"""


def install(folder: Path, package: str, entries: dict[str, str], code: str = "") -> Path:
    """A package as pip would lay it down: a module and its metadata."""
    module = package.replace("-", "_")
    (folder / f"{module}.py").write_text(PREFIX + textwrap.dedent(code))
    metadata = folder / f"{module}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"{name} = {module}:{target}" for name, target in entries.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[infwasi.signers]", *lines, ""]))
    return folder


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that Python looks into."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def failure(reference: str) -> UndecidedError:
    """How the opening or the signing ends."""
    return undecided(lambda: sign_payload(open_signer(reference, nobody_is_asked), b"{}"))


def test_a_path_is_a_key_file(tmp_path: Path) -> None:
    public = write_key_pair(tmp_path / "a", KeyKind.P256, b"secret")
    signer = open_signer(str(tmp_path / "a.key"), lambda: b"secret")
    assert isinstance(signer, PrivateKey)
    assert signer.public == public


def test_a_path_with_a_colon_is_written_with_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    public = write_key_pair(Path("a:b"), KeyKind.P256, None)
    assert open_signer("./a:b.key", nobody_is_asked).public_key() == public.spki_der
    error = failure("a:b.key")
    assert str(error) == (
        "nothing signs for a: "
        "(expected a package with the entry point a of the group infwasi.signers)"
    )
    assert error.hint == "install the plug-in of that service; a file of this name is ./a:…"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("", "key has a name of a wrong length in --key (expected 1 to 4096 bytes)"),
        ("a" * 4097, "key has a name of a wrong length in --key (expected 1 to 4096 bytes)"),
        ("file:a.key", "a key file is named by its path in --key"),
        ("FILE:///a.key", "a key file is named by its path in --key"),
        ("no-such.key", "cannot read no-such.key (got no such file or directory)"),
    ],
)
def test_refuses_what_names_nothing(reference: str, message: str) -> None:
    assert str(failure(reference)) == message


def test_a_plugin_signs(site: Path) -> None:
    code = "SEEN = []\ndef open_it(reference): SEEN.append(reference); return Signer()"
    install(site, "a-good-one", {"good-one": "open_it"}, code)
    sign_payload(open_signer("good-one://host/a:b?c#d", nobody_is_asked), b"{}")
    sign_payload(open_signer("GOOD-ONE:x", nobody_is_asked), b"{}")
    assert __import__("a_good_one").SEEN == ["good-one://host/a:b?c#d", "GOOD-ONE:x"]


def test_a_plugin_cannot_take_over_our_schemes(site: Path) -> None:
    install(site, "a-greedy-one", {"pkcs11": "gone", "file": "gone"})
    assert str(failure("pkcs11:")).startswith("the PKCS#11 URI names no key (")
    assert str(failure("file:a")) == "a key file is named by its path in --key"


def test_two_plugins_of_one_name_are_an_error(site: Path) -> None:
    for package in ("one-of-two", "two-of-two"):
        install(site, package, {"twice": "Signer"})
    error = failure("twice:x")
    assert str(error) == (
        "two plug-ins sign for twice: (expected one, got one-of-two and two-of-two)"
    )
    assert error.hint == "uninstall all but the one you mean"


RETURNS = "def open_it(reference): return Signer()"
FAULTS = {
    "gone": ("", "cannot be loaded (got AttributeError: "),
    "broken": ("raise RuntimeError('at import')", "cannot be loaded (got RuntimeError: at import)"),
    "leaves": (
        "def open_it(reference): raise SystemExit(0)",
        "cannot open the key (got SystemExit: 0)",
    ),
    "long-winded": (
        "def open_it(reference): raise ValueError('x' * 5000)",
        f"cannot open the key (got ValueError: {'x' * 200})",
    ),
    "lines": (
        "def open_it(reference): raise ValueError('one\\ntwo')",
        "cannot open the key (got ValueError: one)",
    ),
    "silent": ("def open_it(reference): raise OSError", "cannot open the key (got OSError)"),
    "none": ("def open_it(reference): pass", "cannot open the key (got AttributeError: "),
    "data": (
        "class Data: public_key = sign = b''\ndef open_it(reference): return Data()",
        "gave something else than a signer",
    ),
    "refuses": (
        """
        from infwasi_sign.errors import MalformedError
        def open_it(reference): raise MalformedError('not mine')
        """,
        "cannot open the key (got MalformedError: not mine)",
    ),
    "text": (
        f"Signer.public_key = lambda self: 'text'\n{RETURNS}",
        "did not give its public key (expected 1 to 8192 bytes, got str)",
    ),
    "long": (
        f"Signer.public_key = lambda self: bytes(9000)\n{RETURNS}",
        "did not give its public key (expected 1 to 8192 bytes, got 9000)",
    ),
    "empty": (
        f"Signer.sign = lambda self, data: b''\n{RETURNS}",
        "did not sign (expected 1 to 8192 bytes, got 0)",
    ),
    "tired": (
        f"def sign(self, data): raise TimeoutError('no answer')\nSigner.sign = sign\n{RETURNS}",
        "cannot sign (got TimeoutError: no answer)",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_a_plugin_is_one_line(site: Path, name: str) -> None:
    code, message = FAULTS[name]
    install(site, f"faulty-{name}", {name: "open_it"}, code)
    text = str(failure(f"{name}:x"))
    assert text.startswith(f"signer plug-in {name} {message}")
    assert "\n" not in text
    assert len(text) < 400


def test_a_plugin_may_say_it_in_our_words(site: Path) -> None:
    code = """
        from infwasi_sign.errors import UndecidedError
        def open_it(reference): raise UndecidedError("no such key", where="vault", hint="look")
    """
    install(site, "a-polite-one", {"polite": "open_it"}, code)
    error = failure("polite:x")
    assert (str(error), error.hint) == ("no such key in vault", "look")


LIES = {
    "another key signs": "Signer.sign = lambda self, data: OTHER.sign(data)",
    "something else is signed": "Signer.sign = lambda self, data: KEY.sign(b'else')",
    "no signature": "Signer.sign = lambda self, data: b'signature'",
    "another key is shown": "Signer.public_key = lambda self: OTHER.public_key()",
}


@pytest.mark.parametrize("lie", LIES)
def test_what_a_plugin_signs_is_verified_before_it_is_written(site: Path, lie: str) -> None:
    install(site, f"lying-{list(LIES).index(lie)}", {"lying": "Signer"}, LIES[lie])
    assert str(failure("lying:x")) == "signer made a signature that its own key does not verify"


def test_without_that_verification_the_lie_would_be_written(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "lying-control", {"lying": "Signer"}, LIES["another key signs"])
    monkeypatch.setattr(keys.KeyVerifier, "verify", lambda *_: None)
    assert sign_payload(open_signer("lying:x", nobody_is_asked), b"{}").envelope.payload == b"{}"


def test_without_the_guard_a_plugin_could_end_the_process(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "a-control", {"leaving": "open_it"}, FAULTS["leaves"][0])
    monkeypatch.setattr(signer_plugins, "_explained", _unexplained)
    with pytest.raises(SystemExit, match="0"):
        open_signer("leaving:x", nobody_is_asked)


class _unexplained:  # noqa: N801 -- stands for a function
    def __init__(self, *_: str) -> None: ...

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def test_a_private_key_keeps_to_the_contract_of_plugins() -> None:
    signer = signer_plugins.PluginSigner(plugin="test", signer=P256)
    assert sign_payload(signer, b"{}").envelope.payload == b"{}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("leaves", "error: signer plug-in leaves cannot open the key (got SystemExit: 0)"),
        ("tired", "error: signer plug-in tired cannot sign (got TimeoutError: no answer)"),
    ],
)
def test_a_fault_leaves_no_package_and_no_traceback(
    tmp_path: Path, name: str, message: str
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    install(site, f"faulty-{name}", {name: "open_it"}, FAULTS[name][0])
    project = '[package]\nname = "capital"\nversion = "1.0.0"\n[model]\npath = "tiny.gguf"\n'
    (tmp_path / "infwasi.toml").write_text(project)
    (tmp_path / "tiny.gguf").write_bytes(tiny_gguf())
    done = infwasi(
        "pack", "--sign", "--key", f"{name}:x", cwd=tmp_path, env={"PYTHONPATH": f"{ROOT}:{site}"}
    )
    assert done.transcript == (2, "", [message])
    assert not (tmp_path / "dist").exists() or not list((tmp_path / "dist").iterdir())
