"""What clients are configured with: trusted root, signing configuration, both together.

sigstore/protobuf-specs, sigstore_trustroot.proto: TrustedRoot v0.1, SigningConfig v0.2 and
ClientTrustConfig v0.1, in the JSON of Protocol Buffers.
"""

import json
from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ed25519

from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.quick_dataclass import dataclass
from infwasi_sign.testing.sigstore.certificates import NOT_BEFORE, ORGANIZATION, Authority, der
from infwasi_sign.testing.sigstore.exchange import to_base64
from infwasi_sign.testing.sigstore.signing_keys import PublicKey, public_der

_START: Final = f"{NOT_BEFORE:%Y-%m-%dT%H:%M:%SZ}"
_VALID: Final[JsonValue] = {"start": _START}
_RETIRED: Final[JsonValue] = {"start": _START, "end": "2000-01-02T00:00:00Z"}
_MEDIA_TYPE: Final = "application/vnd.dev.sigstore."


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedLog:
    """A log as the trusted root lists it; a retired one's `validFor` ended long ago."""

    url: str
    key: PublicKey
    log_id: bytes
    is_retired: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedAuthority:
    """A certificate or timestamp authority as the trusted root lists it."""

    url: str
    name: str
    authority: Authority
    is_retired: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoints:
    """Where to sign; ``timestamp_url`` is none where no timestamp authority is to be named."""

    fulcio_url: str
    issuer_url: str
    rekor_url: str
    rekor_version: int
    timestamp_url: str | None


def trusted_root(
    *,
    logs: Sequence[ListedLog],
    ct_log: ListedLog,
    certificate_authority: ListedAuthority,
    timestamp_authority: ListedAuthority,
) -> JsonValue:
    """Whom to believe."""
    return {
        "mediaType": f"{_MEDIA_TYPE}trustedroot+json;version=0.1",
        "tlogs": [_log(log) for log in logs],
        "certificateAuthorities": [_authority(certificate_authority)],
        "ctlogs": [_log(ct_log)],
        "timestampAuthorities": [_authority(timestamp_authority)],
    }


def signing_config(endpoints: Endpoints) -> JsonValue:
    """Whom to ask."""
    stamps = [] if endpoints.timestamp_url is None else [_service(endpoints.timestamp_url, 1)]
    return {
        "mediaType": f"{_MEDIA_TYPE}signingconfig.v0.2+json",
        "caUrls": [_service(endpoints.fulcio_url, 1)],
        "oidcUrls": [_service(endpoints.issuer_url, 1)],
        "rekorTlogUrls": [_service(endpoints.rekor_url, endpoints.rekor_version)],
        "rekorTlogConfig": {"selector": "ANY"},
        "tsaUrls": list(stamps),
        "tsaConfig": {"selector": "ANY"},
    }


def client_trust_config(root: JsonValue, config: JsonValue) -> bytes:
    """Both in one file."""
    return encode(
        {
            "mediaType": f"{_MEDIA_TYPE}clienttrustconfig.v0.1+json",
            "trustedRoot": root,
            "signingConfig": config,
        }
    )


def encode(document: JsonValue) -> bytes:
    """A document as it lies in a file."""
    return json.dumps(document, indent=2).encode() + b"\n"


def _log(log: ListedLog) -> JsonValue:
    is_ed25519 = isinstance(log.key, ed25519.Ed25519PublicKey)
    return {
        "baseUrl": log.url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": to_base64(public_der(log.key)),
            "keyDetails": "PKIX_ED25519" if is_ed25519 else "PKIX_ECDSA_P256_SHA_256",
            "validFor": _RETIRED if log.is_retired else _VALID,
        },
        "logId": {"keyId": to_base64(log.log_id)},
    }


def _authority(listed: ListedAuthority) -> JsonValue:
    chain: list[JsonValue] = [{"rawBytes": to_base64(der(one))} for one in listed.authority.chain]
    return {
        "subject": {"organization": ORGANIZATION, "commonName": listed.name},
        "uri": listed.url,
        "certChain": {"certificates": chain},
        "validFor": _RETIRED if listed.is_retired else _VALID,
    }


def _service(url: str, version: int) -> JsonValue:
    return {
        "url": url,
        "majorApiVersion": version,
        "validFor": _VALID,
        "operator": ORGANIZATION,
    }
