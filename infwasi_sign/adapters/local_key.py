"""A key of this user on this machine, by which we recognise what we wrote ourselves.

The caches (compiled components, verified identities) hold conclusions that are dangerous if they
are somebody else's. Each entry carries a MAC under this key. The key is 32 random bytes in a file
of mode 0600 in the cache folder, made at its first use and never sent anywhere. It says nothing
against a process of the same user, or root: these read the key, and could change us as well
(docs/threat-model.md).

The MAC is BLAKE3 in its keyed mode (BLAKE3 specification, section 2.7: a PRF and MAC), over the
purpose and each part with its length before it, so that nothing can move from one to another.
"""

import os
from collections.abc import Sequence
from hmac import compare_digest
from typing import Final, final

from infwasi_sign.adapters.cache_folder import CacheFolder
from infwasi_sign.adapters.measuring import keyed_blake3

KEY_BYTES: Final = 32
MAC_BYTES: Final = 32
KEY_FILE: Final = "key"


@final
class LocalKey:
    """Makes and checks MACs; does not show its bytes."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a local key has {KEY_BYTES} bytes, not {len(key)}")
        self._key = key

    def mac(self, purpose: str, parts: Sequence[bytes]) -> bytes:
        """32 bytes over ``parts``, for one ``purpose``: those of another never fit."""
        framed = (purpose.encode(), *parts)
        data: list[bytes] = []
        for part in framed:
            data += (len(part).to_bytes(8, "little"), part)
        return keyed_blake3(self._key, data)

    def is_mac(self, mac: bytes, purpose: str, parts: Sequence[bytes]) -> bool:
        """Whether ``mac`` was made by this key over the same; takes no less time for near ones."""
        return compare_digest(mac, self.mac(purpose, parts))


def load_or_create_key(folder: CacheFolder) -> LocalKey | None:
    """The key of a cache folder; ``None`` if there is none and none can be kept.

    A file that is not 32 bytes, or that others can access, is not used and not replaced either: who
    left it there may still be at it. Neither is one of zeros, as a crash can leave it.
    """
    key = folder.read(KEY_FILE, KEY_BYTES)
    if key is None:
        # Of two that begin at once the second keeps what the first made: it is read back.
        folder.write(KEY_FILE, os.urandom(KEY_BYTES), replace=False)
        key = folder.read(KEY_FILE, KEY_BYTES)
    return None if key is None or len(key) != KEY_BYTES or not any(key) else LocalKey(key)
