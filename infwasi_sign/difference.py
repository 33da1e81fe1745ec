"""Says what changed between two packages, models or components, and believes neither."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias, assert_never

from infwasi_sign.domain.difference import Difference, Snapshot, compare
from infwasi_sign.domain.snapshot import (
    ModelParts,
    component_snapshot,
    model_snapshot,
    package_snapshot,
)
from infwasi_sign.domain.snapshot_bom import BomParts
from infwasi_sign.errors import RefusedError, UndecidedError
from infwasi_sign.targets import (
    Access,
    ReadComponent,
    ReadModel,
    ReadPackage,
    Target,
    read_targets,
)

DerivePackage: TypeAlias = Callable[[ReadPackage], object]
"""Derives the bill of materials of a package again, and raises where it is another.

RefusedError if so, UndecidedError if that cannot be said.
"""


def difference(locations: Sequence[Path], access: Access, derive: DerivePackage) -> Difference:
    """The changes from the first of two locations to the second.

    Raises:
        UndecidedError: they are of different kinds, or one cannot be read.
        RefusedError: one does not parse.
    """
    old, new = (_snapshot(target, derive) for target in read_targets(locations, access))
    if old.kind != new.kind:
        raise UndecidedError(
            "the two are of different kinds",
            where=new.title,
            expected=f"a {old.kind}, as {old.title}",
            got=f"a {new.kind}",
        )
    return compare(old, new)


def _snapshot(target: Target, derive: DerivePackage) -> Snapshot:
    match target:
        case ReadModel():
            return model_snapshot(target.title, _parts(target))
        case ReadComponent():
            return component_snapshot(target.title, target.data, target.facts)
        case ReadPackage():
            return package_snapshot(
                target.title,
                manifest=target.manifest,
                component=target.component,
                facts=target.facts,
                settings=target.settings,
                models={
                    model.name: _parts(found) for model, found in target.models if found is not None
                },
                bom=_bom(target, derive),
                statement=target.statement,
                signatures=target.signatures,
                others=target.others,
            )
        case _:
            assert_never(target)


def _parts(model: ReadModel) -> ModelParts:
    return ModelParts(
        header=model.header,
        tensors=model.digests.tensors,
        size_bytes=model.size_bytes,
        digest=model.digests.blake3,
    )


def _bom(package: ReadPackage, derive: DerivePackage) -> BomParts:
    """The bill of materials, and why it is not the one that follows from the package, if so."""
    try:
        derive(package)
    except (RefusedError, UndecidedError) as e:
        return BomParts(data=package.bom, doubt=e)
    return BomParts(data=package.bom, doubt=None)
