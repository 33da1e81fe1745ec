"""Trust on first use: the key that a package name was seen with first, and since then must have."""

import binascii
import hashlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from infwasi_sign.domain.manifest import VERSION, format_time
from infwasi_sign.domain.rollback import parse_moment, parse_packages
from infwasi_sign.domain.strict_json import Cursor, JsonValue, canonical
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError, UndecidedError
from infwasi_sign.quick_dataclass import dataclass

_VERSION: Final = 1
_KEY_BYTES: Final = 1024  # a SubjectPublicKeyInfo of ours has 44 or 91; RSA with 4096 bits, 550


@dataclass(frozen=True, kw_only=True, slots=True)
class Pin:
    """A package name and the key that it was accepted with first.

    ``public_key`` is a SubjectPublicKeyInfo in DER (RFC 5280 section 4.1); ``pinned_at`` is kept to
    the second.
    """

    package: str
    public_key: bytes
    pinned_at: datetime

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of the SubjectPublicKeyInfo, as everywhere."""
        return hashlib.sha256(self.public_key).hexdigest()

    def sentence(self) -> str:
        """What every result says in which a pin decided."""
        return (
            f"trust on first use: key sha256:{self.fingerprint} pinned for {self.package} "
            f"at {format_time(self.pinned_at)}; no policy was consulted"
        )


def find_pin(pins: Sequence[Pin], *, name: str | None, directory: str) -> Pin:
    """The pin of the package called ``name``, else of the one that ``directory`` is named after.

    A directory is named after a package by its name, alone or with ``-version``.

    Raises:
        UndecidedError: there is none, or the directory's name fits several.
    """
    found = [pin for pin in pins if _is_meant(pin.package, name, directory)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UndecidedError(
            "several pinned packages fit the name of the directory",
            where=directory,
            got=", ".join(pin.package for pin in found),
            hint="say which one with --name",
        )
    raise UndecidedError(
        "no key is pinned for this package",
        where=name or directory,
        hint="give the signer's public key once: --key FILE --pin",
    )


def _is_meant(package: str, name: str | None, directory: str) -> bool:
    if name is not None:
        return package == name
    rest = directory.removeprefix(f"{package}-")
    return directory == package or (rest != directory and VERSION.fullmatch(rest) is not None)


def require_pinned(pin: Pin | None, *, package: str, public_key: bytes) -> None:
    """Hold a package to the key that is pinned for its name; ``None`` means it has none yet.

    Raises:
        RefusedError: kind `signer`, it is another key; kind `policy`, it is another package.
    """
    if pin is None:
        return
    if pin.package != package:
        raise RefusedError(
            RefusalKind.POLICY,
            "the key is pinned for another package",
            where="package.name",
            expected=pin.package,
            got=package,
        )
    if pin.public_key != public_key:
        raise RefusedError(
            RefusalKind.SIGNER,
            f"another key is pinned for {package}",
            expected=f"sha256:{pin.fingerprint}",
            got=f"sha256:{hashlib.sha256(public_key).hexdigest()}",
            hint=f"if its signer has changed: infwasi state reset {package} --pin",
        )


# --- as JSON ---------------------------------------------------------------------------------


def encode_pins(pins: Iterable[Pin]) -> bytes:
    """The one byte form of all pins, in whatever order they come."""
    items: list[JsonValue] = [
        {
            "key": b64encode(pin.public_key).decode("ascii"),
            "name": pin.package,
            "pinnedAt": int(pin.pinned_at.timestamp()),
        }
        for pin in sorted(pins, key=lambda pin: pin.package)
    ]
    return canonical({"pins": items, "version": _VERSION})


def parse_pins(data: bytes, *, where: str) -> tuple[Pin, ...]:
    """Read what `encode_pins` wrote, and nothing else.

    Raises:
        MalformedError: naming ``where``, or the member.
    """
    _, items = parse_packages(data, "pins", set(), where=where)
    pins = []
    for name, cursor in items:
        item = cursor.object({"key", "name", "pinnedAt"})
        key = _parse_key(item["key"])
        pins.append(Pin(package=name, public_key=key, pinned_at=parse_moment(item["pinnedAt"])))
    return tuple(pins)


def _parse_key(cursor: Cursor) -> bytes:
    text = cursor.string(max_bytes=_KEY_BYTES)
    try:
        key = b64decode(text, validate=True)
    except (binascii.Error, ValueError) as e:  # ValueError: not ASCII
        raise MalformedError("not base64", where=cursor.path) from e
    if not key or b64encode(key).decode("ascii") != text:
        raise MalformedError("not base64 in its one form", where=cursor.path)
    return key
