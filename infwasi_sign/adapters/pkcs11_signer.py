"""Keys in tokens and security modules, through PKCS #11; the one door of ``pkcs11``.

The token is given the SHA-256 of what is signed (P-256), or all of it (Ed25519, RFC 8032 section
5.1.6: there is no other way). The key never leaves it.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from infwasi_sign.adapters.key_files import PassphraseSource
from infwasi_sign.adapters.keys import KeyKind, PublicKey, from_raw
from infwasi_sign.adapters.passphrase import from_environment, from_file
from infwasi_sign.adapters.trusted_file import read_trusted
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.pkcs11_uri import KeyUri, parse_key_uri
from infwasi_sign.errors import UndecidedError
from infwasi_sign.quick_dataclass import dataclass

if TYPE_CHECKING:
    from pkcs11 import Attribute, Session, SignMixin, Slot, Token

MODULE_VARIABLE: Final = "INFWASI_PKCS11_MODULE"
PIN_VARIABLE: Final = "INFWASI_PKCS11_PIN"

# CKA_EC_PARAMS of the two curves, PKCS #11 version 3.1 section 6.3.3: an object identifier, or for
# Edwards curves also the name as a PrintableString.
_CURVES: Final = {
    bytes.fromhex("06082a8648ce3d030107"): KeyKind.P256,  # 1.2.840.10045.3.1.7
    bytes.fromhex("06032b6570"): KeyKind.ED25519,  # 1.3.101.112, RFC 8410 section 3
    b"\x13\x0cedwards25519": KeyKind.ED25519,
}
_POINT_BYTES: Final = {KeyKind.P256: 65, KeyKind.ED25519: 32}
_SIGNATURE_BYTES: Final = 64  # r and s; R and S


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenSigner:
    """A key in a token and an open session; implements `ports.Signer`."""

    public: PublicKey
    secret: "SignMixin" = field(repr=False)
    session: "Session" = field(repr=False)
    pin_again: str | None = field(repr=False)  # of keys that want it before each signature

    def public_key(self) -> bytes:
        """The SubjectPublicKeyInfo, DER (RFC 5280 section 4.1)."""
        return self.public.spki_der

    def sign(self, data: bytes) -> bytes:
        """A DER ECDSA signature with SHA-256, or a pure Ed25519 one, over ``data``."""
        from pkcs11 import Mechanism  # noqa: PLC0415 -- an extra that only tokens need
        from pkcs11.util.ec import encode_ecdsa_signature  # noqa: PLC0415

        is_p256 = self.public.kind is KeyKind.P256
        with _explained("sign"):
            signature = self.secret.sign(
                hashlib.sha256(data).digest() if is_p256 else data,
                mechanism=Mechanism.ECDSA if is_p256 else Mechanism.EDDSA,
                pin=self.pin_again,
            )
        if len(signature) != _SIGNATURE_BYTES:
            raise UndecidedError(
                "the token made a signature of a wrong length",
                expected=f"{_SIGNATURE_BYTES} bytes",
                got=str(len(signature)),
            )
        return encode_ecdsa_signature(signature) if is_p256 else signature

    def close(self) -> None:
        """Log out."""
        with _explained("close the session"):
            self.session.close()


def open_token_signer(uri: str, passphrase: PassphraseSource) -> TokenSigner:
    """Log in and find the one key that ``uri`` names.

    The PIN comes from ``pin-source``, from ``INFWASI_PKCS11_PIN``, or else from ``passphrase``. It
    is tried once: tokens count wrong ones.

    Raises:
        UndecidedError: the URI is wrong; not exactly one token or key answers to it; the PIN is
            wrong; the key is neither P-256 nor Ed25519.
    """
    wanted = parse_key_uri(uri)
    module = _module(wanted)
    try:
        import pkcs11  # noqa: PLC0415 -- an extra that only tokens need
    except ImportError as e:
        raise UndecidedError(
            "keys in tokens need a package that is not installed",
            expected="python-pkcs11",
            hint="install infwasi with its extra: pip install 'infwasi[pkcs11]'",
        ) from e
    with _explained("load the module"):
        slots = pkcs11.lib(module).get_slots(token_present=True)
    token = _token(wanted, slots)
    pin = _pin(wanted, passphrase)
    with ExitStack() as undo:
        with _explained("log in"):
            session = token.open(user_pin=pin)
        undo.callback(session.close)
        secret = _one(
            session,
            pkcs11.ObjectClass.PRIVATE_KEY,
            label=wanted.label,
            key_id=wanted.key_id,
            what="private key",
        )
        signer = TokenSigner(
            public=_public(session, secret),
            secret=secret,
            session=session,
            pin_again=pin if _is_set(secret, pkcs11.Attribute.ALWAYS_AUTHENTICATE) else None,
        )
        undo.pop_all()
    return signer


def _module(wanted: KeyUri) -> str:
    """The library, which becomes a part of this process: only its owner or root can change it."""
    module = wanted.module_path or os.environ.get(MODULE_VARIABLE, "")
    if not module:
        raise UndecidedError(
            "which PKCS#11 module is not said",
            hint=f"add ?module-path=/usr/lib/….so to the URI, or set {MODULE_VARIABLE}",
        )
    if not module.startswith("/"):
        raise UndecidedError(
            "PKCS#11 module is a relative path", where=MODULE_VARIABLE, expected="an absolute path"
        )
    read_trusted(Path(module), LIMITS.pkcs11_module_bytes, "PKCS#11 module")
    return module


def _pin(wanted: KeyUri, passphrase: PassphraseSource) -> str:
    if wanted.pin_path is not None:
        pin, where = from_file(Path(wanted.pin_path))(), wanted.pin_path
    elif PIN_VARIABLE in os.environ:
        pin, where = from_environment(os.environ, PIN_VARIABLE)(), PIN_VARIABLE
    else:
        pin, where = passphrase(), "the answer"
    try:
        return pin.decode("utf-8")  # PKCS #11 version 3.1 section 5.6.8
    except UnicodeDecodeError as e:
        raise UndecidedError("PIN is not UTF-8", where=where) from e


def _token(wanted: KeyUri, slots: "list[Slot]") -> "Token":
    from pkcs11 import TokenFlag  # noqa: PLC0415

    fits = []
    for slot in slots:
        with _explained("look at a token"):
            token = slot.get_token()
            if not token.flags & TokenFlag.TOKEN_INITIALIZED:
                continue  # an empty place, as SoftHSM always shows one
        asked = (
            (wanted.token, token.label),
            (wanted.manufacturer, token.manufacturer_id),
            (wanted.model, token.model),
            (wanted.serial, token.serial.rstrip(b"\0 ").decode("utf-8", "replace")),
            (wanted.slot_id, slot.slot_id),
        )
        if all(question is None or question == answer for question, answer in asked):
            fits.append(token)
    if len(fits) != 1:
        raise UndecidedError(
            "not exactly one token is the one that the URI names",
            expected="1",
            got=str(len(fits)),
            hint="`pkcs11-tool --list-slots` shows labels and serials",
        )
    return fits[0]


def _one(
    session: "Session", kind: Any, *, label: str | None, key_id: bytes | None, what: str
) -> Any:
    from pkcs11 import Attribute  # noqa: PLC0415

    asked: dict[Attribute, Any] = {Attribute.CLASS: kind}
    if label is not None:
        asked[Attribute.LABEL] = label
    if key_id is not None:
        asked[Attribute.ID] = key_id
    with _explained("look for the key"):
        found = list(session.get_objects(asked))
    if len(found) != 1:
        raise UndecidedError(
            f"not exactly one {what} of the token is the one that the URI names",
            expected="1",
            got=str(len(found)),
            hint="`pkcs11-tool --login --list-objects` shows labels and ids",
        )
    return found[0]


def _public(session: "Session", secret: Any) -> PublicKey:
    """The public key with the private one's id, or its label if it has none."""
    from pkcs11 import Attribute, ObjectClass  # noqa: PLC0415

    with _explained("read the key"):
        key_id, label = secret[Attribute.ID] or None, secret[Attribute.LABEL]
        params = bytes(secret[Attribute.EC_PARAMS])
    kind = _CURVES.get(params)
    if kind is None:
        raise UndecidedError(
            "key type is not supported", where="the token", expected="P-256 or Ed25519"
        )
    public = _one(
        session,
        ObjectClass.PUBLIC_KEY,
        label=None if key_id else label,
        key_id=key_id,
        what="public key",
    )
    with _explained("read the public key"):
        point = bytes(public[Attribute.EC_POINT])
    # PKCS #11 version 3.1 section 6.3.3 wraps the point in an OCTET STRING; some tokens do not.
    wrapping = bytes((0x04, _POINT_BYTES[kind]))
    if len(point) == _POINT_BYTES[kind] + len(wrapping):
        point = point.removeprefix(wrapping)
    return from_raw(kind, point, where="the token's public key")


def _is_set(key: Any, flag: "Attribute") -> bool:
    """A flag of a key; False on tokens that do not know it."""
    from pkcs11 import AttributeTypeInvalid  # noqa: PLC0415

    with _explained("read the key"):
        try:
            return bool(key[flag])
        except AttributeTypeInvalid:
            return False


_WORDS: Final = {
    "PinIncorrect": "the PIN is wrong",
    "PinLocked": "the PIN is locked after too many wrong ones",
    "PinLenRange": "the PIN has a wrong length",
    "AttributeTypeInvalid": "the key is of another kind, or the token does not know it",
    "UserAlreadyLoggedIn": "somebody is logged in already",
}


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """The library has one class for each of the specification's return values.

    What it cannot make sense of, a label that is not UTF-8 for one, is a ValueError.
    """
    from pkcs11 import PKCS11Error  # noqa: PLC0415

    try:
        yield
    except (PKCS11Error, ValueError) as e:
        name = type(e).__name__
        raise UndecidedError(
            f"token: cannot {what}", got=_WORDS.get(name, str(e).split("\n", 1)[0][:200] or name)
        ) from e
