"""OpenSSL, which nobody here wrote, takes the timestamps of the private Sigstore."""

import base64
import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_certificate
from rfc3161_client import TimestampRequestBuilder, VerifierBuilder, decode_timestamp_response

from infwasi_sign.testing.sigstore import Fault, PrivateSigstore

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
MESSAGE = b"a signature"


def ask(instance: PrivateSigstore, body: bytes, kind: str = "application/timestamp-query") -> bytes:
    request = Request(instance.timestamp_url, data=body, headers={"Content-Type": kind})  # noqa: S310 - http
    with urlopen(request, timeout=10) as answer:  # noqa: S310 - http, as above
        assert answer.headers["Content-Type"] == "application/timestamp-reply"
        data: bytes = answer.read()
        return data


def authority(instance: PrivateSigstore) -> tuple[bytes, bytes]:
    """The authority's certificate and its root, DER, as the trusted root lists them."""
    listed = json.loads(instance.trusted_root())["timestampAuthorities"][0]["certChain"]
    leaf, root = (base64.b64decode(one["rawBytes"]) for one in listed["certificates"])
    return leaf, root


def openssl(*words: str | Path) -> subprocess.CompletedProcess[bytes]:
    assert OPENSSL is not None
    return subprocess.run([OPENSSL, *map(str, words)], capture_output=True, timeout=60, check=False)


def openssl_verifies(
    folder: Path,
    instance: PrivateSigstore,
    *,
    digest: str = "sha256",
    with_certificate: bool = True,
) -> subprocess.CompletedProcess[bytes]:
    """OpenSSL makes the request and checks the answer against it, nonce and all."""
    message, query, reply, root, leaf = (
        folder / name for name in ("message", "query", "reply", "root.pem", "leaf.pem")
    )
    message.write_bytes(MESSAGE)
    words: list[str | Path] = ["ts", "-query", "-data", message, f"-{digest}", "-out", query]
    made = openssl(*words, *(["-cert"] if with_certificate else []))
    assert made.returncode == 0, made.stderr
    reply.write_bytes(ask(instance, query.read_bytes()))
    for path, der in zip((leaf, root), authority(instance), strict=True):
        path.write_bytes(load_der_x509_certificate(der).public_bytes(Encoding.PEM))
    words = ["ts", "-verify", "-queryfile", query, "-in", reply, "-CAfile", root]
    return openssl(*words, "-untrusted", leaf)


@needs_openssl
@pytest.mark.parametrize("with_certificate", [True, False])
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_openssl_verifies_the_timestamp(
    digest: str, with_certificate: bool, tmp_path: Path
) -> None:
    with PrivateSigstore() as instance:
        done = openssl_verifies(
            tmp_path, instance, digest=digest, with_certificate=with_certificate
        )
    assert done.returncode == 0, done.stderr
    assert b"Verification: OK" in done.stdout + done.stderr


@needs_openssl
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault.TIMESTAMP_OVER_OTHER_MESSAGE, b"message imprint mismatch"),
        (Fault.TIMESTAMP_BY_UNKNOWN_AUTHORITY, b"Verify error"),
        (Fault.TIMESTAMP_BAD_SIGNATURE, b"signature failure"),
        (Fault.TIMESTAMP_NOT_FOR_TIMESTAMPING, b"Verify error"),
        (Fault.TIMESTAMP_FOR_OTHER_NONCE, b"nonce mismatch"),
    ],
)
def test_openssl_notices_what_sigstore_python_passes_over(
    fault: Fault, said: bytes, tmp_path: Path
) -> None:
    with PrivateSigstore(faults={fault}) as instance:
        done = openssl_verifies(tmp_path, instance)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr


def test_the_json_of_sigstore_js_is_understood() -> None:
    wish = {
        "artifactHash": base64.b64encode(_sha256(MESSAGE)).decode(),
        "hashAlgorithm": "sha256",
        "certificates": True,
        "nonce": 7,
    }
    with PrivateSigstore() as instance:
        reply = ask(instance, json.dumps(wish).encode(), "application/json")
        leaf, root = map(load_der_x509_certificate, authority(instance))
    response = decode_timestamp_response(reply)
    verifier = VerifierBuilder().tsa_certificate(leaf).add_root_certificate(root).build()
    assert verifier.verify_message(response, MESSAGE)
    assert response.tst_info.nonce == 7


HONEST = TimestampRequestBuilder().data(MESSAGE).nonce(nonce=False).build().as_bytes()
SHA512_OID = bytes.fromhex("0609608648016503040203")
NOT_A_REQUEST = "body is not a timestamp request"
BAD_IMPRINT = "imprint is not one of SHA-256, SHA-384 or SHA-512"


def altered(old: bytes, new: bytes) -> bytes:
    assert old in HONEST
    return HONEST.replace(old, new, 1)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", NOT_A_REQUEST),
        (HONEST[:-1], NOT_A_REQUEST),
        (HONEST + b"\x00", NOT_A_REQUEST),
        (altered(b"\x02\x01\x01", b"\x02\x01\x02"), "version must be 1"),
        # another algorithm by the name of 2.16.840.1.101.3.4.2.9
        (altered(SHA512_OID, SHA512_OID[:-1] + b"\x09"), BAD_IMPRINT),
        (b"{}", "member is missing in body (expected artifactHash)"),
        (b'{"artifactHash":"AAAA","hashAlgorithm":"sha256"}', BAD_IMPRINT),
        (b'{"artifactHash":"AAAA","hashAlgorithm":"md5"}', BAD_IMPRINT),
        (b'{"artifactHash":"A","hashAlgorithm":"sha256"}', "artifactHash is not base64"),
    ],
)
def test_refuses_what_is_not_a_request(body: bytes, said: str) -> None:
    with PrivateSigstore() as instance, pytest.raises(HTTPError) as refusal:
        ask(instance, body)
    with refusal.value as answer:
        assert (answer.code, json.loads(answer.read())["message"]) == (400, said)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
