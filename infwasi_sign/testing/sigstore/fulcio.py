"""The certificate authority: a certificate of ten minutes for a token and a key.

Fulcio's API v2 (sigstore/fulcio, fulcio.proto, `CreateSigningCertificate`) and its certificate
profile (sigstore/fulcio, docs/certificate-specification.md and docs/oid-info.md).
"""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ObjectIdentifier

from infwasi_sign.domain.strict_json import Cursor
from infwasi_sign.errors import MalformedError
from infwasi_sign.testing.sigstore.certificates import (
    CODE_SIGNING,
    UNREADABLE,
    Authority,
    key_usage,
    new_certificate_authority,
    pem,
)
from infwasi_sign.testing.sigstore.ct_log import CtLog
from infwasi_sign.testing.sigstore.exchange import (
    Request,
    RequestError,
    Response,
    from_base64,
    json_response,
)
from infwasi_sign.testing.sigstore.faults import Fault
from infwasi_sign.testing.sigstore.signing_keys import (
    Clock,
    key_id,
    new_p256,
    require_p256,
    require_signature,
)

LIFETIME: Final = timedelta(minutes=10)
OTHER_IDENTITY: Final = "mallory@example.test"
OTHER_ISSUER: Final = "https://issuer.example.test"

_ARC: Final = "1.3.6.1.4.1.57264.1"
_GITHUB: Final = "https://github.com/"
# Number under the arc, claim of GitHub's token, what stands before it (docs/oid-info.md).
_RAW_EXTENSIONS: Final = (
    (2, "event_name"),
    (3, "sha"),
    (4, "workflow"),
    (5, "repository"),
    (6, "ref"),
)
_EXTENSIONS: Final = (
    (9, "job_workflow_ref", _GITHUB),
    (10, "job_workflow_sha", ""),
    (11, "runner_environment", ""),
    (12, "repository", _GITHUB),
    (13, "sha", ""),
    (14, "ref", ""),
    (15, "repository_id", ""),
    (16, "repository_owner", _GITHUB),
    (17, "repository_owner_id", ""),
    (18, "workflow_ref", _GITHUB),
    (19, "workflow_sha", ""),
    (20, "event_name", ""),
    (22, "repository_visibility", ""),
)
_URI: Final = re.compile(r"[a-z][a-z0-9+.-]*:[!-~]+")


class Fulcio:
    """Issues certificates and has them logged."""

    def __init__(
        self,
        *,
        claims_of: Callable[[str], Mapping[str, Any]],
        ct_log: CtLog,
        faults: frozenset[Fault],
        now: Clock,
    ) -> None:
        self._claims_of = claims_of
        self._ct_log = ct_log
        self._faults = faults
        self._now = now
        self._authority = new_certificate_authority("private fulcio")
        self.listed: Authority = self._authority
        """What the trusted root says the authority is."""
        if Fault.CERTIFICATE_BY_UNKNOWN_CA in faults:
            self.listed = new_certificate_authority("private fulcio")

    def trust_bundle(self, _request: Request) -> Response:
        """`GET /api/v2/trustBundle`."""
        chain = [pem(certificate) for certificate in self.listed.chain]
        return json_response({"chains": [{"certificates": list(chain)}]})

    def signing_certificate(self, request: Request) -> Response:
        """`POST /api/v2/signingCert`: the certificate and its chain, PEM, the leaf first."""
        if Fault.FULCIO_UNAVAILABLE in self._faults:
            raise RequestError("fault: fulcio is not available", status=500)
        try:
            token, key_request = self._read(request)
            claims = self._claims_of(token)
            key = self._possessed_key(key_request, str(claims["sub"]))
        except MalformedError as e:
            raise RequestError(str(e)) from e
        leaf = self._issue(key, claims)
        chain = [pem(certificate) for certificate in (leaf, *self._authority.chain)]
        return json_response(
            {"signedCertificateEmbeddedSct": {"chain": {"certificates": list(chain)}}}
        )

    @staticmethod
    def _read(request: Request) -> tuple[str, Mapping[str, Cursor]]:
        # The token is in the header (sigstore-python) or in the body (sigstore-js).
        body = request.json().object(
            (), ("credentials", "certificateSigningRequest", "publicKeyRequest")
        )
        token = request.bearer
        if "credentials" in body:
            token = body["credentials"].object(("oidcIdentityToken",))["oidcIdentityToken"].string()
        if not token:
            raise RequestError("there is no token", status=401)
        return token, body

    @staticmethod
    def _possessed_key(body: Mapping[str, Cursor], subject: str) -> ec.EllipticCurvePublicKey:
        """The key, after the client has shown that it holds the private one."""
        try:
            if "certificateSigningRequest" in body:
                text = from_base64(body["certificateSigningRequest"].string(), "CSR")
                csr = x509.load_pem_x509_csr(text)
                key = require_p256(csr.public_key())
                if not csr.is_signature_valid:
                    raise RequestError("signature of the CSR does not match")
                return key
            if "publicKeyRequest" in body:
                wanted = body["publicKeyRequest"].object(("publicKey", "proofOfPossession"))
                content = wanted["publicKey"].object(("content",), ("algorithm",))["content"]
                loaded = serialization.load_pem_public_key(content.string().encode())
                key = require_p256(loaded)
                proof = from_base64(wanted["proofOfPossession"].string(), "proofOfPossession")
                require_signature(key, proof, sha256(subject.encode()).digest())
                return key
        except UNREADABLE as e:
            raise RequestError("key or CSR does not parse") from e
        raise RequestError("there is neither a CSR nor a key")

    def _issue(self, key: ec.EllipticCurvePublicKey, claims: Mapping[str, Any]) -> x509.Certificate:
        if Fault.CERTIFICATE_FOR_OTHER_KEY in self._faults:
            key = new_p256().public_key()
        begin = self._now()
        if Fault.CERTIFICATE_EXPIRED in self._faults:
            begin -= timedelta(hours=1)
        if Fault.CERTIFICATE_NOT_YET_VALID in self._faults:
            begin += timedelta(hours=1)
        try:
            builder = (
                x509.CertificateBuilder()
                .subject_name(x509.Name([]))
                .issuer_name(self._authority.certificate.subject)
                .public_key(key)
                .serial_number(x509.random_serial_number())
                .not_valid_before(begin)
                .not_valid_after(begin + LIFETIME)
            )
            for extension, is_critical in self._extensions(key, claims):
                builder = builder.add_extension(extension, critical=is_critical)
            return self._logged(builder)
        except ValueError as e:  # for example a mail address that is not ASCII
            raise RequestError("identity does not fit into a certificate") from e

    def _extensions(
        self, key: ec.EllipticCurvePublicKey, claims: Mapping[str, Any]
    ) -> list[tuple[x509.ExtensionType, bool]]:
        identity: x509.GeneralName = _alternative_name(claims)
        if Fault.CERTIFICATE_FOR_OTHER_IDENTITY in self._faults:
            identity = x509.RFC822Name(OTHER_IDENTITY)
        issuer = str(claims["iss"])
        if Fault.CERTIFICATE_FOR_OTHER_ISSUER in self._faults:
            issuer = OTHER_ISSUER
        issuer_key = self._authority.key.public_key()
        found: list[tuple[x509.ExtensionType, bool]] = [
            (key_usage(ca=False), True),
            (x509.SubjectKeyIdentifier.from_public_key(key), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), False),
            # Critical, because the subject is empty (RFC 5280 section 4.2.1.6).
            (x509.SubjectAlternativeName([identity]), True),
            (_extension(1, issuer.encode()), False),
            (_extension(8, asn1.encode_der(issuer)), False),
        ]
        if Fault.CERTIFICATE_NOT_FOR_CODE_SIGNING not in self._faults:
            found.append((x509.ExtendedKeyUsage([CODE_SIGNING]), False))
        found.extend((extension, False) for extension in _workflow_extensions(claims))
        return found

    def _logged(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        if Fault.SCT_MISSING not in self._faults:
            tbs = builder.sign(self._authority.key, hashes.SHA384()).tbs_certificate_bytes
            if Fault.SCT_FOR_OTHER_CERTIFICATE in self._faults:
                tbs = self._authority.certificate.tbs_certificate_bytes
            issuer = key_id(self._authority.key.public_key())
            builder = builder.add_extension(self._ct_log.sct_extension(tbs, issuer), critical=False)
        return builder.sign(self._authority.key, hashes.SHA384())


def _alternative_name(claims: Mapping[str, Any]) -> x509.GeneralName:
    """Who the certificate is for: a workflow, a mail address that was verified, or a URI."""
    workflow = claims.get("job_workflow_ref")
    if isinstance(workflow, str):
        return x509.UniformResourceIdentifier(_GITHUB + workflow)
    mail = claims.get("email")
    if isinstance(mail, str) and claims.get("email_verified") is True:
        return x509.RFC822Name(mail)
    subject = str(claims["sub"])
    if mail is None and _URI.fullmatch(subject):
        return x509.UniformResourceIdentifier(subject)
    raise RequestError("identity is neither a verified mail address nor a URI")


def _workflow_extensions(claims: Mapping[str, Any]) -> list[x509.UnrecognizedExtension]:
    if "job_workflow_ref" not in claims:
        return []
    found = [
        _extension(number, str(claims[claim]).encode())
        for number, claim in _RAW_EXTENSIONS
        if claim in claims
    ]
    found += [
        _extension(number, asn1.encode_der(prefix + str(claims[claim])))
        for number, claim, prefix in _EXTENSIONS
        if claim in claims
    ]
    if {"repository", "run_id", "run_attempt"} <= claims.keys():
        run = f"{claims['repository']}/actions/runs/{claims['run_id']}"
        run += f"/attempts/{claims['run_attempt']}"
        found.append(_extension(21, asn1.encode_der(_GITHUB + run)))
    return found


def _extension(number: int, value: bytes) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(ObjectIdentifier(f"{_ARC}.{number}"), value)
