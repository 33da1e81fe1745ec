"""Mutators of packages under a certificate of an own authority."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache
from random import Random
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from infwasi_sign.adapters.signature_modes import TrustedSigners
from infwasi_sign.domain.bundle import Bundle, encode_bundle, parse_bundle
from infwasi_sign.domain.certified import CertificateTrust, TimestampRule
from infwasi_sign.domain.material import Certified
from tests import certificate_authority as authority
from tests.certificate_authority import Issued, Stamp
from tests.forge import MANIFEST, NOW
from tests.gym.draft import Draft, mutator
from tests.gym.vouched import certificate_trust, certified, payload_of

_ISSUER: Final = authority.ISSUING_CA
_FOR_SERVERS: Final = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
_OVER: Final = (NOW - 60 * authority.DAY, NOW - authority.DAY)
_AHEAD: Final = (NOW + authority.DAY, NOW + 60 * authority.DAY)


def _certified(draft: Draft) -> tuple[Bundle, Certified]:
    draft.become(Draft.certified(draft.honest))
    bundle = parse_bundle(draft.content(MANIFEST))
    assert isinstance(bundle.material, Certified)
    return bundle, bundle.material


def _put(draft: Draft, bundle: Bundle) -> None:
    draft.files[MANIFEST] = encode_bundle(bundle)


def _trust(draft: Draft, *trusted: CertificateTrust) -> None:
    draft.signers = TrustedSigners(certificates=trusted)


@cache
def _unsuited() -> tuple[Issued, ...]:
    """Certificates of the right name and CA with which no code is to be signed."""
    return (
        authority.leaf(_ISSUER, "A", usages=(authority.SIGNS,)),
        authority.leaf(_ISSUER, "B", usages=(authority.SIGNS, _FOR_SERVERS)),
        authority.leaf(_ISSUER, "C", usages=(authority.usage(), authority.CODE_SIGNING)),
        authority.ca(
            "D", _ISSUER, more=(authority.CODE_SIGNING, authority.email("release@example.com"))
        ),
        authority.leaf(_ISSUER, "E", key=authority.rsa_key(2048)),
    )


@cache
def _of_no_root() -> tuple[Issued, ...]:
    """Certificates of the right name that lead to no trusted root."""
    twin = authority.ca("Example Issuing CA", authority.OTHER_ROOT, key=authority.p256("twin"))
    return (
        authority.leaf(authority.OTHER_ROOT),
        authority.leaf(twin),
        authority.leaf(None),
        authority.leaf(authority.RELEASE, "Below"),
    )


@cache
def _of_others() -> tuple[Issued, ...]:
    """Genuine certificates of the same CA for somebody else."""
    names = ("mallory@example.com", "Release@example.com", "release@example.com.test", "release@x")
    return tuple(authority.leaf(_ISSUER, name, names=(authority.email(name),)) for name in names)


@cache
def _of_another_time() -> tuple[Issued, ...]:
    return (
        authority.leaf(_ISSUER, "Over", span=_OVER),
        authority.leaf(_ISSUER, "Ahead", span=_AHEAD),
    )


@cache
def second_certificate() -> Issued:
    """Another one of the release team, for another key."""
    return authority.leaf(_ISSUER, "Second", key=authority.p256("the second key"))


@mutator("certificate", 0.6)
def certificate_for_something_else(draft: Draft, rng: Random) -> None:
    _put(draft, certified(payload_of(draft.content(MANIFEST)), rng.choice(_unsuited())))
    _trust(draft, certificate_trust())


@mutator("certificate", 0.6)
def certificate_of_no_trusted_root(draft: Draft, rng: Random) -> None:
    _put(draft, certified(payload_of(draft.content(MANIFEST)), rng.choice(_of_no_root())))
    _trust(draft, certificate_trust())


@mutator("certificate", 0.6)
def certificate_of_somebody_else(draft: Draft, rng: Random) -> None:
    """The same authority certified them; or the policy means somebody of a name like it."""
    if rng.random() < 0.5:
        _put(draft, certified(payload_of(draft.content(MANIFEST)), rng.choice(_of_others())))
        _trust(draft, certificate_trust())
        return
    _certified(draft)
    near = (
        "release@example.co",
        "RELEASE@example.com",
        "Release",
        "example.com",
        "x:release@example.com",
    )
    _trust(draft, replace(certificate_trust(), identity=rng.choice(near)))


@mutator("certificate", 0.6)
def certificate_out_of_its_time(draft: Draft, rng: Random) -> None:
    """It is over, or is not valid yet: at the time of its timestamp, or now without one."""
    payload = payload_of(draft.content(MANIFEST))
    if rng.random() < 0.5:
        _put(draft, certified(payload, rng.choice(_of_another_time())))
        _trust(draft, certificate_trust())
        return
    _put(draft, certified(payload, timestamps=()))
    _trust(draft, certificate_trust(TimestampRule.CURRENT_TIME))
    draft.now = authority.MONTHS[1] + timedelta(days=rng.randrange(1, 200))


@mutator("certificate", 0.6)
def certificate_swapped(draft: Draft, rng: Random) -> None:
    """Another holder's certificate over this signature, or this one over another signature."""
    bundle, material = _certified(draft)
    second = second_certificate()
    other = authority.RELEASE.sign(rng.choice((b"", b"x", bundle.envelope.payload)))
    mine = authority.p256("mallory")
    swaps: tuple[Callable[[], Bundle], ...] = (
        lambda: replace(bundle, material=replace(material, certificate=second.der)),
        lambda: replace(bundle, envelope=replace(bundle.envelope, signature=other)),
        lambda: replace(
            bundle,
            envelope=certified(
                bundle.envelope.payload, Issued(authority.RELEASE.certificate, mine)
            ).envelope,
        ),
    )
    spoilt = rng.choice(swaps)()
    assert isinstance(spoilt.material, Certified)
    if rng.random() < 0.7:  # with a timestamp that fits
        stamp = authority.TIME.stamp(spoilt.envelope.signature, NOW)
        spoilt = replace(spoilt, material=replace(spoilt.material, timestamps=(stamp,)))
    _put(draft, spoilt)


@mutator("certificate", 1)
def timestamps_lie(draft: Draft, rng: Random) -> None:
    """None where one must be, or one that is wrong, alone or beside a good one."""
    bundle, material = _certified(draft)
    signature = bundle.envelope.signature
    (good,) = material.timestamps
    own = authority.TIME
    stranger = authority.stamper(authority.OTHER_TIME_ROOT)
    at = rng.randrange(len(good))
    lies = (
        own.stamp(signature + b"x", NOW),
        stranger.stamp(signature, NOW),
        own.answer(Stamp(signature=signature, at=NOW, status=2)),
        own.answer(Stamp(signature=signature, at=NOW, has_attributes=False)),
        own.answer(Stamp(signature=signature, at=NOW, names=b"another certificate")),
        own.stamp(signature, NOW + timedelta(days=1)),  # from the future
        own.stamp(signature, authority.MONTHS[0] - authority.DAY),
        good[:at],
        rng.randbytes(60),
    )
    chosen = rng.choice(((), (rng.choice(lies),), (good, rng.choice(lies)), (good, good)))
    _put(draft, replace(bundle, material=replace(material, timestamps=chosen)))


@mutator("certificate", 0.4)
def certificate_of_another_policy(draft: Draft, rng: Random) -> None:
    """All is genuine, and the policy trusts other roots, or other timestamp authorities."""
    _certified(draft)
    roots, stamps = (authority.OTHER_ROOT.der,), (authority.OTHER_TIME_ROOT.der,)
    trust = certificate_trust()
    _trust(
        draft,
        rng.choice(
            (
                replace(trust, roots=roots),
                replace(trust, timestamp_roots=stamps),
                replace(trust, intermediates=()),
            )
        ),
    )
