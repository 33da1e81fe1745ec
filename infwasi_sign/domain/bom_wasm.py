"""The component file in the BOM: what it holds, what it can do, and the settings in it.

All that is said of it is measured, which the tag `infwasi:origin:*` says. What no byte says of it
has a tag `unknown`; one tag `components.<member>` is for the whole tree of what is nested in it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

from infwasi_sign.domain.bom_inputs import WasmSubject
from infwasi_sign.domain.bom_parts import Tagged, hashes, listed, quoted
from infwasi_sign.domain.capabilities import capabilities
from infwasi_sign.domain.component import Nested, NestedKind
from infwasi_sign.domain.core_module import Producer
from infwasi_sign.domain.interfaces import TYPES_INTERFACE
from infwasi_sign.domain.origin import OF_PARTS, Origin
from infwasi_sign.domain.strict_json import JsonValue

_NONE: Final = "none"
UNSAID: Final = ("licenses", "manufacturer", "purl", "version")
"""What the lists of minimum elements ask of each component, and WebAssembly has no place for."""
_NESTED_IN_JSON: Final = 8  # deeper ones stand beside their parents; JSON may nest 32 deep
_LISTED_NAMES: Final = 64  # of a core module; native libraries have thousands, and are counted


def wasm_component(wasm: WasmSubject) -> Tagged:
    """The component `file:<name>` with the whole tree of what is nested in it."""
    component = Tagged(
        bom_ref=f"file:{wasm.name}",
        type="file",
        name=wasm.name,
        mime_type="application/wasm",
        hashes=hashes(wasm.sha256.hex, wasm.blake3.hex),
    )
    facts = wasm.facts
    component.tag("*", Origin.MEASURED)
    for member in UNSAID:
        component.tag(member, Origin.UNKNOWN)
    component.plain(
        {
            "component:exports": listed(facts.exports) or _NONE,
            "component:imports": listed(facts.imports) or _NONE,
            "host:requires": listed(n for n in facts.imports if n != TYPES_INTERFACE) or _NONE,
            "size": str(wasm.size_bytes),
            **_producers("component", facts.producers),
        }
    )
    for capability, names in capabilities(facts.imports).items():
        component.plain({f"capability:{capability}": listed(names) or _NONE})
    if wasm.settings is not None:
        component.plain(
            {f"settings:{name}": value for name, value in wasm.settings.facts().items()}
        )
        component.plain({"component:settings:sha256": wasm.settings.digest().hex})
    if facts.children:
        for member in UNSAID:
            component.tag(f"{OF_PARTS}{member}", Origin.UNKNOWN)
        component.tree["components"] = _nested(
            facts.children, {part.sha256.hex: part.name for part in wasm.parts}, "", 1
        )
    return component


def _nested(
    children: tuple[Nested, ...], part_names: Mapping[str, str], path: str, depth: int
) -> list[JsonValue]:
    """The nested components, each under its path: `part:engine/0`, or `wasm:0/1` without a part.

    A part of an app is called by its name; its bytes stand in the app once.
    """
    found: list[JsonValue] = []
    for index, child in enumerate(children):
        name = f"{path}/{index}" if path else str(index)
        ref = f"wasm:{name}" if not path else name
        if not path and child.sha256.hex in part_names:
            name = part_names[child.sha256.hex]
            ref = f"part:{name}"
        one = Tagged(
            bom_ref=ref,
            type="library",
            name=ref.partition(":")[2],
            mime_type="application/wasm",
            hashes=hashes(child.sha256.hex),
        )
        one.tag("*", Origin.MEASURED)
        is_module = child.kind is NestedKind.CORE_MODULE
        one.plain(
            {
                "size": str(child.size_bytes),
                "wasm:kind": child.kind.value,
                **_names("imports", child.imports, is_module=is_module),
                **_names("exports", child.exports, is_module=is_module),
                **_producers("wasm", child.producers),
            }
        )
        below = _nested(child.children, part_names, ref, depth + 1) if child.children else []
        if below and depth < _NESTED_IN_JSON:
            one.tree["components"] = below
            below = []
        found += [one.finished(), *below]
    return found


def _names(what: str, names: tuple[str, ...], *, is_module: bool) -> dict[str, str]:
    """The names, or how many and their digest where a core module has very many."""
    text = listed(names)
    if is_module and len(names) > _LISTED_NAMES:
        digest = hashlib.sha256(text.encode()).hexdigest()
        return {f"wasm:{what}:count": str(len(names)), f"wasm:{what}:sha256": digest}
    return {f"wasm:{what}": text or _NONE}


def _producers(where: str, producers: Iterable[Producer]) -> dict[str, str]:
    """Who made it, as the `producers` sections say: `processed-by=wit-component@0.262.0`."""
    texts = sorted({f"{quoted(p.field)}={quoted(p.name)}@{quoted(p.version)}" for p in producers})
    return {f"{where}:producers": " ".join(texts)} if texts else {}
