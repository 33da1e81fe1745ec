"""Whether a component has the imports and exports of the world it is meant for (wit/)."""

from typing import Final

from infwasi_sign.domain.component import ComponentFacts, NestedKind
from infwasi_sign.domain.interfaces import (
    APP_IMPORTS,
    ENGINE_INTERFACE,
    INFERENCE_INTERFACE,
    SETTINGS_INTERFACE,
    TYPES_INTERFACE,
)
from infwasi_sign.domain.manifest import PartClaim
from infwasi_sign.errors import RefusalKind, RefusedError

_PART_NAMES: Final = {
    ENGINE_INTERFACE: "engine",
    SETTINGS_INTERFACE: "config",
    INFERENCE_INTERFACE: "inference",
}
_SHOWN_NAMES: Final = 40  # of one kind; componentize-py's output has 25 surplus imports
_SHOWN_CHARACTERS: Final = 120


def require_app(facts: ComponentFacts) -> None:
    """Refuse a component that is not an app: it asks for more or less, or offers no inference.

    Raises:
        RefusedError: kind `disagree`, naming all that is surplus or missing.
    """
    imports, exports = set(facts.imports), set(facts.exports)
    _refuse_differences(
        "component is not an app",
        {
            "missing export": {INFERENCE_INTERFACE} - exports,
            "missing import": APP_IMPORTS - imports,
            "surplus import": imports - APP_IMPORTS,
        },
    )


def require_inference_part(facts: ComponentFacts) -> tuple[str, ...]:
    """Refuse a component that is not of the world `inference-component`; returns its extra exports.

    It must use the settings and the engine: what it did not import would be left out of the app,
    and the app would not be what its manifest says.

    Raises:
        RefusedError: kind `disagree`, naming all that is surplus or missing.
    """
    imports, exports = set(facts.imports), set(facts.exports)
    reserved = {SETTINGS_INTERFACE, ENGINE_INTERFACE}
    _refuse_differences(
        "component does not fit the world inference-component",
        {
            "missing export": {INFERENCE_INTERFACE} - exports,
            "surplus export": exports & reserved,
            "missing import": reserved - imports,
            "surplus import": imports - reserved - {TYPES_INTERFACE},
        },
    )
    return tuple(sorted(exports - {INFERENCE_INTERFACE}))


def parts_of(app: ComponentFacts) -> tuple[PartClaim, ...]:
    """The components that an app holds, called by what they export, sorted by name.

    Raises:
        RefusedError: kind `disagree`; something in it is none of the three parts, or is one twice.
    """
    parts: dict[str, PartClaim] = {}
    for child in app.children:
        names = [name for interface, name in _PART_NAMES.items() if interface in child.exports]
        if child.kind is not NestedKind.COMPONENT or len(names) != 1 or names[0] in parts:
            raise RefusedError(
                RefusalKind.DISAGREE,
                "the component holds something that is no part of an app",
                where=f"component at offset {child.offset_bytes}",
                expected="one engine, one config, one inference",
            )
        parts[names[0]] = PartClaim(name=names[0], size_bytes=child.size_bytes, sha256=child.sha256)
    return tuple(parts[name] for name in sorted(parts))


def _refuse_differences(what: str, differences: dict[str, set[str] | frozenset[str]]) -> None:
    words = [
        f"{label} {_show_name(name)}"
        for label, names in differences.items()
        for name in sorted(names)[:_SHOWN_NAMES]
    ]
    if words:
        has_wasi = any(name.startswith("wasi:") for name in differences["surplus import"])
        raise RefusedError(
            RefusalKind.DISAGREE,
            what,
            where="component",
            got=", ".join(words),
            hint="a guest gets no WASI: build it for a freestanding target" if has_wasi else None,
        )


def _show_name(name: str) -> str:
    # A name is text of the file: it must not run away with the line it is shown in.
    return ascii(name)[1:-1][:_SHOWN_CHARACTERS]
