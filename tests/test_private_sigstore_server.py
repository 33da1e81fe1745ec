"""The private Sigstore holds its bounds, keeps to this machine, and refuses nonsense."""

import base64
import hashlib
import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infwasi_sign.testing.sigstore import InstanceLimits, PrivateSigstore, RequestError
from infwasi_sign.testing.sigstore.merkle import inclusion_path, leaf_hash, tree_hash

POSTS = (
    "/api/v1/log/entries",
    "/api/v1/timestamp",
    "/api/v2/log/entries",
    "/api/v2/signingCert",
    "/oidc/token",
)


@pytest.fixture(scope="module")
def instance() -> Iterator[PrivateSigstore]:
    """One for all tests that only ask; a service that fails inside fails the last of them."""
    with PrivateSigstore() as instance:
        yield instance


def ask(
    instance: PrivateSigstore,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, bytes, str | None]:
    connection = http.client.HTTPConnection("127.0.0.1", port(instance), timeout=10)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.getheader("Location")
    finally:
        connection.close()


def port(instance: PrivateSigstore) -> int:
    found = urlsplit(instance.url).port
    assert found is not None
    return found


def message(answer: tuple[int, bytes, str | None]) -> tuple[int, str]:
    return answer[0], json.loads(answer[1])["message"]


# Bounds


def test_listens_on_this_machine_only(instance: PrivateSigstore) -> None:
    with socket.socket() as other:
        # Another loopback address of this machine is already not its own.
        assert other.connect_ex(("127.0.0.2", port(instance))) != 0


def test_answers_so_many_requests_and_no_more() -> None:
    with PrivateSigstore(limits=InstanceLimits(requests=2)) as instance:
        assert [ask(instance, "GET", "/oidc/keys")[0] for _ in range(3)] == [200, 200, 503]
        assert len(instance.requests) == 2


def test_refuses_a_body_that_is_too_long() -> None:
    with PrivateSigstore(limits=InstanceLimits(body_bytes=10)) as instance:
        assert message(ask(instance, "POST", POSTS[0], b"1" * 11)) == (413, "body is too long")
        assert ask(instance, "POST", POSTS[0], b"1" * 10)[0] == 400


@pytest.mark.parametrize(
    "headers",
    [{"Transfer-Encoding": "chunked"}, {"Content-Length": "-1"}, {"Content-Length": "1_0"}],
)
def test_refuses_a_body_without_a_length(
    headers: Mapping[str, str], instance: PrivateSigstore
) -> None:
    refusal = message(ask(instance, "POST", POSTS[0], b"", headers))
    assert refusal == (411, "Content-Length is missing")


def test_refuses_a_get_with_a_body(instance: PrivateSigstore) -> None:
    assert message(ask(instance, "GET", "/oidc/keys", b"x")) == (400, "a GET has no body")


@pytest.mark.parametrize(
    "limits",
    [InstanceLimits(idle_seconds=0.01), InstanceLimits(connection_seconds=0.01)],
    ids=["idle", "connected"],
)
def test_hangs_up_on_who_stays_silent(limits: InstanceLimits) -> None:
    with (
        PrivateSigstore(limits=limits) as instance,
        socket.create_connection(("127.0.0.1", port(instance)), timeout=10) as silent,
    ):
        assert silent.recv(1) == b""


def test_hangs_up_on_who_comes_when_it_is_full() -> None:
    with (
        PrivateSigstore(limits=InstanceLimits(connections=1)) as instance,
        socket.create_connection(("127.0.0.1", port(instance)), timeout=10) as first,
    ):
        first.sendall(b"GET /oidc/keys HTTP/1.1\r\n\r\n")
        assert first.recv(8) == b"HTTP/1.1"
        with socket.create_connection(("127.0.0.1", port(instance)), timeout=10) as second:
            assert second.recv(1) == b""


def test_its_end_cuts_open_connections() -> None:
    with PrivateSigstore() as instance:
        idle = socket.create_connection(("127.0.0.1", port(instance)), timeout=10)
        idle.sendall(b"GET /oidc/keys HTTP/1.1\r\n\r\n")
        assert idle.recv(8) == b"HTTP/1.1"
    with idle:
        idle.settimeout(10)
        while idle.recv(1024):
            pass  # the rest of the answer, and then the end


def test_unknown_paths_are_not_found(instance: PrivateSigstore) -> None:
    for path in ("/", "/tuf/", "/tuf/../token", "/tuf/2.root.json", "/api/v2/signingCert"):
        assert message(ask(instance, "GET", path)) == (404, "not found")


# Nonsense


@given(path=st.sampled_from(POSTS), body=st.binary(max_size=200))
def test_bytes_without_sense_are_refused(instance: PrivateSigstore, path: str, body: bytes) -> None:
    status = ask(instance, "POST", path, body, {"Authorization": f"Bearer {instance.token()}"})[0]
    assert status == 400


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "AAAA", "0.0.1", "é"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("apiVersion", "kind", "spec", "proposedContent", "envelope", "verifiers"),
                    *("certificateSigningRequest", "publicKeyRequest", "publicKey", "content"),
                    *("hashedRekordRequestV002", "digest", "signature", "verifier"),
                ]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(path=st.sampled_from(POSTS), value=VALUES)
def test_json_without_sense_is_refused(instance: PrivateSigstore, path: str, value: object) -> None:
    headers = {"Authorization": f"Bearer {instance.token()}"}
    assert ask(instance, "POST", path, json.dumps(value).encode(), headers)[0] == 400


@given(token=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=80))
def test_tokens_without_sense_are_refused(instance: PrivateSigstore, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    assert ask(instance, "POST", "/api/v2/signingCert", b"{}", headers)[0] == 401


def test_a_token_that_nests_without_end_is_refused(instance: PrivateSigstore) -> None:
    head = base64.urlsafe_b64encode(b"[" * 40_000).decode().rstrip("=")
    headers = {"Authorization": f"Bearer {head}.e30.AAAA"}
    assert ask(instance, "POST", "/api/v2/signingCert", b"{}", headers)[0] == 401


NO_FIT = "identity does not fit into a certificate"


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({}, "identity is neither a verified mail address nor a URI"),
        ({"email": "a@example.test"}, "identity is neither a verified mail address nor a URI"),
        ({"email": "é@example.test", "email_verified": True}, NO_FIT),
        ({"job_workflow_ref": "é"}, NO_FIT),
    ],
)
def test_fulcio_refuses_an_identity_that_it_cannot_certify(
    claims: Mapping[str, Any], said: str, instance: PrivateSigstore
) -> None:
    with pytest.raises(RequestError) as refusal:
        instance.careless_dsse_bundle(b"{}", identity="nobody", **claims)
    assert (refusal.value.status, str(refusal.value)) == (400, said)


# The browser flow

VERIFIER = "v" * 43  # RFC 7636 section 4.1: at least 43
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
)
LOGIN = {
    "client_id": "sigstore",
    "redirect_uri": "http://localhost:1234/auth/callback",
    "state": "a state",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


def login(instance: PrivateSigstore, **changes: str) -> tuple[int, bytes, str | None]:
    return ask(instance, "GET", f"/oidc/auth?{urlencode({**LOGIN, **changes})}")


def redeem(instance: PrivateSigstore, code: str, **changes: str) -> tuple[int, bytes, str | None]:
    form = {"code": code, "code_verifier": VERIFIER, "redirect_uri": LOGIN["redirect_uri"]}
    return ask(instance, "POST", "/oidc/token", urlencode({**form, **changes}).encode())


def code_of(answer: tuple[int, bytes, str | None]) -> str:
    status, _, location = answer
    assert status == 302
    assert location is not None
    assert location.startswith(LOGIN["redirect_uri"] + "?")
    query = parse_qs(urlsplit(location).query)
    assert query["state"] == ["a state"]
    return query["code"][0]


def test_a_code_gives_a_token_once(instance: PrivateSigstore) -> None:
    code = code_of(login(instance))
    assert redeem(instance, code)[0] == 200
    assert message(redeem(instance, code)) == (400, "code is unknown or was used")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"code_verifier": "w" * 43}, "code_verifier does not match code_challenge"),
        ({"redirect_uri": "http://localhost:9/x"}, "redirect_uri is not that of the code"),
        ({"code": "guessed"}, "code is unknown or was used"),
    ],
)
def test_a_code_is_bound_to_who_asked(
    changes: Mapping[str, str], said: str, instance: PrivateSigstore
) -> None:
    code = code_of(login(instance))
    assert message(redeem(instance, **{"code": code, **changes})) == (400, said)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"redirect_uri": "http://example.test/"}, "redirect_uri leaves this machine"),
        ({"redirect_uri": "https://localhost/"}, "redirect_uri leaves this machine"),
        ({"redirect_uri": "http://localhost/\r\nX: y"}, "redirect_uri leaves this machine"),
        ({"redirect_uri": "http://[/"}, "redirect_uri leaves this machine"),
        ({"code_challenge_method": "plain"}, "code_challenge_method must be S256"),
        ({"code_challenge": ""}, "parameter is missing: code_challenge"),
        ({"state": ""}, "parameter is missing: state"),
    ],
)
def test_a_login_is_refused(
    changes: Mapping[str, str], said: str, instance: PrivateSigstore
) -> None:
    assert message(login(instance, **changes)) == (400, said)


def test_only_the_last_logins_are_remembered() -> None:
    with PrivateSigstore() as instance:
        codes = [code_of(login(instance)) for _ in range(101)]
        assert redeem(instance, codes[0])[0] == 400
        assert redeem(instance, codes[1])[0] == 200


# The tree

# The leaves and roots of Certificate Transparency's own tests (certificate-transparency,
# merkletree/merkle_tree_test.cc), for the first 0, 1, 2, 3 and 8 of them.
LEAVES = tuple(
    leaf_hash(bytes.fromhex(text))
    for text in (
        *("", "00", "10", "2021", "3031", "40414243"),
        *("5051525354555657", "606162636465666768696a6b6c6d6e6f"),
    )
)
ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


@pytest.mark.parametrize("size", ROOTS)
def test_tree_has_the_known_root(size: int) -> None:
    assert tree_hash(LEAVES[:size]).hex() == ROOTS[size]


@given(size=st.integers(1, 40), data=st.data())
def test_path_leads_from_leaf_to_root(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaves = [leaf_hash(bytes([number])) for number in range(size)]
    assert root_of(index, size, leaves[index], inclusion_path(index, leaves)) == tree_hash(leaves)


def root_of(index: int, size: int, leaf: bytes, path: tuple[bytes, ...]) -> bytes:
    """The steps of RFC 9162 section 2.1.3.2, which the code under test does not know."""
    at, last, root = index, size - 1, leaf
    for one in path:
        assert last != 0
        if at & 1 or at == last:
            root = hashlib.sha256(b"\x01" + one + root).digest()
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            root = hashlib.sha256(b"\x01" + root + one).digest()
        at, last = at >> 1, last >> 1
    assert last == 0
    return root
