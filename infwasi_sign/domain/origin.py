"""Where a value of the ML-BOM comes from: each has a tag, and what nobody said is tagged too."""

from enum import StrEnum
from typing import Final

OWN: Final = "infwasi:"
ORIGIN_PREFIX: Final = "infwasi:origin:"
"""`infwasi:origin:licenses` tells where the member `licenses` of the same component comes from."""

OF_PARTS: Final = "components."
"""`infwasi:origin:components.licenses` tells it of each component that is nested in this one, at
any depth, and has neither the member nor a tag of its own for it."""


class Origin(StrEnum):
    """Who vouches for a value (sbom/README.md).

    Measured: computed from bytes, and computed again at verification. File-declared: a file says
    it of itself, and it was read out of the signed bytes. User-declared: `model-card.toml` says it.
    """

    MEASURED = "measured"
    FILE_DECLARED = "file-declared"
    USER_DECLARED = "user-declared"
    UNKNOWN = "unknown"
