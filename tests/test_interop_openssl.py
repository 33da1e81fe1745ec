"""OpenSSL reads our keys and verifies our signatures and timestamps.

The bytes that were signed are put together here from the text of the DSSE protocol, and not by the
code that signed them.
"""

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.certificate_authority import OTHER_TIME_ROOT
from tests.interop_support import (
    CERTIFICATE_MODES,
    KEY_MODES,
    Signed,
    SignedPackages,
    payload_of,
    run_tool,
    write_pem,
)

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


def openssl(folder: Path, *words: str | Path) -> tuple[int, str]:
    done = run_tool("openssl", *words, cwd=folder)
    return done.returncode, (done.stdout + done.stderr).strip()


def write_signed(document: dict[str, Any], folder: Path) -> None:
    """`signature` and `signed`: protocol.md of DSSE, "Signature Definition"."""
    payload, kind = payload_of(document), document["dsseEnvelope"]["payloadType"].encode()
    lengths = [str(len(part)).encode() for part in (kind, payload)]
    signed = b" ".join([b"DSSEv1", lengths[0], kind, lengths[1], payload])
    (folder / "signed").write_bytes(signed)
    (signature,) = document["dsseEnvelope"]["signatures"]
    (folder / "signature").write_bytes(base64.b64decode(signature["sig"]))


def change(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


# --- keys -------------------------------------------------------------------------------------


def verify_by_key(mode: str, public: Path, folder: Path) -> tuple[int, str]:
    files = ("-in", "signed", "-sigfile", "signature")
    if mode == "key-ed25519":  # of which `openssl dgst` knows nothing
        return openssl(folder, "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", *files)
    words = ("dgst", "-sha256", "-verify", public, "-signature", "signature", "signed")
    return openssl(folder, *words)


SAYS = {"key-p256": "Verified OK", "key-ed25519": "Signature Verified Successfully"}


@pytest.mark.parametrize("mode", KEY_MODES)
def test_verifies_a_signature_by_a_key(mode: str, packages: SignedPackages, tmp_path: Path) -> None:
    signed = packages[mode]
    public = signed.folder / "release.pub"
    write_signed(signed.document(), tmp_path)
    assert verify_by_key(mode, public, tmp_path) == (0, SAYS[mode])
    change(tmp_path / "signed")
    code, said = verify_by_key(mode, public, tmp_path)
    assert code == 1
    assert SAYS[mode] not in said


@pytest.mark.parametrize("mode", KEY_MODES)
def test_reads_both_halves_of_a_key(mode: str, packages: SignedPackages, tmp_path: Path) -> None:
    folder = packages[mode].folder
    code, public = openssl(tmp_path, "pkey", "-in", folder / "release.key", "-pubout")
    assert (code, public) == (0, (folder / "release.pub").read_text().strip())
    code, shown = openssl(tmp_path, "pkey", "-pubin", "-in", folder / "release.pub", "-text")
    assert code == 0
    assert ("ED25519" if mode == "key-ed25519" else "P-256") in shown


# --- certificates -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", CERTIFICATE_MODES)
def test_verifies_the_certificate_and_its_signature(
    mode: str, packages: SignedPackages, tmp_path: Path
) -> None:
    signed = packages[mode]
    document = signed.document()
    material = document["verificationMaterial"]
    write_pem(tmp_path / "leaf.pem", base64.b64decode(material["certificate"]["rawBytes"]))
    chain = ("-CAfile", signed.folder / "root.pem", "-untrusted", signed.folder / "issuing.pem")
    assert openssl(tmp_path, "verify", *chain, "leaf.pem") == (0, "leaf.pem: OK")
    code, public = openssl(tmp_path, "x509", "-in", "leaf.pem", "-noout", "-pubkey")
    assert code == 0
    (tmp_path / "leaf.pub").write_text(public + "\n")
    write_signed(document, tmp_path)
    assert verify_by_key("key-p256", tmp_path / "leaf.pub", tmp_path) == (0, "Verified OK")
    change(tmp_path / "signed")
    assert verify_by_key("key-p256", tmp_path / "leaf.pub", tmp_path)[0] == 1


# --- timestamps -------------------------------------------------------------------------------


def verify_timestamp(folder: Path) -> tuple[int, str]:
    """`-CAfile` alone: the authority's own certificate is in the timestamp."""
    words = ("ts", "-verify", "-data", "signature", "-in", "timestamp", "-CAfile", "time-root.pem")
    return openssl(folder, *words)


def time_root(signed: Signed, folder: Path) -> None:
    (authority,) = signed.trusted_root["timestampAuthorities"]
    *_, root = authority["certChain"]["certificates"]
    write_pem(folder / "time-root.pem", base64.b64decode(root["rawBytes"]))


@pytest.mark.parametrize("file", ["manifest.sigstore.json", "model.sig"])
@pytest.mark.parametrize("mode", ["certificate-stamped", "keyless-v1", "keyless-v2"])
def test_verifies_the_timestamp_over_a_signature(
    mode: str, file: str, packages: SignedPackages, tmp_path: Path
) -> None:
    signed = packages[mode]
    document = json.loads((signed.package / file).read_bytes())
    write_signed(document, tmp_path)
    time_root(signed, tmp_path)
    data = document["verificationMaterial"]["timestampVerificationData"]
    (stamp,) = data["rfc3161Timestamps"]
    (tmp_path / "timestamp").write_bytes(base64.b64decode(stamp["signedTimestamp"]))
    code, said = verify_timestamp(tmp_path)
    assert code == 0, said
    assert "Verification: OK" in said
    write_pem(tmp_path / "time-root.pem", OTHER_TIME_ROOT.der)
    code, said = verify_timestamp(tmp_path)
    assert code == 1
    assert "Verification: FAILED" in said
    time_root(signed, tmp_path)
    change(tmp_path / "signature")
    code, said = verify_timestamp(tmp_path)
    assert code == 1
    assert "Verification: FAILED" in said
