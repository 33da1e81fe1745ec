"""A verified package, copied to where it will run, and there held as surely as the place can.

1. verify   the package as it came, by the caller's rules
2. copy     every file of it, unseen by others
3. protect  the model, by fs-verity where the file system has it
4. verify   the copy by the same rules: what is installed is what was verified, whatever happened
            to the old place meanwhile; how surely a run will hold the model is known with it
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.domain.manifest import EntryRole, Manifest
from infwasi_sign.domain.policy import NamedPackage
from infwasi_sign.errors import UndecidedError
from infwasi_sign.ports import EntryFile
from infwasi_sign.quick_dataclass import dataclass
from infwasi_sign.verify import VerifiedPackage, VerifyRequest


class InstallTarget(Protocol):
    """A copy in the making; nobody sees it before `commit`."""

    @property
    def path(self) -> Path:
        """Where it lies until then."""
        ...

    def copy(self, name: str, file: EntryFile) -> None:
        """Write a whole file of the package, counter-signatures as `signatures/<name>`."""
        ...

    def protect(self, name: str) -> str | None:
        """Switch fs-verity on for a file that is written; says why if that is not to be."""
        ...

    def commit(self) -> None:
        """Make the whole of it visible."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Installed:
    """What was installed. ``level`` is what a run by the same user reaches there, and why no more.

    ``unprotected`` is why fs-verity is not on for the model, if it is not.
    """

    manifest: Manifest
    level: LoadLevel
    level_reason: str
    unprotected: str | None


def install(
    request: VerifyRequest,
    *,
    verify: Callable[[VerifyRequest], VerifiedPackage],
    files: Callable[[], Mapping[str, EntryFile]],
    target: Callable[[Manifest], AbstractContextManager[InstallTarget]],
) -> Installed:
    """Install the package at ``request.location``.

    ``files`` are those that the last call of ``verify`` opened.

    Raises:
        RefusedError: as `verify`.
        UndecidedError: as `verify`, or it cannot be written.
    """
    # 1. verify
    with verify(request) as verified:
        manifest = verified.manifest
        with target(manifest) as copy:
            # 2. copy
            for name, file in sorted(files().items()):
                copy.copy(name, file)
            # 3. protect
            unprotected = None
            for entry in manifest.entries:
                if entry.role is EntryRole.MODEL:
                    unprotected = (
                        copy.protect(entry.name)
                        if entry.is_own_file
                        else "the model lies outside of the package"
                    )
            # 4. verify
            again = replace(
                request,
                location=copy.path,
                policy=replace(request.policy, package=NamedPackage(name=manifest.package_name)),
                hold=True,
                progress=None,
                on_claims=None,
            )
            with verify(again) as installed:
                if installed.statement_digest != verified.statement_digest:
                    raise UndecidedError(
                        "the package was exchanged while it was copied",
                        where=str(request.location),
                    )
                result = Installed(
                    manifest=manifest,
                    level=installed.level,
                    level_reason=installed.level_reason,
                    unprotected=unprotected,
                )
            copy.commit()
    return result
