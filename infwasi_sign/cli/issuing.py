"""The time that `pack` and `renew` issue a package at, and what its sequence means then."""

import os
import re
from datetime import UTC, datetime
from typing import Final

from infwasi_sign.cli.output import say
from infwasi_sign.domain.rollback import JUMP_SECONDS, LAST_SECOND
from infwasi_sign.errors import UndecidedError

_SECONDS: Final = re.compile("[0-9]{1,20}")  # `int` has an error of its own for thousands of digits


def now_and_issued_at() -> tuple[datetime, datetime]:
    """Now, and the time of the package (reproducible-builds.org, SOURCE_DATE_EPOCH)."""
    now = datetime.now(UTC).replace(microsecond=0)
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch is None:
        return now, now
    if not _SECONDS.fullmatch(epoch) or int(epoch) > LAST_SECOND:
        raise UndecidedError(
            "not a time", where="SOURCE_DATE_EPOCH", expected="seconds since 1970", got=epoch[:40]
        )
    return now, datetime.fromtimestamp(int(epoch), UTC)


def say_if_far_ahead(sequence: int, now: datetime) -> None:
    """A number that verifiers take for a mistake, and that all later ones must exceed."""
    if sequence > int(now.timestamp()) + JUMP_SECONDS:
        say(
            "warning: the sequence is more than a year ahead of the time in seconds: "
            "verifiers refuse it without --accept-jump"
        )
