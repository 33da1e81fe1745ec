"""Landmarks of GGUF headers, kept from one run to the next (`domain.gguf_landmarks`, ADR 24).

An entry is used only for a model whose BLAKE3 was computed in this run and is the one under which
the entry was kept; and only if this user kept it, which the MAC under the local key says. Any doubt
means that the header is read as if there were none.
"""

from typing import Final

from infwasi_sign.adapters.cache_folder import CacheFolder
from infwasi_sign.adapters.local_key import MAC_BYTES, LocalKey
from infwasi_sign.adapters.measuring import blake3_digest
from infwasi_sign.domain.digest import Digest
from infwasi_sign.domain.gguf_landmarks import MOST_BYTES, Landmarks
from infwasi_sign.domain.limits import LIMITS

_PURPOSE: Final = "infwasi gguf landmarks v1"
_SUFFIX: Final = ".landmarks"


class LandmarkCache:
    """Implements `ports.LandmarkStore` on files in the cache folder, one for each model."""

    def __init__(self, folder: CacheFolder, key: LocalKey) -> None:
        self._folder = folder
        self._key = key

    def recall(self, model: Digest) -> Landmarks:
        """What was found in the header of a model that has this digest; nothing, if in doubt."""
        label = _label(model)
        entry = self._folder.read(_name(label), MAC_BYTES + MOST_BYTES)
        if entry is None:
            return Landmarks()
        mac, data = entry[:MAC_BYTES], entry[MAC_BYTES:]
        if not self._key.is_mac(mac, _PURPOSE, [label, data]):
            return Landmarks()
        return Landmarks.decode(data)

    def keep(self, model: Digest, landmarks: Landmarks) -> None:
        """Keep what was found; that it cannot be kept is no error."""
        label, data = _label(model), landmarks.encode()
        if self._folder.write(_name(label), self._key.mac(_PURPOSE, [label, data]) + data):
            # Their number bounds them; what others are writing just now may be as large as it is.
            most_bytes = LIMITS.compiled_total_bytes
            self._folder.keep_newest(_SUFFIX, most=LIMITS.landmark_entries, most_bytes=most_bytes)


def _label(model: Digest) -> bytes:
    """Of which bytes, and by which bound they were read."""
    return f"{model} {LIMITS.gguf_string_bytes}".encode()


def _name(label: bytes) -> str:
    return blake3_digest(label).hex + _SUFFIX
