"""A signer that believes everything it is told, so that verifiers meet every fault.

A good signer refuses a certificate without a proper SCT and many other things, and then there is no
bundle to try a verifier with. This one writes a Sigstore bundle v0.3 (sigstore/protobuf-specs,
sigstore_bundle.proto) from whatever it gets. It asks the services within the process, without HTTP.
"""

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes, serialization

from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.quick_dataclass import dataclass
from infwasi_sign.testing.sigstore import timestamp_syntax as syntax
from infwasi_sign.testing.sigstore.certificates import der, pem
from infwasi_sign.testing.sigstore.exchange import Request, RequestError, Response, to_base64
from infwasi_sign.testing.sigstore.signing_keys import new_p256, sign

_MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"


@dataclass(frozen=True, kw_only=True, slots=True)
class CarelessSigner:
    """Asks the services behind ``ask`` with ``token``; ``timestamp_path`` is none for no TSA."""

    ask: Callable[[Request], Response]
    token: str
    rekor_version: int
    timestamp_path: str | None

    def sign_dsse(self, payload: bytes, payload_type: str) -> bytes:
        """A bundle with a DSSE envelope.

        Raises:
            RequestError: a service refused.
        """
        kind = payload_type.encode()
        signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)  # DSSE v1.0, PAE
        envelope: dict[str, JsonValue] = {
            "payload": to_base64(payload),
            "payloadType": payload_type,
        }

        def content(signature: bytes) -> dict[str, JsonValue]:
            return {**envelope, "signatures": [{"sig": to_base64(signature)}]}

        def proposal(signature: bytes, certificate: str) -> dict[str, JsonValue]:
            text = json.dumps(content(signature))
            proposed: JsonValue = {"envelope": text, "verifiers": [certificate]}
            return {"kind": "dsse", "spec": {"proposedContent": proposed}}

        return self._sign(signed, "dsseEnvelope", content, proposal)

    def sign_artifact(self, artifact: bytes) -> bytes:
        """A bundle with a signature over the artifact itself.

        Raises:
            RequestError: a service refused.
        """
        digest = sha256(artifact)

        def content(signature: bytes) -> dict[str, JsonValue]:
            message: JsonValue = {"algorithm": "SHA2_256", "digest": to_base64(digest.digest())}
            return {"messageDigest": message, "signature": to_base64(signature)}

        def proposal(signature: bytes, certificate: str) -> dict[str, JsonValue]:
            hashed: JsonValue = {"algorithm": "sha256", "value": digest.hexdigest()}
            key: JsonValue = {
                "content": to_base64(signature),
                "publicKey": {"content": certificate},
            }
            return {"kind": "hashedrekord", "spec": {"data": {"hash": hashed}, "signature": key}}

        return self._sign(artifact, "messageSignature", content, proposal)

    def _sign(
        self,
        signed: bytes,
        content_name: str,
        content: Callable[[bytes], dict[str, JsonValue]],
        proposal: Callable[[bytes, str], dict[str, JsonValue]],
    ) -> bytes:
        key = new_p256()
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        csr = request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        issued = self._post("/api/v2/signingCert", {"certificateSigningRequest": to_base64(csr)})
        chain = json.loads(issued)["signedCertificateEmbeddedSct"]["chain"]["certificates"]
        certificate = x509.load_pem_x509_certificate(chain[0].encode())
        signature = sign(key, signed)
        material: dict[str, JsonValue] = {
            "certificate": {"rawBytes": to_base64(der(certificate))},
        }
        if self.timestamp_path is not None:
            stamps = self._timestamps(self.timestamp_path, signature)
            material["timestampVerificationData"] = {"rfc3161Timestamps": stamps}
        if self.rekor_version == 1:
            text = to_base64(pem(certificate).encode())
            entry = self._entry_v1(proposal(signature, text))
        else:
            entry = self._entry_v2(sha256(signed).digest(), signature, certificate)
        material["tlogEntries"] = [entry]
        bundle: JsonValue = {
            "mediaType": _MEDIA_TYPE,
            "verificationMaterial": material,
            content_name: content(signature),
        }
        return json.dumps(bundle).encode()

    def _timestamps(self, path: str, signature: bytes) -> list[JsonValue]:
        imprint = syntax.MessageImprint(
            hash_algorithm=syntax.AlgorithmIdentifier(algorithm=syntax.SHA256, parameters=None),
            hashed_message=sha256(signature).digest(),
        )
        request = syntax.TimeStampReq(
            version=1, message_imprint=imprint, policy=None, nonce=None, cert_req=True
        )
        try:
            stamp = self._send(path, asn1.encode_der(request))
        except RequestError:
            return []  # as sigstore-python does, with a warning
        return [{"signedTimestamp": to_base64(stamp)}]

    def _entry_v1(self, proposed: dict[str, JsonValue]) -> JsonValue:
        answer = json.loads(self._post("/api/v1/log/entries", {"apiVersion": "0.0.1", **proposed}))
        (logged,) = answer.values()
        entry: dict[str, JsonValue] = {
            "logIndex": str(logged["logIndex"]),
            "logId": {"keyId": to_base64(bytes.fromhex(logged["logID"]))},
            "kindVersion": {"kind": proposed["kind"], "version": "0.0.1"},
            "integratedTime": str(logged["integratedTime"]),
            "canonicalizedBody": logged["body"],
        }
        shown: dict[str, Any] = logged["verification"]
        if "signedEntryTimestamp" in shown:
            promise = shown["signedEntryTimestamp"]
            entry["inclusionPromise"] = {"signedEntryTimestamp": promise}
        if "inclusionProof" in shown:
            entry["inclusionProof"] = _proof(shown["inclusionProof"])
        return entry

    def _entry_v2(
        self, digest: bytes, signature: bytes, certificate: x509.Certificate
    ) -> JsonValue:
        verifier: JsonValue = {
            "keyDetails": "PKIX_ECDSA_P256_SHA_256",
            "x509Certificate": {"rawBytes": to_base64(der(certificate))},
        }
        signing: JsonValue = {"content": to_base64(signature), "verifier": verifier}
        wanted: JsonValue = {"digest": to_base64(digest), "signature": signing}
        answer = self._post("/api/v2/log/entries", {"hashedRekordRequestV002": wanted})
        entry: JsonValue = json.loads(answer)
        return entry

    def _post(self, path: str, value: JsonValue) -> bytes:
        return self._send(path, json.dumps(value).encode())

    def _send(self, path: str, body: bytes) -> bytes:
        response = self.ask(Request(method="POST", path=path, bearer=self.token, body=body))
        if response.status >= 400:
            sentence = json.loads(response.body)["message"]
            raise RequestError(sentence, status=response.status)
        return response.body


def _proof(proof: dict[str, Any]) -> JsonValue:
    # From the hexadecimal of Rekor v1 to the base64 of bundles.
    written: dict[str, JsonValue] = {
        "logIndex": str(proof["logIndex"]),
        "treeSize": str(proof["treeSize"]),
        "rootHash": to_base64(bytes.fromhex(proof["rootHash"])),
        "hashes": [to_base64(bytes.fromhex(one)) for one in proof["hashes"]],
    }
    if "checkpoint" in proof:
        written["checkpoint"] = {"envelope": proof["checkpoint"]}
    return written
