"""What is allowed in a policy and hardly meant."""

import re
from datetime import datetime
from typing import Final

from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.domain.rules import AnyOf, AtMost, Matching, NoneOf, OneOf, Rule
from infwasi_sign.errors import RefusalKind

_EVERYTHING: Final = re.compile(r"\*[*?]*|\?\*")
_PLACEHOLDER: Final = "0" * 64
_NEVER_IN_A_NAME: Final = re.compile(r"[^a-z0-9._*?\[\]!-]")  # docs/format.md section 4.1
_BEST_LEVEL: Final = LoadLevel.READ_LEASE  # the best one that this version reaches


def warnings(rules: tuple[Rule, ...], now: datetime) -> list[str]:
    """One line for each rule that permits everything, or nothing, or waits to be filled in."""
    return [f"{rule.place} {rule.name} {what}" for rule in rules if (what := _doubt(rule, now))]


def _doubt(rule: Rule, now: datetime) -> str | None:  # noqa: PLR0911 - one return per doubt
    match rule.test:
        case Matching(patterns=patterns) if any(_EVERYTHING.fullmatch(p) for p in patterns):
            return "permits everything"
        case Matching(patterns=patterns) if rule.fact == "package.name":
            wrong = [pattern for pattern in patterns if _NEVER_IN_A_NAME.search(pattern)]
            return f"can never hold for {wrong[0]!a}" if wrong else None
        case OneOf(values=values) if rule.kind is RefusalKind.LEVEL:
            if LoadLevel.NONE.label in values:
                return "permits everything"
            return None if _BEST_LEVEL.label in values else "can never hold with this version"
        case OneOf(values=values) | AnyOf(values=values) | NoneOf(values=values):
            is_open = any(value.endswith(_PLACEHOLDER) for value in values)
            return "is to be filled in" if is_open else None
        case AtMost(number=number) if rule.fact == "now" and number < now.timestamp():
            return "is over: this key is not trusted any more"
        case AtMost(number=0) if rule.kind is not RefusalKind.EXPIRED:
            return "can never hold"
        case _:
            return None
