"""The trust root of a Sigstore instance as a file: whose certificates and logs count, how old.

Three forms are read: that of `infwasi trust fetch`, which says when and from where it came; a
ClientTrustConfig v0.1, which also names the services to sign with; and a bare TrustedRoot v0.1.
Whom they list is read here too (`trust_authorities`), because sigstore-python believes authorities
that were retired.
"""

import hashlib
import json
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import field
from datetime import datetime
from typing import Any, Final

from infwasi_sign.domain import strict_json
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import format_time
from infwasi_sign.domain.manifest_json import parse_time
from infwasi_sign.domain.signer import TrustRootUsed
from infwasi_sign.domain.strict_json import Cursor, JsonValue
from infwasi_sign.domain.trust_authorities import (
    KINDS,
    TRUSTED_ROOT,
    Authority,
    parse_authorities,
)
from infwasi_sign.errors import MalformedError, UndecidedError
from infwasi_sign.quick_dataclass import dataclass

FETCHED: Final = "urn:infwasi:trust:v1"
TRUST_CONFIG: Final = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
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


# Past so many days a verifier says so, if no policy decides. TUF's own metadata, by which a client
# hears of a retired key, ends within a week at the public instance (its timestamp.json): who has
# not asked for a month has missed at least three such ends.
STALE_DAYS: Final = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class TrustRoot:
    """A trust root; ``config`` is a ClientTrustConfig as JSON text, ``digest`` that of the file.

    ``fetched_at`` is when it was known to be the newest (``is_dated``: it says so itself, and not
    only its file), ``can_sign`` whether it names services, ``authorities`` everybody in it.
    """

    config: str = field(repr=False)
    source: str
    digest: Digest
    instance: str | None
    fetched_at: datetime
    is_dated: bool
    can_sign: bool
    authorities: tuple[Authority, ...] = field(repr=False)

    def at(self, moments: Sequence[datetime]) -> str:
        """The config with only those authorities and logs whose time includes all ``moments``.

        Both ends are included (sigstore_common.proto, TimeRange). sigstore-python does not look at
        the end: an authority that was retired, maybe because it was broken, would go on for ever.
        Only at that of a timestamp authority it looks, as if it were excluded; so the ends, which
        were judged here, are left out of what it gets.
        """
        config = json.loads(self.config)
        listed = config["trustedRoot"]
        for member in KINDS:
            known = [one for one in self.authorities if one.member == member]
            kept = [
                item
                for one, item in zip(known, listed.get(member, []), strict=True)
                if one.covers(moments)
            ]
            listed[member] = [_endless(item) for item in kept] if moments else kept
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
            raise UndecidedError("the name of a log cannot be read", where=self.source) from e

    def age_days(self, now: datetime) -> int:
        """Whole days since it was fetched; an audit at an earlier time finds it new."""
        return max((now - self.fetched_at).days, 0)

    def used(self, now: datetime) -> TrustRootUsed:
        """What a result says of it."""
        return TrustRootUsed(source=self.source, digest=self.digest, age_days=self.age_days(now))


def parse_trust_root(data: bytes, *, source: str, written_at: datetime) -> TrustRoot:
    """Find the trust root in a file; ``written_at`` is its age if it says none itself.

    Raises:
        UndecidedError: it is none of the three forms, or nobody could be verified by it.
    """
    try:
        value = strict_json.parse(data, where=source, limit_bytes=LIMITS.trust_root_bytes)
        return _found(value, data, source, written_at)
    except MalformedError as e:
        raise UndecidedError(
            f"not a trust root: {e.what}",
            where=source if e.where in {None, "", source} else f"{source}: {e.where}",
            expected=e.expected,
            got=e.got,
            hint="`infwasi trust fetch` writes one",
        ) from e


def _found(value: JsonValue, data: bytes, source: str, written_at: datetime) -> TrustRoot:
    kind = value.get("mediaType") if isinstance(value, dict) else None
    config, path, instance, fetched_at = value, "", None, None
    listed = None
    match kind:
        case str() if kind == FETCHED:
            members = Cursor(value, "").object(
                required=("mediaType", "instance", "fetchedAt", "clientTrustConfig")
            )
            instance = members["instance"].string()
            fetched_at = parse_time(members["fetchedAt"])
            config, path = members["clientTrustConfig"].value, "clientTrustConfig"
        case str() if kind == TRUST_CONFIG:
            pass
        case str() if kind == TRUSTED_ROOT:
            listed = Cursor(value, "")
            config = {
                "mediaType": TRUST_CONFIG,
                "trustedRoot": value,
                "signingConfig": _NO_SERVICES,
            }
        case _:
            raise MalformedError(
                "unknown mediaType", where="mediaType", expected=f"{FETCHED} or {TRUSTED_ROOT}"
            )
    return TrustRoot(
        config=json.dumps(config),
        source=source,
        digest=Digest(algorithm=Algorithm.SHA256, hex=hashlib.sha256(data).hexdigest()),
        instance=instance,
        fetched_at=fetched_at or written_at,
        is_dated=fetched_at is not None,
        can_sign=kind != TRUSTED_ROOT,
        authorities=parse_authorities(listed or _trusted_root(Cursor(config, path))),
    )


def _trusted_root(config: Cursor) -> Cursor:
    """The trust root in a ClientTrustConfig; what stands beside it is for sigstore-python."""
    members = config.object(required=("mediaType", "trustedRoot", "signingConfig"))
    if members["mediaType"].string() != TRUST_CONFIG:
        raise MalformedError(
            "unknown mediaType", where=members["mediaType"].path, expected=TRUST_CONFIG
        )
    return members["trustedRoot"]


def _endless(item: dict[str, Any]) -> dict[str, Any]:
    """Without the end of its time; a log's stands beside its key."""
    for place in (item, item.get("publicKey", {})):
        place.get("validFor", {}).pop("end", None)
    return item


def encode_fetched(config: str, *, instance: str, fetched_at: datetime) -> bytes:
    """What `infwasi trust fetch` writes: a ClientTrustConfig, from where and when it came."""
    document = {
        "mediaType": FETCHED,
        "instance": instance,
        "fetchedAt": format_time(fetched_at),
        "clientTrustConfig": json.loads(config),
    }
    return json.dumps(document, indent=1, sort_keys=True).encode("ascii") + b"\n"


def stale_note(root: TrustRoot, now: datetime) -> str | None:
    """What to say of one that is past `STALE_DAYS`, where no policy decides."""
    age = root.age_days(now)
    if age <= STALE_DAYS:
        return None
    return (
        f"the trust root {root.source} is {age} days old: who was retired since is still trusted; "
        "`infwasi trust fetch` gets the newest"
    )


# --- what a newer one changes ----------------------------------------------------------------


def changes(old: TrustRoot, new: TrustRoot) -> tuple[str, ...]:
    """One line for each authority that was added, removed, or given another time."""
    before, after = _by_key(old), _by_key(new)
    lines = [f"added: {_line(one)}" for key, one in after.items() if key not in before]
    lines += [f"removed: {_line(one)}" for key, one in before.items() if key not in after]
    for key, one in after.items():
        if key in before and before[key].valid_to != one.valid_to:
            verb = "no longer ends" if one.valid_to is None else "retired"
            lines.append(f"{verb}: {_line(one)}")
    return tuple(sorted(lines))


def _by_key(root: TrustRoot) -> dict[tuple[object, ...], Authority]:
    """One key may stand there several times, once for each time in which it counts."""
    return {
        (one.member, one.name, one.fingerprints, one.valid_from): one for one in root.authorities
    }


def _line(one: Authority) -> str:
    end = "" if one.valid_to is None else f", until {format_time(one.valid_to)}"
    return f"{one.kind} {one.name} sha256:{one.fingerprints[0]}{end}"
