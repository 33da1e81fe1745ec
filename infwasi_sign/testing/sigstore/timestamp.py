"""The timestamp authority, RFC 3161 over HTTP (section 3.4)."""

import secrets
from datetime import timedelta
from hashlib import sha256
from typing import Final

from cryptography.hazmat import asn1
from cryptography.x509.oid import ObjectIdentifier

from infwasi_sign.errors import MalformedError
from infwasi_sign.testing.sigstore import timestamp_syntax as syntax
from infwasi_sign.testing.sigstore.certificates import (
    CODE_SIGNING,
    Authority,
    der,
    new_timestamp_authority,
)
from infwasi_sign.testing.sigstore.exchange import Request, RequestError, Response, from_base64
from infwasi_sign.testing.sigstore.faults import Fault
from infwasi_sign.testing.sigstore.fulcio import LIFETIME
from infwasi_sign.testing.sigstore.signing_keys import Clock, sign

_NAME: Final = "private timestamp authority"
_POLICY: Final = ObjectIdentifier("1.3.6.1.4.1.57264.2")  # sigstore/timestamp-authority
_HASHES: Final = {
    "sha256": (syntax.SHA256, 32),
    "sha384": (syntax.SHA384, 48),
    "sha512": (syntax.SHA512, 64),
}
_SERIAL_BITS: Final = 152  # RFC 3161 section 2.4.2 lets it have up to 160
_NONCE_BITS: Final = 128
_SHA256: Final = syntax.AlgorithmIdentifier(algorithm=syntax.SHA256, parameters=None)
_ECDSA: Final = syntax.AlgorithmIdentifier(algorithm=syntax.ECDSA_SHA256, parameters=None)


class TimestampAuthority:
    """Says that something was there at a time."""

    def __init__(self, *, faults: frozenset[Fault], now: Clock) -> None:
        self._faults = faults
        self._now = now
        if Fault.TIMESTAMP_NOT_FOR_TIMESTAMPING in faults:
            self._authority = new_timestamp_authority(_NAME, usage=CODE_SIGNING)
        else:
            self._authority = new_timestamp_authority(_NAME)
        self.listed: Authority = self._authority
        """What the trusted root says the authority is."""
        if Fault.TIMESTAMP_BY_UNKNOWN_AUTHORITY in faults:
            self.listed = new_timestamp_authority(_NAME)

    def timestamp(self, request: Request) -> Response:
        """`POST` of a TimeStampReq, in DER or in the JSON of sigstore/timestamp-authority."""
        if Fault.TIMESTAMP_UNAVAILABLE in self._faults:
            raise RequestError("fault: timestamp authority is not available", status=500)
        read = _from_json if request.body.startswith(b"{") else _from_der
        wanted = read(request)
        if wanted.policy not in {None, _POLICY}:
            raise RequestError(f"policy must be {_POLICY.dotted_string}")
        return Response(
            status=201, media_type="application/timestamp-reply", body=self._answer(wanted)
        )

    def _answer(self, wanted: syntax.TimeStampReq) -> bytes:
        content = asn1.encode_der(self._info(wanted))
        signed = syntax.SignedData(
            version=3,  # because the content is not `data` (RFC 5652 section 5.1)
            digest_algorithms=asn1.SetOf([_SHA256]),
            encapsulated=syntax.EncapsulatedContentInfo(
                content_type=syntax.TST_INFO, content=content
            ),
            certificates=asn1.SetOf([self._authority.certificate]) if wanted.cert_req else None,
            signer_infos=asn1.SetOf([self._signer_info(content)]),
        )
        token = syntax.ContentInfo(content_type=syntax.SIGNED_DATA, content=signed)
        answer = syntax.TimeStampResp(status=syntax.PkiStatusInfo(status=0), token=token)
        return asn1.encode_der(answer)

    def _info(self, wanted: syntax.TimeStampReq) -> syntax.TstInfo:
        imprint, nonce = wanted.message_imprint, wanted.nonce
        if Fault.TIMESTAMP_OVER_OTHER_MESSAGE in self._faults:
            imprint = syntax.MessageImprint(
                hash_algorithm=_SHA256, hashed_message=sha256(b"something else").digest()
            )
        if Fault.TIMESTAMP_FOR_OTHER_NONCE in self._faults:
            nonce = secrets.randbits(_NONCE_BITS)
        return syntax.TstInfo(
            version=1,
            policy=_POLICY,
            message_imprint=imprint,
            serial_number=secrets.randbits(_SERIAL_BITS) + 1,
            gen_time=self._time(),
            accuracy=syntax.Accuracy(seconds=1),
            nonce=nonce,
        )

    def _signer_info(self, content: bytes) -> syntax.SignerInfo:
        certificate = self._authority.certificate
        ids = [syntax.EssCertIdV2(cert_hash=sha256(der(certificate)).digest())]
        attributes = asn1.SetOf(
            [
                syntax.attribute(syntax.CONTENT_TYPE, syntax.TST_INFO),
                syntax.attribute(syntax.SIGNING_TIME, asn1.UTCTime(self._time().as_datetime())),
                syntax.attribute(syntax.MESSAGE_DIGEST, sha256(content).digest()),
                syntax.attribute(
                    syntax.SIGNING_CERTIFICATE, syntax.SigningCertificateV2(certs=ids)
                ),
            ]
        )
        # NOTE: what is signed has the tag of a SET, not the [0] of the message (RFC 5652 5.4).
        signed = asn1.encode_der(attributes)
        if Fault.TIMESTAMP_BAD_SIGNATURE in self._faults:
            signed += b"\x00"
        return syntax.SignerInfo(
            version=1,  # the signer is named by issuer and serial number (RFC 5652 section 5.3)
            sid=syntax.IssuerAndSerialNumber(
                issuer=syntax.tlv(certificate.issuer.public_bytes()),
                serial_number=certificate.serial_number,
            ),
            digest_algorithm=_SHA256,
            signed_attributes=attributes,
            signature_algorithm=_ECDSA,
            signature=sign(self._authority.key, signed),
        )

    def _time(self) -> asn1.GeneralizedTime:
        at = self._now()
        if Fault.TIMESTAMP_TOO_LATE in self._faults:
            at += LIFETIME + timedelta(minutes=30)
        if Fault.TIMESTAMP_TOO_EARLY in self._faults:
            at -= timedelta(minutes=30)
        return asn1.GeneralizedTime(at.replace(microsecond=0))


def _from_der(sent: Request) -> syntax.TimeStampReq:
    try:
        request = asn1.decode_der(syntax.TimeStampReq, sent.body)
    except ValueError as e:
        raise RequestError("body is not a timestamp request") from e
    if request.version != 1:
        raise RequestError("version must be 1")
    imprint = request.message_imprint
    lengths = dict(_HASHES.values())
    if lengths.get(imprint.hash_algorithm.algorithm) != len(imprint.hashed_message):
        raise RequestError("imprint is not one of SHA-256, SHA-384 or SHA-512")
    return request


def _from_json(request: Request) -> syntax.TimeStampReq:
    # As sigstore-js sends it (sigstore/timestamp-authority, openapi.yaml, JSONRequest).
    try:
        body = request.json().object(
            ("artifactHash", "hashAlgorithm"), ("certificates", "nonce", "tsaPolicyOID")
        )
        name = body["hashAlgorithm"].string()
        digest = from_base64(body["artifactHash"].string(), "artifactHash")
        nonce = body["nonce"].integer(0, 2**53 - 1) if "nonce" in body else None
        is_wanted = "certificates" in body and body["certificates"].value is True
    except MalformedError as e:
        raise RequestError(str(e)) from e
    if name not in _HASHES or len(digest) != _HASHES[name][1]:
        raise RequestError("imprint is not one of SHA-256, SHA-384 or SHA-512")
    return syntax.TimeStampReq(
        version=1,
        message_imprint=syntax.MessageImprint(
            hash_algorithm=syntax.AlgorithmIdentifier(
                algorithm=_HASHES[name][0], parameters=asn1.Null()
            ),
            hashed_message=digest,
        ),
        policy=None,
        nonce=nonce,
        cert_req=is_wanted,
    )
