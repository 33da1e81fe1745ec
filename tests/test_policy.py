"""What a policy says to a statement: names, times at the edges, imports, digests."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.facts import SIGNER_NAMES
from infwasi_sign.domain.interfaces import APP_IMPORTS
from infwasi_sign.domain.manifest import Manifest
from infwasi_sign.domain.policy import (
    CLOCK_SKEW,
    DirectoryNamed,
    NamedPackage,
    Policy,
    decide_claims,
    decide_measured,
    without_thresholds,
)
from infwasi_sign.domain.rules import CountAtLeast, Holds, OneOf, Rule
from infwasi_sign.errors import RefusalKind, RefusedError
from tests.manifest_samples import MANIFEST

ISSUED = datetime(2026, 1, 1, tzinfo=UTC)
EXPIRES = datetime(2027, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DATED = replace(MANIFEST, issued_at=ISSUED, expires_at=EXPIRES)
ANY_TIME = datetime(2026, 6, 1, tzinfo=UTC)
NAMED = NamedPackage(name="capital")


def refusal(
    package: NamedPackage | DirectoryNamed, manifest: Manifest, now: datetime
) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        decide_claims(Policy(package=package), manifest, now)
    return caught.value


def test_who_is_about_to_sign_is_held_to_all_rules_but_thresholds() -> None:
    def rule(test: OneOf | CountAtLeast | Holds) -> Rule:
        return Rule(name="x", fact=SIGNER_NAMES, test=test, place="policy.toml:1")

    names = rule(OneOf(values=("release",)))
    said = rule(Holds(text="x", facts=(SIGNER_NAMES,), evaluate=lambda _: False))
    policy = Policy(package=NAMED, rules=(rule(CountAtLeast(number=2)), names, said))
    assert without_thresholds(policy).rules == (names, said)


def test_clocks_may_differ_by_five_minutes() -> None:
    assert timedelta(minutes=5) == CLOCK_SKEW


@pytest.mark.parametrize(
    "now", [ISSUED - CLOCK_SKEW, ISSUED, ANY_TIME, EXPIRES, EXPIRES + CLOCK_SKEW]
)
def test_accepts_up_to_the_edges_of_the_skew(now: datetime) -> None:
    decide_claims(Policy(package=NAMED), DATED, now)


def test_refuses_a_manifest_one_second_further_in_the_future() -> None:
    error = refusal(NAMED, DATED, ISSUED - CLOCK_SKEW - SECOND)
    assert error.kind is RefusalKind.POLICY
    assert str(error) == (
        "the manifest is from the future in issuedAt "
        "(expected at most 2025-12-31T23:59:59Z, got 2026-01-01T00:00:00Z)"
    )
    assert error.hint == "check the clock of this machine"


def test_refuses_a_manifest_one_second_past_its_expiry() -> None:
    error = refusal(NAMED, DATED, EXPIRES + CLOCK_SKEW + SECOND)
    assert error.kind is RefusalKind.EXPIRED
    assert str(error) == (
        "the manifest has expired in expiresAt "
        "(expected after 2027-01-01T00:00:01Z, got 2027-01-01T00:00:00Z)"
    )
    assert error.hint == "ask its publisher for a newer package"


def test_a_manifest_without_expiry_never_expires() -> None:
    never = replace(DATED, expires_at=None)
    decide_claims(Policy(package=NAMED), never, datetime(9999, 12, 31, tzinfo=UTC) - CLOCK_SKEW)


@pytest.mark.parametrize("name", ["capital", "capital-1.0.0"])
def test_a_directory_is_named_by_package_alone_or_with_version(name: str) -> None:
    decide_claims(Policy(package=DirectoryNamed(directory=name)), DATED, ANY_TIME)


@pytest.mark.parametrize(
    "name",
    ["", "capita", "capital-1.0", "capital-1.0.0-", "capital-1.0.1", "Capital", "capital_1.0.0"],
)
def test_refuses_a_directory_of_another_name(name: str) -> None:
    error = refusal(DirectoryNamed(directory=name), DATED, ANY_TIME)
    assert error.kind is RefusalKind.POLICY
    assert str(error) == (
        f"the manifest is of another package in package.name (expected {name}, got capital 1.0.0)"
    )
    assert error.hint == "if capital is what you want, say --name capital"


@pytest.mark.parametrize("name", ["capital-1.0.0", "other", ""])
def test_refuses_another_name_than_was_asked_for(name: str) -> None:
    assert refusal(NamedPackage(name=name), DATED, ANY_TIME).kind is RefusalKind.POLICY


def test_the_name_is_looked_at_before_the_time() -> None:
    late = EXPIRES + timedelta(days=99)
    assert refusal(NamedPackage(name="other"), DATED, late).kind is RefusalKind.POLICY


def test_refuses_imports_that_no_guest_is_granted() -> None:
    surplus = ("wasi:filesystem/types@0.2.0", "wasi:clocks/wall-clock@0.2.0")
    imports = tuple(sorted({*APP_IMPORTS, *surplus}))
    greedy = replace(DATED, component=replace(DATED.component, imports=imports))
    error = refusal(NAMED, greedy, ANY_TIME)
    assert error.kind is RefusalKind.POLICY
    assert str(error) == (
        "the component imports what no guest is granted in component.imports "
        "(got wasi:clocks/wall-clock@0.2.0, wasi:filesystem/types@0.2.0)"
    )


def test_demanded_digests_must_have_been_computed() -> None:
    both = Policy(package=NAMED, digests=frozenset(Algorithm))
    decide_measured(both.digests, frozenset(Algorithm))
    decide_measured(Policy(package=NAMED).digests, frozenset(Algorithm))
    with pytest.raises(RefusedError) as caught:
        decide_measured(both.digests, frozenset({Algorithm.BLAKE3}))
    assert caught.value.kind is RefusalKind.POLICY
    assert str(caught.value) == (
        "a demanded digest was not computed (expected blake3, sha256, got without sha256)"
    )
