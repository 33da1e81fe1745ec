"""Signs with keys of a pretend key management service: a start for a plug-in of your own.

The service has two calls, as most have: one gives the public key, one signs a digest. Only the
digest is sent, so that the service never sees what is signed, however long it is.
"""

import base64
import binascii
import hashlib
import http.client
import json
import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from infwasi_sign.errors import UndecidedError

TIMEOUT_SECONDS = 10
LONGEST_ANSWER = 64 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class KmsSigner:
    """One key of the service: this and `open_signer` are all that infwasi asks for."""

    address: str  # host, or host:port
    key: str  # its path at the service

    def public_key(self) -> bytes:
        """The SubjectPublicKeyInfo, DER."""
        return self._ask("GET", self.key, None, "publicKey")

    def sign(self, data: bytes) -> bytes:
        """A DER ECDSA signature over the SHA-256 of ``data``.

        A key for Ed25519 would need all of ``data``: RFC 8032 hashes it twice, and a digest that
        is signed in its place (Ed25519ph) is another algorithm that no verifier here accepts.
        """
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode("ascii")
        return self._ask("POST", f"{self.key}:sign", {"sha256": digest}, "signature")

    def _ask(self, method: str, path: str, body: dict[str, str] | None, member: str) -> bytes:
        # A real plug-in speaks https; the pretend service is on this machine.
        connection = http.client.HTTPConnection(self.address, timeout=TIMEOUT_SECONDS)
        token = os.environ.get("EXAMPLE_KMS_TOKEN", "")
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            answer = response.read(LONGEST_ANSWER)
        except (OSError, http.client.HTTPException) as e:
            raise UndecidedError("the service does not answer", where=self.address) from e
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise UndecidedError(
                "the service refuses",
                where=self.address + path,
                got=f"status {response.status}",
                hint="EXAMPLE_KMS_TOKEN is the token of the service",
            )
        try:
            found: Any = json.loads(answer)
            return base64.b64decode(found[member], validate=True)
        except (ValueError, TypeError, KeyError, binascii.Error) as e:
            raise UndecidedError(
                "the service gives an answer that is not understood", where=self.address + path
            ) from e


def open_signer(reference: str) -> KmsSigner:
    """Open the key that ``example-kms://HOST:PORT/keys/NAME`` names.

    Raise `UndecidedError` for what the user can do something about: it is shown as it is. Whatever
    else is raised ends in one line, too, but with the name of its class in it.
    """
    parts = urlsplit(reference)
    if not parts.netloc or not parts.path.startswith("/keys/") or parts.query or parts.fragment:
        raise UndecidedError(
            "not a key of the service", got=ascii(reference[:80]), expected="//HOST/keys/NAME"
        )
    return KmsSigner(address=parts.netloc, key=parts.path)
