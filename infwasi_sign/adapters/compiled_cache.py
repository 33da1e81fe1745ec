"""Machine code of components, kept from one start to the next: only ours, only for verified bytes.

To load machine code is to run it, and wasmtime can check no more than that it fits (its
documentation calls `deserialize` unsafe). So an entry is used only if all of this holds:

1. the caller hands over the component's bytes; the digest is computed here, never taken from a
   statement or a file name. The callers do so once the bytes are verified (`ports.GuestHost`)
2. the folder and the file are the caller's alone (`cache_folder`)
3. the MAC under the local key fits: over the component's digest, everything that the code depends
   on (version of wasmtime, machine, configuration), and the code

What the CPU can do is held against the code by wasmtime itself, which then compiles afresh. Any
doubt means the same. Nothing of this comes in a package.
"""

import os
from collections.abc import Mapping
from typing import Final, Protocol, Self

from infwasi_sign.adapters.cache_folder import CacheFolder, cache_path
from infwasi_sign.adapters.local_key import MAC_BYTES, LocalKey, load_or_create_key
from infwasi_sign.adapters.measuring import blake3_digest
from infwasi_sign.adapters.wasm_settings import code_maker, settings_for
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.quick_dataclass import dataclass

_MAGIC: Final = b"ifwcode\x01"  # a new layout is a new number
_PURPOSE: Final = "infwasi compiled component v1"
SUFFIX: Final = ".cwasm"


class CodeCache(Protocol):
    """Machine code by the component that it was made of."""

    def load(self, component: bytes) -> bytes | None:
        """The code that was stored for exactly these bytes; ``None`` where there is any doubt."""
        ...

    def store(self, component: bytes, code: bytes) -> None:
        """Keep the code; that it cannot be kept is no error."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class CompiledCache:
    """Implements `CodeCache` on files in the cache folder, one for each component and maker.

    ``maker`` is what code depends on whatever the component: `wasm_settings.code_maker`.
    """

    folder: CacheFolder
    key: LocalKey
    maker: str

    @classmethod
    def open(cls, folder: CacheFolder | None) -> Self | None:
        """The cache in a folder; ``None`` where there is no key or nobody knows the maker.

        To be called before the process is confined.
        """
        key = None if folder is None else load_or_create_key(folder)
        maker = code_maker()
        if folder is None or key is None or maker is None:
            return None
        return cls(folder=folder, key=key, maker=maker)

    def load(self, component: bytes) -> bytes | None:
        """The code, after all checks of this module's docstring."""
        label = self._label(component)
        most_bytes = len(_MAGIC) + MAC_BYTES + LIMITS.compiled_bytes
        entry = self.folder.read(_name(label), most_bytes)
        if entry is None or not entry.startswith(_MAGIC):
            return None
        mac = entry[len(_MAGIC) : len(_MAGIC) + MAC_BYTES]
        code = entry[len(_MAGIC) + MAC_BYTES :]
        return code if self.key.is_mac(mac, _PURPOSE, [label, code]) else None

    def store(self, component: bytes, code: bytes) -> None:
        """Write an entry whole or not at all, then remove the oldest beyond the bounds."""
        if len(code) > LIMITS.compiled_bytes:
            return
        label = self._label(component)
        mac = self.key.mac(_PURPOSE, [label, code])
        if self.folder.write(_name(label), b"".join((_MAGIC, mac, code))):
            self.folder.keep_newest(
                SUFFIX, most=LIMITS.compiled_entries, most_bytes=LIMITS.compiled_total_bytes
            )

    def _label(self, component: bytes) -> bytes:
        """What the code is made of, and by what; the digest has one length, so it cuts one way."""
        settings = sorted(settings_for(component).items())
        return f"{blake3_digest(component).hex} {settings} {self.maker}".encode()


def compiled_cache(environment: Mapping[str, str]) -> CompiledCache | None:
    """The caller's cache, made if it is not there; ``None`` where none can be trusted or kept."""
    return CompiledCache.open(CacheFolder.open(cache_path(environment, os.geteuid())))


def _name(label: bytes) -> str:
    return blake3_digest(label).hex + SUFFIX
