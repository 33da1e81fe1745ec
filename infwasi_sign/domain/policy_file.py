"""Policy files: TOML into rules, read strictly, each rule with the line that wrote it.

docs/policy.md explains every key. Unknown sections and keys, wrong types and lists that permit
nothing are errors: whom to trust is never guessed.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Final

from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.facts import (
    CONFINEMENT_LAYERS,
    HOST_LIBRARIES,
    LOAD_LEVEL,
    MODEL_DIGESTS,
    SIGNER_IDENTITIES,
    SIGNER_KEYS,
    SIGNER_NAMES,
    TRUST_AGE,
)
from infwasi_sign.domain.manifest import VERSION, WORD
from infwasi_sign.domain.policy import RunLimit
from infwasi_sign.domain.policy_demands import (
    identity_cache_permission,
    memory_demand,
    read_layers,
    read_level,
    vex_file,
    vulnerability_rules,
)
from infwasi_sign.domain.policy_expressions import ExpressionSpec, read_expressions
from infwasi_sign.domain.policy_reader import ANY_TEXT, Form, Reader, Table, bare
from infwasi_sign.domain.policy_signers import (
    SignerSpec,
    TrustRootSpec,
    read_signers,
    read_trust_root,
)
from infwasi_sign.domain.rules import (
    AnyOf,
    AtLeast,
    AtMost,
    CountAtLeast,
    Including,
    Matching,
    NoneOf,
    OneOf,
    Rule,
    Test,
    VersionAtLeast,
)
from infwasi_sign.domain.toml_text import read_toml
from infwasi_sign.errors import RefusalKind
from infwasi_sign.quick_dataclass import dataclass

POLICY_VERSION: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyFile:
    """What a policy file says; the signers' keys are not loaded, expressions not compiled yet.

    ``digests`` are those to compute, ``named_digests`` those among them that the file names.
    ``vex_file`` states what its author knows of vulnerabilities; it lies beside the policy.
    ``memory_demanded_at`` is the line that demands that what was accepted is remembered,
    ``identity_cache_at`` the one that allows that an unchanged model is not hashed again.
    """

    signers: tuple[SignerSpec, ...]
    trust_root: TrustRootSpec | None
    rules: tuple[Rule, ...]
    limits: Mapping[RunLimit, int]
    digests: frozenset[Algorithm]
    named_digests: frozenset[Algorithm]
    expressions: tuple[ExpressionSpec, ...] = ()
    memory_demanded_at: str | None = None
    identity_cache_at: str | None = None
    vex_file: str | None = None


# --- one key, one rule -----------------------------------------------------------------------


_SHA256: Final = Form(re.compile(r"sha256:[0-9a-f]{64}"), "sha256: and 64 digits of 0-9 a-f")
_DIGEST: Final = Form(
    re.compile(r"(sha256|blake3):[0-9a-f]{64}"), "sha256: or blake3:, and 64 digits of 0-9 a-f"
)
_RELEASE: Final = Form(
    re.compile(rf"{WORD.pattern} ({VERSION.pattern}|sequence (0|[1-9][0-9]{{0,15}}))"),
    "NAME VERSION or NAME sequence NUMBER",
)
_EXPIRY: Final = Form(re.compile("yes|never"), "yes or never")

_Make = Callable[[Reader, object, str], Test]


def _texts(make: Callable[[tuple[str, ...]], Test], form: Form = ANY_TEXT) -> _Make:
    return lambda reader, value, where: make(reader.texts(value, where, form))


def _one_of(form: Form = ANY_TEXT) -> _Make:
    return _texts(lambda values: OneOf(values=values), form)


def _any_of(form: Form) -> _Make:
    return _texts(lambda values: AnyOf(values=values), form)


def _number(make: Callable[[int], Test]) -> _Make:
    return lambda reader, value, where: make(reader.number(value, where))


@dataclass(frozen=True, slots=True)
class _Key:
    fact: str
    make: _Make
    kind: RefusalKind = RefusalKind.POLICY


_AT_MOST: Final = _number(lambda number: AtMost(number=number))
_RULE_KEYS: Final[Mapping[str, Mapping[str, _Key]]] = {
    "component": {
        "imports": _Key("component.imports", _texts(lambda values: Matching(patterns=values))),
        "max-bytes": _Key("component.size", _AT_MOST),
        "digests": _Key("component.digests", _any_of(_DIGEST)),
    },
    "model": {
        "architectures": _Key("model.architectures", _one_of()),
        # The fact is in lower case: models and lists of licences do not agree about it.
        "licenses": _Key(
            "model.licenses",
            _texts(lambda values: OneOf(values=tuple(value.lower() for value in values))),
        ),
        "quantizations": _Key("model.quantizations", _one_of()),
        "digests": _Key(MODEL_DIGESTS, _any_of(_DIGEST)),
        "chat-templates": _Key("model.chat-templates", _one_of(_SHA256)),
        "max-bytes": _Key("model.size", _AT_MOST),
        "max-parameters": _Key("model.parameters", _AT_MOST),
    },
    "bom": {"require": _Key("bom.properties", _texts(lambda values: Including(values=values)))},
    "host": {"libraries": _Key(HOST_LIBRARIES, _one_of(_SHA256))},
    "sigstore": {"maximum-age-days": _Key(TRUST_AGE, _AT_MOST, RefusalKind.EXPIRED)},
    "load": {"minimum-level": _Key(LOAD_LEVEL, read_level, RefusalKind.LEVEL)},
    "confinement": {"require": _Key(CONFINEMENT_LAYERS, read_layers, RefusalKind.LEVEL)},
}
_NO_RULES: Final = {  # keys of these sections that decide nothing
    "sigstore": ("trust-root",),
    "model": ("identity-cache",),
}
_PACKAGE_KEYS: Final[Mapping[str, _Key]] = {
    "minimum-version": _Key(
        "package.version",
        lambda reader, value, where: VersionAtLeast(version=reader.text(value, where)),
    ),
    "minimum-sequence": _Key("package.sequence", _number(lambda number: AtLeast(number=number))),
    "maximum-age-days": _Key("package.age-days", _AT_MOST, RefusalKind.EXPIRED),
    "expires": _Key("package.expires", _one_of(_EXPIRY)),
}
_DENIALS: Final = {
    "key": (SIGNER_KEYS, _SHA256),
    "identity": (SIGNER_IDENTITIES, ANY_TEXT),
    "statement": ("statement.digest", _SHA256),
    "model": (MODEL_DIGESTS, _DIGEST),
    "component": ("component.digests", _DIGEST),
    "part": ("component.parts", _SHA256),
    "library": (HOST_LIBRARIES, _SHA256),
    "package": ("package.release", _RELEASE),
}
_SECTIONS: Final = frozenset(
    {
        *(*_RULE_KEYS, "version", "description", "signer", "package", "rule"),
        *("run", "digests", "state", "deny"),
        "vulnerabilities",
    }
)


def parse_policy(data: bytes, *, where: str) -> PolicyFile:
    """Read a policy file.

    Raises:
        UndecidedError: naming the key, what it must be and what it is.
    """
    return _Sections(read_toml(data, where=where), where).policy()


class _Sections(Reader):
    """Reads one section after the other."""

    def policy(self) -> PolicyFile:
        for name in self.document:
            if name not in _SECTIONS:
                raise self.error(
                    "unknown section", bare(name), expected=", ".join(sorted(_SECTIONS))
                )
        version = self.document.get("version")
        if type(version) is not int or version != POLICY_VERSION:  # neither 1.0 nor true
            raise self.error(
                "unknown version", "version", expected=str(POLICY_VERSION), got=version
            )
        if "description" in self.document:
            self.text(self.document["description"], "description")
        signers = read_signers(self)
        self._names = tuple(signer.name for signer in signers)
        rules = (
            *self._deny(),
            *self._packages(),
            *self._simple(),
            *vulnerability_rules(self),
        )
        required, of_models = self._digests(), _digests_of_models(rules)
        return PolicyFile(
            signers=signers,
            trust_root=read_trust_root(self),
            rules=rules,
            limits=self._limits(),
            digests=(required or frozenset({Algorithm.BLAKE3})) | of_models,
            named_digests=required | of_models,
            expressions=read_expressions(self),
            memory_demanded_at=memory_demand(self),
            identity_cache_at=identity_cache_permission(self),
            vex_file=vex_file(self),
        )

    def _rule(
        self,
        key: str,
        name: str,
        spec: _Key,
        value: object,
        when: tuple[str, str] | None = None,
    ) -> Rule:
        where = f"{key}.{name}"
        return Rule(
            name=where,
            fact=spec.fact,
            test=spec.make(self, value, where),
            place=self.place(where),
            kind=spec.kind,
            when=when,
        )

    def _simple(self) -> list[Rule]:
        rules = []
        for section, keys in _RULE_KEYS.items():
            if section in self.document:
                known = frozenset({*keys, *_NO_RULES.get(section, ())})
                table = self.table(self.document[section], section, known)
                rules += [
                    self._rule(section, name, keys[name], table[name])
                    for name in table
                    if name in keys
                ]
        return rules

    def _packages(self) -> list[Rule]:
        known = frozenset({"name", "signers", "threshold", *_PACKAGE_KEYS})
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
            rules += self._threshold(key, table, pattern)
        names = Rule(
            name="package.name",
            fact="package.name",
            test=Matching(patterns=tuple(patterns)),
            place=self.place("package[0].name"),
        )
        return [names, *rules]

    def _threshold(self, key: str, table: Table, pattern: str) -> list[Rule]:
        """How many must sign, and who of them: one rule out of two keys."""
        if not table.keys() & {"signers", "threshold"}:
            return []
        names = self.texts(table["signers"], f"{key}.signers") if "signers" in table else ()
        number = self.number(table.get("threshold", 1), f"{key}.threshold")
        for index, name in enumerate(names):
            if name not in self._names:
                where = f"{key}.signers[{index}]"
                raise self.error("no such signer", where, expected=", ".join(self._names), got=name)
        if not 1 <= number <= len(set(names) or self._names):
            raise self.error(
                "can never hold",
                f"{key}.threshold",
                expected=f"1 to {len(set(names) or self._names)}",
                got=number,
            )
        where = f"{key}.threshold" if "threshold" in table else f"{key}.signers"
        return [
            Rule(
                name=where,
                fact=SIGNER_NAMES,
                test=CountAtLeast(number=number, values=tuple(dict.fromkeys(names))),
                place=self.place(where),
                kind=RefusalKind.SIGNER,
                when=("package.name", pattern),
            )
        ]

    def _deny(self) -> list[Rule]:
        rules = []
        known = frozenset({*_DENIALS, "reason", "date"})
        for key, table in self.tables("deny", known):
            things = sorted(table.keys() & _DENIALS.keys())
            if len(things) != 1:
                raise self.error(
                    "a denial is of one thing", key, expected=f"one of {', '.join(_DENIALS)}"
                )
            name = f"{key}.{things[0]}"
            fact, form = _DENIALS[things[0]]
            reason = self.text(table.get("reason"), f"{key}.reason")
            day = table.get("date")
            if not isinstance(day, date) or isinstance(day, datetime):
                raise self.error("wrong type", f"{key}.date", expected="a date", got=day)
            rules.append(
                Rule(
                    name=name,
                    fact=fact,
                    test=NoneOf(
                        values=self.texts(table[things[0]], name, form),
                        # who vouches may take over a name as somebody typed it
                        is_folded=fact == SIGNER_IDENTITIES,
                    ),
                    place=self.place(name),
                    kind=RefusalKind.REVOKED,
                    reason=f"{reason} ({day.isoformat()})",
                )
            )
        return rules

    def _limits(self) -> dict[RunLimit, int]:
        value = self.document.get("run", {})
        table = self.table(value, "run", frozenset(RunLimit))
        limits = {RunLimit(name): self.number(table[name], f"run.{name}") for name in table}
        for name, number in limits.items():
            if number == 0:
                raise self.error("nothing could run", f"run.{name}", expected="at least 1")
        return limits

    def _digests(self) -> frozenset[Algorithm]:
        value = self.document.get("digests", {})
        table = self.table(value, "digests", frozenset({"require"}))
        if "require" not in table:
            return frozenset()
        names = self.texts(table["require"], "digests.require")
        for index, name in enumerate(names):
            if name not in set(Algorithm):
                key = f"digests.require[{index}]"
                raise self.error("unknown digest", key, expected=", ".join(Algorithm), got=name)
        return frozenset(Algorithm(name) for name in names)


def _digests_of_models(rules: tuple[Rule, ...]) -> frozenset[Algorithm]:
    """What must be computed of a model because a rule names it by that digest.

    A digest that is signed and not computed is only what the signer says.
    """
    named: set[str] = set()
    for rule in rules:
        match rule.test:
            case AnyOf(values=values) | NoneOf(values=values) if rule.fact == MODEL_DIGESTS:
                named |= {value.partition(":")[0] for value in values}
            case _:
                pass
    return frozenset(Algorithm(name) for name in named)
