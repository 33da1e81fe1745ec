"""The example of a signer plug-in: installed, and signing with a pretend service."""

import base64
import hashlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from tests.command_line import Done, infwasi
from tests.conftest import ROOT
from tests.gguf_forge import tiny_gguf
from tests.key_support import spki

TOKEN = "Bearer open sesame"
PROJECT = '[package]\nname = "capital"\nversion = "1.0.0"\n[model]\npath = "tiny.gguf"\n'


class Service(HTTPServer):
    """A pretend key management service: one key, two calls, and it never sees a message."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Call)
        self.secret = ec.generate_private_key(ec.SECP256R1())
        self.digests: list[bytes] = []
        self.fault = ""

    @property
    def reference(self) -> str:
        return f"example-kms://127.0.0.1:{self.server_port}/keys/release"


class Call(BaseHTTPRequestHandler):
    server: Service
    timeout = 10

    def do_GET(self) -> None:
        self._answer("/keys/release", lambda _: {"publicKey": spki(self.server.secret)})

    def do_POST(self) -> None:
        self._answer("/keys/release:sign", self._sign)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""

    def _sign(self, body: bytes) -> dict[str, bytes]:
        digest = base64.b64decode(json.loads(body)["sha256"])
        self.server.digests.append(digest)
        if self.server.fault == "signs something else":
            digest = hashlib.sha256(digest).digest()
        return {"signature": self.server.secret.sign(digest, ec.ECDSA(Prehashed(SHA256())))}

    def _answer(self, path: str, act: Any) -> None:
        body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), 4096))
        status, answer = 404, {}
        if self.headers["Authorization"] != TOKEN:
            status = 403
        elif self.path == path:
            status, answer = 200, act(body)
        text = json.dumps({name: base64.b64encode(item).decode() for name, item in answer.items()})
        if self.server.fault == "speaks another language":
            text = "<html>"
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.05,))
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as pip installs it, in a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--no-cache-dir")
    words = (*pip, *offline, "--target", str(folder), str(ROOT / "examples" / "kms-plugin"))
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "infwasi.toml").write_text(PROJECT)
    (tmp_path / "tiny.gguf").write_bytes(tiny_gguf())
    return tmp_path


def run(site: Path, project: Path, *words: str, token: str = TOKEN) -> Done:
    env = {
        "PYTHONPATH": f"{ROOT}:{site}",
        "EXAMPLE_KMS_TOKEN": token.removeprefix("Bearer "),
        "NO_PROXY": "127.0.0.1",
    }
    return infwasi(*words, cwd=project, env=env)


def test_a_key_of_a_service_signs_a_package(site: Path, project: Path, service: Service) -> None:
    done = run(site, project, "keygen", "kms", "--public-of", service.reference)
    assert (done.code, done.said) == (0, [])
    assert done.out.startswith("kms.pub\necdsa-p256-sha256 sha256:")
    assert not (project / "kms.key").exists()
    assert run(site, project, "pack", "--sign", "--key", service.reference).said[-1:] == []
    assert infwasi("verify", "dist/capital-1.0.0", "--key", "kms.pub", cwd=project).code == 0
    assert [len(digest) for digest in service.digests] == [
        32,
        32,
    ]  # the statement, and the OMS companion


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("signs something else", "signer made a signature that its own key does not verify"),
        (
            "speaks another language",
            "the service gives an answer that is not understood in 127.0.0.1:{}/keys/release",
        ),
    ],
)
def test_a_service_that_errs_signs_nothing(
    site: Path, project: Path, service: Service, fault: str, message: str
) -> None:
    service.fault = fault
    done = run(site, project, "pack", "--sign", "--key", service.reference)
    error = f"error: {message.format(service.server_port)}"
    assert done.transcript == (2, "", [error])
    assert not list((project / "dist").glob("*"))


def test_a_service_that_refuses_is_said(site: Path, project: Path, service: Service) -> None:
    words = ("pack", "--sign", "--key", service.reference)
    done = run(site, project, *words, token="Bearer guessed")
    where = f"127.0.0.1:{service.server_port}/keys/release"
    assert done.transcript == (
        2,
        "",
        [
            f"error: the service refuses in {where} (got status 403)",
            "hint: EXAMPLE_KMS_TOKEN is the token of the service",
        ],
    )


def test_a_service_that_is_not_there_is_said(site: Path, project: Path, service: Service) -> None:
    service.shutdown()  # a thread that still waits for calls would keep the port listening
    service.server_close()
    with socket.socket() as nobody:  # keeps the port, so that nobody else answers there
        nobody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # its last connections linger
        nobody.bind(("127.0.0.1", service.server_port))
        done = run(site, project, "pack", "--sign", "--key", service.reference)
    where = f"127.0.0.1:{service.server_port}"
    assert done.transcript == (2, "", [f"error: the service does not answer in {where}"])


@pytest.mark.parametrize(
    "reference", ["example-kms:", "example-kms://h", "example-kms://h/keys/k?x"]
)
def test_a_reference_that_names_no_key_is_said(site: Path, project: Path, reference: str) -> None:
    done = run(site, project, "pack", "--sign", "--key", reference)
    expected = f"error: not a key of the service (expected //HOST/keys/NAME, got '{reference}')"
    assert done.transcript == (2, "", [expected])
