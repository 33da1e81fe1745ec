"""Timestamps over signatures: which time is believed, and how a token is asked for."""

import base64
import hashlib
import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st
from rfc3161_client import VerifierBuilder, decode_timestamp_response

from infwasi_sign.adapters import timestamp_request, timestamps
from infwasi_sign.adapters.timestamp_request import request_timestamp
from infwasi_sign.adapters.timestamps import VerifiedTimestamp, verify_timestamp
from infwasi_sign.domain import der
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError, UndecidedError
from infwasi_sign.testing.sigstore.faults import Fault
from infwasi_sign.testing.sigstore.instance import PrivateSigstore
from tests.certificate_authority import (
    DAY,
    NOT_A_CA,
    NOW,
    OTHER_TIME_ROOT,
    OVER,
    SIGNS,
    STAMPS,
    TIME,
    TIME_CA,
    TIME_ROOT,
    Issued,
    Stamp,
    TimestampAuthority,
    ca,
    certify,
    leaf,
    p256,
    rsa_key,
    stamper,
    tlv,
    usage,
    with_sha1,
)
from tests.key_support import spki

SIGNATURE: Final = b"a signature"
GOOD: Final = TIME.stamp(SIGNATURE)
STAMP: Final = Stamp(signature=SIGNATURE, at=NOW)


def verified(
    response: bytes,
    *,
    signature: bytes = SIGNATURE,
    roots: tuple[Issued, ...] = (TIME_ROOT,),
    intermediates: tuple[Issued, ...] = (),
    nonce: int | None = None,
    now: datetime = NOW,
) -> VerifiedTimestamp:
    return verify_timestamp(
        response,
        signature=signature,
        roots=tuple(one.der for one in roots),
        intermediates=tuple(one.der for one in intermediates),
        nonce=nonce,
        now=now,
    )


def refusal(response: bytes, *, nonce: int | None = None, now: datetime = NOW) -> str:
    """The message of a refusal of kind `signature`."""
    with pytest.raises(RefusedError) as caught:
        verified(response, nonce=nonce, now=now)
    assert caught.value.kind is RefusalKind.SIGNATURE
    return str(caught.value)


# --- which time is believed --------------------------------------------------------------------


def test_time_is_that_of_the_token() -> None:
    assert verified(GOOD) == VerifiedTimestamp(
        at=NOW, authority=hashlib.sha256(spki(TIME.own.key)).hexdigest(), serial=1
    )


def test_authority_may_have_expired_since() -> None:
    old = stamper(TIME_ROOT, "Old Timestamps", span=OVER)
    assert verified(old.stamp(SIGNATURE, NOW - 20 * DAY)).at == NOW - 20 * DAY


def test_intermediates_may_come_from_the_policy() -> None:
    bare = TimestampAuthority(TIME.own)
    assert verified(bare.stamp(SIGNATURE), intermediates=(TIME_CA,)).at == NOW


def test_authority_may_have_rsa_above_it() -> None:
    root = ca("RSA Time Root", key=rsa_key(2048))
    assert verified(stamper(root, "Timestamps of RSA").stamp(SIGNATURE), roots=(root,)).at == NOW


def test_nonce_is_the_one_that_was_sent() -> None:
    answer = TIME.answer(replace(STAMP, nonce=2**63 + 5))
    assert verified(answer, nonce=2**63 + 5).at == NOW
    assert verified(answer).at == NOW
    claim = "the timestamp answers another request in timestamp"
    assert refusal(answer, nonce=7) == claim
    assert refusal(GOOD, nonce=7) == claim


def test_clocks_may_differ_a_little() -> None:
    assert verified(GOOD, now=NOW - DAY / 288).at == NOW
    assert refusal(GOOD, now=NOW - DAY / 287) == (
        "the timestamp is from the future in timestamp "
        "(expected at most 2026-11-02T11:59:58Z, got 2026-11-02T12:00:00Z)"
    )


# --- which is not ------------------------------------------------------------------------------


def untrusted(name: str, at: str, reason: str) -> str:
    return (
        "the timestamp's authority leads to no trusted root, or was not valid then in timestamp "
        f"(got 'CN={name}' at {at}: {reason})"
    )


def test_refuses_timestamp_over_another_signature() -> None:
    assert refusal(TIME.stamp(b"another")) == "the timestamp is over another signature in timestamp"


def test_refuses_another_authority() -> None:
    other = stamper(OTHER_TIME_ROOT, "Other", above=(OTHER_TIME_ROOT,))
    assert refusal(other.stamp(SIGNATURE)) == untrusted(
        "Other", "2026-11-02T12:00:00Z", "none of the given certificates is its issuer's"
    )


def test_refuses_self_signed_authority() -> None:
    assert refusal(stamper(None, "Self").stamp(SIGNATURE)) == untrusted(
        "Self", "2026-11-02T12:00:00Z", "none of the given certificates is its issuer's"
    )


def test_refuses_self_signed_authority_among_the_intermediates_of_the_policy() -> None:
    own = stamper(None, "Self")
    with pytest.raises(RefusedError, match="leads to no trusted root"):
        verified(own.stamp(SIGNATURE), intermediates=(own.own,))


@pytest.mark.parametrize("at", [OVER[0] - DAY, OVER[1] + DAY])
def test_refuses_authority_that_was_not_valid_then(at: datetime) -> None:
    old = stamper(TIME_ROOT, "Old Timestamps", span=OVER)
    assert refusal(old.stamp(SIGNATURE, at)) == untrusted(
        "Old Timestamps", f"{at:%Y-%m-%dT%H:%M:%SZ}", "cert is not valid at validation time"
    )


STAMPS_TIME: Final = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
STAMPS_MORE: Final = x509.ExtendedKeyUsage(
    [ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.CODE_SIGNING]
)
SIGNS_CODE: Final = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
A_CA: Final = (x509.BasicConstraints(ca=True, path_length=None), True)


@pytest.mark.parametrize(
    "extensions",
    [
        (NOT_A_CA, SIGNS),
        (NOT_A_CA, SIGNS, (STAMPS_TIME, False)),
        (NOT_A_CA, SIGNS, (STAMPS_MORE, True)),
        (NOT_A_CA, SIGNS, (SIGNS_CODE, True)),
        (NOT_A_CA, usage(), (STAMPS_TIME, True)),
        (A_CA, usage(signs=True, certifies=True), (STAMPS_TIME, True)),
    ],
    ids=["no-eku", "not-critical", "not-alone", "code-signing", "no-signature", "ca"],
)
def test_refuses_certificate_that_is_not_for_time_stamping(
    extensions: tuple[tuple[x509.ExtensionType, bool], ...],
) -> None:
    odd = TimestampAuthority(certify("Odd", TIME_ROOT, extensions))
    assert refusal(odd.stamp(SIGNATURE)) == (
        "the timestamp's signer is not a timestamp authority in timestamp "
        "(expected no CA, and extendedKeyUsage timeStamping alone and critical, got 'CN=Odd')"
    )


def test_refuses_ca_that_is_not_for_time_stamping() -> None:
    issuer = ca("Code CA", TIME_ROOT, more=((SIGNS_CODE, False),))
    own = stamper(issuer, "Odd Timestamps", above=(issuer,))
    assert refusal(own.stamp(SIGNATURE)) == untrusted(
        "Odd Timestamps",
        "2026-11-02T12:00:00Z",
        "extendedKeyUsage of an issuer lacks 1.3.6.1.5.5.7.3.8",
    )


def test_refuses_authority_whose_certificate_is_signed_with_sha1() -> None:
    root = ca("RSA Time Root", key=rsa_key(2048))
    own = stamper(root, "Weak Timestamps")
    weak = TimestampAuthority(with_sha1(own.own, root))
    with pytest.raises(RefusedError, match="Forbidden signature algorithm"):
        verified(weak.stamp(SIGNATURE), roots=(root,))


@pytest.mark.parametrize("stamp", [replace(STAMP, digest="sha1"), replace(STAMP, imprint="sha1")])
def test_refuses_token_with_sha1(stamp: Stamp) -> None:
    assert refusal(TIME.answer(stamp)) == (
        "the timestamp's digest is not supported in timestamp "
        "(expected SHA-256, SHA-384 or SHA-512, got 1.3.14.3.2.26)"
    )


def test_refuses_token_whose_content_was_changed() -> None:
    later = (NOW + DAY).strftime("%Y%m%d%H%M%SZ").encode()
    was = NOW.strftime("%Y%m%d%H%M%SZ").encode()
    stamp = replace(STAMP, change=lambda info: info.replace(was, later))
    assert refusal(TIME.answer(stamp), now=NOW + 2 * DAY) == (
        "the timestamp is not signed by its authority in timestamp"
    )


def test_refuses_token_of_another_key_under_the_authoritys_name() -> None:
    thief = TimestampAuthority(Issued(TIME.own.certificate, p256("thief")), TIME.above)
    assert refusal(thief.stamp(SIGNATURE)) == (
        "the timestamp is not signed by its authority in timestamp"
    )


def test_refuses_token_that_names_another_certificate() -> None:
    assert refusal(TIME.answer(replace(STAMP, names=TIME_CA.der))) == (
        "the timestamp's signature does not name the authority's certificate in timestamp"
    )


def test_refuses_token_without_signed_attributes() -> None:
    assert refusal(TIME.answer(replace(STAMP, has_attributes=False))) == (
        "the timestamp has no signed attributes in timestamp"
    )


def test_refuses_token_that_names_no_certificate() -> None:
    """Its attributes are there, and none of them says whose they are (RFC 5816 section 2.2.1)."""
    assert refusal(TIME.answer(replace(STAMP, is_named=False))) == (
        "the timestamp's signature does not name the authority's certificate in timestamp"
    )


@pytest.mark.parametrize("signers", [0, 2])
def test_refuses_token_without_exactly_one_signer(signers: int) -> None:
    assert refusal(TIME.answer(replace(STAMP, signers=signers))) == (
        f"the timestamp has not one signer in timestamp (got {signers})"
    )


def test_refuses_two_certificates_that_could_be_the_signers() -> None:
    """Issuer and serial number say which it is, and the library might take the other."""
    twin = certify(
        TIME.own.certificate.subject,
        TIME_CA,
        STAMPS,
        key=p256("thief"),
        serial=TIME.own.certificate.serial_number,
    )
    assert refusal(TIME.answer(replace(STAMP, certificates=(TIME.own, twin, TIME_CA)))) == (
        "the timestamp does not bring its signer's one certificate in timestamp"
    )


def test_refuses_token_signed_as_another_type_of_content() -> None:
    data = bytes.fromhex("06092a864886f70d010701")
    assert refusal(TIME.answer(replace(STAMP, content_type=data))) == (
        "the timestamp's signature is over another type of content in timestamp"
    )


def test_refuses_token_without_its_certificate() -> None:
    assert refusal(TIME.answer(replace(STAMP, certificates=()))) == (
        "the timestamp does not bring its signer's one certificate in timestamp"
    )
    assert refusal(TIME.answer(replace(STAMP, certificates=(TIME_CA,)))) == (
        "the timestamp does not bring its signer's one certificate in timestamp"
    )


def test_refuses_answer_that_grants_nothing() -> None:
    assert refusal(TIME.answer(replace(STAMP, status=2))) == (
        "the authority granted no timestamp in timestamp (got rejection)"
    )
    assert refusal(TIME.answer(replace(STAMP, status=9))) == (
        "the authority granted no timestamp in timestamp (got status 9)"
    )


@pytest.mark.parametrize("response", [b"", b"\x30\0", GOOD[:-1], GOOD + b"\0", b"\x30\x80" + GOOD])
def test_refuses_what_cannot_be_read(response: bytes) -> None:
    with pytest.raises(MalformedError) as caught:
        verified(response)
    assert str(caught.value) == "not a timestamp response that can be read in timestamp"


def test_refuses_name_of_a_type_that_the_library_does_not_know() -> None:
    """It raises a KeyError, which fuzzing found."""
    before, name, after = GOOD.rpartition(b"\x0c\x07Time CA")
    assert name
    with pytest.raises(MalformedError, match="not a timestamp response that can be read"):
        verified(before + b"\xbd" + name[1:] + after)


def test_refuses_what_is_too_long() -> None:
    with pytest.raises(MalformedError) as caught:
        verified(bytes(65_537))
    assert str(caught.value) == (
        "timestamp is too long in timestamp (expected at most 65536 bytes, got 65537)"
    )


def test_refuses_too_many_certificates() -> None:
    many = tuple(leaf(TIME_CA, f"{at}") for at in range(9))
    with pytest.raises(MalformedError) as caught:
        verified(TIME.answer(replace(STAMP, certificates=(TIME.own, *many))))
    assert str(caught.value) == (
        "too many certificates in the timestamp in timestamp (expected at most 9, got 10)"
    )


@given(st.integers(0, len(GOOD) * 8 - 1))
def test_no_flipped_bit_changes_what_is_believed(bit: int) -> None:
    """Nothing covers versions, and the name of an algorithm that follows from key and digest."""
    changed = bytearray(GOOD)
    changed[bit // 8] ^= 1 << bit % 8
    try:
        found = verified(bytes(changed))
    except RefusedError:
        return
    assert found == verified(GOOD)


def test_without_roots_nothing_is_decided() -> None:
    with pytest.raises(UndecidedError, match="no timestamp authority is trusted"):
        verified(GOOD, roots=())
    with pytest.raises(UndecidedError, match="not a self-signed root in timestamp roots"):
        verified(GOOD, roots=(TIME_CA,))


# --- what is assumed of others, and controls ---------------------------------------------------


@pytest.mark.parametrize(
    ("response", "is_good"),
    [
        (GOOD, True),
        (TIME.stamp(b"another"), False),
        (stamper(OTHER_TIME_ROOT, "Other").stamp(SIGNATURE), False),
        (TIME.answer(replace(STAMP, names=TIME_CA.der)), False),
        (TIME.answer(replace(STAMP, status=2)), False),
        (
            stamper(TIME_ROOT, "Odd", extensions=(SIGNS, (STAMPS_MORE, True))).stamp(SIGNATURE),
            False,
        ),
    ],
    ids=["good", "another-signature", "another-authority", "names-another", "refused", "not-alone"],
)
def test_openssl_agrees(response: bytes, is_good: bool, tmp_path: Path) -> None:
    for name, content in (("answer", response), ("data", SIGNATURE), ("root", TIME_ROOT.pem)):
        (tmp_path / name).write_bytes(content)
    done = subprocess.run(
        [
            *("openssl", "ts", "-verify", "-in", "answer", "-data", "data", "-CAfile", "root"),
            *("-attime", f"{NOW.timestamp():.0f}"),
        ],
        capture_output=True,
        cwd=tmp_path,
        check=False,
    )
    ours = True
    try:
        verified(response)
    except RefusedError:
        ours = False
    assert (done.returncode == 0, ours) == (is_good, is_good)


def test_the_library_alone_would_take_less() -> None:
    """Why `verify_timestamp` does more: the library accepts each of these."""
    for response in (
        TIME.answer(replace(STAMP, names=TIME_CA.der)),
        TIME.answer(replace(STAMP, has_attributes=False)),
        TIME.answer(replace(STAMP, digest="sha1")),
    ):
        verifier = VerifierBuilder(roots=[TIME_ROOT.certificate]).build()
        assert verifier.verify_message(decode_timestamp_response(response), SIGNATURE)
        with pytest.raises(RefusedError):
            verified(response)


def nothing(*_: object, **__: object) -> None:
    """A check that never says no."""


@pytest.mark.parametrize(
    ("names", "attack"),
    [
        (("_require_attributes",), TIME.answer(replace(STAMP, names=TIME_CA.der))),
        (("_require_imprint",), TIME.answer(replace(STAMP, digest="sha1"))),
        (("_require_imprint", "_require_cms_signature"), TIME.stamp(b"another")),
        (
            ("find_chain", "_require_cms_signature"),
            stamper(OTHER_TIME_ROOT, "Other").stamp(SIGNATURE),
        ),
        (
            ("_require_cms_signature",),
            TimestampAuthority(Issued(TIME.own.certificate, p256("thief")), TIME.above).stamp(
                SIGNATURE
            ),
        ),
    ],
    ids=["attributes", "digest", "imprint", "chain", "cms"],
)
def test_without_the_check_the_attack_gets_through(
    names: tuple[str, ...], attack: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RefusedError):
        verified(attack)
    for name in names:
        monkeypatch.setattr(timestamps, name, nothing)
    assert verified(attack).at == NOW


# --- DER ---------------------------------------------------------------------------------------


def test_der_has_one_form() -> None:
    element = der.parse(tlv(0x30, tlv(0x02, b"\1"), tlv(0x04, bytes(200))), where="x")
    assert [one.tag for one in element.children()] == [0x02, 0x04]
    assert element.child(-1, der.OCTET_STRING).content == bytes(200)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a DER element in x"),
        (b"\x30", "not a DER element in x"),
        (b"\x1f\x81\x01\0", "not a DER element in x"),
        (b"\x30\x80\0\0", "not a DER length in x"),
        (b"\x30\x81\x01\0", "not a DER length in x"),
        (b"\x30\x82\0\x80" + bytes(128), "not a DER length in x"),
        (b"\x30\x85\1\0\0\0\0", "not a DER length in x"),
        (b"\x30\x82\x01", "not a DER length in x"),
        (b"\x30\x02\0", "ends early in x (expected 2 bytes)"),
        (b"\x30\0\0", "something follows the end in x (got 1 B)"),
    ],
)
def test_refuses_another_form(data: bytes, message: str) -> None:
    with pytest.raises(MalformedError) as caught:
        der.parse(data, where="x")
    assert str(caught.value) == message


def test_refuses_another_structure() -> None:
    element = der.parse(tlv(0x30, tlv(0x02, b"\1")), where="x")
    for number in (1, -2, 0):
        with pytest.raises(MalformedError, match="not the expected structure in x"):
            element.child(number, der.SET)


# --- asking ------------------------------------------------------------------------------------


@dataclass
class Server:
    """A timestamp authority on 127.0.0.1 that answers one request."""

    url: str
    queries: list[bytes] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)


Answer = Callable[[bytes], tuple[int, str, bytes]]


@contextmanager
def authority(answer: Answer) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            server.queries.append(query)
            server.headers.update(self.headers.items())
            status, kind, body = answer(query)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.timeout = 10
        server = Server(f"http://127.0.0.1:{listening.server_port}/tsa")
        thread = threading.Thread(target=listening.handle_request)
        thread.start()
        try:
            yield server
        finally:
            thread.join()


REPLY: Final = "application/timestamp-reply"


def nonce_of(query: bytes) -> int:
    """The nonce of a TimeStampReq: its only INTEGER beside the version."""
    numbers = [one for one in der.parse(query, where="query").children() if one.tag == 0x02]
    return int.from_bytes(numbers[1].content, "big")


def honest(query: bytes) -> tuple[int, str, bytes]:
    return 200, REPLY, TIME.answer(replace(STAMP, nonce=nonce_of(query)))


def ask(server: Server, *, roots: tuple[Issued, ...] = (TIME_ROOT,)) -> bytes:
    return request_timestamp(
        server.url, signature=SIGNATURE, now=NOW, roots=tuple(one.der for one in roots)
    )


def failure(answer: Answer, *, roots: tuple[Issued, ...] = (TIME_ROOT,)) -> str:
    with authority(answer) as server, pytest.raises(UndecidedError) as caught:
        ask(server, roots=roots)
    return str(caught.value).replace(server.url, "URL")


@pytest.mark.parametrize("roots", [(TIME_ROOT,), ()])
def test_asks_over_the_signature_with_a_nonce_and_for_the_certificate(
    roots: tuple[Issued, ...],
) -> None:
    with authority(honest) as server:
        response = ask(server, roots=roots)
    assert verified(response).at == NOW
    (query,) = server.queries
    assert hashlib.sha256(SIGNATURE).digest() in query
    assert query.endswith(b"\x01\x01\xff")  # certReq
    assert nonce_of(query) > 0
    assert server.headers["Content-Type"] == "application/timestamp-query"


def test_each_request_has_its_own_nonce() -> None:
    queries = []
    for _ in range(2):
        with authority(honest) as server:
            ask(server)
        queries += server.queries
    assert nonce_of(queries[0]) != nonce_of(queries[1])


@pytest.mark.parametrize("roots", [(TIME_ROOT,), ()])
def test_refuses_answer_to_another_request(roots: tuple[Issued, ...]) -> None:
    assert failure(lambda _: (200, REPLY, GOOD), roots=roots) == (
        "the timestamp answers another request in URL"
    )

    def another(query: bytes) -> tuple[int, str, bytes]:
        stamp = replace(STAMP, signature=b"another", nonce=nonce_of(query))
        return 200, REPLY, TIME.answer(stamp)

    assert failure(another, roots=roots) == "the timestamp is over another signature in URL"


def test_what_is_asked_for_is_verified_if_a_root_is_known() -> None:
    assert failure(honest, roots=(OTHER_TIME_ROOT,)).startswith(
        "the timestamp's authority leads to no trusted root, or was not valid then in URL"
    )


@pytest.mark.parametrize(
    ("status", "kind", "body", "message"),
    [
        (500, REPLY, GOOD, "got status 500 and 'application/timestamp-reply'"),
        (302, REPLY, GOOD, "got status 302 and 'application/timestamp-reply'"),
        (200, "text/html", GOOD, "got status 200 and 'text/html'"),
    ],
)
def test_refuses_answer_of_another_kind(status: int, kind: str, body: bytes, message: str) -> None:
    assert failure(lambda _: (status, kind, body)) == (
        f"no timestamp from the authority in URL ({message})"
    )


def test_refuses_what_is_no_timestamp() -> None:
    assert failure(lambda _: (200, REPLY, b"hello")) == (
        "not a timestamp response that can be read in URL"
    )


def test_reads_no_more_than_the_bound() -> None:
    assert failure(lambda _: (200, REPLY, bytes(70_000))) == (
        "timestamp is too long in URL (expected at most 65536 bytes)"
    )


def test_waits_no_longer_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    soon = replace(LIMITS, timestamp_total_seconds=0.01)
    monkeypatch.setattr(timestamp_request, "LIMITS", soon)
    has_given_up = threading.Event()

    def slow(query: bytes) -> tuple[int, str, bytes]:
        assert has_given_up.wait(10)
        return honest(query)

    with authority(slow) as server:
        with pytest.raises(UndecidedError) as caught:
            ask(server)
        has_given_up.set()
    assert str(caught.value) == (
        f"no timestamp from the authority in {server.url} (got no whole answer in 0.01 s)"
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"hello\r\n\r\n",
        b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: application/timestamp-reply\r\n\r\nzz\r\n",
    ],
)
def test_refuses_what_is_no_http(raw: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(raw)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        with pytest.raises(UndecidedError, match="no timestamp from the authority in http"):
            request_timestamp(url, signature=SIGNATURE, now=NOW)
        thread.join()


def test_nobody_answers() -> None:
    with pytest.raises(UndecidedError) as caught:
        request_timestamp("http://127.0.0.1:9/", signature=SIGNATURE, now=NOW)
    assert str(caught.value) == (
        "no timestamp from the authority in http://127.0.0.1:9/ "
        "(got [errno 111] connection refused)"
    )


@pytest.mark.parametrize(
    "url",
    [
        "",
        "tsa.example.com",
        "file:///etc/passwd",
        "ftp://tsa.example.com/",
        "http://",
        "http://user:secret@tsa.example.com/",
        "http://tsa.example.com:99999/",
        "http://tsa.example.com/a b",
        "http://tsa.example.com/\r\nX: y",
        "http://tsa.example.com/\r\nX:y",
        "http://[::1/",
        "http://tsä.example.com/",
    ],
)
def test_refuses_what_is_no_url_of_an_authority(url: str) -> None:
    with pytest.raises(UndecidedError) as caught:
        request_timestamp(url, signature=SIGNATURE, now=NOW)
    assert str(caught.value) == (
        "not the URL of a timestamp authority (expected http:// or https://, a host, and no user)"
    )


# --- the authority of a private Sigstore -------------------------------------------------------


def ask_sigstore(private: PrivateSigstore) -> bytes:
    listed = json.loads(private.trusted_root())["timestampAuthorities"][0]["certChain"]
    _, root = (base64.b64decode(one["rawBytes"]) for one in listed["certificates"])
    now = datetime.now(UTC)
    return request_timestamp(private.timestamp_url, signature=SIGNATURE, now=now, roots=(root,))


def test_asks_the_authority_of_a_private_sigstore() -> None:
    with PrivateSigstore() as private:
        assert decode_timestamp_response(ask_sigstore(private)).status == 0


@pytest.mark.parametrize(
    ("fault", "claim"),
    [
        (Fault.TIMESTAMP_OVER_OTHER_MESSAGE, "the timestamp is over another signature"),
        (Fault.TIMESTAMP_FOR_OTHER_NONCE, "the timestamp answers another request"),
        (Fault.TIMESTAMP_BAD_SIGNATURE, "the timestamp is not signed by its authority"),
        (Fault.TIMESTAMP_BY_UNKNOWN_AUTHORITY, "the timestamp's authority leads to no trusted"),
        (Fault.TIMESTAMP_NOT_FOR_TIMESTAMPING, "the timestamp's signer is not a timestamp auth"),
        (Fault.TIMESTAMP_TOO_LATE, "the timestamp is from the future"),
        (Fault.TIMESTAMP_UNAVAILABLE, "no timestamp from the authority"),
    ],
)
def test_uses_no_faulty_timestamp_of_a_private_sigstore(fault: Fault, claim: str) -> None:
    with PrivateSigstore(faults=[fault]) as private, pytest.raises(UndecidedError) as caught:
        ask_sigstore(private)
    assert str(caught.value).startswith(claim)
