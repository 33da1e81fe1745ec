"""HTTP on 127.0.0.1: bounded in requests, bodies, connections and time."""

import socket
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from infwasi_sign.quick_dataclass import dataclass
from infwasi_sign.testing.sigstore.exchange import (
    Request,
    RequestError,
    Response,
    error_response,
)
from infwasi_sign.testing.sigstore.limits import InstanceLimits

Route: TypeAlias = Callable[[Request], Response]
"""A function that answers, or raises RequestError."""

_ADDRESS: Final = "127.0.0.1"
_QUERY_FIELDS: Final = 50  # an authorization request has 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One request that was answered, for tests to look at."""

    method: str
    path: str
    size_bytes: int
    status: int


class Server(ThreadingHTTPServer):
    """Routes by method and path; a path that ends with a slash takes all below it."""

    daemon_threads = True
    block_on_close = False  # an idle client must not hold up the end of a test

    def __init__(self, limits: InstanceLimits) -> None:
        self.limits = limits
        self.routes: Mapping[tuple[str, str], Route] = {}
        self.asked: list[Asked] = []
        self.failures: list[BaseException] = []
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__((_ADDRESS, 0), _Handler)

    def answer(self, request: Request) -> Response:
        """Find the route and take it."""
        route = self._route(request)
        if route is None:
            return error_response("not found", status=404)
        try:
            return route(request)
        except RequestError as e:
            return error_response(str(e), status=e.status)

    def admit(self) -> bool:
        """Whether one more request is within bounds."""
        with self._lock:
            return len(self.asked) < self.limits.requests

    def record(self, asked: Asked) -> None:
        """Remember a request."""
        with self._lock:
            if len(self.asked) < self.limits.requests:
                self.asked.append(asked)

    def stop(self) -> None:
        """End service and cut what is still connected."""
        self.shutdown()
        self.server_close()
        with self._lock:
            still_open = tuple(self._open)
        for connection in still_open:
            _cut(connection)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection, if there are not too many."""
        with self._lock:
            is_full = len(self._open) >= self.limits.connections
            if not is_full:
                self._open.add(request)
        if is_full:
            super().shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base's signature
        """Keep what went wrong for the end of the test; that a client left is no failure."""
        failure = sys.exception()
        if failure is not None and not isinstance(failure, OSError):
            self.failures.append(failure)

    def _route(self, request: Request) -> Route | None:
        exact = self.routes.get((request.method, request.path))
        if exact is not None:
            return exact
        for (method, path), route in self.routes.items():
            if path.endswith("/") and method == request.method and request.path.startswith(path):
                return route
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        limits = self.server.limits
        super().setup()
        self.connection.settimeout(limits.idle_seconds)
        self._end = threading.Timer(limits.connection_seconds, _cut, (self.connection,))
        self._end.daemon = True
        self._end.start()

    def finish(self) -> None:
        self._end.cancel()
        super().finish()

    def log_message(self, *_: object) -> None:
        """Say nothing: the test reads `requests`."""

    def do_GET(self) -> None:
        # A body that is not read would be taken for the next request.
        if {"Content-Length", "Transfer-Encoding"} & set(self.headers.keys()):
            self._refuse("a GET has no body", 400)
        else:
            self._serve(b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()):
            self._refuse("Content-Length is missing", 411)
        elif len(length) > 10 or int(length) > self.server.limits.body_bytes:
            self._refuse("body is too long", 413)
        else:
            self._serve(self.rfile.read(int(length)))

    def _serve(self, body: bytes) -> None:
        if not self.server.admit():
            self._refuse("this instance has answered its last request", 503)
            return
        try:
            parts = urlsplit(self.path)
            query = dict(parse_qsl(parts.query, max_num_fields=_QUERY_FIELDS))
        except ValueError:
            self._refuse("address does not parse", 400)
            return
        scheme, _, credentials = self.headers.get("Authorization", "").partition(" ")
        request = Request(
            method=self.command,
            path=parts.path,
            query=query,
            bearer=credentials if scheme.lower() == "bearer" else None,
            body=body,
        )
        response = self.server.answer(request)
        self.server.record(
            Asked(
                method=request.method,
                path=request.path,
                size_bytes=len(body),
                status=response.status,
            )
        )
        self._send(response)

    def _refuse(self, sentence: str, status: int) -> None:
        self.close_connection = True
        self._send(error_response(sentence, status=status))

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        self.send_header("Content-Type", response.media_type)
        self.send_header("Content-Length", str(len(response.body)))
        if response.location is not None:
            self.send_header("Location", response.location)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(response.body)


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is gone already
