"""Sign as an OIDC identity: a short-lived certificate, a public log entry, no key to keep.

With `sigstore_identity` the door of ``sigstore``, which speaks to the instance. It checks little of
what comes back, so everything that was signed is verified before anybody sees it.
"""

from __future__ import annotations

import functools
import json
from base64 import b64decode
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from infwasi_sign.adapters.online import in_time
from infwasi_sign.adapters.sigstore_identity import KeylessVerifier, TrustedIdentity, said
from infwasi_sign.domain.bundle import Bundle, encode_bundle, parse_bundle, read_bundle
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import RefusedError, UndecidedError
from infwasi_sign.quick_dataclass import dataclass

if TYPE_CHECKING:
    from infwasi_sign.domain.trust_root import TrustRoot

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """An OIDC token and whom it names; it is as secret as a key for as long as it lives.

    ``certified`` is what the certificate will call them, where that is known: the authority has
    rules of its own for each issuer, and names for instance the workflow and not the repository.
    """

    raw: str
    identity: str
    issuer: str
    certified: str | None

    def __repr__(self) -> str:
        return f"Token({self.identity} of {self.issuer})"


def _foreign(what: str) -> Callable[[Callable[..., _T]], Callable[..., _T]]:
    """What sigstore and the services behind it raise becomes ``what``, without a verdict."""

    def wrap(function: Callable[..., _T]) -> Callable[..., _T]:
        @functools.wraps(function)
        def called(*args: Any, **values: Any) -> _T:
            try:
                return function(*args, **values)
            except (UndecidedError, RefusedError):
                raise
            except Exception as e:  # of many kinds: HTTP, JSON, pydantic, its own
                raise UndecidedError(what, got=said(e)) from e

        return called

    return wrap


@_foreign("the identity token cannot be used")
def read_token(raw: str) -> Token:
    """The identity that a token names; whether it is genuine is for the certificate authority.

    Raises:
        UndecidedError: it is no token for Sigstore, or its time is over.
    """
    from sigstore.oidc import IdentityToken  # noqa: PLC0415 - 0.4 s

    if len(raw) > LIMITS.token_bytes:
        raise UndecidedError("the identity token is too long", got=f"{len(raw)} bytes")
    token = IdentityToken(raw.strip())
    if not token.in_validity_period():
        raise UndecidedError("the identity token is over, or not yet valid")
    return Token(
        raw=raw.strip(),
        identity=token.identity,
        issuer=token.federated_issuer,
        certified=_certified_identity(token.identity, raw.strip()),
    )


def _certified_identity(identity: str, raw: str) -> str | None:
    """The subjectAltName that Fulcio gives (github.com/sigstore/fulcio, docs/oidc.md).

    For GitHub Actions it is the workflow's URI, for people their mail address. Of others nothing
    is known beforehand.
    """
    claims = json.loads(b64decode(raw.split(".")[1] + "==", altchars=b"-_"))
    workflow = claims.get("job_workflow_ref")
    if isinstance(workflow, str):
        return f"https://github.com/{workflow}"
    return identity if identity == claims.get("email") else None


@_foreign("the surroundings promise an identity and do not give it")
def ambient_token() -> Token | None:
    """The token of the machine that this runs on, if it is one of those that have any.

    Raises:
        UndecidedError: it should have one.
    """
    from sigstore.oidc import detect_credential  # noqa: PLC0415

    raw = detect_credential()
    return None if raw is None else read_token(raw)


@_foreign("nobody logged in")
def browser_token(root: TrustRoot) -> Token:
    """Let the person at the terminal log in, by a browser or by a code that they copy.

    Raises:
        UndecidedError: they did not.
    """
    from sigstore.oidc import Issuer  # noqa: PLC0415

    issuer = Issuer(_config(root).signing_config.get_oidc_url())
    return read_token(str(issuer.identity_token()))


class KeylessSigner:
    """One certificate, for all that is signed in one act; asked for when the first thing is."""

    def __init__(self, token: Token, root: TrustRoot, now: datetime) -> None:
        """Sign as ``token`` says.

        Raises:
            UndecidedError: the instance names no services to sign with.
        """
        if not root.can_sign:
            raise UndecidedError(
                "the trust root names no services to sign with",
                where=root.source,
                hint="give a ClientTrustConfig: --trust-config FILE",
            )
        self._token, self._root = token, root
        self._signer: Any = None
        expected = TrustedIdentity(
            name="signer",
            issuer=token.issuer,
            identity=token.certified,
            pattern="*" if token.certified is None else None,
        )
        self.expected_as = None if token.certified is None else str(expected)
        self.certified_as: str | None = None  # once something is signed
        self._verifier = KeylessVerifier([expected], lambda: root, now)

    def sign(self, payload: bytes) -> Bundle:
        """A bundle over an in-toto statement, verified from the trust root as others will.

        Raises:
            UndecidedError: a service failed, or what came back does not verify.
        """
        bundle = parse_bundle(encode_bundle(read_bundle(self._signed(payload))))
        try:
            self.certified_as = self._verifier.verify(bundle).identity
        except RefusedError as e:
            raise UndecidedError(
                "what the Sigstore instance gave does not verify", got=e.sentence()
            ) from e
        return bundle

    def _signed(self, payload: bytes) -> bytes:
        return in_time(
            lambda: self._asked(payload),
            LIMITS.sigstore_total_seconds,
            lambda reason: UndecidedError("the Sigstore instance did not sign", got=reason),
        )

    @_foreign("the Sigstore instance did not sign")
    def _asked(self, payload: bytes) -> bytes:
        """NOTE: sigstore-python waits for certificate authority and log without an end."""
        from sigstore.dsse import Statement  # noqa: PLC0415

        if self._signer is None:
            self._signer = _certified(self._token, self._root)
        text: str = self._signer.sign_dsse(Statement(payload)).to_json()
        return text.encode()


@_foreign("the Sigstore instance gives no certificate")
def _certified(token: Token, root: TrustRoot) -> Any:
    from sigstore.oidc import IdentityToken  # noqa: PLC0415
    from sigstore.sign import Signer, SigningContext  # noqa: PLC0415

    return Signer(IdentityToken(token.raw), SigningContext.from_trust_config(_config(root)))


def _config(root: TrustRoot) -> Any:
    from sigstore.models import ClientTrustConfig  # noqa: PLC0415

    return ClientTrustConfig.from_json(root.config)
