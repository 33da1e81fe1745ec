"""When a package that is made now will end."""

from datetime import datetime, timedelta

from infwasi_sign.errors import UndecidedError


def end_of_validity(
    issued_at: datetime, valid_for: timedelta | None, now: datetime
) -> datetime | None:
    """The end of a package that is issued at ``issued_at``; ``None`` stands for never.

    Raises:
        UndecidedError: it lies behind ``now`` or beyond what dates can say.
    """
    if valid_for is None:
        return None
    try:
        expires_at = issued_at + valid_for
    except OverflowError as error:
        raise UndecidedError(
            "the package would expire after the year 9999",
            where="package.valid-days",
            got=f"issued {issued_at:%Y-%m-%d}, {valid_for.days} days",
            hint="check SOURCE_DATE_EPOCH; valid-days = 0 means never",
        ) from error
    if expires_at <= now:
        raise UndecidedError(
            "the package would be expired already",
            where="package.valid-days",
            got=f"issued {issued_at:%Y-%m-%d}, expired {expires_at:%Y-%m-%d}",
            hint="check SOURCE_DATE_EPOCH and valid-days",
        )
    return expires_at
