"""Write the bill of materials of infwasi itself: `make sbom`.

It lists what `pip install infwasi` brings, from what is installed in this environment, and the
guest components in components/prebuilt/, from their bytes. `--check` compares instead of writing,
and says what is not current. A test does so, on the platform that the BOM names.
"""

import argparse
import difflib
import hashlib
import json
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final
from uuid import UUID, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.bom_ref import BomRef
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.license import License
from cyclonedx.model.lifecycle import LifecyclePhase, PredefinedLifecycle
from cyclonedx.output.json import JsonV1Dot7
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from infwasi_sign.domain.component import Nested, describe  # noqa: E402 - found by the line above

BOM: Final = ROOT / "sbom" / "infwasi.cdx.json"
COMMAND: Final = "make sbom"
_PROJECT: Final = "infwasi"
_NAMESPACE: Final = UUID("b2f3b0f3-9c0f-5a52-8f0b-2f4c7a6f7f10")
_LONGEST_LICENSE: Final = 64  # what is longer in `License` is a text, not a name
_CLASSIFIER: Final = "License :: OSI Approved :: "
# Libraries that llama-cpp-python compiles, by the names that the linker gives their versions.
_NATIVE: Final = {"ggml": "libggml-base.so.*.*.*", "llama.cpp": "libllama.so.*.*.*"}


def environment() -> str:
    """What decides which packages are installed: Python's version, system and processor."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"python {python}, {platform.system().lower()} {platform.machine()}"


def installed() -> dict[str, tuple[Distribution, frozenset[str]]]:
    """The project and all that it needs here, by canonical name, each with the names it needs."""
    found: dict[str, tuple[Distribution, set[str]]] = {}
    extras: dict[str, set[str]] = {}
    waiting: list[tuple[str, frozenset[str]]] = [(_PROJECT, frozenset())]
    while waiting:
        name, wanted = waiting.pop()
        known = extras.setdefault(name, set())
        if name in found and wanted <= known:
            continue
        known |= wanted
        dist = distribution(name)
        needed = found.setdefault(name, (dist, set()))[1]
        for requirement in _requirements(dist, known):
            other = canonicalize_name(requirement.name)
            needed.add(other)
            waiting.append((other, frozenset(requirement.extras)))
    return {name: (dist, frozenset(needed)) for name, (dist, needed) in found.items()}


def _requirements(dist: Distribution, extras: set[str]) -> Iterator[Requirement]:
    for text in dist.requires or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def _license(dist: Distribution) -> License | None:
    """The SPDX expression (PEP 639), else the short name, else the classifier."""
    metadata = dist.metadata
    texts = [metadata.get("License-Expression"), metadata.get("License")]
    texts += [
        text.removeprefix(_CLASSIFIER)
        for text in metadata.get_all("Classifier", [])
        if text.startswith(_CLASSIFIER)
    ]
    for text in texts:
        if text and len(text) <= _LONGEST_LICENSE and "\n" not in text:
            return LicenseFactory().make_from_string(text)
    return None


def _locked_files() -> dict[str, str]:
    """SHA-256 over the sorted digests of all files that the lock allows, by canonical name."""
    digests: dict[str, list[str]] = {}
    name = ""
    for line in (ROOT / "requirements" / "runtime.txt").read_text().splitlines():
        if "==" in line and not line.startswith((" ", "#")):
            name = canonicalize_name(line.split("==", 1)[0])
        elif "--hash=sha256:" in line:
            digest = line.split("--hash=sha256:", 1)[1].removesuffix("\\").strip()
            digests.setdefault(name, []).append(digest)
    return {
        name: hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()
        for name, found in digests.items()
    }


def _python_component(dist: Distribution, name: str, locked: dict[str, str]) -> Component:
    license_ = _license(dist)
    properties = [Property(name="infwasi:lock:files:sha256", value=locked[name])]
    if license_ is None:
        properties.append(Property(name="infwasi:origin:licenses", value="unknown"))
    return Component(
        bom_ref=f"pypi:{name}",
        type=ComponentType.LIBRARY,
        name=name,
        version=dist.version,
        purl=PackageURL("pypi", name=name, version=dist.version),
        description=dist.metadata.get("Summary"),
        licenses=[] if license_ is None else [license_],
        properties=properties,
        components=_native_components(dist) if name == "llama-cpp-python" else [],
    )


def _native_components(dist: Distribution) -> list[Component]:
    """What was compiled into its wheel. Its bytes differ from build to build, its version not."""
    found = []
    for name, pattern in _NATIVE.items():
        versions = {
            file.name.split(".so.", 1)[1] for file in dist.files or () if file.match(pattern)
        }
        if len(versions) != 1:
            raise SystemExit(f"error: no single version of {name} in {dist.name}: {versions}")
        found.append(
            Component(
                bom_ref=f"native:{name}",
                type=ComponentType.LIBRARY,
                name=name,
                version=versions.pop(),
            )
        )
    return found


def _guest_component(path: Path) -> Component:
    data = path.read_bytes()
    ref = f"guest:{path.stem}"
    return Component(
        bom_ref=ref,
        type=ComponentType.LIBRARY,
        name=path.name,
        mime_type="application/wasm",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(data).hexdigest())],
        properties=[Property(name="infwasi:size", value=str(len(data)))],
        components=_nested(describe(data).children, ref),
    )


def _nested(children: tuple[Nested, ...], ref: str) -> list[Component]:
    return [
        Component(
            bom_ref=f"{ref}/{index}",
            type=ComponentType.LIBRARY,
            name=f"{child.kind} {index}",
            mime_type="application/wasm",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=child.sha256.hex)],
            properties=[Property(name="infwasi:size", value=str(child.size_bytes))],
            components=_nested(child.children, f"{ref}/{index}"),
        )
        for index, child in enumerate(children)
    ]


def make() -> str:
    """The BOM as text: the same in every checkout with the same lock, on one platform."""
    packages, locked = installed(), _locked_files()
    project = packages[_PROJECT][0]
    guests = [
        _guest_component(path) for path in sorted((ROOT / "components/prebuilt").glob("*.wasm"))
    ]
    if not guests:
        raise SystemExit("error: no guest component in components/prebuilt")
    bom = Bom(version=1)
    bom.metadata.lifecycles.add(PredefinedLifecycle(phase=LifecyclePhase.BUILD))
    bom.metadata.properties.add(Property(name="infwasi:environment", value=environment()))
    bom.metadata.component = Component(
        bom_ref=_PROJECT,
        type=ComponentType.APPLICATION,
        name=_PROJECT,
        version=project.version,
        purl=PackageURL("pypi", name=_PROJECT, version=project.version),
        description=project.metadata["Summary"],
        licenses=[LicenseFactory().make_from_string(project.metadata["License-Expression"])],
    )
    bom.components = [
        *(
            _python_component(dist, name, locked)
            for name, (dist, _) in packages.items()
            if name != _PROJECT
        ),
        *guests,
    ]
    refs = {name: f"pypi:{name}" for name in packages} | {_PROJECT: _PROJECT}
    guest_refs = [str(guest.bom_ref.value) for guest in guests]
    bom.dependencies = [
        Dependency(
            BomRef(refs[name]),
            [
                Dependency(BomRef(ref))
                for ref in [
                    *(refs[other] for other in needed),
                    *(guest_refs if name == _PROJECT else ()),
                ]
            ],
        )
        for name, (_, needed) in packages.items()
    ]
    document = json.loads(JsonV1Dot7(bom).output_as_string())
    _mend(document)
    document.pop("serialNumber")
    content = json.dumps(document, sort_keys=True)
    document["serialNumber"] = uuid5(_NAMESPACE, content).urn
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _mend(document: dict[str, object]) -> None:
    """Without the time of making, and with ``mime-type`` where the library writes ``mimeType``."""
    metadata = document["metadata"]
    assert isinstance(metadata, dict)  # noqa: S101 - the library writes an object
    metadata.pop("timestamp")
    waiting: list[object] = [document]
    while waiting:
        match waiting.pop():
            case dict() as members:
                if "mimeType" in members:
                    members["mime-type"] = members.pop("mimeType")
                waiting.extend(members.values())
            case list() as items:
                waiting.extend(items)
            case _:
                pass


def main() -> int:
    """Write or compare the file; 1 when it is not current."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments = parser.parse_args()
    try:
        made = make()
    except PackageNotFoundError as error:
        print(f"error: {error.name} is not installed; `make demo` installs it", file=sys.stderr)
        return 2
    there = BOM.read_text() if BOM.exists() else ""
    if made == there:
        print(f"{BOM.relative_to(ROOT)}: current")
        return 0
    if arguments.check:
        lines = difflib.unified_diff(there.splitlines(), made.splitlines(), "there", "made", n=1)
        print("\n".join(lines))
        print(f"{BOM.relative_to(ROOT)}: not current; {COMMAND} writes it", file=sys.stderr)
        return 1
    BOM.write_text(made)
    print(f"{BOM.relative_to(ROOT)}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
