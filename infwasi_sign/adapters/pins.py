"""Where the keys that were trusted on first use are kept: one file in the state folder."""

from typing import Final

from infwasi_sign.adapters.keys import TrustedKey, parse_public_key
from infwasi_sign.adapters.state_folder import StateFolder
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.pins import Pin, encode_pins, parse_pins, require_pinned
from infwasi_sign.errors import MalformedError, UndecidedError

PINS_FILE: Final = "pins.json"


class PinStore:
    """Remembers one key per package name. A pin that cannot be kept is always an error."""

    def __init__(self, folder: StateFolder) -> None:
        self.folder = folder

    def read(self, package: str) -> Pin | None:
        """The pin of ``package``.

        Raises:
            UndecidedError: the pins are damaged, unreadable, or could have been changed by others.
        """
        return next((pin for pin in self.pins() if pin.package == package), None)

    def pins(self) -> tuple[Pin, ...]:
        """All pins, sorted by package name. Raises as `read`."""
        return self._parse(self.folder.read(PINS_FILE))

    def write(self, pin: Pin) -> Pin:
        """Pin a key, unless the package has it already; gives the pin that holds from now on.

        Raises:
            RefusedError: kind `signer`; the package has another key.
            UndecidedError: as `read`, or nothing can be written.
        """
        holds = pin

        def change(data: bytes | None) -> bytes | None:
            nonlocal holds
            pins = {known.package: known for known in self._parse(data)}
            if (known := pins.get(pin.package)) is not None:
                require_pinned(known, package=pin.package, public_key=pin.public_key)
                holds = known
                return None
            if len(pins) >= LIMITS.state_packages:
                raise UndecidedError(
                    "no more keys can be pinned",
                    where=str(self.folder.path / PINS_FILE),
                    expected=f"at most {LIMITS.state_packages} packages",
                    hint="`infwasi state reset PACKAGE --pin` forgets one",
                )
            return encode_pins([*pins.values(), pin])

        known = self.read(pin.package)
        if known is not None and known.public_key == pin.public_key:
            return known  # so that a read-only folder does
        self.folder.update(PINS_FILE, change)
        return holds

    def forget(self, package: str) -> None:
        """Let the next key of ``package`` be the first. Raises as `write`."""

        def change(data: bytes | None) -> bytes | None:
            pins = self._parse(data)
            kept = [pin for pin in pins if pin.package != package]
            return None if len(kept) == len(pins) else encode_pins(kept)

        self.folder.update(PINS_FILE, change)

    def _parse(self, data: bytes | None) -> tuple[Pin, ...]:
        if data is None:
            return ()
        try:
            return parse_pins(data, where=PINS_FILE)
        except MalformedError as e:
            raise self.folder.damaged(PINS_FILE, e) from e


def trusted_key(pin: Pin) -> TrustedKey:
    """The key that a pin stands for, under a name that says so.

    Raises:
        UndecidedError: it is of no supported type.
    """
    key = parse_public_key(pin.public_key, where=f"the key pinned for {pin.package}")
    return TrustedKey(name=f"the key pinned for {pin.package}", public_key=key)
