"""Files with trust roots: what they mean, what is none, and who could have changed them."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sigstore.models import ClientTrustConfig

from infwasi_sign.adapters import trust_fetch
from infwasi_sign.adapters import trust_root as adapter
from infwasi_sign.adapters.trust_root import JudgingRoot, find_trust_root, load_trust_root
from infwasi_sign.cli.signing import _signing_root
from infwasi_sign.domain import trust_root as domain
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.strict_json import Cursor, JsonValue
from infwasi_sign.domain.trust_authorities import parse_authorities
from infwasi_sign.domain.trust_root import (
    STALE_DAYS,
    TrustRoot,
    changes,
    encode_fetched,
    parse_trust_root,
    stale_note,
)
from infwasi_sign.errors import MalformedError, UndecidedError
from infwasi_sign.testing.sigstore import PrivateSigstore

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
HINT = "`infwasi trust fetch` writes one"


@pytest.fixture(scope="module")
def config() -> str:
    """A ClientTrustConfig, as JSON text."""
    with PrivateSigstore() as instance:
        return instance.trust_config().decode()


def parsed(value: object) -> TrustRoot:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return parse_trust_root(data, source="root.json", written_at=NOW)


def refusal(value: object) -> str:
    with pytest.raises(UndecidedError) as caught:
        parsed(value)
    assert caught.value.hint == HINT
    return caught.value.sentence()


# --- forms -----------------------------------------------------------------------------------


def test_says_whom_it_lists_in_each_of_its_three_forms(config: str) -> None:
    whole = json.loads(config)
    fetched = parsed(encode_fetched(config, instance="https://example.test", fetched_at=NOW))
    bare, both = parsed(whole["trustedRoot"]), parsed(whole)
    assert fetched.authorities == bare.authorities == both.authorities
    assert [one.kind for one in bare.authorities] == [
        *("certificate authority", "certificate log", "transparency log", "transparency log"),
        "timestamp authority",
    ]
    assert (fetched.instance, fetched.is_dated, fetched.can_sign) == (
        *("https://example.test", True, True),
    )
    assert (both.instance, both.is_dated, both.can_sign) == (None, False, True)
    assert (bare.instance, bare.is_dated, bare.can_sign) == (None, False, False)


def test_only_those_count_whose_time_includes_every_moment(config: str) -> None:
    value = json.loads(config)["trustedRoot"]
    end = "2026-11-02T12:00:00Z"
    value["tlogs"][0]["publicKey"]["validFor"]["end"] = end
    value["certificateAuthorities"][0]["validFor"]["end"] = end
    root = parsed(value)

    def left(*moments: datetime) -> tuple[int, int]:
        listed = json.loads(root.at(moments))["trustedRoot"]
        return len(listed["tlogs"]), len(listed["certificateAuthorities"])

    assert left() == left(NOW) == (2, 1)
    later = NOW + timedelta(seconds=1)
    assert left(later) == left(NOW, later) == (1, 0)


def test_an_end_that_is_null_is_none(config: str) -> None:
    value = json.loads(config)["trustedRoot"]
    value["tlogs"][0]["publicKey"]["validFor"]["end"] = None
    assert all(one.valid_to is None for one in parsed(value).authorities)


def test_is_as_old_as_it_says_and_new_to_who_audits_the_past(config: str) -> None:
    root = parsed(encode_fetched(config, instance="x", fetched_at=NOW))
    days = timedelta(days=STALE_DAYS)
    assert root.age_days(NOW - days) == 0
    assert stale_note(root, NOW + days) is None
    assert stale_note(root, NOW + days + timedelta(days=1)) == (
        "the trust root root.json is 31 days old: who was retired since is still trusted; "
        "`infwasi trust fetch` gets the newest"
    )


def test_says_what_a_newer_one_changes(config: str) -> None:
    old, new = json.loads(config)["trustedRoot"], json.loads(config)["trustedRoot"]
    gone = new["tlogs"].pop(0)
    new["ctlogs"][0]["publicKey"]["validFor"]["end"] = "2027-01-01T00:00:00Z"
    new["timestampAuthorities"].append(
        {**new["timestampAuthorities"][0], "uri": "https://new.example.test"}
    )
    words = [line.split(" sha256:")[0] for line in changes(parsed(old), parsed(new))]
    assert words == [
        "added: timestamp authority https://new.example.test",
        f"removed: transparency log {gone['baseUrl']}",
        f"retired: certificate log {new['ctlogs'][0]['baseUrl']}",
    ]
    assert changes(parsed(old), parsed(old)) == ()
    assert any(line.startswith("no longer ends") for line in changes(parsed(new), parsed(old)))


# --- what is none ----------------------------------------------------------------------------

Change = Callable[[Any], object]


@pytest.mark.parametrize("member", ["certificateAuthorities", "ctlogs", "tlogs"])
@pytest.mark.parametrize("change", [lambda root, name: root.pop(name), dict.__setitem__])
def test_an_empty_list_never_means_yes(
    config: str, member: str, change: Callable[..., object]
) -> None:
    root = json.loads(config)["trustedRoot"]
    change(root, member, *([[]] if change is dict.__setitem__ else []))
    assert refusal(root).startswith("not a trust root: lists no ")
    assert refusal(root).endswith(f"in root.json: {member}")


def test_without_timestamp_authorities_it_is_one_for_rekor_v1(config: str) -> None:
    root = json.loads(config)["trustedRoot"]
    root["timestampAuthorities"] = []
    assert len(parsed(root).authorities) == 4


def _in_list(root: Any) -> Any:
    return root["certificateAuthorities"][0]


CHANGES: dict[str, tuple[Change, str]] = {
    "another name for the time": (
        lambda root: _in_list(root).__setitem__("valid_for", _in_list(root).pop("validFor")),
        "unknown member in root.json: trustedRoot.certificateAuthorities[0] (got 'valid_for')",
    ),
    "another name for a list": (
        lambda root: root.__setitem__("certificate_authorities", root["certificateAuthorities"]),
        "unknown member in root.json: trustedRoot (got 'certificate_authorities')",
    ),
    "a list that is an object": (
        lambda root: root.__setitem__("tlogs", {"0": root["tlogs"][0]}),
        "wrong type in root.json: trustedRoot.tlogs (expected an array, got an object)",
    ),
    "an authority that is a text": (
        lambda root: root.__setitem__("ctlogs", ["x"]),
        "wrong type in root.json: trustedRoot.ctlogs[0] (expected an object, got a string)",
    ),
    "no certificate": (
        lambda root: _in_list(root)["certChain"].__setitem__("certificates", []),
        "wrong number of items in root.json: "
        "trustedRoot.certificateAuthorities[0].certChain.certificates "
        "(expected 1 to 10, got 0)",
    ),
    "a key that is not base64": (
        lambda root: root["tlogs"][0]["publicKey"].__setitem__("rawBytes", "%"),
        "not base64 in root.json: trustedRoot.tlogs[0].publicKey.rawBytes (got '%')",
    ),
    "a time without an offset": (
        lambda root: _in_list(root)["validFor"].__setitem__("end", "2026-01-01T00:00:00"),
        "a time without an offset in root.json: "
        "trustedRoot.certificateAuthorities[0].validFor.end (got '2026-01-01T00:00:00')",
    ),
    "a time that is none": (
        lambda root: _in_list(root)["validFor"].__setitem__("end", "never"),
        "no such time in root.json: "
        "trustedRoot.certificateAuthorities[0].validFor.end (got 'never')",
    ),
    "a time that is beyond all time": (
        lambda root: _in_list(root)["validFor"].__setitem__("end", "9999-12-31T23:59:59-01:00"),
        "no such time in root.json: "
        "trustedRoot.certificateAuthorities[0].validFor.end (got '9999-12-31T23:59:59-01:00')",
    ),
    "a time that is a number": (
        lambda root: _in_list(root)["validFor"].__setitem__("end", 0),
        "wrong type in root.json: trustedRoot.certificateAuthorities[0].validFor.end "
        "(expected a string, got an integer)",
    ),
    "another version": (
        lambda root: root.__setitem__("mediaType", "application/vnd.dev.sigstore.trustedroot.v9"),
        "unknown mediaType in root.json: trustedRoot.mediaType "
        "(expected application/vnd.dev.sigstore.trustedroot+json;version=0.1)",
    ),
    "too many": (
        lambda root: root.__setitem__("tlogs", root["tlogs"] * LIMITS.trust_root_entries),
        "wrong number of items in root.json: trustedRoot.tlogs (expected at most 64, got 128)",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_refuses(name: str, config: str) -> None:
    change, said = CHANGES[name]
    value = json.loads(config)
    change(value["trustedRoot"])
    assert refusal(value) == f"not a trust root: {said}"


def test_the_end_of_an_authority_cannot_be_hidden_by_its_other_name(config: str) -> None:
    """The control: sigstore-python takes both names, and here only one was looked for."""
    value = json.loads(config)
    CHANGES["another name for the time"][0](value["trustedRoot"])
    ClientTrustConfig.from_json(json.dumps(value))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"", "not JSON in root.json (got expecting value at character 0)"),
        (b'{"a":1,"a":2}', "member stands twice in root.json (got 'a')"),
        (b"[" * 99 + b"]" * 99, "nested too deep in root.json (expected at most 32 levels)"),
        (
            b" " * (LIMITS.trust_root_bytes + 1),
            "too long in root.json (expected at most 1048576 bytes, got 1048577)",
        ),
        (
            {"mediaType": domain.TRUST_CONFIG},
            "member is missing in root.json (expected signingConfig)",
        ),
        (
            {"mediaType": domain.TRUST_CONFIG, "trustedRoot": 1, "signingConfig": {}},
            "wrong type in root.json: trustedRoot (expected an object, got an integer)",
        ),
        (
            {
                "mediaType": domain.FETCHED,
                "instance": "x",
                "fetchedAt": "2026-01-01T00:00:00Z",
                "clientTrustConfig": [],
            },
            "wrong type in root.json: clientTrustConfig (expected an object, got an array)",
        ),
    ],
)
def test_says_what_is_no_trust_root(value: object, said: str) -> None:
    assert refusal(value) == f"not a trust root: {said}"


# --- whose file ------------------------------------------------------------------------------


@pytest.fixture
def file(config: str, tmp_path: Path) -> Path:
    path = tmp_path / "root.json"
    path.write_text(config)
    return path


def loading(path: Path) -> str:
    with pytest.raises(UndecidedError) as caught:
        load_trust_root(path)
    return caught.value.sentence()


def test_a_file_that_others_can_write_is_not_read(file: Path) -> None:
    file.chmod(0o666)
    said = f"trust root can be written by others than its owner in {file} (got mode 0666)"
    assert loading(file) == said


def test_nor_one_in_a_folder_that_others_can_write(file: Path) -> None:
    file.parent.chmod(0o777)
    assert loading(file) == (
        f"folder can be written by others than its owner in {file.parent} (got mode 0777)"
    )


def test_a_pipe_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "root.json")
    assert loading(tmp_path / "root.json") == f"not a regular file in {tmp_path / 'root.json'}"


def test_a_file_of_ten_mebibytes_is_not_read_to_its_end(file: Path) -> None:
    with file.open("ab") as opened:
        opened.truncate(10 * 1024 * 1024)
    assert loading(file) == f"too long in {file} (expected at most 1048576 bytes)"


def test_one_from_the_future_would_never_be_old(
    config: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(ahead: timedelta) -> None:
        moment = (datetime.now(UTC) + ahead).replace(microsecond=0)
        file.write_bytes(encode_fetched(config, instance="x", fetched_at=moment))

    write(timedelta(hours=1))  # clocks differ
    load_trust_root(file)
    write(timedelta(days=9))
    assert loading(file).startswith(f"the trust root is from the future in {file} (got 20")
    # without the check
    monkeypatch.setattr(adapter, "_CLOCKS_DIFFER", timedelta(days=10))
    assert load_trust_root(file).age_days(datetime.now(UTC)) == 0


def test_nor_may_a_file_without_a_date_be(file: Path) -> None:
    ahead = datetime.now(UTC).timestamp() + 9 * 86_400
    os.utime(file, (ahead, ahead))
    assert loading(file).startswith("the trust root is from the future")


def test_one_that_came_with_the_package_judges_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judging = JudgingRoot(lambda: load_trust_root(file), file.parent)
    with pytest.raises(UndecidedError) as caught:
        judging()
    assert caught.value.sentence() == (
        f"the trust root lies in the package that it is to judge in {file}"
    )
    assert judging.root is None
    # without the check
    monkeypatch.setattr(adapter, "require_outside", lambda *_: None)
    assert judging() is judging.root


def test_a_link_to_nothing_is_an_error_and_does_not_fall_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither to the system's trust root nor, to sign, to the public instance."""
    system = tmp_path / "system.json"
    system.touch()
    monkeypatch.setattr(adapter, "SYSTEM", system)
    own = tmp_path / "infwasi" / "trust-root.json"
    variables = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert find_trust_root(variables) == system
    own.parent.mkdir()
    own.symlink_to("gone.json")
    assert find_trust_root(variables) == own
    assert loading(own) == f"cannot read {own} (got no such file or directory)"


def test_where_nobody_can_look_is_not_the_public_instance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what was meant for a private log would stand in the public one."""

    def fetched(*_: object, **__: object) -> bytes:
        raise AssertionError("fetched the public instance's")

    monkeypatch.setattr(trust_fetch, "fetch_trust_root", fetched)
    monkeypatch.setattr(adapter, "SYSTEM", tmp_path / "none.json")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/" + "x" * 256)  # a name longer than any can be
    with pytest.raises(UndecidedError) as caught:
        _signing_root(None, NOW)
    assert str(caught.value).endswith("/infwasi/trust-root.json (got file name too long)")
    # without an error, the public one is meant
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(AssertionError, match="the public instance's"):
        _signing_root(None, NOW)


def test_it_is_read_once(file: Path, tmp_path: Path) -> None:
    read: list[Path] = []

    def load() -> TrustRoot:
        read.append(file)
        return load_trust_root(file)

    judging = JudgingRoot(load, tmp_path / "package")
    assert judging() is judging()
    assert len(read) == 1


def test_without_the_check_of_lists_nobody_is_missed(
    config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the empty lists: the parser alone stops them."""
    root = json.loads(config)["trustedRoot"]
    root["tlogs"] = []
    with pytest.raises(UndecidedError):
        parsed(root)
    monkeypatch.setattr(domain, "parse_authorities", lambda _: ())
    assert parsed(root).authorities == ()


def test_the_parser_of_lists_raises_only_its_own_error() -> None:
    values: tuple[JsonValue, ...] = (None, 1, "x", [], {}, {"mediaType": 1})
    for value in values:
        with pytest.raises(MalformedError):
            parse_authorities(Cursor(value, "trustedRoot"))
