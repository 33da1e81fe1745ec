"""Signers with certificates: who is believed, and each way to pretend with its exact answer."""

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from infwasi_sign.adapters import certificate_chain, certificates
from infwasi_sign.adapters.certificate_chain import parse_certificate
from infwasi_sign.adapters.certificates import require_code_signing, verify_certificate
from infwasi_sign.domain.certified import CertificateTrust, CertifiedSigner, TimestampRule
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError, UndecidedError
from tests.certificate_authority import (
    AHEAD,
    CODE_SIGNING,
    DAY,
    IDENTITY,
    ISSUING_CA,
    MONTHS,
    NOT_A_CA,
    NOW,
    OTHER_ROOT,
    OTHER_TIME_ROOT,
    OVER,
    RELEASE,
    ROOT_CA,
    SIGNS,
    TIME,
    TIME_ROOT,
    YEARS,
    Issued,
    alternative,
    ca,
    certify,
    common_name,
    email,
    leaf,
    p256,
    rsa_key,
    stamper,
    trusting,
    usage,
    with_sha1,
)
from tests.conftest import ROOT
from tests.key_support import openssl, spki

SIGNED = b"DSSEv1 28 application/vnd.in-toto+json 2 {}"
NAME = "release"
SIGNER, SIGNATURE, EXPIRED = RefusalKind.SIGNER, RefusalKind.SIGNATURE, RefusalKind.EXPIRED


@dataclass(frozen=True)
class Delivery:
    """What comes with a package that was signed with a certificate."""

    own: Issued = RELEASE
    chain: tuple[Issued, ...] = (ISSUING_CA,)
    signature: bytes = b""
    timestamps: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "signature", self.signature or self.own.sign(SIGNED))


def signer_of(
    delivery: Delivery, trust: CertificateTrust | None = None, now: datetime = NOW
) -> CertifiedSigner:
    return verify_certificate(
        leaf=delivery.own.der,
        chain=tuple(one.der for one in delivery.chain),
        signature=delivery.signature,
        signed=SIGNED,
        timestamps=delivery.timestamps,
        trust=trust or trusting(),
        now=now,
    )


def refusal(
    delivery: Delivery, trust: CertificateTrust | None = None, now: datetime = NOW
) -> tuple[RefusalKind, str]:
    with pytest.raises(RefusedError) as caught:
        signer_of(delivery, trust, now)
    return caught.value.kind, str(caught.value)


def stamped(delivery: Delivery, *times: datetime) -> Delivery:
    """The delivery with a timestamp of each time."""
    stamps = tuple(TIME.stamp(delivery.signature, at) for at in times)
    return replace(delivery, timestamps=stamps)


# --- who is believed ---------------------------------------------------------------------------


def test_signer_is_the_one_whom_the_ca_certified() -> None:
    assert signer_of(Delivery()) == CertifiedSigner(
        name="release",
        identity=IDENTITY,
        fingerprint=hashlib.sha256(spki(p256("CN=Release"))).hexdigest(),
        certificate=hashlib.sha256(RELEASE.der).hexdigest(),
        algorithm="ecdsa-p256-sha256",
        signed_at=None,
    )


def test_intermediates_may_come_from_the_policy_instead() -> None:
    trust = trusting(intermediates=(ISSUING_CA,))
    assert signer_of(Delivery(chain=()), trust) == signer_of(Delivery())


def test_an_intermediate_may_be_what_is_trusted() -> None:
    assert signer_of(Delivery(chain=()), trusting(roots=(ISSUING_CA,))).name == NAME


def test_a_root_that_comes_along_does_no_harm() -> None:
    assert signer_of(Delivery(chain=(ISSUING_CA, ROOT_CA))).name == NAME


def test_a_leaf_may_have_p384_and_a_ca_rsa() -> None:
    root = ca("RSA Root", key=rsa_key(2048))
    own = leaf(root, key=ec.generate_private_key(ec.SECP384R1()))
    found = signer_of(Delivery(own, ()), trusting(roots=(root,)))
    assert found.algorithm == "ecdsa-p384-sha384"


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        (x509.RFC822Name("a@example.com"), "a@example.com"),
        (x509.UniformResourceIdentifier("spiffe://example.com/ci"), "spiffe://example.com/ci"),
        (x509.UniformResourceIdentifier("mailto:a@example.com"), "mailto:a@example.com"),
        (x509.DNSName("ci.example.com"), "ci.example.com"),
    ],
)
def test_identity_is_a_subject_alternative_name(name: x509.GeneralName, identity: str) -> None:
    own = leaf(ISSUING_CA, names=(alternative(name),))
    assert signer_of(Delivery(own), trusting(identity=identity)).identity == identity


def test_one_of_two_names_is_enough() -> None:
    names = alternative(x509.RFC822Name("old@example.com"), x509.RFC822Name(IDENTITY))
    assert signer_of(Delivery(leaf(ISSUING_CA, names=(names,)))).identity == IDENTITY


def test_common_name_counts_without_any_alternative() -> None:
    own = leaf(ISSUING_CA, "Release Team", names=())
    assert signer_of(Delivery(own), trusting(identity="Release Team")).identity == "Release Team"


def test_certificate_is_valid_on_its_first_and_its_last_second() -> None:
    assert signer_of(Delivery(), now=MONTHS[0]).name == NAME
    assert signer_of(Delivery(), now=MONTHS[1]).name == NAME


def test_ca_without_key_usage_is_believed_as_rfc_5280_has_it() -> None:
    root = certify("Bare Root", None, ((x509.BasicConstraints(ca=True, path_length=None), True),))
    assert signer_of(Delivery(leaf(root), ()), trusting(roots=(root,))).name == NAME


def test_names_that_a_ca_may_certify_are_believed() -> None:
    constraint = x509.NameConstraints([x509.RFC822Name("example.com")], None)
    issuer = ca("Constrained", ROOT_CA, more=((constraint, True),))
    assert signer_of(Delivery(leaf(issuer), (issuer,))).name == NAME


# --- the time ----------------------------------------------------------------------------------


def test_a_timestamp_keeps_the_signature_after_the_certificate_expired() -> None:
    delivery = stamped(Delivery(), NOW)
    assert signer_of(delivery, now=NOW + 1000 * DAY).signed_at == NOW
    assert signer_of(delivery, trusting(rule=TimestampRule.REQUIRED)).signed_at == NOW


def test_of_two_timestamps_the_earlier_says_when() -> None:
    other = stamper(TIME_ROOT, "Other Timestamps")
    delivery = Delivery()
    stamps = (
        TIME.stamp(delivery.signature, NOW - DAY),
        other.stamp(delivery.signature, NOW - 2 * DAY),
    )
    found = signer_of(replace(delivery, timestamps=stamps))
    assert found.signed_at == NOW - 2 * DAY


def test_timestamps_say_nothing_to_a_policy_without_timestamp_roots() -> None:
    trust = trusting(timestamp_roots=())
    delivery = replace(Delivery(), timestamps=(b"whatever",))
    assert signer_of(delivery, trust).signed_at is None
    delivery = stamped(Delivery(), NOW)
    assert refusal(delivery, trust, NOW + 100 * DAY)[0] is EXPIRED


def test_refuses_certificate_that_expired_without_timestamp() -> None:
    assert refusal(Delivery(leaf(ISSUING_CA, span=OVER))) == (
        EXPIRED,
        "the certificate has expired in certificate 'CN=Release' (expected 2026-09-03T12:00:00Z "
        "to 2026-10-23T12:00:00Z, got 2026-11-02T12:00:00Z, now)",
    )


def test_refuses_certificate_that_is_not_valid_yet() -> None:
    assert refusal(Delivery(leaf(ISSUING_CA, span=AHEAD))) == (
        EXPIRED,
        "the certificate is not valid yet in certificate 'CN=Release' (expected "
        "2026-11-12T12:00:00Z to 2027-01-01T12:00:00Z, got 2026-11-02T12:00:00Z, now)",
    )


def test_refuses_chain_whose_ca_expired() -> None:
    issuer = ca("Old CA", ROOT_CA, span=OVER)
    assert refusal(Delivery(leaf(issuer), (issuer,))) == (
        EXPIRED,
        "the certificate has expired in certificate 'CN=Old CA' (expected 2026-09-03T12:00:00Z "
        "to 2026-10-23T12:00:00Z, got 2026-11-02T12:00:00Z, now)",
    )


def test_refuses_chain_whose_root_expired() -> None:
    root = ca("Old Root", span=OVER)
    kind, message = refusal(Delivery(leaf(root), ()), trusting(roots=(root,)))
    assert (kind, message[:57]) == (
        EXPIRED,
        "the certificate has expired in certificate 'CN=Old Root' ",
    )


@pytest.mark.parametrize(
    ("at", "claim"),
    [(MONTHS[0] - DAY, "is not valid yet"), (MONTHS[1] + DAY, "has expired")],
)
def test_refuses_timestamp_outside_of_the_certificates_time(at: datetime, claim: str) -> None:
    delivery = stamped(Delivery(), at)
    kind, message = refusal(delivery, now=MONTHS[1] + 2 * DAY)
    assert (kind, message) == (
        EXPIRED,
        f"the certificate {claim} in certificate 'CN=Release' (expected 2026-09-03T12:00:00Z to "
        f"2027-01-01T12:00:00Z, got {at:%Y-%m-%dT%H:%M:%SZ}, at the time of its timestamp)",
    )


def test_refuses_when_one_of_two_timestamps_is_outside() -> None:
    delivery = stamped(Delivery(), NOW)
    late = stamper(TIME_ROOT, "Late Timestamps").stamp(delivery.signature, MONTHS[1] + DAY)
    delivery = replace(delivery, timestamps=(*delivery.timestamps, late))
    assert refusal(delivery, now=MONTHS[1] + 2 * DAY)[0] is EXPIRED


def test_refuses_stripped_timestamp_where_one_is_required() -> None:
    assert refusal(Delivery(), trusting(rule=TimestampRule.REQUIRED)) == (
        SIGNATURE,
        "the signature has no timestamp, and the policy requires one",
    )


def test_refuses_stripped_timestamp_after_the_certificate_expired() -> None:
    assert refusal(Delivery(), now=NOW + 100 * DAY)[0] is EXPIRED


def test_refuses_the_same_timestamp_twice() -> None:
    delivery = stamped(Delivery(), NOW, NOW)
    assert refusal(delivery) == (SIGNATURE, "a timestamp stands there twice")


def test_refuses_any_timestamp_that_does_not_verify_beside_a_good_one() -> None:
    delivery = stamped(Delivery(), NOW)
    other = stamper(OTHER_TIME_ROOT, "Stranger").stamp(delivery.signature)
    delivery = replace(delivery, timestamps=(*delivery.timestamps, other))
    assert refusal(delivery)[0] is SIGNATURE


# --- another CA, another certificate -----------------------------------------------------------

NO_ISSUER = "none of the given certificates is its issuer's"


def leads_nowhere(reason: str, name: str = "Release") -> tuple[RefusalKind, str]:
    return SIGNER, (
        f"the certificate leads to no trusted root in certificate 'CN={name}' (got {reason})"
    )


def test_refuses_certificate_of_another_ca() -> None:
    assert refusal(Delivery(leaf(OTHER_ROOT), (OTHER_ROOT,))) == leads_nowhere(NO_ISSUER)


def test_refuses_ca_of_the_same_name_with_another_key() -> None:
    impostor = ca("Example Root", key=p256("impostor"))
    delivery = Delivery(leaf(impostor), (impostor,))
    assert refusal(delivery) == leads_nowhere("signature does not match")


def test_refuses_root_that_comes_with_the_package() -> None:
    issuer = ca("Their CA", OTHER_ROOT)
    delivery = Delivery(leaf(issuer), (issuer, OTHER_ROOT))
    assert refusal(delivery) == leads_nowhere(NO_ISSUER)


def test_refuses_root_that_stands_among_the_intermediates_of_the_policy() -> None:
    trust = trusting(intermediates=(OTHER_ROOT,))
    assert refusal(Delivery(leaf(OTHER_ROOT), ()), trust) == leads_nowhere(NO_ISSUER)


def test_refuses_self_signed_leaf() -> None:
    assert refusal(Delivery(leaf(None), ())) == leads_nowhere(NO_ISSUER)


def test_refuses_chain_without_its_intermediate() -> None:
    assert refusal(Delivery(chain=())) == leads_nowhere(NO_ISSUER)


def test_refuses_leaf_as_issuer() -> None:
    own = leaf(RELEASE, "Sub-release")
    delivery = Delivery(own, (RELEASE, ISSUING_CA))
    assert refusal(delivery) == leads_nowhere(
        "basicConstraints.cA must be asserted in a CA certificate", "Sub-release"
    )


def test_refuses_longer_path_than_the_ca_may_have() -> None:
    below = ca("Below", ISSUING_CA)
    delivery = Delivery(leaf(below), (below, ISSUING_CA))
    assert refusal(delivery) == leads_nowhere("path length constraint violated")


def test_refuses_ca_that_may_not_certify() -> None:
    constraint = (x509.BasicConstraints(ca=True, path_length=None), True)
    issuer = certify("Weak CA", ROOT_CA, (constraint, usage(signs=True)))
    assert refusal(Delivery(leaf(issuer), (issuer,))) == leads_nowhere(
        "keyUsage of an issuer lacks keyCertSign"
    )


def test_refuses_ca_that_is_for_servers_only() -> None:
    servers = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    issuer = ca("Server CA", ROOT_CA, more=((servers, False),))
    assert refusal(Delivery(leaf(issuer), (issuer,))) == leads_nowhere(
        "extendedKeyUsage of an issuer lacks 1.3.6.1.5.5.7.3.3"
    )


@pytest.mark.parametrize(
    ("constraint", "is_critical", "reason"),
    [
        (x509.RFC822Name("example.org"), True, "no permitted name constraints matched SAN"),
        (x509.RFC822Name("example.org"), False, "no permitted name constraints matched SAN"),
        (
            x509.UniformResourceIdentifier("example.com"),
            False,
            "nameConstraints of an issuer are of an unsupported kind",
        ),
        (
            x509.DirectoryName(common_name("Somebody")),
            False,
            "nameConstraints of an issuer are of an unsupported kind",
        ),
    ],
)
def test_refuses_names_that_the_ca_may_not_certify(
    constraint: x509.GeneralName, is_critical: bool, reason: str
) -> None:
    constraints = x509.NameConstraints([constraint], None)
    issuer = ca("Constrained", ROOT_CA, more=((constraints, is_critical),))
    assert refusal(Delivery(leaf(issuer), (issuer,))) == leads_nowhere(reason)


def test_refuses_common_name_below_a_ca_that_constrains_names() -> None:
    constraints = x509.NameConstraints([x509.DNSName("example.org")], None)
    issuer = ca("Constrained", ROOT_CA, more=((constraints, True),))
    own = leaf(issuer, "ci.example.com", names=())
    assert refusal(Delivery(own, (issuer,)), trusting(identity="ci.example.com")) == (
        SIGNER,
        "the certificate is that of somebody else in certificate 'CN=ci.example.com' "
        "(expected 'ci.example.com', got no name that counts)",
    )


def test_refuses_critical_extension_that_nobody_knows() -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\0")
    own = leaf(ISSUING_CA, more=(NOT_A_CA, (unknown, True)))
    assert refusal(Delivery(own)) == leads_nowhere(
        "invalid extension: 1.2.3.4: certificate contains unaccounted-for critical extensions"
    )


# --- a certificate that is not for signing code ------------------------------------------------

SERVER = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
ANY = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), False)
CA_LEAF = (x509.BasicConstraints(ca=True, path_length=None), True)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (
            leaf(ISSUING_CA, usages=(SIGNS,)),
            "the certificate is not for signing code in certificate 'CN=Release' "
            "(expected extendedKeyUsage 1.3.6.1.5.5.7.3.3, got none)",
        ),
        (
            leaf(ISSUING_CA, usages=(SIGNS, SERVER)),
            "the certificate is not for signing code in certificate 'CN=Release' "
            "(expected extendedKeyUsage 1.3.6.1.5.5.7.3.3, got '1.3.6.1.5.5.7.3.1')",
        ),
        (
            leaf(ISSUING_CA, usages=(SIGNS, ANY)),
            "the certificate is not for signing code in certificate 'CN=Release' "
            "(expected extendedKeyUsage 1.3.6.1.5.5.7.3.3, got '2.5.29.37.0')",
        ),
        (
            leaf(ISSUING_CA, usages=(CODE_SIGNING,)),
            "the certificate has no keyUsage digitalSignature in certificate 'CN=Release'",
        ),
        (
            leaf(ISSUING_CA, usages=(usage(), CODE_SIGNING)),
            "the certificate has no keyUsage digitalSignature in certificate 'CN=Release'",
        ),
        (
            leaf(
                ISSUING_CA,
                usages=(usage(signs=True, certifies=True), CODE_SIGNING),
                more=(CA_LEAF,),
            ),
            "the certificate is that of a CA in certificate 'CN=Release'",
        ),
        (
            leaf(ISSUING_CA, key=rsa_key(2048)),
            "the certificate's key is not supported in certificate 'CN=Release' "
            "(expected P-256 or P-384)",
        ),
        (
            leaf(ISSUING_CA, key=rsa_key(1024)),
            "the certificate's key is not supported in certificate 'CN=Release' "
            "(expected P-256 or P-384)",
        ),
        (
            leaf(ISSUING_CA, key=ec.generate_private_key(ec.SECP521R1())),
            "the certificate's key is not supported in certificate 'CN=Release' "
            "(expected P-256 or P-384)",
        ),
    ],
    ids=["no-eku", "server-eku", "any-eku", "no-usage", "empty-usage", "ca", "rsa", "weak", "p521"],
)
def test_refuses_certificate_that_is_not_for_signing_code(own: Issued, message: str) -> None:
    assert refusal(replace(Delivery(), own=own)) == (SIGNER, message)


@pytest.mark.parametrize("certifies", [True, False])
def test_a_leaf_that_calls_itself_a_ca_is_borne_where_it_can_issue_nothing_and_was_asked_for(
    certifies: bool,
) -> None:
    """For models from elsewhere (`infwasi verify --oms`); a package of ours never asks for it."""
    own = leaf(
        ISSUING_CA, usages=(usage(signs=True, certifies=certifies), CODE_SIGNING), more=(CA_LEAF,)
    )
    holder = parse_certificate(own.der, where="certificate")
    for allows in (False, True):
        if allows and not certifies:
            assert require_code_signing(holder, allows_idle_ca=allows)
        else:
            with pytest.raises(RefusedError, match="the certificate is that of a CA"):
                require_code_signing(holder, allows_idle_ca=allows)


def test_refuses_ed25519_key() -> None:
    own = leaf(ISSUING_CA, key=ed25519.Ed25519PrivateKey.generate())
    assert refusal(replace(Delivery(), own=own))[1] == (
        "the certificate's key is not supported in certificate 'CN=Release' "
        "(expected P-256 or P-384)"
    )


# --- weak signatures in the chain --------------------------------------------------------------


def test_refuses_chain_signed_with_sha1() -> None:
    root = ca("RSA Root", key=rsa_key(2048))
    own = leaf(root)
    trust = trusting(roots=(root,))
    assert signer_of(Delivery(own, ()), trust).name == NAME
    delivery = Delivery(with_sha1(own, root), ())
    assert refusal(delivery, trust) == leads_nowhere("Forbidden signature algorithm")


def test_refuses_ca_with_a_weak_rsa_key() -> None:
    issuer = ca("Weak CA", ROOT_CA, key=rsa_key(1024))
    kind, message = refusal(Delivery(leaf(issuer), (issuer,)))
    assert (kind, message) == leads_nowhere("RSA key is too weak")


def test_refuses_root_with_a_weak_rsa_key() -> None:
    root = ca("Weak Root", key=rsa_key(1024))
    assert refusal(Delivery(leaf(root), ()), trusting(roots=(root,)))[0] is SIGNER


# --- the signature -----------------------------------------------------------------------------


def test_refuses_signature_of_another_key() -> None:
    other = leaf(ISSUING_CA, "Other")
    assert refusal(replace(Delivery(), own=other)) == (
        SIGNATURE,
        "signature is not that of the certificate 'CN=Other'",
    )


def test_refuses_signature_over_something_else() -> None:
    delivery = Delivery(signature=RELEASE.sign(b"else"))
    assert refusal(delivery) == (SIGNATURE, "signature is not that of the certificate 'CN=Release'")


@given(st.binary(max_size=80))
def test_refuses_any_other_signature(signature: bytes) -> None:
    assert refusal(Delivery(signature=signature or b"\0"))[0] is SIGNATURE


# --- the identity ------------------------------------------------------------------------------


def somebody_else(name: str, got: str) -> tuple[RefusalKind, str]:
    return SIGNER, (
        f"the certificate is that of somebody else in certificate {name} "
        f"(expected 'release@example.com', got {got})"
    )


@pytest.mark.parametrize(
    "name",
    [
        "other@example.com",
        "arelease@example.com",
        "release@example.com.evil.org",
        "release@example.co",
        "Release@example.com",
        "release@EXAMPLE.com",
        "*@example.com",
        "release@example.com\0.evil.org",
        "release@example.com ",
    ],
)
def test_refuses_identity_that_only_looks_like_it(name: str) -> None:
    delivery = Delivery(leaf(ISSUING_CA, names=(email(name),)))
    assert refusal(delivery) == somebody_else("'CN=Release'", ascii(name))


def test_refuses_two_names_of_others() -> None:
    names = alternative(x509.RFC822Name("a@example.com"), x509.DNSName("b.example.com"))
    assert refusal(Delivery(leaf(ISSUING_CA, names=(names,)))) == somebody_else(
        "'CN=Release'", "'a@example.com', 'b.example.com'"
    )


@pytest.mark.parametrize("name", [x509.UniformResourceIdentifier(IDENTITY), x509.DNSName(IDENTITY)])
def test_refuses_identity_under_another_kind_of_name(name: x509.GeneralName) -> None:
    own = leaf(ISSUING_CA, names=(alternative(name),))
    assert refusal(Delivery(own)) == somebody_else("'CN=Release'", ascii(IDENTITY))


def test_refuses_common_name_beside_an_alternative() -> None:
    own = leaf(ISSUING_CA, IDENTITY, names=(email("other@example.com"),))
    assert refusal(Delivery(own)) == somebody_else(
        "'CN=release@example.com'", "'other@example.com'"
    )
    own = leaf(ISSUING_CA, IDENTITY, names=(alternative(x509.RegisteredID(NameOID.USER_ID)),))
    assert refusal(Delivery(own)) == somebody_else(
        "'CN=release@example.com'", "no name that counts"
    )


def test_refuses_two_common_names() -> None:
    own = leaf(ISSUING_CA, common_name(IDENTITY, "other"), names=())
    assert refusal(Delivery(own))[0] is SIGNER


# --- bytes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "der", [b"", b"\0", RELEASE.der[:-1], RELEASE.der + b"\0", b"\x30\x80" + RELEASE.der[4:]]
)
def test_refuses_certificate_that_cannot_be_read(der: bytes) -> None:
    for own, chain, where in ((der, (), "certificate"), (RELEASE.der, (der,), "chain[0]")):
        with pytest.raises(MalformedError) as caught:
            verify_certificate(
                leaf=own,
                chain=chain,
                signature=b"",
                signed=b"",
                timestamps=(),
                trust=trusting(),
                now=NOW,
            )
        assert str(caught.value) == f"not a certificate that can be read in {where}"


def test_refuses_huge_certificate() -> None:
    filler = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), bytes(70_000))
    own = leaf(ISSUING_CA, more=((filler, False),))
    assert refusal(Delivery(own)) == (
        RefusalKind.MALFORMED,
        "certificate is too long in certificate "
        f"(expected at most 65536 bytes, got {len(own.der)})",
    )


def test_refuses_too_many() -> None:
    assert refusal(Delivery(chain=(ISSUING_CA,) * 9)) == (
        RefusalKind.MALFORMED,
        "too many certificates in the chain (expected at most 8, got 9)",
    )
    assert refusal(Delivery(timestamps=(b"x",) * 33)) == (
        RefusalKind.MALFORMED,
        "too many timestamps (expected at most 32, got 33)",
    )


def test_certificates_that_issue_each_other_are_no_maze() -> None:
    """Eight of two names have 4**8 paths; the library gives up after some signatures."""
    this, that = ca("This"), ca("That")
    maze = (*(ca("This", that) for _ in range(4)), *(ca("That", this) for _ in range(4)))
    assert refusal(Delivery(leaf(this), maze)) == leads_nowhere(
        "Exceeded maximum signature check limit"
    )


def test_names_of_others_are_shown_safely() -> None:
    own = leaf(OTHER_ROOT, "\x1b[31mred\nline" + "x" * 40)
    message = refusal(Delivery(own, ()))[1]
    assert message.isascii()
    assert message.isprintable()


# --- the policy's side -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trust", "message"),
    [
        (
            trusting(identity=""),
            "not an identity in signer 'release' (expected exactly one email address, URI or DNS "
            "name, without a wildcard, got '')",
        ),
        (
            trusting(identity="release\u200b@example.com"),
            "not an identity in signer 'release' (expected exactly one email address, URI or DNS "
            "name, without a wildcard, got 'release\\u200b@example.com')",
        ),
        (
            trusting(identity="*@example.com"),
            "not an identity in signer 'release' (expected exactly one email address, URI or DNS "
            "name, without a wildcard, got '*@example.com')",
        ),
        (trusting(roots=()), "no root is trusted in signer 'release'"),
        (
            trusting(timestamp_roots=(), rule=TimestampRule.REQUIRED),
            "a timestamp is required, and no timestamp authority is trusted in signer 'release'",
        ),
        (
            trusting(roots=(RELEASE,)),
            "not the certificate of a CA in signer 'release': roots[0] (got 'CN=Release')",
        ),
        (
            trusting(timestamp_roots=(ISSUING_CA,)),
            "not a self-signed root in signer 'release': timestamp roots[0] "
            "(got 'CN=Example Issuing CA')",
        ),
        (
            replace(trusting(), roots=(b"no",)),
            "not a certificate that can be read in signer 'release': roots[0]",
        ),
        (
            replace(trusting(), intermediates=(b"no",)),
            "not a certificate that can be read in signer 'release': intermediates[0]",
        ),
    ],
)
def test_unusable_policy_decides_nothing(trust: CertificateTrust, message: str) -> None:
    with pytest.raises(UndecidedError) as caught:
        signer_of(Delivery(), trust)
    assert str(caught.value) == message


# --- another opinion, and what we assume of others ---------------------------------------------


@pytest.mark.parametrize(
    ("chain", "own", "is_good"),
    [
        ((ISSUING_CA,), RELEASE, True),
        ((), RELEASE, False),
        ((OTHER_ROOT,), leaf(OTHER_ROOT), False),
        ((ISSUING_CA,), leaf(ISSUING_CA, span=OVER), False),
        ((ISSUING_CA,), leaf(ISSUING_CA, span=AHEAD), False),
        ((RELEASE, ISSUING_CA), leaf(RELEASE, "Sub-release"), False),
    ],
    ids=["good", "no-intermediate", "other-ca", "expired", "early", "leaf-as-ca"],
)
def test_openssl_agrees(
    chain: Sequence[Issued], own: Issued, is_good: bool, tmp_path: Path
) -> None:
    files = {"root": [ROOT_CA], "between": chain or [ROOT_CA], "own": [own]}
    for name, found in files.items():
        (tmp_path / name).write_bytes(b"".join(one.pem for one in found))
    done = subprocess.run(
        [
            *("openssl", "verify", "-attime", f"{NOW.timestamp():.0f}"),
            *("-CAfile", tmp_path / "root", "-untrusted", tmp_path / "between", tmp_path / "own"),
        ],
        capture_output=True,
        check=False,
    )
    ours = True
    try:
        signer_of(Delivery(own, tuple(chain)))
    except RefusedError:
        ours = False
    assert (done.returncode == 0, ours) == (is_good, is_good)


def test_openssl_reads_the_same_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "own").write_bytes(RELEASE.pem)
    text = openssl("x509", "-in", tmp_path / "own", "-noout", "-fingerprint", "-sha256")
    found = text.decode().split("=")[1].strip().replace(":", "").lower()
    assert found == signer_of(Delivery()).certificate


def test_verification_without_timestamps_imports_no_timestamps() -> None:
    code = "import sys, infwasi_sign.adapters.certificates; print('rfc3161_client' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "False"


# --- each check, switched off ------------------------------------------------------------------


def nothing(*_: object, **__: object) -> None:
    """A check that never says no."""


def any_chain(own: object, *_: object, **__: object) -> tuple[object, ...]:
    return (own,)


WRONG_USE = leaf(ISSUING_CA, usages=(SIGNS, SERVER))
SERVER_CA = ca("Server CA", ROOT_CA, more=(SERVER,))


@pytest.mark.parametrize(
    ("where", "name", "instead", "attack"),
    [
        (certificates, "_require_made", nothing, Delivery(signature=b"\x30\0")),
        (certificates, "find_chain", any_chain, Delivery(leaf(OTHER_ROOT), (OTHER_ROOT,))),
        (certificates, "find_chain", any_chain, Delivery(leaf(ISSUING_CA, span=OVER))),
        (certificates, "require_code_signing", lambda _, **_kind: "secp256r1", Delivery(WRONG_USE)),
        (
            certificates,
            "_require_identity",
            nothing,
            Delivery(leaf(ISSUING_CA, names=(email("x@example.com"),))),
        ),
        (certificate_chain, "_refuse", nothing, Delivery(leaf(SERVER_CA), (SERVER_CA,))),
    ],
    ids=["signature", "chain", "time", "usage", "identity", "authority"],
)
def test_without_the_check_the_attack_gets_through(
    where: object, name: str, instead: object, attack: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RefusedError):
        signer_of(attack)
    monkeypatch.setattr(where, name, instead)
    assert signer_of(attack).name == "release"


def test_without_the_rule_a_stripped_timestamp_gets_through() -> None:
    with pytest.raises(RefusedError):
        signer_of(Delivery(), trusting(rule=TimestampRule.REQUIRED))
    assert signer_of(Delivery(), trusting(rule=TimestampRule.CURRENT_TIME)).name == NAME


def test_bounds_are_those_of_the_library() -> None:
    """`find_chain` sets the depth; a chain of the greatest length passes."""
    above, chain = ROOT_CA, []
    for at in range(LIMITS.certificate_chain):
        above = ca(f"Level {at}", above, span=YEARS)
        chain.append(above)
    assert signer_of(Delivery(leaf(above), tuple(chain))).name == NAME
