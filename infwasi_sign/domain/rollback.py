"""Rollback: which sequence may follow the highest one that was accepted.

Per policy and package name one record is kept, whoever signed: a signer who is still trusted must
not be able to bring back what another one has replaced.
"""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import WORD
from infwasi_sign.domain.strict_json import Cursor, JsonValue, canonical, parse, require_canonical
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError
from infwasi_sign.quick_dataclass import dataclass

JUMP_SECONDS: Final = 366 * 86_400  # a leap year: yearly releases never jump
LAST_SECOND: Final = 253_402_300_799  # of the year 9999, the last one that dates can say
_VERSION: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class SequenceRecord:
    """The highest accepted sequence of a package, and the one statement that had it.

    ``statement`` is the SHA-256 of the statement's bytes; ``accepted_at`` is kept to the second.
    """

    package: str
    sequence: int
    statement: Digest
    accepted_at: datetime


def policy_id(kind: str, name: str) -> str:
    """64 hex digits that stand for a policy: a `key` by fingerprint, a `file` by its own name.

    ``name`` must stay the same when the policy's rules change, or each change would forget what
    was accepted.
    """
    return hashlib.sha256(f"{kind}\0{name}".encode()).hexdigest()


def decide_sequence(
    record: SequenceRecord | None,
    *,
    package: str,
    sequence: int,
    statement: Digest,
    now: datetime,
    accept_jump: bool = False,
) -> None:
    """Whether a package may follow what was accepted before; ``None`` means nothing was.

    A jump is a sequence beyond both the record and ``now`` in seconds since 1970 by more than
    `JUMP_SECONDS`, for sequences are times unless the packer says otherwise. One release so far
    ahead, accepted by mistake, would shut out all that follow it.

    Raises:
        RefusedError: kind `rollback`; older, another statement with the same sequence, or a jump
            that ``accept_jump`` does not allow.
    """
    if record is not None:
        require_successor(record, package=package, sequence=sequence, statement=statement)
    accepted = 0 if record is None else record.sequence
    highest = max(accepted, int(now.timestamp())) + JUMP_SECONDS
    if sequence > highest and not accept_jump:
        raise RefusedError(
            RefusalKind.ROLLBACK,
            "the release is more than a year ahead",
            where="sequence",
            expected=f"at most {highest}",
            got=str(sequence),
            hint="check the clock of this machine; --accept-jump if the number is meant",
        )


def require_successor(
    record: SequenceRecord, *, package: str, sequence: int, statement: Digest
) -> None:
    """Hold a package to be newer than ``record``, or the very one that it is of.

    Raises:
        RefusedError: kind `rollback`.
    """
    if record.package != package:
        raise ValueError(f"a record of {record.package} says nothing about {package}")
    hint = f"if it is what you want: infwasi state reset {package}"
    if sequence < record.sequence:
        raise RefusedError(
            RefusalKind.ROLLBACK,
            "a newer release was accepted before",
            where="sequence",
            expected=f"at least {record.sequence}",
            got=str(sequence),
            hint=hint,
        )
    if sequence == record.sequence and statement != record.statement:
        raise RefusedError(
            RefusalKind.ROLLBACK,
            "another statement with this sequence was accepted before",
            where=f"sequence {sequence}",
            expected=str(record.statement),
            got=str(statement),
            hint=hint,
        )


# --- the state of one policy as JSON ---------------------------------------------------------


def encode_state(policy: str, records: Iterable[SequenceRecord]) -> bytes:
    """The one byte form of a policy's records, in whatever order they come."""
    packages: list[JsonValue] = [
        {
            "acceptedAt": int(record.accepted_at.timestamp()),
            "name": record.package,
            "sequence": record.sequence,
            "statement": record.statement.hex,
        }
        for record in sorted(records, key=lambda record: record.package)
    ]
    return canonical({"packages": packages, "policy": policy, "version": _VERSION})


def parse_state(data: bytes, *, policy: str, where: str) -> tuple[SequenceRecord, ...]:
    """Read what `encode_state` wrote for this very policy, and nothing else.

    Raises:
        MalformedError: naming ``where``, or the member.
    """
    members, items = parse_packages(data, "packages", {"policy"}, where=where)
    if (got := members["policy"].string()) != policy:
        raise MalformedError(
            "state of another policy", where=where, expected=policy, got=ascii(got[:64])
        )
    return tuple(
        SequenceRecord(
            package=name,
            sequence=item["sequence"].integer(0, LIMITS.json_integer),
            statement=Digest.parse_hex(
                Algorithm.SHA256, item["statement"].value, where=item["statement"].path
            ),
            accepted_at=parse_moment(item["acceptedAt"]),
        )
        for name, item in (
            (name, cursor.object({"acceptedAt", "name", "sequence", "statement"}))
            for name, cursor in items
        )
    )


def parse_packages(
    data: bytes, list_name: str, others: set[str], *, where: str
) -> tuple[dict[str, Cursor], list[tuple[str, Cursor]]]:
    """What every state file is: an object of version 1 with a list sorted by package name.

    Gives the members, and the items with their package names. Raises `MalformedError`.
    """
    value = parse(data, where=where, limit_bytes=LIMITS.state_bytes)
    members = Cursor(value, "").object({list_name, "version", *others})
    members["version"].integer(_VERSION, _VERSION)
    items: list[tuple[str, Cursor]] = []
    for cursor in members[list_name].array(LIMITS.state_packages):
        name = cursor.value.get("name") if isinstance(cursor.value, dict) else None
        if not isinstance(name, str) or not WORD.fullmatch(name):
            raise MalformedError("not a package name", where=f"{cursor.path}.name")
        if items and name <= items[-1][0]:
            raise MalformedError("not in order", where=f"{cursor.path}.name", got=name)
        items.append((name, cursor))
    require_canonical(data, value, where)
    return members, items


def parse_moment(cursor: Cursor) -> datetime:
    """A moment in seconds since 1970. Raises `MalformedError`."""
    return datetime.fromtimestamp(cursor.integer(0, LAST_SECOND), UTC)
