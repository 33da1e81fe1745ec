"""Which sequence may follow which, and the one byte form in which that is remembered."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import WORD
from infwasi_sign.domain.rollback import (
    JUMP_SECONDS,
    LAST_SECOND,
    SequenceRecord,
    decide_sequence,
    encode_state,
    parse_state,
    policy_id,
)
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
POLICY = policy_id("key", "ab" * 32)

sequences = st.integers(0, LIMITS.json_integer)
names = st.from_regex(WORD, fullmatch=True)


def statement(text: str) -> Digest:
    return Digest(algorithm=Algorithm.SHA256, hex=hashlib.sha256(text.encode()).hexdigest())


def record(sequence: int, text: str = "first", package: str = "capital") -> SequenceRecord:
    return SequenceRecord(
        package=package, sequence=sequence, statement=statement(text), accepted_at=NOW
    )


def refusal(known: SequenceRecord | None, sequence: int, text: str = "second") -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        decide(known, sequence, text)
    assert caught.value.kind is RefusalKind.ROLLBACK
    return caught.value


def decide(
    known: SequenceRecord | None, sequence: int, text: str = "second", *, jump: bool = False
) -> None:
    decide_sequence(
        known,
        package="capital",
        sequence=sequence,
        statement=statement(text),
        now=NOW,
        accept_jump=jump,
    )


# --- the decision ----------------------------------------------------------------------------


def test_refuses_an_older_sequence_whoever_signed_it() -> None:
    error = refusal(record(9), 6)
    assert str(error) == (
        "a newer release was accepted before in sequence (expected at least 9, got 6)"
    )
    assert error.hint == "if it is what you want: infwasi state reset capital"


def test_refuses_another_statement_with_the_same_sequence() -> None:
    assert str(refusal(record(9), 9)) == (
        "another statement with this sequence was accepted before in sequence 9 "
        f"(expected {statement('first')}, got {statement('second')})"
    )


def test_accepts_the_same_statement_again() -> None:
    decide(record(9), 9, "first")


def test_refuses_a_jump_that_nobody_allowed() -> None:
    highest = SECONDS + JUMP_SECONDS
    decide(None, highest)
    error = refusal(None, highest + 1)
    assert str(error) == (
        "the release is more than a year ahead in sequence "
        f"(expected at most {highest}, got {highest + 1})"
    )
    assert error.hint is not None
    assert "--accept-jump" in error.hint
    decide(None, highest + 1, jump=True)


def test_a_year_is_counted_from_what_was_accepted_if_that_is_ahead_of_the_clock() -> None:
    ahead = SECONDS + 10 * JUMP_SECONDS
    decide(record(ahead), ahead + JUMP_SECONDS)
    refusal(record(ahead), ahead + JUMP_SECONDS + 1)


def test_numbers_that_are_no_times_never_jump() -> None:
    decide(record(1), 1_000_000)


def test_allowing_a_jump_allows_nothing_else() -> None:
    with pytest.raises(RefusedError, match="a newer release was accepted"):
        decide(record(9), 8, jump=True)
    with pytest.raises(RefusedError, match="another statement"):
        decide(record(9), 9, jump=True)


def test_a_record_of_another_package_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="says nothing about capital"):
        decide(record(9, package="city"), 10)


@given(st.none() | sequences, sequences, st.booleans(), st.booleans())
def test_what_is_accepted_is_newer_or_the_same_and_near(
    known: int | None, sequence: int, is_same: bool, jump: bool
) -> None:
    before = None if known is None else record(known)
    goes_back = known is not None and (sequence < known or (sequence == known and not is_same))
    is_far = sequence > max(known or 0, SECONDS) + 366 * 24 * 60 * 60
    text = "first" if is_same else "second"
    if goes_back or (is_far and not jump):
        with pytest.raises(RefusedError) as caught:
            decide(before, sequence, text, jump=jump)
        assert caught.value.kind is RefusalKind.ROLLBACK
    else:
        decide(before, sequence, text, jump=jump)


@given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from("abc")), max_size=30))
def test_no_series_of_releases_ever_goes_back(series: list[tuple[int, str]]) -> None:
    known: SequenceRecord | None = None
    for sequence, text in series:
        try:
            decide(known, sequence, text)
        except RefusedError:
            assert known is not None
            continue
        if known is not None:
            assert sequence > known.sequence or statement(text) == known.statement
        known = record(sequence, text)


def test_ids_of_policies_of_different_kinds_differ() -> None:
    ids = {policy_id("key", "x"), policy_id("file", "x"), policy_id("key", "y")}
    assert len(ids) == 3
    assert all(len(one) == 64 and int(one, 16) for one in ids)


# --- the file --------------------------------------------------------------------------------


@given(
    st.lists(
        st.builds(
            SequenceRecord,
            package=names,
            sequence=sequences,
            statement=st.text(max_size=9).map(statement),
            accepted_at=st.integers(0, LAST_SECOND).map(lambda s: datetime.fromtimestamp(s, UTC)),
        ),
        unique_by=lambda one: one.package,
    )
)
def test_reads_what_it_wrote(records: list[SequenceRecord]) -> None:
    data = encode_state(POLICY, records)
    read = parse_state(data, policy=POLICY, where="state")
    assert sorted(records, key=lambda one: one.package) == list(read)
    assert encode_state(POLICY, read) == data


def test_the_longest_state_fits_its_bound() -> None:
    records = [
        SequenceRecord(
            package=f"{number:0>64}",
            sequence=LIMITS.json_integer,
            statement=statement(""),
            accepted_at=datetime.fromtimestamp(LAST_SECOND, UTC),
        )
        for number in range(LIMITS.state_packages)
    ]
    data = encode_state(POLICY, records)
    assert LIMITS.state_bytes // 2 < len(data) <= LIMITS.state_bytes
    assert len(parse_state(data, policy=POLICY, where="state")) == LIMITS.state_packages


def test_fractions_of_a_second_are_not_kept() -> None:
    late = SequenceRecord(
        package="a",
        sequence=1,
        statement=statement(""),
        accepted_at=NOW + timedelta(microseconds=999_999),
    )
    (read,) = parse_state(encode_state(POLICY, [late]), policy=POLICY, where="state")
    assert read.accepted_at == NOW


GOOD = encode_state(POLICY, [record(5), record(6, package="city")])


def changed(change: Callable[[Any], object]) -> bytes:
    value = json.loads(GOOD)
    change(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


HOSTILE = [
    (b"", "not JSON in state"),
    (b"\x00" * 100, "not JSON in state"),
    (b"\xff", "not UTF-8 in state"),
    (b"[" * 100_000, "nested too deep in state"),
    (b"null", "wrong type"),
    (b"{}", "member is missing"),
    (GOOD + b"\n", "not in its one byte form in state"),
    (GOOD[:-1], "not JSON in state"),
    (GOOD.replace(b":5,", b":05,"), "not JSON in state"),
    (GOOD.replace(b'"version":1', b'"version":1,"version":1'), "member stands twice in state"),
    (b" " * (LIMITS.state_bytes + 1), "too long in state"),
    (changed(lambda v: v.update(version=2)), "out of range in version"),
    (changed(lambda v: v.update(version=True)), "wrong type in version"),
    (changed(lambda v: v.update(more=1)), "unknown member"),
    (changed(lambda v: v.update(policy="0" * 64)), "state of another policy in state"),
    (changed(lambda v: v.update(policy=None)), "wrong type in policy"),
    (changed(lambda v: v.update(packages={})), "wrong type in packages"),
    (changed(lambda v: v.update(packages=[1])), "not a package name in packages[0].name"),
    (changed(lambda v: v["packages"].reverse()), "not in order in packages[1].name"),
    (changed(lambda v: v["packages"].append(v["packages"][1])), "not in order in packages[2].name"),
    (changed(lambda v: v.update(packages=[{}] * 4097)), "wrong number of items in packages"),
    (changed(lambda v: v["packages"][0].update(name="../x")), "not a package name in packages[0]"),
    (changed(lambda v: v["packages"][0].update(sequence=-1)), "out of range in packages[0].seq"),
    (changed(lambda v: v["packages"][0].update(sequence=1.5)), "wrong type in packages[0].seq"),
    (changed(lambda v: v["packages"][0].update(sequence=2**53)), "number out of range in state"),
    (changed(lambda v: v["packages"][0].update(statement="A" * 64)), "not a digest in packages[0]"),
    (changed(lambda v: v["packages"][0].update(statement=None)), "not a digest in packages[0].st"),
    (changed(lambda v: v["packages"][0].update(acceptedAt=LAST_SECOND + 1)), "out of range in pac"),
    (changed(lambda v: v["packages"][0].update(more=1)), "unknown member in packages[0]"),
    (changed(lambda v: v["packages"][0].pop("sequence")), "member is missing in packages[0]"),
]


@pytest.mark.parametrize(("data", "says"), HOSTILE)
def test_refuses_any_other_state(data: bytes, says: str) -> None:
    with pytest.raises(MalformedError) as caught:
        parse_state(data, policy=POLICY, where="state")
    assert str(caught.value).startswith(says)


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_says_something_else(at: int, mask: int) -> None:
    data = bytearray(GOOD)
    data[at] ^= mask
    try:
        read = parse_state(bytes(data), policy=POLICY, where="state")
    except MalformedError:
        return
    assert encode_state(POLICY, read) == data


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_only_ever_raise_its_own_error(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_state(data, policy=POLICY, where="state")
