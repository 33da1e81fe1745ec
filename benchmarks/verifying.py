"""`infwasi verify` of a package, whole process, against its peers and against hashing alone."""

import shutil
import sys
from pathlib import Path

from benchmarks.scene import ENVIRONMENT, MODEL, command, package
from benchmarks.timing import Figure, in_turns, process_seconds

_PEERS = {
    "openssl dgst -sha256": ["openssl", "dgst", "-sha256", str(MODEL)],
    "sha256sum": ["sha256sum", str(MODEL)],
}


def measure(runs: int) -> list[Figure]:
    with package() as arguments:
        verify = [*command(), "verify", *arguments]
        what = f"verify, model of {MODEL.stat().st_size / 1e6:.0f} MB"
        against_peer = in_turns(
            what,
            lambda: process_seconds(verify, ENVIRONMENT),
            {"model_signing verify key": lambda: process_seconds(_peer(*arguments), ENVIRONMENT)},
            runs=runs,
            goal=0.5,
        )
        return against_peer + in_turns(
            what,
            lambda: process_seconds(verify, ENVIRONMENT),
            {
                name: lambda peer=peer: process_seconds(peer, ENVIRONMENT)  # type: ignore[misc] # mypy cannot infer lambdas with defaults
                for name, peer in _PEERS.items()
                if shutil.which(peer[0]) is not None
            },
            runs=runs,
        )


def _peer(package: str, _: str, key: str) -> list[str]:
    """The same package, by its companion and the same key."""
    model_signing = str(Path(sys.executable).parent / "model_signing")
    signature = str(Path(package) / "model.sig")
    return [
        *(model_signing, "verify", "key", package),
        *("--signature", signature, "--public_key", key),
    ]
