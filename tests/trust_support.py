"""What the tests of trust roots share: packages of each mode, and processes without sockets."""

import base64
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from infwasi_sign.adapters.certificate_signer import load_signing_certificate
from infwasi_sign.adapters.sealing import CertificateSealer, KeylessSealer, KeySealer
from infwasi_sign.adapters.sigstore_signer import KeylessSigner, read_token
from infwasi_sign.domain.bundle import encode_bundle
from infwasi_sign.domain.trust_root import TrustRoot, parse_trust_root
from infwasi_sign.ports import Sealer
from infwasi_sign.testing.sigstore import IDENTITY, PrivateSigstore
from tests import forge
from tests.certificate_authority import IDENTITY as HOLDER
from tests.certificate_authority import Issued, ca, email, leaf
from tests.command_line import TIMEOUT_SECONDS, Done, environment, make_timeless
from tests.key_support import spki

# A socket of any kind, or a look-up of any name, ends the process at once: nothing can catch it.
NO_SOCKETS = """
import os, sys
def refuse(event, arguments):
    if event.startswith("socket."):
        os.write(2, f"used {{event}} {{arguments}}\\n".encode())
        os._exit(99)
sys.addaudithook(refuse)
{before}
from infwasi_sign.cli import main
main()
"""
USED_A_SOCKET = 99


@contextmanager
def silent_server() -> Iterator[str]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()
        server.settimeout(0.05)
        held: list[socket.socket] = []

        def accept() -> None:
            while not stop.is_set():
                try:
                    held.append(server.accept()[0])
                except TimeoutError:
                    continue

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            stop.set()
            thread.join()
            for one in held:
                one.close()


@functools.cache
def empty_network() -> tuple[str, ...]:
    """How a command is started in a network namespace with nothing in it; empty if we cannot."""
    words = ("unshare", "--net")
    if os.geteuid() != 0 or shutil.which(words[0]) is None:
        return ()
    done = subprocess.run([*words, "true"], capture_output=True, check=False)
    return words if done.returncode == 0 else ()


def without_sockets(*words: str, cwd: Path, before: str = "") -> Done:
    """One command where no socket can be made, and none would reach anybody."""
    snippet = NO_SOCKETS.format(before=before)
    done = subprocess.run(
        [*empty_network(), sys.executable, "-W", "error", "-c", snippet, *words],
        input=b"",
        capture_output=True,
        cwd=cwd,
        env=environment(),
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr.decode())


@dataclass(frozen=True)
class Signed:
    """A package and an OMS model, and the options by which both verify, in ``place``."""

    place: Path
    options: tuple[str, ...]
    policy: str
    package: str = "capital-1.0.0"


def trust_of(instance: PrivateSigstore) -> TrustRoot:
    return parse_trust_root(
        instance.trust_config(), source="instance", written_at=datetime.now(UTC)
    )


def reseal(package: Path, sealer: Sealer) -> None:
    """Sign a package's statement anew, in any mode."""
    payload = base64.b64decode(forge.bundle_json(package)["dsseEnvelope"]["payload"])
    (package / forge.MANIFEST).write_bytes(encode_bundle(sealer.seal(payload)))


def make_model(place: Path, sealer: Sealer) -> None:
    """A model directory of one file, with the signature that a companion would have."""
    (place / "model").mkdir()
    (place / "model" / "weights").write_bytes(b"weights")
    files = {"weights": sha256(b"weights").hexdigest()}
    payload = forge.oms_payload(place, subject="model", files=files)
    (place / "model" / "model.sig").write_bytes(sealer.companion(payload))


def by_key(place: Path, _: PrivateSigstore) -> Signed:
    """By the key of the forge."""
    make_timeless(place)
    make_model(place, KeySealer(signer=forge.TRUSTED))
    signers = 'keys = [{ file = "trusted.pub" }]\n'
    return Signed(place=place, options=("--key", "trusted.pub"), policy=signers)


def keyless(place: Path, instance: PrivateSigstore) -> Signed:
    """By an identity of a private instance, whose trust root lies beside the package."""
    package = make_timeless(place)
    signer = KeylessSigner(
        read_token(instance.token(IDENTITY)), trust_of(instance), datetime.now(UTC)
    )
    sealer = KeylessSealer(signer=signer)
    reseal(package, sealer)
    make_model(place, sealer)
    (place / "root.json").write_bytes(instance.trusted_root())
    options = ("--identity", IDENTITY, "--issuer", instance.issuer, "--trust-root", "root.json")
    signers = (
        f'identities = [{{ identity = "{IDENTITY}", issuer = "{instance.issuer}" }}]\n'
        '[sigstore]\ntrust-root = "root.json"\nmaximum-age-days = 10\n'
    )
    return Signed(place=place, options=options, policy=signers)


@dataclass(frozen=True)
class _KeyOf:
    """The key of a certificate; implements `ports.Signer`."""

    holder: Issued

    def public_key(self) -> bytes:
        return spki(self.holder.key)

    def sign(self, data: bytes) -> bytes:
        return self.holder.sign(data)


def _stamp_roots(instance: PrivateSigstore) -> bytes:
    """The root of the instance's timestamp authority, as PEM."""
    (authority,) = json.loads(instance.trusted_root())["timestampAuthorities"]
    root = authority["certChain"]["certificates"][-1]["rawBytes"]
    return f"-----BEGIN CERTIFICATE-----\n{root}\n-----END CERTIFICATE-----\n".encode()


def certified(place: Path, instance: PrivateSigstore) -> Signed:
    """By a certificate of an own authority, with a timestamp of the instance's authority."""
    package = make_timeless(place)
    now = datetime.now(UTC)
    span = (now - timedelta(days=10), now + timedelta(days=10))
    root = ca("Offline Root", span=span)
    holder: Issued = leaf(root, names=(email(HOLDER),), span=span)
    key = _KeyOf(holder)
    (place / "leaf.pem").write_bytes(holder.pem)
    (place / "roots.pem").write_bytes(root.pem)
    (place / "stamps.pem").write_bytes(_stamp_roots(instance))
    sealer = CertificateSealer(
        signer=key,
        certificate=load_signing_certificate(place / "leaf.pem", None, signer=key, now=now),
        timestamp_url=instance.timestamp_url,
        now=now,
    )
    reseal(package, sealer)
    make_model(place, sealer)
    options = (
        *("--certificate-identity", HOLDER, "--certificate-roots", "roots.pem"),
        *("--timestamp-roots", "stamps.pem"),
    )
    signers = (
        f'certificates = [{{ identity = "{HOLDER}", roots = "roots.pem", '
        'timestamp-roots = "stamps.pem" }]\n'
    )
    return Signed(place=place, options=options, policy=signers)
