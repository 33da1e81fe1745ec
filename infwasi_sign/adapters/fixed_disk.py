"""Whether a file system lies on a disk that stays in this machine, as far as sysfs can tell.

What the kernel says of a file means nothing about its bytes where something else can change them:
a disk that is carried to another machine, or one that is served by another machine, or an image
that is a file of somebody's. So this is a list of what is known to be fixed, and all else is not:

- a disk on a bus in `_FIXED_BUSES`, whose ``removable`` is 0 (Documentation/ABI/stable/sysfs-block)
- a mapping (dm, md) whose lower devices (``slaves``) are all such disks

Loop and network block devices, memory, USB, iSCSI, Fibre Channel and cards are none. A disk of a
virtual machine is whatever its host makes of it, and the host can do everything anyway.
"""

import os
import re
from pathlib import Path
from typing import Final

SYSFS: Final = Path("/sys")

_FIXED_BUSES: Final = re.compile(
    # libata, NVMe on PCI, and the disks of KVM, Xen and Hyper-V, by their names in /sys/devices
    r"/(ata[0-9]+|pci[0-9a-f:]+/.*/nvme/nvme[0-9]+|virtio[0-9]+|vbd-[0-9]+|VMBUS:[0-9a-f]+)/"
)
_NEVER: Final = re.compile(r"/(usb[0-9]+|session[0-9]+|rport-[^/]+|fw[0-9]+|mmc_host)/")
_DEEPEST: Final = 8  # mappings upon mappings: encryption on volumes on a mirror is 3
_MOST: Final = 64  # disks of one mapping


def obstacle_to_fixed_disk(device: int, sysfs: Path = SYSFS) -> str | None:
    """Why the block device of this number may be none of this machine's own; ``None``: it is."""
    found = sysfs / "dev" / "block" / f"{os.major(device)}:{os.minor(device)}"
    try:
        return _obstacle(Path(os.path.realpath(found, strict=True)), sysfs, _DEEPEST)
    except (OSError, ValueError):  # not there, or it leads out of sysfs
        return "its file system lies on no block device that the system shows"


def _obstacle(place: Path, sysfs: Path, depth: int) -> str | None:
    if depth == 0:
        return "its device is made of too many others"
    disk = place.parent if (place / "partition").exists() else place
    if (disk / "removable").read_bytes()[:2] != b"0\n":
        return "its disk is removable"
    below = list((disk / "slaves").iterdir())
    if below:
        if len(below) > _MOST:
            return "its device is made of too many others"
        lower = (Path(os.path.realpath(link, strict=True)) for link in below)
        return next((why for one in lower if (why := _obstacle(one, sysfs, depth - 1))), None)
    name = f"/{disk.relative_to(os.path.realpath(sysfs)).as_posix()}/"
    if _FIXED_BUSES.search(name) and not _NEVER.search(name):
        return None
    return f"its disk is not known to be fixed ({disk.name})"
