"""Asking a timestamp authority over HTTP (RFC 3161 section 3.4): the one thing here that is online.

Only who signs asks; nothing that verifies opens a connection.
"""

from datetime import datetime
from http.client import HTTPException, HTTPResponse
from typing import Final
from urllib.error import URLError
from urllib.request import (
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

from infwasi_sign.adapters.online import in_time, require_url
from infwasi_sign.adapters.timestamps import require_answer, verify_timestamp
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import RefusedError, UndecidedError

_QUERY: Final = "application/timestamp-query"
_REPLY: Final = "application/timestamp-reply"
_OK: Final = frozenset({200, 201})  # 201 is what sigstore/timestamp-authority says


def request_timestamp(
    url: str,
    *,
    signature: bytes,
    now: datetime,
    roots: tuple[bytes, ...] = (),
    intermediates: tuple[bytes, ...] = (),
) -> bytes:
    """The answer of the authority at ``url`` over ``signature``, a TimeStampResp in DER.

    With ``roots`` it is verified as a verifier would; without them only that it answers this
    request. The nonce has 64 bits; the authority is asked for its certificates.

    Raises:
        UndecidedError: the URL is none, nobody answers in time, or the answer is not such a one.
    """
    require_url(url, "timestamp authority")
    request = (
        TimestampRequestBuilder()
        .data(signature)
        .hash_algorithm(HashAlgorithm.SHA256)
        .nonce(nonce=True)
        .cert_request(cert_request=True)
        .build()
    )
    nonce = request.nonce
    if nonce is None:
        raise UndecidedError("the request for a timestamp has no nonce", where=url)
    response = in_time(
        lambda: _exchange(url, request.as_bytes()),
        LIMITS.timestamp_total_seconds,
        lambda reason: _failed(url, reason),
    )
    try:
        if roots:
            verify_timestamp(
                response,
                signature=signature,
                roots=roots,
                intermediates=intermediates,
                nonce=nonce,
                now=now,
                where=url,
            )
        else:
            require_answer(response, signature=signature, nonce=nonce, where=url)
    except RefusedError as e:
        raise UndecidedError(
            e.what, where=e.where, expected=e.expected, got=e.got, hint=e.hint
        ) from e
    return response


def _exchange(url: str, query: bytes) -> bytes:
    """One request; proxies are those of the environment, and nothing follows a redirect."""
    opener = OpenerDirector()
    for handler in (ProxyHandler(), HTTPHandler(), HTTPSHandler()):
        opener.add_handler(handler)
    headers = {"Content-Type": _QUERY, "Accept": _REPLY}
    request = Request(url, query, headers)  # noqa: S310 -- the scheme was looked at
    try:
        with opener.open(request, timeout=LIMITS.timestamp_wait_seconds) as answer:
            return _body(answer, url)
    except URLError as e:
        raise _failed(url, str(e.reason)) from e
    except (OSError, HTTPException, ValueError) as e:
        raise _failed(url, str(e) or type(e).__name__) from e


def _body(answer: HTTPResponse, where: str) -> bytes:
    kind = answer.headers.get_content_type()
    if answer.status not in _OK or kind != _REPLY:
        raise _failed(where, f"status {answer.status} and {kind[:60]!a}")
    data = answer.read(LIMITS.timestamp_bytes + 1)
    if len(data) > LIMITS.timestamp_bytes:
        raise UndecidedError(
            "timestamp is too long",
            where=where,
            expected=f"at most {LIMITS.timestamp_bytes} bytes",
        )
    return data


def _failed(where: str, reason: str) -> UndecidedError:
    return UndecidedError(
        "no timestamp from the authority",
        where=where,
        got=reason[:120].encode("ascii", "backslashreplace").decode("ascii").lower(),
    )
