"""Trust on first use: one key per package name, remembered and then demanded."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infwasi_sign.adapters.pins import PINS_FILE, PinStore, trusted_key
from infwasi_sign.adapters.state_folder import NotKeptError, StateFolder
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import WORD
from infwasi_sign.domain.pins import Pin, encode_pins, find_pin, parse_pins, require_pinned
from infwasi_sign.domain.rollback import LAST_SECOND
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError
from tests.key_support import ED25519, OTHER_P256, P256, undecided, write

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def pin(package: str = "capital", key: bytes = P256.public_key()) -> Pin:
    return Pin(package=package, public_key=key, pinned_at=NOW)


@pytest.fixture
def store(tmp_path: Path) -> PinStore:
    return PinStore(StateFolder(tmp_path / "state"))


# --- remembering -----------------------------------------------------------------------------


def test_nothing_is_pinned_at_first(store: PinStore) -> None:
    assert store.read("capital") is None
    assert store.pins() == ()
    assert not store.folder.path.exists()


def test_remembers_the_first_key_and_since_when(store: PinStore) -> None:
    assert store.write(pin()) == pin()
    later = Pin(package="capital", public_key=P256.public_key(), pinned_at=NOW.replace(year=2027))
    assert store.write(later) == pin()
    assert store.read("capital") == pin()
    assert store.read("city") is None


def test_refuses_another_key_for_the_same_package(store: PinStore) -> None:
    store.write(pin())
    store.write(pin("city", OTHER_P256.public_key()))
    with pytest.raises(RefusedError) as caught:
        store.write(pin(key=OTHER_P256.public_key()))
    assert caught.value.kind is RefusalKind.SIGNER
    assert str(caught.value) == (
        f"another key is pinned for capital (expected sha256:{P256.public.fingerprint}, "
        f"got sha256:{OTHER_P256.public.fingerprint})"
    )
    assert caught.value.hint == "if its signer has changed: infwasi state reset capital --pin"
    assert store.read("capital") == pin()


def test_forgets_one_package(store: PinStore) -> None:
    store.write(pin())
    store.write(pin("city"))
    store.forget("capital")
    assert store.pins() == (pin("city"),)
    assert store.write(pin(key=ED25519.public_key())) == pin(key=ED25519.public_key())


def test_a_pin_that_cannot_be_kept_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "state", b"")
    store = PinStore(StateFolder(tmp_path / "state"))
    error = undecided(lambda: store.write(pin()))
    assert isinstance(error, NotKeptError)
    assert str(error) == f"no state can be kept: not a directory in {tmp_path / 'state'}"


def test_pins_that_others_can_write_are_no_verdict(store: PinStore) -> None:
    store.write(pin())
    path = store.folder.path / PINS_FILE
    os.chmod(path, 0o620)  # noqa: PTH101 -- as everywhere in these tests
    assert str(undecided(lambda: store.read("capital"))) == (
        f"state file can be written by others than its owner in {path} (got mode 0620)"
    )


def test_says_when_no_more_can_be_pinned(store: PinStore) -> None:
    store.folder.path.mkdir(0o700)
    many = [pin(f"p{number}") for number in range(LIMITS.state_packages)]
    write(store.folder.path / PINS_FILE, encode_pins(many))
    assert str(undecided(lambda: store.write(pin()))).startswith("no more keys can be pinned in ")
    assert store.write(pin("p7")) == pin("p7")


# --- what a pin means ------------------------------------------------------------------------


@pytest.mark.parametrize("key", [P256, ED25519])
def test_gives_the_key_under_a_name_that_says_so(key: Any) -> None:
    trusted = trusted_key(pin(key=key.public_key()))
    assert trusted.public_key == key.public
    assert trusted.name == "the key pinned for capital"
    assert pin(key=key.public_key()).sentence() == (
        f"trust on first use: key sha256:{key.public.fingerprint} pinned for capital "
        "at 2026-11-23T12:00:00Z; no policy was consulted"
    )


def test_a_pin_of_no_supported_key_is_no_verdict() -> None:
    error = undecided(lambda: trusted_key(pin(key=b"\x30\x00")))
    assert str(error).startswith("key type is not supported in the key pinned for capital")


def test_a_pinned_key_is_for_its_package_alone() -> None:
    require_pinned(None, package="capital", public_key=b"any")
    require_pinned(pin(), package="capital", public_key=P256.public_key())
    with pytest.raises(RefusedError) as caught:
        require_pinned(pin(), package="city", public_key=P256.public_key())
    assert caught.value.kind is RefusalKind.POLICY
    assert str(caught.value) == (
        "the key is pinned for another package in package.name (expected capital, got city)"
    )


PINS = (pin("app"), pin("capital"), pin("my"), pin("my-app"))


@pytest.mark.parametrize(
    ("name", "directory", "expected"),
    [
        (None, "capital", "capital"),
        (None, "capital-1.0.0", "capital"),
        (None, "app-1.0.0-rc.1+b2", "app"),
        (None, "my-2.0.0", "my"),
        (None, "my-app", "my-app, my"),
        (None, "my-app-1.0.0", "my-app, my"),
        ("my-app", "my-app-1.0.0", "my-app"),
        ("capital", "elsewhere", "capital"),
        (None, "capitals-1.0.0", ""),
        (None, "capital-", ""),
        (None, "capital-1/0", ""),
        ("city", "capital-1.0.0", ""),
        (None, "", ""),
    ],
)
def test_finds_the_pin_by_name_or_directory(
    name: str | None, directory: str, expected: str
) -> None:
    match expected.split(", "):
        case [""]:
            error = undecided(lambda: find_pin(PINS, name=name, directory=directory))
            assert error.what == "no key is pinned for this package"
            assert error.hint == "give the signer's public key once: --key FILE --pin"
        case [one]:
            assert find_pin(PINS, name=name, directory=directory).package == one
        case several:
            error = undecided(lambda: find_pin(PINS, name=name, directory=directory))
            assert error.what == "several pinned packages fit the name of the directory"
            assert error.got == ", ".join(sorted(several))


# --- the file --------------------------------------------------------------------------------


@given(
    st.lists(
        st.builds(
            Pin,
            package=st.from_regex(WORD, fullmatch=True),
            public_key=st.binary(min_size=1, max_size=600),
            pinned_at=st.integers(0, LAST_SECOND).map(lambda s: datetime.fromtimestamp(s, UTC)),
        ),
        unique_by=lambda one: one.package,
    )
)
def test_reads_what_it_wrote(pins: list[Pin]) -> None:
    data = encode_pins(pins)
    read = parse_pins(data, where="pins.json")
    assert sorted(pins, key=lambda one: one.package) == list(read)
    assert encode_pins(read) == data


def test_the_longest_pins_fit_their_bound() -> None:
    pins = [
        Pin(
            package=f"{number:0>64}",
            public_key=P256.public_key(),
            pinned_at=datetime.fromtimestamp(LAST_SECOND, UTC),
        )
        for number in range(LIMITS.state_packages)
    ]
    assert len(encode_pins(pins)) <= LIMITS.state_bytes


GOOD = encode_pins([pin()])


def changed(change: Callable[[Any], object]) -> bytes:
    value = json.loads(GOOD)
    change(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not JSON in pins.json"),
        (b"{}", "member is missing"),
        (GOOD + b" ", "not in its one byte form in pins.json"),
        (changed(lambda v: v.update(version=0)), "out of range in version"),
        (changed(lambda v: v.update(policy="")), "unknown member"),
        (changed(lambda v: v["pins"].append(v["pins"][0])), "not in order in pins[1].name"),
        (changed(lambda v: v["pins"][0].update(key="")), "not base64 in its one form in pins[0]"),
        (changed(lambda v: v["pins"][0].update(key="AB==")), "not base64 in its one form in pins"),
        (changed(lambda v: v["pins"][0].update(key="A")), "not base64 in pins[0].key"),
        (changed(lambda v: v["pins"][0].update(key="A A=")), "not base64 in pins[0].key"),
        (changed(lambda v: v["pins"][0].update(key="A" * 2000)), "too long in pins[0].key"),
        (changed(lambda v: v["pins"][0].update(key=None)), "wrong type in pins[0].key"),
        (changed(lambda v: v["pins"][0].update(pinnedAt=-1)), "out of range in pins[0].pinnedAt"),
        (changed(lambda v: v["pins"][0].pop("pinnedAt")), "member is missing in pins[0]"),
    ],
)
def test_refuses_any_other_file(store: PinStore, data: bytes, says: str) -> None:
    with pytest.raises(MalformedError) as caught:
        parse_pins(data, where="pins.json")
    assert str(caught.value).startswith(says)
    store.folder.path.mkdir(0o700)
    write(store.folder.path / PINS_FILE, data)
    error = undecided(lambda: store.read("capital"))
    assert str(error).startswith(f"the state is damaged: {says}")


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_only_ever_raise_its_own_error(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_pins(data, where="pins.json")
