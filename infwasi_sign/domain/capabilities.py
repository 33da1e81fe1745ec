"""What the imports of a component mean: what it could reach, if a host gave it all it asks for.

A component has no other way out of itself than its imports (component-model, design/high-level),
so that a capability without an import is one that it has not. An import that is in no table here is
`unknown`, and never counted as harmless. docs/ml-bom-facts.md has the table.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from infwasi_sign.domain.interfaces import SETTINGS_INTERFACE, TYPES_INTERFACE

CAPABILITIES: Final = (
    *("network", "filesystem", "environment", "clocks", "random", "inference", "storage"),
    *("terminal", "threads", "devices", "process", "unknown"),
)
"""In the order in which they are told."""

_PACKAGES: Final = {
    "wasi:sockets": "network",
    "wasi:http": "network",
    "wasi:tls": "network",
    "wasi:messaging": "network",
    "wasi:filesystem": "filesystem",
    "wasi:config": "environment",
    "wasi:clocks": "clocks",
    "wasi:random": "random",
    "wasi:nn": "inference",
    "wasi:keyvalue": "storage",
    "wasi:blobstore": "storage",
    "wasi:sql": "storage",
    "wasi:logging": "terminal",
    "wasi:threads": "threads",
    "wasi:gpio": "devices",
    "wasi:i2c": "devices",
    "wasi:spi": "devices",
    "wasi:usb": "devices",
    "wasi:webgpu": "devices",
}
"""Packages of which every interface is about one thing, whatever its version."""

_INTERFACES: Final = {
    "wasi:cli/environment": "environment",
    "wasi:cli/exit": "process",
    "wasi:cli/stdin": "terminal",
    "wasi:cli/stdout": "terminal",
    "wasi:cli/stderr": "terminal",
    "wasi:cli/terminal-input": "terminal",
    "wasi:cli/terminal-output": "terminal",
    "wasi:cli/terminal-stdin": "terminal",
    "wasi:cli/terminal-stdout": "terminal",
    "wasi:cli/terminal-stderr": "terminal",
    "infwasi:llm/engine": "inference",
    "infwasi:llm/inference": "inference",
}

_NOTHING: Final = frozenset(
    # No functions; constants of the package; and what waits for and reads things that other
    # interfaces hand out, and hands out nothing by itself (WASI 0.2, wasi:io).
    {TYPES_INTERFACE, SETTINGS_INTERFACE}
    | {f"wasi:io/{name}@0.2.{patch}" for name in ("error", "poll", "streams") for patch in range(9)}
)


def capabilities(imports: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """The imports that give each capability, sorted; an empty tuple is a capability that is absent.

    All of ``CAPABILITIES`` are keys, in their order.
    """
    found: dict[str, set[str]] = {name: set() for name in CAPABILITIES}
    for name in imports:
        if name not in _NOTHING:
            found[_capability(name)].add(name)
    return {capability: tuple(sorted(names)) for capability, names in found.items()}


def _capability(name: str) -> str:
    interface, _, version = name.partition("@")
    package, slash, member = interface.partition("/")
    if not slash or not member or not _is_plain(member) or not _is_plain(version, ".+"):
        return "unknown"
    return _INTERFACES.get(interface) or _PACKAGES.get(package) or "unknown"


def _is_plain(word: str, others: str = "") -> bool:
    return all(one.isascii() and (one.isalnum() or one in "-" + others) for one in word)
