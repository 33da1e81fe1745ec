"""The cores that this process may use."""

import os
from pathlib import Path


def usable_cores() -> int:
    """How many cores this process may use: CPU affinity and the quota of cgroup v2 (cpu.max)."""
    cores = len(os.sched_getaffinity(0))
    try:
        own = Path("/proc/self/cgroup").read_text(encoding="ascii").strip().rpartition("::")[2]
    except (OSError, UnicodeDecodeError):
        return cores
    root = Path("/sys/fs/cgroup")
    group = root / own.lstrip("/")
    for folder in (group, *group.parents):
        if not folder.is_relative_to(root):
            break
        try:
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        except (OSError, ValueError):
            continue
        if quota.isdigit() and period.isdigit() and int(period):
            cores = min(cores, max(1, int(quota) // int(period)))
    return cores
