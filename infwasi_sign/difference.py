"""Says what changed between two packages, models or components, and believes neither."""

from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

from infwasi_sign.domain.bom import read_bom
from infwasi_sign.domain.difference import Difference, Snapshot, compare
from infwasi_sign.domain.snapshot import (
    ModelParts,
    component_snapshot,
    model_snapshot,
    package_snapshot,
)
from infwasi_sign.errors import UndecidedError
from infwasi_sign.targets import (
    Access,
    ReadComponent,
    ReadModel,
    ReadPackage,
    Target,
    read_targets,
)


def difference(locations: Sequence[Path], access: Access) -> Difference:
    """The changes from the first of two locations to the second.

    Raises:
        UndecidedError: they are of different kinds, or one cannot be read.
        RefusedError: one does not parse.
    """
    old, new = (_snapshot(target) for target in read_targets(locations, access))
    if old.kind != new.kind:
        raise UndecidedError(
            "the two are of different kinds",
            where=new.title,
            expected=f"a {old.kind}, as {old.title}",
            got=f"a {new.kind}",
        )
    return compare(old, new)


def _snapshot(target: Target) -> Snapshot:
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
                bom=read_bom(target.bom),
                models={
                    model.name: _parts(found) for model, found in target.models if found is not None
                },
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
