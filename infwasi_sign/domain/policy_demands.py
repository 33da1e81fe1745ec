"""What a policy demands of the machine: how the model is held, how a run is confined, a memory.

And the one thing that it permits: not to hash again what is surely unchanged.
"""

from infwasi_sign.domain.confinement import Layer
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.domain.policy_reader import Reader
from infwasi_sign.domain.rules import Including, OneOf, Test


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
