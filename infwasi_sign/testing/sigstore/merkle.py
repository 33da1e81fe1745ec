"""The Merkle tree of a transparency log, RFC 6962 section 2.1 (the same in RFC 9162)."""

from collections.abc import Sequence
from hashlib import sha256


def leaf_hash(body: bytes) -> bytes:
    """The hash of an entry: prefix 0x00 (RFC 6962 section 2.1)."""
    return sha256(b"\x00" + body).digest()


def tree_hash(leaves: Sequence[bytes]) -> bytes:
    """MTH: the root hash over leaf hashes (RFC 6962 section 2.1)."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    split = _split(len(leaves))
    return sha256(b"\x01" + tree_hash(leaves[:split]) + tree_hash(leaves[split:])).digest()


def inclusion_path(index: int, leaves: Sequence[bytes]) -> tuple[bytes, ...]:
    """PATH: the hashes that lead from leaf ``index`` to the root (RFC 6962 section 2.1.1)."""
    if len(leaves) == 1:
        return ()
    split = _split(len(leaves))
    if index < split:
        return (*inclusion_path(index, leaves[:split]), tree_hash(leaves[split:]))
    return (*inclusion_path(index - split, leaves[split:]), tree_hash(leaves[:split]))


def _split(size: int) -> int:
    # The largest power of two that is smaller than the size.
    return 1 << (size - 1).bit_length() - 1
