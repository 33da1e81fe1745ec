"""Signing through the real command line: projects, terminals, and processes without sockets."""

import json
import os
import pty
import shlex
import subprocess
import sys
from base64 import b64decode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from infwasi_sign.testing.sigstore import PrivateSigstore
from tests.certificate_authority import ca, leaf
from tests.command_line import TIMEOUT_SECONDS, Done, arguments, environment
from tests.gguf_forge import tiny_gguf
from tests.key_support import pkcs8_pem, write

PACKAGE: Final = "dist/capital-1.0.0"
MANIFEST: Final = f"{PACKAGE}/manifest.sigstore.json"

_PROJECT = """\
[package]
name = "capital"
version = "1.0.0"
valid-days = {days}
[model]
path = "tiny.gguf"
"""
ALICE: Final = "alice@example.test"
# The build services whose tokens are found (the package `id`, version 1).
_AMBIENT = ("GITHUB_ACTIONS", "BUILDKITE", "GITLAB_CI", "CIRCLECI", "GOOGLE_SERVICE_ACCOUNT_NAME")
_BROWSER = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=10).read()"
# The first terminal that the leader of a session opens is its controlling one (tty(4)).
_TERMINAL = (
    "import os, sys; os.close(os.open(os.ttyname(0), os.O_RDWR)); os.execv(*eval(sys.argv[1]))"
)


def make_project(folder: Path, *, mode: str | None = None, days: int = 365) -> Path:
    """A project with a small model; ``mode`` is what `[signing]` pins."""
    folder.mkdir(parents=True, exist_ok=True)
    signing = "" if mode is None else f'[signing]\nmode = "{mode}"\n'
    (folder / "infwasi.toml").write_text(_PROJECT.format(days=days) + signing)
    (folder / "tiny.gguf").write_bytes(tiny_gguf())
    return folder


def nobody(folder: Path, **changes: str) -> dict[str, str]:
    """An environment that has no identity, no trust root and no policy."""
    empty = dict.fromkeys((*_AMBIENT, "DISPLAY", "WAYLAND_DISPLAY", "XDG_CONFIG_HOME"), "")
    return {**empty, "HOME": str(folder), "BROWSER": "false", **changes}


def browser() -> str:
    """A program for `BROWSER` that follows redirects, as a person does who is logged in."""
    return shlex.join([sys.executable, "-c", _BROWSER]) + " %s"


def run(
    *words: str | os.PathLike[str], cwd: Path, env: Mapping[str, str], is_offline: bool = False
) -> Done:
    """One command to its end, without a terminal; never with a traceback."""
    command = list(arguments(*words))
    if is_offline:
        command[command.index("infwasi_sign")] = "tests.offline"
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=cwd,
        env=environment(env),
        start_new_session=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return _checked(Done(done.returncode, done.stdout, done.stderr.decode()))


def run_at_terminal(
    *words: str | os.PathLike[str], cwd: Path, env: Mapping[str, str], typed: bytes
) -> Done:
    """The same for somebody at a terminal who has typed something; both outputs are pipes."""
    command = list(arguments(*words))
    # NOTE: sigstore-python 4.5 does not close the socket to which the browser comes back.
    command[command.index("-m") : command.index("-m")] = ["-W", "ignore:unclosed:ResourceWarning"]
    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed)
        done = subprocess.run(
            [sys.executable, "-c", _TERMINAL, repr((command[0], command))],
            stdin=theirs,
            capture_output=True,
            cwd=cwd,
            env=environment(env),
            start_new_session=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    return _checked(Done(done.returncode, done.stdout, done.stderr.decode()))


def _checked(done: Done) -> Done:
    assert "Traceback" not in done.errors, done.errors
    assert "internal error" not in done.errors, done.errors
    return done


def published(paths: Sequence[str]) -> list[str]:
    """Of what was asked, what everybody can read afterwards: certificates and entries of a log."""
    return [path for path in paths if path.endswith(("/signingCert", "/log/entries"))]


def require_verifies(project: Path, *trust: str, env: dict[str, str], name: str) -> None:
    done = run("verify", PACKAGE, *trust, cwd=project, env=env, is_offline=True)
    assert (done.code, done.said) == (0, [])
    assert done.out.startswith(f"verified: capital 1.0.0, signed by {name} (")


def bring_instance(project: Path, instance: PrivateSigstore) -> Path:
    (project / "instance.json").write_bytes(instance.trust_config())
    (project / "root.json").write_bytes(instance.trusted_root())
    return project


NOW: Final = datetime.now(UTC).replace(microsecond=0)
DAYS: Final = (NOW - timedelta(days=1), NOW + timedelta(days=30))
ROOT: Final = ca("Root of the test", span=DAYS)
ISSUING: Final = ca("Issuer of the test", ROOT, span=DAYS)
RELEASE: Final = leaf(ISSUING, "Release of the test", span=DAYS)
CERTIFICATE: Final = (
    *("--key", "certified.key", "--certificate", "leaf.pem", "--certificate-chain", "chain.pem"),
)
CERTIFIED: Final = (
    *("--certificate-identity", "release@example.com", "--certificate-roots", "root.pem"),
    *("--certificate-intermediates", "chain.pem"),
)


def bring_certificate(project: Path, instance: PrivateSigstore) -> None:
    """The files of a holder, and the root of a timestamp authority."""
    assert isinstance(RELEASE.key, ec.EllipticCurvePrivateKey)
    write(project / "certified.key", pkcs8_pem(RELEASE.key))
    for name, one in (("leaf", RELEASE), ("chain", ISSUING), ("root", ROOT)):
        (project / f"{name}.pem").write_bytes(one.pem)
    listed = json.loads(instance.trusted_root())["timestampAuthorities"][0]["certChain"]
    root = x509.load_der_x509_certificate(b64decode(listed["certificates"][-1]["rawBytes"]))
    (project / "time.pem").write_bytes(root.public_bytes(Encoding.PEM))


PACK: Final = ("pack", "--sign", "--trust-config", "instance.json")
ENTRIES: Final = {1: "/api/v1/log/entries", 2: "/api/v2/log/entries"}


def signs_as(instance: PrivateSigstore, identity: str) -> list[str]:
    return [
        f"signing as {identity}, says {instance.issuer}",
        f"verifiers name it: --identity {identity} --issuer {instance.issuer}",
    ]
