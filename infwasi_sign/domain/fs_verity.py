"""The digest that Linux gives a file with fs-verity, computed without Linux.

It is the SHA-256 of a descriptor of 256 bytes, in which stand the parameters, the size of the file
and the root of a Merkle tree over its blocks (Linux, Documentation/filesystems/fsverity.rst, "File
digest computation", "Merkle tree"). Whoever knows it knows every byte, by way of SHA-256 alone.
"""

import hashlib
from collections.abc import Callable
from typing import Final, TypeAlias

from infwasi_sign.domain.manifest import FsVerity
from infwasi_sign.errors import RefusalKind, RefusedError

BLOCK_BYTES: Final = 4096
"""The block size of what we write: a page of x86_64 and the only one of kernels before 6.3."""

SHA256_NUMBER: Final = 1  # FS_VERITY_HASH_ALG_SHA256 (linux/fsverity.h)
_SHA256_BLOCK_BYTES: Final = 64  # FIPS 180-4: a salt is padded to it (fsverity.rst, "Merkle tree")
_DIGEST_BYTES: Final = 32
_LONGEST_SALT: Final = 32  # the descriptor has no more room for one

Data: TypeAlias = bytes | memoryview


class FsVerityHash:
    """The fs-verity digest of a stream, for SHA-256; memory grows by the depth of the tree only.

    ``block_size`` is a power of two from 1,024 to 65,536.
    """

    def __init__(self, *, block_size: int = BLOCK_BYTES, salt: bytes = b"") -> None:
        if block_size.bit_count() != 1 or not 1024 <= block_size <= 65536:
            raise ValueError(f"not a block size: {block_size}")
        if len(salt) > _LONGEST_SALT:
            raise ValueError(f"not a salt: {len(salt)} bytes")
        self._block_size = block_size
        self._salt = salt
        padding = -len(salt) % _SHA256_BLOCK_BYTES
        self._salted = hashlib.sha256(salt + b"\0" * padding)
        self._size_bytes = 0
        self._rest = bytearray()  # of a block that is not whole yet
        self._levels: list[bytearray] = [bytearray()]  # digests that are not a whole block yet

    def update(self, data: Data) -> None:
        """Take the next bytes of the file."""
        view = memoryview(data)
        self._size_bytes += len(view)
        start = 0
        if self._rest:
            start = min(self._block_size - len(self._rest), len(view))
            self._rest += view[:start]
            if len(self._rest) < self._block_size:
                return
            self._add(bytes(self._rest))
            self._rest.clear()
        whole = start + (len(view) - start) // self._block_size * self._block_size
        self._add(view[start:whole])
        self._rest += view[whole:]

    def digest(self) -> bytes:
        """The digest of everything so far; more may follow."""
        return hashlib.sha256(self._descriptor()).digest()

    def hexdigest(self) -> str:
        """The same as hex digits."""
        return self.digest().hex()

    def stated(self) -> FsVerity:
        """The same as a manifest states it."""
        return FsVerity(digest=self.hexdigest(), block_size=self._block_size, salt=self._salt.hex())

    def _add(self, blocks: Data) -> None:
        """Hash whole blocks of the file, and blocks of digests as they fill."""
        size, hashed = self._block_size, self._hash
        view = memoryview(blocks)
        self._levels[0] += b"".join(
            [hashed(view[at : at + size]) for at in range(0, len(view), size)]
        )
        for level, digests in enumerate(self._levels):
            whole = len(digests) // size * size
            # A block that is just full is the root's own, unless another digest follows it.
            if whole == len(digests):
                whole = max(whole - size, 0)
            if not whole:
                return
            if level + 1 == len(self._levels):
                self._levels.append(bytearray())
            full = bytes(digests[:whole])
            del digests[:whole]
            self._levels[level + 1] += b"".join(
                [hashed(full[at : at + size]) for at in range(0, whole, size)]
            )

    def _hash_block(self, block: Data) -> bytes:
        hashed = self._salted.copy()
        hashed.update(block)
        return hashed.digest()

    @property
    def _hash(self) -> Callable[[Data], bytes]:
        if self._salt:
            return self._hash_block
        # Without a salt the copy above is 10 % of the time that a block takes.
        sha256 = hashlib.sha256
        return lambda block: sha256(block).digest()

    def _root(self) -> bytes:
        """The digest at the top; of the only block, where there is one."""
        if self._size_bytes == 0:
            return bytes(32)  # fsverity.rst: "the root hash of an empty file is all zeroes"
        above = self._hash_padded(bytes(self._rest))
        top = len(self._levels) - 1
        for level, digests in enumerate(self._levels):
            here = bytes(digests) + above
            above = here if level == top and len(here) == _DIGEST_BYTES else self._up(here)
        while len(above) > _DIGEST_BYTES:
            above = self._up(above)
        return above

    def _up(self, digests: bytes) -> bytes:
        blocks = range(0, len(digests), self._block_size)
        return b"".join(self._hash_padded(digests[at : at + self._block_size]) for at in blocks)

    def _hash_padded(self, block: bytes) -> bytes:
        return self._hash(block.ljust(self._block_size, b"\0")) if block else b""

    def _descriptor(self) -> bytes:
        """`struct fsverity_descriptor` (fsverity.rst, "File digest"), little-endian."""
        return descriptor(
            block_size=self._block_size,
            salt=self._salt,
            size_bytes=self._size_bytes,
            root=self._root(),
        )


def require_same_verity(stated: FsVerity, found: str, name: str) -> None:
    """Hold a digest of the stated parameters to the stated one.

    Raises:
        RefusedError: kind `digest`; it is another.
    """
    if found != stated.digest:
        raise RefusedError(
            RefusalKind.DIGEST,
            "the fs-verity digest differs from what was signed",
            where=name,
            expected=f"sha256:{stated.digest}",
            got=f"sha256:{found}",
        )


def descriptor(*, block_size: int, salt: bytes, size_bytes: int, root: bytes) -> bytes:
    """The 256 bytes whose SHA-256 is the digest of a file: version 1, no signature."""
    return b"".join(
        (
            bytes((1, SHA256_NUMBER, block_size.bit_length() - 1, len(salt))),
            bytes(4),
            size_bytes.to_bytes(8, "little"),
            root.ljust(64, b"\0"),
            salt.ljust(32, b"\0"),
            bytes(144),
        )
    )
