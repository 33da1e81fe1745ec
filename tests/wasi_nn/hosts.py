"""A host under test as the suite sees it: our own, or a command that runs one component."""

import json
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from tests.wasi_nn.cases import Case

DIED, HUNG = "died", "hung"
# What memory may grow by: what allocators keep, and less for each request than what the guests of
# `requests-left` and `requests-trapped` leave behind (30 resources; 4 KiB).
_GROWTH_BYTES: Final = 4 * 2**20
_GROWTH_BYTES_PER_REQUEST: Final = 1024
_PATIENCE_SECONDS: Final = 60  # beyond what the requests were granted


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How the requests ended: all in the same way, which ``end`` says; ``None`` is not known.

    ``live`` counts resources of the guests that the host still has, ``growth_bytes`` is how much
    resident memory grew from the first fifth of the requests to the last.
    """

    end: str
    live: int | None = None
    growth_bytes: int | None = None

    def faults(self, expect: tuple[str, ...], requests: int = 1) -> list[str]:
        """What is wrong with it, in words; empty if nothing is."""
        found = []
        if self.end not in expect:
            found.append(f"ended with {self.end!r}, not with {' or '.join(map(repr, expect))}")
        if self.live:
            found.append(f"{self.live} resources are left in the host")
        allowed_bytes = max(_GROWTH_BYTES, requests * _GROWTH_BYTES_PER_REQUEST)
        if self.growth_bytes is not None and self.growth_bytes > allowed_bytes:
            found.append(f"memory grew by {self.growth_bytes} bytes")
        return found


class Host(Protocol):
    """Runs ``component`` in ``requests`` requests, one after the other, in one host."""

    def run(self, component: bytes, *, requests: int, seconds: int) -> Outcome: ...


class CommandHost:
    """`COMMAND FILE REQUESTS SECONDS`, which prints one JSON object (README.md)."""

    def __init__(self, command: str) -> None:
        self._command = shlex.split(command)

    def run(self, component: bytes, *, requests: int, seconds: int) -> Outcome:
        """A process for each case, so that a host that crashes is one that died."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "guest.wasm")
            file.write_bytes(component)
            command = (*self._command, str(file), str(requests), str(seconds))
            try:
                done = subprocess.run(
                    command,
                    capture_output=True,
                    check=False,
                    timeout=requests * seconds + _PATIENCE_SECONDS,
                )
            except subprocess.TimeoutExpired:
                return Outcome(end=HUNG)
        if done.returncode != 0:
            return Outcome(end=f"{DIED} ({done.returncode})")
        return outcome_of(done.stdout)


def outcome_of(printed: bytes) -> Outcome:
    """What a command printed; anything but the object that README.md states is a dead host."""
    try:
        said = json.loads(printed)
        end, live, growth = said["end"], said.get("live"), said.get("growth_bytes")
    except (ValueError, KeyError, TypeError, AttributeError):
        return Outcome(end=f"{DIED} (printed no result)")
    if not isinstance(end, str) or not all(isinstance(n, int | None) for n in (live, growth)):
        return Outcome(end=f"{DIED} (printed no result)")
    return Outcome(end=end, live=live, growth_bytes=growth)


def judge(host: Host, case: Case, component: bytes, requests: int) -> list[str]:
    """What is wrong with how ``host`` treats the guest of ``case``."""
    count = requests if case.is_repeated else 1
    return host.run(component, requests=count, seconds=case.seconds).faults(case.expect, count)
