"""Which disks stay in the machine, by trees like those of /sys of real machines."""

import os
from pathlib import Path

import pytest

from infwasi_sign.adapters.fixed_disk import obstacle_to_fixed_disk

DEVICE = os.makedev(8, 1)
PCI = "devices/pci0000:00/0000:00:1f.2"


def disk(sysfs: Path, place: str, *, removable: str = "0\n", lower: tuple[str, ...] = ()) -> Path:
    """A whole disk at ``place``, with the mapping's lower devices."""
    path = sysfs / place
    (path / "slaves").mkdir(parents=True)
    (path / "removable").write_text(removable)
    for name in lower:
        (path / "slaves" / name.rpartition("/")[2]).symlink_to(sysfs / name)
    return path


def partition(path: Path) -> Path:
    path.mkdir()
    (path / "partition").write_text("1\n")
    return path


def known(sysfs: Path, path: Path) -> None:
    """The device of the tests is the one at ``path``."""
    (sysfs / "dev/block").mkdir(parents=True)
    (sysfs / "dev/block/8:1").symlink_to(path)


@pytest.mark.parametrize(
    "place",
    [
        f"{PCI}/ata1/host0/target0:0:0/0:0:0:0/block/sda",
        "devices/pci0000:00/0000:00:1d.0/0000:3d:00.0/nvme/nvme0/nvme0n1",
        "devices/pci0000:00/0000:00:02.0/virtio1/block/vda",
        "devices/platform/a003e00.virtio_mmio/virtio3/block/vda",
        "devices/vbd-51712/block/xvda",
        "devices/LNXSYSTM:00/LNXSYBUS:00/ACPI0004:00/VMBUS:00/0000/host0/target0:0:0/block/sda",
    ],
)
def test_a_disk_on_a_bus_that_is_known_is_fixed(place: str, tmp_path: Path) -> None:
    known(tmp_path, disk(tmp_path, place))
    assert obstacle_to_fixed_disk(DEVICE, tmp_path) is None


@pytest.mark.parametrize(
    "place",
    [
        "devices/virtual/block/loop0",
        "devices/virtual/block/nbd0",
        "devices/virtual/block/zram0",
        "devices/virtual/block/ram0",
        "devices/virtual/nvme-fabrics/ctl/nvme1/nvme1n1",
        "devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1",
        "devices/rbd/0/block/rbd0",
        "devices/platform/host2/session1/target2:0:0/2:0:0:1/block/sdb",
        f"{PCI}/host3/rport-3:0-1/target3:0:0/3:0:0:0/block/sdc",
        f"{PCI}/usb1/1-1/1-1:1.0/host4/target4:0:0/4:0:0:0/block/sdd",
        f"{PCI}/usb1/ata9/host4/target4:0:0/4:0:0:0/block/sdd",
        f"{PCI}/virtio2/host4/session1/target4:0:0/4:0:0:0/block/sdd",
        "devices/platform/soc/mmc_host/mmc0/mmc0:aaaa/block/mmcblk0",
        f"{PCI}/fw1/fw1.0/host5/target5:0:0/5:0:0:0/block/sde",
        "devices/something/new/block/new0",
    ],
)
def test_any_other_is_not(place: str, tmp_path: Path) -> None:
    known(tmp_path, disk(tmp_path, place))
    name = place.rpartition("/")[2]
    assert obstacle_to_fixed_disk(DEVICE, tmp_path) == (
        f"its disk is not known to be fixed ({name})"
    )


@pytest.mark.parametrize("removable", ["1\n", "", "2\n", "01\n", "x"])
def test_a_removable_disk_is_not_whatever_its_bus(removable: str, tmp_path: Path) -> None:
    place = f"{PCI}/ata1/host0/target0:0:0/0:0:0:0/block/sr0"
    known(tmp_path, disk(tmp_path, place, removable=removable))
    assert obstacle_to_fixed_disk(DEVICE, tmp_path) == "its disk is removable"


def test_a_partition_is_judged_by_its_disk(tmp_path: Path) -> None:
    sda = disk(tmp_path, f"{PCI}/ata1/block/sda")
    known(tmp_path, partition(sda / "sda1"))
    assert obstacle_to_fixed_disk(DEVICE, tmp_path) is None
    (sda / "removable").write_text("1\n")
    assert obstacle_to_fixed_disk(DEVICE, tmp_path) == "its disk is removable"


def mapping(sysfs: Path, *, second: str) -> None:
    """An encrypted volume on a mirror of two disks."""
    partition(disk(sysfs, f"{PCI}/ata1/block/sda") / "sda1")
    disk(sysfs, second)
    virtual = "devices/virtual/block"
    disk(sysfs, f"{virtual}/md0", lower=(f"{PCI}/ata1/block/sda/sda1", second))
    known(sysfs, disk(sysfs, f"{virtual}/dm-0", lower=(f"{virtual}/md0",)))


def test_a_mapping_is_as_fixed_as_all_of_its_disks(tmp_path: Path) -> None:
    mapping(tmp_path, second=f"{PCI}/ata2/block/sdb")
    assert obstacle_to_fixed_disk(DEVICE, tmp_path) is None


def test_one_disk_of_a_mapping_that_is_not_fixed_is_enough(tmp_path: Path) -> None:
    mapping(tmp_path, second=f"{PCI}/usb1/1-1/block/sdb")
    assert obstacle_to_fixed_disk(DEVICE, tmp_path) == "its disk is not known to be fixed (sdb)"


def test_a_mapping_upon_itself_comes_to_an_end(tmp_path: Path) -> None:
    name = "devices/virtual/block/dm-0"
    known(tmp_path, disk(tmp_path, name, lower=(name,)))
    assert obstacle_to_fixed_disk(DEVICE, tmp_path) == "its device is made of too many others"


def test_a_mapping_of_more_than_anybody_has_is_not_followed(tmp_path: Path) -> None:
    names = tuple(f"{PCI}/ata{number}/block/sd{number}" for number in range(65))
    for name in names:
        disk(tmp_path, name)
    known(tmp_path, disk(tmp_path, "devices/virtual/block/dm-0", lower=names))
    assert obstacle_to_fixed_disk(DEVICE, tmp_path) == "its device is made of too many others"


UNSEEN = "its file system lies on no block device that the system shows"


def test_what_the_system_does_not_show_is_not_fixed(tmp_path: Path) -> None:
    assert obstacle_to_fixed_disk(DEVICE, tmp_path) == UNSEEN
    (tmp_path / "dev/block").mkdir(parents=True)
    (tmp_path / "dev/block/8:1").symlink_to(tmp_path / "nowhere")
    assert obstacle_to_fixed_disk(DEVICE, tmp_path) == UNSEEN


def test_a_link_that_leads_out_of_it_is_not_followed(tmp_path: Path) -> None:
    outside = disk(tmp_path / "outside", f"{PCI}/ata1/block/sda")
    sysfs = tmp_path / "sys"
    known(sysfs, outside)
    assert obstacle_to_fixed_disk(DEVICE, sysfs) == UNSEEN


def test_no_number_of_a_file_in_memory_is_a_disk() -> None:
    assert obstacle_to_fixed_disk(os.makedev(0, 35)) == UNSEEN
