"""What is allowed in a policy and hardly meant."""

import re
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Final

from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.facts import COMPUTED, TRUST_AGE
from infwasi_sign.domain.interfaces import APP_IMPORTS
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.domain.policy_file import PolicyFile
from infwasi_sign.domain.rules import (
    AnyOf,
    AtMost,
    Holds,
    Matching,
    NoneOf,
    OneOf,
    Rule,
    Unaffected,
)
from infwasi_sign.errors import RefusalKind

_EVERYTHING: Final = re.compile(r"\*[*?]*|\?\*")
_PLACEHOLDER: Final = "0" * 64
_NEVER_IN_A_NAME: Final = re.compile(r"[^a-z0-9._*?\[\]!-]")  # docs/format.md section 4.1
_BEST_LEVEL: Final = LoadLevel.READ_LEASE  # the best one that this version reaches


def warnings(rules: tuple[Rule, ...], now: datetime) -> list[str]:
    """One line for each rule that permits everything, or nothing, or waits to be filled in."""
    return [f"{rule.place} {rule.name} {what}" for rule in rules if (what := _doubt(rule, now))]


def signer_warnings(file: PolicyFile) -> list[str]:
    """One line for each signer whose identity is judged by a trust root of any age."""
    if any(rule.fact == TRUST_AGE for rule in file.rules):
        return []
    return [
        f"signer {signer.name}: the trust root of its identities may be of any age; "
        "[sigstore] maximum-age-days bounds it"
        for signer in file.signers
        if signer.identities
    ]


def identity_cache_warnings(file: PolicyFile, rules: tuple[Rule, ...]) -> list[str]:
    """One line for each demand of a digest that the identity cache may answer from yesterday."""
    if file.identity_cache_at is None:
        return []
    demands = [f"{rule.place} {rule.name}" for rule in rules if COMPUTED in rule.facts]
    if Algorithm.SHA256 in file.digests:
        demands.append("a digest by SHA-256")
    return [
        f"{file.identity_cache_at} lets a digest count that an earlier run computed, and "
        f"{demand} is demanded"
        for demand in demands
    ]


def vulnerability_warnings(file: PolicyFile) -> list[str]:
    """A line for a refusal that sees no statements but those that packers attach themselves."""
    if file.vex_file is not None:
        return []
    return [
        f"{rule.place} {rule.name} sees only what packers state of their own packages, and "
        "one that states nothing passes; [vulnerabilities] vex names a file of your own statements"
        for rule in file.rules
        if isinstance(rule.test, Unaffected)
    ]


def _doubt(rule: Rule, now: datetime) -> str | None:  # noqa: PLR0911 - one return per doubt
    match rule.test:
        case Holds(constant=bool(answer)):
            return "is always true" if answer else "is always false"
        case Holds(facts=()):
            return "is about no fact"
        case Matching(patterns=patterns):
            return _doubtful_pattern(rule, patterns)
        case OneOf(values=values) | AnyOf(values=values) | NoneOf(values=values):
            return _doubtful_values(rule, values)
        case Unaffected(permitted=permitted):
            over = [
                name for name, until in permitted if until is not None and until <= now.timestamp()
            ]
            return f"no longer permits {over[0]!a}" if over else None
        case AtMost(number=number) if rule.fact == "now" and number < now.timestamp():
            return "is over: this key is not trusted any more"
        case AtMost(number=0) if rule.kind is not RefusalKind.EXPIRED:
            return "can never hold"
        case _:
            return None


def _doubtful_pattern(rule: Rule, patterns: tuple[str, ...]) -> str | None:
    if any(_EVERYTHING.fullmatch(pattern) for pattern in patterns):
        return "permits everything"
    wrong: list[str] = []
    if rule.fact == "package.name":
        wrong = [pattern for pattern in patterns if _NEVER_IN_A_NAME.search(pattern)]
    elif rule.fact == "component.imports":  # no component may import anything else
        wrong = [p for p in patterns if not any(fnmatchcase(name, p) for name in APP_IMPORTS)]
    return f"can never hold for {wrong[0]!a}" if wrong else None


def _doubtful_values(rule: Rule, values: tuple[str, ...]) -> str | None:
    if rule.kind is RefusalKind.LEVEL:
        if LoadLevel.NONE.label in values:
            return "permits everything"
        return None if _BEST_LEVEL.label in values else "can never hold with this version"
    if rule.fact == "package.expires" and len(set(values)) > 1:
        return "permits everything"
    if any(value.endswith(_PLACEHOLDER) for value in values):
        return "is to be filled in"
    pattern = next((value for value in values if "*" in value), None)
    return None if pattern is None else f"can never hold for {pattern!a}: it is no pattern"
