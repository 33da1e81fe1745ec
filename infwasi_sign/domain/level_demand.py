"""What caller and policy demand of the level, against one that is, or could be, reached."""

from typing import TYPE_CHECKING

from infwasi_sign.domain.facts import LOAD_LEVEL
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.domain.policy import Policy, decide, require
from infwasi_sign.errors import RefusalKind, RefusedError
from infwasi_sign.quick_dataclass import dataclass

if TYPE_CHECKING:
    from infwasi_sign.domain.rules import Facts, Outcome, Rule


@dataclass(frozen=True, kw_only=True, slots=True)
class LevelDemand:
    """What one verification demands, by the claims of its package; both methods are for `guard`."""

    caller: LoadLevel
    policy: Policy
    claims: "Facts"

    def is_enough(self, level: LoadLevel) -> bool:
        """See `is_enough`."""
        return is_enough(level, caller=self.caller, policy=self.policy, claims=self.claims)

    def require_possible(self, level: LoadLevel, reason: str) -> None:
        """See `require_possible`."""
        require_possible(level, reason, caller=self.caller, policy=self.policy, claims=self.claims)


def is_enough(level: LoadLevel, *, caller: LoadLevel, policy: Policy, claims: "Facts") -> bool:
    """Whether this level meets every demand, as far as can be told before anything is measured.

    A rule about the level that cannot be decided yet counts as one that demands more.
    """
    said = decide(policy, {**claims, LOAD_LEVEL: level.label})
    about = [outcome for outcome in said if LOAD_LEVEL in outcome.rule.facts]
    return level >= caller and all(outcome.is_met for outcome in about)


def require_possible(
    level: LoadLevel, reason: str, *, caller: LoadLevel, policy: Policy, claims: "Facts"
) -> None:
    """Refuse the best level that can be reached if it is too low whatever will be measured.

    So that nobody waits for gigabytes to be copied and hashed, to hear what is known before. What
    is not decided yet is no refusal; `require_rules_and_level` has the last word.

    Raises:
        RefusedError: as `require_rules_and_level`, by the rules about the level alone.
    """
    said = decide(policy, {**claims, LOAD_LEVEL: level.label})
    about = tuple(outcome for outcome in said if LOAD_LEVEL in outcome.rule.facts)
    require_rules_and_level(about, caller=caller, reached=level, reason=reason)


def require_rules_and_level(
    outcomes: "tuple[Outcome, ...]", *, caller: LoadLevel, reached: LoadLevel, reason: str
) -> None:
    """Hold to the policy's rules and the caller's level; of two levels the higher one is named.

    ``reason`` says why no better level was reached; it is empty for the best of this version.

    Raises:
        RefusedError: of a rule's kind; kind `level`, it is not what the caller demands.
    """
    if reached >= caller:
        require(outcomes)
        return
    require(tuple(o for o in outcomes if not _demands_no_more(o.rule, caller)))
    raise RefusedError(
        RefusalKind.LEVEL,
        "the model is not held as surely as the caller demands",
        where="--require-level",
        expected=" or ".join(level.label for level in LoadLevel if level >= caller),
        got=f"{reached.label}: {reason or 'this version reaches none better'}",
    )


def _demands_no_more(rule: "Rule", caller: LoadLevel) -> bool:
    """Whether it is a minimum level that the caller's level would meet."""
    from infwasi_sign.domain.rules import OneOf  # noqa: PLC0415 - who has no rule needs none of it

    return (
        rule.fact == LOAD_LEVEL
        and isinstance(rule.test, OneOf)
        and caller.label in rule.test.values
    )
