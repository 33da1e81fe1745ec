"""The clock of a command."""

from datetime import UTC, datetime


def now_utc() -> datetime:
    """The clock, read once per command."""
    return datetime.now(UTC)
