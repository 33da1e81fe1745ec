"""What a policy demands of the machine: how the model is held, how a run is confined, a memory.

And the one thing that it permits: not to hash again what is surely unchanged.
"""

from datetime import UTC, date, datetime, time
from typing import Final

from infwasi_sign.domain.confinement import Layer
from infwasi_sign.domain.facts import VULNERABILITIES
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.domain.policy_reader import Reader, Table
from infwasi_sign.domain.rules import Including, OneOf, Rule, Test, Unaffected

_STATES: Final = (  # CycloneDX 1.7, impactAnalysisState
    *("exploitable", "in_triage", "not_affected", "false_positive", "resolved"),
    "resolved_with_pedigree",
)
_ALLOW_KEYS: Final = frozenset({"id", "reason", "until"})


def read_level(reader: Reader, value: object, where: str) -> Test:
    """`[load] minimum-level`: this level or a better one."""
    labels = [level.label for level in sorted(LoadLevel)]
    label = reader.text(value, where)
    if label not in labels:
        raise reader.error("unknown level", where, expected=", ".join(labels), got=label)
    return OneOf(values=tuple(labels[labels.index(label) :]))


def read_layers(reader: Reader, value: object, where: str) -> Test:
    """`[confinement] require`: all of these layers."""
    names = reader.texts(value, where)
    for index, name in enumerate(names):
        if name not in set(Layer):
            key = f"{where}[{index}]"
            raise reader.error("unknown layer", key, expected=", ".join(Layer), got=name)
    return Including(values=names)


def memory_demand(reader: Reader) -> str | None:
    """The place of `[state] require = true`, if the policy says so."""
    table = reader.table(reader.document.get("state", {}), "state", frozenset({"require"}))
    if "require" not in table:
        return None
    # `false` would read like a permission; what is not demanded is left out.
    if table["require"] is not True:
        raise reader.error("wrong type", "state.require", expected="true", got=table["require"])
    return f"{reader.place('state.require')} state.require"


def identity_cache_permission(reader: Reader) -> str | None:
    """The place of `[model] identity-cache = true`, if the policy says so; it is off by default."""
    table = reader.document.get("model", {})
    if not isinstance(table, dict) or "identity-cache" not in table:
        return None  # that the section is a table, the reader of its rules sees to
    key = "model.identity-cache"
    if not isinstance(table["identity-cache"], bool):
        raise reader.error("wrong type", key, expected="true or false", got=table["identity-cache"])
    return f"{reader.place(key)} {key}" if table["identity-cache"] else None


def vulnerability_rules(reader: Reader) -> tuple[Rule, ...]:
    """`[vulnerabilities] refuse`: of none of them one of these states is said."""
    section = "vulnerabilities"
    known = frozenset({"refuse", "allow", "vex"})
    table = reader.table(reader.document.get(section, {}), section, known)
    where = f"{section}.refuse"
    if "refuse" not in table:
        if "allow" in table:
            raise reader.error("permits what is not refused", f"{section}.allow", expected=where)
        return ()
    words = reader.texts(table["refuse"], where)
    for index, word in enumerate(words):
        if word not in _STATES:
            key = f"{where}[{index}]"
            raise reader.error("unknown state", key, expected=", ".join(_STATES), got=word)
    test = Unaffected(states=tuple(dict.fromkeys(words)), permitted=_permitted(reader, table))
    return (Rule(name=where, fact=VULNERABILITIES, test=test, place=reader.place(where)),)


def _permitted(reader: Reader, table: Table) -> tuple[tuple[str, int | None], ...]:
    """`allow`: tables with an id, a reason, and a day from whose beginning in UTC it is over."""
    value = table.get("allow", [])
    if not isinstance(value, list):
        raise reader.error("wrong type", "vulnerabilities.allow", expected="tables", got=value)
    found: list[tuple[str, int | None]] = []
    for index, item in enumerate(value):
        key = f"vulnerabilities.allow[{index}]"
        entry = reader.table(item, key, _ALLOW_KEYS)
        name = reader.text(entry.get("id"), f"{key}.id")
        reader.text(entry.get("reason"), f"{key}.reason")
        if name in {known for known, _ in found}:
            raise reader.error("stands twice", f"{key}.id", got=name)
        until = entry.get("until")
        if until is not None and (not isinstance(until, date) or isinstance(until, datetime)):
            raise reader.error("wrong type", f"{key}.until", expected="a date", got=until)
        end = None if until is None else datetime.combine(until, time(), UTC)
        found.append((name, None if end is None else int(end.timestamp())))
    return tuple(found)


def vex_file(reader: Reader) -> str | None:
    """`[vulnerabilities] vex`: a file of statements beside the policy."""
    table = reader.document.get("vulnerabilities", {})
    if not isinstance(table, dict) or "vex" not in table:
        return None
    return reader.text(table["vex"], "vulnerabilities.vex")
