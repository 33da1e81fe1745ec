"""The tables of docs/ml-bom.md, from docs/ml-bom.json."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from benchmarks.report import filled
from infwasi_sign.domain.minimum_elements_g7 import G7
from infwasi_sign.domain.minimum_elements_view import State

__all__ = ["DATA", "PAGE", "filled", "tables"]

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "ml-bom.md"
DATA: Final = PAGE.with_suffix(".json")
_SIGNS: Final = {State.VALUE: "value", State.UNKNOWN: "unknown", State.MISSING: "-"}


def tables(data: Mapping[str, Any]) -> dict[str, str]:
    """Each table by its name."""
    generators = data["generators"]
    return {
        "counts": _counts(generators),
        "elements": _elements(generators),
        "emits": _emits(generators),
    }


def _counts(generators: Mapping[str, Any]) -> str:
    rows = []
    for name, found in generators.items():
        states = list(found["lists"]["G7"].values())
        rows.append(
            (
                name,
                *(str(states.count(str(state))) for state in State),
                *(_present(found["lists"][name]) for name in ("NTIA", "CISA")),
                f"{found['specVersion']}, {'valid' if found['isValid'] else 'NOT valid'}",
            )
        )
    head = ("", "value", "unknown", "missing", "NTIA", "CISA", "CycloneDX")
    return _table(head, rows)


def _present(states: Mapping[str, str]) -> str:
    missing = list(states.values()).count(str(State.MISSING))
    return f"{len(states) - missing} of {len(states)}"


def _elements(generators: Mapping[str, Any]) -> str:
    rows = []
    for group, elements in groupby(G7.elements, lambda element: element.group):
        rows.append((f"**{group}**", *("" for _ in generators)))
        for element in elements:
            states = (found["lists"]["G7"][element.id] for found in generators.values())
            signs = (_SIGNS[State(state)] for state in states)
            rows.append((f"{element.id} {element.title}", *signs))
    return _table(("", *generators), rows)


def _emits(generators: Mapping[str, Any]) -> str:
    rows = [
        (
            name,
            str(found["components"]),
            ", ".join(found["metadata"]),
            ", ".join(_without(found["model"], {"bom-ref", "type", "modelCard", "properties"})),
            ", ".join(found["card"]) or "empty",
            f"{found['properties']}, {found['tags']} tags" if found["tags"] else str(found["properties"]),
        )
        for name, found in generators.items()
    ]
    head = ("", "components", "metadata", "of the model", "in its model card", "properties")
    return _table(head, rows)


def _without(names: Iterable[str], dull: set[str]) -> Iterable[str]:
    return (name for name in names if name not in dull)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
