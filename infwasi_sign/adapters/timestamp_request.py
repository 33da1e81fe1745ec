"""Asking a timestamp authority over HTTP (RFC 3161 section 3.4): the one thing here that is online.

Only `infwasi pack` asks; nothing that verifies opens a connection.
"""

from datetime import datetime
from http.client import HTTPException, HTTPResponse
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

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
    where = _require_url(url)
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
        raise UndecidedError("the request for a timestamp has no nonce", where=where)
    response = _post(url, request.as_bytes(), where)
    try:
        if roots:
            verify_timestamp(
                response,
                signature=signature,
                roots=roots,
                intermediates=intermediates,
                nonce=nonce,
                now=now,
                where=where,
            )
        else:
            require_answer(response, signature=signature, nonce=nonce, where=where)
    except RefusedError as e:
        raise UndecidedError(
            e.what, where=e.where, expected=e.expected, got=e.got, hint=e.hint
        ) from e
    return response


def _require_url(url: str) -> str:
    """How errors call the URL; a password in it would be shown, and is refused."""
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
        is_usable = is_usable and parts.username is None and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or not url.isascii() or not url.isprintable() or " " in url:
        raise UndecidedError(
            "not the URL of a timestamp authority",
            expected="http:// or https://, a host, and no user",
        )
    return url


def _post(url: str, query: bytes, where: str) -> bytes:
    """The body of the answer. The bound on time is for all of it, name look-up and headers too.

    Who drips one byte after the other is left alone with a thread that nobody waits for.
    """
    answers: SimpleQueue[bytes | BaseException] = SimpleQueue()

    def work() -> None:
        try:
            answers.put(_exchange(url, query, where))
        except BaseException as error:  # raised below, where somebody can answer
            answers.put(error)

    Thread(target=work, daemon=True).start()
    try:
        answer = answers.get(timeout=LIMITS.timestamp_total_seconds)
    except Empty as e:
        raise _failed(where, f"no whole answer in {LIMITS.timestamp_total_seconds:g} s") from e
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _exchange(url: str, query: bytes, where: str) -> bytes:
    """One request; proxies are those of the environment, and nothing follows a redirect."""
    opener = OpenerDirector()
    for handler in (ProxyHandler(), HTTPHandler(), HTTPSHandler()):
        opener.add_handler(handler)
    headers = {"Content-Type": _QUERY, "Accept": _REPLY}
    request = Request(url, query, headers)  # noqa: S310 -- the scheme was looked at
    try:
        with opener.open(request, timeout=LIMITS.timestamp_wait_seconds) as answer:
            return _body(answer, where)
    except URLError as e:
        raise _failed(where, str(e.reason)) from e
    except (OSError, HTTPException, ValueError) as e:
        raise _failed(where, str(e) or type(e).__name__) from e


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
