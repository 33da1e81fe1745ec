"""Writes the figures of docs/performance.md: `python -m benchmarks.report`, after the benchmarks.

What it shows is kept beside it in `docs/performance.json`; a test renders the page from that again.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.__main__ import RESULTS
from benchmarks.cost import SIZES
from benchmarks.scene import ROOT

PAGE: Final = ROOT / "docs" / "performance.md"
DATA: Final = PAGE.with_suffix(".json")
SHOWN: Final = ("verifying", "memory", "cost", "first_token", "tokens", "stopping")

_Figure = Mapping[str, Any]


def tables(data: Mapping[str, Any]) -> dict[str, str]:
    """Each table by its name, from the results of the benchmarks that `SHOWN` names."""
    cost = data["cost"]["figures"]
    return {
        "machine": _machine(data),
        "peers": _peers(data["verifying"]["figures"]),
        "memory": _memory(data["memory"]["figures"]),
        "sizes": _sizes(cost),
        "tensors": _peers(one for one in cost if one["goal"] is not None),
        "start": _spans(cost, f"start, {next(iter(SIZES))}: "),
        "run": _peers(one for one in _runs(data) if one["peer_name"] and one["unit"] == "s"),
        "tokens": _tokens(data["tokens"]["figures"]),
        "run-start": _spans(_runs(data), "run: "),
        "stopping": _stopping(data["stopping"]["figures"]),
    }


def _runs(data: Mapping[str, Any]) -> list[_Figure]:
    found: list[_Figure] = data["first_token"]["figures"]
    return found


def _tokens(figures: Iterable[_Figure]) -> str:
    return _table(
        "What | ours | peer | its rate | ratio | goal | ",
        (
            (
                one["what"],
                f"{one['ours']:.1f} {one['unit']}",
                one["peer_name"],
                f"{one['peer']:.1f} {one['unit']}",
                f"{one['ratio']:.2f}",
                f"{one['goal']:g}",
                _verdict(one),
            )
            for one in figures
            if one["goal"] is not None
        ),
    )


def _stopping(figures: Iterable[_Figure]) -> str:
    return _table(
        "What | ms | goal | ",
        (
            (
                one["what"],
                f"{one['ours'] * 1e3:.1f}",
                "" if one["goal"] is None else f"at most {one['goal'] * 1e3:g}",
                _verdict(one),
            )
            for one in figures
        ),
    )


def filled(page: str, found: Mapping[str, str]) -> str:
    """The page with each table between its two comments, `<!-- NAME -->` and `<!-- /NAME -->`."""
    for name, table in found.items():
        before, begin, rest = page.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        if not begin or not end:
            raise ValueError(f"no place for the table {name!r}")
        page = before + begin + table + end + after
    return page


def _table(head: str, rows: Iterable[Iterable[str]]) -> str:
    columns = head.count("|") + 1
    lines = [f"| {head} |", "|---" + "|---:" * (columns - 1) + "|"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows]) + "\n"


def _machine(data: Mapping[str, Any]) -> str:
    facts = data["verifying"]["machine"]
    loads = ", ".join(f"{data[name]['machine']['load']:g}" for name in SHOWN)
    return (
        f"{facts['processor']}, {facts['cores']} cores, {facts['system']}, Python "
        f"{facts['python']}, blake3 {facts['libraries']['blake3']}; processes that were running or "
        f"waiting when it began (1 minute's average): {loads}.\n"
    )


def _peers(figures: Iterable[_Figure]) -> str:
    return _table(
        "What | ours | peer | its time | times as fast | goal | ",
        (
            (
                one["what"],
                _seconds(one["ours"]),
                one["peer_name"],
                _seconds(one["peer"]),
                f"{1 / one['ratio']:.2f}",
                "" if one["goal"] is None else f"{1 / one['goal']:.3g}",
                _verdict(one),
            )
            for one in figures
        ),
    )


def _memory(figures: Iterable[_Figure]) -> str:
    return _table(
        "What | found | lowest to highest | goal | ",
        (
            (
                one["what"],
                f"{one['ours']:.3g} {one['unit']}",
                f"{one['lowest']:.3g} to {one['highest']:.3g}",
                f"at most {one['goal']:g}",
                _verdict(one),
            )
            for one in figures
        ),
    )


def _sizes(figures: Iterable[_Figure]) -> str:
    by_name = {one["what"]: one for one in figures}

    def row(size: str) -> tuple[str, ...]:
        whole, resident = by_name[f"verify, {size}"], by_name[f"resident, {size}"]["ours"]
        hashing, rest = (by_name[f"verify, {size}: {part}"] for part in ("hashing", "all else"))
        found = (one[column] for column in ("ours", "peer") for one in (whole, hashing, rest))
        return size, *(f"{value:,.0f}" for value in found), f"{resident:.0f} MiB"

    return _table(
        "Model | ms | hashing | all else | ms of processors | hashing | all else | resident memory",
        map(row, SIZES),
    )


def _spans(figures: Iterable[_Figure], prefix: str) -> str:
    found = [one for one in figures if one["what"].startswith(prefix)]
    rows = [(one["what"].removeprefix(prefix), one["ours"], one["peer"] or 0) for one in found]
    rows.append(("together", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    return _table(
        "Span | ms | ms of processors",
        ((name, f"{wall:.1f}", f"{busy:.1f}" if busy else "") for name, wall, busy in rows),
    )


def _seconds(value: float) -> str:
    return f"{value:.3f} s"


def _verdict(one: _Figure) -> str:
    return {None: "", True: "reached", False: "missed"}[one["is_reached"]]


def main() -> None:
    data = {name: json.loads((RESULTS / f"{name}.json").read_bytes()) for name in SHOWN}
    DATA.write_text(json.dumps(data, indent=1) + "\n")
    PAGE.write_text(filled(PAGE.read_text(), tables(data)))
    print(PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE)


if __name__ == "__main__":
    main()
