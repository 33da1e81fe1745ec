"""The `[[rule]]` sections of a policy: expressions as they were written, not compiled yet."""

from typing import Final

from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.policy_reader import Reader
from infwasi_sign.domain.rules import Holds, Rule
from infwasi_sign.errors import RefusalKind
from infwasi_sign.quick_dataclass import dataclass

# Kinds that say something about a rule; the others are answers of checks that no rule replaces.
_KINDS: Final = (
    RefusalKind.POLICY,
    RefusalKind.EXPIRED,
    RefusalKind.LEVEL,
    RefusalKind.LIMIT,
    RefusalKind.REVOKED,
    RefusalKind.SIGNER,
)
_KEYS: Final = frozenset({"cel", "message", "kind", "package"})


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpressionSpec:
    """A rule in CEL: its text, what its refusal says, and for which packages it is."""

    name: str
    text: str
    message: str
    place: str
    kind: RefusalKind
    package: str | None

    @property
    def where(self) -> str:
        """File, line and key, for errors."""
        return f"{self.place} {self.name}"

    def rule(self, test: Holds) -> Rule:
        """The rule, once the expression is compiled."""
        return Rule(
            name=self.name,
            fact=", ".join(test.facts) or "everything",
            test=test,
            place=self.place,
            kind=self.kind,
            when=None if self.package is None else ("package.name", self.package),
            reason=self.message,
        )


def read_expressions(reader: Reader) -> tuple[ExpressionSpec, ...]:
    """Every `[[rule]]` of a document.

    Raises:
        UndecidedError: naming the key, what it must be and what it is.
    """
    entries = reader.tables("rule", _KEYS)
    if len(entries) > LIMITS.expressions:
        raise reader.error(
            "too many rules",
            f"rule[{LIMITS.expressions}]",
            expected=f"at most {LIMITS.expressions}",
        )
    specs = []
    for key, table in entries:
        name = f"{key}.cel"
        specs.append(
            ExpressionSpec(
                name=name,
                text=reader.text(table.get("cel"), name),
                message=reader.text(table.get("message"), f"{key}.message"),
                place=reader.place(name),
                kind=_kind(reader, table.get("kind", str(RefusalKind.POLICY)), f"{key}.kind"),
                package=reader.text(table["package"], f"{key}.package")
                if "package" in table
                else None,
            )
        )
    return tuple(specs)


def _kind(reader: Reader, value: object, key: str) -> RefusalKind:
    text = reader.text(value, key)
    if text not in _KINDS:
        raise reader.error("unknown kind", key, expected=", ".join(_KINDS), got=text)
    return RefusalKind(text)
