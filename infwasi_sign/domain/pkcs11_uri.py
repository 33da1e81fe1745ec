"""Names of keys in tokens, RFC 7512, as far as a key to sign with needs them.

Stricter than the RFC where it leaves a choice: an attribute that is not understood is refused and
not passed over, for it could have been the one that tells two keys apart.
"""

import re
from typing import Final

from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import UndecidedError
from infwasi_sign.quick_dataclass import dataclass

SCHEME: Final = "pkcs11"

# RFC 7512 section 2.3: pk11-pchar and pk11-qchar, which tell `&`, `/`, `?` and `|` apart.
_UNRESERVED: Final = r"A-Za-z0-9\-._~:\[\]@!$'()*+,="
_PATH_VALUE: Final = re.compile(rf"(?:[{_UNRESERVED}&]|%[0-9A-Fa-f]{{2}})*+")
_QUERY_VALUE: Final = re.compile(rf"(?:[{_UNRESERVED}/?|]|%[0-9A-Fa-f]{{2}})*+")
_PERCENT: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_SLOT: Final = re.compile(r"[0-9]{1,20}")  # CK_ULONG, PKCS #11 version 3.1 section 3.1

# Longest values in bytes: CK_TOKEN_INFO (PKCS #11 version 3.1 section 3.4) pads to these; of
# objects the specification bounds nothing.
_PATH_BYTES: Final = {
    "token": 32,
    "manufacturer": 32,
    "model": 16,
    "serial": 16,
    "slot-id": 20,
    "object": 255,
    "id": 255,
    "type": 16,
}
_QUERY_BYTES: Final = {"module-path": 4095, "pin-source": 4095}
_NEVER: Final = {
    "pin-value": "everybody on the machine can read a command line: use pin-source=file:PATH",
    "module-name": "name the library by module-path",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyUri:
    """Which key of which token; None asks nothing. `label` or `key_id` is always there."""

    token: str | None
    manufacturer: str | None
    model: str | None
    serial: str | None
    slot_id: int | None
    label: str | None  # CKA_LABEL
    key_id: bytes | None  # CKA_ID
    module_path: str | None
    pin_path: str | None


def parse_key_uri(text: str) -> KeyUri:
    """Read a URI that names one private key.

    Raises:
        UndecidedError: it is no such URI; no value of it is repeated in the message.
    """
    if len(text.encode("utf-8", "surrogateescape")) > LIMITS.key_reference_bytes:
        raise _unlike("is too long", expected=f"at most {LIMITS.key_reference_bytes} bytes")
    scheme, _, rest = text.partition(":")
    if scheme != SCHEME:
        raise _unlike("is of another scheme", expected=f"{SCHEME}:")
    path, _, query = rest.partition("?")
    named = _attributes(path, ";", _PATH_VALUE, _PATH_BYTES)
    asked = _attributes(query, "&", _QUERY_VALUE, _QUERY_BYTES)
    if _text(named, "type") not in {None, "private"}:
        raise _unlike("is not of a private key", expected="type=private")
    key_id = named.get("id")
    label = _text(named, "object")
    if not key_id and not label:
        raise _unlike("names no key", expected="object=LABEL or id=%NN%NN")
    return KeyUri(
        token=_text(named, "token"),
        manufacturer=_text(named, "manufacturer"),
        model=_text(named, "model"),
        serial=_text(named, "serial"),
        slot_id=_slot(_text(named, "slot-id")),
        label=label,
        key_id=key_id,
        module_path=_absolute("module-path", _text(asked, "module-path")),
        pin_path=_pin_path(_text(asked, "pin-source")),
    )


def _attributes(
    text: str, separator: str, form: re.Pattern[str], longest: dict[str, int]
) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for attribute in text.split(separator) if text else ():
        name, equals, value = attribute.partition("=")
        if hint := _NEVER.get(name):
            raise UndecidedError(f"{name} is not taken", where="the PKCS#11 URI", hint=hint)
        if name not in longest or not equals:
            raise _unlike(
                "is not understood",
                expected=f"NAME=VALUE with a name of {', '.join(longest)}",
                got=ascii(name[:40]),
            )
        if name in found:
            raise _unlike(f"is ambiguous: {name} stands twice")
        if form.fullmatch(value) is None:
            raise _unlike(f"is not well formed in {name}", expected="other characters as %NN")
        octets = _PERCENT.sub(lambda two: bytes.fromhex(two[1].decode()), value.encode())
        if not 0 < len(octets) <= longest[name]:
            raise _unlike(
                f"is wrong: {name} has a wrong length",
                expected=f"1 to {longest[name]} bytes",
                got=str(len(octets)),
            )
        found[name] = octets
    return found


def _text(attributes: dict[str, bytes], name: str) -> str | None:
    """The value as text; tokens know no NUL in it, and C would end there."""
    octets = attributes.get(name)
    if octets is None:
        return None
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError as e:
        raise _unlike(f"is wrong: {name} is not UTF-8") from e
    if "\0" in text:
        raise _unlike(f"is wrong: {name} has a NUL in it")
    return text


def _slot(digits: str | None) -> int | None:
    if digits is None:
        return None
    if _SLOT.fullmatch(digits) is None or int(digits) >= 2**64:
        raise _unlike("is wrong: slot-id is not a number", expected="below 2^64")
    return int(digits)


def _absolute(name: str, path: str | None) -> str | None:
    if path is not None and not path.startswith("/"):
        raise _unlike(f"is wrong: {name} is relative", expected="an absolute path")
    return path


def _pin_path(source: str | None) -> str | None:
    """RFC 7512 section 2.4 leaves open what a PIN comes from; a command it may not come from."""
    if source is None:
        return None
    if not source.startswith("file:"):
        raise _unlike("is wrong: pin-source is no file", expected="file:/absolute/path")
    # RFC 8089 appendix B: file:/path and file:///path are the same
    return _absolute("pin-source", source.removeprefix("file:").removeprefix("//"))


def _unlike(what: str, *, expected: str | None = None, got: str | None = None) -> UndecidedError:
    return UndecidedError(f"the PKCS#11 URI {what}", expected=expected, got=got)
