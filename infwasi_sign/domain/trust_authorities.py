"""Whom a TrustedRoot v0.1 lists (sigstore_trustroot.proto): read once, and with one meaning.

sigstore-python reads the same bytes for itself, and takes each member by two names: `validFor` and
`valid_for`. Here only the first is known, as protobuf writes it, and any other member is refused:
else the end of an authority could be hidden from `TrustRoot.at`, which alone looks at it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.material import decode_base64
from infwasi_sign.domain.strict_json import Cursor
from infwasi_sign.errors import MalformedError
from infwasi_sign.quick_dataclass import dataclass

TRUSTED_ROOT: Final = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"

# The lists, how people call what is in them, and how many there must be: without a certificate
# authority and both logs nobody could be verified. Rekor v1 needs no timestamp authority.
KINDS: Final = {
    "certificateAuthorities": "certificate authority",
    "ctlogs": "certificate log",
    "tlogs": "transparency log",
    "timestampAuthorities": "timestamp authority",
}
_LOGS: Final = frozenset({"ctlogs", "tlogs"})
_MAY_BE_EMPTY: Final = frozenset({"timestampAuthorities"})
_TIME_BYTES: Final = 40  # RFC 3339 with nanoseconds and an offset has 35


@dataclass(frozen=True, kw_only=True, slots=True)
class Authority:
    """One authority or log; ``member`` is the list that it stands in.

    ``fingerprints`` are hex SHA-256 of its certificates, or of its key.
    """

    member: str
    name: str
    fingerprints: tuple[str, ...]
    valid_from: datetime | None
    valid_to: datetime | None

    @property
    def kind(self) -> str:
        """How people call it."""
        return KINDS[self.member]

    def covers(self, moments: Sequence[datetime]) -> bool:
        """Whether it counted at all of them; both ends are included (proto: TimeRange)."""
        start, end = self.valid_from, self.valid_to
        return all(
            (start is None or start <= moment) and (end is None or moment <= end)
            for moment in moments
        )


def parse_authorities(trusted_root: Cursor) -> tuple[Authority, ...]:
    """Everybody in a TrustedRoot, list by list, in the order of the document.

    Raises:
        MalformedError: it is none, or nobody could ever be verified by it.
    """
    members = trusted_root.object(required=("mediaType",), optional=KINDS)
    if members["mediaType"].string() != TRUSTED_ROOT:
        raise MalformedError(
            "unknown mediaType", where=members["mediaType"].path, expected=TRUSTED_ROOT
        )
    found: list[Authority] = []
    for member, kind in KINDS.items():
        items = members[member].array(LIMITS.trust_root_entries) if member in members else ()
        if not items and member not in _MAY_BE_EMPTY:
            where = f"{trusted_root.path}.{member}".lstrip(".")
            raise MalformedError(f"lists no {kind}", where=where)
        read = _log if member in _LOGS else _authority
        found += [read(member, item) for item in items]
    return tuple(found)


def _authority(member: str, cursor: Cursor) -> Authority:
    members = cursor.object(
        required=("certChain",), optional=("subject", "uri", "validFor", "operator")
    )
    chain = members["certChain"].object(required=("certificates",))["certificates"]
    return _made(
        member,
        members,
        "uri",
        [
            item.object(required=("rawBytes",))["rawBytes"]
            for item in chain.array(LIMITS.oms_certificates, min_items=1)
        ],
    )


def _log(member: str, cursor: Cursor) -> Authority:
    members = cursor.object(
        required=("publicKey",),
        optional=("baseUrl", "hashAlgorithm", "logId", "checkpointKeyId", "operator"),
    )
    key = members["publicKey"].object(required=("rawBytes",), optional=("keyDetails", "validFor"))
    return _made(member, members | key, "baseUrl", [key["rawBytes"]])


def _made(
    member: str, members: Mapping[str, Cursor], name: str, keys: Sequence[Cursor]
) -> Authority:
    valid = {}
    if "validFor" in members:
        valid = members["validFor"].object((), optional=("start", "end"))
    return Authority(
        member=member,
        name=members[name].string() if name in members else "without a name",
        fingerprints=tuple(hashlib.sha256(decode_base64(key)).hexdigest() for key in keys),
        valid_from=_time(valid.get("start")),
        valid_to=_time(valid.get("end")),
    )


def _time(cursor: Cursor | None) -> datetime | None:
    if cursor is None or cursor.value is None:  # protobuf JSON: null is what is not there
        return None
    text = cursor.string(_TIME_BYTES)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as e:
        raise MalformedError("no such time", where=cursor.path, got=ascii(text)) from e
    if moment.tzinfo is None:  # RFC 3339 section 5.6: a time has an offset
        raise MalformedError("a time without an offset", where=cursor.path, got=ascii(text))
    try:
        return moment.astimezone(UTC)
    except OverflowError as e:  # year 1 or 9999, and in UTC another
        raise MalformedError("no such time", where=cursor.path, got=ascii(text)) from e
