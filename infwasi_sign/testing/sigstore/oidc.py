"""The OpenID Connect issuer: discovery, the browser flow with PKCE, an ambient endpoint.

OpenID Connect Discovery 1.0, RFC 6749 section 4.1 (authorization code), RFC 7636 (PKCE), and what
GitHub Actions offers to jobs with the permission `id-token: write`.
"""

import base64
import json
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.testing.sigstore.exchange import (
    Request,
    RequestError,
    Response,
    json_response,
)
from infwasi_sign.testing.sigstore.faults import Fault
from infwasi_sign.testing.sigstore.limits import LIMITS

AUDIENCE: Final = "sigstore"
_KEY_NAME: Final = "1"
_HOUR_SECONDS: Final = 3600
# Where a browser may be sent back to: this machine (RFC 8252 section 7.3).
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})

# What GitHub says of a job ("About security hardening with OpenID Connect", section "Understanding
# the OIDC token"), for a repository that nobody has.
GITHUB_CLAIMS: Final[Mapping[str, JsonValue]] = {
    "sub": "repo:example/project:ref:refs/heads/main",
    "repository": "example/project",
    "repository_id": "1",
    "repository_owner": "example",
    "repository_owner_id": "2",
    "repository_visibility": "public",
    "ref": "refs/heads/main",
    "sha": "a" * 40,
    "workflow": "release",
    "workflow_ref": "example/project/.github/workflows/release.yml@refs/heads/main",
    "workflow_sha": "a" * 40,
    "job_workflow_ref": "example/project/.github/workflows/release.yml@refs/heads/main",
    "job_workflow_sha": "a" * 40,
    "event_name": "push",
    "runner_environment": "github-hosted",
    "run_id": "3",
    "run_attempt": "1",
}


class OidcIssuer:
    """Makes tokens for whoever asks; the user of its browser flow always agrees."""

    def __init__(self, *, url: str, identity: str, faults: frozenset[Fault]) -> None:
        self.url = url
        self._identity = identity
        self._faults = faults
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._signing_key = self._key
        if Fault.TOKEN_BAD_SIGNATURE in faults:
            self._signing_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._logins: OrderedDict[str, Mapping[str, str]] = OrderedDict()
        self._ambient: OrderedDict[str, Mapping[str, JsonValue]] = OrderedDict()

    def token(self, identity: str, **claims: JsonValue) -> str:
        """A token for ``identity``, a mail address or a URI; ``claims`` add or replace.

        It goes by the clock of the machine, because that is what clients hold against it.
        """
        begin = int(time.time())
        if Fault.TOKEN_EXPIRED in self._faults:
            begin -= 2 * _HOUR_SECONDS
        is_strange = Fault.TOKEN_FOR_OTHER_AUDIENCE in self._faults
        everything: dict[str, JsonValue] = {
            "iss": self.url,
            "sub": identity,
            "aud": "somebody-else" if is_strange else AUDIENCE,
            "iat": begin,
            "nbf": begin,
            "exp": begin + _HOUR_SECONDS,
        }
        if "@" in identity and ":" not in identity:
            everything |= {"email": identity, "email_verified": True}
        everything |= claims
        headers = {"kid": _KEY_NAME}
        return jwt.encode(everything, self._signing_key, algorithm="RS256", headers=headers)

    def claims(self, token: str) -> Mapping[str, Any]:
        """The claims of a token of ours, for Fulcio.

        Raises:
            RequestError: the token is not ours, has ended, or is for another audience.
        """
        required = ["aud", "exp", "iat", "iss", "sub"]
        try:
            return jwt.decode(
                token,
                self._key.public_key(),
                algorithms=["RS256"],
                audience=AUDIENCE,
                issuer=self.url,
                options={"require": required},
            )
        except (jwt.InvalidTokenError, RecursionError) as e:
            raise RequestError(f"token is refused: {e}", status=401) from e

    def ambient_environment(self, **claims: JsonValue) -> dict[str, str]:
        """Variables of a GitHub Actions job; ``claims`` change what its token says."""
        ticket = secrets.token_urlsafe()
        _remember(self._ambient, ticket, {**GITHUB_CLAIMS, **claims})
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": ticket,
            # NOTE: GitHub's address has a query already; clients must add to it.
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/ambient?api-version=2.0",
        }

    def discovery(self, _request: Request) -> Response:
        """`/.well-known/openid-configuration` (OpenID Connect Discovery 1.0 section 4)."""
        return json_response(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/auth",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    def keys(self, _request: Request) -> Response:
        """The keys that tokens are checked with (RFC 7517)."""
        key = json.loads(RSAAlgorithm.to_jwk(self._key.public_key()))
        return json_response({"keys": [{**key, "kid": _KEY_NAME, "use": "sig", "alg": "RS256"}]})

    def authorize(self, request: Request) -> Response:
        """Send the browser back with a code (RFC 6749 section 4.1.1, RFC 7636 section 4.3)."""
        query = request.query
        for name in ("client_id", "redirect_uri", "state", "code_challenge"):
            if not query.get(name):
                raise RequestError(f"parameter is missing: {name}")
        if query.get("code_challenge_method") != "S256":
            raise RequestError("code_challenge_method must be S256")
        redirect = query["redirect_uri"]
        if not _stays_here(redirect):
            raise RequestError("redirect_uri leaves this machine")
        code = secrets.token_urlsafe()
        _remember(self._logins, code, query)
        answer = urlencode({"code": code, "state": query["state"]})
        joint = "&" if "?" in redirect else "?"  # RFC 6749 section 3.1.2
        return Response(status=302, location=f"{redirect}{joint}{answer}")

    def exchange_code(self, request: Request) -> Response:
        """Give a token for a code, once (RFC 6749 section 4.1.3, RFC 7636 section 4.6)."""
        try:
            form = dict(parse_qsl(request.body.decode("ascii"), max_num_fields=20))
        except ValueError as e:
            raise RequestError("body is not a form") from e
        login = self._logins.pop(form.get("code", ""), None)
        if login is None:
            raise RequestError("code is unknown or was used")
        challenge = sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(challenge).decode().rstrip("=") != login["code_challenge"]:
            raise RequestError("code_verifier does not match code_challenge")
        if form.get("redirect_uri") != login["redirect_uri"]:
            raise RequestError("redirect_uri is not that of the code")
        token = self.token(self._identity)
        return json_response({"access_token": token, "id_token": token, "token_type": "Bearer"})

    def ambient(self, request: Request) -> Response:
        """What ACTIONS_ID_TOKEN_REQUEST_URL answers to a job that shows its ticket."""
        claims = self._ambient.get(request.bearer or "")
        if claims is None:
            raise RequestError("ticket is unknown", status=401)
        audience = request.query.get("audience")
        if audience is None:
            raise RequestError("parameter is missing: audience")
        if Fault.TOKEN_FOR_OTHER_AUDIENCE not in self._faults:
            claims = {**claims, "aud": audience}
        return json_response({"value": self.token(str(claims["sub"]), **claims)})


def _stays_here(address: str) -> bool:
    # Printable ASCII only, for the address becomes a header of HTTP.
    if not re.fullmatch(r"[!-~]+", address):
        return False
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme == "http" and parts.hostname in _LOOPBACK and not parts.fragment


def _remember(table: OrderedDict[str, Any], name: str, value: object) -> None:
    # The oldest goes when there are too many: nobody can make an instance grow.
    table[name] = value
    while len(table) > LIMITS.logins:
        table.popitem(last=False)
