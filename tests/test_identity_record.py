"""What is remembered of a hashed file: each doubt, alone, is a reason to hash again."""

from dataclasses import fields, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infwasi_sign.domain import identity_record
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.identity_record import (
    LONGEST_NS,
    RECORD_BYTES,
    SECOND_NS,
    IdentityRecord,
    Moment,
    UniqueIdentity,
    obstacle_to_use,
    obstacle_to_writing,
)
from infwasi_sign.errors import MalformedError

SEEN = UniqueIdentity(
    boot_id=bytes(range(16)),
    mount_id=2**31 + 7,
    file_system_type=0xEF53,
    file_system_id=2**64 - 1,
    device=0xFE00,
    inode=12,
    generation=2**32 - 1,
    size_bytes=98_000_000,
    mtime_ns=1_700_000_000 * SECOND_NS,
    ctime_ns=1_700_000_000 * SECOND_NS + 5,
)
WRITTEN = Moment(wall_ns=1_700_000_100 * SECOND_NS, boot_ns=500 * SECOND_NS)
SHA256 = Digest(algorithm=Algorithm.SHA256, hex="5a" * 32)
BLAKE3 = Digest(algorithm=Algorithm.BLAKE3, hex="b3" * 32)
RECORD = IdentityRecord(
    user=1000, written=WRITTEN, identity=SEEN, digests={Algorithm.BLAKE3: BLAKE3}
)
WANTED = frozenset({Algorithm.BLAKE3})
HOUR_NS = 3600 * SECOND_NS


def later(wall_ns: int, boot_ns: int | None = None) -> Moment:
    boot_ns = wall_ns if boot_ns is None else boot_ns
    return Moment(wall_ns=WRITTEN.wall_ns + wall_ns, boot_ns=WRITTEN.boot_ns + boot_ns)


def obstacle(
    seen: UniqueIdentity = SEEN,
    *,
    user: int = 1000,
    wanted: frozenset[Algorithm] = WANTED,
    now: Moment | None = None,
) -> str | None:
    now = later(HOUR_NS) if now is None else now
    return obstacle_to_use(RECORD, seen, user=user, wanted=wanted, now=now)


def changed(member: str, seen: UniqueIdentity = SEEN) -> UniqueIdentity:
    old = getattr(seen, member)
    new: object = bytes(16) if isinstance(old, bytes) else old - 1
    return replace(seen, **{member: new})  # type: ignore[arg-type]  # each of its own type


# --- when it may be used ----------------------------------------------------------------------


def test_nothing_stands_against_an_unchanged_file() -> None:
    assert obstacle() is None


def test_every_member_is_compared() -> None:
    members = {field.name for field in fields(UniqueIdentity)}
    assert set(identity_record._COMPARED) == members
    assert identity_record._WORDS.keys() == members


@pytest.mark.parametrize("member", identity_record._COMPARED)
def test_each_member_that_changed_alone_stands_against_it(
    member: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = changed(member)
    assert obstacle(seen) == f"{identity_record._WORDS[member]} is not what it was"
    # Control: where it is not compared, the change passes.
    others = tuple(one for one in identity_record._COMPARED if one != member)
    monkeypatch.setattr(identity_record, "_COMPARED", others)
    assert obstacle(seen) is None


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (later(0), None),
        (later(LONGEST_NS - 1), None),
        (later(LONGEST_NS), "it was hashed more than 24 hours ago"),
        (later(-1), "the clock was set"),
        # The wall's clock was set back, so that by it the day is not over.
        (later(HOUR_NS, LONGEST_NS + HOUR_NS), "the clock was set"),
        (later(0, 61 * SECOND_NS), "the clock was set"),
        (later(61 * SECOND_NS, 0), "the clock was set"),
        (later(0, -1), "the clock was set"),
        (later(HOUR_NS, HOUR_NS + 59 * SECOND_NS), None),  # as much as NTP may slew in a day
        (later(LONGEST_NS - SECOND_NS, LONGEST_NS), "it was hashed more than 24 hours ago"),
    ],
)
def test_a_day_is_over_by_either_clock(now: Moment, expected: str | None) -> None:
    assert obstacle(now=now) == expected


def test_it_is_for_the_user_who_hashed() -> None:
    assert obstacle(user=0) == "it was remembered by another user"


@pytest.mark.parametrize("wanted", [frozenset({Algorithm.SHA256}), frozenset(Algorithm)])
def test_it_has_the_digests_that_are_demanded(wanted: frozenset[Algorithm]) -> None:
    assert obstacle(wanted=wanted) == "other digests are demanded than are remembered"


# --- when it may be written -------------------------------------------------------------------


@pytest.mark.parametrize("member", ["mtime_ns", "ctime_ns"])
@pytest.mark.parametrize(
    ("age_ns", "is_kept"),
    [
        (2 * SECOND_NS, True),
        (2 * SECOND_NS - 1, False),
        (0, False),
        (-1, False),
        (-HOUR_NS, False),  # from the future: one of two clocks is wrong
    ],
)
def test_what_changed_just_now_is_not_remembered(member: str, age_ns: int, is_kept: bool) -> None:
    seen = replace(SEEN, mtime_ns=0, ctime_ns=0)
    seen = replace(seen, **{member: WRITTEN.wall_ns - age_ns})  # type: ignore[arg-type]  # an int
    why = obstacle_to_writing(seen, WRITTEN)
    assert why == (
        None if is_kept else "it was changed less than 2 seconds ago, or the clock is wrong"
    )


# --- the form ---------------------------------------------------------------------------------

identities = st.builds(
    UniqueIdentity,
    boot_id=st.binary(min_size=16, max_size=16),
    **dict.fromkeys(
        ("mount_id", "file_system_type", "file_system_id", "device", "inode", "size_bytes"),
        st.integers(0, 2**64 - 1),
    ),
    generation=st.integers(0, 2**32 - 1),
    mtime_ns=st.integers(-(2**63), 2**63 - 1),
    ctime_ns=st.integers(-(2**63), 2**63 - 1),
)
digests = st.sampled_from(
    [
        {Algorithm.BLAKE3: BLAKE3},
        {Algorithm.SHA256: SHA256},
        {Algorithm.SHA256: SHA256, Algorithm.BLAKE3: BLAKE3},
    ]
)
records = st.builds(
    IdentityRecord,
    user=st.integers(0, 2**32 - 1),
    written=st.builds(Moment, wall_ns=st.integers(0, 2**63 - 1), boot_ns=st.integers(0, 2**64 - 1)),
    identity=identities,
    digests=digests,
)


@given(records)
def test_what_was_written_is_read(record: IdentityRecord) -> None:
    data = record.to_bytes()
    assert len(data) == RECORD_BYTES
    assert IdentityRecord.parse(data) == record


@given(records, st.integers(0, RECORD_BYTES - 1), st.integers(1, 255))
def test_other_bytes_are_another_record_or_none(
    record: IdentityRecord, at: int, flipped: int
) -> None:
    data = bytearray(record.to_bytes())
    data[at] ^= flipped
    try:
        read = IdentityRecord.parse(bytes(data))
    except MalformedError:
        return
    assert read != record
    assert read.to_bytes() == bytes(data)


@given(st.binary(max_size=2 * RECORD_BYTES))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    try:
        record = IdentityRecord.parse(data)
    except MalformedError:
        return
    assert record.to_bytes() == data


@pytest.mark.parametrize(
    ("data", "got"),
    [
        (b"", "0 bytes"),
        (RECORD.to_bytes()[:-1], f"{RECORD_BYTES - 1} bytes"),
        (RECORD.to_bytes() + b"\0", f"{RECORD_BYTES + 1} bytes"),
        (b"X" + RECORD.to_bytes()[1:], r"b'Xnfwasi identity 1\n'"),
        # a digest that no bit announces
        (RECORD.to_bytes()[:-65] + b"\0" + RECORD.to_bytes()[-64:], "another form of the same"),
        # a bit that announces a digest of no algorithm
        (RECORD.to_bytes()[:-65] + b"\6" + RECORD.to_bytes()[-64:], "another form of the same"),
    ],
)
def test_says_what_is_no_record(data: bytes, got: str) -> None:
    with pytest.raises(MalformedError) as refusal:
        IdentityRecord.parse(data)
    assert str(refusal.value) == (
        f"not an identity record (expected {RECORD_BYTES} bytes, got {got})"
    )


def test_says_when_it_was_computed() -> None:
    assert RECORD.remembered().computed_at == datetime(2023, 11, 14, 22, 15, tzinfo=UTC)
