"""Signers that other packages bring: entry points of the group ``infwasi.signers``.

A plug-in is a callable that takes the reference as the user wrote it, and gives a `ports.Signer`.
It is code of others and may raise or return anything; what comes out of here is a Signer that
raises UndecidedError and nothing else. That its signature is good is for `keys.sign_payload`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, TypeVar

from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import UndecidedError
from infwasi_sign.ports import Signer
from infwasi_sign.quick_dataclass import dataclass

GROUP: Final = "infwasi.signers"

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class PluginSigner:
    """Somebody else's signer, held to the contract; implements `ports.Signer`."""

    plugin: str  # its name, for messages
    signer: Signer = field(repr=False)

    def public_key(self) -> bytes:
        """The SubjectPublicKeyInfo, DER (RFC 5280 section 4.1)."""
        return self._ask("give its public key", self.signer.public_key, LIMITS.public_key_bytes)

    def sign(self, data: bytes) -> bytes:
        """A DER ECDSA signature with SHA-256, or a pure Ed25519 one, over ``data``."""
        return self._ask("sign", lambda: self.signer.sign(data), LIMITS.signature_bytes)

    def _ask(self, what: str, act: Callable[[], object], most_bytes: int) -> bytes:
        with _explained(self.plugin, what):
            answer = act()
        if not isinstance(answer, bytes):
            raise self._did_not(what, most_bytes, type(answer).__name__[:80])
        if not 0 < len(answer) <= most_bytes:
            raise self._did_not(what, most_bytes, str(len(answer)))
        return answer

    def _did_not(self, what: str, most_bytes: int, got: str) -> UndecidedError:
        return UndecidedError(
            f"signer plug-in {self.plugin} did not {what}",
            expected=f"1 to {most_bytes} bytes",
            got=got,
        )


def open_plugin_signer(name: str, reference: str) -> Signer:
    """Let the plug-in of this name open the key that ``reference`` names.

    Raises:
        UndecidedError: not exactly one package brings such a plug-in, or it fails.
    """
    plugin = _find(name)
    with _explained(name, "be loaded"):
        open_signer: Any = plugin.load()
    with _explained(name, "open the key"):
        signer: Any = open_signer(reference)
        is_signer = callable(signer.public_key) and callable(signer.sign)
    if not is_signer:
        raise UndecidedError(f"signer plug-in {name} gave something else than a signer")
    return PluginSigner(plugin=name, signer=signer)


def _find(name: str) -> EntryPoint:
    found = tuple(entry_points(group=GROUP, name=name))
    if not found:
        raise UndecidedError(
            f"nothing signs for {name}:",
            expected=f"a package with the entry point {name} of the group {GROUP}",
            hint=f"install the plug-in of that service; a file of this name is ./{name}:…",
        )
    if len(found) > 1:
        raise UndecidedError(
            f"two plug-ins sign for {name}:",
            expected="one",
            got=" and ".join(sorted(map(_package, found))),
            hint="uninstall all but the one you mean",
        )
    return found[0]


def _package(plugin: EntryPoint) -> str:
    return plugin.value if plugin.dist is None else plugin.dist.name


@contextmanager
def _explained(plugin: str, what: str) -> Iterator[None]:
    """Code of others may raise anything, and must not decide how this process ends."""
    try:
        yield
    except UndecidedError:
        raise  # a plug-in that says it in our words
    except (Exception, SystemExit) as e:
        words = str(e).split("\n", 1)[0][:200]
        raise UndecidedError(
            f"signer plug-in {plugin} cannot {what}",
            got=f"{type(e).__name__}: {words}" if words else type(e).__name__,
        ) from e
