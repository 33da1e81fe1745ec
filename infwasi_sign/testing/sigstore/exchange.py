"""What the services are asked and answer, without any socket."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import field

from infwasi_sign.domain import strict_json
from infwasi_sign.domain.strict_json import Cursor, JsonValue
from infwasi_sign.errors import MalformedError
from infwasi_sign.quick_dataclass import dataclass
from infwasi_sign.testing.sigstore.limits import LIMITS


class RequestError(Exception):
    """A request that is answered with an HTTP status of an error and one sentence."""

    def __init__(self, sentence: str, *, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request, its body read."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    bearer: str | None = None
    body: bytes = b""

    def json(self) -> Cursor:
        """The body as JSON that can be understood in one way only.

        Raises:
            RequestError: the body is something else.
        """
        try:
            value = strict_json.parse(self.body, where="body", limit_bytes=LIMITS.body_bytes)
        except MalformedError as e:
            raise RequestError(str(e)) from e
        return Cursor(value, "body")


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """The answer to one request."""

    status: int = 200
    media_type: str = "application/json"
    body: bytes = b""
    location: str | None = None


def json_response(value: JsonValue, *, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(status=status, body=json.dumps(value).encode())


def error_response(sentence: str, *, status: int) -> Response:
    """An error in the form of google.rpc.Status, which Fulcio and Rekor use."""
    # 3 is INVALID_ARGUMENT, 5 NOT_FOUND, 13 INTERNAL (google/rpc/code.proto).
    code = {404: 5, 500: 13}.get(status, 3)
    return json_response({"code": code, "message": sentence}, status=status)


def from_base64(text: str, what: str) -> bytes:
    """The bytes of standard base64.

    Raises:
        RequestError: it is something else.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as e:
        raise RequestError(f"{what} is not base64") from e


def to_base64(data: bytes) -> str:
    """Standard base64 with padding, RFC 4648 section 4."""
    return base64.b64encode(data).decode()
