"""The headers of the models that were measured, read with what earlier runs know of them."""

from collections.abc import Mapping, Sequence

from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.gguf import GgufHeader, parse
from infwasi_sign.domain.gguf_landmarks import Landmarks
from infwasi_sign.domain.manifest import Entry
from infwasi_sign.measure_entries import MeasuredEntry
from infwasi_sign.ports import GuardedFile, LandmarkStore


class HeaderReader:
    """Reads the header of a model entry; `keep` remembers where its strings end.

    ``store`` is asked only about models whose BLAKE3 was computed now, over the bytes that are
    read: a digest that is stated, or of an earlier run, says nothing of them.
    """

    def __init__(
        self,
        files: Mapping[str, GuardedFile],
        measured: Sequence[MeasuredEntry],
        store: LandmarkStore | None,
    ) -> None:
        self._files = files
        self._store = store
        self._digests = {
            entry.name: digest
            for entry in measured
            for digest in entry.digests
            if digest.algorithm is Algorithm.BLAKE3 and entry.remembered_at is None
        }
        self._read: list[tuple[Digest, Landmarks]] = []

    def read(self, entry: Entry) -> GgufHeader:
        """The header of a model.

        Raises:
            MalformedError: as `gguf.parse`.
        """
        landmarks = Landmarks()
        digest = self._digests.get(entry.name)
        if self._store is not None and digest is not None:
            landmarks = self._store.recall(digest)
            self._read.append((digest, landmarks))
        likely_bytes = entry.require_gguf().header_bytes
        return parse(self._files[entry.name], likely_bytes=likely_bytes, landmarks=landmarks)

    def keep(self) -> None:
        """Remember what was found anew. To be called once the headers agree with the statement."""
        for digest, landmarks in self._read:
            if self._store is not None and landmarks.found:
                self._store.keep(digest, landmarks)
