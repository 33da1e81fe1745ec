"""Values as TOML writes them."""

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from infwasi_sign.domain.rules import FactValue

_HARMFUL: Final = re.compile(r"[^ !#-\[\]-~]")


def toml_value(value: "FactValue") -> str:
    """A TOML value (TOML 1.0.0, "String"); everything but plain ASCII is escaped."""
    match value:
        case int():
            return str(value)
        case str():
            return '"' + _HARMFUL.sub(lambda found: f"\\U{ord(found[0]):08x}", value) + '"'
        case _:
            return f"[{', '.join(toml_value(item) for item in value)}]"
