"""Policy files: TOML into rules, read strictly, each rule with the line that wrote it.

docs/policy.md explains every key. Unknown sections and keys, wrong types and lists that permit
nothing are errors: whom to trust is never guessed.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.facts import HOST_LIBRARIES
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.domain.policy import RunLimit
from infwasi_sign.domain.rules import (
    AnyOf,
    AtLeast,
    AtMost,
    Including,
    Matching,
    NoneOf,
    OneOf,
    Rule,
    Test,
    VersionAtLeast,
)
from infwasi_sign.errors import RefusalKind, UndecidedError

VERSION: Final = 1

Table = Mapping[str, object]


@dataclass(frozen=True, kw_only=True, slots=True)
class KeySpec:
    """A public key of a signer: its PEM text, or a file beside the policy."""

    pem: str | None
    file: str | None
    not_after: datetime | None
    place: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SignerSpec:
    """Somebody who may sign, by the name that results show."""

    name: str
    keys: tuple[KeySpec, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyFile:
    """What a policy file says; the signers' keys are not loaded yet."""

    signers: tuple[SignerSpec, ...]
    rules: tuple[Rule, ...]
    limits: Mapping[RunLimit, int]
    digests: frozenset[Algorithm]


# --- one key, one rule -----------------------------------------------------------------------


def _texts(make: Callable[[tuple[str, ...]], Test]) -> Callable[["_Reader", object, str], Test]:
    return lambda reader, value, where: make(reader.texts(value, where))


def _number(make: Callable[[int], Test]) -> Callable[["_Reader", object, str], Test]:
    return lambda reader, value, where: make(reader.number(value, where))


def _level(reader: "_Reader", value: object, where: str) -> Test:
    labels = {level.label: level for level in LoadLevel}
    label = reader.text(value, where)
    if label not in labels:
        raise reader.error("unknown level", where, expected=", ".join(labels))
    return AtLeast(number=int(labels[label]))


@dataclass(frozen=True, slots=True)
class _Key:
    fact: str
    make: Callable[["_Reader", object, str], Test]
    kind: RefusalKind = RefusalKind.POLICY


_ONE_OF: Final = _texts(lambda values: OneOf(values=values))
_ANY_OF: Final = _texts(lambda values: AnyOf(values=values))
_AT_MOST: Final = _number(lambda number: AtMost(number=number))
_RULE_KEYS: Final[Mapping[str, Mapping[str, _Key]]] = {
    "component": {
        "imports": _Key("component.imports", _texts(lambda values: Matching(patterns=values))),
        "max-bytes": _Key("component.size", _AT_MOST),
        "digests": _Key("component.digests", _ANY_OF),
    },
    "model": {
        "architectures": _Key("model.architectures", _ONE_OF),
        "licenses": _Key("model.licenses", _ONE_OF),
        "quantizations": _Key("model.quantizations", _ONE_OF),
        "digests": _Key("model.digests", _ANY_OF),
        "chat-templates": _Key("model.chat-templates", _ONE_OF),
        "max-bytes": _Key("model.size", _AT_MOST),
        "max-parameters": _Key("model.parameters", _AT_MOST),
    },
    "bom": {"require": _Key("bom.properties", _texts(lambda values: Including(values=values)))},
    "host": {"libraries": _Key(HOST_LIBRARIES, _ONE_OF)},
    "load": {"minimum-level": _Key("load.level", _level, RefusalKind.LEVEL)},
}
_PACKAGE_KEYS: Final[Mapping[str, _Key]] = {
    "minimum-version": _Key(
        "package.version",
        lambda reader, value, where: VersionAtLeast(version=reader.text(value, where)),
    ),
    "minimum-sequence": _Key("package.sequence", _number(lambda number: AtLeast(number=number))),
    "maximum-age-days": _Key("package.age-days", _AT_MOST, RefusalKind.EXPIRED),
    "expires": _Key("package.expires", _ONE_OF),
}
_DENY_FACTS: Final = {
    "key": "signer.key",
    "statement": "statement.digest",
    "model": "model.digests",
    "component": "component.digests",
    "part": "component.parts",
    "library": HOST_LIBRARIES,
    "package": "package.release",
}
_SECTIONS: Final = frozenset(
    {*_RULE_KEYS, "version", "description", "signer", "package", "run", "digests", "deny"}
)


def parse_policy(data: bytes, *, where: str) -> PolicyFile:
    """Read a policy file.

    Raises:
        UndecidedError: naming the key, what it must be and what it is.
    """
    try:
        text = data.decode()
        document = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UndecidedError(f"not TOML: {str(error).splitlines()[0]}", where=where) from error
    return _Reader(document, _lines(text), where).policy()


class _Reader:
    """Walks one document; knows the line of every key for the errors and for `policy why`."""

    def __init__(self, document: Table, lines: Mapping[str, int], where: str) -> None:
        self._document = document
        self._lines = lines
        self._where = where

    def place(self, key: str) -> str:
        """File and line of a key like ``signer[0].name``."""
        section = key.rsplit(".", 1)[0]
        line = self._lines.get(key, self._lines.get(section))
        return self._where if line is None else f"{self._where}:{line}"

    def error(
        self, what: str, key: str, *, expected: str | None = None, got: object = None
    ) -> UndecidedError:
        """An error at a key."""
        shown = None if got is None else f"{type(got).__name__} {ascii(got)[:60]}"
        return UndecidedError(what, where=f"{self.place(key)} {key}", expected=expected, got=shown)

    # --- typed values

    def text(self, value: object, key: str) -> str:
        """A string that is not empty."""
        if not isinstance(value, str) or not value:
            raise self.error("wrong type", key, expected="a text that is not empty", got=value)
        return value

    def number(self, value: object, key: str) -> int:
        """A non-negative integer."""
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
            raise self.error("wrong type", key, expected="an integer from 0 on", got=value)
        return value

    def texts(self, value: object, key: str) -> tuple[str, ...]:
        """An array of texts, at least one: an empty list permits nothing."""
        if not isinstance(value, list) or not value:
            raise self.error("wrong type", key, expected="an array of texts, not empty", got=value)
        return tuple(self.text(item, key) for item in value)

    def table(self, value: object, key: str, known: frozenset[str]) -> Table:
        """A table with no other keys than these."""
        if not isinstance(value, dict):
            raise self.error("wrong type", key, expected="a table", got=value)
        for name in value:
            if name not in known:
                raise self.error("unknown key", f"{key}.{name}", expected=", ".join(sorted(known)))
        return value

    def tables(self, name: str, known: frozenset[str]) -> list[tuple[str, Table]]:
        """An array of tables, each with its key for places."""
        value = self._document.get(name, [])
        if not isinstance(value, list):
            raise self.error("wrong type", name, expected=f"[[{name}]]", got=value)
        return [
            (f"{name}[{index}]", self.table(item, f"{name}[{index}]", known))
            for index, item in enumerate(value)
        ]

    # --- sections

    def policy(self) -> PolicyFile:
        for name in self._document:
            if name not in _SECTIONS:
                raise self.error("unknown section", name, expected=", ".join(sorted(_SECTIONS)))
        if self._document.get("version") != VERSION or self._document["version"] is True:
            raise self.error(
                "unknown version",
                "version",
                expected=str(VERSION),
                got=self._document.get("version"),
            )
        return PolicyFile(
            signers=self._signers(),
            rules=(*self._deny(), *self._packages(), *self._simple()),
            limits=self._limits(),
            digests=self._digests(),
        )

    def _rule(self, key: str, name: str, spec: _Key, value: object, **more: object) -> Rule:
        where = f"{key}.{name}"
        return Rule(
            name=where,
            fact=spec.fact,
            test=spec.make(self, value, where),
            place=self.place(where),
            kind=spec.kind,
            **more,  # type: ignore[arg-type]  # `when` only, from _packages
        )

    def _simple(self) -> list[Rule]:
        rules = []
        for section, keys in _RULE_KEYS.items():
            if section in self._document:
                table = self.table(self._document[section], section, frozenset(keys))
                rules += [self._rule(section, name, keys[name], table[name]) for name in table]
        return rules

    def _packages(self) -> list[Rule]:
        known = frozenset({"name", *_PACKAGE_KEYS})
        entries = self.tables("package", known)
        if not entries:
            raise self.error("no package is permitted", "package", expected="[[package]] entries")
        patterns = []
        rules: list[Rule] = []
        for key, table in entries:
            pattern = self.text(table.get("name"), f"{key}.name")
            patterns.append(pattern)
            rules += [
                self._rule(key, name, spec, table[name], when=("package.name", pattern))
                for name, spec in _PACKAGE_KEYS.items()
                if name in table
            ]
        names = Rule(
            name="package.name",
            fact="package.name",
            test=Matching(patterns=tuple(patterns)),
            place=self.place("package[0].name"),
        )
        return [names, *rules]

    def _signers(self) -> tuple[SignerSpec, ...]:
        signers: list[SignerSpec] = []
        for key, table in self.tables("signer", frozenset({"name", "keys"})):
            name = self.text(table.get("name"), f"{key}.name")
            keys = table.get("keys")
            if not isinstance(keys, list) or not keys:
                raise self.error("a signer has no keys", f"{key}.keys", expected="an array of keys")
            if any(signer.name == name for signer in signers):
                raise self.error("a signer stands twice", f"{key}.name", got=name)
            signers.append(
                SignerSpec(name=name, keys=tuple(self._key(item, f"{key}.keys") for item in keys))
            )
        if not signers:
            raise self.error("nobody is trusted", "signer", expected="[[signer]] entries")
        return tuple(signers)

    def _key(self, value: object, key: str) -> KeySpec:
        table = self.table(value, key, frozenset({"pem", "file", "not-after"}))
        if ("pem" in table) == ("file" in table):
            raise self.error("a key is given by `pem` or by `file`", key)
        not_after = table.get("not-after")
        if not_after is not None and (
            not isinstance(not_after, datetime) or not_after.tzinfo is None
        ):
            raise self.error("wrong type", key, expected="a time with its zone", got=not_after)
        return KeySpec(
            pem=self.text(table["pem"], key) if "pem" in table else None,
            file=self.text(table["file"], key) if "file" in table else None,
            not_after=not_after,
            place=self.place(key),
        )

    def _deny(self) -> list[Rule]:
        rules = []
        known = frozenset({*_DENY_FACTS, "reason", "date"})
        for key, table in self.tables("deny", known):
            what = sorted(table.keys() & _DENY_FACTS.keys())
            if len(what) != 1:
                raise self.error(
                    "a denial is of one thing", key, expected=f"one of {', '.join(_DENY_FACTS)}"
                )
            reason = self.text(table.get("reason"), f"{key}.reason")
            day = table.get("date")
            if not isinstance(day, date):
                raise self.error("wrong type", f"{key}.date", expected="a date", got=day)
            rules.append(
                Rule(
                    name=f"{key}.{what[0]}",
                    fact=_DENY_FACTS[what[0]],
                    test=NoneOf(values=self.texts(table[what[0]], f"{key}.{what[0]}")),
                    place=self.place(f"{key}.{what[0]}"),
                    kind=RefusalKind.REVOKED,
                    reason=f"{reason} ({day.isoformat()[:10]})",
                )
            )
        return rules

    def _limits(self) -> dict[RunLimit, int]:
        value = self._document.get("run", {})
        table = self.table(value, "run", frozenset(RunLimit))
        limits = {RunLimit(name): self.number(table[name], f"run.{name}") for name in table}
        for name, number in limits.items():
            if number == 0:
                raise self.error("nothing could run", f"run.{name}", expected="at least 1")
        return limits

    def _digests(self) -> frozenset[Algorithm]:
        value = self._document.get("digests", {})
        table = self.table(value, "digests", frozenset({"require"}))
        if "require" not in table:
            return frozenset({Algorithm.BLAKE3})
        names = self.texts(table["require"], "digests.require")
        for name in names:
            if name not in set(Algorithm):
                raise self.error("unknown digest", "digests.require", expected=", ".join(Algorithm))
        return frozenset(Algorithm(name) for name in names)


def warnings(rules: tuple[Rule, ...], now: datetime) -> list[str]:
    """What is allowed in a policy and hardly meant."""
    found = []
    for rule in rules:
        match rule.test:
            case Matching(patterns=patterns) if "*" in patterns:
                found.append(f"{rule.place} {rule.name} permits everything")
            case AtMost(number=0):
                found.append(f"{rule.place} {rule.name} can never hold")
            case AtMost(number=number) if rule.fact == "now" and number < now.timestamp():
                found.append(f"{rule.place} {rule.name}: the time of this key is over")
            case _:
                pass
    return found


# --- lines -----------------------------------------------------------------------------------

_HEADER: Final = re.compile(r"\s*\[(\[?)\s*([A-Za-z0-9_-]+)\s*\]?\]")
_ASSIGNMENT: Final = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")


def _lines(text: str) -> dict[str, int]:
    """The line of each section and key, for messages only; `tomllib` tells none."""
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    section = ""
    is_inside_text = False
    for number, line in enumerate(text.split("\n"), 1):
        is_key = not is_inside_text
        if (line.count('"""') + line.count("'''")) % 2:
            is_inside_text = not is_inside_text
        if not is_key:
            continue
        if header := _HEADER.match(line):
            section = header[2]
            if header[1]:
                index = counts.get(section, 0)
                counts[section] = index + 1
                section = f"{section}[{index}]"
            lines.setdefault(section, number)
        elif found := _ASSIGNMENT.match(line):
            lines.setdefault(f"{section}.{found[1]}" if section else found[1], number)
    return lines
