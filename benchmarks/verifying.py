"""`infwasi verify` of a package, whole process, against hashing its model alone."""

import shutil

from benchmarks.scene import ENVIRONMENT, MODEL, command, package
from benchmarks.timing import Figure, in_turns, process_seconds

_PEERS = {
    "openssl dgst -sha256": ["openssl", "dgst", "-sha256", str(MODEL)],
    "sha256sum": ["sha256sum", str(MODEL)],
}


def measure(runs: int) -> list[Figure]:
    with package() as arguments:
        verify = [*command(), "verify", *arguments]
        return in_turns(
            f"verify, model of {MODEL.stat().st_size / 1e6:.0f} MB",
            lambda: process_seconds(verify, ENVIRONMENT),
            {
                name: lambda peer=peer: process_seconds(peer, ENVIRONMENT)  # type: ignore[misc] # mypy cannot infer lambdas with defaults
                for name, peer in _PEERS.items()
                if shutil.which(peer[0]) is not None
            },
            runs=runs,
        )
