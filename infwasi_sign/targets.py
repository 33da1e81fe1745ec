"""What a user names to look into it: a model, a component or a package. Nothing of it is believed.

Each file is opened once, all of them before the first byte of one is read.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from infwasi_sign.domain.bundle import parse_bundle
from infwasi_sign.domain.component import ComponentFacts, describe, find_settings
from infwasi_sign.domain.gguf import GgufHeader, parse
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import (
    BOM_FILE,
    COMPONENT_FILE,
    MANIFEST_FILE,
    OMS_FILE,
    SIGNATURES_FOLDER,
    Manifest,
    ModelClaim,
)
from infwasi_sign.domain.model_digests import ModelDigests
from infwasi_sign.domain.settings import Settings
from infwasi_sign.domain.statement import parse_statement
from infwasi_sign.errors import RefusalKind, RefusedError, UndecidedError
from infwasi_sign.ports import EntryFile, OpenedPackage, PackageStore, Progress
from infwasi_sign.quick_dataclass import dataclass

_GGUF: Final = b"GGUF"  # gguf.md, "File Structure"
_WASM: Final = b"\0asm"  # WebAssembly core specification, section 5.5.16


class OpenFile(EntryFile, Protocol):
    """A lone file that a user names, opened once."""

    def close(self) -> None:
        """Give it back; a second call does nothing."""
        ...


class MeasureModel(Protocol):
    """Measures a model by the descriptor that its header was read from."""

    def __call__(
        self, file: EntryFile, header: GgufHeader, progress: Progress | None
    ) -> ModelDigests:
        """All digests in one pass. Raises RefusedError kind `digest` if it changed meanwhile."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """How targets are reached: packages, lone files, digests.

    ``open_file`` raises what `PackageStore.open` raises. ``on_opened`` is called with the number of
    bytes that lie open, before any is read; ``progress`` with those of each window.
    """

    store: PackageStore
    open_file: Callable[[Path], OpenFile]
    measure_model: MeasureModel
    on_opened: Progress
    progress: Progress | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadModel:
    """A GGUF: its header, and the digests of its bytes."""

    title: str
    size_bytes: int
    header: GgufHeader
    digests: ModelDigests


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadComponent:
    """A component file."""

    title: str
    data: bytes
    facts: ComponentFacts


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadPackage:
    """A package; a detached model that is not there is in ``models`` without header and digests.

    ``signatures`` are the files that sign it, by name; ``others`` names what is none of all these.
    """

    title: str
    statement: bytes
    manifest: Manifest
    component: bytes
    facts: ComponentFacts
    settings: Settings
    bom: bytes
    models: tuple[tuple[ModelClaim, ReadModel | None], ...]
    signatures: tuple[tuple[str, bytes], ...] = ()
    others: tuple[str, ...] = ()


Target: TypeAlias = ReadModel | ReadComponent | ReadPackage


def read_targets(locations: Sequence[Path], access: Access) -> tuple[Target, ...]:
    """Open all, then read and measure each.

    Raises:
        RefusedError: one does not parse, is no regular file, or changed while it was measured.
        UndecidedError: one cannot be read, or is none of the three.
    """
    with ExitStack() as held:
        opened = [_open(location, access, held) for location in locations]
        access.on_opened(sum(each.size_bytes for each in opened))
        return tuple(each.read() for each in opened)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Opened:
    size_bytes: int
    read: Callable[[], Target]


def _open(location: Path, access: Access, held: ExitStack) -> _Opened:
    title = location.name or str(location)
    if location.is_dir():
        package = access.store.open(location)
        held.callback(package.close)
        return _Opened(
            size_bytes=sum(file.size_bytes for file in package.files.values()),
            read=partial(_read_package, title, package, access),
        )
    file = access.open_file(location)
    held.callback(file.close)
    return _Opened(size_bytes=file.size_bytes, read=partial(_read_file, title, file, access))


def _read_file(title: str, opened: EntryFile, access: Access) -> Target:
    magic = opened.read_at(0, min(4, opened.size_bytes))
    if magic == _GGUF:
        return _read_model(title, opened, access)
    if magic == _WASM:
        data = opened.read(LIMITS.component_bytes)
        return ReadComponent(title=title, data=data, facts=describe(data))
    raise UndecidedError(
        "neither a model nor a component nor a package",
        where=title,
        expected="a GGUF file, a .wasm component or a directory that `infwasi pack` wrote",
        got=repr(magic),
    )


def _read_model(title: str, file: EntryFile, access: Access) -> ReadModel:
    header = parse(file)
    return ReadModel(
        title=title,
        size_bytes=file.size_bytes,
        header=header,
        digests=access.measure_model(file, header, access.progress),
    )


def _read_package(title: str, opened: OpenedPackage, access: Access) -> ReadPackage:
    for name in (MANIFEST_FILE, COMPONENT_FILE, BOM_FILE):
        if name not in opened.files:
            raise RefusedError(RefusalKind.MISSING, "a file of the package is missing", where=name)
    bundle = parse_bundle(opened.files[MANIFEST_FILE].read(LIMITS.bundle_bytes))
    statement = bundle.envelope.payload
    manifest = parse_statement(statement)
    component = opened.files[COMPONENT_FILE].read(LIMITS.component_bytes)
    facts = describe(component)
    read = {COMPONENT_FILE, BOM_FILE, *(model.shards[0] for model in manifest.models)}
    signatures = {name for name in opened.files if _is_signature(name)}
    return ReadPackage(
        title=title,
        statement=statement,
        manifest=manifest,
        component=component,
        facts=facts,
        settings=find_settings(component, facts),
        bom=opened.files[BOM_FILE].read(LIMITS.bom_bytes),
        models=tuple(
            (
                model,
                _read_model(model.shards[0], opened.files[model.shards[0]], access)
                if model.shards[0] in opened.files
                else None,
            )
            for model in manifest.models
        ),
        signatures=tuple(
            (name, opened.files[name].read(LIMITS.bundle_bytes)) for name in sorted(signatures)
        ),
        others=tuple(sorted(opened.files.keys() - read - signatures)),
    )


def _is_signature(name: str) -> bool:
    return name in {MANIFEST_FILE, OMS_FILE} or name.startswith(f"{SIGNATURES_FOLDER}/")
