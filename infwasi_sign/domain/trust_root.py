"""The trust root of a Sigstore instance as a file: whose certificates and logs count, how old.

Three forms are read: that of `infwasi trust fetch`, which says when and from where it came; a
ClientTrustConfig v0.1, which also names the services to sign with; and a bare TrustedRoot v0.1.
What is in them is for sigstore-python to read; this module only finds it.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from infwasi_sign.domain import strict_json
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import format_time
from infwasi_sign.domain.manifest_json import parse_time
from infwasi_sign.domain.strict_json import Cursor, JsonValue
from infwasi_sign.errors import MalformedError, UndecidedError

FETCHED: Final = "urn:infwasi:trust:v1"
TRUST_CONFIG: Final = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
TRUSTED_ROOT: Final = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
SIGNING_CONFIG: Final = "application/vnd.dev.sigstore.signingconfig.v0.2+json"

_NO_SERVICES: Final[JsonValue] = {
    "mediaType": SIGNING_CONFIG,
    "caUrls": [],
    "oidcUrls": [],
    "rekorTlogUrls": [],
    "rekorTlogConfig": {"selector": "ANY"},
    "tsaUrls": [],
    "tsaConfig": {"selector": "ANY"},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class TrustRoot:
    """A trust root; ``config`` is a ClientTrustConfig as JSON text.

    ``fetched_at`` is when it was known to be the newest, ``can_sign`` whether it names services.
    """

    config: str = field(repr=False)
    source: str
    instance: str | None
    fetched_at: datetime
    can_sign: bool

    def age_days(self, now: datetime) -> int:
        """Whole days since it was fetched; what comes from the future is new."""
        return max((now - self.fetched_at).days, 0)


def parse_trust_root(data: bytes, *, source: str, written_at: datetime) -> TrustRoot:
    """Find the trust root in a file; ``written_at`` is its age if it says none itself.

    Raises:
        UndecidedError: it is none of the three forms.
    """
    try:
        value = strict_json.parse(data, where=source, limit_bytes=LIMITS.trust_root_bytes)
        return _found(value, source, written_at)
    except MalformedError as e:
        raise UndecidedError(
            f"not a trust root: {e.what}",
            where=source if e.where in {None, source} else f"{source}: {e.where}",
            expected=e.expected,
            got=e.got,
            hint="`infwasi trust fetch` writes one",
        ) from e


def _found(value: JsonValue, source: str, written_at: datetime) -> TrustRoot:
    kind = value.get("mediaType") if isinstance(value, dict) else None
    config, instance, fetched_at, can_sign = value, None, written_at, True
    match kind:
        case str() if kind == FETCHED:
            members = Cursor(value, "").object(
                required=("mediaType", "instance", "fetchedAt", "clientTrustConfig")
            )
            instance = members["instance"].string()
            fetched_at = parse_time(members["fetchedAt"])
            config = members["clientTrustConfig"].value
        case str() if kind == TRUST_CONFIG:
            pass
        case str() if kind == TRUSTED_ROOT:
            config = {
                "mediaType": TRUST_CONFIG,
                "trustedRoot": value,
                "signingConfig": _NO_SERVICES,
            }
            can_sign = False
        case _:
            raise MalformedError(
                "unknown mediaType", where="mediaType", expected=f"{FETCHED} or {TRUSTED_ROOT}"
            )
    return TrustRoot(
        config=json.dumps(config),
        source=source,
        instance=instance,
        fetched_at=fetched_at,
        can_sign=can_sign,
    )


def encode_fetched(config: str, *, instance: str, fetched_at: datetime) -> bytes:
    """What `infwasi trust fetch` writes: a ClientTrustConfig, from where and when it came."""
    document = {
        "mediaType": FETCHED,
        "instance": instance,
        "fetchedAt": format_time(fetched_at),
        "clientTrustConfig": json.loads(config),
    }
    return json.dumps(document, indent=1, sort_keys=True).encode("ascii") + b"\n"
