"""Stand-in until branch measure brings it."""

from collections.abc import Iterable, Mapping


def capabilities(imports: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    names = tuple(imports)
    found = dict.fromkeys(("network", "filesystem", "environment", "clocks", "random"), ())
    return {**found, "inference": tuple(n for n in names if n.startswith("wasi:nn/"))}
