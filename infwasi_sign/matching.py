"""The second half of step 3 of verification: entries and files one to one (format section 7)."""

from infwasi_sign.domain.manifest import RESERVED_NAMES, Manifest
from infwasi_sign.errors import RefusalKind, RefusedError, UndecidedError
from infwasi_sign.ports import GuardedFile, OpenedPackage


def match_files(manifest: Manifest, opened: OpenedPackage) -> dict[str, GuardedFile]:
    """Each entry its file, each file its entry; detached ones are the caller's, by size."""
    files: dict[str, GuardedFile] = {}
    present = {name for name in opened.files if name.split("/")[0] not in RESERVED_NAMES}
    detached = {file.size_bytes: file for file in opened.detached}
    for entry in manifest.entries:
        if entry.is_own_file:
            if entry.name not in present:
                raise RefusedError(
                    RefusalKind.MISSING, "a file of the package is missing", where=entry.name
                )
            present.remove(entry.name)
            files[entry.name] = opened.files[entry.name]
        elif entry.is_detached:
            if not opened.detached:
                raise RefusedError(
                    RefusalKind.MISSING,
                    "the model is not in the package",
                    where=entry.name,
                    hint="say where it is with --model FILE",
                )
            files[entry.name] = detached.get(entry.size_bytes, opened.detached[0])
    _require_nothing_else(present)
    if opened.detached and not any(entry.is_detached for entry in manifest.entries):
        raise UndecidedError("the package holds its model itself", hint="leave out --model")
    return files


def _require_nothing_else(unsigned: set[str]) -> None:
    if unsigned:
        raise RefusedError(
            RefusalKind.EXTRA, "the package has a file that nobody signed", where=min(unsigned)
        )


def require_supported(manifest: Manifest) -> None:
    """Format v1 has places that this version cannot use yet; it says so and stops."""
    unsupported = (
        ("LoRA adapters", bool(manifest.loras)),
        ("projectors", bool(manifest.projectors)),
        ("several models", len(manifest.models) > 1),
        ("a model in several shards", any(len(m.shards) > 1 for m in manifest.models)),
        ("an embedded model", any(e.offset is not None for e in manifest.entries)),
    )
    for what, is_there in unsupported:
        if is_there:
            raise UndecidedError(f"{what} cannot be verified by this version yet")
