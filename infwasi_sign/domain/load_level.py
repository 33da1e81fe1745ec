"""The ladder: how surely the bytes that run are the bytes that were measured."""

from enum import IntEnum


class LoadLevel(IntEnum):
    """How surely the bytes that run are the bytes that were measured; higher is better.

    The order is by who is shut out, not by cost: a file of root's is held without a copy, but who
    opened it for writing before it became root's still can, and so a copy counts for more (ADR 16).
    """

    NONE = 0
    FOREIGN_OWNER = 1
    PRIVATE_COPY = 2
    SEALED_MEMFD = 3
    READ_LEASE = 4
    FS_VERITY = 5

    @property
    def label(self) -> str:
        """The word for people and for JSON: `read-lease`."""
        return self.name.lower().replace("_", "-")
