"""Writes `BomFacts` as CycloneDX 1.7 JSON. The only door of cyclonedx-python-lib."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.bom_ref import BomRef
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.lifecycle import LifecyclePhase, PredefinedLifecycle
from cyclonedx.output.json import JsonV1Dot7

from infwasi_sign.domain import strict_json
from infwasi_sign.domain.bom_old import BomComponent, BomFacts, read_bom
from infwasi_sign.domain.strict_json import JsonValue

# The serial number names a BOM by its content: same facts, same number (RFC 9562 section 5.5).
_NAMESPACE = UUID("5c3b6b0e-6a5e-5d0a-9a53-6f7a3f0f9b1d")
_APP_REF = "app"


class CycloneDxWriter:
    """Implements `ports.BomWriter`."""

    def write(self, facts: BomFacts, tools: Mapping[str, str]) -> bytes:
        """The BOM in its one byte form (RFC 8785), the same for the same facts on any machine.

        ``tools`` are the programs that shaped the bytes, by name and version.
        """
        bom = Bom(
            serial_number=_serial_number(facts),
            version=1,
        )
        bom.metadata.timestamp = datetime.fromisoformat(facts.timestamp)
        bom.metadata.lifecycles.add(PredefinedLifecycle(phase=LifecyclePhase.BUILD))
        for name, version in tools.items():
            bom.metadata.tools.components.add(
                Component(
                    name=name,
                    version=version,
                    type=ComponentType.APPLICATION,
                    bom_ref=f"tool:{name}",
                )
            )
        bom.metadata.component = Component(
            name=facts.name,
            version=facts.version,
            type=ComponentType.APPLICATION,
            bom_ref=_APP_REF,
        )
        bom.components = [_component(component) for component in facts.components]
        bom.dependencies = _dependencies(facts)
        document = JsonV1Dot7(bom).output_as_string().encode()
        value = strict_json.parse(document, where="bom", limit_bytes=len(document))
        return strict_json.canonical(_mend(value))

    def renew(self, bom: bytes, timestamp: str) -> bytes:
        """The BOM with another timestamp, and the serial number that goes with it.

        What others wrote into it stays, and so do its tools: they shaped the bytes, which stay too.

        Raises:
            MalformedError: it is none that verification accepts.
        """
        facts = replace(read_bom(bom), timestamp=timestamp)
        document = strict_json.parse(bom, where="bom", limit_bytes=len(bom))
        assert isinstance(document, dict)  # noqa: S101 - read_bom looked
        assert isinstance(document["metadata"], dict)  # noqa: S101 - likewise
        document["metadata"]["timestamp"] = timestamp
        document["serialNumber"] = _serial_number(facts).urn
        return strict_json.canonical(document)


def _serial_number(facts: BomFacts) -> UUID:
    return uuid5(_NAMESPACE, repr(facts))


def _mend(value: JsonValue) -> JsonValue:
    """Undo two habits of the library.

    NOTE: cyclonedx-python-lib 11.12 writes ``mimeType``, which the schema does not know (it says
    ``mime-type``), and ``+00:00`` where the manifest says ``Z``.
    """
    match value:
        case dict():
            names = {"mimeType": "mime-type"}
            mended = {names.get(name, name): _mend(item) for name, item in value.items()}
            if isinstance(stamp := mended.get("timestamp"), str):
                mended["timestamp"] = stamp.removesuffix("+00:00") + "Z"
            return mended
        case list():
            return [_mend(item) for item in value]
        case _:
            return value


def _component(facts: BomComponent) -> Component:
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=facts.sha256)]
    if facts.blake3 is not None:
        hashes.append(HashType(alg=HashAlgorithm.BLAKE3, content=facts.blake3))
    licences = LicenseFactory()
    return Component(
        bom_ref=facts.ref,
        type=ComponentType(facts.type),
        name=facts.name,
        version=facts.version,
        mime_type=facts.mime_type,
        hashes=hashes,
        licenses=[licences.make_from_string(facts.licence)] if facts.licence else [],
        properties=[Property(name=name, value=value) for name, value in facts.properties],
        components=[_component(child) for child in facts.children],
    )


def _dependencies(facts: BomFacts) -> Iterable[Dependency]:
    """The app needs its files; a file needs the parts it is composed of."""
    edges = {_APP_REF: [component.ref for component in facts.components]}
    for component in facts.components:
        edges[component.ref] = [child.ref for child in component.children]
        for child in component.children:
            edges[child.ref] = []
    return [
        Dependency(BomRef(ref), [Dependency(BomRef(needed)) for needed in sorted(edges[ref])])
        for ref in sorted(edges)
    ]
