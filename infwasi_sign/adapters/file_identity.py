"""What the kernel says of an open file, so that no other file and no other state says the same.

Beyond fstat: the mount by a number that is never given twice (statx(2), STATX_MNT_ID_UNIQUE, Linux
6.8), the inode's generation (FS_IOC_GETVERSION) and the boot. The kernel's change counter
(STATX_CHANGE_COOKIE) is not shown to programs: struct statx has no member for it.
"""

import ctypes
import fcntl
import os
import struct
import sys
import time
import uuid
from typing import Final

from infwasi_sign.adapters.holding import file_system_type
from infwasi_sign.domain.identity_record import SECOND_NS, Moment, UniqueIdentity

_AT_EMPTY_PATH: Final = 0x1000  # linux/fcntl.h
_INO_SIZE_MTIME_CTIME: Final = 0x100 | 0x200 | 0x40 | 0x80  # linux/stat.h, STATX_...
_MNT_ID_UNIQUE: Final = 0x4000
_WANTED: Final = _INO_SIZE_MTIME_CTIME | _MNT_ID_UNIQUE
_STATX_BYTES: Final = 256
_GETVERSION: Final = 0x80007601 | ctypes.sizeof(ctypes.c_long) << 16  # _IOR('v', 1, long)
_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"

_libc: Final = ctypes.CDLL(None, use_errno=True)


def read_clocks() -> Moment:
    """Now, by the wall's clock and by the one that counts from the boot (clock_gettime(2))."""
    return Moment(wall_ns=time.time_ns(), boot_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME))


def read_boot_id() -> bytes:
    """The 16 bytes that are new at each boot (random(4)).

    Raises:
        OSError: the system does not tell.
    """
    with open(_BOOT_ID, "rb") as file:
        text = file.read(64).strip()
    try:
        return uuid.UUID(text.decode("ascii")).bytes
    except ValueError as e:
        raise OSError("the boot has no id") from e


def unique_identity(descriptor: int, boot_id: bytes) -> UniqueIdentity:
    """The identity of an open file; no path is opened.

    Raises:
        OSError: the kernel or the file system does not tell all of it.
    """
    found = _statx(descriptor)
    mask = int.from_bytes(found[0:4], sys.byteorder)
    if mask & _WANTED != _WANTED:
        raise OSError("the kernel does not tell a unique mount")
    # struct statx (statx(2)): ino, size at 0x20; ctime, mtime at 0x60, 0x70; dev at 0x88; mnt_id
    inode, size_bytes = struct.unpack_from("=QQ", found, 0x20)
    ctime = struct.unpack_from("=qI", found, 0x60)
    mtime = struct.unpack_from("=qI", found, 0x70)
    major, minor, mount_id = struct.unpack_from("=IIQ", found, 0x88)
    return UniqueIdentity(
        boot_id=boot_id,
        mount_id=mount_id,
        file_system_type=file_system_type(descriptor),
        file_system_id=os.fstatvfs(descriptor).f_fsid,
        device=os.makedev(major, minor),
        inode=inode,
        generation=_generation(descriptor),
        size_bytes=size_bytes,
        mtime_ns=mtime[0] * SECOND_NS + mtime[1],
        ctime_ns=ctime[0] * SECOND_NS + ctime[1],
    )


def _statx(descriptor: int) -> bytes:
    call = getattr(_libc, "statx", None)  # glibc has it since 2.28
    if call is None:
        raise OSError("the C library has no statx")
    found = ctypes.create_string_buffer(_STATX_BYTES)
    if call(descriptor, b"", _AT_EMPTY_PATH, ctypes.c_uint(_WANTED), found) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return found.raw


def _generation(descriptor: int) -> int:
    # The file systems write an int, although the request says long.
    answer = fcntl.ioctl(descriptor, _GETVERSION, bytes(8))
    return int.from_bytes(answer[:4], sys.byteorder)
