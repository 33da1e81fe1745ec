"""Rekor version 2: `POST /api/v2/log/entries` for `hashedrekord/0.0.2`.

sigstore/rekor-tiles, api/proto/rekor/v2, and CLIENTS.md. A DSSE envelope is logged as the digest of
its PAE. There is no promise and no time in an entry: time is the timestamp authority's business.
"""

from hashlib import sha256

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from infwasi_sign.domain import strict_json
from infwasi_sign.domain.strict_json import Cursor, JsonValue
from infwasi_sign.errors import MalformedError
from infwasi_sign.testing.sigstore.certificates import der, signer_key, somebody_elses_certificate
from infwasi_sign.testing.sigstore.exchange import (
    Request,
    RequestError,
    Response,
    from_base64,
    json_response,
    to_base64,
)
from infwasi_sign.testing.sigstore.faults import Fault
from infwasi_sign.testing.sigstore.log import Inclusion, TransparencyLog
from infwasi_sign.testing.sigstore.signing_keys import new_ed25519, new_p256, require_signature

_KEY_DETAILS = "PKIX_ECDSA_P256_SHA_256"


class RekorV2:
    """Takes an entry if its signature matches, and proves inclusion."""

    def __init__(self, *, host: str, faults: frozenset[Fault]) -> None:
        self._faults = faults
        self.log = TransparencyLog(
            key=new_ed25519(),
            stranger=new_ed25519(),
            origin=host,
            key_name=host,
            faults=faults,
        )

    def checkpoint(self, _request: Request) -> Response:
        """`GET /api/v2/checkpoint`."""
        return Response(media_type="text/plain", body=self.log.latest_checkpoint().encode())

    def create_entry(self, request: Request) -> Response:
        """The answer is a TransparencyLogEntry (protobuf-specs, sigstore_rekor.proto)."""
        if Fault.LOG_UNAVAILABLE in self._faults:
            raise RequestError("fault: rekor is not available", status=500)
        try:
            body = self._canonical_body(request.json())
        except MalformedError as e:
            raise RequestError(str(e)) from e
        return json_response(self._entry(body, self.log.append(body)), status=201)

    def _canonical_body(self, wanted: Cursor) -> bytes:
        name = "hashedRekordRequestV002"
        members = wanted.object((name,))[name].object(("digest", "signature"))
        signing = members["signature"].object(("content", "verifier"))
        verifier = signing["verifier"].object(("keyDetails", "x509Certificate"))
        if verifier["keyDetails"].string() != _KEY_DETAILS:
            raise RequestError(f"keyDetails must be {_KEY_DETAILS}")
        raw = verifier["x509Certificate"].object(("rawBytes",))["rawBytes"].string()
        digest, signature = members["digest"].string(), signing["content"].string()
        digest_bytes = from_base64(digest, "digest")
        if Fault.CERTIFICATE_FOR_OTHER_KEY not in self._faults:
            key = signer_key(from_base64(raw, "rawBytes"))
            require_signature(key, from_base64(signature, "content"), digest_bytes)
        if Fault.ENTRY_FOR_OTHER_ARTIFACT in self._faults:
            digest = to_base64(sha256(b"something else").digest())
        if Fault.ENTRY_FOR_OTHER_SIGNATURE in self._faults:
            prehashed = ec.ECDSA(utils.Prehashed(hashes.SHA256()))
            signature = to_base64(new_p256().sign(digest_bytes, prehashed))
        if Fault.ENTRY_FOR_OTHER_KEY in self._faults:
            raw = to_base64(der(somebody_elses_certificate()))
        entry: JsonValue = {
            "apiVersion": "0.0.2",
            "kind": "hashedrekord",
            "spec": {
                "hashedRekordV002": {
                    "data": {"algorithm": "SHA2_256", "digest": digest},
                    "signature": {
                        "content": signature,
                        "verifier": {
                            "keyDetails": _KEY_DETAILS,
                            "x509Certificate": {"rawBytes": raw},
                        },
                    },
                }
            },
        }
        return strict_json.canonical(entry)

    def _entry(self, body: bytes, inclusion: Inclusion) -> dict[str, JsonValue]:
        proof: dict[str, JsonValue] = {
            "checkpoint": {"envelope": inclusion.checkpoint},
            "hashes": [to_base64(one) for one in inclusion.path],
            "logIndex": str(inclusion.index),  # protobuf writes 64-bit integers as strings
            "rootHash": to_base64(inclusion.root),
            "treeSize": str(inclusion.size),
        }
        if Fault.CHECKPOINT_MISSING in self._faults:
            del proof["checkpoint"]
        entry: dict[str, JsonValue] = {
            "canonicalizedBody": to_base64(body),
            "inclusionProof": proof,
            "kindVersion": {"kind": "hashedrekord", "version": "0.0.2"},
            "logId": {"keyId": to_base64(self.log.log_id)},
            "logIndex": str(inclusion.index),
        }
        if Fault.PROOF_MISSING in self._faults:
            del entry["inclusionProof"]
        return entry
