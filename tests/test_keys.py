import base64
import hashlib
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from infwasi_sign.adapters.key_files import load_private_key, write_key_pair
from infwasi_sign.adapters.keys import (
    Ecdsa,
    KeyKind,
    KeyVerifier,
    PrivateKey,
    TrustedKey,
    parse_public_key,
    sign_payload,
)
from infwasi_sign.domain.bundle import (
    PAYLOAD_TYPE,
    Bundle,
    Envelope,
    encode_bundle,
    pae,
    parse_bundle,
)
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.material import KeyHint
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError, UndecidedError
from infwasi_sign.ports import SignatureVerifier, Signer
from tests.conftest import ROOT
from tests.key_support import (
    ED25519,
    KINDS,
    OTHER_P256,
    P256,
    nobody_is_asked,
    openssl,
    spki,
    undecided,
)

PAYLOAD = b'{"_type":"https://in-toto.io/Statement/v1"}'

# --- public keys -----------------------------------------------------------------------------


def test_refuses_p256_in_another_form() -> None:
    assert isinstance(P256.secret, ec.EllipticCurvePrivateKey)
    point = P256.secret.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
    )
    header = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    assert str(undecided(lambda: parse_public_key(header + point, where="x"))) == (
        "key type is not supported in x (expected P-256 or Ed25519, "
        "got P-256 in another form than named curve and uncompressed point)"
    )


def test_refuses_a_point_beside_the_curve() -> None:
    der = bytearray(P256.public_key())
    der[-1] ^= 1
    assert str(undecided(lambda: parse_public_key(bytes(der), where="x"))) == (
        "not a point of the curve P-256 in x"
    )


@given(st.binary(max_size=100) | st.binary(max_size=80).map(P256.public_key()[:27].__add__))
def test_reading_a_public_key_raises_nothing_but_its_own_error(der: bytes) -> None:
    with pytest.raises(UndecidedError):
        parse_public_key(der, where="x")


@pytest.mark.parametrize("key", [P256, ED25519])
def test_fingerprints_are_those_of_openssl_and_ssh(key: PrivateKey) -> None:
    assert key.public.spki_der == spki(key.secret)
    assert key.public.fingerprint == hashlib.sha256(spki(key.secret)).hexdigest()
    line = key.secret.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    digest = hashlib.sha256(base64.b64decode(line.split()[1])).digest()
    assert key.public.ssh_fingerprint == "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


# --- signing and verifying -------------------------------------------------------------------


def trusting(*keys: PrivateKey) -> KeyVerifier:
    return KeyVerifier(
        [TrustedKey(name=f"key {at}", public_key=key.public) for at, key in enumerate(keys)]
    )


def forged(signature: bytes, hint_of: PrivateKey, payload: bytes = PAYLOAD) -> Bundle:
    envelope = Envelope(payload=payload, payload_type=PAYLOAD_TYPE, signature=signature)
    return Bundle(envelope=envelope, material=KeyHint(hint=hint_of.public.hint))


def refused(verifier: SignatureVerifier, bundle: Bundle, kind: RefusalKind) -> str:
    with pytest.raises(RefusedError) as caught:
        verifier.verify(bundle)
    assert caught.value.kind is kind
    return str(caught.value)


def is_refused(verifier: SignatureVerifier, bundle: Bundle) -> bool:
    try:
        verifier.verify(bundle)
    except RefusedError:
        return True
    return False


@pytest.mark.parametrize("key", [P256, ED25519])
def test_names_the_trusted_key_that_signed(key: PrivateKey) -> None:
    bundle = parse_bundle(encode_bundle(sign_payload(key, PAYLOAD)))
    assert bundle.envelope.payload == PAYLOAD
    signer = trusting(OTHER_P256, key).verify(bundle)
    assert (signer.name, signer.fingerprint) == ("key 1", key.public.fingerprint)
    assert signer.algorithm == {P256: "ecdsa-p256-sha256", ED25519: "ed25519"}[key]


@pytest.mark.parametrize("kind", KINDS)
def test_openssl_verifies_the_signature(tmp_path: Path, kind: KeyKind) -> None:
    write_key_pair(tmp_path / "a", kind, None)
    bundle = sign_payload(load_private_key(tmp_path / "a.key", nobody_is_asked), PAYLOAD)
    signed, signature, public = tmp_path / "pae", tmp_path / "sig", tmp_path / "a.pub"
    signed.write_bytes(pae(PAYLOAD_TYPE, PAYLOAD))
    signature.write_bytes(bundle.envelope.signature)
    match kind:
        case KeyKind.P256:
            verify = ("dgst", "-sha256", "-verify", public, "-signature", signature, signed)
            assert openssl(*verify) == b"Verified OK\n"
        case KeyKind.ED25519:
            key = ("-pubin", "-inkey", public, "-rawin")
            verify_raw = ("pkeyutl", "-verify", *key, "-in", signed, "-sigfile", signature)
            assert openssl(*verify_raw) == b"Signature Verified Successfully\n"


def test_no_trusted_key_is_an_error() -> None:
    error = undecided(lambda: KeyVerifier([]))
    assert str(error) == "no key is trusted"


def test_one_key_under_two_names_is_an_error() -> None:
    assert str(undecided(lambda: trusting(P256, P256))) == (
        f"key sha256:{P256.public.fingerprint} is trusted twice (got 'key 0' and 'key 1')"
    )


def test_refuses_a_signer_that_is_not_trusted() -> None:
    bundle = sign_payload(P256, PAYLOAD)
    assert refused(trusting(OTHER_P256, ED25519), bundle, RefusalKind.SIGNER) == (
        "signed by a key that is not trusted "
        f"(expected sha256:{OTHER_P256.public.fingerprint} or "
        f"sha256:{ED25519.public.fingerprint}, got sha256:{P256.public.fingerprint})"
    )


@pytest.mark.parametrize("key", [P256, ED25519])
def test_refuses_another_payload_under_the_signature(key: PrivateKey) -> None:
    signature = sign_payload(key, PAYLOAD).envelope.signature
    bundle = forged(signature, hint_of=key, payload=PAYLOAD + b" ")
    assert refused(trusting(key), bundle, RefusalKind.SIGNATURE) == (
        f"signature is not that of key 'key 0' over this payload "
        f"(got hint sha256:{key.public.fingerprint})"
    )


def test_refuses_a_trusted_hint_on_the_signature_of_another() -> None:
    signature = sign_payload(OTHER_P256, PAYLOAD).envelope.signature
    bundle = forged(signature, hint_of=P256)
    assert refused(trusting(P256), bundle, RefusalKind.SIGNATURE).startswith(
        "signature is not that of key 'key 0' over this payload"
    )


@pytest.mark.parametrize("others", [(), (OTHER_P256,)])
def test_refuses_a_hint_of_another_key_than_signed(others: tuple[PrivateKey, ...]) -> None:
    signature = sign_payload(P256, PAYLOAD).envelope.signature
    bundle = forged(signature, hint_of=OTHER_P256)
    assert refused(trusting(P256, *others), bundle, RefusalKind.SIGNATURE) == (
        "hint does not belong to the key that signed "
        f"(expected sha256:{P256.public.fingerprint}, got sha256:{OTHER_P256.public.fingerprint})"
    )


def test_refuses_a_signature_over_the_bare_payload() -> None:
    for key in (P256, ED25519):
        assert is_refused(trusting(key), forged(key.sign(PAYLOAD), hint_of=key))


def test_refuses_a_signature_with_another_hash() -> None:
    assert isinstance(P256.secret, ec.EllipticCurvePrivateKey)
    signature = P256.secret.sign(pae(PAYLOAD_TYPE, PAYLOAD), ec.ECDSA(hashes.SHA384()))
    assert is_refused(trusting(P256), forged(signature, hint_of=P256))


def test_refuses_a_payload_type_that_is_not_ours() -> None:
    signature = P256.sign(pae("text/plain", PAYLOAD))
    envelope = Envelope(payload=PAYLOAD, payload_type="text/plain", signature=signature)
    bundle = Bundle(envelope=envelope, material=KeyHint(hint=P256.public.hint))
    assert refused(trusting(P256), bundle, RefusalKind.SIGNATURE) == (
        f"payload is of another type (expected {PAYLOAD_TYPE}, got 'text/plain')"
    )


def long_form(der: bytes) -> bytes:
    return der[:1] + b"\x81" + der[1:]


def padded_integer(der: bytes) -> bytes:
    return bytes([0x30, der[1] + 1, 0x02, der[3] + 1, 0]) + der[4:]


@pytest.mark.parametrize(
    "bend",
    [
        lambda der: der + b"\x00",
        lambda der: der[:-1],
        long_form,
        padded_integer,
        lambda der: der[4 : 4 + der[3]][-32:].rjust(32, b"\0") + der[-32:],  # raw r and s
        lambda _: b"\x30\x06\x02\x01\x00\x02\x01\x00",  # CVE-2022-21449: r = s = 0
        lambda _: b"",
    ],
)
def test_accepts_ecdsa_in_strict_der_only(bend: Callable[[bytes], bytes]) -> None:
    signature = sign_payload(P256, PAYLOAD).envelope.signature
    assert not is_refused(trusting(P256), forged(signature, hint_of=P256))
    assert is_refused(trusting(P256), forged(bend(signature), hint_of=P256))


@pytest.mark.parametrize("key", [P256, ED25519])
def test_no_changed_bit_of_a_signature_is_accepted(key: PrivateKey) -> None:
    signature = sign_payload(key, PAYLOAD).envelope.signature
    verifier = trusting(key)
    for at in range(8 * len(signature)):
        changed = bytearray(signature)
        changed[at // 8] ^= 1 << at % 8
        assert is_refused(verifier, forged(bytes(changed), hint_of=key)), at


@given(st.binary(max_size=80), st.binary(max_size=8))
def test_no_other_signature_is_accepted_and_nothing_else_raised(
    signature: bytes, payload: bytes
) -> None:
    for key in (P256, ED25519):
        assert is_refused(trusting(key), forged(signature, hint_of=key, payload=payload))


class LyingSigner:
    """Names one key and signs with another."""

    def public_key(self) -> bytes:
        return P256.public_key()

    def sign(self, data: bytes) -> bytes:
        return OTHER_P256.sign(data)


def test_does_not_hand_out_a_bundle_that_does_not_verify() -> None:
    signer: Signer = LyingSigner()
    error = undecided(lambda: sign_payload(signer, PAYLOAD))
    assert str(error) == "signer made a signature that its own key does not verify"


@pytest.mark.parametrize("payload", [b"", b"x" * LIMITS.bundle_bytes])
def test_does_not_sign_what_no_verifier_would_read(payload: bytes) -> None:
    with pytest.raises(MalformedError):
        sign_payload(P256, payload)


def test_verifying_loads_nothing_that_only_private_keys_need(tmp_path: Path) -> None:
    write_key_pair(tmp_path / "a", KeyKind.P256, None)
    (tmp_path / "bundle").write_bytes(
        encode_bundle(sign_payload(load_private_key(tmp_path / "a.key", nobody_is_asked), PAYLOAD))
    )
    code = """
        import sys
        from pathlib import Path
        from infwasi_sign.adapters.key_files import load_public_key
        from infwasi_sign.adapters.keys import KeyVerifier, TrustedKey
        from infwasi_sign.domain.bundle import parse_bundle
        key = TrustedKey(name="a", public_key=load_public_key(Path("a.pub")))
        print(KeyVerifier([key]).verify(parse_bundle(Path("bundle").read_bytes())).name)
        print([name for name in sys.modules if name.endswith((".serialization", ".pkcs8"))])
    """
    shown = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown == "a\n[]\n"


@pytest.mark.parametrize("digest", [hashes.SHA256(), hashes.SHA384()])
def test_our_ecdsa_verifies_what_the_library_signs_and_nothing_else(
    digest: hashes.HashAlgorithm,
) -> None:
    """`keys.Ecdsa` overrides what `ec.ECDSA` says of itself; the library must listen to that."""
    secret = ec.generate_private_key(ec.SECP384R1())
    signature = secret.sign(b"data", ec.ECDSA(digest))
    secret.public_key().verify(signature, b"data", Ecdsa(digest))
    with pytest.raises(InvalidSignature):
        secret.public_key().verify(signature, b"other", Ecdsa(digest))
    with pytest.raises(InvalidSignature):
        secret.public_key().verify(signature, b"data", Ecdsa(hashes.SHA512()))
