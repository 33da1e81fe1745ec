"""What of format v1 this version verifies; the rest has its places in the format already."""

from infwasi_sign.domain.manifest import Manifest
from infwasi_sign.errors import UndecidedError


def require_supported(manifest: Manifest) -> None:
    """Format v1 has places that this version cannot use yet; it says so and stops.

    Raises:
        UndecidedError: the package needs one of them.
    """
    unsupported = (
        ("LoRA adapters", bool(manifest.loras)),
        ("projectors", bool(manifest.projectors)),
        ("several models", len(manifest.models) > 1),
        ("a model in several shards", any(len(m.shards) > 1 for m in manifest.models)),
        ("an embedded model", any(e.offset is not None for e in manifest.entries)),
    )
    for what, is_there in unsupported:
        if is_there:
            raise UndecidedError(f"{what} cannot be verified by this version yet")
