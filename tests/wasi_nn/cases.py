"""The cases of the suite: what each guest does, how a host must end it, and why (cases.toml)."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
GUESTS: Final = HERE / "guests"

ANSWERED, STOPPED, REFUSED = "answered", "stopped", "refused"
HONEST: Final = "answered went on"  # what the honest twin of a guest ends with

RESTS_ON: Final = ("abi", "wasi-nn", "limits", "convention")
"""The canonical ABI; the WIT of wasi:nn; that a host has limits at all; docs/wasi-nn.md."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One guest and the ends that are right, each as `stopped`, `refused` or `answered WORDS`.

    ``edit`` names what is done to the finished component (`builds.EDITS`).
    """

    name: str
    guest: str  # in guests/, without .c
    does: str
    expect: tuple[str, ...]
    rests_on: str
    because: str
    defines: tuple[str, ...] = ()
    edit: str | None = None
    seconds: int = 20  # granted to one request; a guest that never ends gets 1
    is_repeated: bool = False  # many requests in one host, which must leave nothing behind

    @property
    def source(self) -> Path:
        """The guest in C."""
        return GUESTS / f"{self.guest}.c"

    @property
    def has_twin(self) -> bool:
        """Whether the guest can be built without its misuse: then it must go on."""
        return self.edit is None and "MISUSE" in self.source.read_text()


def read_cases() -> tuple[Case, ...]:
    """All cases, in the order of the file."""
    tables = tomllib.loads((HERE / "cases.toml").read_text())
    return tuple(_case(name, table) for name, table in tables.items())


def _case(name: str, table: dict[str, Any]) -> Case:
    lists = {key: tuple(value) for key, value in table.items() if isinstance(value, list)}
    return Case(name=name, **table | lists)


def as_table(cases: tuple[Case, ...]) -> str:
    """The cases in Markdown, as README.md has them."""
    rows = [
        f"| `{case.name}` | {case.does} | {' or '.join(case.expect)} | {case.rests_on}:"
        f" {case.because} |"
        for case in cases
    ]
    return "\n".join(("| case | the guest | ends | rests on |", "|---|---|---|---|", *rows))
