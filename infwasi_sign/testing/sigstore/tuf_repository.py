"""The TUF repository that delivers trusted root and signing configuration.

The Update Framework specification 1.0, with consistent snapshots (section 6.2) and one key for all
four roles, which only a test may have.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from infwasi_sign.testing.sigstore.exchange import Request, RequestError, Response
from infwasi_sign.testing.sigstore.faults import Fault

_LIFETIME: Final = timedelta(days=1)
_ROLES: Final = ("root", "targets", "snapshot", "timestamp")


class TufRepository:
    """Files under one address; it goes by the clock of the machine, as its clients do."""

    def __init__(self, *, url: str, files: Mapping[str, bytes], faults: frozenset[Fault]) -> None:
        self.url = url
        signer = CryptoSigner.generate_ecdsa()
        now = datetime.now(UTC).replace(microsecond=0)
        ends = now + _LIFETIME
        root = Root(expires=ends, consistent_snapshot=True)
        for role in _ROLES:
            root.add_key(signer.public_key, role)
        targets = Targets(expires=ends)
        self._files: dict[str, bytes] = {}
        for name, data in files.items():
            targets.targets[name] = TargetFile.from_data(name, data, ["sha256"])
            if Fault.TUF_TARGET_CHANGED in faults:
                data = data.replace(b"2000-", b"2001-")  # noqa: PLW2901 - what is served, not signed
            self._files[f"targets/{targets.targets[name].hashes['sha256']}.{name}"] = data
        is_over = Fault.TUF_EXPIRED in faults
        timestamp = Timestamp(
            expires=now - _LIFETIME if is_over else ends, snapshot_meta=MetaFile(1)
        )
        is_forged = Fault.TUF_BAD_SIGNATURE in faults
        forger = CryptoSigner.generate_ecdsa() if is_forged else signer
        snapshot = Snapshot(expires=ends, meta={"targets.json": MetaFile(1)})
        self._files |= {
            "1.root.json": _signed(Metadata(root), signer),
            "1.targets.json": _signed(Metadata(targets), signer),
            "1.snapshot.json": _signed(Metadata(snapshot), signer),
            "timestamp.json": _signed(Metadata(timestamp), forger),
        }
        self.root: bytes = self._files["1.root.json"]

    def file(self, request: Request) -> Response:
        """`GET` of one file; a client asks for the next root until there is none."""
        data = self._files.get(request.path.removeprefix("/tuf/"))
        if data is None:
            raise RequestError("not found", status=404)
        return Response(body=data)


def _signed(metadata: Metadata[Any], signer: CryptoSigner) -> bytes:
    metadata.sign(signer)
    return metadata.to_bytes()
