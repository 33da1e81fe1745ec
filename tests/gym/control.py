"""A line of the control table: checks, and the attack that they alone stop."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeAlias

Switch: TypeAlias = tuple[object, str, Any]
"""Where a check is, its name, and what stands there while it is off."""


@dataclass(frozen=True)
class Control:
    """Checks that see the same attack, and the mutators that make it.

    Switched off together they let a mutant through; each of them alone still refuses it.
    """

    step: int
    claim: str
    switches: tuple[Switch, ...]
    mutators: tuple[str, ...]
    attempts: int = 400

    @property
    def name(self) -> str:
        """The checks, as the source calls them."""
        return "+".join(_called(switch) for switch in self.switches)


def _called(switch: Switch) -> str:
    where, name, _ = switch
    owner = where.__name__ if isinstance(where, ModuleType | type) else str(where)
    return f"{owner.rpartition('.')[2]}.{name}"
