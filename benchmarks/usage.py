"""What a process used, by the kernel's own count when it ended (getrusage(2), wait4(2))."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

# A process counts the memory of the one that started it until it calls exec, and the benchmarks are
# large. This one is as small as a Python can be, so that it hides nobody. Standard library only.
_LAUNCHER: Final = """\
import json, os, sys, time
start = time.monotonic_ns()
nothing = os.open(os.devnull, os.O_RDWR)
to = [(os.POSIX_SPAWN_DUP2, nothing, stream) for stream in (0, 1)]
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=to)
_, status, used = os.wait4(pid, 0)
json.dump([os.waitstatus_to_exitcode(status), time.monotonic_ns() - start, used.ru_utime
    + used.ru_stime, used.ru_maxrss, used.ru_inblock], sys.stdout)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Of a process from its start to its end, and of what it waited for."""

    seconds: float
    processor_seconds: float
    most_resident_bytes: int
    read_from_disk_bytes: int


def process_usage(arguments: Sequence[str], environment: Mapping[str, str]) -> Usage:
    """Run a process, given by its path; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _LAUNCHER, *arguments],
        env=environment,
        check=True,
        capture_output=True,
    )
    code, nanoseconds, processor, resident, blocks = json.loads(done.stdout)
    if code != 0:
        raise RuntimeError(f"exit code {code}: {arguments[:3]}: {done.stderr[-300:]!r}")
    return Usage(
        seconds=nanoseconds / 1e9,
        processor_seconds=processor,
        most_resident_bytes=resident * 1024,  # in KiB on Linux
        read_from_disk_bytes=blocks * 512,  # in blocks of 512 bytes on Linux
    )
