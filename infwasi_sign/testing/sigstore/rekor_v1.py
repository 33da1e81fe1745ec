"""Rekor version 1: `POST /api/v1/log/entries` for `dsse/0.0.1` and `hashedrekord/0.0.1`.

sigstore/rekor, openapi.yaml, and pkg/types/{dsse,hashedrekord} for what the log keeps of a request.
"""

import secrets
from datetime import timedelta
from hashlib import sha256
from typing import Final

from infwasi_sign.domain import strict_json
from infwasi_sign.domain.strict_json import Cursor, JsonValue
from infwasi_sign.errors import MalformedError
from infwasi_sign.testing.sigstore.certificates import pem, signer_key, somebody_elses_certificate
from infwasi_sign.testing.sigstore.exchange import (
    Request,
    RequestError,
    Response,
    from_base64,
    json_response,
    to_base64,
)
from infwasi_sign.testing.sigstore.faults import Fault
from infwasi_sign.testing.sigstore.fulcio import LIFETIME
from infwasi_sign.testing.sigstore.limits import LIMITS
from infwasi_sign.testing.sigstore.log import Inclusion, TransparencyLog
from infwasi_sign.testing.sigstore.signing_keys import (
    Clock,
    new_p256,
    require_signature,
    sign,
)

_UUID_BYTES: Final = 40  # a tree id of 8 and a leaf hash of 32, written in hex


class RekorV1:
    """Takes an entry if its signature matches, and promises and proves inclusion."""

    def __init__(self, *, host: str, faults: frozenset[Fault], now: Clock) -> None:
        self._faults = faults
        self._now = now
        self.log = TransparencyLog(
            key=new_p256(),
            stranger=new_p256(),
            origin=f"{host} - 1",  # host and tree id, as rekor.sigstore.dev writes it
            key_name=host,
            faults=faults,
        )

    def create_entry(self, request: Request) -> Response:
        """The answer is an object with one member, named by the entry's UUID."""
        if Fault.LOG_UNAVAILABLE in self._faults:
            raise RequestError("fault: rekor is not available", status=500)
        try:
            body = self._canonical_body(request.json())
        except MalformedError as e:
            raise RequestError(str(e)) from e
        inclusion = self.log.append(body)
        return json_response(
            {secrets.token_hex(_UUID_BYTES): self._entry(body, inclusion)}, status=201
        )

    def _canonical_body(self, proposed: Cursor) -> bytes:
        members = proposed.object(("apiVersion", "kind", "spec"))
        version, kind = members["apiVersion"].string(), members["kind"].string()
        match (kind, version):
            case ("dsse", "0.0.1"):
                spec = self._dsse(members["spec"])
            case ("hashedrekord", "0.0.1"):
                spec = self._hashed_rekord(members["spec"])
            case _:
                raise RequestError("kind of entry is not supported")
        return strict_json.canonical({"apiVersion": version, "kind": kind, "spec": spec})

    def _dsse(self, spec: Cursor) -> JsonValue:
        # sigstore-python sends what the log will fill in as null.
        filled_in = ("envelopeHash", "payloadHash", "signatures")
        proposed = spec.object(("proposedContent",), filled_in)["proposedContent"]
        content = proposed.object(("envelope", "verifiers"))
        text = content["envelope"].string().encode()
        verifier = content["verifiers"].array(1, 1)[0].string()
        value = strict_json.parse(text, where="envelope", limit_bytes=LIMITS.body_bytes)
        envelope = Cursor(value, "envelope").object(("payload", "payloadType", "signatures"))
        payload = from_base64(envelope["payload"].string(), "payload")
        payload_type = envelope["payloadType"].string().encode()
        (entry,) = envelope["signatures"].array(1, 1)
        signature = entry.object(("sig",), ("keyid",))["sig"].string()
        # DSSE v1.0, "PAE"
        signed = b"DSSEv1 %d %b %d %b" % (len(payload_type), payload_type, len(payload), payload)
        digest = sha256(signed).digest()
        self._check(verifier, signature, digest)
        if Fault.ENTRY_FOR_OTHER_ARTIFACT in self._faults:
            payload = b"something else"
        signature, verifier = self._spoiled(signature, verifier, signed)
        return {
            "envelopeHash": _hash(text),
            "payloadHash": _hash(payload),
            "signatures": [{"signature": signature, "verifier": verifier}],
        }

    def _hashed_rekord(self, spec: Cursor) -> JsonValue:
        members = spec.object(("data", "signature"))
        hashed = members["data"].object(("hash",))["hash"].object(("algorithm", "value"))
        if hashed["algorithm"].string() != "sha256":
            raise RequestError("algorithm must be sha256")
        try:
            digest = bytes.fromhex(hashed["value"].string())
        except ValueError as e:
            raise RequestError("hash is not hexadecimal") from e
        signing = members["signature"].object(("content", "publicKey"), ("format",))
        signature = signing["content"].string()
        verifier = signing["publicKey"].object(("content",))["content"].string()
        self._check(verifier, signature, digest)
        value = digest.hex()
        if Fault.ENTRY_FOR_OTHER_ARTIFACT in self._faults:
            value = sha256(b"something else").hexdigest()
        signature, verifier = self._spoiled(signature, verifier, digest)
        return {
            "data": {"hash": {"algorithm": "sha256", "value": value}},
            "signature": {"content": signature, "publicKey": {"content": verifier}},
        }

    def _check(self, verifier: str, signature: str, digest: bytes) -> None:
        if Fault.CERTIFICATE_FOR_OTHER_KEY in self._faults:
            return
        key = signer_key(from_base64(verifier, "verifier"))
        require_signature(key, from_base64(signature, "signature"), digest)

    def _spoiled(self, signature: str, verifier: str, message: bytes) -> tuple[str, str]:
        if Fault.ENTRY_FOR_OTHER_SIGNATURE in self._faults:
            signature = to_base64(sign(new_p256(), message))
        if Fault.ENTRY_FOR_OTHER_KEY in self._faults:
            verifier = to_base64(pem(somebody_elses_certificate()).encode())
        return signature, verifier

    def _entry(self, body: bytes, inclusion: Inclusion) -> dict[str, JsonValue]:
        entry: dict[str, JsonValue] = {
            "body": to_base64(body),
            "integratedTime": self._integrated_time(),
            "logID": self.log.log_id.hex(),
            "logIndex": inclusion.index,
        }
        # The SET is over the canonical form of these four members (openapi.yaml, LogEntry).
        promised = strict_json.canonical(entry)
        if Fault.SET_BAD_SIGNATURE in self._faults:
            promised += b"\n"
        proof: dict[str, JsonValue] = {
            "checkpoint": inclusion.checkpoint,
            "hashes": [one.hex() for one in inclusion.path],
            "logIndex": inclusion.index,
            "rootHash": inclusion.root.hex(),
            "treeSize": inclusion.size,
        }
        if Fault.CHECKPOINT_MISSING in self._faults:
            del proof["checkpoint"]
        verification: dict[str, JsonValue] = {
            "inclusionProof": proof,
            "signedEntryTimestamp": to_base64(self.log.sign(promised)),
        }
        if Fault.INTEGRATED_TIME_UNSIGNED in self._faults:
            del verification["signedEntryTimestamp"]
        if Fault.PROOF_MISSING in self._faults:
            del verification["inclusionProof"]
        entry["verification"] = verification
        return entry

    def _integrated_time(self) -> int:
        at = self._now()
        if Fault.INTEGRATED_TIME_TOO_LATE in self._faults:
            at += LIFETIME + timedelta(minutes=30)
        if Fault.INTEGRATED_TIME_TOO_EARLY in self._faults:
            at -= timedelta(minutes=30)
        return int(at.timestamp())


def _hash(data: bytes) -> JsonValue:
    return {"algorithm": "sha256", "value": sha256(data).hexdigest()}
