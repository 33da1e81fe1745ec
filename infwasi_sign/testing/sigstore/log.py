"""What both versions of Rekor are: a tree, signed checkpoints, proofs of inclusion."""

import secrets
import threading
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ed25519

from infwasi_sign.quick_dataclass import dataclass
from infwasi_sign.testing.sigstore.exchange import to_base64
from infwasi_sign.testing.sigstore.faults import Fault
from infwasi_sign.testing.sigstore.merkle import inclusion_path, leaf_hash, tree_hash
from infwasi_sign.testing.sigstore.signing_keys import (
    PublicKey,
    SigningKey,
    key_id,
    note_key_id,
    sign,
)

# Entries of others that stand in a fresh log, so that no proof of inclusion is empty.
_FIRST_ENTRIES: Final = 3
_DASH: Final = "\u2014"  # begins a signature line (C2SP signed-note)


@dataclass(frozen=True, kw_only=True, slots=True)
class Inclusion:
    """Where an entry stands, and what shows it; `checkpoint` and `path` as the faults want them."""

    index: int
    size: int
    root: bytes
    path: tuple[bytes, ...]
    checkpoint: str


class TransparencyLog:
    """A log in memory; its entries are gone with the instance."""

    def __init__(
        self,
        *,
        key: SigningKey,
        stranger: SigningKey,
        origin: str,
        key_name: str,
        faults: frozenset[Fault],
    ) -> None:
        """``origin`` heads the checkpoint, ``key_name`` its signature (C2SP tlog-checkpoint).

        NOTE: other clients than sigstore-python want the key's name to be the host of the log's
        base URL (sigstore-go pkg/tlog, sigstore-js packages/verify/src/tlog/checkpoint.ts).
        """
        self._key = key
        self._origin = origin
        self._key_name = key_name
        self._faults = faults
        self._lock = threading.Lock()
        self._leaves = [leaf_hash(secrets.token_bytes(40)) for _ in range(_FIRST_ENTRIES)]
        self.log_id: bytes = _log_id(key_name, key.public_key())
        listed = stranger if Fault.LOG_UNKNOWN in faults else key
        self.listed_key: PublicKey = listed.public_key()
        """What the trusted root says the key is."""
        self.listed_id: bytes = _log_id(key_name, self.listed_key)

    def sign(self, message: bytes) -> bytes:
        """The log's signature, for signed entry timestamps."""
        return sign(self._key, message)

    def append(self, body: bytes) -> Inclusion:
        """Add an entry and show that it is there."""
        with self._lock:
            index = len(self._leaves)
            self._leaves.append(leaf_hash(body))
            leaves = tuple(self._leaves)
        root, path = tree_hash(leaves), inclusion_path(index, leaves)
        if Fault.PROOF_WRONG in self._faults:
            path = (secrets.token_bytes(32), *path[1:])
        return Inclusion(
            index=index,
            size=len(leaves),
            root=root,
            path=path,
            checkpoint=self._checkpoint(len(leaves), root),
        )

    def latest_checkpoint(self) -> str:
        """The checkpoint over all entries."""
        with self._lock:
            leaves = tuple(self._leaves)
        return self._checkpoint(len(leaves), tree_hash(leaves))

    def _checkpoint(self, size: int, root: bytes) -> str:
        # C2SP tlog-checkpoint: origin, size, root; then a blank line and a signed-note signature.
        if Fault.CHECKPOINT_OF_OTHER_TREE in self._faults:
            root = sha256(b"another tree").digest()
        text = f"{self._origin}\n{size}\n{to_base64(root)}\n"
        signed = text.encode()
        if Fault.CHECKPOINT_BAD_SIGNATURE in self._faults:
            signed += b"\n"
        signature = to_base64(self.log_id[:4] + self.sign(signed))
        return f"{text}\n{_DASH} {self._key_name} {signature}\n"


def _log_id(name: str, key: PublicKey) -> bytes:
    if isinstance(key, ed25519.Ed25519PublicKey):
        return note_key_id(name, key)
    return key_id(key)
