"""The trust root of a Sigstore instance as a file: whose certificates and logs count, how old.

Three forms are read: that of `infwasi trust fetch`, which says when and from where it came; a
ClientTrustConfig v0.1, which also names the services to sign with; and a bare TrustedRoot v0.1.
What is in them is for sigstore-python to read; this module only finds it.
"""

import hashlib
import json
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

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


# What a TrustedRoot v0.1 lists (sigstore_trustroot.proto), and how people call it.
_KINDS: Final = {
    "certificateAuthorities": "certificate authority",
    "ctlogs": "certificate log",
    "tlogs": "transparency log",
    "timestampAuthorities": "timestamp authority",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Authority:
    """One authority or log; ``fingerprints`` are hex SHA-256 of its certificates or its key."""

    kind: str
    name: str
    fingerprints: tuple[str, ...]
    valid_from: datetime | None
    valid_to: datetime | None


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

    def at(self, moments: Sequence[datetime]) -> str:
        """The config with only those authorities and logs whose time includes all ``moments``.

        Both ends are included (sigstore_common.proto, TimeRange). sigstore-python does not look at
        the end: an authority that was retired, maybe because it was broken, would go on for ever.
        Only at that of a timestamp authority it looks, as if it were excluded; so the ends, which
        were judged here, are left out of what it gets.

        Raises:
            UndecidedError: an authority's time cannot be read.
        """
        config = json.loads(self.config)
        for kind in _KINDS:
            found = config["trustedRoot"].get(kind, [])
            kept = [one for one in found if _covers(_period(one, self.source), moments)]
            config["trustedRoot"][kind] = [_endless(one) for one in kept] if moments else kept
        return json.dumps(config)

    def log_ids(self) -> frozenset[bytes]:
        """By which names entries call the transparency logs (TransparencyLogInstance).

        Raises:
            UndecidedError: a log's name cannot be read.
        """
        logs = json.loads(self.config)["trustedRoot"].get("tlogs", [])
        try:
            return frozenset(
                b64decode(log[name]["keyId"], validate=True)
                for log in logs
                for name in ("logId", "checkpointKeyId")
                if name in log
            )
        except (AttributeError, KeyError, TypeError, ValueError) as e:
            raise _unreadable(self.source) from e

    def authorities(self) -> tuple[Authority, ...]:
        """Everybody in it, for people to read.

        Raises:
            UndecidedError: something in it cannot be read.
        """
        trusted = json.loads(self.config)["trustedRoot"]
        return tuple(
            _authority(kind, one, self.source) for kind in _KINDS for one in trusted.get(kind, [])
        )

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


def _period(one: Any, source: str) -> tuple[datetime | None, datetime | None]:
    """From when until when an authority counts; a log's time stands beside its key."""
    try:
        valid = one.get("validFor") or one.get("publicKey", {}).get("validFor") or {}
        start, end = (valid.get(name) for name in ("start", "end"))
        return (
            None if start is None else datetime.fromisoformat(start),
            None if end is None else datetime.fromisoformat(end),
        )
    except (AttributeError, TypeError, ValueError) as e:
        raise _unreadable(source) from e


def _covers(period: tuple[datetime | None, datetime | None], moments: Sequence[datetime]) -> bool:
    start, end = period
    return all(
        (start is None or start <= moment) and (end is None or moment <= end) for moment in moments
    )


def _endless(one: dict[str, Any]) -> dict[str, Any]:
    place = one if one.get("validFor") else one.get("publicKey", {})
    (place.get("validFor") or {}).pop("end", None)
    return one


def _authority(kind: str, one: Any, source: str) -> Authority:
    try:
        keys = [item["rawBytes"] for item in one.get("certChain", {}).get("certificates", [])]
        if "publicKey" in one:
            keys.append(one["publicKey"]["rawBytes"])
        start, end = _period(one, source)
        return Authority(
            kind=_KINDS[kind],
            name=str(one.get("uri") or one.get("baseUrl") or "without a name"),
            fingerprints=tuple(hashlib.sha256(b64decode(key)).hexdigest() for key in keys),
            valid_from=start,
            valid_to=end,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as e:
        raise _unreadable(source) from e


def _unreadable(source: str) -> UndecidedError:
    return UndecidedError("the trust root lists something that cannot be read", where=source)


def encode_fetched(config: str, *, instance: str, fetched_at: datetime) -> bytes:
    """What `infwasi trust fetch` writes: a ClientTrustConfig, from where and when it came."""
    document = {
        "mediaType": FETCHED,
        "instance": instance,
        "fetchedAt": format_time(fetched_at),
        "clientTrustConfig": json.loads(config),
    }
    return json.dumps(document, indent=1, sort_keys=True).encode("ascii") + b"\n"
