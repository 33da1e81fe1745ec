"""The one door to fs-verity: two questions and one request to the kernel, by ioctl(2).

With fs-verity on, the kernel lets nobody write to a file any more, root included, and holds every
page that it reads to a Merkle tree whose root it keeps in memory (Linux,
Documentation/filesystems/fsverity.rst). What cannot be changed needs no lease and no copy, and
whose digest is the signed one needs no hash.

NOTE: a page that does not fit its tree is an error to who reads it (EIO), and the end of the
process to who has it mapped (SIGBUS).
"""

import ctypes
import errno
import fcntl
import hashlib
import os
import struct
from typing import Final

from infwasi_sign.adapters.holding import file_system_type
from infwasi_sign.domain.fs_verity import BLOCK_BYTES, SHA256_NUMBER, require_same_verity
from infwasi_sign.domain.manifest import FsVerity
from infwasi_sign.quick_dataclass import dataclass

# linux/fsverity.h; _IOW and _IOWR of asm-generic/ioctl.h
_ENABLE_VERITY: Final = 0x40806685  # _IOW('f', 133, struct fsverity_enable_arg)
_MEASURE_VERITY: Final = 0xC0046686  # _IOWR('f', 134, struct fsverity_digest)
_READ_METADATA: Final = 0xC0286687  # _IOWR('f', 135, struct fsverity_read_metadata_arg)
_DESCRIPTOR: Final = 2  # FS_VERITY_METADATA_TYPE_DESCRIPTOR
_DESCRIPTOR_BYTES: Final = 256
_MOST_DIGEST_BYTES: Final = 64  # SHA-512, the longest there is
_ENABLE_VERSION: Final = 1

FILE_SYSTEMS: Final = {
    # Those whose fs-verity is the kernel's own. Whoever serves a FUSE file system answers the same
    # question as they like.
    0xEF53: "ext4",
    0xF2F52010: "f2fs",
    0x9123683E: "btrfs",
}

_NOT_ON: Final = "fs-verity is not on for the file"
_OBSTACLES: Final = {
    # fsverity.rst, "FS_IOC_MEASURE_VERITY" and "FS_IOC_ENABLE_VERITY"
    errno.ENODATA: _NOT_ON,
    errno.ENOTTY: "the kernel has no fs-verity for this file system",
    errno.EOPNOTSUPP: "the kernel or this file system has fs-verity switched off",
    errno.ETXTBSY: "somebody has the file open for writing",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "the file may not be written",
    errno.EPERM: "the file may not be changed",
    errno.EINVAL: f"the kernel cannot do blocks of {BLOCK_BYTES} bytes here",
    errno.ENOSPC: "no space is left for the tree",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelDigest:
    """What the kernel measures of a file; parameters are ``None`` before Linux 5.12.

    ``algorithm`` is a number of linux/fsverity.h.
    """

    algorithm: int
    digest: bytes
    block_size: int | None = None
    salt: bytes | None = None


def enable(descriptor: int) -> str | None:
    """Switch fs-verity on for a file that is open for reading only; says why if that is not to be.

    For ever: there is no way back but to remove the file. SHA-256, `BLOCK_BYTES`, no salt.
    """
    obstacle = _obstacle_of_place(descriptor)
    if obstacle is not None:
        return obstacle
    # version, hash_algorithm, block_size, salt_size, salt_ptr, sig_size, -, sig_ptr, - (11 words)
    argument = struct.pack("=4IQIIQ88x", _ENABLE_VERSION, SHA256_NUMBER, BLOCK_BYTES, 0, 0, 0, 0, 0)
    try:
        fcntl.ioctl(descriptor, _ENABLE_VERITY, argument)
    except OSError as e:
        return None if e.errno == errno.EEXIST else _said(e)
    return None


def kernel_digest(descriptor: int) -> KernelDigest | str:
    """What the kernel holds every read of the file to; or why there is nothing."""
    obstacle = _obstacle_of_place(descriptor)
    if obstacle is not None:
        return obstacle
    # digest_algorithm; digest_size, which is the room for it before the call; digest
    answer = bytearray(struct.pack(f"=HH{_MOST_DIGEST_BYTES}x", 0, _MOST_DIGEST_BYTES))
    try:
        fcntl.ioctl(descriptor, _MEASURE_VERITY, answer)
    except OSError as e:
        return _said(e)
    algorithm, size = struct.unpack_from("=HH", answer)
    digest = bytes(answer[4 : 4 + size])
    block_size, salt = _parameters(descriptor, digest)
    return KernelDigest(algorithm=algorithm, digest=digest, block_size=block_size, salt=salt)


def obstacle_to_fs_verity(descriptor: int, stated: FsVerity | None, name: str) -> str | None:
    """Why the kernel does not hold the file to the signed digest; ``None``: it does.

    The digest binds algorithm, block size, salt and size, so one that is equal needs no more.

    Raises:
        RefusedError: kind `digest`; it holds the file to another, of the same parameters.
    """
    if stated is None:
        return "the package states no fs-verity digest"
    found = kernel_digest(descriptor)
    if isinstance(found, str):
        return found
    if found.algorithm != SHA256_NUMBER:
        return f"fs-verity is on with another hash function (number {found.algorithm})"
    mine = (found.block_size, None if found.salt is None else found.salt.hex())
    is_other = found.block_size is not None and mine != (stated.block_size, stated.salt)
    if is_other and found.digest.hex() != stated.digest:
        return (
            "fs-verity is on with other parameters than the signed ones "
            f"(block size {mine[0]}, salt {mine[1] or 'none'})"
        )
    require_same_verity(stated, found.digest.hex(), name)
    return None


def _obstacle_of_place(descriptor: int) -> str | None:
    kind = file_system_type(descriptor)
    if kind not in FILE_SYSTEMS:
        return f"no fs-verity on this file system (type 0x{kind:x})"
    return None


def _said(error: OSError) -> str:
    known = _OBSTACLES.get(error.errno or 0)
    return known or f"fs-verity is denied: {os.strerror(error.errno or 0).lower()}"


def _parameters(descriptor: int, digest: bytes) -> tuple[int | None, bytes | None]:
    """Block size and salt, from the descriptor whose hash the digest is."""
    found = ctypes.create_string_buffer(_DESCRIPTOR_BYTES)
    # metadata_type, offset, length, buf_ptr, -
    argument = struct.pack("=5Q", _DESCRIPTOR, 0, len(found), ctypes.addressof(found), 0)
    try:
        fcntl.ioctl(descriptor, _READ_METADATA, argument)
    except OSError:
        return None, None
    data = found.raw
    if hashlib.sha256(data).digest() != digest:
        return None, None  # SHA-512, whose parameters nobody asks about
    log_block_size, salt_size = data[2], data[3]
    return 1 << log_block_size, data[80 : 80 + salt_size]
