"""The ladder: how surely the bytes that run are the bytes that were measured."""

from enum import IntEnum


class LoadLevel(IntEnum):
    """How surely the bytes that run are the bytes that were measured; higher is better."""

    NONE = 0
    PRIVATE_COPY = 1
    SEALED_MEMFD = 2
    FOREIGN_OWNER = 3
    READ_LEASE = 4
    FS_VERITY = 5

    @property
    def label(self) -> str:
        """The word for people and for JSON: `read-lease`."""
        return self.name.lower().replace("_", "-")
